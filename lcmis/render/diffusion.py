"""Any text-to-image pipeline of diffusers: drawn in fixed batches, from seeds, in stages."""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from lcmis.errors import ConfigError, InversionError, Refusal, RenderError
from lcmis.machine.device import (
    OFFLOADS_OF_PIPELINES,
    choose_device,
    choose_dtype,
    choose_offload,
    num_cores,
)
from lcmis.plugins.protocols import Denoiser, Work
from lcmis.plugins.settings import ModelSettings
from lcmis.render.accelerators import profile_of
from lcmis.render.caching import Caching, chosen_cache
from lcmis.render.calling import Running, Wording
from lcmis.render.conditioning import Defaults
from lcmis.render.execution import Execution, chosen_execution
from lcmis.render.forms.form import Form
from lcmis.render.forms.schedulers import refuse_unfit
from lcmis.render.forms.words import add_tokens, spelled_out
from lcmis.render.kinds import PipelineKind
from lcmis.render.known import with_known_numbers
from lcmis.render.mannered import ASKED_FOR, unexcited
from lcmis.render.narrow import chosen_search_dtype
from lcmis.render.pipeline_folder import PipelineFolder, scheduler_class
from lcmis.render.proved import Proved
from lcmis.render.refining import Refiner, handover
from lcmis.render.replicas import MOST_REPLICAS, Replicas, computing_with, with_same_weights
from lcmis.render.rows import in_rows, pins_rows
from lcmis.render.together import Term, Together, sums_of
from lcmis.render.trunks import Trunks, beginning, sharing
from lcmis.types import RenderSpec, Stage, StageManner, manners_of_stages, stage_starts

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    from lcmis.machine.hub.fetching import Fetch
    from lcmis.render.conditioning import CallArguments
    from lcmis.render.exciting import Exciting
    from lcmis.render.lengths import Lengths
    from lcmis.render.proofs import Proofs
    from lcmis.render.stages import Clock

LARGEST_BATCH = 1_000_000
LONGEST_SIDE = 16383
"""Pixels, as many as WebP has."""
MOST_THREADS = 256
"""Also where there are fewer cores: a picture of a larger machine may be drawn again on a smaller
one. Far more end the process in OpenMP.
"""
LONGEST_PROMPT = 100_000
"""Letters; what is longer is not even counted in tokens, which would take seconds."""


class DiffusersModel:
    """Draws with a diffusers pipeline, by hub name or folder.

    A picture is decided by its spec alone: its noise comes from a CPU generator made freshly from
    its seed, its prompt is encoded by itself, and every batch has the declared shape, the last one
    padded; so neighbours and place change no bit of it within one numerics profile. Where the place
    would, on accelerators, it follows from the seed; see :mod:`lcmis.render.rows`.

    One engine for all of them: how a pipeline is called is read from its signature, and what it
    tells its denoiser of a prompt is heard in a run that ends before the denoiser does anything
    (:mod:`lcmis.render.calling`). What that rests on is proved on the model itself when it is first
    needed, and refused with the reason where it does not hold (:mod:`lcmis.render.proofs`).

    Stages: the prompt is switched between two steps, and only the prompt. A multistep scheduler
    (DPM-Solver++, PNDM, UniPC) goes on with the model outputs it has kept from before the switch,
    since forgetting them would cost it its order, and so change the picture beyond what the prompt
    does; a switch therefore takes one or two steps to act in full.

    Pictures of several stages that begin alike (one seed, one first prompt) share what the denoiser
    said until they part, also over calls; see :func:`lcmis.render.trunks.sharing`.

    A cache and a denoiser in float8 draw what is only searched with: pictures of :meth:`sketch`, of
    another profile, in batches of their own; see :mod:`lcmis.render.caching` and
    :mod:`lcmis.render.narrow`. All others are drawn as if neither were set. Where the prompt
    switches, a cache keeps nothing over the switch, and beginnings are not shared, since one that
    has seen one step less goes on otherwise.

    Making the object reads configuration only. Weights are read by the first :meth:`generate`, from
    safetensors only; code that comes with a model is never run.

    Raises:
        ConfigError: a setting that this model or machine cannot follow, a model that is incomplete,
            pickled, or needs code of its own; the sentence names it.
        UnknownNameError: no such model, revision or scheduler.
    """

    supports_seeds = True

    def __init__(self, settings: ModelSettings) -> None:
        self._form = Form(settings)
        self.model_id = self._form.model_id
        self._folder = self._form.folder
        self._family = PipelineKind(self._folder)
        settings, self.notes = with_known_numbers(
            settings, self._folder, self._family.defaults(), self._family.refusal
        )
        """What of its numbers is its authors', and what else is to be minded; a sentence each."""

        self._device = choose_device(settings.device)
        self._dtype = choose_dtype(settings.dtype, self._device)
        self._offload = choose_offload(settings.offload, self._device, OFFLOADS_OF_PIPELINES)
        self._recomputes = settings.gradient_checkpointing
        if self._recomputes is not None and self._family.undifferentiable:
            raise ConfigError(
                f"gradient_checkpointing has no effect on {self.model_id}, through which no "
                f"gradients go, for {self._family.undifferentiable}: leave it out"
            )

        self.threads = _chosen_threads(settings.threads, self.model_id, self._device)
        """With which a batch is computed on a CPU; 0 elsewhere."""

        defaults = self._family.defaults()
        steps, guidance, height, width = _all_said(settings, defaults, self._folder)
        _refuse_size(self.model_id, height, width, defaults.multiple)
        self.batch_size = _first(
            settings.batch_size, _default_batch_size(self._family, height, width, self._device)
        )
        if not 1 <= self.batch_size <= LARGEST_BATCH:
            raise ConfigError(
                f"batch_size = {self.batch_size}: write 1 or more, and at most {LARGEST_BATCH:,}"
            )
        if self.batch_size > 1 and self._family.own.alone:
            raise ConfigError(
                f"batch_size = {self.batch_size}, but a {self._folder.class_name} draws one "
                f"picture at a time: {self._family.own.alone}"
            )
        self._execution = chosen_execution(
            settings,
            name=self.model_id,
            device=self._device,
            offload=self._offload,
            batch_size=self.batch_size,
        )
        self._cache = chosen_cache(
            settings.cache,
            model=self.model_id,
            denoiser=self._family.denoiser_class,
            pipeline=self._folder.class_name,
            compiled=self._execution.compiled,
            offload=self._offload,
        )
        self._search_dtype = chosen_search_dtype(
            settings.search_dtype,
            model=self.model_id,
            device=self._device,
            dtype=self._dtype,
            offload=self._offload,
        )
        lossy = {"search_dtype": self._search_dtype, "cache": str(self._cache or "")}
        self.cache = "+".join(filter(None, lossy.values()))
        """By which it draws what is only searched with, e.g. ``first-block:0.12``, ``float8`` or
        ``float8+first-block:0.12``; empty without any."""
        self.notes += tuple(
            f"{self.model_id}: {setting} = {said!r} acts only on pictures by which repairs "
            f"search; audits and certificates are drawn without it"
            for setting, said in lossy.items()
            if said
        )
        scheduler = self._folder.config("scheduler")["_class_name"]
        if settings.scheduler is not None:
            scheduler = scheduler_class(settings.scheduler, flow=self._family.flow)
        negative_prompt = settings.negative_prompt
        if negative_prompt is None:
            negative_prompt = defaults.negative_prompt if guidance > 1 else ""
        try:
            self._template = RenderSpec(
                model=self.model_id,
                stages=(Stage("any"),),
                seed=0,
                num_inference_steps=steps,
                guidance_scale=guidance,
                scheduler=scheduler,
                height=height,
                width=width,
                profile="",
                negative_prompt=negative_prompt,
                device=self._device.partition(":")[0],
                dtype=self._dtype,
                **self._form.recorded,
            )
        except ValueError as error:
            raise ConfigError(f"{self.model_id} cannot be run so: {error}") from error
        if settings.scheduler is not None:
            refuse_unfit(scheduler, self._folder.config("scheduler"), steps)
        refusal = self._family.refusal(self._template.guidance_scale, negative_prompt)
        if refusal:
            raise ConfigError(f"{self.model_id}: {refusal}")
        self._refiner = None
        if settings.refiner is not None:
            self._refiner = Refiner(
                settings.refiner,
                self._folder.class_name,
                self._device,
                self._dtype,
                self._offload,
            )
        self.refiner = self._refiner.model_id if self._refiner else ""
        """Id of the model that may draw the last stage; empty without one."""
        self._halt = threading.Event()
        """Ends batches under way, of all that draw side by side."""
        self.work = Work()
        self.trunks = Trunks()
        """What is known of pictures that were begun; a new one has forgotten all of them."""
        self._unstaged = self._family.unstaged
        self._unadded = ""
        self._proofs_by_profile: dict[str, Proofs] = {}
        self._token_count = lru_cache(4096)(self._count_tokens)

    def load(self) -> None:
        """Read the weights now, fetched where they must be.

        Raises:
            ConfigError: that cannot be.
        """
        _ = self._caching if self._cache else self._pipeline
        if self._search_dtype:
            from lcmis.render.narrow import refuse_unnarrowable

            refuse_unnarrowable(self._bare, self.model_id, self._device)

    def fetches(self) -> tuple[Fetch, ...]:
        """How much of it comes from the hub, and how much of that is here."""
        return self._form.fetches()

    @property
    def supports_stages(self) -> bool:
        """Whether its prompt can be switched between steps, as far as is known until now: a kind
        that nobody has proved is tried at the first picture of several stages.
        """
        return not self._unstaged

    @property
    def manners(self) -> frozenset[StageManner]:
        """In which it can draw a stage, beside being told its prompt, as far as is known until
        now: whether it follows several prompts at once is tried at the first such picture.
        """
        return frozenset(manner for manner in StageManner if not self._hindrance(manner))

    def _hindrance(self, manner: StageManner) -> str:
        """Why it cannot draw a stage so; empty where it can, as far as is known until now."""
        match manner:
            case StageManner.TOGETHER:
                if not self._family.guidance or self._template.guidance_scale <= 1:
                    return "it is not guided: guidance_scale must be above 1"
                return self._unadded or self._unstaged
            case StageManner.EXCITED:
                return unexcited(
                    self._family,
                    self._form,
                    self._template.scheduler,
                    self._offload,
                    self._execution,
                )
            case StageManner.REFINED:
                return "" if self._refiner else "no refiner is named: name one with --refiner"

    @property
    def takes_negative_prompts(self) -> bool:
        """Whether a spec's own negative prompt has any effect under these settings."""
        return not self._family.refusal(self._template.guidance_scale, "anything")

    @property
    def source(self) -> str:
        """Whence diffusers loads it: the hub name, or the folder or file on this disk."""
        return self._form.source

    @property
    def profile(self) -> str:
        """Numerics profile, e.g. ``"cpu-float32-b16"``; what computes otherwise than usual is named
        behind it, as in ``"cuda-bfloat16-b4-rows-regional"``.
        """
        return self._profile(self.batch_size, "")

    @property
    def _sketched(self) -> str:
        """Numerics profile of what is only searched with; empty where that is drawn as usual."""
        if not self.cache:
            return ""
        narrow = f"-lossy_{self._search_dtype}" if self._search_dtype else ""
        mark = self._cache.mark if self._cache else ""
        return self._profile(self._num_sketched, f"{narrow}{mark}")

    @property
    def _num_sketched(self) -> int:
        """Rows of a batch of what is only searched with."""
        return self._cache.rows(self.batch_size) if self._cache else self.batch_size

    def _profile(self, num_rows: int, mark: str) -> str:
        rows = "-rows" if pins_rows(self._device, num_rows) else ""
        threads = f"-t{self.threads}" if self.threads > 1 else ""
        how = f"{rows}{threads}{self._execution.mark}{mark}"
        computed = f"{self._template.dtype}-b{num_rows}{how}"
        return profile_of(self._device, computed)

    def sketch(self, spec: RenderSpec) -> RenderSpec:
        """The same picture as it is only searched with: of another profile, and never counted."""
        return replace(spec, profile=self._sketched or spec.profile)

    def spec(self, stages: tuple[Stage, ...], seed: int) -> RenderSpec:
        """The full specification of one picture under this model's settings.

        Raises:
            RenderError: a prompt is empty or longer than the text encoder reads, or there are
                several and this pipeline cannot switch.
        """
        if len(stages) > 1 and not self.supports_stages:
            raise self._stages_refused()
        self._refuse_unmannered(stages)
        for prompt in _prompts(stages):
            if not prompt.strip():
                raise RenderError(f"{self.model_id} was given an empty prompt")
            self._refuse_too_long(prompt)
            if self._template.negative_prompt:
                self._refuse_too_long(self._template.negative_prompt, beside=prompt)
        return replace(self._template, stages=stages, seed=seed, profile=self.profile)

    def _refuse_unmannered(self, stages: tuple[Stage, ...]) -> None:
        for manner in sorted(manners_of_stages(stages)):
            if reason := self._hindrance(manner):
                raise self._manner_refused(manner, reason)
        last = stages[-1]
        if last.refiner not in ("", self.refiner):
            raise RenderError(
                f"{self.model_id} hands over to {self.refiner}, and not to {last.refiner}: name "
                f"that as its refiner"
            )
        starts = stage_starts(stages, self._template.num_inference_steps)
        if last.refiner and (starts[min(starts)] is last or last not in starts.values()):
            raise RenderError(
                f"{self.model_id}: of {self._template.num_inference_steps} steps each of the two "
                f"models must draw one, and {last.said!r} begins where one of them draws none"
            )

    def generate(self, specs: Sequence[RenderSpec]) -> list[Image | RenderError]:
        """Draw every spec; one RGB picture, or the reason there is none, in order.

        Raises:
            ConfigError: the weights cannot be loaded.
            ValueError: a spec of another model, or of other settings.
            torch.OutOfMemoryError: the batch does not fit.
        """
        for spec in specs:
            mine = replace(
                self._template,
                stages=spec.stages,
                seed=spec.seed,
                profile=spec.profile,
                negative_prompt=spec.negative_prompt,
            )
            if mine != spec:
                raise ValueError(f"{spec} was not made by {self.model_id} under these settings")
            if spec.profile not in (self.profile, self._sketched):
                raise ValueError(f"{spec} is of profile {spec.profile}, not {self.profile}")
        refused = {spec.key: error for spec in specs if (error := self._refusal(spec))}
        readable = [spec for spec in specs if spec.key not in refused]
        drawn: dict[str, Image | RenderError] = {}
        if not readable:
            return [refused[spec.key] for spec in specs]
        with computing_with(self.threads) if self.threads else nullcontext():
            if not self._family.own.mixes:
                self._proofs.settings(readable, self.batch_size, pinned=self._pins_rows)
            for some in self._draw(list(self._batches(readable))):
                drawn |= some
        return [refused.get(spec.key) or drawn[spec.key] for spec in specs]

    @property
    def at_once(self) -> int:
        """Pictures of as many batches as are drawn side by side."""
        return self.batch_size * self._num_replicas

    @property
    def _num_replicas(self) -> int:
        """As many as there are cores for; one where more than weights would be shared."""
        alone = self.cache or self._refiner or self._execution.compiled != "none"
        if not self.threads or alone:
            return 1
        return max(1, min(num_cores() // self.threads, MOST_REPLICAS))

    def _draw(
        self, batches: Sequence[list[RenderSpec | None]]
    ) -> Iterable[dict[str, Image | RenderError]]:
        """What comes of each batch, in order."""
        if len(batches) < 2 or self._num_replicas == 1:
            return map(self._draw_alone, batches)
        for twin in self._twins:
            twin.trunks = self.trunks
        try:
            return self._replicas.draw(batches)
        finally:
            for twin in self._twins:
                self._learn_of(twin)

    def _draw_alone(self, rows: list[RenderSpec | None]) -> dict[str, Image | RenderError]:
        """What comes of a batch that nothing is drawn beside."""
        if not (self._search_dtype and any(one and self._is_sketch(one) for one in rows)):
            return self._draw_batch(rows)
        self._sketching.trunks = self.trunks
        try:
            return self._sketching._draw_batch(rows)
        finally:
            self._learn_of(self._sketching)

    def _learn_of(self, twin: DiffusersModel) -> None:
        """What a twin has counted and found out holds for all."""
        self._count(twin.work)
        twin.work = Work()
        self._unstaged = self._unstaged or twin._unstaged
        self._unadded = self._unadded or twin._unadded

    @cached_property
    def _twins(self) -> list[DiffusersModel]:
        """All that draw beside it."""
        return [self._twin(with_same_weights(self._pipeline)) for _ in range(1, self._num_replicas)]

    def _twin(self, pipeline: Any) -> DiffusersModel:
        """The same model with another pipeline."""
        twin = copy.copy(self)
        for name in ("_running", "_exciting", "_caching"):
            vars(twin).pop(name, None)
        twin._pipeline = pipeline
        twin._proofs_by_profile = {}
        twin.work = Work()
        return twin

    @cached_property
    def _sketching(self) -> DiffusersModel:
        """With ``search_dtype``, what draws pictures that are only searched with."""
        from lcmis.render.narrow import narrowed

        pipeline = narrowed(self._bare, self.model_id, self._device)
        self._execution.lay(pipeline, self.model_id, self._size)
        twin = self._twin(pipeline)
        twin._proofs_by_profile = self._proofs_by_profile
        return twin

    @cached_property
    def _replicas(self) -> Replicas[list[RenderSpec | None], dict[str, Image | RenderError]]:
        draw = [self._draw_batch, *(twin._draw_batch for twin in self._twins)]
        return Replicas(draw, self.threads, self._halt)

    def _batches(self, specs: Sequence[RenderSpec]) -> Iterator[list[RenderSpec | None]]:
        """Pictures that may share a batch: of one prompt, unless all prompts are of one length and
        no cache would be emptied for all rows where one of them switches.
        """
        groups: dict[Any, list[RenderSpec]] = {}
        for spec in specs:
            mixes = self._family.own.mixes and not self._is_cached(spec)
            kind = (
                spec.profile,
                spec.manners,
                _handed_over(spec),
                *(() if mixes else (spec.stages, spec.negative_prompt)),
            )
            groups.setdefault(kind, []).append(spec)
        for group in groups.values():
            size = self._num_sketched if self._is_sketch(group[0]) else self.batch_size
            yield from in_rows(group, size, pinned=pins_rows(self._device, size))

    def _is_sketch(self, spec: RenderSpec) -> bool:
        return spec.profile == self._sketched

    def _is_cached(self, spec: RenderSpec) -> bool:
        """Whether a cache is on while it is drawn."""
        return self._cache is not None and self._is_sketch(spec)

    @cached_property
    def _caching(self) -> Caching:
        assert self._cache is not None
        denoiser = self._running.denoiser
        assert denoiser is not None
        steps = self._template.num_inference_steps
        return Caching(self._cache, self.model_id, self._pipeline, denoiser, steps)

    @property
    def _pins_rows(self) -> bool:
        return pins_rows(self._device, self.batch_size)

    def denoiser(self) -> Denoiser:
        """Its parts with gradients, in float32, and in bfloat16 where a family is so large that two
        copies of it would not fit; they are its own where it draws in that.

        Raises:
            InversionError: it is none of the pipelines that gradients are known to go through; the
                sentence says why.
        """
        if self._family.undifferentiable:
            raise InversionError(
                f"gradients do not reach the prompt of {self.model_id}, for "
                f"{self._family.undifferentiable}: give a Stable Diffusion 1, 2, XL or 3 or a "
                f"FLUX.1 model"
            )
        from lcmis.render.differentiable import DENOISERS

        kind = DENOISERS[self._folder.class_name]
        return kind(
            self.model_id,
            self._device,
            self._size,
            lambda: self._differentiable_pipeline(halves=kind.halves),
            recomputes=self._recomputes,
            reads=self._family.max_sequence_length or 0,
        )

    def _differentiable_pipeline(self, *, halves: bool) -> Any:
        dtypes = ("float32", "bfloat16") if halves else ("float32",)
        if self._dtype in dtypes and (self._offload, self._execution) == ("none", Execution()):
            return self._pipeline
        dtype = self._dtype if self._dtype in dtypes else "float32"
        return self._load_pipeline(dtype, "none", Execution())

    def _refusal(self, spec: RenderSpec) -> RenderError | None:
        """Why a picture's own negative prompt cannot be followed, or a cache not draw it so; None
        if they can.
        """
        if spec.manners and self._is_sketch(spec):
            return RenderError(
                f"{self.model_id} searches {spec.prompt!r} with {self.cache!r}, by which nothing "
                f"but plain prompts is drawn: leave cache and search_dtype out"
            )
        if spec.negative_prompt == self._template.negative_prompt:
            return None
        sentence = self._family.refusal(spec.guidance_scale, spec.negative_prompt)
        if sentence:
            return RenderError(f"{self.model_id}: {sentence}")
        try:
            for prompt in _prompts(spec.stages):
                self._refuse_too_long(spec.negative_prompt, beside=prompt)
        except RenderError as error:
            return error
        return None

    def _draw_batch(self, rows: list[RenderSpec | None]) -> dict[str, Image | RenderError]:
        """Draw one batch; gives by its spec's key what came of each row that is none of filler."""
        places = [place for place, spec in enumerate(rows) if spec is not None]
        specs = [spec for spec in rows if spec is not None]
        padded = [spec or specs[-1] for spec in rows]
        try:
            output = self._output(padded, places)
        except RenderError as error:
            return {spec.key: error for spec in specs}
        flagged = getattr(output, "nsfw_content_detected", None) or [False] * len(padded)
        images = _images(output)
        return {
            padded[place].key: _picture(padded[place], images[place], flagged[place])
            for place in places
        }

    def _output(self, rows: Sequence[RenderSpec], places: Sequence[int]) -> Any:
        """What the pipeline makes of one whole batch.

        Args:
            rows: filler included.
            places: of those that are none.

        Raises:
            RenderError: the pipeline cannot draw stages, or not in such a manner.
        """
        if StageManner.EXCITED in rows[0].manners:
            return self._exciting.draw(rows, places)
        steps = self._template.num_inference_steps
        negatives = tuple(spec.negative_prompt for spec in rows)
        sums = sums_of([stage_starts(spec.stages, steps) for spec in rows], negatives)
        if self._refiner and (begins := _handed_over(rows[0])):
            (refined,) = sums.pop(begins)
            return self._refined(sums, refined.wording, begins, rows, places)
        return self._drawn(sums, rows, places)

    def _drawn(
        self,
        sums: Mapping[int, tuple[Term, ...]],
        rows: Sequence[RenderSpec],
        places: Sequence[int],
        more: Mapping[str, Any] = MappingProxyType({}),
    ) -> Any:
        """By the model's own pipeline; ``more`` are arguments of its call."""
        steps = self._template.num_inference_steps
        # the pipeline is asked for the last prompts; what rules before them is told in their place
        last = sums[max(sums)][0].wording
        if len(sums) == 1 and len(sums[0]) == 1:
            seeds = [spec.seed for spec in rows]
            if self._is_cached(rows[0]):
                output, clock = self._run_cached(sums, last, rows, more)
            else:
                output, clock = self._running.run(last, seeds, steps, more=more)
            self._count_calls(clock.calls or clock.strides, rows, places)
        else:
            output, clock = self._run_told(sums, last, rows, places, more)
            self._count(Work(alone=clock.calls * len(places)))
        return output

    def _refined(
        self,
        sums: Mapping[int, tuple[Term, ...]],
        asked: Wording,
        begins: int,
        rows: Sequence[RenderSpec],
        places: Sequence[int],
    ) -> Any:
        """By the pipeline up to a step, and from there on by the refiner."""
        import torch

        assert self._refiner is not None
        steps = self._template.num_inference_steps
        share = handover(self._pipeline.scheduler, steps, begins)
        seeds = [spec.seed for spec in rows]
        generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        more = {"denoising_end": share, "output_type": "latent", "generator": generators}
        begun = self._drawn(sums, rows, places, more)
        output, clock = self._refiner.draw(
            begun.images,
            asked,
            steps=steps,
            denoising_start=share,
            guidance_scale=self._template.guidance_scale,
            seeds=seeds,
            generators=generators,
        )
        self._count_calls(clock.calls, rows, places)
        return output

    @cached_property
    def _exciting(self) -> Exciting:
        from lcmis.render.exciting import Exciting

        return Exciting(self._pipeline, self._count)

    def _run_told(
        self,
        sums: Mapping[int, tuple[Term, ...]],
        last: Wording,
        rows: Sequence[RenderSpec],
        places: Sequence[int],
        more: Mapping[str, Any],
    ) -> tuple[Any, Clock]:
        """A batch whose denoiser is told otherwise than its pipeline was asked."""
        steps = self._template.num_inference_steps
        if not self._family.own.mixes and not self._unstaged:
            told = [term.wording for terms in sums.values() for term in terms]
            self._unstaged = self._proofs.stages([*told, last])
        if self._unstaged:
            raise self._stages_refused()
        if max(map(len, sums.values())) > 1:
            self._unadded = self._proofs.adding(last, self._template.guidance_scale)
            if self._unadded:
                raise self._manner_refused(StageManner.TOGETHER, self._unadded)
        together = Together(self._running, sums, last, steps, places, self._count)
        if self._is_cached(rows[0]):
            output, clock = self._run_cached(sums, last, rows, more, together.told)
            self._count(Work(run=clock.calls * len(rows), useful=clock.calls * len(places)))
            return output, clock
        return self._running.run(
            last,
            [spec.seed for spec in rows],
            steps,
            more=more,
            told=together.told,
            beside=lambda clock: together.answering(
                clock,
                sharing(
                    self._running.denoiser,
                    self.trunks,
                    lambda: [beginning(spec, clock.step, clock.calls) for spec in rows],
                    places,
                    self._count,
                ),
            ),
        )

    def _run_cached(
        self,
        sums: Mapping[int, tuple[Term, ...]],
        asked: Wording,
        rows: Sequence[RenderSpec],
        more: Mapping[str, Any],
        told: Callable[[Clock, CallArguments], CallArguments | None] = lambda *_: None,
    ) -> tuple[Any, Clock]:
        """A batch by the cache, which forgets one prompt where the next begins to rule."""

        def hear(clock: Clock, heard: CallArguments) -> CallArguments | None:
            tell(clock)
            return told(clock, heard)

        def stepped(clock: Clock, _: Any) -> None:
            if any(clock.step < start <= clock.next_step for start in sums):
                self._caching.forget()

        steps = self._template.num_inference_steps
        with self._caching.drawing() as tell:
            seeds = [spec.seed for spec in rows]
            return self._running.run(asked, seeds, steps, told=hear, stepped=stepped, more=more)

    def _stages_refused(self) -> RenderError:
        return RenderError(
            f"{self.model_id} is a {self._folder.class_name}, whose prompt cannot be switched "
            f"between steps ({self._unstaged}): ask for one stage"
        )

    def _manner_refused(self, manner: StageManner, reason: str) -> RenderError:
        return RenderError(f"{self.model_id} cannot {ASKED_FOR[manner]} ({reason})")

    def _count_calls(self, calls: int, rows: Sequence[Any], places: Sequence[int]) -> None:
        """Of the denoiser with a whole batch, nothing of which was known."""
        useful = calls * len(places)
        self._count(Work(alone=useful, run=calls * len(rows), useful=useful))

    def _count(self, work: Work) -> None:
        self.work += work

    @cached_property
    def _running(self) -> Running:
        height, width = self._size
        sizes = getattr(self._pipeline, "resolutions", None)
        if sizes and (width, height) not in sizes:
            shown = ", ".join(f"{wide}x{high}" for wide, high in sizes)
            raise ConfigError(f"{self.model_id} draws {shown} only: set height and width so")
        scale = self._template.guidance_scale
        return Running(self._pipeline, self._family, scale, self._size, self._halt)

    @property
    def _proofs(self) -> Proofs:
        from lcmis.render.proofs import Proofs

        if self.profile not in self._proofs_by_profile:
            proved = Proved(self.model_id, self.profile)
            self._proofs_by_profile[self.profile] = Proofs(self._running, self._template, proved)
        return self._proofs_by_profile[self.profile]

    def _refuse_too_long(self, prompt: str, beside: str = "") -> None:
        if len(prompt) > LONGEST_PROMPT:
            raise RenderError(
                f"the prompt {prompt[:60]!r}… has {len(prompt):,} letters: no model reads so many"
            )
        for tokenizer, limit in self._family.token_limits().items():
            count, reads = self._token_count(prompt, tokenizer)
            if count > min(limit, reads):
                raise RenderError(
                    f"the prompt {prompt[:60]!r}… has {count} tokens and {self.model_id} reads "
                    f"{min(limit, reads)}, start and end included: the rest would be cut off"
                )
        if not self._family.token_limits():
            cut = self._lengths.cut(prompt, beside)
            if cut:
                kind = "negative prompt" if beside else "prompt"
                raise RenderError(f"the {kind} {prompt[:60]!r}… {cut}")

    @cached_property
    def _lengths(self) -> Lengths:
        from lcmis.render.lengths import Lengths

        of = self._template
        arguments = self._family.arguments(
            of.guidance_scale, of.num_inference_steps, of.height, of.width
        )

        def prepare(name: str, tokenizer: Any) -> None:
            add_tokens(tokenizer, name, self._form.words)

        return Lengths(self._folder, arguments, prepare)

    def _count_tokens(self, prompt: str, tokenizer: str) -> tuple[int, int]:
        """How many tokens the prompt has, special ones included, and the tokenizer's own limit."""
        loaded = self._tokenizers[tokenizer]
        prompt = spelled_out(prompt, self._form.words)
        return len(
            loaded(prompt, truncation=False, verbose=False).input_ids
        ), loaded.model_max_length

    @cached_property
    def _tokenizers(self) -> dict[str, Any]:
        import transformers

        loaded = {
            name: getattr(transformers, self._folder.components()[name][1]).from_pretrained(
                self._folder.path / name, local_files_only=True, trust_remote_code=False
            )
            for name in self._family.token_limits()
        }
        # a processor of pictures and words has one for the words
        tokenizers = {name: getattr(one, "tokenizer", one) for name, one in loaded.items()}
        for name, tokenizer in tokenizers.items():
            add_tokens(tokenizer, name, self._form.words)
        return tokenizers

    @cached_property
    def _pipeline(self) -> Any:
        if not self._search_dtype:
            return self._load_pipeline(self._dtype, self._offload, self._execution)
        pipeline = with_same_weights(self._bare)
        self._execution.lay(pipeline, self.model_id, self._size)
        return pipeline

    @cached_property
    def _bare(self) -> Any:
        """As it was loaded: what is compiled has no twin."""
        return self._load_pipeline(self._dtype, self._offload, Execution())

    @property
    def _size(self) -> tuple[int, int]:
        """Height and width."""
        return self._template.height, self._template.width

    def _load_pipeline(self, dtype: str, offload: str, execution: Execution) -> Any:
        from lcmis.render.loading import load_pipeline

        return load_pipeline(
            self._form,
            device=self._device,
            dtype=dtype,
            offload=offload,
            scheduler=self._template.scheduler,
            execution=execution,
            size=self._size,
        )


def _all_said(
    settings: ModelSettings, defaults: Defaults, folder: PipelineFolder
) -> tuple[int, float, int, int]:
    """Steps, guidance, height and width: the user's own, or the usual ones.

    Raises:
        ConfigError: nobody has said one of them.
    """
    names = ("num_inference_steps", "guidance_scale", "height", "width")
    said = {name: _first(getattr(settings, name), getattr(defaults, name)) for name in names}
    missing = [name for name in names if said[name] is None]
    if missing:
        raise ConfigError(
            f"{folder.name} is a {folder.class_name}, and nothing says how those are usually run: "
            f"set {', '.join(missing)}"
        )
    return tuple(said.values())


def _first(chosen: Any, default: Any) -> Any:
    return default if chosen is None else chosen


def _refuse_size(name: str, height: int, width: int, multiple: int) -> None:
    if height % multiple or width % multiple or min(height, width) < 1:
        raise ConfigError(
            f"{name} draws sizes that are multiples of {multiple}, not {width}x{height}: set "
            f"height and width so"
        )
    if max(height, width) > LONGEST_SIDE:
        raise ConfigError(
            f"{name} is asked for {width}x{height}, and pictures are kept as WebP, which has "
            f"{LONGEST_SIDE} pixels a side at most: set a smaller height and width"
        )


def _chosen_threads(said: int | None, name: str, device: str) -> int:
    if device != "cpu":
        if said is not None:
            raise ConfigError(
                f"{name}: threads = {said} acts on a CPU only, and this runs on {device}: leave it "
                f"out"
            )
        return 0
    if said is not None and said < 1:
        raise ConfigError(f"threads = {said}: write 1 or more")
    there = os.cpu_count() or 1
    if said is not None and said > max(there, MOST_THREADS):
        raise ConfigError(
            f"threads = {said}, and this machine has {there} cores: write {there} or less"
        )
    return num_cores() if said is None else said


def _default_batch_size(family: PipelineKind, height: int, width: int, device: str) -> int:
    """As many pictures as fill about one megapixel, four on an accelerator; at most 16, or 4 where
    all of a batch are of one prompt, since a pair's pictures are looked at four by four.
    """
    if family.own.alone:
        return 1
    pixels = 2**20 if device == "cpu" else 2**22
    return max(1, min(16 if family.own.mixes else 4, pixels // (height * width)))


def _prompts(stages: Sequence[Stage]) -> list[str]:
    return [text for one in stages for text in (one.prompt, *(p.prompt for p in one.beside))]


def _handed_over(spec: RenderSpec) -> int | None:
    """The step from which a refiner draws."""
    starts = stage_starts(spec.stages, spec.num_inference_steps)
    return next((start for start, stage in starts.items() if stage.refiner), None)


def _images(output: Any) -> np.ndarray:
    """The pictures of a pipeline's output, under whatever name: (n, height, width, 3) in [0, 1]."""
    import numpy as np

    names = ("images", "image", "frames")
    images = next(getattr(output, name) for name in names if hasattr(output, name))
    pixels: np.ndarray = np.asarray(images)
    return pixels / 255 if pixels.dtype == np.uint8 else pixels


def _picture(spec: RenderSpec, pixels: np.ndarray, is_flagged: bool) -> Image | RenderError:
    import numpy as np
    from PIL import Image

    if is_flagged:
        return Refusal(f"the safety filter of {spec.model} withheld {spec.prompt!r}")
    if not np.isfinite(pixels).all():
        return RenderError(
            f"{spec.model} drew {spec.prompt!r} (seed {spec.seed}) with pixels that are not "
            f"numbers: its weights are damaged, or its dtype is too narrow (try float32)"
        )
    height, width = pixels.shape[:2]
    if (height, width) != (spec.height, spec.width):
        raise ConfigError(
            f"{spec.model} was asked for {spec.width}x{spec.height} and drew {width}x{height}: set "
            f"height and width to sizes that it draws, such as these"
        )
    picture = Image.fromarray((pixels * 255).round().astype(np.uint8))
    if picture.mode == "RGB":
        return picture
    page = Image.new("RGBA", picture.size, "white")  # what can be seen through lies on white paper
    page.alpha_composite(picture)
    return page.convert("RGB")
