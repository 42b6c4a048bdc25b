"""What was asked: starts of audits, and concept pairs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, select

from lcmis.machine.secrets import withheld
from lcmis.store import documents
from lcmis.store.door import Door
from lcmis.store.rows import insert_new, pair_id
from lcmis.store.tables import PairRow, RunRow, ShiftRow
from lcmis.types import ConceptPair, Run, Shift

MAY_HOLD_SECRETS = ("command", "config")
"""Of a run: a database's address may stand there. Looked at on the way out, too, for what an lcmis
kept that did not look."""

_SHIFT = tuple(field.name for field in dataclasses.fields(Shift))


class RunDoor(Door):
    """Runs and pairs."""

    def add_run(self, run: Run) -> None:
        """Remember one start of an audit."""
        row = dataclasses.asdict(run)
        row |= {name: json.dumps(row[name]) for name in ("models", "checkers")}
        row |= {name: withheld(row[name]) for name in MAY_HOLD_SECRETS}
        for name, text in row.items():
            documents.refuse_broken(text, f"run.{name}")
        with self._writing() as connection:
            insert_new(connection, RunRow, [row])

    def runs(self) -> list[Run]:
        """Every start, oldest first."""
        names = [field.name for field in dataclasses.fields(Run)]
        with self._reading() as connection:
            rows = connection.execute(
                select(*(getattr(RunRow, name) for name in names)).order_by(RunRow.id)
            )
            return [
                Run(
                    **{
                        **row,
                        **{name: withheld(row[name]) for name in MAY_HOLD_SECRETS},
                        "models": tuple(json.loads(row["models"])),
                        "checkers": tuple(json.loads(row["checkers"])),
                    }
                )
                for row in rows.mappings()
            ]

    def has_run(self, run_id: str) -> bool:
        """Whether this run was started on this very database."""
        with self._reading() as connection:
            found = connection.scalar(select(RunRow.id).where(RunRow.run_id == run_id))
            return found is not None

    def shifts(self, run_id: str | None = None) -> list[Shift]:
        """What workers did, oldest first; of one run, if it is named."""
        statement = select(*(getattr(ShiftRow, name) for name in _SHIFT)).order_by(ShiftRow.id)
        if run_id is not None:
            statement = statement.where(ShiftRow.run_id == run_id)
        with self._reading() as connection:
            return [Shift(*row) for row in connection.execute(statement)]

    def add_pairs(self, pairs: Iterable[ConceptPair]) -> None:
        """Keep concept pairs; one that is there stays as it is, its source included."""
        rows = []
        for pair in pairs:
            document = documents.document(pair)
            rows.append(
                {
                    "key": pair.key,
                    "a_name": pair.a.name,
                    "b_name": pair.b.name,
                    "prompt": pair.prompt,
                    "document": document,
                }
            )
        with self._writing() as connection:
            insert_new(connection, PairRow, rows)

    def pairs(self) -> list[ConceptPair]:
        """Every pair, in the order of arrival."""
        with self._reading() as connection:
            keys = connection.scalars(select(PairRow.key).order_by(PairRow.id)).all()
            if not self._read_pairs.keys() >= set(keys):  # what a key names never changes
                for key, text in connection.execute(select(PairRow.key, PairRow.document)):
                    if key not in self._read_pairs:
                        self._read_pairs[key] = documents.pair(text).named(key)
        return [self._read_pairs[key] for key in keys]

    def pair(self, key_prefix: str) -> ConceptPair:
        """The pair of this key, of a key that begins so, or of exactly this prompt.

        Raises:
            UnknownNameError: none, or more than one.
        """
        with self._reading() as connection:
            found = select(PairRow.document).where(PairRow.id == pair_id(connection, key_prefix))
            return documents.pair(connection.execute(found).scalar_one())


def add_shifts(connection: Connection, shifts: Sequence[Shift]) -> None:
    """Keep what workers did in a transaction that writes; what is there stays as it is."""
    rows = [dataclasses.asdict(one) | {"key": one.key} for one in shifts]
    for row in rows:
        row["sentence"] = withheld(row["sentence"])
        for name, value in row.items():
            if isinstance(value, str):
                documents.refuse_broken(value, f"shift.{name}")
    insert_new(connection, ShiftRow, rows)
