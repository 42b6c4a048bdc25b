"""How a candidate is built, and what candidates built so were worth for other pairs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from lcmis.repair.methods.phrases import other
from lcmis.text.words import places
from lcmis.types import Candidate, ConceptPair, Side, Trial

BELIEF = 3.0
"""Candidates that the mean of all ways counts as, where a way is told by few."""


@dataclass(frozen=True, slots=True)
class Way:
    """What can be said of a candidate of any pair."""

    staged: bool
    keeps_away: bool
    """Whether it has a negative prompt."""
    plain: bool
    """Whether the plain prompt is in it."""
    lost_named: bool
    lost_described: bool
    other_named: bool
    other_described: bool


def way(pair: ConceptPair, lost: Side, candidate: Candidate) -> Way:
    """How a candidate says what its pair asks for, one concept of which is lost."""
    said = " ".join(stage.prompt for stage in candidate.stages)

    def has(words: str) -> bool:
        return bool(words) and bool(places(said, words))

    gone, kept = pair.concept(lost), pair.concept(other(lost))
    return Way(
        staged=len(candidate.stages) > 1,
        keeps_away=bool(candidate.negative_prompt),
        plain=has(pair.prompt),
        lost_named=has(gone.name),
        lost_described=has(gone.description),
        other_named=has(kept.name),
        other_described=has(kept.description),
    )


class Experience:
    """What other pairs of a model taught: the mean share of right pictures of each way.

    Every candidate counts once, however many pictures it had: a search looks longest at what it
    likes, and pictures would say how it chose.
    """

    def __init__(self) -> None:
        self._sums: dict[Way, float] = defaultdict(float)
        self._counts: dict[Way, int] = defaultdict(int)

    def learn(
        self, pair: ConceptPair, lost: Side, trials: Iterable[Trial], threshold: float
    ) -> None:
        """Take in all trials of one pair."""
        seen: dict[Candidate, dict[int, bool]] = defaultdict(dict)
        for trial in trials:
            for item in trial.seen:
                if item.worse is not None:
                    seen[trial.candidate][item.seed] = item.worse >= threshold
        for candidate, right in seen.items():
            if right:
                how = way(pair, lost, candidate)
                self._sums[how] += sum(right.values()) / len(right)
                self._counts[how] += 1

    def share(self, how: Way) -> float | None:
        """How often candidates of this way are expected to be right, in (0, 1); None if nobody
        knows anything yet.
        """
        total = sum(self._counts.values())
        if not total:
            return None
        mean = (1 + sum(self._sums.values())) / (2 + total)
        known, count = self._sums.get(how, 0.0), self._counts.get(how, 0)
        return (known + BELIEF * mean) / (count + BELIEF)
