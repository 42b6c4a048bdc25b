"""Whatever is typed, a command answers with a sentence; a stream that is closed hears nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from worlds import facts
from worlds.facts import ROOT, make_pair

from lcmis.errors import UnknownNameError
from lcmis.store import Store
from lcmis.store.rows import LONGEST_NAME
from lcmis.types import Answer, Label, Score

folder = facts.folder
place = facts.place
postgresql = facts.postgresql

HALF = "\udcff"
HUGE = 999_999_999_999_999_999_999


@pytest.mark.parametrize("name", [HALF, "a\0b", "x" * 60_000, "\ud83d", "é" * (LONGEST_NAME + 1)])
def test_what_no_database_can_keep_names_nothing(place, name) -> None:
    with Store(**place, create=True) as store:
        store.add_pairs([make_pair()])
        for asked, noun in ((store.pair, "pair"), (store.render, "picture")):
            with pytest.raises(UnknownNameError, match=f"no {noun} in the store is called") as said:
                asked(name)
            assert len(str(said.value)) < 300
        score = Score(name, "c:c@1", "q", Answer(0.5))
        with pytest.raises(UnknownNameError, match="in the store has the key") as said:
            store.add_scores([score], [])
        assert len(str(said.value)) < 300
        with pytest.raises(UnknownNameError):
            store.add_labels([Label(name, "q", "yes", "ann", "2026-01-01T00:00:00+00:00")])


def test_a_prompt_as_long_as_a_name_may_be_is_found_by_itself_and_by_what_is_near(place) -> None:
    long = make_pair(prompt="a cup " * (LONGEST_NAME // 6))
    with Store(**place, create=True) as store:
        store.add_pairs([long])
        assert store.pair(long.prompt) == long
        with pytest.raises(UnknownNameError, match="near it: a cup"):
            store.pair(long.prompt + "!")


@pytest.mark.parametrize(
    "words",
    [
        ("show", "{}", "--store", "{store}"),
        ("note", "{}", "--store", "{store}"),
        ("note", "{}", "--comment", "odd", "--by", "ann", "--store", "{store}"),
        ("replay", "{}", "--store", "{store}"),
        ("compare", "{}", "x", "--store", "{store}"),
        ("gate", "{}", "--store", "{store}"),
        ("plan", "--pairs", "{}"),
    ],
)
@pytest.mark.parametrize("typed", [HALF, "x" * 60_000])
def test_a_name_of_any_letters_and_any_length_is_a_sentence(folder, lcmis, words, typed) -> None:
    code, out, err = lcmis(*(word.format(typed, store=folder) for word in words))
    assert (code, out) == (2, "")
    assert err.startswith("lcmis: ")
    assert err.count("\n") == 1
    assert "server" not in err


def test_a_file_with_a_name_that_is_too_long_is_a_sentence(folder, tmp_path, lcmis) -> None:
    name = "x" * 60_000
    for words in (("init", name), ("db", "move", "--store", folder, "--to-pictures", name)):
        code, _, err = lcmis(*words)
        assert code == 2
        assert "cannot be written (File name too long)" in err


def test_a_port_that_is_none_is_refused(folder, lcmis, monkeypatch) -> None:
    monkeypatch.delattr(os, "execve")  # or these tests would become a dashboard
    for port in (HUGE, -1, 0):
        assert lcmis("dashboard", "--no-open", "--store", folder, "--port", port)[0] == 2


def run_by_shell(line: str, *words: object) -> subprocess.CompletedProcess[str]:
    started = [sys.executable, "-m", "lcmis", *map(str, words)]
    return subprocess.run(
        ["sh", "-c", f'"$@" {line}', "sh", *started],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_a_closed_stream_hears_nothing_and_nothing_else_is_written_into(tmp_path: Path) -> None:
    done = run_by_shell(">&-", "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = run_by_shell("2>&-", "show", "--store", tmp_path / "none")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")
    done = run_by_shell(">&- 2>&-", "show", "--store", tmp_path / "none")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")
    with Store(tmp_path / "audit", create=True) as store:
        store.add_pairs([make_pair()])
    done = run_by_shell(">&-", "db", "check", "--store", tmp_path / "audit")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
