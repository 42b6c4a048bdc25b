"""Who worked in a run: how much each worker did, how busy its device was, and what befell it."""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lcmis.types import Shift


@dataclass(frozen=True, slots=True)
class Worked:
    """All shifts of one worker, or of a whole run."""

    worker: str
    """Empty for the process that was started itself, and for a whole run."""
    nodes: tuple[str, ...]
    devices: tuple[str, ...]
    seconds: float
    """From when to when work was heard of: of a whole run, of all its workers together."""
    busy: float
    """Seconds in which its device worked, or all devices together."""
    pictures: int
    answers: int
    failures: int
    logs: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()
    """Why it died or works no more."""

    @property
    def busy_share(self) -> float | None:
        """In [0, 1]; None where nothing lasted."""
        return min(1.0, self.busy / self.seconds) if self.seconds else None

    @property
    def per_minute(self) -> float | None:
        """Pictures; None where nothing lasted."""
        return 60 * self.pictures / self.seconds if self.seconds else None


def by_worker(shifts: Sequence[Shift]) -> list[Worked]:
    """Each worker of one run, in the order of their numbers."""
    mine: dict[str, list[Shift]] = defaultdict(list)
    for shift in shifts:
        mine[shift.worker].append(shift)
    return [_summed(name, mine[name]) for name in sorted(mine, key=_in_order)]


def of_runs(shifts: Sequence[Shift]) -> dict[str, list[Shift]]:
    """The shifts of each run, by its id."""
    mine: dict[str, list[Shift]] = defaultdict(list)
    for shift in shifts:
        mine[shift.run_id].append(shift)
    return dict(mine)


def together(shifts: Sequence[Shift]) -> Worked:
    """All workers of one run."""
    seconds = sum(one.seconds for one in by_worker(shifts))
    return dataclasses.replace(_summed("", shifts), seconds=seconds)


def spent(shifts: Sequence[Shift], prices: Mapping[str, float]) -> float | None:
    """What the pictures of these shifts cost, by models' prices; None where none has a price."""
    priced = [prices[one.plugin] * one.pictures for one in shifts if one.plugin in prices]
    return sum(priced) if priced else None


def _summed(worker: str, shifts: Sequence[Shift]) -> Worked:
    lasted: dict[str, float] = {}
    for shift in shifts:  # one for each model and checker of the same minute
        lasted[shift.at] = max(shift.seconds, lasted.get(shift.at, 0.0))
    return Worked(
        worker,
        tuple(dict.fromkeys(one.node for one in shifts if one.node)),
        tuple(dict.fromkeys(one.device for one in shifts if one.device)),
        sum(lasted.values()),
        sum(one.busy for one in shifts),
        sum(one.pictures for one in shifts),
        sum(one.answers for one in shifts),
        sum(one.failures for one in shifts),
        tuple(dict.fromkeys(one.log for one in shifts if one.log)),
        tuple(one.sentence for one in shifts if one.sentence),
    )


def _in_order(name: str) -> list[tuple[int, str]]:
    """``worker 2`` before ``worker 10``."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
