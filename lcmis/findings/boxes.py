"""What a detector found on a picture: which of its boxes are shown, and what is said of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lcmis.findings import words
from lcmis.types import NONE_OF_THESE, Box, Question, QuestionKind, Score


@dataclass(frozen=True, slots=True)
class Frame:
    """One box to be drawn."""

    box: Box
    label: str
    kind: QuestionKind
    """Which concept it is of, or in whose place it stands."""
    is_sure: bool
    """Whether the answer reaches the threshold; else the frame is dashed."""


def frames(said: Sequence[tuple[Question, Score]], threshold: float) -> list[Frame]:
    """The best box of both concepts, and of what won a choice against one of them.

    Args:
        said: all that one detector said of one picture.
        threshold: from which score on a concept counts as present.
    """
    kinds = list(QuestionKind)
    found = []
    for question, score in sorted(said, key=lambda one: kinds.index(one[0].kind)):
        answer, kind = score.answer, question.kind
        if answer.box is None or answer.value is None or kind is QuestionKind.LIKENESS:
            continue
        if kind is QuestionKind.RELATION or (
            kind.is_choice and not _intrudes(question, score, said)
        ):
            continue
        what = answer.box.words or answer.option or question.text
        label = f"{what} instead" if kind.is_choice else f"{what} {words.percent(answer.value)} %"
        is_sure = kind.is_choice or answer.value >= threshold
        found.append(Frame(answer.box, label, kind, is_sure))
    return found


def by_detector(
    said: Sequence[tuple[Question, Score]],
) -> dict[str, list[tuple[Question, Score]]]:
    """What each checker that told places said in places, in the order in which they come."""
    found: dict[str, list[tuple[Question, Score]]] = {}
    for question, score in said:
        if score.answer.box is not None:
            found.setdefault(score.checker, []).append((question, score))
    return found


def _intrudes(question: Question, score: Score, said: Sequence[tuple[Question, Score]]) -> bool:
    """Whether an option won its choice and is not what was asked for.

    None of these has no box, but its share is what is left of one.
    """
    mine = [one.answer for asked, one in said if asked == question]
    left = 1 - sum(answer.value or 0.0 for answer in mine)
    best = max((answer.value or 0.0 for answer in mine), default=0.0)
    wins = score.answer.value == best and best >= left
    return wins and score.answer.option not in (question.text, NONE_OF_THESE)
