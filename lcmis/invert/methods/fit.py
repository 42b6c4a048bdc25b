"""How well texts, and what is painted of them, fit a picture, by an encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lcmis.plugins.protocols import Encoder

if TYPE_CHECKING:
    from PIL.Image import Image


class Fit:
    """Cosines of texts and one picture by an encoder, each text read once."""

    def __init__(self, encoder: Encoder, picture: Image) -> None:
        self._encoder = encoder
        self._seen = encoder.see([picture])[0]
        self._known: dict[str, float] = {}

    def of(self, text: str) -> float:
        """Of one text, in [-1, 1]."""
        return self.of_all([text])[0]

    def of_all(self, texts: Sequence[str]) -> list[float]:
        """Of several texts, in [-1, 1] each."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            cosines = (self._encoder.read(new) @ self._seen).tolist()
            self._known |= dict(zip(new, cosines, strict=True))
        return [self._known[text] for text in texts]

    def best(self, texts: Sequence[str]) -> str:
        """The text that fits best, the first of equals.

        Raises:
            ValueError: there are none.
        """
        self.of_all(texts)
        return max(texts, key=self._known.__getitem__)

    def painted(self, text: str, paint: Callable[[str, int], Image | None], count: int) -> float:
        """Mean cosine of the picture and ``count`` that are painted of a text; -1 where none is.

        Raises:
            OutOfBudget: as it paints.
        """
        found = [paint(text, place) for place in range(count)]
        pictures = [picture for picture in found if picture is not None]
        return float((self._encoder.see(pictures) @ self._seen).mean()) if pictures else -1.0

    def takes(self, text: str) -> bool:
        """Whether the encoder reads all of it."""
        return self._encoder.num_tokens(text) <= self._encoder.context_length

    def shortened(self, text: str) -> str:
        """As many of a text's words as the encoder reads."""
        words = text.split()
        while len(words) > 1 and not self.takes(" ".join(words)):
            words.pop()
        return " ".join(words).rstrip(" ,;:")
