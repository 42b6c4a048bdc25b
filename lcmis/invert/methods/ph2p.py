"""PH2P: words by L-BFGS through the image model, put on the vocabulary between descents."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from lcmis.errors import InversionError, OutOfBudget
from lcmis.invert.methods.bank import Bank
from lcmis.invert.methods.fit import Fit
from lcmis.invert.methods.lbfgs import descend
from lcmis.plugins.protocols import Denoiser, Need, Tools

if TYPE_CHECKING:
    from PIL.Image import Image

READING_PAGES = range(4)
"""Of the bank, by which texts are compared."""


@dataclass(frozen=True, slots=True)
class Ph2p:
    """Descends from words by L-BFGS at late times, and goes on from the nearest words.

    Source: Mahajan et al., "Prompting Hard or Hardly Prompting", CVPR 2024 (arXiv 2312.12416), with
    the settings of their code, scaled down: theirs are 15 words, 500 steps of up to 20 iterations,
    three noised latents accumulated, times 500 to 900 of 1000, rate 0.8. Deviations: words to start
    from are drawn by chance instead of written, and several starts go side by side; what noise a
    step faces comes from a bank that all starts and steps share, and each step begins a new memory
    of the curvature, since its loss is another. Theirs compares paintings of all prompts; here
    those of the lowest losses are painted, and compared by the encoder if there is one.

    Args:
        num_words: tokens of a prompt.
        restarts: starts, rows of one batch.
        steps: descents, with a projection after each.
        iterations: of L-BFGS in each, at most.
        rate: length of its steps.
        samples: noised latents in each step.
        times: from where to where on the schedule, 0 being clean and 1 noise.
        most: prompts that are painted.
        paintings: pictures of each.
    """

    num_words: int = 8
    restarts: int = 4
    steps: int = 20
    iterations: int = 5
    rate: float = 0.8
    samples: int = 3
    times: tuple[float, float] = (0.5, 0.9)
    most: int = 4
    paintings: int = 2

    needs = frozenset({Need.DENOISER})

    @property
    def inverter_id(self) -> str:
        """The algorithm."""
        return "ph2p"

    def invert(self, reference: Image, tools: Tools) -> Iterator[str]:
        """Prompts as they fall behind others, then the best ones, the very best last.

        Raises:
            InversionError: the image model gives no gradients.
            OutOfBudget: as it paints.
        """
        if tools.denoiser is None:
            why = tools.no_gradients or (
                "it offers none: take a Stable Diffusion 1, 2, XL or 3 or a FLUX.1 model"
            )
            raise InversionError(f"ph2p follows the gradient of the image model, but {why}")
        faults: dict[str, float] = {}
        for text, fault in self._texts(tools.denoiser, reference, tools.seed):
            faults[text] = fault
            if len(faults) > self.most:
                worst = max(faults, key=faults.__getitem__)
                del faults[worst]
                yield worst
        ranked = sorted(faults, key=faults.__getitem__, reverse=True)
        if tools.encoder is None:
            yield from ranked
            return
        fit = Fit(tools.encoder, reference)
        liked: dict[str, float] = {}
        spent: OutOfBudget | None = None
        try:
            for text in reversed(ranked):
                liked[text] = fit.painted(text, tools.paint, self.paintings)
        except OutOfBudget as error:
            spent = error
        yield from (text for text in ranked if text not in liked)
        yield from sorted(liked, key=liked.__getitem__)
        if spent is not None:
            raise spent

    def _texts(
        self, denoiser: Denoiser, reference: Image, seed: int
    ) -> Iterator[tuple[str, float]]:
        """Texts after each projection with their loss, each once."""
        bank = Bank(
            denoiser, denoiser.latents(reference), seed, samples=self.samples, times=self.times
        )
        dice = torch.Generator().manual_seed(seed)
        table = denoiser.vocabulary()
        rows = torch.randint(len(table), (self.restarts, self.num_words), generator=dice)
        read: set[str] = set()
        for step in range(self.steps):
            at = descended(bank, table[rows.to(table.device)], self.rate, self.iterations, step)
            rows = nearest(at, table)
            for one in rows.tolist():
                text = denoiser.text_of(one)
                if text and text not in read:
                    read.add(text)
                    fault = bank.fault(text, READING_PAGES)
                    if fault < math.inf:
                        yield text, fault


def descended(
    bank: Bank, vectors: torch.Tensor, rate: float, iterations: int, page: int
) -> torch.Tensor:
    """Word vectors (n, length, dim) after so many iterations of L-BFGS on a page of the bank."""

    def slopes(flat: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        losses, gradients = bank.slopes(flat.view_as(vectors), page)
        return losses, gradients.flatten(1)

    found = descend(slopes, vectors.flatten(1), rate=rate, iterations=iterations)
    return found.view_as(vectors)


def nearest(vectors: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Rows (n, length) of the words at the least distance from vectors (n, length, dim)."""
    return torch.cdist(vectors.flatten(0, 1), table).argmin(dim=1).view(vectors.shape[:2])
