"""What is concluded of a model, short enough for a table: counts, and its worst pairs."""

from __future__ import annotations

from dataclasses import dataclass

from lcmis.findings.pairs import ModelFinding, PairFinding
from lcmis.judge import Decision
from lcmis.types import Rate, Verdict


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """One line on a model, and what stands below it."""

    model: str
    aligned: Rate
    pictures: int
    num_passing: int
    """Pairs, each decided alone."""
    num_failing: int
    num_open: int
    """Undecided, or not finished."""
    num_surely_failing: int
    """Those that fail and still do when all pairs are looked at together."""
    num_looked_at: int
    """Pairs with a picture that was judged."""
    num_unscored: int
    """Pictures of which no checker could tell."""
    num_refused: int
    second_opinions: tuple[Rate, ...]
    """How many pictures each other checker sees alike."""
    worst: tuple[PairFinding, ...]
    """The first of the pairs that do not pass, worst first."""


def summarise(found: ModelFinding, worst: int) -> ModelSummary:
    """Count what a model's pairs came to, and keep so many of those that do not pass."""
    passing = len(found.decided(Decision.PASSES))
    failing = len(found.decided(Decision.FAILS))
    others = [pair for pair in found.pairs if pair.judgement.failing is not Decision.PASSES]
    return ModelSummary(
        model=found.model,
        aligned=found.aligned,
        pictures=found.pictures,
        num_passing=passing,
        num_failing=failing,
        num_open=len(others) - failing,
        num_surely_failing=found.num_surely_failing,
        num_looked_at=found.num_looked_at,
        num_unscored=found.count(Verdict.UNSCORED),
        num_refused=found.count(Verdict.REFUSED),
        second_opinions=tuple(one.agreement.share for one in found.second_opinions),
        worst=tuple(others[:worst]),
    )
