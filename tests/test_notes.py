"""Words that people leave on pictures, pairs and repairs: facts, files, and what stands of them."""

from __future__ import annotations

import dataclasses
import itertools
import json
import random
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from worlds import facts, repair_store, small_store
from worlds.small_store import BROAD, COKE, HOSTILE, ROSES

from lcmis.errors import ConfigError, StoreError, UnknownNameError
from lcmis.findings import notes
from lcmis.findings.sheets import Imported
from lcmis.store import Store
from lcmis.types import About, Note, NoteKind

place, postgresql = facts.place, facts.postgresql
PICTURE = small_store.make_spec(COKE, BROAD, 0).key


def said(
    text: str,
    minute: int = 0,
    *,
    kind: NoteKind = NoteKind.COMMENT,
    rater: str = "ann",
    about: About = About.PICTURE,
    subject: str = PICTURE,
) -> Note:
    return Note(about, subject, kind, text, rater, f"2026-11-21T03:{minute:02}:00+00:00")


def star(minute: int = 0, rater: str = "ann") -> Note:
    return said("", minute, kind=NoteKind.STAR, rater=rater)


def tag(text: str, minute: int = 0, rater: str = "ann") -> Note:
    return said(text, minute, kind=NoteKind.TAG, rater=rater)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return repair_store.fill(tmp_path_factory.mktemp("notes") / "audit")


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "audit")


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    with Store(folder) as opened:
        yield opened


# ── facts ────────────────────────────────────────────────────────────────────────────────────────


def test_notes_go_in_once_and_come_out_equal_from_both_databases(
    place: dict[str, str | Path],
) -> None:
    pair = facts.make_pair()
    spec = facts.make_spec(pair)
    with Store(**place, create=True) as store:
        store.add_pairs([pair])
        store.add_renders([facts.make_drawn(pair, spec)])
        given = [
            said("two\nlines, \x1b[31m<b>markup</b> and 🫖", subject=spec.key),
            said("vessel", kind=NoteKind.TAG, about=About.PAIR, subject=pair.key),
            said("", kind=NoteKind.STAR, subject=spec.key),
        ]
        back = dataclasses.replace(given[2], rater="bob", withdraws=given[2].key)
        assert store.add_notes([*given, given[0]]) == 3
        assert store.add_notes([given[1], back]) == 1
        assert store.notes() == [*given, back]
        assert store.notes(About.PAIR) == [given[1]]
        assert store.notes(About.PICTURE, spec.key) == [given[0], given[2], back]
        assert store.growth().notes == 4
        assert not [line for line in store.verify() if "note" in line]


@pytest.mark.parametrize("about", list(About))
def test_a_note_on_nothing_is_refused_with_all_that_came_with_it(
    store: Store, about: About
) -> None:
    with pytest.raises(UnknownNameError, match=f"no {about} in the store has the key 'k1:none'"):
        store.add_notes([said("fine"), said("lost", about=about, subject="k1:none")])
    assert store.notes() == []


@pytest.mark.parametrize("text", ["half \ud83e", "nul \x00"])
def test_a_text_that_no_database_keeps_is_a_sentence(store: Store, text: str) -> None:
    with pytest.raises(StoreError, match=r"note\.text"):
        store.add_notes([said(text)])
    assert store.notes() == []


def test_a_changed_note_is_found(store: Store, folder: Path) -> None:
    store.add_notes([said("it is a glass")])
    with closing(sqlite3.connect(folder / "facts.db")) as raw, raw:
        raw.execute("UPDATE notes SET text = 'it is a cup'")
    assert [line for line in store.verify() if "note" in line] == [
        f"the note {said('it is a glass').key} is not what its key says"
    ]


@pytest.mark.parametrize(
    "row",
    [{"about": "model"}, {"kind": "shout"}, {"text": ""}, {"kind": "star"}, {"withdraws": "k1:x"}],
)
def test_the_database_itself_keeps_out_what_is_no_note(
    store: Store, folder: Path, row: dict[str, str]
) -> None:
    store.add_notes([said("fine")])
    changed = ", ".join(f"{name} = '{value}'" for name, value in row.items())
    with (
        closing(sqlite3.connect(folder / "facts.db")) as raw,
        pytest.raises(sqlite3.IntegrityError, match="CHECK"),
    ):
        raw.execute(f"UPDATE notes SET {changed}")


def test_on_a_full_disk_a_note_is_a_sentence_and_nothing_is_lost(folder: Path) -> None:
    with Store(folder) as store:
        store.add_notes([said("kept")])
        with store._engine.connect() as connection:
            size = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count={size}")
        many = [said("x" * 4000, minute) for minute in range(60)]
        with pytest.raises(StoreError, match="free some space on this disk"):
            store.add_notes(many)
        assert store.notes() == [said("kept")]


def test_two_who_write_at_once_lose_nothing(folder: Path) -> None:
    start = threading.Barrier(2)

    def write(rater: str) -> None:
        with Store(folder) as store:
            start.wait()
            for minute in range(15):
                store.add_notes([said(f"{rater} {minute}", minute, rater=rater)])

    writers = [threading.Thread(target=write, args=(name,)) for name in ("ann", "bob")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    with Store(folder) as store:
        assert len(store.notes()) == 30


# ── what stands ──────────────────────────────────────────────────────────────────────────────────


def test_what_stands_does_not_depend_on_the_order_of_arrival() -> None:
    first, second = star(0), star(1)
    given = [
        said("one", 0), said("one", 1), tag("vessel", 2), tag("vessel", 3), first, second,
        *notes.takes_back([first, second], first, "bob"),
        star(4, "bob"),
    ]  # fmt: skip
    wanted = {("comment", "one", "ann"), ("tag", "vessel", "ann"), ("star", "", "bob")}
    for seed in range(20):
        some = random.Random(seed).sample(given, len(given))
        stand = notes.standing(some)
        assert {(one.kind, one.text, one.rater) for one in stand} == wanted
        assert len(stand) == 4, "the same comment twice is two comments"
    found = notes.noted(given)[About.PICTURE, PICTURE]
    assert (found.tags, found.stars) == (("vessel",), ("bob",))


def test_taking_back_a_star_given_twice_takes_back_both_and_nobody_elses() -> None:
    mine, again, theirs = star(0), star(1), star(1, "bob")
    back = notes.takes_back([mine, again, theirs], mine, "ann")
    assert {one.withdraws for one in back} == {mine.key, again.key}
    assert notes.standing([mine, again, theirs, *back]) == [theirs]
    assert notes.takes_back([mine, again, theirs, *back], mine, "ann") == []


def test_a_star_that_was_taken_back_can_be_given_again() -> None:
    first = star(0)
    back = notes.takes_back([first], first, "ann")
    assert notes.standing([first, *back, star(5)]) == [star(5)]


@pytest.mark.parametrize(
    ("kind", "text", "sentence"),
    [
        (NoteKind.COMMENT, " \n ", "an empty comment says nothing"),
        (NoteKind.COMMENT, "x" * 4001, "4,000 letters at the most, this one 4,001"),
        (NoteKind.TAG, "  ", "a tag without letters"),
        (NoteKind.TAG, "x" * 41, "40 letters at the most, this one 41"),
        (NoteKind.TAG, "a\u202eb", "cannot be seen"),
        (NoteKind.STAR, "why", "a star has no text"),
    ],
)
def test_what_is_no_note_is_a_sentence(kind: NoteKind, text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        notes.written(About.PICTURE, PICTURE, kind, text, "ann")
    with pytest.raises(ConfigError, match="name"):
        notes.written(About.PICTURE, PICTURE, NoteKind.COMMENT, "fine", " ")


def test_a_note_is_stored_as_it_is_shown() -> None:
    longest = notes.written(About.PICTURE, PICTURE, NoteKind.COMMENT, "x" * 4000, " ann ")
    assert (len(longest.text), longest.rater) == (4000, "ann")
    one = notes.written(About.PICTURE, PICTURE, NoteKind.TAG, " half\t a  cup ", "ann")
    assert one.text == "half a cup"
    assert len(notes.tag_name("x" * 40)) == 40


def test_everything_that_has_notes_is_called_by_its_prompt_starred_first(store: Store) -> None:
    chosen = store.nominations()[0]
    store.add_notes(
        [
            said("it is a glass"),
            said("look", about=About.PAIR, subject=ROSES.key),
            said("", kind=NoteKind.STAR, about=About.REPAIR, subject=chosen.key),
            tag("gone", 2),
        ]
    )
    store.add_notes(notes.takes_back(store.notes(), tag("gone", 2), "ann"))
    found = notes.find_notes(store)
    assert [(one.about, one.prompt, one.seed) for one in found] == [
        (About.REPAIR, COKE.prompt, None),
        (About.PAIR, ROSES.prompt, None),
        (About.PICTURE, COKE.prompt, 0),
    ]
    assert found[0].model == chosen.model
    assert found[2].noted.tags == ()
    assert notes.noted_on(store, About.PAIR, COKE.key) == notes.NOTHING


# ── files ────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def noted(store: Store) -> Store:
    given = [
        said(f'{HOSTILE}\n=1+1,"quoted";\u2028 \x1b[31m', 0),
        tag("vessel", 1),
        star(2),
        said("", kind=NoteKind.STAR, about=About.PAIR, subject=ROSES.key),
    ]
    store.add_notes([*given, *notes.takes_back(given, given[2], "bob")])
    return store


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_a_file_of_notes_brings_them_all_to_another_machine_once(
    noted: Store, made: Path, tmp_path: Path, ending: str
) -> None:
    path = tmp_path / f"notes{ending}"
    assert notes.export_notes(noted, path) == 5
    shutil.copytree(made, tmp_path / "other")
    with Store(tmp_path / "other") as other:
        assert notes.import_notes(other, path) == Imported(added=5, known=0)
        assert notes.import_notes(other, path) == Imported(added=0, known=5)
        assert other.notes() == noted.notes()


def test_a_file_of_notes_is_what_pandas_reads(noted: Store, tmp_path: Path) -> None:
    import pandas as pd

    tables = []
    for ending, read in ((".csv", pd.read_csv), (".parquet", pd.read_parquet)):
        notes.export_notes(noted, tmp_path / f"notes{ending}")
        tables.append(read(tmp_path / f"notes{ending}"))
    notes.export_notes(noted, tmp_path / "notes.jsonl")
    tables.append(pd.read_json(tmp_path / "notes.jsonl", lines=True))
    for table in tables:
        assert list(table.columns) == list(notes.SHEET.columns)
        assert table["stands"].tolist() == [True, True, False, True, False]
        assert table["prompt"].tolist() == [COKE.prompt] * 3 + [ROSES.prompt, COKE.prompt]
        assert table["text"][0] == noted.notes()[0].text


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"subject": "k1:none"}, "no picture in the store has the key 'k1:none'"),
        ({"kind": "shout"}, "'shout' is not a valid NoteKind: a note is about picture, pair"),
        ({"text": ""}, "an empty comment says nothing"),
        ({"rater": " ann"}, "the rater ' ann' is stored otherwise"),
        ({"at": "yesterday"}, "time is 'yesterday'"),
        ({"rater": None}, "there is no rater in it"),
    ],
)
def test_a_line_that_is_no_note_is_named_and_nothing_is_imported(
    noted: Store, folder: Path, tmp_path: Path, change: dict[str, str | None], sentence: str
) -> None:
    path = tmp_path / "notes.jsonl"
    notes.export_notes(noted, path)
    lines = path.read_text().split("\n")
    first = json.loads(lines[0]) | {"text": "fine"} | change
    second = json.loads(lines[1]) | {"text": "another"}
    path.write_text("\n".join([json.dumps(second), json.dumps(first)]))
    before = noted.notes()
    with pytest.raises(ConfigError, match="nothing was imported, 1 of 2") as caught:
        notes.import_notes(noted, path)
    assert sentence in str(caught.value)
    assert "line 2: " in str(caught.value)
    assert noted.notes() == before


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.txt", b""), ("a.csv", b"x,y\r\n1,2\r\n"), ("a.jsonl", b"{"), ("a.parquet", b"PAR1")],
)
def test_a_file_that_is_none_of_notes_is_a_sentence(
    store: Store, tmp_path: Path, name: str, content: bytes
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=name):
        notes.import_notes(store, path)


def test_ten_thousand_notes_on_one_picture_are_read_and_stand(store: Store) -> None:
    moments = itertools.product(range(60), range(60))
    given = [
        dataclasses.replace(said(f"{hour} {minute}"), at=f"2026-11-21T{hour % 24:02}:{minute:02}Z")
        for hour, minute in moments
    ]
    given += [dataclasses.replace(one, rater=rater) for rater in ("bob", "eve") for one in given]
    assert len(given) > 10_000
    assert store.add_notes(given) == len(given)
    assert len(notes.noted_on(store, About.PICTURE, PICTURE).comments) == len(given)


# ── the command line ─────────────────────────────────────────────────────────────────────────────


def test_a_word_is_left_listed_shown_and_taken_back(lcmis, folder: Path) -> None:
    at = ("--store", folder)
    code, out, _ = lcmis(
        "note", PICTURE[:14], "--comment", HOSTILE, "-t", "vessel", "--star", "--by", "ann", *at
    )
    assert code == 0
    assert "★ ann" in out
    code, out, _ = lcmis("note", COKE.prompt, "--comment", "all of them \x1b[31m", "--by", "b", *at)
    assert code == 0
    assert "[U+001B]" in out
    code, out, _ = lcmis("note", *at)
    assert code == 0
    assert out.index("picture by broad, seed 0") < out.index("pair")
    code, out, _ = lcmis("show", PICTURE, *at)
    assert "![x](http://evil.example/x.png)" in out
    assert "tags vessel" in out
    code, out, _ = lcmis("show", COKE.prompt, *at)
    assert "all of them [U+001B][31m" in out
    code, out, _ = lcmis("note", PICTURE, "--untag", "vessel", "--unstar", "--by", "ann", *at)
    assert code == 0
    assert "★" not in out
    code, out, _ = lcmis("note", PICTURE, "--json", *at)
    assert json.loads(out)["tags"] == []
    with Store(folder, read_only=True) as store:
        assert len(store.notes()) == 6


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--star",), "name a picture, a pair or a repair first"),
        ((PICTURE, "--star"), "add --by NAME"),
        ((PICTURE, "--export", "a.csv"), "move all notes"),
        (("--import", "a.csv", "--export", "a.csv"), "do not go together"),
        (("k1:none", "--star", "--by", "ann"), "no pair in the store"),
        ((PICTURE, "--untag", "x", "--by", "ann"), "there is no tag 'x' on it"),
        ((PICTURE, "--unstar", "--by", "ann"), "there is no star of 'ann' on it"),
        ((PICTURE, "--comment", " ", "--by", "ann"), "an empty comment says nothing"),
    ],
)
def test_what_cannot_be_said_is_one_sentence(
    lcmis, folder: Path, words: tuple[str, ...], sentence: str
) -> None:
    code, _, err = lcmis("note", *words, "--store", folder)
    assert code == 2
    assert sentence in err
    assert err.count("\n") == 1


def test_notes_move_between_machines_by_the_command_line(
    lcmis, folder: Path, made: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(made, tmp_path / "other")
    lcmis("note", PICTURE, "--star", "--by", "ann", "--store", folder)
    assert "wrote 1 note" in lcmis("note", "--export", tmp_path / "n.jsonl", "--store", folder)[1]
    moved = ("note", "--import", tmp_path / "n.jsonl", "--store", other)
    assert "added 1 note; 0 were there already" in lcmis(*moved)[1]
    assert "added 0 notes; 1 were there already" in lcmis(*moved)[1]


# ── what leaves ──────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def spoken(store: Store) -> Store:
    """Notes on a repair, on its pair and on a picture."""
    chosen = store.nominations(COKE.key)[0]
    store.add_notes(
        [
            said(HOSTILE, about=About.REPAIR, subject=chosen.key),
            said("", kind=NoteKind.STAR, about=About.PAIR, subject=COKE.key, rater="bob"),
            tag("vessel"),
            said("odd"),
        ]
    )
    return store


def test_an_exported_repair_carries_what_was_left_on_it_and_its_pair(spoken: Store) -> None:
    import io

    import pandas as pd

    from lcmis import findings
    from lcmis.export import tables
    from lcmis.export.repaired import repaired_prompt

    chosen = spoken.nominations(COKE.key)[0].key
    found = findings.find_repairs(spoken, small_store.JUDGE)
    prompts = [repaired_prompt(one) for one in found]
    place = [one.certificate.nomination.key for one in found].index(chosen)
    read = pd.read_parquet(io.BytesIO(tables.as_parquet(prompts)))
    assert list(read["comments"][place]) == [f"ann: {HOSTILE}"]
    assert list(read["stars"][place]) == ["bob"]
    assert list(read["tags"][place]) == []
    line = json.loads(tables.as_jsonl(prompts).decode().splitlines()[place])
    assert (line["stars"], line["tags"]) == (["bob"], [])
    rows = pd.read_csv(io.BytesIO(tables.as_csv(prompts)))
    assert json.loads(rows["comments"][place]) == [f"ann: {HOSTILE}"]


def test_published_pictures_carry_what_was_left_on_them(spoken: Store, tmp_path: Path) -> None:
    import pandas as pd

    from lcmis.export.publish import publish

    publish(spoken, small_store.JUDGE, "parquet", tmp_path / "tables", model="broad")
    table = pd.read_parquet(tmp_path / "tables" / "pictures.parquet")
    mine = table[table["spec_key"] == PICTURE].iloc[0]
    assert (list(mine["tags"]), list(mine["comments"])) == (["vessel"], ["ann: odd"])
    publish(spoken, small_store.JUDGE, "imagefolder", tmp_path / "images", model="broad")
    lines = (tmp_path / "images" / "metadata.jsonl").read_text().splitlines()
    assert sum(json.loads(line)["tags"] == ["vessel"] for line in lines) == 1


def test_a_report_has_a_chapter_of_words_in_which_nothing_is_markup(spoken: Store) -> None:
    from lcmis.export import report

    made = report.gather(spoken, small_store.JUDGE, worst=0)
    html, markdown = report.html(made), report.markdown(made)
    assert "What people wrote" in html
    assert "★" in html
    assert "<img src=//evil" not in html
    assert "ann: tea !\\[x" not in html
    assert "What people wrote" in markdown
    assert "![x](http" not in markdown


def test_a_report_of_ten_thousand_notes_on_one_picture_shows_the_newest(store: Store) -> None:
    from lcmis.export import report

    at = "2026-11-21T03:00:00.{:06}Z"
    given = [dataclasses.replace(said(f"{n}"), at=at.format(n)) for n in range(10_000)]
    store.add_notes(given)
    html = report.html(report.gather(store, small_store.JUDGE, worst=0))
    assert "9999" in html
    assert "and 9997 older" in html


def test_a_store_without_words_has_no_chapter_of_them(store: Store) -> None:
    from lcmis.export import report

    made = report.gather(store, small_store.JUDGE, worst=0)
    assert "What people wrote" not in report.html(made) + report.markdown(made)
