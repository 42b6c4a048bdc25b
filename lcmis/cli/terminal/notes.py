"""What people left on pictures, pairs and repairs, as the terminal shows it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.padding import Padding
from rich.text import Text

from lcmis.cli.terminal import console
from lcmis.cli.terminal.tables import Cell, Column, Grid
from lcmis.findings import words
from lcmis.findings.notes import Noted, Noticed
from lcmis.findings.words import several
from lcmis.machine import letters

NEWEST = 20
"""Comments that are shown."""
HINT = (
    "`lcmis note KEY --comment … --by NAME` leaves one, and so does a click on a picture in "
    "`lcmis dashboard`."
)


def print_noted(noted: Noted) -> None:
    """Stars and tags on a line, then the newest comments."""
    if noted.stars:
        console.print(f"[yellow]★[/] {escape(letters.visible(', '.join(noted.stars)))}")
    if noted.tags:
        console.print(f"[dim]tags[/] {escape(letters.visible(', '.join(noted.tags)))}")
    older = len(noted.comments) - NEWEST
    if older > 0:
        console.print(f"[dim]{several(older, 'older comment')}: `lcmis note --export FILE`[/]")
    for note in noted.comments[-NEWEST:]:
        head = f"{letters.visible(note.rater)}, {words.moment(note.at)}"
        shown = Text(f"{head}\n", style="dim")
        lines = [letters.visible(line) for line in note.text.split("\n")]
        shown.append("\n".join(lines), style="not dim")
        console.print(Padding(shown, (0, 0, 0, 2)))


def print_noticed(found: Sequence[Noticed]) -> None:
    """A row for everything that has notes."""
    if not found:
        console.print(f"Nobody has left a word yet. {HINT}")
        return
    models = words.short_names(list(dict.fromkeys(one.model for one in found if one.model)))
    columns = [
        Column(name="on", wraps=True),
        Column(name="prompt", wraps=True, heads=True, longest=120),
        Column(name="★", wraps=True, style="yellow"),
        Column(name="tags", wraps=True),
        Column(name="last comment", wraps=True, longest=120),
        Column(name="key", style="dim"),
    ]
    rows: list[list[Cell]] = [
        [
            _what(one, models.get(one.model, one.model)),
            one.prompt,
            ", ".join(one.noted.stars),
            ", ".join(one.noted.tags),
            _last(one.noted),
            words.short_key(one.subject),
        ]
        for one in found
    ]
    console.print(Grid(columns, rows))
    console.print(f"[dim]{HINT}[/]")


def _what(one: Noticed, model: str) -> str:
    by = f" by {model}" if model else ""
    return f"{one.about}{by}" + ("" if one.seed is None else f", seed {one.seed}")


def _last(noted: Noted) -> str:
    if not noted.comments:
        return ""
    last, more = noted.comments[-1], len(noted.comments) - 1
    return f"{last.rater}: {last.text}" + (f" (and {more} before)" if more else "")
