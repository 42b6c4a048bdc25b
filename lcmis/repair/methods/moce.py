"""MoCE: one concept alone for some steps, then the full prompt; the switch step is searched.

Source: Zhao et al., "Lost in Translation: Latent Concept Misalignment in Text-to-Image Diffusion
Models", ECCV 2024, section on Mixture of Concept Experts and its published code.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import StatisticsError, linear_regression, mean, stdev
from typing import Literal

from lcmis.judge.likeness import clipscore
from lcmis.plugins.protocols import Case, Evaluate
from lcmis.repair.methods.phrases import alone, other
from lcmis.types import Candidate, Seen, Side, Stage, Trial

FINE = (0.025, 0.05, 0.1, 0.15, 0.25, 0.33)
"""Fractions of the schedule worth trying first: a few steps already decide what a picture shows."""


@dataclass(frozen=True, slots=True)
class Moce:
    """Lays down one concept first, for as many steps as a search finds best.

    Args:
        mode: ``fork`` branches at several switch steps from one trunk a seed, gives more seeds to
            the branches that are right most often and to the steps where a line through the lead
            of the first concept says that it vanishes, and leaves an order in which no branch is
            right; where the balance lies beyond its branches it goes on as ``bisect``: bisection on
            a logarithmic scale, as many pictures a probe as it takes to see who leads.
            ``replicate`` is the paper's loop with its rule and momentum, and proposes the step that
            the loop ends with.
        first: the concept that comes first alone; by default what a text model says or, without
            one, the lost concept, and then the other. Outside of ``replicate`` each is tried by its
            name and, where that is not enough, by its looks: a name may lead to the damage.
        pictures: of one probe, in ``replicate``.
        threshold: CLIPScore that both concepts must exceed, in ``replicate``.
        distance: difference of CLIPScores that is accepted as balance, in ``replicate``.

    Deviations from the source: one model draws both stages; ``replicate`` starts its momentum anew
    for every pair, the published code only once, and cuts no description that CLIP cannot read
    whole; outside of ``replicate`` the guide says which concepts are there, two equally bad scores
    never pass, momentum is off, both orders are tried, the first concept also by its looks, and a
    switch step is accepted when ``enough`` of at least eight pictures are right.
    """

    mode: Literal["fork", "bisect", "replicate"] = "fork"
    first: Side | None = None
    pictures: int = 64
    threshold: float = 0.72
    distance: float = 0.01
    enough: float = 0.8

    @property
    def repairer_id(self) -> str:
        """The algorithm and its mode."""
        return f"moce-{self.mode}"

    @property
    def needs_likeness(self) -> bool:
        """Whether its thresholds are CLIPScores, which only such a guide gives."""
        return self.mode == "replicate"

    def repair(self, case: Case, evaluate: Evaluate) -> None:
        """Search with one concept first, then with the other, then by looks, until it is enough."""
        if not fine_steps(case.num_inference_steps) or not case.supports_stages:
            return
        if self.needs_likeness and case.likeness_weight is None:
            return
        search = {"fork": self._fork, "bisect": self._bisect, "replicate": self._replicate}
        for first, opening in self._openings(case):
            if search[self.mode](_Probe(case, evaluate, first, opening)):
                return

    def choose(self, case: Case, trials: Sequence[Trial]) -> Candidate | None:
        """In ``replicate``, the step that the loop accepted; where it accepted none, that whose
        weaker CLIPScore is highest. None in other modes: the best by the guide stands.

        Where the budget ended in the middle of a probe, that one is left out, if there is another.
        """
        if self.mode != "replicate" or case.likeness_weight is None:
            return None
        seen: dict[Candidate, dict[int, Seen]] = {}
        for trial in trials:
            if trial.seen:
                seen.setdefault(trial.candidate, {}).update((one.seed, one) for one in trial.seen)
        whole = min(self.pictures, len(case.seeds))
        probed = {one: by for one, by in seen.items() if len(by) >= whole} or seen
        scores = {one: clipscores(by.values(), case) for one, by in probed.items()}
        accepted = (one for one, (a, b) in scores.items() if self._accepts(a, b))
        return next(accepted, max(scores, key=lambda one: min(scores[one]), default=None))

    def _accepts(self, one: float, other: float) -> bool:
        """The source's rule, of the CLIPScores of both concepts."""
        return min(one, other) > self.threshold or abs(one - other) < self.distance

    def _openings(self, case: Case) -> list[tuple[Side, str]]:
        """What may come first alone: each concept by its name, then by its looks."""
        orders = [self.first] if self.first else [case.first, other(case.first)]
        named = [(side, alone(case.pair, side)) for side in orders]
        if self.mode == "replicate":
            return named[:1]
        looks = [(side, case.pair.concept(side).description) for side in orders]
        return [*named, *((side, look) for side, look in looks if look)]

    def _replicate(self, probe: _Probe) -> bool:
        """The paper's loop: of 40 steps, from 10, between 1 and 19."""
        steps = probe.case.num_inference_steps
        low, high, step = 1, max(2, round(0.475 * steps)), max(1, round(0.25 * steps))
        last_move, momentum, uses = 0, 1, 0
        while True:
            leading, trailing = probe.clipscores(step, self.pictures)
            if self._accepts(leading, trailing):
                return True
            low, high = (low, step) if leading > trailing else (step, high)
            if high - low <= 1:
                return False
            step = math.ceil((low + high) / 2) + momentum * last_move
            last_move = -1 if leading > trailing else 1
            uses += 1
            momentum = 1 if uses < 2 else 0

    def _bisect(self, probe: _Probe, low: int = 0) -> bool:
        """Bisection from ``low`` to half of the steps, finest where the first steps decide."""
        high = probe.case.num_inference_steps // 2 + 1
        while high - low > 1:
            step = round(math.sqrt(max(low, 1) * high))
            lead = probe.lead(step, self.enough)
            if probe.share(step) >= self.enough:
                return True
            low, high = (low, step) if lead > 0 else (step, high)
        return False

    def _fork(self, probe: _Probe) -> bool:
        """One trunk a seed and branches at several steps; then fewer steps and more seeds."""
        steps = fine_steps(probe.case.num_inference_steps)
        block = min(8, max(4, probe.case.batch_size // len(steps)))
        affordable = probe.case.budget // (len(self._openings(probe.case)) * len(steps))
        probe.extend(steps, max(2, min(block, affordable)))  # every opening shall have its look
        for rounds, kept in ((2, 2), (3, 1)):
            if probe.is_found(self.enough):
                return True
            new = probe.around_balance()
            if not new and not any(map(probe.share, probe.steps)):
                break
            probe.extend([*probe.standing()[:kept], *new], rounds * block)
        return probe.is_found(self.enough) or (
            probe.balance_is_later() and self._bisect(probe, steps[-1])
        )


def bisect() -> Moce:
    """MoCE by bisection alone, one switch step after the other."""
    return Moce("bisect")


def replicate() -> Moce:
    """MoCE's published loop with its rule and momentum, for comparison; needs a large budget."""
    return Moce("replicate")


def candidates(case: Case, finest: int | None = None) -> list[Candidate]:
    """Both orders at every fine switch step, or at the ``finest`` ones only; for other searches."""
    if not case.supports_stages:
        return []
    return [
        two_stages(case, first, step)
        for first in (case.first, other(case.first))
        for step in fine_steps(case.num_inference_steps)[:finest]
    ]


def two_stages(case: Case, first: Side, step: int) -> Candidate:
    """One concept alone, by its name, for ``step`` denoising steps, then the full prompt."""
    return opened_by(case, alone(case.pair, first), step)


def opened_by(case: Case, opening: str, step: int) -> Candidate:
    """Any words for ``step`` denoising steps, then the full prompt."""
    return Candidate((Stage(opening, step / case.num_inference_steps), Stage(case.pair.prompt)))


def fine_steps(num_inference_steps: int) -> list[int]:
    """Switch steps in the first third, closest at the beginning; none where steps are too few."""
    if num_inference_steps < 4:
        return []
    return sorted({max(1, round(share * num_inference_steps)) for share in FINE})


@dataclass(frozen=True, slots=True)
class Balance:
    """The switch step at which neither concept leads."""

    step: float
    half_width: float
    """Of its interval: two jackknife standard errors, seeds left out one by one."""


def balance(leads: Mapping[int, Mapping[int, float]]) -> Balance | None:
    """Fit a line through leads by switch step and seed; None if the lead does not grow with steps.

    Source: Quenouille, Biometrika 1956 (jackknife), with seeds as blocks, since the pictures of
    one seed are alike.
    """
    seeds = sorted({seed for of_step in leads.values() for seed in of_step})
    whole = _root(leads, None)
    parts = [_root(leads, seed) for seed in seeds]
    known = [part for part in parts if part is not None]
    if whole is None or len(known) < len(parts) or len(parts) < 3:
        return None
    spread = sum((part - mean(known)) ** 2 for part in known)
    return Balance(whole, 2 * math.sqrt(spread * (len(known) - 1) / len(known)))


def _root(leads: Mapping[int, Mapping[int, float]], left_out: int | None) -> float | None:
    points = [
        (step, lead)
        for step, of_step in leads.items()
        for seed, lead in of_step.items()
        if seed != left_out
    ]
    try:
        slope, at_zero = linear_regression(*zip(*points, strict=True))
    except (StatisticsError, TypeError):  # fewer than two switch steps
        return None
    return -at_zero / slope if slope > 0 else None


def clipscores(seen: Iterable[Seen], case: Case) -> tuple[float, float]:
    """CLIPScores of A and of B over pictures; 0 where nothing was seen."""
    items, weight = tuple(seen), case.likeness_weight or 0.0
    a = clipscore([item.a for item in items], [item.a_described for item in items], weight)
    b = clipscore([item.b for item in items], [item.b_described for item in items], weight)
    return a or 0.0, b or 0.0


class _Probe:
    """Trials of one opening, by switch step and seed."""

    def __init__(self, case: Case, evaluate: Evaluate, first: Side, opening: str) -> None:
        self.case = case
        self.first = first
        self._opening = opening
        self._evaluate = evaluate
        self._seen: dict[int, dict[int, Seen]] = {}

    @property
    def steps(self) -> list[int]:
        """Tried by now, in rising order."""
        return sorted(self._seen)

    def extend(self, steps: Sequence[int], end: int) -> None:
        """See every one of these steps on the first ``end`` seeds, all that lacks at once."""
        lacking = {
            step: [seed for seed in self.case.seeds[:end] if seed not in self._seen.get(step, {})]
            for step in steps
        }
        asked = {step: seeds for step, seeds in lacking.items() if seeds}
        if not asked:
            return
        trials = self._evaluate.together(
            [(opened_by(self.case, self._opening, step), seeds) for step, seeds in asked.items()]
        )
        for step, trial in zip(asked, trials, strict=True):
            self._seen.setdefault(step, {}).update((item.seed, item) for item in trial.seen)

    def clipscores(self, step: int, count: int) -> tuple[float, float]:
        """CLIPScores of the first concept and of the other; 0 where nothing was seen."""
        self.extend([step], count)
        a, b = clipscores(self._seen.get(step, {}).values(), self.case)
        return (a, b) if self.first is Side.A else (b, a)

    def leads(self, step: int) -> dict[int, float]:
        """Score of the first concept less that of the other, by seed."""
        sign = 1 if self.first is Side.A else -1
        return {
            seed: sign * (item.a - item.b)
            for seed, item in self._seen.get(step, {}).items()
            if item.a is not None and item.b is not None
        }

    def share(self, step: int) -> float:
        """Of pictures that show both concepts."""
        worse = [item.worse for item in self._seen.get(step, {}).values()]
        known = [score for score in worse if score is not None]
        return mean(score >= self.case.threshold for score in known) if known else 0.0

    def is_found(self, enough: float) -> bool:
        """Whether a step is right in so large a share of at least eight pictures."""
        return any(
            len(seen) >= 8 and self.share(step) >= enough for step, seen in self._seen.items()
        )

    def standing(self) -> list[int]:
        """Steps, those that are right most often first, then those where neither leads by much."""
        return sorted(
            self.steps, key=lambda step: (-self.share(step), abs(_mean(self.leads(step).values())))
        )

    def _first_beyond(self) -> int:
        """Of the steps tried, how many lie before the balance: the cut that the leads, negative
        before it and positive after it, contradict least.
        """
        leads = [_mean(self.leads(step).values()) for step in self.steps]
        return min(
            range(len(leads) + 1),
            key=lambda cut: (
                sum(max(x, 0) for x in leads[:cut]) - sum(min(x, 0) for x in leads[cut:])
            ),
        )

    def balance_is_later(self) -> bool:
        """Whether the other concept leads even at the last step tried."""
        return self._first_beyond() == len(self.steps)

    def around_balance(self) -> list[int]:
        """Steps not tried yet where the lead may vanish: one, or two if the line is unsure."""
        cut, steps = self._first_beyond(), self.steps
        if cut == len(steps):
            return []
        low, high = (steps[cut - 1] if cut else 0), steps[cut]
        line = balance({step: self.leads(step) for step in steps[max(0, cut - 2) : cut + 2]})
        middle = line.step if line is not None else math.sqrt(max(low, 1) * high)
        nearest = sorted(range(low + 1, high), key=lambda step: abs(step - middle))
        return nearest[: 1 if line is not None and line.half_width <= 1 else 2]

    def lead(self, step: int, enough: float, *, most: int = 24) -> float:
        """Mean lead, from as many seeds as it takes to be two errors from zero, or to be right."""
        more = min(8, max(4, self.case.batch_size // 2))  # fewer would take as long
        for end in range(8, most + 1, more):
            self.extend([step], end)
            leads = list(self.leads(step).values())
            error = stdev(leads) / math.sqrt(len(leads)) if len(leads) > 1 else math.inf
            if self.share(step) >= enough or (leads and abs(mean(leads)) >= 2 * error):
                break
        return _mean(leads)


def _mean(scores: Iterable[float | None]) -> float:
    known = [score for score in scores if score is not None]
    return mean(known) if known else 0.0
