"""Models over many pairs: a rate clustered by pair, paired tests, how large an audit must be."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import NormalDist

import numpy as np

from lcmis.judge.clusters import share_bounds
from lcmis.judge.rates import check_confidence, check_counts, counts, exact_bounds, rate
from lcmis.judge.stopping import StoppingRule
from lcmis.types import Rate, Verdict


def model_rate(pairs: Sequence[tuple[int, int]], *, confidence: float = 0.95) -> Rate:
    """A model's share of right pictures over many pairs, with an interval clustered by pair.

    ``pairs`` holds ``(correct, total)`` of each pair; where a rule stopped some early, use
    :func:`fair_rate`. Pairs are the sample, pictures are not: the interval allows for a pair that
    was not drawn and is all wrong, or all right (:func:`lcmis.judge.clusters.share_bounds`). So it
    is never surer than as many single pictures as there are pairs, one more wrong picture never
    raises its lower end, and order does not matter. Coverage was at least ``confidence`` in every
    population tried, with 2.5 % at most on either side at 95 %: alike pairs, Beta populations, and
    1 to 10 % of broken pairs among nearly perfect ones, 6 to 400 pairs of 1 to 20 pictures. One
    picture a pair gives :func:`lcmis.judge.rate`. Without a scored picture it is [0, 1].

    Raises:
        ValueError: counts that are not 0 <= correct <= total, a confidence outside (0, 1).
    """
    for correct, total in pairs:
        check_counts(correct, total)
    check_confidence(confidence)
    right, seen = np.array([pair for pair in pairs if pair[1]], dtype=np.float64).reshape(-1, 2).T
    if not len(seen):
        return rate(0, 0, confidence=confidence)
    low, high = share_bounds(right, seen, float(seen.max()), confidence)
    pictures = int(seen.sum())
    return Rate(value=float(right.sum() / pictures), low=low, high=high, total=pictures)


def fair_rate(pairs: Iterable[Sequence[Verdict]], rule: StoppingRule | None) -> Rate:
    """The rate over many pairs that stopping early cannot bias, of each pair's verdicts in the
    order of its seeds.

    A pair that stops early stops at an extreme, so shares of stopped pairs are biased; the same
    first pictures of every pair (``rule.fair``) are not. Pairs without a whole first look are left
    out. Without a rule the numbers count as fixed: all pictures do.
    """
    if rule is not None:
        pairs = (verdicts[: rule.fair] for verdicts in pairs if len(verdicts) >= rule.block)
    return model_rate([counts(verdicts) for verdicts in pairs])


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
    return min(1.0, 2 * tail / (1 << discordant))


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
    """The smallest difference of two models' rates that an audit of this size will notice, in
    (0, 1]; 1 means that it can be relied on to notice none.

    Two-sided normal test on pair means. ``icc`` is the share of the variance between pairs (0.5 for
    a U-shaped Beta(.5, .5) population); ``correlation`` that of the two models' pair rates when
    both are asked the same pairs (0: as if the pairs were different ones).

    Source: Donner and Klar, Design and Analysis of Cluster Randomization Trials in Health Research,
    2000 (variance inflated by the intra-cluster correlation).

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
    return min(1.0, (normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(power)) * deviation)


def pictures_needed(width: float, *, value: float = 0.5, confidence: float = 0.95) -> int:
    """Pictures, fixed beforehand, after which :func:`lcmis.judge.rate`'s interval is no wider than
    ``width``.

    ``value`` is the rate expected; 0.5 is the dearest. To halve the interval of a rate: ask for
    ``(rate.high - rate.low) / 2`` at ``rate.value``, and subtract ``rate.total``.

    Raises:
        ValueError: a width or value outside its range.
    """
    if not (0 < width <= 1 and 0 <= value <= 1):
        raise ValueError(f"width lies in (0, 1] and value in [0, 1], got {width} and {value}")

    def too_wide(total: int) -> bool:
        low, high = exact_bounds(value * total, total, confidence)
        return high - low > width

    enough = 1
    while too_wide(enough):
        enough *= 2
    few = enough // 2
    while enough - few > 1:
        middle = (few + enough) // 2
        few, enough = (middle, enough) if too_wide(middle) else (few, middle)
    return enough
