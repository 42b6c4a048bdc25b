"""The lines of progress at a terminal: in every width a line each, with what it is there for."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.cells import cell_len

from lcmis.cli.terminal.bars import Bars, SoFar
from lcmis.machine.console import Terminal

ROOT = Path(__file__).parent.parent
SDXL = "stabilityai/stable-diffusion-xl-base-1.0@4621659840300ed95e2e0c6fe2bd2ca9a7b1a8a3"
EIGHT = (
    "8 beginning",
    "1 drawing, 7 beginning",
    "3 drawing, 2 checking, 2 waiting, 1 beginning, on 2 nodes",
    "8 drawing, on 2 nodes",
)


class Shown:
    """Bars on a terminal of a width, under a clock that goes on by seconds."""

    def __init__(self, width: int) -> None:
        self.out, self.now = io.StringIO(), 0.0
        console = Terminal(file=self.out, width=width, force_terminal=True, color_system=None)
        self.bars = Bars(console, lambda: self.now)

    def lines(self) -> list[str]:
        self.out.truncate(self.out.seek(0))
        self.bars.console.print(*self.bars.get_renderables())
        return self.out.getvalue().splitlines()

    def after(
        self, seconds: float, pictures: int, activity: str, failures: int = 0, name: str = SDXL
    ) -> list[str]:
        self.now += seconds
        failed = f", {failures} errors" if failures else ""
        standing = SoFar(f"12 of 400 pairs decided{failed}", f"12/400 decided{failed}")
        self.bars.move(name, pictures, 8399, activity, standing)
        return self.lines()


def audited(width: int, activities: Sequence[str] = EIGHT, name: str = SDXL) -> list[str]:
    """What is shown of an audit, moment by moment."""
    shown = Shown(width)
    moments = [shown.after(0, 0, activities[0], name=name)]
    for place in range(1, 40):
        doing = activities[place % len(activities)]
        moments.append(shown.after(10, 42 * place, doing, 3, name))
    assert all(len(moment) == 1 for moment in moments)
    return [line for (line,) in moments]


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_a_line_is_never_broken_and_what_it_is_there_for_is_whole(width: int) -> None:
    for place, line in enumerate(audited(width)):
        assert cell_len(line) <= width
        assert f" {42 * place}/8399 " in line
        assert re.search(r"12(/400| of 400 pairs) decided", line)
        if place > 1:
            assert "decided, 3 errors" in line
            assert re.search(r" (\d+:)?\d\d:\d\d ", line)


def test_where_there_is_no_room_the_bar_goes_then_words_then_who_does_what_and_names_are_cut() -> (
    None
):
    widest, wide, narrow, narrowest = (audited(width)[-1] for width in (200, 120, 80, 60))
    name = "stabilityai/stable-diffusion-xl-base-1.0"
    for said in (name, "━━", "4.2 pictures/s", "12 of 400 pairs decided", "8 drawing, on 2 nodes"):
        assert said in widest
    assert "━" not in wide
    assert " 4.2/s " in wide
    assert "12 of 400 pairs decided, 3 errors · 8 drawing, on 2 nodes" in wide
    assert "drawing" not in narrow
    assert " 4.2/s " in narrow
    assert "12 of 400 pairs decided, 3 errors" in narrow
    assert "12/400 decided, 3 errors" in narrowest
    assert "/s" not in narrowest
    for line in (wide, narrow, narrowest):
        assert name not in line
        assert re.search(r"^. stabil\S*…\S*-1\.0 ", line)


def test_as_numbers_change_nothing_comes_and_goes() -> None:
    for width in range(60, 161, 4):
        lines = audited(width)
        for mark in ("━", "pictures/s", "/s", "·", "pairs"):
            there = [mark in line for line in lines[8:]]
            assert there == sorted(there, reverse=True), (width, mark)  # it may go, once
        for doing in EIGHT:
            there = [doing[:9] in line for line in lines[8 + EIGHT.index(doing) :: len(EIGHT)]]
            assert there == sorted(there, reverse=True), (width, doing)


def test_a_short_name_alone_at_a_terminal_of_eighty_letters_says_all_but_the_bar() -> None:
    line = audited(80, ["drawing", "checking"], "teacup-narrow@bda62f1")[-1]
    assert line.split()[1:3] == ["teacup-narrow", "1638/8399"]
    assert "4.2/s" in line
    assert line.rstrip().endswith("12/400 decided, 3 errors · checking")


def test_models_stand_below_each_other_and_one_that_goes_on_is_told_so() -> None:
    shown = Shown(100)
    shown.after(0, 10, "drawing", name="narrow")
    first, second = shown.after(10, 4, "drawing", name="broad")
    assert first.index("10/10") == second.index(" 4/8399") + 1
    assert first.rstrip().endswith("· done")
    shown.after(10, 50, "drawing", name="narrow")
    first, _ = shown.after(10, 90, "checking", name="narrow")
    assert " 90/8399 " in first
    assert first.rstrip().endswith("· checking")
    assert re.search(r" \d:\d\d:\d\d | \d\d:\d\d ", first)


def test_how_fast_it_goes_is_not_forgotten_where_fewer_pictures_are_expected() -> None:
    shown = Shown(100)
    for place in range(1, 6):
        shown.now += 10
        shown.bars.move("narrow", 40 * place, 1000 - place, "searching")
        (line,) = shown.lines()
    assert "4.0 pictures/s" in line
    shown.bars.end()
    (line,) = shown.lines()
    assert "200/200 4.0 pictures/s" in line


def test_names_are_no_markup() -> None:
    shown = Shown(100)
    (line,) = shown.after(0, 1, "searching [red]cup", name="[bold]mine[/]")
    assert "[bold]mine[/]" in line
    assert "[red]cup" in line


AUDIT = """
import sys
from lcmis.audit.run import Progress
from lcmis.cli.terminal import progress

with progress() as watch:
    for place in range(8):
        doing = sys.argv[2 + place % 2]
        watch(Progress(sys.argv[1], doing, 900 + place, 8399, 30 + place, 400, 3))
"""
INVERSION = """
from lcmis.cli.terminal.inversions import inversion_progress
from lcmis.invert.run import InversionProgress

with inversion_progress() as watch:
    for place in range(8):
        watch(InversionProgress("clip-interrogator", "[a] tea cup of " * 8, 3, 7))
"""


def at_a_terminal(code: str, *words: str) -> list[str]:
    """The lines that 80 letters have room for, each time they were drawn."""
    pexpect = pytest.importorskip("pexpect", reason="pexpect is not installed")
    child = pexpect.spawn(
        sys.executable,
        ["-c", code, *words],
        cwd=str(ROOT),
        env={"TERM": "xterm", "PATH": "/usr/bin:/bin"},
        encoding="utf-8",
        timeout=300,
        dimensions=(24, 80),
    )
    child.expect(pexpect.EOF)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", child.before)
    lines = [line for line in re.split(r"[\r\n]+", shown) if line.strip()]
    assert all(len(line) <= 80 for line in lines)
    return lines


def test_at_a_terminal_of_eighty_letters_the_block_is_one_line() -> None:
    lines = at_a_terminal(AUDIT, SDXL, *EIGHT[1:3])
    assert all("/8399 " in line or "907/907 " in line for line in lines)
    assert re.search(r"907/907 .* 37/400 decided, 3 errors", lines[-1])


def test_an_inversions_line_is_one_too_and_cuts_what_it_is_at() -> None:
    *_, last = at_a_terminal(INVERSION)
    assert re.search(r"clip-interrogator [━╸╺]+ 0:00:\d\d \[a\] tea cup.*…", last)
