"""Baselines that reviewers ask for: an order in words, and two wordings in turn."""

from __future__ import annotations

import dataclasses

import pytest
from worlds.toys import audited, pair

from lcmis.plugins.protocols import Case
from lcmis.repair.methods import alternating, ordered
from lcmis.repair.search import Repair, RepairSettings
from lcmis.store import Store
from lcmis.teacup.pairs import pairs
from lcmis.types import FIRST_REPAIR_SEED, Candidate, ConceptPair, Stage, stage_starts

TEA = next(one for one in pairs() if (one.a.name, one.b.name) == ("tea cup", "iced coke"))


def case(one: ConceptPair = TEA, steps: int = 50, stages: bool = True, a_missing: int = 9) -> Case:
    return Case(
        pair=one,
        num_inference_steps=steps,
        supports_stages=stages,
        supports_negative_prompt=False,
        batch_size=4,
        seeds=range(FIRST_REPAIR_SEED, FIRST_REPAIR_SEED + 1000),
        threshold=0.5,
        budget=100,
        a_missing=a_missing,
        b_missing=1,
    )


def by_step(candidate: Candidate, steps: int) -> list[str]:
    """The prompt of every step, by the rule of the house."""
    starts = stage_starts(candidate.stages, steps)
    return [starts[max(begun for begun in starts if begun <= step)].prompt for step in range(steps)]


def test_an_order_is_said_in_words_with_the_lost_concept_first():
    said = [one.stages for one in ordered.candidates(case())]
    assert said == [
        (Stage("first a tea cup, and second iced coke"),),
        (Stage("first iced coke, and second a tea cup"),),
        (Stage("a tea cup of iced coke: first a tea cup, and second iced coke"),),
        (Stage("a tea cup of iced coke: first iced coke, and second a tea cup"),),
    ]


def test_the_frequent_wording_keeps_the_lost_concept_with_its_usual_partner():
    assert alternating.frequents(case())[0] == "a tea cup of hot tea"
    assert alternating.frequents(case(a_missing=0))[0] == "a glass of iced coke"
    lonely = dataclasses.replace(TEA, intruders=())
    assert alternating.frequents(case(lonely)) == ["a tea cup"]


@pytest.mark.parametrize(
    ("level", "stop"), [(1, 3), (2, 5), (3, 10), (4, 20), (5, 30)]
)  # of 50: the table of R2F's code for SDXL
def test_two_wordings_alternate_from_the_first_step_until_the_level_says_so(level, stop):
    frequent, rare = "a tea cup of hot tea", TEA.prompt
    found = [one for one in alternating.candidates(case()) if one.stages[0].prompt == frequent]
    assert len(found) == len(alternating.LEVELS)
    expected = [frequent if step < stop and step % 2 == 0 else rare for step in range(50)]
    assert by_step(found[level - 1], 50) == expected


def test_levels_that_fall_on_one_step_are_one_candidate():
    found = alternating.candidates(case(steps=4))
    stops = {sum(text != TEA.prompt for text in by_step(one, 4)) for one in found}
    assert len(found) == len(set(found))
    assert stops == {1}


def test_a_model_without_stages_has_nothing_to_alternate():
    assert alternating.candidates(case(stages=False)) == []


@pytest.mark.parametrize("method", ["ordered", "alternating"])
def test_a_baseline_searches_within_its_budget_and_its_trials_are_kept(method, toys, tmp_path):
    config = audited(tmp_path, [pair("lime", "amber")], "shy")
    with Store(config.store) as store:
        Repair(config, store, RepairSettings(method, budget=24, certificate=8)).run()
        (repairer,) = {trial.repairer for trial in store.trials()}
        asked = {(one.candidate, seen.seed) for one in store.trials() for seen in one.seen}
    assert repairer == method
    assert 0 < len(asked) <= 24
