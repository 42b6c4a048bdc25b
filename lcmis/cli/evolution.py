"""Instructions by which a text model rewrites prompts: evolved, measured, written to a file."""

from __future__ import annotations

import dataclasses
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lcmis.cli.registered import complete
from lcmis.cli.shared import (
    JsonOption,
    LevelOption,
    TextModelFlags,
    YesOption,
    command_line,
    open_store,
    with_settings,
    with_text_model,
)
from lcmis.errors import ConfigError
from lcmis.plugins.settings import AuditSettings


class SelectorName(StrEnum):
    """Who decides which instructions stay."""

    UCB = "ucb"
    EPSILON = "epsilon"
    GREEDY = "greedy"


@with_text_model
@with_settings
def evolve(
    config: AuditSettings,
    *,
    asked: TextModelFlags,
    out: Annotated[Path, typer.Option(help="Where the instruction goes; it is replaced.")] = Path(
        "instruction.txt"
    ),
    score: Annotated[
        str | None,
        typer.Option(
            help="What a picture is worth, instead of the second checker: KIND:NAME, such as "
            "hps:FOLDER for HPS v2; kinds are {checkers}.",
            autocompletion=complete("checkers"),
            show_default=False,
        ),
    ] = None,
    experts: Annotated[
        Path | None,
        typer.Option(
            help="Professional prompts: paragraphs of a pair's prompt and others for it below.",
            show_default=False,
        ),
    ] = None,
    instruction: Annotated[
        Path | None,
        typer.Option(help="Start from the instruction in this file.", show_default=False),
    ] = None,
    selector: Annotated[
        SelectorName, typer.Option(help="Which instructions stay.")
    ] = SelectorName.UCB,
    iterations: Annotated[int, typer.Option(help="Rounds of the search at the most.")] = 10,
    subjects: Annotated[int, typer.Option(help="Failing pairs to evolve on.")] = 6,
    held_out: Annotated[int, typer.Option(help="Other failing pairs to measure on.")] = 8,
    fresh: Annotated[int, typer.Option(help="Seeds of each pair that is measured.")] = 8,
    budget: Annotated[int, typer.Option(help="Pictures that the search may ask for.")] = 1200,
    calls: Annotated[int, typer.Option(help="That may be made to the text model.")] = 400,
    level: LevelOption = None,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Evolve the instruction by which a text model rewrites prompts, and measure it.

    Needs an audit first, and a text model, which writes, analyses and amends. Evolves on some of
    the failing pairs and compares the evolved instruction with the first one on others, on the same
    fresh seeds. The second checker guides the search, the first one judges. `lcmis repair
    --instruction FILE` then uses what was found.
    """
    from lcmis.audit.config import checker_settings
    from lcmis.cli import terminal
    from lcmis.cli.terminal.costs import at_most, tell_cost
    from lcmis.cli.terminal.evolution import evolve_progress, print_evolved
    from lcmis.findings.words import several
    from lcmis.repair.evolve import (
        Evolve,
        EvolveSettings,
        read_experts,
        read_instruction,
        write_instruction,
    )
    from lcmis.repair.methods.bigpe import Plan

    if not out.absolute().parent.is_dir():
        raise ConfigError(f"there is no folder {out.absolute().parent}: name another file by --out")
    text_model = asked.over(config.text_model)
    if text_model is None:
        raise ConfigError(
            "an instruction is evolved by a text model: name one with --text-model, such as "
            "openai:MODEL, or under [text_model] in the file"
        )
    config = dataclasses.replace(config, text_model=text_model)
    settings = EvolveSettings(
        text_model=text_model,
        plan=Plan(iterations, selector=selector.value),
        subjects=subjects,
        held_out=held_out,
        fresh=fresh,
        budget=budget,
        calls=calls,
        score=checker_settings(score) if score else None,
        experts=read_experts(experts) if experts else None,
        instruction=read_instruction(instruction) if instruction else "",
        level=level,
    )
    with open_store(config.store, config.pictures) as facts:
        started = Evolve(config, facts, settings)
        what = f"an evolution on {several(len(started.subjects), 'pair')}, measured on "
        what += f"{len(started.held_out)} others"
        tell_cost(at_most(started.most_pictures, what), yes=yes, quiet=json)
        with evolve_progress(quiet=json) as started.watch:
            result = started.run(command_line())
    write_instruction(result, out)
    terminal.print_json(result) if json else print_evolved(result, out)
