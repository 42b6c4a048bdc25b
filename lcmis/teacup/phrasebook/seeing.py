"""What pictures of the world show, and what to say so that one becomes like another."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lcmis.errors import TextModelError
from lcmis.teacup.concepts import WorldConcept
from lcmis.teacup.phrasebook.asked import Onlooker, TemplateRead
from lcmis.teacup.phrasebook.wordings import pairs_by_phrase, phrases
from lcmis.teacup.world import BACKGROUNDS, TABLES, noun_phrase

if TYPE_CHECKING:
    from PIL.Image import Image

PLACES = {
    "background": tuple(f"{colour} background" for colour in BACKGROUNDS),
    "composition": tuple(f"on a {table} table" for table in TABLES),
}
"""Heading → what may be said under it in this world, besides the two concepts."""


@dataclass(frozen=True, slots=True)
class Sight:
    """A picture in words."""

    subject: str
    """The pair's plain prompt."""
    background: str
    composition: str


def describe(asked: TemplateRead) -> str:
    """Subject, background and composition; the world has nothing to say under other headings."""
    sight = _look(asked.the_picture(), asked.eyes)
    headings = asked.filled["aspects"].splitlines()
    return json.dumps({heading: getattr(sight, heading, "none") for heading in headings})


def changes(asked: TemplateRead) -> str:
    """What to change in a prompt, by a look at the goal and one at the painting."""
    if len(asked.pictures) != 2:
        raise TextModelError("the phrasebook compares two pictures, the goal and the painting")
    goal, painted = (_look(picture, asked.eyes) for picture in asked.pictures)
    return _compared(goal, painted, asked.filled, rejected=[])


def differences(asked: TemplateRead) -> str:
    """What to change in a prompt, by two of our own descriptions."""
    goal, painted = (_read(asked.filled[field]) for field in ("goal", "painted"))
    return _compared(goal, painted, asked.filled, asked.filled["rejected"].splitlines())


def _look(picture: Image, eyes: Onlooker) -> Sight:
    """The pair first: background and table are told apart in its company."""
    subject = eyes.best(picture, phrases())
    said = {
        "background": [f"{subject}, {words}" for words in PLACES["background"]],
        "composition": [f"{subject} {words}" for words in PLACES["composition"]],
    }
    found = {heading: eyes.best(picture, texts) for heading, texts in said.items()}
    return Sight(subject, **{at: text[len(subject) :].strip(" ,") for at, text in found.items()})


def _read(lines: str) -> Sight:
    said = dict(line.split(": ", 1) for line in lines.splitlines() if ": " in line)
    try:
        sight = Sight(said["subject"], said["background"], said["composition"])
    except KeyError as error:
        raise TextModelError(
            f"the phrasebook compares only its own descriptions, and {error} is not in this one"
        ) from error
    if sight.subject not in pairs_by_phrase():
        raise TextModelError(f"the phrasebook does not know {sight.subject!r}")
    return sight


def _compared(goal: Sight, painted: Sight, filled: Mapping[str, str], rejected: list[str]) -> str:
    """What was rejected is offered again only where nothing else is left to say."""
    if goal == painted:
        return json.dumps({"same": True, "add": [], "replace": [], "drop": []})
    prompt, count = filled["prompt"], int(filled["count"])
    wanted = pairs_by_phrase()[goal.subject]
    there = pairs_by_phrase()[painted.subject]
    add = [words for one in wanted if one not in there for words in _wordings(one)]
    places = [(getattr(goal, at), getattr(painted, at)) for at in PLACES]
    add[:0] = [words for words, seen in places if words != seen]
    replace = [
        (said, words)
        for one in wanted
        if one not in there
        for said in _said(prompt, one)
        for words in _wordings(one)
        if words != said
    ]
    drop = [seen for words, seen in places if words != seen and seen in prompt]
    drop += [said for one in there if one not in wanted for said in _said(prompt, one)]
    fresh = [words for words in add if words not in rejected and words not in prompt]
    swaps = [(old, new) for old, new in replace if new not in rejected]
    answer = {
        "same": False,
        "add": (fresh or add)[:count],
        "replace": [{"phrase": old, "by": new} for old, new in swaps[:count]],
        "drop": drop[:count],
    }
    return json.dumps(answer)


def _wordings(one: WorldConcept) -> Iterator[str]:
    """How it looks first: a name that was not understood will not be when said again."""
    yield one.description
    yield from map(noun_phrase, (one.name, *one.synonyms))


def _said(prompt: str, one: WorldConcept) -> list[str]:
    """The concept as a prompt says it, likeliest wording only; none where it does not."""
    words = [one.description, *map(noun_phrase, (one.name, *one.synonyms))]
    return [phrase for phrase in words if phrase in prompt][:1]
