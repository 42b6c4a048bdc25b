"""What rounds of proposals show."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.markup import escape

from lcmis import judge
from lcmis.cli.terminal import PROMPT, console, print_next, print_notes
from lcmis.cli.terminal.tables import Cell, Column, Grid, rate_cell
from lcmis.findings import words
from lcmis.findings.words import several
from lcmis.machine.console import stderr_console

if TYPE_CHECKING:
    from lcmis.audit.proposals import Propose, ProposeResult, RoundResult

SHOWN = 12
"""Pairs of the last rounds that are listed."""


def announce(*, quiet: bool) -> Callable[[str], None]:
    """Says what happens between two audits; on standard error, beside the progress."""
    errors = stderr_console()

    def say(sentence: str) -> None:
        if not quiet:
            errors.print(f"[dim]{escape(sentence)}[/]")

    return say


def cost_of_rounds(started: Propose) -> str:
    """What rounds of proposals will draw, and what they begin with."""
    settings, first = started.settings, started.cost()
    rounds = f"{several(settings.rounds, 'round')} of about {several(settings.count, 'pair')}"
    if not settings.audits:
        return f"{rounds} are asked for; nothing is drawn."
    each = judge.expected_pictures(started.rule).mean
    drawn = round(settings.rounds * settings.count * each * len(started.models))
    told = f"{rounds}: about {several(drawn, 'picture')} to draw"
    if first.expected:
        told += (
            f", after about {first.expected:,} more of {several(first.pairs, 'pair')} that it "
            f"begins with and that are not decided yet"
        )
    elif not settings.audits_first:
        known = len(started.measured(started.seeds))
        told += (
            f"; it begins with {several(known, 'pair')} that this store has measured"
            if known
            else "; no pair is measured yet, so the first round is not guided"
        )
    return f"{told}."


def print_proposals(result: ProposeResult) -> None:
    """A line a round, the pairs that fail worst, and why others were dropped."""
    names = ("round", "new pairs", "dropped", "new kinds", "measured")
    columns = [
        *(Column(name=name, right=True) for name in names),
        Column(name="at level 4–5"),
        Column(name="foreseen", right=True),
    ]
    rows: list[list[Cell]] = [
        [
            str(one.round.number),
            str(len(one.round.proposals)),
            str(len(one.round.dropped)),
            str(len(one.round.kinds)),
            str(len(one.measured)),
            rate_cell(one.severe, "not drawn"),
            "" if one.foreseen is None else f"{one.foreseen:+.2f}",
        ]
        for one in result.rounds
    ]
    console.print(Grid(columns, rows))
    if result.baseline.total:
        console.print(f"[dim]Of the pairs known before: {words.rate(result.baseline)}[/]")
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
    print_notes(result.notes)
    console.print(
        f"\n{several(result.num_pairs, 'new pair')} by {escape(result.text_model)} in "
        f"{escape(result.into)}",
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
    columns = [
        PROMPT,
        Column(name="right", right=True),
        Column(name="expected wrong", right=True),
        Column(name="found by", wraps=True),
    ]
    rows: list[list[Cell]] = [
        [
            proposal.pair.prompt,
            f"{measured.right}/{measured.total}",
            f"{words.percent(proposal.expected)} %",
            f"{proposal.way}, round {one.round.number}",
        ]
        for _, one, proposal, measured in sorted(found, key=_worst_first)[:SHOWN]
    ]
    console.print(Grid(columns, rows, "What fails worst"))


def _worst_first(found: tuple[float, RoundResult, object, object]) -> tuple[float, int]:
    share, one, *_ = found
    return share, one.round.number
