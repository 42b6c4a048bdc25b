"""The catalogue: what we ship holds together, and a user's mistake is said in one sentence."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lcmis.errors import ConfigError, UnknownNameError
from lcmis.machine.paths import shipped
from lcmis.propose.catalogue import (
    catalogue,
    catalogues,
    make_pair,
    read_kinds,
    read_pairs,
    select,
    to_toml,
)
from lcmis.teacup import pairs as teacup
from lcmis.teacup.world import FAMILIES
from lcmis.text.words import indefinite
from lcmis.types import Concept, ConceptPair, Side

SEED_PATTERNS = (
    "drink and wrong vessel",
    "regional dish and foreign place",
    "endangered animal and historic site",
    "animal and wrong body covering",
    "food and wrong tableware",
    "mismatched clothing",
    "nouns of similar shape",
    "animals that look alike",
)


@pytest.fixture(scope="module", params=["everyday", "teacup"])
def shipped_set(request: pytest.FixtureRequest) -> tuple[ConceptPair, ...]:
    return catalogue(request.param)


@pytest.fixture(scope="module")
def everyday() -> tuple[ConceptPair, ...]:
    return catalogue("everyday")


def concepts_of(pairs: tuple[ConceptPair, ...]) -> list[Concept]:
    """Every concept once, asked for or intruding."""
    found = {}
    for pair in pairs:
        for concept in (pair.a, pair.b, *(intruder.concept for intruder in pair.intruders)):
            found[concept.name] = concept
    return list(found.values())


def names(text: str, concept: Concept) -> bool:
    return any(
        re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE)
        for word in (concept.name, *concept.synonyms)
    )


# ── what we ship ─────────────────────────────────────────────────────────────────────────────────


def test_two_sets_are_shipped() -> None:
    assert catalogues() == ("everyday", "teacup")


def test_an_unknown_set_is_refused_with_the_near_ones() -> None:
    with pytest.raises(UnknownNameError, match="'everydays'; try everyday"):
        catalogue("everydays")


def test_nothing_is_asked_twice(shipped_set: tuple[ConceptPair, ...]) -> None:
    assert len({pair.key for pair in shipped_set}) == len(shipped_set)
    assert len({pair.prompt.casefold() for pair in shipped_set}) == len(shipped_set)
    assert len({frozenset((pair.a.name, pair.b.name)) for pair in shipped_set}) == len(shipped_set)


def test_every_prompt_is_short_and_names_both_concepts(
    shipped_set: tuple[ConceptPair, ...],
) -> None:
    for pair in shipped_set:
        assert len(pair.prompt) <= 120
        assert names(pair.prompt, pair.a)
        assert names(pair.prompt, pair.b)


def test_every_sentence_names_both_concepts(shipped_set: tuple[ConceptPair, ...]) -> None:
    for pair in shipped_set:
        for sentence in pair.sentences:
            assert names(sentence, pair.a), sentence
            assert names(sentence, pair.b), sentence


def test_every_pair_has_an_intruder_with_a_prompt_of_its_own(
    shipped_set: tuple[ConceptPair, ...],
) -> None:
    for pair in shipped_set:
        assert pair.intruders, pair.prompt
        for intruder in pair.intruders:
            assert intruder.prompt != pair.prompt
            assert names(intruder.prompt, intruder.concept)
            kept = pair.b if intruder.replaces is Side.A else pair.a
            assert names(intruder.prompt, kept), intruder.prompt
        assert len({intruder.prompt for intruder in pair.intruders}) == len(pair.intruders)


def test_articles_agree_in_every_prompt(shipped_set: tuple[ConceptPair, ...]) -> None:
    for pair in shipped_set:
        for prompt in (pair.prompt, *(intruder.prompt for intruder in pair.intruders)):
            for article, noun in re.findall(r"\b(an?) (\w+)", prompt):
                assert indefinite(noun) == f"{article} {noun}", prompt


def test_every_concept_is_described_by_its_looks_alone(everyday: tuple[ConceptPair, ...]) -> None:
    for concept in concepts_of(everyday):
        assert 5 <= len(concept.description.split()) <= 14, concept
        assert not names(concept.description, concept), concept
        assert concept.description == concept.description.lower(), f"a proper name? {concept}"


def test_everyday_is_large_and_covers_the_seed_patterns(everyday: tuple[ConceptPair, ...]) -> None:
    sizes = Counter(pair.pattern for pair in everyday)
    assert len(everyday) >= 220
    assert all(sizes[pattern] >= 12 for pattern in SEED_PATTERNS)
    assert len(sizes) >= 15
    assert sum(len(pair.sentences) >= 2 for pair in everyday) >= len(everyday) / 2
    assert {(pair.source, pair.licence) for pair in everyday} == {("lcmis catalogue", "Apache-2.0")}


def test_everyday_defines_no_concept_that_it_does_not_use(
    everyday: tuple[ConceptPair, ...],
) -> None:
    text = (shipped("data") / "pairs" / "everyday.toml").read_text(encoding="utf-8")
    defined = set(tomllib.loads(text)["concepts"])
    assert defined == {concept.name for concept in concepts_of(everyday)}


# ── the miniature world ──────────────────────────────────────────────────────────────────────────


def test_the_teacup_file_says_what_the_world_says() -> None:
    assert catalogue("teacup") == teacup.pairs()


def test_the_world_has_136_pairs_in_all_grades() -> None:
    sizes = Counter(pair.pattern for pair in teacup.pairs())
    assert sizes.total() == 136
    assert sizes["drink and vessel, grade 7"] == 8
    assert sizes["plant and vessel, grade 5"] == sizes["creature and outfit, grade 0"] == 6


def test_the_usual_partner_is_the_first_suspect() -> None:
    for family in FAMILIES.values():
        firsts = [concept.name for concept in family.first]
        seconds = [concept.name for concept in family.second]
        for pair in teacup.pairs():
            if pair.a.name in firsts and pair.b.name in seconds:
                i, j = firsts.index(pair.a.name), seconds.index(pair.b.name)
                if i != j:
                    assert pair.intruders_of(Side.A)[0].concept.name == firsts[j]
                    assert pair.intruders_of(Side.B)[0].concept.name == seconds[i]
                assert len(pair.intruders_of(Side.A)) == len(pair.intruders_of(Side.B)) == 5


# ── words ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("prompt", "old", "new", "expected"),
    [
        ("a tea cup of iced coke", "tea cup", "urn", "an urn of iced coke"),
        ("An urn on a table", "urn", "mug", "A mug on a table"),
        ("a tea cup of iced coke", "iced coke", "milk", "a tea cup of milk"),
        ("sunglasses on a cat", "sunglasses", "goggles", "goggles on a cat"),
        ("Sunglasses on a cat", "sunglasses", "goggles", "Goggles on a cat"),
        ("an old boot in snow", "boot", "vase", "an old vase in snow"),
        ("a teacup and a cup", "cup", "owl", "a teacup and an owl"),
        ("a cat by the Eiffel Tower", "Eiffel Tower", "pagoda", "a cat by the pagoda"),
    ],
)
def test_a_noun_is_swapped_with_its_article(prompt: str, old: str, new: str, expected: str) -> None:
    suspects = [(Concept(new), Side.A, "")]
    pair = make_pair(
        Concept(old), Concept("qx"), f"{prompt}, qx", suspects, "here", pattern="", source=""
    )
    assert pair.intruders[0].prompt == f"{expected}, qx"


@pytest.mark.parametrize(
    "phrase",
    [
        *(
            "an urn",
            "a unicorn",
            "an hourglass",
            "a ukulele",
            "an umbrella",
            "a horse",
            "an orange",
        ),
        *(
            "a eucalyptus tree",
            "a one-eyed cat",
            "an Asian elephant",
            "a uniform",
            "an uninvited cat",
        ),
    ],
)
def test_articles_go_by_sound(phrase: str) -> None:
    assert indefinite(phrase.split(" ", 1)[1]) == phrase


# ── round trips ──────────────────────────────────────────────────────────────────────────────────


def test_what_is_written_reads_back(shipped_set: tuple[ConceptPair, ...], tmp_path: Path) -> None:
    path = tmp_path / "again.toml"
    path.write_text(to_toml(shipped_set), encoding="utf-8")
    assert read_pairs(path) == shipped_set


def test_one_file_cannot_hold_two_licences(everyday: tuple[ConceptPair, ...]) -> None:
    with pytest.raises(ValueError, match="one licence"):
        to_toml([everyday[0], dataclasses.replace(everyday[1], licence="not stated")])


def test_a_file_tells_where_each_pair_comes_from_and_why_a_kind_fails(
    everyday: tuple[ConceptPair, ...], tmp_path: Path
) -> None:
    pairs = (everyday[0], dataclasses.replace(everyday[1], source="somebody else"))
    said = {pairs[0].pattern: {"explanation": "Coke comes in glasses.", "first": "vessels"}}
    path = tmp_path / "again.toml"
    path.write_text(to_toml(pairs, said), encoding="utf-8")
    assert [pair.source for pair in read_pairs(path)] == [pairs[0].source, "somebody else"]
    assert read_kinds(path)[pairs[0].pattern] == said[pairs[0].pattern]


FIELDS = {
    "a": "tea cup",
    "b": "iced coke",
    "prompt": "a tea cup of iced coke, with a straw",
    "a_description": "a small porcelain vessel",
    "intruder": "urn",
    "intruder_replaces": "a",
    "pattern": "drinks",
}


def test_csv_and_json_lines_say_the_same(tmp_path: Path) -> None:
    table, lines = tmp_path / "pairs.csv", tmp_path / "pairs.jsonl"
    cells = ", ".join(f'"{cell}"' for cell in FIELDS.values())
    table.write_bytes(f"﻿{','.join(FIELDS)}\r\n{cells}\r\n\r\n".encode())
    lines.write_text(json.dumps(FIELDS) + "\n\n")
    (from_csv,), (from_jsonl,) = read_pairs(table), read_pairs(lines)
    assert from_csv == ConceptPair(
        Concept("tea cup", "a small porcelain vessel"),
        Concept("iced coke"),
        "a tea cup of iced coke, with a straw",
        intruders=from_csv.intruders,
        pattern="drinks",
        source="pairs.csv",
    )
    assert [intruder.prompt for intruder in from_csv.intruders] == [
        "an urn of iced coke, with a straw"
    ]
    assert from_jsonl.key == from_csv.key


def test_a_prompt_may_use_a_synonym(tmp_path: Path) -> None:
    text = GOOD.replace("description = 'y'", "description = 'y', synonyms = ['cola']")
    pairs = read_pairs(written(tmp_path, "p.toml", text.replace("of iced coke", "of cola")))
    assert pairs[0].intruders[0].prompt == "a glass of cola"


def test_a_name_within_the_other_name_does_not_count(tmp_path: Path) -> None:
    rows = "a,b,prompt\norange,orange juice,a glass of orange juice"
    with pytest.raises(ConfigError, match="does not name 'orange'"):
        read_pairs(written(tmp_path, "p.csv", rows))


# ── mistakes ─────────────────────────────────────────────────────────────────────────────────────

GOOD = """
source = "me"
licence = "CC0-1.0"
[concepts]
"tea cup" = { description = 'x' }
"iced coke" = { description = 'y' }
"glass" = { description = 'z' }
[[patterns]]
name = "drinks"
[[patterns.pairs]]
a = "tea cup"
b = "iced coke"
prompt = "a tea cup of iced coke"
instead_of_a = ["glass"]
"""


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


PIECES = [
    *(b"a,b,prompt\n", b"cup,coke,", b"a cup of coke\n", b'"', b",", b"\r\n", b"\xff", b"\0"),
    *(
        b'{"a": "cup", "b": "coke", ',
        b'"prompt": "a cup of coke"}\n',
        b"{}",
        b"[",
        b"null",
        b"1e999",
    ),
    *(line.encode() + b"\n" for line in GOOD.splitlines()),
    GOOD.encode(),
]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('b = "iced coke"\n', "", "pattern 'drinks', pair 1: 'b' is missing or empty: write it"),
        ("prompt =", "promt =", "pair 1: 'promt' is not a field; .*mean 'prompt'"),
        ('["glass"]', '["glass"]\nsentence = "x"', "'sentence' is not a field; .*'sentences'?"),
        ("a tea cup of iced coke", "", "pair 1: 'prompt' must not be empty"),
        ("a tea cup of iced coke", "a tea cup ", "'prompt' must be one line of"),
        ("a tea cup of iced coke", "a cup of iced coke", "does not name 'tea cup': use its name"),
        ('b = "iced coke"', 'b = "tea cup"', "both concepts are called 'tea cup'"),
        ('b = "iced coke"', 'b = "ice coke"', "'ice coke' is not in .*mean 'iced coke'?"),
        ('["glass"]', '["tea cup"]', "'tea cup' is asked for and cannot intrude"),
        ('["glass"]', "[{ concept = 'glass' }]", "instead_of_a: 'prompt' is missing"),
        ('["glass"]', "[{ concept = 'glass', prompt = 'a cup' }]", "not name the intruder 'glass'"),
        ('["glass"]', "[3]", "'instead_of_a', item 1: input should be a valid string"),
        ("description = 'z'", "looks = 'z'", "concept 'glass': 'looks' is not a field"),
        ('source = "me"', "", "p.toml: 'source' is missing"),
        ('name = "drinks"', "", "pattern 1: 'name' is missing"),
        ('source = "me"', "source = me", r"not TOML: .*line 2"),
        (
            '[[patterns]]\nname = "drinks"',
            '[[pattern]]\nname = "drinks"',
            "'pattern' is not a field; .*'patterns'",
        ),
    ],
)
def test_a_mistake_in_toml_is_one_sentence(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in GOOD
    text = GOOD.replace(old, new).replace("[[pattern.", "[[patterns.")
    if "[[pattern]]" in new:
        text = text.replace("[[patterns.pairs]]", "[[pattern.pairs]]")
    with pytest.raises(ConfigError, match=said) as caught:
        read_pairs(written(tmp_path, "p.toml", text))
    assert str(caught.value).startswith(str(tmp_path / "p.toml"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("p.csv", "a,b,prompt\ncup,coke,a cup of coke\ncup,coke,A cup of coke", "line 3: .*line 2"),
        ("p.csv", "a,b,prompt\ncup,coke,a cup of coke, iced", "line 2: 4 cells under 3 columns"),
        ("p.csv", "a,b,promt\ncup,coke,a cup of coke", "line 2: 'promt' is not a field"),
        ("p.csv", "a;b;prompt\ncup;coke;a cup of coke", "'a;b;prompt' is not a field; known are a"),
        ("p.csv", "a,b,b\ncup,coke,x", "two columns bear one name"),
        (
            "p.csv",
            "a,b,prompt,lvl\ncup,coke,a cup of coke,1",
            "'lvl' is not a field; known are a, b",
        ),
        ("p.csv", "a,b,prompt,patern\ncup,coke,a cup of coke,1", "did you mean 'pattern'"),
        ("p.csv", "a,b,prompt,intruder\ncup,coke,a cup of coke,mug", "write both 'intruder' and"),
        ("p.csv", 'a,b,prompt\ncup,coke,"a cup', "line 2: not CSV: "),
        ("p.csv", "a,b,prompt\n", "no pairs: write at least one"),
        ("p.csv", "", "no pairs: write at least one"),
        ("p.csv", b"a,b,prompt\ncaf\xe9,coke,x", "byte 14 is not UTF-8: save the file as UTF-8"),
        ("p.csv", b"\x00\x01", "not a text file"),
        ("p.jsonl", "{", "line 1: not JSON: "),
        ("p.jsonl", "[" * 100_000, "line 1: not JSON: "),
        ("p.jsonl", "9" * 5_000, "line 1: not JSON: "),
        ("p.toml", "a = " + "9" * 5_000, "not TOML: "),
        ("p.toml", "a = " + "[" * 100_000, "not TOML: "),
        ("p.jsonl", "[1]", "line 1: write one object"),
        ("p.jsonl", '{"a": 1, "b": "x", "prompt": "y"}', "line 1: 'a': input should be a valid"),
        (
            "p.jsonl",
            '{"a": "cup", "b": "coke", "prompt": "a cup of coke", "intruder_replaces": "c"}',
            "'intruder_replaces': input should be 'a' or 'b'",
        ),
        ("p.txt", "a", "read from .toml, .csv, .jsonl files"),
    ],
)
def test_a_mistake_in_a_table_is_one_sentence(
    tmp_path: Path, name: str, content: str | bytes, said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        read_pairs(written(tmp_path, name, content))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["p.toml", "p.csv", "p.jsonl"])
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=12))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_a_file_holds_it_reads_or_is_refused(
    tmp_path: Path, name: str, pieces: list[bytes]
) -> None:
    with contextlib.suppress(ConfigError):
        assert read_pairs(written(tmp_path, name, b"".join(pieces)))


def test_a_file_that_is_not_there_is_the_users_to_mend(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_pairs(tmp_path / "p.toml")
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(ConfigError, match="directory"):
        read_pairs(tmp_path / "folder.toml")


# ── choosing ─────────────────────────────────────────────────────────────────────────────────────


def test_a_limit_spreads_evenly_over_patterns(everyday: tuple[ConceptPair, ...]) -> None:
    sizes = Counter(pair.pattern for pair in select(everyday, limit=40))
    assert sizes.total() == 40
    assert max(sizes.values()) - min(sizes.values()) <= 1


@pytest.mark.parametrize("limit", [1, 7, 60, 228])
def test_a_higher_limit_only_adds(everyday: tuple[ConceptPair, ...], limit: int) -> None:
    assert set(select(everyday, limit=limit)) < set(select(everyday, limit=limit + 1))


def test_a_choice_does_not_depend_on_the_order_and_keeps_it(
    everyday: tuple[ConceptPair, ...],
) -> None:
    chosen = select(everyday, limit=30)
    assert select(everyday[::-1], limit=30) == chosen[::-1]
    assert select(everyday, limit=10_000) == select(everyday) == everyday


def test_pairs_are_chosen_by_pattern_key_and_prompt(everyday: tuple[ConceptPair, ...]) -> None:
    some = everyday[5]
    assert select(everyday, keys=[some.key]) == (some,)
    assert select(everyday, prompts=[some.prompt], patterns=[some.pattern]) == (some,)
    assert len(select(everyday, patterns=SEED_PATTERNS[:2], limit=5)) == 5


def test_what_cannot_be_chosen_is_said(everyday: tuple[ConceptPair, ...]) -> None:
    with pytest.raises(UnknownNameError, match="'drink and vessel'; try drink and wrong vessel"):
        select(everyday, patterns=["drink and vessel"])
    with pytest.raises(ConfigError, match="limit of 0"):
        select(everyday, limit=0)
