"""Stores are opened, refused, written by many at once, killed and upgraded."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest
from worlds import facts
from worlds.facts import ASSETS, CHECKER, ROOT, answer_all, make_drawn, make_pair, make_spec

from lcmis.errors import StoreError
from lcmis.machine.paths import shipped
from lcmis.store import Store, schema
from lcmis.store.connect import place_of
from lcmis.types import ConceptPair

folder = facts.folder
place = facts.place
postgresql = facts.postgresql
store = facts.store


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
        boxed = [maker.BOXED] * (asset.stem > "schema-0003")  # boxes came with the fourth
        assert [score for _, score in store.scores(maker.DRAWN.key)] == [*maker.SCORES, *boxed]
        pointed_out = [maker.POINTED_OUT] * (asset.stem > "schema-0004")
        assert store.labels() == [maker.LABEL, *pointed_out]
        noted = [maker.NOTE] * (asset.stem > "schema-0004")  # notes came with the fifth
        assert store.notes() == noted
        worked = [maker.SHIFT] * (asset.stem > "schema-0005")  # shifts came with the sixth
        assert store.shifts() == store.shifts("run-1") == worked
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
