"""A paired test that stays honest however often it is looked at: bets on who wins next."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lcmis.types import CERTIFICATE_BLOCK

Floats = npt.NDArray[np.float64]

_SHARES = ((0.86, 0.95), (0.6, 0.05))
"""Shares of wins that are bet on, and what is staked on each: the repairs that are worth having,
and a little for those that help less and are looked at for long."""
_TIE = 1e-9  # a capital nearer to another than this differs from it by rounding only


def anytime_p(won: Sequence[bool], *, longest: int = CERTIFICATE_BLOCK) -> float:
    """One-sided p that wins are no likelier than losses, valid at every look.

    A gambler who wins as often as he loses bets before each outcome that the next is a win. The
    figure is the exact probability that his capital ever reaches, within ``longest`` outcomes, the
    height that it reached here. So it may be looked at after every outcome, and however often more
    are drawn: the probability that it is ever at or below ``x`` is ``x`` at the most.

    Against the exact test of McNemar, made for one look, the price is about one win more (8 of 9
    pass, 7 of 7 and not 6 of 6). Mean power over fourteen pairs of rates, from (0, .25) to
    (.6, .95), at one-sided 2.5 %: .62 for .69 at 20 seeds, .88 for .92 at 40.

    Args:
        won: Seeds on which just one of the two is right, in their order: whether it is the second.
        longest: Outcomes there can ever be.

    Source: Robbins, Annals of Mathematical Statistics 1970 (mixtures of likelihood ratios as
    boundaries); Ramdas, Grünwald, Vovk, Shafer, Statistical Science 2023 (testing by betting).
    Their bound ``1/capital`` is replaced by the exact probability of getting there, of which it
    wastes a quarter.

    Raises:
        ValueError: more outcomes than ``longest``.
    """
    if len(won) > longest:
        raise ValueError(f"{len(won)} outcomes were to be at most {longest}")
    wins = np.cumsum(np.array([True, *won], dtype=np.float64)) - 1
    highest = float(_capital(wins, np.arange(len(won) + 1) - wins).max())
    return 1.0 if highest <= _TIE else _ever_reached(round(highest, 9), longest)


def _capital(wins: Floats, losses: Floats) -> Floats:
    """Natural logarithm of what a stake of 1 has become."""
    bets = [
        math.log(stake) + wins * math.log(2 * share) + losses * math.log(2 * (1 - share))
        for share, stake in _SHARES
    ]
    return np.logaddexp.reduce(np.array(bets), axis=0)


@functools.lru_cache(maxsize=4096)
def _ever_reached(height: float, longest: int) -> float:
    """Probability that fair outcomes lead to this capital, (logarithm), at any time."""
    still = np.zeros(longest + 2)  # by number of wins, from the second place: never so rich
    still[1] = 1.0
    reached, most = 0.0, 1
    for needed in _wins_that_reach(height, longest):
        still[1 : most + 2] = (still[1 : most + 2] + still[: most + 1]) / 2
        most += 1
        if most > needed:
            reached += float(still[most])
            still[most] = 0.0
            most -= 1
    return min(1.0, reached)


def _wins_that_reach(height: float, longest: int) -> list[int]:
    """The fewest wins among 1, 2, … ``longest`` outcomes at which the capital is so high; one more
    than the outcomes where none are enough.
    """
    outcomes = np.arange(1, longest + 1)
    few, enough = np.full(longest, -1), outcomes + 1
    while (enough - few > 1).any():
        middle = (few + enough) // 2
        rich = _capital(middle.astype(float), (outcomes - middle).astype(float)) >= height - _TIE
        few, enough = np.where(rich, few, middle), np.where(rich, middle, enough)
    return enough.tolist()
