"""What an evolution of instructions shows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.text import Text

from lcmis.cli.terminal import console, lines, print_errors, print_notes
from lcmis.cli.terminal.tables import Cell, Column, Grid
from lcmis.findings import words
from lcmis.findings.words import several
from lcmis.machine import letters

if TYPE_CHECKING:
    from lcmis.repair.evolve import EvolveProgress, EvolveResult
    from lcmis.repair.methods.bigpe import Instruction, Value

SHOWN = 10
"""Instructions in the table."""


@contextlib.contextmanager
def evolve_progress(*, quiet: bool = False) -> Iterator[Callable[[EvolveProgress], None] | None]:
    """A line while an evolution runs; nothing where the output is for a script."""
    if quiet:
        yield None
        return
    with lines() as move:
        yield lambda now: move(now.model, now.pictures, now.expected, now.activity)


def print_evolved(found: EvolveResult, path: Path) -> None:
    """The instructions by what they gain, then the proof on pairs that were held out."""
    evolution = found.evolution
    columns = [
        Column(name="instruction", wraps=True),
        Column(name="gain", right=True),
        Column(name="pictures", right=True),
    ]
    by_gain = sorted(evolution.tried, key=_gained, reverse=True)
    rows: list[list[Cell]] = [
        [
            Text(letters.visible(one.text), style="bold" if one == evolution.best else ""),
            _gain(one.value),
            str(one.value.pictures) if one.value else "0",
        ]
        for one in by_gain[:SHOWN]
    ]
    console.print(Grid(columns, rows))
    more = f"; the best {SHOWN} are shown" if len(by_gain) > SHOWN else ""
    ended = f" It stopped because {escape(evolution.ended)}." if evolution.ended else ""
    console.print(
        f"[dim]{several(len(by_gain), 'instruction')} tried on "
        f"{several(len(found.subjects), 'pair')}{more}. A gain is the "
        f"score by {escape(found.guide)} over the plain prompt on the same seeds.{ended}[/]"
    )
    console.print(
        f"Written to {escape(str(path))}: [bold]{escape(evolution.best.text)}[/]", soft_wrap=True
    )
    console.print(
        f"On {several(len(found.held_out), 'pair')} it never saw, right pictures: plain "
        f"{words.rate(found.plain)}, first instruction {words.rate(found.first)}, evolved "
        f"{words.rate(found.best)}."
    )
    console.print(_verdict(found))
    console.print(
        f"[dim]Judged by {escape(found.judge)}; {several(found.drawn, 'picture')} drawn.[/]"
    )
    print_notes(found.notes)
    print_errors(found.failures)


def _verdict(found: EvolveResult) -> str:
    difference = found.difference
    if found.evolution.best == found.evolution.first:
        return "[yellow]No instruction was better than the first one.[/]"
    by = (
        f"{words.points(difference.value)} percentage points ({words.points(difference.low)} to "
        f"{words.points(difference.high)} with 95 % confidence)"
    )
    if found.helps:
        return f"[green]The evolved instruction beats the first one by {by}.[/]"
    return f"[yellow]That the evolved instruction beats the first one is not shown: {by}.[/]"


def _gained(one: Instruction) -> float:
    return one.value.gain if one.value else float("-inf")


def _gain(value: Value | None) -> str:
    if value is None:
        return "not compared"
    if value.pictures < 2:
        return f"{value.gain:+.2f}"
    return f"{value.gain:+.2f} ({value.low:+.2f} to {value.high:+.2f})"
