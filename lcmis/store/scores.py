"""What checkers said of pictures, and the questions that they were asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, and_, func, select

from lcmis.errors import UnknownNameError
from lcmis.store import documents
from lcmis.store.door import Door
from lcmis.store.evidence import Evidence, answered, evidence_of, gather, match_questions
from lcmis.store.rows import (
    CHUNK,
    add_questions,
    chunks,
    ids_of,
    insert_new,
    intern,
    known_ids,
    pair_id,
)
from lcmis.store.tables import (
    BoxRow,
    CheckerRow,
    ModelRow,
    OptionRow,
    PairRenderRow,
    PairRow,
    QuestionRow,
    RenderRow,
    ScoreRow,
)
from lcmis.types import Answer, Box, Question, Score

if TYPE_CHECKING:
    from lcmis.store.columns import EvidenceTable

NOBODY = -1
"""The number of no checker."""
MUCH = 4
"""Where one pair in so many is asked about, all are read: looking up takes ten times as long."""


class ScoreDoor(Door):
    """Scores, and what they say together of a picture of a pair."""

    def unscored(
        self, checker_id: str, asked: Sequence[tuple[str, Question]]
    ) -> list[tuple[str, Question]]:
        """Those (spec key, question) that this checker has said nothing to yet, in order."""
        names = {id(question): question.key for _, question in asked}  # keys are remembered
        with self._reading() as connection:
            checker = _number(connection, checker_id)
            if checker == NOBODY:
                return list(asked)
            renders = ids_of(
                connection,
                RenderRow.spec_key,
                RenderRow.id,
                list(dict.fromkeys(spec_key for spec_key, _ in asked)),
            )
            questions = ids_of(
                connection, QuestionRow.key, QuestionRow.id, list(set(names.values()))
            )
            said = answered(connection, [checker], renders.values())
        numbers = {place: questions.get(name) for place, name in names.items()}
        return [
            (spec_key, question)
            for spec_key, question in asked
            if (checker, renders.get(spec_key), numbers[id(question)]) not in said
        ]

    def add_scores(self, scores: Sequence[Score], questions: Iterable[Question]) -> None:
        """Keep what checkers said, in one transaction; what is there stays as it is.

        The options of a forced choice come together: a question that has an answer from this
        checker is answered.

        Args:
            scores: answers to ``questions``, or to questions that are in the store.
            questions: the questions asked, so that the answers can be understood later.

        Raises:
            UnknownNameError: a picture or a question is not in the store.
        """
        with self._writing() as connection:
            add_answers(connection, scores, questions)

    def scores(self, spec_key: str) -> list[tuple[Question, Score]]:
        """All that every checker said of a picture, by checker and question, likeliest first."""
        one = select(RenderRow.id).where(RenderRow.spec_key == spec_key).scalar_subquery()
        with self._reading() as connection:
            rows = connection.execute(
                _SCORES.where(
                    ScoreRow.checker_id.in_(select(CheckerRow.id)), ScoreRow.render_id == one
                ).order_by(ScoreRow.checker_id, ScoreRow.question_id, ScoreRow.place)
            )
            return [_said(row) for row in rows]

    def all_scores(self) -> Iterator[tuple[Question, Score]]:
        """The same of every picture, in no order that means anything; read as it is asked for."""
        with self._reading() as connection:
            for row in connection.execution_options(yield_per=CHUNK).execute(_SCORES):
                yield _said(row)

    def question(self, key: str) -> Question:
        """The question of this key.

        Raises:
            UnknownNameError: it is not in the store.
        """
        with self._reading() as connection:
            text = connection.scalar(select(QuestionRow.document).where(QuestionRow.key == key))
        if text is None:
            raise UnknownNameError(f"no question has the key {key!r}")
        return documents.question(text)

    def evidence(
        self,
        checker_id: str,
        *,
        model: str | None = None,
        pair: str | None = None,
        pairs: Sequence[str] | None = None,
        from_seed: int = 0,
    ) -> list[Evidence]:
        """One line for each picture of each pair, by model, pair and seed, from a seed on.

        Args:
            checker_id: who was asked.
            model: only of this one.
            pair: only of the pair of this key, of a key that begins so, or of this prompt.
            pairs: only of the pairs of these keys; those that are not there are passed over.
            from_seed: from this one on.

        Raises:
            UnknownNameError: the pair is not in the store.
        """
        with self._reading() as connection:
            are_few = pairs is not None and len(pairs) * MUCH < (
                connection.scalar(select(func.max(PairRow.id))) or 0
            )
            statement = evidence_of(_number(connection, checker_id))
            if from_seed:
                statement = statement.where(RenderRow.seed >= from_seed)
            if model is not None:
                # by an index of models SQLite would go through all pictures for those of few pairs
                name = ModelRow.name.concat("") if are_few else ModelRow.name
                statement = statement.where(name == model)
            if pair is not None:
                statement = statement.where(PairRenderRow.pair_id == pair_id(connection, pair))
            if pairs is None:
                return gather(connection, statement)
            if not are_few:
                wanted = set(pairs)
                return [one for one in gather(connection, statement) if one.pair_key in wanted]
            numbers = ids_of(connection, PairRow.key, PairRow.id, pairs)
            found: list[Evidence] = []
            for some in chunks([numbers[key] for key in sorted(numbers)]):
                found += gather(connection, statement.where(PairRenderRow.pair_id.in_(some)))
        return sorted(found, key=lambda one: (one.model, one.pair_key))

    def evidence_table(self, checker_id: str) -> EvidenceTable:
        """The same of all pictures of all pairs as whole columns, for those who judge all at once:
        a hundred thousand pictures in about a second.
        """
        from lcmis.store.columns import evidence_table  # numpy, which writers do without

        with self._reading() as connection:
            return evidence_table(connection, _number(connection, checker_id))

    def checkers(self) -> list[str]:
        """Ids of all checkers that have said something."""
        with self._reading() as connection:
            return list(connection.scalars(select(CheckerRow.name).order_by(CheckerRow.name)))


_SCORES = (
    select(
        RenderRow.spec_key,
        QuestionRow.document,
        QuestionRow.key,
        CheckerRow.name,
        OptionRow.name.label("option"),
        ScoreRow.value,
        ScoreRow.reason,
        ScoreRow.mass,
        BoxRow.x1,
        BoxRow.y1,
        BoxRow.x2,
        BoxRow.y2,
        BoxRow.words,
    )
    .select_from(ScoreRow)
    .join(RenderRow, RenderRow.id == ScoreRow.render_id)
    .join(CheckerRow, CheckerRow.id == ScoreRow.checker_id)
    .join(QuestionRow, QuestionRow.id == ScoreRow.question_id)
    .join(OptionRow, OptionRow.id == ScoreRow.option_id)
    .outerjoin(
        BoxRow,
        and_(
            BoxRow.checker_id == ScoreRow.checker_id,
            BoxRow.render_id == ScoreRow.render_id,
            BoxRow.question_id == ScoreRow.question_id,
            BoxRow.option_id == ScoreRow.option_id,
        ),
    )
)


def _said(row: Any) -> tuple[Question, Score]:
    answer = Answer(row.value, row.option, row.reason, row.mass, _box_of(row))
    return documents.question(row.document), Score(row.spec_key, row.name, row.key, answer)


def add_answers(
    connection: Connection, scores: Sequence[Score], questions: Iterable[Question]
) -> None:
    """As :meth:`ScoreDoor.add_scores`, in a transaction that writes."""
    together: dict[tuple[str, str, str], list[Score]] = {}
    for score in scores:
        together.setdefault((score.checker, score.render, score.question), []).append(score)
    add_questions(connection, questions)
    renders = known_ids(connection, RenderRow, (score.render for score in scores))
    asked_ids = known_ids(connection, QuestionRow, (score.question for score in scores))
    checkers = intern(connection, CheckerRow, (score.checker for score in scores))
    options = intern(connection, OptionRow, (score.answer.option for score in scores))
    said = answered(connection, checkers.values(), renders.values())
    rows, boxes = [], []
    for (checker, render, question), answers in together.items():
        place_of = {
            "checker_id": checkers[checker],
            "render_id": renders[render],
            "question_id": asked_ids[question],
        }
        if tuple(place_of.values()) in said:
            continue
        for place, score in enumerate(sorted(answers, key=_likeliest_first)):
            answer = score.answer
            here = {**place_of, "option_id": options[answer.option]}
            rows.append(
                here
                | {
                    "place": place,
                    "value": None if answer.value is None else float(answer.value),
                    "mass": float(answer.mass),
                    "reason": documents.refuse_broken(answer.reason, "answer.reason"),
                }
            )
            if answer.box is not None:
                boxes.append(here | _box_columns(answer.box))
    insert_new(connection, ScoreRow, rows)
    insert_new(connection, BoxRow, boxes)
    match_questions(
        connection,
        {(renders[score.render], asked_ids[score.question]) for score in scores},
    )


def _number(connection: Connection, checker_id: str) -> int:
    """Of a checker; :data:`NOBODY` where it has said nothing yet."""
    found = connection.scalar(select(CheckerRow.id).where(CheckerRow.name == checker_id))
    return NOBODY if found is None else found


def _likeliest_first(score: Score) -> float:
    return 1.0 if score.answer.value is None else -score.answer.value


def _box_columns(box: Box) -> dict[str, float | str]:
    edges = zip(("x1", "y1", "x2", "y2"), (box.left, box.top, box.right, box.bottom), strict=True)
    words = documents.refuse_broken(box.words, "answer.box.words")
    return {**{name: float(edge) for name, edge in edges}, "words": words}


def _box_of(row: Any) -> Box | None:
    if row.x1 is None:
        return None
    return Box(row.x1, row.y1, row.x2, row.y2, row.words)
