"""Every form in which models come is drawn as its own program draws it, or told what lacks."""

from __future__ import annotations

import dataclasses
import json
import shutil
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from worlds import drawing, single_files, zoo
from worlds.drawing import CUP, DOGS, one, same, settings_of
from worlds.installed import without

from lcmis.errors import ConfigError
from lcmis.plugins.settings import ModelSettings
from lcmis.render.diffusion import DiffusersModel
from lcmis.types import Adapter, Embedding, RenderSpec, Stage

copy = drawing.copy
open_model = drawing.open_model
tiny = drawing.tiny

Tiny = Callable[[str], Path]


def test_settings_that_say_nothing_of_forms_leave_every_key_as_it_was() -> None:
    spec = RenderSpec("m@1", (Stage("a cup"),), 1, 4, 7.0, "Euler", 32, 32, "cpu-float32-b1")
    assert spec.key == "k1:e9abf70386613258ef2477d7528b189e"
    for change in (
        {"vae": "v@1"},
        {"base": "b@1"},
        {"variant": "fp16"},
        {"embeddings": (Embedding("e@1", "<e>"),)},
    ):
        assert dataclasses.replace(spec, **change).key != spec.key


def configuration_only(folder: Path) -> Path:
    """What a base needs to be where the file holds all weights."""
    for file in folder.rglob("*.safetensors"):
        file.unlink()
    return folder


# ── single files ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("family", single_files.LAYOUTS)
def test_a_checkpoint_of_a_sharing_site_draws_what_its_folder_draws(
    family: str,
    tiny: Tiny,
    copy: Tiny,
    open_model: Callable[..., DiffusersModel],
    tmp_path: Path,
) -> None:
    file = single_files.checkpoint(family, tiny(family), tmp_path / "dream.safetensors")
    model = DiffusersModel(settings_of(file, base=str(configuration_only(copy(family)))))
    assert same(one(model, CUP), one(open_model(family), CUP))
    assert not same(one(model, CUP), one(model, DOGS))


def narrow(convert: Callable[..., Any], width: int) -> Callable[..., Any]:
    """diffusers' own converter of FLUX, whose code says that every FLUX is 3,072 wide; nothing else
    of it is changed.
    """
    code = convert.__code__
    consts = tuple(width if one == 3072 else one for one in code.co_consts)
    assert consts != code.co_consts
    return types.FunctionType(code.replace(co_consts=consts), convert.__globals__)


@pytest.mark.parametrize("family", single_files.TRANSFORMERS)
def test_a_transformer_in_its_authors_layout_draws_bit_for_bit_what_its_folder_draws(
    family: str,
    tiny: Tiny,
    open_model: Callable[..., DiffusersModel],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from diffusers.loaders import single_file_model, single_file_utils

    known = single_file_model.SINGLE_FILE_LOADABLE_CLASSES["FluxTransformer2DModel"]
    convert = single_file_utils.convert_flux_transformer_checkpoint_to_diffusers
    config = json.loads((tiny(family) / "transformer" / "config.json").read_text())
    width = config["num_attention_heads"] * config["attention_head_dim"]
    monkeypatch.setitem(known, "checkpoint_mapping_fn", narrow(convert, width))
    file = single_files.transformer(family, tiny(family), tmp_path / "dream.safetensors")
    named = safe_open(file, framework="pt").keys()
    assert not set(named) & set(single_files.weights(tiny(family), "transformer"))
    model = DiffusersModel(settings_of(file, base=str(tiny(family))))
    assert same(one(model, CUP), one(open_model(family), CUP))
    assert not same(one(model, CUP), one(model, DOGS))


def test_a_checkpoint_without_text_encoder_takes_it_from_its_base(
    tiny: Tiny, open_model: Callable[..., DiffusersModel], tmp_path: Path
) -> None:
    file = single_files.checkpoint(
        "sd", tiny("sd"), tmp_path / "part.safetensors", without="cond_stage_model."
    )
    model = DiffusersModel(settings_of(file, base=str(tiny("sd"))))
    assert same(one(model, CUP), one(open_model("sd"), CUP))


def test_the_file_and_its_base_are_both_in_the_name_and_in_the_spec(
    tiny: Tiny, tmp_path: Path
) -> None:
    file = single_files.checkpoint("sd", tiny("sd"), tmp_path / "dream.safetensors")
    model = DiffusersModel(settings_of(file, base=str(tiny("sd"))))
    spec = model.spec(CUP, 1)
    name, _, base = spec.model.partition("+base:")
    assert name.startswith("dream.safetensors@")
    assert base == spec.base
    assert spec.base.startswith("sd@")
    before = spec.key
    tensors = load_file(file)
    tensors["model.diffusion_model.out.2.bias"] += 1
    save_file(tensors, file)
    assert DiffusersModel(settings_of(file, base=str(tiny("sd")))).spec(CUP, 1).key != before


def test_loading_a_file_and_a_word_says_nothing_that_is_not_ours(
    tiny: Tiny, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    file = single_files.checkpoint("sd", tiny("sd"), tmp_path / "dream.safetensors")
    words = (Embedding(str(word(tmp_path / "toy.safetensors"))),)
    model = DiffusersModel(settings_of(file, base=str(tiny("sd")), embeddings=words))
    capfd.readouterr()
    one(model, CUP)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_a_single_file_without_a_base_names_the_one_that_it_looks_made_from(
    tiny: Tiny, tmp_path: Path
) -> None:
    file = single_files.checkpoint("sdxl", tiny("sdxl"), tmp_path / "dream.safetensors")
    with pytest.raises(ConfigError, match=r"does not say how its model is built: name .* --base"):
        DiffusersModel(settings_of(file))
    mark = "conditioner.embedders.1.model.transformer.resblocks.9.mlp.c_proj.bias"
    file = single_files.checkpoint(
        "sdxl", tiny("sdxl"), tmp_path / "marked.safetensors", **{mark: torch.zeros(32)}
    )
    with pytest.raises(ConfigError, match=r"--base stabilityai/stable-diffusion-xl-base-1\.0;"):
        DiffusersModel(settings_of(file))


@pytest.mark.parametrize(
    ("begins", "part", "says"),
    [
        ("model.diffusion_model.middle_block.0.in_layers.2.bias", "unet", "lacks the tensor"),
        ("first_stage_model.decoder.conv_out.bias", "vae", "lacks the tensor"),
        ("cond_stage_model.transformer.text_model.final_layer_norm.bias", "text_encoder", "lacks"),
    ],
)
def test_a_tensor_that_a_single_file_lacks_is_told_and_not_drawn_at_random(
    begins: str, part: str, says: str, tiny: Tiny, tmp_path: Path
) -> None:
    file = single_files.checkpoint("sd", tiny("sd"), tmp_path / "x.safetensors", without=begins)
    model = DiffusersModel(settings_of(file, base=str(tiny("sd"))))
    with pytest.raises(ConfigError, match=rf"/{part} {says}"):
        model.generate([model.spec(CUP, 1)])


def test_a_base_that_the_file_was_not_made_from_is_told(tiny: Tiny, tmp_path: Path) -> None:
    file = single_files.checkpoint("sdxl", tiny("sdxl"), tmp_path / "x.safetensors")
    model = DiffusersModel(settings_of(file, base=str(tiny("sd"))))
    with pytest.raises(ConfigError, match="base that it was made from"):
        model.generate([model.spec(CUP, 1)])


def test_numbers_that_the_base_has_no_place_for_are_not_left_out_in_silence(
    tiny: Tiny, tmp_path: Path
) -> None:
    scale = {"model.diffusion_model.out.2.scale_weight": torch.ones(7)}
    file = single_files.checkpoint("sd", tiny("sd"), tmp_path / "x.safetensors", **scale)
    model = DiffusersModel(settings_of(file, base=str(tiny("sd"))))
    with pytest.raises(ConfigError, match=r"unet holds 7 numbers for which sd@.* has no place"):
        model.generate([model.spec(CUP, 1)])


def test_a_checkpoint_that_says_it_predicts_velocity_is_drawn_so(
    tiny: Tiny, tmp_path: Path
) -> None:
    file = single_files.checkpoint(
        "sd", tiny("sd"), tmp_path / "x.safetensors", v_pred=torch.zeros(0), ztsnr=torch.zeros(0)
    )
    model = DiffusersModel(settings_of(file, base=str(tiny("sd"))))
    one(model, CUP)
    config = model._pipeline.scheduler.config
    assert (config.prediction_type, config.rescale_betas_zero_snr) == ("v_prediction", True)


@pytest.mark.parametrize("numbers", [torch.float16, torch.float8_e4m3fn], ids=str)
def test_a_checkpoint_in_fewer_bits_draws_nearly_the_same(
    numbers: torch.dtype, tiny: Tiny, open_model: Callable[..., DiffusersModel], tmp_path: Path
) -> None:
    file = single_files.checkpoint("sd", tiny("sd"), tmp_path / "x.safetensors")
    tensors = load_file(file)
    save_file(
        {
            key: one.to(numbers if key.startswith("model.diffusion_model.") else torch.float16)
            for key, one in tensors.items()
        },
        file,
    )
    drawn = one(DiffusersModel(settings_of(file, base=str(tiny("sd")))), CUP).astype(int)
    distance = np.abs(drawn - one(open_model("sd"), CUP)).mean()
    assert distance < 3 if numbers == torch.float16 else distance < 15


@pytest.mark.parametrize(
    ("family", "component", "kind", "write"),
    [
        ("sd", "text_encoder", "CLIPTextModel", single_files.open_clip("cond_stage_model.model.")),
        (
            "sd3",
            "text_encoder",
            "CLIPTextModelWithProjection",
            single_files.clip("text_encoders.clip_l.transformer."),
        ),
        (
            "sd3",
            "text_encoder_2",
            "CLIPTextModelWithProjection",
            single_files.clip("text_encoders.clip_g.transformer."),
        ),
        ("sd3", "text_encoder_3", "T5EncoderModel", single_files.t5),
        ("flux", "text_encoder_2", "T5EncoderModel", single_files.t5),
    ],
)
def test_text_encoders_of_other_layouts_come_out_of_the_file_whole(
    family: str, component: str, kind: str, write: Any, tiny: Tiny, tmp_path: Path
) -> None:
    import transformers

    from lcmis.machine.hub import locate
    from lcmis.render.forms.single import SingleFile
    from lcmis.render.pipeline_folder import PipelineFolder

    own = single_files.weights(tiny(family), component)
    file = tmp_path / "x.safetensors"
    denoiser = {"model.diffusion_model.x": torch.zeros(2), "model.diffusion_model.y": torch.ones(2)}
    save_file(write(own) | denoiser, file)
    single, base = SingleFile(locate(str(file), None)), PipelineFolder(tiny(family), family)
    assert single.holds(component, kind)
    assert not single.holds("vae", "AutoencoderKL")
    network = single.load(component, getattr(transformers, kind), base, torch.float32)
    read = {key.removeprefix("text_model."): one for key, one in network.state_dict().items()}
    for key, tensor in own.items():
        assert torch.equal(read[key.removeprefix("text_model.")], tensor), key


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        ({"unet.a.lora_A.weight": (2, 2), "unet.a.lora_B.weight": (2, 2)}, "--adapter x.saf"),
        ({"emb_params": (2, 32)}, "--embedding x.safetensors"),
        ({"clip_l": (2, 32), "clip_g": (2, 32)}, "--embedding x.safetensors"),
        ({"control_model.time_embed.0.weight": (2, 2), "b": (2,)}, "is a ControlNet"),
        ({"decoder.conv_in.weight": (2, 2), "encoder.conv_in.weight": (2,)}, "goes into --vae"),
    ],
    ids=["adapter", "word", "word for two", "controlnet", "vae"],
)
def test_a_file_that_is_no_model_says_what_it_is(
    tensors: dict[str, tuple[int, ...]], says: str, tiny: Tiny, tmp_path: Path
) -> None:
    file = tmp_path / "x.safetensors"
    save_file({key: torch.zeros(shape) for key, shape in tensors.items()}, file)
    with pytest.raises(ConfigError, match=says):
        DiffusersModel(settings_of(file, base=str(tiny("sd"))))


def test_files_that_are_pickles_or_of_another_kind_or_cut_are_refused(tmp_path: Path) -> None:
    for name, says in (("x.ckpt", "is a pickle"), ("x.zip", "no file of weights that lcmis knows")):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(ConfigError, match=says):
            DiffusersModel(settings_of(tmp_path / name))
    save_file({"a": torch.zeros(100), "b": torch.zeros(2)}, tmp_path / "x.safetensors")
    whole = (tmp_path / "x.safetensors").read_bytes()
    for damaged in (whole[:-4], whole[:10], b"", whole + b"x", b"\xff" * 64):
        (tmp_path / "x.safetensors").write_bytes(damaged)
        with pytest.raises(ConfigError, match=r"x\.safetensors@.*copy it again"):
            DiffusersModel(settings_of(tmp_path / "x.safetensors"))


def test_settings_of_files_are_refused_for_folders_and_those_of_folders_for_files(
    tiny: Tiny, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="says itself how it is built"):
        DiffusersModel(settings_of(tiny("sd"), base="some/base"))
    file = single_files.checkpoint("sd", tiny("sd"), tmp_path / "x.safetensors")
    with pytest.raises(ConfigError, match="is a file, which does not say"):
        DiffusersModel(settings_of(file, base=str(file)))
    with pytest.raises(ConfigError, match="has no variants"):
        DiffusersModel(settings_of(file, base=str(tiny("sd")), variant="fp16"))


@pytest.mark.parametrize(
    "form",
    [
        {"base": "b"},
        {"vae": "v"},
        {"variant": "fp16"},
        {"embeddings": (Embedding("e"),)},
    ],
    ids=lambda form: next(iter(form)),
)
@pytest.mark.parametrize("name", ["hosted:x", "folder:."])
def test_models_that_do_not_draw_here_refuse_forms_by_name(name: str, form: dict[str, Any]) -> None:
    from lcmis.plugins.opening import open_model as opened
    from lcmis.plugins.settings import HostedSettings

    there = HostedSettings("http://localhost:9/v1") if name == "hosted:x" else None
    with pytest.raises(ConfigError, match=rf"\b{next(iter(form))}\b"):
        opened(ModelSettings(name, hosted=there, **form))


# ── quantised ────────────────────────────────────────────────────────────────────────────────────


def write_gguf(tensors: dict[str, torch.Tensor], file: Path, architecture: str = "flux") -> Path:
    """Eight bits where rows are long enough, as llama.cpp's quantiser does."""
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(str(file), architecture)
    kind = gguf.GGMLQuantizationType.Q8_0
    for key, tensor in tensors.items():
        numbers = tensor.float().numpy()
        if numbers.ndim == 2 and numbers.shape[-1] % 32 == 0:
            writer.add_tensor(key, gguf.quants.quantize(numbers, kind), raw_dtype=kind)
        else:
            writer.add_tensor(key, numbers)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def near(left: np.ndarray, right: np.ndarray) -> bool:
    """Nearly the same picture: another one of these is 20 and more away."""
    return 0 < np.abs(left.astype(int) - right.astype(int)).mean() < 3


@pytest.mark.parametrize("family", ["flux", "sd"])
def test_a_gguf_denoiser_draws_nearly_what_the_whole_numbers_draw(
    family: str, tiny: Tiny, open_model: Callable[..., DiffusersModel], tmp_path: Path
) -> None:
    if family == "flux":
        tensors = single_files.weights(tiny("flux"), "transformer")
    else:
        prefix = "model.diffusion_model."
        tensors = {
            key.removeprefix(prefix): tensor
            for key, tensor in single_files.original("sd", tiny("sd")).items()
            if key.startswith(prefix)
        }
    file = write_gguf(tensors, tmp_path / "q8.gguf")
    model = DiffusersModel(settings_of(file, base=str(tiny(family))))
    assert near(one(model, CUP), one(open_model(family), CUP))
    assert not near(one(model, DOGS), one(open_model(family), CUP))
    assert model.model_id.startswith("q8.gguf@")


def test_a_gguf_that_lacks_a_tensor_or_is_damaged_or_speaks_is_told(
    tiny: Tiny, tmp_path: Path
) -> None:
    tensors = single_files.weights(tiny("flux"), "transformer")
    del tensors["proj_out.bias"]
    file = write_gguf(tensors, tmp_path / "x.gguf")
    model = DiffusersModel(settings_of(file, base=str(tiny("flux"))))
    with pytest.raises(ConfigError, match=r"transformer lacks the tensor proj_out\.bias"):
        model.generate([model.spec(CUP, 1)])
    file.write_bytes(b"GGUF and no more")
    with pytest.raises(ConfigError, match="cannot be read as GGUF"):
        DiffusersModel(settings_of(file, base=str(tiny("flux"))))
    write_gguf({"blk.0.weight": torch.zeros(2, 32)}, file, "llama")
    with pytest.raises(ConfigError, match=r"is a language model \(llama\)"):
        DiffusersModel(settings_of(file, base=str(tiny("flux"))))


def test_a_gguf_without_its_package_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without("gguf", monkeypatch)
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    with pytest.raises(ConfigError, match=r'the package gguf: `pip install "lcmis\[gguf\]"`'):
        DiffusersModel(settings_of(tmp_path / "x.gguf", base="some/base"))


def quantised_by(method: str, folder: Path, component: str) -> Path:
    """A component that says that it is quantised, and is not."""
    file = folder / component / "config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps(config | {"quantization_config": {"quant_method": method}}))
    return folder


@pytest.mark.parametrize(
    ("method", "package"),
    [("torchao", "torchao"), ("bitsandbytes", "bitsandbytes"), ("gptq", "gptqmodel")],
)
def test_a_quantised_folder_without_its_package_names_it(
    method: str, package: str, copy: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(package, monkeypatch)
    folder = quantised_by(method, copy("sd"), "text_encoder")
    with pytest.raises(ConfigError, match=f"text_encoder is quantised by {method}, .*{package}"):
        DiffusersModel(settings_of(folder))


def test_weights_quantised_in_a_way_that_nobody_knows_are_told(copy: Tiny) -> None:
    folder = quantised_by("my-own", copy("sd"), "unet")
    with pytest.raises(ConfigError, match="unet is quantised by my-own, which lcmis cannot read"):
        DiffusersModel(settings_of(folder))


def test_a_denoiser_in_bitsandbytes_wants_a_gpu_and_says_so(copy: Tiny) -> None:
    pytest.importorskip("bitsandbytes")
    folder = quantised_by("bitsandbytes", copy("sd"), "unet")
    with pytest.raises(ConfigError, match="on a GPU only"):
        DiffusersModel(settings_of(folder, device="cpu"))


def test_a_folder_quantised_by_torchao_draws_nearly_what_the_whole_numbers_draw(
    tiny: Tiny, open_model: Callable[..., DiffusersModel], copy: Tiny
) -> None:
    quantization = pytest.importorskip("torchao.quantization")
    import diffusers

    folder = copy("flux")
    shutil.rmtree(folder / "transformer")
    diffusers.FluxTransformer2DModel.from_pretrained(
        tiny("flux") / "transformer",
        quantization_config=diffusers.TorchAoConfig(quantization.Int8WeightOnlyConfig(version=2)),
        torch_dtype=torch.float32,
    ).save_pretrained(folder / "transformer")
    model = DiffusersModel(settings_of(folder))
    assert near(one(model, CUP), one(open_model("flux"), CUP))


def test_a_text_encoder_quantised_by_bitsandbytes_is_read(
    tiny: Tiny, open_model: Callable[..., DiffusersModel], copy: Tiny
) -> None:
    pytest.importorskip("bitsandbytes")
    import transformers

    folder = copy("flux")
    shutil.rmtree(folder / "text_encoder_2")
    transformers.T5EncoderModel.from_pretrained(
        tiny("flux") / "text_encoder_2",
        quantization_config=transformers.BitsAndBytesConfig(load_in_8bit=True),
        dtype=torch.float32,
    ).save_pretrained(folder / "text_encoder_2")
    model = DiffusersModel(settings_of(folder))
    assert near(one(model, CUP), one(open_model("flux"), CUP))


# ── variants and shards ──────────────────────────────────────────────────────────────────────────


def as_variant(folder: Path, component: str, variant: str, change: float = 0.0) -> Path:
    """A component's weights once more, under another name and a little different."""
    (file,) = (
        one for one in (folder / component).glob("*.safetensors") if one.name.count(".") == 1
    )
    tensors = {key: tensor + change for key, tensor in load_file(file).items()}
    other = file.with_name(f"{file.stem}.{variant}.safetensors")
    save_file(tensors, other, {"format": "pt"})
    return other


def test_the_variant_that_is_asked_for_is_loaded_and_named(
    copy: Tiny, open_model: Callable[..., DiffusersModel]
) -> None:
    folder = copy("sd")
    as_variant(folder, "unet", "fp16", 0.01)
    plain = DiffusersModel(settings_of(folder))
    half = DiffusersModel(settings_of(folder, variant="fp16"))
    assert same(one(plain, CUP), one(open_model("sd"), CUP))
    assert not same(one(plain, CUP), one(half, CUP))
    assert half.model_id == f"{plain.model_id}+variant:fp16"
    assert half.spec(CUP, 1).variant == "fp16"
    assert half.spec(CUP, 1).key != plain.spec(CUP, 1).key


def test_components_that_come_in_one_variant_only_are_found_each_for_itself(
    copy: Tiny, open_model: Callable[..., DiffusersModel]
) -> None:
    folder = copy("sd")
    for component, variant in (("unet", "fp16"), ("text_encoder", "bf16")):
        written = as_variant(folder, component, variant)
        written.with_name(written.name.replace(f".{variant}", "")).unlink()
    assert same(one(DiffusersModel(settings_of(folder)), CUP), one(open_model("sd"), CUP))


def test_several_variants_and_no_plain_one_want_a_choice(copy: Tiny) -> None:
    folder = copy("sd")
    for variant in ("fp16", "bf16"):
        as_variant(folder, "unet", variant)
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(ConfigError, match=r'unet comes as bf16 and fp16: .*variant = "bf16"'):
        DiffusersModel(settings_of(folder))
    DiffusersModel(settings_of(folder, variant="fp16"))
    with pytest.raises(ConfigError, match="comes as bf16 and fp16"):
        DiffusersModel(settings_of(folder, variant="int8"))


def test_a_variant_that_no_component_has_is_refused(copy: Tiny) -> None:
    with pytest.raises(ConfigError, match="no weights in the variant 'fp16'"):
        DiffusersModel(settings_of(copy("sd"), variant="fp16"))


def test_weights_in_shards_are_put_together_and_a_lost_shard_is_told(
    copy: Tiny, open_model: Callable[..., DiffusersModel]
) -> None:
    from diffusers import UNet2DConditionModel

    folder = copy("sd")
    unet = UNet2DConditionModel.from_pretrained(folder / "unet", use_safetensors=True)
    shutil.rmtree(folder / "unet")
    for variant in (None, "fp16"):
        unet.save_pretrained(folder / "unet", max_shard_size="600KB", variant=variant)
    assert same(one(DiffusersModel(settings_of(folder)), CUP), one(open_model("sd"), CUP))
    half = DiffusersModel(settings_of(folder, variant="fp16"))
    assert same(one(half, CUP), one(open_model("sd"), CUP))
    shards = sorted((folder / "unet").glob("*fp16-00*.safetensors"))
    assert len(shards) > 1
    shards[0].unlink()
    with pytest.raises(ConfigError, match=rf"unet lacks {shards[0].name}, one of {len(shards)}"):
        DiffusersModel(settings_of(folder, variant="fp16"))


# ── another VAE ──────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def softer(copy: Tiny) -> Path:
    """A tiny pipeline of which only the VAE is another."""
    folder = copy("sd")
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    tensors["decoder.conv_out.bias"] += 0.2
    save_file(tensors, file, {"format": "pt"})
    return folder


@pytest.mark.parametrize("form", ["folder", "pipeline", "file"])
def test_another_vae_draws_in_its_place_and_is_named(
    form: str, softer: Path, tiny: Tiny, open_model: Callable[..., DiffusersModel], tmp_path: Path
) -> None:
    where = {"folder": softer / "vae", "pipeline": softer, "file": tmp_path / "vae.safetensors"}
    if form == "file":  # as sharing sites have it: no prefix, their authors' names
        written = single_files.vae(single_files.weights(softer, "vae"))
        prefix = "first_stage_model."
        save_file({key.removeprefix(prefix): one for key, one in written.items()}, where["file"])
    model = DiffusersModel(settings_of(tiny("sd"), vae=str(where[form])))
    assert same(one(model, CUP), one(DiffusersModel(settings_of(softer)), CUP))
    plain, spec = open_model("sd"), model.spec(CUP, 1)
    assert not same(one(model, CUP), one(plain, CUP))
    assert spec.model == f"{plain.model_id}+vae:{spec.vae}"
    assert spec.vae.partition("@")[0] == where[form].name


def test_a_vae_of_another_shape_or_none_is_refused(
    softer: Path, tiny: Tiny, tmp_path: Path
) -> None:
    config = softer / "vae" / "config.json"
    was = json.loads(config.read_text())
    for change, says in (
        ({"latent_channels": 16}, "makes other latents .*latent_channels is 16, not 4"),
        ({"_class_name": "AutoencoderDC"}, "is a AutoencoderDC, and sd@.* has a AutoencoderKL"),
    ):
        config.write_text(json.dumps(was | change))
        with pytest.raises(ConfigError, match=says):
            DiffusersModel(settings_of(tiny("sd"), vae=str(softer / "vae")))
    with pytest.raises(ConfigError, match=r"config\.json does not exist"):
        DiffusersModel(settings_of(tiny("sd"), vae=str(tmp_path)))
    save_file({"emb_params": torch.zeros(2)}, tmp_path / "x.safetensors")
    with pytest.raises(ConfigError, match="is no VAE"):
        DiffusersModel(settings_of(tiny("sd"), vae=str(tmp_path / "x.safetensors")))


# ── words of one's own ───────────────────────────────────────────────────────────────────────────


def word(path: Path, count: int = 1, width: int = 32, key: str = "<cat-toy>") -> Path:
    vectors = 3 * torch.randn(count, width, generator=torch.Generator().manual_seed(1))
    save_file({key: vectors[0] if count == 1 and key != "emb_params" else vectors}, path)
    return path


TOY = (Stage("a photo of <cat-toy>"),)


@pytest.mark.parametrize("count", [1, 3])
def test_a_word_is_read_as_its_vectors_and_is_in_the_spec(
    count: int, tiny: Tiny, open_model: Callable[..., DiffusersModel], tmp_path: Path
) -> None:
    file = word(tmp_path / "toy.safetensors", count)
    model = DiffusersModel(settings_of(tiny("sd"), embeddings=(Embedding(str(file)),)))
    plain = open_model("sd")
    (embedding,) = model.spec(TOY, 1).embeddings
    assert embedding.token == "<cat-toy>"
    assert embedding.name.startswith("toy.safetensors@")
    assert model.model_id == f"{plain.model_id}+{embedding.name}=<cat-toy>"
    assert not same(one(model, TOY), one(plain, TOY))
    assert same(one(model, CUP), one(plain, CUP))

    from diffusers import StableDiffusionPipeline

    theirs = StableDiffusionPipeline.from_pretrained(tiny("sd"), use_safetensors=True)
    theirs.load_textual_inversion(str(tmp_path), weight_name=file.name)
    theirs.set_progress_bar_config(disable=True)
    picture = theirs(
        [TOY[0].prompt] * 3,
        num_inference_steps=4,
        height=32,
        width=32,
        generator=[torch.Generator("cpu").manual_seed(1) for _ in range(3)],
    ).images[0]
    assert np.abs(np.asarray(picture).astype(int) - one(model, TOY).astype(int)).max() <= 1


def test_every_vector_of_a_word_counts_as_a_token(tiny: Tiny, tmp_path: Path) -> None:
    file = word(tmp_path / "toy.safetensors", 5)
    model = DiffusersModel(settings_of(tiny("sd"), embeddings=(Embedding(str(file)),)))
    fits = " ".join(["o"] * 70)
    model.spec((Stage(f"{fits} <cat-toy>"),), 1)
    from lcmis.errors import RenderError

    with pytest.raises(RenderError, match="has 78 tokens"):
        model.spec((Stage(f"{fits} o <cat-toy>"),), 1)


def test_a_word_is_spelled_as_asked_else_as_its_file_is_called(tiny: Tiny, tmp_path: Path) -> None:
    file = word(tmp_path / "easynegative.safetensors", 2, key="emb_params")
    asked, usual = (
        DiffusersModel(settings_of(tiny("sd"), embeddings=(Embedding(str(file), token),)))
        for token in ("<bad>", "")
    )
    assert [one.spec(CUP, 1).embeddings[0].token for one in (asked, usual)] == [
        "<bad>",
        "easynegative",
    ]
    assert asked.spec(CUP, 1).key != usual.spec(CUP, 1).key


def test_a_word_for_two_text_encoders_is_taught_to_both(
    tiny: Tiny, open_model: Callable[..., DiffusersModel], tmp_path: Path
) -> None:
    noise = torch.Generator().manual_seed(1)
    file = tmp_path / "toy.safetensors"
    vectors = {name: 3 * torch.randn(2, 32, generator=noise) for name in ("clip_l", "clip_g")}
    save_file(vectors, file)
    model = DiffusersModel(settings_of(tiny("sdxl"), embeddings=(Embedding(str(file), "<toy>"),)))
    stages = (Stage("a <toy>"),)
    assert not same(one(model, stages), one(open_model("sdxl"), stages))
    table = model._pipeline.text_encoder_2.get_input_embeddings().weight
    token = model._pipeline.tokenizer_2.convert_tokens_to_ids("<toy>")
    assert torch.equal(table[token], vectors["clip_g"][0])


@pytest.mark.parametrize(
    ("family", "tensors", "token", "says"),
    [
        ("sd", {"<a>": (48,)}, "", "are 48 wide and text_encoder of sd@.* reads 32"),
        ("sdxl", {"<a>": (32,)}, "", "take a word that was made for it"),
        ("sd", {"clip_l": (1, 32), "clip_g": (1, 32)}, "", "take a word that was made for it"),
        ("flux", {"<a>": (32,)}, "", "cannot be taught words of one's own"),
        ("sd", {"a": (32,), "b": (32,), "c": (32,)}, "", "holds 3 tensors"),
        ("sd", {"<a>": (32,)}, "two words", "give it a token without spaces"),
    ],
)
def test_a_word_that_was_made_for_another_model_is_refused(
    family: str,
    tensors: dict[str, tuple[int, ...]],
    token: str,
    says: str,
    tiny: Tiny,
    tmp_path: Path,
) -> None:
    file = tmp_path / "x.safetensors"
    save_file({key: torch.zeros(shape) for key, shape in tensors.items()}, file)
    with pytest.raises(ConfigError, match=says):
        DiffusersModel(settings_of(tiny(family), embeddings=(Embedding(str(file), token),)))


def test_a_word_that_the_model_knows_already_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    file = word(tmp_path / "toy.safetensors")
    model = DiffusersModel(settings_of(tiny("sd"), embeddings=(Embedding(str(file), "a"),)))
    with pytest.raises(ConfigError, match="knows the token 'a'"):
        model.spec(CUP, 1)


def test_a_word_that_is_a_pickle_or_not_finite_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    torch.save({}, tmp_path / "x.pt")
    with pytest.raises(ConfigError, match="it is a pickle"):
        DiffusersModel(settings_of(tiny("sd"), embeddings=(Embedding(str(tmp_path / "x.pt")),)))
    file = tmp_path / "x.safetensors"
    save_file({"<x>": torch.full((32,), float("nan"))}, file)
    model = DiffusersModel(settings_of(tiny("sd"), embeddings=(Embedding(str(file)),)))
    with pytest.raises(ConfigError, match="not finite"):
        model.generate([model.spec(CUP, 1)])


# ── forms together ───────────────────────────────────────────────────────────────────────────────


def test_a_file_takes_an_adapter_a_vae_and_a_word_at_once(
    softer: Path, tiny: Tiny, tmp_path: Path
) -> None:
    from test_adapters import write_adapter

    everything = {
        "adapters": (Adapter(str(write_adapter(tmp_path / "style.safetensors")), 0.5),),
        "vae": str(softer / "vae"),
        "embeddings": (Embedding(str(word(tmp_path / "toy.safetensors"))),),
    }
    file = single_files.checkpoint("sd", tiny("sd"), tmp_path / "dream.safetensors")
    model = DiffusersModel(settings_of(file, base=str(tiny("sd")), **everything))
    folder = DiffusersModel(settings_of(tiny("sd"), **everything))
    assert same(one(model, TOY), one(folder, TOY))
    for left_out in everything:
        rest = {name: value for name, value in everything.items() if name != left_out}
        other = DiffusersModel(settings_of(file, base=str(tiny("sd")), **rest))
        assert other.spec(TOY, 1).key != model.spec(TOY, 1).key


# ── what draws no pictures of prompts ────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("class_name", "says"),
    [
        ("StableDiffusionImg2ImgPipeline", "draws over a picture"),
        ("StableDiffusionXLInpaintPipeline", "fills a hole"),
        ("StableDiffusionUpscalePipeline", "enlarges"),
        ("StableDiffusionControlNetPipeline", "follows a picture"),
        ("WanPipeline", "makes films"),
        ("CogVideoXPipeline", "makes films"),
        ("StableAudioPipeline", "makes sound"),
        ("QwenImageEditPipeline", "edits a picture"),
        ("MarigoldDepthPipeline", "measures a picture"),
        ("DDPMPipeline", "is told no prompt"),
        ("StableCascadePriorPipeline", "only the first half"),
        ("OnnxStableDiffusionPipeline", "runs in ONNX"),
    ],
)
def test_a_pipeline_that_does_something_else_is_told_before_anything_is_loaded(
    class_name: str, says: str, copy: Tiny
) -> None:
    folder = configuration_only(copy("sd"))
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"_class_name": class_name}))
    with pytest.raises(ConfigError, match=f"is a {class_name}, which .*{says}.*from a prompt"):
        DiffusersModel(settings_of(folder))


def test_every_pipeline_that_diffusers_calls_text_to_image_is_let_through() -> None:
    from diffusers.pipelines.auto_pipeline import AUTO_TEXT2IMAGE_PIPELINES_MAPPING

    from lcmis.render.forms.kinds import other_kind

    named = [kind.__name__ for kind in AUTO_TEXT2IMAGE_PIPELINES_MAPPING.values()]
    refused = {name: what for name in named if (what := other_kind(name))}
    assert len(named) - len(refused) >= 30
    given = ("Control", "Inpaint")
    assert not [
        name
        for name, what in refused.items()
        if what != "makes films" and not any(word in name for word in given)
    ]


def test_what_diffusers_calls_image_to_image_or_inpainting_alone_is_refused() -> None:
    from diffusers.pipelines import auto_pipeline as auto

    from lcmis.render.forms.kinds import other_kind

    text = {kind.__name__ for kind in auto.AUTO_TEXT2IMAGE_PIPELINES_MAPPING.values()}
    for mapping in (auto.AUTO_IMAGE2IMAGE_PIPELINES_MAPPING, auto.AUTO_INPAINT_PIPELINES_MAPPING):
        for kind in mapping.values():
            drawn_without = kind.__name__ in text or "Kontext" in kind.__name__
            assert other_kind(kind.__name__) or drawn_without, kind.__name__


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (
            {"config.json": {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}},
            "is a transformers model, a LlamaForCausalLM",
        ),
        ({"config.json": {"_class_name": "UNet2DConditionModel"}}, "is one component"),
        ({"config.json": {"_class_name": "AutoencoderKL"}}, "another VAE goes into --vae"),
        ({"adapter_config.json": {}}, "is an adapter, not a model: .*--adapter x"),
        ({"pytorch_lora_weights.safetensors": {}}, "is an adapter, not a model"),
        ({"learned_embeds.safetensors": {}}, "is a word .*--embedding x"),
        ({"modular_model_index.json": {}}, "blocks that are code"),
        ({"dream.safetensors": {}}, "holds dream.safetensors: name the file itself"),
        ({"readme.txt": {}}, "give a diffusers folder"),
    ],
)
def test_a_folder_that_is_no_pipeline_says_what_it_is(
    files: dict[str, Any], says: str, tmp_path: Path
) -> None:
    folder = tmp_path / "x"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=says):
        DiffusersModel(ModelSettings(str(folder)))


# ── SD3 without T5, schedulers ───────────────────────────────────────────────────────────────────


def test_stable_diffusion_3_draws_without_its_t5(
    copy: Tiny, open_model: Callable[..., DiffusersModel]
) -> None:
    folder = copy("sd3")
    index = json.loads((folder / "model_index.json").read_text())
    index |= {"text_encoder_3": [None, None], "tokenizer_3": [None, None]}
    (folder / "model_index.json").write_text(json.dumps(index))
    for part in ("text_encoder_3", "tokenizer_3"):
        shutil.rmtree(folder / part)
    model = DiffusersModel(settings_of(folder))
    assert not same(one(model, CUP), one(model, DOGS))
    assert not same(one(model, CUP), one(open_model("sd3"), CUP))
    stages = (Stage("a red cup", 0.5), Stage("two dogs on a boat"))
    assert not same(one(model, stages), one(model, CUP))
    from lcmis.errors import RenderError

    assert model.spec((Stage(" ".join("o" * 75)),), 1)
    with pytest.raises(RenderError, match=r"has 78 tokens .* reads 77"):
        model.spec((Stage(" ".join("o" * 76)),), 1)


@pytest.mark.parametrize(
    ("absent", "said"),
    [("sentencepiece", r"\(sentencepiece\)"), ("google.protobuf", r"\(protobuf\)")],
)
def test_words_that_only_sentencepiece_reads_name_what_lacks(
    absent: str, said: str, copy: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy("pixart")
    (folder / "tokenizer" / "spiece.model").write_bytes(b"as published")
    DiffusersModel(settings_of(folder))  # beside tokenizer.json it is not read
    (folder / "tokenizer" / "tokenizer.json").unlink()
    without(absent, monkeypatch)
    with pytest.raises(ConfigError, match=f"tokenizer has its words only as spiece.model.*{said}"):
        DiffusersModel(settings_of(folder))


def test_a_kolors_without_its_package_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = zoo.save("kolors", tmp_path / "kolors")
    without("sentencepiece", monkeypatch)
    with pytest.raises(ConfigError, match=r"KolorsPipeline, which needs the package sentencepiece"):
        DiffusersModel(ModelSettings(str(folder)))


@pytest.mark.parametrize(
    ("scheduler", "package"),
    [
        ("DPMSolverSDEScheduler", "torchsde"),
        ("CosineDPMSolverMultistepScheduler", "torchsde"),
        ("LMSDiscreteScheduler", "scipy"),
    ],
)
def test_a_scheduler_that_needs_a_package_names_it(
    scheduler: str, package: str, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(package, monkeypatch)
    with pytest.raises(ConfigError, match=f"{scheduler} .* needs the package {package}: `pip"):
        DiffusersModel(settings_of(tiny("sd"), scheduler=scheduler))


@pytest.mark.parametrize(
    "scheduler",
    [
        "AmusedScheduler",
        "KarrasVeScheduler",
        "SASolverScheduler",
        "HeliosScheduler",
        "ScoreSdeVeScheduler",
        "PiflowScheduler",
        "UnCLIPScheduler",
    ],
)
def test_a_scheduler_that_cannot_drive_a_model_is_told_before_weights_are_read(
    scheduler: str, copy: Tiny
) -> None:
    with pytest.raises(ConfigError, match=f"{scheduler} cannot drive this model"):
        DiffusersModel(settings_of(copy("sd"), scheduler=scheduler))


def test_noise_that_a_scheduler_makes_comes_from_the_pictures_own_seeds(tiny: Tiny) -> None:
    pytest.importorskip("torchsde")
    model = DiffusersModel(settings_of(tiny("sd"), scheduler="DPMSolverSDEScheduler", batch_size=2))
    torch.manual_seed(1)
    alone = one(model, CUP, seed=5)
    torch.manual_seed(2)
    beside, again = drawing.pixels(model, model.spec(DOGS, 4), model.spec(CUP, 5))
    assert same(alone, again)
    assert not same(beside, again)


# ── what is told of them ─────────────────────────────────────────────────────────────────────────


def test_the_exported_script_puts_the_same_forms_together(
    softer: Path, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from test_adapters import write_adapter
    from test_export import repaired

    from lcmis.export.formats import open_exporter

    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny("sd"), "base")
    (tmp_path / "sd").rename("other")
    single_files.checkpoint("sd", tiny("sd"), tmp_path / "dream.safetensors")
    settings = settings_of(
        Path("dream.safetensors"),
        base="base",
        vae="other/vae",
        adapters=(Adapter(str(write_adapter(Path("style.safetensors"))), 0.5),),
        embeddings=(Embedding(str(word(Path("toy.safetensors"), 2))),),
        batch_size=1,
    )
    model = DiffusersModel(settings)
    shutil.copytree("other/vae", "vae")  # the name in the spec, found in the current folder
    spec = model.spec(TOY, 7)
    one_prompt = repaired(
        *TOY,
        model=spec.model,
        source=model.source,
        scheduler=spec.scheduler,
        num_inference_steps=4,
        guidance_scale=spec.guidance_scale,
        height=32,
        width=32,
        negative_prompt="",
        **model._form.recorded,
    )
    names: dict[str, Any] = {"__name__": "script"}
    exec(compile(open_exporter("diffusers").write([one_prompt]), "script.py", "exec"), names)
    (told,) = names["REPAIRED"]
    pipeline = names["load"](told, told["source"], "cpu")
    theirs = np.asarray(names["draw"](pipeline, told, 7)).astype(int)
    assert np.abs(theirs - one(model, TOY, seed=7).astype(int)).max() <= 2


def test_web_interfaces_are_told_what_they_must_load_by_hand() -> None:
    from test_export import repaired

    from lcmis.export.webui import a1111_notes, comfyui_notes

    plain = repaired(scheduler="EulerDiscreteScheduler")
    one_prompt = repaired(
        scheduler="EulerDiscreteScheduler",
        adapters=(Adapter("style@1", 0.5),),
        embeddings=(Embedding("toy@2", "<toy>"),),
        vae="soft@3",
    )
    for notes in (a1111_notes, comfyui_notes):
        said = " ".join(set(notes(one_prompt)) - set(notes(plain)))
        assert all(part in said for part in ("style@1 at 0.5", "<toy>", "toy@2", "soft@3"))


def test_a_stored_spec_of_every_form_is_read_back_with_its_key() -> None:
    from lcmis.store import documents

    spec = RenderSpec(
        "m@1",
        CUP,
        1,
        4,
        7.0,
        "Euler",
        32,
        32,
        "cpu-float32-b1",
        embeddings=(Embedding("e@1", "<e>"),),
        vae="v@1",
        base="b@1",
        variant="fp16",
    )
    assert documents.spec(documents.document(spec)) == spec
    before = json.loads(documents.document(spec))
    for name in ("embeddings", "vae", "base", "variant"):  # as an older lcmis wrote it
        del before[name]
    assert (
        documents.spec(json.dumps(before)).key
        == dataclasses.replace(spec, embeddings=(), vae="", base="", variant="").key
    )


def test_every_form_is_reached_from_a_file_and_from_flags(tmp_path: Path) -> None:
    from lcmis.audit.config import load_config
    from lcmis.cli import shared

    file = tmp_path / "audit.toml"
    file.write_text(
        '[[models]]\nname = "dream.safetensors"\nbase = "owner/base"\nvae = "owner/vae"\n'
        'variant = "fp16"\nembeddings = [{ name = "toy.safetensors", token = "<toy>" }]\n'
    )
    (written,) = load_config(file).models
    assert written.embeddings == (Embedding("toy.safetensors", "<toy>"),)
    (flagged,) = shared.settings(
        model=["dream.safetensors"],
        base="owner/base",
        vae="owner/vae",
        variant="fp16",
        embedding=["toy.safetensors:<toy>"],
    ).models
    assert flagged == written
    file.write_text('[[models]]\nname = "m"\nembeddings = [{ nam = "x" }]\n')
    with pytest.raises(ConfigError, match="did you mean 'name'"):
        load_config(file)
