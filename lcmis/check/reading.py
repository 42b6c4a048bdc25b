"""What replies to a question say: by the odds of their first word, or by what they say, counted."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from lcmis.check.pictures import abstain, options_of
from lcmis.check.wording import ROUNDING, shares, spellings_of
from lcmis.text.thoughts import answer_of
from lcmis.types import Answer, Question

BLANKS = " \t\n\u00a0▁ĠĊ"
"""Before a word, as tokenizers spell them."""
FORMS = 2
"""Tokens that spell one word: with a blank before it, and without."""
MOST_HIDDEN = 0.02
"""By which odds that a service does not tell may move a value: beyond, the value is not known."""


# ── by odds ──────────────────────────────────────────────────────────────────────────────────────


def by_odds(
    question: Question, first: Sequence[tuple[str, float]], asked: int
) -> tuple[Answer, ...]:
    """What the probabilities of the first token say, as far as a service tells them.

    The mass of each answer is summed over its spellings, with and without a blank before them. A
    word that is not among the likeliest, which are all that is told, is no likelier than the last
    of those asked for (the one that was drawn may stand beside them): where such words could move
    the value by more than :data:`MOST_HIDDEN`, it is an abstention.

    Args:
        question: what was asked.
        first: each word with the logarithm of its probability, as a service tells them.
        asked: how many of the likeliest a service was asked for.
    """
    options = options_of(question)
    if any(math.isnan(odds) or odds > ROUNDING for _, odds in first):
        return abstain(options, "a probability is not a finite number up to one")
    told = [(word.lstrip(BLANKS), math.exp(min(odds, 0.0))) for word, odds in first]
    everything = sum(share for _, share in told)
    if everything > 1 + 10 * ROUNDING:
        return abstain(options, f"its probabilities add up to {everything:.3f}")
    spelled = spellings_of(question)
    masses = [sum(share for word, share in told if word in words) for words in spelled]
    answer = shares(question, masses)
    likeliest = sorted((share for _, share in told), reverse=True)[:asked]
    least, left = min(likeliest, default=1.0), max(0.0, 1 - everything)
    if any(one.value is None for one in answer):
        return answer
    hidden = [
        min(left, least * (FORMS * len(words) - sum(word in words for word, _ in told)))
        for words in spelled
    ]
    if _moved(masses, hidden) > MOST_HIDDEN:
        reason = (
            f"only the {len(first)} likeliest words are told, and those that are not could change "
            f"the answer: ask for more with top_logprobs"
        )
        return abstain(options, reason, min(1.0, sum(masses)))
    return answer


def _moved(masses: Sequence[float], hidden: Sequence[float]) -> float:
    """The most by which what is hidden can move a share."""
    total, more = sum(masses), sum(hidden)
    worst = 0.0
    for mass, own in zip(masses, hidden, strict=True):
        share = mass / total
        low = mass / (total + more - own)
        high = (mass + own) / (total + own)
        worst = max(worst, share - low, high - share)
    return worst


# ── by words ─────────────────────────────────────────────────────────────────────────────────────

_LEAD = r"(?:(?:my |the )?(?:final |correct )?answer(?: is)?\s*[:=]?\s*|option\s+)?"
_DRESS = r"[\s*_`\"'“”‘’«»()\[\]{}<>#.:,;!\\-]{0,20}"
"""Marks around an answer that say nothing; of many, no answer is made."""
_BOXED = re.compile(r"\\boxed\{\s*(?:\\text\{)?([^{}]*)\}?\s*\}")
_YES_NO = re.compile(rf"{_DRESS}{_LEAD}{_DRESS}(yes|no)\b(.*)", re.IGNORECASE | re.DOTALL)
_GOES_ON = re.compile(r"\s*(?:$|[.,;:!\n*\"'”’»)\]}—–-])")
"""How a reply goes on behind an answer that stands for itself; ``no`` before a noun does not."""
_EITHER = re.compile(r"\b(?:yes|no|not|nor|neither|cannot|maybe|unsure|unclear)\b|n['’]t\b", re.I)
_LETTER = re.compile(
    rf"{_DRESS}{_LEAD}{_DRESS}([A-Ha-h]){_DRESS}(?:[.:)\]\n—–-]\s*(.*))?", re.IGNORECASE | re.DOTALL
)
_ARTICLE = re.compile(r"^(?:an?|the)\s+", re.IGNORECASE)


def said_place(question: Question, said: str) -> int | None:
    """Which of the answers that may be given a reply gives, by its place; None where that cannot
    be told for sure: it says both, none, something else, or a thought in it has no end.

    Args:
        question: what was asked.
        said: the whole reply; thoughts in it are passed over.
    """
    answer = answer_of(said)
    if answer.problem:
        return None
    text = answer.text
    boxed = _BOXED.findall(text)
    if boxed:
        text = boxed[-1] if len({one.strip().casefold() for one in boxed}) == 1 else ""
    return _choice(question, text) if question.kind.is_choice else _yes_no(text)


def _yes_no(text: str) -> int | None:
    found = _YES_NO.fullmatch(text.strip())
    if found is None or not _GOES_ON.match(found[2]):
        return None
    word, rest = found[1].casefold(), found[2]
    others = {one[0].casefold() for one in _EITHER.finditer(rest)}
    if word == "yes":
        return 0 if not others else None
    return 1 if not others & {"yes", "maybe", "unsure", "unclear"} else None


def _choice(question: Question, text: str) -> int | None:
    plain = [_plain(option) for option in question.options]
    named = plain.index(_plain(text)) if plain.count(_plain(text)) == 1 else None
    found = _LETTER.fullmatch(text.strip())
    if found is None:
        return named
    place = "ABCDEFGH".index(found[1].upper())
    if place >= len(question.options):
        return named
    rest = _plain(found[2] or "")
    if rest and rest != plain[place]:
        return None
    return place if named in (None, place) else None


def _plain(text: str) -> str:
    """A name without article, marks and capitals."""
    bare = re.sub(rf"^{_DRESS}|{_DRESS}$", "", text)
    return " ".join(_ARTICLE.sub("", bare).casefold().split())


def by_count(question: Question, places: Sequence[int | None]) -> tuple[Answer, ...]:
    """What sampled replies say: of those that give an answer, the share that gives each.

    The mass is the share that gives any; how many there were is told by what is kept of them, and
    by the checker's id. Where none gives one, or less than half do, it is an abstention: the rest
    might have said anything.

    Args:
        question: what was asked.
        places: of the answer that each reply gives; None for one that gives none.
    """
    options, total = options_of(question), len(places)
    given = [place for place in places if place is not None]
    mass = len(given) / total
    if 2 * len(given) < total or not given:
        reason = f"only {len(given)} of {total} replies give one of the answers allowed"
        return abstain(options, reason, mass)
    return tuple(
        Answer(given.count(place) / len(given), option, mass=mass)
        for place, option in enumerate(options)
    )
