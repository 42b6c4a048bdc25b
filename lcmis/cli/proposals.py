"""Pairs that a text model proposes, round by round."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lcmis.cli.shared import EndpointOption, JsonOption, command_line, open_store, with_settings
from lcmis.plugins.settings import AuditSettings


@with_settings
def propose(
    config: AuditSettings,
    *,
    text_model: Annotated[
        str,
        typer.Option(help="Who proposes: KIND or KIND:NAME, such as openai:MODEL."),
    ] = "teacup-lm",
    endpoint: EndpointOption = None,
    rounds: Annotated[int, typer.Option(help="Rounds to add.")] = 3,
    count: Annotated[int, typer.Option(help="Pairs of one round, about.")] = 24,
    into: Annotated[
        Path, typer.Option(help="File of pairs that grows; edit it between rounds.")
    ] = Path("proposed.toml"),
    no_audit: Annotated[
        bool, typer.Option("--no-audit", help="Only ask; nothing measured guides the next round.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Let a text model propose pairs, audit them, and let it see what failed.

    Round after round: new pairs of known kinds, like those that failed and unlike those that did
    not; new kinds, as two lists that are crossed here; two kinds blended. The pairs given with -p
    are what it begins with. Stop it anywhere; the same command adds further rounds.
    """
    from lcmis.audit.config import text_model_settings
    from lcmis.audit.proposals import Propose, ProposeSettings
    from lcmis.cli import terminal
    from lcmis.cli.terminal.proposals import announce, print_proposals

    chosen = ProposeSettings(
        text_model_settings(text_model, endpoint), rounds, count, into, audits=not no_audit
    )
    with open_store(config.store, config.pictures, create=True) as facts:
        with terminal.progress(quiet=json) as watch:
            tell = announce(quiet=json)
            result = Propose(config, facts, chosen, watch, tell).run(command_line())
        terminal.print_json(result) if json else print_proposals(result)
