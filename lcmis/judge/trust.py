"""Whether a checker can be trusted: agreement with another judge, and its prior."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lcmis.judge.clusters import share_bounds
from lcmis.judge.raters import Agreement, answers_agreement
from lcmis.judge.rates import check_confidence, rate
from lcmis.types import Rate, Verdict


def agreement(
    first: Sequence[Verdict], second: Sequence[Verdict], *, confidence: float = 0.95
) -> Agreement:
    """Cohen's kappa between two judges of the same pictures, in the same order; pictures that
    either did not score are left out.

    Raises:
        ValueError: sequences of different lengths.
    """
    both = [
        (one.value, other.value)
        for one, other in zip(first, second, strict=True)
        if one.is_scored and other.is_scored
    ]
    return answers_agreement(
        [one for one, _ in both], [other for _, other in both], confidence=confidence
    )


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

    The interval is that of :func:`lcmis.judge.clusters.share_bounds`, with each control a cluster:
    exact for scores of 0 and 1, and narrower for scores between them.

    Raises:
        ValueError: a score outside [0, 1], NaN included.
    """
    check_confidence(confidence)
    means = []
    for scores in (blank, mismatched):
        given = [score for score in scores if score is not None]
        if not all(0 <= score <= 1 for score in given):
            raise ValueError("a score lies in [0, 1]; these controls hold another number")
        if not given:
            means.append(rate(0, 0))
            continue
        mean = min(1.0, math.fsum(given) / len(given))
        low, high = share_bounds(np.array(given), np.ones(len(given)), 1.0, confidence)
        means.append(Rate(value=mean, low=low, high=high, total=len(given)))
    silent = sum(score is None for score in (*blank, *mismatched))
    return PriorCheck(blank=means[0], mismatched=means[1], abstained=silent)


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Kendall's tau b in [-1, 1]; None where either of the two does not vary.

    Source: Kendall, Biometrika 1945 (ties).

    Raises:
        ValueError: they differ in length.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} numbers cannot be paired with {len(second)}")
    if len(set(first)) < 2 or len(set(second)) < 2:
        return None
    from scipy.stats import kendalltau

    return float(kendalltau(first, second).statistic)
