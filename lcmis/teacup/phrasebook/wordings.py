"""How the world's pairs are said: other wordings, which concept comes first, captions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import cache

from lcmis.errors import TextModelError
from lcmis.teacup.concepts import FAMILIES, WorldConcept
from lcmis.teacup.phrasebook.asked import TemplateRead
from lcmis.teacup.world import noun_phrase, prompt_of


def rewrite(asked: TemplateRead) -> str:
    """Up to ``count`` other prompts for a pair."""
    a, b = pair(asked.filled["a"], asked.filled["b"])
    prompts = dict.fromkeys(_rewrites(a, b))
    prompts.pop(asked.filled["prompt"], None)
    return json.dumps({"prompts": list(prompts)[: int(asked.filled["count"])]})


def first(asked: TemplateRead) -> str:
    """Which of two concepts is painted first: the one that holds the other."""
    a, _ = pair(asked.filled["a"], asked.filled["b"])
    return json.dumps({"first": asked.filled["a" if holds(a) else "b"]})


def improve(asked: TemplateRead) -> str:
    """Up to ``count`` prompts for a pair that stand in no line of what was tried, or where it knows
    none, some that do.
    """
    a, b = pair(asked.filled["a"], asked.filled["b"])
    tried = [
        json.loads(line)["prompt"] for line in asked.filled["tried"].splitlines() if line != "none"
    ]
    return _others(_rewrites(a, b), tried, int(asked.filled["count"]))


def mend(asked: TemplateRead) -> str:
    """Up to ``count`` prompts that say what is not seen in another way than by its name."""
    a, b = pair(asked.filled["a"], asked.filled["b"])
    unmet = asked.filled["unmet"].split(", ")
    words = [one for name in unmet if name in known() for one in _wordings_of(known()[name])]
    prompts = sorted(
        dict.fromkeys(_rewrites(a, b)), key=lambda one: not any(word in one for word in words)
    )
    return _others(prompts, [asked.filled["written"]], int(asked.filled["count"]))


def avoid(asked: TemplateRead) -> str:
    """What was painted instead, and what captions show that was not asked for; where there is
    nothing, what was asked for.
    """
    wanted = pair(asked.filled["a"], asked.filled["b"])
    shown = [
        one for line in asked.filled["seen"].splitlines() for one in pairs_by_phrase().get(line, ())
    ]
    found = [one.name for one in shown if one not in wanted]
    instead = asked.filled["intruder"]
    if instead in known() and known()[instead] not in wanted:
        found.insert(0, instead)
    found = found or [one.name for one in wanted]
    return json.dumps({"avoid": list(dict.fromkeys(found))[: int(asked.filled["count"])]})


def frequent(asked: TemplateRead) -> str:
    """The vessel with its usual partner; what tells the rare picture apart is the layout."""
    a, b = pair(asked.filled["a"], asked.filled["b"])
    vessel, content = (a, b) if holds(a) else (b, a)
    family = next(one for one in FAMILIES.values() if vessel in one.first)
    place = family.first.index(vessel)
    usual = family.second[place]
    if usual == content:
        usual = family.second[place - 1]
    return json.dumps({"prompt": prompt_of(family.name, vessel.name, usual.name), "level": 1})


def caption(asked: TemplateRead) -> str:
    """What a picture shows."""
    return asked.eyes.best(asked.the_picture(), phrases())


def phrases() -> tuple[str, ...]:
    """Every prompt that asks for two concepts by name."""
    return tuple(pairs_by_phrase())


@cache
def pairs_by_phrase() -> dict[str, tuple[WorldConcept, WorldConcept]]:
    """The two concepts that each of :func:`phrases` asks for."""
    return {
        prompt_of(name, a.name, b.name): (a, b)
        for name, family in FAMILIES.items()
        for a in family.first
        for b in family.second
    }


@cache
def known() -> dict[str, WorldConcept]:
    """Concepts by name and synonym."""
    concepts = [one for family in FAMILIES.values() for one in (*family.first, *family.second)]
    by_synonym = {word: one for one in concepts for word in one.synonyms}
    return by_synonym | {one.name: one for one in concepts}


def pair(*names: str) -> tuple[WorldConcept, WorldConcept]:
    """Two concepts of one family, called so.

    Raises:
        TextModelError: they are not known, or cannot be joined.
    """
    for name in names:
        if name not in known():
            raise TextModelError(
                f"the phrasebook does not know {name!r}, only the forty concepts of its world: "
                f"name a text model for this pair"
            )
    a, b = (known()[name] for name in names)
    if not any(
        (a in family.first and b in family.second) or (b in family.first and a in family.second)
        for family in FAMILIES.values()
    ):
        raise TextModelError(f"the phrasebook cannot join {a.name!r} and {b.name!r}")
    return a, b


def holds(one: WorldConcept) -> bool:
    """Whether others are put into it or onto it."""
    return any(one in family.first for family in FAMILIES.values())


def _rewrites(a: WorldConcept, b: WorldConcept) -> Iterator[str]:
    """Descriptions first, then synonyms, then another order; the vessel stands in front."""
    if not holds(a):
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
    for first_said, second_said in ((a.description, b.description), (names[a.name], names[b.name])):
        yield f"{second_said} and {first_said}"
        yield f"{first_said} with {second_said}"


def _wordings_of(one: WorldConcept) -> list[str]:
    """Its looks and its other names."""
    return [one.description, *map(noun_phrase, one.synonyms)]


def _others(prompts: Iterable[str], tried: Iterable[str], count: int) -> str:
    known_before = set(tried)
    every = list(dict.fromkeys(prompts))
    new = [one for one in every if one not in known_before]
    return json.dumps({"prompts": (new or every)[:count]})
