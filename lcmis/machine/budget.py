"""What one search may spend: different pictures, seconds, questions to a text model."""

from __future__ import annotations

import math
import time
from collections.abc import Hashable, Iterable

from lcmis.errors import ConfigError, OutOfBudget


def refuse_no_time(seconds: float | None) -> None:
    """Check that ``--seconds`` is a time that passes; None is no limit.

    Raises:
        ConfigError: it is not.
    """
    if seconds is not None and not 0 < seconds < math.inf:
        raise ConfigError(
            f"--seconds is {seconds:g}, but it is above 0 and finite: leave it out to set no limit"
        )


class Budget:
    """Counts what is spent, and ends a search from outside once nothing is left.

    A picture is paid for once: the same one again costs nothing, whether it was drawn or lay in a
    store, so that a search that is done again ends where it ended.

    Args:
        pictures: different ones; None is without limit.
        seconds: from now on; None is as long as it takes.
        calls: questions to a text model; None is without limit.
        whose: how a sentence names them: ``"the"`` or ``"its"``.
    """

    def __init__(
        self,
        *,
        pictures: int | None = None,
        seconds: float | None = None,
        calls: int | None = None,
        whose: str = "the",
    ) -> None:
        self.calls = 0
        """Made by now."""
        self._most_pictures = pictures
        self._most_seconds = seconds
        self._most_calls = calls
        self._whose = whose
        self._paid: set[Hashable] = set()
        self._started = time.monotonic()

    @property
    def pictures(self) -> int:
        """Different ones, by now."""
        return len(self._paid)

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._started

    def affords(self, picture: Hashable) -> bool:
        """Pay for a picture if that can be; whether it could."""
        if not self.holds([picture]):
            return False
        self._paid.add(picture)
        return True

    def holds(self, pictures: Iterable[Hashable]) -> bool:
        """Whether all of them could be paid for now."""
        most = self._most_pictures
        return most is None or len(self._paid.union(pictures)) <= most

    def pay(self, pictures: Iterable[Hashable]) -> None:
        """Pay for all of them, or for none.

        Raises:
            OutOfBudget: they are more than what is left.
        """
        wanted = set(pictures)
        if not self.holds(wanted):
            raise self.pictures_spent()
        self._paid |= wanted

    def pictures_spent(self) -> OutOfBudget:
        """What is raised where pictures cannot be paid for."""
        return OutOfBudget(f"{self._whose} {self._most_pictures} pictures are spent")

    def refuse_late(self) -> None:
        """Go on only while there is time.

        Raises:
            OutOfBudget: the seconds are spent.
        """
        if self._most_seconds is not None and self.seconds >= self._most_seconds:
            raise OutOfBudget(f"{self._whose} {self._most_seconds:g} seconds are spent")

    def call(self) -> None:
        """Count a question to a text model.

        Raises:
            OutOfBudget: the calls are spent.
        """
        if self._most_calls is not None and self.calls >= self._most_calls:
            raise OutOfBudget(f"{self._whose} {self._most_calls} calls of the text model are spent")
        self.calls += 1
