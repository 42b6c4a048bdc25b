"""What comparisons and gates show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape

from lcmis.cli.terminal import PROMPT, console
from lcmis.cli.terminal.tables import Cell, Column, Grid, rate_cell
from lcmis.findings import words
from lcmis.findings.words import several
from lcmis.judge import Ruling

if TYPE_CHECKING:
    from lcmis.findings.comparison import Comparison
    from lcmis.findings.gate import Gate

COLOURS = {Ruling.PASS: "green", Ruling.FAIL: "red", Ruling.UNDECIDED: "yellow"}


def print_comparison(found: Comparison, limit: int) -> None:
    """Who is better and by how much, then where they disagree."""
    first, second = words.two_names(found.first, found.second)
    difference = found.difference
    if not difference.pairs:
        console.print("[yellow]These two audits share no scored picture: nothing to compare.[/]")
        return
    columns = [
        Column(name="model", wraps=True, style="bold"),
        Column(name="right"),
        Column(name="right alone", right=True),
    ]
    rows: list[list[Cell]] = [
        [first, rate_cell(found.first_right), str(difference.only_first)],
        [second, rate_cell(found.second_right), str(difference.only_second)],
    ]
    console.print(Grid(columns, rows))
    console.print(f"[bold]{escape(words.compared(found, first, second))}[/]")
    noticed = (
        f"a true difference of {words.percent(difference.detectable)} % would have been noticed "
        f"with 80 % power"
        if difference.detectable < 1
        else "so few cannot be relied on to notice any true difference"
    )
    console.print(
        f"[dim]{several(difference.pairs, 'pair')} and {several(difference.pictures, 'seed')} that "
        f"both have; {noticed}. Checked by {escape(found.checker)}.[/]"
    )
    if found.not_shared:
        console.print(f"[dim]In one audit only: {several(found.not_shared, 'pair')}.[/]")
    if found.unpaired:
        console.print(
            f"[dim]Without a scored counterpart: {several(found.unpaired, 'picture')}.[/]"
        )
    for note in found.notes:
        console.print(f"[yellow]{escape(note)}.[/]")
    if found.discordant and limit > 0:
        console.print(_discordant(found, first, second, limit))
        if len(found.discordant) > limit:
            console.print(
                f"[dim]… and {several(len(found.discordant) - limit, 'more pair')}: --limit[/]"
            )
        console.print("[dim]--json names the files of the pictures on which they disagree.[/]")


def _discordant(found: Comparison, first: str, second: str, limit: int) -> Grid:
    columns = [PROMPT, *(Column(name=f"{name} right", right=True) for name in (first, second))]
    counted = ((row.pair.prompt, row.counts) for row in found.discordant[:limit])
    rows: list[list[Cell]] = [
        [
            prompt,
            f"{counts.both + counts.first}/{counts.total}",
            f"{counts.both + counts.second}/{counts.total}",
        ]
        for prompt, counts in counted
    ]
    return Grid(columns, rows, "They disagree on")


def print_gates(gates: Sequence[Gate]) -> None:
    """One line a condition, and why."""
    for gate in gates:
        console.print(
            f"[bold]{escape(words.short_name(gate.model))}[/]  "
            f"[{COLOURS[gate.ruling]} bold]{str(gate.ruling).upper()}[/]"
        )
        for condition in gate.conditions:
            console.print(
                f"  [{COLOURS[condition.ruling]}]{condition.ruling}[/]  {condition.name}: "
                f"{escape(condition.sentence)}."
            )
