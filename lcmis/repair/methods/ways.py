"""How a candidate is built, and what candidates built so were worth for other pairs and models."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from lcmis.repair.methods.phrases import other
from lcmis.text.words import places
from lcmis.types import Candidate, ConceptPair, Side, Trial

BELIEF = 3.0
"""Candidates that the mean of all ways counts as, where a way is told by few."""
ELSEWHERE = 0.25
"""What a candidate of another model counts as."""
PAIR, KIND, OPENED, SAID = 0.02, 0.03, 0.1, (0.04, 0.02, 0.01)
"""Variances of chances: of a pair, of words or stages, of an opening, and of the words for the lost
concept, for the other one and for what is kept away."""


class Opening(StrEnum):
    """What a picture begins with."""

    NONE = "none"
    """One prompt from the first step to the last."""
    LOST = "the lost concept alone"
    OTHER = "the other concept alone"
    TURNS = "two wordings in turn"
    ELSE = "something else"


@dataclass(frozen=True, slots=True)
class Way:
    """What can be said of a candidate of any pair."""

    opening: Opening
    opens_by_looks: bool
    opens_for: int
    """Of its share of the denoising, the logarithm to base 2, rounded; 0 without an opening."""
    keeps_away: bool
    """Whether it has a negative prompt."""
    plain: bool
    """Whether the plain prompt is what it ends with."""
    lost_named: bool
    lost_described: bool
    other_named: bool
    other_described: bool


@dataclass(frozen=True, slots=True)
class Symptoms:
    """What an audit already saw of a pair that fails."""

    lost: Side
    intruded: bool
    """Whether what was painted instead can be named."""


def way(pair: ConceptPair, lost: Side, candidate: Candidate) -> Way:
    """How a candidate says what its pair asks for, one concept of which is lost."""
    first, last = candidate.stages[0], candidate.stages[-1]

    def has(words: str, said: str = last.prompt) -> bool:
        return bool(words) and bool(places(said, words))

    gone, kept = pair.concept(lost), pair.concept(other(lost))
    opening, by_looks, opens_for = Opening.NONE, False, 0
    if len(candidate.stages) > 1:
        opens_for = round(math.log2(first.denoising_end))
        by_looks = has(gone.description, first.prompt) or has(kept.description, first.prompt)
        begins = [
            has(one.name, first.prompt) or has(one.description, first.prompt)
            for one in (gone, kept)
        ]
        opening = {(True, False): Opening.LOST, (False, True): Opening.OTHER}.get(
            (begins[0], begins[1]), Opening.ELSE
        )
        if len(candidate.stages) > 2:
            prompts = {stage.prompt for stage in candidate.stages}
            opening = Opening.TURNS if len(prompts) == 2 else Opening.ELSE
    return Way(
        opening=opening,
        opens_by_looks=by_looks,
        opens_for=opens_for,
        keeps_away=bool(candidate.negative_prompt),
        plain=has(pair.prompt),
        lost_named=has(gone.name),
        lost_described=has(gone.description),
        other_named=has(kept.name),
        other_described=has(kept.description),
    )


class Experience:
    """What other pairs taught: the mean share of right pictures of each way, by model and evidence.

    Every candidate counts once, however many pictures it had: a search looks longest at what it
    likes, and pictures would say how it chose. What another model taught counts for
    :data:`ELSEWHERE` of that.
    """

    def __init__(self) -> None:
        self._known: dict[str, _Known] = defaultdict(_Known)

    def learn(
        self,
        model: str,
        pair: ConceptPair,
        evidence: Symptoms,
        trials: Iterable[Trial],
        threshold: float,
    ) -> None:
        """Take in all trials of one pair on one model."""
        seen: dict[Candidate, dict[int, bool]] = defaultdict(dict)
        for trial in trials:
            for item in trial.seen:
                if item.worse is not None:
                    seen[trial.candidate][item.seed] = item.worse >= threshold
        for candidate, right in seen.items():
            if right:
                how = way(pair, evidence.lost, candidate)
                self._known[model].add(evidence, how, sum(right.values()) / len(right))

    def share(self, model: str, evidence: Symptoms, how: Way) -> float | None:
        """How often candidates of this way are expected to be right, in (0, 1), where an audit saw
        this; None if nobody knows anything yet.

        From the widest to the nearest: all ways, this way whatever was seen, this way where it was
        seen; each is what the next begins with.
        """
        parts = [
            (known, 1.0 if name == model else ELSEWHERE) for name, known in self._known.items()
        ]
        total = sum(weight * known.everything[1] for known, weight in parts)
        if not total:
            return None
        mean = (1 + sum(weight * known.everything[0] for known, weight in parts)) / (2 + total)
        anyway = [(known.ways[how], weight) for known, weight in parts]
        there = [(known.seen[evidence, how], weight) for known, weight in parts]
        for told in (anyway, there):
            shares = sum(weight * one[0] for one, weight in told)
            count = sum(weight * one[1] for one, weight in told)
            mean = (shares + BELIEF * mean) / (count + BELIEF)
        return mean


def _none() -> tuple[float, int]:
    return (0.0, 0)


class _Known:
    """Sums of shares and counts of candidates on one model."""

    def __init__(self) -> None:
        self.everything = _none()
        self.ways: defaultdict[Way, tuple[float, int]] = defaultdict(_none)
        self.seen: defaultdict[tuple[Symptoms, Way], tuple[float, int]] = defaultdict(_none)

    def add(self, evidence: Symptoms, how: Way, share: float) -> None:
        self.everything = (self.everything[0] + share, self.everything[1] + 1)
        self.ways[how] = (self.ways[how][0] + share, self.ways[how][1] + 1)
        there = self.seen[evidence, how]
        self.seen[evidence, how] = (there[0] + share, there[1] + 1)


def shared(one: Way, two: Way) -> float:
    """Covariance of the chances of two candidates of a pair built so, before either is drawn.

    A sum of products of equalities, and of a bell over the lengths of openings, so that the matrix
    of any number of ways is a covariance. What all candidates of a pair share says how hard it is;
    then count whether a candidate switches at all, how it begins, and how it says each concept.
    """
    same_kind = (one.opening is Opening.NONE) == (two.opening is Opening.NONE)
    begins = (one.opening is two.opening) * math.exp(-((one.opens_for - two.opens_for) ** 2) / 4)
    looks = 1.0 if one.opens_by_looks == two.opens_by_looks else 0.5
    said = [
        (one.lost_named, one.lost_described) == (two.lost_named, two.lost_described),
        (one.other_named, one.other_described) == (two.other_named, two.other_described),
        one.keeps_away == two.keeps_away,
    ]
    by_words = sum(variance * same for variance, same in zip(SAID, said, strict=True))
    return PAIR + same_kind * (KIND + by_words) + OPENED * begins * looks
