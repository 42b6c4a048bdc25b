"""How a pipeline computes: settings that act, have a name in the profile, and change no picture."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from worlds import drawing
from worlds.drawing import CUP, DOGS, settings_of
from worlds.toys import pair

from lcmis.audit.replay import replay
from lcmis.errors import ConfigError, RenderError
from lcmis.plugins.opening import open_model as opened
from lcmis.plugins.settings import HostedSettings, ModelSettings
from lcmis.render import draw, execution
from lcmis.render.diffusion import DiffusersModel
from lcmis.render.execution import SDPA, Execution, attention_backends
from lcmis.render.folder import FolderModel
from lcmis.render.hosted import HostedModel
from lcmis.render.loading import place
from lcmis.render.resting import encoders, lay_to_rest, rest_again
from lcmis.render.rows import in_rows, pins_rows
from lcmis.store import Drawn, Store, picture_hash
from lcmis.types import Render, RenderSpec, Stage

tiny = drawing.tiny
open_model = drawing.open_model

ACTING = (
    {"channels_last": True},
    {"vae_decoding": "sliced"},
    {"attention_backend": "_native_math"},
    {"compiled": "regional"},
    {"compiled": "whole"},
    {"vae_decoding": "compiled"},
)


@pytest.fixture
def _interpreted() -> Iterator[None]:
    """What is to be compiled runs as it stands, in the places where it would run compiled."""
    torch.compiler.set_stance("force_eager")
    yield
    torch.compiler.set_stance("default")


def pictures(model: DiffusersModel) -> np.ndarray:
    specs = [model.spec(CUP, 0), model.spec(DOGS, 1), model.spec((Stage("a", 0.5), *CUP), 2)]
    drawn = [one for one in draw(model, specs) if not isinstance(one, RenderError)]
    return np.stack([np.asarray(one) for one in drawn]).astype(int)


@pytest.mark.usefixtures("_interpreted")
@pytest.mark.parametrize("family", ["sdxl", "flux"])
@pytest.mark.parametrize("setting", ACTING, ids=str)
def test_a_way_of_computing_draws_the_same_picture_but_for_rounding_under_another_key(
    family: str, setting: dict[str, object], open_model: Callable[..., DiffusersModel]
) -> None:
    usual, other = open_model(family), open_model(family, **setting)
    apart = np.abs(pictures(other) - pictures(usual))
    assert apart.max() <= 2
    assert apart.mean() < 0.1
    assert usual.spec(CUP, 0).key != other.spec(CUP, 0).key
    assert other.profile.startswith(f"{usual.profile}-")


@pytest.mark.parametrize("setting", ACTING[:3], ids=str)
def test_a_picture_is_bit_equal_alone_and_in_any_order_however_it_is_computed(
    setting: dict[str, object], open_model: Callable[..., DiffusersModel]
) -> None:
    model = open_model("sdxl", **setting)
    specs = [model.spec(CUP, 0), model.spec(DOGS, 1), model.spec(CUP, 2)]
    together, backward = draw(model, specs), draw(model, specs[::-1])[::-1]
    alone = [draw(model, [spec])[0] for spec in specs]
    bits = [[one.tobytes() for one in drawn] for drawn in (together, backward, alone)]  # type: ignore[union-attr]
    assert bits[0] == bits[1] == bits[2]


def test_what_is_not_set_changes_no_profile(open_model: Callable[..., DiffusersModel]) -> None:
    assert Execution().mark == ""
    assert open_model("sd").profile == "cpu-float32-b3"
    assert open_model("sd", channels_last=False).profile == "cpu-float32-b3"


def test_a_profile_names_all_that_is_set() -> None:
    every = Execution(True, "regional", "tiled", "_native_cudnn")
    assert every.mark == "-nhwc-regional-vae_tiled-native_cudnn"


def test_no_two_ways_of_computing_have_one_name() -> None:
    ways = [
        Execution(layout, compiled, decoding, backend)
        for layout in (False, True)
        for compiled in execution.COMPILED
        for decoding in execution.VAE_DECODING
        for backend in attention_backends()
    ]
    assert len({way.mark for way in ways}) == len(ways)


@pytest.mark.parametrize(
    ("family", "setting", "sentence"),
    [
        ("sd3", {"compiled": "regional"}, "no repeated blocks of a SD3Transformer2DModel"),
        ("sd", {"vae_decoding": "tiled"}, "pictures of 32 pixels are one tile of 32"),
        ("sd", {"attention_backend": "flex"}, "knows only PyTorch's own attention"),
    ],
)
def test_a_setting_that_has_nothing_to_act_on_is_refused_before_the_first_picture(
    family: str, setting: dict[str, object], sentence: str, tiny: Callable[[str], Path]
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        DiffusersModel(settings_of(tiny(family), **setting)).load()


def test_compiling_without_a_compiler_is_refused_at_once(
    tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(ConfigError, match=r"needs a C\+\+ compiler"):
        DiffusersModel(settings_of(tiny("sd"), compiled="whole"))


@pytest.mark.parametrize(
    "setting",
    [
        {"channels_last": True},
        {"compiled": "whole"},
        {"vae_decoding": "tiled"},
        {"attention_backend": "native"},
    ],
    ids=str,
)
def test_models_that_do_not_draw_here_refuse_ways_of_computing(
    setting: dict[str, object], tmp_path: Path
) -> None:
    served = HostedSettings(endpoint="http://127.0.0.1:9/v1")
    for model, name, hosted in (
        (FolderModel, str(tmp_path), None),
        (HostedModel, "some-model", served),
    ):
        with pytest.raises(ConfigError, match=next(iter(setting))):
            model(ModelSettings(name, hosted=hosted, **setting))  # type: ignore[arg-type]


def test_an_attention_backend_of_one_model_is_not_that_of_the_next(
    open_model: Callable[..., DiffusersModel],
) -> None:
    from diffusers.models.attention_dispatch import _AttentionBackendRegistry as Registry

    before = Registry._active_backend
    open_model("flux", attention_backend="_native_math").load()
    assert Registry._active_backend == before


def test_every_kernel_of_pytorchs_own_attention_is_a_backend_of_diffusers() -> None:
    assert set(SDPA) <= set(attention_backends())


def test_encoders_that_rest_are_woken_by_a_new_prompt_and_change_no_bit(
    tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = DiffusersModel(settings_of(tiny("sdxl")))
    resting = DiffusersModel(settings_of(tiny("sdxl")))
    for part in encoders(resting._pipeline).values():
        lay_to_rest(part, "cpu")
    woken: list[int] = []
    for number, part in enumerate(encoders(resting._pipeline).values()):
        part.register_forward_pre_hook(lambda *_, place=number: woken.append(place))
    assert (pictures(usual) == pictures(resting)).all()
    asked = len(woken)
    assert asked
    assert (pictures(usual) == pictures(resting)).all()
    assert len(woken) == asked  # every prompt was known


def test_what_was_never_laid_to_rest_stays_where_it_is(tiny: Callable[[str], Path]) -> None:
    pipeline = DiffusersModel(settings_of(tiny("sd")))._pipeline
    pipeline.text_encoder.to("meta")
    rest_again(pipeline)
    assert pipeline.text_encoder.device.type == "meta"


def test_only_encoders_are_left_behind_where_only_they_rest(tiny: Callable[[str], Path]) -> None:
    pipeline = DiffusersModel(settings_of(tiny("sdxl")))._pipeline
    place(pipeline, "meta", "encoders")
    assert pipeline.unet.device.type == pipeline.vae.device.type == "meta"
    assert pipeline.text_encoder.device.type == pipeline.text_encoder_2.device.type == "cpu"


# ── rows ─────────────────────────────────────────────────────────────────────────────────────────


def of_seeds(*seeds: int) -> list[RenderSpec]:
    return [RenderSpec("m@1", CUP, seed, 1, 0.0, "none", 8, 8, "p") for seed in seeds]


def seeds_in(specs: list[RenderSpec], **how: bool) -> list[list[int | None]]:
    return [[spec and spec.seed for spec in rows] for rows in in_rows(specs, 4, **how)]


def test_a_pinned_picture_is_drawn_in_the_row_of_its_seed_in_any_order() -> None:
    assert seeds_in(of_seeds(3, 0, 2, 1), pinned=True) == [[0, 1, 2, 3]]
    assert seeds_in(of_seeds(6), pinned=True) == [[None, None, 6, None]]
    assert seeds_in(of_seeds(1, 5, 2), pinned=True) == [[None, 1, 2, None], [None, 5, None, None]]


def test_pictures_that_are_not_pinned_come_as_they_are_given() -> None:
    rows = seeds_in(of_seeds(3, 0, 2, 1, 9), pinned=False)
    assert rows == [[3, 0, 2, 1], [9, None, None, None]]


@given(seeds=st.lists(st.integers(0, 2**40), unique=True, max_size=30), pinned=st.booleans())
def test_every_picture_has_one_row_and_no_batch_is_empty(seeds: list[int], pinned: bool) -> None:
    rows = seeds_in(of_seeds(*seeds), pinned=pinned)
    assert sorted(seed for row in rows for seed in row if seed is not None) == sorted(seeds)
    assert all(len(row) == 4 and any(seed is not None for seed in row) for row in rows)


@given(start=st.integers(0, 2**40), blocks=st.integers(1, 8))
def test_blocks_of_following_seeds_fill_pinned_batches(start: int, blocks: int) -> None:
    rows = seeds_in(of_seeds(*range(start, start + 4)) * blocks, pinned=True)
    assert len(rows) == blocks
    assert all(seed is not None for row in rows for seed in row)


def test_rows_are_pinned_on_accelerators_in_small_batches_only() -> None:
    assert not any(pins_rows("cpu", size) for size in (1, 4, 16))
    assert [pins_rows("cuda", size) for size in (1, 2, 4, 5, 16)] == [0, 1, 1, 0, 0]


@pytest.mark.parametrize("family", ["sd", "pixart"])
def test_a_picture_in_its_pinned_row_is_bit_equal_alone_and_in_any_order(
    family: str, tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lcmis.render.diffusion.pins_rows", lambda *_: True)
    model = DiffusersModel(settings_of(tiny(family), height=64, width=64))
    assert model.profile == "cpu-float32-b3-rows"
    specs = [model.spec(CUP, 0), model.spec(CUP, 4), model.spec((Stage("a", 0.5), *CUP), 5)]
    together, backward = draw(model, specs), draw(model, specs[::-1])[::-1]
    alone = [draw(model, [spec])[0] for spec in specs]
    bits = [[one.tobytes() for one in drawn] for drawn in (together, backward, alone)]  # type: ignore[union-attr]
    assert bits[0] == bits[1] == bits[2]
    assert len(set(bits[0])) == 3


def test_a_picture_drawn_before_there_were_layouts_is_replayed_as_it_was(tmp_path: Path) -> None:
    usual = ModelSettings("teacup-narrow", batch_size=2, num_inference_steps=2, dtype="float32")
    before = opened(dataclasses.replace(usual, channels_last=False, vae_decoding="whole"))
    spec = before.spec(CUP, 0)
    assert spec.profile == "cpu-float32-b2"
    assert opened(usual).spec(CUP, 0).profile == "cpu-float32-b2-nhwc-vae_sliced"
    (picture,) = draw(before, [spec])
    assert not isinstance(picture, RenderError)
    with Store(tmp_path / "store", create=True) as store:
        cup = pair("cup", "coke")
        store.add_pairs([cup])
        store.add_renders(
            [Drawn(cup.key, spec, Render(spec.key, picture_hash(picture), 1.0, "cpu"), picture)]
        )
        by_itself = dataclasses.replace(usual, dtype="auto")
        assert replay(store, spec.key, [by_itself]).same
        other = dataclasses.replace(usual, dtype="bfloat16")
        with pytest.raises(ConfigError, match=r"drawn by teacup-narrow@.* with cpu-float32-b2,"):
            replay(store, spec.key, [other])
