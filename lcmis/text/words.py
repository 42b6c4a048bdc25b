"""Words in a prompt: on one line, with the article that fits, and where they stand."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

Span = tuple[int, int]

_ARTICLE = re.compile(r"^(?:an?|the|some)\s+(?=\S)", re.IGNORECASE)
_GLIDE = re.compile(r"u(ni(?!n)|k|s[ei]|r[ao]n|t[ei])|eu|ewe|one")
"""Vowels that begin a word and sound like a consonant."""


_PLAIN: dict[int, str | None] = {
    **dict.fromkeys((160, 5760, *range(8192, 8203), 8239, 8287, 12288), " "),
    **dict.fromkeys((0xAD, 0x200B, 0x2060, 0xFEFF)),
}
"""Spaces that are no plain ones, and what has no width and says nothing."""


def plain(text: str) -> str:
    """Text in one spelling, so that what looks the same is the same.

    Letters and their accents are composed (NFC), spaces of any width and no-break spaces are plain
    ones, and what has no width and says nothing is gone: zero-width space, word joiner, soft
    hyphen, byte order mark.
    """
    if text.isascii():
        return text
    return unicodedata.normalize("NFC", text.translate(_PLAIN))


def lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines as JSON lines have them, and their numbers from 1: only a line feed ends one.

    Not ``splitlines``: JSON leaves U+2028, U+0085 and their like as they are within a text.
    """
    return enumerate((line.removesuffix("\r") for line in text.split("\n")), 1)


def by_number(name: str) -> tuple[tuple[int, str], ...]:
    """A key for sorting names as people count: ``2.png`` before ``10.png``."""
    pieces = re.split(r"([0-9]+)", name)
    return tuple((int(piece) if place % 2 else 0, piece) for place, piece in enumerate(pieces))


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


def singulars(plural: str) -> tuple[str, ...]:
    """What may be the one of which a word says many, likeliest first; no dictionary is asked."""
    first, _, last = plural.rpartition(" ")
    found = [one + by for many, by in _PLURALS if (one := last.removesuffix(many)) != last]
    return tuple(f"{first} {one}".strip() for one in dict.fromkeys(found) if one)


_PLURALS = (
    *(("men", "man"), ("people", "person"), ("children", "child"), ("mice", "mouse")),
    *(("geese", "goose"), ("feet", "foot"), ("teeth", "tooth"), ("ies", "y"), ("ves", "f")),
    *(("ves", "fe"), ("s", ""), ("es", "")),
)


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


LONGEST_RUN = 6
"""Words with none between them that joins others; a sentence that lists looks has no more."""
_JOINS = frozenset(
    re.findall(
        r"\w+",
        "a an the and or but of in on at by to from with without for as into onto over under near "
        "next beside behind before between inside outside upon above below is are be has have that "
        "which whose who it its this these some no not than then while where first second",
    )
)
_TORN = re.compile(
    r"[^\W\d_]\d+[^\W\d_]|\d(?!x\d)[^\W\d_]+\d"  # w0rd and 4k3, but 3D, 35mm and 2x2
    r"|[^\w\s,.;:!?'’‘\"“”„«»()&/%+°€$£–—-]|_"
)


def is_salad(prompt: str) -> bool:
    """Whether a prompt is words thrown together, as a search by gradients leaves them: a long run
    of words that nothing joins, or signs and digits within words.

    A rule of thumb for English, and no language model: what it takes for a sentence may be none.
    """
    if _TORN.search(prompt):
        return True
    run = longest = 0
    for word in re.findall(r"[\w'’-]+|[,.;:!?]", prompt.casefold()):
        run = 0 if word in _JOINS or not word[0].isalnum() else run + 1
        longest = max(longest, run)
    return longest > LONGEST_RUN


def _lowered(text: str) -> str:
    """In small letters, each in its place: ``İ`` alone would become two."""
    return text.lower() if text.isascii() else "".join(letter.lower()[0] for letter in text)


def _in_word(letter: str) -> bool:
    return letter.isalnum() or letter == "_"
