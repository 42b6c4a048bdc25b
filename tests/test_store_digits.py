"""What a store keeps and says where its sisters would keep or say something else."""

from __future__ import annotations

import dataclasses
import errno
import io
import os
import random
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import fsspec
import numpy as np
import pytest
from PIL import Image
from sqlalchemy import create_engine, make_url, text
from worlds.facts import (
    CHECKER,
    answer_all,
    make_drawn,
    make_pair,
    make_picture,
    make_spec,
    questions_of,
)

from lcmis.errors import StoreError, UnknownNameError
from lcmis.store import Drawn, Store, buckets, images, picture_hash, rows, schema
from lcmis.store.connect import place_of
from lcmis.store.evidence import _distance
from lcmis.store.moving import copy_all, move_pictures
from lcmis.store.places import pictures_at, remember_place, said_place
from lcmis.types import (
    FIRST_REPAIR_SEED,
    NONE_OF_THESE,
    About,
    Answer,
    Box,
    Candidate,
    Exchange,
    Failure,
    Label,
    Nomination,
    Note,
    NoteKind,
    Question,
    QuestionKind,
    Render,
    Run,
    Score,
    Seen,
    Stage,
    Trial,
)

CUP, GLASS = make_pair(), make_pair("wine glass", "milk")
AT = "2026-01-01T00:00:00+00:00"
PRESENT = Question(QuestionKind.A_PRESENT, "tea cup")


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("empty") / "audit"
    with Store(folder, create=True):
        pass
    return folder


@pytest.fixture
def folder(empty: Path, tmp_path: Path) -> Path:
    return shutil.copytree(empty, tmp_path / "audit")


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    with Store(folder) as opened:
        opened.add_pairs([CUP, GLASS])
        yield opened


def drawn(store: Store, *seeds: int, pair=CUP, model: str = "m@1") -> list[str]:
    specs = [make_spec(pair, seed, model) for seed in seeds]
    store.add_renders([make_drawn(pair, spec) for spec in specs])
    return [spec.key for spec in specs]


def refused(kind: type[Exception], ask, *given: object, **named: object) -> str:
    with pytest.raises(kind) as error:
        ask(*given, **named)
    return str(error.value)


# ── failures ─────────────────────────────────────────────────────────────────────────────────────


def test_a_failure_is_listed_until_its_own_item_is_drawn_or_checked_on(store: Store):
    first, second = drawn(store, 1, 2)
    unseen = make_spec(CUP, 3).key
    store.add_scores([Score(first, CHECKER, PRESENT.key, Answer(0.5))], [PRESENT])
    for item, stage in (
        (first, "check"),
        (second, "check"),
        (first, "render"),
        (unseen, "render"),
        (first, "ask"),
        (first, "ask"),
    ):
        store.add_failure(Failure(item, stage, f"{stage} {len(store.failures())}", AT))

    def listed() -> list[tuple[str, str, str]]:
        return [(one.item, one.stage, one.sentence) for one in store.failures()]

    assert listed() == [
        (first, "check", "check 0"),
        (second, "check", "check 1"),
        (unseen, "render", "render 2"),
        (first, "ask", "ask 4"),
    ]
    store.add_scores([Score(second, "clip:c@1", PRESENT.key, Answer(0.5))], [])
    assert [line[:2] for line in listed()] == [
        (first, "check"),
        (unseen, "render"),
        (first, "ask"),
    ]
    drawn(store, 3)
    store.clear_failure(first)
    assert listed() == []
    store.add_failure(Failure(first, "ask", "again", AT))
    assert listed() == [(first, "ask", "again")]
    secret = Failure("x", "ask", "no answer from https://me:canary-77@host/", AT)
    store.add_failure(secret)
    assert "canary-77" not in store.failures()[-1].sentence
    for name in ("item", "stage", "at"):
        said = refused(StoreError, store.add_failure, dataclasses.replace(secret, **{name: "a\0"}))
        assert said.startswith(f"failure.{name}: the text 'a\\x00' holds a NUL character")


# ── labels, runs, searches ───────────────────────────────────────────────────────────────────────


def test_a_label_keeps_whether_it_was_asked_for_and_names_what_is_broken(store: Store):
    first, second = drawn(store, 1, 2)
    asked = Label(first, PRESENT.key, "yes", "ann", AT)
    unasked = Label(second, PRESENT.key, "no", "ben", AT, unasked=True)
    store.add_labels([asked, unasked], [PRESENT])
    assert store.labels() == [asked, unasked]
    assert store.labels(render=second) == [unasked]
    assert store.labels(render="k1:no") == []
    for name in ("answer", "rater", "at"):
        broken = dataclasses.replace(asked, **{name: "a\0"})
        assert refused(StoreError, store.add_labels, [broken]).startswith(
            f"label.{name}: the text 'a\\x00' holds a NUL character"
        )


def test_a_run_comes_back_whole_and_without_secrets(store: Store, folder: Path):
    run = Run("r1", AT, "lcmis audit", "{}", '{"a": "1"}', "abc", "cpu", ("m@1",), ("vqa:j@1",))
    store.add_run(run)
    held = dataclasses.replace(
        run, run_id="r2", command="lcmis postgresql://me:canary-9@h/d", config="canary-8"
    )
    store.add_run(held)
    store.add_run(dataclasses.replace(run, device="gpu"))
    first, second = store.runs()
    assert first == run
    assert "canary-9" not in second.command
    with closing(sqlite3.connect(folder / "facts.db")) as connection:
        stored = connection.execute("SELECT command FROM runs ORDER BY id").fetchall()
        assert "canary-9" not in stored[1][0]
        connection.execute("UPDATE runs SET config = 'postgresql://me:canary-7@h/d'")
        connection.commit()
    assert "canary-7" not in store.runs()[0].config
    for name in ("run_id", "started_at", "command", "config", "versions", "git_revision", "device"):
        said = refused(StoreError, store.add_run, dataclasses.replace(run, **{name: "a\0"}))
        assert said.startswith(f"run.{name}: ")


def test_searches_are_told_by_pair_and_model_oldest_first(store: Store):
    candidate = Candidate((Stage("x", 0.5), Stage("y")))

    def trial(pair, model: str, seed: int) -> Trial:
        return Trial(pair.key, model, "moce", "g@1", candidate, (Seen(seed, 0.5, 0.25),))

    every = [trial(CUP, "m@1", 1), trial(GLASS, "m@1", 2), trial(CUP, "n@1", 3)]
    for one in (*every, every[0]):
        store.add_trial(one)
    assert store.trials() == every
    assert store.trials(pair=CUP.key) == [every[0], every[2]]
    assert store.trials(CUP.prompt, "n@1") == [every[2]]
    assert store.trials(model="m@1") == every[:2]
    assert store.trials(model="o@1") == []
    chosen = [
        Nomination(pair.key, model, "moce", "g@1", candidate, 9, budget, "found")
        for budget, (pair, model) in enumerate(((GLASS, "m@1"), (CUP, "m@1"), (CUP, "n@1")))
    ]
    for one in (*chosen, chosen[1]):
        store.add_nomination(one)
    assert store.nominations() == chosen
    assert store.nominations(pair=CUP.key) == chosen[1:]
    assert store.nominations(model="n@1") == chosen[2:]
    assert store.trials() == every
    missing = dataclasses.replace(every[0], pair="k1:no")
    assert refused(UnknownNameError, store.add_trial, missing).startswith(
        "no pair in the store is called 'k1:no'"
    )


def test_exchanges_are_told_in_order_by_request_model_and_page(store: Store):
    assert store.last_exchange("m") is None
    assert store.exchanges() == []
    every = [
        Exchange(request, model, (("user", "x"),), reply, reason)
        for request, model, reply, reason in (
            ("q", "m", "one", ""),
            ("q", "m", "", "timeout"),
            ("r", "n", "two", ""),
            ("q", "m", "three", ""),
            ("q", "m", "", "timeout"),
        )
    ]
    for one in every:
        store.add_exchange(one)
    assert store.exchanges_of("q") == [every[0], every[1], every[3], every[4]]
    assert store.exchanges_of("no") == []
    assert store.replies("q") == ["one", "three"]
    assert store.last_exchange("m") == every[3]
    assert store.last_exchange("n") == every[2]
    assert store.last_exchange("o") is None
    assert store.exchanges() == list(enumerate(every, start=1))
    assert store.exchanges(after=2, limit=2) == [(3, every[2]), (4, every[3])]
    assert store.exchanges(after=5) == []
    for _ in range(60):
        store.add_exchange(every[0])
    assert len(store.exchanges()) == 60
    assert [place for place, _ in store.exchanges(after=60)] == [61, 62, 63, 64, 65]


# ── scores ───────────────────────────────────────────────────────────────────────────────────────

CHOICE = Question(
    QuestionKind.INTRUDER_A, "tea cup", ("tea cup", "glass", "mug", NONE_OF_THESE), (CUP.prompt,)
)


def said_of(key: str, checker: str = CHECKER, best: str = "glass") -> list[Score]:
    values = {"tea cup": 0.2, "mug": 0.05, NONE_OF_THESE: 0.1, best: 0.65}
    return [Score(key, checker, CHOICE.key, Answer(value, name)) for name, value in values.items()]


def test_scores_are_sorted_by_checker_then_question_then_place(store: Store):
    first, second = drawn(store, 1, 2)
    store.add_scores(said_of(first, "b:b@1"), [CHOICE])
    store.add_scores(
        [
            Score(first, "b:b@1", PRESENT.key, Answer(1, box=Box(0.25, 0, 0.5, 0.75, "cup"))),
            *said_of(first, "a:a@1", "mug"),
            Score(second, "b:b@1", PRESENT.key, Answer(None, reason="dark", mass=0.5)),
        ],
        [PRESENT],
    )
    found = [
        (score.checker, score.question == CHOICE.key, score.answer.option, score.answer.value)
        for _, score in store.scores(first)
    ]
    assert found == [
        *(("b:b@1", True, *one) for one in (("glass", 0.65), ("tea cup", 0.2))),
        *(("b:b@1", True, *one) for one in ((NONE_OF_THESE, 0.1), ("mug", 0.05))),
        ("b:b@1", False, "", 1.0),
        *(("a:a@1", True, *one) for one in (("mug", 0.65), ("tea cup", 0.2))),
        ("a:a@1", True, NONE_OF_THESE, 0.1),
    ]
    boxed = store.scores(first)[4][1].answer
    assert boxed == Answer(1.0, box=Box(0.25, 0, 0.5, 0.75, "cup"))
    assert [one.answer.box for _, one in store.scores(first)].count(None) == 7
    every = list(store.all_scores())
    assert len(every) == 9
    assert {one.render for _, one in every} == {first, second}
    assert {(q.key, one.question) for q, one in every} == {
        (q.key, q.key) for q in (CHOICE, PRESENT)
    }
    assert store.evidence("b:b@1")[0].intruder_a == "glass"
    assert store.evidence("a:a@1")[0].intruder_a == "mug"


def test_an_answer_that_is_there_stays_and_takes_its_options_with_it(store: Store):
    first, second = drawn(store, 1, 2)
    store.add_scores(said_of(first)[:2], [CHOICE])
    store.add_scores([*said_of(first, best="mug"), *said_of(second)], [CHOICE])
    assert [one.answer.option for _, one in store.scores(first)] == ["tea cup", "mug"]
    assert len(store.scores(second)) == 4
    assert store.unscored(CHECKER, [(first, CHOICE), (second, CHOICE), (first, PRESENT)]) == [
        (first, PRESENT)
    ]
    broken = Score(first, CHECKER, PRESENT.key, Answer(None, reason="a\0"))
    assert refused(StoreError, store.add_scores, [broken], [PRESENT]).startswith("answer.reason: ")
    boxed = Answer(0.5, box=Box(0, 0, 1, 1, "a\0"))
    broken = dataclasses.replace(broken, answer=boxed)
    assert refused(StoreError, store.add_scores, [broken], [PRESENT]).startswith(
        "answer.box.words: "
    )
    for noun, score in (
        ("picture", dataclasses.replace(said_of(first)[0], render="k1:no")),
        ("question", dataclasses.replace(said_of(first)[0], question="k1:no")),
    ):
        assert refused(UnknownNameError, store.add_scores, [score], []) == (
            f"no {noun} in the store has the key 'k1:no'; add it first"
        )
    for table, name in (("checkers", "checker"), ("options", "option")):
        answer = Answer(0.5, "a\0") if name == "option" else Answer(0.5)
        told = {"checker": "a\0"} if name == "checker" else {}
        score = dataclasses.replace(said_of(first)[0], answer=answer, **told)
        assert refused(StoreError, store.add_scores, [score], []).startswith(f"{table}: ")


# ── evidence ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def judged(empty: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pairs and a third of the first one's prompt, two models, two checkers, some silence."""
    folder = shutil.copytree(empty, tmp_path_factory.mktemp("judged") / "audit")
    twin = dataclasses.replace(CUP, intruders=CUP.intruders[:1])
    dice = random.Random(5)
    with Store(folder) as store:
        store.add_pairs([GLASS, CUP, twin])
        for pair in (CUP, GLASS):
            for model, seeds in (("n@1", (3, 1)), ("m@1", (2, FIRST_REPAIR_SEED))):
                keys = drawn(store, *seeds, pair=pair, model=model)
                for key, seed in zip(keys, seeds, strict=True):
                    spec = make_spec(pair, seed, model)
                    if seed != 1:
                        store.add_scores(*answer_all(spec, pair, dice))
                    if seed == 3:
                        store.add_scores(*answer_all(spec, pair, dice, "clip:c@1"))
                    assert key == spec.key
            staged = make_spec(pair, 7, "m@1", Stage("x", 0.5), Stage(pair.prompt))
            store.add_renders([make_drawn(pair, staged)])
            store.add_renders([make_drawn(pair, make_spec(pair, 8), refusal="x")])
            asked = questions_of(pair)[QuestionKind.A_PRESENT]
            silent = Score(staged.key, CHECKER, asked.key, Answer(None, reason="dark"))
            store.add_scores([silent], [asked])
        store.link(twin.key, [make_spec(CUP, 3, "n@1").key])
        own = questions_of(twin)
        answers = [
            Score(
                make_spec(CUP, 3, "n@1").key, CHECKER, own[kind].key, Answer(0.125 * place, option)
            )
            for place, (kind, option) in enumerate(
                ((QuestionKind.A_PRESENT, ""), (QuestionKind.INTRUDER_A, "glass")), start=1
            )
        ]
        store.add_scores(answers, own.values())
    return folder


def test_lines_and_columns_say_the_same_in_their_orders(judged: Path):
    twin = dataclasses.replace(CUP, intruders=CUP.intruders[:1])
    with Store(judged, read_only=True) as store:
        for checker in (CHECKER, "clip:c@1", "no:x@1"):
            lines = store.evidence(checker)
            assert [(one.model, one.pair_key, one.seed) for one in lines] == sorted(
                (one.model, one.pair_key, one.seed) for one in lines
            )
            table = store.evidence_table(checker)
            assert len(table) == len(lines) == 13
            order = [
                (table.pair_keys[pair], table.models[model], seed)
                for pair, model, seed in zip(table.pair, table.model, table.seed, strict=True)
            ]
            assert order == sorted(order)
            by_place = {place: number for number, place in enumerate(order)}
            for one in lines:
                at = by_place[(one.pair_key, one.model, one.seed)]
                assert table.spec_keys[at] == one.spec_key
                for name in ("a", "b", "relation", "intruder_a_value", "intruder_b_value"):
                    value, wanted = getattr(table, name)[at], getattr(one, name)
                    assert (value == wanted) or (wanted is None and np.isnan(value)), name
                for name in ("intruder_a", "intruder_b"):
                    number = getattr(table, name)[at]
                    assert getattr(one, name) == (table.options[number] if number >= 0 else None)
                for name in ("staged", "scored", "refused", "of_repair"):
                    assert getattr(table, name)[at] == getattr(one, name), name
        every = store.evidence(CHECKER)
        shared = {
            one.pair_key: one for one in every if one.spec_key == make_spec(CUP, 3, "n@1").key
        }
        assert (shared[twin.key].a, shared[twin.key].intruder_a_value) == (0.125, 0.25)
        assert shared[twin.key].intruder_a == "glass"
        assert shared[CUP.key].a not in (None, 0.125)
        assert shared[twin.key].relation == shared[CUP.key].relation
        assert shared[twin.key].b == shared[CUP.key].b
        assert [one.of_repair for one in every if one.pair_key == twin.key] == [False]
        repairs = sorted((one.seed, one.staged) for one in every if one.of_repair)
        assert repairs == [(7, True), (7, True), *[(FIRST_REPAIR_SEED, False)] * 2]
        assert store.checkers() == ["clip:c@1", CHECKER]
        assert store.models() == ["m@1", "n@1"]


def test_evidence_is_asked_for_by_model_pair_pairs_and_seed(judged: Path):
    with Store(judged, read_only=True) as store:
        every = store.evidence(CHECKER)
        assert store.evidence(CHECKER, model="n@1") == [one for one in every if one.model == "n@1"]
        of_glass = [one for one in every if one.pair_key == GLASS.key]
        assert store.evidence(CHECKER, pair=GLASS.prompt) == of_glass
        assert store.evidence(CHECKER, pairs=[GLASS.key, "k1:no"]) == of_glass
        assert store.evidence(CHECKER, pairs=[]) == []
        keys = sorted({one.pair_key for one in every}, reverse=True)
        assert store.evidence(CHECKER, pairs=keys) == every
        assert store.evidence(CHECKER, pairs=keys, model="m@1", from_seed=7) == [
            one for one in every if one.model == "m@1" and one.seed >= 7
        ]
        assert store.evidence(CHECKER, from_seed=3) == [one for one in every if one.seed >= 3]


def asked(kind: QuestionKind, said: str, *options: str, contrast: tuple[str, ...] = ()) -> Question:
    return Question(kind, said, options, contrast)


@pytest.mark.parametrize(
    ("question", "distance"),
    [
        (asked(QuestionKind.A_PRESENT, "tea cup"), 3),
        (asked(QuestionKind.B_PRESENT, "iced coke"), 2),
        (asked(QuestionKind.A_PRESENT, "iced coke"), None),
        (asked(QuestionKind.B_PRESENT, "tea cup"), None),
        (asked(QuestionKind.A_PRESENT, "tea cup", contrast=(CUP.prompt,)), 2),
        (asked(QuestionKind.A_PRESENT, "tea cup", contrast=(CUP.prompt, "a mug of iced coke")), 1),
        (asked(QuestionKind.A_PRESENT, "tea cup", contrast=(CUP.prompt, "x")), 3),
        (asked(QuestionKind.RELATION, CUP.prompt), 4),
        (asked(QuestionKind.RELATION, "A tea cup of iced coke."), 4),
        (asked(QuestionKind.RELATION, "a cup"), None),
        (asked(QuestionKind.INTRUDER_A, "x", "tea cup", NONE_OF_THESE), 5),
        (asked(QuestionKind.INTRUDER_A, "x", "tea cup", "glass", "mug", NONE_OF_THESE), 3),
        (asked(QuestionKind.INTRUDER_A, "x", "tea cup", "glass", "mug", "bowl"), 4),
        (asked(QuestionKind.INTRUDER_A, "x", "glass"), None),
        (asked(QuestionKind.INTRUDER_B, "x", "iced coke", "hot tea"), 2),
        (asked(QuestionKind.INTRUDER_B, "x", "tea cup"), None),
        (asked(QuestionKind.LIKENESS, CUP.prompt), None),
        *((one, 0) for one in questions_of(CUP).values() if one.kind is not QuestionKind.RELATION),
    ],
)
def test_how_far_a_question_is_from_a_pair(question: Question, distance: int | None):
    told = dataclasses.replace(CUP, sentences=("A tea cup of iced coke.",))
    assert _distance(told, question) == distance


# ── what comes in pieces ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", [1, 2, 3, 900])
def test_many_names_are_asked_for_in_pieces(
    store: Store, monkeypatch: pytest.MonkeyPatch, size: int
):
    monkeypatch.setattr(rows, "CHUNK", size)
    assert [list(some) for some in rows.chunks("abc")] == [
        list("abc"[start : start + size]) for start in range(0, 3, size)
    ]
    seeds = (5, 3, 9, 1, 7)
    keys = drawn(store, *seeds)
    store.link(GLASS.key, keys[1:4])
    for seed in seeds:
        store.add_scores(*answer_all(make_spec(CUP, seed), CUP, random.Random(seed)))
    assert store.growth().links == 8
    wanted = [make_spec(CUP, seed) for seed in (1, 2, 3, 4)]
    assert [spec.seed for spec in store.missing(wanted)] == [2, 4]
    assert store.present([*keys, "k1:no"]) == set(keys)
    assert set(store.renders_of([*keys, "k1:no"])) == set(keys)
    assert store.unscored(CHECKER, [(key, PRESENT) for key in keys]) == [
        (key, PRESENT) for key in keys
    ]
    of_cup = questions_of(CUP)[QuestionKind.A_PRESENT]
    assert store.unscored(CHECKER, [(key, of_cup) for key in keys]) == []
    lines = store.evidence(CHECKER, pairs=[GLASS.key, CUP.key])
    assert sorted((one.seed, one.pair_key == CUP.key, one.a is None) for one in lines) == sorted(
        [
            *((seed, True, False) for seed in seeds),
            *((seed, False, True) for seed in (3, 9, 1)),
        ]
    )
    assert list(store.verify()) == []
    assert len(list(store.all_scores())) == 5 * 10


def test_names_are_numbered_once_and_what_is_near_is_told(store: Store):
    store.add_pairs([make_pair("tea cup", f"iced coke {letter}") for letter in "abcd"])
    said = refused(UnknownNameError, store.pair, "a tea cup of iced coke x")
    assert said.startswith(
        "no pair in the store is called 'a tea cup of iced coke x'; near it: a tea cup of iced coke"
    )
    assert said.count(", ") == 2
    keys = drawn(store, *range(6))
    assert refused(UnknownNameError, store.render, "k1:") == (
        f"more than one picture begins with 'k1:': {', '.join(sorted(keys)[:3])}; write more"
    )
    assert store.render(keys[4])[1].spec_key == keys[4]
    assert store.render(keys[4][:-1])[1].spec_key == keys[4]
    assert store.render(keys[4].removeprefix("k1:"))[1].spec_key == keys[4]
    assert refused(UnknownNameError, store.render, "k1:_").startswith("no picture in the store")
    twin = dataclasses.replace(CUP, intruders=())
    store.add_pairs([twin])
    assert refused(UnknownNameError, store.pair, CUP.prompt).startswith(
        f"no pair in the store is called {CUP.prompt!r}; near it: a tea cup of iced coke"
    )
    assert (store.pair(twin.key), store.pair(CUP.key)) == (twin, CUP)


# ── notes ────────────────────────────────────────────────────────────────────────────────────────


def test_notes_are_told_by_what_they_are_about_in_order(store: Store):
    (key,) = drawn(store, 1)
    of_pair = Note(About.PAIR, CUP.key, NoteKind.TAG, "odd", "ann", AT)
    of_picture = Note(About.PICTURE, key, NoteKind.TAG, "dark", "ben", AT)
    back = Note(About.PICTURE, key, NoteKind.TAG, "", "ben", AT, of_picture.key)
    other = Note(About.PAIR, GLASS.key, NoteKind.COMMENT, "why", "ann", AT)
    assert store.add_notes([of_pair, of_picture, of_pair]) == 2
    assert store.add_notes([of_pair, back, other]) == 2
    assert store.notes() == [of_pair, of_picture, back, other]
    assert store.notes(About.PAIR) == [of_pair, other]
    assert store.notes(About.PAIR, GLASS.key) == [other]
    assert store.notes(subject=key) == [of_picture, back]
    assert store.notes(About.REPAIR) == []
    assert store.tags() == ["dark", "odd"]
    for about in About:
        lost = dataclasses.replace(of_pair, about=about, subject="k1:no")
        assert refused(UnknownNameError, store.add_notes, [other, lost]) == (
            f"no {about} in the store has the key 'k1:no'"
        )
    assert refused(
        StoreError, store.add_notes, [dataclasses.replace(other, rater="a\0")]
    ).startswith("note.rater: ")
    assert len(store.notes()) == 4


# ── files ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("number", "said"),
    [
        *(
            (one, "no room to write {}: free some space on this disk and run the command again")
            for one in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        ),
        *(
            (one, "no permission to write {}: check who owns the folder and its disk")
            for one in (errno.EROFS, errno.EACCES, errno.EPERM)
        ),
        (
            errno.EIO,
            "{} cannot be written (Input/output error): check the disk and try again",
        ),
    ],
)
def test_a_disk_that_does_not_write_is_told_by_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, said: str
):
    folder = images.PictureFolder(tmp_path / "pictures")
    image = make_picture(1)
    path = folder.path(picture_hash(image))

    def broken(_handle: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", broken)
        assert refused(StoreError, folder.write, {picture_hash(image): image}) == said.format(path)
    assert not any(one.is_file() for one in tmp_path.rglob("*"))
    real = os.fsync

    def folders(handle: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{handle}"):  # noqa: PTH112 (a handle has no Path)
            broken(handle)
        real(handle)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", folders)
        assert refused(StoreError, folder.write, {picture_hash(image): image}) == said.format(path)
    monkeypatch.setattr(Path, "touch", lambda _self: broken(0))
    assert refused(StoreError, folder.leave, "mark") == said.format(
        tmp_path / "pictures" / images.DRAFTS / "mark"
    )


def test_a_network_disk_that_does_not_sync_folders_is_good_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    synced = []
    real = os.fsync

    def fsync(handle: int) -> None:
        here = str(Path(f"/proc/self/fd/{handle}").readlink())
        synced.append(here)
        if Path(here).is_dir():
            raise OSError(errno.EINVAL, "no")
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    folder = images.PictureFolder(tmp_path / "deep" / "pictures")
    image = make_picture(1)
    name = picture_hash(image)
    size = folder.write({name: image})[name]
    assert synced[-1] == str(folder.path(name).parent)
    assert len(synced) == 2
    assert folder.write({name: make_picture(2)}) == {name: size}
    assert len(synced) == 2
    assert folder.read(name).tobytes() == image.tobytes()
    assert folder.read_file(name) == folder.path(name).read_bytes()
    assert (folder.is_local, folder.address) == (True, str(tmp_path / "deep" / "pictures"))
    assert str(folder) == folder.address
    assert folder.place(name) == str(folder.path(name))


def test_drafts_of_the_dead_are_swept_before_the_first_picture_and_never_listed(tmp_path: Path):
    folder = images.PictureFolder(tmp_path)
    drafts = tmp_path / images.DRAFTS
    drafts.mkdir()
    old = tmp_path / "ab" / f".{'0' * 64}-{'1' * 8}.tmp"
    old.parent.mkdir()
    for path in (old, tmp_path / "b.txt", tmp_path / "a.txt", drafts / "mark"):
        path.write_text("x")
    long, upper = old.with_name(f".{'0' * 64}-{'1' * 9}.tmp"), old.with_name("x" + old.name)
    long.write_text("x")
    upper.write_text("x")
    assert list(folder.files()) == sorted(
        map(str, (long, upper, tmp_path / "a.txt", tmp_path / "b.txt"))
    )
    dead = drafts / images.draft_name("a" * 64).replace(f"-{os.getpid()}-", "-4194304-")
    assert dead.name != images.draft_name("a" * 64)
    dead.write_text("x")
    image = make_picture(1)
    folder.write({picture_hash(image): image})
    assert not dead.exists()
    dead.write_text("x")
    other = make_picture(2)
    folder.write({picture_hash(other): other})
    assert dead.exists(), "a folder is swept once by each process"
    assert not folder.sees("no")
    assert folder.sees("mark")
    folder.take_away("mark")
    folder.take_away("mark")
    assert not folder.sees("mark")


def test_a_picture_that_cannot_be_kept_or_read_is_a_sentence(tmp_path: Path):
    wide = Image.new("RGB", (16384, 1))
    assert refused(StoreError, images.encoded, wide) == (
        "a picture of 16384x1 cannot be kept as WebP (encoding error 5: Image size exceeds WebP "
        "limit of 16383 pixels): ask for at most 16383 pixels a side"
    )
    image = make_picture(1)
    assert images.recognised(io.BytesIO(images.encoded(image)), picture_hash(image), "here")
    with Image.open(io.BytesIO(images.encoded(image))) as opened:
        assert (opened.format, opened.size) == ("WEBP", image.size)
    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(OSError) as raised:
        images.encode(image, full)
    assert raised.value.errno == errno.ENOSPC
    assert refused(
        StoreError, images.recognised, io.BytesIO(b"nothing"), "a" * 64, "here"
    ).startswith("the picture here cannot be read (cannot identify image file")
    png = io.BytesIO()
    image.save(png, "PNG")
    assert refused(StoreError, images.recognised, png, picture_hash(image), "here").endswith(
        "): restore it from a copy of the store"
    )
    assert (
        refused(StoreError, images.recognised, io.BytesIO(images.encoded(image)), "a" * 64, "here")
        == "the picture here has changed since it was drawn: restore it from a copy of the store"
    )
    folder = images.PictureFolder(tmp_path)
    path = folder.path("a" * 64)
    assert refused(StoreError, folder.read, "a" * 64) == (
        f"the picture {path} is missing: restore the file from a copy of the store"
    )
    path.parent.mkdir()
    os.mkfifo(path)
    assert refused(StoreError, folder.read_file, "a" * 64) == (
        f"the picture {path} cannot be read (it is no file): restore it from a copy of the store"
    )
    assert images.name_of("ab" + "0" * 62) == f"ab/ab{'0' * 62}.webp"


# ── places ───────────────────────────────────────────────────────────────────────────────────────


def test_a_folder_remembers_where_its_pictures_lie_and_says_so(tmp_path: Path):
    beside, elsewhere = tmp_path / "pictures", tmp_path / "elsewhere"
    assert said_place(tmp_path, None) == beside
    assert said_place(tmp_path, elsewhere) == elsewhere
    assert said_place(None, elsewhere) == elsewhere
    remember_place(tmp_path, pictures_at(beside))
    file = tmp_path / "pictures.address"
    assert not file.exists()
    beside.mkdir()
    assert said_place(tmp_path, str(beside)) == str(beside)
    assert refused(StoreError, said_place, tmp_path, elsewhere) == (
        f"the pictures of {tmp_path} lie at {beside}, not at {elsewhere}: leave --pictures out, or "
        "move them with `lcmis db move`"
    )
    remember_place(tmp_path, pictures_at(elsewhere))
    assert file.read_text("utf-8") == f"{elsewhere}\n"
    remember_place(tmp_path, pictures_at(tmp_path / "third"))
    remember_place(tmp_path, pictures_at(beside))
    assert said_place(tmp_path, None) == str(elsewhere)
    assert said_place(tmp_path, elsewhere) == elsewhere
    assert refused(StoreError, said_place, tmp_path, beside).startswith(
        f"the pictures of {tmp_path} lie at {elsewhere}, not at {beside}: "
    )
    remember_place(tmp_path, pictures_at(tmp_path / "third"), anew=True)
    assert said_place(tmp_path, None) == str(tmp_path / "third")
    remember_place(tmp_path, pictures_at(beside), anew=True)
    remember_place(tmp_path, pictures_at(beside), anew=True)
    assert not file.exists()
    file.write_text(" \n")
    assert said_place(tmp_path, None) == beside
    file.write_bytes(b"\xff")
    said = refused(StoreError, said_place, tmp_path, None)
    assert said.startswith(f"{file} cannot be read ('utf-8' codec can't decode byte 0xff")
    assert said.endswith("): it says where the pictures lie")
    assert pictures_at(tmp_path).address == str(tmp_path)


def test_a_store_says_where_files_that_are_no_facts_may_lie(folder: Path, tmp_path: Path):
    with Store(folder) as store:
        assert store.folder == folder
        assert store.pictures.address == str(folder / "pictures")
    file = f"sqlite:///{folder}/facts.db"
    with Store(file, pictures=tmp_path / "there" / "pictures") as store:
        assert store.folder == tmp_path / "there"
    with Store(file, pictures="memory://digits") as store:
        assert refused(StoreError, lambda: store.folder) == (
            f"{folder}/facts.db has neither its facts nor its pictures in a folder of this "
            "machine, so there is no place for what can be computed again: bring the store into a "
            "folder with `lcmis db move`"
        )
    assert refused(StoreError, Store, file) == (
        f"{folder}/facts.db says nothing of pictures: name a folder for them too"
    )


# ── engines and schemas ──────────────────────────────────────────────────────────────────────────


def test_a_connection_has_its_settings(folder: Path):
    place = place_of(folder)
    for read_only, wait in ((False, 1.5), (True, 30.0)):
        engine = place.engine(read_only=read_only, wait_seconds=wait)
        with engine.connect() as connection:

            def pragma(name: str, connection=connection) -> object:
                return connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()

            assert pragma("query_only") == read_only
            assert pragma("foreign_keys") == 1
            assert pragma("busy_timeout") == 1000 * wait
            assert pragma("journal_mode") == "wal"
            if not read_only:
                assert pragma("synchronous") == 1
            begun = connection.connection.driver_connection
            assert begun is not None
            assert begun.in_transaction
        assert engine.get_execution_options()["place"] == str(folder)
        engine.dispose()
    with place.engine(read_only=False).connect() as bare:
        writer = bare.execution_options(writes=True)
        with writer.begin(), place.engine(read_only=False, wait_seconds=0).connect() as other:
            other.execute(text("SELECT 1"))  # a reader does not wait
    server = place_of("postgresql://me:secret@host:99/db")
    pytest.importorskip("psycopg")
    for read_only in (True, False):
        engine = server.engine(read_only=read_only)
        options = engine.get_execution_options()
        assert options == {"place": str(server)} | (
            {"postgresql_readonly": True} if read_only else {}
        )
    with pytest.raises(StoreError, match="the driver for postgresql\\+nodriver is not installed"):
        place_of("postgresql+nodriver://host/db").engine(read_only=True)


def test_places_without_permission_are_sentences(tmp_path: Path):
    (tmp_path / "file").write_text("x")
    blocked = place_of(tmp_path / "file" / "audit")
    assert refused(StoreError, blocked.make) == (
        f"the folder {tmp_path / 'file' / 'audit'} cannot be made (Not a directory): "
        "name another one"
    )
    long = place_of(tmp_path / ("x" * 300))
    assert refused(StoreError, long.exists) == (
        f"{tmp_path / ('x' * 300)} cannot be looked at (File name too long): "
        "check who owns the folder"
    )
    deep = place_of(tmp_path / "a" / "b")
    deep.make()
    deep.make()
    assert (tmp_path / "a" / "b").is_dir()


def test_a_schema_that_differs_is_told_line_by_line(folder: Path, tmp_path: Path):
    with closing(sqlite3.connect(folder / "facts.db")) as connection:
        connection.execute("ALTER TABLE notes ADD COLUMN more TEXT")
        connection.execute("DROP INDEX ix_failures_item")
        connection.commit()
    with Store(folder, read_only=True) as store:
        lines = store.drift()
    assert len(lines) == 2
    assert all(line.startswith(f"{folder}: ('") for line in lines)
    assert any("remove_column" in line for line in lines)
    assert any("add_index" in line for line in lines)
    engine = create_engine(f"sqlite:///{tmp_path}/typed.db")
    with closing(sqlite3.connect(folder / "facts.db")) as source:
        told = "\n".join(source.iterdump())
    told = told.replace("device TEXT", "device INTEGER", 1).replace(
        "DEFAULT '[]'", "DEFAULT '[1]'", 1
    )
    with closing(sqlite3.connect(tmp_path / "typed.db")) as target:
        target.executescript(told)
    found = " ".join(schema.check(engine))
    assert "modify_type" in found
    assert "modify_default" in found


def test_what_another_program_made_is_told_from_an_empty_database(tmp_path: Path):
    engine = create_engine(f"sqlite:///{tmp_path}/x.db")

    def after(*statements: str) -> str | None:
        (tmp_path / "x.db").unlink(missing_ok=True)
        engine.dispose()
        with closing(sqlite3.connect(tmp_path / "x.db")) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.commit()
        try:
            return schema.current(engine)
        except StoreError as error:
            return str(error)

    version = "CREATE TABLE alembic_version (version_num TEXT)"
    ours = ("CREATE TABLE renders (id INT)", "CREATE TABLE scores (id INT)")
    other = (
        f"sqlite:///{tmp_path}/x.db is a database of another program: name another folder or URL"
    )
    assert after() is None
    assert after(version) is None
    assert after("CREATE TABLE a (id INT)") == other
    assert after(version, "CREATE TABLE a (id INT)") == other
    assert after(*ours) == other
    number = "INSERT INTO alembic_version VALUES ('{}')"
    assert after(version, *ours, number.format("0003")) == "0003"
    assert after(version, ours[0], number.format("0003")) == other
    assert after(version, ours[1], number.format("0003")) == other
    assert after(version, *ours, number.format("00031")) == other
    assert after(version, *ours, number.format("abcd")) == other
    assert after(version, *ours) == other
    assert after(version, number.format("0003")) == other


def test_the_newest_revision_is_that_of_the_files_and_newer_ones_are_refused(tmp_path: Path):
    versions = tmp_path / "versions"
    versions.mkdir()
    for name in ("0002_b.py", "0010_c.py", "0001_a.py", "notes_9.py", "0099.py", "0098_x.txt"):
        (versions / name).touch()
    assert schema.head(tmp_path) == "0010"
    schema.refuse_newer("here", None, "0002")
    schema.refuse_newer("here", "0002", "0002")
    assert refused(StoreError, schema.refuse_newer, "here", "0003", "0002") == (
        "here was made by a newer lcmis (schema 0003, this one knows 0002): upgrade lcmis"
    )


def test_an_upgrade_says_what_it_did_and_where_the_old_one_is(tmp_path: Path):
    old = Path(__file__).with_name("assets") / "schema-0001.db"
    audit = tmp_path / "audit"
    audit.mkdir()
    shutil.copy(old, audit / "facts.db")
    copy = audit / "facts-schema-0001.db"
    assert schema.upgrade_store(audit) == (
        f"{audit} is upgraded from schema 0001 to {schema.head()}; the old database is kept as "
        f"{copy}"
    )
    with closing(sqlite3.connect(copy)) as kept, closing(sqlite3.connect(old)) as before:
        assert list(kept.iterdump()) == list(before.iterdump())
    nothing = refused(StoreError, schema.upgrade_store, tmp_path / "no")
    assert nothing == f"there is no audit at {tmp_path / 'no'}: run `lcmis audit` first"


# ── a store of pictures elsewhere ────────────────────────────────────────────────────────────────


def test_a_disk_behind_an_address_gets_drafts_first(tmp_path: Path):
    pictures = buckets.PictureBucket(f"file://{tmp_path}/p/")
    assert pictures.address == f"file://{tmp_path}/p"
    assert not pictures.is_local
    one, two = make_picture(1), make_picture(2)
    names = [picture_hash(image) for image in (one, two)]
    sizes = pictures.write({names[0]: one})
    again = pictures.write(dict(zip(names, (two, two), strict=True)))
    assert again == {names[0]: sizes[names[0]], names[1]: len(images.encoded(two))}
    place = tmp_path / "p" / names[0][:2] / f"{names[0]}.webp"
    assert place.stat().st_size == sizes[names[0]]
    assert pictures.place(names[0]) == f"file://{place}"
    assert list(pictures.files()) == sorted(map(pictures.place, names))
    assert list((tmp_path / "p" / images.DRAFTS).iterdir()) == []
    pictures.leave("mark")
    assert (tmp_path / "p" / images.DRAFTS / "mark").read_bytes() == b""
    assert pictures.sees("mark")
    assert list(pictures.files()) == sorted(map(pictures.place, names))
    pictures.take_away("mark")
    pictures.take_away("mark")
    assert not pictures.sees("mark")
    assert pictures.read(names[0]).tobytes() == one.tobytes()
    assert pictures.read_file(names[0]) == place.read_bytes()


def test_what_a_service_says_is_one_sentence_by_its_kind(monkeypatch: pytest.MonkeyPatch):
    pictures = buckets.PictureBucket("memory://digits-said")
    image = make_picture(1)
    name = picture_hash(image)
    assert refused(StoreError, pictures.read, name) == (
        f"the picture {pictures.place(name)} is missing: restore the file from a copy of the "
        "store, or check the name of the bucket"
    )
    pictures.write({name: make_picture(2)})
    for read in (pictures.read, pictures.read_file):
        assert refused(StoreError, read, name) == (
            f"the picture {pictures.place(name)} has changed since it was drawn: restore it from a "
            "copy of the store"
        )
    memory = fsspec.filesystem("memory")
    rights = "with these rights: check the keys and what they allow there; all that is kept stays"
    for trouble, said in (
        (PermissionError("no"), f"memory://digits-said may not be {{}} {rights}"),
        (
            OSError("line one\nline two"),
            "memory://digits-said cannot be {} (line one): check the network, the endpoint and the "
            "keys, and run the command again",
        ),
        (
            TimeoutError(),
            "memory://digits-said cannot be {} (TimeoutError): check the network, the endpoint and "
            "the keys, and run the command again",
        ),
        (
            FileNotFoundError("x"),
            "there is no bucket at memory://digits-said: make it, or check its name and the "
            "endpoint",
        ),
    ):

        def broken(*_: object, trouble: Exception = trouble, **__: object) -> None:
            raise trouble

        with monkeypatch.context() as patched:
            for method in ("pipe", "pipe_file", "cat_file", "find", "exists", "rm_file"):
                patched.setattr(type(memory), method, broken)
            missing = isinstance(trouble, FileNotFoundError)
            new = {"b" * 64: b"x"}
            assert refused(StoreError, pictures.write_files, new) == said.format("written")
            assert refused(StoreError, pictures.leave, "m") == said.format("written")
            assert refused(StoreError, pictures.sees, "m") == said.format("read")
            assert refused(StoreError, lambda: list(pictures.files())) == said.format("listed")
            if missing:
                pictures.take_away("m")
            else:
                assert refused(StoreError, pictures.read, name) == said.format("read")
                assert refused(StoreError, pictures.take_away, "m") == said.format("written")
    assert refused(StoreError, buckets.PictureBucket, "nonsense://x") == (
        "pictures cannot lie at nonsense://x (nonsense:// is no place that lcmis keeps pictures "
        "at): name a folder, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX, "
        "sftp://HOST/FOLDER, or another address of abfs, abfss, adl, az, ftp, gcs, gs, hdfs, http, "
        "https, s3, s3a, sftp, smb, ssh, webhdfs"
    )
    assert refused(StoreError, buckets.PictureBucket, "adl://x") == (
        "pictures at adl://x need a package that is not installed: pip install "
        '"an fsspec package for adl://"'
    )
    secret = buckets.PictureBucket("memory://me:canary-3@digits")
    assert "canary-3" not in str(secret)
    assert "canary-3" not in secret.place(name)


def test_a_copy_of_a_picture_is_kept_in_the_users_cache_and_the_oldest_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(buckets, "CACHED_FILES", 32)
    pictures = buckets.PictureBucket("memory://digits-cached")
    made = {picture_hash(one): one for one in map(make_picture, range(36))}
    names = list(made)
    pictures.write(made)
    for age, name in enumerate(names[:33]):
        path = pictures.path(name)
        assert path.read_bytes() == pictures.read_file(name)
        os.utime(path, ns=(age, age))
    root = path.parents[1]
    assert root.parent == tmp_path / "lcmis" / "pictures"
    assert len(root.name) == 16
    assert len(list(root.rglob("*.webp"))) == 33
    pictures.path(names[33])
    kept = {one.stem for one in root.rglob("*.webp")}
    assert kept == set(names[2:34])
    pictures.path(names[34])
    assert len(list(root.rglob("*.webp"))) == 33
    other = buckets.PictureBucket("memory://digits-other")
    assert other._cache.root != root
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    fresh = buckets.PictureBucket("memory://digits-cached")
    assert fresh._cache.root == tmp_path / "home" / ".cache" / "lcmis" / "pictures" / root.name


# ── two stores ───────────────────────────────────────────────────────────────────────────────────


def test_what_two_stores_have_is_added_up_and_each_kind_keeps_its_number(
    store: Store, empty: Path, tmp_path: Path
):
    with Store(shutil.copytree(empty, tmp_path / "other")) as target:
        target.add_pairs([GLASS])
        (there,) = drawn(target, 1, pair=GLASS)
        drawn(store, 4, 5)
        drawn(store, 1, 2, pair=GLASS)
        for each, times in ((store, 3), (target, 1)):
            for _ in range(times):
                each.add_exchange(Exchange("q", "m", (("user", "x"),), "yes", ""))
        target.add_exchange(Exchange("r", "m", (("user", "x"),), "yes", ""))
        for item in ("a", "b", "a"):
            store.add_failure(Failure(item, "ask", "no", AT))
        target.add_failure(Failure("a", "ask", "no", AT))
        store.clear_failure("b")
        asked = questions_of(GLASS)[QuestionKind.A_PRESENT]
        store.add_scores([Score(there, CHECKER, asked.key, Answer(0.25))], [asked])
        target.add_scores([Score(there, CHECKER, asked.key, Answer(0.75))], [asked])
        other = dataclasses.replace(make_drawn(CUP, make_spec(CUP, 4)), image=make_picture(99))
        assert other.image is not None
        render = dataclasses.replace(other.render, sha256=picture_hash(other.image))
        target.add_pairs([CUP])
        target.add_renders([dataclasses.replace(other, render=render)])
        moved = copy_all(store, target)
        assert (moved.differing, moved.files, moved.faults) == (1, 3, ())
        assert (moved.before.renders, moved.after.renders) == (2, 4)
        assert (moved.before.exchanges, moved.after.exchanges) == (2, 4)
        assert (moved.after.failures, moved.after.dismissals) == (3, 1)
        assert [one.item for one in target.failures()] == ["a"]
        assert target.evidence(CHECKER, pair=GLASS.key)[0].a == 0.75
        assert target.hashes()[make_spec(CUP, 4).key] == render.sha256
        assert list(target.verify()) == []
        again = copy_all(store, target)
        assert (again.before, again.after) == (again.after, moved.after)
        store.image_path(picture_hash(make_picture(5))).unlink()
        third = tmp_path / "third"
        files, faults = move_pictures(store, str(tmp_path / "audit"), str(third))
        assert (files, len(faults)) == (3, 1)
        assert "is missing" in faults[0]
        assert store.pictures.address == str(tmp_path / "audit" / "pictures")
        assert not (tmp_path / "audit" / "pictures.address").exists()
        files, faults = move_pictures(target, str(tmp_path / "other"), str(third))
        assert (files, faults) == (4, [])
        address = tmp_path / "other" / "pictures.address"
        assert address.read_text("utf-8") == f"{third}\n"
        move_pictures(target, str(tmp_path / "other"), str(tmp_path / "fourth"))
        assert address.read_text("utf-8") == f"{tmp_path / 'fourth'}\n"
        move_pictures(target, str(tmp_path / "other"), str(tmp_path / "other" / "pictures"))
        assert not address.exists()


def test_answers_and_boxes_that_the_other_store_lacks_come_along(
    store: Store, empty: Path, tmp_path: Path
):
    with (
        Store(shutil.copytree(empty, tmp_path / "nothing")) as nothing,
        Store(shutil.copytree(empty, tmp_path / "other")) as target,
    ):
        assert copy_all(nothing, target).after == target.growth()
        mug = make_pair("mug", "milk")  # so that the same things have other numbers here
        target.add_pairs([mug, CUP])
        (other,) = drawn(target, 7, pair=mug, model="z@1")
        of_mug = questions_of(mug)[QuestionKind.A_PRESENT]
        target.add_scores([Score(other, "z:z@1", of_mug.key, Answer(0.5, "odd"))], [of_mug])
        first, second = drawn(store, 1, 2)
        drawn(target, 2)
        boxed = Answer(0.5, box=Box(0.25, 0.125, 0.5, 1, "cup"))
        store.add_scores(
            [Score(first, CHECKER, PRESENT.key, boxed), *said_of(second)], [PRESENT, CHOICE]
        )
        target.add_scores(said_of(second, "clip:c@1")[:2], [CHOICE])
        store.add_labels([Label(first, PRESENT.key, "yes", "ann", AT)])
        store.link(GLASS.key, [first, second])
        chosen = Candidate((Stage("x", 0.25), Stage("y")))
        store.add_nomination(Nomination(CUP.key, "m@1", "moce", "g@1", chosen, 9, 4, "found"))
        store.add_run(Run("r1", AT, "lcmis audit", "{}", "{}", "abc", "cpu"))
        candidate = Candidate((Stage("x", 0.5), Stage("y")))
        store.add_trial(Trial(CUP.key, "m@1", "moce", "g@1", candidate, (Seen(1, 0.5, 0.25),)))
        moved = copy_all(store, target)
        assert (moved.differing, moved.files, moved.faults) == (0, 2, ())
        assert target.scores(first) == store.scores(first)
        assert target.render(first) == store.render(first)
        assert target.nominations(CUP.key, "m@1") == store.nominations()
        assert target.pairs() == [mug, CUP, GLASS]
        assert target.pairs_of(first) == [CUP.key, GLASS.key]
        assert [one.spec.key for one in target.renders(model="m@1")] == [second, first]
        assert [one.checker for _, one in target.scores(second)] == [
            *["clip:c@1"] * 2,
            *[CHECKER] * 4,
        ]
        lines = {one.spec_key: one for one in target.evidence(CHECKER, pair=CUP.key)}
        assert (lines[first].a, lines[second].intruder_a) == (0.5, "glass")
        assert target.labels() == store.labels()
        assert target.runs() == store.runs()
        assert target.trials(CUP.key, "m@1") == store.trials()
        assert list(target.verify()) == []


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("botocore.exceptions", "BotoCoreError"),
        ("botocore.exceptions", "ClientError"),
        ("aiohttp", "ClientError"),
        ("gcsfs.retry", "HttpError"),
        ("google.auth.exceptions", "GoogleAuthError"),
        ("azure.core.exceptions", "AzureError"),
        ("ftplib", "Error"),
        ("paramiko.ssh_exception", "SSHException"),
        ("smbprotocol.exceptions", "SMBException"),
    ],
)
def test_what_a_package_of_a_bucket_raises_is_a_sentence_too(
    monkeypatch: pytest.MonkeyPatch, module: str, name: str
):
    class Theirs(Exception):
        pass

    names = (
        *("BotoCoreError", "ClientError", "HttpError", "GoogleAuthError", "AzureError"),
        *("Error", "SSHException", "SMBException"),
    )
    others = dict.fromkeys(names, KeyError)
    monkeypatch.setitem(sys.modules, module, SimpleNamespace(**{**others, name: Theirs}))

    def broken(*_: object, **__: object) -> None:
        raise Theirs("slow down")

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "cat_file", broken)
    said = refused(StoreError, buckets.PictureBucket("memory://x").read, "a" * 64)
    assert said.startswith("memory://x cannot be read (slow down): check the network")


def test_a_batch_that_only_links_writes_only_what_is_new(store: Store):
    (key,) = drawn(store, 1)
    assert store.pairs_of(key) == [CUP.key]
    store.add_many(links={GLASS.key: [key]})
    assert store.pairs_of(key) == [CUP.key, GLASS.key]
    with Store(store.folder, read_only=True) as reader:
        reader.add_many(links={GLASS.key: [key]})
        assert refused(StoreError, reader.add_many, failures=[Failure("a", "b", "c", AT)])
    elsewhere = make_drawn(CUP, make_spec(CUP, 2))
    assert elsewhere.image is not None
    sizes = store.pictures.write({elsewhere.render.sha256: elsewhere.image})
    (size,) = sizes.values()
    exchange = Exchange("q", "m", (("user", "x"),), "yes", "")
    store.add_many(
        [dataclasses.replace(elsewhere, image=None, num_bytes=size)],
        [Score(elsewhere.spec.key, CHECKER, PRESENT.key, Answer(0.5))],
        [PRESENT],
        exchanges=[exchange],
        failures=[Failure(elsewhere.spec.key, "check", "late", AT)],
    )
    assert (
        store.counts().picture_bytes
        == size + store.image_path(picture_hash(make_picture(1))).stat().st_size
    )
    assert store.exchanges_of("q") == [exchange]
    assert [one.sentence for one in store.failures()] == ["late"]
    assert store.profiles("m@1") == dict.fromkeys((key, elsewhere.spec.key), "cpu-float32-b16")
    assert store.profiles("no") == {}
    assert store.hashes() == {
        key: picture_hash(make_picture(1)),
        elsewhere.spec.key: elsewhere.render.sha256,
    }
    assert store.evidence(CHECKER, pair=CUP.key)[1].a == 0.5
    more = make_drawn(CUP, make_spec(CUP, 3))
    store.add_many([more], links={GLASS.key: [key]})
    assert store.present([more.spec.key]) == {more.spec.key}
    score = Score(key, CHECKER, PRESENT.key, Answer(0.25))
    store.add_many(scores=[score], questions=[PRESENT], links={GLASS.key: [key]})
    assert len(store.scores(key)) == 1
    store.add_many(exchanges=[exchange], links={GLASS.key: [key]})
    assert store.exchanges_of("q") == [exchange] * 2
    store.add_many(failures=[Failure("x", "ask", "no", AT)], links={GLASS.key: [key]})
    assert [one.sentence for one in store.failures()] == ["late", "no"]
    refusal = Drawn(
        CUP.key, make_spec(CUP, 9), Render(make_spec(CUP, 9).key, "", 0, "c", "a\0"), None
    )
    assert refused(StoreError, store.add_renders, [refusal]).startswith("render.refusal: ")
    odd = dataclasses.replace(refusal, render=dataclasses.replace(refusal.render, device="a\0"))
    assert refused(StoreError, store.add_renders, [odd]).startswith("render.device: ")


def test_a_value_that_was_changed_by_hand_is_told_by_its_key(store: Store, folder: Path):
    (key,) = drawn(store, 1)
    store.add_scores([Score(key, CHECKER, PRESENT.key, Answer(0.5))], [PRESENT])
    note = Note(About.PAIR, CUP.key, NoteKind.TAG, "odd", "ann", AT)
    store.add_notes([note])
    assert list(store.verify()) == []
    with closing(sqlite3.connect(folder / "facts.db")) as connection:
        for table in ("pairs", "questions"):
            connection.execute(
                f"UPDATE {table} SET document = replace(document, 'tea cup', 'tea pot') "
                "WHERE document LIKE '%tea cup%'"
            )
        connection.execute("UPDATE notes SET text = 'even'")
        connection.execute("UPDATE specs SET document = replace(document, 'Euler', 'Heun')")
        connection.commit()
    assert list(store.verify()) == [
        f"the pair {CUP.key} is not what its key says",
        f"the question {PRESENT.key} is not what its key says",
        f"the note {note.key} is not what its key says",
        f"the spec {key} is not what its key says",
    ]


def test_an_address_is_read_to_the_letter():
    assert make_url("postgresql://h/d").drivername == "postgresql"
    assert str(place_of("postgresql+psycopg://h/d")) == "postgresql+psycopg://h/d"
    assert "canary" not in str(place_of("postgresql://h/d?password=canary-1"))
    assert refused(StoreError, place_of, "sqlite://").startswith(
        "lcmis keeps its facts in an SQLite file or in PostgreSQL, not in sqlite://"
    )
