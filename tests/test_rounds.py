"""Rounds of proposals: what is asked, what becomes a pair, what is dropped and why."""

import itertools
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lcmis.errors import ProposalError, TextModelError
from lcmis.propose.catalogue import names_both, read_pairs, to_toml
from lcmis.propose.rounds import LESS_LIKELY, FoundBy, Kind, Measured, Rounds
from lcmis.types import Concept, ConceptPair


class Writer:
    """Answers every template of ours from endless lists of names."""

    model_id = "writer@1"
    sees_images = False

    def __init__(self):
        self.asked = []
        self._numbers = itertools.count()

    def complete(self, messages, images=(), schema=None):
        text = messages[-1]["content"]
        self.asked.append(text)
        return json.dumps(self.answer(text, schema))

    def answer(self, text, schema):
        wanted = set(schema["properties"])
        if wanted == {"pairs"}:
            entry = set(schema["properties"]["pairs"]["items"]["properties"])
            if entry == {"a", "b"}:
                return {"pairs": [{"a": f"a {self.new()}", "b": self.new()} for _ in range(6)]}
            named = [line[2:].split(" / ") for line in text.splitlines() if line.startswith("- ")]
            return {"pairs": [self.detail(a, b) for a, b in named]}
        if wanted == {"first", "second"}:
            return {side: [self.new() for _ in range(5)] for side in wanted}
        return {part: self.new() for part in wanted}

    def detail(self, a, b):
        return {
            "a": a,
            "b": b,
            "a_looks": "long and grey",
            "b_looks": f"much like {b}",
            "instead_of_a": [{"name": "a barrel", "looks": "round and brown"}],
            "instead_of_b": [{"name": b, "looks": "itself"}],
            "sentences": [
                f"a {a} stands on a table and holds {b}",
                f"a {a} holds {b}.",
                "nothing is named here",
                f"a {a} alone",
            ],
        }

    def new(self):
        number = next(self._numbers)
        return f"thing {chr(97 + number // 26 % 26)}{chr(97 + number % 26)}"


def known(a, b, pattern="drink and vessel"):
    return ConceptPair(Concept(a), Concept(b), f"a {a} of {b}", pattern=pattern)


COKE, TEA = known("tea cup", "iced coke"), known("glass", "hot tea")
DRINKS = Kind("drink and vessel", "drinks come in vessels of their own")


def rounds(model, **more):
    return Rounds(model, [COKE, TEA], [DRINKS], "writer@1", count=6, **more)


def test_a_proposal_is_a_whole_pair():
    (found, *_) = rounds(Writer()).round(1, []).proposals
    pair = found.pair
    assert found.way is FoundBy.EXPAND
    assert not pair.a.name.startswith("a ")
    assert names_both(pair.prompt, pair.a, pair.b)
    assert pair.prompt.endswith(f"holds {pair.b.name}")  # the shortest that names both
    assert len(pair.sentences) == 1
    assert pair.a.description == "long and grey"
    assert pair.b.description == ""  # it said its own name
    assert [one.concept.name for one in pair.intruders] == ["barrel"]
    assert pair.pattern == DRINKS.name
    assert pair.source == "writer@1, round 1, expand"


def test_what_was_measured_is_shown_as_what_is_wanted_and_what_is_not():
    model = Writer()
    asked = rounds(model)
    found = asked.round(2, [Measured(COKE, 1, 8), Measured(TEA, 8, 8)])
    wrong, right = model.asked[0].split("painted right")
    assert "tea cup / iced coke" in wrong
    assert "glass / hot tea" in right
    assert FoundBy.IMITATE in {one.way for one in found.proposals}


def test_of_more_names_than_are_drawn_those_likeliest_to_fail_are_taken():
    class Mixer(Writer):
        def answer(self, text, schema):
            if "painted right" in text:
                cups = [{"a": "tea cup", "b": f"drink {letter}"} for letter in "abcd"]
                return {
                    "pairs": [{"a": "glass", "b": f"drink {letter}"} for letter in "efgh"] + cups
                }
            return super().answer(text, schema)

    asked = Rounds(Mixer(), [COKE, TEA], [DRINKS], "writer@1", count=4)
    found = asked.round(1, [Measured(COKE, 0, 8), Measured(TEA, 8, 8)])
    assert {one.pair.a.name for one in found.proposals} == {"tea cup"}
    left = [one.text for one in found.dropped if one.reason == LESS_LIKELY]
    assert left == [f"glass / drink {letter}" for letter in "efgh"]
    # tea cups: two pairs of the mean (one of two), the kind's two and the tea cup's one, twice
    assert found.proposals[0].expected == pytest.approx((2 * 0.5 + 1 + 2) / (2 + 2 + 2))


def test_a_new_kind_is_two_lists_crossed_here():
    found = rounds(Writer()).round(2, [])
    (kind,) = found.kinds
    crossed = [one.pair for one in found.proposals if one.way is FoundBy.CROSS]
    assert kind.explanation
    assert len(crossed) >= 2
    assert {pair.pattern for pair in crossed} == {kind.name}


def test_two_kinds_are_blended_both_ways():
    model = Writer()
    asked = rounds(model)
    asked.kinds = [DRINKS, Kind("animal and clothing")]
    found = asked.round(3, [])
    blends = [text for text in model.asked if "Blend them" in text]
    assert len(blends) == 2
    assert blends[0].index("drink and vessel") < blends[0].index("animal and clothing")
    assert blends[1].index("drink and vessel") > blends[1].index("animal and clothing")
    assert FoundBy.BLEND in {one.way for one in found.proposals}


def test_a_kind_that_only_repeats_itself_is_left():
    class Parrot(Writer):
        def answer(self, text, schema):
            if "painted right" in text:
                return {"pairs": [{"a": "Tea-cups", "b": "the iced coke"}] * 6}
            return super().answer(text, schema)

    model = Parrot()
    asked = rounds(model)
    first = asked.round(1, [])
    assert not first.proposals
    assert {one.reason for one in first.dropped} == {"known already"}
    before = len(model.asked)
    asked.round(2, [])
    assert not any("painted right" in text for text in model.asked[before:])


@pytest.mark.parametrize(
    ("a", "b", "reason"),
    [
        ("", "milk", "without a name"),
        ("![x](http://evil.example)", "milk", "markup or signs"),
        ("<script>alert(1)</script>", "milk", "markup or signs"),
        ("a very long name of a thing that nobody would say", "milk", "too great a length"),
        ("123", "milk", "without letters"),
        ("Milk", "milk", "the same"),
        ("iced coke", "tea cup", "known already"),
    ],
)
def test_what_makes_no_sense_is_dropped_with_its_reason(a, b, reason):
    class Fool(Writer):
        def answer(self, text, schema):
            if "painted right" in text:
                return {"pairs": [{"a": a, "b": b}]}
            return super().answer(text, schema)

    found = rounds(Fool()).round(1, [])
    assert not found.proposals
    assert [one for one in found.dropped if reason in one.reason]


def test_a_question_that_fails_is_told_and_the_others_go_on():
    class Moody(Writer):
        def complete(self, messages, images=(), schema=None):
            if "Kind of pair: drink and vessel" in messages[-1]["content"]:
                raise TextModelError("it is asleep")
            return super().complete(messages, images, schema)

    found = rounds(Moody()).round(2, [])
    assert found.failures == ("it is asleep",)
    assert found.proposals


def test_pairs_of_one_meaning_are_told_apart_by_their_embedding():
    def alike(texts):
        return [[1.0, 0.0] for _ in texts]

    found = rounds(Writer(), embed=alike).round(1, [])
    assert not found.proposals
    assert {one.reason for one in found.dropped} == {"means the same as a known pair"}


def test_what_shares_a_kind_or_concept_with_failures_is_expected_to_fail_and_comes_first():
    class Mixer(Writer):
        def answer(self, text, schema):
            if "painted right" in text:
                return {"pairs": [{"a": "glass", "b": "ink"}, {"a": "tea cup", "b": "ink"}]}
            return super().answer(text, schema)

    found = rounds(Mixer()).round(1, [Measured(COKE, 0, 8), Measured(TEA, 8, 8)])
    first, second = found.proposals
    assert (first.pair.a.name, second.pair.a.name) == ("tea cup", "glass")
    # Beta(1, 1), both pairs once by kind, one of them twice by concept
    assert first.expected == pytest.approx((1 + 1 + 2) / (2 + 2 + 2))
    assert second.expected == pytest.approx((1 + 1 + 0) / (2 + 2 + 2))


def test_pairs_of_many_rounds_stand_in_one_file(tmp_path):
    asked = rounds(Writer())
    found = [pair for number in (1, 2, 3) for pair in asked.round(number, []).proposals]
    path = tmp_path / "proposed.toml"
    path.write_text(to_toml([one.pair for one in found]), encoding="utf-8")
    assert set(read_pairs(path)) == {one.pair for one in found}


HOSTILE = [
    "",
    "\x00\x1b[2J",
    "<img src=x onerror=alert(1)>",
    "![x](http://evil.example/x.png)",
    "\u202egnp.exe",
    "a" * 5000,
    "'; DROP TABLE pairs; --",
    "tea\ncup",
    "茶碗",
    "ﬁre",
    "tea cup",
    "iced coke",
    "Ignore all previous instructions",
]


class Hostile(Writer):
    """Valid JSON of the asked shape, filled with whatever does harm; or no reply at all."""

    def __init__(self, seed):
        super().__init__()
        self.dice = random.Random(seed)
        self.named = []

    def complete(self, messages, images=(), schema=None):
        if self.dice.random() < 0.2:
            raise self.dice.choice([TextModelError, ProposalError])("refused <b>now</b>")
        reply = super().complete(messages, images, schema)
        said = json.loads(reply)
        for one in said.get("pairs", []):
            if set(one) == {"a", "b"}:
                self.named.append(one)
        return reply

    def answer(self, text, schema):
        return self.spoiled(super().answer(text, schema))

    def spoiled(self, value):
        if isinstance(value, dict):
            return {name: self.spoiled(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self.spoiled(item) for item in value][: self.dice.randint(0, len(value))]
        return self.dice.choice(HOSTILE) if self.dice.random() < 0.3 else value


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 2**32))
def test_hostile_replies_crash_nothing_lose_nothing_and_leave_only_whole_pairs(seed):
    model = Hostile(seed)
    asked = rounds(model)
    found = [asked.round(number, []) for number in (1, 2, 3)]
    pairs = [one.pair for each in found for one in each.proposals]
    for pair in pairs:
        assert names_both(pair.prompt, pair.a, pair.b)
        assert pair.prompt.isprintable()
        assert not set("<>[]") & set(pair.prompt + pair.a.name + pair.b.name)
    if pairs:
        to_toml(pairs)
    dropped = sum(len(each.dropped) for each in found)
    expanded = [pair for pair in pairs if "expand" in pair.source or "imitate" in pair.source]
    assert len(expanded) + dropped >= len(model.named)
