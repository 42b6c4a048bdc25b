"""Which prompt rules which denoising step, and how a running pipeline is told so."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lcmis.render.conditioning import CallArguments

if TYPE_CHECKING:
    import torch


def step_of(timestep: float, timesteps: Sequence[float], num_inference_steps: int) -> int:
    """The denoising step, counted from 0, to which a timestep belongs.

    Counted by the timestep and not by calls: Heun, KDPM2 and PNDM call the denoiser more often than
    there are steps, some of them at timesteps between two steps, which belong to the earlier one.

    Args:
        timestep: one of them, or near it.
        timesteps: the scheduler's, in any order, with repetitions.
        num_inference_steps: how many steps the user asked for.
    """
    distinct = sorted(set(timesteps), reverse=True)
    rank = min(range(len(distinct)), key=lambda index: abs(distinct[index] - timestep))
    return rank * num_inference_steps // len(distinct)


class Clock:
    """Which step a running pipeline is at, told by its scheduler.

    Args:
        scheduler: the pipeline's; its timesteps are read when the denoiser is first called.
        num_inference_steps: how many steps the user asked for.
    """

    def __init__(self, scheduler: Any, num_inference_steps: int) -> None:
        self.calls = 0
        """Of the denoiser until now, the present one included."""
        self.call_in_step = -1
        """Which call since the scheduler's last step it is, counted from 0."""
        self.strides = 0
        """Steps that the scheduler has taken; Heun takes two for one that was asked for."""
        self._scheduler = scheduler
        self._num_steps = num_inference_steps
        self._timesteps: list[float] = []

    @property
    def step(self) -> int:
        """The step at hand, counted from 0, of those that were asked for."""
        return self._step_after(self.strides)

    @property
    def next_step(self) -> int:
        """The one at hand when the scheduler has taken its next step."""
        return self._step_after(self.strides + 1)

    def _step_after(self, strides: int) -> int:
        timesteps = self._read()
        at = min(strides, len(timesteps) - 1)
        return step_of(timesteps[at], timesteps, self._num_steps)

    @property
    def is_last(self) -> bool:
        """Whether the scheduler has one step to take."""
        return self.strides >= len(self._read()) - 1

    def tick(self) -> None:
        """Count one more call of the denoiser."""
        self.calls += 1
        self.call_in_step += 1

    def stride(self) -> None:
        """Count one more step of the scheduler."""
        self.strides += 1
        self.call_in_step = -1

    def _read(self) -> list[float]:
        if not self._timesteps:
            timesteps: list[float] = self._scheduler.timesteps.tolist()
            lists_end = len(set(timesteps)) == self._num_steps + 1
            if lists_end and getattr(self._scheduler, "order", 1) == 1:
                del timesteps[-1]  # a consistency model's also say where it arrives
            self._timesteps = timesteps
        return self._timesteps


@contextmanager
def watching(
    pipeline: Any,
    denoiser: torch.nn.Module | None,
    clock: Clock,
    told: Callable[[CallArguments], CallArguments | None] = lambda _: None,
    stepped: Callable[[Any], None] = lambda _: None,
) -> Iterator[None]:
    """Keep a clock, and hear what a denoiser is told, while inside.

    A forward pre-hook, since ``callback_on_step_end`` cannot reach every family's pooled vectors
    and masks, nor the first step.

    Args:
        pipeline: its scheduler says when a step is done.
        denoiser: None where it is not known which part that is.
        clock: of this one run.
        told: is given every call's arguments, and returns others in their place, or None.
        stepped: is given what the scheduler goes by, such as the predicted noise, at every step.
    """
    scheduler = pipeline.scheduler
    step = scheduler.step

    @functools.wraps(step)
    def stride(*args: Any, **kwargs: Any) -> Any:
        stepped(args[0] if args else kwargs["model_output"])
        result = step(*args, **kwargs)
        clock.stride()
        return result

    def hear(
        module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        clock.tick()
        instead = told(CallArguments(args, kwargs))
        return None if instead is None else (instead.args, instead.kwargs)

    scheduler.step = stride
    hook = None
    if denoiser is not None:
        hook = denoiser.register_forward_pre_hook(hear, with_kwargs=True)
    try:
        yield
    finally:
        del scheduler.step
        if hook is not None:
            hook.remove()


@contextmanager
def standing_in(
    denoiser: torch.nn.Module, answer: Callable[[Callable[..., Any], CallArguments], Any]
) -> Iterator[None]:
    """Answer for a denoiser while inside.

    Its weights may rest elsewhere; they are fetched by the forward that is handed on, and so only
    where that is called.

    Args:
        denoiser: the module.
        answer: is given its forward and what it was told, and says what it would say.
    """
    inner = denoiser.forward
    was_own = "forward" in vars(denoiser)  # accelerate's, where weights rest in main memory

    def forward(*args: Any, **kwargs: Any) -> Any:
        return answer(inner, CallArguments(args, kwargs))

    denoiser.forward = forward
    try:
        yield
    finally:
        if was_own:
            denoiser.forward = inner
        else:
            del denoiser.forward
