"""What a command is about to cost: said before it begins, and asked where somebody can answer."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from lcmis.errors import ConfigError
from lcmis.findings import words
from lcmis.findings.words import several
from lcmis.machine.console import stderr_console

if TYPE_CHECKING:
    from lcmis.audit.run import Cost

NOTHING_TO_DRAW = "Every pair is decided already: nothing to draw."


def tell_cost(
    sentence: str, *, yes: bool, quiet: bool = False, needs_word: str = "", free: bool = False
) -> None:
    """Say what will be drawn; at a terminal go on only when told so.

    Where nobody can be asked, a command does what it was told. One that was told nothing does it
    only with ``--yes``.

    Args:
        sentence: what will be drawn.
        yes: the answer was given beforehand.
        quiet: the output is for a script, and nobody is asked.
        needs_word: what to name instead of ``--yes``, where a command was told nothing.
        free: nothing will be drawn, so there is nothing to ask.

    Raises:
        ConfigError: nobody can be asked, and nothing was named.
        typer.Exit: the answer was no.
    """
    errors = stderr_console()
    if not quiet:
        errors.print(Text(sentence), soft_wrap=not errors.is_terminal)
    if yes or free:
        return
    if quiet or not (sys.stdin.isatty() and errors.is_terminal):
        if needs_word:
            raise ConfigError(
                f"nobody can be asked here whether to draw that: say --yes, or {needs_word}"
            )
        return
    if not typer.confirm("Go on?", default=True, err=True):
        errors.print("Nothing was drawn.")
        raise typer.Exit(1)


def to_draw(cost: Cost) -> str:
    """What an audit will draw."""
    if not cost.most:
        return NOTHING_TO_DRAW
    by = f" by {several(cost.models, 'model')}" if cost.models > 1 else ""
    return (
        f"About {several(cost.expected, 'picture')} to draw for {several(cost.pairs, 'pair')}{by}, "
        f"{cost.most:,} at most{_time(cost.expected, cost.seconds_each)}."
    )


def at_most(pictures: int, what: str, seconds_each: float | None = None) -> str:
    """What a search or a proof may draw."""
    return f"{what}: {several(pictures, 'picture')} at most{_time(pictures, seconds_each)}."


def _time(pictures: int, seconds_each: float | None) -> str:
    return "" if seconds_each is None else f", about {words.duration(pictures * seconds_each)}"
