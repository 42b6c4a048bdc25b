"""Instructions as the phrasebook reads them: which form each thing takes, which order, what twice.

It is no language model. It knows :data:`CLAUSES`, finds them in an instruction by their words, and
does what they say; what an instruction asks beyond them passes it by.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping

from lcmis.teacup.concepts import FAMILIES, WorldConcept
from lcmis.teacup.phrasebook.asked import TemplateRead
from lcmis.teacup.phrasebook.wordings import holds, pair
from lcmis.teacup.world import noun_phrase

CLAUSES: dict[str, dict[str, str]] = {
    slot: {
        "name": f"call the {slot} thing by its name",
        "looks": f"say how the {slot} thing looks instead of naming it",
        "named looks": f"name the {slot} thing and say how it looks",
        "synonym": f"use another name for the {slot} thing",
    }
    for slot in ("first", "second")
} | {
    "order": {
        "sentence": "keep the order of the sentence",
        "turned": "turn the order of the things round",
        "with": "join the things by the word with",
    },
    "twice": {
        "nothing": "repeat nothing",
        "first": "repeat the first thing at the end",
        "second": "repeat the second thing at the end",
    },
}
"""Slot → what it may hold → how an instruction says so; the first of each needs no saying."""
USUAL = {slot: next(iter(choices)) for slot, choices in CLAUSES.items()}
OPENING = "Refine the prompt: "


def refine(asked: TemplateRead) -> str:
    """The prompt that an instruction asks for."""
    prompt = asked.filled["prompt"]
    wanted = read(asked.filled["instruction"])
    things = (asked.filled["a"], asked.filled["b"])
    return json.dumps({"prompt": prompt if wanted == USUAL else _composed(wanted, *things)})


def critique(asked: TemplateRead) -> str:
    """What the best prompts do and the written ones do not, by how much better they are."""
    lead: Counter[tuple[str, str]] = Counter()
    for line in asked.filled["subjects"].splitlines():
        one = json.loads(line)
        written, best = (
            _forms(one[which], one["first"], one["second"]) for which in ("written", "best")
        )
        for slot in CLAUSES:
            if written[slot] != best[slot]:
                lead[slot, best[slot]] += round(1000 * (one["best gain"] - one["gain"]))
    better = [choice for choice, gain in lead.most_common() if gain > 0]
    return json.dumps(
        {
            "pairs": [
                {
                    "inference": f"better prompts {CLAUSES[slot][choice]}",
                    "improvement": CLAUSES[slot][choice],
                }
                for slot, choice in better[: int(asked.filled["count"])]
            ]
        }
    )


def amend(asked: TemplateRead) -> str:
    """The instruction with one clause more, or with another in its place."""
    old, new = asked.filled["instruction"], asked.filled["improvement"]
    return json.dumps({"instruction": written({**read(old), **_said(new)})})


def vary(asked: TemplateRead) -> str:
    """Instructions one clause away, then two; in an order that knows nothing of what helps."""
    tried = [read(line) for line in asked.filled["known"].splitlines()]
    base = read(asked.filled["instruction"])
    new = (one for one in _around(base) if one not in tried and one != base)
    count = int(asked.filled["count"])
    return json.dumps({"instructions": [written(one) for one in itertools.islice(new, count)]})


def read(instruction: str) -> dict[str, str]:
    """What an instruction wants of each slot."""
    return {**USUAL, **_said(instruction)}


def written(wanted: Mapping[str, str]) -> str:
    """The instruction that wants this."""
    clauses = [CLAUSES[slot][wanted[slot]] for slot in CLAUSES if wanted[slot] != USUAL[slot]]
    return OPENING + ("; ".join(clauses) or "leave it as it is") + "."


def _said(instruction: str) -> dict[str, str]:
    """Slots that an instruction speaks of; of two clauses for one slot the later one holds."""
    found: dict[str, str] = {}
    for clause in re.split(r"[.;:,]", instruction.casefold()):
        things = [slot for slot in ("first", "second") if slot in clause]
        if re.search(r"\b(repeat|emphasi|stress|twice)", clause):
            found["twice"] = things[0] if things else "nothing"
        elif re.search(r"\b(order|turn|revers|swap)", clause):
            found["order"] = "sentence" if "keep" in clause else "turned"
        elif re.search(r"\bword with\b", clause):
            found["order"] = "with"
        elif form := _form(clause):
            both = ["first", "second"] if re.search(r"\b(both|each|things|every)\b", clause) else []
            found |= dict.fromkeys(things or both, form)
    return found


def _form(clause: str) -> str:
    """How a clause wants a thing to be said; empty if it does not care."""
    if re.search(r"\b(another name|other name|synonym)", clause):
        return "synonym"
    if re.search(r"\b(look|descri|appear)", clause):
        named = re.search(r"\bnam", clause) and not re.search(r"\b(instead|without|not)\b", clause)
        return "named looks" if named else "looks"
    return "name" if re.search(r"\bname\b", clause) else ""


def _composed(wanted: Mapping[str, str], a: str, b: str) -> str:
    concepts = dict(zip(("first", "second"), pair(a, b), strict=True))
    said = {
        slot: _mention(concepts[slot], name, wanted[slot])
        for slot, name in (("first", a), ("second", b))
    }
    prompt = _joined(wanted["order"], concepts, said)
    return f"{prompt}, {said[wanted['twice']]}" if wanted["twice"] in said else prompt


def _joined(order: str, concepts: Mapping[str, WorldConcept], said: Mapping[str, str]) -> str:
    if order == "turned":
        return f"{said['second']} and {said['first']}"
    if order == "with":
        return f"{said['first']} with {said['second']}"
    vessel, content = ("first", "second") if holds(concepts["first"]) else ("second", "first")
    family = next(one for one in FAMILIES.values() if concepts[vessel] in one.first)
    return family.template.format(a=said[vessel], b=said[content])


def _mention(one: WorldConcept, name: str, form: str) -> str:
    if form == "looks":
        return one.description
    if form == "named looks":
        return f"{noun_phrase(name)}, {one.description},"
    return noun_phrase(one.synonyms[0] if form == "synonym" else name)


def _forms(prompt: str, a: str, b: str) -> dict[str, str]:
    """What a prompt does in each slot: the wanting that composes it, else what it contains."""
    for choices in itertools.product(*CLAUSES.values()):
        wanted = dict(zip(CLAUSES, choices, strict=True))
        if _composed(wanted, a, b) == prompt:
            return wanted
    concepts = zip(("first", "second"), (a, b), pair(a, b), strict=True)
    return {**USUAL, **{slot: _contained(one, name, prompt) for slot, name, one in concepts}}


def _contained(one: WorldConcept, name: str, prompt: str) -> str:
    if one.description in prompt:
        return "named looks" if name in prompt.replace(one.description, "") else "looks"
    other_name = name not in prompt and any(word in prompt for word in one.synonyms)
    return "synonym" if other_name else "name"


def _around(base: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """All others, those with the fewest changes first."""
    others = [dict(zip(CLAUSES, one, strict=True)) for one in itertools.product(*CLAUSES.values())]

    def place(one: Mapping[str, str]) -> tuple[int, bytes]:
        changes = sum(one[slot] != base[slot] for slot in CLAUSES)
        return changes, hashlib.blake2b(written(one).encode(), digest_size=8).digest()

    yield from sorted(others, key=place)
