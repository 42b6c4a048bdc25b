"""Two audits against each other, and an audit against a limit."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lcmis.cli.shared import (
    CheckerOption,
    JsonOption,
    PicturesOption,
    StoreOption,
    ThresholdOption,
    open_store,
    store_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lcmis.store import Store

AUDIT = "A model of --store, a store's folder, or STORE::MODEL."


def compare(
    first: Annotated[str, typer.Argument(metavar="A", help=AUDIT)],
    second: Annotated[str, typer.Argument(metavar="B", help=AUDIT)],
    checker: CheckerOption = None,
    threshold: ThresholdOption = 0.5,
    limit: Annotated[int, typer.Option(help="So many discordant pairs at the most.")] = 20,
    store: StoreOption = None,
    pictures: PicturesOption = None,
    json: JsonOption = False,
) -> None:
    """Compare two models, or two audits, on the same pairs and seeds.

    Prints who is better and by how much, with an interval clustered by pair, and the pairs on which
    they disagree, with the files of the pictures.
    """
    from lcmis.cli import terminal
    from lcmis.cli.terminal.gates import print_comparison
    from lcmis.findings.comparison import compare as compared
    from lcmis.findings.comparison import opened

    with (
        _perhaps(store, pictures) as facts,
        opened((first, second), facts, checker=checker) as sides,
    ):
        result = compared(*sides, threshold=threshold)
    terminal.print_json(result) if json else print_comparison(result, limit)


def gate(
    model: Annotated[str, typer.Argument(metavar="[MODEL]", help=AUDIT, show_default=False)] = "",
    max_rate: Annotated[
        float | None,
        typer.Option(help="Share of wrong pictures that is allowed.", show_default=False),
    ] = None,
    not_worse_than: Annotated[
        str | None, typer.Option(help=f"An audit of the same pairs: {AUDIT}", show_default=False)
    ] = None,
    margin: Annotated[
        float, typer.Option(help="More wrong pictures than the reference that are allowed.")
    ] = 0.05,
    junit: Annotated[
        Path | None, typer.Option(help="Write a JUnit XML report there.", show_default=False)
    ] = None,
    summary: Annotated[
        Path | None,
        typer.Option(help="Append a Markdown summary to this file.", show_default=False),
    ] = None,
    checker: CheckerOption = None,
    threshold: ThresholdOption = 0.5,
    store: StoreOption = None,
    pictures: PicturesOption = None,
    json: JsonOption = False,
) -> None:
    """Say whether a model may pass: exit code 0 pass, 1 fail, 3 cannot tell.

    Intervals decide, not points: a gate that cannot tell says how many pairs would settle it.
    Without a MODEL, every model of the store must pass.
    """
    from lcmis.cli import terminal
    from lcmis.cli.terminal.gates import print_gates
    from lcmis.export.gate import add_summary, write_junit
    from lcmis.findings.comparison import opened
    from lcmis.findings.gate import audits, examine, worst

    with _perhaps(store, pictures) as facts, contextlib.ExitStack() as stack:
        names = [model] if model else audits(facts, store_name(store))
        sides = stack.enter_context(opened(names, facts, checker=checker))
        against = [not_worse_than] if not_worse_than else []
        references = stack.enter_context(opened(against, facts, checker=checker))
        gates = [
            examine(
                side,
                max_rate=max_rate,
                reference=references[0] if references else None,
                margin=margin,
                threshold=threshold,
            )
            for side in sides
        ]
    if junit:
        write_junit(gates, junit)
    if summary:
        add_summary(gates, summary)
    terminal.print_json(gates) if json else print_gates(gates)
    raise typer.Exit(worst(gates))


@contextlib.contextmanager
def _perhaps(store: str | None, pictures: str | None) -> Iterator[Store | None]:
    """The store, if there is one: an audit may be named by its folder instead."""
    place = store_name(store)
    if store is None and not Path(place).exists() and "://" not in place:
        yield None
    else:
        with open_store(store, pictures, read_only=True) as facts:
            yield facts
