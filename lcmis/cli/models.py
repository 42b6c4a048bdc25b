"""Image models: those with a name here, those whose numbers are known, and what works for which."""

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
            help="With --known: a hub name, a folder or a file, or part of what it is called; "
            "with --families: a family or a class of diffusers."
        ),
    ] = None,
    known: Annotated[
        bool,
        typer.Option("--known", help="How models that people use are run, and who says so."),
    ] = False,
    families: Annotated[
        bool,
        typer.Option("--families", help="What works for which family of pipelines, as tested."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """List the image models that lcmis knows by name, those whose numbers it knows, or families.

    Any diffusers model can be audited. Those of --known are run as their authors run them.
    """
    from lcmis.cli import terminal
    from lcmis.cli.terminal.families import print_families
    from lcmis.cli.terminal.models import print_known

    if known and families:
        raise ConfigError("`lcmis models` shows --known or --families: leave one out")
    if families:
        from lcmis.render.families import family_facts, find_families

        facts = family_facts() if name is None else find_families(name)
        terminal.print_json(facts) if json else print_families(facts, in_full=name is not None)
        return
    if name is not None and not known:
        raise ConfigError(
            f"`lcmis models {name}` needs --known or --families: NAME is looked up in those"
        )
    if not known:
        plugins("models", json)
        return
    from lcmis.render.known import find_known

    found = find_known(name) if name is not None else None
    terminal.print_json(found or find_known("")) if json else print_known(found)
