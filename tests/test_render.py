"""Pictures: named by what decides them, equal whatever is drawn beside them."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from worlds import drawing
from worlds.drawing import CUP, DOGS, FAMILIES, one, pixels, same, settings_of

from lcmis.errors import ConfigError, RenderError
from lcmis.plugins.protocols import ImageModel
from lcmis.plugins.settings import ModelSettings
from lcmis.render import draw
from lcmis.render.diffusion import DiffusersModel
from lcmis.types import Stage

copy = drawing.copy
open_model = drawing.open_model
tiny = drawing.tiny


sys.path.insert(0, str(Path(__file__).parent))


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


# ── families that nobody has proved ──────────────────────────────────────────────────────────────


def test_a_pipeline_that_nobody_proved_draws_batches_of_one_prompt_in_stages(
    open_model: Callable[..., DiffusersModel],
) -> None:
    model = open_model("pixart", num_inference_steps=4, batch_size=4)  # of 3 rows some CPUs differ
    both = ("a red cup", "two dogs on a boat")
    specs = [
        *(model.spec(CUP, seed) for seed in (1, 2, 3)),
        model.spec(DOGS, 1),
        model.spec((Stage(both[0], 0.01), Stage(both[1])), 1),
        model.spec((Stage(both[0], 0.99), Stage(both[1])), 1),
        model.spec((Stage(both[0], 0.5), Stage(both[1])), 1),
    ]
    cup, _, third, dogs, at_once, never, middle = pixels(model, *specs)
    assert same(cup, one(model, CUP, 1))
    assert same(third, one(model, CUP, 3))
    assert not same(cup, dogs)
    assert same(at_once, dogs)
    assert same(never, cup)
    assert not same(middle, cup)
    assert not same(middle, dogs)
    with pytest.raises(RenderError, match="reads 300"):
        model.spec((Stage("o" * 400),), 1)


def test_a_pipeline_that_nobody_proved_is_run_by_its_authors_numbers(
    tiny: Callable[[str], Path], copy: Callable[[str], Path]
) -> None:
    spec = DiffusersModel(ModelSettings(str(tiny("pixart")))).spec(CUP, 1)
    assert (spec.num_inference_steps, spec.guidance_scale) == (20, 4.5)
    assert (spec.height, spec.width) == (256, 256)
    assert spec.profile == "cpu-float32-b4"
    folder = copy("pixart")
    config = folder / "transformer" / "config.json"
    config.write_text(config.read_text().replace('"sample_size": 32', '"sample_size": null'))
    with pytest.raises(ConfigError, match=r"nothing says .*: set height, width"):
        DiffusersModel(ModelSettings(str(folder)))


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
        "from lcmis.plugins.settings import ModelSettings\n"
        "from lcmis.render.diffusion import DiffusersModel\n"
        f"model = DiffusersModel(ModelSettings({str(tiny('sd'))!r}))\n"
        "assert model.supports_stages and model.model_id and model.profile\n"
        "print(*({'torch', 'diffusers', 'transformers', 'PIL'} & set(sys.modules)))"
    )
    root = Path(__file__).parent.parent
    shown = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=root)
    assert shown.strip() == ""


def test_opening_the_models_that_come_with_lcmis_loads_no_torch() -> None:
    code = (
        "import sys\n"
        "from lcmis.plugins.opening import open_model\n"
        "from lcmis.plugins.settings import ModelSettings\n"
        "from lcmis.teacup.models import MODELS\n"
        "assert all(open_model(ModelSettings(name)).model_id for name in MODELS)\n"
        "print(*({'torch', 'diffusers', 'transformers'} & set(sys.modules)))"
    )
    root = Path(__file__).parent.parent
    shown = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=root)
    assert shown.strip() == ""


def test_the_first_picture_may_be_asked_for_before_anybody_has_loaded_torch(
    tiny: Callable[[str], Path],
) -> None:
    code = (
        "from lcmis.plugins.settings import ModelSettings\n"
        "from lcmis.render.diffusion import DiffusersModel\n"
        "from lcmis.types import Stage\n"
        "how = dict(num_inference_steps=1, height=32, width=32)\n"
        f"model = DiffusersModel(ModelSettings({str(tiny('sd'))!r}, **how))\n"
        "print(model.generate([model.spec((Stage('a cup'),), 0)])[0].size)"
    )
    root = Path(__file__).parent.parent
    shown = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=root)
    assert shown.strip() == "(32, 32)"


def test_it_is_an_image_model(open_model: Callable[..., DiffusersModel]) -> None:
    assert isinstance(open_model("sd"), ImageModel)
