"""What comparisons and gates show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.markup import escape
from rich.table import Table

from lcmis.cli.terminal import console, name_column, percent, short
from lcmis.judge import Ruling

if TYPE_CHECKING:
    from lcmis.findings.comparison import Comparison
    from lcmis.findings.gate import Gate

COLOURS = {Ruling.PASS: "green", Ruling.FAIL: "red", Ruling.UNDECIDED: "yellow"}


def print_comparison(found: Comparison, limit: int) -> None:
    """Who is better and by how much, then where they disagree."""
    first, second = _told_apart(found.first, found.second)
    difference = found.difference
    if not difference.pairs:
        console.print("[yellow]These two audits share no scored picture: nothing to compare.[/]")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    name_column(table, [first, second])
    table.add_column("right", no_wrap=True)
    table.add_column("right alone", justify="right")
    table.add_row(escape(first), percent(found.first_right), str(difference.only_first))
    table.add_row(escape(second), percent(found.second_right), str(difference.only_second))
    console.print(table)
    console.print(_in_words(found, first, second))
    noticed = (
        f"a true difference of {difference.detectable:.0%} would have been noticed with 80 % power"
        if difference.detectable < 1
        else "so few cannot be relied on to notice any true difference"
    )
    console.print(
        f"[dim]{difference.pairs} pairs and {difference.pictures} seeds that both have; {noticed}. "
        f"Checked by {escape(found.checker)}.[/]"
    )
    if found.not_shared:
        console.print(f"[dim]{found.not_shared} pairs are in one audit only.[/]")
    if found.unpaired:
        console.print(f"[dim]{found.unpaired} pictures lack a scored counterpart.[/]")
    if found.discordant and limit > 0:
        console.print(_discordant(found, first, second, limit))
        if len(found.discordant) > limit:
            console.print(f"[dim]… and {len(found.discordant) - limit} more pairs: --limit[/]")
        console.print("[dim]--json names the files of the pictures on which they disagree.[/]")


def _in_words(found: Comparison, first: str, second: str) -> str:
    difference = found.difference
    by = (
        f"{abs(difference.value):.1%} of the pictures "
        f"({difference.low:+.1%} to {difference.high:+.1%} with 95 % confidence)"
    )
    if difference.low > 0:
        return f"[bold]{escape(second)} is better by {by}.[/]"
    if difference.high < 0:
        return f"[bold]{escape(first)} is better by {by}.[/]"
    return f"[bold]No difference can be told: {by}.[/]"


def _discordant(found: Comparison, first: str, second: str, limit: int) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, title="They disagree on", title_justify="left"
    )
    table.add_column("prompt", overflow="fold", min_width=24)
    for name in (first, second):
        table.add_column(f"{escape(name)} right", justify="right")
    for row in found.discordant[:limit]:
        counts = row.counts
        table.add_row(
            escape(row.pair.prompt),
            f"{counts.both + counts.first}/{counts.total}",
            f"{counts.both + counts.second}/{counts.total}",
        )
    return table


def print_gates(gates: Sequence[Gate]) -> None:
    """One line a condition, and why."""
    for gate in gates:
        console.print(
            f"[bold]{escape(short(gate.model))}[/]  "
            f"[{COLOURS[gate.ruling]} bold]{str(gate.ruling).upper()}[/]"
        )
        for condition in gate.conditions:
            console.print(
                f"  [{COLOURS[condition.ruling]}]{condition.ruling}[/]  {condition.name}: "
                f"{escape(condition.sentence)}."
            )


def _told_apart(first: str, second: str) -> tuple[str, str]:
    """Short names, or whole ones where the short ones are the same."""
    if short(first) != short(second):
        return short(first), short(second)
    return (first, second) if first != second else (f"{short(first)} (A)", f"{short(second)} (B)")
