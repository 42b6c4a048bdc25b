"""Words in a prompt, on one line and with the article that fits; words for shares and decisions."""

from __future__ import annotations

import re

Span = tuple[int, int]

_ARTICLE = re.compile(r"^(?:an?|the|some)\s+(?=\S)", re.IGNORECASE)
_GLIDE = re.compile(r"u(ni(?!n)|k|s[ei]|r[ao]n|t[ei])|eu|ewe|one")
"""Vowels that begin a word and sound like a consonant."""


def one_line(text: str) -> str:
    """Words apart by single spaces."""
    return " ".join(text.split())


def without_article(name: str) -> str:
    """A noun without the ``a``, ``an``, ``the`` or ``some`` before it."""
    return _ARTICLE.sub("", name.strip())


def article(words: str) -> str:
    """``an`` or ``a``, by sound: an urn, a unicorn, an hourglass."""
    word = words.casefold()
    silent_h = word.startswith(("hour", "heir", "honest", "honour"))
    return "an" if silent_h or (word[:1] in "aeiou" and not _GLIDE.match(word)) else "a"


def indefinite(noun: str) -> str:
    """The noun with its article."""
    return f"{article(noun)} {noun}"


def places(text: str, words: str) -> list[Span]:
    """Where the words stand whole, in any case; a pattern for each name costs far more time."""
    text, wanted = _lowered(text), _lowered(words)
    spans, start = [], text.find(wanted)
    while start >= 0:
        end = start + len(wanted)
        if not _in_word(text[start - 1 : start]) and not _in_word(text[end : end + 1]):
            spans.append((start, end))
        start = text.find(wanted, start + 1)
    return spans


def _lowered(text: str) -> str:
    """In small letters, each in its place: ``İ`` alone would become two."""
    return text.lower() if text.isascii() else "".join(letter.lower()[0] for letter in text)


def _in_word(letter: str) -> bool:
    return letter.isalnum() or letter == "_"


def outcome(*, passed: bool, proved: bool) -> str:
    """What a certificate says of a repair: by itself, and among all that were looked at."""
    return "repaired" if proved else "passes alone" if passed else "not repaired"


def controlled(kept: int, among: int) -> str:
    """What is left of a number when all are looked at together."""
    return f"{kept:,} after control for looking at {among:,}"


def percent(share: float) -> str:
    """A share in [0, 1] as per cent, spelled so that 0 and 100 are said of nothing else."""
    number = 100 * share
    if 0 < number < 1:
        return f"{max(number, 0.1):.1f}"
    if 99 < number < 100:
        return f"{min(number, 99.9):.1f}"
    return f"{number:.0f}"
