"""The plug: a folder of weights that turns pooled embeddings into texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from lcmis.errors import InversionError
from lcmis.invert.e2t.shape import CORRECTOR, read_shape
from lcmis.machine.hub import fetch_weights, locate

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerFast

    from lcmis.invert.e2t.network import CorrectorNetwork, WriterNetwork

MIN_BEAMS = 4


@dataclass(frozen=True, slots=True)
class Draft:
    """A text, and how sure the writer is of it."""

    text: str
    score: float
    """Mean log-probability of its tokens, at most 0."""


class EmbeddingToText:
    """Reads pooled vectors of the one text encoder it was trained for, by beam search.

    Args:
        name: a folder that the training wrote, or its name on the hub.
        revision: on the hub.
        device: ``cpu``, ``cuda``, …

    Raises:
        UnknownNameError: neither a folder nor on the hub.
        ConfigError: no writer's folder.
    """

    def __init__(self, name: str, revision: str | None = None, device: str = "cpu") -> None:
        self._located = locate(name, revision)
        self._shape = read_shape(self._located.path, self._located.name)
        self.device = device
        self.writer_id = f"e2t:{self._located}"
        self.encodes_like = self._shape.encodes_like

    def write(self, embeddings: torch.Tensor, count: int = 1) -> list[list[str]]:
        """Up to ``count`` texts for each embedding of (n, dim), likeliest first."""
        return [[draft.text for draft in drafts] for drafts in self.drafts(embeddings, count)]

    def drafts(self, embeddings: torch.Tensor, count: int = 1) -> list[list[Draft]]:
        """The same with scores; no text twice for one embedding.

        Raises:
            InversionError: vectors of another size: another text encoder's.
        """
        self._refuse_others(embeddings)
        if not len(embeddings):
            return []
        network, _ = self._loaded
        given = embeddings.detach().float().to(self.device)
        tokens, scores = network.beams(given, count, max(MIN_BEAMS, count))
        return self._drafts(tokens, scores, count)

    @cached_property
    def corrects(self) -> bool:
        """Whether a corrector was trained for it."""
        return CORRECTOR in self._located.names("")

    def correct(
        self,
        embeddings: torch.Tensor,
        reached: torch.Tensor,
        texts: Sequence[str],
        count: int = 1,
    ) -> list[list[str]]:
        """Up to ``count`` better texts for each embedding of (n, dim), likeliest first.

        Args:
            embeddings: what is to be put in words.
            reached: what the texts are read as, (n, dim).
            texts: the first tries, n of them.
            count: texts for each.

        Raises:
            InversionError: there is no corrector, or vectors are of another size.
        """
        if not self.corrects:
            raise InversionError(
                f"{self.writer_id} has no corrector, so its first texts stand: docs/repair.md says "
                f"how one is trained"
            )
        self._refuse_others(embeddings)
        if not texts:
            return []
        from lcmis.invert.e2t.network import tokens_of

        _, tokenizer = self._loaded
        given = tokens_of(texts, tokenizer, self._shape.max_length)
        tokens = given.input_ids.to(self.device)
        wanted, there = (one.detach().float().to(self.device) for one in (embeddings, reached))
        beams = max(MIN_BEAMS, count)
        spelled, scores = self._corrector.beams(wanted, there, tokens, count, beams)
        found = self._drafts(spelled, scores, count)
        return [[draft.text for draft in drafts] for drafts in found]

    def _refuse_others(self, embeddings: torch.Tensor) -> None:
        if embeddings.ndim != 2 or embeddings.shape[1] != self._shape.embedding_dim:
            raise InversionError(
                f"{self.writer_id} reads vectors of {self._shape.embedding_dim} numbers from "
                f"{self._shape.text_encoder}, not {tuple(embeddings.shape)}: take a writer that "
                f"was trained for this text encoder"
            )

    def _drafts(self, tokens: torch.Tensor, scores: torch.Tensor, count: int) -> list[list[Draft]]:
        _, tokenizer = self._loaded
        texts = tokenizer.batch_decode(tokens, skip_special_tokens=True)
        found: list[list[Draft]] = []
        for start in range(0, len(texts), count):
            best: dict[str, float] = {}
            for place in range(start, start + count):
                best.setdefault(" ".join(texts[place].split()), float(scores[place]))
            found.append([Draft(text, score) for text, score in best.items() if text])
        return found

    @cached_property
    def _loaded(self) -> tuple[WriterNetwork, PreTrainedTokenizerFast]:
        from lcmis.invert.e2t.network import load

        network, tokenizer = load(fetch_weights(self._located), self._located.name)
        return network.to(self.device), tokenizer

    @cached_property
    def _corrector(self) -> CorrectorNetwork:
        from lcmis.invert.e2t.network import load_corrector

        folder = fetch_weights(self._located)
        return load_corrector(folder, self._loaded[0], self._located.name).to(self.device)
