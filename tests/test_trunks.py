"""Shared beginnings: pictures that begin alike are begun once, and no bit changes."""

from __future__ import annotations

import dataclasses
import itertools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lcmis.plugins.optional import work_of
from lcmis.plugins.protocols import Work
from lcmis.plugins.settings import ModelSettings
from lcmis.render import draw, in_trunk_order
from lcmis.render.diffusion import DiffusersModel
from lcmis.render.trunks import Beginning, Trunks, beginning
from lcmis.types import RenderSpec, Stage

sys.path.insert(0, str(Path(__file__).parent))
from worlds import tiny_pipelines

STEPS = 8
SCHEDULERS = [
    None,  # DPM-Solver++, second order
    "PNDMScheduler",
    "UniPCMultistepScheduler",
    "HeunDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "DDPMScheduler",
]
COMBINATIONS = [
    *(("sd", name) for name in SCHEDULERS),
    ("sdxl", None),
    ("sdxl", "EulerAncestralDiscreteScheduler"),
    ("sd3", None),
    ("sd3", "FlowMatchHeunDiscreteScheduler"),
    ("flux", None),
]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., DiffusersModel]:
    """A new model of a tiny pipeline that remembers nothing yet."""
    root = tmp_path_factory.mktemp("tiny")

    def model(family: str, **settings: Any) -> DiffusersModel:
        folder = root / family
        if not folder.exists():
            tiny_pipelines.save(family, folder)
        chosen = ModelSettings(
            str(folder), height=16, width=16, num_inference_steps=STEPS, batch_size=2
        )
        return DiffusersModel(dataclasses.replace(chosen, **settings))

    return model


def tree(model: DiffusersModel, ends: Sequence[float], seeds: Sequence[int]) -> list[RenderSpec]:
    """One trunk a seed, and a branch at each of the ends."""
    return [
        model.spec((Stage("a red cup", end), Stage("two dogs on a boat")), seed)
        for seed in seeds
        for end in ends
    ]


def pixels(model: DiffusersModel, specs: Sequence[RenderSpec]) -> dict[str, np.ndarray]:
    return {
        spec.key: np.asarray(picture)
        for spec, picture in zip(specs, draw(model, specs), strict=True)
    }


@pytest.mark.parametrize(("family", "scheduler"), COMBINATIONS)
def test_branches_that_share_a_trunk_are_bit_equal_to_those_drawn_alone(
    family: str, scheduler: str | None, opened: Callable[..., DiffusersModel]
) -> None:
    model = opened(family, scheduler=scheduler)
    specs = tree(model, (0.25, 0.75), (1, 2))
    together, shared = pixels(model, in_trunk_order(specs)), model.work
    alone: dict[str, np.ndarray] = {}
    for spec in specs:
        model.trunks = Trunks()  # nothing is known of the ones before
        alone |= pixels(model, [spec])
    forgetful = model.work - shared
    assert all(np.array_equal(together[key], alone[key]) for key in alone)
    assert len({picture.tobytes() for picture in together.values()}) == len(specs)
    assert shared.alone == forgetful.alone == forgetful.useful
    assert forgetful.skipped == 0 < shared.skipped
    assert shared.run + shared.skipped == shared.alone


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_tree_costs_its_trunk_and_its_branches(
    dtype: str, opened: Callable[..., DiffusersModel]
) -> None:
    """The longest trunk once, and of each branch what comes after the step at which it parts."""
    model = opened("sd", scheduler="DDIMScheduler", dtype=dtype)
    ends = (0.25, 0.5, 0.75)
    pixels(model, in_trunk_order(tree(model, ends, (1, 2))))
    longest = max(ends) * STEPS
    rest = sum(STEPS - end * STEPS for end in ends)
    assert model.work.run == model.work.useful == 2 * (longest + rest)
    assert model.work.alone == 2 * len(ends) * STEPS
    assert work_of(model) == model.work


def test_a_later_probe_goes_on_from_the_trunk_of_an_earlier_one(
    opened: Callable[..., DiffusersModel],
) -> None:
    model = opened("sd", scheduler="DDIMScheduler")
    pixels(model, tree(model, [0.5], (1, 2)))
    before = model.work
    pixels(model, tree(model, [0.25], (1, 2)))
    assert (model.work - before).skipped == 2 * 2  # two rows, two of eight steps
    before = model.work
    pixels(model, tree(model, [0.75], (1, 2)))
    assert (model.work - before).skipped == 2 * 4


def test_filler_and_twins_are_run_and_not_useful(opened: Callable[..., DiffusersModel]) -> None:
    model = opened("sd", scheduler="DDIMScheduler", batch_size=4)
    pixels(model, tree(model, (0.25, 0.5), (1,)))
    assert model.work == Work(
        alone=2 * STEPS,
        run=4 * STEPS,
        useful=2 * STEPS - 2,  # twins for two steps
    )
    plain = opened("sd", scheduler="DDIMScheduler", batch_size=4)
    pixels(plain, [plain.spec((Stage("ink"),), seed) for seed in range(3)])
    assert plain.work == Work(alone=3 * STEPS, run=4 * STEPS, useful=3 * STEPS)
    assert len(plain.trunks) == 0, "a picture of one stage leaves nothing behind"


def test_only_what_is_the_same_is_shared(opened: Callable[..., DiffusersModel]) -> None:
    model = opened("sd", batch_size=1)
    cup, dogs = Stage("a red cup", 0.5), Stage("two dogs on a boat")
    first = model.spec((cup, dogs), 1)
    others = [
        model.spec((cup, dogs), 2),
        model.spec((Stage("ink", 0.5), dogs), 1),
        dataclasses.replace(first, negative_prompt="a glass"),
    ]
    pixels(model, [first, *others])
    assert model.work.skipped == 0
    pixels(model, [model.spec((cup, Stage("a long road")), 1)])
    assert model.work.skipped == STEPS // 2


def test_three_stages_share_as_far_as_they_agree(opened: Callable[..., DiffusersModel]) -> None:
    model = opened("sd", batch_size=1, scheduler="DDIMScheduler")
    begin = (Stage("a red cup", 0.25), Stage("ink", 0.75))
    specs = [model.spec((*begin, Stage(last)), 1) for last in ("a long road", "two dogs")]
    drawn = pixels(model, specs)
    assert model.work.skipped == STEPS * 3 // 4
    alone = opened("sd", batch_size=1, scheduler="DDIMScheduler")
    assert np.array_equal(drawn[specs[1].key], pixels(alone, specs[1:])[specs[1].key])


def test_memory_is_bounded_and_a_forgotten_trunk_is_run_again(
    opened: Callable[..., DiffusersModel],
) -> None:
    model = opened("sd", batch_size=1, scheduler="DDIMScheduler")
    specs = tree(model, (0.75, 0.5), (1,))
    expected = pixels(model, specs)
    assert model.work.skipped == 4
    tight = opened("sd", batch_size=1, scheduler="DDIMScheduler")
    row = model.trunks.num_bytes // len(model.trunks)
    tight.trunks = Trunks(most_bytes=2 * row)
    drawn = pixels(tight, specs)
    assert tight.trunks.num_bytes <= 2 * row
    assert tight.work.skipped < 4
    assert all(np.array_equal(drawn[key], expected[key]) for key in expected)


def test_what_is_kept_comes_back_in_its_place() -> None:
    rows = [Beginning("cpu", seed, "", ((0, "ink"),), 1) for seed in range(3)]
    said = torch.arange(6.0).reshape(6, 1)  # guided: three rows to keep away from, and three
    trunks = Trunks()
    trunks.keep(rows, said)
    assert torch.equal(trunks.recall(rows), said)
    assert trunks.recall([rows[2], rows[0]]).flatten().tolist() == [2, 0, 5, 3]
    assert trunks.recall([*rows, None]) is None


def test_a_failure_on_the_way_leaves_the_denoiser_as_it_was(
    opened: Callable[..., DiffusersModel],
) -> None:
    model = opened("sd")
    model._pipeline.vae.post_quant_conv = torch.nn.Conv2d(1, 1, 1)  # cannot take four channels
    with pytest.raises(RuntimeError):
        model.generate(tree(model, [0.5], [1]))
    assert "forward" not in vars(model._pipeline.unet)


def test_a_beginning_ends_with_the_last_but_one_stage(
    opened: Callable[..., DiffusersModel],
) -> None:
    (spec,) = tree(opened("sd"), [0.5], [1])
    told = [beginning(spec, step, step) for step in range(STEPS)]
    assert [one is None for one in told] == [False] * 4 + [True] * 4
    assert len(set(told[:4])) == 4
    never = dataclasses.replace(spec, stages=(Stage("a", 0.01), Stage("b")))
    assert beginning(never, 0, 0) is None


def test_branches_follow_one_another_the_longest_trunk_first(
    opened: Callable[..., DiffusersModel],
) -> None:
    model = opened("sd")
    specs = tree(model, (0.25, 0.75), (1, 2))
    plain = [model.spec((Stage(text),), 1) for text in ("z", "a")]
    for shuffled in itertools.islice(itertools.permutations([*specs, *plain]), 0, 700, 70):
        ordered = in_trunk_order(shuffled)
        assert ordered[:2] == [spec for spec in shuffled if spec in plain]
        assert [spec.stages[0].denoising_end for spec in ordered[2:]] == [0.75, 0.75, 0.25, 0.25]
