"""Stages by a text model: the question and its bad answers, the shifts, the repairer on toys."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds.toys import Scripted, audited, pair

from lcmis.errors import ProposalError, TextModelError
from lcmis.plugins import registry
from lcmis.plugins.protocols import Case
from lcmis.plugins.settings import TextModelSettings
from lcmis.repair.methods import proxies
from lcmis.repair.search import Repair, RepairSettings
from lcmis.store import Store
from lcmis.teacup.pairs import pairs
from lcmis.teacup.phrasebook import Phrasebook
from lcmis.text import asking
from lcmis.types import FIRST_REPAIR_SEED, ConceptPair, Stage

PAIRS = pairs()
TEA = next(one for one in PAIRS if (one.a.name, one.b.name) == ("tea cup", "iced coke"))


def reply(*stages: tuple[str, object]) -> Scripted:
    return Scripted({"stages": [{"prompt": said, "last_step": end} for said, end in stages]})


def case(model: object, one: ConceptPair = TEA, steps: int = 12, stages: bool = True) -> Case:
    return Case(
        pair=one,
        num_inference_steps=steps,
        supports_stages=stages,
        supports_negative_prompt=False,
        batch_size=4,
        seeds=range(FIRST_REPAIR_SEED, FIRST_REPAIR_SEED + 1000),
        threshold=0.5,
        budget=100,
        a_missing=9,
        b_missing=1,
        text_model=model,
    )


# ── the question ─────────────────────────────────────────────────────────────────────────────────


def test_stages_are_read_as_fractions_of_the_denoising_and_end_with_the_pairs_prompt():
    model = reply(("a cup", 1), (" a  cup\nof tea", 3), (TEA.prompt.upper(), 12))
    assert asking.stages(model, TEA, 12) == (
        Stage("a cup", 1 / 12),
        Stage("a cup of tea", 3 / 12),
        Stage(TEA.prompt, 1.0),
    )
    assert asking.stages(reply((TEA.prompt, 30)), TEA, 30) == (Stage(TEA.prompt),)


@pytest.mark.parametrize(
    ("model", "match"),
    [
        (Scripted("First a cup, then the drink."), "JSON"),
        (Scripted('{"stages": [{"prompt": "a cup",'), "JSON"),
        (Scripted("[" * 5000), "JSON"),
        (Scripted('{"stages": []}'), "shape"),
        (Scripted('{"stages": "a cup"}'), "shape"),
        (Scripted('{"stages": [{"prompt": "a cup"}]}'), "shape"),
        (reply(("a cup", "two"), (TEA.prompt, 12)), "shape"),
        (reply(("a cup", 1.5), (TEA.prompt, 12)), "shape"),
        (reply(*((f"cup {n}", n) for n in range(1, 5)), (TEA.prompt, 12)), "shape"),
        (reply(("a cup", 3), ("tea", 2), (TEA.prompt, 12)), "do not rise"),
        (reply(("a cup", 3), ("tea", 3), (TEA.prompt, 12)), "do not rise"),
        (reply(("a cup", 0), (TEA.prompt, 12)), "do not rise"),
        (reply(("a cup", -2), (TEA.prompt, 12)), "do not rise"),
        (reply(("a cup", 2), (TEA.prompt, 11)), "do not rise"),
        (reply(("a cup", 2), (TEA.prompt, 50)), "do not rise"),
        (reply(("a cup", 2), ("a tea cup", 12)), "ends its stages with"),
        (reply((" ", 2), (TEA.prompt, 12)), "letters"),
        (reply(("x" * 501, 2), (TEA.prompt, 12)), "letters"),
        (reply(("<lora:evil:1>", 2), (TEA.prompt, 12)), "plain words"),
        (reply(("[cup:tea:0.2]", 2), (TEA.prompt, 12)), "plain words"),
    ],
)
def test_a_reply_that_is_no_painting_in_stages_is_an_items_error(model, match):
    with pytest.raises(ProposalError, match=match):
        asking.stages(model, TEA, 12)


@pytest.mark.parametrize("steps", [4, 8, 12, 30, 50])
@pytest.mark.parametrize("one", PAIRS[::9], ids=lambda one: one.prompt)
def test_the_phrasebook_splits_every_pair_into_sound_stages(one, steps):
    found = asking.stages(Phrasebook(), one, steps)
    assert 2 <= len(found) <= 3
    assert found[-1] == Stage(one.prompt)
    assert found[0].prompt.endswith(one.a.name)
    assert len({stage.prompt for stage in found}) == len(found)


def test_the_phrasebook_says_so_where_there_are_too_few_steps():
    with pytest.raises(TextModelError, match="3 steps"):
        asking.stages(Phrasebook(), TEA, 3)


# ── the candidates ───────────────────────────────────────────────────────────────────────────────


def ends(one) -> tuple[int, ...]:
    return tuple(round(12 * stage.denoising_end) for stage in one.stages)


def test_the_stages_come_as_named_then_shifted_together_and_one_by_one():
    model = reply(("a cup", 2), ("tea", 4), (TEA.prompt, 12))
    found = list(proxies.candidates(case(model)))
    assert [ends(one)[:2] for one in found[:4]] == [(2, 4), (1, 3), (3, 5), (4, 6)]
    assert {ends(one)[:2] for one in found[4:]} == {(1, 4), (3, 4), (2, 3), (2, 5), (2, 6)}
    assert len(set(found)) == len(found)
    assert {one.stages[0].prompt for one in found} == {"a cup"}
    assert all(one.stages[-1] == Stage(TEA.prompt) for one in found)


@given(st.lists(st.integers(1, 11), min_size=1, max_size=3, unique=True).map(sorted))
def test_every_shift_is_a_sound_schedule(named):
    model = reply(*((f"stage {end}", end) for end in named), (TEA.prompt, 12))
    found = list(proxies.candidates(case(model)))
    assert ends(found[0]) == (*named, 12)
    for one in found:
        assert list(ends(one)) == sorted(set(ends(one)))
        assert all(abs(a - b) <= 2 for a, b in zip(ends(one), (*named, 12), strict=True))
        assert [stage.prompt for stage in one.stages] == [stage.prompt for stage in found[0].stages]


def test_a_single_stage_a_model_without_stages_and_no_text_model_give_nothing():
    assert list(proxies.candidates(case(reply((TEA.prompt, 12))))) == []
    two = reply(("a cup", 2), (TEA.prompt, 12))
    assert list(proxies.candidates(case(two, stages=False))) == []
    with pytest.raises(TextModelError, match="no model is named"):
        list(proxies.candidates(case(None)))


# ── the repairer ─────────────────────────────────────────────────────────────────────────────────


class Painter:
    """Names stages for pairs of halves; its name says how: ``late`` by two steps, ``prose``."""

    sees_images = False

    def __init__(self, settings: TextModelSettings) -> None:
        self.settings = settings
        self.model_id = f"toy:painter {settings.name}@1"

    def complete(self, messages, images=(), schema=None) -> str:
        (answer,) = schema["properties"]
        said = messages[-1]["content"]
        if answer == "first":
            return json.dumps({"first": said.partition("Other thing: ")[2].partition("\n")[0]})
        if answer == "prompts":
            return json.dumps({"prompts": ["nothing of the kind"]})
        if self.settings.name == "prose":
            return "I would begin with the left half."
        prompt = said.partition("Prompt: ")[2].partition("\n")[0]
        end = 4 if self.settings.name == "late" else 2
        return reply((prompt.partition(" beside ")[0], end), (prompt, 12)).reply


@pytest.fixture
def shy(toys, monkeypatch, tmp_path):
    """A store with a pair that fails unless A comes first alone for at most a fifth of the way."""
    monkeypatch.setitem(registry.BUILT_IN["text_models"], "painter", "test_proxies:Painter")
    config = audited(tmp_path, [pair("lime", "amber")], "shy")
    with Store(config.store) as store:
        yield config, store


@pytest.mark.parametrize("name", ["", "late"])
def test_stages_that_are_named_or_two_steps_off_repair_the_pair(shy, name):
    model = TextModelSettings("painter", name)
    repair = Repair(*shy, RepairSettings("proxies", budget=60, certificate=8, text_model=model))
    (found,) = repair.run().pairs
    assert found.certificate.passed
    stages = found.certificate.nomination.candidate.stages
    assert [stage.prompt for stage in stages] == ["lime", "lime beside amber"]
    assert stages[0].denoising_end <= 0.2


def test_stages_that_cannot_be_read_are_a_recorded_failure(shy):
    model = TextModelSettings("painter", "prose")
    (found,) = Repair(*shy, RepairSettings("proxies", text_model=model)).run().pairs
    assert found.certificate is None
    (failure,) = shy[1].failures()
    assert "stages by a text model" in failure.sentence


def test_the_portfolio_takes_the_text_models_stages_into_its_pool_and_survives_bad_ones(shy):
    config, store = shy
    for name, has_stages in (("", True), ("prose", False)):
        model = TextModelSettings("painter", name)
        options = RepairSettings(
            "portfolio", budget=60 + has_stages, certificate=8, text_model=model
        )
        (found,) = Repair(config, store, options).run().pairs
        assert found.certificate.passed
        said = [one.sentence for one in store.failures()]
        assert any("stages by a text model" in one for one in said) != has_stages
