"""A store at another place, and two made apart: the same facts by their keys, each once."""

from __future__ import annotations

import dataclasses
import random
import sqlite3
from contextlib import closing

import pytest
from worlds import buckets, facts
from worlds.facts import CHECKER, answer_all, make_drawn, make_pair, make_picture, make_spec

from lcmis.store import Drawn, Store, moving, picture_hash, rows
from lcmis.store.moving import copy_all
from lcmis.store.tables import Base
from lcmis.types import (
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
    Render,
    Run,
    Score,
    Shift,
    Stage,
    Trial,
)

folder = facts.folder
place = facts.place
postgresql = facts.postgresql
s3 = buckets.s3
bucket = buckets.bucket

CUP, GLASS = make_pair(), make_pair("wine glass", "milk")
AT = "2026-01-01T00:00:00+00:00"


def fill(store, pairs=(CUP, GLASS), seeds=range(4), rater="anna"):
    """Something of every kind of fact."""
    store.add_pairs(pairs)
    for one in pairs:
        for seed in seeds:
            spec = make_spec(one, seed)
            store.add_renders([make_drawn(one, spec)])
            store.add_scores(*answer_all(spec, one, random.Random(spec.key)))
        boxed = make_spec(one, seeds[0])
        question = next(iter(facts.questions_of(one).values()))
        found = Answer(0.7, box=Box(0.1, 0.2, 0.3, 0.4, "tea cup"))
        store.add_scores([Score(boxed.key, "detector@1", question.key, found)], [question])
        store.add_notes([Note(About.PAIR, one.key, NoteKind.COMMENT, "odd cup", rater, AT)])
        store.add_labels([Label(boxed.key, question.key, "yes", rater, AT)])
        store.add_renders([make_drawn(one, make_spec(one, 77), refusal="withheld")])
        chosen = Candidate((Stage(f"a {one.a.name}", 0.5), Stage(one.prompt)), "")
        store.add_nomination(
            Nomination(one.key, "m@1", "moce", "clip:guide@1", chosen, 8, 5, "found")
        )
    store.link(pairs[-1].key, [make_spec(pairs[0], seeds[0]).key])
    store.add_exchange(Exchange("k1:1", "openai:judge", (("user", "?"),), "yes", ""))
    store.add_failure(Failure("k1:a", "propose", "unreadable", AT))
    store.add_failure(Failure("k1:b", "propose", "unreadable", AT))
    store.clear_failure("k1:b")


def told(store):
    """All that a store says, without numbers of its own."""
    return {
        "pairs": {one.key: one for one in store.pairs()},
        "renders": {one.spec.key: (one.render, one.spec) for one in store.renders(limit=10_000)},
        "scores": {
            one.spec.key: sorted(
                ((q.key, score) for q, score in store.scores(one.spec.key)), key=repr
            )
            for one in store.renders(limit=10_000)
        },
        "evidence": store.evidence(CHECKER),
        "labels": set(store.labels()),
        "nominations": set(store.nominations()),
        "exchanges": [one for _, one in store.exchanges()],
        "failures": store.failures(),
        "growth": store.growth(),
    }


def test_a_store_that_moved_says_the_same(place, tmp_path) -> None:
    with Store(tmp_path / "from", create=True) as source:
        fill(source)
        with Store(**place, create=True) as target:
            moved = copy_all(source, target)
            assert told(target) == told(source)
            assert list(target.verify()) == []
            assert (moved.differing, moved.faults) == (0, ())
            again = copy_all(source, target)
            assert again.before == again.after == moved.after
        with Store(**place) as source, Store(tmp_path / "back", create=True) as back:
            copy_all(source, back)
            assert told(back) == told(source)


def test_no_table_is_forgotten(tmp_path) -> None:
    """A table that came later is moved, too: of each, this store has a row."""
    with Store(tmp_path / "from", create=True) as source:
        fill(source)
        source.add_run(Run("r1", AT, "audit", "{}", "{}", "", "cpu", ("m@1",), (CHECKER,)))
        candidate = Candidate((Stage(CUP.prompt),), "")
        source.add_trial(Trial(CUP.key, "m@1", "moce", "clip:guide@1", candidate, ()))
        source.add_many(shifts=[Shift("r1", "worker 1", "here", "cpu", "m@1", AT, 60.0, 59.0, 4)])
        with Store(tmp_path / "to", create=True) as target:
            copy_all(source, target)

    def rows(name):
        with closing(sqlite3.connect(tmp_path / name / "facts.db")) as database:
            return {
                table: database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
                for table in Base.metadata.tables
            }

    assert rows("to") == rows("from")
    assert min(rows("from").values()) > 0


def test_stores_made_apart_are_merged_and_what_both_have_is_kept_once(place, tmp_path) -> None:
    with Store(tmp_path / "whole", create=True) as whole:
        fill(whole, (CUP, GLASS), range(6))
        with Store(**place, create=True) as one, Store(tmp_path / "other", create=True) as other:
            fill(one, (CUP, GLASS), range(4))
            fill(other, (CUP, GLASS), range(6))
            copy_all(other, one)
            merged, expected = told(one), told(whole)
            assert merged == expected
            assert list(one.verify()) == []


def test_a_question_that_one_asked_of_a_picture_the_other_linked_speaks_of_its_pair(
    tmp_path,
) -> None:
    twin = dataclasses.replace(CUP, sentences=("a cup with coke",))
    spec = make_spec(CUP)
    with Store(tmp_path / "one", create=True) as one, Store(tmp_path / "two", create=True) as two:
        one.add_pairs([twin])
        one.add_renders([make_drawn(twin, spec)])
        two.add_pairs([CUP])
        two.add_renders([make_drawn(CUP, spec)])
        two.add_scores(*answer_all(spec, CUP, random.Random(0)))
        copy_all(two, one)
        (line,) = one.evidence(CHECKER, pair=twin.key)
        assert line.a is not None
        assert line.a == one.evidence(CHECKER, pair=CUP.key)[0].a


def test_where_two_stores_show_one_specification_differently_the_first_one_stays(
    tmp_path,
) -> None:
    spec = make_spec(CUP)
    another = make_picture(99)
    render = Render(spec.key, picture_hash(another), 0.5, "cpu")
    with Store(tmp_path / "one", create=True) as one, Store(tmp_path / "two", create=True) as two:
        for store in (one, two):
            store.add_pairs([CUP])
        one.add_renders([make_drawn(CUP, spec)])
        two.add_renders([Drawn(CUP.key, spec, render, another)])
        two.add_scores(*answer_all(spec, CUP, random.Random(0)))
        moved = copy_all(two, one)
        assert moved.differing == 1
        assert one.scores(spec.key) == []
        assert one.render(spec.key)[1].sha256 != render.sha256
        assert list(one.verify()) == []
        two.add_notes([Note(About.PICTURE, spec.key, NoteKind.COMMENT, "no handle", "ben", AT)])
        two.add_notes([Note(About.PAIR, CUP.key, NoteKind.COMMENT, "odd pair", "ben", AT)])
        two.add_failure(Failure(spec.key, "check", "unreadable", AT))
        copy_all(two, one)
        assert [note.text for note in one.notes()] == ["odd pair"], "what was said of the other"
        assert one.failures() == []


class Stopped(BaseException):
    """A kill, as far as a transaction can tell."""


def test_stopped_at_any_row_and_run_again_nothing_is_lost(tmp_path, monkeypatch) -> None:
    """Nor is half an answer ever there: its options come together, and with their boxes."""
    with Store(tmp_path / "from", create=True) as source:
        fill(source, seeds=range(2))
        expected = told(source)
        writes = []
        real = moving.insert_new

        def counted(connection, table, rows):
            writes.append(table)
            real(connection, table, rows)

        monkeypatch.setattr(moving, "insert_new", counted)
        monkeypatch.setattr(rows, "CHUNK", 3)  # answers go by more than one page
        with Store(tmp_path / "whole", create=True) as target:
            copy_all(source, target)
        for last in range(len(writes)):
            left = [last]

            def stops(connection, table, rows, left=left):
                left[0] -= 1
                if left[0] < 0:
                    raise Stopped
                real(connection, table, rows)

            with Store(tmp_path / f"to-{last}", create=True) as target:
                monkeypatch.setattr(moving, "insert_new", stops)
                with pytest.raises(Stopped):
                    copy_all(source, target)
                assert_no_half_answers(expected, told(target))
                monkeypatch.setattr(moving, "insert_new", real)
                copy_all(source, target)
                assert told(target) == expected, f"stopped at {writes[last].__tablename__}"


def assert_no_half_answers(whole, part) -> None:
    """Each answer that is there is there with all its options and boxes."""
    for key, said in part["scores"].items():
        questions = {question for question, _ in said}
        assert said == [one for one in whole["scores"][key] if one[0] in questions]


def test_what_an_older_lcmis_left_half_moved_is_added(tmp_path) -> None:
    with Store(tmp_path / "from", create=True) as source, Store(tmp_path / "to", create=True) as to:
        fill(source)
        copy_all(source, to)
        with closing(sqlite3.connect(tmp_path / "to" / "facts.db")) as database:
            database.execute("DELETE FROM boxes")
            database.execute("DELETE FROM scores WHERE place > 0")
            database.commit()
        assert told(to) != told(source)
        copy_all(source, to)
        assert told(to) == told(source)


def test_a_damaged_picture_is_named_and_harms_no_other(tmp_path, lcmis) -> None:
    with Store(tmp_path / "from", create=True) as source:
        fill(source)
        sha256 = source.renders(limit=1)[0].render.sha256
        source.image_path(sha256).write_bytes(b"no picture")
    code, out, err = lcmis("db", "move", "--store", tmp_path / "from", "--to", tmp_path / "to")
    assert (code, err) == (1, "")
    assert "cannot be read" in out
    with Store(tmp_path / "to") as target, Store(tmp_path / "from") as source:
        assert target.growth() == source.growth()
        (fault,) = target.verify()
        assert sha256 in fault


def test_pictures_move_to_a_bucket_and_back_and_the_store_knows(bucket, tmp_path, lcmis) -> None:
    audit = tmp_path / "audit"
    with Store(audit, create=True) as store:
        fill(store)
        before = told(store)
    code, _, err = lcmis("db", "move", "--store", audit, "--to-pictures", f"s3://{bucket}/pictures")
    assert (code, err) == (0, "")
    for file in (audit / "pictures").rglob("*.webp"):
        file.unlink()
    assert lcmis("db", "check", "--store", audit)[0] == 0
    assert lcmis("db", "move", "--store", audit, "--to-pictures", audit / "pictures")[0] == 0
    assert not (audit / "pictures.address").exists()
    assert lcmis("db", "check", "--store", audit)[0] == 0
    with Store(audit) as store:
        assert told(store) == before


def test_stores_move_and_merge_by_commands(place, tmp_path, lcmis) -> None:
    url = str(place["path_or_url"])
    pictures = str(place.get("pictures", tmp_path / "audit" / "pictures"))
    with Store(tmp_path / "one", create=True) as one, Store(tmp_path / "two", create=True) as two:
        fill(one, seeds=range(2))
        fill(two, seeds=range(5), rater="ben")
        growth = two.growth()
    code, out, err = lcmis(
        *("db", "move", "--store", tmp_path / "one", "--to", url, "--to-pictures", pictures)
    )
    assert (code, err) == (0, "")
    assert "2 pairs" in out
    code, out, err = lcmis(
        *("db", "merge", tmp_path / "two", "--store", url, "--pictures", pictures)
    )
    assert (code, err) == (0, "")
    assert "new from" in out
    with Store(url, pictures=pictures) as store:
        assert store.growth().renders == growth.renders
        assert store.growth().labels == 2 * growth.labels
        assert list(store.verify()) == []


def test_nowhere_to_move_is_a_sentence(tmp_path, lcmis) -> None:
    with Store(tmp_path / "audit", create=True):
        pass
    code, _, err = lcmis("db", "move", "--store", tmp_path / "audit")
    assert code == 2
    assert "say where to" in err
