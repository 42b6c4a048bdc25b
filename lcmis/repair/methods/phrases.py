"""How a pair's concepts are said: alone, by their looks, in each other's place."""

from __future__ import annotations

import re

from lcmis.text.words import article
from lcmis.types import ConceptPair, Side


def other(side: Side) -> Side:
    """The one that is not this."""
    return Side.B if side is Side.A else Side.A


def alone(pair: ConceptPair, side: Side) -> str:
    """A concept as the prompt says it, article included: ``"a tea cup"``."""
    found = _said(pair, side).search(pair.prompt)
    return found[0] if found else pair.concept(side).name


def by_looks(pair: ConceptPair, *sides: Side, sentence: str = "") -> str | None:
    """The prompt with descriptions for names; None where one of the two is not there.

    A description brings its own article, or does without.

    Args:
        pair: whose concepts are described.
        sides: those that are.
        sentence: another prompt of the pair; empty is its own.
    """
    prompt = sentence or pair.prompt
    for side in sides:
        look, found = pair.concept(side).description, _said(pair, side).search(prompt)
        if not (look and found):
            return None
        prompt = prompt[: found.start()] + look + prompt[found.end() :]
    return prompt


def by_synonym(pair: ConceptPair, side: Side, synonym: str) -> str | None:
    """The prompt with another name, the article agreeing; None where it does not say the name."""
    found = _said(pair, side).search(pair.prompt)
    if not found:
        return None
    said = _agreeing(found["article"] or "", synonym)
    return pair.prompt[: found.start()] + said + synonym + pair.prompt[found.end() :]


def _said(pair: ConceptPair, side: Side) -> re.Pattern[str]:
    name = re.escape(pair.concept(side).name)
    return re.compile(rf"\b(?P<article>(?:an?|the|some) )?{name}\b", re.IGNORECASE)


def _agreeing(said: str, words: str) -> str:
    """``a`` or ``an`` as the words want it; anything else as it is."""
    if said.lower() not in ("a ", "an "):
        return said
    return f"{said[0]}{article(words)[1:]} "
