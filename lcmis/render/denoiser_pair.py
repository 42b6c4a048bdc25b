"""Stable Diffusion XL's parts, with gradients to what both of its text encoders are told."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch

from lcmis.machine.hub import weights_fingerprint
from lcmis.render.denoiser_unet import UNetDenoiser
from lcmis.text.vocabulary import Vocabulary, told


class TwoEncoderDenoiser(UNetDenoiser):
    """Gradients through a pipeline of Stable Diffusion XL, weights frozen.

    A word is its vector for the first encoder and that for the second, end to end. Contextual
    embeddings are what the U-Net attends to, of both encoders beside each other, and behind it in
    every place the summary that the U-Net is told besides: so one tensor carries all that depends
    on the words, and whoever moves it moves the summary too, which is read as the mean over places.

    Layers are recomputed as gradients come back, unless one asks for speed: memory is what SDXL
    has least of.

    Source: Podell et al., "SDXL", ICLR 2024, section 2.1 and 2.2 (two encoders, penultimate layers,
    pooled text, sizes as conditions).
    """

    usually_recomputes = True

    @cached_property
    def encodes_like(self) -> str:
        """Content hash of the weights of both text encoders."""
        return "+".join(weights_fingerprint(one.state_dict()) for one in self._encoders)

    def vocabulary(self) -> torch.Tensor:
        """Vectors of the tokens that words are made of, (tokens, dim of both encoders)."""
        rows = torch.tensor(self._words.ids, device=self.device)
        parts = [one.get_input_embeddings().weight.detach()[rows] for one in self._encoders]
        return torch.cat(parts, dim=1).float()

    def read_embeddings(self, embeddings: torch.Tensor, *, padded: bool = False) -> torch.Tensor:
        """Vectors (n, length, dim) in the places of words, as (n, length + 2, dim)."""
        words, count = self._words, embeddings.shape[1]
        places = words.places(count)
        if not padded:
            places = places[: words.start + count + 1]
        first, second = (one.get_input_embeddings() for one in self._encoders)
        width = first.embedding_dim
        with (
            told(first, embeddings[..., :width], words.start),
            told(second, embeddings[..., width:], words.start),
        ):
            return self._contextual(places, len(embeddings))

    @property
    def _encoders(self) -> tuple[Any, Any]:
        return self._pipeline.text_encoder, self._pipeline.text_encoder_2

    @cached_property
    def _padding(self) -> tuple[int, ...]:
        """The second tokenizer's text without words, which ends in padding of its own."""
        tokenizer = self._pipeline.tokenizer_2
        reads = self._reads
        return tuple(tokenizer("", padding="max_length", max_length=reads).input_ids)

    def _contextual(self, tokens: Sequence[int], count: int = 1) -> torch.Tensor:
        """(count, length, dims of both encoders and of the summary)."""
        text = _without_padding(self._words, tokens)
        second = [*tokens[:text], *self._padding[text : len(tokens)]]
        states = []
        for encoder, ids in zip(self._encoders, (tokens, second), strict=True):
            rows = torch.tensor([list(ids)] * count, device=self.device)
            states.append(encoder(rows, output_hidden_states=True))
        summary = states[1].text_embeds[:, None].expand(-1, len(tokens), -1)
        return torch.cat([*(one.hidden_states[-2] for one in states), summary], dim=-1)

    def _scaled(self, seen: torch.Tensor, config: Any) -> torch.Tensor:
        mean, deviation = config.latents_mean, config.latents_std
        if mean is None or deviation is None:  # a lone one is not heeded by the pipeline either
            return super()._scaled(seen, config)
        mean, deviation = (seen.new_tensor(of).view(1, -1, 1, 1) for of in (mean, deviation))
        scaled: torch.Tensor = (seen - mean) * config.scaling_factor / deviation
        return scaled

    def _predicted(
        self, noisy: torch.Tensor, steps: torch.Tensor, embeddings: torch.Tensor
    ) -> torch.Tensor:
        width = self._pipeline.text_encoder_2.config.projection_dim
        sizes = (*self._size, 0, 0, *self._size)  # as large as it is drawn, nothing cut off
        conditions = {
            "text_embeds": embeddings[..., -width:].mean(1),
            "time_ids": torch.tensor([sizes] * len(noisy), device=self.device, dtype=noisy.dtype),
        }
        predicted: torch.Tensor = self._network(
            noisy,
            steps,
            encoder_hidden_states=embeddings[..., :-width],
            added_cond_kwargs=conditions,
        ).sample
        return predicted


def _without_padding(words: Vocabulary, tokens: Sequence[int]) -> int:
    """Tokens up to the end of the text, that one counted."""
    end = words.empty[words.start]
    return tokens.index(end) + 1
