"""Rows that are added once, and the numbers behind names and keys."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import InstrumentedAttribute

from lcmis.errors import UnknownNameError
from lcmis.store.documents import document, refuse_broken
from lcmis.store.tables import (
    Base,
    CheckerRow,
    ModelRow,
    OptionRow,
    PairRow,
    QuestionRow,
    RenderRow,
)
from lcmis.types import Question

CHUNK = 900
"""Names asked for at once: every SQLite takes 999."""

LONGEST_NAME = 4096
"""Letters of what a pair or a picture may be called by: SQLite takes no pattern of more than 50,000
bytes, and a pair with a longer prompt has a key."""

Item = TypeVar("Item")


def chunks(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Cut what is asked for into pieces that fit one statement."""
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]


def insert_new(connection: Connection, table: type[Base], rows: Sequence[dict[str, Any]]) -> None:
    """Add rows, leaving out those that are there.

    Raises:
        sqlalchemy.exc.IntegrityError: a row breaks any other rule of its table.
    """
    # INSERT OR IGNORE would also swallow broken constraints; this skips only what is there.
    if rows:
        dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
        connection.execute(dialect.insert(table).on_conflict_do_nothing(), rows)


def ids_of(
    connection: Connection,
    name: InstrumentedAttribute[str],
    number: InstrumentedAttribute[int],
    names: Sequence[str],
) -> dict[str, int]:
    """The numbers of those names that are there."""
    found: dict[str, int] = {}
    if len(names) > CHUNK and len(names) * 4 > (connection.scalar(select(func.max(number))) or 0):
        wanted = set(names)  # one scan of most of a table is quicker than many questions
        every = connection.execute(select(name, number)).tuples()
        return {one: found for one, found in every if one in wanted}
    for some in chunks(names):
        found.update(
            (row[0], row[1])
            for row in connection.execute(select(name, number).where(name.in_(some)))
        )
    return found


def intern(
    connection: Connection,
    table: type[ModelRow | CheckerRow | OptionRow],
    names: Iterable[str],
) -> dict[str, int]:
    """The numbers of names; a new name gets one."""
    wanted = list(dict.fromkeys(names))
    for name in wanted:
        refuse_broken(name, table.__tablename__)
    found = ids_of(connection, table.name, table.id, wanted)
    if new := [name for name in wanted if name not in found]:
        insert_new(connection, table, [{"name": name} for name in new])
        found |= ids_of(connection, table.name, table.id, new)
    return found


def known_ids(
    connection: Connection, table: type[RenderRow | QuestionRow], keys: Iterable[str]
) -> dict[str, int]:
    """The numbers of keys that must be there.

    Raises:
        UnknownNameError: one is not.
    """
    wanted = list(dict.fromkeys(keys))
    name = RenderRow.spec_key if table is RenderRow else QuestionRow.key
    found = ids_of(connection, name, table.id, [key for key in wanted if _may_be_kept(key)])
    if absent := [key for key in wanted if key not in found]:
        noun = "picture" if table is RenderRow else "question"
        raise UnknownNameError(
            f"no {noun} in the store has the key {_cut(absent[0])}; add it first"
        )
    return found


def id_by_prefix(
    connection: Connection,
    key: InstrumentedAttribute[str],
    number: InstrumentedAttribute[int],
    prefix: str,
    noun: str,
) -> int:
    """The number of the one key that begins so, with or without its version in front.

    Raises:
        UnknownNameError: none does, or more than one.
    """
    _refuse_no_name(prefix, noun)
    exact = connection.scalar(select(number).where(key == prefix))
    if exact is not None:
        return exact
    begins = or_(
        key.startswith(prefix, autoescape=True), key.startswith(f"k1:{prefix}", autoescape=True)
    )
    rows = connection.execute(select(number, key).where(begins).order_by(key).limit(4)).all()
    if len(rows) == 1:
        return int(rows[0][0])
    if rows:
        some = ", ".join(row[1] for row in rows[:3])
        raise UnknownNameError(
            f"more than one {noun} begins with {_cut(prefix)}: {some}; write more"
        )
    near: list[str] = []
    if noun == "pair":
        near = difflib.get_close_matches(prefix, connection.scalars(select(PairRow.prompt)), n=3)
    hint = f"; near it: {', '.join(near)}" if near else "; `lcmis show` lists what there is"
    raise UnknownNameError(f"no {noun} in the store is called {_cut(prefix)}{hint}")


def _may_be_kept(text: str) -> bool:
    """Whether a database can be asked for it: half a character or NUL is in none."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def _refuse_no_name(text: str, noun: str) -> None:
    if len(text) > LONGEST_NAME or not _may_be_kept(text):
        raise UnknownNameError(
            f"no {noun} in the store is called {_cut(text)}; `lcmis show` lists what there is"
        )


def _cut(text: str, longest: int = 200) -> str:
    return repr(text) if len(text) <= longest else f"{text[:longest]!r}… ({len(text):,} letters)"


def pair_id(connection: Connection, text: str) -> int:
    """The number of the pair of this key, of a key that begins so, or of exactly this prompt.

    Raises:
        UnknownNameError: none, or more than one.
    """
    _refuse_no_name(text, "pair")
    exact = connection.scalar(select(PairRow.id).where(PairRow.key == text))
    if exact is not None:
        return exact  # before looking through all prompts
    found = connection.scalars(select(PairRow.id).where(PairRow.prompt == text).limit(2)).all()
    if len(found) == 1:
        return found[0]
    return id_by_prefix(connection, PairRow.key, PairRow.id, text, "pair")


def add_questions(connection: Connection, questions: Iterable[Question]) -> None:
    """Keep questions; one that is there stays as it is."""
    insert_new(
        connection,
        QuestionRow,
        [
            {
                "document": document(question),
                "key": question.key,
                "kind": question.kind.value,
                "text": question.text,
            }
            for question in dict.fromkeys(questions)
        ],
    )
