"""A stand-in for a text model over the miniature world's vocabulary; it is no language model."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from lcmis.errors import TextModelError
from lcmis.prompts import wording
from lcmis.protocols import CheckerSettings, TextModelSettings
from lcmis.teacup.concepts import FAMILIES, WorldConcept
from lcmis.teacup.world import noun_phrase, prompt_of
from lcmis.types import Question, QuestionKind

if TYPE_CHECKING:
    from PIL.Image import Image

    from lcmis.check.clip import ClipChecker


class Phrasebook:
    """Looks answers to our own templates up in the miniature world's table: no language model.

    It knows forty concepts and three questions: other prompts for a pair, which of two things is
    painted first, and what a picture shows. The last is the phrase that teacup-clip finds nearest;
    the other two need no model at all. Always the same answer to the same question.

    Args:
        settings: nothing of them matters; they are taken so that all text models are made alike.
    """

    model_id = "phrasebook@1"
    sees_images = True

    def __init__(self, settings: TextModelSettings | None = None) -> None:
        self._clip: ClipChecker | None = None

    def complete(
        self,
        messages: Sequence[dict[str, str]],
        images: Sequence[Image] = (),
        schema: dict[str, Any] | None = None,
    ) -> str:
        """The answer to the last message, which is one of our templates, filled in.

        Raises:
            TextModelError: it is something else, or names what is not in this world.
        """
        asked = messages[-1]["content"]
        if found := _pattern("rewrite").fullmatch(asked):
            a, b = _pair(found["a"], found["b"])
            prompts = dict.fromkeys(_rewrites(a, b))
            prompts.pop(found["prompt"], None)
            return json.dumps({"prompts": list(prompts)[: int(found["count"])]})
        if found := _pattern("first").fullmatch(asked):
            a, b = _pair(found["a"], found["b"])
            return json.dumps({"first": found["a"] if _holds(a) else found["b"]})
        if asked == wording("caption") and len(images) == 1:
            return self._caption(images[0])
        raise TextModelError(
            "the phrasebook is no language model and answers only lcmis's own questions, of which "
            "this is none: name a text model for it"
        )

    def _caption(self, picture: Image) -> str:
        if self._clip is None:
            from lcmis.teacup.shipped import clip

            self._clip = clip(CheckerSettings("teacup-clip", device="cpu"))
        question = Question(QuestionKind.INTRUDER_A, "", options=_phrases(), contrast=_phrases())
        (answers,) = self._clip.score([picture], [question])
        scored = [(answer.value, answer.option) for answer in answers if answer.value is not None]
        if not scored:
            raise TextModelError(f"the phrasebook cannot see this picture: {answers[0].reason}")
        return max(scored)[1]


@cache
def _pattern(name: str) -> re.Pattern[str]:
    """A template as the pattern that recognises it, filled in, and takes out what was filled in."""
    parts = []
    for text, field, _, _ in string.Formatter().parse(wording(name)):
        parts.append(re.escape(text))
        if field is not None:
            parts.append(rf"(?P<{field}>\d+)" if field == "count" else rf"(?P<{field}>.*)")
    return re.compile("".join(parts))


@cache
def _phrases() -> tuple[str, ...]:
    """Every prompt that asks for two concepts by name."""
    return tuple(
        prompt_of(name, a.name, b.name)
        for name, family in FAMILIES.items()
        for a in family.first
        for b in family.second
    )


@cache
def _known() -> dict[str, WorldConcept]:
    """Concepts by name and synonym."""
    concepts = [one for family in FAMILIES.values() for one in (*family.first, *family.second)]
    by_synonym = {word: one for one in concepts for word in one.synonyms}
    return by_synonym | {one.name: one for one in concepts}


def _pair(*names: str) -> tuple[WorldConcept, WorldConcept]:
    for name in names:
        if name not in _known():
            raise TextModelError(
                f"the phrasebook does not know {name!r}, only the forty concepts of its world: "
                f"name a text model for this pair"
            )
    a, b = (_known()[name] for name in names)
    if not any(
        (a in family.first and b in family.second) or (b in family.first and a in family.second)
        for family in FAMILIES.values()
    ):
        raise TextModelError(f"the phrasebook cannot join {a.name!r} and {b.name!r}")
    return a, b


def _holds(one: WorldConcept) -> bool:
    """Whether others are put into it or onto it."""
    return any(one in family.first for family in FAMILIES.values())


def _rewrites(a: WorldConcept, b: WorldConcept) -> Iterator[str]:
    """Descriptions first, then synonyms, then another order; the vessel stands in front."""
    if not _holds(a):
        a, b = b, a
    template = next(family.template for family in FAMILIES.values() if a in family.first)
    names = {one.name: noun_phrase(one.name) for one in (a, b)}
    yield template.format(a=a.description, b=b.description)
    yield template.format(a=a.description, b=names[b.name])
    yield template.format(a=names[a.name], b=b.description)
    for synonym in a.synonyms:
        yield template.format(a=noun_phrase(synonym), b=names[b.name])
        yield template.format(a=noun_phrase(synonym), b=b.description)
    for synonym in b.synonyms:
        yield template.format(a=names[a.name], b=noun_phrase(synonym))
        yield template.format(a=a.description, b=noun_phrase(synonym))
    for first, second in ((a.description, b.description), (names[a.name], names[b.name])):
        yield f"{second} and {first}"
        yield f"{first} with {second}"
