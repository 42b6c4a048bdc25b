"""Two concepts, read off a prompt that says nothing else about them: "a dog and a red chair"."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from lcmis.propose.catalogue import names_both
from lcmis.propose.formats.grammar import (
    ADJECTIVES,
    AFTER_NOUNS,
    ALSO_PLURALS,
    BASES,
    COMPOUNDS,
    CONTAINERS,
    COPULAS,
    DEFINITE,
    DETERMINERS,
    ENDS_OF_ADJECTIVES,
    ENDS_OF_PLURALS,
    FOREIGN,
    FULL_OF,
    JOINING,
    KINDS,
    MASSES,
    MATERIALS,
    MEASURES,
    MEDIA,
    NEGATIONS,
    NO_ADVERBS,
    NO_PASTS,
    NO_THINGS,
    NO_VERBS,
    NUMBERS,
    ONE,
    OPEN,
    ORDERS,
    PARTICIPLES,
    PASTS,
    PLACES,
    PLURALS,
    QUANTITIES,
    SENTENCES,
    SHAPED,
    SHOWING,
    SINGULARS,
    SURELY_THIRDS,
    THIRDS,
)
from lcmis.text.words import without_article
from lcmis.types import Concept


class NoPairError(ValueError):
    """A prompt of which two concepts cannot be said: why, in words that group like cases.

    ``detail`` is what of that is this prompt's own.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.detail = detail


def two_of(things: Iterable[str], prompt: str) -> tuple[Concept, Concept]:
    """The two concepts of a list of things, of which each may be named more than once.

    Raises:
        NoPairError: they are not two, or the prompt does not name them.
    """
    names = list({name.casefold(): name for name in map(without_article, things)}.values())
    if len(names) != 2:
        count = {0: "no thing that is named", 1: "one thing only"}.get(
            len(names), "more than two things"
        )
        raise NoPairError(f"asks for {count}", ", ".join(names))
    a, b = Concept(names[0]), Concept(names[1])
    if not names_both(prompt, a, b):
        raise NoPairError("the prompt does not name both, word for word", ", ".join(names))
    return a, b


def listed(line: str) -> str:
    """A line of a list without its mark or number, and without the quotes around all of it."""
    text = line.strip()
    if text[:1].isalpha() and text[1:2] not in (".", ")"):
        return text
    if mark := MARKER.match(text):
        text = text[mark.end() :]
    while len(inner := text.rstrip(".! ")) > 2 and inner[-1] == QUOTES.get(inner[0]):
        text = inner[1:-1].strip()
    return text


def read_off(prompt: str) -> tuple[Concept, Concept]:
    """The two concepts of a prompt that joins two things and says no more.

    Two noun phrases of at most :data:`LONGEST_NAME` words, joined by a conjunction, preposition,
    participle or verb. A phrase keeps its adjectives (``"red chair"``) and loses article and
    number; what is left undecided has no pair, because a wrong concept costs more than a lost
    prompt.

    Raises:
        NoPairError: the prompt has another form.
    """
    text = listed(prompt).rstrip(".! ")
    if (odd := NO_LETTER.search(text)) and (marks := MARKS.search(text, odd.start())):
        raise NoPairError("more than one phrase: a mark divides it", repr(marks[0].strip()))
    spans = [found.span() for found in re.finditer(r"\S+", text)]
    every = [text[start:end].casefold() for start, end in spans]
    words = _asked(every)
    spans = spans[len(every) - len(words) :]
    parts = _parts(words)
    names = [text[spans[part.first][0] : spans[part.end - 1][1]] for part in parts]
    for part, name in zip(parts, names, strict=True):
        _refuse_no_name(words, part)
        if part.is_bare and part.joint and not text.istitle():
            _refuse_place(name, part.joint)
    _refuse_shared_noun(words, parts)
    return two_of(names, prompt)


LONGEST_NAME = 4
"""Words of a concept's name; what is longer is more than a name."""
MARKER = re.compile(
    r"(?:[-–—*•·▪●◦‣>#+]+\s+|[•·▪●◦‣]+|\(?\d{1,5}[.):]\s+|\(?[a-z][.)]\s+|\[[ x]?\]\s+)+",
    re.IGNORECASE,
)
"""What begins a line of a list."""
QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "«": "»", "„": "“", "`": "`"}
NO_LETTER = re.compile(r"[^\w\s]")
MARKS = re.compile(
    r"[^\w\s'’&-]|(?<![\w'’])[-'’&]+(?=\w)|(?<!\w)[-'’]+(?!\w)|(?<=\w)-+(?!\w)|(?<=\w)&"
)
"""What is neither a word nor a hyphen or apostrophe in one."""


# ── one phrase after the other ───────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Part:
    """Where a noun phrase lies among the words, and what joins it to the one before."""

    start: int
    first: int
    """Where its name begins, after articles and numbers."""
    end: int
    joint: Sequence[str]

    @property
    def is_bare(self) -> bool:
        """Whether it has neither article nor number."""
        return self.start == self.first


@dataclass(frozen=True, slots=True)
class Looks:
    """What a word may be by its look alone."""

    is_plural: bool
    is_past: bool
    is_participle: bool
    is_adverb: bool
    describes: bool
    """Whether it says how a thing is, wherever it stands."""


@lru_cache(maxsize=2**14)
def _looks(word: str) -> Looks:
    ends_in_s = word.endswith("s") and not word.endswith(("ss", "us", "is", "'s", "’s"))
    ends_in_ed = word.endswith("ed") and len(word) > 4 and not word.endswith("eed")
    ends_in_ing = word.endswith("ing") and len(word) > 4
    whole = "-" not in word
    adverb = word.endswith("ly") and len(word) > 4 and word not in NO_ADVERBS
    return Looks(
        is_plural=ends_in_s and len(word) > 3 and not word[0].isdecimal(),
        is_past=(whole and ends_in_ed and word not in NO_PASTS) or word in PASTS,
        is_participle=(whole and ends_in_ing and word not in NO_VERBS) or word in PARTICIPLES,
        is_adverb=adverb and word not in ADJECTIVES,
        describes=adverb or word in ADJECTIVES or word.endswith(("'s", "’s")),
    )


def _asked(words: list[str]) -> list[str]:
    """What is asked for, less ``draw me`` and ``a photo of``."""
    rest = words[1:] if words[:1] == ["please"] else words
    if rest and rest[0] in ORDERS:
        words = rest[2:] if rest[1:2] == ["me"] else rest[1:]
        if not words or words[0] not in DETERMINERS:
            raise NoPairError(SENTENCE, rest[0])
    elif words[:1] == ["there"] and words[1:2] and words[1] in COPULAS:
        words = words[2:]
    lead = words[:LONGEST_LEAD]
    for place in [] if MEDIA.isdisjoint(lead) else range(len(lead)):
        if lead[place] in MEDIA and words[place + 1 : place + 2] in LEADS:
            joining = any(word in JOINING and word not in OPEN for word in lead[:place])
            if not joining or "and white" in " ".join(lead[:place]):
                return words[place + 2 :]
    return words


LONGEST_LEAD = 8
"""Words up to the ``photo`` in ``a photo of``."""
LEADS = (["of"], ["showing"], ["depicting"])
SENTENCE = "a sentence, in which two concepts cannot be told"
REFUSED = NEGATIONS | SENTENCES | FOREIGN


def _parts(words: Sequence[str]) -> list[Part]:
    """The noun phrases.

    Raises:
        NoPairError: a word of another kind of prompt, or nothing where a thing is expected.
    """
    if not REFUSED.isdisjoint(words):
        found = next(word for word in words if word in REFUSED)
        if found in NEGATIONS:
            raise NoPairError("a negation: what must not be there is no concept asked for", found)
        raise NoPairError("another language than English" if found in FOREIGN else SENTENCE, found)
    parts: list[Part] = []
    joint: Sequence[str] = ()
    start = place = 0
    while place < len(words):
        end = _joint(words, start, place)
        if end > place:
            if start == place:
                raise NoPairError(SENTENCE, words[place])
            parts.append(Part(start, _first(words, start, place), place, joint))
            joint = words[place:end]
            start = place = end
        else:
            place += 1
    if start == len(words):
        raise NoPairError("ends where a second thing is expected", words[-1] if words else "")
    return [*parts, Part(start, _first(words, start, len(words)), len(words), joint)]


def _first(words: Sequence[str], start: int, end: int) -> int:
    """Where the name in a phrase begins.

    Raises:
        NoPairError: there is none.
    """
    first = start
    while first < end:
        if words[first] in DETERMINERS or words[first].isdecimal():
            first += 1
        elif words[first] in QUANTITIES and words[first + 1 : first + 2] == ["of"]:
            first += 2
        else:
            return first
    raise NoPairError("an adjective where a thing is expected", " ".join(words[start:end]))


def _joint(words: Sequence[str], start: int, place: int) -> int:
    """Where a run of joining words that begins here ends; ``place`` itself where none does."""
    word = words[place]
    if word not in JOINING:
        if not _says(words, start, place):
            return place
    elif word == "of" and _is_of_one_name(words, place):
        return place
    end = place + 1
    while end < len(words):
        word, rest = words[end], words[end + 1 : end + 3]
        if word in JOINING:
            end += 1
        elif word == "the" and rest and (rest[0] in OPEN or (rest[0] in PLACES and "of" in rest)):
            end += 2
        elif _may_follow_a_noun(word) and _leads_on(words, end):
            end += 1
        else:
            break
    run = words[place:end]
    if OPEN.issuperset(run):
        return place  # a top, the left shoe: a name's own word
    if COPULAS.issuperset(run):
        raise NoPairError("says how one thing is, and asks for no second", " ".join(words))
    if run[0] == "from" or (run[-1] == "to" and OPEN.isdisjoint(run)):
        raise NoPairError("says whence or whither, and asks for no second", " ".join(run))
    if run[0] in SHOWING and not MEDIA.isdisjoint(words[start:place]):
        raise NoPairError("a picture of a picture", " ".join(words[start:end]))
    return end


def _is_of_one_name(words: Sequence[str], place: int) -> bool:
    """Whether the ``of`` here joins the parts of one name.

    Raises:
        NoPairError: nobody can say whether what it makes is one thing or two.
    """
    before = words[place - 1] if place else ""
    single = before.removesuffix("s"), before.removesuffix("es")
    if before in QUANTITIES or before in MEASURES or not MEASURES.isdisjoint(single):
        return True
    if before in FULL_OF or any(one.endswith(CONTAINERS) for one in (before, *single)):
        return False
    if before in OPEN | PLACES and place > 1 and words[place - 2] in ("the", *JOINING):
        return False
    raise NoPairError("'of' makes one thing of two names", " ".join(words[max(0, place - 1) :]))


# ── what is said of a thing ──────────────────────────────────────────────────────────────────────


def _says(words: Sequence[str], start: int, place: int) -> bool:
    """Whether a verb, or what is said of a noun like one, joins what stands before it.

    Raises:
        NoPairError: it says something, and a second thing does not follow plainly.
    """
    if place == start:
        return False
    word, before = words[place], words[start:place]
    part = "of" in before
    if part:
        start = place - before[::-1].index("of")
    named = [one for one in words[start:place] if one not in DETERMINERS]
    if not named or not (part or any(not _looks(one).describes for one in named)):
        return False
    following = words[place + 1] if place + 1 < len(words) else ""
    if following in COPULAS:
        return False  # the ocean waves are, a banana split is
    if not (_says_how(word, following) or _is_present(words, start, place)):
        return False
    if _leads_on(words, place):
        return True
    raise NoPairError("says what a thing does, and what follows cannot be told apart", word)


def _says_how(word: str, following: str) -> bool:
    looks = _looks(word)
    if looks.is_past:
        plainly = not following or following in JOINING or following in DETERMINERS
        return plainly or word not in SHAPED
    if looks.is_participle:
        return f"{word} {following.removesuffix('s')}" not in COMPOUNDS
    return looks.is_adverb or word in AFTER_NOUNS


def _may_follow_a_noun(word: str) -> bool:
    looks = _looks(word)
    return looks.is_participle or looks.is_adverb or word in AFTER_NOUNS


def _is_present(words: Sequence[str], start: int, place: int) -> bool:
    """Whether a word says what those before it do now.

    Raises:
        NoPairError: it may be their verb, or a noun of which they are a part.
    """
    word, before = words[place], words[place - 1]
    if word in SURELY_THIRDS:
        return True
    alone = words[start] in ONE
    if _looks(word).is_plural and word not in SINGULARS:
        between = words[start + 1 : place]
        noun = any(not _looks(one).describes and one not in MATERIALS for one in between)
        if alone:
            return noun or word in THIRDS
        if words[start] in DEFINITE and noun and _leads_on(words, place):
            if word in THIRDS:
                return True
            raise NoPairError("a verb or a plural: it cannot be told which", word)
    many = _looks(before).is_plural or before in PLURALS or (before in ALSO_PLURALS and not alone)
    if many and before not in SINGULARS:
        if word in BASES:
            return True
        raise NoPairError("a plural before another word: it cannot be told what that is", word)
    return False


def _leads_on(words: Sequence[str], place: int) -> bool:
    """Whether a preposition or a determiner follows, or what leads on to one."""
    following = words[place + 1] if place + 1 < len(words) else ""
    if following in DETERMINERS or (following in JOINING and following not in ("and", "&")):
        return True
    more = following and (_may_follow_a_noun(following) or _looks(following).is_past)
    return bool(more) and _leads_on(words, place + 1)


# ── is it a name ─────────────────────────────────────────────────────────────────────────────────


def _refuse_no_name(words: Sequence[str], part: Part) -> None:
    """Raise where the words of a phrase are no name of a thing."""
    before, name = words[part.start : part.first], words[part.first : part.end]
    said, last = " ".join(words[part.start : part.end]), name[-1]
    inner = not DETERMINERS.isdisjoint(name) and any(
        word in DETERMINERS and left != "of" for left, word in pairwise(name)
    )
    if len(name) > LONGEST_NAME or inner:
        raise NoPairError(SENTENCE, said)
    fruit = before and last == "orange"
    if (last in ADJECTIVES and not fruit) or last.endswith(ENDS_OF_ADJECTIVES):
        raise NoPairError("an adjective where a thing is expected", said)
    if last[0].isdecimal():
        raise NoPairError("a number where a thing is expected", said)
    unseen = last in ("camera", "cameras") and part.joint[-1:] in (["at"], ["facing"], ["towards"])
    if last in NO_THINGS or name[0] in KINDS or unseen or (last in MEDIA and not before):
        raise NoPairError("no thing that a picture could show as one of two", said)
    if before and any(word in NUMBERS or (word.isdecimal() and word != "1") for word in before):
        many = _looks(last).is_plural or last in ALSO_PLURALS or last.endswith(ENDS_OF_PLURALS)
        if not many and "of" not in name:
            raise NoPairError("a number before one thing", said)  # a two lane road
    if part.is_bare and not PLACING.isdisjoint(part.joint[-1:]):
        many = _looks(last).is_plural or last in PLURALS or last in ALSO_PLURALS
        introduced = not DETERMINERS.isdisjoint(words)  # else none of the prompt's things has one
        if introduced and not many and last not in MASSES:
            raise NoPairError("says how, when or where, and asks for no second", said)


def _refuse_place(name: str, joint: Sequence[str]) -> None:
    """Raise where a proper name says where or by whom: near Paris, by Monet."""
    if name.split()[-1][:1].isupper() and not PLACING.isdisjoint(joint):
        raise NoPairError("a proper name where a thing is expected", name)


PLACING = frozenset({"at", "behind", "by", "from", "in", "near", "on", "over", "under"})
"""Prepositions that also say how and when: by candlelight, on sale, under attack."""


def _refuse_shared_noun(words: Sequence[str], parts: Sequence[Part]) -> None:
    """Raise where ``and`` may join two words of one name: a salt and pepper shaker."""
    for one, other in pairwise(parts):
        short = other.end - other.start < 2 or not other.is_bare
        if short or other.joint not in (["and"], ["&"]) or _looks(words[other.end - 1]).is_plural:
            continue
        described = not ADJECTIVES.isdisjoint((words[one.first], words[other.first]))
        alone = not one.is_bare and words[one.start] in ONE
        if one.end - one.first == 1 or (alone and not described):
            raise NoPairError(
                "'and' may join two words of one name", " ".join(words[one.start : other.end])
            )
