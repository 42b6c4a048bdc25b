"""The pairs we ship in data/, and the reader of anybody's own files of pairs."""

from __future__ import annotations

import csv
import difflib
import io
import json
import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError

from lcmis.errors import ConfigError, UnknownNameError
from lcmis.machine.paths import shipped
from lcmis.text.words import Span, indefinite, lines, places, plain
from lcmis.types import Concept, ConceptPair, Intruder, Side, content_key

# ── what a file may say ──────────────────────────────────────────────────────────────────────────


def _one_line(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    if text != text.strip() or not text.isprintable():
        raise ValueError("must be one line of printable text with no space at either end")
    return text


def _plain(value: Any) -> Any:
    return plain(value) if isinstance(value, str) else value


Line = Annotated[str, BeforeValidator(_plain), AfterValidator(_one_line)]


class Entry(BaseModel):
    """Something a file says; a field we do not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


MaybeLine = Line | Literal[""]


class ConceptEntry(Entry):
    """One concept, under its name in ``[concepts]``."""

    description: MaybeLine = ""
    synonyms: tuple[Line, ...] = ()


class IntruderEntry(Entry):
    """An intruder whose counterfactual prompt has to be spelled out."""

    concept: Line
    prompt: Line


class SuspectEntry(Entry):
    """An intruder and the side it displaces."""

    concept: Line
    replaces: Side
    prompt: Line | None = None
    """Where it has to be spelled out."""


class PairEntry(Entry):
    """One pair; every concept is referred to by its name in ``[concepts]``."""

    a: Line
    b: Line
    prompt: Line
    sentences: tuple[Line, ...] = ()
    instead_of_a: tuple[Line | dict[str, Any], ...] = ()
    instead_of_b: tuple[Line | dict[str, Any], ...] = ()
    intruders: tuple[SuspectEntry, ...] = ()
    """In place of the two, where the likeliest of one side stand between those of the other."""
    source: MaybeLine | None = None
    """Where it is not the file's."""


class PatternEntry(Entry):
    """One kind of conflict and its pairs."""

    name: MaybeLine
    explanation: Line | None = None
    """Why it fails; for people and text models."""
    first: Line | None = None
    """What its first things are."""
    second: Line | None = None
    pairs: tuple[dict[str, Any], ...]


class CatalogueFile(Entry):
    """A whole TOML file; what lies deeper is checked entry by entry."""

    source: MaybeLine
    licence: MaybeLine
    concepts: dict[str, dict[str, Any]]
    patterns: tuple[dict[str, Any], ...]


class Record(Entry):
    """One row of a CSV file, or one object of a JSON-lines file."""

    a: Line
    b: Line
    prompt: Line
    a_description: Line | None = None
    b_description: Line | None = None
    intruder: Line | None = None
    intruder_replaces: Side | None = None
    pattern: Line | None = None
    source: Line | None = None
    licence: Line | None = None


class NamedConcept(ConceptEntry):
    """A concept that stands by itself."""

    name: Line


class WholeIntruder(Entry):
    """An intruder with all that is said of it."""

    concept: NamedConcept
    replaces: Side
    prompt: Line


class WholePair(Entry):
    """A pair with all that is said of it, as :meth:`lcmis.types.ConceptPair.as_json` has it."""

    a: NamedConcept
    b: NamedConcept
    prompt: Line
    sentences: tuple[Line, ...] = ()
    intruders: tuple[WholeIntruder, ...] = ()
    pattern: MaybeLine = ""
    source: MaybeLine | None = None
    licence: MaybeLine = ""


# ── the shipped sets ─────────────────────────────────────────────────────────────────────────────


def catalogues() -> tuple[str, ...]:
    """The names of the shipped sets, sorted."""
    return tuple(sorted(path.stem for path in (shipped("data") / "pairs").glob("*.toml")))


def catalogue(name: str) -> tuple[ConceptPair, ...]:
    """All pairs of a shipped set, in the order of its file.

    Raises:
        UnknownNameError: no set bears this name; the sentence lists the nearest ones.
    """
    if name not in catalogues():
        raise _unknown("catalogue", name, catalogues())
    return read_pairs(shipped("data") / "pairs" / f"{name}.toml")


def select(
    pairs: Sequence[ConceptPair],
    *,
    patterns: Collection[str] = (),
    keys: Collection[str] = (),
    prompts: Collection[str] = (),
    limit: int | None = None,
) -> tuple[ConceptPair, ...]:
    """Choose among pairs; an empty criterion chooses all, and the order stays.

    A limit takes from every pattern in turn, and within a pattern in the order of the keys: as
    good as chance, the same on every machine, and a higher limit only adds to what a lower one
    chose, so that nothing already drawn is lost.

    Raises:
        UnknownNameError: a pattern, key or prompt that no pair has.
        ConfigError: a limit below 1.
    """
    wanted: tuple[tuple[str, Collection[str], Callable[[ConceptPair], str]], ...] = (
        ("pattern", patterns, lambda pair: pair.pattern),
        ("pair with the key", keys, lambda pair: pair.key),
        ("pair with the prompt", prompts, lambda pair: pair.prompt),
    )
    for what, names, name_of in wanted:
        known = {name_of(pair) for pair in pairs}
        for name in names:
            if name not in known:
                raise _unknown(what, name, known)
    chosen = [
        pair
        for pair in pairs
        if all(not names or name_of(pair) in names for _, names, name_of in wanted)
    ]
    if limit is None:
        return tuple(chosen)
    if limit < 1:
        raise ConfigError(f"a limit of {limit} pairs leaves nothing to do: write 1 or more")
    queues: dict[str, list[ConceptPair]] = {}
    for pair in sorted(chosen, key=lambda pair: pair.key):
        queues.setdefault(pair.pattern, []).append(pair)
    turns = sorted(
        (turn, content_key(pattern), pair.key)
        for pattern, queue in queues.items()
        for turn, pair in enumerate(queue)
    )
    kept = {key for _, _, key in turns[:limit]}
    return tuple(pair for pair in chosen if pair.key in kept)


# ── reading ──────────────────────────────────────────────────────────────────────────────────────


SUFFIXES = (".toml", ".csv", ".jsonl")
"""Of the files that hold pairs in our own formats."""


def read_pairs(path: str | Path) -> tuple[ConceptPair, ...]:
    """Read a catalogue (``.toml``) or a plain table of pairs (``.csv``, ``.jsonl``), in order.

    Raises:
        ConfigError: what is wrong, at which entry or line, and what to write instead.
    """
    path = Path(path)
    return _read(path, _text(path)).pairs


def read_kinds(path: str | Path) -> Mapping[str, Mapping[str, str]]:
    """What a catalogue file says of its patterns beside their names: explanation, first, second.

    Raises:
        ConfigError: as :func:`read_pairs`.
    """
    path = Path(path)
    return _read(path, _text(path)).kinds


@dataclass(frozen=True, slots=True)
class _File:
    """What a file of pairs says."""

    pairs: tuple[ConceptPair, ...]
    kinds: Mapping[str, Mapping[str, str]]


Placed = tuple[str, ConceptPair]
"""A pair, and where it stands in its file."""


def _text(path: Path) -> str:
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{path}: pairs are read from {', '.join(SUFFIXES)} files: rename it")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: byte {error.start} is not UTF-8: save the file as UTF-8 text"
        ) from error
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}: name a file of pairs") from error
    if "\0" in text:
        raise ConfigError(f"{path}: not a text file: name a TOML, CSV or JSON-lines file")
    return text


@lru_cache(maxsize=4)  # commands come back to a file that they have just read or written
def _read(path: Path, text: str) -> _File:
    name = str(path)
    match path.suffix.lower():
        case ".toml":
            file = _toml(text, name)
            return _File(_different(_from_toml(file, name), path), _kinds(file))
        case ".csv":
            return _File(_different(_from_csv(text, name), path), {})
        case _:
            return _File(_different(_from_jsonl(text, name), path), {})


def _different(placed: Iterable[Placed], path: Path) -> tuple[ConceptPair, ...]:
    """All pairs, if there are any and each is asked for once."""
    pairs: list[ConceptPair] = []
    asked: dict[str, str] = {}
    for where, pair in placed:
        if earlier := asked.get(pair.prompt.casefold()):
            raise ConfigError(
                f"{where}: the prompt {pair.prompt!r} was asked before, at {earlier}: drop one"
            )
        asked[pair.prompt.casefold()] = where.removeprefix(f"{path}, ")
        pairs.append(pair)
    if not pairs:
        raise ConfigError(f"{path}: no pairs: write at least one")
    return tuple(pairs)


def _toml(text: str, name: str) -> CatalogueFile:
    try:
        value = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also for absurd numbers and nesting
        raise ConfigError(f"{name}: not TOML: {error}") from error
    return _checked(CatalogueFile, value, name)


def _kinds(file: CatalogueFile) -> Mapping[str, Mapping[str, str]]:
    said = ("explanation", "first", "second")
    return {one["name"]: {key: one[key] for key in said if key in one} for one in file.patterns}


def _from_toml(file: CatalogueFile, name: str) -> Iterator[Placed]:
    concepts: dict[str, Concept] = {}
    for said, fields in file.concepts.items():
        concept = plain(said)
        entry = _checked(ConceptEntry, fields, f"{name}, concept {concept!r}")
        concepts[concept] = Concept(concept, entry.description, entry.synonyms)
    for number, table in enumerate(file.patterns, 1):
        pattern = _checked(PatternEntry, table, f"{name}, pattern {number}")
        for index, pair_table in enumerate(pattern.pairs, 1):
            where = f"{name}, pattern {pattern.name!r}, pair {index}"
            fields_of = _checked(PairEntry, pair_table, where)
            yield where, _pair_of(fields_of, concepts, pattern.name, file, where)


def _pair_of(
    entry: PairEntry,
    concepts: Mapping[str, Concept],
    pattern: str,
    file: CatalogueFile,
    where: str,
) -> ConceptPair:
    def concept(name: str) -> Concept:
        if name not in concepts:
            raise ConfigError(
                f"{where}: the concept {name!r} is not in [concepts]: "
                f"describe it there{near(name, concepts)}"
            )
        return concepts[name]

    intruders: list[tuple[Concept, Side, str]] = [
        (concept(one.concept), one.replaces, one.prompt or "") for one in entry.intruders
    ]
    for side, suspects in ((Side.A, entry.instead_of_a), (Side.B, entry.instead_of_b)):
        for suspect in suspects:
            if isinstance(suspect, str):
                intruders.append((concept(suspect), side, ""))
            else:
                spelled = _checked(IntruderEntry, suspect, f"{where}, instead_of_{side}")
                intruders.append((concept(spelled.concept), side, spelled.prompt))
    a, b = concept(entry.a), concept(entry.b)
    return make_pair(
        a,
        b,
        entry.prompt,
        intruders,
        where,
        sentences=entry.sentences,
        pattern=pattern,
        source=file.source if entry.source is None else entry.source,
        licence=file.licence,
    )


def _from_csv(text: str, name: str) -> Iterator[Placed]:
    rows = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    header: list[str] = []
    try:
        for row in rows:
            where = f"{name}, line {rows.line_num}"
            if not header:
                header = row
                if len(set(header)) < len(header):
                    raise ConfigError(f"{where}: two columns bear one name: rename one of them")
            elif row and len(row) != len(header):
                raise ConfigError(
                    f"{where}: {len(row)} cells under {len(header)} columns: "
                    f'put quotes ("…") around a text that contains a comma'
                )
            elif row:
                cells = {field: cell for field, cell in zip(header, row, strict=True) if cell}
                yield where, pair_of_record(cells, where, name)
    except csv.Error as error:
        raise ConfigError(f"{name}, line {rows.line_num}: not CSV: {error}") from error


def _from_jsonl(text: str, name: str) -> Iterator[Placed]:
    for number, line in lines(text):
        if not line.strip():
            continue
        where = f"{name}, line {number}"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{where}: not JSON: {error}") from error
        if not isinstance(value, dict):
            raise ConfigError(f"{where}: write one object, {{…}}, a line")
        yield where, pair_of_record(value, where, name)


def pair_of_record(fields: Mapping[str, Any], where: str, name: str) -> ConceptPair:
    """The pair that one row or one object of a table asks for.

    Args:
        fields: as :class:`Record` has them, or :class:`WholePair`.
        where: what every error begins with.
        name: of the file; the source of a row that names none.

    Raises:
        ConfigError: what is wrong, and what to write instead.
    """
    if isinstance(fields.get("a"), Mapping):
        return _whole(_checked(WholePair, fields, where), where, name)
    record = _checked(Record, fields, where)
    if (record.intruder is None) != (record.intruder_replaces is None):
        raise ConfigError(f"{where}: write both 'intruder' and 'intruder_replaces', or neither")
    intruders = []
    if record.intruder is not None and record.intruder_replaces is not None:
        intruders.append((Concept(record.intruder), record.intruder_replaces, ""))
    return make_pair(
        Concept(record.a, record.a_description or ""),
        Concept(record.b, record.b_description or ""),
        record.prompt,
        intruders,
        where,
        pattern=record.pattern or "",
        source=record.source or Path(name).name,
        licence=record.licence or "",
    )


def _whole(said: WholePair, where: str, name: str) -> ConceptPair:
    def concept(entry: NamedConcept) -> Concept:
        return Concept(entry.name, entry.description, entry.synonyms)

    return make_pair(
        concept(said.a),
        concept(said.b),
        said.prompt,
        [(concept(one.concept), one.replaces, one.prompt) for one in said.intruders],
        where,
        sentences=said.sentences,
        pattern=said.pattern,
        source=Path(name).name if said.source is None else said.source,
        licence=said.licence,
    )


def make_pair(
    a: Concept,
    b: Concept,
    prompt: str,
    suspects: Iterable[tuple[Concept, Side, str]],
    where: str,
    *,
    sentences: tuple[str, ...] = (),
    pattern: str,
    source: str,
    licence: str = "",
) -> ConceptPair:
    """A pair that has been looked at: the prompt names both concepts, intruders displace one.

    Args:
        a: the first concept.
        b: the second.
        prompt: names both, word for word.
        suspects: concept, the side it displaces, and its prompt; empty to swap the nouns.
        where: what every error begins with.
        sentences: longer prompts.
        pattern: the kind of conflict.
        source: who proposed it.
        licence: under which terms.

    Raises:
        ConfigError: what is wrong, and what to write instead.
    """
    if a.name.casefold() == b.name.casefold():
        raise ConfigError(f"{where}: both concepts are called {a.name!r}: a pair needs two")
    spans = _spans(prompt, a, b)
    for side, concept in ((Side.A, a), (Side.B, b)):
        if side not in spans:
            raise ConfigError(
                f"{where}: the prompt {prompt!r} does not name {concept.name!r}: "
                f"use its name or one of its synonyms, word for word"
            )
    intruders = []
    for suspect, side, explicit in suspects:
        if suspect.name.casefold() in (a.name.casefold(), b.name.casefold()):
            raise ConfigError(
                f"{where}: {suspect.name!r} is asked for and cannot intrude: name another concept"
            )
        counterfactual = explicit or _swap(prompt, spans[side], suspect.name)
        if not any(places(counterfactual, word) for word in (suspect.name, *suspect.synonyms)):
            raise ConfigError(
                f"{where}: the prompt {counterfactual!r} does not name the intruder "
                f"{suspect.name!r}: use its name or one of its synonyms"
            )
        intruders.append(Intruder(suspect, side, counterfactual))
    return ConceptPair(a, b, prompt, sentences, tuple(intruders), pattern, source, licence)


# ── words in a prompt ────────────────────────────────────────────────────────────────────────────


ARTICLE_BEFORE = re.compile(r"\b(an?)\s+$", re.IGNORECASE)


def names_both(prompt: str, a: Concept, b: Concept) -> bool:
    """Whether a prompt names two concepts word for word, each in a place of its own."""
    return len(_spans(prompt, a, b)) == 2


def _spans(prompt: str, a: Concept, b: Concept) -> dict[Side, Span]:
    """Where each concept is named, without overlap: ``orange`` is not in ``orange juice``."""
    named = [
        (span, side)
        for side, concept in ((Side.A, a), (Side.B, b))
        for words in (concept.name, *concept.synonyms)
        for span in places(prompt, words)
    ]
    longest_first = sorted(named, key=lambda one: one[0][0] - one[0][1])
    spans: dict[Side, Span] = {}
    for (start, end), side in longest_first:
        if side not in spans and all(
            end <= left or right <= start for left, right in spans.values()
        ):
            spans[side] = (start, end)
    return spans


def _swap(prompt: str, span: Span, new: str) -> str:
    """The prompt with another noun there; ``a`` or ``an`` right before it follows.

    A noun without an article is replaced without one: where one is countable and the other is
    not, the prompt has to be spelled out.
    """
    before, old, after = prompt[: span[0]], prompt[slice(*span)], prompt[span[1] :]
    article = ARTICLE_BEFORE.search(before)
    if article:
        before, new = before[: article.start()], indefinite(new)
        old = article[0]
    if old[0].isupper() and not before:
        new = new[0].upper() + new[1:]
    return before + new + after


# ── writing ──────────────────────────────────────────────────────────────────────────────────────


def to_toml(
    pairs: Sequence[ConceptPair], kinds: Mapping[str, Mapping[str, str]] | None = None
) -> str:
    """The text of a catalogue file that reads back as these pairs, grouped by pattern.

    Args:
        pairs: the first one's source is the file's.
        kinds: what is said of a pattern beside its name: ``explanation``, ``first``, ``second``.

    Raises:
        ValueError: the pairs differ in licence, a pattern is empty, or one name stands for two
            different concepts: one file could not say that.
    """
    if len({pair.licence for pair in pairs}) != 1:
        raise ValueError("a file of pairs has one licence")
    concepts: dict[str, Concept] = {}
    for pair in pairs:
        for concept in (pair.a, pair.b, *(intruder.concept for intruder in pair.intruders)):
            if concepts.setdefault(concept.name, concept) != concept:
                raise ValueError(f"two different concepts are called {concept.name!r}")
    lines = [
        f"source = {_quoted(pairs[0].source)}",
        f"licence = {_quoted(pairs[0].licence)}",
        "",
        "[concepts]",
    ]
    for concept in concepts.values():
        said = [f"description = {_quoted(concept.description)}"] if concept.description else []
        said += [f"synonyms = {_list(concept.synonyms)}"] if concept.synonyms else []
        lines.append(f"{_quoted(concept.name)} = {{ {', '.join(said)} }}")
    for pattern in dict.fromkeys(pair.pattern for pair in pairs):
        lines += ["", "", "[[patterns]]", f"name = {_quoted(pattern)}"]
        for field, text in ((kinds or {}).get(pattern) or {}).items():
            lines += [f"{field} = {_quoted(text)}"] if text else []
        for pair in pairs:
            if pair.pattern == pattern:
                lines += ["", "[[patterns.pairs]]", *_pair_lines(pair)]
                if pair.source != pairs[0].source:
                    lines.append(f"source = {_quoted(pair.source)}")
    return "\n".join(lines) + "\n"


def to_record(pair: ConceptPair) -> dict[str, Any]:
    """One object of a JSON-lines file that reads back as this pair.

    A pair without sentences, synonyms or more than a plain intruder is a row that a spreadsheet
    could hold; any other is written whole.

    Raises:
        ConfigError: a text is more than a line, or would be read in another spelling.
    """
    fields: dict[str, Any] = {"a": pair.a.name, "b": pair.b.name, "prompt": pair.prompt}
    for name, text in (
        ("a_description", pair.a.description),
        ("b_description", pair.b.description),
        ("pattern", pair.pattern),
        ("source", pair.source),
        ("licence", pair.licence),
    ):
        if text:
            fields[name] = text
    for intruder in pair.intruders[:1]:
        fields |= {"intruder": intruder.concept.name, "intruder_replaces": intruder.replaces.value}
    if not _is_a_row(pair):
        fields = json.loads(pair.as_json())
        _checked(WholePair, fields, repr(pair.prompt))
    for name, text in fields.items():
        if (
            isinstance(text, str)
            and text
            and (text != plain(text).strip() or not text.isprintable())
        ):
            raise ConfigError(
                f"{pair.prompt!r}: {name!r} must be one line of printable text with no space at "
                f"either end: write it so"
            )
    return fields


def _is_a_row(pair: ConceptPair) -> bool:
    """Whether the columns of :class:`Record` say all of a pair."""
    if pair.sentences or pair.a.synonyms or pair.b.synonyms or not pair.source:
        return False
    if not pair.intruders:
        return True
    (first, *more), spans = pair.intruders, _spans(pair.prompt, pair.a, pair.b)
    swapped = _swap(pair.prompt, spans[first.replaces], first.concept.name)
    return not more and first.concept == Concept(first.concept.name) and first.prompt == swapped


def _pair_lines(pair: ConceptPair) -> Iterator[str]:
    for field, text in (("a", pair.a.name), ("b", pair.b.name), ("prompt", pair.prompt)):
        yield f"{field} = {_quoted(text)}"
    spans = _spans(pair.prompt, pair.a, pair.b)

    def spelled(intruder: Intruder) -> str:
        swapped = _swap(pair.prompt, spans[intruder.replaces], intruder.concept.name)
        return "" if intruder.prompt == swapped else f", prompt = {_quoted(intruder.prompt)}"

    in_order = sorted(pair.intruders, key=lambda one: one.replaces) == list(pair.intruders)
    if not in_order:
        yield "intruders = ["
        for one in pair.intruders:
            named = f"concept = {_quoted(one.concept.name)}, replaces = {_quoted(one.replaces)}"
            yield f"  {{ {named}{spelled(one)} }},"
        yield "]"
    for side in Side if in_order else ():
        entries = [
            f"{{ concept = {_quoted(intruder.concept.name)}{more} }}"
            if (more := spelled(intruder))
            else _quoted(intruder.concept.name)
            for intruder in pair.intruders_of(side)
        ]
        if any(entry.startswith("{") for entry in entries):
            yield from (f"instead_of_{side} = [", *(f"  {entry}," for entry in entries), "]")
        elif entries:
            yield f"instead_of_{side} = [{', '.join(entries)}]"
    if pair.sentences:
        yield from ("sentences = [", *(f"  {_quoted(text)}," for text in pair.sentences), "]")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # for one-line text JSON and TOML agree


def _list(texts: Iterable[str]) -> str:
    return f"[{', '.join(_quoted(text) for text in texts)}]"


# ── saying what is wrong ─────────────────────────────────────────────────────────────────────────

EntryT = TypeVar("EntryT", bound=Entry)


def _checked(model: type[EntryT], value: Any, where: str) -> EntryT:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        # a misspelt field is also a missing one: what stands there tells more than what does not
        first = min(error.errors(), key=lambda wrong: wrong["type"] != "extra_forbidden")
        field, *place = (str(part) for part in first["loc"])
        match first["type"]:
            case "missing":
                reason = f"{field!r} is missing or empty: write it"
            case "extra_forbidden":
                reason = (
                    f"{field!r} is not a field; known are {', '.join(model.model_fields)}"
                    f"{near(field, model.model_fields)}"
                )
            case "value_error":
                reason = f"{field!r} {first['ctx']['error']}"
            case _:
                item = f", item {int(place[0]) + 1}" if place and place[0].isdigit() else ""
                reason = f"{field!r}{item}: {first['msg'][:1].lower()}{first['msg'][1:]}"
        raise ConfigError(f"{where}: {reason}") from error


def near(name: str, known: Iterable[str]) -> str:
    """What a sentence about an unknown name ends with: those that resemble it, if any do."""
    alike = difflib.get_close_matches(name, list(known), n=3)
    return f"; did you mean {' or '.join(repr(word) for word in alike)}?" if alike else ""


def _unknown(what: str, name: str, known: Collection[str]) -> UnknownNameError:
    alike = difflib.get_close_matches(name, list(known), n=3) or sorted(known)[:12]
    return UnknownNameError(f"no {what} is called {name!r}; try {', '.join(alike)}")
