"""A finding where a notebook shows it: a small table, as HTML and as the same in text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from html import escape

from lcmis.machine import letters


@dataclass(frozen=True, slots=True)
class Telling:
    """A title, a table and a sentence below; every text in it may be anybody's."""

    title: str
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    beside: str = ""

    def html(self, pictures: str = "") -> str:
        """As HTML in which foreign text is text and nothing else.

        Args:
            pictures: HTML of ours that stands between title and table.
        """
        head = "".join(f"<th>{_shown(name)}</th>" for name in self.columns)
        body = "".join(
            f"<tr>{''.join(f'<td>{_shown(cell)}</td>' for cell in row)}</tr>" for row in self.rows
        )
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        below = f"<p><small>{_shown(self.beside)}</small></p>" if self.beside else ""
        title = f"<p><strong>{_shown(self.title)}</strong></p>"
        return f"<div>{title}{pictures}{table if self.rows else ''}{below}</div>"

    def text(self) -> str:
        """The same as lines: the columns below their names."""
        rows = [tuple(map(letters.visible, row)) for row in (self.columns, *self.rows)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in (rows if self.rows else ())
        ]
        return "\n".join(
            filter(None, (letters.visible(self.title), *lines, letters.visible(self.beside)))
        )


def _shown(text: str) -> str:
    return escape(letters.visible(text))


class Tells(ABC):
    """Shows itself in a notebook, and where it is printed.

    A dataclass that does so is made with ``repr=False``, or its own would be shown.
    """

    __slots__ = ()

    @abstractmethod
    def telling(self) -> Telling:
        """What is shown."""

    def __repr__(self) -> str:
        return self.telling().text()

    def _repr_html_(self) -> str:
        return self.telling().html()
