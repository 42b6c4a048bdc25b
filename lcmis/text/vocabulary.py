"""The words that a tokenizer knows, and a text encoder that is told vectors in their place."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lcmis.errors import InversionError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Tokens that words are made of, and the frame that a tokenizer puts around a text."""

    ids: tuple[int, ...]
    """Tokens that spell something a person can read: neither special ones nor parts of a letter."""
    empty: tuple[int, ...]
    """The text without words: start, end and padding, as long as the text encoder reads."""
    start: int
    """Where the first word stands."""
    word: int
    """A token that is neither start, end nor padding, to keep a place for a vector."""
    decode: Callable[[list[int]], str]

    @classmethod
    def of(
        cls,
        size: int,
        special: Collection[int],
        encode: Callable[[str], Sequence[int]],
        decode: Callable[[list[int]], str],
    ) -> Vocabulary:
        """Learn the frame by looking at how texts are encoded.

        Args:
            size: tokens that the text encoder has vectors for.
            special: those that belong to no word.
            encode: a text to the tokens that the text encoder is given, always as many.
            decode: tokens to what they spell.

        Raises:
            InversionError: words are not simply put between a start and an end.
        """
        ids = [token for token in range(size) if token not in special and _spells(decode, token)]
        empty = tuple(encode(""))
        for token in ids:
            framed = list(encode(decode([token])))
            if token not in empty and framed.count(token) == 1:
                start = framed.index(token)
                framed.pop(start)
                if framed == list(empty[:-1]):
                    return cls(tuple(ids), empty, start, token, decode)
        raise InversionError(
            "its tokenizer does not put words one after the other between a start and an end, so "
            "gradients cannot reach them: take an encoder with a tokenizer like CLIP's"
        )

    def places(self, length: int) -> list[int]:
        """Tokens of a text of that many words, each word the same one.

        Raises:
            ValueError: the text encoder does not read so many.
        """
        room = len(self.empty) - 1 - self.start
        if not 1 <= length <= room:
            raise ValueError(f"{length} words do not fit: the text encoder reads 1 to {room}")
        words = [self.word] * length
        return [*self.empty[: self.start], *words, *self.empty[self.start :]][: len(self.empty)]

    def text_of(self, rows: Sequence[int]) -> str:
        """What rows of :attr:`ids` spell, one space between words."""
        return " ".join(self.decode([self.ids[row] for row in rows]).split())


@dataclass(frozen=True, slots=True)
class SharedWords:
    """Words that several tokenizers read as one token each, between two spaces."""

    spelled: tuple[str, ...]
    ids: tuple[tuple[int, ...], ...]
    """For each tokenizer, the tokens of these words."""
    frames: tuple[Vocabulary, ...]
    """What each tokenizer puts around them."""

    @classmethod
    def of(
        cls,
        frames: Sequence[Vocabulary],
        encoders: Sequence[Callable[[list[str]], Sequence[Sequence[int]]]],
    ) -> SharedWords:
        """Ask each tokenizer which texts of one token it reads back as that token.

        Args:
            frames: what the tokenizers know.
            encoders: of each one, texts to their tokens without start, end and padding.

        Raises:
            InversionError: they have no word in common.
        """
        known = [_whole(frame, encode) for frame, encode in zip(frames, encoders, strict=True)]
        first, *others = known
        shared = tuple(word for word in first if all(word in other for other in others))
        if not shared:
            raise InversionError(
                "its text encoders have no word in common that each of them reads as one token, so "
                "no word can be searched for in all of them: take another image model"
            )
        ids = tuple(tuple(each[word] for word in shared) for each in known)
        return cls(shared, ids, tuple(frames))

    def text_of(self, rows: Sequence[int]) -> str:
        """What rows of these words spell, one space between them."""
        return " ".join(self.spelled[row] for row in rows)


def _whole(
    frame: Vocabulary, encode: Callable[[list[str]], Sequence[Sequence[int]]]
) -> dict[str, int]:
    """Texts that are one token, to that token."""
    texts = [frame.decode([token]).strip() for token in frame.ids]
    read = zip(texts, frame.ids, encode(texts), strict=True)
    return {text: token for text, token, again in read if list(again) == [token]}


def _spells(decode: Callable[[list[int]], str], token: int) -> bool:
    text = decode([token]).strip()
    return bool(text) and text.isprintable() and "\N{REPLACEMENT CHARACTER}" not in text


@contextmanager
def told(table: torch.nn.Module, vectors: torch.Tensor, start: int) -> Iterator[None]:
    """While inside, a text encoder's table of words gives these vectors, whatever it is asked.

    All else of the encoder stays its own: positions, masks, where it reads the end. Gradients flow
    to the vectors.

    Args:
        table: maps token ids to vectors.
        vectors: (n, length, dim).
        start: place of the first one.
    """

    def replace(module: torch.nn.Module, asked: Any, given: torch.Tensor) -> torch.Tensor:
        heard = given.clone()
        heard[:, start : start + vectors.shape[1]] = vectors.to(given)
        return heard

    hook = table.register_forward_hook(replace)
    try:
        yield
    finally:
        hook.remove()
