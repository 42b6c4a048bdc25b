"""What checkers were asked of a picture and what they said, and where they differ."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.padding import Padding
from rich.text import Text

from lcmis.cli.terminal import console
from lcmis.cli.terminal.tables import Cell, Column, Grid
from lcmis.findings import Dissents, Told, words
from lcmis.findings.words import several
from lcmis.machine import letters


def print_told(told: Sequence[Told]) -> None:
    """Each question as it was asked, the answers as it was given them, and the replies."""
    names = words.short_names(list(dict.fromkeys(one.checker for one in told)))
    for one in told:
        kind = one.question.kind.replace("_", " ")
        console.print(f"[bold]{escape(names[one.checker])}[/], {kind}")
        for role, text in one.messages:
            _print_lines(f"{role}:", text)
        if not one.messages:
            _print_lines("asked:", words.UNKNOWN_WORDS)
        for answer, share in zip(one.answers, one.ranges, strict=True):
            said = words.told_range(answer, share, one.counted)
            name = words.answered(one.question, answer)
            _print_lines("→", f"{name}: {said}{words.beside(answer)}")
        for number, reply in enumerate(one.replies, 1):
            for name, text in words.reply(reply):
                _print_lines(f"{number}. {name}:", text)
        for name, text in words.asking(one.replies):
            _print_lines(f"{name}:", text, style="dim")
        console.print()


def _print_lines(name: str, text: str, style: str = "") -> None:
    """A text of anybody, its lines kept, below a name of ours."""
    lines = [letters.visible(line) for line in text.split("\n")]
    shown = Text(f"{name} ", style="dim")
    shown.append("\n".join(lines), style=style)
    console.print(Padding(shown, (0, 0, 0, 2)))


def print_dissents(found: Dissents) -> None:
    """A row a picture, a column a checker."""
    if not found.pictures:
        console.print(
            f"No picture is seen differently by {several(len(found.checkers), 'checker')}."
        )
        return
    names = words.short_names(found.checkers)
    models = words.short_names(list(dict.fromkeys(one.model for one in found.pictures)))
    columns = [
        Column(name="prompt", wraps=True, heads=True, longest=160),
        Column(name="model", wraps=True, style="bold"),
        Column(name="seed", right=True),
        *(Column(name=names[checker], wraps=True) for checker in found.checkers),
        Column(name="picture", style="dim"),
    ]
    rows: list[list[Cell]] = []
    for one in found.pictures:
        said = {checker: words.verdict(verdict, one.pair) for checker, verdict in one.verdicts}
        rows.append(
            [
                one.pair.prompt,
                models[one.model],
                str(one.seed),
                *(said.get(checker, words.NOT_JUDGED) for checker in found.checkers),
                words.short_key(one.spec_key),
            ]
        )
    console.print(Grid(columns, rows, f"{several(len(rows), 'picture')} seen differently"))
