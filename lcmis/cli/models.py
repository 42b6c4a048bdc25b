"""Image models: those with a name here, and those whose numbers are known."""

from __future__ import annotations

from typing import Annotated

import typer

from lcmis.cli.looking import plugins
from lcmis.cli.shared import JsonOption
from lcmis.errors import ConfigError


def models(
    name: Annotated[
        str | None,
        typer.Argument(
            help="With --known: a hub name, a folder or a file, or part of what it is called."
        ),
    ] = None,
    known: Annotated[
        bool,
        typer.Option("--known", help="How models that people use are run, and who says so."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """List the image models that lcmis knows by name, or those whose numbers it knows.

    Any diffusers model can be audited. Those of --known are run as their authors run them.
    """
    from lcmis.cli import terminal
    from lcmis.cli.terminal.models import print_known

    if name is not None and not known:
        raise ConfigError(
            f"`lcmis models {name}` needs --known, which is what NAME is looked up in"
        )
    if not known:
        plugins("models", json)
        return
    from lcmis.render.known import find_known

    found = find_known(name) if name is not None else None
    terminal.print_json(found or find_known("")) if json else print_known(found)
