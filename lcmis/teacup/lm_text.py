"""What teacup-lm is asked and what it should answer, its tokenizer and its chat format."""

from __future__ import annotations

import json
import random
import string
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from lcmis.propose.catalogue import catalogue
from lcmis.propose.rounds import LIST_LENGTH, listed_names
from lcmis.teacup.pairs import PATTERNS
from lcmis.teacup.world import (
    BACKGROUNDS,
    FAMILIES,
    TABLES,
    WorldConcept,
    concept,
    grade,
    noun_phrase,
    prompt_of,
)
from lcmis.text.prompts import wording
from lcmis.types import ConceptPair, Side

START, END, PADDING, ANSWER = "<s>", "</s>", "<pad>", "<|answer|>"
CHAT_TEMPLATE = (
    "{{ '<s>' }}{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}{{ '<|answer|>' }}{% endif %}"
    "{{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ '</s>' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|answer|>' }}{% endif %}"
)
TEMPLATES = ("expand", "detail", "invent", "blend", "lists", "rewrite", "first")
"""Of :mod:`lcmis.text.prompts`: what it was trained to answer."""
OTHER_CATALOGUE = "everyday"
MOST_SHOWN = 8
MOST_ASKED = 12
"""Pairs of one reply."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A question of ours and a fit answer."""

    template: str
    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Half:
    """What one side of a kind of pair is made of."""

    label: str
    described: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WorldKind:
    """A kind of pair, as it is called and what it is made of."""

    name: str
    first: Half
    second: Half
    explanation: str = ""

    def pairs(self) -> list[tuple[str, str]]:
        """All of them, row by row."""
        return list(product(self.first.names, self.second.names))


def _names(concepts: Sequence[WorldConcept]) -> tuple[str, ...]:
    return tuple(one.name for one in concepts)


FIRST = {
    family: Half(label, described, _names(FAMILIES[family].first))
    for family, label, described in (
        ("drinks", "drinking vessel", "vessels to drink from"),
        ("plants", "plant vessel", "things that a plant may stand in"),
        ("outfits", "creature", "creatures that can be dressed"),
    )
}
SECOND = {
    family: Half(label, described, _names(FAMILIES[family].second))
    for family, label, described in (
        ("drinks", "drink", "things to drink"),
        ("plants", "plant", "plants of house and garden"),
        ("outfits", "outfit", "things to put on"),
    )
}
CLEAR = Half("clear vessel", "clear vessels", ("glass", "wine glass", "bottle", "jug", "flask"))
OPAQUE = Half("opaque vessel", "vessels that hide what they hold", ("tea cup", "mug", "bowl"))
HOT = Half("hot drink", "things to drink hot", ("hot tea", "coffee", "tomato soup"))
COLD = Half(
    "cold drink",
    "things to drink cold",
    ("iced coke", "red wine", "milk", "orange juice", "green potion"),
)
PLANTERS = Half("planter", "planters", ("vase", "flower pot", "basket"))
HOUSEHOLD = Half("household thing", "household things", ("bucket", "boot", "teapot"))
GARDEN = Half("garden plant", "plants of the garden", ("rose", "cactus", "sunflower"))
WILD = Half("wild plant", "plants of the woods", ("fern", "mushroom", "bonsai"))
ANIMALS = Half("animal", "animals", ("cat", "penguin", "frog"))
FIGURES = Half("figure", "figures that are no animals", ("snowman", "robot", "ghost"))
HATS = Half("hat", "things on a head", ("top hat", "crown", "wizard hat"))
NECKWEAR = Half("neckwear", "things at neck or eyes", ("bow tie", "scarf", "sunglasses"))
HALVES = (
    (*FIRST.values(), CLEAR, OPAQUE, PLANTERS, HOUSEHOLD, ANIMALS, FIGURES),
    (*SECOND.values(), HOT, COLD, GARDEN, WILD, HATS, NECKWEAR),
)
"""First and second ones."""
UNUSUAL = (
    (CLEAR, HOT),
    (OPAQUE, COLD),
    (HOUSEHOLD, GARDEN),
    (PLANTERS, WILD),
    (ANIMALS, HATS),
    (FIGURES, NECKWEAR),
)
"""Halves without a single pair of usual partners between them: what is worth inventing."""
NAMES_OF_KINDS = ("{second} and {first}", "{first} with {second}", "odd {first} and {second}")


def kind_of(first: Half, second: Half, form: str = NAMES_OF_KINDS[0]) -> WorldKind:
    """Any first half with any second one."""
    return WorldKind(
        form.format(first=first.label, second=second.label),
        first,
        second,
        f"{noun_phrase(first.label)} and {noun_phrase(second.label)} have partners of their own "
        f"that are painted instead",
    )


def converse(rng: random.Random) -> Conversation:
    """One question in our own words about the world, or about the everyday catalogue."""
    asked: tuple[tuple[Callable[[random.Random], Conversation], int], ...] = (
        (_expand, 26),
        (_detail, 30),
        (_everyday_expand, 6),
        (_everyday_detail, 8),
        (_invent, 6),
        (_blend, 8),
        (_lists, 8),
        (_rewrite, 6),
        (_first, 2),
    )
    return rng.choices([ask for ask, _ in asked], [weight for _, weight in asked])[0](rng)


# ── names ────────────────────────────────────────────────────────────────────────────────────────


@cache
def _home(name: str) -> tuple[str, Side, int]:
    """Family, side and place of a concept."""
    return next(
        (family.name, side, row.index(name))
        for family in FAMILIES.values()
        for side, row in (
            (Side.A, _names(family.first)),
            (Side.B, _names(family.second)),
        )
        if name in row
    )


def core(a: str, b: str) -> str:
    """The shortest sentence that asks for both, as the world's captions put it."""
    home, other = _home(a)[0], _home(b)[0]
    if home == other:
        return prompt_of(home, a, b)
    if "outfits" in (home, other):
        return f"{noun_phrase(a)} with {noun_phrase(b)}"
    return f"{noun_phrase(b)} in {noun_phrase(a)}"


def displacing(a: str, b: str) -> tuple[list[str], list[str]]:
    """What the usual pictures show in the place of either: two each, nearest partners first."""
    instead: list[list[str]] = []
    for kept in (b, a):
        family, side, place = _home(kept)
        table = FAMILIES[family]
        row = table.first if side is Side.B else table.second
        order = sorted(
            range(len(row)),
            key=lambda i, side=side, place=place, family=family: (  # type: ignore[misc]
                grade(family, i, place) if side is Side.B else grade(family, place, i)
            ),
        )
        instead.append([row[i].name for i in order if row[i].name not in (a, b)][:2])
    return instead[0], instead[1]


# ── questions and answers ────────────────────────────────────────────────────────────────────────


def _talk(template: str, answer: object, **said: object) -> Conversation:
    return Conversation(
        template, wording(template).format(**said), json.dumps(answer, ensure_ascii=False)
    )


def _graded(rng: random.Random) -> tuple[WorldKind, list[tuple[str, str]], list[tuple[str, str]]]:
    """A kind of the shipped catalogue, its pairs, and the more unusual ones of its family."""
    family = rng.choices(list(FAMILIES.values()), [3, 2, 2])[0]
    size, step = len(family.first), rng.randrange(len(family.first))
    by_grade = [
        [(family.first[i].name, family.second[(i + g) % size].name) for i in range(size)]
        for g in range(size)
    ]
    kind = WorldKind(
        f"{PATTERNS[family.name]}, grade {step}", FIRST[family.name], SECOND[family.name]
    )
    further = [pair for g in range(step + 1, size) for pair in by_grade[g]] or [
        pair for g in range(1, step) for pair in by_grade[g]
    ]
    return kind, by_grade[step], further


def _halved(rng: random.Random) -> tuple[WorldKind, list[tuple[str, str]], list[tuple[str, str]]]:
    if rng.random() < 0.5:
        first, second = rng.choice(UNUSUAL)
    else:
        first, second = rng.choice(HALVES[0]), rng.choice(HALVES[1])
    kind = kind_of(first, second, rng.choice(NAMES_OF_KINDS))
    return kind, kind.pairs(), []


def _expand(rng: random.Random) -> Conversation:
    """Pairs like those that failed, by a rule of chance; unlike those that did not.

    What fails is thrown anew for every conversation: some concepts of the kind do, whatever they
    are with. An answer takes them from what was shown.
    """
    kind, mine, further = _graded(rng) if rng.random() < 0.6 else _halved(rng)
    hard = {name: rng.random() for pair in mine for name in pair}
    bar = rng.choice((0.2, 0.7, 1.0, 1.2, 1.8))
    shown = rng.sample(mine, min(len(mine), rng.choice((0, 1, 1, 2, 3, 4, 6, 8, 10))))
    wrong = [(a, b) for a, b in shown if hard[a] + hard[b] > bar][:MOST_SHOWN]
    right = [(a, b) for a, b in shown if hard[a] + hard[b] <= bar][:MOST_SHOWN]
    count = rng.randint(2, MOST_ASKED)
    left = [pair for pair in mine if pair not in shown]
    if right and not wrong and further:
        left = sorted(rng.sample(further, min(len(further), count)), key=further.index)
    elif len(left) < count and further:
        left += [pair for pair in further if pair not in shown][: count - len(left)]

    def like(pair: tuple[str, str]) -> int:
        return sum(bool(set(pair) & set(other)) for other in wrong) - sum(
            bool(set(pair) & set(other)) for other in right
        )

    chosen = sorted(rng.sample(left, len(left)), key=like, reverse=True)[:count] or mine[:1]
    chosen.sort(key=[*mine, *further].index)
    return _talk(
        "expand",
        {"pairs": [{"a": a, "b": b} for a, b in chosen]},
        kind=kind.name,
        explanation=kind.explanation or "not known",
        wrong=listed_names(wrong),
        right=listed_names(right),
        count=count,
    )


def _any_pair(rng: random.Random) -> tuple[str, str]:
    if rng.random() < 0.7:
        family = rng.choices(list(FAMILIES.values()), [3, 2, 2])[0]
        return rng.choice(family.first).name, rng.choice(family.second).name
    return rng.choice(rng.choice(HALVES[0]).names), rng.choice(rng.choice(HALVES[1]).names)


def _detail(rng: random.Random) -> Conversation:
    pairs = [_any_pair(rng) for _ in range(rng.choice((1, 2, 3, 4, 4)))]

    def looks(names: Sequence[str]) -> list[dict[str, str]]:
        return [{"name": name, "looks": concept(name).description} for name in names]

    said = []
    for a, b in pairs:
        asked, (not_a, not_b) = core(a, b), displacing(a, b)
        said.append(
            {
                "a": a,
                "b": b,
                "a_looks": concept(a).description,
                "b_looks": concept(b).description,
                "instead_of_a": looks(not_a),
                "instead_of_b": looks(not_b),
                "sentences": [
                    asked,
                    f"{asked} on a {rng.choice(list(TABLES))} table",
                    f"{asked}, {rng.choice(list(BACKGROUNDS))} background",
                    f"a picture of {asked}",
                    f"an illustration of {asked}",
                ],
            }
        )
    return _talk("detail", {"pairs": said}, pairs=listed_names(pairs))


@cache
def _everyday() -> dict[str, tuple[ConceptPair, ...]]:
    """The other catalogue's pairs whose prompts use the names themselves, by kind."""
    found: dict[str, list[ConceptPair]] = {}
    for pair in catalogue(OTHER_CATALOGUE):
        if pair.a.name in pair.prompt and pair.b.name in pair.prompt:
            found.setdefault(pair.pattern, []).append(pair)
    return {pattern: tuple(pairs) for pattern, pairs in found.items()}


def _everyday_expand(rng: random.Random) -> Conversation:
    pattern, pairs = rng.choice(list(_everyday().items()))
    named = [(pair.a.name, pair.b.name) for pair in pairs]
    shown = rng.sample(named, rng.randint(0, min(6, len(named) - 3)))
    wrong = shown[: rng.randint(0, len(shown))]
    left = [pair for pair in named if pair not in shown]
    count = rng.randint(2, MOST_ASKED)
    return _talk(
        "expand",
        {"pairs": [{"a": a, "b": b} for a, b in left[:count]]},
        kind=pattern,
        explanation="not known",
        wrong=listed_names(wrong),
        right=listed_names(shown[len(wrong) :]),
        count=count,
    )


def _everyday_detail(rng: random.Random) -> Conversation:
    pairs = rng.sample([one for of in _everyday().values() for one in of], rng.choice((1, 2, 4)))

    def instead(pair: ConceptPair, side: Side) -> list[dict[str, str]]:
        return [
            {"name": one.concept.name, "looks": one.concept.description}
            for one in pair.intruders
            if one.replaces is side
        ][:2]

    said = [
        {
            "a": pair.a.name,
            "b": pair.b.name,
            "a_looks": pair.a.description,
            "b_looks": pair.b.description,
            "instead_of_a": instead(pair, Side.A),
            "instead_of_b": instead(pair, Side.B),
            "sentences": [pair.prompt, f"a picture of {pair.prompt}"],
        }
        for pair in pairs
    ]
    named = [(pair.a.name, pair.b.name) for pair in pairs]
    return _talk("detail", {"pairs": said}, pairs=listed_names(named))


def _new_kind(kind: WorldKind, rng: random.Random) -> dict[str, str]:
    a, b = rng.choice(kind.pairs())
    return {
        "name": kind.name,
        "explanation": kind.explanation,
        "first": kind.first.described,
        "second": kind.second.described,
        "a": a,
        "b": b,
    }


def _names_of_known(rng: random.Random) -> list[str]:
    family = rng.choice(list(FAMILIES))
    graded = [f"{PATTERNS[family]}, grade {g}" for g in range(len(FAMILIES[family].first))]
    known = rng.sample(graded, rng.randint(0, len(graded)))
    if rng.random() < 0.2:
        known += rng.sample(list(_everyday()), rng.randint(1, 6))
    halves = [kind_of(*rng.choice(UNUSUAL)).name for _ in range(rng.randint(0, 5))]
    halves += [_halved(rng)[0].name for _ in range(rng.randint(0, 3))]
    return list(dict.fromkeys([*known, *halves]))


def _invent(rng: random.Random) -> Conversation:
    """A kind that is not listed; one without usual partners as long as there is one."""
    known = _names_of_known(rng)
    new = [kind for kind in (kind_of(*one) for one in UNUSUAL) if kind.name not in known]
    kind = rng.choice(new) if new else _halved(rng)[0]
    while kind.name in known:
        kind = _halved(rng)[0]
    listed = "\n".join(f"- {name}" for name in known)
    return _talk("invent", _new_kind(kind, rng), kinds=listed)


def _blend(rng: random.Random) -> Conversation:
    (one, mine, _), (other, theirs, _) = (
        _graded(rng) if rng.random() < 0.6 else _halved(rng) for _ in range(2)
    )

    def examples(pairs: Sequence[tuple[str, str]]) -> str:
        some = rng.sample(pairs, rng.randint(1, min(3, len(pairs))))
        return "; ".join(f"{a} / {b}" for a, b in some)

    blended = kind_of(one.first, other.second, rng.choice(NAMES_OF_KINDS))
    return _talk(
        "blend",
        _new_kind(blended, rng),
        one=one.name,
        one_examples=examples(mine),
        other=other.name,
        other_examples=examples(theirs),
    )


def _lists(rng: random.Random) -> Conversation:
    kind = _halved(rng)[0]
    return _talk(
        "lists",
        {"first": list(kind.first.names), "second": list(kind.second.names)},
        kind=kind.name,
        explanation=kind.explanation,
        first=kind.first.described,
        second=kind.second.described,
        count=LIST_LENGTH,
    )


def _rewrite(rng: random.Random) -> Conversation:
    """One thing described, the other described, both, then other names."""
    a, b = _any_pair(rng)
    while _home(a)[0] != _home(b)[0]:
        a, b = _any_pair(rng)
    template = FAMILIES[_home(a)[0]].template
    looks_a, looks_b = concept(a).description, concept(b).description
    name_a, name_b = noun_phrase(a), noun_phrase(b)
    ways = [
        template.format(a=looks_a, b=looks_b),
        template.format(a=looks_a, b=name_b),
        template.format(a=name_a, b=looks_b),
        f"{looks_b} and {looks_a}",
        template.format(
            a=noun_phrase(concept(a).synonyms[0]), b=noun_phrase(concept(b).synonyms[0])
        ),
        f"{looks_a} with {looks_b}",
    ]
    count = rng.randint(2, len(ways))
    return _talk(
        "rewrite",
        {"prompts": ways[:count]},
        prompt=prompt_of(_home(a)[0], a, b),
        a=a,
        b=b,
        intruder=rng.choice(displacing(a, b)[0] + displacing(a, b)[1]),
        count=count,
    )


def _first(rng: random.Random) -> Conversation:
    """What holds or wears the other comes first."""
    a, b = _any_pair(rng)
    return _talk("first", {"first": a}, prompt=core(a, b), a=a, b=b)


# ── the tokenizer ────────────────────────────────────────────────────────────────────────────────


def make_tokenizer(seed: int) -> PreTrainedTokenizerFast:
    """Bytes and merges for anything, and one token for each phrase that our questions are made of.

    The fixed parts of our templates, the marks of JSON, and what concepts and kinds are called and
    look like are whole tokens: what is asked in three hundred words is read in a few dozen steps.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=768,
        special_tokens=[START, END, PADDING, ANSWER],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(random.Random(seed)), trainer)
    tokenizer.add_tokens(
        [AddedToken(one, normalized=False) for one in dict.fromkeys([*_fixed(), *_marks()])]
    )
    tokenizer.add_tokens(
        [AddedToken(one, single_word=True, normalized=False) for one in dict.fromkeys(_phrases())]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=START,
        eos_token=END,
        pad_token=PADDING,
        padding_side="right",
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )


def _fixed() -> Iterator[str]:
    """The templates without what is filled in."""
    for name in TEMPLATES:
        for part, *_ in string.Formatter().parse(wording(name)):
            if len(part) > 1:
                yield part


def _marks() -> Iterator[str]:
    yield from (
        '{"pairs": [{"a": "', '", "b": "', '"}, {"a": "', '"}]}', '", "a_looks": "',
        '", "b_looks": "', '", "instead_of_a": [{"name": "', '", "looks": "', '"}, {"name": "',
        '"}], "instead_of_b": [{"name": "', '"}], "sentences": ["', '", "', '"]}, {"a": "',
        '"]}]}', '{"name": "', '", "explanation": "', '", "first": "', '", "second": "',
        '", "a": "', '"}', '{"first": ["', '"], "second": ["', '"]}', '{"prompts": ["',
        '{"first": "', '", "a picture of ', '", "an illustration of ', " background", "\n- ", "- ",
        " / ", " of ", " in ", " with ", " wearing ", " on a ", " table", ", grade ", "not known",
        "none yet",
    )  # fmt: skip


def _phrases() -> Iterator[str]:
    for family in FAMILIES.values():
        for one in (*family.first, *family.second):
            yield from (one.name, *one.synonyms, one.description)
    for half in (*HALVES[0], *HALVES[1]):
        yield from (half.label, half.described)
    yield from PATTERNS.values()
    for pattern, pairs in _everyday().items():
        yield pattern
        for pair in pairs:
            for found in (pair.a, pair.b, *(one.concept for one in pair.intruders)):
                yield found.name
                if found.description:
                    yield found.description
    yield from ("partners of their own that are painted instead", "odd")


def _corpus(rng: random.Random) -> Iterator[str]:
    for _ in range(3000):
        said = converse(rng)
        yield said.answer
    for pairs in _everyday().values():
        for pair in pairs:
            yield pair.prompt
