"""A denoiser in float8 beside the model's own: searched with, and never counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from worlds import drawing
from worlds.drawing import CUP, DOGS, pixels, same, settings_of
from worlds.installed import without
from worlds.searched import audited_and_repaired, sketches
from worlds.toys import pair

from lcmis.audit.tuning import Tuning
from lcmis.errors import ConfigError
from lcmis.plugins.settings import AuditSettings, HostedSettings, ModelSettings
from lcmis.render.diffusion import DiffusersModel
from lcmis.render.hosted import HostedModel
from lcmis.render.narrow import chosen_search_dtype, narrowed
from lcmis.repair.evaluate import SEARCH_SEEDS
from lcmis.store import Store
from lcmis.types import FIRST_CERTIFICATE_SEED, RenderSpec, Stage

torchao = pytest.importorskip("torchao.quantization")
tiny = drawing.tiny
open_model = drawing.open_model
SWITCHED = (Stage("a red cup", 0.5), *DOGS)
FAMILIES = ("sd", "sdxl", "sd3", "flux")


def specs_of(model: DiffusersModel) -> list[RenderSpec]:
    stages = (CUP, SWITCHED, (Stage("a red cup", 0.25), *DOGS))
    return [model.spec(one, seed) for seed, one in enumerate(stages)]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_sketch_is_what_plain_diffusers_draws_with_torchaos_layers(
    dtype: str, tiny: Callable[[str], Path], open_model: Callable[..., DiffusersModel]
) -> None:
    numbers = getattr(torch, dtype)
    plain = diffusers.StableDiffusion3Pipeline.from_pretrained(tiny("sd3"), torch_dtype=numbers)
    plain.set_progress_bar_config(disable=True)
    torchao.quantize_(
        plain.transformer,
        torchao.Float8WeightOnlyConfig(),
        lambda module, place: (
            isinstance(module, torch.nn.Linear) and place.startswith("transformer_blocks.")
        ),
    )
    model = open_model("sd3", search_dtype="float8", dtype=dtype, batch_size=1)
    (expected,) = plain(
        prompt="a red cup",
        num_inference_steps=4,
        height=32,
        width=32,
        max_sequence_length=256,
        output_type="np",
        generator=torch.Generator().manual_seed(1),
    ).images
    (found,) = sketches(model, model.spec(CUP, 1))
    assert same(found, (expected * 255).round().astype(np.uint8))


@pytest.mark.parametrize("family", FAMILIES)
def test_pictures_that_count_are_those_of_a_model_without_the_setting(
    family: str, open_model: Callable[..., DiffusersModel]
) -> None:
    usual, model = open_model(family), open_model(family, search_dtype="float8")
    specs = specs_of(usual)
    assert [spec.key for spec in specs_of(model)] == [spec.key for spec in specs]
    expected = pixels(usual, *specs)
    both = [one for spec in specs for one in (model.sketch(spec), spec)]
    drawn = pixels(model, *both)  # in one call, turn by turn
    assert all(same(*two) for two in zip(drawn[1::2], expected, strict=True))
    assert not any(same(*two) for two in zip(drawn[::2], expected, strict=True))
    alone = [sketches(model, spec)[0] for spec in specs[::-1]]
    assert all(same(*two) for two in zip(drawn[::2], alone[::-1], strict=True))


def test_both_denoisers_share_all_but_the_layers_in_eight_bits(tiny: Callable[[str], Path]) -> None:
    pipeline = diffusers.StableDiffusion3Pipeline.from_pretrained(tiny("sd3"))
    before = {name: one.clone() for name, one in pipeline.transformer.state_dict().items()}
    other = narrowed(pipeline, "tiny", "cpu")
    usual, narrow = (dict(one.transformer.named_parameters()) for one in (pipeline, other))
    apart = {name for name in usual if usual[name] is not narrow[name]}
    assert apart
    assert all(name.startswith("transformer_blocks.") for name in apart)
    assert all(narrow[name].qdata.element_size() == 1 for name in apart)
    assert {len(usual[name].shape) for name in apart} == {2}
    assert all(
        one is another
        for one, another in zip(pipeline.vae.parameters(), other.vae.parameters(), strict=True)
    )
    assert all(
        torch.equal(one, before[name]) for name, one in pipeline.transformer.state_dict().items()
    )


def test_sketches_share_what_two_pictures_begin_with(
    open_model: Callable[..., DiffusersModel],
) -> None:
    model = open_model("sd", search_dtype="float8", batch_size=1)
    stages = [(Stage("a red cup", 0.5), Stage(text)) for text in ("a dog", "a boat")]
    before = model.work
    sketches(model, *(model.spec(one, 5) for one in stages))
    assert (model.work.alone - before.alone, model.work.skipped - before.skipped) == (8, 2)


def test_profile_names_the_numbers_and_the_cache_beside_them(
    open_model: Callable[..., DiffusersModel],
) -> None:
    usual = open_model("flux", num_inference_steps=8)
    narrow = open_model("flux", num_inference_steps=8, search_dtype="float8")
    both = open_model("flux", num_inference_steps=8, search_dtype="float8", cache="taylor-seer:4")
    cached = open_model("flux", num_inference_steps=8, cache="taylor-seer:4")
    spec = usual.spec(CUP, 0)
    assert [one.sketch(spec).profile for one in (usual, narrow, both)] == [
        "cpu-float32-b3",
        "cpu-float32-b3-lossy_float8",
        "cpu-float32-b3-lossy_float8-lossy_taylor_seer_4",
    ]
    assert (narrow.cache, both.cache) == ("float8", "float8+taylor-seer:4")
    assert [note for note in narrow.notes if "search_dtype = 'float8' acts only on" in note]
    assert len(both.notes) == 2
    pictures = [sketches(one, spec)[0] for one in (usual, narrow, both, cached)]
    assert not any(
        same(one, other) for place, one in enumerate(pictures) for other in pictures[:place]
    )
    assert same(pixels(both, spec)[0], pictures[0])


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"search_dtype": "int8"}, "there is no search_dtype = 'int8': write float8"),
        ({"search_dtype": ""}, "there is no search_dtype = ''"),
    ],
)
def test_what_cannot_act_is_one_sentence(
    settings: dict[str, Any], sentence: str, tiny: Callable[[str], Path]
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        DiffusersModel(settings_of(tiny("sd"), **settings))


def test_without_torchao_it_says_what_to_install(
    tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    without("torchao", monkeypatch)
    with pytest.raises(ConfigError, match=r'torchao: `pip install "lcmis\[quantised\]"`'):
        DiffusersModel(settings_of(tiny("sd"), search_dtype="float8"))


def test_a_denoiser_without_such_layers_is_refused_before_the_first_picture(
    open_model: Callable[..., DiffusersModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lcmis.render.narrow.DIVISOR", 10_000)
    with pytest.raises(ConfigError, match="search_dtype would change nothing: leave it out"):
        open_model("sd", search_dtype="float8", num_inference_steps=3).load()


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ({"device": "mps"}, "is not computed on mps: leave it out"),
        ({"dtype": "float16"}, "beside bfloat16 on a GPU, and this is float16"),
        ({"offload": "model"}, 'with offload = "model" parts of the model rest elsewhere'),
    ],
)
def test_accelerators_on_which_nobody_computes_so_are_one_sentence(
    told: dict[str, str], sentence: str
) -> None:
    usual = {"model": "m", "device": "cuda", "dtype": "bfloat16", "offload": "none"}
    assert chosen_search_dtype("float8", **usual) == "float8"
    with pytest.raises(ConfigError, match=sentence):
        chosen_search_dtype("float8", **{**usual, **told})


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU that multiplies so does")
@pytest.mark.parametrize(
    ("capability", "sentence"),
    [
        ((8, 0), "capability 8.9 or higher, and this one has 8.0"),
        ((8, 9), "cannot be computed on cuda"),  # says torchao, which sees none
    ],
)
def test_a_gpu_that_does_not_multiply_so_is_one_sentence(
    capability: tuple[int, int],
    sentence: str,
    tiny: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pipeline = diffusers.StableDiffusion3Pipeline.from_pretrained(tiny("sd3"))
    monkeypatch.setattr(torch.version, "cuda", "13.2")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    with pytest.raises(ConfigError, match=sentence):
        narrowed(pipeline, "tiny", "cuda")


def test_services_have_no_numbers_of_ours() -> None:
    hosted = ModelSettings("m", hosted=HostedSettings("http://127.0.0.1:9"), search_dtype="float8")
    with pytest.raises(ConfigError, match="which search_dtype cannot reach: leave it out"):
        HostedModel(hosted)


def test_tuning_tells_it_as_lossy_where_it_is_set(tiny: Callable[[str], Path]) -> None:
    pairs = [pair("ruby", "azure")]
    chosen = Tuning(settings_of(tiny("sd"), search_dtype="float8"), pairs)
    (way,) = chosen._lossy("cpu")
    assert way.is_lossy
    assert way.name == "search_dtype = float8"
    bare = Tuning(settings_of(tiny("sd")), pairs)
    assert not list(bare._lossy("cpu"))
    assert [one.name for one in bare._lossy("cuda")] == ["search_dtype = float8"]


@pytest.fixture(scope="module")
def config(
    tiny: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AuditSettings]:
    """An audit and a repair, both done."""
    model = settings_of(tiny("sd3"), batch_size=2, search_dtype="float8")
    with audited_and_repaired(tmp_path_factory.mktemp("narrow"), model) as settings:
        yield settings


def test_a_repair_searches_in_float8_and_proves_by_the_model_itself(
    config: AuditSettings, open_model: Callable[..., DiffusersModel]
) -> None:
    with Store(config.store) as store:
        (model,) = {trial.model for trial in store.trials()}
        drawn = [store.render(key)[0] for key in store.profiles(model)]
        assert {(spec.seed in SEARCH_SEEDS, spec.profile) for spec in drawn} == {
            (True, "cpu-float32-b2-lossy_float8"),
            (False, "cpu-float32-b2"),
        }
        asked = ("num_inference_steps 4", "height 32", "width 32")
        assert {trial.cache for trial in store.trials()} == {"; ".join(["float8", *asked])}
        (nomination,) = store.nominations()
        assert nomination.given == ("lossy float8", *asked)
        fresh = [one for one in drawn if one.seed >= FIRST_CERTIFICATE_SEED]
        assert len(fresh) == 8
        usual = open_model("sd3", batch_size=2)
        assert [usual.spec(spec.stages, spec.seed).key for spec in fresh] == [s.key for s in fresh]
