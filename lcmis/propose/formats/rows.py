"""Files of JSON, JSON lines, CSV, Parquet or text → rows, each with its line number."""

from __future__ import annotations

import csv
import enum
import io
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lcmis.errors import ConfigError
from lcmis.text.words import plain

LONGEST_LINE = 2**20
"""Bytes; a longer line is refused without being kept in memory."""
LARGEST_DOCUMENT = 2**28
"""Bytes of a JSON document, which has to be read whole; JSON lines may be of any length."""
SAMPLE = 20
"""Lines by which a file's kind is recognised."""
BEGINNING = 200
"""Bytes of a line that cannot be read by which the file's kind may still be told."""
LONGEST_CELL = 50
"""Lines that a quoted cell of a table may run over; more is a quote that somebody forgot."""
PART = "a part of an earlier row"
"""The reason of a line that was read together with one before it."""
HEADINGS = (
    *("prompt", "text", "caption", "sentence", "prompts", "texts", "captions", "sentences"),
    *("prompt_en", "en_prompt", "prompt_english", "english_prompt", "prompt_text", "text_prompt"),
    *("short_description", "short_caption", "description", "user_prompt", "input_prompt"),
    *("original_prompt", "original_prompts", "instruction", "query"),
)
"""The names of columns that hold prompts: by one of them a table is told from plain text."""
WHOLE = "concept_pair"
"""The field in which our own files carry a whole pair, as an object or its JSON."""

Encoding = Literal["utf-8", "latin-1", "cp1252"]
FOREIGN_MARKS = (b"\xff\xfe", b"\xfe\xff")
"""What UTF-16 and UTF-32 files begin with."""


class Container(enum.StrEnum):
    """How rows lie in a file."""

    JSON = "JSON"
    LINES = "JSON lines"
    PARQUET = "Parquet"
    TABLE = "CSV"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Row:
    """What one line of a file says, or why it says nothing."""

    line: int
    """Where it begins, counted from 1."""
    fields: dict[str, Any]
    """As the file names them, in small letters; text alone is ``{"prompt": text}``."""
    reason: str = ""
    """Why it cannot be read, the same words for the same mistake; empty for a row."""
    detail: str = ""
    """What of that is this line's own."""


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    text: str
    """Where there is a reason: as much of it as tells what kind of file this is."""
    reason: str = ""
    detail: str = ""


def rows(path: Path, container: Container, encoding: Encoding = "utf-8") -> Iterator[Row]:
    """Every row of a file, in order; a line that cannot be read is a row with a reason.

    Raises:
        ConfigError: the file cannot be opened, or is a JSON document that is broken or too large: a
            document is one thing, and stands or falls whole.
    """
    match container:
        case Container.JSON:
            return _from_document(path, encoding)
        case Container.LINES:
            return _from_json_lines(path, encoding)
        case Container.TABLE:
            return _from_table(path, encoding)
        case Container.PARQUET:
            return _from_parquet(path)
        case Container.TEXT:
            return (
                Row(line.number, {"prompt": plain(line.text)}, line.reason, line.detail)
                for line in _lines(path, encoding)
            )


def container_of(path: Path, encoding: Encoding = "utf-8") -> Container:
    """How rows lie in a file, by its content.

    Raises:
        ConfigError: the file cannot be opened, is UTF-16, or holds nothing.
    """
    if _is_parquet(path):
        return Container.PARQUET
    sample = [
        line for line in itertools.islice(_lines(path, encoding), SAMPLE) if line.text.strip()
    ]
    if not sample:
        raise ConfigError(f"{path}: no line of text in the first {SAMPLE}: name a file of prompts")
    first = sample[0].text.lstrip()
    if first.startswith("["):
        return Container.JSON
    if first.startswith("{"):
        values = [_value(line.text) for line in sample]
        whole = [value for value in values if isinstance(value, dict)]
        if any(not _is_document(value) for value in whole) and (
            values[0] is not None or 2 * len(whole) >= len(sample)
        ):
            return Container.LINES
        return Container.JSON
    named = path.suffix.lower() in (".csv", ".tsv")
    return Container.TABLE if named or _is_header(first) else Container.TEXT


def _is_parquet(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(PARQUET_MARK)) == PARQUET_MARK
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}: name a file of prompts") from error


def _is_document(value: dict[str, Any]) -> bool:
    """Whether an object on one line is a whole file: all that it holds are rows."""
    return bool(value) and all(not _row(1, item, key).reason for key, item in value.items())


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


# ── lines ────────────────────────────────────────────────────────────────────────────────────────


def _lines(path: Path, encoding: Encoding) -> Iterator[_Line]:
    """Lines without their ends, whichever of the three kinds these are, even mixed."""
    try:
        with path.open("rb") as file:
            number = 0
            start = file.read(4)
            if start.startswith(FOREIGN_MARKS):
                raise ConfigError(f"{path}: this is UTF-16 or UTF-32: save the file as UTF-8 text")
            file.seek(3 if start.startswith(b"\xef\xbb\xbf") else 0)
            while piece := file.readline(LONGEST_LINE + 1):
                if len(piece) > LONGEST_LINE and not piece.endswith(b"\n"):
                    number += 1
                    begins = piece[:BEGINNING].decode(encoding, "replace")
                    yield _Line(number, begins, f"longer than {LONGEST_LINE:,} bytes")
                    while piece and not piece.endswith(b"\n"):
                        piece = file.readline(LONGEST_LINE)
                    continue
                # an old Mac's ends, and \r\n, whose \n ends the piece
                for part in piece.removesuffix(b"\n").removesuffix(b"\r").split(b"\r"):
                    number += 1
                    yield _decoded(number, part, encoding)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}: name a file of prompts") from error


def _decoded(number: int, line: bytes, encoding: Encoding) -> _Line:
    if b"\0" in line:
        return _Line(number, "", "holds NUL bytes, so it is no text")
    try:
        text = line.decode(encoding)
    except UnicodeDecodeError as error:
        detail = f"byte {error.start + 1} is {line[error.start]:#04x}"
        begins = line[:BEGINNING].decode(encoding, "replace")
        return _Line(number, begins, f"not {encoding}: name the file's --encoding", detail)
    return _Line(number, text, "" if text.strip() else "an empty line")


# ── JSON ─────────────────────────────────────────────────────────────────────────────────────────


def _from_json_lines(path: Path, encoding: Encoding) -> Iterator[Row]:
    for line in _lines(path, encoding):
        if line.reason:
            yield Row(line.number, {}, line.reason, line.detail)
            continue
        try:
            value = json.loads(line.text)
        except (ValueError, RecursionError) as error:
            yield Row(line.number, {}, "not JSON", str(error))
        else:
            yield _row(line.number, value if _is_plain(line.text) else _plain(value))


def _row(number: int, value: Any, key: str = "") -> Row:
    if isinstance(value, dict):
        if not all(name.islower() for name in value):
            value = {name.casefold(): item for name, item in value.items()}
        return _with_whole(Row(number, value)) if WHOLE in value else Row(number, value)
    if isinstance(value, str) and " " in key.strip():  # GenEval 2 and kin: prompt → picture
        return Row(number, {"prompt": key, "file": value})
    kind = {list: "a list", str: "a text", type(None): "null"}.get(type(value), "a number")
    return Row(number, {}, "not an object of fields", f"{kind} instead")


def _is_plain(text: str) -> bool:
    """Whether no text in some JSON can be anything but plain."""
    return text.isascii() and "\\u" not in text


def _plain(value: Any) -> Any:
    """A value of JSON with all its texts in one spelling."""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {plain(name): _plain(item) for name, item in value.items()}
    return value


def _with_whole(row: Row) -> Row:
    """The row with the pair that it carries as an object, where its JSON can be read."""
    whole = row.fields.get(WHOLE)
    if isinstance(whole, str) and whole and (value := _plain(_value(whole))) is not None:
        return Row(row.line, {**row.fields, WHOLE: value})
    if not whole and WHOLE in row.fields:
        return Row(row.line, {name: one for name, one in row.fields.items() if name != WHOLE})
    return row


def _from_document(path: Path, encoding: Encoding) -> Iterator[Row]:
    """The items of the outermost list or object, with the lines they begin on."""
    text = _document(path, encoding)
    scan = json.JSONDecoder().raw_decode
    plainly = _is_plain(text)
    place, line = _skip(text, 0), 1
    opening = text[place : place + 1]
    closing = {"[": "]", "{": "}"}.get(opening)
    counted = 0
    try:
        if closing is None:
            raise json.JSONDecodeError("Expecting a list or an object", text, place)
        place = _skip(text, place + 1)
        while text[place : place + 1] != closing:
            line += text.count("\n", counted, place)
            counted, key = place, ""
            if opening == "{":
                key, place = scan(text, place)
                if not isinstance(key, str):
                    raise json.JSONDecodeError("Expecting a name in quotes", text, counted)
                place = _skip(text, _past(text, place, ":"))
            value, place = scan(text, place)
            yield _row(line, value, key) if plainly else _row(line, _plain(value), plain(key))
            place = _skip(text, place)
            if text[place : place + 1] != closing:
                place = _skip(text, _past(text, place, ","))
        if end := text[_skip(text, place + 1) :][:1]:
            raise json.JSONDecodeError(f"Nothing may follow but {end!r} does", text, place)
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"{path}, line {error.lineno}, column {error.colno}: not JSON ({error.msg}): mend it; "
            f"nothing of the file was taken"
        ) from error
    except (ValueError, RecursionError) as error:  # absurd numbers and nesting
        raise ConfigError(
            f"{path}, line {line}: not JSON that can be read ({error}): mend it; nothing of the "
            f"file was taken"
        ) from error


def _document(path: Path, encoding: Encoding) -> str:
    try:
        if path.stat().st_size > LARGEST_DOCUMENT:
            raise ConfigError(
                f"{path}: a JSON document of more than {LARGEST_DOCUMENT // 2**20} MiB: write it "
                f"as JSON lines, one object a line"
            )
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}: name a file of prompts") from error
    try:
        text = data.decode("utf-8-sig" if encoding == "utf-8" else encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{path}, line {line}: not {encoding} (a byte {data[error.start]:#04x}): save the file "
            f"as UTF-8, or name its --encoding"
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _skip(text: str, place: int) -> int:
    while text[place : place + 1] in (" ", "\n", "\t"):
        place += 1
    return place


def _past(text: str, place: int, mark: str) -> int:
    place = _skip(text, place)
    if text[place : place + 1] != mark:
        raise json.JSONDecodeError(f"Expecting {mark!r}", text, place)
    return place + 1


# ── tables ───────────────────────────────────────────────────────────────────────────────────────


def _delimiter(header: str) -> str:
    """What stands between the columns' names; a comma where there is only one."""
    found = max(",\t;", key=header.count)
    return found if found in header else ","


def _is_header(line: str) -> bool:
    """Whether the names of columns stand here, one of which is known to hold prompts."""
    names = line.strip()
    cells = names.split(_delimiter(names))
    plainly = all(len(cell.split()) <= 3 for cell in cells) and not names.endswith((".", "!"))
    return plainly and any(is_heading(cell.strip(' "')) for cell in cells)


def is_heading(name: str) -> bool:
    """Whether a column of this name is known to hold prompts: ``Short Description`` is."""
    return re.sub(r"[ _-]+", "_", name.casefold()) in HEADINGS


def _from_table(path: Path, encoding: Encoding) -> Iterator[Row]:
    """Rows under the first line's names; a quoted cell may run over several lines."""
    lines = _lines(path, encoding)
    header = next(line for line in lines if not line.reason)
    delimiter = _delimiter(header.text)
    cells = next(csv.reader([header.text.strip()], delimiter=delimiter, skipinitialspace=True))
    names = [plain(cell).strip().casefold() for cell in cells]
    said = [name for name in names if name]
    if len(set(said)) < len(said):
        raise ConfigError(
            f"{path}, line {header.number}: two columns bear one name: rename one of them"
        )
    while (line := next(lines, None)) is not None:
        if line.reason:
            yield Row(line.number, {}, line.reason, line.detail)
            continue
        if delimiter == "\t" and (row := _tabbed(line, names)):
            yield row
            continue
        text, taken = line.text, list[_Line]()
        while _is_open(text, delimiter) and len(taken) < LONGEST_CELL:
            if (more := next(lines, None)) is None:
                break
            taken.append(more)
            text += "\n" + more.text
        if _is_open(text, delimiter):
            yield Row(line.number, {}, f"a quote that is not closed within {LONGEST_CELL} lines")
            lines = itertools.chain(taken, lines)
            continue
        yield _cells(line.number, text, names, delimiter)
        for part in taken:
            yield Row(part.number, {}, PART, f"of the row that begins on line {line.number}")


def _tabbed(line: _Line, names: list[str]) -> Row | None:
    """A row whose tabs alone make as many cells as there are columns, whatever its quotes.

    Tables with tabs are mostly written without quoting, so that a quote is a letter like another;
    one around a whole cell is a spreadsheet's.
    """
    cells = line.text.split("\t")
    if len(cells) != len(names):
        return None
    return _table_row(line.number, names, [_unquoted(cell) for cell in cells])


def _unquoted(cell: str) -> str:
    quoted = re.fullmatch(r'"((?:[^"]|"")*)"', cell)
    return quoted[1].replace('""', '"') if quoted else cell


def _is_open(text: str, delimiter: str) -> bool:
    """Whether a quoted cell goes on in the next line; a quote within a cell opens nothing."""
    if '"' not in text:
        return False
    place = 0
    while True:
        cell = re.compile(r'[ ]*"(?:[^"]|"")*("?)').match(text, place)
        if cell and not cell[1]:
            return True
        place = text.find(delimiter, cell.end() if cell else place)
        if place < 0:
            return False
        place += 1


def _cells(number: int, text: str, names: list[str], delimiter: str) -> Row:
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True
    )
    try:
        cells = next(reader)
    except csv.Error as error:
        return Row(number, {}, "not CSV", str(error))
    if len(cells) != len(names):
        return Row(
            number,
            {},
            "another number of cells than columns: put quotes around a text with a comma",
            f"{len(cells)} cells under {len(names)} columns",
        )
    return _table_row(number, names, cells)


def _table_row(number: int, names: list[str], cells: list[str]) -> Row:
    named = zip(names, cells, strict=True)
    fields = {name: plain(cell) for name, cell in named if name and cell}
    return _with_whole(Row(number, fields))


# ── Parquet ──────────────────────────────────────────────────────────────────────────────────────

PARQUET_MARK = b"PAR1"
"""What a Parquet file begins with."""


def _from_parquet(path: Path) -> Iterator[Row]:
    """Rows of a Parquet file, counted from 1; columns of bytes, such as pictures, are passed over.

    Raises:
        ConfigError: it is broken.
    """
    import pyarrow as pa
    import pyarrow.parquet

    try:
        with pa.parquet.ParquetFile(path) as file:
            names = [field.name for field in file.schema_arrow if not _holds_bytes(field.type)]
            number = 0
            for batch in file.iter_batches(batch_size=1024, columns=names):
                for fields in batch.to_pylist():
                    number += 1
                    said = {name: value for name, value in fields.items() if value is not None}
                    yield _row(number, _plain(said))
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"{path}: not Parquet that can be read ({reason}): mend it") from error


def _holds_bytes(kind: Any) -> bool:
    import pyarrow.types as types

    if types.is_nested(kind):
        return any(_holds_bytes(kind.field(place).type) for place in range(kind.num_fields))
    return bool(types.is_binary(kind) or types.is_large_binary(kind))
