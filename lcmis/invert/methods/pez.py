"""PEZ: hard prompts by gradients taken where the nearest words are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import torch
from torch.nn.functional import normalize

from lcmis.errors import InversionError
from lcmis.invert.methods.bank import Bank
from lcmis.plugins.protocols import Denoiser, Encoder, Need, Tools

if TYPE_CHECKING:
    from PIL.Image import Image

READING_SAMPLES = 16
"""Noised latents by which the denoiser compares texts; they are the same for all."""


@dataclass(frozen=True, slots=True)
class Pez:
    """Moves vectors by the gradient at the nearest words, and reads those words.

    Prompts are compared as the text that they spell, read anew: its tokens may be others than
    those that the gradient saw.

    Source: Wen et al., NeurIPS 2023, algorithm 1, with the settings of their code. Ours: restarts
    side by side, an early stop, and the denoiser as a guide, under a bank of noise that all steps
    and starts share; with ``"both"`` a word is its two vectors end to end.

    Args:
        through: what the gradient comes from.
        num_words: tokens of a prompt.
        restarts: random starts.
        steps: at most.
        patience: steps without a better prompt that end the search.
        learning_rate: of AdamW.
        weight_decay: of AdamW.
    """

    through: Literal["encoder", "denoiser", "both"] = "encoder"
    num_words: int = 8
    restarts: int = 4
    steps: int = 1000
    patience: int = 200
    learning_rate: float = 0.1
    weight_decay: float = 0.1

    @property
    def inverter_id(self) -> str:
        """The algorithm, and its guide where that is not the usual one; through the denoiser also
        that a bank of noise is shared, since searches under noise drawn anew left other prompts.
        """
        return "pez" if self.through == "encoder" else f"pez-{self.through}-bank"

    @property
    def needs(self) -> frozenset[Need]:
        """Whatever it goes through."""
        through = {"encoder": Need.ENCODER, "denoiser": Need.DENOISER}
        return frozenset({need for name, need in through.items() if self.through in (name, "both")})

    def invert(self, reference: Image, tools: Tools) -> Iterator[str]:
        """Prompts, each better than the one before.

        Raises:
            InversionError: there is no guide, or it cannot be told vectors.
        """
        dice = torch.Generator().manual_seed(tools.seed)
        words = _Words(self._guides(reference, tools))
        start = torch.randint(words.count, (self.restarts, self.num_words), generator=dice)
        free = words.vectors(start).clone()
        optimizer = torch.optim.AdamW([free], lr=self.learning_rate, weight_decay=self.weight_decay)
        best, waited, read = math.inf, 0, set[str]()
        for _ in range(self.steps):
            rows = words.nearest(free)
            near = words.vectors(rows).requires_grad_()
            losses = words.losses(near)
            (free.grad,) = torch.autograd.grad(losses.sum(), near)
            optimizer.step()
            text = words.text_of(rows[losses.argmin()].tolist())
            waited += 1
            if text not in read:
                read.add(text)
                fault = words.fault(text)
                if fault < best:
                    best, waited = fault, 0
                    yield text
            if waited >= self.patience:
                return

    def _guides(self, reference: Image, tools: Tools) -> list[_Guide]:
        guides: list[_Guide] = []
        if self.through != "denoiser":
            if tools.encoder is None:
                raise InversionError(
                    "pez follows the gradient of an encoder and there is none: "
                    "let an open_clip model guide"
                )
            guides.append(_ByEncoder(reference, tools.encoder))
        if self.through != "encoder":
            if tools.denoiser is None:
                why = tools.no_gradients or (
                    "it offers none: take a Stable Diffusion 1, 2, XL or 3 or a FLUX.1 model"
                )
                raise InversionError(
                    f"pez was to follow the gradient of the image model, but {why}, or pez through "
                    f"an encoder"
                )
            guides.append(_ByDenoiser(reference, tools.denoiser, tools.seed))
        return guides


def through_denoiser() -> Pez:
    """PEZ through the image model: words by which it expects the picture, in fewer steps."""
    return Pez("denoiser", restarts=2, steps=60, patience=40)


class _Guide(Protocol):
    """Says how badly words fit a picture."""

    @property
    def reader(self) -> Encoder | Denoiser: ...

    def losses(self, vectors: torch.Tensor) -> torch.Tensor:
        """Of (n, length, dim) as (n,), with gradient."""
        ...

    def fault(self, text: str) -> float:
        """Of a text as it is read; infinite if it cannot be."""
        ...


class _ByEncoder:
    """One minus the cosine of text and picture."""

    def __init__(self, reference: Image, encoder: Encoder) -> None:
        self.reader = encoder
        self._seen = encoder.see([reference])[0]

    def losses(self, vectors: torch.Tensor) -> torch.Tensor:
        return 1 - self.reader.read_embeddings(vectors) @ self._seen

    def fault(self, text: str) -> float:
        if self.reader.num_tokens(text) > self.reader.context_length:
            return math.inf
        return float(1 - self.reader.read([text])[0] @ self._seen)


class _ByDenoiser:
    """Loss of the denoiser, as a share of what it is without words."""

    def __init__(self, reference: Image, denoiser: Denoiser, seed: int) -> None:
        self.reader = denoiser
        latents = denoiser.latents(reference)
        self._bank = Bank(denoiser, latents, seed)
        self._reading = Bank(denoiser, latents, samples=READING_SAMPLES)
        self._without_words = self._reading.fault("")
        self._page = 0

    def losses(self, vectors: torch.Tensor) -> torch.Tensor:
        contextual = self.reader.read_embeddings(vectors, padded=True)
        self._page += 1
        return self._bank.losses(contextual, self._page) / self._without_words

    def fault(self, text: str) -> float:
        return self._reading.fault(text) / self._without_words


class _Words:
    """What all guides can spell; a word's vector is theirs end to end."""

    def __init__(self, guides: Sequence[_Guide]) -> None:
        self._guides = guides
        self._rows = _in_common([guide.reader for guide in guides])
        tables = [guide.reader.vocabulary() for guide in guides]
        parts = [table[rows] for table, rows in zip(tables, self._rows, strict=True)]
        self._widths = [part.shape[1] for part in parts]
        self._table = torch.cat([part.to(parts[0].device) for part in parts], dim=1)
        self._directions = self._directed(self._table)

    @property
    def count(self) -> int:
        return len(self._table)

    def vectors(self, rows: torch.Tensor) -> torch.Tensor:
        return self._table[rows.to(self._table.device)]

    def nearest(self, vectors: torch.Tensor) -> torch.Tensor:
        """Rows of the words with the largest cosine."""
        return (self._directed(vectors) @ self._directions.T).argmax(dim=-1)

    def losses(self, vectors: torch.Tensor) -> torch.Tensor:
        parts = zip(self._guides, vectors.split(self._widths, dim=-1), strict=True)
        losses = [guide.losses(part).to(vectors.device) for guide, part in parts]
        return torch.stack(losses).sum(0)

    def fault(self, text: str) -> float:
        return sum(guide.fault(text) for guide in self._guides)

    def text_of(self, rows: Sequence[int]) -> str:
        return self._guides[0].reader.text_of([int(self._rows[0][row]) for row in rows])

    def _directed(self, vectors: torch.Tensor) -> torch.Tensor:
        """Each guide's part at length one."""
        return torch.cat([normalize(p, dim=-1) for p in vectors.split(self._widths, -1)], dim=-1)


def _in_common(readers: Sequence[Encoder | Denoiser]) -> list[list[int]]:
    """For each reader, its rows of the words that all of them know."""
    first, *others = [_spelled(reader) for reader in readers]
    shared = [word for word in first if all(word in other for other in others)]
    if not shared:
        raise InversionError(
            "the encoder and the image model have no word in common: let one of them guide alone"
        )
    return [[known[word] for word in shared] for known in (first, *others)]


def _spelled(reader: Encoder | Denoiser) -> dict[tuple[str, str], int]:
    """Rows by how they spell alone and before another word, which tells endings from beginnings."""
    rows = range(len(reader.vocabulary()))
    return {(reader.text_of([row]), reader.text_of([row, 0])): row for row in reversed(rows)}
