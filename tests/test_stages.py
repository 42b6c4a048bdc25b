"""Which prompt rules which denoising step, on every family and scheduler."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from worlds import drawing
from worlds.drawing import CUP, DOGS, FAMILIES, SMALL, one, pixels, same

from lcmis.render.calling import Wording
from lcmis.render.diffusion import DiffusersModel
from lcmis.render.stages import step_of
from lcmis.types import Stage, stage_starts

open_model = drawing.open_model
tiny = drawing.tiny


# ── which stage rules which step ─────────────────────────────────────────────────────────────────


@st.composite
def stage_lists(draw_from: Any) -> tuple[Stage, ...]:
    inner = draw_from(st.lists(st.floats(0.001, 0.999), max_size=5, unique=True))
    ends = [*sorted(inner), 1.0]
    return tuple(Stage(f"prompt {index}", end) for index, end in enumerate(ends))


@given(stage_lists(), st.integers(1, 60))
def test_the_first_step_always_has_a_stage_and_starts_lie_within_the_steps(
    stages: tuple[Stage, ...], steps: int
) -> None:
    starts = stage_starts(stages, steps)
    assert min(starts) == 0
    assert max(starts) < steps


@given(stage_lists(), st.integers(1, 60))
def test_stages_rule_in_their_own_order(stages: tuple[Stage, ...], steps: int) -> None:
    starts = stage_starts(stages, steps)
    ruling = [starts[step] for step in sorted(starts)]
    assert ruling == [stage for stage in stages if stage in ruling]


@given(stage_lists(), st.integers(1, 60))
def test_a_stage_begins_within_half_a_step_of_where_the_one_before_it_ends(
    stages: tuple[Stage, ...], steps: int
) -> None:
    starts = {stage: step for step, stage in stage_starts(stages, steps).items()}
    for before, stage in pairwise(stages):
        if stage in starts:
            assert abs(starts[stage] - before.denoising_end * steps) <= 0.5


@given(st.integers(1, 60))
def test_one_stage_rules_from_the_first_step(steps: int) -> None:
    assert stage_starts(CUP, steps) == {0: CUP[0]}


def test_a_stage_too_short_for_one_step_gives_way_to_its_successor() -> None:
    short, long, last = Stage("a", 0.01), Stage("b", 0.5), Stage("c", 1.0)
    assert stage_starts((short, long, last), 10) == {0: long, 5: last}
    assert stage_starts((long, Stage("c", 0.51), last), 10) == {0: long, 5: last}


def test_a_last_stage_too_short_for_one_step_never_rules() -> None:
    assert stage_starts((Stage("a", 0.99), Stage("b")), 10) == {0: Stage("a", 0.99)}


@pytest.mark.parametrize("steps", [1, 2, 5, 12, 50])
@pytest.mark.parametrize(
    "name",
    [
        "DDIMScheduler",
        "EulerDiscreteScheduler",
        "HeunDiscreteScheduler",
        "KDPM2DiscreteScheduler",
        "KDPM2AncestralDiscreteScheduler",
        "DPMSolverMultistepScheduler",
        "UniPCMultistepScheduler",
        "LCMScheduler",
    ],
)
def test_every_step_of_a_scheduler_is_met_in_order(name: str, steps: int) -> None:
    scheduler = getattr(diffusers, name)()
    scheduler.set_timesteps(steps)
    timesteps = [float(value) for value in scheduler.timesteps]
    met = [step_of(timestep, timesteps, steps) for timestep in timesteps]
    assert met == sorted(met)
    assert set(met) == set(range(steps))


def test_pndm_which_repeats_a_timestep_meets_every_step_once_more_than_needed() -> None:
    scheduler = diffusers.PNDMScheduler(skip_prk_steps=True, steps_offset=1)
    scheduler.set_timesteps(6)
    timesteps = [float(value) for value in scheduler.timesteps]
    assert [step_of(timestep, timesteps, 6) for timestep in timesteps] == [0, 1, 1, 2, 3, 4, 5]


def test_a_timestep_rounded_to_half_precision_still_finds_its_step() -> None:
    timesteps = [1000.0, 960.7, 910.2, 850.9]
    rounded = [float(torch.tensor(value, dtype=torch.bfloat16)) for value in timesteps]
    assert [step_of(value, timesteps, 4) for value in rounded] == [0, 1, 2, 3]


# ── stages ───────────────────────────────────────────────────────────────────────────────────────


UNET_SCHEDULERS = [
    None,
    "PNDMScheduler",
    "HeunDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "UniPCMultistepScheduler",
]


FLOW_SCHEDULERS = [None, "FlowMatchHeunDiscreteScheduler"]


COMBINATIONS = [
    *(("sd", name) for name in UNET_SCHEDULERS),
    *(("sdxl", name) for name in UNET_SCHEDULERS[:3]),
    *(("sd3", name) for name in FLOW_SCHEDULERS),
    ("flux", None),
]


@pytest.mark.parametrize(("family", "scheduler"), COMBINATIONS)
def test_stages_meet_at_both_ends_and_differ_in_the_middle(
    family: str, scheduler: str | None, open_model: Callable[..., DiffusersModel]
) -> None:
    """The pipeline itself is only told the last prompt: what rules before it came by the hook."""
    model = open_model(family, scheduler=scheduler, batch_size=6)
    both = ("a red cup", "two dogs on a boat")
    cup, dogs, at_once, never, middle, three = pixels(
        model,
        model.spec(CUP, 1),
        model.spec(DOGS, 1),
        model.spec((Stage(both[0], 0.01), Stage(both[1])), 1),
        model.spec((Stage(both[0], 0.99), Stage(both[1])), 1),
        model.spec((Stage(both[0], 0.5), Stage(both[1])), 1),
        model.spec((Stage(both[1], 0.25), Stage(both[0], 0.99), Stage(both[1])), 1),
    )
    assert same(at_once, dogs)
    assert same(never, cup)
    for other in (cup, dogs, three):
        assert not same(middle, other)
    assert not same(three, cup)
    assert not same(three, dogs)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_hook_alone_turns_one_prompt_into_another(
    family: str, open_model: Callable[..., DiffusersModel]
) -> None:
    """What is asked for the cup and told the dogs throughout is the dogs' to the bit."""
    running = open_model(family)._running
    cup, dogs = (Wording((text,), ("",)) for text in ("a red cup", "two dogs on a boat"))

    def picture(asked: Wording, told: Any = lambda *_: None) -> np.ndarray:
        return running.run(asked, [1], 4, told=told)[0].images

    switched = picture(cup, running.differences({0: dogs}, cup, 4))
    assert np.array_equal(switched, picture(dogs))
    assert not np.array_equal(switched, picture(cup))


def test_stages_are_the_ones_that_diffusers_draws_by_its_own_callback(
    tiny: Callable[[str], Path], open_model: Callable[..., DiffusersModel]
) -> None:
    model = open_model("sd", batch_size=1, scheduler="DDIMScheduler")
    plain = diffusers.StableDiffusionPipeline.from_pretrained(
        tiny("sd"), use_safetensors=True, safety_checker=None
    )
    plain.scheduler = diffusers.DDIMScheduler.from_config(plain.scheduler.config)
    plain.set_progress_bar_config(disable=True)
    with torch.no_grad():
        dogs, negative = plain.encode_prompt("two dogs on a boat", "cpu", 1, True)

    def switch(_pipe: Any, step: int, _timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        if step == 0:  # the callback acts from the next step on
            tensors["prompt_embeds"] = torch.cat([negative, dogs])
        return tensors

    expected = plain(
        "a red cup",
        num_inference_steps=4,
        guidance_scale=7.5,
        height=32,
        width=32,
        generator=torch.Generator("cpu").manual_seed(1),
        callback_on_step_end=switch,
        callback_on_step_end_tensor_inputs=["prompt_embeds"],
    ).images[0]
    staged = (Stage("a red cup", 0.25), Stage("two dogs on a boat"))
    assert same(one(model, staged), np.asarray(expected))


@pytest.mark.parametrize("family", FAMILIES)
def test_each_row_keeps_its_own_schedule_beside_any_neighbour(
    family: str, open_model: Callable[..., DiffusersModel]
) -> None:
    model = open_model(family)
    staged = [
        model.spec((Stage("a red cup", 0.25), Stage("two dogs on a boat")), 1),
        model.spec((Stage("ink", 0.75), Stage("a long road")), 2),
        model.spec(CUP, 3),
    ]
    together = pixels(model, *staged)
    alone = [pixels(model, spec)[0] for spec in staged]
    assert all(map(same, together, alone))


def test_half_precision_switches_at_the_same_steps(
    open_model: Callable[..., DiffusersModel],
) -> None:
    model = open_model("flux", dtype="bfloat16", num_inference_steps=8)
    assert model.spec(CUP, 1).profile == "cpu-bfloat16-b3"
    cup, never, middle = pixels(
        model,
        model.spec(CUP, 1),
        model.spec((Stage("a red cup", 0.99), Stage("two dogs on a boat")), 1),
        model.spec((Stage("a red cup", 0.5), Stage("two dogs on a boat")), 1),
    )
    assert same(cup, never)
    assert not same(cup, middle)


def test_a_model_whose_drawing_fails_keeps_no_hook(
    open_model: Callable[..., DiffusersModel],
) -> None:
    model = DiffusersModel(dataclasses.replace(SMALL, name=str(open_model("sd")._folder.path)))
    spec = model.spec((Stage("a red cup", 0.5), Stage("two dogs on a boat")), 1)
    model._pipeline.vae.post_quant_conv = torch.nn.Conv2d(1, 1, 1)  # cannot take four channels
    with pytest.raises(RuntimeError):
        model.generate([spec])
    pipeline = model._pipeline
    assert not pipeline.unet._forward_pre_hooks
    assert "forward" not in vars(pipeline.unet)
    assert "step" not in vars(pipeline.scheduler)
    assert "encode_prompt" not in vars(pipeline)
