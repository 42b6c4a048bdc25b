"""Other people's prompt sets: the format recognised, every line read or named with a reason."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, MutableMapping
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
    Container,
    Encoding,
    Row,
    container_of,
    rows,
)
from lcmis.propose.formats.sets import (
    PAIRS,
    T2I_COMPBENCH,
    TEXT,
    Format,
    UnreadableError,
    formats,
    own_pair,
)
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
        named = (_with_small_names(row) for row in read)
        if self.format.group:
            return self._grouped(named, seen)
        return (self._line(row, seen) for row in named)

    def _line(self, row: Row, seen: MutableMapping[str, str]) -> Line:
        if row.reason:
            outcome = Outcome.PART if row.reason == PART else Outcome.REFUSED
            return Line(row.line, outcome, reason=row.reason, detail=row.detail)
        try:
            prompt = self.format.prompt_of(row.fields)
            return self._asked(row.line, prompt, [row.fields], seen)
        except UnreadableError as error:
            return Line(row.line, Outcome.REFUSED, reason=str(error), detail=error.detail)

    def _grouped(self, named: Iterable[Row], seen: MutableMapping[str, str]) -> Iterator[Line]:
        """Rows of one prompt lie together or apart: they are gathered before any is read."""
        groups: dict[tuple[str, str], list[Row]] = {}
        for row in named:
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
        except NoPairError as error:
            line = Line(number, Outcome.NO_PAIR, prompt, str(error), error.detail, None, pictures)
        else:
            line = Line(number, Outcome.PAIR, prompt, pair=pair, pictures=pictures)
        seen[prompt.casefold()] = f"{self.path.name}, line {number}"
        return line

    def _pair(self, prompt: str, fields: list[dict[str, Any]]) -> ConceptPair:
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
    encoding: Encoding = "utf-8",
    source: str = "",
    licence: str = "",
) -> PromptSet:
    """Recognise a file of prompts by its content, or take it for what it is said to be.

    Args:
        path: the file.
        form: a registered importer; by default the first format whose fields a row has.
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
    found = _recognised(path, container, known, encoding) or (known[0] if form else None)
    if found is None:
        raise ConfigError(
            f"{path}: {container} in no known format: there are "
            f"{', '.join(f'{item.name} ({item.title})' for item in _each_once())}; name one with "
            f"--format, or rename the column of prompts to prompt"
        )
    said = f"{found.licence}, if this is the published set" if found.licence else ""
    return PromptSet(
        path,
        found,
        container,
        source or f"{found.title}, {path.name}",
        licence or said,
        encoding,
    )


def pairs_in(path: str | Path) -> tuple[tuple[ConceptPair, ...], SetRead | None]:
    """The pairs of a file for an audit and, where it is another's set, what became of its lines.

    Our own files are read strictly: every line is a pair. Of other sets, prompts that ask for no
    two concepts and those that repeat are left out; ``lcmis import`` can report each.

    Raises:
        ConfigError: a line cannot be read, or no pair is left.
        UserError: see :func:`lcmis.propose.catalogue.read_pairs`.
    """
    path = Path(path)
    ours = path.suffix.lower() in catalogue.SUFFIXES
    if ours and not (path.suffix.lower() != ".toml" and _is_foreign(path)):
        return catalogue.read_pairs(path), None
    read, tally = open_set(path), Tally()
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
        return False  # the strict reader of our own formats says what is wrong


def _recognised(
    path: Path, container: Container, known: list[Format], encoding: Encoding
) -> Format | None:
    fitting = [item for item in known if item.container in (None, container)]
    if container is Container.TEXT:
        if len(known) == 1:
            return fitting[0] if fitting else None
        if _compbench_category(path):
            return T2I_COMPBENCH
        return TEXT if path.suffix.lower() in (".txt", "") else None
    sample = itertools.islice(rows(path, container, encoding), SAMPLE)
    read = [_with_small_names(row).fields for row in sample if not row.reason]
    fields = (item for item in fitting if item.container is None)
    return next((item for item in fields if any(item.fits(row) for row in read)), None)


def _each_once() -> Iterator[Format]:
    return iter({item.name: item for item in reversed(formats())}.values())


def _with_small_names(row: Row) -> Row:
    if all(name.islower() for name in row.fields):
        return row
    return Row(row.line, {name.casefold(): value for name, value in row.fields.items()})


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
