"""Files that appear whole, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lcmis.errors import ConfigError
from lcmis.machine.files import replacing


def test_a_file_is_replaced_when_all_is_written_and_anybody_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "made.txt"
    path.write_text("before")
    with replacing(path) as draft:
        draft.write_text("after")
        assert path.read_text() == "before"
    assert path.read_text() == "after"
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_what_goes_wrong_leaves_all_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "made.txt"
    path.write_text("before")

    def fail() -> None:
        with replacing(path) as draft:
            draft.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_draft_that_is_taken_away_replaces_nothing(tmp_path: Path) -> None:
    with replacing(tmp_path / "made.txt") as draft:
        draft.unlink()
    assert list(tmp_path.iterdir()) == []


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    path = tmp_path / "made.txt"
    path.symlink_to(tmp_path / "elsewhere" / "real.txt")
    with replacing(path) as draft:
        draft.write_text("after")
    assert path.is_symlink()
    assert (tmp_path / "elsewhere" / "real.txt").read_text() == "after"


def test_what_is_no_file_is_written_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with replacing(pipe) as draft:
        draft.write_text("through")
    assert os.read(reader, 99) == b"through"
    os.close(reader)
    assert pipe.is_fifo()


@pytest.mark.parametrize("place", ["nowhere/made.txt", "."])
def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path: Path, place: str) -> None:
    with (
        pytest.raises(ConfigError, match=r"cannot be written .*: name another file"),
        replacing(tmp_path / place) as draft,
    ):
        draft.write_text("x")
    assert list(tmp_path.iterdir()) == []
