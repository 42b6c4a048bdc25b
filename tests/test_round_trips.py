"""A pair that leaves comes back: equal, with its key, through every file that can hold it."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path

import pandas
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from worlds.small_store import BROAD, COKE, JUDGE, ROSES, STRANGE, fill

from lcmis.errors import ConfigError
from lcmis.export import publish as publish_room
from lcmis.export.formats import export
from lcmis.export.publish import publish
from lcmis.export.repaired import RepairedPrompt
from lcmis.propose.catalogue import (
    catalogue,
    make_pair,
    pair_of_record,
    read_pairs,
    to_record,
    to_toml,
)
from lcmis.propose.formats import pairs_in
from lcmis.propose.importing import import_sets
from lcmis.propose.importing.pictures import import_pictures
from lcmis.store import Store
from lcmis.text.words import plain
from lcmis.types import (
    Candidate,
    Certificate,
    Concept,
    ConceptPair,
    Expected,
    LevelRange,
    Nomination,
    Rate,
    Side,
    Stage,
    Standing,
)

# ── pairs of every kind ──────────────────────────────────────────────────────────────────────────

ODD = [
    "=2+3",
    '"quoted"',
    "a,b",
    "{brace}",
    "[list]",
    "it's",
    "\\n",
    "café",
    "猫",
    "🍵",
    "#",
    "null",
]


def _printable(text: str) -> bool:
    return plain(text) == text and text.isprintable() and text == text.strip() != ""


lines = (
    st.lists(st.text(min_size=1, max_size=6) | st.sampled_from(ODD), min_size=1, max_size=3)
    .map(" ".join)
    .filter(_printable)
)
concepts = st.builds(
    Concept,
    lines,
    lines | st.just(""),
    st.lists(lines, max_size=2).map(tuple),
)


@st.composite
def pairs(draw: st.DrawFn) -> ConceptPair:
    a, b, third, fourth = draw(
        st.lists(concepts, min_size=4, max_size=4, unique_by=lambda one: one.name.casefold())
    )
    prompt = f"{a.name} , {b.name} {draw(lines)}"
    suspects = draw(
        st.lists(
            st.tuples(
                st.sampled_from([third, fourth]),
                st.sampled_from(list(Side)),
                st.sampled_from(["", "spelled"]),
            ),
            max_size=3,
        )
    )
    spelled = [(one, side, text and f"with {one.name} .") for one, side, text in suspects]
    try:
        return make_pair(
            a,
            b,
            prompt,
            spelled,
            "here",
            sentences=tuple(draw(st.lists(lines, max_size=2))),
            pattern=draw(lines | st.just("")),
            source=draw(lines | st.just("")),
            licence=draw(lines | st.just("")),
        )
    except ConfigError:  # one name lies within another
        assume(False)
        raise


def as_csv(pair: ConceptPair) -> bytes:
    file = io.StringIO(newline="")
    csv.writer(file).writerows([("id", "concept_pair"), (1, pair.as_json())])
    return file.getvalue().encode()


def as_cells(pair: ConceptPair) -> bytes:
    """The columns that a person fills in."""
    row = to_record(plainer(pair))
    file = io.StringIO(newline="")
    csv.writer(file).writerows([row.keys(), row.values()])
    return file.getvalue().encode()


def plainer(pair: ConceptPair) -> ConceptPair:
    """What a row of cells can say of a pair."""
    a, b = (Concept(one.name, one.description) for one in (pair.a, pair.b))
    return make_pair(
        a,
        b,
        pair.prompt,
        [(Concept(one.concept.name), one.replaces, "") for one in pair.intruders[:1]],
        "here",
        pattern=pair.pattern,
        source=pair.source or "somebody",
        licence=pair.licence,
    )


def as_parquet(pair: ConceptPair) -> bytes:
    file = io.BytesIO()
    pyarrow.parquet.write_table(pa.table({"id": [1], "concept_pair": [pair.as_json()]}), file)
    return file.getvalue()


def as_struct(pair: ConceptPair) -> bytes:
    """Parquet with columns of its own types instead of JSON."""
    file = io.BytesIO()
    pyarrow.parquet.write_table(pa.Table.from_pylist([json.loads(pair.as_json())]), file)
    return file.getvalue()


WAYS: dict[str, tuple[str, Callable[[ConceptPair], bytes]]] = {
    "JSON lines": (".jsonl", lambda pair: json.dumps(to_record(pair)).encode()),
    "JSON lines, whole": (".jsonl", lambda pair: pair.as_json().encode()),
    "JSON": (".json", lambda pair: f"[{pair.as_json()}]".encode()),
    "CSV": (".csv", as_csv),
    "CSV by hand": (".csv", as_cells),
    "Parquet": (".parquet", as_parquet),
    "Parquet of its own types": (".parquet", as_struct),
    "TOML": (".toml", lambda pair: to_toml([pair]).encode()),
}


@pytest.mark.parametrize("way", WAYS)
@given(pair=pairs())
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
    deadline=None,
    max_examples=20,
)
def test_any_pair_comes_back_equal_from_a_file(tmp_path: Path, way: str, pair: ConceptPair) -> None:
    suffix, written = WAYS[way]
    try:
        content = written(pair)
    except ValueError as error:  # TOML has one place for what a name stands for
        assume("two different concepts" not in str(error))
        raise
    path = tmp_path / f"pairs{suffix}"
    path.write_bytes(content)
    (found,) = pairs_in(path)[0]
    expected = plainer(pair) if written is as_cells else pair
    assert found == expected
    assert found.key == expected.key


@given(pair=pairs())
@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.filter_too_much])
def test_a_record_is_plain_wherever_a_pair_is(pair: ConceptPair) -> None:
    row = to_record(pair)
    simple = (
        not (pair.sentences or pair.a.synonyms or pair.b.synonyms)
        and not any(one.concept.description or one.concept.synonyms for one in pair.intruders)
        and bool(pair.source)
        and not pair.intruders
    )
    assert isinstance(row["a"], str) or not simple
    assert pair_of_record(json.loads(json.dumps(row)), "here", "x") == pair


def test_the_shipped_pairs_come_back_from_an_import(tmp_path: Path) -> None:
    shipped = catalogue("everyday")
    path, into = tmp_path / "whole.jsonl", tmp_path / "pairs.jsonl"
    path.write_text("".join(f"{pair.as_json()}\n" for pair in shipped), encoding="utf-8")
    import_sets([path], into)
    assert read_pairs(into) == shipped


@pytest.mark.parametrize("value", ["{", "[1]", "3", '{"a": 1}', '{"prompt": "x"}', 3, [1], "x"])
def test_a_carried_pair_that_is_none_is_refused_and_said(tmp_path: Path, value: object) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps({"prompt": "a fork and a wig", "concept_pair": value}))
    with pytest.raises(ConfigError, match="line 1"):
        pairs_in(path)


def test_a_row_that_carries_nothing_is_read_as_any_other(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('{"prompt": "a fork and a wig", "concept_pair": ""}')
    (pair,) = pairs_in(path)[0]
    assert (pair.a.name, pair.b.name) == ("fork", "wig")


# ── what is published ────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("round") / "store")


@pytest.fixture
def published(store: Path, tmp_path: Path) -> Callable[[str], Path]:
    def write(form: str) -> Path:
        with Store(store, read_only=True) as facts:
            publish(facts, JUDGE, form, tmp_path / form, model=BROAD)
        return tmp_path / form

    return write


def by_prompt(*pairs: ConceptPair) -> dict[str, ConceptPair]:
    return {pair.prompt: pair for pair in pairs}


@pytest.mark.parametrize(
    ("form", "manifest", "asked"),
    [
        ("t2i-compbench", None, (COKE, ROSES)),
        ("t2i-compbench", "prompts.txt", (COKE, ROSES)),
        ("evalscope", "evalscope.jsonl", (COKE, ROSES, STRANGE)),
        ("imagefolder", None, (COKE, ROSES, STRANGE)),
    ],
)
def test_pictures_that_are_published_come_back_with_their_pairs(
    published: Callable[[str], Path],
    tmp_path: Path,
    form: str,
    manifest: str | None,
    asked: tuple[ConceptPair, ...],
) -> None:
    out, into = published(form), tmp_path / "pairs.jsonl"
    found = import_pictures(out, into, out / manifest if manifest else None)
    assert found.folders[0].num_prompts == len(asked)
    back = by_prompt(*read_pairs(into))
    assert back == by_prompt(*asked)
    assert [back[pair.prompt].key for pair in asked] == [pair.key for pair in asked]


@pytest.mark.parametrize(
    ("form", "file", "asked"),
    [
        ("t2i-compbench", "lcmis_pairs.jsonl", (COKE, ROSES)),
        ("evalscope", "evalscope.jsonl", (COKE, ROSES, STRANGE)),
        ("imagefolder", "metadata.jsonl", (COKE, ROSES, STRANGE)),
        ("parquet", "pictures.parquet", (COKE, ROSES, STRANGE)),
    ],
)
def test_pairs_of_what_is_published_can_be_audited_and_imported(
    published: Callable[[str], Path],
    tmp_path: Path,
    form: str,
    file: str,
    asked: tuple[ConceptPair, ...],
) -> None:
    path, into = published(form) / file, tmp_path / "pairs.jsonl"
    assert by_prompt(*pairs_in(path)[0]) == by_prompt(*asked)
    import_sets([path], into)
    assert by_prompt(*read_pairs(into)) == by_prompt(*asked)


def test_what_geneval_is_asked_carries_the_whole_pair() -> None:
    pair = ConceptPair(
        Concept("red bowl", "a small round dish"),
        Concept("apple", "a sweet fruit", ("pippin",)),
        "a red bowl and an apple",
        pattern="colours",
        source="a person",
    )
    asked = publish_room._geneval_asks(pair)
    assert [item["class"] for item in asked["include"]] == ["bowl", "apple"]
    assert pair_of_record(json.loads(asked["concept_pair"]), "here", "file") == pair


def test_what_is_carried_along_disturbs_no_reader(published: Callable[[str], Path]) -> None:
    """Each by the rule of the program whose layout it is."""
    with (published("t2i-compbench") / "prompts.txt").open() as file:
        prompts = [line.strip("\n").split("\t")[0] for line in file]  # T2I-CompBench
    assert prompts == sorted([COKE.prompt, ROSES.prompt])
    for form, name in (("evalscope", "evalscope.jsonl"), ("imagefolder", "metadata.jsonl")):
        table = pandas.read_json(published(form) / name, lines=True)  # a column, always text
        assert {type(value) for value in table["concept_pair"]} == {str}


# ── what is exported ─────────────────────────────────────────────────────────────────────────────


def repaired(pair: ConceptPair, model: str = "tiny@1") -> RepairedPrompt:
    candidate = Candidate((Stage("-1 repaired"),))
    nomination = Nomination(pair.key, model, "bigpe", "clip:g@1", candidate, 2, 2, "found")
    certificate = Certificate(
        nomination,
        "vqa:judge@1",
        (3221225472,),
        unjudged=0,
        before=Rate(0.0, 0.0, 0.5, 3),
        after=Rate(1.0, 0.5, 1.0, 3),
        levels_before=LevelRange(4, 5),
        levels_after=LevelRange(1, 2),
        wins=15,
        losses=0,
        p=6.1e-5,
        anytime_p=4.8e-4,
    )
    return RepairedPrompt(
        pair,
        certificate,
        Standing(True, 1, Expected(1.0, 1.0, 1.0)),
        num_inference_steps=20,
        guidance_scale=7.5,
        scheduler="EulerDiscreteScheduler",
        height=128,
        width=96,
        negative_prompt="",
    )


FORMULA = ConceptPair(Concept("=2+3"), Concept("@sum"), "-=2+3 @sum", source="me")


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_pairs_of_repaired_prompts_come_back_with_their_keys(tmp_path: Path, form: str) -> None:
    shipped = [*catalogue("everyday")[:20], FORMULA]
    path, into = tmp_path / f"repaired.{form}", tmp_path / "pairs.jsonl"
    twice = [repaired(shipped[0], "other@2"), *map(repaired, shipped)]
    export(twice, form, path)
    pairs, read = pairs_in(path)
    assert list(pairs) == shipped
    assert read is not None
    import_sets([path], into)
    assert list(read_pairs(into)) == shipped
    assert [pair.key for pair in read_pairs(into)] == [pair.key for pair in shipped]


def test_a_pair_says_all_of_itself_on_one_line() -> None:
    pair = dataclasses.replace(COKE, sentences=("x\u2028y",), source="é")
    assert "\n" not in pair.as_json()
    assert json.loads(pair.as_json())["source"] == "é"


@pytest.mark.parametrize(
    "odd", ["two\nlines", " space", "un\u202eprintable", "cafe\u0301", "a\u00a0b"]
)
def test_what_a_line_could_not_give_back_is_not_written(odd: str) -> None:
    with pytest.raises(ConfigError, match="'source' must be one line of printable text"):
        to_record(dataclasses.replace(COKE, intruders=(), source=odd))
