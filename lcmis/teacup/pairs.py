"""Every pair of the miniature world, with the partners that displace a concept in its data.

``python -m lcmis.teacup.pairs > data/pairs/teacup.toml`` writes the shipped file anew.
"""

from __future__ import annotations

from collections.abc import Iterator

from lcmis.teacup.world import FAMILIES, WorldConcept, grade, noun_phrase, prompt_of
from lcmis.types import Concept, ConceptPair, Intruder, Side

NUM_INTRUDERS = 5
"""Suspects a side: of all, those that the training pictures show most often with the partner."""
PATTERNS = {
    "drinks": "drink and vessel",
    "plants": "plant and vessel",
    "outfits": "creature and outfit",
}
"""What each family's pairs are called, before their grade."""


def pairs() -> tuple[ConceptPair, ...]:
    """All 136, family by family, from the usual partners to those that never meet."""
    return tuple(
        _pair(family, first, (first + step) % len(table.second))
        for family, table in FAMILIES.items()
        for step in range(len(table.second))
        for first in range(len(table.first))
    )


def _pair(family: str, i: int, j: int) -> ConceptPair:
    a, b = FAMILIES[family].first[i], FAMILIES[family].second[j]
    prompt = prompt_of(family, a.name, b.name)
    return ConceptPair(
        _concept(a),
        _concept(b),
        prompt,
        sentences=(
            f"{prompt} on a wooden table",
            f"{prompt}, blue background",
            f"a picture of {prompt}",
            f"{noun_phrase(a.name)} with {noun_phrase(b.name)}",
        ),
        intruders=(*_displacing_a(family, i, j), *_displacing_b(family, i, j)),
        pattern=f"{PATTERNS[family]}, grade {grade(family, i, j)}",
        source="lcmis teacup world",
        licence="Apache-2.0",
    )


def _displacing_a(family: str, i: int, j: int) -> Iterator[Intruder]:
    first, second = FAMILIES[family].first, FAMILIES[family].second
    others = sorted(set(range(len(first))) - {i}, key=lambda other: grade(family, other, j))
    for other in others[:NUM_INTRUDERS]:
        prompt = prompt_of(family, first[other].name, second[j].name)
        yield Intruder(_concept(first[other]), Side.A, prompt)


def _displacing_b(family: str, i: int, j: int) -> Iterator[Intruder]:
    first, second = FAMILIES[family].first, FAMILIES[family].second
    others = sorted(set(range(len(second))) - {j}, key=lambda other: grade(family, i, other))
    for other in others[:NUM_INTRUDERS]:
        prompt = prompt_of(family, first[i].name, second[other].name)
        yield Intruder(_concept(second[other]), Side.B, prompt)


def _concept(one: WorldConcept) -> Concept:
    return Concept(one.name, one.description, one.synonyms)


if __name__ == "__main__":
    from lcmis.propose.catalogue import to_toml

    print("# Written by python -m lcmis.teacup.pairs from the world's table: change it there.\n")
    print(to_toml(pairs()), end="")
