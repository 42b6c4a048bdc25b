"""Picture files: whole or not at all, and looked at again."""

from __future__ import annotations

import errno
import os
import re
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image
from worlds import facts
from worlds.facts import ROOT, make_pair, make_picture, make_spec

from lcmis.errors import StoreError
from lcmis.store import Drawn, Store, picture_hash
from lcmis.store.images import DRAFTS, PictureFolder
from lcmis.types import Render

folder = facts.folder
place = facts.place
postgresql = facts.postgresql
store = facts.store


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


def test_pictures_of_nobody_are_named_and_files_that_are_not_ours_are_passed_over(
    folder: Path,
) -> None:
    stray = folder / f"pictures/ab/{'ab' * 32}.webp"
    others = [folder / "pictures/notes.txt", folder / "pictures/ab/.ab12-1.tmp"]
    for path in (stray, *others):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    with Store(folder) as store:
        assert list(store.verify()) == [
            f"{stray} belongs to no picture in the store; it can be deleted"
        ]


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
from lcmis.store.images import DRAFTS, PictureFolder
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


def killed(folder: Path) -> Path:
    """A draft of a process that is dead: it wrote, and had no time to take it away."""
    code = f"""
import os, signal
from pathlib import Path
from PIL import Image
from lcmis.store.images import PictureFolder
Image.Image.save = lambda *given, **named: os.kill(os.getpid(), signal.SIGKILL)
PictureFolder(Path({str(folder)!r})).write({{"ab" * 32: Image.new("RGB", (4, 4))}})
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    (draft,) = (folder / DRAFTS).iterdir()
    return draft


def test_what_a_killed_process_left_is_no_fault_and_is_swept_by_the_next_writer(
    folder: Path,
) -> None:
    draft = killed(folder / "pictures")
    old = folder / "pictures" / "ab" / f".{'ab' * 32}-0123abcd.tmp"
    old.parent.mkdir(exist_ok=True)
    old.touch()
    alive = draft.with_name(re.sub(r"-\d+-", f"-{os.getpid()}-", draft.name))
    elsewhere = draft.with_name(re.sub(r"\.[0-9a-f]{8}-", ".00000000-", draft.name))
    for other in (alive, elsewhere):
        other.touch()
    with Store(folder, read_only=True) as store:
        assert list(store.verify()) == []
    assert draft.exists()
    PictureFolder(folder / "pictures").write({})
    assert not draft.exists()
    assert alive.exists(), "a process that lives may still be writing it"
    assert elsewhere.exists(), "nobody can tell from here whether its process lives"


def test_what_lies_there_longer_than_its_writer_lives_is_swept(folder: Path) -> None:
    draft = killed(folder / "pictures")
    older = draft.with_name(re.sub(r"-\d+-", f"-{os.getpid()}-", draft.name))
    draft.rename(older)  # another process has this number by now
    os.utime(older, (0, 0))
    PictureFolder(folder / "pictures").leave("mark")
    assert not older.exists()


def test_whoever_has_died_and_is_not_buried_writes_no_more(folder: Path) -> None:
    draft = killed(folder / "pictures")
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        draft.rename(draft.with_name(re.sub(r"-\d+-", f"-{child.pid}-", draft.name)))
        PictureFolder(folder / "pictures").write({})
        assert list((folder / "pictures" / DRAFTS).iterdir()) == []


def test_a_run_that_ends_sweeps_what_those_left_who_died_while_it_ran(folder: Path) -> None:
    pictures = PictureFolder(folder / "pictures")
    pictures.leave("mark")
    (folder / "pictures" / DRAFTS / "mark").rename(folder / "mark")
    draft = killed(folder / "pictures")
    pictures.take_away("mark")
    assert not draft.exists()


def test_a_disk_that_breaks_under_a_folder_is_a_sentence(tmp_path: Path, monkeypatch) -> None:
    image = make_picture(0)
    whole, folders = os.fsync, []

    def fsync(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            folders.append(handle)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        whole(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(StoreError, match=r"cannot be written \(Input/output error\)"):
        PictureFolder(tmp_path).write({picture_hash(image): image})
    assert folders
