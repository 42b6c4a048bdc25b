"""From scores to opinions: verdicts, rates with intervals, levels, stopping rules, tests.

Everything here is a pure function of its arguments. A *rate* is always one of pictures that came
out right (aligned); a stopping rule asks about the other side, whether the *failure* rate exceeds
its threshold. scipy and statsmodels are imported where they are used: importing this module is quick.
"""

from __future__ import annotations

import enum
import functools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from lcmis.types import NONE_OF_THESE, LevelRange, Rate, Verdict

Floats = npt.NDArray[np.float64]

UNNAMED = "unnamed"
"""Stands for an intruder that no option named."""

# ── one picture ──────────────────────────────────────────────────────────────────────────────────


def verdict(
    a: float | None,
    b: float | None,
    *,
    threshold_a: float = 0.5,
    threshold_b: float = 0.5,
    refused: bool = False,
) -> Verdict:
    """Say what a picture shows, from the scores of its two concepts in [0, 1].

    A concept is there when its score reaches the threshold. One abstention (None) leaves the
    picture unscored, whatever the other score: silence is not absence.

    Raises:
        ValueError: a score outside [0, 1], NaN included.
    """
    for score in (a, b):
        if score is not None and not 0 <= score <= 1:
            raise ValueError(f"a score lies in [0, 1], got {score}")
    if refused:
        return Verdict.REFUSED
    if a is None or b is None:
        return Verdict.UNSCORED
    match a >= threshold_a, b >= threshold_b:
        case True, True:
            return Verdict.ALIGNED
        case False, True:
            return Verdict.A_MISSING
        case True, False:
            return Verdict.B_MISSING
        case _:
            return Verdict.BOTH_MISSING


# ── rates and levels ─────────────────────────────────────────────────────────────────────────────


def rate(correct: int, total: int, *, confidence: float = 0.95) -> Rate:
    """Wilson's interval for a number of pictures that was fixed beforehand.

    With no pictures the interval is [0, 1] and the value its middle, 0.5, the limit of Wilson's
    centre: show ``total``, or no number at all.

    Source: Wilson, JASA 1927; Brown, Cai, DasGupta, Statistical Science 2001, equation 4.

    Raises:
        ValueError: counts that are not 0 <= correct <= total, a confidence outside (0, 1).
    """
    _check_counts(correct, total)
    if total == 0:
        return Rate(value=0.5, low=0.0, high=1.0, total=0)
    low, high = _wilson(correct / total, total, _two_sided_z(confidence))
    return Rate(value=correct / total, low=low, high=high, total=total)


def level(correct: int, total: int) -> int:
    """Severity by the LC-Mis paper's table, 1 (16-20 of 20 right) to 5 (none right).

    Other totals take the level of the nearest count out of 20, halves upwards: the cuts are
    31/40, 21/40, 11/40 and 1/40, midway between the table's neighbours. Fifths of the unit interval
    would not give the table back (11 of 20 is level 2, yet below 0.6).

    Source: Zhao et al., "Lost in Translation: Latent Concept Misalignment in Text-to-Image
    Diffusion Models", ECCV 2024, section on levels.

    Raises:
        ValueError: no pictures, or counts that are not 0 <= correct <= total.
    """
    _check_counts(correct, total)
    if total == 0:
        raise ValueError("a level needs at least one scored picture")
    return 1 + sum(40 * correct < cut * total for cut in _LEVEL_CUTS)


def level_range(rate: Rate) -> LevelRange:
    """The levels that the interval of a rate (of pictures *right*) allows, by :func:`level`'s cuts.

    Level 5 alone is a strong claim, a true rate below 1/40: no success in 150 pictures. Twenty
    failures out of twenty give 4-5.
    """
    best, worst = (
        1 + sum(bound < cut / 40 for cut in _LEVEL_CUTS) for bound in (rate.high, rate.low)
    )
    return LevelRange(low=best, high=worst)


_LEVEL_CUTS = (31, 21, 11, 1)  # in fortieths


def corrected_rate(rate: Rate, sensitivity: float, specificity: float) -> Rate:
    """The rate that the checker's known errors leave, clipped to [0, 1].

    ``sensitivity`` is the share of right pictures that the checker calls right, ``specificity`` the
    share of wrong ones that it calls wrong. Both are taken as known exactly: the interval carries
    the uncertainty of the pictures alone, stretched.

    Source: Rogan and Gladen, American Journal of Epidemiology 1978.

    Raises:
        ValueError: shares outside [0, 1], or a checker no better than a coin (their sum <= 1).
    """
    if not (0 <= sensitivity <= 1 and 0 <= specificity <= 1):
        raise ValueError(
            f"sensitivity and specificity lie in [0, 1], got {sensitivity}, {specificity}"
        )
    informed = sensitivity + specificity - 1
    if informed <= 0:
        raise ValueError(
            f"sensitivity {sensitivity} and specificity {specificity} add up to 1 or less: "
            "such a checker says nothing about the rate"
        )
    value, low, high = (
        min(1.0, max(0.0, (seen + specificity - 1) / informed))
        for seen in (rate.value, rate.low, rate.high)
    )
    return Rate(value=value, low=low, high=high, total=rate.total, stopped=rate.stopped)


def _check_counts(correct: int, total: int) -> None:
    if not 0 <= correct <= total:
        raise ValueError(f"counts need 0 <= correct <= total, got {correct} of {total}")


def _two_sided_z(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ValueError(f"a confidence lies in (0, 1), got {confidence}")
    return NormalDist().inv_cdf((1 + confidence) / 2)


def _wilson(value: float, total: float, z: float) -> tuple[float, float]:
    """Wilson's bounds; ``total`` may be an effective number, ``z`` another quantile."""
    shrink = 1 + z * z / total
    centre = (value + z * z / (2 * total)) / shrink
    half = z * math.sqrt(value * (1 - value) / total + (z / (2 * total)) ** 2) / shrink
    # Rounding must not push a bound past the point or past the end it coincides with.
    low = 0.0 if value == 0 else min(value, max(0.0, centre - half))
    high = 1.0 if value == 1 else max(value, min(1.0, centre + half))
    return low, high


# ── when to stop drawing ─────────────────────────────────────────────────────────────────────────


class Decision(enum.StrEnum):
    """What a stopping rule says of a pair after a look at its pictures."""

    CONTINUE = "continue"
    FAILS = "fails"
    """The failure rate exceeds the threshold."""
    PASSES = "passes"
    """It does not."""
    UNDECIDED = "undecided"
    """No more pictures will come, and they speak for neither."""


class StoppingRule(Protocol):
    """Decides from counts when a pair has been seen often enough; hashable, no state.

    Looks are meant after every ``block`` scored pictures and at ``cap``. A look elsewhere (a
    picture was refused) is answered by the same bounds.
    """

    def __hash__(self) -> int:
        """Equal settings, equal hash: what a rule promises is computed once."""

    @property
    def name(self) -> str:
        """Goes into ``Rate.stopped``; spells out every setting."""

    @property
    def block(self) -> int:
        """Pictures per look."""

    @property
    def cap(self) -> int:
        """Pictures after which it always decides."""

    @property
    def threshold(self) -> float:
        """The failure rate in question."""

    def decide(self, correct: int, total: int) -> Decision:
        """Say what ``correct`` of ``total`` scored pictures mean."""

    def capped(self, correct: int, total: int) -> bool:
        """Whether the cap forced the decision, the evidence being short of the promised error."""


@dataclass(frozen=True, slots=True)
class FixedN:
    """The published protocol: draw ``total`` pictures, then compare.

    Raises:
        ValueError: a threshold outside [0, 1), fewer than one picture or picture per look.
    """

    total: int = 20
    threshold: float = 0.5
    block: int = 4

    def __post_init__(self) -> None:
        _check_rule(self.total, self.block, self.threshold)

    @property
    def name(self) -> str:
        """E.g. ``"fixed 20"``."""
        return f"fixed {self.total}{_unless_half(self.threshold)}"

    @property
    def cap(self) -> int:
        """All pictures, always."""
        return self.total

    def decide(self, correct: int, total: int) -> Decision:
        """Fails when strictly more than the threshold's share is wrong: 11 of 20, not 10."""
        _check_counts(correct, total)
        if total < self.total:
            return Decision.CONTINUE
        failing = total - correct >= _failures_that_fail(total, self.threshold)
        return Decision.FAILS if failing else Decision.PASSES

    def capped(self, correct: int, total: int) -> bool:
        """Never: the number of pictures is the design."""
        return False


@dataclass(frozen=True, slots=True)
class Curtailed:
    """:class:`FixedN` that stops once the missing pictures cannot change the outcome.

    The decision is the same for every sequence of pictures, at 30 to 41 % fewer of them.

    Raises:
        ValueError: as for :class:`FixedN`.
    """

    total: int = 20
    threshold: float = 0.5
    block: int = 4

    def __post_init__(self) -> None:
        _check_rule(self.total, self.block, self.threshold)

    @property
    def name(self) -> str:
        """E.g. ``"curtailed 20"``."""
        return f"curtailed {self.total}{_unless_half(self.threshold)}"

    @property
    def cap(self) -> int:
        """The total, where nothing is left open."""
        return self.total

    def decide(self, correct: int, total: int) -> Decision:
        """Fails or passes as soon as ``self.total`` pictures would, come what may."""
        _check_counts(correct, total)
        end = max(total, self.total)
        needed = _failures_that_fail(end, self.threshold)
        if total - correct >= needed:
            return Decision.FAILS
        if end - correct < needed:
            return Decision.PASSES
        return Decision.CONTINUE

    def capped(self, correct: int, total: int) -> bool:
        """Never: it decides what the fixed number would."""
        return False


@dataclass(frozen=True, slots=True)
class Sprt:
    """Sequential probability ratio test of failure rate ``threshold + delta`` against ``- delta``.

    Errors are ``alpha`` (a pair at the lower rate called failing) and ``beta`` (one at the upper
    called passing), but for the cap: there the likelier of the two hypotheses wins, a tie leaves
    the pair undecided, and :meth:`capped` says so.

    Source: Wald, Annals of Mathematical Statistics 1945, with truncation.

    Raises:
        ValueError: hypotheses outside (0, 1), errors outside (0, 0.5), no pictures.
    """

    threshold: float = 0.5
    delta: float = 0.18
    alpha: float = 0.05
    beta: float = 0.05
    block: int = 4
    cap: int = 20

    def __post_init__(self) -> None:
        _check_rule(self.cap, self.block, self.threshold)
        if not 0 < self.threshold - self.delta < self.threshold + self.delta < 1:
            raise ValueError(
                f"threshold {self.threshold} plus and minus delta {self.delta} must be two rates "
                "within (0, 1)"
            )
        if not (0 < self.alpha < 0.5 and 0 < self.beta < 0.5):
            raise ValueError(f"errors lie in (0, 0.5), got {self.alpha} and {self.beta}")

    @property
    def name(self) -> str:
        """E.g. ``"sprt 0.5±0.18 errors 0.05/0.05 every 4 to 20"``."""
        return (
            f"sprt {self.threshold:g}±{self.delta:g} errors {self.alpha:g}/{self.beta:g} "
            f"every {self.block} to {self.cap}"
        )

    def log_likelihood_ratio(self, correct: int, total: int) -> float:
        """Natural logarithm, for the upper failure rate over the lower."""
        lower, upper = self.threshold - self.delta, self.threshold + self.delta
        for_failure, for_success = math.log(upper / lower), math.log((1 - upper) / (1 - lower))
        return (total - correct) * for_failure + correct * for_success

    def decide(self, correct: int, total: int) -> Decision:
        """Fails or passes at Wald's bounds, or by the sign of the ratio from the cap on."""
        _check_counts(correct, total)
        ratio = self.log_likelihood_ratio(correct, total)
        upper, lower = self._bounds()
        if total >= self.cap:
            upper, lower = _TIE, -_TIE
        if ratio >= upper:
            return Decision.FAILS
        if ratio <= lower:
            return Decision.PASSES
        return Decision.UNDECIDED if total >= self.cap else Decision.CONTINUE

    def capped(self, correct: int, total: int) -> bool:
        """Whether the cap came before Wald's bounds."""
        lower, upper = sorted(self._bounds())
        return total >= self.cap and lower < self.log_likelihood_ratio(correct, total) < upper

    def _bounds(self) -> tuple[float, float]:
        upper = math.log((1 - self.beta) / self.alpha)
        lower = math.log(self.beta / (1 - self.alpha))
        return upper - _TIE, lower + _TIE


_TIE = 1e-9  # a ratio nearer to a bound than this differs from it by rounding only


def _check_rule(cap: int, block: int, threshold: float) -> None:
    if cap < 1 or block < 1:
        raise ValueError(f"a rule needs pictures: got {cap} in blocks of {block}")
    if not 0 <= threshold < 1:
        raise ValueError(f"a failure rate to exceed lies in [0, 1), got {threshold}")


def _unless_half(threshold: float) -> str:
    return "" if threshold == 0.5 else f" at {threshold:g}"


def _failures_that_fail(total: int, threshold: float) -> int:
    """The smallest number of failures whose share strictly exceeds the threshold."""
    return math.floor(threshold * total + 1e-9) + 1


# ── what a rule promises ─────────────────────────────────────────────────────────────────────────


class OperatingCharacteristics(NamedTuple):
    """What a rule does at one true rate."""

    fails: float
    """Probability of the decision FAILS."""
    pictures: float
    """Expected number."""


def operating_characteristics(rule: StoppingRule, failure_rate: float) -> OperatingCharacteristics:
    """Exact error and cost, counting every path to every place where the rule stops.

    Pictures of one pair are taken as independent at one ``failure_rate``.

    Raises:
        ValueError: a rate outside [0, 1].
    """
    if not 0 <= failure_rate <= 1:
        raise ValueError(f"a failure rate lies in [0, 1], got {failure_rate}")
    ends = _ends(rule, rule.cap)
    reached = ends.probability(np.array([1 - failure_rate]))[:, 0]
    return OperatingCharacteristics(
        fails=float(reached[ends.fails].sum()), pictures=float(reached @ ends.total)
    )


@dataclass(frozen=True, slots=True)
class ExpectedPictures:
    """Scored pictures per pair that a rule will ask for."""

    mean: float
    low: int
    high: int


def expected_pictures(
    rule: StoppingRule, population: tuple[float, float] = (0.5, 0.5)
) -> ExpectedPictures:
    """Cost per pair when the pairs' failure rates follow a Beta distribution.

    The default is U-shaped: most pairs nearly always work or nearly never do. Exact, as
    :func:`operating_characteristics`, integrated over the population.

    Raises:
        ValueError: a shape parameter that is not positive.
    """
    failing, passing = population
    if failing <= 0 or passing <= 0:
        raise ValueError(f"a Beta distribution has two positive shapes, got {population}")
    ends = _ends(rule, rule.cap)
    reached = [
        math.exp(
            math.log(paths)
            + _log_beta(failing + total - correct, passing + correct)
            - _log_beta(failing, passing)
        )
        for paths, correct, total in zip(ends.paths, ends.correct, ends.total, strict=True)
    ]
    return ExpectedPictures(
        mean=float(np.array(reached) @ ends.total),
        low=int(ends.total.min()),
        high=int(ends.total.max()),
    )


def _log_beta(x: float, y: float) -> float:
    return math.lgamma(x) + math.lgamma(y) - math.lgamma(x + y)


@dataclass(frozen=True, slots=True, eq=False)
class _Ends:
    """Every place where a rule stops, each array of shape (places,)."""

    correct: Floats
    total: Floats
    paths: Floats
    """How many orders of right and wrong lead there, past no other place."""
    fails: npt.NDArray[np.bool_]

    def probability(self, aligned: Floats) -> Floats:
        """Of ending at each place, (places, rates), for true rates of right pictures (rates,)."""
        right = aligned[None, :] ** self.correct[:, None]
        wrong = (1 - aligned)[None, :] ** (self.total - self.correct)[:, None]
        return self.paths[:, None] * right * wrong


@functools.lru_cache(maxsize=256)
def _ends(rule: StoppingRule, cap: int) -> _Ends:
    """Walk the lattice of counts; whoever is still on the way at ``cap`` ends there."""
    if cap > 1000:  # the number of paths, 2**cap, must fit a double
        raise ValueError(f"paths are counted exactly up to 1000 pictures, not to {cap}")
    found: list[tuple[int, int, float, bool]] = []
    on_the_way = np.ones(1)  # paths by number correct, (n + 1,)
    for total in range(1, cap + 1):
        on_the_way = np.append(on_the_way, 0.0) + np.append(0.0, on_the_way)
        if total % rule.block and total != cap:
            continue
        for correct in np.flatnonzero(on_the_way).tolist():
            decision = rule.decide(correct, total)
            if decision is not Decision.CONTINUE or total == cap:
                paths = float(on_the_way[correct])
                found.append((correct, total, paths, decision is Decision.FAILS))
                on_the_way[correct] = 0.0
    correct_at, total_at, paths_to, fails_at = zip(*found, strict=True)
    return _Ends(
        correct=np.array(correct_at, dtype=np.float64),
        total=np.array(total_at, dtype=np.float64),
        paths=np.array(paths_to, dtype=np.float64),
        fails=np.array(fails_at, dtype=np.bool_),
    )


# ── intervals that survive stopping ──────────────────────────────────────────────────────────────


def stopped_interval(
    correct: int, total: int, rule: StoppingRule, *, confidence: float = 0.95
) -> Rate:
    """The rate of pictures right, with an interval that is valid although the rule chose the total.

    Jeffreys intervals at a level calibrated once per rule, so that *at the stopping time* the
    coverage is at least ``confidence`` whatever the true rate (exact, worst case). A pair that the
    rule has not finished with (the budget ended) is judged under the rule cut at ``total``. A
    fixed number has Wilson's interval, as :func:`rate`. The value is the raw share, which stopping
    biases outwards: publish it with its interval, and build leaderboards on :func:`fixed_prefix`.

    Source: the interval, Brown, Cai, DasGupta, Statistical Science 2001, section 3.1.

    Raises:
        ValueError: counts that are not 0 <= correct <= total, a confidence outside (0, 1).
    """
    plain = rate(correct, total, confidence=confidence)
    if total == 0 or isinstance(rule, FixedN):
        return Rate(plain.value, plain.low, plain.high, total, stopped=rule.name)
    finished = rule.decide(correct, total) is not Decision.CONTINUE
    tail = _calibrated_tail(rule, max(rule.cap, total) if finished else total, confidence)
    low, high = _jeffreys(np.array([float(correct)]), np.array([float(total)]), tail)
    return Rate(
        value=plain.value,
        low=min(plain.value, float(low[0])),
        high=max(plain.value, float(high[0])),
        total=total,
        stopped=rule.name,
    )


def _jeffreys(correct: Floats, total: Floats, tail: float) -> tuple[Floats, Floats]:
    """Bounds at level ``1 - tail``, reaching the end of the scale when all pictures agree."""
    from scipy.special import betaincinv

    wrong = total - correct
    low = np.where(correct == 0, 0.0, betaincinv(correct + 0.5, wrong + 0.5, tail / 2))
    high = np.where(wrong == 0, 1.0, betaincinv(correct + 0.5, wrong + 0.5, 1 - tail / 2))
    return low, high


@functools.lru_cache(maxsize=256)
def _calibrated_tail(rule: StoppingRule, cap: int, confidence: float) -> float:
    """The largest level, at most the nominal one, that keeps the worst coverage."""
    shallow, deep = 1 - confidence, (1 - confidence) / 1000
    if _worst_coverage(rule, cap, shallow) >= confidence:
        return shallow
    for _ in range(24):  # intervals are nested in the level, so coverage is monotone
        middle = math.sqrt(shallow * deep)
        if _worst_coverage(rule, cap, middle) >= confidence:
            deep = middle
        else:
            shallow = middle
    return deep


def _worst_coverage(rule: StoppingRule, cap: int, tail: float) -> float:
    """The least probability, over all true rates, that the interval at the stop holds the rate."""
    ends = _ends(rule, cap)
    low, high = _jeffreys(ends.correct, ends.total, tail)
    jumps = np.concatenate([low, high])  # coverage is a polynomial between neighbouring bounds
    grid = np.linspace(0, 1, 501)
    rates = np.unique(np.clip(np.concatenate([grid, jumps - 1e-9, jumps + 1e-9]), 0, 1))
    holds = (low[:, None] <= rates) & (rates <= high[:, None])
    return float((ends.probability(rates) * holds).sum(axis=0).min())


# ── one pair ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Picture:
    """What a checker said of one picture of a pair."""

    a: float | None
    b: float | None
    refused: bool = False
    intruder_a: str | None = None
    """The option chosen for what stands in a's place; None where nobody asked or it abstained."""
    intruder_b: str | None = None


@dataclass(frozen=True, slots=True)
class IntruderCount:
    """How often one name was given to what displaced a concept."""

    name: str
    """The option, or :data:`UNNAMED`."""
    count: int
    total: int
    """Pictures in which the concept is missing."""


@dataclass(frozen=True, slots=True)
class PairJudgement:
    """What a pair's pictures say, under thresholds and a stopping rule."""

    verdicts: tuple[Verdict, ...]
    """One a picture, in the order given."""
    aligned: Rate
    """Of scored pictures, those right."""
    level: int | None
    """The paper's point level; None without a scored picture. Report ``levels``."""
    levels: LevelRange
    failing: Decision
    capped: bool
    """Whether the cap, not the evidence, decided."""
    intruders_a: tuple[IntruderCount, ...]
    """Commonest first, unnamed last; empty when a is never missing."""
    intruders_b: tuple[IntruderCount, ...]

    def count(self, verdict: Verdict) -> int:
        """How many pictures got this verdict."""
        return self.verdicts.count(verdict)


def judge_pair(
    pictures: Sequence[Picture],
    *,
    asked_a: str = "",
    asked_b: str = "",
    threshold_a: float = 0.5,
    threshold_b: float = 0.5,
    rule: StoppingRule | None = None,
    confidence: float = 0.95,
) -> PairJudgement:
    """Judge all pictures of one pair; without a rule, their number counts as fixed at what it is.

    Refused and unscored pictures count in no rate. If the rule would go on but as many pictures
    as its cap have been drawn, scored or not, the pair is undecided. An intruder counts only where
    its concept is missing; the asked concept (``asked_a``, ``asked_b``, by name) and "none of
    these" name nobody.
    """
    verdicts = tuple(
        verdict(
            picture.a,
            picture.b,
            threshold_a=threshold_a,
            threshold_b=threshold_b,
            refused=picture.refused,
        )
        for picture in pictures
    )
    correct, total = counts(verdicts)
    if rule is None:
        rule = FixedN(total=max(1, total))
    decision = rule.decide(correct, total)
    if decision is Decision.CONTINUE and len(pictures) >= rule.cap:
        decision = Decision.UNDECIDED
    aligned = stopped_interval(correct, total, rule, confidence=confidence)
    judged = list(zip(pictures, verdicts, strict=True))
    return PairJudgement(
        verdicts=verdicts,
        aligned=aligned,
        level=level(correct, total) if total else None,
        levels=level_range(aligned),
        failing=decision,
        capped=decision is not Decision.CONTINUE and rule.capped(correct, total),
        intruders_a=_intruders([p.intruder_a for p, v in judged if v in _LACKS_A], asked_a),
        intruders_b=_intruders([p.intruder_b for p, v in judged if v in _LACKS_B], asked_b),
    )


_LACKS_A = frozenset({Verdict.A_MISSING, Verdict.BOTH_MISSING})
_LACKS_B = frozenset({Verdict.B_MISSING, Verdict.BOTH_MISSING})


def _intruders(named: Sequence[str | None], asked: str) -> tuple[IntruderCount, ...]:
    nobody = {"", NONE_OF_THESE, asked}
    tally = Counter(UNNAMED if name is None or name in nobody else name for name in named)
    ranked = sorted(tally.items(), key=lambda item: (item[0] == UNNAMED, -item[1], item[0]))
    return tuple(IntruderCount(name, count, len(named)) for name, count in ranked)


def counts(verdicts: Sequence[Verdict]) -> tuple[int, int]:
    """``(correct, total)`` of the scored ones."""
    scored = [item for item in verdicts if item.is_scored]
    return scored.count(Verdict.ALIGNED), len(scored)


# ── many pairs ───────────────────────────────────────────────────────────────────────────────────


def fixed_prefix(verdicts: Sequence[Verdict], n: int) -> tuple[int, int]:
    """``(correct, total)`` among the first ``n`` pictures of a pair, in the order of their seeds.

    A pair that stops early stops at an extreme, so raw shares of stopped pairs are biased; the
    same first pictures of every pair are not. ``n`` must be no more than the rule's first look
    (its ``block``) unless every pair was drawn further; 8 is a good number for a leaderboard.

    Raises:
        ValueError: fewer than ``n`` pictures: such a pair would bias the mean.
    """
    if len(verdicts) < n:
        raise ValueError(f"this pair has {len(verdicts)} pictures; a fair mean needs its first {n}")
    return counts(verdicts[:n])


def model_rate(pairs: Sequence[tuple[int, int]], *, confidence: float = 0.95) -> Rate:
    """A model's share of right pictures over many pairs, with an interval clustered by pair.

    ``pairs`` holds ``(correct, total)`` of each pair, from :func:`fixed_prefix`. Pairs are the
    sample, pictures are not: the linearised variance of the ratio between pairs gives an effective
    number of pictures, used in Wilson's formula with Student's quantile on pairs - 1 degrees of
    freedom. When all pictures agree, the effective number is that of pairs. One pair says nothing
    of others: [0, 1].

    Source: Cochran, Sampling Techniques, section 6.3 (variance of a ratio); Dean and Pagano,
    Survey Research Methods 2015 (Wilson's interval in cluster samples).

    Raises:
        ValueError: counts that are not 0 <= correct <= total, a confidence outside (0, 1).
    """
    for correct, total in pairs:
        _check_counts(correct, total)
    _two_sided_z(confidence)
    right, seen = np.array([pair for pair in pairs if pair[1]], dtype=np.float64).reshape(-1, 2).T
    clusters, pictures = len(seen), int(seen.sum())
    if clusters == 0:
        return rate(0, 0, confidence=confidence)
    value = float(right.sum() / pictures)
    if clusters == 1:
        return Rate(value=value, low=0.0, high=1.0, total=pictures)
    from scipy.special import stdtrit

    variance = clusters / (clusters - 1) * float(((right - value * seen) ** 2).sum()) / pictures**2
    effective = min(pictures, value * (1 - value) / variance) if variance > 0 else clusters
    low, high = _wilson(value, effective, float(stdtrit(clusters - 1, (1 + confidence) / 2)))
    return Rate(value=value, low=low, high=high, total=pictures)


# ── comparisons and plans ────────────────────────────────────────────────────────────────────────


def paired_test(wins: int, losses: int) -> float:
    """Two-sided exact p that two ways of drawing differ, from the seeds on which they disagree.

    Source: McNemar, Psychometrika 1947, in its exact binomial form.

    Raises:
        ValueError: a negative count.
    """
    if wins < 0 or losses < 0:
        raise ValueError(f"wins and losses are counts, got {wins} and {losses}")
    discordant = wins + losses
    tail = sum(math.comb(discordant, few) for few in range(min(wins, losses) + 1))
    return min(1.0, 2 * tail / 2**discordant)


def minimum_detectable_difference(
    pairs: int,
    pictures: int,
    rate: float = 0.5,
    *,
    icc: float = 0.5,
    correlation: float = 0.0,
    power: float = 0.8,
    alpha: float = 0.05,
) -> float:
    """The smallest difference of two models' rates that an audit of this size will notice.

    Two-sided normal test on pair means. ``icc`` is the share of the variance between pairs (0.5 for
    a U-shaped Beta(.5, .5) population); ``correlation`` that of the two models' pair rates when
    both are asked the same pairs (0: as if the pairs were different ones).

    Raises:
        ValueError: no pairs or pictures, or a share outside its range.
    """
    if pairs < 1 or pictures < 1:
        raise ValueError(f"a comparison needs pairs and pictures, got {pairs} and {pictures}")
    if not (0 < rate < 1 and 0 <= icc <= 1 and 0 <= correlation <= 1):
        raise ValueError(
            f"rate lies in (0, 1), icc and correlation in [0, 1]; got {rate}, {icc}, {correlation}"
        )
    if not (0 < alpha < 1 and alpha / 2 < power < 1):
        raise ValueError(f"alpha {alpha} and power {power} are no test")
    between, within = icc * (1 - correlation), (1 - icc) / pictures
    deviation = math.sqrt(2 * rate * (1 - rate) * (between + within) / pairs)
    normal = NormalDist()
    return (normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(power)) * deviation


def pictures_needed(width: float, *, value: float = 0.5, confidence: float = 0.95) -> int:
    """Pictures, fixed beforehand, after which Wilson's interval is no wider than ``width``.

    ``value`` is the rate expected; 0.5 is the dearest. To halve the interval of a rate: ask for
    ``(rate.high - rate.low) / 2`` at ``rate.value``, and subtract ``rate.total``.

    Raises:
        ValueError: a width or value outside its range.
    """
    if not (0 < width <= 1 and 0 <= value <= 1):
        raise ValueError(f"width lies in (0, 1] and value in [0, 1], got {width} and {value}")
    z = _two_sided_z(confidence)

    def too_wide(total: int) -> bool:
        low, high = _wilson(value, total, z)
        return high - low > width

    enough = 1
    while too_wide(enough):
        enough *= 2
    few = enough // 2
    while enough - few > 1:
        middle = (few + enough) // 2
        few, enough = (middle, enough) if too_wide(middle) else (few, middle)
    return enough


# ── can the checker be trusted ───────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two judges agree on the pictures that both scored."""

    share: Rate
    """Of pictures with the same verdict."""
    kappa: float | None
    """Cohen's, in [-1, 1]; None where both gave one and the same verdict throughout."""
    low: float
    """Of kappa's interval; [-1, 1] where there is no kappa."""
    high: float


def agreement(
    first: Sequence[Verdict], second: Sequence[Verdict], *, confidence: float = 0.95
) -> Agreement:
    """Cohen's kappa between two judges of the same pictures, in the same order.

    Source: Fleiss, Cohen, Everitt, Psychological Bulletin 1969, for the interval.

    Raises:
        ValueError: sequences of different lengths.
    """
    both = [
        (one, other)
        for one, other in zip(first, second, strict=True)
        if one.is_scored and other.is_scored
    ]
    share = rate(sum(one == other for one, other in both), len(both), confidence=confidence)
    kinds = [kind for kind in Verdict if any(kind in pair for pair in both)]
    if len(kinds) < 2:
        return Agreement(share=share, kappa=None, low=-1.0, high=1.0)
    from statsmodels.stats.inter_rater import cohens_kappa

    tally = Counter(both)
    table = np.array([[tally[one, other] for other in kinds] for one in kinds])
    result = cohens_kappa(table)
    kappa, half = float(result.kappa), _two_sided_z(confidence) * float(result.std_kappa)
    return Agreement(share, kappa, low=max(-1.0, kappa - half), high=min(1.0, kappa + half))


def disagreements(first: Sequence[Verdict], second: Sequence[Verdict]) -> tuple[int, ...]:
    """Indices of the pictures that both scored and saw differently."""
    return tuple(
        index
        for index, (one, other) in enumerate(zip(first, second, strict=True))
        if one.is_scored and other.is_scored and one != other
    )


@dataclass(frozen=True, slots=True)
class PriorCheck:
    """What a checker says when nothing is there."""

    blank: Rate
    """Mean score on blank pictures."""
    mismatched: Rate
    """Mean score on pictures of something else."""
    abstained: int


def prior(
    blank: Sequence[float | None],
    mismatched: Sequence[float | None],
    *,
    confidence: float = 0.95,
) -> PriorCheck:
    """Mean yes, in [0, 1], on controls that do not show what is asked; abstentions are left out.

    The interval is Wilson's with the sum of scores as the number of successes: too wide rather
    than too narrow, as no score in [0, 1] varies more than a coin of the same mean.

    Raises:
        ValueError: a score outside [0, 1], NaN included.
    """
    z = _two_sided_z(confidence)
    means = []
    for scores in (blank, mismatched):
        given = [score for score in scores if score is not None]
        if not all(0 <= score <= 1 for score in given):
            raise ValueError("a score lies in [0, 1]; these controls hold another number")
        if not given:
            means.append(rate(0, 0))
            continue
        mean = min(1.0, math.fsum(given) / len(given))
        low, high = _wilson(mean, len(given), z)
        means.append(Rate(value=mean, low=low, high=high, total=len(given)))
    silent = sum(score is None for score in (*blank, *mismatched))
    return PriorCheck(blank=means[0], mismatched=means[1], abstained=silent)
