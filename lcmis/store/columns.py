"""What a checker said of all pictures, as whole columns: for readers who judge them all at once.

The same as :mod:`lcmis.store.evidence` gathers a line at a time, without a value a picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, Row, Select, func, select

from lcmis.store.tables import (
    ModelRow,
    OptionRow,
    PairQuestionRow,
    PairRenderRow,
    PairRow,
    RenderRow,
    ScoreRow,
)
from lcmis.types import FIRST_REPAIR_SEED, QuestionKind

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

ABSTAINED = -1.0
"""Stands for NULL on the way: one kind of number a column is what makes reading quick."""


@dataclass(frozen=True, slots=True, eq=False)
class EvidenceTable:
    """:class:`lcmis.store.Evidence` of all pictures of all pairs, one entry a picture and pair.

    Sorted by pair, model and seed. Names stand apart and are numbered by their places; -1 is none.
    """

    pair_keys: tuple[str, ...]
    models: tuple[str, ...]
    options: tuple[str, ...]
    spec_keys: npt.NDArray[np.object_]
    pair: Integers
    """Numbers of ``pair_keys``."""
    model: Integers
    """Numbers of ``models``."""
    seed: Integers
    staged: Flags
    refused: Flags
    scored: Flags
    """Whether the checker has said anything of the picture; abstentions count."""
    a: Floats
    """In [0, 1]; NaN is an abstention or, where not ``scored``, a question still open."""
    b: Floats
    relation: Floats
    intruder_a: Integers
    """Numbers of ``options``: the likeliest of what may stand in the place of A."""
    intruder_b: Integers
    intruder_a_value: Floats
    intruder_b_value: Floats

    def __len__(self) -> int:
        return len(self.seed)

    @property
    def of_repair(self) -> Flags:
        """Which were drawn to mend a pair: they never count in how often it fails."""
        found: Flags = self.staged | (self.seed >= FIRST_REPAIR_SEED)
        return found


def evidence_table(connection: Connection, checker: int) -> EvidenceTable:
    """Read what the checker of this number said of everything.

    Four plain scans without a join, each in the order of a key, and joined here: nothing is kept a
    row, so that a hundred thousand pictures are some 20 MB.
    """
    pairs = connection.execute(select(PairRow.id, PairRow.key).order_by(PairRow.key)).all()
    models = connection.execute(select(ModelRow.id, ModelRow.name).order_by(ModelRow.name)).all()
    options = connection.execute(select(OptionRow.id, OptionRow.name).order_by(OptionRow.id)).all()
    renders = connection.execute(
        select(
            RenderRow.spec_key,
            RenderRow.id,
            RenderRow.model_id,
            RenderRow.seed,
            RenderRow.staged,
            func.length(RenderRow.refusal),
        )
    ).all()
    spec_keys = np.array([row[0] for row in renders], dtype=object)
    numbers = np.array([row[1:] for row in renders], dtype=np.int64).reshape(-1, 5)
    del renders
    links = _numbers(connection, select(PairRenderRow.pair_id, PairRenderRow.render_id))
    order = np.argsort(numbers[:, 0], kind="stable")
    place = order[np.searchsorted(numbers[order, 0], links[:, 1])]
    pair = _places(pairs, links[:, 0])
    model = _places(models, numbers[place, 1])
    seed = numbers[place, 2]
    sort = np.lexsort((place, seed, model, pair))
    pair, model, seed, place, links = pair[sort], model[sort], seed[sort], place[sort], links[sort]
    said = _Said(connection, checker)
    found = {kind: said.to(connection, kind, links) for kind in QuestionKind}
    return EvidenceTable(
        pair_keys=tuple(row[1] for row in pairs),
        models=tuple(row[1] for row in models),
        options=tuple(row[1] for row in options),
        spec_keys=spec_keys[place],
        pair=pair,
        model=model,
        seed=seed,
        staged=numbers[place, 3] > 0,
        refused=numbers[place, 4] > 0,
        scored=said.anything_of(links[:, 1]),
        a=found[QuestionKind.A_PRESENT][0],
        b=found[QuestionKind.B_PRESENT][0],
        relation=found[QuestionKind.RELATION][0],
        intruder_a=_places(options, found[QuestionKind.INTRUDER_A][1]),
        intruder_b=_places(options, found[QuestionKind.INTRUDER_B][1]),
        intruder_a_value=found[QuestionKind.INTRUDER_A][0],
        intruder_b_value=found[QuestionKind.INTRUDER_B][0],
    )


class _Said:
    """Every first answer of one checker, found by picture and question."""

    def __init__(self, connection: Connection, checker: int) -> None:
        said = _said_by(connection, checker)
        self._width = int(said[:, 1].max(initial=0)) + 1
        keys = said[:, 0].astype(np.int64) * self._width + said[:, 1].astype(np.int64)
        order = np.argsort(keys, kind="stable")
        self._keys, said = keys[order], said[order]
        self._options = said[:, 2].astype(np.int64)
        self._values = np.where(said[:, 3] == ABSTAINED, np.nan, said[:, 3])

    def anything_of(self, renders: Integers) -> Flags:
        """Whether there is any answer for each picture."""
        return np.isin(renders, np.unique(self._keys // self._width))

    def to(
        self, connection: Connection, kind: QuestionKind, links: Integers
    ) -> tuple[Floats, Integers]:
        """Value and option for each ``(pair, picture)``, from the pair's nearest question that was
        answered; NaN and -1 where none was.
        """
        values = np.full(len(links), np.nan)
        options = np.full(len(links), -1, dtype=np.int64)
        open_ = np.ones(len(links), dtype=bool)
        for asked in _asked(connection, kind):
            at = np.flatnonzero(open_)
            of_pair = np.searchsorted(asked[:, 0], links[at, 0])
            has = of_pair < len(asked)
            has[has] = asked[of_pair[has], 0] == links[at[has], 0]
            at, of_pair = at[has], of_pair[has]
            wanted = links[at, 1] * self._width + asked[of_pair, 1]
            found = np.searchsorted(self._keys, wanted)
            hit = (found < len(self._keys)) & (asked[of_pair, 1] < self._width)
            hit[hit] = self._keys[found[hit]] == wanted[hit]
            at, found = at[hit], found[hit]
            values[at], options[at] = self._values[found], self._options[found]
            open_[at] = False
        return values, options


def _asked(connection: Connection, kind: QuestionKind) -> Iterable[Integers]:
    """``(pair, question)`` sorted by pair: first every pair's nearest question, then its next."""
    rows = _numbers(
        connection,
        select(PairQuestionRow.pair_id, PairQuestionRow.question_id)
        .where(PairQuestionRow.kind == kind.value)
        .order_by(PairQuestionRow.pair_id, PairQuestionRow.distance, PairQuestionRow.question_id),
    )
    _, first, count = np.unique(rows[:, 0], return_index=True, return_counts=True)
    for rank in range(int(count.max(initial=0))):
        yield rows[first[count > rank] + rank]


def _said_by(connection: Connection, checker: int) -> Floats:
    """``(picture, question, option, value)`` of the likeliest answer to each question."""
    statement = select(
        ScoreRow.render_id,
        ScoreRow.question_id,
        ScoreRow.option_id,
        func.coalesce(ScoreRow.value, ABSTAINED),
    ).where(ScoreRow.checker_id == checker, ScoreRow.place == 0)
    # As numbers of one kind, row by row: a list of half a million rows would take 100 MB.
    cells = chain.from_iterable(connection.execute(statement))
    return np.fromiter(cells, dtype=np.float64).reshape(-1, 4)


def _numbers(connection: Connection, statement: Select[int, int]) -> Integers:
    cells = chain.from_iterable(connection.execute(statement))
    return np.fromiter(cells, dtype=np.int64).reshape(-1, 2)


def _places(names: Sequence[Row[int, str]], numbers: Integers) -> Integers:
    """The places in ``names`` of a column of their numbers; -1 stays none."""
    ids = np.array([row[0] for row in names], dtype=np.int64)
    table = np.full(int(max(ids.max(initial=0), numbers.max(initial=0))) + 2, -1, dtype=np.int64)
    table[ids] = np.arange(len(ids))
    return table[numbers]  # the last entry, which -1 takes, is -1
