"""All that the pictures of one pair say together."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from lcmis.judge.chance import failing_p
from lcmis.judge.rates import counts, level, level_range, verdict
from lcmis.judge.stopping import Decision, FixedN, StoppingRule, stopped_interval
from lcmis.types import NONE_OF_THESE, LevelRange, Rate, Verdict

UNNAMED = "unnamed"
"""Stands for an intruder that no option named."""


class Perceived(Protocol):
    """What a checker said of one picture of a pair: whatever has these can be judged."""

    @property
    def a(self) -> float | None:
        """In [0, 1]; None where it abstained."""

    @property
    def b(self) -> float | None:
        """Likewise."""

    @property
    def refused(self) -> bool:
        """Whether there is no picture, since the model would not draw it."""

    @property
    def intruder_a(self) -> str | None:
        """The option chosen for what stands in a's place; None where nobody asked or it
        abstained.
        """

    @property
    def intruder_b(self) -> str | None:
        """Likewise in b's."""


@dataclass(frozen=True, slots=True)
class Picture:
    """The least that can be judged."""

    a: float | None
    b: float | None
    refused: bool = False
    intruder_a: str | None = None
    intruder_b: str | None = None


@dataclass(frozen=True, slots=True)
class IntruderCount:
    """How often one name was given to what displaced a concept."""

    name: str
    """The option, or :data:`UNNAMED`."""
    count: int
    total: int
    """Pictures in which the concept is missing."""


@dataclass(frozen=True, slots=True)
class PairJudgement:
    """What a pair's pictures say, under thresholds and a stopping rule."""

    verdicts: tuple[Verdict, ...]
    """One a picture, in the order given."""
    aligned: Rate
    """Of scored pictures, those right."""
    level: int | None
    """The paper's point level; None without a scored picture. Report ``levels``."""
    levels: LevelRange
    failing: Decision
    capped: bool
    """Whether the cap, not the evidence, decided."""
    failing_p: float
    """How likely a pair that passes looks as bad by chance; 1 where this one is not failing."""
    intruders_a: tuple[IntruderCount, ...]
    """Commonest first, unnamed last; empty when a is never missing."""
    intruders_b: tuple[IntruderCount, ...]

    def count(self, verdict: Verdict) -> int:
        """How many pictures got this verdict."""
        return self.verdicts.count(verdict)


def judge_pair(
    pictures: Sequence[Perceived],
    *,
    asked_a: str = "",
    asked_b: str = "",
    threshold_a: float = 0.5,
    threshold_b: float = 0.5,
    rule: StoppingRule | None = None,
    confidence: float = 0.95,
) -> PairJudgement:
    """Judge all pictures of one pair; without a rule, their number counts as fixed at what it is.

    Refused and unscored pictures count in no rate. If the rule would go on but as many pictures
    as its cap have been drawn, scored or not, the pair is undecided. An intruder counts only where
    its concept is missing; the asked concept (``asked_a``, ``asked_b``, by name) and "none of
    these" name nobody.
    """
    verdicts = tuple(
        verdict(
            picture.a,
            picture.b,
            threshold_a=threshold_a,
            threshold_b=threshold_b,
            refused=picture.refused,
        )
        for picture in pictures
    )
    correct, total = counts(verdicts)
    if rule is None:
        rule = FixedN(total=max(1, total))
    counted = _counted(correct, total, len(pictures) >= rule.cap, rule, confidence)
    judged = list(zip(pictures, verdicts, strict=True))
    return PairJudgement(
        verdicts,
        *counted,
        _intruders([p.intruder_a for p, v in judged if v in _LACKS_A], asked_a),
        _intruders([p.intruder_b for p, v in judged if v in _LACKS_B], asked_b),
    )


@functools.lru_cache(maxsize=4096)
def _counted(
    correct: int, total: int, is_last: bool, rule: StoppingRule, confidence: float
) -> tuple[Rate, int | None, LevelRange, Decision, bool, float]:
    """What follows from counts alone, once for all pairs that have the same ones."""
    decision, capped = rule.decide(correct, total), rule.capped(correct, total)
    if decision is Decision.CONTINUE and is_last:
        decision, capped = Decision.UNDECIDED, True
    aligned = stopped_interval(correct, total, rule, confidence=confidence)
    return (
        aligned,
        level(correct, total) if total else None,
        level_range(aligned),
        decision,
        capped,
        failing_p(correct, total, rule),
    )


_LACKS_A = frozenset({Verdict.A_MISSING, Verdict.BOTH_MISSING})
_LACKS_B = frozenset({Verdict.B_MISSING, Verdict.BOTH_MISSING})


def _intruders(named: Sequence[str | None], asked: str) -> tuple[IntruderCount, ...]:
    if not named:
        return ()
    nobody = {"", NONE_OF_THESE, asked}
    tally = Counter(UNNAMED if name is None or name in nobody else name for name in named)
    ranked = sorted(tally.items(), key=lambda item: (item[0] == UNNAMED, -item[1], item[0]))
    return tuple(IntruderCount(name, count, len(named)) for name, count in ranked)
