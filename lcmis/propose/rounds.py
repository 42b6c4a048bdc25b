"""Pairs proposed by a text model, in measured rounds: expand, imitate, invent, cross, blend.

Source: Zhao et al., "Lost in Translation: Latent Concept Misalignment in Text-to-Image Diffusion
Models", ECCV 2024, section on finding pairs with a language model. There, people carry results from
round to round and choose combinations; here, measurements do.
"""

from __future__ import annotations

import enum
import json
import random
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from lcmis.errors import ConfigError, ItemError
from lcmis.plugins.protocols import TextModel
from lcmis.propose.catalogue import make_pair, names_both
from lcmis.text.prompts import wording
from lcmis.text.prompts.shapes import TEXT, Schema, several, whole
from lcmis.text.words import one_line, places, plain, without_article
from lcmis.types import Concept, ConceptPair, Side

MOST_WORDS = 5
"""Of a concept's name."""
MOST_LETTERS = 60
EXAMPLES = 8
"""Pairs of either outcome that a text model is shown."""
DETAILED_AT_ONCE = 4
"""Pairs described in one question."""
SURPLUS = 2
"""Names asked for, for each pair that is described and drawn: the likeliest to fail."""
LIST_LENGTH = 20
MOST_SENTENCE_LETTERS = 300
MOST_SUSPECTS = 3
"""Intruders of one side."""
LICENCE = "not stated"
"""Of what a text model wrote."""
SAME_MEANING = 0.97
"""Cosine of two prompts from which they count as one."""
EXHAUSTED_BELOW = 0.2
"""Share of new pairs in a reply below which a kind has nothing more to give."""
KNOWN, SAME = "known already", "means the same as a known pair"
LESS_LIKELY = "others were likelier to fail"
REPEATS = frozenset({KNOWN, SAME})
"""Reasons to drop a pair that was there before."""
NOT_A_NAME = re.compile(r"[<>\[\]{}()|\\`*_#@/:;\"!?=~^]|https?|www\.")

Embed = Callable[[Sequence[str]], Sequence[Sequence[float]]]
"""Texts as vectors of length one."""


class Way(enum.StrEnum):
    """How a pair was found."""

    EXPAND = "expand"
    IMITATE = "imitate"
    CROSS = "cross"
    BLEND = "blend"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of conflict, as a text model is told of it; a pair's ``pattern`` is its name."""

    name: str
    explanation: str = ""
    first: str = ""
    """What its first things are; empty where only examples tell."""
    second: str = ""


@dataclass(frozen=True, slots=True)
class Measured:
    """What an audit said of a pair."""

    pair: ConceptPair
    right: int
    total: int
    """Scored pictures; a pair with none says nothing."""

    @property
    def wrong_share(self) -> float:
        """Of its pictures."""
        return 1 - self.right / self.total


@dataclass(frozen=True, slots=True)
class Proposal:
    """A pair to be audited, and why it comes where it does."""

    pair: ConceptPair
    way: Way
    expected: float
    """Share of wrong pictures, in [0, 1], as measured pairs of its kind and concepts have it."""
    novelty: float
    """1 less the likeness to the nearest known pair, in [0, 1]."""

    @property
    def promise(self) -> float:
        """What is drawn first: likely to fail, and new."""
        return self.expected * (0.5 + 0.5 * self.novelty)


@dataclass(frozen=True, slots=True)
class Dropped:
    """Something that a text model proposed and that became no pair."""

    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class Round:
    """What one round brought."""

    number: int
    proposals: tuple[Proposal, ...]
    """Most promising first."""
    dropped: tuple[Dropped, ...]
    kinds: tuple[Kind, ...]
    """New ones."""
    failures: tuple[str, ...]
    """Questions that got no usable reply, a sentence each."""
    exhausted: tuple[str, ...] = ()
    """Names of kinds that by now only repeat themselves."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all was said that could be judged."""
        return not (self.proposals or self.dropped or self.kinds)


@dataclass(frozen=True, slots=True)
class _Named:
    """Two names on their way to a pair."""

    a: str
    b: str
    kind: Kind
    way: Way

    def __str__(self) -> str:
        return f"{self.a} / {self.b}"


@dataclass(slots=True)
class Rounds:
    """Asks a text model for pairs, round by round; what is known grows, nothing is drawn here.

    Args:
        model: any text model.
        known: pairs that are not to be proposed again.
        kinds: those to begin with.
        source: what the pairs' ``source`` begins with, e.g. the model's id.
        count: pairs that a round brings, about.
        kinds_at_once: kinds that one round works on.
        embed: tells pairs of one meaning apart; without it, letters alone do.
        seed: for all that is decided by chance.
        exhausted: names of kinds that are not to be expanded any further.
    """

    model: TextModel
    known: Sequence[ConceptPair]
    kinds: Sequence[Kind]
    source: str
    count: int = 24
    kinds_at_once: int = 4
    embed: Embed | None = None
    seed: int = 0
    exhausted: tuple[str, ...] = ()
    _seen: set[frozenset[str]] = field(init=False)
    _said: list[set[str]] = field(init=False)
    """The words of each known pair's names, where nothing embeds its prompt."""
    _vectors: list[Sequence[float]] = field(init=False)
    _concepts: dict[str, Concept] = field(init=False)
    """By name: one name stands for one concept, the way it was described first."""

    def __post_init__(self) -> None:
        self.kinds = list(self.kinds)
        self._seen = {_letters(pair.a.name, pair.b.name) for pair in self.known}
        self._said = [] if self.embed else [_words(pair) for pair in self.known]
        prompts = [pair.prompt for pair in self.known]
        self._vectors = list(self.embed(prompts)) if self.embed and prompts else []
        self._concepts = {}
        for pair in self.known:
            for concept in (pair.a, pair.b, *(intruder.concept for intruder in pair.intruders)):
                self._concepts.setdefault(concept.name, concept)

    def round(self, number: int, measured: Sequence[Measured]) -> Round:
        """One round, from 1 up; a question that fails is recorded and the others go on."""
        by_kind: dict[str, list[Measured]] = defaultdict(list)
        for one in measured:
            if one.total:
                by_kind[one.pair.pattern].append(one)
        failures: list[str] = []
        dropped: list[Dropped] = []
        named: list[_Named] = []
        fresh: list[Kind] = []
        active = self._active(by_kind)
        invents = number > 1 and (len(active) < self.kinds_at_once or number % 2 == 0)
        shares = len(active) + invents + (2 if number > 2 else 0)
        each = max(2, -(-self.count // max(1, shares)))
        expected = _Expectation(measured)

        def attempt(source: Iterator[_Named]) -> None:
            found: list[_Named] = []
            try:
                found.extend(source)
            except ItemError as error:
                failures.append(str(error))
            # the best of each way, so that new kinds and known ones both have their share
            found.sort(key=lambda item: -expected.of(item.kind.name, item.a, item.b))
            named.extend(found[:each])
            dropped.extend(Dropped(str(item), LESS_LIKELY) for item in found[each:])

        for kind in active:
            attempt(self._expand(kind, by_kind[kind.name], SURPLUS * each, dropped))
        if invents:
            attempt(self._invent(fresh, SURPLUS * each, number, dropped))
        if number > 2 and len(active) > 1:
            for half, other in ((active[0], active[1]), (active[1], active[0])):
                attempt(self._blend(half, other, measured, fresh, SURPLUS * each, number, dropped))
        self.kinds = [*self.kinds, *fresh]
        proposals = self._detailed(named, expected, failures, dropped, number)
        proposals.sort(key=lambda one: (-one.promise, one.pair.prompt))
        return Round(
            number,
            tuple(proposals),
            tuple(dropped),
            tuple(fresh),
            tuple(failures),
            self.exhausted,
        )

    def _active(self, by_kind: Mapping[str, Sequence[Measured]]) -> list[Kind]:
        """Kinds that still give new pairs, those that fail most first; unmeasured ones at 0.5."""

        def promise(kind: Kind) -> float:
            found = by_kind.get(kind.name, ())
            return -(1 + sum(one.wrong_share for one in found)) / (2 + len(found))

        left = [kind for kind in self.kinds if kind.name not in self.exhausted]
        return sorted(left, key=promise)[: self.kinds_at_once]

    # ── ways ─────────────────────────────────────────────────────────────────────────────────

    def _expand(
        self, kind: Kind, found: Sequence[Measured], count: int, dropped: list[Dropped]
    ) -> Iterator[_Named]:
        """New pairs like those that were measured to fail; unlike those that do not."""
        worst = sorted(found, key=lambda one: -one.wrong_share)
        wrong = [one.pair for one in worst if one.wrong_share > 0.5][:EXAMPLES]
        right = [one.pair for one in worst if one.wrong_share <= 0.5][-EXAMPLES:]
        drawn = {one.pair.key for one in found}
        seeds = [pair for pair in self.known if pair.pattern == kind.name and pair.key not in drawn]
        asked = wording("expand").format(
            kind=kind.name,
            explanation=kind.explanation or "not known",
            wrong=_listed(wrong or seeds[:EXAMPLES]),
            right=_listed(right),
            count=count,
        )
        pair = whole(a=TEXT, b=TEXT)
        pairs = self._ask(asked, whole(pairs=several(pair)))["pairs"]
        way = Way.IMITATE if wrong else Way.EXPAND
        new = [
            item
            for item in (_Named(_name(one["a"]), _name(one["b"]), kind, way) for one in pairs)
            if self._takes(item, dropped)
        ]
        if len(new) < EXHAUSTED_BELOW * max(1, len(pairs)):
            self.exhausted = (*self.exhausted, kind.name)
        yield from new[:count]
        dropped += [Dropped(str(item), "more than was asked for") for item in new[count:]]

    def _invent(
        self, fresh: list[Kind], count: int, number: int, dropped: list[Dropped]
    ) -> Iterator[_Named]:
        """A kind that nobody listed: two separate lists, crossed here."""
        asked = wording("invent").format(
            kinds="\n".join(f"- {kind.name}" for kind in (*self.kinds, *fresh))
        )
        yield from self._crossed(asked, Way.CROSS, fresh, count, number, dropped)

    def _blend(
        self,
        one: Kind,
        other: Kind,
        measured: Sequence[Measured],
        fresh: list[Kind],
        count: int,
        number: int,
        dropped: list[Dropped],
    ) -> Iterator[_Named]:
        """The first half of one kind with the second half of another."""

        def examples(kind: Kind) -> str:
            pairs = [item.pair for item in measured] + list(self.known)
            mine = [pair for pair in pairs if pair.pattern == kind.name][:3]
            return "; ".join(f"{pair.a.name} / {pair.b.name}" for pair in mine) or "none"

        asked = wording("blend").format(
            one=one.name,
            one_examples=examples(one),
            other=other.name,
            other_examples=examples(other),
        )
        yield from self._crossed(asked, Way.BLEND, fresh, count, number, dropped)

    def _crossed(
        self,
        asked: str,
        way: Way,
        fresh: list[Kind],
        count: int,
        number: int,
        dropped: list[Dropped],
    ) -> Iterator[_Named]:
        said = self._ask(
            asked,
            whole(name=TEXT, explanation=TEXT, first=TEXT, second=TEXT, a=TEXT, b=TEXT),
        )
        kind = Kind(*(_one_line(said[part]) for part in ("name", "explanation", "first", "second")))
        if not kind.name or kind.name.casefold() in {
            known.name.casefold() for known in (*self.kinds, *fresh)
        }:
            dropped.append(Dropped(kind.name or "a kind without a name", "a kind that is known"))
            return
        fresh.append(kind)
        lists = self._ask(
            wording("lists").format(
                kind=kind.name,
                explanation=kind.explanation,
                first=kind.first,
                second=kind.second,
                count=LIST_LENGTH,
            ),
            whole(first=several(), second=several()),
        )
        example = _Named(_name(said["a"]), _name(said["b"]), kind, way)
        firsts, seconds = ([_name(text) for text in lists[part]] for part in ("first", "second"))
        crossed = list(product(dict.fromkeys(firsts), dict.fromkeys(seconds)))
        random.Random(f"{self.seed} {number} {kind.name}").shuffle(crossed)
        left = count
        for item in (example, *(_Named(a, b, kind, way) for a, b in crossed)):
            if not left:
                break  # the rest of the product is no proposal of anybody's
            if self._takes(item, dropped):
                left -= 1
                yield item

    # ── sense ────────────────────────────────────────────────────────────────────────────────

    def _takes(self, item: _Named, dropped: list[Dropped]) -> bool:
        """Whether two names make a new pair; the reason is kept where they do not."""
        reason = _nonsense(item.a) or _nonsense(item.b)
        letters = _letters(item.a, item.b)
        if not reason and len(letters) < 2:
            reason = "both things are the same"
        if not reason and letters in self._seen:
            reason = KNOWN
        if reason:
            dropped.append(Dropped(str(item)[:200], reason))
            return False
        self._seen.add(letters)
        return True

    def _detailed(
        self,
        named: Sequence[_Named],
        expected: _Expectation,
        failures: list[str],
        dropped: list[Dropped],
        number: int,
    ) -> list[Proposal]:
        """Names as whole pairs: looks, intruders, and the shortest sentence as the test prompt."""
        found: list[Proposal] = []
        for start in range(0, len(named), DETAILED_AT_ONCE):
            some = named[start : start + DETAILED_AT_ONCE]
            details: dict[frozenset[str], dict[str, Any]] = {}
            try:
                details |= self._details(some)
                for item in some if len(some) > 1 else ():
                    if _letters(item.a, item.b) not in details:  # small models lose their place
                        details |= self._details([item])
            except ItemError as error:
                failures.append(str(error))
            for item in some:
                detail = details.get(_letters(item.a, item.b))
                if detail is None:
                    dropped.append(Dropped(str(item), "its details were not written"))
                    continue
                try:
                    pair = self._pair(item, detail, f"{self.source}, round {number}, {item.way}")
                except ConfigError as error:
                    dropped.append(Dropped(str(item), str(error)))
                    continue
                novelty = self._novelty(pair)
                if novelty < 1 - SAME_MEANING:
                    dropped.append(Dropped(str(item), SAME))
                    continue
                likely = expected.of(item.kind.name, item.a, item.b)
                found.append(Proposal(pair, item.way, likely, novelty))
        return found

    def _pair(self, item: _Named, detail: Mapping[str, Any], source: str) -> ConceptPair:
        """A whole pair of what a text model wrote.

        Raises:
            ConfigError: no sentence names both.
        """
        a, b = self._concept(item.a, detail["a_looks"]), self._concept(item.b, detail["b_looks"])
        sentences = [
            sentence
            for sentence in dict.fromkeys(
                _one_line(text).rstrip(".") for text in detail["sentences"]
            )
            if len(sentence) <= MOST_SENTENCE_LETTERS
            and names_both(sentence, a, b)
            and not NOT_A_NAME.search(sentence)
        ]
        if not sentences:
            raise ConfigError("none of its sentences names both things")
        prompt = min(sentences, key=lambda one: (len(one.split()), len(one)))
        asked = _letters(a.name), _letters(b.name)
        suspects = {
            (side, _name(one["name"])): one["looks"]
            for side in Side
            for one in detail[f"instead_of_{side}"][:MOST_SUSPECTS]
            if not _nonsense(_name(one["name"])) and _letters(_name(one["name"])) not in asked
        }
        return make_pair(
            a,
            b,
            prompt,
            [(self._concept(name, looks), side, "") for (side, name), looks in suspects.items()],
            str(item),
            sentences=tuple(one for one in sentences if one != prompt),
            pattern=item.kind.name,
            source=source,
            licence=LICENCE,
        )

    def _concept(self, name: str, looks: str) -> Concept:
        return self._concepts.setdefault(name, Concept(name, _look(looks, name)))

    def _details(self, items: Sequence[_Named]) -> dict[frozenset[str], dict[str, Any]]:
        suspects = several(whole(name=TEXT, looks=TEXT))
        entry = whole(
            a=TEXT,
            b=TEXT,
            a_looks=TEXT,
            b_looks=TEXT,
            instead_of_a=suspects,
            instead_of_b=suspects,
            sentences=several(),
        )
        asked = wording("detail").format(
            pairs="\n".join(f"- {item.a} / {item.b}" for item in items)
        )
        said = self._ask(asked, whole(pairs=several(entry)))["pairs"]
        return {_letters(_name(one["a"]), _name(one["b"])): one for one in said}

    def _novelty(self, pair: ConceptPair) -> float:
        """From the nearest known prompt; pairs without an embedding are as new as their letters."""
        if self.embed is None:
            words = _words(pair)
            shared = (len(words & other) / len(words | other) for other in self._said)
            return 1 - max(shared, default=0.0)
        (vector,) = self.embed([pair.prompt])
        nearest = max(
            (sum(x * y for x, y in zip(vector, other, strict=True)) for other in self._vectors),
            default=0.0,
        )
        novelty = min(1.0, max(0.0, 1 - nearest))
        if novelty >= 1 - SAME_MEANING:
            self._vectors.append(vector)
        return novelty

    def _ask(self, text: str, schema: Schema) -> Any:
        return json.loads(self.model.complete([{"role": "user", "content": text}], schema=schema))


class _Expectation:
    """How often a pair should fail, from measured pairs of its kind and with its concepts.

    The mean over every measured pair that shares something, once for the kind and twice for each
    concept, and over two pairs that fail as often as all measured ones do: before anything is
    measured, half of the time.
    """

    def __init__(self, measured: Sequence[Measured]) -> None:
        self._wrong: dict[str, float] = defaultdict(float)
        self._count: dict[str, int] = defaultdict(int)
        shares = [one.wrong_share for one in measured if one.total]
        self._mean = (1 + sum(shares)) / (2 + len(shares))
        for one in measured:
            if one.total:
                for place in self._places(one.pair.pattern, one.pair.a.name, one.pair.b.name):
                    self._wrong[place] += one.wrong_share
                    self._count[place] += 1

    def of(self, *names: str) -> float:
        """In [0, 1], of a kind, A and B by name."""
        kind, *concepts = self._places(*names)
        wrong = self._wrong.get(kind, 0.0) + 2 * sum(self._wrong.get(c, 0.0) for c in concepts)
        count = self._count.get(kind, 0) + 2 * sum(self._count.get(c, 0) for c in concepts)
        return (2 * self._mean + wrong) / (2 + count)

    @staticmethod
    def _places(kind: str, a: str, b: str) -> tuple[str, str, str]:
        return f"kind {kind.casefold()}", f"concept {a.casefold()}", f"concept {b.casefold()}"


def _look(text: str, name: str) -> str:
    """A description that does not say the name; empty where it cannot help it."""
    look = _one_line(text).rstrip(".")
    return "" if places(look, name) or NOT_A_NAME.search(look) or len(look) > 200 else look


def _nonsense(name: str) -> str:
    """Why a name is none; empty if it is."""
    if not name:
        return "a thing without a name"
    if len(name) > MOST_LETTERS or len(name.split()) > MOST_WORDS:
        return "a thing is named at too great a length"
    if NOT_A_NAME.search(name) or not name.isprintable():
        return "a name holds markup or signs"
    return "" if any(letter.isalpha() for letter in name) else "a name without letters"


def _name(text: str) -> str:
    """One line without the article, as concepts are called."""
    return without_article(_one_line(text)).strip(" .,'")


def _one_line(text: str) -> str:
    return one_line("".join(c if c.isprintable() else " " for c in plain(text)))


def _letters(*names: str) -> frozenset[str]:
    """Names, whichever comes first, as far as spelling does not matter."""
    return frozenset(
        "".join(
            c for c in unicodedata.normalize("NFKD", name.casefold()) if c.isalnum()
        ).removesuffix("s")
        for name in names
    )


def _words(pair: ConceptPair) -> set[str]:
    return set(f"{pair.a.name} {pair.b.name}".casefold().split())


def listed_names(pairs: Iterable[tuple[str, str]]) -> str:
    """Pairs as a text model is shown them, a line each."""
    return "\n".join(f"- {a} / {b}" for a, b in pairs) or "none yet"


def _listed(pairs: Iterable[ConceptPair]) -> str:
    return listed_names((pair.a.name, pair.b.name) for pair in pairs)
