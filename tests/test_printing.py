"""Where words go that cannot be printed: one sentence, exit code 2, no traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from worlds import small_store

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return small_store.fill(tmp_path_factory.mktemp("printed"))


def show(store, out, **environment):
    return subprocess.run(
        [sys.executable, "-m", "lcmis", "show", "--store", store],
        cwd=ROOT,
        stdout=out,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_under_our_words_is_a_sentence(store):
    with Path("/dev/full").open("w") as full:
        done = show(store, full)
    assert done.returncode == 2
    assert done.stderr.startswith("lcmis: nothing more can be printed there (No space left")
    assert len(done.stderr.splitlines()) == 1


def test_letters_that_a_terminal_cannot_show_are_spelled_out(store, tmp_path):
    with (tmp_path / "out").open("w") as out:
        done = show(store, out, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\u2013" in (tmp_path / "out").read_text("ascii")
