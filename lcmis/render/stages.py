"""Which prompt rules which denoising step, and how a running pipeline is told so."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def step_of(timestep: float, timesteps: Sequence[float], num_inference_steps: int) -> int:
    """The denoising step, counted from 0, to which a timestep belongs.

    Counted by the timestep and not by calls: Heun, KDPM2 and PNDM call the denoiser more often than
    there are steps, some of them at timesteps between two steps, which belong to the earlier one.

    Args:
        timestep: as the denoiser sees it; rounded by a half-precision pipeline, perhaps.
        timesteps: the scheduler's, in any order, with repetitions.
        num_inference_steps: how many steps the user asked for.
    """
    distinct = sorted(set(timesteps), reverse=True)
    rank = min(range(len(distinct)), key=lambda index: abs(distinct[index] - timestep))
    return rank * num_inference_steps // len(distinct)


class Clock:
    """Which step a running pipeline is at, told from what its denoiser is called with.

    Args:
        scheduler: the pipeline's; its timesteps are read at the first call, when they are set.
        timestep_unit: what they are divided by on their way to the denoiser.
        num_inference_steps: how many steps the user asked for.
    """

    def __init__(self, scheduler: Any, timestep_unit: float, num_inference_steps: int) -> None:
        self.step = 0
        self.calls = 0
        """Of the denoiser until now, the present one included."""
        self._scheduler = scheduler
        self._unit = timestep_unit
        self._steps = num_inference_steps
        self._timesteps: list[float] = []

    def tick(self, timestep: float) -> int:
        """Count one more call; the step it belongs to."""
        if not self._timesteps:
            self._timesteps = self._scheduler.timesteps.tolist()
        self.step = step_of(timestep * self._unit, self._timesteps, self._steps)
        self.calls += 1
        return self.step


@contextmanager
def switching(
    denoiser: torch.nn.Module,
    arguments_at: Callable[[float], Mapping[str, Any]],
) -> Iterator[None]:
    """Replace a denoiser's arguments by those that rule at its timestep, while inside.

    A forward pre-hook, since ``callback_on_step_end`` cannot reach every family's pooled vectors
    and masks, nor the first step. A mapping among the arguments is merged into the one it replaces.
    """
    forward = inspect.signature(type(denoiser).forward)

    def replace(
        module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        call = forward.bind(module, *args, **kwargs)
        timestep = call.arguments["timestep"]
        value = float(timestep.flatten()[0]) if hasattr(timestep, "flatten") else float(timestep)
        for name, ruling in arguments_at(value).items():
            if isinstance(ruling, Mapping):
                ruling = {**call.arguments[name], **ruling}
            call.arguments[name] = ruling
        return call.args[1:], call.kwargs

    hook = denoiser.register_forward_pre_hook(replace, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()
