"""What a checker said of each picture, gathered: as the scores say, and as columns too."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from worlds import facts
from worlds.facts import CHECKER, answer_all, make_drawn, make_pair, make_spec, questions_of

from lcmis.errors import UnknownNameError
from lcmis.store import Evidence, Store
from lcmis.store.columns import EvidenceTable
from lcmis.types import Answer, ConceptPair, Failure, QuestionKind, RenderSpec, Stage

folder = facts.folder
place = facts.place
postgresql = facts.postgresql
store = facts.store


def reference(store: Store, pair: ConceptPair, spec: RenderSpec, checker: str) -> Evidence:
    """One line of evidence, put together by hand from the scores of one picture."""
    render = store.render(spec.key)[1]
    said: dict[str, list[Answer]] = {}
    for question, score in store.scores(spec.key):
        if score.checker == checker:
            said.setdefault(question.key, []).append(score.answer)
    asked = questions_of(pair)

    def value(kind: QuestionKind) -> float | None:
        return said[asked[kind].key][0].value if asked[kind].key in said else None

    def likeliest(kind: QuestionKind) -> tuple[str | None, float | None]:
        given = said.get(asked[kind].key, [])
        if not given:
            return None, None
        best = max(given, key=lambda one: -1.0 if one.value is None else one.value)
        return best.option, best.value

    (name_a, value_a), (name_b, value_b) = (
        likeliest(QuestionKind.INTRUDER_A),
        likeliest(QuestionKind.INTRUDER_B),
    )
    return Evidence(
        pair.key,
        spec.model,
        spec.key,
        spec.seed,
        len(spec.stages) > 1,
        value(QuestionKind.A_PRESENT),
        value(QuestionKind.B_PRESENT),
        value(QuestionKind.RELATION),
        name_a,
        name_b,
        value_a,
        value_b,
        bool(said),
        bool(render.refusal),
    )


def lines_of(table: EvidenceTable) -> list[Evidence]:
    """A table, line by line, in the order of :meth:`Store.evidence`."""

    def name(option: int) -> str | None:
        return None if option < 0 else table.options[option]

    def value(number: float) -> float | None:
        return None if math.isnan(number) else number

    columns = zip(
        *(getattr(table, one.name).tolist() for one in dataclasses.fields(table)[3:]), strict=True
    )
    found = [
        Evidence(
            table.pair_keys[pair],
            table.models[model],
            spec_key,
            seed,
            staged,
            value(a),
            value(b),
            value(relation),
            name(intruder_a),
            name(intruder_b),
            value(value_a),
            value(value_b),
            scored,
            refused,
        )
        for (
            spec_key,
            pair,
            model,
            seed,
            staged,
            refused,
            scored,
            a,
            b,
            relation,
            intruder_a,
            intruder_b,
            value_a,
            value_b,
        ) in columns
    ]
    return sorted(found, key=lambda one: (one.model, one.pair_key, one.seed, one.spec_key))


def test_evidence_is_what_the_scores_say(store: Store) -> None:
    dice = random.Random(1)
    found = [make_pair("cup", f"drink {number}") for number in range(3)]
    store.add_pairs(found)
    plan = []
    for pair, model, seed in itertools.product(found, ("m@1", "n@2"), range(5)):
        stages = (Stage("a cup", 0.25), Stage(pair.prompt)) if seed == 4 else ()
        spec = make_spec(pair, seed, model, *stages)
        plan.append((pair, spec))
        store.add_renders([make_drawn(pair, spec, refusal="no" if seed == 3 else "")])
        for checker in (CHECKER, "clip:other@1"):
            scores, asked = answer_all(spec, pair, dice, checker)
            kept = [
                dataclasses.replace(score, answer=Answer(None, score.answer.option, "mute"))
                if dice.random() < 0.2
                else score
                for score in scores
                if seed not in (2, 3) and dice.random() < 0.9
            ]
            store.add_scores(kept, asked)
    for checker in (CHECKER, "clip:other@1", "unheard of"):
        wanted = [reference(store, pair, spec, checker) for pair, spec in plan]
        wanted.sort(key=lambda one: (one.model, one.pair_key, one.seed))
        assert store.evidence(checker) == wanted
        assert lines_of(store.evidence_table(checker)) == wanted
        model = [one for one in wanted if one.model == "n@2"]
        assert store.evidence(checker, model="n@2") == model
        key = found[1].key
        one_pair = [one for one in wanted if one.pair_key == key]
        assert store.evidence(checker, pair=key) == one_pair
        assert store.evidence(checker, from_seed=3) == [one for one in wanted if one.seed >= 3]
        assert store.evidence(checker, pair=found[1].prompt, model="n@2") == [
            one for one in one_pair if one.model == "n@2"
        ]
    assert store.evidence(CHECKER, model="unheard of") == []
    with pytest.raises(UnknownNameError):
        store.evidence(CHECKER, pair="unheard of")


@pytest.mark.parametrize("linked_first", [True, False])
def test_pairs_that_share_a_picture_keep_their_own_questions(
    store: Store, linked_first: bool
) -> None:
    prompt = "coke and cup"
    one, swapped = make_pair("cup", "coke", prompt), make_pair("coke", "cup", prompt)
    fewer = dataclasses.replace(one, intruders=one.intruders[:1])
    sharing = [one, swapped, fewer]
    store.add_pairs(sharing)
    spec = make_spec(one)
    store.add_renders([make_drawn(one, spec)])
    if linked_first:
        for pair in (swapped, fewer):
            store.link(pair.key, [spec.key])
    dice = random.Random(3)
    for pair in sharing:
        store.add_scores(*answer_all(spec, pair, dice))
        store.link(pair.key, [spec.key])
    for pair in sharing:
        assert store.evidence(CHECKER, pair=pair.key) == [reference(store, pair, spec, CHECKER)]
    assert len(store.evidence(CHECKER)) == 3
    assert lines_of(store.evidence_table(CHECKER)) == store.evidence(CHECKER)
    assert store.counts().renders == 1
    with pytest.raises(UnknownNameError):
        store.link(one.key, ["k1:none"])
    with pytest.raises(UnknownNameError):
        store.link("k1:none", [spec.key])


def test_an_empty_store_has_an_empty_table_and_grows_with_every_fact(store: Store) -> None:
    assert len(store.evidence_table(CHECKER)) == 0
    before = store.growth()
    assert set(dataclasses.astuple(before)) == {0}
    pair = make_pair("cup", "coke")
    store.add_pairs([pair])
    spec = make_spec(pair)
    store.add_renders([make_drawn(pair, spec)])
    scores, asked = answer_all(spec, pair, random.Random(0))
    store.add_scores(scores, asked)
    store.add_failure(Failure("k1:00", "render", "broke", "2026-11-21T00:00:00+00:00"))
    grown = store.growth()
    assert grown == dataclasses.replace(
        before, pairs=1, renders=1, links=1, scores=len(scores), failures=1
    )
    store.clear_failure("k1:00")
    assert store.growth() == dataclasses.replace(grown, dismissals=1)


def listened(store: Store) -> list[tuple[str, Any]]:
    """All statements from now on, with their values."""
    asked: list[tuple[str, Any]] = []

    def note(_c: object, _cursor: object, statement: str, values: Any, *_: object) -> None:
        asked.append((statement, values))

    sqlalchemy.event.listen(store._engine, "before_cursor_execute", note)
    return asked


def plans_of(folder: Path, asked: list[tuple[str, Any]]) -> list[list[str]]:
    """The steps in which SQLite would answer each statement."""
    with contextlib.closing(sqlite3.connect(folder / "facts.db")) as plain:
        return [
            [row[3] for row in plain.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
            for statement, values in asked
        ]


def test_what_a_page_asks_for_is_found_by_an_index(folder: Path) -> None:
    pair = make_pair("cup", "coke")
    with Store(folder, create=True) as store:
        store.add_pairs([pair])
        spec = make_spec(pair)
        store.add_renders([make_drawn(pair, spec)])
        store.add_scores(*answer_all(spec, pair, random.Random(0)))
        asked = listened(store)
        store.evidence_table(CHECKER)
        store.growth()
        for_all = len(asked)
        store.render(spec.key)
        store.renders(pair=pair.key)
        store.renders(after=5)
        store.scores(spec.key)
        store.exchanges(after=5)
    plans = plans_of(folder, asked)
    whole, pages = (list(itertools.chain(*some)) for some in (plans[:for_all], plans[for_all:]))
    assert "SEARCH scores USING PRIMARY KEY (checker_id=?)" in whole
    scanned = {step.split()[1] for step in pages if step.startswith("SCAN")}
    assert scanned <= {"checkers"}, pages


def test_a_look_at_few_pairs_goes_through_no_pictures_of_others(folder: Path) -> None:
    found = [make_pair("cup", f"drink {number}") for number in range(65)]
    with Store(folder, create=True) as store:
        store.add_pairs(found)
        for pair, model in itertools.product(found, ("m@1", "n@2")):
            store.add_renders([make_drawn(pair, make_spec(pair, model=model))])
        asked = listened(store)
        few = store.evidence(CHECKER, model="n@2", pairs=[pair.key for pair in found[:16]])
    keys = {make_spec(pair, model="n@2").key for pair in found[:16]}
    assert {one.spec_key for one in few} == keys
    (steps,) = (plan for plan in plans_of(folder, asked) if "SCALAR" in " ".join(plan))
    assert "SEARCH pair_renders USING PRIMARY KEY (pair_id=?)" in steps
    assert not [step for step in steps if "model_id" in step or step.startswith("SCAN")], steps
