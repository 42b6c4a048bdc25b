"""Any text-to-image pipeline of diffusers: drawn in fixed batches, from seeds, in stages."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from lcmis.errors import ConfigError, InversionError, Refusal, RenderError
from lcmis.machine.device import choose_device, choose_dtype, choose_offload
from lcmis.plugins.protocols import Denoiser, Work
from lcmis.plugins.settings import ModelSettings
from lcmis.render.conditioning import Conditioning, Defaults, Encoding
from lcmis.render.forms.form import Form
from lcmis.render.forms.schedulers import refuse_unfit, seed_noise
from lcmis.render.forms.words import add_tokens, spelled_out
from lcmis.render.pipeline_folder import PipelineFolder, scheduler_class
from lcmis.render.stages import Clock, switching
from lcmis.render.transformer import Flux, StableDiffusion3
from lcmis.render.trunks import Trunks, beginning, sharing
from lcmis.render.unet import StableDiffusion, StableDiffusionXL
from lcmis.render.unproved import Unproved
from lcmis.types import RenderSpec, Stage, stage_starts

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    from lcmis.machine.hub.fetching import Fetch

FAMILIES: Mapping[str, type[Conditioning]] = {
    "StableDiffusionPipeline": StableDiffusion,
    "StableDiffusionXLPipeline": StableDiffusionXL,
    "StableDiffusion3Pipeline": StableDiffusion3,
    "FluxPipeline": Flux,
}
"""Pipeline class, as a model's ``model_index.json`` names it, to how it is conditioned; all others
are :class:`lcmis.render.unproved.Unproved`."""

LONGEST_PROMPT = 100_000
"""Letters; what is longer is not even counted in tokens, which would take seconds."""
ENCODINGS_KEPT = 128
"""Prompts whose text encodings stay in memory; a FLUX encoding takes 4 MB."""


class DiffusersModel:
    """Draws with a diffusers pipeline, by hub name or folder.

    A picture is decided by its spec alone: its noise comes from a CPU generator made freshly from
    its seed, its prompt is encoded by itself, and every batch has the declared shape, the last one
    padded; so neighbours and place change no bit of it within one numerics profile.

    Stages: the prompt is switched between two steps, and only the prompt. A multistep scheduler
    (DPM-Solver++, PNDM, UniPC) goes on with the model outputs it has kept from before the switch,
    since forgetting them would cost it its order, and so change the picture beyond what the prompt
    does; a switch therefore takes one or two steps to act in full.

    Pictures of several stages that begin alike (one seed, one first prompt) share what the denoiser
    said until they part, also over calls; see :func:`lcmis.render.trunks.sharing`.

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
        self._family = _family(self._folder)

        self._device = choose_device(settings.device)
        self._dtype = choose_dtype(settings.dtype, self._device)
        self._offload = choose_offload(settings.offload, self._device)

        self.supports_stages = self._family.supports_stages
        defaults = self._family.defaults() or _all_said(settings, self._folder)
        height = _first(settings.height, defaults.height)
        width = _first(settings.width, defaults.width)
        most = self._family.largest_batch
        self.batch_size = _first(
            settings.batch_size, most or _default_batch_size(height, width, self._device)
        )
        if self.batch_size < 1:
            raise ConfigError(f"batch_size = {self.batch_size}: write 1 or more")
        if most is not None and self.batch_size > most:
            raise ConfigError(
                f"batch_size = {self.batch_size}, but pictures of a {self._folder.class_name} are "
                f"not known to leave one another alone: write {most}"
            )
        if height % defaults.multiple or width % defaults.multiple or min(height, width) < 1:
            raise ConfigError(
                f"{self.model_id} draws sizes that are multiples of {defaults.multiple}, not "
                f"{width}x{height}: set height and width so"
            )
        scheduler = self._folder.config("scheduler")["_class_name"]
        if settings.scheduler is not None:
            scheduler = scheduler_class(settings.scheduler, flow=self._family.flow)
        try:
            self._template = RenderSpec(
                model=self.model_id,
                stages=(Stage("any"),),
                seed=0,
                num_inference_steps=_first(
                    settings.num_inference_steps, defaults.num_inference_steps
                ),
                guidance_scale=_first(settings.guidance_scale, defaults.guidance_scale),
                scheduler=scheduler,
                height=height,
                width=width,
                profile="",
                negative_prompt=settings.negative_prompt,
                device=self._device.partition(":")[0],
                dtype=self._dtype,
                **self._form.recorded,
            )
        except ValueError as error:
            raise ConfigError(f"{self.model_id} cannot be run so: {error}") from error
        if settings.scheduler is not None:
            refuse_unfit(
                scheduler, self._folder.config("scheduler"), self._template.num_inference_steps
            )
        refusal = self._family.refusal(self._template.guidance_scale, settings.negative_prompt)
        if refusal:
            raise ConfigError(f"{self.model_id}: {refusal}")
        self.work = Work()
        self.trunks = Trunks()
        """What is known of pictures that were begun; a new one has forgotten all of them."""
        self._encoding = lru_cache(ENCODINGS_KEPT)(self._encode)
        self._token_count = lru_cache(4096)(self._count_tokens)

    def load(self) -> None:
        """Read the weights now, fetched where they must be.

        Raises:
            ConfigError: that cannot be.
        """
        _ = self._pipeline

    def fetches(self) -> tuple[Fetch, ...]:
        """How much of it comes from the hub, and how much of that is here."""
        return self._form.fetches()

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
        """Numerics profile, e.g. ``"cpu-float32-b16"``."""
        return f"{self._template.device}-{self._template.dtype}-b{self.batch_size}"

    def spec(self, stages: tuple[Stage, ...], seed: int) -> RenderSpec:
        """The full specification of one picture under this model's settings.

        Raises:
            RenderError: a prompt is empty or longer than the text encoder reads, or there are
                several and this pipeline cannot switch.
        """
        if len(stages) > 1 and not self.supports_stages:
            raise RenderError(
                f"{self.model_id} is a {self._folder.class_name}, whose prompt cannot be switched "
                f"between steps: ask for one stage"
            )
        for stage in stages:
            if not stage.prompt.strip():
                raise RenderError(f"{self.model_id} was given an empty prompt")
            self._refuse_too_long(stage.prompt)
        if self._template.negative_prompt:
            self._refuse_too_long(self._template.negative_prompt)
        return replace(self._template, stages=stages, seed=seed, profile=self.profile)

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
            if spec.profile != self.profile:
                raise ValueError(f"{spec} is of profile {spec.profile}, not {self.profile}")
        refused = {spec.key: error for spec in specs if (error := self._negative_refused(spec))}
        readable = [spec for spec in specs if spec.key not in refused]
        drawn: list[Image | RenderError] = []
        for start in range(0, len(readable), self.batch_size):
            drawn += self._draw_batch(list(readable[start : start + self.batch_size]))
        pictures = iter(drawn)
        return [refused.get(spec.key) or next(pictures) for spec in specs]

    def in_batches_of(self, batch_size: int) -> DiffusersModel:
        """The same model with another batch shape; it shares the weights, which are loaded now."""
        _ = self._pipeline  # so that both have the one
        other = copy.copy(self)
        other.batch_size = batch_size
        return other

    def denoiser(self) -> Denoiser:
        """Its parts with gradients, in float32; they are its own where it draws in float32.

        Raises:
            InversionError: it is none of the pipelines that gradients are known to go through.
        """
        if not self._family.is_differentiable:
            raise InversionError(
                f"gradients do not reach the prompt of {self.model_id}, a "
                f"{self._folder.class_name}: give a Stable Diffusion 1 or 2 model"
            )
        from lcmis.render.denoiser import UNetDenoiser

        size = (self._template.height, self._template.width)
        return UNetDenoiser(self.model_id, self._device, size, self._differentiable_pipeline)

    def _differentiable_pipeline(self) -> Any:
        if self._dtype == "float32" and self._offload == "none":
            return self._pipeline
        return self._load_pipeline(dtype="float32", offload="none")

    def _negative_refused(self, spec: RenderSpec) -> RenderError | None:
        """Why a picture's own negative prompt cannot be followed; None if it can."""
        if spec.negative_prompt == self._template.negative_prompt:
            return None
        sentence = self._family.refusal(spec.guidance_scale, spec.negative_prompt)
        if sentence:
            return RenderError(f"{self.model_id}: {sentence}")
        try:
            self._refuse_too_long(spec.negative_prompt)
        except RenderError as error:
            return error
        return None

    def _draw_batch(self, specs: list[RenderSpec]) -> list[Image | RenderError]:
        import torch

        padded = specs + [specs[-1]] * (self.batch_size - len(specs))
        pipeline = self._pipeline
        # a fresh scheduler: whatever one keeps between calls cannot reach the next picture
        pipeline.scheduler = pipeline.scheduler.from_config(pipeline.scheduler.config)
        seed_noise(pipeline.scheduler, [spec.seed for spec in padded])
        steps = self._template.num_inference_steps
        with torch.inference_mode():
            rows = [
                {
                    start: self._encoding(stage.prompt, spec.negative_prompt)
                    for start, stage in stage_starts(spec.stages, steps).items()
                }
                for spec in padded
            ]
            # the pipeline is told the last prompts; the hook sets whatever rules before them
            arguments = self._family.pipeline_arguments([_ruling(row, steps) for row in rows])
            arguments |= {
                "num_inference_steps": steps,
                "guidance_scale": self._template.guidance_scale,
                "height": self._template.height,
                "width": self._template.width,
                "generator": [torch.Generator("cpu").manual_seed(spec.seed) for spec in padded],
                "output_type": "np",
            }
            if all(len(row) == 1 for row in rows):
                output = pipeline(**arguments)
                calls = len(pipeline.scheduler.timesteps)
                self._count(Work(run=calls * len(padded), useful=calls * len(specs)))
            else:
                clock = Clock(pipeline.scheduler, self._family.timestep_unit, steps)
                denoiser = getattr(pipeline, self._family.denoiser)
                with (
                    switching(denoiser, self._arguments_at(rows, clock)),
                    sharing(
                        denoiser,
                        self.trunks,
                        lambda: [beginning(spec, clock.step, clock.calls) for spec in padded],
                        len(specs),
                        self._count,
                    ),
                ):
                    output = pipeline(**arguments)
                calls = clock.calls
        self._count(Work(alone=calls * len(specs)))
        flagged = getattr(output, "nsfw_content_detected", None) or [False] * len(padded)
        return [
            _picture(spec, pixels, is_flagged)
            for spec, pixels, is_flagged in zip(specs, output.images, flagged, strict=False)
        ]

    def _count(self, work: Work) -> None:
        self.work += work

    def _arguments_at(self, rows: Sequence[Mapping[int, Encoding]], clock: Clock) -> Any:
        """What the denoiser is to be told at a timestep, each row by its own schedule."""
        built: dict[tuple[int, ...], dict[str, Any]] = {}

        def arguments_at(timestep: float) -> dict[str, Any]:
            step = clock.tick(timestep)
            starts = tuple(max(start for start in row if start <= step) for row in rows)
            if starts not in built:
                ruling = [row[start] for row, start in zip(rows, starts, strict=True)]
                built[starts] = self._family.denoiser_arguments(ruling)
            return built[starts]

        return arguments_at

    def _encode(self, prompt: str, negative_prompt: str) -> Encoding:
        return self._family.encode(
            self._pipeline,
            prompt,
            negative_prompt,
            self._family.is_doubled(self._template.guidance_scale),
        )

    def _refuse_too_long(self, prompt: str) -> None:
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
        for name, tokenizer in loaded.items():
            add_tokens(tokenizer, name, self._form.words)
        return loaded

    @cached_property
    def _pipeline(self) -> Any:
        return self._load_pipeline(self._dtype, self._offload)

    def _load_pipeline(self, dtype: str, offload: str) -> Any:
        from lcmis.render.loading import load_pipeline

        return load_pipeline(
            self._form,
            device=self._device,
            dtype=dtype,
            offload=offload,
            scheduler=self._template.scheduler,
        )


def _family(folder: PipelineFolder) -> Conditioning:
    return FAMILIES.get(folder.class_name, Unproved)(folder)


def _all_said(settings: ModelSettings, folder: PipelineFolder) -> Defaults:
    """The user's own numbers, for a pipeline whose usual ones are not known.

    Raises:
        ConfigError: one of them is missing.
    """
    needed = ("num_inference_steps", "guidance_scale", "height", "width")
    missing = [name for name in needed if getattr(settings, name) is None]
    if missing:
        raise ConfigError(
            f"{folder.name} is a {folder.class_name}, and lcmis does not know how those are "
            f"usually run: set {', '.join(missing)}"
        )
    numbers = {name: getattr(settings, name) for name in needed}
    return Defaults(**numbers, multiple=1)


def _first(chosen: Any, default: Any) -> Any:
    return default if chosen is None else chosen


def _default_batch_size(height: int, width: int, device: str) -> int:
    """As many pictures as fill about one megapixel, four on an accelerator; at most 16."""
    pixels = 2**20 if device == "cpu" else 2**22
    return max(1, min(16, pixels // (height * width)))


def _ruling(row: Mapping[int, Encoding], step: int) -> Encoding:
    return row[max(start for start in row if start <= step)]


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
    return Image.fromarray((pixels * 255).round().astype(np.uint8))
