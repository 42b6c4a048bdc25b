"""Other people's prompts and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from lcmis.cli.registered import complete
from lcmis.cli.shared import (
    CheckerOption,
    JsonOption,
    ModelsOption,
    PicturesOption,
    StoreOption,
    ThresholdOption,
    open_store,
)
from lcmis.errors import ConfigError
from lcmis.plugins import registry


def import_(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE]…",
            help="Sets of prompts: CSV, JSON, JSON lines or text in a format of --format.",
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(help="A folder of pictures made elsewhere.", show_default=False),
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(
            help="Which prompt each picture answers; found in the folder by default.",
            show_default=False,
        ),
    ] = None,
    into: Annotated[
        Path, typer.Option(help="Pairs are added to this file; those in it stay.")
    ] = Path("pairs.jsonl"),
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="Of all files: {importers}; recognised by content if not named.",
            show_default=False,
            autocompletion=complete("importers"),
        ),
    ] = None,
    column: Annotated[
        str,
        typer.Option(help="That holds the prompts; found if not named.", show_default=False),
    ] = "",
    encoding: Annotated[str, typer.Option(help="utf-8, latin-1 or cp1252.")] = "utf-8",
    source: Annotated[
        str, typer.Option(help="Who made the set, kept with every pair.", show_default=False)
    ] = "",
    licence: Annotated[
        str, typer.Option(help="Of the set, kept with every pair.", show_default=False)
    ] = "",
    report: Annotated[
        Path | None,
        typer.Option(help="Write what became of every line to this CSV.", show_default=False),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Turn other people's prompts into pairs, and their pictures into a model to be audited.

    Every line is read or named with the reason. Running it again adds nothing twice.
    """
    from lcmis.cli import terminal
    from lcmis.cli.terminal.imports import print_imported, print_pictures
    from lcmis.propose.importing import import_sets
    from lcmis.propose.importing.pictures import import_pictures

    if encoding not in ("utf-8", "latin-1", "cp1252"):
        raise ConfigError(f"--encoding is {encoding!r}, but it is utf-8, latin-1 or cp1252")
    read_as = cast("Literal['utf-8', 'latin-1', 'cp1252']", encoding)
    if bool(files) == bool(images):
        raise ConfigError("name files of prompts, or a folder of pictures with --images")
    if images is None and manifest:
        raise ConfigError("--manifest belongs to --images: name the folder of pictures too")
    if images is not None:
        found = import_pictures(
            images,
            into,
            manifest,
            form=form,
            column=column,
            encoding=read_as,
            source=source,
            licence=licence,
            report=report,
        )
        terminal.print_json(found) if json else print_pictures(found)
        return
    result = import_sets(
        files or [],
        into,
        form=form,
        column=column,
        encoding=read_as,
        source=source,
        licence=licence,
        report=report,
    )
    terminal.print_json(result) if json else print_imported(result)
    raise typer.Exit(0 if result.num_pairs else 1)


def publish(
    form: Annotated[
        str,
        typer.Argument(
            metavar="FORMAT",
            help="One of {publishers}.",
            autocompletion=complete("publishers"),
        ),
    ],
    place: Annotated[
        str,
        typer.Argument(
            help="Where to: a folder that does not exist yet; or an experiment, a project or "
            "OWNER/NAME, where the place is a tracker or a hub."
        ),
    ],
    model: ModelsOption = None,
    checker: CheckerOption = None,
    threshold: ThresholdOption = 0.5,
    store: StoreOption = None,
    pictures: PicturesOption = None,
    json: JsonOption = False,
) -> None:
    """Take an audit elsewhere: as a site of plain files, to a tracker or a hub, or as another tool
    reads it.

    site writes pages that open from the disk and from any static host. mlflow and wandb log rates,
    verdicts and pictures to where those tools are set up to log. hub pushes pictures with their
    scores to a private data set. Every other format is a folder as another tool lays it out.
    """
    from lcmis.cli import terminal
    from lcmis.cli.terminal.imports import print_published
    from lcmis.export.publish import Destination, Outgoing
    from lcmis.export.publish import publish as write
    from lcmis.findings import deciding_checker

    publisher = registry.load("publishers", form)
    with open_store(store, pictures, read_only=True) as facts:
        judge = deciding_checker(facts, checker)
        if isinstance(publisher, Destination):
            sent = publisher.send(Outgoing(facts, judge, place, model, threshold))
            if json:
                terminal.print_json(sent)
            for one in () if json else sent:
                terminal.say(one.sentence)
            return
        found = write(facts, judge, form, Path(place), model=model, threshold=threshold)
    terminal.print_json(found) if json else print_published(found)
