"""What to expect when drawn again of that which was chosen because it came out high."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lcmis.types import Certificate, Expected

Floats = npt.NDArray[np.float64]


def expected(certificates: Sequence[Certificate]) -> tuple[Expected, ...]:
    """Gains as seen and as to be expected, one a certificate, in their order.

    Sorted by what was seen, those on top owe their place to luck too. Forty repairs from .40 to
    .92, twenty seeds each: the ten highest show .99 after and a gain of .67, where .92 and .52 are
    true and these say .92 and .53. In simulations of six populations with 2 to 136 certificates of
    8 to 40 seeds, the mean of those on top was within .03 of the truth (.04 where three without
    effect are looked at), and .02 to .27 too high as seen.

    Source: see :func:`shrunk`.
    """
    totals = np.array([one.after.total for one in certificates], dtype=np.float64)
    wins = np.array([one.wins for one in certificates], dtype=np.float64)
    losses = np.array([one.losses for one in certificates], dtype=np.float64)
    after = np.array([one.after.value for one in certificates], dtype=np.float64)
    gained = (wins - losses) / np.maximum(totals, 1)
    won, lost = (wins + 0.5) / (totals + 1.5), (losses + 0.5) / (totals + 1.5)
    share = (after * totals + 0.5) / (totals + 1)
    gains = shrunk(gained, totals, won + lost - (won - lost) ** 2)
    afters = shrunk(after, totals, share * (1 - share))
    return tuple(
        Expected(*numbers)
        for numbers in zip(gained.tolist(), gains.tolist(), afters.tolist(), strict=True)
    )


def shrunk(values: Floats, totals: Floats, variances: Floats) -> Floats:
    """Each mean drawn to the mean of all, the more the less it is known, (means,).

    The variance of one picture is pooled, else a mean of 1 would count as known for certain. One
    mean alone stays as it is: it was not chosen. One of no pictures is that of all.

    Args:
        values: means.
        totals: pictures that each is the mean of.
        variances: of one picture of each.

    Source: Efron and Morris, JASA 1975 (empirical Bayes for chosen means); DerSimonian and Laird,
    Controlled Clinical Trials 1986 (variance between means of unequal size).
    """
    known = totals > 0
    if known.sum() < 2:
        return values
    within = float((totals * variances).sum() / totals.sum())
    weights = totals / within
    whole = weights.sum()
    spread = float((weights * (values - (weights * values).sum() / whole) ** 2).sum())
    between = (spread - (known.sum() - 1)) / (whole - (weights**2).sum() / whole)
    if between <= 0:
        return np.full(len(values), (weights * values).sum() / whole)
    weights = known / (between + within / np.maximum(totals, 1))
    mean = (weights * values).sum() / weights.sum()
    return np.asarray(mean + weights * between * (values - mean))
