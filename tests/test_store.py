"""The store keeps facts: once, whole, and exactly as they were."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import itertools
import math
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import sqlalchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from lcmis.errors import StoreError, UnknownNameError
from lcmis.machine.paths import shipped
from lcmis.store import Drawn, Evidence, Store, picture_hash, schema
from lcmis.store.columns import EvidenceTable
from lcmis.store.connect import place_of
from lcmis.types import (
    NONE_OF_THESE,
    Adapter,
    Answer,
    Candidate,
    Concept,
    ConceptPair,
    Failure,
    Intruder,
    Label,
    Nomination,
    Question,
    QuestionKind,
    Render,
    RenderSpec,
    Run,
    Score,
    Seen,
    Side,
    Stage,
    Trial,
)

ROOT = Path(__file__).parent.parent
ASSETS = Path(__file__).parent / "assets"
CHECKER = "vqa:judge@1"


# ── what goes in ─────────────────────────────────────────────────────────────────────────────────


def make_pair(a: str = "tea cup", b: str = "iced coke", prompt: str = "") -> ConceptPair:
    prompt = prompt or f"a {a} of {b}"
    return ConceptPair(
        Concept(a),
        Concept(b),
        prompt,
        intruders=(
            Intruder(Concept("glass"), Side.A, f"a glass of {b}"),
            Intruder(Concept("mug"), Side.A, f"a mug of {b}"),
            Intruder(Concept("hot tea"), Side.B, f"a {a} of hot tea"),
        ),
    )


def make_spec(pair: ConceptPair, seed: int = 0, model: str = "m@1", *stages: Stage) -> RenderSpec:
    stages = stages or (Stage(pair.prompt),)
    return RenderSpec(model, stages, seed, 20, 7.5, "Euler", 6, 9, "cpu-float32-b16")


def make_picture(seed: int) -> Image.Image:
    return Image.frombytes("RGB", (9, 6), random.Random(seed).randbytes(9 * 6 * 3))


def make_drawn(pair: ConceptPair, spec: RenderSpec, *, refusal: str = "") -> Drawn:
    if refusal:
        return Drawn(pair.key, spec, Render(spec.key, "", 0.5, "cpu", refusal), None)
    image = make_picture(spec.seed)
    return Drawn(pair.key, spec, Render(spec.key, picture_hash(image), 0.5, "cpu"), image)


def questions_of(pair: ConceptPair) -> dict[QuestionKind, Question]:
    def contrast(side: Side) -> tuple[str, ...]:
        return (pair.prompt, *(one.prompt for one in pair.intruders_of(side)))

    def options(side: Side) -> tuple[str, ...]:
        names = (one.concept.name for one in pair.intruders_of(side))
        return (pair.concept(side).name, *names, NONE_OF_THESE)

    asked = (
        Question(QuestionKind.A_PRESENT, pair.a.name, contrast=contrast(Side.A)),
        Question(QuestionKind.B_PRESENT, pair.b.name, contrast=contrast(Side.B)),
        Question(QuestionKind.RELATION, pair.prompt),
        Question(QuestionKind.INTRUDER_A, pair.a.name, options(Side.A), contrast(Side.A)),
        Question(QuestionKind.INTRUDER_B, pair.b.name, options(Side.B), contrast(Side.B)),
    )
    return {question.kind: question for question in asked}


def answer_all(
    spec: RenderSpec, pair: ConceptPair, dice: random.Random, checker: str = CHECKER
) -> tuple[list[Score], list[Question]]:
    questions = list(questions_of(pair).values())
    scores = [
        Score(spec.key, checker, question.key, Answer(round(dice.random(), 3), option))
        for question in questions
        for option in question.options or ("",)
    ]
    return scores, questions


# ── where it goes ────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """A throw-away server; a URL that lacks a schema's name."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    initdb = shutil.which("initdb") or (str(found[-1]) if found else None)
    if initdb is None:
        pytest.skip("no PostgreSQL server on this machine")
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as folder:  # a socket path is short
        if as_user:
            shutil.chown(folder, "postgres")
        data = f"{folder}/data"
        pg_ctl = [*as_user, str(Path(initdb).with_name("pg_ctl")), "-D", data]
        quiet = {"check": True, "stdout": subprocess.DEVNULL, "cwd": folder}
        subprocess.run(
            [*as_user, initdb, "-A", "trust", "-U", "lcmis", "--no-sync", "-D", data], **quiet
        )
        options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
        log = f"{folder}/log"
        subprocess.run([*pg_ctl, "-w", "-l", log, "-o", options, "start"], **quiet)
        try:
            yield f"postgresql://lcmis@/postgres?host={folder}&options=-csearch_path%3D{{}}"
        finally:
            subprocess.run([*pg_ctl, "-m", "immediate", "stop"], **quiet)


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str | Path]:
    """What to open a store with, on each database that we promise."""
    if request.param == "sqlite":
        return {"path_or_url": tmp_path / "audit"}
    url: str = request.getfixturevalue("postgresql")
    import psycopg

    name = f"t{uuid.uuid5(uuid.NAMESPACE_OID, str(tmp_path)).hex}"
    host = url.partition("host=")[2].partition("&")[0]
    with psycopg.connect(f"host={host} user=lcmis dbname=postgres", autocommit=True) as server:
        server.execute(f"CREATE SCHEMA {name}")  # a database each would take a second to delete
    return {"path_or_url": url.format(name), "pictures": tmp_path / "pictures"}


@pytest.fixture
def store(place: dict[str, str | Path]) -> Iterator[Store]:
    with Store(**place, create=True) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An SQLite store with a pair and a picture in it."""
    with Store(tmp_path / "audit", create=True) as store:
        pair = make_pair()
        store.add_pairs([pair])
        store.add_renders([make_drawn(pair, make_spec(pair))])
    return tmp_path / "audit"


@pytest.fixture
def audited(store: Store) -> tuple[Store, ConceptPair, RenderSpec]:
    pair = make_pair()
    spec = make_spec(pair)
    store.add_pairs([pair])
    store.add_renders([make_drawn(pair, spec)])
    return store, pair, spec


# ── what goes in comes out ───────────────────────────────────────────────────────────────────────

texts = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12
)  # every character that a database can keep
units = st.floats(0, 1)
concepts = st.builds(Concept, texts, texts, st.lists(texts, max_size=2).map(tuple))
pairs = st.builds(
    lambda a, b, prompt, *rest: ConceptPair(a, b, f"p{prompt}", *rest),
    concepts.map(lambda concept: dataclasses.replace(concept, name=f"a{concept.name}")),
    concepts.map(lambda concept: dataclasses.replace(concept, name=f"b{concept.name}")),
    texts,
    st.lists(texts, max_size=2).map(tuple),
    st.lists(st.builds(Intruder, concepts, st.sampled_from(Side), texts), max_size=2).map(tuple),
    texts,
    texts,
    texts,
)
ends = st.sets(st.floats(0, 1, exclude_min=True, exclude_max=True), max_size=2)
stages = ends.flatmap(
    lambda some: st.tuples(*(st.builds(Stage, texts, st.just(end)) for end in [*sorted(some), 1.0]))
)
specs = st.builds(
    RenderSpec,
    texts,
    stages,
    st.integers(0, 2**63 - 1),
    st.integers(1, 1000),
    st.floats(0, 1e300) | st.integers(0, 100),
    texts,
    st.integers(1, 9000),
    st.integers(1, 9000),
    texts,
    st.lists(st.builds(Adapter, texts, st.floats(-2, 2)), max_size=2).map(tuple),
    texts,
)
answers = st.builds(Answer, units, texts, st.just(""), units) | st.builds(
    Answer, st.none(), texts, texts.map(lambda reason: f"r{reason}"), units
)
questions = st.builds(
    Question,
    st.sampled_from(QuestionKind),
    texts,
    st.lists(texts, max_size=3).map(tuple),
    st.lists(texts, max_size=3).map(tuple),
)

slowly = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@slowly
@given(pair=pairs)
def test_a_pair_comes_out_as_it_went_in(store: Store, pair: ConceptPair) -> None:
    store.add_pairs([pair])
    found = store.pair(pair.key)
    assert found.key == pair.key
    if dataclasses.replace(found, pattern="", source="", licence="") != found:
        assert pair.prompt == found.prompt
    assert [one for one in store.pairs() if one.key == pair.key] == [found]


@slowly
@given(pair=pairs)
def test_a_pair_keeps_what_does_not_count_in_its_key(pair: ConceptPair) -> None:
    from lcmis.store import documents

    assert documents.pair(documents.document(pair)) == pair


@slowly
@given(spec=specs, refused=st.booleans())
def test_a_picture_comes_out_as_it_went_in(store: Store, spec: RenderSpec, refused: bool) -> None:
    pair = make_pair()
    store.add_pairs([pair])
    drawn = make_drawn(pair, spec, refusal="no" if refused else "")
    store.add_renders([drawn])
    found, render = store.render(spec.key)
    assert found == spec
    assert found.key == spec.key
    assert repr(found) == repr(spec)
    if (render.refusal != "") == refused:
        assert render == drawn.render
    if render.sha256:
        assert store.image(render.sha256).tobytes() == make_picture(spec.seed).tobytes()


@slowly
@given(question=questions, answer=answers)
def test_a_score_comes_out_as_it_went_in(
    audited: tuple[Store, ConceptPair, RenderSpec], question: Question, answer: Answer
) -> None:
    store, _, spec = audited
    score = Score(spec.key, f"c:{random.Random(repr(answer)).random()}", question.key, answer)
    store.add_scores([score], [question])
    assert store.question(question.key) == question
    found = [(q, s) for q, s in store.scores(spec.key) if s.checker == score.checker]
    assert (question, score) in found


def test_runs_and_labels_come_out_as_they_went_in(
    audited: tuple[Store, ConceptPair, RenderSpec],
) -> None:
    store, pair, spec = audited
    runs = [Run(f"r{n}", "2026-01-01", "audit", "{}", "{}", "abc", "cpu") for n in range(2)]
    for run in [*runs, runs[0]]:
        store.add_run(run)
    assert store.runs() == runs
    asked = questions_of(pair)[QuestionKind.A_PRESENT]
    labels = [Label(spec.key, asked.key, "yes", rater, "2026-01-01") for rater in ("ann", "bob")]
    store.add_labels(labels, [asked])
    store.add_labels(labels)
    assert store.labels() == labels == store.labels(render=spec.key)
    assert store.labels(render="k1:other") == []


@pytest.mark.parametrize(
    ("text", "said"), [("nul\x00", "NUL"), ("half \ud83d of a face", "surrogate")]
)
def test_text_that_no_database_keeps_is_refused(
    audited: tuple[Store, ConceptPair, RenderSpec], text: str, said: str
) -> None:
    store, pair, spec = audited
    with pytest.raises(StoreError, match=said):
        store.add_pairs([dataclasses.replace(pair, source=text)])
    with pytest.raises(StoreError, match=said):
        store.add_pairs([dataclasses.replace(pair, prompt=text)])
    asked = Question(QuestionKind.A_PRESENT, "x")
    score = Score(spec.key, CHECKER, asked.key, Answer(None, reason=text))
    with pytest.raises(StoreError, match=said):
        store.add_scores([score], [asked])
    with pytest.raises(StoreError, match=said):
        store.add_failure(Failure("k1:x", "render", text, "now"))
    assert store.checkers() == []


# ── facts are written once ───────────────────────────────────────────────────────────────────────


def test_a_second_telling_changes_nothing(audited: tuple[Store, ConceptPair, RenderSpec]) -> None:
    store, pair, spec = audited
    scores, asked = answer_all(spec, pair, random.Random(0))
    store.add_scores(scores, asked)
    before = (store.pairs(), store.renders(), store.scores(spec.key), store.counts())
    store.add_pairs([dataclasses.replace(pair, source="somebody else")])
    again = dataclasses.replace(make_drawn(pair, spec).render, seconds=9.0)
    store.add_renders([Drawn(pair.key, spec, again, make_picture(spec.seed))])
    store.add_scores(
        [dataclasses.replace(score, answer=Answer(1.0, score.answer.option)) for score in scores],
        asked,
    )
    assert (store.pairs(), store.renders(), store.scores(spec.key), store.counts()) == before


def test_another_picture_for_a_known_spec_leaves_no_file(
    audited: tuple[Store, ConceptPair, RenderSpec],
) -> None:
    store, pair, spec = audited
    other = make_picture(99)
    render = Render(spec.key, picture_hash(other), 0.5, "cpu")
    store.add_renders([Drawn(pair.key, spec, render, other)])
    assert store.render(spec.key)[1] == make_drawn(pair, spec).render
    assert list(store.verify()) == []


def test_the_work_to_do_is_the_plan_minus_the_store_in_order(store: Store) -> None:
    pair = make_pair()
    store.add_pairs([pair])
    plan = [make_spec(pair, seed) for seed in range(2000)]
    assert store.missing(plan) == plan
    store.add_renders([make_drawn(pair, spec) for spec in plan[3:6]])
    assert store.missing(plan) == plan[:3] + plan[6:]
    assert store.missing([]) == []


def test_a_question_stays_open_until_this_checker_has_answered(
    audited: tuple[Store, ConceptPair, RenderSpec],
) -> None:
    store, pair, spec = audited
    scores, asked = answer_all(spec, pair, random.Random(0))
    plan = [(spec.key, question) for question in asked]
    assert store.unscored(CHECKER, plan) == plan
    last = asked[-1].key
    store.add_scores([score for score in scores if score.question != last], asked)
    assert store.unscored(CHECKER, plan) == plan[-1:]
    assert store.unscored("clip:other@1", plan) == plan
    assert store.unscored(CHECKER, [("k1:never drawn", asked[0])]) == [("k1:never drawn", asked[0])]


def test_an_abstention_answers_a_question(audited: tuple[Store, ConceptPair, RenderSpec]) -> None:
    store, pair, spec = audited
    asked = questions_of(pair)[QuestionKind.A_PRESENT]
    store.add_scores([Score(spec.key, CHECKER, asked.key, Answer(None, reason="mute"))], [asked])
    assert store.unscored(CHECKER, [(spec.key, asked)]) == []


def test_a_render_must_belong_to_its_spec_and_its_image(
    audited: tuple[Store, ConceptPair, RenderSpec],
) -> None:
    store, pair, spec = audited
    new = make_drawn(pair, make_spec(pair, 1))
    before = store.counts()
    with pytest.raises(ValueError, match="another spec"):
        store.add_renders([dataclasses.replace(new, spec=spec)])
    with pytest.raises(ValueError, match="another hash"):
        store.add_renders([dataclasses.replace(new, image=make_picture(5))])
    with pytest.raises(ValueError, match="no image"):
        store.add_renders([dataclasses.replace(new, image=None)])
    with pytest.raises(UnknownNameError, match="no pair"):
        store.add_renders([dataclasses.replace(new, pair_key="k1:none")])
    assert store.counts() == before


def test_scores_of_unknown_pictures_or_questions_are_refused(
    audited: tuple[Store, ConceptPair, RenderSpec],
) -> None:
    store, _, spec = audited
    asked = Question(QuestionKind.RELATION, "x")
    with pytest.raises(UnknownNameError, match="no picture"):
        store.add_scores([Score("k1:none", CHECKER, asked.key, Answer(0.5))], [asked])
    with pytest.raises(UnknownNameError, match="no question"):
        store.add_scores([Score(spec.key, CHECKER, asked.key, Answer(0.5))], [])
    assert store.counts().scores == 0


# ── names ────────────────────────────────────────────────────────────────────────────────────────


def test_a_pair_answers_to_its_key_its_beginning_and_its_prompt(store: Store) -> None:
    found = [make_pair("tea cup", f"drink {number}") for number in range(40)]
    store.add_pairs(found)
    for pair in found:
        assert store.pair(pair.key) == pair
        assert store.pair(pair.prompt) == pair
        assert store.pair(pair.key[:14]) == pair
        assert store.pair(pair.key[3:14]) == pair
    with pytest.raises(UnknownNameError, match="more than one pair begins with 'k1:'"):
        store.pair("k1:")
    with pytest.raises(UnknownNameError, match="near it: a tea cup of drink 3"):
        store.pair("tea cup of drink 3")
    with pytest.raises(UnknownNameError, match="no pair"):
        store.pair("%")


def test_pairs_of_one_prompt_are_told_apart_by_key(store: Store) -> None:
    both = [make_pair("coke", "cup", prompt="one"), make_pair("cup", "coke", prompt="one")]
    store.add_pairs(both)
    with pytest.raises(UnknownNameError):
        store.pair("one")
    assert [store.pair(pair.key) for pair in both] == both


def test_a_picture_answers_to_the_beginning_of_its_key(
    audited: tuple[Store, ConceptPair, RenderSpec],
) -> None:
    store, _, spec = audited
    assert store.render(spec.key[:9])[0] == spec == store.render(spec.key[3:9])[0]
    with pytest.raises(UnknownNameError, match="no picture"):
        store.render("k1:zz")


def test_many_pictures_are_found_by_their_whole_keys_alone(
    audited: tuple[Store, ConceptPair, RenderSpec],
) -> None:
    store, pair, spec = audited
    others = [make_spec(pair, seed) for seed in range(100, 1100)]  # more than one statement takes
    store.add_renders([make_drawn(pair, other, refusal="no") for other in others])
    keys = [one.key for one in (spec, *others)]
    found = store.renders_of([*keys, *keys[:3], "k1:none", spec.key[:9]])
    assert found == {key: store.render(key) for key in keys[:2]} | {
        key: found[key] for key in keys[2:]
    }
    assert [found[key][0] for key in keys] == [spec, *others]
    assert store.renders_of([]) == {}


# ── pages ────────────────────────────────────────────────────────────────────────────────────────


def test_pages_show_every_picture_once_and_in_order(store: Store) -> None:
    pairs = [make_pair("cup", f"drink {number}") for number in range(3)]
    store.add_pairs(pairs)
    plan = [
        (pair, make_spec(pair, seed, model))
        for seed, pair, model in itertools.product(range(4), pairs, ("m@1", "n@2"))
    ]
    store.add_renders([make_drawn(pair, spec) for pair, spec in plan])

    def walk(**chosen: str) -> list[tuple[str, RenderSpec]]:
        seen, after = [], 0
        while page := store.renders(after=after, limit=5, **chosen):
            assert len(page) <= 5
            after = page[-1].position
            seen += [(listed.pair_key, listed.spec) for listed in page]
        return seen

    named = [(pair.key, spec) for pair, spec in plan]
    assert walk() == named
    assert walk(pair=pairs[1].key) == [item for item in named if item[0] == pairs[1].key]
    assert walk(model="n@2") == [item for item in named if item[1].model == "n@2"]
    both = walk(pair=pairs[2].prompt, model="m@1")
    assert both == [i for i in named if i[0] == pairs[2].key and i[1].model == "m@1"]
    assert walk(model="unheard of") == []
    assert store.models() == ["m@1", "n@2"]


# ── evidence ─────────────────────────────────────────────────────────────────────────────────────


def reference(store: Store, pair: ConceptPair, spec: RenderSpec, checker: str) -> Evidence:
    """One line of evidence, put together by hand from the scores of one picture."""
    render = store.render(spec.key)[1]
    said: dict[str, list[Answer]] = {}
    for question, score in store.scores(spec.key):
        if score.checker == checker:
            said.setdefault(question.key, []).append(score.answer)
    asked = questions_of(pair)

    def value(kind: QuestionKind) -> float | None:
        return said[asked[kind].key][0].value if asked[kind].key in said else None

    def likeliest(kind: QuestionKind) -> tuple[str | None, float | None]:
        given = said.get(asked[kind].key, [])
        if not given:
            return None, None
        best = max(given, key=lambda one: -1.0 if one.value is None else one.value)
        return best.option, best.value

    (name_a, value_a), (name_b, value_b) = (
        likeliest(QuestionKind.INTRUDER_A),
        likeliest(QuestionKind.INTRUDER_B),
    )
    return Evidence(
        pair.key,
        spec.model,
        spec.key,
        spec.seed,
        len(spec.stages) > 1,
        value(QuestionKind.A_PRESENT),
        value(QuestionKind.B_PRESENT),
        value(QuestionKind.RELATION),
        name_a,
        name_b,
        value_a,
        value_b,
        bool(said),
        bool(render.refusal),
    )


def lines_of(table: EvidenceTable) -> list[Evidence]:
    """A table, line by line, in the order of :meth:`Store.evidence`."""

    def name(option: int) -> str | None:
        return None if option < 0 else table.options[option]

    def value(number: float) -> float | None:
        return None if math.isnan(number) else number

    columns = zip(
        *(getattr(table, one.name).tolist() for one in dataclasses.fields(table)[3:]), strict=True
    )
    found = [
        Evidence(
            table.pair_keys[pair],
            table.models[model],
            spec_key,
            seed,
            staged,
            value(a),
            value(b),
            value(relation),
            name(intruder_a),
            name(intruder_b),
            value(value_a),
            value(value_b),
            scored,
            refused,
        )
        for (
            spec_key,
            pair,
            model,
            seed,
            staged,
            refused,
            scored,
            a,
            b,
            relation,
            intruder_a,
            intruder_b,
            value_a,
            value_b,
        ) in columns
    ]
    return sorted(found, key=lambda one: (one.model, one.pair_key, one.seed, one.spec_key))


def test_evidence_is_what_the_scores_say(store: Store) -> None:
    dice = random.Random(1)
    found = [make_pair("cup", f"drink {number}") for number in range(3)]
    store.add_pairs(found)
    plan = []
    for pair, model, seed in itertools.product(found, ("m@1", "n@2"), range(5)):
        stages = (Stage("a cup", 0.25), Stage(pair.prompt)) if seed == 4 else ()
        spec = make_spec(pair, seed, model, *stages)
        plan.append((pair, spec))
        store.add_renders([make_drawn(pair, spec, refusal="no" if seed == 3 else "")])
        for checker in (CHECKER, "clip:other@1"):
            scores, asked = answer_all(spec, pair, dice, checker)
            kept = [
                dataclasses.replace(score, answer=Answer(None, score.answer.option, "mute"))
                if dice.random() < 0.2
                else score
                for score in scores
                if seed not in (2, 3) and dice.random() < 0.9
            ]
            store.add_scores(kept, asked)
    for checker in (CHECKER, "clip:other@1", "unheard of"):
        wanted = [reference(store, pair, spec, checker) for pair, spec in plan]
        wanted.sort(key=lambda one: (one.model, one.pair_key, one.seed))
        assert store.evidence(checker) == wanted
        assert lines_of(store.evidence_table(checker)) == wanted
        model = [one for one in wanted if one.model == "n@2"]
        assert store.evidence(checker, model="n@2") == model
        key = found[1].key
        one_pair = [one for one in wanted if one.pair_key == key]
        assert store.evidence(checker, pair=key) == one_pair
        assert store.evidence(checker, from_seed=3) == [one for one in wanted if one.seed >= 3]
        assert store.evidence(checker, pair=found[1].prompt, model="n@2") == [
            one for one in one_pair if one.model == "n@2"
        ]
    assert store.evidence(CHECKER, model="unheard of") == []
    with pytest.raises(UnknownNameError):
        store.evidence(CHECKER, pair="unheard of")


@pytest.mark.parametrize("linked_first", [True, False])
def test_pairs_that_share_a_picture_keep_their_own_questions(
    store: Store, linked_first: bool
) -> None:
    prompt = "coke and cup"
    one, swapped = make_pair("cup", "coke", prompt), make_pair("coke", "cup", prompt)
    fewer = dataclasses.replace(one, intruders=one.intruders[:1])
    sharing = [one, swapped, fewer]
    store.add_pairs(sharing)
    spec = make_spec(one)
    store.add_renders([make_drawn(one, spec)])
    if linked_first:
        for pair in (swapped, fewer):
            store.link(pair.key, [spec.key])
    dice = random.Random(3)
    for pair in sharing:
        store.add_scores(*answer_all(spec, pair, dice))
        store.link(pair.key, [spec.key])
    for pair in sharing:
        assert store.evidence(CHECKER, pair=pair.key) == [reference(store, pair, spec, CHECKER)]
    assert len(store.evidence(CHECKER)) == 3
    assert lines_of(store.evidence_table(CHECKER)) == store.evidence(CHECKER)
    assert store.counts().renders == 1
    with pytest.raises(UnknownNameError):
        store.link(one.key, ["k1:none"])
    with pytest.raises(UnknownNameError):
        store.link("k1:none", [spec.key])


def test_an_empty_store_has_an_empty_table_and_grows_with_every_fact(store: Store) -> None:
    assert len(store.evidence_table(CHECKER)) == 0
    before = store.growth()
    assert set(dataclasses.astuple(before)) == {0}
    pair = make_pair("cup", "coke")
    store.add_pairs([pair])
    spec = make_spec(pair)
    store.add_renders([make_drawn(pair, spec)])
    scores, asked = answer_all(spec, pair, random.Random(0))
    store.add_scores(scores, asked)
    store.add_failure(Failure("k1:00", "render", "broke", "2026-11-21T00:00:00+00:00"))
    grown = store.growth()
    assert grown == dataclasses.replace(
        before, pairs=1, renders=1, links=1, scores=len(scores), failures=1
    )
    store.clear_failure("k1:00")
    assert store.growth() == dataclasses.replace(grown, dismissals=1)


def test_what_a_page_asks_for_is_found_by_an_index(folder: Path) -> None:
    pair = make_pair("cup", "coke")
    with Store(folder, create=True) as store:
        store.add_pairs([pair])
        spec = make_spec(pair)
        store.add_renders([make_drawn(pair, spec)])
        store.add_scores(*answer_all(spec, pair, random.Random(0)))
        asked: list[tuple[str, Any]] = []

        def note(_c: object, _cursor: object, statement: str, values: Any, *_: object) -> None:
            asked.append((statement, values))

        sqlalchemy.event.listen(store._engine, "before_cursor_execute", note)
        store.evidence_table(CHECKER)
        store.growth()
        for_all = len(asked)
        store.render(spec.key)
        store.renders(pair=pair.key)
        store.renders(after=5)
        store.scores(spec.key)
        store.exchanges(after=5)
    with sqlite3.connect(folder / "facts.db") as plain:
        plans = [
            [row[3] for row in plain.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
            for statement, values in asked
        ]
    plain.close()
    whole, pages = (list(itertools.chain(*some)) for some in (plans[:for_all], plans[for_all:]))
    assert "SEARCH scores USING PRIMARY KEY (checker_id=?)" in whole
    scanned = {step.split()[1] for step in pages if step.startswith("SCAN")}
    assert scanned <= {"checkers"}, pages


# ── failures ─────────────────────────────────────────────────────────────────────────────────────


def test_a_failure_is_listed_until_its_item_succeeds(store: Store) -> None:
    pair = make_pair()
    spec, other = make_spec(pair, 1), make_spec(pair, 2)
    store.add_pairs([pair])
    first, again = (Failure(spec.key, "render", "out of memory", f"day {day}") for day in (1, 2))
    unlike = Failure(other.key, "render", "not finite", "day 2")
    for failure in (first, again, unlike):
        store.add_failure(failure)
    assert store.failures() == [again, unlike]
    store.add_renders([make_drawn(pair, spec)])
    assert store.failures() == [unlike]
    unchecked = Failure(spec.key, "check", "cannot read", "day 3")
    store.add_failure(unchecked)
    assert store.failures() == [unlike, unchecked]
    assert store.counts().failures == 2
    store.add_scores(*answer_all(spec, pair, random.Random(0)))
    assert store.failures() == [unlike]
    another = dataclasses.replace(unchecked, sentence="the second checker cannot read")
    store.add_failure(another)
    assert store.failures() == [unlike, another]
    store.clear_failure(other.key)
    assert store.failures() == [another]
    store.add_failure(unlike)
    assert store.failures() == [another, unlike]


# ── pictures ─────────────────────────────────────────────────────────────────────────────────────


def test_a_black_picture_of_another_shape_is_another_picture() -> None:
    wide, high = Image.new("RGB", (8, 2)), Image.new("RGB", (2, 8))
    assert picture_hash(wide) != picture_hash(high)
    with pytest.raises(ValueError, match="RGB"):
        picture_hash(Image.new("L", (2, 2)))


def test_equal_pictures_are_one_file(store: Store) -> None:
    pair = make_pair()
    store.add_pairs([pair])
    image = make_picture(0)
    for model in ("m@1", "n@1"):
        spec = make_spec(pair, 0, model)
        render = Render(spec.key, picture_hash(image), 0.5, "cpu")
        store.add_renders([Drawn(pair.key, spec, render, image)])
    path = store.image_path(picture_hash(image))
    assert store.counts().picture_bytes == path.stat().st_size
    assert path.parent.name == path.name[:2]
    assert store.counts().renders == 2


@pytest.mark.parametrize("harm", ["missing", "truncated", "empty", "changed", "foreign", "bomb"])
def test_a_picture_that_is_not_what_it_was_is_named(
    folder: Path, harm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(folder) as store:
        assert list(store.verify()) == []
        sha256 = store.renders()[0].render.sha256
        path = store.image_path(sha256)
        whole = path.read_bytes()
        match harm:
            case "missing":
                path.unlink()
            case "truncated":
                path.write_bytes(whole[: len(whole) // 2])
            case "empty":
                path.write_bytes(b"")
            case "changed":
                make_picture(1).save(path, format="WEBP", lossless=True)
            case "foreign":
                make_picture(0).save(path, format="PNG")
            case "bomb":
                monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
        with pytest.raises(StoreError, match=re.escape(str(path))) as caught:
            store.image(sha256)
        assert list(store.verify()) == [str(caught.value)]
        with pytest.raises(StoreError, match="names no picture"):
            store.image("../../../etc/passwd")


def test_files_of_nobody_are_named(folder: Path) -> None:
    stray = [folder / "pictures/notes.txt", folder / "pictures/ab/.ab12-1.tmp"]
    for path in stray:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    with Store(folder) as store:
        found = list(store.verify())
    assert len(found) == 2
    assert all(any(str(path) in line for line in found) for path in stray)


def test_a_row_that_was_changed_by_hand_is_named(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "facts.db")) as connection:
        connection.execute("UPDATE pairs SET document = replace(document, 'tea cup', 'bowl')")
        connection.execute(
            "UPDATE specs SET document = replace(document, '\"seed\":0', '\"seed\":1')"
        )
        connection.commit()
    with Store(folder, read_only=True) as store:
        found = list(store.verify())
    assert [line.partition(" k1:")[0] for line in found] == ["the pair", "the spec"]


def test_a_full_disk_is_a_sentence_and_leaves_nothing_half_written(folder: Path) -> None:
    code = f"""
import resource, sys
from PIL import Image
from lcmis.errors import StoreError
from lcmis.store import Drawn, Store, picture_hash
from lcmis.types import Render, RenderSpec, Stage
import random
with Store({str(folder)!r}) as store:
    pair = store.pairs()[0]
    spec = RenderSpec("m@1", (Stage(pair.prompt),), 5, 20, 7.5, "Euler", 64, 64, "cpu")
    image = Image.frombytes("RGB", (64, 64), random.Random(0).randbytes(64 * 64 * 3))
    render = Render(spec.key, picture_hash(image), 0.5, "cpu")
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    try:
        store.add_renders([Drawn(pair.key, spec, render, image)])
    except StoreError as error:
        print(error)
    try:
        for number in range(1000):
            store.add_pairs([pair.__class__(pair.a, pair.b, f"prompt {{number}} " * 999)])
    except StoreError as error:
        print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    first, second = done.stdout.splitlines()
    assert "no room to write" in first
    assert "free some space" in second
    with Store(folder) as store:
        assert list(store.verify()) == []
        assert store.counts().renders == 1


# ── what cannot be opened ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["a b", "100%25", "what?#now", "Müller/été", "%41", "a'b\"c"])
def test_a_store_lives_under_any_name(tmp_path: Path, name: str) -> None:
    with Store(tmp_path / name, create=True) as store:
        store.add_pairs([make_pair()])
    with Store(str(tmp_path / name), read_only=True) as store:
        assert store.pairs() == [make_pair()]
    assert (tmp_path / name / "facts.db").is_file()


@pytest.mark.parametrize("read_only", [True, False])
def test_a_store_that_is_not_there_is_not_made_by_looking(tmp_path: Path, read_only: bool) -> None:
    with pytest.raises(StoreError, match="run `lcmis audit` first"):
        Store(tmp_path / "audit", read_only=read_only)
    with pytest.raises(StoreError, match="run `lcmis audit` first"):
        schema.upgrade_store(tmp_path / "audit")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_is_no_store_yet(tmp_path: Path) -> None:
    (tmp_path / "facts.db").touch()
    with pytest.raises(StoreError, match="run `lcmis audit` first"):
        Store(tmp_path)
    with Store(tmp_path, create=True) as store:
        assert store.pairs() == []


@pytest.mark.parametrize("create", [True, False])
def test_what_is_not_ours_is_left_alone(tmp_path: Path, create: bool) -> None:
    file = tmp_path / "facts.db"
    file.write_bytes(b"a letter to a friend, longer than the header of a database " * 20)
    before = file.read_bytes()
    with pytest.raises(StoreError, match="is not a database"):
        Store(tmp_path, create=create)
    assert file.read_bytes() == before
    file.unlink()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
    before = file.read_bytes()
    with pytest.raises(StoreError, match="of another program"):
        Store(tmp_path, create=create)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("revision", "said"),
    [("0000", "run `lcmis db upgrade`"), ("9999", "upgrade lcmis"), ("abc", "another program")],
)
@pytest.mark.parametrize("read_only", [True, False])
def test_another_schema_is_refused(folder: Path, revision: str, said: str, read_only: bool) -> None:
    with closing(sqlite3.connect(folder / "facts.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
        connection.commit()
    with pytest.raises(StoreError, match=said):
        Store(folder, read_only=read_only, create=not read_only)


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="name another one"):
        Store(tmp_path / "file" / "audit", create=True)
    (tmp_path / "facts.db").mkdir()
    with pytest.raises(StoreError, match="cannot be"):
        Store(tmp_path)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://somewhere/db", "SQLite file or in PostgreSQL"),
        ("://", "cannot be read as a database URL"),
        ("sqlite://", "SQLite file or in PostgreSQL"),
    ],
)
def test_a_url_of_something_else_is_a_sentence(tmp_path: Path, url: str, said: str) -> None:
    with pytest.raises(StoreError, match=said):
        Store(url, pictures=tmp_path)


def test_a_url_needs_a_folder_for_pictures(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/other.db"
    with pytest.raises(StoreError, match="name a folder for them too"):
        Store(url, create=True)
    with Store(url, pictures=tmp_path / "p", create=True) as store:
        assert store.counts().pairs == 0
    assert (tmp_path / "other.db").is_file()


def test_a_server_that_is_not_there_is_a_sentence_without_the_password(tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    url = f"postgresql://me:secret@/db?host={tmp_path}"
    with pytest.raises(StoreError, match="check that the server runs") as caught:
        Store(url, pictures=tmp_path)
    assert "secret" not in str(caught.value)


def test_a_reader_changes_nothing(place: dict[str, str | Path]) -> None:
    pair = make_pair()
    with Store(**place, create=True) as store:
        store.add_pairs([pair])
    with Store(**place, read_only=True) as store:
        for write in (
            lambda: store.add_pairs([pair]),
            lambda: store.add_renders([]),
            lambda: store.clear_failure("x"),
        ):
            with pytest.raises(StoreError, match="opened for reading"):
                write()
        assert store.pairs() == [pair]
        assert store.drift() == []


def test_a_locked_database_is_a_sentence(folder: Path) -> None:
    with (
        closing(sqlite3.connect(folder / "facts.db", isolation_level=None)) as other,
        Store(folder, wait_seconds=0.02) as store,
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked by another program"):
            store.add_pairs([make_pair("bowl")])
        assert store.pairs() == [make_pair()]
        other.execute("ROLLBACK")
        store.add_pairs([make_pair("bowl")])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_stranger_gets_a_sentence(folder: Path) -> None:
    code = """
import os, sys
from lcmis.errors import StoreError
from lcmis.store import Store, schema
from lcmis.types import Failure
import sqlalchemy.dialects.sqlite
schema.head()
os.setuid(65534)
readable, hidden = sys.argv[1:]
with Store(readable, read_only=True) as store:
    print(len(store.pairs()))
for open_it in (
    lambda: Store(readable).add_failure(Failure("x", "render", "y", "z")),
    lambda: Store(hidden),
    lambda: Store("/nobody-may", create=True),
):
    try:
        open_it()
    except StoreError as error:
        print(error)
"""
    with tempfile.TemporaryDirectory(dir="/tmp") as place:  # pytest's own is closed to others
        readable, hidden = Path(place, "readable"), Path(place, "hidden", "audit")
        for copy in (readable, hidden):
            shutil.copytree(folder, copy)
        Path(place).chmod(0o755)
        hidden.parent.chmod(0o700)
        # A reader of a database with a write-ahead log needs the log's index beside it.
        with Store(readable) as keeps_the_log:
            keeps_the_log.add_pairs([make_pair("bowl")])
            done = subprocess.run(
                [sys.executable, "-c", code, str(readable), str(hidden)],
                cwd=ROOT,
                capture_output=True,
                text=True,
            )
    assert done.returncode == 0, done.stderr
    count, unwritable, unseen, unmade = done.stdout.splitlines()
    assert count == "2"
    assert "cannot be written: check who owns the folder" in unwritable
    assert "cannot be looked at" in unseen
    assert "name another one" in unmade


# ── many at once, and sudden death ───────────────────────────────────────────────────────────────


def test_a_reader_is_never_locked_out_by_a_writer(place: dict[str, str | Path]) -> None:
    pair = make_pair()
    done = threading.Event()
    errors: list[StoreError] = []

    def read(seen: list[int]) -> None:
        with Store(**place, read_only=True, wait_seconds=0.0) as reader:
            while not done.is_set() or not seen:
                try:
                    listed = reader.renders(limit=1000)
                    seen.append(len(reader.evidence(CHECKER)))
                    for one in listed[-2:]:
                        reader.image(one.render.sha256)
                except StoreError as error:
                    errors.append(error)
                    return

    with Store(**place, create=True) as writer:
        writer.add_pairs([pair])
        seen: list[list[int]] = [[], []]
        readers = [threading.Thread(target=read, args=(mine,)) for mine in seen]
        for thread in readers:
            thread.start()
        for seed in range(40):
            spec = make_spec(pair, seed)
            writer.add_renders([make_drawn(pair, spec)])
            writer.add_scores(*answer_all(spec, pair, random.Random(seed)))
        done.set()
        for thread in readers:
            thread.join()
    assert errors == []
    assert all(mine and mine == sorted(mine) for mine in seen)


def test_writers_wait_for_one_another(place: dict[str, str | Path]) -> None:
    with Store(**place, create=True):
        pass
    found = [[make_pair(f"cup {name}", f"drink {n}") for n in range(30)] for name in "abc"]

    def write(mine: list[ConceptPair]) -> None:
        with Store(**place) as store:
            for pair in mine:
                store.add_pairs([pair])
                store.add_renders([make_drawn(pair, make_spec(pair))])

    threads = [threading.Thread(target=write, args=(mine,)) for mine in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with Store(**place, read_only=True) as store:
        assert store.counts().pairs == store.counts().renders == 90


def test_several_may_make_one_store_at_once(place: dict[str, str | Path]) -> None:
    arguments = {name: str(value) for name, value in place.items()}
    code = f"""
import sys
from pathlib import Path
from lcmis.store import Store
sys.stdin.readline()
with Store(**{arguments!r} | {{}}, create=True) as store:
    print(store.counts().pairs)
"""
    children = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    assert [child.communicate()[0].strip() for child in children] == ["0", "0", "0"]
    with Store(**place) as store:
        assert store.drift() == []


WRITER = """
import random, sys
from PIL import Image
from lcmis.store import Drawn, Store, picture_hash
from lcmis.types import Answer, Question, QuestionKind, Render, RenderSpec, Score, Stage
asked = Question(QuestionKind.A_PRESENT, "tea cup")
with Store(sys.argv[1]) as store:
    pair = store.pairs()[0]
    for seed in range(int(sys.argv[2]), 1_000_000, 3):
        drawn = []
        for one in range(seed, seed + 3):
            spec = RenderSpec("m@1", (Stage(pair.prompt),), one, 20, 7.5, "E", 16, 16, "cpu")
            image = Image.frombytes("RGB", (16, 16), random.Random(one).randbytes(768))
            render = Render(spec.key, picture_hash(image), 0.5, "cpu")
            drawn.append(Drawn(pair.key, spec, render, image))
        store.add_renders(drawn)
        store.add_scores([Score(d.spec.key, "c", asked.key, Answer(0.5)) for d in drawn], [asked])
        print(*(d.spec.key for d in drawn), flush=True)
"""


def test_sudden_death_loses_nothing_that_was_acknowledged(folder: Path) -> None:
    dice = random.Random(7)
    acknowledged: list[str] = []
    for life in range(8):
        child = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder), str(1 + life * 100_000)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        for _ in range(dice.randint(1, 12)):
            acknowledged += child.stdout.readline().split()
        with contextlib.suppress(threading.BrokenBarrierError):  # lets the child run on a little
            threading.Barrier(2).wait(dice.random() * 0.01)
        child.kill()
        acknowledged += child.stdout.read().rpartition("\n")[0].split()
        child.wait()
        with Store(folder) as store:
            assert [line for line in store.verify() if "belongs to no picture" not in line] == []
            kept = {listed.spec.key for listed in store.renders(limit=100_000)}
            assert set(acknowledged) <= kept
            assert (len(kept) - 1) % 3 == 0, "a transaction is whole or not at all"
            scored = {line.spec_key for line in store.evidence("c") if line.scored}
            assert set(acknowledged) <= scored
    assert len(acknowledged) >= 8 * 3


# ── repairs ──────────────────────────────────────────────────────────────────────────────────────


def test_trials_and_nominations_come_back_as_they_went_in_each_once(store: Store) -> None:
    first, second = make_pair(), make_pair("mug")
    store.add_pairs([first, second])
    candidate = Candidate((Stage("a tea cup", 1 / 3), Stage(first.prompt)), "glass")
    tried = [
        Trial(pair.key, model, "moce", "clip:g@1", candidate, (Seen(2**31, 0.1, None),))
        for pair in (first, second)
        for model in ("m@1", "n@1")
    ]
    chosen = Nomination(first.key, "m@1", "moce", "clip:g@1", candidate, 120, 7, "found")
    for _ in range(2):
        for one in tried:
            store.add_trial(one)
        store.add_nomination(chosen)
    assert store.trials() == tried
    assert store.trials(second.key) == tried[2:]
    assert store.trials(first.key, "n@1") == [tried[1]]
    assert store.trials(model="nobody@1") == []
    assert store.nominations(first.key, "m@1") == [chosen]
    assert store.nominations(second.key) == []
    with pytest.raises(UnknownNameError):
        store.add_trial(dataclasses.replace(tried[0], pair="k1:unknown"))


# ── the schema ───────────────────────────────────────────────────────────────────────────────────


NEXT = f"{int(schema.head()) + 1:04}"


def grown(tmp_path: Path, body: str) -> Path:
    """Our migrations with one more from the future."""
    folder = tmp_path / "migrations"
    shutil.copytree(shipped("migrations"), folder)
    (folder / "versions" / f"{NEXT}_next.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\n"
        f'revision = "{NEXT}"\ndown_revision = "{schema.head()}"\n'
        f"def upgrade():\n{body}\n"
        "def downgrade():\n    op.drop_column('pairs', 'notes')\n"
    )
    return folder


def test_migrations_make_exactly_the_tables(place: dict[str, str | Path]) -> None:
    with Store(**place, create=True) as store:
        assert store.drift() == []
    engine = place_of(place["path_or_url"]).engine(read_only=False)
    try:
        assert schema.current(engine) == schema.head()
        schema.downgrade(engine, "base")
        assert len(schema.check(engine)) > 10
        schema.upgrade(engine)
        assert schema.check(engine) == []
    finally:
        engine.dispose()


def test_the_newest_revision_is_the_one_alembic_knows() -> None:
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(shipped("migrations")))
    assert scripts.get_heads() == [schema.head()]
    revisions = [script.revision for script in scripts.walk_revisions()]
    assert revisions == [f"{number:04}" for number in range(len(revisions), 0, -1)]


def test_an_upgrade_keeps_the_rows_and_a_copy(folder: Path, tmp_path: Path) -> None:
    future = grown(
        tmp_path,
        "    with op.batch_alter_table('pairs', recreate='always') as pairs:\n"
        "        pairs.add_column(sa.Column('notes', sa.Text(), server_default=''))",
    )
    with Store(folder) as store:
        before = (store.pairs(), store.renders())
    engine = place_of(folder).engine(read_only=False)
    copy = schema.upgrade(engine, future)
    assert schema.current(engine) == NEXT
    assert schema.upgrade(engine, future) is None
    with pytest.raises(StoreError, match="made by a newer lcmis"):
        Store(folder)
    schema.downgrade(engine, schema.head(), future)
    engine.dispose()
    assert copy is not None
    kept = tmp_path / "kept"
    kept.mkdir()
    copy.rename(kept / "facts.db")
    for place in (folder, kept):
        with Store(place, pictures=folder / "pictures") as store:
            assert (store.pairs(), store.renders()) == before
            assert [line for line in store.verify() if "no picture" not in line] == []
    assert schema.upgrade_store(folder) == f"{folder} is up to date (schema {schema.head()})"


def test_an_upgrade_that_breaks_changes_nothing(
    place: dict[str, str | Path], tmp_path: Path
) -> None:
    with Store(**place, create=True) as store:
        store.add_pairs([make_pair()])
    future = grown(
        tmp_path,
        "    op.add_column('pairs', sa.Column('notes', sa.Text()))\n"
        "    op.execute(\"UPDATE pairs SET prompt = ''\")\n"
        "    raise RuntimeError('a mistake')",
    )
    engine = place_of(place["path_or_url"]).engine(read_only=False)
    with pytest.raises(RuntimeError, match="a mistake"):
        schema.upgrade(engine, future)
    engine.dispose()
    with Store(**place) as store:
        assert store.pairs() == [make_pair()]
        assert store.drift() == []


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_store", ASSETS / "make_store.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("asset", sorted(ASSETS.glob("schema-*.db")), ids=lambda path: path.stem)
def test_every_released_database_opens_with_all_it_held(
    asset: Path, maker: ModuleType, tmp_path: Path
) -> None:
    shutil.copy(asset, tmp_path / "facts.db")
    schema.upgrade_store(tmp_path)
    with Store(tmp_path) as store:
        assert store.drift() == []
        assert store.pairs() == [maker.PAIR]
        since_third = asset.stem > "schema-0002"  # exchanges and ids came with the third
        assert store.runs() == [maker.RUN] + [maker.WITH_IDS] * since_third
        assert [one for _, one in store.exchanges()] == [maker.EXCHANGE] * since_third
        listed = [(one.spec, one.render) for one in store.renders()]
        assert listed == [(maker.DRAWN, maker.RENDERS[0]), (maker.STAGED, maker.RENDERS[1])]
        assert [score for _, score in store.scores(maker.DRAWN.key)] == list(maker.SCORES)
        assert store.labels() == [maker.LABEL]
        assert store.failures() == [maker.FAILURE]
        tried = asset.stem > "schema-0001"  # repairs came with the second schema
        assert store.trials(maker.PAIR.key, "model@1") == [maker.TRIAL] * tried
        assert store.nominations() == ([maker.NOMINATION] * tried + [maker.NAMED] * since_third)
        assert len(list(store.verify())) == 1, "the picture's file was not released"
        first, second = store.evidence(maker.CHECKER)
        assert (first.intruder_a, first.intruder_a_value, first.a) == ("glass", 0.75, None)
        assert second.staged
        assert second.refused


def test_there_is_a_database_for_every_released_schema() -> None:
    revisions = {path.name[:4] for path in (shipped("migrations") / "versions").glob("0*.py")}
    assert {path.stem.removeprefix("schema-") for path in ASSETS.glob("schema-*.db")} == revisions


def test_the_store_is_light() -> None:
    code = (
        "import sys, lcmis.store; heavy = {'torch', 'alembic', 'scipy', 'diffusers', 'streamlit'};"
        "print(*(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""
