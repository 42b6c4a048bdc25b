"""What people say of pictures: labels as files, and how far checkers can be trusted by them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lcmis.cli.shared import JsonOption, PicturesOption, StoreOption, open_store
from lcmis.errors import ConfigError

FILE_HELP = "a .csv or .jsonl file"


def label(
    store: StoreOption = None,
    pictures: PicturesOption = None,
    export: Annotated[
        Path | None, typer.Option("--export", help=f"Write every label to {FILE_HELP}.")
    ] = None,
    import_: Annotated[
        Path | None,
        typer.Option("--import", help=f"Add the labels of {FILE_HELP}: all of them, or none."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Move labels between machines, or say who has labelled how much; people label in the
    dashboard.
    """
    from lcmis.cli import terminal
    from lcmis.cli.terminal.labels import print_labellers
    from lcmis.findings import labels
    from lcmis.findings.words import several

    if export is not None and import_ is not None:
        raise ConfigError("--export and --import do not go together: run one, then the other")
    with open_store(store, pictures, read_only=import_ is None) as facts:
        if export is not None:
            count = labels.export_labels(facts, export)
            terminal.say(f"wrote {several(count, 'label')} to {export}")
        elif import_ is not None:
            done = labels.import_labels(facts, import_)
            terminal.say(f"added {several(done.added, 'label')}; {done.known} were there already")
        else:
            found = labels.readings(facts.labels())
            terminal.print_json(found) if json else print_labellers(found)


def calibrate(
    store: StoreOption = None,
    pictures: PicturesOption = None,
    checker: Annotated[
        str | None, typer.Option("--checker", "-c", help="Only this checker, by its id.")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Score from which a concept counts as present.  [default: the last audit's]"
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Hold the checkers against people's labels: how often each errs, from which score on a thing
    is likelier there than not, and what rates are left when its errors are taken out.
    """
    from lcmis import findings
    from lcmis.cli import terminal
    from lcmis.cli.terminal.labels import print_calibration
    from lcmis.findings import calibration

    if threshold is not None and not 0 < threshold < 1:
        raise ConfigError(f"--threshold is {threshold}, but it lies between 0 and 1")
    with open_store(store, pictures, read_only=True) as facts:
        runs, checkers = facts.runs(), facts.checkers()
        if runs and checkers:
            first = findings.deciding_checker(facts)
            checkers = [first, *(one for one in checkers if one != first)]
        audit = findings.last_audit(runs)
        usual = findings.threshold_of(audit)
        known = calibration.audited(
            facts,
            checkers,
            threshold=usual if threshold is None else threshold,
            rule=findings.rule_of(audit) if audit else None,
        )
        if checker is not None and checker not in checkers:
            raise ConfigError(
                f"no checker in this store is called {checker!r}: there are {', '.join(checkers)}"
            )
        found = calibration.find_labels(known, facts.labels(), facts.question)
    found = found if checker is None else found.only(checker)
    terminal.print_json(found) if json else print_calibration(found)
