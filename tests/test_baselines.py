"""Baselines that reviewers ask for: orders, wordings in turn, negatives, and what a text model is
asked about prompts that were tried.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import pytest
from PIL import Image
from worlds.toys import Scripted, audited, pair

from lcmis.errors import ProposalError
from lcmis.plugins import registry
from lcmis.plugins.protocols import Case, Tools
from lcmis.plugins.settings import TextModelSettings
from lcmis.repair.methods import alternating, negatives, ordered
from lcmis.repair.methods.best_of_n import BestOfN
from lcmis.repair.methods.craft import Craft
from lcmis.repair.methods.negatives import Negatives
from lcmis.repair.methods.opt2i import Opt2i
from lcmis.repair.methods.protegi import Protegi
from lcmis.repair.methods.raising import Raising
from lcmis.repair.methods.unmet import lacking, share_right
from lcmis.repair.search import Repair, RepairSettings
from lcmis.store import Store
from lcmis.teacup.pairs import pairs
from lcmis.teacup.phrasebook import Phrasebook
from lcmis.testing import Desk, contract_case
from lcmis.text import asking
from lcmis.types import (
    FIRST_REPAIR_SEED,
    Candidate,
    ConceptPair,
    Seen,
    Side,
    Stage,
    Trial,
    stage_starts,
)

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


@pytest.mark.parametrize("method", ["ordered", "alternating", "best-of-n"])
def test_a_baseline_searches_within_its_budget_and_its_trials_are_kept(method, toys, tmp_path):
    config = audited(tmp_path, [pair("lime", "amber")], "shy")
    with Store(config.store) as store:
        Repair(config, store, RepairSettings(method, budget=24, certificate=8)).run()
        (repairer,) = {trial.repairer for trial in store.trials()}
        asked = {(one.candidate, seen.seed) for one in store.trials() for seen in one.seen}
    assert repairer == method
    assert 0 < len(asked) <= 24


def test_the_frequent_wording_and_the_level_that_a_text_model_names_come_first():
    model = Scripted({"prompt": " a mug\nof coke ", "level": 4})
    asked = dataclasses.replace(case(), text_model=model)
    (first,) = alternating._named(asked)
    assert by_step(first, 50)[:22] == [*["a mug of coke", TEA.prompt] * 10, *[TEA.prompt] * 2]
    assert list(alternating._named(case())) == []
    assert list(alternating._named(dataclasses.replace(asked, supports_stages=False))) == []
    fast = dataclasses.replace(asked, num_inference_steps=2)
    assert list(alternating._named(fast)) == [], "no step is left for the prompt alone"


# ── the text model is asked ──────────────────────────────────────────────────────────────────────


def test_what_was_tried_is_shown_with_its_score_and_not_said_again():
    model = Asked({"prompts": ["x", "Y", "y", "a tea cup of iced coke", "z" * 501, " new\none "]})
    found = asking.improve(model, TEA, [("x", 0.123), ("w", 0.9)], 5)
    assert found == ["Y", "new one"]
    assert '{"prompt": "x", "score": 12}\n{"prompt": "w", "score": 90}' in model.said[0]
    with pytest.raises(ProposalError, match="no new prompt"):
        asking.improve(Scripted({"prompts": ["x"]}), TEA, [("x", 0.1)], 5)


def test_an_edit_is_asked_for_by_what_is_not_seen():
    model = Asked({"prompts": ["one", "two"]})
    assert asking.mend(model, TEA, "a cup", [Side.A], 1, "glass") == ["one"]
    for line in (
        "Prompt: a cup",
        "Not seen: tea cup",
        "Seen as wanted: iced coke",
        "instead: glass",
    ):
        assert line in model.said[0]
    asking.mend(model, TEA, "a cup", [], 1)
    assert "Not seen: the two together\nSeen as wanted: tea cup, iced coke" in model.said[1]


def test_nothing_that_is_asked_for_is_kept_away():
    model = Scripted({"avoid": ["a glass", "tea cups", "the Tea Cup", "<b>", "steam"]})
    assert asking.avoid(model, TEA, ["a glass of coke"], 9) == ["a glass", "tea cups", "steam"]
    with pytest.raises(ProposalError, match="nothing that a picture may be without"):
        asking.avoid(Scripted({"avoid": ["iced coke"]}), TEA, [], 9)


@pytest.mark.parametrize(
    ("reply", "match"),
    [
        ({"prompt": "a mug", "level": 6}, "shape"),
        ({"prompt": "a mug", "level": 0}, "shape"),
        ({"prompt": "a mug"}, "shape"),
        ({"prompt": TEA.prompt.upper(), "level": 1}, "own prompt"),
        ({"prompt": " ", "level": 1}, "letters"),
    ],
)
def test_a_frequent_wording_that_is_none_is_an_items_error(reply, match):
    with pytest.raises(ProposalError, match=match):
        asking.frequent(Scripted(reply), TEA)
    assert asking.frequent(Scripted({"prompt": "a mug", "level": 5}), TEA) == ("a mug", 5)


@pytest.mark.parametrize("one", pairs()[::23], ids=lambda one: one.prompt)
def test_the_phrasebook_answers_what_the_baselines_ask(one):
    book = Phrasebook()
    more = asking.improve(book, one, [(one.prompt, 0.1)], 3)
    assert len(set(more)) == 3
    assert not set(asking.improve(book, one, [(said, 0.1) for said in more], 3)) & set(more)
    (mended, *_) = asking.mend(book, one, one.prompt, [Side.B], 2)
    assert one.b.name not in mended
    usual, level = asking.frequent(book, one)
    assert usual != one.prompt
    assert level == 1
    kept_away = asking.avoid(book, one, [usual], 3)
    assert not {one.a.name, one.b.name} & set(kept_away)
    with pytest.raises(ProposalError, match="nothing that a picture may be without"):
        asking.avoid(book, one, [], 3)
    everything = asking.improve(book, one, [], 100)
    with pytest.raises(ProposalError, match="no new prompt"):
        asking.improve(book, one, [(said, 0.1) for said in everything], 3)


# ── how they search ──────────────────────────────────────────────────────────────────────────────


class Asked(Scripted):
    """Keeps what it was asked."""

    def __init__(self, reply: object) -> None:
        super().__init__(reply)
        self.said: list[str] = []

    def complete(self, messages, images=(), schema=None):
        self.said.append(messages[-1]["content"])
        return super().complete(messages, images, schema)


class Editor(Asked):
    """Writes one ``+`` more behind a prompt each time; three of them are a good prompt."""

    def __init__(self) -> None:
        super().__init__({})

    def complete(self, messages, images=(), schema=None):
        self.said.append(messages[-1]["content"])
        tried = [
            json.loads(line)["prompt"] for line in self.said[-1].splitlines() if line[:1] == "{"
        ]
        best = tried[-1] if tried else self.said[-1].partition("Prompt: ")[2].partition("\n")[0]
        return json.dumps({"prompts": [f"{best}+", f"{best}-"]})


class Stepwise(Desk):
    """Each ``+`` of a prompt's first three brings the cup nearer, each ``-`` takes it away."""

    def _seen(self, candidate, seed):
        said = candidate.stages[0].prompt
        good = min(3, said.count("+")) - said.count("-")
        right = 0.9 if (seed * 7) % 10 < 3.4 * good else 0.1 + 0.05 * good
        return max(0.0, right), 0.9


def searched(method, **changes) -> tuple[Stepwise, Editor]:
    model = Editor()
    told = contract_case(text_model=model, **changes)
    desk = Stepwise(told, 10_000)
    method.repair(told, desk)
    return desk, model


@pytest.mark.parametrize(
    "method", [Opt2i(), Protegi(), Craft(), Raising()], ids=lambda m: m.repairer_id
)
def test_edits_that_help_are_built_upon(method):
    desk, model = searched(method)
    plain = contract_case().pair.prompt
    prompts = list(dict.fromkeys(one.candidate.stages[0].prompt for one in desk.trials))
    assert prompts[0] == plain
    assert f"{plain}++" in prompts
    assert len(model.said) <= 24
    again, _ = searched(method)
    assert again.trials == desk.trials


@pytest.mark.parametrize(
    "method", [Opt2i(), Protegi(), Craft(), Raising()], ids=lambda m: m.repairer_id
)
def test_without_a_text_model_only_the_plain_prompt_is_drawn(method):
    desk = Desk(contract_case(), 10_000)
    method.repair(contract_case(), desk)
    assert {one.candidate for one in desk.trials} == {
        Candidate((Stage(contract_case().pair.prompt),))
    }


def test_craft_keeps_a_prompt_that_its_edit_does_not_better():
    class Worse(Editor):
        def complete(self, messages, images=(), schema=None):
            self.said.append(messages[-1]["content"])
            number = len(self.said)
            return json.dumps({"prompts": [f"worse {n}-" for n in range(number)]})

    model = Worse()
    told = contract_case(text_model=model)

    class Falling(Desk):
        def _seen(self, candidate, seed):
            return (0.9, 0.9) if "worse" not in str(candidate) and seed % 2 else (0.1, 0.9)

    desk = Falling(told, 10_000)
    Craft().repair(told, desk)
    assert all(f"Prompt: {told.pair.prompt}" in said for said in model.said)
    assert desk.trials[-1].candidate == Candidate((Stage(told.pair.prompt),))


def test_a_checklist_names_what_most_pictures_lack_and_the_lost_one_for_both():
    def seen(*scores) -> Trial:
        items = tuple(Seen(seed, *one) for seed, one in enumerate(scores))
        return Trial("k", "m@1", "any", "g@1", Candidate((Stage("x"),)), items)

    told = contract_case()
    assert lacking(seen((0.1, 0.9), (0.2, 0.9)), told) == [Side.A]
    assert lacking(seen((0.1, 0.1), (0.6, 0.1)), told) == [Side.B]
    assert lacking(seen((0.1, 0.1), (0.1, 0.1), (0.9, 0.1)), told) == [Side.B, Side.A]
    assert lacking(seen((0.1, 0.9), (0.9, 0.1), (0.9, 0.9)), told) == [Side.A]
    assert lacking(seen((0.9, 0.9), (None, None)), told) == []
    assert share_right([seen((0.9, 0.9), (None, None)), seen((0.1, 0.9))], 0.5) == 0.5
    assert share_right([], 0.5) == 0.0


def test_best_of_n_spends_its_budget_on_the_plain_prompt():
    desk = Desk(contract_case(), 10_000)
    BestOfN().repair(contract_case(budget=10), desk)
    plain = Candidate((Stage(contract_case().pair.prompt),))
    assert list(desk.asked) == [(plain, seed) for seed in contract_case().seeds[:10]]


# ── negatives ────────────────────────────────────────────────────────────────────────────────────


def test_negatives_are_what_was_painted_instead_and_beside_and_never_what_is_asked_for():
    told = dataclasses.replace(case(), supports_negative_prompt=True, intruder="glass")
    found = negatives.candidates(told, ["the steam", "iced coke", "glass"])
    alone = [one.negative_prompt for one in found if one.stages[0].prompt == TEA.prompt]
    assert alone[0] == "glass"
    assert "steam" in alone
    assert not any("iced coke" in one or "tea cup" in one for one in alone)
    assert alone[-1] == ", ".join(alone[:-1])
    described = [one for one in found if one.stages[0].prompt != TEA.prompt]
    assert [one.negative_prompt for one in described] == [alone[0], alone[-1]]
    assert len(set(found)) == len(found)
    assert negatives.candidates(case(), ["steam"]) == []


def test_a_text_model_that_sees_is_shown_the_plain_prompts_pictures(monkeypatch):
    class Eyes(Asked):
        sees_images = True

        def complete(self, messages, images=(), schema=None):
            self.said.append(messages[-1]["content"])
            return '{"avoid": ["steam"]}' if schema else f"picture {len(images)}"

    model = Eyes({})
    told = contract_case(text_model=model)
    painted: list[tuple[str, int]] = []

    class Studio(Desk):
        def equip(self, case: Case, *, reference: bool = True) -> Case:
            def paint(prompt: str, place: int) -> Image.Image | None:
                painted.append((prompt, place))
                return Image.new("RGB", (8, 8)) if place else None

            return dataclasses.replace(case, tools=tools(paint))

    desk = Studio(told, 10_000)
    Negatives().repair(told, desk)
    assert painted == [(told.pair.prompt, place) for place in range(3)]
    assert "picture 1\npicture 1" in model.said[-1]
    assert "steam" in {one.candidate.negative_prompt for one in desk.trials}


def tools(paint: Callable[[str, int], Image.Image | None]) -> Tools:
    return Tools(
        paint=paint,
        encoder=None,
        guard=None,
        denoiser=None,
        writer=None,
        text_model=None,
        seed=1,
    )


@pytest.mark.parametrize("method", ["opt2i", "protegi", "craft", "raise"])
def test_a_text_models_prompts_repair_a_pair_within_the_budget(method, toys, monkeypatch, tmp_path):
    monkeypatch.setitem(registry.BUILT_IN["text_models"], "toy", "worlds.toys:ToyWriter")
    config = audited(tmp_path, [pair("lime", "amber")], "deaf")
    with Store(config.store) as store:
        settings = RepairSettings(
            method, budget=24, certificate=8, text_model=TextModelSettings("toy")
        )
        (found,) = Repair(config, store, settings).run().pairs
        asked = {(one.candidate, seen.seed) for one in store.trials() for seen in one.seen}
    assert found.certificate.passed
    assert found.certificate.nomination.candidate == Candidate((Stage("emil beside rebma"),))
    assert 0 < len(asked) <= 24
