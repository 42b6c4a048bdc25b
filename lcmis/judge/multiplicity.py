"""Deciding many things at once: how many of what is called failing or proved are so by chance."""

from __future__ import annotations

from collections.abc import Sequence

from lcmis.judge.pairs import PairJudgement
from lcmis.judge.shrinkage import expected
from lcmis.types import Certificate, Expected, Standing

FALSE_SHARE = 0.05
"""Of what is called failing or proved after control, the expected share that is so by chance."""


def benjamini_hochberg(p: Sequence[float], *, level: float = FALSE_SHARE) -> tuple[bool, ...]:
    """Which of many null hypotheses are rejected, so that of those a share of at most ``level`` is
    true, on average. It holds where p-values are independent or positively dependent.

    Source: Benjamini and Hochberg, JRSS B 1995; Benjamini and Yekutieli, Annals of Statistics 2001
    (dependence).

    Raises:
        ValueError: a p-value outside [0, 1], a level outside (0, 1).
    """
    if not 0 < level < 1:
        raise ValueError(f"a share of false discoveries lies in (0, 1), got {level}")
    if not all(0 <= one <= 1 for one in p):
        raise ValueError("a p-value lies in [0, 1]; one of these does not")
    limits = [level * rank / len(p) for rank in range(1, len(p) + 1)]
    met = [limit for one, limit in zip(sorted(p), limits, strict=True) if one <= limit]
    limit = max(met, default=-1.0)
    return tuple(one <= limit for one in p)


# ── repairs ───────────────────────────────────────────────────────────────────────────────────────


def proved(certificates: Sequence[Certificate], *, level: float = FALSE_SHARE) -> tuple[bool, ...]:
    """Which certificates stand when all of these were looked at, one answer each, in their order.

    Benjamini and Hochberg's procedure on the p-values that hold at every look; a certificate that
    does not pass alone never stands. Nominations have seeds of their own, so their certificates are
    independent; those of an older lcmis share plain pictures within a pair, which makes the
    p-values positively dependent. 64 pairs without effect, twenty seeds each: any stands in under
    1 %, where one passes alone in half of the cases.

    e-values would hold under any dependence (Wang and Ramdas, JRSS B 2022) and find less: of 16
    repairs from .4 to .85 among 64 they keep 21 % where these keep 36 % and no control 72 %.

    Raises:
        ValueError: a level outside (0, 1).
    """
    gains = [one.anytime_p / 2 if one.passed else 1.0 for one in certificates]
    return benjamini_hochberg(gains, level=level)


def standings(certificates: Sequence[Certificate]) -> tuple[Standing, ...]:
    """What each is worth among all of these, one answer each, in their order.

    All are controlled together. What is to be expected is told of those on the models that the
    repairs were found for, and of those on others, apart: they are not of one kind.
    """
    found = proved(certificates)
    shown: dict[int, Expected] = {}
    for own in (True, False):
        places = [place for place, one in enumerate(certificates) if own is not bool(one.model)]
        shown |= zip(places, expected([certificates[place] for place in places]), strict=True)
    return tuple(
        Standing(proof, len(certificates), shown[place]) for place, proof in enumerate(found)
    )


# ── pairs ─────────────────────────────────────────────────────────────────────────────────────────


def surely_failing(
    judged: Sequence[PairJudgement], *, level: float = FALSE_SHARE
) -> tuple[bool, ...]:
    """Which of a model's pairs fail when all of these were looked at, one answer each, in order.

    Benjamini and Hochberg's procedure on ``PairJudgement.failing_p``; pairs without a scored
    picture were not looked at. Pairs are drawn independently of each other.

    Raises:
        ValueError: a level outside (0, 1).
    """
    seen = [place for place, one in enumerate(judged) if one.aligned.total]
    found = benjamini_hochberg([judged[place].failing_p for place in seen], level=level)
    sure = {place for place, one in zip(seen, found, strict=True) if one}
    return tuple(place in sure for place in range(len(judged)))
