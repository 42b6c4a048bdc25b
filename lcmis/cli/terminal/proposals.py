"""What rounds of proposals show."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lcmis.cli.terminal import console, percent, print_next

if TYPE_CHECKING:
    from lcmis.audit.proposals import ProposeResult, RoundResult

SHOWN = 12
"""Pairs of the last rounds that are listed."""


def announce(*, quiet: bool) -> Callable[[str], None]:
    """Says what happens between two audits; on standard error, beside the progress."""
    errors = Console(stderr=True, highlight=False)

    def say(sentence: str) -> None:
        if not quiet:
            errors.print(f"[dim]{escape(sentence)}[/]")

    return say


def print_proposals(result: ProposeResult) -> None:
    """A line a round, the pairs that fail worst, and why others were dropped."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("round", "new pairs", "dropped", "new kinds", "measured"):
        table.add_column(name, justify="right")
    table.add_column("at level 4–5", no_wrap=True)
    table.add_column("foreseen", justify="right")
    for one in result.rounds:
        table.add_row(
            str(one.round.number),
            str(len(one.round.proposals)),
            str(len(one.round.dropped)),
            str(len(one.round.kinds)),
            str(len(one.measured)),
            percent(one.severe) if one.severe.total else "[dim]not drawn[/]",
            "" if one.foreseen is None else f"{one.foreseen:+.2f}",
        )
    console.print(table)
    if result.baseline.total:
        console.print(f"[dim]Of the pairs known before: {percent(result.baseline)}[/]")
    console.print(
        "[dim]foreseen: rank correlation of expected with observed failures, from -1 to 1[/]"
    )
    _print_finds(result)
    for reason, count in result.reasons:
        console.print(f"[dim]dropped {count}: {escape(reason)}[/]")
    for one in result.rounds:
        for sentence in one.round.failures:
            console.print(f"[yellow]round {one.round.number}:[/] {escape(sentence)}")
        for kind in one.round.kinds:
            console.print(
                f"[bold]{escape(kind.name)}[/] [dim](new in round {one.round.number}): "
                f"{escape(kind.explanation)}[/]"
            )
    console.print(
        f"\n{result.num_pairs} new pairs by {escape(result.text_model)} in {escape(result.into)}",
        soft_wrap=True,
    )
    console.print(
        "[dim]Edit the file as you like and run the same command again for more rounds.[/]"
    )
    print_next((f"lcmis audit -p {shlex.quote(result.into)}", "audits them alone"))


def _print_finds(result: ProposeResult) -> None:
    found = [
        (measured.right / measured.total, one, proposal, measured)
        for one in result.rounds
        for proposal, measured in one.measured
        if measured.wrong_share > 0.5
    ]
    if not found:
        return
    table = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, title="What fails worst", title_justify="left"
    )
    table.add_column("prompt", overflow="fold", min_width=24)
    table.add_column("right", justify="right")
    table.add_column("expected wrong", justify="right")
    table.add_column("found by")
    for _, one, proposal, measured in sorted(found, key=_worst_first)[:SHOWN]:
        table.add_row(
            escape(proposal.pair.prompt),
            f"{measured.right}/{measured.total}",
            f"{proposal.expected:.0%}",
            f"{proposal.way}, round {one.round.number}",
        )
    console.print(table)


def _worst_first(found: tuple[float, RoundResult, object, object]) -> tuple[float, int]:
    share, one, *_ = found
    return share, one.round.number
