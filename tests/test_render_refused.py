"""What cannot be drawn is told before, or recorded as what failed."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from worlds import drawing, tiny_pipelines
from worlds.drawing import CUP, FAMILIES, SMALL, one, same, settings_of

from lcmis.errors import ConfigError, Refusal, RenderError, UnknownNameError
from lcmis.machine.memory import is_out_of_memory
from lcmis.plugins.settings import ModelSettings
from lcmis.render import draw
from lcmis.render.diffusion import DiffusersModel
from lcmis.types import RenderSpec, Stage

copy = drawing.copy
open_model = drawing.open_model
tiny = drawing.tiny


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

    def __init__(
        self,
        batch_size: int,
        fits: int,
        failures: int = 10**6,
        error: Exception | None = None,
        device: str = "cuda",
    ) -> None:
        self.batch_size = batch_size
        self.fits = fits
        self.failures = failures
        self.error = error or torch.OutOfMemoryError("too much")
        self.device = device
        self.seen: list[tuple[int, str]] = []

    def spec(self, stages: tuple[Stage, ...], seed: int) -> RenderSpec:
        profile = f"cpu-float32-b{self.batch_size}"
        return RenderSpec(
            self.model_id, stages, seed, 1, 0.0, "none", 8, 8, profile, device=self.device
        )

    def generate(self, specs: Sequence[RenderSpec]) -> list[Image.Image | RenderError]:
        self.seen.append((self.batch_size, specs[0].profile))
        if self.batch_size > self.fits and self.failures > 0:
            self.failures -= 1
            raise self.error
        return [Image.new("RGB", (8, 8)) for _ in specs]


def test_memory_that_runs_out_names_the_batch_size_that_fits() -> None:
    model = Greedy(batch_size=16, fits=5)
    with pytest.raises(ConfigError, match="16 pictures of 8x8; 4 fit: set batch_size = 4"):
        draw(model, [model.spec(CUP, seed) for seed in range(16)])
    assert model.batch_size == 16
    # no picture is drawn under a profile of another shape
    assert all(profile == f"cpu-float32-b{size}" for size, profile in model.seen)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate "
            "memory: you tried to allocate 400000000000000 bytes."
        ),
        RuntimeError("Storage size calculation overflowed with sizes=[1000000000000000000, 10]"),
        RuntimeError("MPS backend out of memory (MPS allocated: 17.5 GB, max allowed: 18.1 GB)"),
        MemoryError(),
    ],
    ids=["cpu", "overflow", "mac", "python"],
)
def test_main_memory_that_runs_out_is_told_as_a_devices_is(error: Exception) -> None:
    model = Greedy(batch_size=16, fits=5, error=error)
    with pytest.raises(ConfigError, match="16 pictures of 8x8; 4 fit: set batch_size = 4"):
        draw(model, [model.spec(CUP, seed) for seed in range(16)])


def test_what_torch_says_when_main_memory_runs_out_is_known_still() -> None:
    for shape in ((10**14,), (10**18, 10)):
        with pytest.raises(RuntimeError) as caught:
            torch.empty(shape)
        assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_what_fits_is_not_looked_for_by_thousands_of_pictures_on_a_cpu() -> None:
    model = Greedy(batch_size=100_000, fits=50_000, error=MemoryError(), device="cpu")
    with pytest.raises(ConfigError, match="at 100000 pictures of 8x8; 16 fit: set batch_size"):
        draw(model, [model.spec(CUP, 0)])


def test_another_error_of_torch_is_no_lack_of_memory() -> None:
    model = Greedy(batch_size=16, fits=5, error=RuntimeError("shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        draw(model, [model.spec(CUP, 0)])


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
    with pytest.raises(ConfigError, match=r"no folder .* hub cannot be reached: check the name"):
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
        ("sd", {"offload": "group", "device": "cpu"}, "needs an NVIDIA GPU"),
        ("sd", {"compiled": "fully"}, "there is no compiled = 'fully': write none, regional"),
        ("sd", {"vae_decoding": "half"}, "there is no vae_decoding = 'half': write whole"),
        ("sd", {"vae_decoding": "sliced", "batch_size": 1}, "batches of one are already"),
        ("sd", {"attention_backend": "best"}, "is none that the installed diffusers has"),
        ("sd", {"attention_backend": "flash_hub"}, "is none that the installed diffusers has"),
        ("sd", {"attention_backend": "sage"}, "in eight bits, which draws other pictures"),
        ("sd", {"attention_backend": "_native_cudnn"}, "needs an NVIDIA GPU"),
        ("sd", {"height": 33}, "multiples of 8, not 32x33"),
        ("flux", {"width": 34}, "multiples of 4, not 34x32"),
        ("sd", {"num_inference_steps": 0}, "at least one step"),
        ("sd", {"guidance_scale": -1.0}, "finite number from 0 up"),
        ("sd", {"guidance_scale": float("nan")}, "finite number from 0 up"),
        ("sd", {"guidance_scale": 1.0, "negative_prompt": "glass"}, "has no effect"),
        ("flux", {"guidance_scale": 3.5}, "distilled without guidance"),
        ("flux", {"negative_prompt": "glass"}, "has no negative prompt"),
        ("sd", {"height": 0}, "multiples of 8, not 32x0"),
        ("sd", {"height": 0, "width": 0, "batch_size": 1}, "multiples of 8, not 0x0"),
        ("sd", {"width": -8}, "multiples of 8, not -8x32"),
        ("sd", {"width": 16384}, "has 16383 pixels a side at most"),
        ("sd", {"batch_size": 0}, "write 1 or more"),
        ("sd", {"batch_size": 10**30}, "write 1 or more, and at most 1,000,000"),
        ("sd", {"threads": 20_000}, "threads = 20000, and this machine has .* cores: write"),
        ("sd", {"threads": 10**12}, "threads = 1000000000000, and this machine has"),
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
