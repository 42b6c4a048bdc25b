"""What one picture shows, and what a number of pictures says: verdicts, intervals, levels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist

from lcmis.types import LevelRange, Rate, Verdict


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


def counts(verdicts: Sequence[Verdict]) -> tuple[int, int]:
    """``(correct, total)`` of the scored ones."""
    silent = verdicts.count(Verdict.UNSCORED) + verdicts.count(Verdict.REFUSED)
    return verdicts.count(Verdict.ALIGNED), len(verdicts) - silent


def rate(correct: int, total: int, *, confidence: float = 0.95) -> Rate:
    """A rate with its exact interval, for a number of pictures that was fixed beforehand.

    The interval holds the true rate with at least ``confidence`` whatever that is, and errs to
    either side in at most half of the rest. That costs width: a quarter more than Wilson's at 4
    pictures, an eighth at 20, a fourteenth at 64; Wilson's holds rates near 0 and 1 with 0.83 to
    0.88 only. With no pictures the interval is [0, 1] and the value its middle, 0.5: show
    ``total``, or no number at all.

    Raises:
        ValueError: counts that are not 0 <= correct <= total, a confidence outside (0, 1).
    """
    check_counts(correct, total)
    if total == 0:
        return Rate(value=0.5, low=0.0, high=1.0, total=0)
    low, high = exact_bounds(correct, total, confidence)
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
    check_counts(correct, total)
    if total == 0:
        raise ValueError("a level needs at least one scored picture")
    return 1 + sum(40 * correct < cut * total for cut in _LEVEL_CUTS)


def level_range(rate: Rate) -> LevelRange:
    """The levels that the interval of a rate (of pictures *right*) allows, by :func:`level`'s cuts.

    The level of the true rate is among them at least as often as the interval holds the rate.
    Level 5 alone is a strong claim, a true rate below 1/40: no success in 146 pictures. Twenty
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


def check_counts(correct: int, total: int) -> None:
    """Refuse what no pictures can give.

    Raises:
        ValueError: counts that are not 0 <= correct <= total.
    """
    if not 0 <= correct <= total:
        raise ValueError(f"counts need 0 <= correct <= total, got {correct} of {total}")


def check_confidence(confidence: float) -> None:
    """Refuse what is no confidence.

    Raises:
        ValueError: a confidence outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise ValueError(f"a confidence lies in (0, 1), got {confidence}")


def two_sided_z(confidence: float) -> float:
    """The normal quantile that leaves half of ``1 - confidence`` on each side.

    Raises:
        ValueError: a confidence outside (0, 1).
    """
    check_confidence(confidence)
    return NormalDist().inv_cdf((1 + confidence) / 2)


@lru_cache(4096)  # ten thousand pairs have a few hundred counts between them
def exact_bounds(correct: float, total: float, confidence: float) -> tuple[float, float]:
    """Bounds of a binomial rate that each err in at most half of ``1 - confidence``, whatever the
    true rate; ``total`` above 0 may be an effective number, ``correct`` a part of it.

    Source: Clopper and Pearson, Biometrika 1934.

    Raises:
        ValueError: a confidence outside (0, 1).
    """
    from scipy.special import betainccinv, betaincinv

    check_confidence(confidence)
    tail, wrong = (1 - confidence) / 2, total - correct
    low = float(betaincinv(correct, wrong + 1, tail)) if correct > 0 else 0.0
    high = float(betainccinv(correct + 1, wrong, tail)) if wrong > 0 else 1.0
    return low, high
