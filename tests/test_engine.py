"""The one engine: what it reads of a pipeline, hears of a prompt, and proves of both."""

from __future__ import annotations

import dataclasses
import json
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from worlds import drawing, zoo
from worlds.drawing import CUP, DOGS, one, pixels, same

from lcmis.audit.doctor import check_batches
from lcmis.errors import ConfigError, RenderError
from lcmis.plugins.settings import ModelSettings
from lcmis.render.calling import Wording
from lcmis.render.conditioning import (
    CallArguments,
    Encodings,
    Kept,
    PromptsDiffer,
    changed,
    changes,
)
from lcmis.render.diffusion import DiffusersModel
from lcmis.render.kinds import OWN
from lcmis.render.signature import COMPUTED, REQUIRED, signature_of
from lcmis.types import Stage

open_model = drawing.open_model
tiny = drawing.tiny


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., DiffusersModel]:
    """A new model of a tiny pipeline out of the zoo."""
    root = tmp_path_factory.mktemp("zoo")

    def model(family: str, **settings: Any) -> DiffusersModel:
        folder = root / family
        if not folder.exists():
            zoo.save(family, folder)
        usual = ModelSettings(str(folder), height=32, width=32, num_inference_steps=3, batch_size=2)
        return DiffusersModel(dataclasses.replace(usual, **settings))

    return model


@contextmanager
def counted(module: torch.nn.Module) -> Iterator[list[int]]:
    """Rows of every run of a module while inside; a denoiser is counted by one of its parts, for
    it is also called where an answer is known.
    """
    rows: list[int] = []
    hook = module.register_forward_hook(
        lambda _, args, kwargs, said: rows.append(len((*args, *kwargs.values())[0])),
        with_kwargs=True,
    )
    try:
        yield rows
    finally:
        hook.remove()


# ── what is read ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "name",
    [
        "StableDiffusionPipeline",
        "FluxPipeline",
        "QwenImagePipeline",
        "Ideogram4Pipeline",
        "LatentConsistencyModelPipeline",
        "KandinskyV22CombinedPipeline",
        "SanaPAGPipeline",
    ],
)
def test_a_signature_read_from_the_source_is_the_one_that_python_sees(name: str) -> None:
    import inspect

    seen = dict(inspect.signature(getattr(diffusers, name).__call__).parameters)
    seen = {name: one for name, one in seen.items() if one.kind is not one.VAR_KEYWORD}
    del seen["self"]
    read = signature_of(name).parameters
    assert list(read) == list(seen)
    for parameter, value in read.items():
        if value is REQUIRED:
            assert seen[parameter].default is inspect.Parameter.empty
        elif value is not COMPUTED:
            assert seen[parameter].default == value


def test_a_pipeline_without_a_call_of_its_own_has_its_parents() -> None:
    assert "prompt" in signature_of("HeliosPyramidPipeline").parameters
    with pytest.raises(ConfigError, match="does not hold the source"):
        signature_of("NoSuchPipeline")


@pytest.mark.parametrize(
    ("name", "known", "multiple"),
    [
        ("StableDiffusionPipeline", {"vae_scale_factor": 4}, 8),
        ("FluxPipeline", {"vae_scale_factor": 8}, 16),
        ("ZImagePipeline", {"vae_scale_factor": 8}, 16),
        ("StableDiffusion3Pipeline", {"vae_scale_factor": 8, "patch_size": 2}, 16),
        ("SanaPipeline", {}, 32),
    ],
)
def test_what_a_size_must_be_a_multiple_of_stands_in_the_source(
    name: str, known: dict[str, int], multiple: int
) -> None:
    assert signature_of(name).multiple(known) == multiple


@pytest.mark.parametrize(
    ("family", "guidance", "scale", "negative"),
    [
        ("sd1", "guidance_scale", 7.5, True),
        ("flux-dev", "guidance_scale", 3.5, False),
        ("flux-schnell", "", 0.0, False),
        ("flux2-klein-kv", "", 0.0, False),
        ("lcm", "guidance_scale", 8.5, False),
        ("qwen-image", "true_cfg_scale", 4.0, True),
        ("hunyuan-image", "guider", 3.5, True),
        ("dreamlite-mobile", "", 0.0, False),
    ],
)
def test_guidance_is_what_the_signature_and_the_configuration_say(
    family: str, guidance: str, scale: float, negative: bool, opened: Callable[..., DiffusersModel]
) -> None:
    model = opened(family)
    assert model._family.guidance == guidance
    assert model.spec(CUP, 1).guidance_scale == scale
    assert model.takes_negative_prompts == negative


def test_guidance_that_needs_a_negative_prompt_has_one_and_says_so(
    opened: Callable[..., DiffusersModel],
) -> None:
    guided = opened("qwen-image")
    assert guided.spec(CUP, 1).negative_prompt == " "
    unguided = opened("qwen-image", guidance_scale=1.0)
    assert unguided.spec(CUP, 1).negative_prompt == ""
    assert not same(one(guided, CUP), one(unguided, CUP))
    bare = dataclasses.replace(guided.spec(CUP, 1), negative_prompt="")
    (refused,) = guided.generate([bare])
    assert isinstance(refused, RenderError)
    assert "would change nothing without a negative prompt" in str(refused)


@pytest.mark.parametrize(
    ("family", "settings", "sentence"),
    [
        ("flux2-klein-distilled", {"guidance_scale": 4.0}, "would change nothing: set it to 0"),
        ("dreamlite-mobile", {"guidance_scale": 4.0}, "would change nothing: set it to 0"),
        ("lcm", {"negative_prompt": "a glass"}, "has no negative prompt"),
        ("flux-dev", {"negative_prompt": "a glass"}, "has no negative prompt"),
        ("z-image", {"guidance_scale": 1.0, "negative_prompt": "a glass"}, "has no effect"),
        ("z-image", {"height": 33}, "multiples of 4, not 32x33"),
        ("sd1-panorama", {}, "one picture at a time: it gives a picture its neighbour's prompt"),
    ],
    ids=str,
)
def test_what_can_be_known_before_loading_is_refused_before_loading(
    family: str, settings: dict[str, Any], sentence: str, opened: Callable[..., DiffusersModel]
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        opened(family, **settings)


def test_a_pipeline_that_wants_more_than_words_is_refused(
    tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny("sd"), tmp_path / "sd"))
    index = folder / "model_index.json"
    for name in ("StableDiffusionImg2ImgPipeline", "StableVideoDiffusionPipeline"):
        said = json.loads(index.read_text())
        index.write_text(json.dumps(said | {"_class_name": name}))
        with pytest.raises(
            ConfigError,
            match="from a prompt alone",
        ):
            DiffusersModel(ModelSettings(str(folder)))


def test_every_exception_names_a_class_that_diffusers_has() -> None:
    assert all(hasattr(diffusers, name) for name in OWN)


# ── what is heard ────────────────────────────────────────────────────────────────────────────────


def test_a_prompt_is_encoded_once_however_often_it_is_drawn(
    opened: Callable[..., DiffusersModel],
) -> None:
    model = opened("sd1", batch_size=3)
    specs = [model.spec(stages, seed) for stages in (CUP, DOGS) for seed in range(3)]
    with counted(model._pipeline.text_encoder) as rows:
        pixels(model, *specs)
        first = len(rows)
        assert set(rows) <= {1, 2}, "each alone; two of the first, to see how they are joined"
        pixels(model, *specs, model.spec((Stage("a red cup", 0.5), DOGS[0]), 7))
        assert len(rows) == first


def test_hearing_what_a_denoiser_is_told_runs_it_for_one_step_at_most(
    opened: Callable[..., DiffusersModel],
) -> None:
    model = opened("chroma", guidance_scale=4.0)
    running = model._running
    wordings = [Wording((text,) * 2, ("",) * 2) for text in ("a cup", "a dog", "ink")]
    with counted(running.denoiser.context_embedder) as rows:
        for wording in wordings:
            running._recording(wording, 3)
        assert rows == [2, 2], "one step of two calls, for the form of what is said to them"
        assert all(len(running._recording(wording, 3).calls) == 1 for wording in wordings)
        assert len(rows) == 2


def test_only_what_depends_on_the_prompt_is_told_otherwise(
    opened: Callable[..., DiffusersModel],
) -> None:
    running = opened("sdxl")._running
    cup, dogs = (
        running._recording(Wording((text,) * 2, ("",) * 2), 3).at(0, 0)
        for text in ("a red cup", "two dogs on a boat")
    )
    assert {path for path, _ in changes(cup, dogs)} == {
        (1, "encoder_hidden_states"),
        (1, "added_cond_kwargs", "text_embeds"),
    }


def test_arguments_are_replaced_in_place_and_the_call_stays_as_it_was() -> None:
    asked = CallArguments((torch.zeros(2), [1, (2, 3)]), {"mask": None, "more": {"a": 1, "b": 2}})
    ruling = CallArguments((torch.zeros(2), [1, (5, 3)]), {"ids": 4, "more": {"a": 1, "b": 7}})
    found = changes(ruling, asked)
    assert sorted(path for path, _ in found) == [
        (0, 1, 1, 0),
        (1, "ids"),
        (1, "mask"),
        (1, "more", "b"),
    ]
    told = changed(asked, found)
    assert told.args[1] == [1, (5, 3)]
    assert told.kwargs == {"ids": 4, "more": {"a": 1, "b": 7}}
    assert asked.args[1] == [1, (2, 3)]
    assert asked.kwargs == {"mask": None, "more": {"a": 1, "b": 2}}


def test_numbers_that_are_none_are_no_difference() -> None:
    broken = torch.tensor([float("nan"), 1.0])
    assert changes(CallArguments((broken,), {}), CallArguments((broken.clone(),), {})) == []
    assert changes(CallArguments((broken,), {}), CallArguments((torch.tensor([2.0, 1.0]),), {}))


def test_what_is_kept_is_bounded_and_the_longest_unused_goes_first() -> None:
    kept: Kept[str] = Kept(4, len)
    assert [kept.get(key, lambda: "xx") for key in "aba"] == ["xx"] * 3
    kept.get("c", lambda: "yy")
    assert kept.num_bytes == 4
    assert kept.get("a", lambda: "new") == "xx"
    assert kept.get("b", lambda: "new") == "new"


class Packing:
    """A pipeline that packs all prompts of a batch into one row, as Kandinsky 5 does."""

    def __init__(self) -> None:
        self.components: dict[str, Any] = {}
        self.asked: list[list[str]] = []

    def encode_prompt(self, prompt: list[str], device: str = "cpu") -> tuple[torch.Tensor, Any]:
        self.asked.append(prompt)
        lengths = torch.tensor([len(text) for text in prompt])
        return torch.ones(1, int(lengths.sum())), lengths.cumsum(0)


def test_encodings_that_cannot_be_joined_are_made_of_the_whole_batch() -> None:
    pipeline = Packing()
    encodings = Encodings(pipeline, None)
    with encodings.remembered():
        packed, ends = pipeline.encode_prompt(prompt=["ink", "ink", "ink"], device="cpu")
        assert packed.shape == (1, 9)
        assert ends.tolist() == [3, 6, 9]
        with pytest.raises(PromptsDiffer):
            pipeline.encode_prompt(["ink", "cup"])
        asked = len(pipeline.asked)
        pipeline.encode_prompt(prompt=["ink", "ink", "ink"], device="cpu")
    assert len(pipeline.asked) == asked
    assert "encode_prompt" not in vars(pipeline)


# ── what is proved ───────────────────────────────────────────────────────────────────────────────


def test_a_setting_that_turns_out_to_change_nothing_is_refused_at_the_first_picture(
    opened: Callable[..., DiffusersModel],
) -> None:
    model = opened("pixart-sigma", guidance_scale=0.5)
    with pytest.raises(ConfigError, match=r"guidance_scale = 0\.5 changes nothing"):
        model.generate([model.spec(CUP, 1)])


def test_pictures_that_touch_one_another_are_refused_as_a_batch(
    opened: Callable[..., DiffusersModel],
) -> None:
    model = opened("auraflow", guidance_scale=4.0)

    def blurred(_: Any, __: Any, said: Any) -> Any:
        return (said[0] + said[0][:1],)  # every row sees the first one

    model._pipeline.transformer.register_forward_hook(blurred)
    with pytest.raises(ConfigError, match="otherwise than each by itself: set batch_size = 1"):
        model.generate([model.spec(CUP, 1)])


def test_the_largest_smaller_batch_whose_pictures_hold_is_named(
    opened: Callable[..., DiffusersModel],
) -> None:
    model = opened("auraflow", guidance_scale=4.0, batch_size=6)

    def blurred(_: Any, __: Any, said: Any) -> Any:
        """Half of these rows are the pictures', since it is guided."""
        return (said[0] + said[0][:1],) if len(said[0]) > 2 * 4 else said

    model._pipeline.transformer.register_forward_hook(blurred)
    with pytest.raises(ConfigError, match=r"6 pictures at once .*: set batch_size = 4$"):
        model.generate([model.spec(CUP, 1)])


def test_a_prompt_that_reaches_the_picture_past_the_denoiser_cannot_be_switched(
    opened: Callable[..., DiffusersModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = opened("auraflow", guidance_scale=4.0, num_inference_steps=2)
    prepare = model._pipeline.prepare_latents
    loud: list[float] = [0.0]

    def checked(prompt: Any, *_: Any, **__: Any) -> None:
        loud[0] = float(len(prompt[0]))

    monkeypatch.setattr(model._pipeline, "check_inputs", checked)
    monkeypatch.setattr(
        model._pipeline, "prepare_latents", lambda *a, **k: prepare(*a, **k) * loud[0]
    )
    spec = model.spec((Stage("a red cup", 0.5), Stage("two dogs")), 1)
    (refused,) = model.generate([spec])
    assert isinstance(refused, RenderError)
    assert "more than what its denoiser is told depends on the prompt" in str(refused)
    assert not model.supports_stages
    with pytest.raises(RenderError, match="cannot be switched"):
        model.spec(spec.stages, 2)


def test_what_was_proved_is_not_asked_again_by_another_process(
    opened: Callable[..., DiffusersModel],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    stages = (Stage("a red cup", 0.5), Stage("two dogs"))

    def rows_for_a_picture() -> int:
        model = opened("pixart-sigma", guidance_scale=4.0)
        with counted(model._pipeline.transformer.proj_out) as rows:
            pixels(model, model.spec(stages, 1))
        return len(rows)

    first, again = rows_for_a_picture(), rows_for_a_picture()
    assert again == 3 + 1, "its own steps, and one to learn the form of an answer"
    assert first > again
    (file,) = (tmp_path / "lcmis" / "proved").iterdir()
    said = json.loads(file.read_text())
    assert set(said["proved"]) == {"guidance 4", "batches of 2", "stages"}
    file.write_text("{")
    assert rows_for_a_picture() == first


def test_a_folder_that_cannot_be_written_keeps_no_proof_and_hinders_nothing(
    opened: Callable[..., DiffusersModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lcmis").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert one(opened("pixart-sigma", guidance_scale=4.0), CUP).shape == (32, 32, 3)


def test_doctor_proves_a_model_once(
    opened: Callable[..., DiffusersModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = check_batches(opened("pixart-sigma", guidance_scale=4.0))
    assert first.state == "ok"
    assert "alone, together and in any order, stages among them" in first.sentence
    model = opened("pixart-sigma", guidance_scale=4.0)
    again = check_batches(model)
    assert again.sentence == f"{first.sentence}, as was proved before on this machine"
    assert model.work.run == 0
    other = opened("pixart-sigma", guidance_scale=4.0, batch_size=4)  # of 3 rows some CPUs differ
    assert "proved before" not in check_batches(other).sentence


def test_doctor_keeps_no_proof_of_what_failed(
    opened: Callable[..., DiffusersModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = opened("sd1")

    def blurred(_: Any, __: Any, said: Any) -> Any:
        return (said[0] + said[0][:1],)

    model._pipeline.unet.register_forward_hook(blurred)
    for _ in range(2):
        finding = check_batches(model)
        assert finding.state == "fault"
        assert "depends on its neighbours" in finding.sentence


# ── what is drawn ────────────────────────────────────────────────────────────────────────────────


def test_different_prompts_are_drawn_in_batches_of_their_own(
    opened: Callable[..., DiffusersModel],
) -> None:
    model = opened("qwen-image")
    specs = [model.spec(stages, seed) for seed in range(2) for stages in (CUP, DOGS)]
    together = pixels(model, *specs)
    assert all(
        same(picture, pixels(model, spec)[0]) for picture, spec in zip(together, specs, strict=True)
    )
    assert not same(together[0], together[1])


def test_a_size_that_a_pipeline_does_not_draw_is_named(
    opened: Callable[..., DiffusersModel],
) -> None:
    model = opened("kandinsky5", guidance_scale=4.0)
    with pytest.raises(ConfigError, match=r"draws .*1024x1024.* only: set height and width so"):
        model.generate([model.spec(CUP, 1)])


def test_a_picture_of_another_size_than_asked_is_no_picture(
    opened: Callable[..., DiffusersModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = opened("auraflow", guidance_scale=4.0)
    decode = model._pipeline.vae.decode

    def smaller(*args: Any, **kwargs: Any) -> Any:
        (pictures,) = decode(*args, **kwargs)
        return (pictures[..., :-8],)

    monkeypatch.setattr(model._pipeline.vae, "decode", smaller)
    with pytest.raises(ConfigError, match="asked for 32x32 and drew 24x32"):
        model.generate([model.spec(CUP, 1)])


def test_a_component_that_guides_is_given_the_scale(
    opened: Callable[..., DiffusersModel],
) -> None:
    usual = opened("hunyuan-image")
    strong = opened("hunyuan-image", guidance_scale=6.0)
    assert usual.spec(CUP, 1).guidance_scale == 3.5
    assert not same(one(usual, CUP), one(strong, CUP))
    assert strong._pipeline.guider.config.guidance_scale == 6.0
    assert same(one(usual, CUP), one(usual, CUP))


def test_seeds_of_a_pipeline_that_takes_one_text_are_drawn_together(
    opened: Callable[..., DiffusersModel],
) -> None:
    model = opened("dreamlite", guidance_scale=4.0)
    specs = [model.spec(CUP, 1), model.spec(CUP, 2), model.spec(DOGS, 1)]
    together = pixels(model, *specs)
    assert all(
        same(picture, pixels(model, spec)[0]) for picture, spec in zip(together, specs, strict=True)
    )
    assert not np.array_equal(together[0], together[1])


# ── what a user sees of it ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("family", ["sd1", "sdxl", "sd3", "flux-dev", "lumina2"])
def test_drawing_is_no_occasion_for_a_librarys_warnings(family, opened):
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        model = opened(family)
        staged = model.spec((Stage("a cup", 0.5), Stage("two dogs")), 1)
        assert same(*model.generate([staged, staged]))
