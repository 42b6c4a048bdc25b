"""Other people's prompt sets: the format recognised, every line read or named with a reason."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lcmis.errors import ConfigError, UnknownNameError
from lcmis.plugins import registry
from lcmis.propose import catalogue
from lcmis.propose.formats.outcomes import Outcome, SetRead, Tally
from lcmis.propose.formats.phrases import NoPairError
from lcmis.propose.formats.rows import (
    PART,
    SAMPLE,
    WHOLE,
    Container,
    Encoding,
    Row,
    container_of,
    is_heading,
    rows,
)
from lcmis.propose.formats.sets import (
    PAIRS,
    PROMPTS,
    T2I_COMPBENCH,
    TEXT,
    Format,
    UnreadableError,
    column_of_prompts,
    formats,
    own_pair,
)
from lcmis.text.words import plain
from lcmis.types import ConceptPair


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that a row names as the answer to its prompt."""

    file: str
    """As the row spells it."""
    model: str = ""
    """Who drew it, if the row says so."""
    seed: str = ""
    """From which seed, if the row says so."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a set, or one entry of a JSON document, and what became of it."""

    number: int
    """Where it begins in its file, counted from 1."""
    outcome: Outcome
    prompt: str = ""
    """Empty where the line was refused."""
    reason: str = ""
    """Why there is no pair, in the same words for like cases."""
    detail: str = ""
    """What of the reason is this line's own."""
    pair: ConceptPair | None = None
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True, slots=True)
class PromptSet:
    """A file of prompts whose format is known."""

    path: Path
    format: Format
    container: Container
    source: str
    licence: str
    encoding: Encoding

    def lines(self, asked: MutableMapping[str, str] | None = None) -> Iterator[Line]:
        """Every line in order, or in the order of their first ones where several make a prompt.

        Args:
            asked: prompts that were read before, in small letters, and where; those of this file
                are added. By default the file stands for itself.

        Raises:
            ConfigError: the file is a JSON document that is broken.
        """
        seen = {} if asked is None else asked
        read = rows(self.path, self.container, self.encoding)
        if self.format.group:
            return self._grouped(read, seen)
        return (self._line(row, seen) for row in read)

    def _line(self, row: Row, seen: MutableMapping[str, str]) -> Line:
        if row.reason:
            outcome = Outcome.PART if row.reason == PART else Outcome.REFUSED
            return Line(row.line, outcome, reason=row.reason, detail=row.detail)
        try:
            prompt = self.format.prompt_of(row.fields)
            return self._asked(row.line, prompt, [row.fields], seen)
        except UnreadableError as error:
            return Line(row.line, Outcome.REFUSED, reason=str(error), detail=error.detail)

    def _grouped(self, read: Iterable[Row], seen: MutableMapping[str, str]) -> Iterator[Line]:
        """Rows of one prompt lie together or apart: they are gathered before any is read."""
        groups: dict[tuple[str, str], list[Row]] = {}
        for row in read:
            if row.reason:
                yield self._line(row, seen)
                continue
            try:
                prompt = self.format.prompt_of(row.fields)
            except UnreadableError as error:
                yield Line(row.line, Outcome.REFUSED, reason=str(error), detail=error.detail)
            else:
                place = (str(row.fields[self.format.group]), prompt)
                groups.setdefault(place, []).append(row)
        for (_, prompt), members in groups.items():
            first, *others = members
            yield self._asked(first.line, prompt, [row.fields for row in members], seen)
            for row in others:
                yield Line(row.line, Outcome.PART, prompt, PART, f"of line {first.line}")

    def _asked(
        self, number: int, prompt: str, fields: list[dict[str, Any]], seen: MutableMapping[str, str]
    ) -> Line:
        pictures = _pictures(fields[0])
        if earlier := seen.get(prompt.casefold()):
            return Line(
                number, Outcome.REPEATED, prompt, "asked before", earlier, pictures=pictures
            )
        try:
            pair = self._pair(prompt, fields)
        except UnreadableError as error:
            return Line(number, Outcome.REFUSED, reason=str(error), detail=error.detail)
        except NoPairError as error:
            line = Line(number, Outcome.NO_PAIR, prompt, str(error), error.detail, None, pictures)
        else:
            line = Line(number, Outcome.PAIR, prompt, pair=pair, pictures=pictures)
        seen[prompt.casefold()] = f"{self.path.name}, line {number}"
        return line

    def _pair(self, prompt: str, fields: list[dict[str, Any]]) -> ConceptPair:
        if WHOLE in fields[0]:
            return own_pair(fields[0][WHOLE], self.source)
        if self.format is PAIRS:
            own = dict(fields[0])
            if _pictures(own):  # a manifest may say more of a picture than of its pair
                own = {n: v for n, v in own.items() if n in catalogue.Record.model_fields}
            own.setdefault("source", self.source)
            if self.licence:
                own.setdefault("licence", self.licence)
            return own_pair(own, self.source)
        a, b = self.format.concepts(prompt, fields)
        said = fields[0].get(self.format.pattern) if self.format.pattern else _category(self)
        pattern = said if isinstance(said, str) and said.strip().isprintable() else ""
        return ConceptPair(
            a, b, prompt, pattern=pattern.strip(), source=self.source, licence=self.licence
        )


def open_set(
    path: str | Path,
    form: str | None = None,
    *,
    column: str = "",
    encoding: Encoding = "utf-8",
    source: str = "",
    licence: str = "",
) -> PromptSet:
    """Recognise a file of prompts by its content, or take it for what it is said to be.

    Args:
        path: the file.
        form: a registered importer; by default the first format whose fields a row has.
        column: which holds the prompts; by default that of the format, or the only one of the
            file that is known to hold prompts.
        encoding: of the text; nothing but UTF-8 is ever assumed.
        source: who made the set; by default the format's title and the file's name.
        licence: of the set; by default what the published set of this format is under, and said to
            be that, since a format alone does not tell whose prompts these are.

    Raises:
        UnknownNameError: no such format.
        ConfigError: the file cannot be read, or is in no known format.
    """
    path = Path(path)
    if form is not None and form not in (names := registry.names("importers")):
        near = catalogue.near(form, tuple(names))
        raise UnknownNameError(f"no format is called {form!r}: there are {', '.join(names)}{near}")
    known = [item for item in formats() if form in (None, item.name)]
    only_text = all(item.container is Container.TEXT for item in known)
    container = container_of(path, encoding)
    if only_text:
        container = Container.TEXT
    if column:
        found = _by_column(path, container, known[0] if form else None, column, encoding)
    else:
        found = _recognised(path, container, known, encoding)
    said = f"{found.licence}, if this is the published set" if found.licence else ""
    return PromptSet(
        path,
        found,
        container,
        source or f"{found.title}, {path.name}",
        licence or said,
        encoding,
    )


def pairs_in(path: str | Path, column: str = "") -> tuple[tuple[ConceptPair, ...], SetRead | None]:
    """The pairs of a file for an audit and, where it is another's set, what became of its lines.

    Our own files are read strictly: every line is a pair. Of other sets, prompts that ask for no
    two concepts and those that repeat are left out; ``lcmis import`` can report each.

    Args:
        path: the file.
        column: which holds the prompts, as :func:`open_set` has it.

    Raises:
        ConfigError: a line cannot be read, or no pair is left.
        UserError: see :func:`lcmis.propose.catalogue.read_pairs`.
    """
    path = Path(path)
    table = path.suffix.lower() in catalogue.SUFFIXES and not column
    if path.suffix.lower() == ".toml" or (table and not _is_foreign(path)):
        return catalogue.read_pairs(path), None
    read, tally = open_set(path, column=column), Tally()
    pairs = []
    for line in read.lines():
        if line.outcome is Outcome.REFUSED and line.reason != EMPTY:
            raise ConfigError(
                f"{path}, line {line.number}: {line.reason} "
                f"{f'({line.detail}) ' if line.detail else ''}as {read.format.title}: mend it, or "
                f"take what can be read with `lcmis import {path.name}`"
            )
        tally.add(line.outcome, line.number, line.reason, line.detail or line.prompt)
        if line.pair is not None:
            pairs.append(line.pair)
    if not pairs:
        raise ConfigError(
            f"{path}: read as {read.format.title}, and no prompt asks for two concepts: "
            f"`lcmis import {path.name}` says why, line by line"
        )
    return tuple(pairs), tally.of_set(path, read.format.title, read.source, read.licence)


EMPTY = "an empty line"


def _is_foreign(path: Path) -> bool:
    try:
        return open_set(path).format is not PAIRS
    except ConfigError:
        read = _sample(path, container_of(path), "utf-8")
        if any("a" in fields or "b" in fields for fields in read):
            return False  # the strict reader of our own formats says what is wrong
        raise


def _recognised(
    path: Path, container: Container, known: list[Format], encoding: Encoding
) -> Format:
    """The format of a file, or the first one known where one is named.

    Raises:
        ConfigError: it is in no known format, or several of its columns may hold the prompts.
    """
    named = len({item.name for item in known}) == 1
    fitting = [item for item in known if item.container in (None, container)]
    if container is Container.TEXT:
        if named and fitting:
            return fitting[0]
        if not named and _compbench_category(path):
            return T2I_COMPBENCH
        if not named and path.suffix.lower() in (".txt", ""):
            return TEXT
        columns: list[str] = []
    else:
        read = _sample(path, container, encoding)
        columns = list(dict.fromkeys(name for fields in read for name in fields))
        for item in fitting:
            if item.has and item is not PROMPTS and any(item.fits(fields) for fields in read):
                return item
        if PROMPTS in fitting and (column := _only_heading(path, columns)):
            return column_of_prompts(column)
    if named and known[0] is not PROMPTS:
        return known[0]  # each line will say what of the format it lacks
    if columns:
        raise ConfigError(
            f"{path}: no column is known to hold prompts, of {', '.join(columns)}: name the one "
            f"that does with --column, or the format with --format "
            f"({', '.join(item.name for item in _each_once())})"
        )
    raise ConfigError(
        f"{path}: {container} in no known format: there are "
        f"{', '.join(f'{item.name} ({item.title})' for item in _each_once())}: name one with "
        f"--format"
    )


def _only_heading(path: Path, columns: Sequence[str]) -> str:
    """The column that is known to hold prompts; empty where none is.

    Raises:
        ConfigError: several are, and none of them is called prompt.
    """
    found = [name for name in columns if is_heading(name)]
    if "prompt" in found:
        return "prompt"
    if len(found) > 1:
        raise ConfigError(
            f"{path}: several columns may hold the prompts ({', '.join(found)}): name one with "
            f"--column"
        )
    return found[0] if found else ""


def _by_column(
    path: Path, container: Container, form: Format | None, column: str, encoding: Encoding
) -> Format:
    """The format that is named, or rows of which one column is read."""
    if container is Container.TEXT:
        raise ConfigError(f"{path} is text and has no columns: leave --column out")
    name = plain(column).strip().casefold()
    read = _sample(path, container, encoding)
    columns = list(dict.fromkeys(name for fields in read for name in fields))
    if name not in columns:
        raise ConfigError(
            f"{path} has no column {column!r}: it has {', '.join(columns) or 'none'}"
            f"{catalogue.near(name, columns)}"
        )
    if form is None or form.name == "prompts":
        return column_of_prompts(name)
    return dataclasses.replace(form, prompt=name)


def _sample(path: Path, container: Container, encoding: Encoding) -> list[dict[str, Any]]:
    sample = itertools.islice(rows(path, container, encoding), SAMPLE)
    return [row.fields for row in sample if not row.reason]


def _each_once() -> Iterator[Format]:
    return iter({item.name: item for item in reversed(formats())}.values())


COMPBENCH_FILE = re.compile(
    r"(?P<category>color|shape|texture|3d_spatial|spatial|numeracy|non_spatial|complex)"
    r"(?:_(?:train|val))?(?:_(?:seen|unseen))?"
)


def _compbench_category(path: Path) -> str:
    match = COMPBENCH_FILE.fullmatch(path.stem)
    return match["category"] if match and path.suffix.lower() == ".txt" else ""


def _category(read: PromptSet) -> str:
    return _compbench_category(read.path) if read.format is T2I_COMPBENCH else ""


# ── pictures ─────────────────────────────────────────────────────────────────────────────────────

FILE_FIELDS = ("file", "image_path", "file_name", "filename", "image", "filepath", "path")
"""Fields that say which picture a row is about."""


def _pictures(fields: dict[str, Any]) -> tuple[Picture, ...]:
    files = [fields[name] for name in FILE_FIELDS if fields.get(name)]
    if not files or not isinstance(files[0], str):
        return ()
    model, seed = (fields.get(name) for name in ("model", "seed"))
    return (
        Picture(
            files[0],
            model if isinstance(model, str) else "",
            "" if seed is None or isinstance(seed, bool) else str(seed),
        ),
    )
