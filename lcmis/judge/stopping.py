"""When to stop drawing a pair, what that costs, and the intervals that survive it."""

from __future__ import annotations

import enum
import functools
import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from lcmis.judge.clusters import Floats
from lcmis.judge.rates import check_counts, rate
from lcmis.types import Rate

# ── rules ─────────────────────────────────────────────────────────────────────────────────────────


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

    @property
    def fair(self) -> int:
        """Pictures of each pair, the first ones, whose mean over pairs early stopping cannot
        bias.
        """

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

    @property
    def fair(self) -> int:
        """All of them: every pair has as many."""
        return self.total

    def decide(self, correct: int, total: int) -> Decision:
        """Fails when strictly more than the threshold's share is wrong: 11 of 20, not 10."""
        check_counts(correct, total)
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

    @property
    def fair(self) -> int:
        """Those of the first look."""
        return self.block

    def decide(self, correct: int, total: int) -> Decision:
        """Fails or passes as soon as ``self.total`` pictures would, come what may."""
        check_counts(correct, total)
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

    @property
    def fair(self) -> int:
        """Those of the first look."""
        return self.block

    def log_likelihood_ratio(self, correct: int, total: int) -> float:
        """Natural logarithm, for the upper failure rate over the lower."""
        lower, upper = self.threshold - self.delta, self.threshold + self.delta
        for_failure, for_success = math.log(upper / lower), math.log((1 - upper) / (1 - lower))
        return (total - correct) * for_failure + correct * for_success

    def decide(self, correct: int, total: int) -> Decision:
        """Fails or passes at Wald's bounds, or by the sign of the ratio from the cap on."""
        check_counts(correct, total)
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


# ── what a rule promises ──────────────────────────────────────────────────────────────────────────


class OperatingCharacteristics(NamedTuple):
    """What a rule does at one true rate."""

    fails: float
    """Probability of the decision FAILS."""
    pictures: float
    """Expected number."""


def operating_characteristics(rule: StoppingRule, failure_rate: float) -> OperatingCharacteristics:
    """Exact error and cost, counting every path to every place where the rule stops.

    Pictures of one pair are taken as independent at one ``failure_rate``.

    Source: Girshick, Mosteller, Savage, Annals of Mathematical Statistics 1946 (paths to the
    boundary of a binomial sampling plan).

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


# ── intervals that survive stopping ───────────────────────────────────────────────────────────────


def stopped_interval(
    correct: int, total: int, rule: StoppingRule, *, confidence: float = 0.95
) -> Rate:
    """The rate of pictures right, with an interval that is valid although the rule chose the total.

    Jeffreys intervals at a level calibrated once per rule, so that *at the stopping time* the
    coverage is at least ``confidence`` whatever the true rate (exact, worst case); to hold at every
    look on the way at once, it would have to be wider. A pair that the rule has not finished with
    (the budget ended) is judged under the rule cut at ``total``. Looks off the rule's schedule cost
    little: at every picture instead of every fourth, the worst coverage of a 95 % interval is still
    94.1 % or more for the rules in use. A fixed number has the exact interval of :func:`rate`. The
    value is the raw share, which stopping biases outwards: publish it with its interval, and build
    leaderboards on :func:`fair_rate`.

    Source: the interval, Brown, Cai, DasGupta, Statistical Science 2001, section 3.1.

    Raises:
        ValueError: counts that are not 0 <= correct <= total, a confidence outside (0, 1).
    """
    return _stopped_interval(correct, total, rule, confidence)


@functools.lru_cache(maxsize=4096)
def _stopped_interval(correct: int, total: int, rule: StoppingRule, confidence: float) -> Rate:
    plain = rate(correct, total, confidence=confidence)
    if total == 0 or isinstance(rule, FixedN):
        return Rate(plain.value, plain.low, plain.high, total, stopped=rule.name)
    finished = rule.decide(correct, total) is not Decision.CONTINUE
    tail = _calibrated_tail(rule, rule.cap if finished else total, confidence)
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
