"""Files of what people said, from one store to another: whole or not at all, each line named."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from lcmis.errors import ConfigError, UnknownNameError
from lcmis.machine.files import replacing

MOST_NAMED = 20
"""Lines that cannot be used are named up to this many."""

Fact = TypeVar("Fact")
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did."""

    added: int
    known: int
    """What was there already."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """One kind of file, in the format that its ending names."""

    what: str
    """What a line is one of, such as ``"labels"``."""
    columns: tuple[str, ...]
    needed: tuple[str, ...]
    """Columns that are read back; the others are for people."""
    exported_by: str
    """The command that writes such a file."""
    endings: tuple[str, ...] = (".csv", ".jsonl")
    """``.parquet`` too, where columns may hold more than text."""
    arrow_kinds: Mapping[str, str] | None = None
    """Arrow's names of the types of columns that are no text."""

    def write(self, path: Path, rows: Sequence[Row]) -> int:
        """Write the rows whole; returns how many.

        Raises:
            ConfigError: the ending is another one, or the file cannot be written.
        """
        write = _WRITERS[self._ending(path)]
        with replacing(path) as draft:
            draft.write_bytes(write(self, rows))
        return len(rows)

    def read(self, path: Path) -> Iterator[tuple[int, Row]]:
        """Each row with the number of its line.

        Raises:
            ConfigError: the file cannot be read, or is of another kind.
        """
        read = _READERS[self._ending(path)]
        try:
            yield from read(self, path.read_bytes())
        except OSError as error:
            raise ConfigError(f"{path} cannot be read ({error}): name another file") from error
        except UnicodeDecodeError as error:
            raise ConfigError(
                f"{path} cannot be read as text ({error}): name another file"
            ) from error
        except KeyError as error:
            raise ConfigError(
                f"{path}: a file of {self.what} has the columns {', '.join(self.needed)}; this one "
                f"lacks {error.args[0]}: export it with `{self.exported_by}`"
            ) from error
        except (csv.Error, ValueError) as error:
            raise ConfigError(
                f"{path} is no file of {self.what}: {error}; export it anew"
            ) from error

    def all_of(
        self, path: Path, rows: Iterable[tuple[int, Row]], fact: Callable[[Row], Fact]
    ) -> list[Fact]:
        """The facts that all rows hold, or none.

        Raises:
            ConfigError: some hold none; each such line is named.
        """
        found, faults = [], []
        for number, row in rows:
            try:
                found.append(fact(row))
            except (ConfigError, UnknownNameError) as error:
                faults.append(f"line {number}: {error}")
        if faults:
            more = len(faults) - MOST_NAMED
            told = faults[:MOST_NAMED] + ([f"and {more} more lines"] if more > 0 else [])
            raise ConfigError(
                f"{path}: nothing was imported, {len(faults)} of {len(faults) + len(found)} "
                f"{self.what} cannot be: mend or take out these lines, or import into the audit "
                "that they belong to\n  " + "\n  ".join(told)
            )
        return found

    def _ending(self, path: Path) -> str:
        ending = path.suffix.lower()
        if ending not in self.endings:
            *first, last = self.endings
            none = "neither" if len(first) == 1 else "none of"
            link = "nor" if len(first) == 1 else "and"
            raise ConfigError(
                f"{path} is {none} {', '.join(first)} {link} {last}: name a file that ends so"
            )
        return ending


def _to_csv(sheet: Sheet, rows: Sequence[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, sheet.columns, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _from_csv(sheet: Sheet, content: bytes) -> Iterator[tuple[int, Row]]:
    reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
    absent = [name for name in sheet.needed if name not in (reader.fieldnames or ())]
    if absent:
        raise KeyError(", ".join(absent))
    for row in reader:
        yield reader.line_num, row


def _to_jsonl(_sheet: Sheet, rows: Sequence[Row]) -> bytes:
    return "".join(json.dumps(dict(row), ensure_ascii=False) + "\n" for row in rows).encode()


def _from_jsonl(_sheet: Sheet, content: bytes) -> Iterator[tuple[int, Row]]:
    # Not splitlines: a text may hold other line breaks, which JSON leaves as they are.
    for number, line in enumerate(content.decode("utf-8-sig").split("\n"), 1):
        if line.strip():
            row = json.loads(line)
            yield number, row if isinstance(row, dict) else {}


def _to_parquet(sheet: Sheet, rows: Sequence[Row]) -> bytes:
    import pyarrow
    from pyarrow import parquet

    kinds = sheet.arrow_kinds or {}
    shape = pyarrow.schema(
        [(name, pyarrow.type_for_alias(kinds.get(name, "string"))) for name in sheet.columns]
    )
    sink = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist([dict(row) for row in rows], shape), sink)
    return sink.getvalue()


def _from_parquet(_sheet: Sheet, content: bytes) -> Iterator[tuple[int, Row]]:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(io.BytesIO(content))
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise ValueError(str(error)) from error
    yield from enumerate(table.to_pylist(), 1)


_WRITERS = {".csv": _to_csv, ".jsonl": _to_jsonl, ".parquet": _to_parquet}
_READERS = {".csv": _from_csv, ".jsonl": _from_jsonl, ".parquet": _from_parquet}
