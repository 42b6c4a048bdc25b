"""The main job: audit, plan, and a picture drawn again."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from lcmis.audit.config import load_config
from lcmis.cli.shared import (
    CheckerOption,
    JsonOption,
    ModelsOption,
    PicturesOption,
    StoreOption,
    ThresholdOption,
    YesOption,
    command_line,
    open_store,
    with_settings,
)
from lcmis.plugins.settings import AuditSettings

USUAL_LIMIT = 200
"""Pairs that a list shows where nobody says how many."""


@with_settings
def audit(config: AuditSettings, *, yes: YesOption = False, json: JsonOption = False) -> None:
    """Draw, check and judge concept pairs; run it again to go on where it stopped.

    Without arguments it audits the two miniature models that come with lcmis.
    """
    from lcmis.audit.run import Audit, settled_audit
    from lcmis.cli import terminal
    from lcmis.cli.terminal.costs import NOTHING_TO_DRAW, tell_cost, to_draw
    from lcmis.cli.terminal.imports import print_sets

    with open_store(config.store, config.pictures, create=True) as facts:
        settled = None if json else settled_audit(config, facts, command_line())
        if settled is not None:
            print_sets(settled.sets)
            tell_cost(NOTHING_TO_DRAW, yes=yes, free=True)
            terminal.print_summary(settled.summary, config.store)
            return
        started = Audit(config, facts)
        print_sets(started.sets, quiet=json)
        cost = started.cost()
        tell_cost(to_draw(cost), yes=yes, quiet=json, free=not cost.most)
        with terminal.progress(quiet=json) as started.watch:
            result = started.run(command_line())
        terminal.print_json(result) if json else terminal.print_result(result, config.store)


def init(
    path: Annotated[Path, typer.Argument(metavar="[FILE]", help="Where to.")] = Path("audit.toml"),
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Write an audit.toml with every setting, its default and what it means; then edit it."""
    from lcmis.audit.template import write_template
    from lcmis.cli import terminal

    write_template(path, force=force)
    terminal.say(f"{path} is written: edit it, then see what it asks for with lcmis plan {path}")


@with_settings
def plan(config: AuditSettings, *, json: JsonOption = False) -> None:
    """Say what an audit would draw, how long it takes and what it can detect; draw nothing."""
    from lcmis.audit.run import Audit
    from lcmis.cli import terminal
    from lcmis.cli.terminal.imports import print_sets

    with contextlib.ExitStack() as stack:
        place = config.store
        if "://" not in place and not Path(place).exists():  # a plan leaves nothing behind
            place = stack.enter_context(tempfile.TemporaryDirectory())
        facts = stack.enter_context(open_store(place, config.pictures, create=True))
        planned = Audit(config, facts)
        print_sets(planned.sets, quiet=json)
        plans = planned.plan()
        terminal.print_json(plans) if json else terminal.print_plan(plans, config)


def show(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            help="Words in the prompt of pairs; the key of a pair or picture, of which the "
            "beginning is enough; `failing` for the pairs that fail; `errors` for what could not "
            "be drawn or checked. Without it, every pair."
        ),
    ] = None,
    model: ModelsOption = None,
    checker: CheckerOption = None,
    threshold: ThresholdOption = 0.5,
    asked: Annotated[
        bool,
        typer.Option(
            "--asked", help="Of a picture, tell too what each checker was asked and what it said."
        ),
    ] = False,
    disagree: Annotated[
        bool,
        typer.Option(
            "--disagree", help="List the pictures that checkers see differently, instead of pairs."
        ),
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="So many pairs at the most, the worst first; 0 is all.  [default: "
            f"{USUAL_LIMIT}, all with --json]",
            show_default=False,
        ),
    ] = None,
    store: StoreOption = None,
    pictures: PicturesOption = None,
    json: JsonOption = False,
) -> None:
    """Look at what is stored: all pairs, one pair, or one picture with all its scores."""
    from lcmis.cli import terminal
    from lcmis.findings import AllPairs, look_up
    from lcmis.findings.lookup import FAILURES

    wanted = " ".join(what) if what else None
    with open_store(store, pictures, read_only=True) as facts:
        found = look_up(
            facts,
            wanted,
            model=model,
            checker=checker,
            threshold=threshold,
            asked=asked,
            disagree=disagree,
        )
    if wanted == FAILURES and not json:
        terminal.say("`show failures` is `show errors` now; a pair that fails is a verdict.")
    if isinstance(found, AllPairs):
        found = found.first((0 if json else USUAL_LIMIT) if limit is None else limit)
    if json:
        terminal.print_json(found)
        return
    with terminal.paged():
        terminal.print_found(found)


def replay(
    key: Annotated[str, typer.Argument(help="The key of a picture, or its beginning.")],
    store: StoreOption = None,
    pictures: PicturesOption = None,
    json: JsonOption = False,
) -> None:
    """Draw one stored picture again and say whether it is the same; exit code 1 if it is not."""
    from lcmis.audit.replay import replay as draw_again
    from lcmis.cli import terminal

    with open_store(store, pictures, read_only=True) as facts:
        result = draw_again(facts, key, load_config().models)
    terminal.print_json(result) if json else terminal.print_replay(result)
    raise typer.Exit(0 if result.same else 1)
