"""Data frames of a store: pairs, pictures, scores, repairs, models, labels; through Arrow."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lcmis.errors import ConfigError
from lcmis.export.repaired import repaired_prompt
from lcmis.export.tables import repairs_table
from lcmis.findings import (
    ModelFinding,
    PairFinding,
    counts_for_pair,
    find_repairs,
    is_control,
    usefulness,
    verdict_of,
    words,
)
from lcmis.findings.labels import readings
from lcmis.judge import Decision
from lcmis.types import Question, Verdict

if TYPE_CHECKING:
    import pyarrow

    from lcmis.store import Evidence, Store

LIBRARIES = ("pandas", "polars")
"""Of data frames, the first that is installed where nobody names one."""
KINDS = (*LIBRARIES, "arrow")

TEXT, WHOLE, REAL, FLAG = "text", "whole", "real", "flag"
MODELS = {
    "model": TEXT,
    "right": REAL,
    "right_low": REAL,
    "right_high": REAL,
    "pairs_pass": WHOLE,
    "fail": WHOLE,
    "open": WHOLE,
    "pictures": WHOLE,
    "not_judged": WHOLE,
    "refused": WHOLE,
    "second_opinion": REAL,
    "id": TEXT,
}
PAIRS = {
    "model": TEXT,
    "prompt": TEXT,
    "right": WHOLE,
    "judged": WHOLE,
    "rate": REAL,
    "rate_low": REAL,
    "rate_high": REAL,
    "level_low": WHOLE,
    "level_high": WHOLE,
    "missing": TEXT,
    "painted_instead": TEXT,
    "painted_instead_count": WHOLE,
    "verdict": TEXT,
    "a": TEXT,
    "b": TEXT,
    "a_missing": WHOLE,
    "b_missing": WHOLE,
    "both_missing": WHOLE,
    "not_judged": WHOLE,
    "refused": WHOLE,
    "pattern": TEXT,
    "source": TEXT,
    "licence": TEXT,
    "pair": TEXT,
    "model_id": TEXT,
}
PICTURES = {
    "model": TEXT,
    "prompt": TEXT,
    "seed": WHOLE,
    "verdict": TEXT,
    "right": FLAG,
    "p_a": REAL,
    "p_b": REAL,
    "p_relation": REAL,
    "seen_as": TEXT,
    "a": TEXT,
    "b": TEXT,
    "drawn_for": TEXT,
    "steps": WHOLE,
    "guidance": REAL,
    "scheduler": TEXT,
    "width": WHOLE,
    "height": WHOLE,
    "took": REAL,
    "device": TEXT,
    "file": TEXT,
    "refusal": TEXT,
    "picture": TEXT,
    "pair": TEXT,
    "model_id": TEXT,
}
SCORES = {
    "picture": TEXT,
    "checker": TEXT,
    "question": TEXT,
    "text": TEXT,
    "option": TEXT,
    "probability": REAL,
    "mass": REAL,
    "reason": TEXT,
}
LABELS = {
    "picture": TEXT,
    "question": TEXT,
    "text": TEXT,
    "answer": TEXT,
    "times": WHOLE,
    "rater": TEXT,
    "at": TEXT,
}


def library(name: str | None) -> str:
    """Which kind of frame is made: the one named, else the first library that is installed.

    Raises:
        ConfigError: it is none of these, or not installed.
    """
    if name is not None and name not in KINDS:
        raise ConfigError(f"frames is {name!r}, but it is one of {', '.join(KINDS)}")
    wanted = LIBRARIES if name is None else (name,)
    for one in wanted:
        if one == "arrow" or importlib.util.find_spec(one) is not None:
            return one
    raise ConfigError(
        f"no {' or '.join(wanted)} is installed here: pip install {wanted[0]}, or ask for "
        f'frames="arrow"'
    )


def frame(table: pyarrow.Table, kind: str) -> Any:
    """A table as a frame of a library."""
    if kind == "pandas":
        return table.to_pandas()
    if kind == "polars":
        import polars

        return polars.from_arrow(table)
    return table


def _table(columns: Mapping[str, str], rows: Iterable[Sequence[Any]]) -> pyarrow.Table:
    """Rows in the order of their columns."""
    import pyarrow as pa

    types = {TEXT: pa.string(), WHOLE: pa.int64(), REAL: pa.float64(), FLAG: pa.bool_()}
    values = list(zip(*rows, strict=True)) or [()] * len(columns)
    schema = pa.schema({name: types[kind] for name, kind in columns.items()})
    arrays = [
        pa.array(column, type=field.type) for column, field in zip(values, schema, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def models_table(found: Sequence[ModelFinding]) -> pyarrow.Table:
    """A row a model, as an audit's closing table has it; shares lie in [0, 1]."""
    names = words.short_names([one.model for one in found])
    return _table(
        MODELS,
        [
            (
                names[one.model],
                *_share(one.aligned.value, one.aligned.total),
                *_share(one.aligned.low, one.aligned.total),
                *_share(one.aligned.high, one.aligned.total),
                len(one.decided(Decision.PASSES)),
                len(one.decided(Decision.FAILS)),
                len(one.decided(Decision.UNDECIDED)) + len(one.decided(Decision.CONTINUE)),
                one.pictures,
                one.count(Verdict.UNSCORED),
                one.count(Verdict.REFUSED),
                next(
                    (
                        other.agreement.share.value
                        for other in one.second_opinions
                        if other.agreement.share.total
                    ),
                    None,
                ),
                one.model,
            )
            for one in found
        ],
    )


def _share(value: float, total: int) -> tuple[float | None]:
    return (value if total else None,)


def pairs_table(found: Sequence[PairFinding]) -> pyarrow.Table:
    """A row a pair and model, worst first, with the columns of `lcmis show`."""
    return _table(PAIRS, map(_pair_row, found, _named(one.model for one in found)))


def _named(ids: Iterable[str]) -> Iterable[str]:
    """Each id as tables spell it."""
    known = list(ids)
    names = words.short_names(list(dict.fromkeys(known)))
    return [names[one] for one in known]


def _pair_row(found: PairFinding, name: str) -> tuple[Any, ...]:
    judgement, pair, top = found.judgement, found.pair, found.intruder
    rate = judgement.aligned
    levels = judgement.levels if rate.total else None
    return (
        name,
        pair.prompt,
        judgement.count(Verdict.ALIGNED),
        rate.total,
        *_share(rate.value, rate.total),
        *_share(rate.low, rate.total),
        *_share(rate.high, rate.total),
        None if levels is None else levels.low,
        None if levels is None else levels.high,
        words.missing(found),
        "" if top is None else top.name,
        0 if top is None else top.count,
        words.decision(judgement.failing),
        pair.a.name,
        pair.b.name,
        judgement.count(Verdict.A_MISSING),
        judgement.count(Verdict.B_MISSING),
        judgement.count(Verdict.BOTH_MISSING),
        judgement.count(Verdict.UNSCORED),
        judgement.count(Verdict.REFUSED),
        pair.pattern,
        pair.source,
        pair.licence,
        pair.key,
        found.model,
    )


def pictures_table(store: Store, checker: str, threshold: float) -> pyarrow.Table:
    """A row a picture and pair: what was drawn, and what the deciding checker saw.

    ``drawn_for`` says ``audit``, ``repair`` or ``control``; only the first count in the rate of a
    pair. ``right`` is empty where nobody can tell.
    """
    pairs = {pair.key: pair for pair in store.pairs()}
    order = ("audit", "repair", "control")
    evidence = sorted(store.evidence(checker), key=lambda item: order.index(_drawn_for(item)))
    drawn = store.renders_of(item.spec_key for item in evidence)
    names = _named(item.model for item in evidence)

    def row(item: Evidence, name: str) -> tuple[Any, ...]:
        spec, render = drawn[item.spec_key]
        pair, seen = pairs[item.pair_key], verdict_of(item, threshold)
        return (
            name,
            spec.prompt,
            item.seed,
            words.verdict(seen, pair),
            seen is Verdict.ALIGNED if seen.is_scored else None,
            item.a,
            item.b,
            item.relation,
            ", ".join(filter(None, (item.intruder_a, item.intruder_b))),
            pair.a.name,
            pair.b.name,
            _drawn_for(item),
            spec.num_inference_steps,
            spec.guidance_scale,
            spec.scheduler,
            spec.width,
            spec.height,
            render.seconds,
            render.device,
            "" if render.refusal else str(store.image_path(render.sha256)),
            render.refusal,
            item.spec_key,
            item.pair_key,
            item.model,
        )

    return _table(PICTURES, map(row, evidence, names))


def _drawn_for(item: Evidence) -> str:
    if is_control(item.model):
        return "control"
    return "audit" if counts_for_pair(item) else "repair"


def scores_table(store: Store, picture: str | None = None) -> pyarrow.Table:
    """A row for each answer of each checker, the options of a choice included.

    Args:
        store: The facts.
        picture: Its spec key; without it, of every picture.
    """
    said = store.all_scores() if picture is None else store.scores(picture)
    return _table(
        SCORES,
        (
            (
                score.render,
                score.checker,
                _asked(question),
                question.text,
                score.answer.option,
                score.answer.value,
                score.answer.mass,
                score.answer.reason,
            )
            for question, score in said
        ),
    )


def _asked(question: Question) -> str:
    return question.kind.replace("_", " ")


def labels_table(store: Store) -> pyarrow.Table:
    """A row for each answer of a person that stands."""
    asked = {one.question: one for one in store.labels()}
    questions = {key: store.question(key) for key in asked}
    return _table(
        LABELS,
        [
            (
                one.render,
                _asked(questions[one.question]),
                questions[one.question].text,
                one.answers[-1],
                len(one.answers),
                one.rater,
                one.at,
            )
            for one in readings(store.labels())
        ],
    )


def proofs_table(store: Store, checker: str, threshold: float) -> pyarrow.Table:
    """A row a repair that was found, those that stand first, with the columns of `lcmis export`."""
    found = find_repairs(store, checker, threshold=threshold)
    return repairs_table([repaired_prompt(one) for one in sorted(found, key=usefulness)])
