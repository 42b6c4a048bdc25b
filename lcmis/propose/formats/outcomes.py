"""What became of a set's lines: counted, with reasons and the first examples of each."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

EXAMPLES = 3
"""Line numbers named for each reason in a summary; a report names every line."""


class LineOutcome(enum.StrEnum):
    """What became of one line."""

    PAIR = "pair"
    """Two concepts were read off it."""
    PART = "part"
    """It belongs to the prompt of an earlier line."""
    NO_PAIR = "no pair"
    """Its prompt was read, and asks for no two concepts."""
    REPEATED = "repeated"
    """Its prompt was read before."""
    REFUSED = "refused"
    """It could not be read."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why lines of a set gave no pair, or a folder's pictures were not taken."""

    outcome: LineOutcome
    reason: str
    count: int
    lines: tuple[int, ...]
    """The first of them."""
    example: str
    """What the first of them says."""


@dataclass(frozen=True, slots=True)
class SetRead:
    """What was found in one file."""

    path: Path
    format: str
    source: str
    licence: str
    """Empty where nobody said."""
    counts: Mapping[LineOutcome, int]
    reasons: tuple[Reason, ...]
    """Most frequent first."""

    @property
    def num_lines(self) -> int:
        """All lines of the file, or entries of a JSON document."""
        return sum(self.counts.values())

    def count(self, outcome: LineOutcome) -> int:
        """Lines with which this happened."""
        return self.counts.get(outcome, 0)


class Tally:
    """Outcomes and reasons, counted while lines go by."""

    def __init__(self) -> None:
        self.counts: Counter[LineOutcome] = Counter()
        self._reasons: Counter[tuple[LineOutcome, str]] = Counter()
        self._first: dict[tuple[LineOutcome, str], list[int]] = {}
        self._example: dict[tuple[LineOutcome, str], str] = {}

    def add(self, outcome: LineOutcome, number: int, reason: str, example: str) -> None:
        """One more line."""
        self.counts[outcome] += 1
        if outcome in (LineOutcome.PAIR, LineOutcome.PART):
            return
        place = (outcome, reason)
        self._reasons[place] += 1
        first = self._first.setdefault(place, [])
        if len(first) < EXAMPLES:
            first.append(number)
        self._example.setdefault(place, example)

    def reasons(self) -> tuple[Reason, ...]:
        """Most frequent first."""
        return tuple(
            Reason(outcome, reason, count, tuple(self._first[place]), self._example[place])
            for place, count in self._reasons.most_common()
            for outcome, reason in [place]
        )

    def of_set(self, path: Path, form: str, source: str, licence: str) -> SetRead:
        """What was found in a file, all of whose lines have gone by."""
        return SetRead(path, form, source, licence, self.counts, self.reasons())
