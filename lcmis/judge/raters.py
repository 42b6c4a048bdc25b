"""How far people, or a checker and people, give the same answers: kappa, alpha, their intervals."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lcmis.judge.rates import rate, two_sided_z, wilson
from lcmis.types import Rate


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two judges agree on the pictures that both judged."""

    share: Rate
    """Of pictures with the same answer."""
    kappa: float | None
    """Cohen's, in [-1, 1]; None where both gave one and the same answer throughout."""
    low: float
    """Of kappa's interval; [-1, 1] where there is no kappa."""
    high: float


def answers_agreement(
    first: Sequence[str],
    second: Sequence[str],
    *,
    weights: Sequence[float] = (),
    confidence: float = 0.95,
) -> Agreement:
    """Cohen's kappa between two judges who answered the same questions, in the same order.

    Weights say how many pictures each answer stands for; as a sample of unequal weights says less,
    they are scaled to Kish's effective number. Where the estimated variance is 0, as in perfect
    agreement, kappa's interval is that of the share, less what chance gives.

    Source: Cohen, Educational and Psychological Measurement 1960, for kappa; Fleiss, Cohen and
    Everitt, Psychological Bulletin 1969, for the interval; Kish, Survey Sampling 1965, for the
    effective number.

    Raises:
        ValueError: sequences of different lengths, or weights that are not above 0.
    """
    both = list(zip(first, second, strict=True))
    counted = np.array(weights or [1.0] * len(both), dtype=np.float64)
    if len(counted) != len(both) or (counted <= 0).any():
        raise ValueError(f"{len(both)} answers need as many weights above 0")
    if not both:
        return Agreement(share=rate(0, 0), kappa=None, low=-1.0, high=1.0)
    counted *= counted.sum() / (counted**2).sum()  # they now add up to the effective number
    tally: dict[tuple[str, str], float] = defaultdict(float)
    for pair, weight in zip(both, counted.tolist(), strict=True):
        tally[pair] += weight
    z, total = two_sided_z(confidence), float(counted.sum())
    same = min(1.0, sum(weight for (one, other), weight in tally.items() if one == other) / total)
    low, high = wilson(same, total, z)
    share = Rate(value=same, low=low, high=high, total=len(both))
    kinds = sorted({kind for pair in both for kind in pair})
    if len(kinds) < 2:
        return Agreement(share=share, kappa=None, low=-1.0, high=1.0)
    from statsmodels.stats.inter_rater import cohens_kappa

    table = np.array([[tally.get((one, other), 0.0) for other in kinds] for one in kinds])
    with np.errstate(invalid="ignore"):  # its other variance, unused here, may round below zero
        result = cohens_kappa(table)
    kappa, error = float(result.kappa), float(result.std_kappa)
    if error > 1e-9:
        low, high = kappa - z * error, kappa + z * error
    else:
        chance = _chance(table)
        low, high = ((bound - chance) / (1 - chance) for bound in (low, high))
    return Agreement(share, kappa, low=max(-1.0, low), high=min(1.0, high))


def _chance(table: np.ndarray) -> float:
    """Agreement of two judges who answer as often so and so, but without looking."""
    return float((table.sum(0) * table.sum(1)).sum() / table.sum() ** 2)


@dataclass(frozen=True, slots=True)
class Alpha:
    """How far any number of raters agree, beyond what their favourite answers would give."""

    value: float | None
    """Krippendorff's, nominal, up to 1; None where nobody was asked twice, or all said the same."""
    low: float
    """Of its interval; [-1, 1] where there is no value."""
    high: float
    units: int
    """Questions that more than one rater answered."""


RESAMPLES = 1000


def krippendorff_alpha(
    units: Sequence[Sequence[str]], dice: np.random.Generator, *, confidence: float = 0.95
) -> Alpha:
    """Nominal alpha over questions, each with its raters' answers; who gave which does not matter.

    The interval holds the middle of alphas over questions drawn anew. Questions answered once
    count for nothing.

    Source: Krippendorff, Content Analysis, 2004, chapter 11 (nominal data, any number of observers,
    missing data); Zapf et al., BMC Medical Research Methodology 2016 (bootstrap over units).

    Raises:
        ValueError: a confidence outside (0, 1).
    """
    two_sided_z(confidence)
    shared = [Counter(answers) for answers in units if len(answers) > 1]
    kinds = sorted({answer for unit in shared for answer in unit})
    if len(kinds) < 2:
        return Alpha(value=None, low=-1.0, high=1.0, units=len(shared))
    counts = np.array([[unit[kind] for kind in kinds] for unit in shared], dtype=np.float64)
    sizes = counts.sum(1, keepdims=True)
    unlike = ((sizes**2 - (counts**2).sum(1, keepdims=True)) / (sizes - 1))[:, 0]
    drawn = dice.multinomial(len(shared), np.full(len(shared), 1 / len(shared)), size=RESAMPLES)
    value = float(_alpha(np.ones((1, len(shared))), counts, unlike)[0])
    again = _alpha(drawn.astype(np.float64), counts, unlike)
    # A draw in which every answer is the same tells nothing of disagreement.
    again = again[np.isfinite(again)]
    tail = (1 - confidence) / 2
    low, high = np.quantile(again, [tail, 1 - tail]).tolist()
    return Alpha(value, low=min(low, value), high=max(high, value), units=len(shared))


def _alpha(times: np.ndarray, counts: np.ndarray, unlike: np.ndarray) -> np.ndarray:
    """One alpha for each row of how often every unit counts, (draws, units); NaN if undefined."""
    totals = times @ counts  # (draws, kinds)
    answers = totals.sum(1)
    expected = (answers**2 - (totals**2).sum(1)) / (answers - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(expected > 0, 1 - (times @ unlike) / expected, np.nan)
