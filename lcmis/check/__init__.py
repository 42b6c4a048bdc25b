"""(Picture, question) → score in [0, 1]: what a pair makes us ask, and of which control."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lcmis.plugins.optional import likeness_weight_of, reads_lookalikes, reads_synonyms
from lcmis.types import (
    NONE_OF_THESE,
    ConceptPair,
    Intruder,
    Question,
    QuestionKind,
    Side,
    key_number,
)

if TYPE_CHECKING:
    from PIL.Image import Image

    from lcmis.plugins.protocols import Checker

MAX_INTRUDERS = 5
"""Suspects in one forced choice; the likeliest come first in a pair."""
MID_GREY = (128, 128, 128)

_ABOUT = {
    Side.A: (QuestionKind.A_PRESENT, QuestionKind.INTRUDER_A),
    Side.B: (QuestionKind.B_PRESENT, QuestionKind.INTRUDER_B),
}


def questions_of(
    pair: ConceptPair, *, synonyms: bool = False, lookalikes: bool = False
) -> tuple[Question, ...]:
    """All that is asked of every picture of a pair, the same at every call.

    For each side its presence; the whole prompt; and for each side with intruders a forced choice
    between the concept, its intruders and none of these. With ``synonyms``, presences and choices
    say what else their concepts are called; with ``lookalikes``, presences name their suspects as
    options behind the concept.
    """
    presences, choices = [], []
    for side, (present, intruder) in _ABOUT.items():
        suspects = pair.intruders_of(side)
        asked = pair.concept(side)
        other_names = (asked.synonyms,) if synonyms and asked.synonyms else ()
        listed = suspects[:MAX_INTRUDERS] if lookalikes else ()
        names = dict.fromkeys((asked.name, *(one.concept.name for one in listed)))
        presences.append(
            Question(
                present,
                asked.name,
                options=tuple(names) if len(names) > 1 else (),
                contrast=_contrast(pair, suspects),
                synonyms=other_names,
            )
        )
        if suspects:
            choices.append(
                _choice(pair, side, intruder, suspects[:MAX_INTRUDERS], synonyms=synonyms)
            )
    relation = Question(
        QuestionKind.RELATION, pair.prompt, contrast=_contrast(pair, pair.intruders)
    )
    return (*presences, relation, *choices)


def questions_for(checker: Checker, pair: ConceptPair) -> tuple[Question, ...]:
    """All that one checker is asked of every picture of a pair: :func:`questions_of`, with synonyms
    and look-alikes where it reads them, and likenesses where it measures them.
    """
    questions = questions_of(
        pair, synonyms=reads_synonyms(checker), lookalikes=reads_lookalikes(checker)
    )
    if likeness_weight_of(checker) is None:
        return questions
    likenesses = (one for side in Side for one in likenesses_of(pair, side))
    return (*questions, *dict.fromkeys(likenesses))


def likenesses_of(pair: ConceptPair, side: Side) -> tuple[Question, ...]:
    """How like a picture is to a concept's name and, where it has one, to its description."""
    concept = pair.concept(side)
    texts = filter(None, (concept.name, concept.description))
    return tuple(Question(QuestionKind.LIKENESS, text) for text in texts)


def _contrast(pair: ConceptPair, suspects: tuple[Intruder, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((pair.prompt, *(suspect.prompt for suspect in suspects))))


def _choice(
    pair: ConceptPair,
    side: Side,
    kind: QuestionKind,
    suspects: tuple[Intruder, ...],
    *,
    synonyms: bool,
) -> Question:
    """Shuffled, since a model that cannot tell prefers the first; none of these stays last."""
    asked = pair.concept(side).name
    prompts = {suspect.concept.name: suspect.prompt for suspect in reversed(suspects)}
    prompts[asked] = pair.prompt
    shuffled = sorted(prompts, key=lambda name: key_number(f"{pair.key}\0{side}\0{name}"))
    called = {suspect.concept.name: suspect.concept.synonyms for suspect in reversed(suspects)}
    called[asked] = pair.concept(side).synonyms
    other_names = tuple(called[name] for name in shuffled)
    return Question(
        kind,
        asked,
        options=(*shuffled, NONE_OF_THESE),
        contrast=tuple(prompts[name] for name in shuffled),
        synonyms=(*other_names, ()) if synonyms and any(other_names) else (),
    )


def blank_picture(width: int, height: int) -> Image:
    """The control that shows nothing: even mid grey, so that every yes to it is prior."""
    from PIL import Image

    return Image.new("RGB", (width, height), MID_GREY)
