"""How far a repair is, over all pairs that are searched or proved side by side."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RepairProgress:
    """How far a repair is, as told to whoever watches."""

    model: str
    activity: str
    """What happens now: ``"searching"`` or ``"certifying"``, and for which prompt."""
    pictures: int
    """Asked for by now, over all pairs; those in the store are counted too."""
    expected: int
    """All that may be asked for: less with every pair that ends before its budget does."""
    done: int
    pairs: int
    repaired: int


class Headway:
    """Adds up what every pair and model tells of itself.

    Args:
        watch: told at every step; None tells nobody.
        pairs: to be worked on, each model's own.
        each: pictures that one of them may ask for.
    """

    def __init__(
        self, watch: Callable[[RepairProgress], None] | None, pairs: int, each: int
    ) -> None:
        self._watch, self._pairs, self._each = watch, pairs, each
        self._asked: dict[Hashable, int] = {}
        self._ended: dict[Hashable, bool] = {}

    def tell(self, place: Hashable, model: str, activity: str, pictures: int) -> None:
        """What happens at a place, and how many pictures have been asked for there."""
        self._asked[place] = pictures
        if self._watch is None:
            return
        open_ones = self._pairs - len(self._ended)
        spent = sum(self._asked[one] for one in self._ended)
        self._watch(
            RepairProgress(
                model=model,
                activity=activity,
                pictures=sum(self._asked.values()),
                expected=spent + self._each * open_ones,
                done=len(self._ended),
                pairs=self._pairs,
                repaired=sum(self._ended.values()),
            )
        )

    def end(
        self, place: Hashable, model: str, activity: str, pictures: int, *, repaired: bool
    ) -> None:
        """A place is done with; ``repaired`` is whether its certificate passed."""
        self._ended[place] = repaired
        self.tell(place, model, activity, pictures)
