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
        self._pictures = self._spent = self._done = self._repaired = 0

    def tell(self, place: Hashable, model: str, activity: str, pictures: int) -> None:
        """What happens at a place, and how many pictures have been asked for there."""
        self._pictures += pictures - self._asked.get(place, 0)
        self._asked[place] = pictures
        if self._watch is None:
            return
        self._watch(
            RepairProgress(
                model=model,
                activity=activity,
                pictures=self._pictures,
                expected=self._spent + self._each * (self._pairs - self._done),
                done=self._done,
                pairs=self._pairs,
                repaired=self._repaired,
            )
        )

    def end(
        self, place: Hashable, model: str, activity: str, pictures: int, *, repaired: bool
    ) -> None:
        """A place is done with; ``repaired`` is whether its certificate passed."""
        self._spent += pictures
        self._done += 1
        self._repaired += repaired
        self.tell(place, model, activity, pictures)
