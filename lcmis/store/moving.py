"""All facts of one store → another, by their keys: what moves a store, and merges two."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Table, select

from lcmis.errors import StoreError
from lcmis.store import Growth, Store
from lcmis.store.connect import place_of
from lcmis.store.evidence import answered, match_questions
from lcmis.store.places import pictures_at, remember_place
from lcmis.store.rows import chunks, ids_of, insert_new
from lcmis.store.tables import (
    Base,
    BoxRow,
    CheckerRow,
    DismissalRow,
    ExchangeRow,
    FailureRow,
    LabelRow,
    ModelRow,
    NominationRow,
    NoteRow,
    OptionRow,
    PairQuestionRow,
    PairRenderRow,
    PairRow,
    QuestionRow,
    RenderRow,
    RunRow,
    ScoreRow,
    ShiftRow,
    SpecRow,
    TrialRow,
)
from lcmis.types import About

AT_ONCE = 64
"""Pictures whose files and rows go together."""
NAMES: dict[type[Base], str] = {
    ModelRow: "name",
    CheckerRow: "name",
    OptionRow: "name",
    PairRow: "key",
    QuestionRow: "key",
    RenderRow: "spec_key",
}
"""Tables whose rows others point at, and what a row is called in every store."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What one store had to give another."""

    before: Growth
    """What was there."""
    after: Growth
    files: int
    """Pictures whose files were copied."""
    differing: int
    """Pictures of one specification that the two stores show differently: those that were there
    stay, and what was said of the others, by people too, is left behind."""
    faults: tuple[str, ...] = ()
    """A sentence for each picture whose file could not be brought; its facts are there."""


def copy_all(source: Store, target: Store) -> Moved:
    """Add every fact and every picture of one store to another that may hold facts already.

    Files go before the rows that speak of them, a few pictures at a time; what is there stays as it
    is. So it may be killed anywhere, and done again.

    Raises:
        StoreError: either cannot be read or written.
    """
    return _Transfer(source, target).run()


def move_pictures(store: Store, place: str, to: str) -> tuple[int, list[str]]:
    """Copy the files of all pictures elsewhere, and have the store's folder remember it.

    Args:
        store: open for writing.
        place: of its facts, a folder or a URL.
        to: a folder, or an address.

    Returns:
        How many files are there now, and a sentence for each that could not be brought; the store
        keeps the old place while there is one.

    Raises:
        StoreError: the new place cannot be written.
    """
    target = pictures_at(to)
    files, faults, after = 0, [], 0
    while page := store.renders(after=after, limit=AT_ONCE):
        after = page[-1].position
        content = {}
        for sha256 in {one.render.sha256 for one in page if one.render.sha256}:
            try:
                content[sha256] = store.pictures.read_file(sha256)
            except StoreError as error:
                faults.append(str(error))
        files += len(target.write_files(content))
    folder = place_of(place).folder
    if folder is not None and not faults:
        remember_place(folder, target, anew=True)
    return files, faults


@dataclass(slots=True)
class _Transfer:
    source: Store
    target: Store
    numbers: dict[type[Base], dict[int, int]] = field(default_factory=dict)
    """Of each table: a row's number there → its number here."""
    shared: set[int] = field(default_factory=set)
    """Numbers here of pictures that both had."""
    differing: set[str] = field(default_factory=set)
    """Keys of specifications whose picture stays behind."""
    files: int = 0
    faults: list[str] = field(default_factory=list)

    def run(self) -> Moved:
        before = self.target.growth()
        for table in (ModelRow, CheckerRow, OptionRow, PairRow, QuestionRow):
            self._named(table)
        self._rows(RunRow, {})
        self._rows(ShiftRow, {})
        self._pictures()
        self._rows(PairRenderRow, {"pair_id": PairRow, "render_id": RenderRow})
        self._rows(PairQuestionRow, {"pair_id": PairRow, "question_id": QuestionRow})
        self._answers()
        of_pair = {"pair_id": PairRow, "model_id": ModelRow, "checker_id": CheckerRow}
        self._rows(TrialRow, of_pair)
        self._rows(NominationRow, of_pair)
        self._rows(LabelRow, {"render_id": RenderRow, "question_id": QuestionRow})
        self._rows(NoteRow, {}, leave=self._is_left_behind)
        self._once(ExchangeRow, ("request", "model", "reason", "document"))
        self._failures()
        self._match()
        return Moved(
            before, self.target.growth(), self.files, len(self.differing), tuple(self.faults)
        )

    # ── rows ─────────────────────────────────────────────────────────────────────────────────

    def _pages(self, table: type[Base], size: int = 5000) -> Iterator[list[dict[str, Any]]]:
        """All rows of the source, a few thousand at a time."""
        made = _table(table)
        order = list(made.primary_key.columns)
        with self.source._reading() as connection:
            found = connection.execution_options(yield_per=size).execute(
                select(made).order_by(*order)
            )
            for some in found.mappings().partitions(size):
                yield [dict(row) for row in some]

    def _named(self, table: Any) -> None:
        """Rows that have a name of their own, and the numbers that they got."""
        self.numbers.setdefault(table, {})
        for rows in self._pages(table):
            with self.target._writing() as connection:
                insert_new(connection, table, [_without_id(row) for row in rows])
                self._remember(connection, table, rows)

    def _remember(
        self, connection: Connection, table: Any, rows: Sequence[dict[str, Any]]
    ) -> dict[str, int]:
        name = NAMES[table]
        here = ids_of(connection, getattr(table, name), table.id, [row[name] for row in rows])
        self.numbers.setdefault(table, {}).update((row["id"], here[row[name]]) for row in rows)
        return here

    def _renumbered(
        self, row: dict[str, Any], columns: dict[str, type[Base]]
    ) -> dict[str, Any] | None:
        """The row as it is here; None for one that speaks of a picture that stays behind."""
        made = _without_id(row)
        for column, table in columns.items():
            number = self.numbers[table].get(row[column])
            if number is None:
                return None
            made[column] = number
        return made

    def _rows(
        self,
        table: type[Base],
        columns: dict[str, type[Base]],
        leave: Callable[[dict[str, Any]], bool] = lambda _: False,
    ) -> None:
        """Rows that point at others; a constraint of the table tells which are there."""
        for rows in self._pages(table):
            some = [self._renumbered(row, columns) for row in rows if not leave(row)]
            made = [row for row in some if row is not None]
            with self.target._writing() as connection:
                insert_new(connection, table, made)

    def _is_left_behind(self, note: dict[str, Any]) -> bool:
        """Whether it speaks of a picture that nobody will see here."""
        return note["about"] == About.PICTURE.value and note["subject"] in self.differing

    def _once(
        self,
        table: Any,
        columns: tuple[str, ...],
        leave: Callable[[dict[str, Any]], bool] = lambda _: False,
    ) -> None:
        """Rows without a name, each as often as the store has it that has it more often."""
        with self.target._reading() as connection:
            there = connection.execute(select(*(getattr(table, name) for name in columns)))
            seen = [tuple(row) for row in there]
        left: dict[tuple[Any, ...], int] = {}
        for one in seen:
            left[one] = left.get(one, 0) + 1
        for rows in self._pages(table):
            new = []
            for row in rows:
                if leave(row):
                    continue
                name = tuple(row[column] for column in columns)
                left[name] = left.get(name, 0) - 1
                if left[name] < 0:
                    new.append(_without_id(row))
            with self.target._writing() as connection:
                insert_new(connection, table, new)

    # ── pictures ─────────────────────────────────────────────────────────────────────────────

    def _pictures(self) -> None:
        self.numbers[RenderRow] = {}
        for rows in self._pages(RenderRow, AT_ONCE):
            with self.target._reading() as connection:
                there = _hashes(connection, [row["spec_key"] for row in rows])
            same = [
                row for row in rows if there.get(row["spec_key"], row["sha256"]) == row["sha256"]
            ]
            self.differing |= {row["spec_key"] for row in rows if row not in same}
            new = [row for row in same if row["spec_key"] not in there]
            self._bring({row["sha256"] for row in same if row["sha256"]})
            documents = self._specs_of([row["id"] for row in new])
            with self.target._writing() as connection:
                insert_new(
                    connection,
                    RenderRow,
                    [
                        _without_id(row) | {"model_id": self.numbers[ModelRow][row["model_id"]]}
                        for row in new
                    ],
                )
                here = self._remember(connection, RenderRow, same)
                insert_new(
                    connection,
                    SpecRow,
                    [documents[row["id"]] | {"render_id": here[row["spec_key"]]} for row in new],
                )
            self.shared |= {here[row["spec_key"]] for row in same if row["spec_key"] in there}

    def _specs_of(self, numbers: Sequence[int]) -> dict[int, dict[str, Any]]:
        made = _table(SpecRow)
        found: dict[int, dict[str, Any]] = {}
        with self.source._reading() as connection:
            for some in chunks(numbers):
                rows = connection.execute(select(made).where(made.c.render_id.in_(some)))
                found.update((row["render_id"], dict(row)) for row in rows.mappings())
        return found

    def _bring(self, hashes: set[str]) -> None:
        """Files that the target lacks; each is looked at on the way."""
        if self.source.pictures.address == self.target.pictures.address:
            return
        content = {}
        for sha256 in sorted(hashes):
            try:
                content[sha256] = self.source.pictures.read_file(sha256)
            except StoreError as error:
                self.faults.append(str(error))
        self.files += len(self.target.pictures.write_files(content))

    # ── what was said ────────────────────────────────────────────────────────────────────────

    def _answers(self) -> None:
        """Answers to questions that nobody here had answered, some hundred pictures at a time.

        What was said of a picture comes whole, with its boxes, or not at all. An answer that is
        here with the same winner is the source's own: what an interrupted move left out is added.
        """
        columns = {
            "checker_id": CheckerRow,
            "render_id": RenderRow,
            "question_id": QuestionRow,
            "option_id": OptionRow,
        }
        checkers = self.numbers[CheckerRow]
        for some in chunks(sorted(self.numbers[RenderRow])):
            with self.source._reading() as connection:
                said = {
                    table: [
                        made
                        for row in _said_of(connection, table, checkers, some)
                        if (made := self._renumbered(row, columns)) is not None
                    ]
                    for table in (ScoreRow, BoxRow)
                }
            winners = {_answer(row): _said(row) for row in said[ScoreRow] if row["place"] == 0}
            with self.target._writing() as connection:
                here = [self.numbers[RenderRow][number] for number in some]
                others = {
                    _answer(row)
                    for row in _said_of(connection, ScoreRow, checkers.values(), here, winners=True)
                    if _said(row) != winners.get(_answer(row))
                }
                for table, rows in said.items():
                    new = [row for row in rows if _answer(row) not in others]
                    insert_new(connection, table, new)

    def _failures(self) -> None:
        columns = ("item", "stage", "sentence", "at")
        self._once(FailureRow, columns, leave=lambda row: row["item"] in self.differing)
        with self.source._reading() as connection:
            dismissed = connection.execute(
                select(*(getattr(FailureRow, name) for name in columns)).join(
                    DismissalRow, DismissalRow.failure_id == FailureRow.id
                )
            )
            names = {tuple(row) for row in dismissed}
        with self.target._writing() as connection:
            every = connection.execute(
                select(FailureRow.id, *(getattr(FailureRow, name) for name in columns))
            )
            insert_new(
                connection,
                DismissalRow,
                [{"failure_id": row[0]} for row in every if tuple(row[1:]) in names],
            )

    def _match(self) -> None:
        """Questions that one store asked of pictures which the other linked to its pairs."""
        with self.target._writing() as connection:
            checkers = connection.scalars(select(CheckerRow.id)).all()
            for some in chunks(sorted(self.shared)):
                said = answered(connection, checkers, some)
                match_questions(connection, {(render, question) for _, render, question in said})


def _table(row: type[Base]) -> Table:
    made = row.__table__
    assert isinstance(made, Table)
    return made


def _without_id(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "id"}


def _hashes(connection: Connection, spec_keys: Sequence[str]) -> dict[str, str]:
    rows = connection.execute(
        select(RenderRow.spec_key, RenderRow.sha256).where(RenderRow.spec_key.in_(spec_keys))
    )
    return {row[0]: row[1] for row in rows}


def _said_of(
    connection: Connection,
    table: Any,
    checkers: Iterable[int],
    renders: Sequence[int],
    *,
    winners: bool = False,
) -> Iterator[dict[str, Any]]:
    """Rows of what these checkers said of these pictures, or only the likeliest of each answer."""
    for checker in checkers:
        asked = select(_table(table)).where(
            table.checker_id == checker, table.render_id.in_(renders)
        )
        found = connection.execute(asked.where(table.place == 0) if winners else asked)
        yield from (dict(row) for row in found.mappings())


def _answer(row: dict[str, Any]) -> tuple[int, int, int]:
    return row["checker_id"], row["render_id"], row["question_id"]


def _said(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["option_id"], row["value"], row["mass"], row["reason"]
