"""Values as JSON and back, exactly: what goes in comes out equal, with the same key."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from lcmis.errors import StoreError
from lcmis.types import (
    Adapter,
    Beside,
    Candidate,
    Concept,
    ConceptPair,
    Embedding,
    Exchange,
    Intruder,
    Nomination,
    Question,
    QuestionKind,
    RenderSpec,
    Seen,
    Side,
    Stage,
    Trial,
    canonical_key,
    identity_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import DataclassInstance


def document(value: DataclassInstance) -> str:
    """All fields as JSON, those outside the identity too.

    Raises:
        StoreError: a text holds NUL or half a surrogate pair, which no database keeps.
    """
    text = json.dumps(value, default=_fields, sort_keys=True, separators=(",", ":"))
    if "\\u0000" in text or "\\ud" in text:  # cheap to see; rarely worth the walk
        for part in _texts(dataclasses.asdict(value)):
            refuse_broken(part, type(value).__name__)
    return text


_FROM_THE_FIRST = frozenset({"prompt", "denoising_end"})
"""Of a stage; what came later is left out where it is as before, so that earlier ones read what is
plain."""


def _fields(value: Any) -> dict[str, Any]:
    """Of one dataclass, those within it as they are."""
    fields = {entry.name: getattr(value, entry.name) for entry in dataclasses.fields(value)}
    if isinstance(value, Stage):
        for entry in dataclasses.fields(value):
            if entry.name not in _FROM_THE_FIRST and fields[entry.name] == entry.default:
                del fields[entry.name]
    return fields


def _stage(fields: dict[str, Any]) -> Stage:
    return Stage(
        **fields
        | {
            "beside": tuple(Beside(**entry) for entry in fields.get("beside", ())),
            "excited": tuple(fields.get("excited", ())),
        }
    )


def refuse_broken(text: str, where: str) -> str:
    """The text itself, if a database can keep it.

    Raises:
        StoreError: it holds NUL or half a surrogate pair.
    """
    if "\x00" in text:
        raise StoreError(
            f"{where}: the text {text[:60]!r} holds a NUL character; take it out at its source"
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise StoreError(
            f"{where}: the text {text[:60]!r} holds half a character (a lone surrogate); "
            "read its source as UTF-8"
        ) from error
    return text


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def pair(text: str) -> ConceptPair:
    """The pair that :func:`document` wrote."""
    fields = json.loads(text)
    intruders = tuple(
        Intruder(_concept(entry["concept"]), Side(entry["replaces"]), entry["prompt"])
        for entry in fields.pop("intruders")
    )
    return ConceptPair(
        **fields
        | {
            "a": _concept(fields["a"]),
            "b": _concept(fields["b"]),
            "sentences": tuple(fields["sentences"]),
            "intruders": intruders,
        }
    )


def _concept(fields: dict[str, Any]) -> Concept:
    return Concept(**fields | {"synonyms": tuple(fields["synonyms"])})


_PROFILE = re.compile(r"(?P<device>[a-z]+)-(?P<dtype>b?float\d+)-b\d+")
"""What the numerics profile of a diffusers model says, in stores that kept nothing beside it."""


def spec(text: str) -> RenderSpec:
    """The specification that :func:`document` wrote."""
    fields = json.loads(text)
    profile = _PROFILE.fullmatch(fields["profile"])
    return RenderSpec(
        **(profile.groupdict() if profile else {})
        | fields
        | {
            "stages": tuple(map(_stage, fields["stages"])),
            "adapters": tuple(Adapter(**entry) for entry in fields["adapters"]),
            "embeddings": tuple(Embedding(**entry) for entry in fields.get("embeddings", ())),
        }
    )


_SEED = re.compile(r'"seed":(0|[1-9][0-9]*),')


def spec_key(text: str) -> str:
    """As :func:`key`; read once for all pictures that differ in their seeds alone."""
    found = _SEED.search(text)
    if found is None:
        return key(RenderSpec, text)
    before, after = _around_seed(text[: found.start(1)], text[found.end(1) :])
    return canonical_key(before + found[1] + after)


@functools.lru_cache(maxsize=256)
def _around_seed(before: str, after: str) -> tuple[str, str]:
    first, seed, last = _spelled(RenderSpec, f"{before}0{after}").partition('"seed":0')
    return first + seed[:-1], last


def key(kind: type[DataclassInstance], text: str) -> str:
    """The key of the value of this kind that :func:`document` wrote, which is not made for it:
    what counts is picked out and spelled as a key has it.
    """
    return canonical_key(_spelled(kind, text))


def _spelled(kind: type[DataclassInstance], text: str) -> str:
    return _CANONICAL.encode(_counting(kind, json.loads(text)))


_CANONICAL = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))
"""Spells what JSON holds as :func:`lcmis.types.content_key` does, in C."""


def _counting(kind: type[DataclassInstance], said: Any) -> Any:
    """Of what a document says of a value, or of several, the fields that count in its key."""
    if isinstance(said, list):
        return [_counting(kind, one) for one in said]
    if not isinstance(said, dict):  # changed by hand
        return said
    usual, beside, within = _form(kind)
    for name in beside:
        said.pop(name, None)
    for name, value in usual:
        if name in said and said[name] == value:
            del said[name]
    for name, one in within:
        if name in said:
            said[name] = _counting(one, said[name])
    return said


@functools.cache
def _form(
    kind: type[DataclassInstance],
) -> tuple[list[tuple[str, Any]], list[str], list[tuple[str, type[DataclassInstance]]]]:
    """Of the fields that count those with a default, as JSON has it; those that do not count; and
    of those that hold dataclasses the kind of these.
    """
    counting = {name: value for name, _, value in identity_of(kind)}
    usual = [
        (name, [*value] if value == () else value)
        for name, value in counting.items()
        if value is not dataclasses.MISSING
    ]
    beside = [field.name for field in dataclasses.fields(kind) if field.name not in counting]
    within = [
        (name, one)
        for name, hint in get_type_hints(kind).items()
        for one in (hint, *get_args(hint)[:1])
        if isinstance(one, type) and dataclasses.is_dataclass(one)
    ]
    return usual, beside, within


def question(text: str) -> Question:
    """The question that :func:`document` wrote."""
    fields = json.loads(text)
    return Question(
        **fields
        | {
            "kind": QuestionKind(fields["kind"]),
            "options": tuple(fields["options"]),
            "contrast": tuple(fields["contrast"]),
            "synonyms": tuple(tuple(names) for names in fields.get("synonyms", ())),
        }
    )


def trial(text: str) -> Trial:
    """The trial that :func:`document` wrote."""
    fields = json.loads(text)
    return Trial(
        **fields
        | {
            "candidate": _candidate(fields["candidate"]),
            "seen": tuple(Seen(**entry) for entry in fields["seen"]),
        }
    )


def nomination(text: str) -> Nomination:
    """The nomination that :func:`document` wrote."""
    fields = json.loads(text)
    return Nomination(
        **fields
        | {"candidate": _candidate(fields["candidate"]), "given": tuple(fields.get("given", ()))}
    )


def exchange(text: str) -> Exchange:
    """The exchange that :func:`document` wrote."""
    fields = json.loads(text)
    return Exchange(
        **fields
        | {
            "messages": tuple((role, said) for role, said in fields["messages"]),
            "images": tuple(fields["images"]),
        }
    )


def _candidate(fields: dict[str, Any]) -> Candidate:
    return Candidate(tuple(map(_stage, fields["stages"])), fields["negative_prompt"])
