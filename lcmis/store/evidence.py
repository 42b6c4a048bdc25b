"""What a checker said of each picture of a pair, gathered in one query.

For a pair or a model this is the quick way: indices find its few pictures, and one line is one
value. :mod:`lcmis.store.columns` reads the same of everything at once, in plain scans, which are
quick for all and slow for one; a test holds the two to the same lines.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Select, select

from lcmis.store import documents
from lcmis.store.rows import CHUNK, chunks, insert_new
from lcmis.store.tables import (
    ModelRow,
    OptionRow,
    PairQuestionRow,
    PairRenderRow,
    PairRow,
    QuestionRow,
    RenderRow,
    ScoreRow,
)
from lcmis.types import (
    FIRST_REPAIR_SEED,
    NONE_OF_THESE,
    ConceptPair,
    Question,
    QuestionKind,
    Side,
)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one checker said of one picture of a pair: all that a verdict needs.

    Values lie in [0, 1]; None is an abstention or, where not ``scored``, a question still open.
    """

    pair_key: str
    model: str
    spec_key: str
    seed: int
    staged: bool
    """Whether it was drawn in more than one stage."""
    a: float | None
    b: float | None
    relation: float | None
    intruder_a: str | None
    """The likeliest of what may stand in the place of A, A itself and none of these included."""
    intruder_b: str | None
    intruder_a_value: float | None
    intruder_b_value: float | None
    scored: bool
    """Whether this checker has said anything of this picture; abstentions count."""
    refused: bool

    @property
    def of_repair(self) -> bool:
        """Whether it was drawn to mend the pair: it never counts in how often the pair fails."""
        return self.staged or self.seed >= FIRST_REPAIR_SEED


def answered(
    connection: Connection, checkers: Iterable[int], renders: Iterable[int]
) -> set[tuple[int, int, int]]:
    """The checkers, pictures and questions, by their numbers, that have an answer."""
    found: set[tuple[int, int, int]] = set()
    for checker in checkers:
        for some in chunks(list(renders)):
            found.update(
                connection.execute(
                    select(ScoreRow.checker_id, ScoreRow.render_id, ScoreRow.question_id).where(
                        ScoreRow.checker_id == checker,
                        ScoreRow.render_id.in_(some),
                        ScoreRow.place == 0,
                    )
                ).tuples()
            )
    return found


def match_questions(connection: Connection, asked: set[tuple[int, int]]) -> None:
    """Remember which questions speak of the pairs whose pictures they were asked of.

    Args:
        connection: in a transaction that writes.
        asked: numbers of pictures and questions.
    """
    by_render: dict[int, set[int]] = {}
    for render_id, question_id in asked:
        by_render.setdefault(render_id, set()).add(question_id)
    combinations: set[tuple[int, int]] = set()
    for some in chunks(list(by_render)):
        for pair_id, render_id in connection.execute(
            select(PairRenderRow.pair_id, PairRenderRow.render_id).where(
                PairRenderRow.render_id.in_(some)
            )
        ):
            combinations.update((pair_id, question_id) for question_id in by_render[render_id])
    for some in chunks(sorted({pair_id for pair_id, _ in combinations})):
        combinations.difference_update(
            connection.execute(
                select(PairQuestionRow.pair_id, PairQuestionRow.question_id).where(
                    PairQuestionRow.pair_id.in_(some)
                )
            ).tuples()
        )
    pairs = _documents(connection, PairRow, {pair_id for pair_id, _ in combinations})
    questions = _documents(connection, QuestionRow, {one for _, one in combinations})
    rows = []
    for pair_id, question_id in sorted(combinations):
        question = _question(questions[question_id])
        distance = _distance(_pair(pairs[pair_id]), question)
        if distance is not None:
            rows.append(
                {
                    "pair_id": pair_id,
                    "kind": question.kind.value,
                    "distance": distance,
                    "question_id": question_id,
                }
            )
    insert_new(connection, PairQuestionRow, rows)


def _documents(
    connection: Connection, table: type[PairRow | QuestionRow], numbers: set[int]
) -> dict[int, str]:
    found: dict[int, str] = {}
    for some in chunks(sorted(numbers)):
        found.update(
            (row[0], row[1])
            for row in connection.execute(
                select(table.id, table.document).where(table.id.in_(some))
            )
        )
    return found


@lru_cache(maxsize=256)
def _pair(text: str) -> ConceptPair:
    return documents.pair(text)


@lru_cache(maxsize=1024)
def _question(text: str) -> Question:
    return documents.question(text)


def _distance(pair: ConceptPair, question: Question) -> int | None:
    """In how many suspects a question differs from a pair; None if it speaks of something else."""
    sides: tuple[Side, ...]
    match question.kind:
        case QuestionKind.RELATION:
            sides, speaks = (Side.A, Side.B), question.text in (pair.prompt, *pair.sentences)
        case QuestionKind.A_PRESENT | QuestionKind.B_PRESENT:
            side = Side.A if question.kind is QuestionKind.A_PRESENT else Side.B
            sides, speaks = (side,), question.text == pair.concept(side).name
        case QuestionKind.INTRUDER_A | QuestionKind.INTRUDER_B:
            side = Side.A if question.kind is QuestionKind.INTRUDER_A else Side.B
            sides, speaks = (side,), pair.concept(side).name in question.options
        case QuestionKind.LIKENESS:
            return None  # no verdict rests on it
    if not speaks:
        return None
    suspects = [one for side in sides for one in pair.intruders_of(side)]
    names = {one.concept.name for one in suspects} | {pair.concept(side).name for side in sides}
    prompts = {one.prompt for one in suspects} | {pair.prompt}
    options = set(question.options) - {NONE_OF_THESE}
    return (len(options ^ names) if options else 0) + len(set(question.contrast) ^ prompts)


def gather(connection: Connection, statement: Select[Any]) -> list[Evidence]:
    """Run what :func:`evidence_of` made."""
    options: dict[int | None, str | None] = {None: None}
    for number, name in connection.execute(select(OptionRow.id, OptionRow.name)):
        options[number] = name  # looked up here, a name costs a tenth of a join
    return [
        Evidence(
            pair_key,
            model,
            spec_key,
            seed,
            staged,
            a,
            b,
            relation,
            options[intruder_a],
            options[intruder_b],
            intruder_a_value,
            intruder_b_value,
            scored,
            refused,
        )
        for (
            pair_key,
            model,
            spec_key,
            seed,
            staged,
            a,
            b,
            relation,
            intruder_a,
            intruder_b,
            intruder_a_value,
            intruder_b_value,
            scored,
            refused,
        ) in chain.from_iterable(connection.execute(statement).partitions(CHUNK))
    ]


def evidence_of(checker: int) -> Select[Any]:
    """One row for each line of evidence of the checker of this number; options are numbers."""

    def said(kind: QuestionKind, column: Any) -> Any:
        return (
            select(column)
            .select_from(PairQuestionRow)
            .join(ScoreRow, ScoreRow.question_id == PairQuestionRow.question_id)
            .where(
                PairQuestionRow.pair_id == PairRenderRow.pair_id,
                PairQuestionRow.kind == kind.value,
                ScoreRow.checker_id == checker,
                ScoreRow.render_id == PairRenderRow.render_id,
                ScoreRow.place == 0,
            )
            .order_by(PairQuestionRow.distance, PairQuestionRow.question_id)
            .limit(1)
            .correlate(PairRenderRow)
            .scalar_subquery()
        )

    anything = (
        select(ScoreRow.question_id)
        .where(ScoreRow.checker_id == checker, ScoreRow.render_id == RenderRow.id)
        .correlate(RenderRow)
        .exists()
    )
    return (
        select(
            PairRow.key,
            ModelRow.name,
            RenderRow.spec_key,
            RenderRow.seed,
            RenderRow.staged,
            said(QuestionKind.A_PRESENT, ScoreRow.value),
            said(QuestionKind.B_PRESENT, ScoreRow.value),
            said(QuestionKind.RELATION, ScoreRow.value),
            said(QuestionKind.INTRUDER_A, ScoreRow.option_id),
            said(QuestionKind.INTRUDER_B, ScoreRow.option_id),
            said(QuestionKind.INTRUDER_A, ScoreRow.value),
            said(QuestionKind.INTRUDER_B, ScoreRow.value),
            anything,
            RenderRow.refusal != "",
        )
        .select_from(PairRenderRow)
        .join(RenderRow, RenderRow.id == PairRenderRow.render_id)
        .join(ModelRow, ModelRow.id == RenderRow.model_id)
        .join(PairRow, PairRow.id == PairRenderRow.pair_id)
        .order_by(ModelRow.name, PairRow.key, RenderRow.seed, RenderRow.spec_key)
    )
