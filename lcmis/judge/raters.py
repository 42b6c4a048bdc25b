"""How far people, or a checker and people, give the same answers: kappa, alpha, their intervals."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lcmis.judge.clusters import Floats, chance_above_zero, falling_root, share_bounds, typical
from lcmis.judge.rates import check_confidence, rate
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

    Weights say how many pictures each answer stands for; a sample of unequal weights says less.
    Kappa's interval allows for a picture that nobody judged and that would lower it most, or raise
    it most, as :func:`lcmis.judge.clusters.share_bounds` does for shares; chance agreement, which
    is a product of shares, is linearised. Its coverage in simulations of two and three answers, of
    kappa from 0 to 1, the commonest answer up to 95 %, was 0.955 or more with 5, 0.966 with 20 and
    0.952 with 50 and 100 pictures; near 1, or with one answer that is rare, it is too wide rather
    than too narrow.

    Source: Cohen, Educational and Psychological Measurement 1960, for kappa; Fleiss, Cohen and
    Everitt, Psychological Bulletin 1969, for how it is linearised.

    Raises:
        ValueError: sequences of different lengths, weights that are not above 0, a confidence
            outside (0, 1).
    """
    check_confidence(confidence)
    both = list(zip(first, second, strict=True))
    counted = np.array(weights or [1.0] * len(both), dtype=np.float64)
    if len(counted) != len(both) or (counted <= 0).any():
        raise ValueError(f"{len(both)} answers need as many weights above 0")
    if not both:
        return Agreement(share=rate(0, 0), kappa=None, low=-1.0, high=1.0)
    same = np.array([one == other for one, other in both])
    share = Rate(
        min(1.0, float(counted[same].sum() / counted.sum())),
        *share_bounds(counted * same, counted, typical(counted), confidence),
        total=len(both),
    )
    kinds = sorted({kind for pair in both for kind in pair})
    if len(kinds) < 2:
        return Agreement(share=share, kappa=None, low=-1.0, high=1.0)
    number = {kind: place for place, kind in enumerate(kinds)}
    rows, columns = (np.array([number[answer] for answer in side]) for side in (first, second))
    table = np.zeros((len(kinds), len(kinds)))
    np.add.at(table, (rows, columns), counted)
    kappa, tail = _kappa(table), (1 - confidence) / 2

    def bound(unseen: tuple[int, int], chance: float) -> float:
        """The kappa that lies below the true one by so much chance, one more picture allowed."""
        heavy = typical(counted)
        whole = table.copy()
        whole[unseen] += heavy
        whole /= whole.sum()
        by_row, by_column = whole.sum(1), whole.sum(0)
        all_rows, all_columns = np.append(rows, unseen[0]), np.append(columns, unseen[1])
        unlike = (all_rows != all_columns).astype(np.float64)
        expected = 1 + by_row @ by_column - by_column[all_rows] - by_row[all_columns]
        return _bound(np.append(counted, heavy), unlike, expected, chance)

    def after(unseen: tuple[int, int]) -> float:
        more = table.copy()
        more[unseen] += typical(counted)
        return _kappa(more)

    cells = [(one, other) for one in range(len(kinds)) for other in range(len(kinds))]
    worst = min((cell for cell in cells if cell[0] != cell[1]), key=after)
    best = max((cell for cell in cells if cell[0] == cell[1]), key=after)
    return Agreement(
        share,
        kappa,
        low=min(kappa, bound(worst, 1 - tail)),
        high=1.0 if same.all() else max(kappa, bound(best, tail)),
    )


def _kappa(table: Floats) -> float:
    whole = float(table.sum())
    chance = float(table.sum(0) @ table.sum(1)) / whole**2
    return (float(np.trace(table)) / whole - chance) / (1 - chance)


def _bound(weights: Floats, unlike: Floats, expected: Floats, chance: float) -> float:
    """The agreement in [-1, 1] that the true one exceeds with so much chance, where agreement is 1
    less the ratio of two weighted sums over units: of what is unlike and of what is expected.
    """
    kinds, times = np.unique(np.stack([weights, unlike, expected]), axis=1, return_counts=True)

    def excess(agreement: float) -> float:
        worth = kinds[0] * ((1 - agreement) * kinds[2] - kinds[1])
        return chance_above_zero(worth, times.astype(np.float64)) - chance

    return falling_root(excess, -1.0, 1.0)


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


def krippendorff_alpha(units: Sequence[Sequence[str]], *, confidence: float = 0.95) -> Alpha:
    """Nominal alpha over questions, each with its raters' answers; who gave which does not matter.

    The interval is made as :func:`answers_agreement`'s: questions are the sample, and it allows for
    one that nobody was asked, answered by as many raters as any other, all alike or as it would
    lower alpha most. Questions answered once count for nothing. Simulated coverage was 0.95 or more
    with 10 and 20 questions and 2 to 5 raters, for alpha from 0 to 0.98 and the commonest answer up
    to 95 %.

    Source: Krippendorff, Content Analysis, 2004, chapter 11 (nominal data, any number of observers,
    missing data).

    Raises:
        ValueError: a confidence outside (0, 1).
    """
    check_confidence(confidence)
    shared = [Counter(answers) for answers in units if len(answers) > 1]
    kinds = sorted({answer for unit in shared for answer in unit})
    if len(kinds) < 2:
        return Alpha(value=None, low=-1.0, high=1.0, units=len(shared))
    counts = np.array([[unit[kind] for kind in kinds] for unit in shared], dtype=np.float64)
    value, tail = _alpha(counts), (1 - confidence) / 2
    most = counts.sum(1).max()
    alike = most * np.eye(len(kinds))
    split = [
        few * one + (most - few) * other
        for one, other in itertools.permutations(np.eye(len(kinds)), 2)
        for few in range(1, int(most))
    ]

    def bound(unseen: Floats, chance: float) -> float:
        whole = np.vstack([counts, unseen])
        sizes, shares = whole.sum(1), whole.sum(0) / whole.sum()
        expected = sizes * (1 + shares @ shares) - 2 * whole @ shares
        answers = float(sizes.sum())
        return _bound(np.ones(len(whole)), _unlike(whole) * (1 - 1 / answers), expected, chance)

    def after(unseen: Floats) -> float:
        return _alpha(np.vstack([counts, unseen]))

    low = min(value, bound(min(split, key=after), 1 - tail))
    high = max(value, bound(max(alike, key=after), tail)) if _unlike(counts).any() else 1.0
    return Alpha(value, low=low, high=high, units=len(shared))


def _alpha(counts: Floats) -> float:
    totals = counts.sum(0)
    answers = float(totals.sum())
    expected = (answers**2 - float(totals @ totals)) / (answers - 1)
    return 1 - float(_unlike(counts).sum()) / expected


def _unlike(counts: Floats) -> Floats:
    """Unlike answers in each unit, by the number that any one answer is held against, (units,)."""
    sizes = counts.sum(1)
    unlike: Floats = (sizes**2 - (counts**2).sum(1)) / (sizes - 1)
    return unlike
