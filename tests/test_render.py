"""From a specification to a picture: real pipelines at tiny sizes, and pictures made elsewhere."""

from __future__ import annotations

import csv
import dataclasses
import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file, save_file

from lcmis.errors import ConfigError, Refusal, RenderError, UnknownNameError
from lcmis.machine.pictures import LARGEST_PICTURE
from lcmis.plugins.protocols import ImageModel
from lcmis.plugins.settings import ModelSettings
from lcmis.render import draw
from lcmis.render.diffusion import DiffusersModel
from lcmis.render.folder import FolderModel
from lcmis.render.stages import step_of, switching
from lcmis.types import Adapter, RenderSpec, Stage, stage_starts

sys.path.insert(0, str(Path(__file__).parent))
from worlds import tiny_pipelines

FAMILIES = list(tiny_pipelines.FAMILIES)
CUP = (Stage("a red cup"),)
DOGS = (Stage("two dogs on a boat"),)
SMALL = ModelSettings("", height=32, width=32, num_inference_steps=4, batch_size=3)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of a tiny pipeline, built when first asked for."""
    root = tmp_path_factory.mktemp("tiny")

    def folder(family: str) -> Path:
        path = root / family
        return path if path.exists() else tiny_pipelines.save(family, path)

    return folder


@pytest.fixture(scope="session")
def open_model(tiny: Callable[[str], Path]) -> Callable[..., DiffusersModel]:
    """A model of a tiny pipeline; one object for each choice of settings."""
    opened: dict[Any, DiffusersModel] = {}

    def model(family: str, **settings: Any) -> DiffusersModel:
        chosen = dataclasses.replace(SMALL, name=str(tiny(family)), **settings)
        if chosen not in opened:
            opened[chosen] = DiffusersModel(chosen)
        return opened[chosen]

    return model


@pytest.fixture
def copy(tiny: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """A tiny pipeline's folder that a test may damage."""
    return lambda family: Path(shutil.copytree(tiny(family), tmp_path / family))


def settings_of(folder: Path, **changes: Any) -> ModelSettings:
    return dataclasses.replace(SMALL, name=str(folder), **changes)


def pixels(model: ImageModel, *specs: RenderSpec) -> list[np.ndarray]:
    drawn = draw(model, specs)
    assert not [item for item in drawn if isinstance(item, RenderError)]
    return [np.asarray(picture) for picture in drawn]


def one(model: ImageModel, stages: tuple[Stage, ...], seed: int = 1) -> np.ndarray:
    (picture,) = pixels(model, model.spec(stages, seed))
    return picture


def same(left: np.ndarray, right: np.ndarray) -> bool:
    return bool(np.array_equal(left, right))


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


# ── drawing ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("family", FAMILIES)
def test_a_picture_has_the_size_asked_for_and_follows_prompt_and_seed(
    family: str, open_model: Callable[..., DiffusersModel]
) -> None:
    model = open_model(family)
    cup, again, other_seed, other_prompt = pixels(
        model,
        model.spec(CUP, 1),
        model.spec(CUP, 1),
        model.spec(CUP, 2),
        model.spec(DOGS, 1),
    )
    assert cup.shape == (32, 32, 3)
    assert same(cup, again)
    assert not same(cup, other_seed)
    assert not same(cup, other_prompt)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_picture_is_bit_equal_alone_in_a_batch_in_any_order_and_place(
    family: str, open_model: Callable[..., DiffusersModel]
) -> None:
    model = open_model(family)
    prompts = ("a red cup", "two dogs on a boat", "a very long winding road at night", "ink")
    specs = [model.spec((Stage(prompt),), seed) for seed, prompt in enumerate(prompts)]
    together = pixels(model, *specs)  # a full batch, and a last one of one picture
    reverse = list(reversed(pixels(model, *reversed(specs))))
    alone = [pixels(model, spec)[0] for spec in specs]
    for one_way, other_way, third_way in zip(together, reverse, alone, strict=True):
        assert same(one_way, other_way)
        assert same(one_way, third_way)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_picture_alone_is_the_one_that_diffusers_draws(
    family: str, tiny: Callable[[str], Path], open_model: Callable[..., DiffusersModel]
) -> None:
    model = open_model(family, batch_size=1)
    spec = model.spec(CUP, 5)
    plain = diffusers.DiffusionPipeline.from_pretrained(tiny(family), use_safetensors=True)
    plain.set_progress_bar_config(disable=True)
    expected = plain(
        "a red cup",
        num_inference_steps=4,
        guidance_scale=spec.guidance_scale,
        height=32,
        width=32,
        generator=torch.Generator("cpu").manual_seed(5),
        **({"max_sequence_length": 256} if family == "flux" else {}),  # as schnell was trained
    ).images[0]
    assert same(one(model, CUP, 5), np.asarray(expected))


@pytest.mark.parametrize("family", ["sd", "sdxl", "sd3"])
def test_a_spec_may_bring_its_own_negative_prompt(
    open_model: Callable[..., DiffusersModel], family: str
) -> None:
    model = open_model(family)
    plain = model.spec(CUP, 1)
    kept_away = dataclasses.replace(plain, negative_prompt="a glass")
    too_long = dataclasses.replace(plain, negative_prompt="glass " * 300)
    first, second, refused = draw(model, [plain, kept_away, too_long])
    assert same(np.asarray(first), one(model, CUP))
    settled = open_model(family, negative_prompt="a glass")
    assert same(np.asarray(second), one(settled, CUP))
    assert settled.spec(CUP, 1) == kept_away
    assert isinstance(refused, RenderError)
    assert model.takes_negative_prompts
    assert not open_model(family, guidance_scale=1.0).takes_negative_prompts


@pytest.mark.parametrize("family", ["sd", "sdxl", "sd3"])
def test_a_negative_prompt_and_no_guidance_both_change_the_picture(
    family: str, open_model: Callable[..., DiffusersModel]
) -> None:
    plain = one(open_model(family), CUP)
    assert not same(plain, one(open_model(family, negative_prompt="a glass"), CUP))
    assert not same(plain, one(open_model(family, guidance_scale=1.0), CUP))


def test_nothing_asked_is_nothing_drawn(open_model: Callable[..., DiffusersModel]) -> None:
    assert draw(open_model("sd"), []) == []


def test_a_spec_of_another_model_or_batch_shape_is_not_drawn(
    open_model: Callable[..., DiffusersModel],
) -> None:
    with pytest.raises(ValueError, match="was not made by"):
        draw(open_model("sd"), [open_model("sdxl").spec(CUP, 1)])
    with pytest.raises(ValueError, match="profile cpu-float32-b1"):
        draw(open_model("sd"), [open_model("sd", batch_size=1).spec(CUP, 1)])


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
    """Switched at step 0 from a pipeline call for the cup, the picture is the dogs' to the bit."""
    model = open_model(family, batch_size=1)
    conditioning, pipeline = model._family, model._pipeline
    guidance = model.spec(CUP, 1).guidance_scale
    with torch.inference_mode():
        cup, dogs = (
            conditioning.encode(pipeline, prompt, "", conditioning.is_doubled(guidance))
            for prompt in ("a red cup", "two dogs on a boat")
        )

        def run(told: Any) -> np.ndarray:
            return pipeline(
                **conditioning.pipeline_arguments([told]),
                num_inference_steps=4,
                guidance_scale=guidance,
                height=32,
                width=32,
                generator=torch.Generator("cpu").manual_seed(1),
                output_type="np",
            ).images

        with switching(
            getattr(pipeline, conditioning.denoiser),
            lambda _timestep: conditioning.denoiser_arguments([dogs]),
        ):
            switched = run(cup)
        assert np.array_equal(switched, run(dogs))
        assert not np.array_equal(switched, run(cup))


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


def test_the_hook_is_gone_even_after_a_failure() -> None:
    layer = torch.nn.Linear(2, 2)

    def fail(_timestep: float) -> dict[str, Any]:
        raise RuntimeError("the denoiser broke")

    class Denoiser(torch.nn.Module):
        def forward(self, sample: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
            return layer(sample) * timestep

    denoiser = Denoiser()
    with pytest.raises(RuntimeError, match="broke"), switching(denoiser, fail):
        denoiser(torch.ones(1, 2), torch.tensor(1.0))
    assert not denoiser._forward_pre_hooks
    denoiser(torch.ones(1, 2), torch.tensor(1.0))


def test_a_model_whose_drawing_fails_keeps_no_hook(
    open_model: Callable[..., DiffusersModel],
) -> None:
    model = DiffusersModel(dataclasses.replace(SMALL, name=str(open_model("sd")._folder.path)))
    spec = model.spec((Stage("a red cup", 0.5), Stage("two dogs on a boat")), 1)
    model._pipeline.vae.post_quant_conv = torch.nn.Conv2d(1, 1, 1)  # cannot take four channels
    with pytest.raises(RuntimeError):
        model.generate([spec])
    assert not model._pipeline.unet._forward_pre_hooks


# ── families that nobody has proved ──────────────────────────────────────────────────────────────


def test_an_unproved_pipeline_draws_one_picture_at_a_time_and_no_stages(
    open_model: Callable[..., DiffusersModel],
) -> None:
    model = open_model("pixart", batch_size=None, guidance_scale=4.5, num_inference_steps=2)
    assert model.batch_size == 1
    assert not model.supports_stages
    cup, again, dogs = pixels(model, model.spec(CUP, 1), model.spec(CUP, 1), model.spec(DOGS, 1))
    assert same(cup, again)
    assert not same(cup, dogs)
    with pytest.raises(RenderError, match="cannot be switched"):
        model.spec((Stage("a red cup", 0.5), Stage("two dogs on a boat")), 1)
    with pytest.raises(RenderError, match="reads 300"):
        model.spec((Stage("o" * 400),), 1)


def test_an_unproved_pipeline_is_run_by_no_guessed_number(tiny: Callable[[str], Path]) -> None:
    with pytest.raises(ConfigError, match="set num_inference_steps, guidance_scale, height, width"):
        DiffusersModel(ModelSettings(str(tiny("pixart"))))
    with pytest.raises(ConfigError, match="not known to leave one another alone: write 1"):
        DiffusersModel(settings_of(tiny("pixart"), guidance_scale=4.5, batch_size=2))


# ── what a picture is named by ───────────────────────────────────────────────────────────────────


def test_a_spec_names_model_scheduler_size_and_profile(
    tiny: Callable[[str], Path], open_model: Callable[..., DiffusersModel]
) -> None:
    spec = open_model("sd").spec(CUP, 1)
    assert spec.model.startswith("sd@")
    assert len(spec.model.removeprefix("sd@")) == 12
    assert spec.scheduler == "DPMSolverMultistepScheduler"
    assert (spec.height, spec.width, spec.num_inference_steps) == (32, 32, 4)
    assert spec.profile == "cpu-float32-b3"
    plain = DiffusersModel(ModelSettings(str(tiny("sd")))).spec(CUP, 1)
    assert (plain.height, plain.width) == (32, 32)
    assert (plain.num_inference_steps, plain.guidance_scale) == (30, 7.5)
    assert plain.profile == "cpu-float32-b16"


@pytest.mark.parametrize(
    ("family", "steps", "guidance", "side"),
    [("sdxl", 30, 5.0, 32), ("sd3", 28, 7.0, 32), ("flux", 4, 0.0, 256)],
)
def test_every_family_has_defaults_of_its_own(
    family: str, steps: int, guidance: float, side: int, tiny: Callable[[str], Path]
) -> None:
    spec = DiffusersModel(ModelSettings(str(tiny(family)))).spec(CUP, 1)
    assert (spec.num_inference_steps, spec.guidance_scale) == (steps, guidance)
    assert (spec.height, spec.width) == (side, side)


def test_a_folder_is_named_by_its_content_not_by_its_place(
    tiny: Callable[[str], Path], copy: Callable[[str], Path]
) -> None:
    folder = copy("sd")
    original = DiffusersModel(settings_of(tiny("sd"))).model_id
    assert DiffusersModel(settings_of(folder)).model_id == original
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    tensors["conv_in.bias"] += 1
    save_file(tensors, weights)
    assert DiffusersModel(settings_of(folder)).model_id != original


def test_making_a_model_and_reading_its_name_loads_no_torch(tiny: Callable[[str], Path]) -> None:
    code = (
        "import sys, lcmis.render, lcmis.render.folder\n"
        "from lcmis.plugins.protocols import ModelSettings\n"
        "from lcmis.render.diffusion import DiffusersModel\n"
        f"model = DiffusersModel(ModelSettings({str(tiny('sd'))!r}))\n"
        "assert model.supports_stages and model.model_id and model.profile\n"
        "print(*({'torch', 'diffusers', 'transformers', 'PIL'} & set(sys.modules)))"
    )
    root = Path(__file__).parent.parent
    shown = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=root)
    assert shown.strip() == ""


def test_it_is_an_image_model(open_model: Callable[..., DiffusersModel]) -> None:
    assert isinstance(open_model("sd"), ImageModel)


# ── prompts that cannot be drawn ─────────────────────────────────────────────────────────────────


def test_an_empty_prompt_is_refused(open_model: Callable[..., DiffusersModel]) -> None:
    with pytest.raises(RenderError, match="empty prompt"):
        open_model("sd").spec((Stage("  "),), 1)
    with pytest.raises(RenderError, match="empty prompt"):
        open_model("sd").spec((Stage("", 0.5), Stage("a cup")), 1)


@pytest.mark.parametrize(
    ("family", "longest", "limit"),
    [
        ("sd", " ".join("o" * 75), 77),
        ("sdxl", " ".join("o" * 75), 77),
        ("sd3", "o" * 254, 256),
        ("flux", "o" * 254, 256),
    ],
    ids=FAMILIES,
)
def test_a_prompt_longer_than_the_encoder_reads_is_refused_with_its_count(
    family: str, longest: str, limit: int, open_model: Callable[..., DiffusersModel]
) -> None:
    model = open_model(family)
    assert model.spec((Stage(longest),), 1).prompt == longest
    with pytest.raises(RenderError, match=rf"has {limit + 1} tokens .* reads {limit}"):
        model.spec((Stage(longest + (" o" if " " in longest else "o")),), 1)


def test_a_stage_that_is_too_long_is_refused_too(
    open_model: Callable[..., DiffusersModel],
) -> None:
    with pytest.raises(RenderError, match="start and end included"):
        open_model("sd").spec((Stage("o " * 90, 0.5), Stage("a cup")), 1)


# ── failures ─────────────────────────────────────────────────────────────────────────────────────


def test_pixels_that_are_not_numbers_are_an_error_not_a_black_picture(
    copy: Callable[[str], Path],
) -> None:
    folder = copy("sd")
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    tensors["decoder.conv_out.bias"][0] = float("nan")
    save_file(tensors, weights)
    model = DiffusersModel(settings_of(folder))
    (drawn,) = draw(model, [model.spec(CUP, 1)])
    assert isinstance(drawn, RenderError)
    assert not isinstance(drawn, Refusal)
    assert "not numbers" in str(drawn)


def test_a_prompt_that_breaks_its_own_picture_leaves_its_neighbours_whole(
    copy: Callable[[str], Path], open_model: Callable[..., DiffusersModel]
) -> None:
    folder = copy("sd")
    weights = folder / "text_encoder" / "model.safetensors"
    tensors = load_file(weights)
    embedding = next(key for key in tensors if key.endswith("token_embedding.weight"))
    healthy = open_model("sd")
    token = healthy._tokenizers["tokenizer"]("q").input_ids[1]
    tensors[embedding][token] = float("nan")
    save_file(tensors, weights)
    model = DiffusersModel(settings_of(folder))
    broken, whole = draw(model, [model.spec((Stage("q"),), 1), model.spec(CUP, 1)])
    assert isinstance(broken, RenderError)
    assert same(np.asarray(whole), one(healthy, CUP))


def test_a_picture_withheld_by_the_models_own_filter_is_a_refusal(
    copy: Callable[[str], Path], open_model: Callable[..., DiffusersModel]
) -> None:
    folder = copy("sd")
    tiny_pipelines.add_safety_checker(folder, withholds=True)
    strict = DiffusersModel(settings_of(folder))
    (withheld,) = draw(strict, [strict.spec(CUP, 1)])
    assert isinstance(withheld, Refusal)
    assert "safety filter" in str(withheld)
    tiny_pipelines.add_safety_checker(folder, withholds=False)
    assert same(one(DiffusersModel(settings_of(folder)), CUP), one(open_model("sd"), CUP))


class Greedy:
    """A model that fits only so many pictures, for so many tries."""

    model_id = "greedy@1"
    supports_stages = False
    supports_seeds = True

    def __init__(self, batch_size: int, fits: int, failures: int = 10**6) -> None:
        self.batch_size = batch_size
        self.fits = fits
        self.failures = failures
        self.seen: list[tuple[int, str]] = []

    def spec(self, stages: tuple[Stage, ...], seed: int) -> RenderSpec:
        return RenderSpec(
            self.model_id, stages, seed, 1, 0.0, "none", 8, 8, f"cpu-float32-b{self.batch_size}"
        )

    def generate(self, specs: Sequence[RenderSpec]) -> list[Image.Image | RenderError]:
        self.seen.append((self.batch_size, specs[0].profile))
        if self.batch_size > self.fits and self.failures > 0:
            self.failures -= 1
            raise torch.OutOfMemoryError("too much")
        return [Image.new("RGB", (8, 8)) for _ in specs]


def test_memory_that_runs_out_names_the_batch_size_that_fits() -> None:
    model = Greedy(batch_size=16, fits=5)
    with pytest.raises(ConfigError, match="16 pictures of 8x8; 4 fit: set batch_size = 4"):
        draw(model, [model.spec(CUP, seed) for seed in range(16)])
    assert model.batch_size == 16
    # no picture is drawn under a profile of another shape
    assert all(profile == f"cpu-float32-b{size}" for size, profile in model.seen)


def test_memory_that_is_short_for_a_moment_costs_nothing() -> None:
    model = Greedy(batch_size=16, fits=5, failures=1)
    assert len(draw(model, [model.spec(CUP, seed) for seed in range(20)])) == 20


def test_memory_too_small_for_one_picture_says_what_else_helps() -> None:
    model = Greedy(batch_size=2, fits=0)
    with pytest.raises(ConfigError, match="also at one: set a smaller height and width"):
        draw(model, [model.spec(CUP, 1)])


# ── models that are refused before they are loaded ───────────────────────────────────────────────


def test_a_missing_tensor_is_an_error_and_not_random_numbers(copy: Callable[[str], Path]) -> None:
    for part, key in (("unet", "conv_in.bias"), ("vae", "decoder.conv_out.weight")):
        folder = copy("sd")
        weights = folder / part / "diffusion_pytorch_model.safetensors"
        tensors = load_file(weights)
        del tensors[key]
        save_file(tensors, weights)
        model = DiffusersModel(settings_of(folder))
        with pytest.raises(ConfigError, match=rf"/{part} lack the tensor {key}:"):
            model.generate([model.spec(CUP, 1)])
        shutil.rmtree(folder)


def test_a_missing_tensor_of_a_text_encoder_is_found_too(copy: Callable[[str], Path]) -> None:
    folder = copy("sdxl")
    weights = folder / "text_encoder_2" / "model.safetensors"
    tensors = load_file(weights)
    gone = next(key for key in tensors if key.endswith("layers.1.mlp.fc1.weight"))
    del tensors[gone]
    save_file(tensors, weights)
    model = DiffusersModel(settings_of(folder))
    with pytest.raises(ConfigError, match=r"text_encoder_2 lack the tensor .*fc1\.weight"):
        model.generate([model.spec(CUP, 1)])


def test_tied_weights_that_are_stored_once_are_not_missing(
    open_model: Callable[..., DiffusersModel],
) -> None:
    stored = load_file(open_model("flux")._folder.path / "text_encoder_2" / "model.safetensors")
    assert not {"shared.weight", "encoder.embed_tokens.weight"} <= set(stored)
    assert one(open_model("flux"), CUP).shape == (32, 32, 3)


def test_half_a_file_is_an_error(copy: Callable[[str], Path]) -> None:
    folder = copy("sd")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100_000])
    model = DiffusersModel(settings_of(folder))
    with pytest.raises(ConfigError, match="unet cannot be read"):
        model.generate([model.spec(CUP, 1)])


def test_a_tensor_of_another_shape_is_an_error(copy: Callable[[str], Path]) -> None:
    folder = copy("sd")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    tensors["conv_in.bias"] = torch.zeros(7)
    save_file(tensors, weights)
    model = DiffusersModel(settings_of(folder))
    with pytest.raises(ConfigError, match=r"sd@.*/unet cannot be read .*conv_in\.bias"):
        model.generate([model.spec(CUP, 1)])


def test_pickled_weights_are_refused(copy: Callable[[str], Path]) -> None:
    folder = copy("sd")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save(load_file(weights), weights.with_suffix(".bin"))
    weights.unlink()
    with pytest.raises(ConfigError, match=r"unet only as diffusion_pytorch_model\.bin, a pickle"):
        DiffusersModel(settings_of(folder))


def test_missing_weights_and_folders_are_refused(copy: Callable[[str], Path]) -> None:
    folder = copy("sd")
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(ConfigError, match="no weights for unet"):
        DiffusersModel(settings_of(folder))
    shutil.rmtree(folder / "vae")
    with pytest.raises(ConfigError, match="lacks the folder 'vae'"):
        DiffusersModel(settings_of(folder))


@pytest.mark.parametrize(
    "change",
    [
        {"_class_name": ["pipeline", "MyPipeline"]},
        {"_class_name": "MyPipeline"},
        {"unet": ["my_unet", "MyUNet"]},
        {"unet": ["os", "system"]},
    ],
    ids=str,
)
def test_code_that_comes_with_a_model_is_refused(
    change: dict[str, Any], copy: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = copy("sd")
    ran = tmp_path / "ran"
    for name in ("pipeline.py", "unet/my_unet.py"):
        (folder / name).write_text(f"import pathlib; pathlib.Path({str(ran)!r}).touch()")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, **change}))
    with pytest.raises(ConfigError, match="code that comes with a model is never run"):
        DiffusersModel(settings_of(folder))
    assert not ran.exists()


def test_a_folder_that_is_no_pipeline_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model_index\.json does not exist"):
        DiffusersModel(settings_of(tmp_path))
    (tmp_path / "model_index.json").write_text("{")
    with pytest.raises(ConfigError, match="cannot be read as JSON"):
        DiffusersModel(settings_of(tmp_path))


def test_a_name_that_is_not_on_this_disk_says_so_without_the_hub() -> None:
    with pytest.raises(ConfigError, match="hub cannot be reached: check the path"):
        DiffusersModel(ModelSettings("nobody/nothing"))
    with pytest.raises(UnknownNameError, match="cannot be a name on the hub"):
        DiffusersModel(ModelSettings("./no/such/folder"))


def test_a_model_in_the_hubs_cache_is_named_by_its_commit(
    tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--acme--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    shutil.copytree(tiny("sd"), repository / "snapshots" / commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    model = DiffusersModel(dataclasses.replace(SMALL, name="acme/tiny"))
    assert model.model_id == f"acme/tiny@{commit}"
    assert one(model, CUP).shape == (32, 32, 3)
    with pytest.raises(ConfigError, match="revision 'v2'"):
        DiffusersModel(dataclasses.replace(SMALL, name="acme/tiny", revision="v2"))


def test_the_revision_of_a_local_folder_is_refused(tiny: Callable[[str], Path]) -> None:
    with pytest.raises(ConfigError, match="leave the revision out"):
        DiffusersModel(settings_of(tiny("sd"), revision="main"))


@pytest.mark.parametrize(
    ("family", "changes", "sentence"),
    [
        ("sd", {"scheduler": "EulerScheduler"}, "try .*EulerDiscreteScheduler"),
        ("sd", {"scheduler": "FlowMatchEulerDiscreteScheduler"}, "no FlowMatch"),
        ("sd3", {"scheduler": "DDIMScheduler"}, "set a FlowMatch"),
        ("sd", {"device": "gpu"}, "there is no device 'gpu'"),
        ("sd", {"dtype": "float8"}, "there is no dtype 'float8'"),
        ("sd", {"offload": "disk"}, "there is no offload 'disk'"),
        ("sd", {"offload": "model", "device": "cpu"}, "needs an NVIDIA GPU"),
        ("sd", {"height": 33}, "multiples of 8, not 32x33"),
        ("flux", {"width": 34}, "multiples of 4, not 34x32"),
        ("sd", {"num_inference_steps": 0}, "at least one step"),
        ("sd", {"guidance_scale": -1.0}, "finite number from 0 up"),
        ("sd", {"guidance_scale": float("nan")}, "finite number from 0 up"),
        ("sd", {"guidance_scale": 1.0, "negative_prompt": "glass"}, "has no effect"),
        ("flux", {"guidance_scale": 3.5}, "distilled without guidance"),
        ("flux", {"negative_prompt": "glass"}, "has no negative prompt"),
        ("sd", {"batch_size": 0}, "write 1 or more"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_followed_are_refused_at_once(
    family: str, changes: dict[str, Any], sentence: str, tiny: Callable[[str], Path]
) -> None:
    with pytest.raises((ConfigError, UnknownNameError), match=sentence):
        DiffusersModel(settings_of(tiny(family), **changes))


def test_cuda_is_refused_where_there_is_none(
    tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    with pytest.raises(ConfigError, match="no NVIDIA GPU can be seen"):
        DiffusersModel(settings_of(tiny("sd"), device="cuda"))
    assert DiffusersModel(settings_of(tiny("sd"))).profile.startswith("cpu-")


# ── adapters ─────────────────────────────────────────────────────────────────────────────────────

HAS_PEFT = importlib.util.find_spec("peft") is not None


def write_adapter(path: Path, block: str = "down_blocks.1", rank: int = 2, width: int = 64) -> Path:
    layer = f"unet.{block}.attentions.0.transformer_blocks.0.attn2.to_k"
    noise = torch.Generator().manual_seed(3)
    save_file(
        {
            f"{layer}.lora_A.weight": torch.randn(rank, 32, generator=noise),
            f"{layer}.lora_B.weight": torch.randn(width, rank, generator=noise),
        },
        path,
    )
    return path


@pytest.mark.skipif(HAS_PEFT, reason="peft is installed")
def test_adapters_without_peft_say_what_to_install(
    tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    adapter = Adapter(str(write_adapter(tmp_path / "style.safetensors")))
    with pytest.raises(ConfigError, match="pip install peft"):
        DiffusersModel(settings_of(tiny("sd"), adapters=(adapter,)))


@pytest.mark.skipif(not HAS_PEFT, reason="needs peft")
def test_an_adapter_makes_a_variant_with_keys_and_pictures_of_its_own(
    tiny: Callable[[str], Path], open_model: Callable[..., DiffusersModel], tmp_path: Path
) -> None:
    path = str(write_adapter(tmp_path / "style.safetensors"))
    plain = open_model("sd")
    strong, weak = (
        DiffusersModel(settings_of(tiny("sd"), adapters=(Adapter(path, weight),)))
        for weight in (1.0, 0.25)
    )
    ids = {model.model_id for model in (plain, strong, weak)}
    assert len(ids) == 3
    assert len({model.spec(CUP, 1).key for model in (plain, strong, weak)}) == 3
    (adapter,) = strong.spec(CUP, 1).adapters
    assert adapter.name.startswith("style.safetensors@")
    pictures = [one(model, CUP) for model in (plain, strong, weak)]
    assert not same(pictures[0], pictures[1])
    assert not same(pictures[1], pictures[2])


@pytest.mark.skipif(not HAS_PEFT, reason="needs peft")
@pytest.mark.parametrize("changes", [{"block": "elsewhere.7"}, {"width": 48}], ids=str)
def test_an_adapter_for_another_model_is_an_error(
    changes: dict[str, Any], tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    adapter = Adapter(str(write_adapter(tmp_path / "style.safetensors", **changes)))
    model = DiffusersModel(settings_of(tiny("sd"), adapters=(adapter,)))
    with pytest.raises(ConfigError, match=r"adapter style\.safetensors@.* cannot be laid over"):
        model.generate([model.spec(CUP, 1)])


@pytest.mark.skipif(not HAS_PEFT, reason="needs peft")
def test_an_adapter_is_one_safetensors_file(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    torch.save({}, tmp_path / "style.bin")
    with pytest.raises(ConfigError, match="one safetensors file"):
        DiffusersModel(settings_of(tiny("sd"), adapters=(Adapter(str(tmp_path)),)))


# ── pictures made elsewhere ──────────────────────────────────────────────────────────────────────


def write_folder(folder: Path, rows: Sequence[dict[str, Any]], kind: str = "csv") -> Path:
    folder.mkdir(exist_ok=True)
    for index, row in enumerate(rows):
        colour = (index * 20 % 256, 100, 200)
        Image.new("RGB", (12, 10), colour).save(folder / Path(row["file"]).name)
    if kind == "csv":
        with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as opened:
            writer = csv.DictWriter(opened, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        lines = "\n".join(json.dumps(row) for row in rows)
        (folder / "manifest.jsonl").write_text(lines + "\n", encoding="utf-8")
    return folder


ROWS = [
    {"file": "one.png", "prompt": 'a cup, "red"\nand old', "seed": 7},
    {"file": "two.png", "prompt": 'a cup, "red"\nand old', "seed": 3},
    {"file": "three.png", "prompt": "une tasse d'thé", "seed": 7},
]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_pictures_are_found_by_prompt_and_seed(kind: str, tmp_path: Path) -> None:
    model = FolderModel(ModelSettings(str(write_folder(tmp_path / "made", ROWS, kind))))
    assert isinstance(model, ImageModel)
    assert model.supports_seeds
    assert not model.supports_stages
    spec = model.spec((Stage(ROWS[0]["prompt"]),), 3)
    assert (spec.width, spec.height) == (12, 10)
    assert spec.model == model.model_id
    assert spec.model.startswith("folder:made@")
    assert one(model, (Stage(ROWS[0]["prompt"]),), 3)[0, 0].tolist() == [20, 100, 200]
    assert one(model, (Stage(ROWS[2]["prompt"]),), 7)[0, 0].tolist() == [40, 100, 200]


def test_without_seeds_pictures_are_counted_in_the_order_of_the_manifest(tmp_path: Path) -> None:
    rows = [{"file": row["file"], "prompt": row["prompt"]} for row in ROWS]
    model = FolderModel(ModelSettings(str(write_folder(tmp_path / "made", rows))))
    assert not model.supports_seeds
    assert one(model, (Stage(ROWS[0]["prompt"]),), 1)[0, 0].tolist() == [20, 100, 200]


def test_a_prompt_or_seed_that_the_folder_lacks_is_named(tmp_path: Path) -> None:
    model = FolderModel(ModelSettings(str(write_folder(tmp_path / "made", ROWS))))
    with pytest.raises(RenderError, match='nearest is "une tasse d\'thé"'):
        model.spec((Stage("une tasse d'the"),), 7)
    with pytest.raises(RenderError, match=r"2 pictures .* \(seeds 3 to 7\), and none of seed 4"):
        model.spec((Stage(ROWS[0]["prompt"]),), 4)
    with pytest.raises(RenderError, match="cannot switch prompts"):
        model.spec((Stage("a", 0.5), Stage(ROWS[0]["prompt"])), 7)


def test_a_folder_is_another_model_once_a_picture_changes(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "made", ROWS)
    before = FolderModel(ModelSettings(str(folder))).model_id
    assert FolderModel(ModelSettings(str(folder))).model_id == before
    Image.new("RGB", (12, 10), "white").save(folder / "two.png")
    assert FolderModel(ModelSettings(str(folder))).model_id != before


def test_a_damaged_picture_costs_only_itself(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "made", ROWS)
    noisy = np.random.default_rng(0).integers(0, 255, (10, 12, 3), dtype=np.uint8)
    Image.fromarray(noisy).save(folder / "one.png")
    whole = (folder / "one.png").read_bytes()
    (folder / "one.png").write_bytes(whole[: len(whole) // 2])
    model = FolderModel(ModelSettings(str(folder)))
    prompt = (Stage(ROWS[0]["prompt"]),)
    damaged, fine = draw(model, [model.spec(prompt, 7), model.spec(prompt, 3)])
    assert isinstance(damaged, RenderError)
    assert "one.png is damaged" in str(damaged)
    assert isinstance(fine, Image.Image)


def test_a_file_that_is_no_picture_or_claims_too_many_pixels_is_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "made", ROWS)
    (folder / "one.png").write_text("not a picture")
    side = int(LARGEST_PICTURE**0.5) + 8
    Image.new("1", (side, side)).save(folder / "two.png")
    model = FolderModel(ModelSettings(str(folder)))
    with pytest.raises(RenderError, match=r"one\.png is no picture"):
        model.spec((Stage(ROWS[0]["prompt"]),), 7)
    with pytest.raises(RenderError, match=r"two\.png claims 8200x8200 pixels"):
        model.spec((Stage(ROWS[0]["prompt"]),), 3)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([{"file": "../one.png", "prompt": "a"}], "lies outside the folder"),
        ([{"file": "a.png", "prompt": ""}], "line 2: file and prompt"),
        ([{"file": "a.png", "prompt": "a", "seed": "-1"}], "line 2: the seed '-1'"),
        (
            [{"file": "a.png", "prompt": "a", "seed": 1}, {"file": "b.png", "prompt": "a"}],
            "for some pictures only",
        ),
        ([{"file": "a.png", "prompt": "a", "seed": 1}] * 2, "two pictures of 'a' with seed 1"),
    ],
    ids=str,
)
def test_a_manifest_that_cannot_be_understood_is_refused(
    rows: list[dict[str, Any]], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        FolderModel(ModelSettings(str(write_folder(tmp_path / "made", rows))))


def test_a_folder_without_one_manifest_and_its_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no folder"):
        FolderModel(ModelSettings(str(tmp_path / "nowhere")))
    with pytest.raises(ConfigError, match="has 0 manifests"):
        FolderModel(ModelSettings(str(tmp_path)))
    folder = write_folder(tmp_path / "made", ROWS)
    (folder / "two.png").unlink()
    with pytest.raises(ConfigError, match=r"'two\.png', which does not exist"):
        FolderModel(ModelSettings(str(folder)))
    write_folder(folder, ROWS, "jsonl")
    with pytest.raises(ConfigError, match="has 2 manifests"):
        FolderModel(ModelSettings(str(folder)))


def test_finished_pictures_follow_no_drawing_settings(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "made", ROWS)
    with pytest.raises(ConfigError, match="guidance_scale can change nothing"):
        FolderModel(ModelSettings(str(folder), guidance_scale=3.0))
