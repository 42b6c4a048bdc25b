"""Items that failed, until they succeed or somebody sets them aside."""

from __future__ import annotations

import dataclasses
from typing import Any

from sqlalchemy import Connection, and_, func, literal, or_, select

from lcmis.machine.secrets import withheld
from lcmis.store import documents
from lcmis.store.door import Door
from lcmis.store.rows import insert_new
from lcmis.store.tables import CheckerRow, DismissalRow, FailureRow, RenderRow, ScoreRow
from lcmis.types import Failure


class FailureDoor(Door):
    """Failures and their dismissals."""

    def add_failure(self, failure: Failure) -> None:
        """Remember that an item failed; it is listed until it succeeds."""
        with self._writing() as connection:
            insert_failure(connection, failure)

    def failures(self) -> list[Failure]:
        """The latest failure of each item and stage that has not succeeded since, oldest first."""
        with self._reading() as connection:
            rows = connection.execute(
                select(FailureRow.item, FailureRow.stage, FailureRow.sentence, FailureRow.at)
                .where(still_failed())
                .order_by(FailureRow.id)
            )
            return [Failure(*row) for row in rows]

    def clear_failure(self, item: str) -> None:
        """Set aside all failures of an item; a new one is listed again."""
        with self._writing() as connection:
            found = connection.scalars(select(FailureRow.id).where(FailureRow.item == item))
            insert_new(connection, DismissalRow, [{"failure_id": one} for one in found])


def insert_failure(connection: Connection, failure: Failure) -> None:
    """Keep it in a transaction that writes."""
    row = dataclasses.asdict(failure) | {"sentence": withheld(failure.sentence)}
    for name, text in row.items():
        documents.refuse_broken(text, f"failure.{name}")
    row["num_scores"] = connection.execute(select(_num_scores(literal(failure.item)))).scalar_one()
    insert_new(connection, FailureRow, [row])


def _num_scores(item: Any) -> Any:
    return (
        select(func.count())
        .select_from(ScoreRow)
        .join(RenderRow, RenderRow.id == ScoreRow.render_id)
        .where(ScoreRow.checker_id.in_(select(CheckerRow.id)), RenderRow.spec_key == item)
        .scalar_subquery()
    )


def still_failed() -> Any:
    """The condition on a row of failures that nothing has mended since."""
    later = FailureRow.__table__.alias("later")
    drawn = select(RenderRow.id).where(RenderRow.spec_key == FailureRow.item).exists()
    set_aside = select(DismissalRow.failure_id).where(DismissalRow.failure_id == FailureRow.id)
    return and_(
        ~select(later.c.id)
        .where(
            later.c.item == FailureRow.item,
            later.c.stage == FailureRow.stage,
            later.c.id > FailureRow.id,
        )
        .exists(),
        ~set_aside.exists(),
        or_(FailureRow.stage != "render", ~drawn),
        or_(FailureRow.stage != "check", _num_scores(FailureRow.item) <= FailureRow.num_scores),
    )
