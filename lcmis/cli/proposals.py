"""Pairs that a text model proposes, round by round."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from lcmis.cli.shared import (
    JsonOption,
    TextModelFlags,
    command_line,
    open_store,
    with_settings,
    with_text_model,
)
from lcmis.plugins.settings import AuditSettings

DEFAULT = "teacup-lm"
"""The text model that proposes where nobody names one."""


@with_text_model
@with_settings
def propose(
    config: AuditSettings,
    *,
    asked: TextModelFlags,
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
    are what it begins with. Without a text model, the small one that lcmis brings proposes.
    Stop it anywhere; the same command adds further rounds.
    """
    from lcmis.audit.config import text_model_settings
    from lcmis.audit.proposals import Propose, ProposeSettings
    from lcmis.cli import terminal
    from lcmis.cli.terminal.proposals import announce, print_proposals

    text_model = asked.over(config.text_model or text_model_settings(DEFAULT))
    assert text_model is not None
    config = dataclasses.replace(config, text_model=text_model)
    chosen = ProposeSettings(text_model, rounds, count, into, audits=not no_audit)
    with open_store(config.store, config.pictures, create=True) as facts:
        with terminal.progress(quiet=json) as watch:
            tell = announce(quiet=json)
            result = Propose(config, facts, chosen, watch, tell).run(command_line())
        terminal.print_json(result) if json else print_proposals(result)
