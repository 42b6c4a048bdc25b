"""A store as a file for people who do not have it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lcmis.cli.shared import CheckerOption, PicturesOption, StoreOption, open_store


def report(
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The HTML file; report.html unless only --markdown is asked for.",
            show_default=False,
        ),
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(help="Write Markdown there, too.", show_default=False)
    ] = None,
    worst: Annotated[int, typer.Option(help="Pairs and repairs shown with pictures.")] = 12,
    checker: CheckerOption = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Score from which a concept counts as present; that of the last audit by default.",
            show_default=False,
        ),
    ] = None,
    store: StoreOption = None,
    pictures: PicturesOption = None,
) -> None:
    """Write one HTML file that opens anywhere: rates, worst pairs, repairs, and their pictures.

    It needs no server and no network and runs no script; the same facts give the same file.
    """
    from lcmis.cli import terminal
    from lcmis.export import report as room
    from lcmis.findings.words import megabytes, several

    with open_store(store, pictures, read_only=True) as facts:
        made = room.gather(facts, checker, threshold, worst)
    if out is not None or markdown is None:
        out = out or Path("report.html")
        text = room.html(made)
        _write(out, text)
        size = megabytes(len(text.encode()))
        terminal.say(f"{out}: {several(made.num_pictures, 'picture')}, {size}")
    if markdown is not None:
        _write(markdown, room.markdown(made))
        terminal.say(f"{markdown}: words and tables")


def _write(path: Path, text: str) -> None:
    from lcmis.machine.files import replacing

    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")
