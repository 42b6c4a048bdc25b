"""What pictures of a candidate lack: a checklist of a pair's two concepts."""

from __future__ import annotations

from collections.abc import Iterable

from lcmis.plugins.protocols import Case
from lcmis.types import Side, Trial


def lacking(trial: Trial, case: Case) -> list[Side]:
    """Concepts that most of its pictures lack, the one that is missing more often first.

    One of which no picture could be read is among them: that nobody says it is missing shows
    nothing. Where pictures are wrong, or none could be read whole, and neither is missing in most
    of them, the lost one stands for both.
    """
    shares = {side: _missing(trial, side, case.threshold) for side in Side}
    found = [side for side in Side if shares[side] > 0.5]
    right, read = trial.right(case.threshold)
    if not found and right < max(1, read):
        found = [max(Side, key=lambda side: (shares[side], side is case.lost))]
    return sorted(found, key=lambda side: -shares[side])


def share_right(trials: Iterable[Trial], threshold: float) -> float:
    """Of all pictures that could be read; 0 where there are none."""
    counts = [trial.right(threshold) for trial in trials]
    total = sum(seen for _, seen in counts)
    return sum(right for right, _ in counts) / total if total else 0.0


def _missing(trial: Trial, side: Side, threshold: float) -> float:
    scores = [item.a if side is Side.A else item.b for item in trial.seen]
    known = [score for score in scores if score is not None]
    return sum(score < threshold for score in known) / len(known) if known else 1.0
