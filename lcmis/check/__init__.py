"""(Picture, question) → score in [0, 1]: what a pair makes us ask, and of which control."""

from __future__ import annotations

from typing import TYPE_CHECKING

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

MAX_INTRUDERS = 5
"""Suspects in one forced choice; the likeliest come first in a pair."""
MID_GREY = (128, 128, 128)

_ABOUT = {
    Side.A: (QuestionKind.A_PRESENT, QuestionKind.INTRUDER_A),
    Side.B: (QuestionKind.B_PRESENT, QuestionKind.INTRUDER_B),
}


def questions_of(pair: ConceptPair) -> tuple[Question, ...]:
    """All that is asked of every picture of a pair, the same at every call.

    For each side its presence; the whole prompt; and for each side with intruders a forced choice
    between the concept, its intruders and none of these.
    """
    presences, choices = [], []
    for side, (present, intruder) in _ABOUT.items():
        suspects = pair.intruders_of(side)
        presences.append(
            Question(present, pair.concept(side).name, contrast=_contrast(pair, suspects))
        )
        if suspects:
            choices.append(_choice(pair, side, intruder, suspects[:MAX_INTRUDERS]))
    relation = Question(
        QuestionKind.RELATION, pair.prompt, contrast=_contrast(pair, pair.intruders)
    )
    return (*presences, relation, *choices)


def _contrast(pair: ConceptPair, suspects: tuple[Intruder, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((pair.prompt, *(suspect.prompt for suspect in suspects))))


def _choice(
    pair: ConceptPair, side: Side, kind: QuestionKind, suspects: tuple[Intruder, ...]
) -> Question:
    """Shuffled, since a model that cannot tell prefers the first; none of these stays last."""
    asked = pair.concept(side).name
    prompts = {suspect.concept.name: suspect.prompt for suspect in reversed(suspects)}
    prompts[asked] = pair.prompt
    shuffled = sorted(prompts, key=lambda name: key_number(f"{pair.key}\0{side}\0{name}"))
    return Question(
        kind,
        asked,
        options=(*shuffled, NONE_OF_THESE),
        contrast=tuple(prompts[name] for name in shuffled),
    )


def blank_picture(width: int, height: int) -> Image:
    """The control that shows nothing: even mid grey, so that every yes to it is prior."""
    from PIL import Image

    return Image.new("RGB", (width, height), MID_GREY)
