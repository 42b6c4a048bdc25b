"""Two concepts, read off a prompt that says nothing else about them: "a dog and a red chair"."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from lcmis.propose.catalogue import names_both
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


def read_off(prompt: str) -> tuple[Concept, Concept]:
    """The two concepts of a prompt that joins two things and says no more.

    Two noun phrases of at most :data:`LONGEST_NAME` words, joined by one conjunction, preposition
    or participle. A phrase keeps its adjectives (``"red chair"``) and loses article and number;
    what is left undecided has no pair, because a wrong concept costs more than a lost prompt.

    Raises:
        NoPairError: the prompt has another form.
    """
    text = LEAD_IN.sub("", prompt.strip().rstrip(".!"))
    if marks := re.search(r"[^\w\s'’-]", text):
        raise NoPairError("more than one phrase: a mark divides it", repr(marks[0]))
    words = [(found[0], found.span()) for found in re.finditer(r"\S+", text)]
    parts = _parts([word.casefold() for word, _ in words])
    names = [_name(text, words[start:end]) for start, end in parts]
    if len(names) == 1 and len(words) > LONGEST_NAME + 1:
        raise NoPairError("a sentence, in which two concepts cannot be told", names[0])
    for name in names:
        if len(name.split()) > LONGEST_NAME:
            raise NoPairError("a sentence, in which two concepts cannot be told", name)
    return two_of(names, prompt)


# ── words ────────────────────────────────────────────────────────────────────────────────────────

LONGEST_NAME = 4
"""Words of a concept's name; what is longer is more than a name."""

LEAD_IN = re.compile(
    r"^(?:(?:an?|the)\s+)?(?:[\w-]+\s+)?(?:photo|photograph|picture|image|painting|drawing|sketch|"
    r"illustration|render|rendering)\s+of\s+",
    re.IGNORECASE,
)
"""What says only that a picture is asked for."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


DETERMINERS = _words(
    "a an the this that these those some several many few both another one two three four five six "
    "seven eight nine ten his her its their my your our"
)
JOINING = _words(
    "and with of in on at under over above below beneath behind beside near by inside into onto "
    "against between around atop underneath alongside towards toward from through across within "
    "outside to holding wearing next left right top bottom front side back close adjacent is are"
)
"""Words that stand between two things; several in a row are one joint: ``on the left of``."""
OPEN = _words("next left right top bottom front side back close adjacent")
"""Joining words that are also names and adjectives: alone they join nothing."""
NEGATIONS = _words("no not without never none neither nor except missing")
VERBS = _words(
    "was were be been has have had do does can will would should that which who whose where while "
    "when because so as than or but if then there it he she they them him i you we what how like "
    "for"
)
"""Words of a sentence that says more than which two things are together."""
COPULAS = _words("is are")
PARTICIPLES = _words("hidden covered filled made surrounded topped placed seated parked")
"""What stands before ``by``, ``with``, ``of``, ``in`` or ``on`` and belongs to it."""
NO_VERBS = _words(
    "building painting clothing ceiling wing ring king string pudding earring thing spring railing "
    "awning dressing lightning morning evening sibling duckling drawing carving icing stuffing "
    "swing wedding sling bedding viking sterling"
)
"""Nouns that end like a participle."""
MEASURES = _words(
    "pair piece group bunch kind type lot set number couple slice row pile stack herd flock loaf "
    "bowlful sort variety collection bouquet"
)
"""Nouns of which ``of`` makes a part of a name: a pair of shoes is one thing."""
BARE = _words(
    "red orange yellow green blue purple pink brown black white gray grey golden silver gold big "
    "small large little tall short round square long old young new left right top bottom front back"
)
"""Adjectives that are no thing by themselves."""


def _parts(words: Sequence[str]) -> list[tuple[int, int]]:
    """Where the noun phrases lie, as ``(start, end)`` in words, articles and numbers included."""
    for kind, reason in (
        (NEGATIONS, "a negation: what must not be there is no concept asked for"),
        (VERBS, "a sentence, in which two concepts cannot be told"),
    ):
        if found := next((word for word in words if word in kind), None):
            raise NoPairError(reason, found)
    parts, start, place = [], 0, 0
    while place < len(words):
        end = _joint(words, start, place)
        if end > place:
            if start == place:
                raise NoPairError("a sentence, in which two concepts cannot be told", words[place])
            parts.append((start, place))
            start = place = end
        else:
            place += 1
    if start == len(words):
        raise NoPairError("ends where a second thing is expected", words[-1] if words else "")
    return [*parts, (start, len(words))]


def _joint(words: Sequence[str], start: int, place: int) -> int:
    """Where a run of joining words that begins here ends; ``place`` itself where none does."""
    begun = words[place] in JOINING and not (words[place] == "of" and _measures(words, place))
    verb = _is_participle(words, start, place)
    if not begun and not verb:
        return place
    end = place + 1
    while end < len(words):
        word = words[end]
        if word in JOINING or (_verbal(word) and _leads_on(words, end)):
            end += 1
        elif word == "the" and end + 1 < len(words) and words[end + 1] in OPEN:
            end += 2
        else:
            break
    run = words[place:end]
    if all(word in OPEN for word in run):
        return place  # a top, the left shoe: a name's own word
    if all(word in COPULAS for word in run):
        raise NoPairError("says how one thing is, and asks for no second", " ".join(words))
    return end


def _measures(words: Sequence[str], place: int) -> bool:
    return place > 0 and words[place - 1].removesuffix("s") in MEASURES


def _is_participle(words: Sequence[str], start: int, place: int) -> bool:
    """Whether a word such as ``riding`` joins what stands before it with what follows."""
    named = [word for word in words[start:place] if word not in DETERMINERS]
    return bool(named) and _verbal(words[place]) and _leads_on(words, place)


def _verbal(word: str) -> bool:
    present = word.endswith("ing") and len(word) > 4 and word not in NO_VERBS
    return present or word in PARTICIPLES


def _leads_on(words: Sequence[str], place: int) -> bool:
    following = words[place + 1] if place + 1 < len(words) else ""
    return following in DETERMINERS or (following in JOINING and following != "and")


def _name(text: str, words: Sequence[tuple[str, tuple[int, int]]]) -> str:
    """A noun phrase as the prompt spells it, from its first word that is no article or number."""
    named = list(words)
    while named and (named[0][0].casefold() in DETERMINERS or named[0][0].isdecimal()):
        named.pop(0)
    if not named or all(word.casefold() in BARE for word, _ in named):
        raise NoPairError("an adjective where a thing is expected", " ".join(w for w, _ in words))
    return text[named[0][1][0] : named[-1][1][1]]
