"""The pictures that a stopping rule may ask for: specified, and named, only as far as is needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from lcmis.errors import ItemError
from lcmis.types import RenderSpec, Siblings


class Planned:
    """Specifications of one pair's pictures in the order of seeds, from a source that is read no
    further than somebody asked.
    """

    def __init__(self, source: Iterator[RenderSpec]) -> None:
        self._source = source
        self._specs: list[RenderSpec] = []
        self._places: dict[str, int] = {}
        """Of those that are known by their keys."""
        self._siblings: Siblings | None = None
        self._refusal: ItemError | None = None

    def first(self, count: int) -> tuple[RenderSpec, ...]:
        """So many of them, or all that there are.

        Raises:
            ItemError: the first cannot be drawn at all.
        """
        if self._refusal is not None:
            raise self._refusal
        try:
            fresh = list(islice(self._source, max(0, count - len(self._specs))))
        except ItemError as error:
            self._refusal = error
            raise
        if fresh:
            self._siblings = self._siblings or Siblings((self._specs or fresh)[0])
            self._siblings.name(fresh)
            self._specs += fresh
        return tuple(self._specs[:count])

    def place(self, key: str, below: int) -> int | None:
        """The place of this key among the first ``below``, from 0; None if it is not there."""
        while key not in self._places and len(self._places) < below:
            known = len(self._places)
            if len(self.first(known + 1)) == known:
                break
            self._places[self._specs[known].key] = known
        found = self._places.get(key)
        return None if found is None or found >= below else found

    def among(self, count: int) -> Among:
        """The keys of the first so many, for whoever asks whether one is there."""
        return Among(self, count)


@dataclass(frozen=True, slots=True)
class Among:
    """The keys of the first ``count`` pictures."""

    planned: Planned
    count: int

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self.planned.place(key, self.count) is not None
