"""The one writer of a run: facts go into the store in the order they came, many at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import Self

from lcmis.store import Drawn, Store
from lcmis.types import Exchange, Failure, Question, Score

WAITING = 32
"""Parcels that may wait to be written: who brings more waits for the disk."""


@dataclass(frozen=True, slots=True)
class _Pictures:
    drawn: tuple[Drawn, ...]


@dataclass(frozen=True, slots=True)
class _Scores:
    scores: tuple[Score, ...]
    questions: frozenset[Question]


_Parcel = _Pictures | _Scores | Failure | Exchange


class Writer:
    """Writes beside the work; what it could not write is raised where the next parcel is brought.

    Pictures are in the store before what is said of them, as long as they were brought before.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: deque[_Parcel] = deque()
        self._begun: deque[Future[None]] = deque()
        self._hand = ThreadPoolExecutor(1, "lcmis-writer")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            self.settle()
        finally:
            self._hand.shutdown()

    def pictures(self, drawn: Sequence[Drawn]) -> None:
        """Keep pictures, and link them to their pairs."""
        if drawn:
            self._bring(_Pictures(tuple(drawn)))

    def scores(self, scores: Sequence[Score], questions: Iterable[Question]) -> None:
        """Keep what was answered to these questions."""
        if scores:
            self._bring(_Scores(tuple(scores), frozenset(questions)))

    def failure(self, failure: Failure) -> None:
        """Keep that an item failed."""
        self._bring(failure)

    def exchange(self, exchange: Exchange) -> None:
        """Keep what was said beside a picture."""
        self._bring(exchange)

    def settle(self) -> None:
        """Wait until all that was brought is in the store."""
        while self._begun:
            self._begun.popleft().result()

    def _bring(self, parcel: _Parcel) -> None:
        while self._begun and (self._begun[0].done() or len(self._waiting) >= WAITING):
            self._begun.popleft().result()
        self._waiting.append(parcel)
        self._begun.append(self._hand.submit(self._write))

    def _write(self) -> None:
        """All that waits; parcels of one kind that came one after another in one transaction."""
        parcels = [self._waiting.popleft() for _ in range(len(self._waiting))]
        for _, some in groupby(parcels, key=type):
            self._write_alike(list(some))

    def _write_alike(self, parcels: Sequence[_Parcel]) -> None:
        drawn = [one for parcel in parcels if isinstance(parcel, _Pictures) for one in parcel.drawn]
        groups = [parcel for parcel in parcels if isinstance(parcel, _Scores)]
        if drawn:
            self._store.add_renders(drawn)
        if groups:
            self._store.add_scores(
                [score for group in groups for score in group.scores],
                {question for group in groups for question in group.questions},
            )
        for parcel in parcels:
            if isinstance(parcel, Failure):
                self._store.add_failure(parcel)
            elif isinstance(parcel, Exchange):
                self._store.add_exchange(parcel)
