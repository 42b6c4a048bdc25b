"""Tables that fit every terminal: numbers and verdicts whole, long texts wrapped, the rest said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from lcmis.findings import words
from lcmis.machine import letters
from lcmis.types import Rate

Cell = str | Text
"""A string is text of anybody, never markup; a Text may have several lines, each with its style."""

GAP = 2
LEAST = 14
"""Letters that a wrapped column has at least, if its texts are as long."""
LONGEST_WORD = 20
"""Letters from which a word in a wrapped column may be folded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """What stands below one heading."""

    name: str
    wraps: bool = False
    """Texts, which may stand on several lines; numbers and verdicts never do."""
    right: bool = False
    style: str = ""
    spare: int = 0
    """Where there is no room, columns with the largest number are left out first; 0 stays."""
    heads: bool = False
    """Whether a row told as a block begins with it; the first column where none says so."""
    longest: int = letters.LONGEST
    """Letters of a text, of which the middle is left out beyond."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Rows that are laid out for the width they are printed in.

    A table where one fits: texts wrap, then spare columns are left out and named below. Where none
    fits, a block a row, with everything. Columns in which nothing stands are not shown.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    title: str = ""

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        width = options.max_width
        shown = [
            _Filled(column, [_text(row[place], column) for row in self.rows])
            for place, column in enumerate(self.columns)
        ]
        shown = [one for one in shown if any(one.cells)]
        kept = _that_fit(shown, width)
        if self.title:
            yield Text(letters.visible(self.title), style="italic")
        if kept is None:
            yield from _blocks(shown, width, console)
        else:
            yield _table(kept, width)
            left_out = ", ".join(one.column.name for one in shown if one not in kept)
            if left_out:
                yield Text(f"columns left out at {width}: {left_out}", style="dim")
        yield ""


class _Filled:
    """A column with its cells, measured."""

    def __init__(self, column: Column, cells: Sequence[Text]) -> None:
        self.column, self.cells = column, cells
        lines = [cell_len(line) for cell in cells for line in cell.plain.split("\n")]
        natural = max(lines, default=0)
        heading = max(map(cell_len, column.name.split()), default=0)
        least = natural
        if column.wraps:
            longest = max(
                (cell_len(word) for cell in cells for word in cell.plain.split()), default=0
            )
            least = min(natural, max(LEAST, min(longest, LONGEST_WORD)))
        self.least = max(heading, least)
        self.wants = max(cell_len(column.name), natural) - self.least


def _text(cell: Cell, column: Column) -> Text:
    if isinstance(cell, Text):
        return cell
    seen = letters.visible(cell, longest=len(cell))
    return Text(words.shortened(seen, column.longest) if column.wraps else seen)


def _width(columns: Iterable[_Filled]) -> int:
    widths = [one.least for one in columns]
    return sum(widths) + GAP * (len(widths) - 1)


def _that_fit(columns: Sequence[_Filled], width: int) -> Sequence[_Filled] | None:
    """As many as fit side by side; None if not even those do that cannot be spared."""
    kept = list(columns)
    while _width(kept) > width:
        spare = max(kept, key=lambda one: one.column.spare)
        if not spare.column.spare:
            return None
        kept.remove(spare)
    return kept


def _table(columns: Sequence[_Filled], width: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for one, room in zip(columns, _shared_out(columns, width), strict=True):
        table.add_column(
            Text(one.column.name),
            width=room,
            justify="right" if one.column.right else "left",
            style=one.column.style,
            no_wrap=not one.column.wraps,
            overflow="fold",
        )
        table.columns[-1].header_style = "bold"
    for cells in zip(*(one.cells for one in columns), strict=True):
        table.add_row(*cells)
    return table


def _shared_out(columns: Sequence[_Filled], width: int) -> list[int]:
    """Widths: what is left over goes to wrapped texts, those that want least first, then to
    headings.
    """
    free = width - _width(columns)
    widths = [one.least for one in columns]
    order = sorted(enumerate(columns), key=lambda one: (not one[1].column.wraps, one[1].wants))
    for place, one in order:
        more = min(free, one.wants)
        widths[place] += more
        free -= more
    return widths


def _blocks(columns: Sequence[_Filled], width: int, console: Console) -> Iterator[Text]:
    head = next((one for one in columns if one.column.heads), columns[0])
    for place, heading in enumerate(head.cells):
        if heading.plain:
            yield Text(overflow="fold", style="bold").append_text(heading)
        items = [item for one in columns if one is not head for item in _items(one, place)]
        for line in _packed(items, width - GAP, console):
            yield Text(" " * GAP).append_text(line)


def _items(filled: _Filled, place: int) -> Iterator[Text]:
    """What one cell says, a line an item, the first one after its column's name."""
    cell = filled.cells[place]
    if not cell.plain.strip():
        return
    for number, line in enumerate(cell.split("\n")):
        item = Text()
        if not number and filled.column.name:
            item.append(f"{filled.column.name} ", style="dim")
        said = line[len(line.plain) - len(line.plain.lstrip()) :]
        said.stylize_before(filled.column.style)
        yield item.append_text(said)


def _packed(items: Iterable[Text], width: int, console: Console) -> Iterator[Text]:
    """Items side by side as far as they fit; one that is wider than a line wraps."""
    line = Text()
    for item in items:
        if line.plain and line.cell_len + 3 + item.cell_len <= width:
            line.append(" · ", style="dim").append_text(item)
            continue
        if line.plain:
            yield line
        *full, line = item.wrap(console, width, overflow="fold")
        yield from full
    if line.plain:
        yield line


def rate_cell(measured: Rate, none: str = words.NOT_JUDGED) -> Text:
    """A rate for a column of rates: the signs below each other."""
    if not measured.total:
        return Text(none, style="yellow")
    value, sign, rest = words.rate(measured).partition("\u00a0")
    return Text(f"{value:>3}{sign}{rest}")


def one_below_the_other(*lines: tuple[str, str]) -> Text:
    """A cell of several lines, each a text of anybody with its style; empty ones are left out."""
    shown = [(letters.visible(line, longest=len(line)), style) for line, style in lines if line]
    return Text("\n").join(Text(line, style=style) for line, style in shown)
