"""Prompts edited as text: joined, a concept replaced or deleted, two parents merged."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lcmis.text.words import article

CONNECTORS = (
    "in front of",
    "on top of",
    "next to",
    "and",
    "at",
    "behind",
    "beside",
    "by",
    "from",
    "full of",
    "in",
    "into",
    "near",
    "of",
    "on",
    "or",
    "over",
    "through",
    "to",
    "under",
    "with",
    "wearing",
    "without",
)
"""What stands between two phrases of a prompt; longer ones are looked for first."""
_BETWEEN = re.compile(
    r"\s*,\s*|\s+(?:" + "|".join(sorted(CONNECTORS, key=len, reverse=True)) + r")\s+",
    re.IGNORECASE,
)
_TIE = re.compile(
    r"^\s*(?:" + "|".join(sorted(CONNECTORS, key=len, reverse=True)) + r")\s+", re.IGNORECASE
)
_ARTICLES = ("a", "an", "the", "some")
_ARTICLE = re.compile(r"\b(an?)(\s+)(?=(\w+))", re.IGNORECASE)


def join(first: str, second: str) -> str:
    """Ask for what two prompts ask for: ``"a cat, oil painting and a dog"`` would say the style of
    one only, so what follows a comma goes to the end, each once.

    Source: Li et al., EDITOR, arXiv 2506.03067 (cross-concept synthesis); the rule is ours.
    """
    (one, *tags), (other, *more) = _by_comma(first), _by_comma(second)
    return ", ".join([f"{one} and {other}", *dict.fromkeys([*tags, *more])])


def says(prompt: str, words: str) -> bool:
    """Whether a prompt contains these words, whole and in this order, in any case."""
    return _whole(words).search(prompt) is not None


def replace(prompt: str, old: str, new: str) -> str:
    """Say ``new`` wherever the prompt says ``old``; ``a`` and ``an`` agree again.

    Raises:
        ValueError: the prompt does not say it.
    """
    _refuse_unsaid(prompt, old)
    return _agree(_whole(old).sub(lambda _: new.strip(), prompt))


def delete(prompt: str, words: str) -> str:
    """Say the rest of a prompt, its articles and connectors mended.

    A word that ends its phrase names a thing, so the phrase goes and what connects it: without
    ``cup``, ``"a tea cup of iced coke"`` is ``"iced coke"``. Any other word only says how the
    thing is: without ``tea`` it is ``"a cup of iced coke"``. ``of iced coke`` is as good as
    ``iced coke``.

    Raises:
        ValueError: the prompt does not say it, only connects by it, or would be empty.
    """
    _refuse_unsaid(prompt, words)
    words = _TIE.sub("", words)
    whole = _parts(prompt)
    rest = [Part(part.connector, _without(part.phrase, words)) for part in whole]
    if rest == whole:
        raise ValueError(f"{prompt!r} says {words!r} only to connect other words")
    parts = [part for part in rest if part.phrase]
    if not parts:
        raise ValueError(f"without {words!r} nothing is left of {prompt!r}")
    return _agree(_spelled(parts))


def without(prompt: str, word: str) -> str:
    """As :func:`delete`; empty where nothing would be left."""
    try:
        return delete(prompt, word)
    except ValueError:
        return ""


def words(prompt: str) -> list[str]:
    """Those that say something, each once: neither articles nor connectors."""
    phrases = " ".join(part.phrase for part in _parts(prompt))
    found = dict.fromkeys(re.findall(r"\w[\w'-]*", phrases))
    return [word for word in found if word.lower() not in (*_ARTICLES, *CONNECTORS)]


def merges(first: str, second: str) -> Iterator[str]:
    """Children of two prompts, each once and neither of the parents: both joined, and for every
    place at which both can be cut the beginning of one with the end of the other.

    Source: Li et al., EDITOR, arXiv 2506.03067 (evolutionary generation); the paper's way of
    merging is not published, this is one-point crossover of phrases.
    """
    seen = {first, second}
    for child in (join(first, second), join(second, first), *_crossed(first, second)):
        if child not in seen:
            seen.add(child)
            yield child


@dataclass(frozen=True, slots=True)
class Part:
    """A phrase of a prompt, and what ties it to the one before."""

    connector: str
    """As it is written, spaces included; empty for the first."""
    phrase: str


def _parts(prompt: str) -> list[Part]:
    parts, connector, start = [], "", 0
    for found in _BETWEEN.finditer(prompt):
        if found.start() > start:  # "full" of "full of" is no phrase of its own
            parts.append(Part(connector, prompt[start : found.start()]))
        connector, start = found[0], found.end()
    return [*parts, Part(connector, prompt[start:])] if start < len(prompt) else parts


def _spelled(parts: list[Part]) -> str:
    first, *rest = parts
    return first.phrase + "".join(part.connector + part.phrase for part in rest)


def _without(phrase: str, words: str) -> str:
    """What is left of a phrase; empty where the words end it."""
    if re.search(rf"\b{_spaced(words)}\W*$", phrase, re.IGNORECASE):
        return ""
    left = " ".join(_whole(words).sub("", phrase).split())
    return "" if left.lower() in _ARTICLES else left


def _crossed(first: str, second: str) -> Iterator[str]:
    one, other = _parts(first), _parts(second)
    for cut in range(1, min(len(one), len(other))):
        yield _spelled([*one[:cut], *other[cut:]])
        yield _spelled([*other[:cut], *one[cut:]])


def _by_comma(prompt: str) -> list[str]:
    return [part for part in (part.strip() for part in prompt.split(",")) if part] or [""]


def _agree(prompt: str) -> str:
    """``a`` and ``an`` by what follows."""
    return _ARTICLE.sub(lambda found: f"{found[1][0]}{article(found[3])[1:]}{found[2]}", prompt)


def _whole(words: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){_spaced(words)}(?!\w)", re.IGNORECASE)


def _spaced(words: str) -> str:
    return r"\s+".join(re.escape(word) for word in words.split())


def _refuse_unsaid(prompt: str, words: str) -> None:
    if not words.split() or not says(prompt, words):
        raise ValueError(f"{prompt!r} does not say {words!r}")
