"""Stable Diffusion 3, FLUX and kin: a transformer over text and picture together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lcmis.render.conditioning import Conditioning, Defaults, Encoding, guided_stack, square


class StableDiffusion3(Conditioning):
    """Stable Diffusion 3: two CLIP encoders and a T5, guidance by a doubled batch."""

    denoiser = "transformer"
    flow = True
    max_sequence_length = 256

    def defaults(self) -> Defaults:
        """As the pipeline's own: 28 steps, guidance 7."""
        factor = self.folder.vae_scale_factor()
        config = self.folder.config("transformer")
        height, width = square(config["sample_size"], factor)
        return Defaults(28, 7.0, height, width, factor * config["patch_size"])

    def token_limits(self) -> Mapping[str, int]:
        """What T5 reads counts: the CLIP encoders see no more than their 77 by design.

        A folder without T5 is held to what CLIP reads.
        """
        if self.folder.has("text_encoder_3"):
            return {"tokenizer_3": self.max_sequence_length}
        return {
            "tokenizer": self.folder.config("text_encoder")["max_position_embeddings"],
            "tokenizer_2": self.folder.config("text_encoder_2")["max_position_embeddings"],
        }

    def encode(self, pipeline: Any, prompt: str, negative_prompt: str, guided: bool) -> Encoding:
        """Three encoders, padded to one length."""
        embeds, negative, pooled, negative_pooled = pipeline.encode_prompt(
            prompt,
            None,
            None,
            do_classifier_free_guidance=guided,
            negative_prompt=negative_prompt or None,
            max_sequence_length=self.max_sequence_length,
        )
        if not guided:
            negative = negative_pooled = None
        return Encoding(embeds, negative, pooled, negative_pooled)

    def denoiser_arguments(self, rows: Sequence[Encoding]) -> dict[str, Any]:
        """The text and its summary."""
        return {
            "encoder_hidden_states": guided_stack(
                [row.negative_embeds for row in rows], [row.embeds for row in rows]
            ),
            "pooled_projections": guided_stack(
                [row.negative_pooled for row in rows], [row.pooled for row in rows]
            ),
        }


class Flux(Conditioning):
    """FLUX.1: T5 for the text, CLIP for its summary; guidance is an input, not a second run."""

    denoiser = "transformer"
    flow = True
    timestep_unit = 1000.0

    @property
    def is_guided(self) -> bool:
        """The dev models read a guidance scale; the schnell models were distilled without one."""
        return bool(self.folder.config("transformer")["guidance_embeds"])

    @property
    def max_sequence_length(self) -> int:
        """Schnell was trained on half of what dev reads."""
        return 512 if self.is_guided else 256

    def defaults(self) -> Defaults:
        """Dev: 28 steps, guidance 3.5; schnell: 4 steps, none. 128 latent pixels a side."""
        factor = self.folder.vae_scale_factor()
        height, width = square(128, factor)
        steps, guidance = (28, 3.5) if self.is_guided else (4, 0.0)
        return Defaults(steps, guidance, height, width, 2 * factor)

    def token_limits(self) -> Mapping[str, int]:
        """What T5 reads counts; CLIP only gives the summary."""
        return {"tokenizer_2": self.max_sequence_length}

    def refusal(self, guidance_scale: float, negative_prompt: str) -> str:
        """There is nothing to guide away from, and in schnell nothing to guide by."""
        if negative_prompt:
            return "FLUX has no negative prompt: leave it out"
        if guidance_scale and not self.is_guided:
            return (
                f"this FLUX model was distilled without guidance, so guidance_scale = "
                f"{guidance_scale:g} would change nothing: set it to 0 or leave it out"
            )
        return ""

    def is_doubled(self, guidance_scale: float) -> bool:
        """Never."""
        return False

    def encode(self, pipeline: Any, prompt: str, negative_prompt: str, guided: bool) -> Encoding:
        """T5's text and CLIP's summary, padded to one length."""
        embeds, pooled, _ = pipeline.encode_prompt(
            prompt, max_sequence_length=self.max_sequence_length
        )
        return Encoding(embeds, pooled=pooled)

    def denoiser_arguments(self, rows: Sequence[Encoding]) -> dict[str, Any]:
        """The text and its summary; text ids are zeros of one length for every prompt."""
        return {
            "encoder_hidden_states": guided_stack([], [row.embeds for row in rows]),
            "pooled_projections": guided_stack([], [row.pooled for row in rows]),
        }
