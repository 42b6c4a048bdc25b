"""Stores as wholes: moved to another place, and merged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lcmis.cli.shared import PicturesOption, StoreOption, open_store, store_name
from lcmis.errors import ConfigError
from lcmis.machine.secrets import withheld

if TYPE_CHECKING:
    from lcmis.store.moving import Moved


def move(
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            help="Folder or database URL of the facts' new place; they stay if it is not given.",
            show_default=False,
        ),
    ] = None,
    to_pictures: Annotated[
        str | None,
        typer.Option(
            "--to-pictures",
            help="Where the pictures go: a folder or s3://BUCKET/PREFIX; beside the facts if "
            "--to is a folder, else where they are.",
            show_default=False,
        ),
    ] = None,
    store: StoreOption = None,
    pictures: PicturesOption = None,
) -> None:
    """Bring a store to another place: SQLite or PostgreSQL, pictures in a folder or a bucket.

    The old place stays as it is until you delete it. Stopped on the way, run it again.
    """
    from lcmis.cli import terminal
    from lcmis.findings.words import several
    from lcmis.store.moving import copy_all, move_pictures
    from lcmis.store.places import refuse_passing

    refuse_passing(to_pictures or "")
    with open_store(store, pictures) as source:
        if to is None:
            if to_pictures is None:
                raise ConfigError("say where to: --to FOLDER-OR-URL, --to-pictures PLACE, or both")
            files, faults = move_pictures(source, store_name(store), to_pictures)
            terminal.say(f"{withheld(to_pictures)}: {several(files, 'picture file')}")
            for fault in faults:
                terminal.say(fault)
            if faults:
                terminal.say("the store keeps its old place: mend these and run the command again")
            elif "://" in store_name(store):
                terminal.say(f"say --pictures {withheld(to_pictures)} from now on")
            raise typer.Exit(1 if faults else 0)
        if "://" in to:
            to_pictures = to_pictures or source.pictures.address
        with open_store(to, to_pictures, create=True) as target:
            moved = copy_all(source, target)
    _tell(moved, to)
    raise typer.Exit(1 if moved.faults else 0)


def merge(
    others: Annotated[
        list[str], typer.Argument(help="Folders or database URLs of stores that were made apart.")
    ],
    other_pictures: Annotated[
        str | None,
        typer.Option(
            "--other-pictures",
            help="Where the pictures of a database URL among them lie.",
            show_default=False,
        ),
    ] = None,
    store: StoreOption = None,
    pictures: PicturesOption = None,
) -> None:
    """Add all facts and pictures of other stores to this one; they stay as they are.

    What both have is kept once. Stopped on the way, run it again.
    """
    from lcmis.store.moving import copy_all

    faulty = False
    with open_store(store, pictures, create=True) as target:
        for other in others:
            with open_store(other, other_pictures if "://" in other else None) as source:
                moved = copy_all(source, target)
            _tell(moved, store_name(store), other)
            faulty = faulty or bool(moved.faults)
    raise typer.Exit(1 if faulty else 0)


def _tell(moved: Moved, to: str, source: str = "") -> None:
    """What a store got that it had not, and what was left behind."""
    from lcmis.cli import terminal
    from lcmis.findings.words import several

    before, after = moved.before, moved.after
    came = {
        "pair": after.pairs - before.pairs,
        "picture": after.renders - before.renders,
        "score": after.scores - before.scores,
        "label": after.labels - before.labels,
        "run": after.runs - before.runs,
    }
    named = ", ".join(several(count, noun) for noun, count in came.items() if count)
    whence = f" from {withheld(source)}" if source else ""
    terminal.say(f"{withheld(to)}: {named or 'nothing'} new{whence}")
    if moved.differing:
        terminal.say(
            f"{several(moved.differing, 'picture')} of one specification differ: those that were "
            f"there stay, with what was said of them"
        )
    for fault in moved.faults:
        terminal.say(fault)
