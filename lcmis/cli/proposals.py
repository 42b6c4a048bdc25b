"""Pairs that a text model proposes, round by round."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from lcmis.cli.shared import (
    JsonOption,
    TextModelFlags,
    YesOption,
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
    context: typer.Context,
    asked: TextModelFlags,
    rounds: Annotated[int, typer.Option(help="Rounds to add.")] = 3,
    count: Annotated[int, typer.Option(help="Pairs of one round, about.")] = 24,
    into: Annotated[
        Path, typer.Option(help="File of pairs that grows; edit it between rounds.")
    ] = Path("proposed.toml"),
    no_audit: Annotated[
        bool, typer.Option("--no-audit", help="Only ask; nothing measured guides the next round.")
    ] = False,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Let a text model propose pairs, audit them, and let it see what failed.

    Round after round: new pairs of known kinds, like those that failed and unlike those that did
    not; new kinds, as two lists that are crossed here; two kinds blended. It begins with the pairs
    given with -p or in a file, which are audited first where they are not yet. Without them it
    begins with what this store has measured already. Without a text model, the small one that lcmis
    brings proposes. Stop it anywhere; the same command adds further rounds.
    """
    from lcmis.audit.config import text_model_settings
    from lcmis.audit.proposals import Propose, ProposeSettings
    from lcmis.cli import terminal
    from lcmis.cli.terminal.costs import tell_cost
    from lcmis.cli.terminal.proposals import announce, cost_of_rounds, print_proposals

    text_model = asked.over(config.text_model or text_model_settings(DEFAULT))
    assert text_model is not None
    config = dataclasses.replace(config, text_model=text_model)
    named = any(context.params[one] for one in ("config", "pairs"))
    chosen = ProposeSettings(
        text_model, rounds, count, into, audits=not no_audit, audits_first=named
    )
    with open_store(config.store, config.pictures, create=True) as facts:
        started = Propose(config, facts, chosen, tell=announce(quiet=json))
        tell_cost(
            cost_of_rounds(started),
            yes=yes,
            quiet=json,
            needs_word="" if named else "name the pairs to begin with, as in -p everyday",
            free=no_audit,
        )
        with terminal.progress(quiet=json) as started.watch:
            result = started.run(command_line())
        terminal.print_json(result) if json else print_proposals(result)
