"""What inversions show: methods side by side, what is made of their prompts, and masks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from lcmis.cli.terminal import console, duration, short

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lcmis.invert.applications import InversionResult, Made
    from lcmis.invert.masks import WordMask
    from lcmis.invert.run import InversionProgress, Inverted, Mean, Watch


@contextlib.contextmanager
def inversion_progress(*, quiet: bool = False) -> Iterator[Watch | None]:
    """One line while methods are at work; nothing where the output is for a script."""
    if quiet:
        yield None
        return
    bars = Progress(
        SpinnerColumn(),
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=16),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[detail]}"),
        console=Console(stderr=True, highlight=False),
        transient=True,
    )
    with bars:
        line = bars.add_task("loading", total=None, detail="")

        def move(now: InversionProgress) -> None:
            detail = escape(now.detail[:60])
            bars.update(
                line,
                description=now.activity,
                detail=detail,
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
        console.print(f"[dim]{len(kept)} files written; look at [/]{escape(str(kept[0]))}")


def _print_methods(found: Sequence[Inverted], result: InversionResult) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("method", style="bold", no_wrap=True)
    table.add_column("prompt", overflow="fold", ratio=1, min_width=20)
    table.add_column("pictures alike", no_wrap=True)
    table.add_column("words fit", justify="right")
    if result.language_model:
        table.add_column("perplexity", justify="right")
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("cost", no_wrap=True)
    for place, one in enumerate(found):
        table.add_row(
            escape(one.method),
            f"[green]{escape(one.prompt)}[/]" if place == 0 else escape(one.prompt),
            _mean(one.image_similarity),
            _cosine(one.text_similarity),
            *([_perplexity(one)] if result.language_model else []),
            duration(one.seconds),
            _cost(one),
        )
    console.print(table)


def _print_made(made: Sequence[Made]) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("made", style="bold", overflow="fold")
    table.add_column("prompt", overflow="fold", ratio=1, min_width=20)
    table.add_column("pictures alike", no_wrap=True)
    if any(one.judged and len(one.judged.image_similarities) > 1 for one in made):
        table.add_column("and the other", no_wrap=True)
    for one in made:
        if one.judged is None:
            table.add_row(escape(one.how), f"[yellow]{escape(one.failure)}[/]")
        else:
            alike = [_mean(value) for value in one.judged.image_similarities]
            table.add_row(escape(one.how), escape(one.judged.prompt), *alike)
    console.print(table)


def _print_masks(masks: Sequence[WordMask], inverted: Sequence[Inverted]) -> None:
    said = ", ".join(f"{escape(mask.word)} {mask.share:.0%}".replace("%", " %") for mask in masks)
    console.print(f"Of the picture, each word of the best prompt covers: {said}.")


def _print_legend(result: InversionResult, found: bool) -> None:
    if not found:
        return
    plain = f"; “a picture” reaches {_mean(result.plain)}" if result.plain else ""
    console.print(
        f"[dim]Pictures alike: how similar {escape(short(result.model))} paints it, mean cosine "
        f"over seeds that no search used and its 95 % interval{plain}. Words fit: cosine of "
        f"prompt and picture. 1 is the same, and the two are not comparable. Judged by "
        f"{escape(result.guard)}"
        + (f", which guided no search; {escape(result.guide)} did" if result.guide else "")
        + f". {duration(result.seconds)} in all.[/]"
    )
    if result.language_model:
        console.print(
            f"[dim]Perplexity: how natural a prompt reads to {escape(result.language_model)}; "
            f"lower is more fluent.[/]"
        )


def _mean(value: Mean | None) -> str:
    if value is None:
        return "[yellow]not painted[/]"
    if value.low is None or value.high is None:
        return f"{value.value:.2f}"
    return f"{value.value:.2f} \\[{value.low:.2f}–{value.high:.2f}]"


def _cosine(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _perplexity(one: Inverted) -> str:
    value = one.judged.perplexity if one.judged else None
    return "" if value is None else f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def _cost(one: Inverted) -> str:
    costs = {"picture": one.pictures, "question": one.text_calls}
    return ", ".join(
        f"{count} {name}{'s' if count != 1 else ''}" for name, count in costs.items() if count
    )
