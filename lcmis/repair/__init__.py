"""Ways of prompting that bring a lost concept back: one algorithm a file, through ``evaluate``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from lcmis.types import Candidate, Seen, Trial


def ranked(trials: Iterable[Trial], threshold: float) -> list[Candidate]:
    """Every candidate that was seen, best first, all its trials taken together.

    By the mean of the Beta posterior of being right, so that four of four do not beat thirty of
    thirty-one; where that is equal by fitness, then by the fewest stages.
    """
    seen: dict[Candidate, dict[int, Seen]] = defaultdict(dict)
    for trial in trials:
        seen[trial.candidate].update((item.seed, item) for item in trial.seen)
    standing: dict[Candidate, tuple[float, float, int]] = {}
    for candidate, pictures in seen.items():
        worse = [item.worse for item in pictures.values() if item.worse is not None]
        if worse:
            right = sum(score >= threshold for score in worse)
            mean = (1 + right) / (2 + len(worse))
            standing[candidate] = (mean, sum(worse) / len(worse), -len(candidate.stages))
    return sorted(standing, key=standing.__getitem__, reverse=True)
