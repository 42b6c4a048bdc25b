"""What people said of pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import select

from lcmis.store import documents
from lcmis.store.door import Door
from lcmis.store.rows import add_questions, insert_new, known_ids
from lcmis.store.tables import LabelRow, QuestionRow, RenderRow
from lcmis.types import Label, Question


class LabelDoor(Door):
    """Labels, each kept as it was given."""

    def add_labels(self, labels: Sequence[Label], questions: Iterable[Question] = ()) -> None:
        """Keep what people said.

        Raises:
            UnknownNameError: a picture or a question is not in the store.
        """
        with self._writing() as connection:
            add_questions(connection, questions)
            renders = known_ids(connection, RenderRow, (label.render for label in labels))
            asked = known_ids(connection, QuestionRow, (label.question for label in labels))
            insert_new(
                connection,
                LabelRow,
                [
                    {
                        "render_id": renders[label.render],
                        "question_id": asked[label.question],
                        "answer": documents.refuse_broken(label.answer, "label.answer"),
                        "rater": documents.refuse_broken(label.rater, "label.rater"),
                        "at": documents.refuse_broken(label.at, "label.at"),
                        "unasked": label.unasked,
                    }
                    for label in labels
                ],
            )

    def labels(self, *, render: str | None = None) -> list[Label]:
        """What people said, of one picture or of all, in the order of arrival."""
        statement = (
            select(
                RenderRow.spec_key,
                QuestionRow.key,
                LabelRow.answer,
                LabelRow.rater,
                LabelRow.at,
                LabelRow.unasked,
            )
            .join(RenderRow, RenderRow.id == LabelRow.render_id)
            .join(QuestionRow, QuestionRow.id == LabelRow.question_id)
            .order_by(LabelRow.id)
        )
        if render is not None:
            statement = statement.where(RenderRow.spec_key == render)
        with self._reading() as connection:
            return [Label(*row) for row in connection.execute(statement)]
