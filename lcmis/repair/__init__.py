"""Ways of prompting that bring a lost concept back: one algorithm a file, through ``evaluate``."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable

from lcmis.types import Candidate, Seen, Trial


def ranked(trials: Iterable[Trial], threshold: float) -> list[Candidate]:
    """Every candidate that was seen, best first, all its trials taken together.

    By the lower end of Wilson's one-sided 95 % interval of being right, so that four of four do not
    beat thirty of thirty-one, and nothing wins by having been tried least; where that is equal by
    fitness, then by the fewest stages.
    """
    seen: dict[Candidate, dict[int, Seen]] = defaultdict(dict)
    for trial in trials:
        seen[trial.candidate].update((item.seed, item) for item in trial.seen)
    standing: dict[Candidate, tuple[float, float, int]] = {}
    for candidate, pictures in seen.items():
        worse = [item.worse for item in pictures.values() if item.worse is not None]
        if worse:
            right = sum(score >= threshold for score in worse)
            fitness = sum(worse) / len(worse)
            standing[candidate] = (
                _surely_right(right, len(worse)),
                fitness,
                -len(candidate.stages),
            )
    return sorted(standing, key=standing.__getitem__, reverse=True)


def _surely_right(right: int, total: int, z: float = 1.645) -> float:
    share, shrink = right / total, z * z / total
    half = math.sqrt(share * (1 - share) * shrink + (shrink / 2) ** 2)
    return max(0.0, (share + shrink / 2 - half) / (1 + shrink))
