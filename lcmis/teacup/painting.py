"""Many staged pictures of the miniature world at once, as tensors: for trainings and for the truth.

The same mathematics as :class:`lcmis.render.diffusion.DiffusersModel`, which a test holds it to,
in batches as wide as a GPU likes and with different prompts in one batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor

from lcmis.machine.paths import shipped
from lcmis.teacup.diffusion import load_pipeline, token_ids
from lcmis.teacup.models import GUIDANCE, MODELS
from lcmis.teacup.oracle import Oracle, OracleReading
from lcmis.types import Candidate, stage_starts

ADAPTER = "adapter.safetensors"
"""What the weights laid over a model are called in their folder."""
LATENT = (8, 16, 16)


@dataclass(frozen=True, slots=True)
class Order:
    """One picture that is wanted."""

    candidate: Candidate
    seed: int


class Painter:
    """Paints orders with a pipeline of the miniature world.

    Args:
        pipeline: on the device that paints, in one number format.
        num_inference_steps: of every picture.
        guidance_scale: of every picture, above 1.
        batch_size: pictures at once.
    """

    def __init__(
        self,
        pipeline: StableDiffusionPipeline,
        num_inference_steps: int,
        guidance_scale: float = GUIDANCE,
        batch_size: int = 32,
    ) -> None:
        self._pipeline = pipeline
        self.num_steps = num_inference_steps
        self._guidance = guidance_scale
        self._batch_size = batch_size
        self._device = pipeline.unet.device

    @property
    def dtype(self) -> str:
        """In which it computes: ``"float32"`` or another."""
        return str(self._pipeline.unet.dtype).removeprefix("torch.")

    @torch.inference_mode()
    def paint(self, orders: Sequence[Order]) -> Iterator[Tensor]:
        """Pictures as (batch, 3, 128, 128) uint8 on the CPU, in the order they were asked for."""
        for start in range(0, len(orders), self._batch_size):
            yield self._batch(orders[start : start + self._batch_size])

    def read(self, orders: Sequence[Order], oracle: Oracle) -> list[OracleReading]:
        """What the oracle sees in each picture."""
        readings: list[OracleReading] = []
        for pixels in self.paint(orders):
            readings += oracle.read(pixels.float().div(127.5).sub(1))
        return readings

    def _batch(self, orders: Sequence[Order]) -> Tensor:
        pipeline, device = self._pipeline, self._device
        texts = sorted(
            {text for one in orders for text in _texts(one.candidate)},
        )
        words = pipeline.text_encoder(
            token_ids(pipeline.tokenizer, texts).to(device)
        ).last_hidden_state
        place = {text: number for number, text in enumerate(texts)}
        negative = torch.tensor([place[one.candidate.negative_prompt] for one in orders])
        ruling = torch.tensor(
            [[place[text] for text in _by_step(one.candidate, self.num_steps)] for one in orders]
        )
        scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config)
        scheduler.set_timesteps(self.num_steps, device=device)
        latents = torch.cat(
            [
                torch.randn(1, *LATENT, generator=torch.Generator().manual_seed(s))
                for s in _seeds(orders)
            ]
        ).to(device, pipeline.unet.dtype)
        latents = latents * scheduler.init_noise_sigma
        for step, timestep in enumerate(scheduler.timesteps):
            told = torch.cat([words[negative], words[ruling[:, step]]])
            both = scheduler.scale_model_input(torch.cat([latents, latents]), timestep)
            without, conditioned = pipeline.unet(both, timestep, told).sample.chunk(2)
            predicted = without + self._guidance * (conditioned - without)
            latents = scheduler.step(predicted, timestep, latents).prev_sample
        decoded = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor).sample
        return decoded.div(2).add(0.5).clamp(0, 1).mul(255).round().to(torch.uint8).cpu()


def open_painter(model: str, device: str, dtype: torch.dtype = torch.float32) -> Painter:
    """A painter of one of :data:`MODELS`."""
    pipeline = open_pipeline(model, device)
    for part in (pipeline.text_encoder, pipeline.unet, pipeline.vae):
        part.to(dtype)
    return Painter(pipeline, MODELS[model].num_steps)


def open_pipeline(model: str, device: str) -> StableDiffusionPipeline:
    """One of :data:`MODELS`, whole and in single precision."""
    made, home = MODELS[model], shipped("data") / "teacup"
    pipeline = load_pipeline(home / made.folder, device)
    if made.adapter:
        add_adapter(pipeline, home / made.adapter)
    pipeline.unet.to(memory_format=torch.channels_last)
    return pipeline


def add_adapter(pipeline: StableDiffusionPipeline, folder: Path) -> StableDiffusionPipeline:
    """Add an adapter to the weights that it lies over: as many sums a picture as without one."""
    pipeline.load_lora_weights(folder, weight_name=ADAPTER)
    pipeline.fuse_lora()
    pipeline.unload_lora_weights()
    return pipeline


def _seeds(orders: Sequence[Order]) -> list[int]:
    return [one.seed for one in orders]


def _texts(candidate: Candidate) -> list[str]:
    return [candidate.negative_prompt, *(stage.prompt for stage in candidate.stages)]


def _by_step(candidate: Candidate, num_steps: int) -> list[str]:
    """The prompt that rules each step."""
    starts = stage_starts(candidate.stages, num_steps)
    begun = [max(start for start in starts if start <= step) for step in range(num_steps)]
    return [starts[start].prompt for start in begun]
