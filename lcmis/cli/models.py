"""Image models: those with a name here, those whose numbers are known, and what works for which."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lcmis.cli.looking import plugins
from lcmis.cli.shared import JsonOption, with_settings
from lcmis.errors import ConfigError
from lcmis.plugins.settings import AuditSettings

if TYPE_CHECKING:
    from lcmis.audit.tuning import MeasuredWay


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


@with_settings
def tune(
    config: AuditSettings,
    *,
    into: Annotated[
        Path | None,
        typer.Option(help="An audit.toml that names the model; what pays is written there."),
    ] = None,
    minutes: Annotated[
        float, typer.Option(help="After which no further way is tried, for each model.")
    ] = 10.0,
    compiled: Annotated[
        bool,
        typer.Option("--compile/--no-compile", help="Try what is compiled too; on a CPU, minutes."),
    ] = True,
    json: JsonOption = False,
) -> None:
    """Measure which ways of computing draw faster on this machine, and what they change.

    Each is drawn between two rounds of the usual way. Class E changes no bit of a picture, class N
    rounds otherwise. Class L draws another picture: a cache or a denoiser in float8, by which
    repairs may search. It proves nothing, so it is told and never written to a file.
    """
    from lcmis.audit.pairs import chosen_pairs
    from lcmis.audit.tuning import Tuning, best_of, refuse_unwritable, write_settings
    from lcmis.cli import terminal
    from lcmis.cli.terminal.tuning import print_best, print_measured
    from lcmis.plugins.opening import open_checker

    if not 0 < minutes < math.inf:
        raise ConfigError(f"--minutes is {minutes:g}, but it is above 0 and ends")
    if into is not None:
        if not into.is_file():
            raise ConfigError(
                f"there is no file {into}: write one with `lcmis init`, or leave it out"
            )
        refuse_unwritable(into, [one.name for one in config.models])
    pairs = chosen_pairs(config).pairs
    checker = open_checker(config.checkers[0])
    tunings = [
        Tuning(
            settings,
            pairs,
            checker,
            threshold=config.threshold,
            compiled=compiled,
            seconds=60 * minutes,
        )
        for settings in config.models
    ]
    everything: dict[str, list[MeasuredWay]] = {}
    try:
        for tuning in tunings:
            name = tuning.settings.name
            found = everything[name] = []
            for measured in tuning.measure():
                found.append(measured)
                if not json:
                    print_measured(name, measured)
            best = best_of(found)
            if into is not None and best.way.settings:
                write_settings(into, name, best.way.settings)
            if not json:
                print_best(name, best, into, tuning.untried)
    finally:  # what was measured is told, whatever became of the rest
        if json and everything:
            terminal.print_json(everything)
