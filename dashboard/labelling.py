"""What to ask a rater next: the order by worth, hidden repeats, and the way back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lcmis import judge
from lcmis.findings.calibration import CHOICES, PRESENCES, Deck, Place, lot
from lcmis.findings.labels import NO, Reading
from lcmis.judge import ONE_BY_LOT, Stratum
from lcmis.types import ConceptPair, Question, QuestionKind, Side

REPEAT_EVERY = 10
"""Every so many-th picture is one that the rater has labelled before."""
LEAST_BETWEEN = 8
"""So many other pictures lie between a picture and its repeat at the least."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A picture to label; all of its questions come one after the other."""

    place: Place
    repeat: bool
    """Whether the rater has seen it before; he is not told."""


class RaterRecord:
    """What one rater has said so far, picture by picture, of those that he was asked about."""

    def __init__(self, found: Iterable[Reading], rater: str) -> None:
        self.answers: dict[str, dict[str, tuple[str, ...]]] = {}
        for reading in found:
            if reading.rater == rater and not reading.unasked:
                self.answers.setdefault(reading.render, {})[reading.question] = reading.answers

    def of(self, render: str) -> Mapping[str, tuple[str, ...]]:
        """Answers to each question about a picture."""
        return self.answers.get(render, {})

    def __len__(self) -> int:
        return len(self.answers)


def questions_of(pair: ConceptPair, asked: Iterable[Question]) -> dict[QuestionKind, Question]:
    """Of all that checkers were asked of a picture, what concerns this pair and a rater can answer:
    both presences, and what stands in the place of either concept.
    """
    found: dict[QuestionKind, Question] = {}
    for question in asked:
        side = Side.A if question.kind in (PRESENCES[0], CHOICES[0]) else Side.B
        name = pair.concept(side).name
        names = question.options if question.kind in CHOICES else (question.text,)
        if question.kind in (*PRESENCES, *CHOICES) and name in names:
            found.setdefault(question.kind, question)
    return found


def open_question(
    questions: Mapping[QuestionKind, Question],
    said: Mapping[str, tuple[str, ...]],
    *,
    repeat: bool = False,
) -> Question | None:
    """What is still to be asked of a picture; None when it is done.

    What stands in the place of a concept is asked only if it is missing, and never twice.
    """
    times = 2 if repeat else 1
    for kind in PRESENCES:
        question = questions.get(kind)
        if question is not None and len(said.get(question.key, ())) < times:
            return question
    for presence, choice in zip(PRESENCES, CHOICES, strict=True):
        asked, question = questions.get(presence), questions.get(choice)
        if asked is None or question is None or repeat:
            continue
        if said.get(asked.key, ())[:1] == (NO,) and not said.get(question.key):
            return question
    return None


def next_turn(cards: Deck, record: RaterRecord, right: Mapping[str, bool]) -> Turn | None:
    """The picture to label next; None when all are done.

    The same labels lead to the same picture, so that whoever comes back goes on where he stopped,
    and raters who start alike meet the same pictures.

    Args:
        cards: All pictures that may be labelled.
        record: What this rater has said.
        right: Of pictures he has labelled, whether they show both concepts, as far as he said.
    """
    if len(record) > LEAST_BETWEEN and len(record) % REPEAT_EVERY == 0:
        again = _repeat(cards, record)
        if again is not None:
            return Turn(again, repeat=True)
    place = _fresh(cards, record, right)
    return None if place is None else Turn(place, repeat=False)


def _repeat(cards: Deck, record: RaterRecord) -> Place | None:
    """A picture he labelled once, by lot; None where this round's repeat is done already."""
    order = list(record.answers)
    twice = sum(_times(record.of(render)) > 1 for render in order)
    if twice >= len(order) // REPEAT_EVERY:
        return None
    known = {place[0]: place for places in cards.strata.values() for place in places}
    old = [
        known[render]
        for render in order[:-LEAST_BETWEEN]
        if render in known and _times(record.of(render)) == 1
    ]
    return min(old, key=lambda place: lot((f"repeat {len(order)}", place[0])), default=None)


def _times(said: Mapping[str, tuple[str, ...]]) -> int:
    return max((len(answers) for answers in said.values()), default=0)


def _fresh(cards: Deck, record: RaterRecord, right: Mapping[str, bool]) -> Place | None:
    waiting = {
        kind: next((place for place in places if place[0] not in record.answers), None)
        for kind, places in cards.strata.items()
    }
    left = {kind: place for kind, place in waiting.items() if place is not None}
    if not left:
        return None
    if len(record) % ONE_BY_LOT == 0:
        return min(left.values(), key=lot)
    counts = _counts(cards, record, right)
    sizes = cards.sizes
    best = max(left, key=lambda kind: judge.worth(sizes[kind], *counts[kind], kind=kind))
    return left[best]


def _counts(
    cards: Deck, record: RaterRecord, right: Mapping[str, bool]
) -> dict[Stratum, tuple[int, int]]:
    """(right, labelled) of each stratum."""
    counts = {}
    for kind, places in cards.strata.items():
        told = [right[render] for render, _ in places if render in right]
        counts[kind] = (sum(told), len(told))
    return counts


def in_progress(
    record: RaterRecord, questions: Mapping[QuestionKind, Question], render: str
) -> Question | None:
    """What is still to be asked of the picture labelled last; None when it is done."""
    said = record.of(render)
    return open_question(questions, said, repeat=_times(said) > 1)
