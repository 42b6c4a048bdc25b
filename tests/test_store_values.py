"""What a store says, to the letter: orders, pages, numbers and sentences."""

from __future__ import annotations

import dataclasses
import json
import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from worlds.facts import make_drawn, make_pair, make_picture, make_spec

from lcmis.errors import StoreError, UnknownNameError
from lcmis.store import Drawn, Growth, Store, StoreCounts, documents, picture_hash, schema
from lcmis.store.connect import place_of, sentences
from lcmis.store.images import PictureFolder
from lcmis.types import (
    NONE_OF_THESE,
    Adapter,
    Answer,
    Beside,
    Box,
    Candidate,
    Concept,
    ConceptPair,
    Embedding,
    Exchange,
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

PAIR = ConceptPair(
    Concept("tea cup", "white", ("cup", "mug")),
    Concept("iced coke"),
    "a tea cup of iced coke",
    ("A tea cup of iced coke.",),
    (
        Intruder(Concept("glass"), Side.A, "a glass of iced coke"),
        Intruder(Concept("tea"), Side.B, "a tea cup of tea"),
    ),
    "wrong vessel",
    "ann",
    "CC0",
)
CANDIDATE = Candidate((Stage("a tea cup", 0.25), Stage(PAIR.prompt)), "glass")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pairs, two models, five pictures, one of them refused and one repaired."""
    folder = tmp_path_factory.mktemp("values")
    other = make_pair("mug")
    with Store(folder, create=True) as store:
        store.add_pairs([PAIR, other])
        store.add_renders(
            [
                make_drawn(PAIR, make_spec(PAIR, 3)),
                make_drawn(PAIR, make_spec(PAIR, 2), refusal="no cups"),
                make_drawn(other, make_spec(other, 1, "n@1")),
                make_drawn(PAIR, make_spec(PAIR, 1, "n@1")),
                make_drawn(PAIR, make_spec(PAIR, 4, "m@1", *CANDIDATE.stages)),
            ]
        )
    return folder


@pytest.fixture
def store(made: Path) -> Iterator[Store]:
    with Store(made) as opened:
        yield opened


# ── documents ────────────────────────────────────────────────────────────────────────────────────

SPEC = RenderSpec(
    "m@1",
    (Stage("a", 0.5), Stage("b")),
    7,
    20,
    7.5,
    "Euler",
    64,
    32,
    "cuda-float16-b4",
    (Adapter("lora@1", 0.5),),
    "glass",
    (Embedding("tea@1", "<tea>"),),
    "vae@1",
    "base@1",
    "fp16",
    "cuda",
    "float16",
)
VALUES = [
    (documents.pair, PAIR),
    (documents.spec, SPEC),
    (
        documents.question,
        Question(
            QuestionKind.INTRUDER_A,
            "tea cup",
            ("tea cup", NONE_OF_THESE),
            ("x", "y"),
            (("cup", "mug"), ()),
        ),
    ),
    (
        documents.trial,
        Trial("k1:p", "m@1", "moce", "g@1", CANDIDATE, (Seen(1, 0.5, None, 0.25, 0.75),)),
    ),
    (
        documents.nomination,
        Nomination(
            "k1:p", "m@1", "moce", "g@1", CANDIDATE, 40, 12, "found", 1.5, 3, ("guard x",), "store"
        ),
    ),
    (
        documents.exchange,
        Exchange("r", "m", (("user", "hi"),), "yes", "", ("abc",), "{}", 0.5, "now"),
    ),
]


@pytest.mark.parametrize(("read", "value"), VALUES, ids=[read.__name__ for read, _ in VALUES])
def test_every_document_comes_back_equal(read, value):
    text = documents.document(value)
    assert read(text) == value
    assert ": " not in text
    assert list(json.loads(text)) == sorted(json.loads(text))
    assert "ä" not in documents.document(dataclasses.replace(PAIR, source="ä"))


def test_specifications_of_an_older_lcmis_are_read_with_what_their_profile_says():
    fields = json.loads(documents.document(SPEC))
    for name in ("embeddings", "vae", "base", "variant", "device", "dtype"):
        del fields[name]
    found = documents.spec(json.dumps(fields))
    assert (found.device, found.dtype, found.embeddings) == ("cuda", "float16", ())
    for profile, device, dtype in (
        ("cpu-bfloat16-b16", "cpu", "bfloat16"),
        ("toy", "", ""),
        ("cpu-float32-b1-x", "", ""),
        ("CPU-float32-b1", "", ""),
    ):
        found = documents.spec(json.dumps(fields | {"profile": profile}))
        assert (found.device, found.dtype) == (device, dtype)
    told = documents.spec(json.dumps(fields | {"device": "service", "dtype": ""}))
    assert (told.device, told.dtype) == ("service", "")
    question = json.loads(documents.document(VALUES[2][1]))
    del question["synonyms"]
    assert documents.question(json.dumps(question)).synonyms == ()
    nomination = json.loads(documents.document(VALUES[4][1]))
    del nomination["given"]
    assert documents.nomination(json.dumps(nomination)).given == ()


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"source": "a\0b" + "x" * 80}, "a\0b" + "x" * 57),
        ({"sentences": ("fine", "a\0b")}, "a\0b"),
        ({"a": Concept("x", synonyms=("a\0b",))}, "a\0b"),
    ],
)
def test_a_letter_that_no_database_keeps_is_named_with_its_text(change, where):
    with pytest.raises(StoreError) as refused:
        documents.document(dataclasses.replace(PAIR, **change))
    assert str(refused.value) == (
        f"ConceptPair: the text {where!r} holds a NUL character; take it out at its source"
    )
    broken = "\ud800" + "y" * 80
    with pytest.raises(StoreError) as refused:
        documents.document(dataclasses.replace(PAIR, licence=broken))
    assert str(refused.value) == (
        f"ConceptPair: the text {broken[:60]!r} holds half a character "
        "(a lone surrogate); read its source as UTF-8"
    )
    assert documents.refuse_broken("𝄞 \\ud800", "here") == "𝄞 \\ud800"
    slashes = dataclasses.replace(PAIR, source="\\u0000 \\ud800")
    assert documents.pair(documents.document(slashes)) == slashes


# ── pictures ─────────────────────────────────────────────────────────────────────────────────────


def listed(store: Store, **told: object) -> list[tuple[str, int]]:
    return [(one.spec.model, one.spec.seed) for one in store.renders(**told)]


def test_pages_follow_arrival_and_keep_to_a_pair_and_a_model(store: Store):
    every = [("m@1", 3), ("m@1", 2), ("n@1", 1), ("n@1", 1), ("m@1", 4)]
    assert listed(store) == every
    assert listed(store, limit=2) == every[:2]
    assert listed(store, after=2, limit=2) == every[2:4]
    assert listed(store, model="n@1") == every[2:4]
    assert listed(store, pair=PAIR.key) == [*every[:2], *every[3:]]
    assert listed(store, pair=PAIR.key, after=1) == [every[1], *every[3:]]
    assert listed(store, pair=PAIR.prompt, model="n@1") == [every[3]]
    assert listed(store, model="o@1") == []
    assert [one.position for one in store.renders()] == [1, 2, 3, 4, 5]
    assert store.renders()[2].pair_key == make_pair("mug").key
    assert store.renders(pair=PAIR.key)[0].pair_key == PAIR.key
    with pytest.raises(UnknownNameError):
        store.renders(pair="k1:no")


def test_a_picture_comes_back_by_key_with_its_file(store: Store, made: Path):
    spec = make_spec(PAIR, 3)
    found, render = store.render(spec.key[:12])
    assert (found, render) == (spec, make_drawn(PAIR, spec).render)
    assert store.image(render.sha256).tobytes() == make_picture(3).tobytes()
    path = made / "pictures" / render.sha256[:2] / f"{render.sha256}.webp"
    assert store.image_path(render.sha256) == path
    assert store.image_file(render.sha256) == path.read_bytes()
    refused = store.renders_of([make_spec(PAIR, 2).key, "k1:no", spec.key, spec.key])
    assert refused == {
        spec.key: (spec, render),
        make_spec(PAIR, 2).key: (
            make_spec(PAIR, 2),
            Render(make_spec(PAIR, 2).key, "", 0.5, "cpu", "no cups"),
        ),
    }
    assert store.models() == ["m@1", "n@1"]
    wanted = [make_spec(PAIR, seed) for seed in (9, 3, 8, 2)]
    assert [spec.seed for spec in store.missing(wanted)] == [9, 8]


@pytest.mark.parametrize("name", ["", "abc", "g" * 64, "A" * 64, "a" * 63, "a" * 65, "../" * 40])
def test_what_is_no_hash_names_no_picture(store: Store, name: str):
    with pytest.raises(StoreError) as refused:
        store.image_path(name)
    assert str(refused.value) == (
        f"{name[:80]!r} names no picture: a name is 64 hexadecimal digits"
    )


def test_a_picture_that_is_not_its_own_is_refused(store: Store):
    spec, other = make_spec(PAIR, 50), make_spec(PAIR, 51)
    image = make_picture(50)
    good = Render(spec.key, picture_hash(image), 0.5, "cpu")

    def refused(drawn: Drawn) -> str:
        with pytest.raises((ValueError, UnknownNameError)) as error:
            store.add_renders([drawn])
        return str(error.value)

    assert refused(Drawn(PAIR.key, other, good, image)) == (
        f"the render of {spec.key} came with another spec"
    )
    assert refused(Drawn(PAIR.key, spec, good, None)) == (
        f"the render of {spec.key} was not refused, yet has no image"
    )
    assert refused(Drawn(PAIR.key, spec, good, make_picture(51))) == (
        f"the image of {spec.key} has another hash than its render"
    )
    for seconds in (-0.1, math.inf, math.nan):
        slow = dataclasses.replace(good, seconds=seconds)
        assert refused(Drawn(PAIR.key, spec, slow, image)) == (
            f"seconds are finite and not below 0, got {seconds}"
        )
    assert refused(Drawn("k1:no", spec, good, image)) == (
        "no pair in the store has the key 'k1:no'; add it first"
    )
    assert store.missing([spec]) == [spec]


def test_names_that_are_not_there_are_told_with_what_is_near(store: Store):
    def refused(ask, *given: object) -> str:
        with pytest.raises(UnknownNameError) as error:
            ask(*given)
        return str(error.value)

    assert refused(store.pair, "a tea cup of iced cola") == (
        "no pair in the store is called 'a tea cup of iced cola'; "
        "near it: a tea cup of iced coke, a mug of iced coke"
    )
    assert refused(store.pair, "zzz") == (
        "no pair in the store is called 'zzz'; `lcmis show` lists what there is"
    )
    assert refused(store.render, "a tea cup of iced coke") == (
        "no picture in the store is called 'a tea cup of iced coke'; "
        "`lcmis show` lists what there is"
    )
    keys = sorted(one.spec.key for one in store.renders())
    assert refused(store.render, "k1:") == (
        f"more than one picture begins with 'k1:': {', '.join(keys[:3])}; write more"
    )
    assert refused(store.pair, "k1:%") == (
        "no pair in the store is called 'k1:%'; `lcmis show` lists what there is"
    )
    assert refused(store.question, "k1:no") == "no question has the key 'k1:no'"
    assert refused(store.link, PAIR.key, ["k1:no"]) == (
        "no picture in the store has the key 'k1:no'; add it first"
    )
    label = Label(make_spec(PAIR, 3).key, "k1:no", "yes", "ann", "now")
    assert refused(store.add_labels, [label]) == (
        "no question in the store has the key 'k1:no'; add it first"
    )
    assert store.pair(PAIR.key[3:9]) == PAIR


# ── a store of its own ───────────────────────────────────────────────────────────────────────────


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "audit", create=True) as opened:
        opened.add_pairs([PAIR])
        opened.add_renders([make_drawn(PAIR, make_spec(PAIR, seed)) for seed in (1, 2)])
        yield opened


def test_everything_is_counted_under_its_own_name(fresh: Store):
    spec = make_spec(PAIR, 1)
    other = make_pair("mug")
    fresh.add_pairs([other])
    fresh.link(other.key, [spec.key])
    fresh.add_renders([make_drawn(PAIR, make_spec(PAIR, 3), refusal="no")])
    asked = Question(QuestionKind.A_PRESENT, "tea cup")
    fresh.add_scores([Score(spec.key, "vqa:j@1", asked.key, Answer(0.5))], [asked])
    for number in range(3):
        fresh.add_run(Run(f"r{number}", "now", "audit", "{}", "{}", "abc", "cpu"))
    fresh.add_labels([Label(spec.key, asked.key, "yes", f"rater {n}", "now") for n in range(4)])
    for seed in range(5):
        fresh.add_trial(Trial(PAIR.key, "m@1", "moce", "g@1", CANDIDATE, (Seen(seed, 0.5, 0.5),)))
    for budget in range(6):
        fresh.add_nomination(
            Nomination(PAIR.key, "m@1", "moce", "g@1", CANDIDATE, budget, 1, "found")
        )
    for number in range(7):
        fresh.add_exchange(Exchange(f"q{number}", "m", (("user", "x"),), "yes", ""))
    for number in range(8):
        fresh.add_failure(Failure(f"k1:{number}", "ask", "no", "now"))
    for number in range(2):
        fresh.clear_failure(f"k1:{number}")
    size = sum(
        fresh.image_path(make_drawn(PAIR, make_spec(PAIR, seed)).render.sha256).stat().st_size
        for seed in (1, 2)
    )
    assert fresh.counts() == StoreCounts(
        pairs=2, renders=3, scores=1, failures=6, picture_bytes=size
    )
    assert fresh.growth() == Growth(
        runs=3,
        shifts=0,
        pairs=2,
        links=4,
        renders=3,
        scores=1,
        labels=4,
        trials=5,
        nominations=6,
        exchanges=7,
        failures=8,
        dismissals=2,
        notes=0,
    )
    assert [one.item for one in fresh.failures()] == [f"k1:{number}" for number in range(2, 8)]
    assert [one.rater for one in fresh.labels()] == [f"rater {n}" for n in range(4)]
    assert [one.run_id for one in fresh.runs()] == ["r0", "r1", "r2"]
    assert [one.budget for one in fresh.nominations()] == list(range(6))
    assert fresh.drift() == []
    assert list(fresh.verify()) == []


def test_replies_are_those_that_could_be_used_oldest_first(fresh: Store):
    for reply, reason in (("one", ""), ("", "timeout"), ("two", ""), ("one", "")):
        fresh.add_exchange(Exchange("q", "m", (("user", "x"),), reply, reason))
    fresh.add_exchange(Exchange("other", "m", (("user", "x"),), "three", ""))
    assert fresh.replies("q")[:2] == ["one", "two"]
    assert fresh.replies("other") == ["three"]
    assert fresh.replies("no") == []


def asked_of(fresh: Store) -> tuple[list[str], Question, Question]:
    keys = [make_spec(PAIR, seed).key for seed in (1, 2)]
    present = Question(QuestionKind.A_PRESENT, "tea cup")
    choice = Question(
        QuestionKind.INTRUDER_A, "tea cup", ("tea cup", "glass", NONE_OF_THESE), (PAIR.prompt,)
    )
    answers = [Answer(0.2, "tea cup"), Answer(0.7, "glass"), Answer(0.1, NONE_OF_THESE)]
    fresh.add_scores(
        [
            Score(keys[0], "vqa:j@1", present.key, Answer(0.25, box=Box(0, 0.1, 0.5, 1, "cup"))),
            *(Score(keys[0], "vqa:j@1", choice.key, one) for one in answers),
            Score(keys[1], "vqa:j@1", present.key, Answer(None, reason="dark", mass=0.3)),
            Score(keys[0], "clip:c@1", present.key, Answer(0.75)),
        ],
        [present, choice],
    )
    return keys, present, choice


def test_scores_come_likeliest_first_by_checker_and_question(fresh: Store):
    keys, present, choice = asked_of(fresh)
    found = fresh.scores(keys[0])
    assert [(one.checker, one.answer.option, one.answer.value) for _, one in found] == [
        ("vqa:j@1", "", 0.25),
        ("vqa:j@1", "glass", 0.7),
        ("vqa:j@1", "tea cup", 0.2),
        ("vqa:j@1", NONE_OF_THESE, 0.1),
        ("clip:c@1", "", 0.75),
    ]
    assert [question for question, _ in found] == [present, choice, choice, choice, present]
    assert found[0][1].answer.box == Box(0, 0.1, 0.5, 1, "cup")
    assert found[4][1].answer.box is None
    ((_, silent),) = fresh.scores(keys[1])
    assert silent == Score(keys[1], "vqa:j@1", present.key, Answer(None, reason="dark", mass=0.3))
    assert fresh.checkers() == ["clip:c@1", "vqa:j@1"]
    assert fresh.question(choice.key) == choice
    assert fresh.scores("k1:no") == []


def test_what_is_still_to_be_asked_keeps_its_order(fresh: Store):
    keys, present, choice = asked_of(fresh)
    every = [(key, question) for question in (choice, present) for key in reversed(keys)]
    assert fresh.unscored("vqa:j@1", every) == [(keys[1], choice)]
    assert fresh.unscored("clip:c@1", every) == [every[0], every[1], every[2]]
    assert fresh.unscored("new:x@1", every) == every
    assert fresh.unscored("vqa:j@1", [("k1:no", present)]) == [("k1:no", present)]
    assert fresh.unscored("vqa:j@1", []) == []


def test_evidence_says_all_of_it_as_lines_and_as_columns(fresh: Store):
    keys, _, _ = asked_of(fresh)
    first, second = fresh.evidence("vqa:j@1")
    assert (first.spec_key, first.seed, first.a, first.b, first.relation) == (
        keys[0],
        1,
        0.25,
        None,
        None,
    )
    assert (first.intruder_a, first.intruder_a_value) == ("glass", 0.7)
    assert (first.intruder_b, first.intruder_b_value) == (None, None)
    assert (second.a, second.scored, second.refused, second.staged) == (None, True, False, False)
    assert [one.seed for one in fresh.evidence("vqa:j@1", from_seed=2)] == [2]
    assert fresh.evidence("vqa:j@1", model="n@1") == []
    assert len(fresh.evidence("vqa:j@1", model="m@1", pair=PAIR.key[:9])) == 2
    assert [one.scored for one in fresh.evidence("clip:c@1")] == [True, False]
    table = fresh.evidence_table("vqa:j@1")
    assert (table.pair_keys, table.models) == ((PAIR.key,), ("m@1",))
    assert table.spec_keys.tolist() == keys
    assert (table.seed.tolist(), table.pair.tolist(), table.model.tolist()) == (
        [1, 2],
        [0, 0],
        [0, 0],
    )
    assert table.a[0] == 0.25
    assert np.isnan(table.a[1])
    assert np.isnan(table.b).all()
    assert [table.options[place] if place >= 0 else None for place in table.intruder_a] == [
        "glass",
        None,
    ]
    assert table.intruder_a_value[0] == 0.7
    assert table.intruder_b.tolist() == [-1, -1]
    assert (table.scored.tolist(), table.refused.tolist()) == ([True, True], [False, False])
    assert fresh.evidence_table("clip:c@1").scored.tolist() == [True, False]
    assert len(fresh.evidence_table("no:x@1")) == 2


def test_what_does_not_agree_with_its_name_is_told(fresh: Store, tmp_path: Path):
    sha256 = make_drawn(PAIR, make_spec(PAIR, 1)).render.sha256
    path = fresh.image_path(sha256)
    stray = fresh.image_path("ab" + "0" * 62)
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(path.read_bytes())
    for name in ("mine.txt", "holiday.webp", f"{'ab' + '0' * 62}.webp", "ab/thesis.webp"):
        (stray.parents[1] / name).write_text("somebody's own, which lcmis has no say in")
    path.unlink()
    found = list(fresh.verify())
    assert found == [
        f"the picture {path} is missing: restore the file from a copy of the store",
        f"{stray} belongs to no picture in the store; it can be deleted",
    ]
    other = fresh.image_path(make_drawn(PAIR, make_spec(PAIR, 2)).render.sha256)
    path.write_bytes(other.read_bytes())
    stray.unlink()
    assert list(fresh.verify()) == [
        f"the picture {path} has changed since it was drawn: restore it from a copy of the store"
    ]


def test_a_store_that_is_older_newer_or_not_there_is_told_so(tmp_path: Path):
    folder = tmp_path / "audit"

    def refused(**told: object) -> str:
        with pytest.raises(StoreError) as error:
            Store(folder, **told)
        return str(error.value)

    assert refused() == f"there is no audit at {folder}: run `lcmis audit` first"
    with Store(folder, create=True):
        pass
    head = schema.head()
    assert schema.upgrade_store(folder) == f"{folder} is up to date (schema {head})"
    for revision, said in (
        (
            "0000",
            f"{folder} was made by an older lcmis (schema 0000, now {head}): "
            "run `lcmis db upgrade`",
        ),
        (
            "9999",
            f"{folder} was made by a newer lcmis (schema 9999, this one knows {head}): "
            "upgrade lcmis",
        ),
    ):
        with closing(sqlite3.connect(folder / "facts.db")) as connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
            connection.commit()
        assert refused() == refused(read_only=True) == refused(create=True) == said


def test_a_reader_is_told_to_open_for_writing(made: Path):
    with Store(made, read_only=True) as store:
        with pytest.raises(StoreError) as refused:
            store.add_pairs([PAIR])
        assert str(refused.value) == f"{made} was opened for reading: open it again to write"
        assert store.read_only
        assert store.pairs()[0] == PAIR


def test_places_are_read_and_said(tmp_path: Path):
    found = place_of(tmp_path)
    assert (found.file, found.url, found.folder) == (tmp_path / "facts.db", None, tmp_path)
    assert str(found) == str(tmp_path)
    assert not found.exists()
    file = place_of(f"sqlite:///{tmp_path}/x.db")
    assert (file.file, file.folder, str(file)) == (tmp_path / "x.db", None, f"{tmp_path}/x.db")
    server = place_of("postgresql://me:secret@host/db")
    assert server.url is not None
    assert server.url.drivername == "postgresql+psycopg"
    assert str(server) == "postgresql+psycopg://me:***@host/db"
    assert server.exists()
    for url, said in (
        (
            "mysql://host/db",
            "lcmis keeps its facts in an SQLite file or in PostgreSQL, not in mysql://host/db: "
            "name a folder, or postgresql://…",
        ),
        (
            "://",
            "that address cannot be read as a database URL: name a folder, or postgresql://…",
        ),
    ):
        with pytest.raises(StoreError) as refused:
            place_of(url)
        assert str(refused.value) == said


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "SQLITE_BUSY",
            "here is locked by another program: wait until it is done, then try again",
        ),
        (
            "SQLITE_LOCKED_SHAREDCACHE",
            "here is locked by another program: wait until it is done, then try again",
        ),
        (
            "SQLITE_NOTADB",
            "here is not a database: name another folder, or move this file away",
        ),
        ("SQLITE_CORRUPT", "here is damaged: restore it from a copy"),
        (
            "SQLITE_READONLY_DIRECTORY",
            "here cannot be written: check who owns the folder and its disk",
        ),
        ("SQLITE_PERM", "here cannot be written: check who owns the folder and its disk"),
        ("SQLITE_AUTH", "here cannot be written: check who owns the folder and its disk"),
        (
            "SQLITE_FULL",
            "here cannot be read or written, it said this\nand that: free some space on this "
            "disk, check it, and run the command again",
        ),
        (
            "SQLITE_CANTOPEN_ISDIR",
            "here cannot be opened: check that you may read it and write to its folder "
            "(even a reader needs an index there), or copy it to a folder of your own",
        ),
        ("", "here cannot be used (it said this): check that the server runs and lets you in"),
        (
            "SQLITE_ODD",
            "here cannot be used (it said this): if another program has changed it, restore it "
            "from a copy",
        ),
    ],
)
def test_what_a_database_cannot_do_is_one_sentence(name: str, said: str):
    from sqlalchemy.exc import IntegrityError, OperationalError

    error = sqlite3.OperationalError("it said this\nand that")
    if name:
        error.sqlite_errorname = name
    with pytest.raises(StoreError) as told, sentences("here"):
        raise OperationalError("SELECT", {}, error)
    assert str(told.value) == said
    with pytest.raises(IntegrityError), sentences("here"):
        raise IntegrityError("INSERT", {}, error)


@pytest.mark.parametrize(
    "changed",
    [
        lambda text: text.replace('"seed":7,', '"seed":8,'),
        lambda text: text.replace('"seed":7,', '"seed":7.0,'),
        lambda text: text.replace('"height":', '"height":1'),
        lambda text: text.replace("cup", "mug"),
    ],
)
def test_the_key_of_a_document_is_that_of_its_spec_and_a_change_shows(changed):
    specs = [make_spec(PAIR, seed) for seed in (7, 8, 2**40, 0)]
    for spec in specs:
        assert documents.spec_key(documents.document(spec)) == spec.key
    text = documents.document(specs[0])
    assert changed(text) != text
    assert documents.spec_key(changed(text)) == documents.spec(changed(text)).key
    assert documents.spec_key(changed(text)) != specs[0].key or '"seed":7.0' in changed(text)


@pytest.mark.parametrize(
    "value",
    [
        PAIR,
        dataclasses.replace(PAIR, sentences=("é\n", "x"), pattern="p", source="s", licence="l"),
        Question(QuestionKind.INTRUDER_A, "tea cup", ("glass",), synonyms=((), ("mug", "é"))),
        dataclasses.replace(
            make_spec(PAIR, 3),
            stages=(
                Stage("a", 0.5, beside=(Beside("b", -1.0), Beside("c")), weight=2),
                Stage("d", refiner="r@1"),
            ),
            adapters=(Adapter("low@1", 0.25), Adapter("rank@1")),
            embeddings=(Embedding("e@1"),),
            negative_prompt="blur",
            guidance_scale=7,
            device="cpu",
            dtype="float32",
        ),
    ],
)
def test_a_document_tells_its_key_without_being_made_a_value(value):
    text = documents.document(value)
    assert documents.key(type(value), text) == value.key
    for changed in (text[:-1] + ',"odd":1}', text[:-1] + ',"seed":[]}', "[]", "null", '"a"'):
        assert documents.key(type(value), changed) != value.key


def test_a_check_makes_no_value_of_what_it_reads_and_asks_of_no_file_whether_it_is_a_folder(
    fresh: Store, monkeypatch: pytest.MonkeyPatch
):
    calls = []

    def counting(function):
        def call(*args, **kwargs):
            calls.append(function.__qualname__)
            return function(*args, **kwargs)

        return call

    for kind in (RenderSpec, ConceptPair):
        monkeypatch.setattr(kind, "__post_init__", counting(kind.__post_init__))
    monkeypatch.setattr(Path, "is_dir", counting(Path.is_dir))
    assert list(fresh.verify()) == []
    assert calls == []


def test_pairs_that_were_read_once_are_not_read_again_and_are_named_by_their_rows(
    fresh: Store, tmp_path: Path
):
    found = fresh.pairs()
    assert [(pair, pair.key) for pair in found] == [(PAIR, PAIR.key)]
    assert fresh.pairs()[0] is found[0]
    other = dataclasses.replace(PAIR, prompt="a cup with a glass")
    fresh.add_pairs([other])
    assert fresh.pairs() == [PAIR, other]
    assert fresh.pairs()[0] is found[0]


def test_the_files_of_a_folder_are_listed_as_its_tree_is_read(tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x").touch()
    root = tmp_path / "pictures"
    for name in (
        "a/b.webp",
        "a.txt",
        "ab/.hidden",
        "ab/deep/c",
        ".drafts/half",
        ".drafts/in/whole",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (root / "link").symlink_to(tmp_path / "elsewhere")
    (root / "loop").symlink_to(root / "loop")
    (root / "way").symlink_to(root / "a.txt")
    listed = [path.removeprefix(f"{root}/") for path in PictureFolder(root).files()]
    assert listed == [
        ".drafts/in/whole",
        "a/b.webp",
        "a.txt",
        "ab/.hidden",
        "ab/deep/c",
        "loop",
        "way",
    ]
    assert list(PictureFolder(tmp_path / "nowhere").files()) == []
