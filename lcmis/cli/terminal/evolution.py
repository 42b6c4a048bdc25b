"""What an evolution of instructions shows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.markup import escape
from rich.table import Table

from lcmis.cli.terminal import console, lines, percent, print_failures

if TYPE_CHECKING:
    from lcmis.repair.evolve import Evolved, EvolveProgress
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


def print_evolved(found: Evolved, path: Path) -> None:
    """The instructions by what they gain, then the proof on pairs that were held out."""
    evolution = found.evolution
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("instruction", overflow="fold", min_width=32)
    table.add_column("gain", justify="right", no_wrap=True)
    table.add_column("pictures", justify="right")
    by_gain = sorted(evolution.tried, key=_gained, reverse=True)
    for one in by_gain[:SHOWN]:
        style = "bold" if one == evolution.best else ""
        pictures = str(one.value.pictures) if one.value else "0"
        table.add_row(escape(one.text), _gain(one.value), pictures, style=style)
    console.print(table)
    more = f"; the best {SHOWN} are shown" if len(by_gain) > SHOWN else ""
    ended = f" It stopped because {escape(evolution.ended)}." if evolution.ended else ""
    console.print(
        f"[dim]{len(by_gain)} instructions tried on {len(found.subjects)} pairs{more}. A gain is "
        f"the score by {escape(found.guide)} over the plain prompt on the same seeds.{ended}[/]"
    )
    console.print(
        f"Written to {escape(str(path))}: [bold]{escape(evolution.best.text)}[/]", soft_wrap=True
    )
    console.print(
        f"On {len(found.held_out)} pairs it never saw, right pictures: plain "
        f"{percent(found.plain)}, first instruction {percent(found.first)}, evolved "
        f"{percent(found.best)}."
    )
    console.print(_verdict(found))
    console.print(f"[dim]Judged by {escape(found.judge)}; {found.drawn} pictures drawn.[/]")
    print_failures(found.failures)


def _verdict(found: Evolved) -> str:
    difference = found.difference
    if found.evolution.best == found.evolution.first:
        return "[yellow]No instruction was better than the first one.[/]"
    by = f"{difference.value:+.1%} ({difference.low:+.1%} to {difference.high:+.1%} with 95 %)"
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
    return f"{value.gain:+.2f} [{value.low:+.2f} to {value.high:+.2f}]"
