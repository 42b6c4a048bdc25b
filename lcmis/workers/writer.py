"""The one writer of a run: facts go into the store in the order they came, many at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

from lcmis.store import Drawn, Store
from lcmis.types import Exchange, Failure, Question, Score, Shift

WAITING = 32
"""Parcels that may wait to be written: who brings more waits for the disk."""


@dataclass(slots=True)
class Parcel:
    """Facts that came together."""

    drawn: Sequence[Drawn] = ()
    scores: Sequence[Score] = ()
    questions: Iterable[Question] = ()
    exchanges: Sequence[Exchange] = ()
    failures: Sequence[Failure] = ()
    shifts: Sequence[Shift] = ()


class StoreWriter:
    """Writes beside the work; what it could not write is raised where the next parcel is brought.

    What is said of a picture is brought with it or after it.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: deque[Parcel] = deque()
        self._begun: deque[Future[None]] = deque()
        self._hand = ThreadPoolExecutor(1, "lcmis-writer")
        self.brought = 0
        """Parcels so far."""
        self.written = 0
        """Of them, those that are in the store."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            self.settle()
        finally:
            self._hand.shutdown()

    def settle(self) -> None:
        """Wait until all that was brought is in the store."""
        while self._begun:
            self._begun.popleft().result()

    def bring(self, parcel: Parcel) -> None:
        """Have these facts written; waits where too many wait already."""
        while self._begun and (self._begun[0].done() or len(self._waiting) >= WAITING):
            self._begun.popleft().result()
        self._waiting.append(parcel)
        self.brought += 1
        self._begun.append(self._hand.submit(self._write))

    def _write(self) -> None:
        """All that waits, in one transaction."""
        parcels = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if parcels:
            self._store.add_many(
                [one for parcel in parcels for one in parcel.drawn],
                [one for parcel in parcels for one in parcel.scores],
                {one for parcel in parcels for one in parcel.questions},
                exchanges=[one for parcel in parcels for one in parcel.exchanges],
                failures=[one for parcel in parcels for one in parcel.failures],
                shifts=[one for parcel in parcels for one in parcel.shifts],
            )
            self.written += len(parcels)
