"""How a candidate is built, and what candidates built so were worth for other pairs and models."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from lcmis.repair.methods.phrases import other
from lcmis.text.words import places
from lcmis.types import Candidate, ConceptPair, Side, Stage, Trial

ALIKE = 0.25
"""Share of the covariance of ways that all pairs have in common."""
ELSEWHERE = 0.5
"""Correlation of what a way is worth on two models."""
UNLIKE = 0.8
"""Correlation of what a way is worth where an audit saw something else."""
EXPECTED = 0.25
"""Share of right pictures that a candidate begins with where nobody knows anything."""
OWN = 0.01
"""Variance of a candidate's chances that it shares with no other."""
NOISE = 0.16
"""Variance of one picture, right or wrong, about its candidate's share of right ones."""
PAIR, KIND, OPENED, FRAME, KEPT_AWAY = 0.01, 0.03, 0.02, 0.02, 0.01
"""Variances of chances: of a pair, of one prompt or several, of an opening, of the words about the
concepts, of whether something is kept away."""
SAID_LOST, SAID_OTHER, SAID_BOTH = 0.02, 0.01, 0.02
"""Variances of chances: of the words for the lost concept, for the other one, for both together."""
SAME = 0.015
"""Variance of what a way is worth for all pairs, that it shares with no other way."""
_Numbers = npt.NDArray[np.float64]


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
    frame: str
    """What it ends with, but for the concepts and for the plain prompt."""


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
        frame=_frame(pair, lost, last.prompt),
    )


def _frame(pair: ConceptPair, lost: Side, prompt: str) -> str:
    """The words about the concepts, the same for all pairs: ``"{prompt} on a table"``."""
    marks: dict[str, str] = {}
    for side, mark in ((lost, "{lost}"), (other(lost), "{other}")):
        concept = pair.concept(side)
        marks |= dict.fromkeys(concept.synonyms, f"{mark}'s synonym")
        marks |= dict.fromkeys(filter(None, (concept.name, concept.description)), mark)
    longest_first = sorted(marks, key=len, reverse=True)
    named = re.compile(
        rf"\b(?:(?:an?|the|some) )?({'|'.join(map(re.escape, longest_first))})\b", re.IGNORECASE
    )
    known = {words.casefold(): mark for words, mark in marks.items()}

    def framed(said: str) -> str:
        return named.sub(lambda found: known[found[1].casefold()], said)

    return framed(prompt).replace(framed(pair.prompt), "{prompt}")


@dataclass(frozen=True, slots=True)
class Chances:
    """Of several candidates: shares of right pictures as far as they can be known."""

    mean: _Numbers
    """Expected, (candidates,); about [0, 1], but as a normal distribution it may leave it."""
    covariance: _Numbers
    """(candidates, candidates), variances of shares."""

    def told(self, tried: Sequence[int], shares: _Numbers, noise: _Numbers) -> Chances:
        """What remains open when shares of some have been seen, each with its variance.

        Source: Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, equations
        2.25 and 2.26.
        """
        if not len(tried):
            return self
        among = self.covariance[np.ix_(tried, tried)] + np.diag(noise)
        gain = np.linalg.solve(among, self.covariance[tried]).T
        return Chances(
            self.mean + gain @ (shares - self.mean[tried]),
            self.covariance - gain @ self.covariance[tried],
        )


class Experience:
    """What other pairs taught of each way, as a share of right pictures that all pairs have in
    common.

    The chances of a candidate are a sum: what its way is worth for all pairs, of which every pair
    searched before is a noisy observation; what its way is worth for this pair alone; and its own.
    So one pair teaches little and twenty teach much, and a way that nobody tried is known by those
    built alike. Every candidate counts once, however many pictures it had, but for its noise: a
    search looks longest at what it likes.

    Source: Gelman et al., Bayesian Data Analysis, 3rd edition, chapter 5 (hierarchical models).
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, Symptoms, Way], tuple[float, float]] = {}

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
        by_way: dict[Way, list[tuple[int, int]]] = defaultdict(list)
        for candidate, right in seen.items():
            how = way(pair, evidence.lost, candidate)
            by_way[how].append((sum(right.values()), len(right)))
        for how, counts in by_way.items():
            shares = [right / total for right, total in counts]
            lonely = [OWN + NOISE / total for _, total in counts]
            variance = (1 - ALIKE) * shared(how, how) + sum(lonely) / len(lonely) ** 2
            precision, weighted = self._known.get((model, evidence, how), (0.0, 0.0))
            share = sum(shares) / len(shares)
            self._known[model, evidence, how] = (
                precision + 1 / variance,
                weighted + share / variance,
            )

    def chances(
        self,
        model: str,
        pair: ConceptPair,
        evidence: Symptoms,
        candidates: Sequence[Candidate],
        audited: tuple[int, int] = (0, 0),
    ) -> tuple[_Numbers, _Numbers]:
        """What is to be expected of candidates for a pair of which an audit saw this.

        Args:
            model: that draws them.
            pair: that fails.
            evidence: what the audit saw.
            candidates: in any number.
            audited: right pictures of the plain prompt, and how many could be read.
        """
        plain = Candidate((Stage(pair.prompt),))
        ways = [way(pair, evidence.lost, one) for one in (plain, *candidates)]
        known = list(self._known)
        everyone = [*known, *((model, evidence, how) for how in ways)]
        built_alike = _all_shared([how for _, _, how in everyone])
        precisions = np.array([self._known[one][0] for one in known])
        shares = np.array([self._known[one][1] for one in known]) / precisions
        common = ALIKE * built_alike + SAME * _same(how for _, _, how in everyone)
        common *= np.where(_same(name for name, _, _ in everyone), 1.0, ELSEWHERE)
        common *= np.where(_same(seen for _, seen, _ in everyone), 1.0, UNLIKE)
        taught = Chances(np.full(len(everyone), EXPECTED), common).told(
            range(len(known)), shares, 1 / precisions
        )
        here = slice(len(known), None)
        own = (1 - ALIKE) * built_alike[here, here] + OWN * np.eye(len(ways))
        begun = Chances(taught.mean[here], taught.covariance[here, here] + own)
        right, total = audited
        if total:
            begun = begun.told([0], np.array([right / total]), np.array([NOISE / total]))
        return begun.mean[1:], begun.covariance[1:, 1:]


def shared(one: Way, two: Way) -> float:
    """Covariance of the chances of two candidates of a pair built so, before either is drawn.

    A sum of products of equalities, and of a bell over the lengths of openings, so that the matrix
    of any number of ways is a covariance. What all candidates of a pair share says how hard it is;
    then count whether a candidate switches at all, how it begins if so, and how its last prompt
    says either concept and both.
    """
    return float(_all_shared([one, two])[0, 1])


def _all_shared(some: Sequence[Way]) -> _Numbers:
    """What any two of them share, (ways, ways): hundreds, after some pairs."""
    opened = np.array([one.opening is not Opening.NONE for one in some])
    begins = _same(one.opening for one in some) & opened
    opens_for = np.array([one.opens_for for one in some])
    alike_long = np.exp(-(np.subtract.outer(opens_for, opens_for) ** 2) / 4)
    looks = np.where(_same(one.opens_by_looks for one in some), 1.0, 0.5)
    lost = _same((one.lost_named, one.lost_described) for one in some)
    rest = _same((one.other_named, one.other_described) for one in some)
    covariance: _Numbers = (
        PAIR
        + KIND * _same(opened.tolist())
        + OPENED * begins * alike_long * looks
        + FRAME * _same(one.frame for one in some)
        + SAID_LOST * lost
        + SAID_OTHER * rest
        + SAID_BOTH * (lost & rest)
        + KEPT_AWAY * _same(one.keeps_away for one in some)
    )
    return covariance


def _same(things: Iterable[Hashable]) -> npt.NDArray[np.bool_]:
    """Which two of them are equal."""
    places: dict[Hashable, int] = {}
    found = np.array([places.setdefault(one, len(places)) for one in things])
    equal: npt.NDArray[np.bool_] = found[:, None] == found
    return equal
