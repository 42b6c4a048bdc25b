"""How a pair's concepts are said: alone, by their looks, in each other's place."""

from __future__ import annotations

import re

from lcmis.types import ConceptPair, Side


def other(side: Side) -> Side:
    """The one that is not this."""
    return Side.B if side is Side.A else Side.A


def alone(pair: ConceptPair, side: Side) -> str:
    """A concept as the prompt says it, article included: ``"a tea cup"``."""
    found = _said(pair, side).search(pair.prompt)
    return found[0] if found else pair.concept(side).name


def said_otherwise(pair: ConceptPair, wording: dict[Side, str]) -> str | None:
    """The prompt with other words for its concepts; None where it does not name one of them.

    Words that bring an article of their own replace the prompt's too.
    """
    prompt = pair.prompt
    for side, words in wording.items():
        found = _said(pair, side).search(prompt)
        if not found:
            return None
        brings = re.match(r"(?:an?|the|some) ", words, re.IGNORECASE)
        article = "" if brings else _agreeing(found["article"] or "", words)
        prompt = prompt[: found.start()] + article + words + prompt[found.end() :]
    return prompt


def _said(pair: ConceptPair, side: Side) -> re.Pattern[str]:
    name = re.escape(pair.concept(side).name)
    return re.compile(rf"\b(?P<article>(?:an?|the|some) )?{name}\b", re.IGNORECASE)


def _agreeing(article: str, words: str) -> str:
    """``a`` before a consonant, ``an`` before a vowel; anything else as it is."""
    if article.lower() not in ("a ", "an "):
        return article
    return article[0] + ("n " if words[:1].lower() in "aeiou" else " ")
