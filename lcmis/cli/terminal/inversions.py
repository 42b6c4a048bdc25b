"""What inversions show: methods side by side, what is made of their prompts, and masks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich import table
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from lcmis.cli.terminal import console
from lcmis.cli.terminal.piped import spoken
from lcmis.cli.terminal.tables import Cell, Column, Grid
from lcmis.findings import words
from lcmis.findings.words import several
from lcmis.machine import letters
from lcmis.machine.console import stderr_console

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lcmis.invert.applications import InversionResult, Made
    from lcmis.invert.masks import WordMask
    from lcmis.invert.run import InversionProgress, Inverted, Mean, Watch


WHOLE = table.Column(no_wrap=True)


class _DetailColumn(ProgressColumn):
    """What gives way where a line has no room for it."""

    def render(self, task: Task) -> Text:
        """On one line."""
        return Text(task.fields["detail"], style="dim", no_wrap=True, overflow="ellipsis")


@contextlib.contextmanager
def inversion_progress(*, quiet: bool = False) -> Iterator[Watch | None]:
    """One line while methods are at work; nothing where the output is for a script."""
    if quiet:
        yield None
        return
    if not stderr_console().is_terminal:
        with spoken() as said:
            yield lambda now: said.move(
                now.activity,
                f"{now.done} of {several(now.methods, 'method')}",
                now.detail[:60],
            )
        return
    bars = Progress(
        SpinnerColumn(table_column=WHOLE),
        TextColumn("[bold]{task.description}", table_column=WHOLE),
        BarColumn(bar_width=16, table_column=WHOLE),
        TimeElapsedColumn(table_column=WHOLE),
        _DetailColumn(),
        console=stderr_console(),
        transient=True,
    )
    with bars:
        line = bars.add_task("loading", total=None, detail="")

        def move(now: InversionProgress) -> None:
            bars.update(
                line,
                description=escape(now.activity),
                detail=now.detail[:60],
                total=now.methods,
                completed=now.done,
            )

        yield move


def print_inversions(result: InversionResult, kept: Sequence[Path] = ()) -> None:
    """Methods side by side, the best first, then everything that was made of their prompts."""
    found = [one for one in result.inverted if one.prompt]
    if found:
        _print_methods(found, result)
    else:
        console.print("[yellow]No method found a prompt.[/]")
    for one in result.inverted:
        if one.failure:
            console.print(f"[yellow]{escape(one.method)}[/]: {escape(one.failure)}")
        if one.spent:
            console.print(f"[dim]{escape(one.method)}: {escape(one.spent)}[/]")
        if one.judged and one.judged.unpainted:
            console.print(f"[yellow]{escape(one.method)}[/]: {escape(one.judged.unpainted)}")
    for note in result.notes:
        console.print(f"[yellow]![/] {escape(note)}")
    if result.made:
        _print_made(result.made)
    if result.masks:
        _print_masks(result.masks, result.inverted)
    _print_legend(result, bool(found))
    if kept:
        console.print(
            f"[dim]{several(len(kept), 'file')} written; look at [/]{escape(str(kept[0]))}"
        )


def _print_methods(found: Sequence[Inverted], result: InversionResult) -> None:
    columns = [
        Column(name="method", style="bold"),
        Column(name="prompt", wraps=True),
        Column(name="pictures alike"),
        Column(name="words fit", right=True),
        Column(name="perplexity", right=True),
        Column(name="time", right=True),
        Column(name="cost", wraps=True, spare=1),
    ]
    rows: list[list[Cell]] = [
        [
            one.method,
            Text(letters.visible(one.prompt), style="green" if place == 0 else ""),
            _mean(one.image_similarity),
            _cosine(one.text_similarity),
            _perplexity(one),
            words.duration(one.seconds),
            _cost(one),
        ]
        for place, one in enumerate(found)
    ]
    console.print(Grid(columns, rows))


def _print_made(made: Sequence[Made]) -> None:
    columns = [
        Column(name="made", wraps=True, style="bold"),
        Column(name="prompt", wraps=True),
        Column(name="pictures alike"),
        Column(name="and the other"),
    ]
    rows: list[list[Cell]] = []
    for one in made:
        if one.judged is None:
            rows.append([one.how, Text(letters.visible(one.failure), style="yellow"), "", ""])
        else:
            alike = [_mean(value) for value in one.judged.image_similarities[:2]]
            rows.append([one.how, one.judged.prompt, *alike, *[""] * (2 - len(alike))])
    console.print(Grid(columns, rows))


def _print_masks(masks: Sequence[WordMask], inverted: Sequence[Inverted]) -> None:
    said = ", ".join(f"{escape(mask.word)} {words.percent(mask.share)} %" for mask in masks)
    console.print(f"Of the picture, each word of the best prompt covers: {said}.")


def _print_legend(result: InversionResult, found: bool) -> None:
    if not found:
        return
    plain = f"; “a picture” reaches {_mean(result.plain)}" if result.plain else ""
    console.print(
        f"[dim]Pictures alike: how similar {escape(words.short_name(result.model))} paints it, "
        f"mean cosine over seeds that no search used and its 95 % interval{plain}. Words fit: "
        f"cosine of prompt and picture. 1 is the same, and the two are not comparable. Judged by "
        f"{escape(result.guard)}"
        + (f", which guided no search; {escape(result.guide)} did" if result.guide else "")
        + f". {words.duration(result.seconds)} in all.[/]"
    )
    if result.language_model:
        console.print(
            f"[dim]Perplexity: how natural a prompt reads to {escape(result.language_model)}; "
            f"lower is more fluent.[/]"
        )


def _mean(value: Mean | None) -> str:
    if value is None:
        return "not painted"
    if value.low is None or value.high is None:
        return f"{value.value:.2f}"
    return f"{value.value:.2f} ({value.low:.2f}–{value.high:.2f})"


def _cosine(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _perplexity(one: Inverted) -> str:
    value = one.judged.perplexity if one.judged else None
    return "" if value is None else f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def _cost(one: Inverted) -> str:
    costs = {"picture": one.pictures, "question": one.text_calls}
    return ", ".join(several(count, name) for name, count in costs.items() if count)
