"""Ways of prompting that bring a lost concept back: one algorithm a file, through ``evaluate``."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

from lcmis.plugins.protocols import Case, Evaluate
from lcmis.text.words import is_salad
from lcmis.types import Candidate, Seen, Trial

CLEARLY = 0.15
"""By how much word salad must be more surely right than a sentence, to be chosen."""


def ranked(trials: Iterable[Trial], threshold: float) -> list[Candidate]:
    """Every candidate that was seen, best first, all its trials taken together.

    By the lower end of Wilson's one-sided 95 % interval of being right, so that four of four do not
    beat thirty of thirty-one, and nothing wins by having been tried least; where that is equal by
    fitness, then by the fewest stages. Word salad is best only where its lower end is by
    :data:`CLEARLY` above that of every sentence; otherwise the best sentence goes before it.
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
    order = sorted(standing, key=standing.__getitem__, reverse=True)
    sentences = [one for one in order if not _is_salad(one)]
    if sentences and standing[order[0]][0] - standing[sentences[0]][0] < CLEARLY:
        order.remove(sentences[0])
        order.insert(0, sentences[0])
    return order


def _is_salad(candidate: Candidate) -> bool:
    return any(is_salad(stage.prompt) for stage in candidate.stages)


def halve(candidates: Sequence[Candidate], case: Case, evaluate: Evaluate, seeds: int) -> None:
    """Try all on a few seeds, then the better half on as many more as all so far, and so on.

    Ends when one is left and has had its round, or when the case's seeds do; ``seeds`` is how many
    of them the first round takes.

    Raises:
        OutOfBudget: as the evaluation does.

    Source: Karnin, Koren, Somekh, ICML 2013 (sequential halving).
    """
    left, trials = list(candidates), list[Trial]()
    start, end = 0, seeds
    while left and end <= len(case.seeds):
        trials += evaluate.together([(item, case.seeds[start:end]) for item in left])
        if len(left) == 1:
            return
        standing = [item for item in ranked(trials, case.threshold) if item in left]
        left = standing[: max(1, len(left) // 2)]
        start, end = end, 2 * end


def _surely_right(right: int, total: int, z: float = 1.645) -> float:
    share, shrink = right / total, z * z / total
    half = math.sqrt(share * (1 - share) * shrink + (shrink / 2) ** 2)
    return max(0.0, (share + shrink / 2 - half) / (1 + shrink))
