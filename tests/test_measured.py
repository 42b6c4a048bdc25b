"""What docs/measured.md says of the bench suite is what it printed, and its commands can be run."""

import contextlib
import io
import json
import runpy
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parent / "bench"
SUITE = runpy.run_path(str(BENCH / "suite.py"))
BENCHES = SUITE["BENCHES"]


def test_the_page_says_what_the_suite_printed_with_its_command_day_and_machine():
    kept = json.loads(SUITE["KEPT"].read_text("utf-8"))
    page = SUITE["PAGE"].read_text("utf-8")
    assert SUITE["on_page"](page, kept) == page
    assert kept.keys() <= BENCHES.keys()
    assert page.count(SUITE["BEGIN"]) == page.count(SUITE["END"]) == 1
    for name, one in kept.items():
        assert f"### {name}\n" in page
        assert one["machine"] in page
        assert all(line.rstrip() in page for line in one["said"])


def test_every_script_of_the_suite_is_there_and_none_is_run_without_its_speeds():
    assert all((BENCH / script).is_file() for script, *_ in BENCHES.values())
    assert {name[:2] for name in BENCHES} == {"B1", "B2", "B4", "B5", "B6", "B7", "B8", "B9"}
    assert any(name.startswith("B10") for name in BENCHES)


@pytest.mark.parametrize("name", list(BENCHES), ids=lambda name: name.partition(":")[0])
def test_a_script_takes_what_the_suite_gives_it(name, monkeypatch, tmp_path):
    """``--help`` at the end is reached only if all before it can be read; then nothing runs."""
    script, *flags = BENCHES[name]
    speeds = dict.fromkeys(("ours", "loop", "card_ours", "card_loop"), 1.0)
    given = [flag.format(into=tmp_path, tiny="--tiny", **speeds) for flag in flags]
    monkeypatch.setattr(sys, "argv", [script, *given, "--help"])
    monkeypatch.syspath_prepend(str(BENCH))
    said = io.StringIO()
    with contextlib.redirect_stderr(said), pytest.raises(SystemExit) as ended:
        runpy.run_path(str(BENCH / script), run_name="__main__")
    assert ended.value.code in (None, 0), said.getvalue()
