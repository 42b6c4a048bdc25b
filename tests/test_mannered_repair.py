"""Repairs that ask for more than a prompt: searched, proved, stored, exported, refused."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
from worlds import toys
from worlds.toys import ToyModel, audited, pair, repair

from lcmis.errors import ConfigError, RenderError
from lcmis.export.formats import export, open_exporter
from lcmis.export.repaired import RepairedPrompt, repaired_prompts
from lcmis.plugins import registry
from lcmis.plugins.settings import AuditSettings, ModelSettings
from lcmis.repair.certify import Certify
from lcmis.repair.evaluate import spec_of
from lcmis.repair.methods import composable, exciting, refining
from lcmis.store import Store
from lcmis.testing import contract_case
from lcmis.types import Beside, Candidate, Stage, StageManner

TOGETHER = Stage("a tea cup", beside=(Beside("iced coke"),))


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    toys.registered(monkeypatch)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[RepairedPrompt, AuditSettings]:
    """A pair that is drawn right where both concepts are followed at once, and how it was found."""
    with pytest.MonkeyPatch.context() as patch:
        toys.registered(patch)
        patch.setitem(registry.BUILT_IN["models"], "toy", "worlds.toys:AddingModel")
        config = audited(tmp_path_factory.mktemp("found"), [pair("rubine", "azure")], "no a")
        result = repair(config, method="composable", budget=24)
        assert result.num_proved == 1
        with Store(config.store) as store:
            (one,) = repaired_prompts(store, result.judge)
    return one, config


# ── what the methods ask for ─────────────────────────────────────────────────────────────────────


def test_composable_begins_with_each_concepts_own_prompt_as_its_source_does() -> None:
    asked = [one.stages[0] for one in composable.candidates(contract_case())]
    assert asked[0] == TOGETHER
    assert asked[1] == Stage("a tea cup", beside=(Beside("iced coke", 0.5),), weight=0.5)
    whole = [stage for stage in asked if stage.prompt == "a tea cup of iced coke"]
    assert [stage.beside[0].prompt for stage in whole] == ["a tea cup"] * 4


def test_both_concepts_are_excited_first_and_then_the_lost_one() -> None:
    asked = [one.stages for one in exciting.candidates(contract_case())]
    prompt = "a tea cup of iced coke"
    words = [("tea cup", "iced coke"), ("tea cup",), ("iced coke",)]
    assert asked == [(Stage(prompt, excited=one),) for one in words]


def test_a_concept_that_the_prompt_does_not_name_is_not_excited() -> None:
    case = contract_case()
    unnamed = dataclasses.replace(case.pair, prompt="a cup of iced coke")
    asked = exciting.candidates(dataclasses.replace(case, pair=unnamed))
    assert [one.stages[0].excited for one in asked] == [("iced coke",)]
    within = dataclasses.replace(case.pair, prompt="Tea cup, full of iced cokes")
    asked = exciting.candidates(dataclasses.replace(case, pair=within))
    assert [one.stages[0].excited for one in asked] == [("Tea cup",)], "whole words, in any case"


def test_the_refiner_is_told_the_whole_prompt_and_the_base_one_concept_for_ever_longer() -> None:
    case = contract_case(num_inference_steps=40)
    asked = [one.stages for one in refining.candidates(case)]
    assert all(last == Stage(case.pair.prompt, refiner="refiner@1") for _, last in asked)
    begun = [(first.prompt, first.denoising_end) for first, _ in asked]
    assert begun[0] == (case.pair.prompt, 0.8)
    assert [end for said, end in begun if said == "a tea cup"] == [0.125, 0.25, 0.375, 0.475]
    assert [end for said, end in begun if said == "iced coke"] == [0.125, 0.25, 0.375, 0.475]


def test_a_refiner_that_would_draw_no_step_is_not_asked() -> None:
    assert refining.candidates(contract_case(num_inference_steps=1)) == []
    few = refining.candidates(contract_case(num_inference_steps=2))
    assert {round(first.stages[0].denoising_end * 2) for first in few} == {1}


# ── searched, proved, stored ─────────────────────────────────────────────────────────────────────


def test_what_is_found_is_stored_and_proved_as_it_was_drawn(
    found: tuple[RepairedPrompt, AuditSettings],
) -> None:
    one, config = found
    (stage,) = one.stages
    assert [stage.prompt, stage.beside[0].prompt] == ["rubine", "azure"]
    assert one.certificate.wins == len(one.certificate.seeds)
    with Store(config.store) as store:
        assert {trial.candidate.manners for trial in store.trials()} == {
            frozenset({StageManner.TOGETHER})
        }
        keys = [seen.spec_key for seen in store.evidence(one.certificate.judge)]
        specs = [spec for spec, _ in store.renders_of(keys).values()]
    proofs = [spec.seed for spec in specs if spec.stages == one.stages]
    assert set(one.certificate.seeds) <= set(proofs)


def test_a_model_that_can_only_be_told_a_prompt_is_asked_for_no_more() -> None:
    plain = ToyModel(ModelSettings("toy"))
    with pytest.raises(
        RenderError, match="toy@right can only be told its prompt, and a tea cup AND"
    ):
        spec_of(plain, Candidate((TOGETHER,)), 1)


@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        ("composable", "composable wants a model that follows several prompts at once"),
        ("attend-and-excite", "has attention that can be raised"),
        ("base-refiner", "has a refiner: name one with --refiner"),
    ],
)
def test_a_method_that_no_model_can_follow_is_refused_before_it_searches(
    method: str, sentence: str, tmp_path: Path
) -> None:
    config = audited(tmp_path, [pair("rubine", "azure")], "no a")
    with pytest.raises(ConfigError, match=f"{sentence}.*toy@no-a is none"):
        repair(config, method=method, budget=8)
    assert ToyModel.drawn == []


def test_a_repair_is_not_proved_on_a_model_that_cannot_draw_so(
    found: tuple[RepairedPrompt, AuditSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry.BUILT_IN["models"], "plain", "worlds.toys:ToyModel")
    elsewhere = (ModelSettings("plain", scheduler="no a"),)
    config = dataclasses.replace(found[1], models=elsewhere)
    with Store(config.store) as store:
        (proof,) = Certify(config, store, pictures=4, elsewhere=True).run("certify").proofs
    assert proof.certificate is None
    assert "can only be told its prompt" in proof.reason


# ── exported ─────────────────────────────────────────────────────────────────────────────────────


def as_multicond(prompt: str) -> list[tuple[str, float]]:
    """AUTOMATIC1111's own reading of AND: its two expressions of ``modules/prompt_parser.py``."""
    weighted = re.compile(r"^((?:\s|.)*?)(?:\s*:\s*([-+]?(?:\d+\.?|\d*\.\d+)))?\s*$")
    read = []
    for part in re.split(r"\bAND\b", prompt):
        text, weight = weighted.search(part).groups()  # type: ignore[union-attr]
        read.append((text.strip(), 1.0 if weight is None else float(weight)))
    return read


def test_the_web_interface_reads_prompts_at_once_with_their_weights(
    found: tuple[RepairedPrompt, AuditSettings],
) -> None:
    one, _ = found
    stage = Stage(
        "a cup: 3", beside=(Beside("iced AND cold", -0.25), Beside("7", 1e-3)), weight=0.5
    )
    for stages in ((stage,), one.stages):
        written = open_exporter("a1111").write([with_stages(one, *stages)]).decode()
        read = as_multicond(written.splitlines()[0])
        parts = (Beside(stages[0].prompt, stages[0].weight), *stages[0].beside)
        assert [weight for _, weight in read] == [part.weight for part in parts]
        said = [text.replace("\\", "") for text, _ in read]
        assert said == [part.prompt for part in parts]


def with_stages(one: RepairedPrompt, *stages: Stage) -> RepairedPrompt:
    nomination = dataclasses.replace(one.certificate.nomination, candidate=Candidate(stages))
    return dataclasses.replace(
        one, certificate=dataclasses.replace(one.certificate, nomination=nomination)
    )


MANNERED = (
    (TOGETHER,),
    (Stage("a tea cup of iced coke", excited=("tea cup",)),),
    (Stage("a tea cup", 0.25), Stage("a tea cup of iced coke", refiner="r@1")),
    (Stage("a tea cup", 0.25), TOGETHER),
)


@pytest.mark.parametrize(("format", "says"), [("diffusers", ()), ("comfyui", ()), ("a1111", (0,))])
def test_what_a_format_cannot_say_is_left_out_with_the_reason(
    format: str, says: tuple[int, ...], found: tuple[RepairedPrompt, AuditSettings], tmp_path: Path
) -> None:
    plain = with_stages(found[0], Stage("a tea cup", 0.25), Stage("a cup of cola"))
    several = [with_stages(found[0], *stages) for stages in MANNERED]
    written = export([plain, *several], format, tmp_path / "out")
    assert written.num_repairs == 1 + len(says)
    assert all("is more than" in reason for reason in written.left_out)
    text = (tmp_path / "out").read_text("utf-8")
    assert "a cup of cola" in text
    refused = [one for place, one in enumerate(several) if place not in says]
    with pytest.raises(ConfigError, match=r"cannot say .* is more than"):
        export(refused, format, tmp_path / "none")


@pytest.mark.parametrize("stages", MANNERED)
def test_tables_say_all_of_it(
    stages: tuple[Stage, ...], found: tuple[RepairedPrompt, AuditSettings], tmp_path: Path
) -> None:
    import pyarrow.parquet

    one = with_stages(found[0], *stages)
    export([one], "jsonl", tmp_path / "t.jsonl")
    export([one], "parquet", tmp_path / "t.parquet")
    read = json.loads((tmp_path / "t.jsonl").read_text("utf-8"))
    (row,) = pyarrow.parquet.read_table(tmp_path / "t.parquet").to_pylist()
    for told in (read["stages"], row["stages"]):
        again = tuple(
            Stage(
                **stage
                | {
                    "beside": tuple(Beside(**part) for part in stage["beside"]),
                    "excited": tuple(stage["excited"]),
                }
            )
            for stage in told
        )
        assert again == stages
    assert read["prompt"] == stages[-1].said
