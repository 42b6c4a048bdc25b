"""Pairs of a time and a noise that are drawn once, so that all texts of a search face the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lcmis.errors import RenderError
from lcmis.plugins.protocols import Denoiser


@dataclass(frozen=True, slots=True)
class Bank:
    """Losses of texts for one picture under a fixed bank of noised latents.

    The bank is in pages, and a page is a seed: as many pairs as are taken for one step. Texts are
    rows of one batch, of ``rows`` at most, which bounds the memory that gradients take.
    """

    denoiser: Denoiser
    latents: torch.Tensor
    """Of the picture, (1, channels, height, width)."""
    seed: int = 0
    samples: int = 4
    """Pairs on a page."""
    pages: int = 16
    times: tuple[float, float] = (0.0, 1.0)
    """From where to where on the schedule, 0 being clean and 1 noise."""
    rows: int = 8

    def losses(self, contextual: torch.Tensor, page: int = 0) -> torch.Tensor:
        """Of contextual embeddings (n, length, dim), as (n,), with gradient; pages are counted on
        from the last to the first.
        """
        found = []
        for texts in contextual.split(self.rows):
            dice = torch.Generator().manual_seed(self._seed_of(page))
            loss = self.denoiser.loss(
                self.latents, texts, dice, samples=self.samples, times=self.times
            )
            found.append(loss.reshape(-1))
        return torch.cat(found)

    def slopes(self, vectors: torch.Tensor, page: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
        """Losses (n,) of word vectors (n, length, dim), and their gradients of the same shape."""
        losses, gradients = [], []
        for some in vectors.split(self.rows):
            near = some.detach().requires_grad_()
            found = self.losses(self.denoiser.read_embeddings(near, padded=True), page)
            gradients += torch.autograd.grad(found.sum(), near)
            losses.append(found.detach())
        return torch.cat(losses), torch.cat(gradients)

    @torch.no_grad()
    def fault(self, text: str, pages: Sequence[int] = (0,)) -> float:
        """Mean loss of a text as it is read; infinite if it is longer than the denoiser reads."""
        try:
            contextual = self.denoiser.read(text, padded=True)
        except RenderError:
            return math.inf
        return float(torch.stack([self.losses(contextual, page) for page in pages]).mean())

    def _seed_of(self, page: int) -> int:
        return (self.seed + page % self.pages) % 2**64
