"""A refiner: a second model that draws the last stage, from where the first one stops.

Source: Podell et al., "SDXL: Improving Latent Diffusion Models for High-Resolution Image
Synthesis", ICLR 2024, section 2.5; by diffusers' own ``denoising_end`` and ``denoising_start``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lcmis.errors import ConfigError
from lcmis.plugins.settings import ModelSettings
from lcmis.render.calling import Wording, renew_schedulers
from lcmis.render.conditioning import Encodings
from lcmis.render.execution import Execution
from lcmis.render.forms.form import Form
from lcmis.render.forms.schedulers import seed_noise
from lcmis.render.stages import Clock, step_of, watching

if TYPE_CHECKING:
    import torch

BASE, REFINER = "StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline"


class Refiner:
    """The pipeline of a refiner, found by its configuration and loaded at its first picture.

    Args:
        name: a hub name, its revision behind ``@`` where it has one, or a folder.
        base: class of the pipeline that it takes over from.
        device: of the first model, as are all that follow.
        dtype: of its weights.
        offload: of its weights.

    Raises:
        ConfigError: it is no refiner, or nothing that it could take over from.
        UnknownNameError: no such name.
    """

    def __init__(self, name: str, base: str, device: str, dtype: str, offload: str) -> None:
        if base != BASE:
            raise ConfigError(
                f"refiner = {name!r} takes over from Stable Diffusion XL, and this is a {base}: "
                f"leave refiner out"
            )
        self._form = Form(ModelSettings(name, device=device, dtype=dtype), refines=True)
        self.model_id = self._form.model_id
        if self._form.folder.class_name != REFINER:
            raise ConfigError(
                f"refiner = {name!r} is a {self._form.folder.class_name}, which refines nothing: "
                f"name a {REFINER}, such as stabilityai/stable-diffusion-xl-refiner-1.0"
            )
        self._device, self._dtype, self._offload = device, dtype, offload

    def draw(
        self,
        latents: torch.Tensor,
        asked: Wording,
        *,
        steps: int,
        denoising_start: float,
        guidance_scale: float,
        seeds: Sequence[int],
        generators: Sequence[torch.Generator],
    ) -> tuple[Any, Clock]:
        """What it makes of latents that the first model has left, and how often it was asked.

        Args:
            latents: (pictures, channels, height, width), still noisy.
            asked: one row for each.
            steps: of the whole denoising.
            denoising_start: the share of it that is done, as :func:`handover` has it.
            guidance_scale: as of the first model.
            seeds: one a picture.
            generators: those of the first model, one a picture.
        """
        import torch

        pipeline = self._pipeline
        renew_schedulers(pipeline)
        seed_noise(pipeline.scheduler, seeds)
        clock = Clock(pipeline.scheduler, steps)
        negatives = list(asked.negative_prompts)
        with (
            torch.inference_mode(),
            self._encodings.remembered(),
            watching(pipeline, pipeline.unet, clock),
        ):
            output = pipeline(
                prompt=list(asked.prompts),
                negative_prompt=negatives if any(negatives) else None,
                image=latents,
                num_inference_steps=steps,
                denoising_start=denoising_start,
                guidance_scale=guidance_scale,
                generator=list(generators),
                output_type="np",
            )
        return output, clock

    @cached_property
    def _encodings(self) -> Encodings:
        """Each prompt by itself, as of the first model."""
        return Encodings(self._pipeline, None)

    @cached_property
    def _pipeline(self) -> Any:
        from lcmis.render.loading import load_pipeline

        folder = self._form.folder
        return load_pipeline(
            self._form,
            device=self._device,
            dtype=self._dtype,
            offload=self._offload,
            scheduler=folder.config("scheduler")["_class_name"],
            execution=Execution(),
            size=(0, 0),
        )


def handover(scheduler: Any, steps: int, first: int) -> float:
    """The share of the denoising to tell both pipelines, so that the second begins at this step.

    They read it as a timestep of the training, and the first draws all that are not below it.

    Args:
        scheduler: of the first pipeline.
        steps: of the whole denoising.
        first: step of the second pipeline, counted from 0, in [1, steps).
    """
    fresh = type(scheduler).from_config(scheduler.config)
    fresh.set_timesteps(steps)
    timesteps = [float(one) for one in fresh.timesteps]
    before = min(one for one in timesteps if step_of(one, timesteps, steps) < first)
    return 1 - math.floor(before) / float(fresh.config.num_train_timesteps)
