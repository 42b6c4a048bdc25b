"""`lcmis …`: parse, call, print."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from lcmis import __version__
from lcmis.cli import (
    auditing,
    conversion,
    evolution,
    gates,
    imports,
    inversion,
    labels,
    looking,
    models,
    notes,
    proposals,
    repairs,
    reports,
    stores,
)
from lcmis.cli.registered import InOrder, NamesPlugins, in_short
from lcmis.errors import UserError
from lcmis.machine.letters import harmless
from lcmis.machine.secrets import withheld

CANNOT_PRINT = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What a full or broken disk says where our words are sent to a file."""
STOPPED = 130
"""The exit code of what Ctrl-C ended."""

app = typer.Typer(
    cls=InOrder,
    help="Audits text-to-image models for latent concept misalignment: asked for a tea cup of iced "
    "coke, a model paints a glass. lcmis draws such pairs, checks every picture, and says which "
    "pairs fail, how often, with what certainty, and what is painted instead.",
    epilog="Begin with `lcmis audit`: it needs nothing. `lcmis COMMAND --help` has examples.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
GROUPS: dict[str, tuple[Callable[..., None], ...]] = {
    "Audit a model": (
        auditing.init,
        auditing.plan,
        auditing.audit,
        auditing.show,
        looking.dashboard,
        looking.embed,
        reports.report,
    ),
    "Find pairs to ask": (proposals.propose, imports.import_),
    "Repair what fails": (
        repairs.repair,
        repairs.certify,
        repairs.export,
        evolution.evolve,
        inversion.invert,
    ),
    "Trust and decide": (
        labels.label,
        labels.calibrate,
        notes.note,
        gates.compare,
        gates.gate,
    ),
    "Hand round": (imports.publish,),
    "Machine, models and plugins": (
        looking.doctor,
        models.tune,
        models.models,
        looking.checkers,
        looking.plugins,
        conversion.convert,
        auditing.replay,
    ),
}
"""Commands by what they are for, in the order of use."""
for group, commands in GROUPS.items():
    for command in commands:
        name = command.__name__.rstrip("_")
        app.command(name, cls=NamesPlugins, rich_help_panel=group, short_help=in_short(command))(
            command
        )

db = typer.Typer(help="Look after the database.", no_args_is_help=True)
for command in (looking.upgrade, looking.check, stores.move, stores.merge):
    db.command(cls=NamesPlugins)(command)
app.add_typer(db, name="db", rich_help_panel="Machine, models and plugins")


def _version(wanted: bool) -> None:
    if wanted:
        print(f"lcmis {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version and leave."
        ),
    ] = False,
) -> None:
    """Takes what belongs to no command."""


def complain(sentence: str) -> None:
    """One sentence to standard error, without secrets."""
    print(f"lcmis: {harmless(withheld(sentence))}", file=sys.stderr)


def _speak_to_nobody() -> None:
    """Where a shell has closed a stream (``>&-``), words go nowhere: not to the other stream, and
    not into the next file that is opened and gets its number.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115


def main() -> None:
    """Run a command; what the user can mend is one sentence and exit code 2."""
    _speak_to_nobody()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a letter that cannot be shown is spelled out
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            app(prog_name="lcmis")  # also where it runs as `python -m lcmis`
        finally:
            sys.stdout.flush()  # a full disk is noticed here, or after our last word
    except UserError as error:
        complain(str(error))
        raise SystemExit(2) from None
    except OSError as error:
        if error.filename is not None or error.errno not in CANNOT_PRINT:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python would try once more
        complain(
            f"nothing more can be printed there ({error.strerror}): make room, or print "
            f"somewhere else"
        )
        raise SystemExit(2) from None
    except SystemExit as ended:
        if ended.code == STOPPED:  # what typer makes of Ctrl-C, without a word
            print("lcmis: stopped; run the same command again to go on", file=sys.stderr)
        raise
