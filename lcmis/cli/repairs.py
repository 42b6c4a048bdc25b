"""Repairs: search, proof, and repaired prompts for other tools."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from lcmis.audit.config import load_config
from lcmis.cli.registered import complete, complete_or_path
from lcmis.cli.shared import (
    CheckerOption,
    JsonOption,
    LevelOption,
    PicturesOption,
    StoreOption,
    TextModelFlags,
    YesOption,
    command_line,
    open_store,
    with_settings,
    with_text_model,
)
from lcmis.errors import ConfigError
from lcmis.plugins.settings import AuditSettings


@with_text_model
@with_settings
def repair(
    config: AuditSettings,
    *,
    asked: TextModelFlags,
    method: Annotated[
        str,
        typer.Option(
            help="One of {repairers}; portfolio tries several.",
            autocompletion=complete("repairers"),
        ),
    ] = "portfolio",
    budget: Annotated[int, typer.Option(help="Pictures that one pair's search may ask for.")] = 120,
    seconds: Annotated[
        float | None, typer.Option(help="That one pair's search may take.", show_default=False)
    ] = None,
    certificate: Annotated[int, typer.Option(help="Fresh seeds for the proof.")] = 20,
    level: LevelOption = None,
    instruction: Annotated[
        Path | None,
        typer.Option(
            help="How the text model is told to rewrite prompts: a file by `lcmis evolve`.",
            show_default=False,
        ),
    ] = None,
    calls: Annotated[
        int, typer.Option(help="That one pair's search may make to the text model.")
    ] = 40,
    reference: Annotated[
        str | None,
        typer.Option(
            help="What inversions start from: a picture's file, or other (model), best (trial so "
            "far), paste; else the first of these that can be had.",
            show_default=False,
        ),
    ] = None,
    guard: Annotated[
        str | None,
        typer.Option(
            help="KIND:NAME of a checker whose encoder neither guides nor judges, for inversions; "
            "kinds are {checkers}.",
            show_default=False,
            autocompletion=complete("checkers"),
        ),
    ] = None,
    writer: Annotated[
        str | None,
        typer.Option(
            help="Turns embeddings into text, for editor: {writers}, or a folder.",
            show_default=False,
            autocompletion=complete_or_path("writers"),
        ),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            help="A TOML file of phrases, for interrogator: subject, medium, flavour.",
            show_default=False,
        ),
    ] = None,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Look for another way of prompting for every pair that fails, and prove it on fresh seeds.

    Needs an audit first. The second checker guides the search; the first one, which the search
    never sees, judges what was found. A text model, if one is named, is asked for other prompts.
    Run it again to go on where it stopped.
    """
    from lcmis.audit.config import checker_settings
    from lcmis.cli import terminal
    from lcmis.cli.terminal.costs import at_most, tell_cost
    from lcmis.cli.terminal.repairs import print_repairs
    from lcmis.findings.words import several
    from lcmis.repair.evolve import read_instruction
    from lcmis.repair.search import Repair, RepairSettings

    config = dataclasses.replace(config, text_model=asked.over(config.text_model))
    chosen = RepairSettings(
        method=method,
        budget=budget,
        seconds=seconds,
        certificate=certificate,
        level=level,
        text_model=config.text_model,
        instruction=read_instruction(instruction) if instruction else "",
        calls=calls,
        guard=checker_settings(guard) if guard else None,
        writer=writer or "",
        table=str(table or ""),
        reference=reference or "",
    )
    with open_store(config.store, config.pictures) as facts:
        started = Repair(config, facts, chosen)
        what = f"{several(started.num_open, 'pair')} to repair, {budget} pictures a search and "
        what += f"twice {certificate} to prove it"
        tell_cost(
            at_most(started.most_pictures, what), yes=yes, quiet=json, free=not started.num_open
        )
        with terminal.repair_progress(quiet=json) as started.watch:
            result = started.run(command_line())
        terminal.print_json(result) if json else print_repairs(result, config.store)


@with_settings
def certify(
    config: AuditSettings,
    *,
    context: typer.Context,
    certificate: Annotated[int, typer.Option(help="Fresh seeds of each repair.")] = 20,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Prove stored repairs again, or with --model on another model: does the prompt hold there?

    Each repair has fresh seeds of its own, the same before and after, and the same on every model.
    Without --model each is proved on the model it was found for, as a file names it or else as it
    was drawn then. The first checker judges, and never what it guided.
    """
    from lcmis.cli import terminal
    from lcmis.cli.terminal.costs import at_most, tell_cost
    from lcmis.cli.terminal.repairs import print_proofs
    from lcmis.findings.words import several
    from lcmis.repair.certify import Certify

    given = context.get_parameter_source("model")
    with open_store(config.store, config.pictures) as facts:
        started = Certify(
            config,
            facts,
            pictures=certificate,
            elsewhere=given is not None and given.name == "COMMANDLINE",
            named=config.models != load_config().models,
        )
        what = f"{several(started.num_proofs, 'proof')}, each on {certificate} fresh seeds before "
        what += "and after"
        tell_cost(at_most(2 * certificate * started.num_proofs, what), yes=yes, quiet=json)
        with terminal.repair_progress(quiet=json) as started.watch:
            result = started.run(command_line())
        terminal.print_json(result) if json else print_proofs(result)


def export(
    form: Annotated[
        str,
        typer.Argument(
            metavar="FORMAT",
            help="One of {exporters}.",
            autocompletion=complete("exporters"),
        ),
    ],
    path: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; it is replaced.")],
    every: Annotated[
        bool, typer.Option("--every", help="Also prompts whose certificate does not stand.")
    ] = False,
    checker: CheckerOption = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Score from which a concept counts as present; that of the last repair if it is "
            "not given.",
            show_default=False,
        ),
    ] = None,
    store: StoreOption = None,
    pictures: PicturesOption = None,
) -> None:
    """Take repaired prompts to your own tool, with their seeds, scores and certificates.

    Of each pair and model the best that is proved.
    """
    from lcmis.cli.terminal.repairs import print_exported
    from lcmis.export.formats import export as write
    from lcmis.export.formats import open_exporter
    from lcmis.export.repaired import repaired_prompts
    from lcmis.findings import deciding_checker, last_proof, threshold_of

    if threshold is not None and not 0 < threshold < 1:
        raise ConfigError(f"--threshold is {threshold}, but it lies between 0 and 1")
    open_exporter(form)  # a name that nobody knows is said before the proofs are read
    with open_store(store, pictures, read_only=True) as facts:
        usual = threshold_of(last_proof(facts.runs()))
        found = repaired_prompts(
            facts,
            deciding_checker(facts, checker),
            threshold=usual if threshold is None else threshold,
            every=every,
        )
    print_exported(write(found, form, path), path)
