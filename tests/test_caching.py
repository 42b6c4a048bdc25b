"""Caches of a denoiser: diffusers' own, laid on to search with, taken off for all that counts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers import hooks
from diffusers.hooks.mag_cache import FLUX_MAG_RATIOS
from worlds import drawing, toys, zoo
from worlds.drawing import CUP, DOGS, pixels, same, settings_of
from worlds.searched import BRIEF, audited_and_repaired, repaired, sketches

from lcmis.audit.replay import replay
from lcmis.errors import ConfigError, RenderError
from lcmis.plugins.optional import sketch_of
from lcmis.plugins.settings import AuditSettings, HostedSettings, ModelSettings
from lcmis.render.caching import KINDS, cached_denoisers, read_cache
from lcmis.render.diffusion import DiffusersModel
from lcmis.render.folder import FolderModel
from lcmis.render.hosted import HostedModel
from lcmis.repair.evaluate import SEARCH_SEEDS
from lcmis.repair.search import Repair
from lcmis.store import Store
from lcmis.types import FIRST_CERTIFICATE_SEED, Beside, RenderSpec, Stage
from lcmis.workers.hand import Hand, Trouble
from lcmis.workers.orders import DrawOrder

tiny = drawing.tiny
open_model = drawing.open_model
STEPS = 8
SWITCHED = (Stage("a red cup", 0.5), *DOGS)
MADE: dict[str, Callable[[Any], Any]] = {
    "first-block:0.3": lambda _: hooks.FirstBlockCacheConfig(threshold=0.3),
    "taylor-seer:4": lambda _: hooks.TaylorSeerCacheConfig(cache_interval=4),
    "taylor-seer-lite": lambda _: hooks.TaylorSeerCacheConfig(use_lite_mode=True),
    "mag:0.2": lambda _: hooks.MagCacheConfig(
        threshold=0.2, num_inference_steps=STEPS, mag_ratios=FLUX_MAG_RATIOS
    ),
    "pyramid-attention:3": lambda pipeline: hooks.PyramidAttentionBroadcastConfig(
        spatial_attention_block_skip_range=3,
        current_timestep_callback=lambda: pipeline.current_timestep,
    ),
    "faster-cache": lambda pipeline: hooks.FasterCacheConfig(
        is_guidance_distilled=True, current_timestep_callback=lambda: pipeline.current_timestep
    ),
}
"""What a user writes, and what plain diffusers is given for it."""


class Ran:
    """Counts the linear layers of a denoiser that run while inside."""

    def __init__(self, denoiser: torch.nn.Module) -> None:
        self.count = 0
        self._layers = [one for one in denoiser.modules() if isinstance(one, torch.nn.Linear)]

    def __enter__(self) -> Ran:
        self._hooks = [one.register_forward_pre_hook(self._ran) for one in self._layers]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _ran(self, *_: object) -> None:
        self.count += 1


@pytest.fixture(scope="module")
def plain(tiny: Callable[[str], Path]) -> Any:
    """Plain diffusers' pipeline of the tiny FLUX."""
    pipeline = diffusers.FluxPipeline.from_pretrained(tiny("flux"))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def drawn_plainly(pipeline: Any, rows: int = 1, **told: Any) -> np.ndarray:
    """Seeds from 0 of the cup, (rows, height, width, 3)."""
    pictures = pipeline(
        prompt=["a red cup"] * rows,
        num_inference_steps=STEPS,
        height=32,
        width=32,
        max_sequence_length=256,
        output_type="np",
        generator=[torch.Generator().manual_seed(seed) for seed in range(rows)],
        **told,
    ).images
    return np.asarray((pictures * 255).round().astype(np.uint8))


def specs_of(model: DiffusersModel) -> list[RenderSpec]:
    return [
        *(model.spec(SWITCHED, seed) for seed in range(2)),
        model.spec((Stage("a", 0.25), *CUP), 2),
    ]


# ── the picture ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("cache", MADE)
def test_a_sketch_is_what_plain_diffusers_draws_with_that_cache_and_runs_fewer_layers(
    cache: str, plain: Any, open_model: Callable[..., DiffusersModel]
) -> None:
    model = open_model("flux", cache=cache, num_inference_steps=STEPS, batch_size=2)
    alone = read_cache(cache).kind.by_picture
    plain.transformer.enable_cache(MADE[cache](plain))
    expected = [drawn_plainly(plain)[0]] if alone else list(drawn_plainly(plain, 2))
    plain.transformer.disable_cache()
    specs = [model.spec(CUP, seed) for seed in range(len(expected))]
    with Ran(model._running.denoiser) as fewer:  # type: ignore[arg-type]
        found = sketches(model, *specs)
    with Ran(model._running.denoiser) as all_of_them:  # type: ignore[arg-type]
        exact = pixels(model, *specs)
    assert all(same(*two) for two in zip(found, expected, strict=True))
    assert fewer.count < all_of_them.count
    assert all(same(*two) for two in zip(exact, drawn_plainly(plain, 2), strict=False))
    assert not same(found[0], exact[0])


def test_guidance_by_two_calls_has_a_cache_for_each(tmp_path: Path) -> None:
    family = zoo.FAMILIES["qwen-image"]
    folder = zoo.save("qwen-image", tmp_path / "qwen")
    settings = settings_of(folder, batch_size=1, num_inference_steps=STEPS, cache="first-block:0.3")
    model = DiffusersModel(settings)
    pipeline = family.load(folder)
    told = {"num_inference_steps": STEPS}
    pipeline.transformer.enable_cache(hooks.FirstBlockCacheConfig(threshold=0.3))
    expected = family.plain_call(pipeline, "a red cup", 0, **told)
    pipeline.transformer.disable_cache()
    usual = family.plain_call(pipeline, "a red cup", 0, **told)
    assert same(sketches(model, model.spec(CUP, 0))[0], (expected * 255).round().astype(np.uint8))
    assert same(pixels(model, model.spec(CUP, 0))[0], (usual * 255).round().astype(np.uint8))
    one_call = DiffusersModel(dataclasses.replace(settings, cache="pyramid-attention"))
    with pytest.raises(ConfigError, match="called more than once a step"):
        one_call.generate([one_call.sketch(one_call.spec(CUP, 0))])


@pytest.mark.parametrize("cache", ["first-block:0.3", "taylor-seer:4"])
def test_pictures_that_count_are_those_of_a_model_without_the_setting(
    cache: str, open_model: Callable[..., DiffusersModel]
) -> None:
    usual = open_model("flux", num_inference_steps=STEPS)
    model = open_model("flux", num_inference_steps=STEPS, cache=cache)
    specs = specs_of(usual)
    assert [spec.key for spec in specs_of(model)] == [spec.key for spec in specs]
    expected = pixels(usual, *specs)
    assert all(same(*two) for two in zip(pixels(model, *specs), expected, strict=True))
    both = [one for spec in specs for one in (model.sketch(spec), spec)]
    drawn = pixels(model, *both)  # in one call, turn by turn
    assert all(same(*two) for two in zip(drawn[1::2], expected, strict=True))
    assert not any(same(*two) for two in zip(drawn[::2], expected, strict=True))


@pytest.mark.parametrize("cache", ["first-block:0.3", "taylor-seer:4"])
def test_a_sketch_does_not_depend_on_its_neighbours_its_place_or_what_was_drawn_before(
    cache: str, open_model: Callable[..., DiffusersModel]
) -> None:
    model = open_model("flux", num_inference_steps=STEPS, cache=cache)
    specs = specs_of(model)
    together, alone = sketches(model, *specs), [sketches(model, spec)[0] for spec in specs[::-1]]
    assert all(same(*two) for two in zip(together, alone[::-1], strict=True))


@pytest.mark.parametrize("cache", ["first-block:1", "taylor-seer:11", "pyramid-attention:11"])
def test_nothing_is_kept_over_a_switch_of_prompts(
    cache: str, open_model: Callable[..., DiffusersModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = open_model("flux", num_inference_steps=STEPS, cache=cache, batch_size=1)
    (found,) = sketches(model, model.spec(SWITCHED, 0))
    times = []
    forget = model._caching.forget
    monkeypatch.setattr(model._caching, "forget", lambda: times.append(1) or forget())
    assert same(sketches(model, model.spec(SWITCHED, 0))[0], found)
    assert len(times) == 1
    sketches(model, model.spec(CUP, 0))
    assert len(times) == 1
    monkeypatch.setattr(model._caching, "forget", lambda: None)
    assert not same(sketches(model, model.spec(SWITCHED, 0))[0], found)


def test_profile_and_key_name_the_cache_and_its_number(
    open_model: Callable[..., DiffusersModel],
) -> None:
    usual = open_model("flux", num_inference_steps=STEPS)
    spec = usual.spec(CUP, 0)
    assert usual.sketch(spec) == sketch_of(toys.ToyModel(ModelSettings("toy")), spec) == spec
    profiles = {
        cache: open_model("flux", num_inference_steps=STEPS, cache=cache).sketch(spec).profile
        for cache in ("first-block", "first-block:0.3", "taylor-seer:4", "mag")
    }
    assert profiles == {
        "first-block": "cpu-float32-b1-lossy_first_block_0.05",
        "first-block:0.3": "cpu-float32-b1-lossy_first_block_0.3",
        "taylor-seer:4": "cpu-float32-b3-lossy_taylor_seer_4",
        "mag": "cpu-float32-b3-lossy_mag_0.06",
    }
    cached = open_model("flux", num_inference_steps=STEPS, cache="mag")
    assert cached.profile == usual.profile
    assert cached.sketch(spec).key != spec.key
    with pytest.raises(ValueError, match="not cpu-float32-b3"):
        usual.generate([cached.sketch(spec)])


def test_whoever_plans_is_told_in_a_line_that_only_searches_are_drawn_so(
    open_model: Callable[..., DiffusersModel],
) -> None:
    (note,) = open_model("flux", num_inference_steps=STEPS, cache="taylor-seer:4").notes
    assert "cache = 'taylor-seer:4' acts only on pictures by which repairs search" in note


# ── what is refused ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("cache", "sentence"),
    [
        ("tea", "there is no cache = 'tea': write first-block, taylor-seer"),
        ("", "there is no cache = ''"),
        ("first-block:0", "a threshold above 0 and up to 1"),
        ("first-block:1.01", "a threshold above 0 and up to 1"),
        ("first-block:nan", "a threshold above 0 and up to 1"),
        ("mag:", "a threshold above 0 and up to 1"),
        ("taylor-seer:1", "a whole number from 2"),
        ("taylor-seer:2.5", "a whole number from 2"),
        ("pyramid-attention:inf", "a whole number from 2"),
        ("faster-cache:-2", "a whole number from 2"),
    ],
)
def test_a_cache_that_is_none_is_one_sentence(cache: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        read_cache(cache)


def test_the_ends_of_each_range_are_in_it() -> None:
    assert str(read_cache("first-block:1")) == "first-block:1"
    assert str(read_cache("mag:1e-6")) == "mag:1e-06"
    assert str(read_cache("taylor-seer:2.0")) == "taylor-seer:2"
    assert {str(read_cache(name)).partition(":")[0] for name in KINDS} == set(KINDS)


@pytest.mark.parametrize(
    ("family", "settings", "sentence"),
    [
        ("sdxl", {}, "diffusers has no caches for a UNet2DConditionModel: leave it out"),
        ("sd3", {}, "diffusers has no caches for a SD3Transformer2DModel"),
        ("pixart", {}, "diffusers has no caches for a PixArtTransformer2DModel"),
        ("flux", {"compiled": "regional"}, "leave compiled or cache out"),
    ],
)
def test_a_cache_that_cannot_act_is_refused_before_anything_is_loaded(
    family: str, settings: dict[str, Any], sentence: str, tiny: Callable[[str], Path]
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        DiffusersModel(settings_of(tiny(family), cache="first-block", **settings))


def test_a_cache_goes_by_what_this_denoiser_and_its_pipeline_say(
    tmp_path: Path, open_model: Callable[..., DiffusersModel]
) -> None:
    qwen, chroma = (zoo.save(name, tmp_path / name) for name in ("qwen-image", "chroma"))
    with pytest.raises(ConfigError, match="numbers that diffusers has for a FluxTransformer2DM"):
        DiffusersModel(settings_of(qwen, cache="mag"))
    with pytest.raises(ConfigError, match="ChromaPipeline does not tell caches which of its calls"):
        DiffusersModel(settings_of(chroma, cache="taylor-seer"))
    model = open_model("flux", num_inference_steps=3, cache="taylor-seer")
    with pytest.raises(ConfigError, match="leaves nothing out in 3 steps"):
        model.generate([model.sketch(model.spec(CUP, 0))])


def test_what_diffusers_says_of_its_denoisers_is_read_as_it_is_where_it_is_imported() -> None:
    from diffusers.models import transformers
    from diffusers.models.cache_utils import CacheMixin

    kinds = {name: kind for name, kind in vars(transformers).items() if isinstance(kind, type)}
    assert {name for name, kind in kinds.items() if issubclass(kind, CacheMixin)} <= (
        cached_denoisers()
    )
    assert all(issubclass(kinds[name], CacheMixin) for name in cached_denoisers() & set(kinds))


def test_services_and_finished_pictures_have_no_cache(tmp_path: Path) -> None:
    hosted = ModelSettings("m", hosted=HostedSettings("http://127.0.0.1:9"), cache="first-block")
    with pytest.raises(ConfigError, match="which cache cannot reach: leave it out"):
        HostedModel(hosted)
    with pytest.raises(ConfigError, match="so cache can change nothing"):
        FolderModel(ModelSettings(str(tmp_path), cache="first-block"))


def test_only_plain_prompts_are_drawn_by_a_cache(open_model: Callable[..., DiffusersModel]) -> None:
    model = open_model("flux", num_inference_steps=STEPS, cache="taylor-seer:4")
    (stage,) = CUP
    beside = dataclasses.replace(stage, beside=(Beside("a dog"),))
    spec = dataclasses.replace(model.spec(CUP, 0), stages=(beside,))
    (refused,) = model.generate([model.sketch(spec)])
    assert isinstance(refused, RenderError)
    assert "by which nothing but plain prompts is drawn" in str(refused)


# ── a repair ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def config(
    tiny: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AuditSettings]:
    """An audit and a repair of a cached model, both done."""
    model = settings_of(tiny("flux"), num_inference_steps=8, batch_size=2, cache="taylor-seer:3")
    with audited_and_repaired(tmp_path_factory.mktemp("cached"), model) as settings:
        yield settings


def profiles(store: Store, model: str) -> dict[str, tuple[RenderSpec, str]]:
    return {key: (store.render(key)[0], said) for key, said in store.profiles(model).items()}


def test_a_search_is_drawn_by_the_cache_and_all_that_counts_without_it(
    config: AuditSettings, open_model: Callable[..., DiffusersModel]
) -> None:
    lossy, exact = "cpu-float32-b2-lossy_taylor_seer_3", "cpu-float32-b2"
    with Store(config.store) as store:
        (model,) = {trial.model for trial in store.trials()}
        found = profiles(store, model)
        assert {said for spec, said in found.values() if spec.seed in SEARCH_SEEDS} == {lossy}
        counted = [spec for spec, _ in found.values() if spec.seed not in SEARCH_SEEDS]
        assert {spec.profile for spec in counted} == {exact}
        fresh = [spec for spec in counted if spec.seed >= FIRST_CERTIFICATE_SEED]
        assert len(fresh) == 8
        usual = open_model("flux", num_inference_steps=8, batch_size=2)
        assert [usual.spec(spec.stages, spec.seed).key for spec in fresh] == [s.key for s in fresh]
        kept = [np.asarray(store.image(store.render(spec.key)[1].sha256)) for spec in fresh]
        assert all(same(*two) for two in zip(pixels(usual, *fresh), kept, strict=True))


def test_trials_and_nominations_say_by_which_cache_they_came_and_are_their_own(
    config: AuditSettings,
) -> None:
    with Store(config.store) as store:
        (model,) = config.models
        asked = [f"{name} {said}" for name, said in model.of_the_picture().items()]
        assert {trial.cache for trial in store.trials()} == {"; ".join(["taylor-seer:3", *asked])}
        (nomination,) = store.nominations()
        assert nomination.given == ("lossy taylor-seer:3", *asked)
    assert repaired(config) == 0
    (model,) = config.models
    bare = dataclasses.replace(config, models=(dataclasses.replace(model, cache=None),))
    with Store(config.store) as store:
        assert Repair(bare, store, BRIEF).num_open == 1
        assert Repair(config, store, BRIEF).num_open == 0


def test_a_sketch_can_be_drawn_again_from_the_store(config: AuditSettings) -> None:
    with Store(config.store) as store:
        (model,) = {trial.model for trial in store.trials()}
        sketch = next(key for key, said in store.profiles(model).items() if "lossy" in said)
        assert replay(store, sketch, []).same


def test_a_worker_draws_sketches_and_pictures_and_refuses_those_of_another_cache(
    config: AuditSettings, tmp_path: Path
) -> None:
    (settings,) = config.models
    with Store(tmp_path / "s", create=True) as store:
        model = DiffusersModel(settings)
        hand = Hand("w", {model.model_id: settings}, {}, store.pictures)
        spec = model.spec(CUP, 0)
        for one in (spec, model.sketch(spec)):
            report = hand.run(DrawOrder(model.model_id, (one,), {}))
            assert not isinstance(report, Trouble)
            assert report.painted[0].sha256
        other = dataclasses.replace(settings, cache="taylor-seer:4")
        refused = hand.run(DrawOrder(model.model_id, (DiffusersModel(other).sketch(spec),), {}))
        assert isinstance(refused, Trouble)
        assert "pictures of two kinds are not mixed in one run" in refused.sentence
