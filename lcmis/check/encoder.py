"""An open_clip model as an encoder: gradients reach the vectors of the words it reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import torch

from lcmis.check.pictures import readable
from lcmis.errors import InversionError
from lcmis.text.vocabulary import Vocabulary, told

if TYPE_CHECKING:
    from PIL.Image import Image


class Loaded(Protocol):
    """What is needed of an open_clip model in memory."""

    model: Any
    tokenizer: Any
    context_length: int

    def see(self, images: Sequence[Image], batch_size: int) -> torch.Tensor:
        """Unit features, float32 on the CPU, ``(images, dim)``."""
        ...

    def num_tokens(self, text: str) -> int:
        """Of a text, start and end included, before any cutting."""
        ...


class ClipEncoder:
    """Reads vectors of words with the model's own ``encode_text``, so any text tower will do whose
    tokenizer puts the words of a text between a start and an end.

    Args:
        encoder_id: the checker's id.
        device: where the model lies.
        batch_size: pictures looked at together.
        load: gives the model; called once, at the first use, and its weights frozen.
    """

    def __init__(
        self, encoder_id: str, device: str, batch_size: int, load: Callable[[], Loaded]
    ) -> None:
        self.encoder_id = encoder_id
        self.device = device
        self._batch_size = batch_size
        self._load = load

    @property
    def context_length(self) -> int:
        """Tokens that it reads, start and end included."""
        return self._clip.context_length

    def see(self, pictures: Sequence[Image]) -> torch.Tensor:
        """Pictures as (n, joint).

        Raises:
            InversionError: one of them is no picture.
        """
        whole = []
        for picture in pictures:
            seen = readable(picture)
            if isinstance(seen, str):
                raise InversionError(seen)
            whole.append(seen)
        features = self._clip.see(whole, self._batch_size)
        return features.clone().to(self.device)  # a clone is fit for autograd, inference is not

    @torch.no_grad()
    def read(self, texts: Sequence[str]) -> torch.Tensor:
        """Texts as (n, joint); one that is too long is cut, as open_clip cuts it."""
        tokens = self._clip.tokenizer(list(texts)).to(self.device)
        return _unit(self._clip.model.encode_text(tokens))

    def vocabulary(self) -> torch.Tensor:
        """Vectors of the tokens that words are made of, (tokens, dim).

        Raises:
            InversionError: this text tower or its tokenizer cannot be told vectors.
        """
        rows = torch.tensor(self._words.ids, device=self.device)
        return self._table.weight.detach()[rows].float()

    def read_embeddings(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Vectors (n, length, dim) in the places of words, as (n, joint).

        Raises:
            InversionError: this text tower or its tokenizer cannot be told vectors.
        """
        places = self._words.places(embeddings.shape[1])
        tokens = torch.tensor([places] * len(embeddings), device=self.device)
        with told(self._table, embeddings, self._words.start):
            return _unit(self._clip.model.encode_text(tokens))

    def text_of(self, rows: Sequence[int]) -> str:
        """What tokens spell, given as rows of :meth:`vocabulary`."""
        return self._words.text_of(rows)

    def num_tokens(self, text: str) -> int:
        """Of a text, start and end included."""
        return self._clip.num_tokens(text)

    @cached_property
    def _clip(self) -> Loaded:
        loaded = self._load()
        loaded.model.requires_grad_(False)
        return loaded

    @cached_property
    def _table(self) -> torch.nn.Embedding:
        """The text tower's own, whatever kind of tower it is."""
        tower = getattr(self._clip.model, "text", self._clip.model)
        table = getattr(tower, "token_embedding", None)
        if table is None and hasattr(tower, "transformer"):  # one of transformers'
            table = getattr(tower.transformer, "get_input_embeddings", lambda: None)()
        if not isinstance(table, torch.nn.Embedding):
            raise InversionError(
                f"the text tower of {self.encoder_id} has no table of word vectors, so gradients "
                f"cannot reach the words: take an open_clip model with a text transformer"
            )
        return table

    @cached_property
    def _words(self) -> Vocabulary:
        import open_clip

        tokenizer = self._clip.tokenizer
        plain = isinstance(tokenizer, open_clip.SimpleTokenizer)
        inner: Any = tokenizer if plain else tokenizer.tokenizer  # one of transformers'
        return Vocabulary.of(
            size=min(self._table.num_embeddings, inner.vocab_size if plain else len(inner)),
            special=frozenset(inner.all_special_ids),
            encode=lambda text: tokenizer([text])[0].tolist(),
            decode=inner.decode,
        )


def _unit(features: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(features.float(), dim=-1)
