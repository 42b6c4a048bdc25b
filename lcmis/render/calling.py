"""A loaded pipeline, run: to its end, for one step, or only to hear what its denoiser is told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from lcmis.render.conditioning import (
    TOLD_BYTES,
    CallArguments,
    Change,
    Encodings,
    Kept,
    PromptsDiffer,
    changed,
    changes,
    same,
    shapes,
    tensors,
)
from lcmis.render.forms.schedulers import seed_noise
from lcmis.render.kinds import PipelineKind
from lcmis.render.stages import Clock, standing_in, watching

if TYPE_CHECKING:
    import torch


class Halted(Exception):
    """Raised by us, to leave a pipeline whose picture nobody waits for any more."""


class Ended(Exception):
    """Raised by us, to leave a pipeline where all has been heard that was to be heard."""


@dataclass(frozen=True, slots=True)
class Wording:
    """What a batch is asked for, row by row."""

    prompts: tuple[str, ...]
    negative_prompts: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """What a denoiser is told of one batch's prompts, by the scheduler's step and the call in it.

    Of one step where all steps are told the same, else of all.
    """

    calls: tuple[tuple[CallArguments, ...], ...]
    num_bytes: int

    def at(self, stride: int, call: int) -> CallArguments:
        """The call that belongs to a step.

        Raises:
            IndexError: there was none.
        """
        return self.calls[stride if len(self.calls) > 1 else 0][call]


class Running:
    """Runs one loaded pipeline at one size and guidance.

    Args:
        pipeline: as diffusers loaded it.
        family: how such pipelines are called.
        guidance_scale: of all pictures.
        size: height and width in pixels.
        halt: set from another thread, it ends a run before the denoiser is called again.
    """

    def __init__(
        self,
        pipeline: Any,
        family: PipelineKind,
        guidance_scale: float,
        size: tuple[int, int],
        halt: threading.Event | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.denoiser: torch.nn.Module | None = getattr(pipeline, family.denoiser or "-", None)
        self.records_all = False
        """Whether what the denoiser is told of a prompt changes from step to step."""
        self._family = family
        self._guidance_scale = guidance_scale
        self._size = size
        self._halt = halt or threading.Event()
        self._encodings = Encodings(pipeline, family.signature.default("negative_prompt"))
        names = ("guider", "ocr_guider") if family.guidance == "guider" else ()
        self._guiders = {name: getattr(pipeline, name) for name in names}
        self._recordings: Kept[Recording] = Kept(TOLD_BYTES, lambda one: one.num_bytes)
        self._first: dict[Any, Recording] = {}
        self._answers: dict[Any, Any] = {}

    def run(
        self,
        asked: Wording,
        seeds: Sequence[int],
        steps: int,
        *,
        guidance_scale: float | None = None,
        told: Callable[[Clock, CallArguments], CallArguments | None] = lambda *_: None,
        stepped: Callable[[Clock, Any], None] = lambda *_: None,
        beside: Callable[[Clock], Any] | None = None,
        more: Mapping[str, Any] = MappingProxyType({}),
    ) -> tuple[Any, Clock]:
        """Call the pipeline.

        Args:
            asked: one row for each picture.
            seeds: likewise.
            steps: of the denoising.
            guidance_scale: another one than usual.
            told: hears every call of the denoiser; see :func:`lcmis.render.stages.watching`.
            stepped: hears what the scheduler goes by, at every step.
            beside: gives a context to run in.
            more: arguments of the call, in the place of the usual ones.

        Raises:
            PromptsDiffer: these prompts cannot stand in one batch.
            Halted: it was to end.
        """
        import torch

        renew_schedulers(self.pipeline)
        seed_noise(self.pipeline.scheduler, seeds)
        clock = Clock(self.pipeline.scheduler, steps)

        def hear(heard: CallArguments) -> CallArguments | None:
            if self._halt.is_set():
                raise Halted
            return told(clock, heard)

        scale = self._guidance_scale if guidance_scale is None else guidance_scale
        self._guide(scale)
        arguments = self._family.arguments(scale, steps, *self._size)
        arguments |= self._words(asked)
        arguments["generator"] = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        arguments |= more
        with torch.inference_mode(), ExitStack() as inside:
            inside.enter_context(self._encodings.remembered())
            inside.enter_context(
                watching(
                    self.pipeline,
                    self.denoiser,
                    clock,
                    hear,
                    lambda output: stepped(clock, output),
                )
            )
            if beside is not None:
                inside.enter_context(beside(clock))
            try:
                return self.pipeline(**arguments), clock
            except Ended:
                self.pipeline.maybe_free_model_hooks()
                return None, clock

    def _words(self, asked: Wording) -> dict[str, Any]:
        prompts, negatives = list(asked.prompts), list(asked.negative_prompts)
        if self._family.own.takes_one_text:
            if len(set(zip(prompts, negatives, strict=True))) > 1:
                raise PromptsDiffer
            more = {"negative_prompt": negatives[0]} if negatives[0] else {}
            return {"prompt": prompts[0], "num_images_per_prompt": len(prompts), **more}
        return {"prompt": prompts} | ({"negative_prompt": negatives} if any(negatives) else {})

    def predictions(
        self,
        asked: Wording,
        seeds: Sequence[int],
        steps: int,
        *,
        most: int | None = None,
        guidance_scale: float | None = None,
        told: Callable[[Clock, CallArguments], CallArguments | None] = lambda *_: None,
        beside: Callable[[Clock], Any] | None = None,
    ) -> list[Any]:
        """What the scheduler is given at every step, of a drawing that ends there.

        Two drawings that agree in all of these are one picture.
        """
        heard: list[Any] = []

        def stepped(clock: Clock, output: Any) -> None:
            heard.append(output)
            if clock.is_last or len(heard) == most:
                raise Ended

        output, _ = self.run(
            asked,
            seeds,
            steps,
            guidance_scale=guidance_scale,
            told=told,
            stepped=stepped,
            beside=beside,
        )
        return heard if output is None else [*heard, output]

    def differences(
        self, rulings: Mapping[int, Wording], native: Wording, steps: int
    ) -> Callable[[Clock, CallArguments], CallArguments | None]:
        """What makes a run that is asked one thing draw others instead.

        Args:
            rulings: from which step on the batch is to be drawn as if this had been asked.
            native: what the pipeline itself is asked.
            steps: of the denoising.

        Returns:
            What :meth:`run` wants as ``told``.
        """
        own = self._recording(native, steps)
        others = {
            start: self._recording(asked, steps) if asked != native else own
            for start, asked in rulings.items()
        }
        found: dict[tuple[int, int, int], list[Change]] = {}

        def told(clock: Clock, heard: CallArguments) -> CallArguments | None:
            start = max(start for start in others if start <= clock.step)
            if others[start] is own:
                return None
            stride = clock.strides if self.records_all else 0
            place = (start, stride, clock.call_in_step)
            if place not in found:
                found[place] = changes(
                    others[start].at(stride, clock.call_in_step),
                    own.at(stride, clock.call_in_step),
                )
            return changed(heard, found[place])

        return told

    def _recording(self, asked: Wording, steps: int) -> Recording:
        key = (asked, steps if self.records_all else None)
        return self._recordings.get(key, lambda: self._record(asked, steps))

    def _record(self, asked: Wording, steps: int) -> Recording:
        """Hear what the denoiser is told, without running it where its answer's form is known."""
        if self.denoiser is None:
            raise ValueError("there is no denoiser to listen to")
        kind = (len(asked.prompts), steps if self.records_all else None)
        first = self._first.get(kind)
        calls: list[list[CallArguments]] = []

        def told(clock: Clock, heard: CallArguments) -> None:
            if clock.call_in_step == 0:
                calls.append([])
            known = first and first.calls[min(len(calls), len(first.calls)) - 1]
            if known and len(calls[-1]) < len(known):
                heard = _like(heard, known[len(calls[-1])])
            calls[-1].append(heard)
            if known and not self.records_all and len(calls[-1]) == len(known):
                raise Ended

        def stepped(clock: Clock, _: Any) -> None:
            if clock.is_last or not self.records_all:
                raise Ended

        def beside(clock: Clock) -> Any:
            return standing_in(
                self.denoiser, lambda inner, heard: self._answer(clock, inner, heard)
            )

        self.run(asked, range(len(asked.prompts)), steps, told=told, stepped=stepped, beside=beside)
        shared = {id(one) for one in tensors(first.calls)} if first else set()
        own = {id(one): one.nbytes for one in tensors(calls) if id(one) not in shared}
        recording = Recording(tuple(map(tuple, calls)), sum(own.values()))
        self._first.setdefault(kind, recording)
        return recording

    def _answer(self, clock: Clock, inner: Callable[..., Any], heard: CallArguments) -> Any:
        """What was once said to a call of this form; so all recordings go the same way."""
        asked = (clock.call_in_step, str(shapes([heard.args, heard.kwargs])))
        if asked not in self._answers:
            said = inner(*heard.args, **heard.kwargs)
            form = (clock.call_in_step, "said", str(shapes(said)))
            self._answers[asked] = self._answers.setdefault(form, said)
        return self._answers[asked]

    def _guide(self, guidance_scale: float) -> None:
        """Fresh guiders where components guide, with this scale unless it is their usual one."""
        usual = self._guiders and self._guiders["guider"].config.guidance_scale
        given = {} if guidance_scale == usual else {"guidance_scale": guidance_scale}
        for name, guider in self._guiders.items():
            setattr(self.pipeline, name, guider.new(**given))


def renew_schedulers(pipeline: Any) -> None:
    """Fresh schedulers: whatever one keeps between calls cannot reach the next picture."""
    from diffusers import DiffusionPipeline, SchedulerMixin

    fresh: dict[int, Any] = {}  # a pipeline of pipelines shares them with its parts
    for part in (pipeline, *vars(pipeline).values()):
        if not isinstance(part, DiffusionPipeline):
            continue
        for name, component in list(vars(part).items()):
            if isinstance(component, SchedulerMixin):
                if id(component) not in fresh:
                    fresh[id(component)] = type(component).from_config(component.config)
                setattr(part, name, fresh[id(component)])


def _like(value: Any, known: Any) -> Any:
    """The same value, and where it is equal to a known one that one itself: kept in memory once."""
    if isinstance(value, CallArguments):
        return CallArguments(_like(value.args, known.args), _like(value.kwargs, known.kwargs))
    if isinstance(value, dict) and isinstance(known, dict):
        return {n: _like(part, known[n]) if n in known else part for n, part in value.items()}
    if type(value) is type(known) and type(value) in (list, tuple) and len(value) == len(known):
        return type(value)(_like(one, other) for one, other in zip(value, known, strict=True))
    return known if same(value, known) else value
