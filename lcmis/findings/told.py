"""What a checker was asked of a picture and what it said: from what is kept, or worded again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from lcmis import judge
from lcmis.plugins.opening import asked_by
from lcmis.store import Store
from lcmis.text.replies import KeptReply, kept_reply
from lcmis.types import (
    Answer,
    Exchange,
    Inquiry,
    Question,
    QuestionKind,
    Rate,
    Render,
)

_COUNTED = re.compile(r"\+([0-9]+)replies\b")
"""In the id of a checker that draws replies and counts them."""


@dataclass(frozen=True, slots=True)
class SaidReply:
    """One reply of a service, or why there was none."""

    reply: KeptReply | None
    reason: str
    """Why it cannot be used; empty where it can."""
    shown: tuple[tuple[str, str], ...]
    """How the picture was shown and the reply asked for: a name and what it was."""
    seconds: float
    at: str
    """UTC, ISO 8601."""


@dataclass(frozen=True, slots=True)
class Told:
    """What one checker was asked of a picture, and what it said."""

    checker: str
    question: Question
    messages: tuple[tuple[str, str], ...]
    """``(role, text)`` as it was asked beside the picture; empty where nobody here knows."""
    answers: tuple[Answer, ...]
    """In the order in which options were shown."""
    replies: tuple[SaidReply, ...]
    """Of a service, the oldest first; none of a model that ran here."""
    counted: int
    """Replies that were drawn and counted; 0 where probabilities were read."""
    ranges: tuple[Rate | None, ...]
    """For each answer the interval of its share, where replies were counted and gave one."""


def tell(store: Store, render: Render) -> tuple[Told, ...]:
    """All that every checker was asked of a picture, by checker, in the order of the questions."""
    together: dict[tuple[str, str], tuple[Question, list[Answer]]] = {}
    for question, score in store.scores(render.spec_key):
        place = (score.checker, question.key)
        together.setdefault(place, (question, []))[1].append(score.answer)
    kinds = list(QuestionKind)
    told = (
        _told(store, render, checker, question, answers)
        for (checker, _), (question, answers) in together.items()
    )
    return tuple(sorted(told, key=lambda one: (one.checker, kinds.index(one.question.kind))))


def _told(
    store: Store, render: Render, checker: str, question: Question, answers: Iterable[Answer]
) -> Told:
    exchanges = store.exchanges_of(Inquiry(checker, render.sha256, question.key).key)
    shown = {option: place for place, option in enumerate(question.options)}
    ordered = tuple(sorted(answers, key=lambda one: shown.get(one.option, len(shown))))
    found = _COUNTED.search(checker)
    counted = int(found[1]) if found else 0
    return Told(
        checker=checker,
        question=question,
        messages=exchanges[0].messages if exchanges else asked_by(checker, question),
        answers=ordered,
        replies=tuple(map(_said, exchanges)),
        counted=counted,
        ranges=tuple(_range(answer, counted) for answer in ordered),
    )


def _range(answer: Answer, counted: int) -> Rate | None:
    """Of a share of replies; the mass says how many of them gave an answer."""
    if not counted or answer.value is None:
        return None
    given = round(answer.mass * counted)
    return judge.rate(round(answer.value * given), given)


def _said(exchange: Exchange) -> SaidReply:
    try:
        reply = kept_reply(exchange.reply) if exchange.reply else None
    except ValueError:  # of a plugin that keeps its replies otherwise
        reply = KeptReply(said=exchange.reply)
    return SaidReply(reply, exchange.reason, _shown(exchange.schema), exchange.seconds, exchange.at)


def _shown(schema: str) -> tuple[tuple[str, str], ...]:
    try:
        how = json.loads(schema)
    except ValueError:
        return ()
    return tuple((str(name), str(what)) for name, what in how.items()) if how else ()
