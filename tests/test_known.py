"""Known models' own numbers: the table, and what is made of it."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path

import diffusers
import pytest
from worlds import drawing, zoo

from lcmis.audit.config import load_config
from lcmis.audit.replay import _with_numbers_of
from lcmis.errors import ConfigError, UnknownNameError
from lcmis.machine.paths import shipped
from lcmis.plugins.settings import ModelSettings
from lcmis.render.diffusion import DiffusersModel
from lcmis.render.known import (
    KnownModel,
    find_known,
    known_as,
    known_models,
    says_few_steps,
    spelled,
)
from lcmis.render.signature import signature_of
from lcmis.types import Adapter, Stage

tiny = drawing.tiny
copy = drawing.copy

EVERY = pytest.mark.parametrize("known", known_models(), ids=lambda known: known.title)
CUP = (Stage("a tea cup of iced coke"),)


# ── the table ────────────────────────────────────────────────────────────────────────────────────


def test_the_table_knows_enough_checkpoints_each_once() -> None:
    assert len(known_models()) >= 40
    assert sum(len(known.names) for known in known_models()) >= 100
    titles = [known.title for known in known_models()]
    assert len(set(titles)) == len(titles)


def test_no_field_of_the_table_is_one_that_nobody_reads() -> None:
    fields = {field.name for field in dataclasses.fields(KnownModel)}
    told = tomllib.loads((shipped("data") / "models.toml").read_text("utf-8"))
    assert set(told) == {"models"}
    assert set().union(*told["models"]) <= fields


@EVERY
def test_every_entry_says_where_its_numbers_stand(known: KnownModel) -> None:
    assert all(source.startswith("https://") for source in known.sources)
    said = (known.num_inference_steps, known.guidance_scale, known.negative_prompt)
    assert any(value not in (None, "") for value in said)


@EVERY
def test_numbers_are_such_as_a_picture_can_have(known: KnownModel) -> None:
    for side in (known.height, known.width):
        assert side is None or (64 <= side <= 4096 and side % 16 == 0)
    assert known.dtype in ("", "float16", "bfloat16", "float32")
    if known.few_steps:
        assert known.num_inference_steps is not None
        assert known.num_inference_steps <= 28
        assert known.guidance_scale is not None
    elif known.num_inference_steps is not None:
        assert known.num_inference_steps >= 10
    assert "teacup" not in " ".join((known.title, *known.names))


@EVERY
def test_every_entry_is_found_by_each_of_its_names_and_shadowed_by_none(known: KnownModel) -> None:
    for name in known.names:
        for spelling in (name, name.upper() if "*" not in name else name, name.lower()):
            asked = spelling.replace("*", "-v1")
            assert [one.title for one in known_models() if one.is_called(asked)] == [known.title]
            assert known_as(asked) is known


@EVERY
def test_every_entry_is_of_pipelines_and_an_argument_that_the_installed_diffusers_has(
    known: KnownModel,
) -> None:
    for pipeline in known.pipelines:
        if known.guidance != "guider":
            assert known.guidance in signature_of(pipeline)
    if known.scheduler:
        assert hasattr(diffusers, known.scheduler)


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_inference_steps": 0},
        {"guidance_scale": -1.0},
        {"guidance_scale": 31.0},
        {"width": 64},
        {"sources": ()},
        {"names": ()},
    ],
)
def test_an_entry_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    entry = {"title": "x", "names": ("a/b",), "pipelines": ("P",), "sources": ("https://x",)}
    with pytest.raises(ValueError, match="x"):
        KnownModel(**{**entry, **wrong})  # type: ignore[arg-type]


# ── names ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("stabilityai/sdxl-turbo", "SDXL-Turbo"),
        ("StabilityAI/SDXL-Turbo", "SDXL-Turbo"),
        ("/models/SDXL-Turbo-fp16/", "SDXL-Turbo"),
        ("~/checkpoints/sd_xl_turbo_1.0_fp16.safetensors", "SDXL-Turbo"),
        ("/c/models--stabilityai--sdxl-turbo/snapshots/71153311d3dbb46851df1931d3ca", "SDXL-Turbo"),
        ("sd_xl_base_1.0.safetensors", "Stable Diffusion XL"),
        ("v1-5-pruned-emaonly-fp16.safetensors", "Stable Diffusion 1"),
        ("someone/FLUX.1-dev-bnb-4bit", "FLUX.1 [dev]"),
        ("city96/FLUX.1-dev-gguf", "FLUX.1 [dev]"),
        ("flux1-dev-Q4_K_S.gguf", "FLUX.1 [dev]"),
        ("flux1-schnell.safetensors", "FLUX.1 [schnell]"),
        ("Qwen/Qwen-Image-2512", "Qwen-Image-2512"),
        ("Qwen/Qwen-Image", "Qwen-Image"),
        ("Qwen-Image-Lightning-8steps-V1.1-bf16.safetensors", "Qwen-Image-Lightning, 8 steps"),
        ("sdxl_lightning_4step_lora.safetensors", "SDXL-Lightning, 4 steps"),
        ("juggernautXL_juggXIByRundiffusion.safetensors", "Juggernaut XI"),
        ("juggernautXL_juggXILightningByRD.safetensors", "Juggernaut XL Lightning"),
        ("ponyDiffusionV6XL_v6StartWithThisOne.safetensors", "Pony Diffusion V6 XL"),
        ("black-forest-labs/FLUX.2-klein-base-9B", "FLUX.2 [klein] base"),
        ("black-forest-labs/FLUX.2-klein-9B", "FLUX.2 [klein]"),
        ("Efficient-Large-Model/Sana_1600M_1024px_BF16_diffusers", "Sana"),
        # what is derived from a model and draws otherwise is another one
        ("ostris/FLUX.1-dev-turbo", None),
        ("someone/juggernautXL_juggXIByRundiffusion-Lightning", None),
        ("someone/sdxl-turbo-anime", None),
        ("Qwen/Qwen-Image-Edit", None),
        ("black-forest-labs/FLUX.1-Kontext-dev", None),
        ("teacup-narrow", None),
        ("my-model", None),
        ("", None),
    ],
)
def test_a_name_is_known_in_any_case_place_and_format_and_by_no_more_than_its_name(
    name: str, title: str | None
) -> None:
    found = known_as(name)
    assert (found and found.title) == title


def test_a_model_of_another_pipeline_is_another_model() -> None:
    assert known_as("/my/sdxl-turbo", "StableDiffusionXLPipeline") is not None
    assert known_as("/my/sdxl-turbo", "StableDiffusionPipeline") is None


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("stabilityai/sd-turbo", "turbo"),
        ("SDXLTurbo", "turbo"),
        ("tensorart/stable-diffusion-3.5-large-TurboX", "turbo"),
        ("DreamShaperXL_Lightning", "lightning"),
        ("model-LCM-v2", "lcm"),
        ("ByteDance/Hyper-SD", "hyper"),
        ("lodestones/Chroma1-Flash", "flash"),
        ("sdxl-dmd2", "dmd2"),
        ("HunyuanDiT-v1.2-Diffusers-Distilled", "distilled"),
        ("thing-4step", "4step"),
        ("thing_16_steps", "16-steps"),
        ("thing-8steps-v1", "8steps"),
        ("thing-17steps", ""),
        ("checkpoint-4000-steps", ""),
        ("HyperRealism_v3", ""),
        ("turbine-pictures", ""),
        ("flashback", ""),
        ("stabilityai/stable-diffusion-xl-base-1.0", ""),
        ("everyday", ""),
    ],
)
def test_a_name_says_few_steps_by_whole_words_only(name: str, word: str) -> None:
    assert says_few_steps(name) == word


def test_what_only_names_the_format_is_no_part_of_a_name() -> None:
    assert spelled("A_B-fp16.safetensors") == spelled("a-b") == "a-b"
    assert spelled("x.q4_k_m.gguf") == "x"
    assert spelled("fp16") == "fp16"


# ── what a model is run with ─────────────────────────────────────────────────────────────────────


@pytest.fixture
def called(copy: Callable[[str], Path], tmp_path: Path) -> Callable[..., Path]:
    """A tiny pipeline in a folder of another name, its scheduler changed."""

    def made(family: str, name: str, **scheduler: object) -> Path:
        folder = tmp_path / name
        shutil.move(copy(family), folder)
        if scheduler:
            path = folder / "scheduler" / "scheduler_config.json"
            path.write_text(json.dumps(json.loads(path.read_text()) | scheduler))
            if "_class_name" in scheduler:
                index = folder / "model_index.json"
                said = json.loads(index.read_text())
                said["scheduler"] = ["diffusers", scheduler["_class_name"]]
                index.write_text(json.dumps(said))
        return folder

    return made


def spec_of(folder: Path, **said: object):  # type: ignore[no-untyped-def]
    model = DiffusersModel(ModelSettings(str(folder), device="cpu", **said))  # type: ignore[arg-type]
    return model.spec(CUP, 0), model.notes


def test_a_known_model_is_run_with_its_own_numbers_and_says_so(called: Callable[..., Path]) -> None:
    spec, notes = spec_of(called("sdxl", "sdxl-turbo"))
    assert (spec.num_inference_steps, spec.guidance_scale) == (1, 0.0)
    assert (spec.width, spec.height) == (512, 512)
    taken, minded = notes
    assert "as SDXL-Turbo is run: num_inference_steps = 1, guidance_scale = 0" in taken
    assert "https://" in taken
    assert "2 to 4 steps" in minded


def test_what_the_user_sets_goes_before_what_is_known(called: Callable[..., Path]) -> None:
    folder = called("sdxl", "sdxl-turbo")
    spec, notes = spec_of(folder, num_inference_steps=3, height=32, width=32)
    assert (spec.num_inference_steps, spec.guidance_scale) == (3, 0.0)
    assert (spec.width, spec.height) == (32, 32)
    assert "num_inference_steps" not in notes[0]
    assert "width" not in notes[0]
    spec, notes = spec_of(
        folder,
        num_inference_steps=3,
        guidance_scale=1.5,
        height=32,
        width=32,
        scheduler="DDIMScheduler",
    )
    assert (spec.guidance_scale, spec.scheduler) == (1.5, "DDIMScheduler")
    assert len(notes) == 1


def test_one_side_set_leaves_the_other_to_the_family(called: Callable[..., Path]) -> None:
    spec, _ = spec_of(called("sdxl", "sdxl-turbo"), height=64)
    assert (spec.width, spec.height) == (32, 64)


def test_a_model_that_is_not_known_keeps_its_familys_numbers_and_key(
    tiny: Callable[[str], Path], called: Callable[..., Path]
) -> None:
    plain, notes = spec_of(tiny("sdxl"))
    assert (plain.num_inference_steps, plain.guidance_scale, notes) == (30, 5.0, ())
    assert (plain.negative_prompt, plain.scheduler) == ("", "DPMSolverMultistepScheduler")


def test_a_negative_prompt_of_the_authors_is_taken_where_it_acts_and_nobody_says_another(
    called: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = called("sdxl", "animagine-xl-4.0")
    (full,) = find_known("animagine-xl-4.0")
    short = dataclasses.replace(full, negative_prompt="lowres, bad anatomy")  # for a tiny tokenizer
    monkeypatch.setattr("lcmis.render.known.known_models", lambda: (short,))
    spec, notes = spec_of(folder)
    assert spec.negative_prompt.startswith("lowres, bad anatomy")
    assert 'negative_prompt = "lowres' in notes[0]
    assert spec_of(folder, negative_prompt="")[0].negative_prompt == ""
    assert spec_of(folder, negative_prompt="blurry")[0].negative_prompt == "blurry"
    assert spec_of(folder, guidance_scale=1.0)[0].negative_prompt == ""


def test_an_adapter_that_is_known_goes_before_the_model_that_it_is_laid_over(
    called: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = called("sdxl", "sd_xl_base_1.0")
    lora = tmp_path / "sdxl_lightning_8step_lora.safetensors"
    lora.write_bytes(b"")
    spec, notes = spec_of(folder, adapters=(Adapter(str(lora)),))
    assert (spec.num_inference_steps, spec.guidance_scale) == (8, 0.0)
    assert spec.scheduler == "EulerDiscreteScheduler"
    assert notes[0].startswith("as SDXL-Lightning, 8 steps is run")


# ── what looks as if few steps were enough ───────────────────────────────────────────────────────

NAMED = ["my-turbo", "some-Lightning-v2", "mine-lcm", "our_8steps"]
SCHEDULED = {
    "an LCM scheduler": {"_class_name": "LCMScheduler"},
    "a TCD scheduler": {"_class_name": "TCDScheduler"},
    "trailing Euler steps": {
        "_class_name": "EulerDiscreteScheduler",
        "timestep_spacing": "trailing",
    },
}


def refused(folder: Path, **said: object) -> str:
    with pytest.raises(ConfigError) as caught:
        spec_of(folder, **said)
    return str(caught.value)


@pytest.mark.parametrize("name", NAMED)
def test_an_unknown_model_whose_name_says_few_steps_is_not_run_with_base_numbers(
    name: str, called: Callable[..., Path]
) -> None:
    folder = called("sd", name)
    assert "set num_inference_steps and guidance_scale as its card says" in refused(folder)
    assert "set guidance_scale as" in refused(folder, num_inference_steps=4)
    spec, notes = spec_of(folder, num_inference_steps=4, guidance_scale=1.0)
    assert (spec.num_inference_steps, notes) == (4, ())


@pytest.mark.parametrize("kind", SCHEDULED)
def test_an_unknown_model_whose_scheduler_says_few_steps_is_not_run_with_base_numbers(
    kind: str, called: Callable[..., Path]
) -> None:
    folder = called("sd", "plain", **SCHEDULED[kind])
    assert "made for few steps (its" in refused(folder)


@pytest.mark.parametrize(
    "harmless",
    [
        {"timestep_spacing": "trailing"},  # multistep
        {
            "_class_name": "EulerDiscreteScheduler",
            "timestep_spacing": "trailing",
            "prediction_type": "v_prediction",
        },
        {
            "_class_name": "EulerDiscreteScheduler",
            "timestep_spacing": "trailing",
            "rescale_betas_zero_snr": True,
        },
        {"_class_name": "EulerDiscreteScheduler", "timestep_spacing": "leading"},
    ],
)
def test_trailing_steps_of_a_model_that_ends_at_noise_alone_are_no_sign(
    harmless: dict[str, object], called: Callable[..., Path]
) -> None:
    assert spec_of(called("sd", "plain", **harmless))[0].num_inference_steps == 30


def test_a_unet_that_reads_guidance_and_a_distilled_pipeline_are_signs(
    called: Callable[..., Path],
) -> None:
    folder = called("sd", "plain")
    unet = folder / "unet" / "config.json"
    said = json.loads(unet.read_text())
    unet.write_text(json.dumps(said | {"time_cond_proj_dim": 8}))
    assert "reads the guidance as an input" in refused(folder)
    unet.write_text(json.dumps(said))
    index = folder / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"is_distilled": True}))
    assert "says is_distilled" in refused(folder)


def test_a_family_whose_configuration_states_few_steps_needs_no_more_words(
    called: Callable[..., Path],
) -> None:
    spec, notes = spec_of(called("flux", "my-schnell-tune"))
    assert (spec.num_inference_steps, spec.guidance_scale, notes) == (4, 0.0, ())


def test_an_unknown_adapter_for_few_steps_is_named_as_the_reason(
    called: Callable[..., Path], tmp_path: Path
) -> None:
    lora = tmp_path / "my-turbo-lora.safetensors"
    lora.write_bytes(b"")
    folder = called("sdxl", "sd_xl_base_1.0")
    assert "the name of an adapter says 'turbo'" in refused(folder, adapters=(Adapter(str(lora)),))


# ── where it is said ─────────────────────────────────────────────────────────────────────────────


def test_a_plan_and_a_doctor_say_what_was_taken_from_where(
    called: Callable[..., Path],
    lcmis: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = called("sdxl", "sdxl-turbo")
    monkeypatch.chdir(tmp_path)
    asked = ("-m", folder, "--device", "cpu", "-p", "everyday", "--limit", 2, "-c", "teacup-judge")
    code, out, _ = lcmis("plan", *asked)
    assert code == 0
    assert "as SDXL-Turbo is run: num_inference_steps = 1" in " ".join(out.split())
    code, out, _ = lcmis("plan", *asked, "--json")
    assert "as SDXL-Turbo is run" in json.loads(out)[0]["notes"][0]
    code, out, _ = lcmis("doctor", *asked, "--size", "32x32")
    assert "as SDXL-Turbo is run: num_inference_steps = 1" in " ".join(out.split())


def test_a_picture_is_drawn_again_with_the_numbers_that_were_usual_then(
    called: Callable[..., Path],
) -> None:
    settings = ModelSettings(str(called("sdxl", "sdxl-turbo")), device="cpu")
    usual = DiffusersModel(settings).spec(CUP, 0)
    before = dataclasses.replace(usual, num_inference_steps=30, guidance_scale=5.0)
    model = _with_numbers_of(before, usual, settings)
    assert model is not None
    assert model.spec(CUP, 0) == before
    set_now = dataclasses.replace(settings, num_inference_steps=2)
    assert _with_numbers_of(before, DiffusersModel(set_now).spec(CUP, 0), set_now) is None
    assert _with_numbers_of(dataclasses.replace(usual, profile="x"), usual, settings) is None


def test_the_command_prints_the_whole_table_one_model_and_json(
    lcmis: Callable[..., tuple[int, str, str]],
) -> None:
    code, out, _ = lcmis("models", "--known")
    assert code == 0
    assert all(known.title.split()[0] in out for known in known_models())
    code, out, _ = lcmis("models", "STABILITYAI/sdxl-turbo", "--known")
    assert "num_inference_steps 1" in out
    assert "Lightning" not in out
    code, out, _ = lcmis("models", "flux", "--known", "--json")
    told = json.loads(out)
    assert {"FLUX.1 [dev]", "FLUX.2 [klein]"} <= {entry["title"] for entry in told}
    assert all(entry["sources"] for entry in told)
    assert len(json.loads(lcmis("models", "--known", "--json")[1])) == len(known_models())


def test_the_table_fits_eighty_columns(
    lcmis: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from lcmis.cli import terminal

    monkeypatch.setattr(terminal.console, "_width", 80)
    _, out, _ = lcmis("models", "--known")
    assert max(map(len, out.splitlines())) <= 80
    assert any("SDXL-Turbo" in line and "512x512" in line for line in out.splitlines())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("models", "nothing-like-it", "--known"), "nothing is known of 'nothing-like-it'"),
        (("models", "sdxl-turbo"), "needs --known"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(
    words: tuple[str, ...], said: str, lcmis: Callable[..., tuple[int, str, str]]
) -> None:
    code, _, errors = lcmis(*words)
    assert code == 2
    assert said in errors
    assert len(errors.strip().splitlines()) == 1


def test_a_part_of_a_name_finds_all_that_hold_it() -> None:
    assert [known.title for known in find_known("sana sprint")] == ["Sana Sprint"]
    with pytest.raises(UnknownNameError):
        find_known("zzz")


def test_a_negative_prompt_may_be_set_to_nothing_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "audit.toml"
    path.write_text('[[models]]\nname = "a/b"\nnegative_prompt = ""\n[[models]]\nname = "c/d"\n')
    assert [model.negative_prompt for model in load_config(path).models] == ["", None]


# ── with pipelines of the real classes ───────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("family", "name", "numbers"),
    [
        ("qwen-image", "Qwen-Image", (50, 4.0, 1328, " ")),
        ("z-image", "Z-Image-Turbo", (9, 0.0, 1024, "")),
        ("z-image", "Z-Image", (50, 4.0, 1024, "")),
        ("krea2", "Krea-2-Turbo", (8, 0.0, 1024, "")),
        ("flux2-klein-distilled", "FLUX.2-klein-4B", (4, 0.0, 1024, "")),
        ("hunyuan-image", "HunyuanImage-2.1-Distilled-Diffusers", (8, 3.25, 2048, "")),
        ("sana-sprint", "Sana_Sprint_1.6B_1024px_diffusers", (2, 4.5, 1024, "")),
        ("sd3", "stable-diffusion-3.5-large-turbo", (4, 0.0, 1024, "")),
    ],
)
def test_a_pipeline_of_the_class_that_an_entry_names_takes_its_numbers(
    family: str,
    name: str,
    numbers: tuple[int, float, int, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = zoo.save(family, tmp_path_factory.mktemp("known") / name)
    spec, notes = spec_of(folder)
    steps, scale, size, negative = numbers
    assert (spec.num_inference_steps, spec.guidance_scale) == (steps, scale)
    assert (spec.width, spec.height, spec.negative_prompt) == (size, size, negative)
    assert notes[0].startswith("as ")
