"""The answer of an audit in a few sentences: the report and the dashboard begin with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lcmis.findings import words
from lcmis.judge import Decision
from lcmis.types import Rate


@dataclass(frozen=True, slots=True)
class Phrase:
    """A part of a sentence; joined by spaces, pieces are the sentence."""

    text: str
    strong: bool = False
    """Whether a page sets it in bold: what the reader came for."""


@dataclass(frozen=True, slots=True)
class ModelOutcome:
    """What the sentences about one model are made of."""

    name: str
    aligned: Rate
    """Of the pictures that count; ``total`` 0 where there are none yet."""
    decided: Mapping[Decision, int]
    """Pairs of each decision."""
    surely_failing: int
    """Of those that fail, what is left after control for looking at ``looked_at``."""
    looked_at: int
    pictures: int
    unscored: int
    refused: int
    painted: str = ""
    """What is painted most often in the place of ``asked``; empty if nobody can name anything."""
    asked: str = ""
    painted_pictures: int = 0
    painted_pairs: int = 0

    @property
    def pairs(self) -> int:
        """All of them, decided or not."""
        return sum(self.decided.values())

    @property
    def open(self) -> int:
        """Pairs that neither fail nor pass."""
        return sum(self.decided.get(one, 0) for one in (Decision.UNDECIDED, Decision.CONTINUE))


def model(found: ModelOutcome) -> tuple[Phrase, ...]:
    """How often one model paints what was asked, how many pairs fail, what it paints instead."""
    if not found.aligned.total:
        return _no_rate(found)
    fails, passes = (found.decided.get(one, 0) for one in (Decision.FAILS, Decision.PASSES))
    control = words.controlled(found.surely_failing, found.looked_at)
    pieces = [
        Phrase(found.name, strong=True),
        Phrase("painted what was asked in"),
        Phrase(f"{words.percent(found.aligned.value)}\u00a0%", strong=True),
        Phrase(
            f"of {words.several(found.aligned.total, 'picture')}; {_beyond(found)}. "
            f"Of {words.several(found.pairs, 'pair')},"
        ),
        Phrase(f"{fails:,} fail{'s' if fails == 1 else ''}", strong=True),
        Phrase(f"({control}) and {passes:,} pass{'es' if passes == 1 else ''}{_open(found)}."),
    ]
    if found.painted:
        where = f"{words.several(found.painted_pictures, 'picture')} of "
        pieces += [
            Phrase("Most often it painted"),
            Phrase(found.painted, strong=True),
            Phrase("where"),
            Phrase(found.asked, strong=True),
            Phrase(f"was asked for: in {where}{words.several(found.painted_pairs, 'pair')}."),
        ]
    return tuple(pieces)


def _beyond(found: ModelOutcome) -> str:
    """What the pictures say of pairs that were not asked for."""
    if found.pairs < 2:
        return "one pair says nothing of others"
    low, high = words.percent(found.aligned.low), words.percent(found.aligned.high)
    return (
        f"over pairs like these the true share lies between {low} and {high}\u00a0% with 95\u00a0% "
        "confidence"
    )


def _open(found: ModelOutcome) -> str:
    if not found.open:
        return ""
    parts = [
        f"{found.decided[kind]:,} {told}"
        for kind, told in (
            (Decision.UNDECIDED, "could not be decided"),
            (Decision.CONTINUE, "not finished"),
        )
        if found.decided.get(kind)
    ]
    return f"; {found.open:,} {'is' if found.open == 1 else 'are'} open ({', '.join(parts)})"


def _no_rate(found: ModelOutcome) -> tuple[Phrase, ...]:
    said = [words.several(found.pictures, "picture")]
    said += [f"{found.unscored:,} of them not judged"] if found.unscored else []
    said += [f"{found.refused:,} refused"] if found.refused else []
    return (
        Phrase("Of"),
        Phrase(found.name, strong=True),
        Phrase(
            f"there is no rate yet: {', '.join(said)}, and no pair with as many judged pictures "
            "as a rate is made of."
        ),
    )


def repairs(standing: Sequence[bool], passed: Sequence[bool]) -> tuple[Phrase, ...]:
    """How many repairs are proved.

    Args:
        standing: of each certificate, whether it stands among all.
        passed: whether it passes, looked at alone.
    """
    if not standing:
        return (
            Phrase(
                "No repaired prompt has been certified yet: lcmis repair looks for other ways of "
                "prompting and proves them."
            ),
        )
    proved = sum(standing)
    alone = sum(one and not stands for one, stands in zip(passed, standing, strict=True))
    verb = "is" if proved == 1 else "are"
    pieces = [
        Phrase(f"{proved:,} of {words.several(len(standing), 'repair')}", strong=True),
        Phrase(f"{verb} proved to help, on fresh pictures that no search had seen."),
    ]
    if alone:
        pieces.append(
            Phrase(
                f"{alone:,} more {'passes' if alone == 1 else 'pass'} alone, and not among all "
                "that were looked at: of many, some pass by chance."
            )
        )
    return tuple(pieces)
