"""Words on pictures, pairs and repairs: left, taken back, listed, and moved between machines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lcmis.cli.shared import JsonOption, PicturesOption, StoreOption, open_store
from lcmis.errors import ConfigError, UnknownNameError

if TYPE_CHECKING:
    from lcmis.store import Store
    from lcmis.types import About, Note

FILE_HELP = "a .csv or .parquet file, or one of JSON lines"


def note(
    what: Annotated[
        str | None,
        typer.Argument(
            help="The key of a picture, a pair or a repair, or its beginning, or a pair's prompt; "
            "without it, everything that has notes is listed."
        ),
    ] = None,
    comment: Annotated[
        str | None, typer.Option("--comment", "-c", help="Leave these words on it.")
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", "-t", help="Tag it; may be given again.")
    ] = None,
    star: Annotated[bool, typer.Option("--star", help="Give it a star.")] = False,
    untag: Annotated[
        list[str] | None, typer.Option(help="Take this tag away; may be given again.")
    ] = None,
    unstar: Annotated[bool, typer.Option("--unstar", help="Take your star away.")] = False,
    by: Annotated[str | None, typer.Option("--by", help="Your name, kept with every word.")] = None,
    export: Annotated[
        Path | None, typer.Option("--export", help=f"Write every note to {FILE_HELP}.")
    ] = None,
    import_: Annotated[
        Path | None,
        typer.Option("--import", help=f"Add the notes of {FILE_HELP}: all of them, or none."),
    ] = None,
    store: StoreOption = None,
    pictures: PicturesOption = None,
    json: JsonOption = False,
) -> None:
    """Leave a comment, a tag or a star on a picture, a pair or a repair, or list what was left.

    No number hangs on a note. None is ever deleted: to take one back is one more fact.
    """
    from lcmis.cli import terminal
    from lcmis.cli.terminal.notes import print_noted, print_noticed
    from lcmis.findings import notes
    from lcmis.findings.words import several

    says = bool(comment is not None or tag or star or untag or unstar)
    if export is not None and import_ is not None:
        raise ConfigError("--export and --import do not go together: run one, then the other")
    if (export is not None or import_ is not None) and (says or what is not None):
        raise ConfigError("--export and --import move all notes: leave the rest out")
    if says and what is None:
        raise ConfigError("a word is left on something: name a picture, a pair or a repair first")
    if says and by is None:
        raise ConfigError("a word is kept with its author: add --by NAME")
    with open_store(store, pictures, read_only=not says and import_ is None) as facts:
        if export is not None:
            count = notes.export_notes(facts, export)
            terminal.say(f"wrote {several(count, 'note')} to {export}")
            return
        if import_ is not None:
            done = notes.import_notes(facts, import_)
            terminal.say(f"added {several(done.added, 'note')}; {done.known} were there already")
            return
        if what is None:
            found = notes.find_notes(facts)
            terminal.print_json(found) if json else print_noticed(found)
            return
        about, subject = _meant(facts, what)
        if says:
            given = _given(about, subject, comment, tag or [], star, by or "")
            facts.add_notes([*given, *_taken(facts, about, subject, untag or [], unstar, by or "")])
        noted = notes.noted_on(facts, about, subject)
        if json:
            terminal.print_json(noted)
        elif noted:
            print_noted(noted)
        else:
            terminal.say(f"nothing stands on this {about}")


def _meant(facts: Store, what: str) -> tuple[About, str]:
    """A pair, a picture or a repair, by key, its beginning, or a pair's prompt.

    Raises:
        UnknownNameError: none is called so.
    """
    from lcmis.types import About

    try:
        return About.PAIR, facts.pair(what).key
    except UnknownNameError as no_pair:
        try:
            return About.PICTURE, facts.render(what)[0].key
        except UnknownNameError:
            begins = (what, f"k1:{what}")
            found = [one.key for one in facts.nominations() if one.key.startswith(begins)]
            if len(found) != 1:
                raise no_pair from None
            return About.REPAIR, found[0]


def _given(
    about: About, subject: str, comment: str | None, tags: list[str], star: bool, by: str
) -> list[Note]:
    from lcmis.findings.notes import written
    from lcmis.types import NoteKind

    words = [] if comment is None else [(NoteKind.COMMENT, comment)]
    words += [(NoteKind.TAG, one) for one in tags]
    words += [(NoteKind.STAR, "")] if star else []
    return [written(about, subject, kind, text, by) for kind, text in words]


def _taken(
    facts: Store, about: About, subject: str, tags: list[str], star: bool, by: str
) -> list[Note]:
    from lcmis.findings import notes
    from lcmis.findings.labels import rater_name
    from lcmis.types import NoteKind

    every = facts.notes(about, subject)
    names = {notes.tag_name(one) for one in tags}
    gone = [
        one
        for one in notes.standing(every)
        if (one.kind is NoteKind.TAG and one.text in names)
        or (star and one.kind is NoteKind.STAR and one.rater == rater_name(by))
    ]
    if absent := names - {one.text for one in gone}:
        raise UnknownNameError(f"there is no tag {min(absent)!r} on it")
    if star and not any(one.kind is NoteKind.STAR for one in gone):
        raise UnknownNameError(f"there is no star of {by!r} on it")
    return [back for one in gone for back in notes.takes_back(every, one, by)]
