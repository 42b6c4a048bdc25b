"""Manners of drawing: several prompts at once, attention raised, a refiner."""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from worlds import drawing
from worlds.drawing import CUP, DOGS, one, pixels, same, settings_of

from lcmis.errors import ConfigError, RenderError
from lcmis.machine.weights import silent
from lcmis.plugins.optional import manners_of
from lcmis.plugins.protocols import Work
from lcmis.render import draw
from lcmis.render.conditioning import tokens_within
from lcmis.render.diffusion import DiffusersModel
from lcmis.render.exciting import tokens_of
from lcmis.render.mannered import SCALED
from lcmis.render.refining import handover
from lcmis.store import documents
from lcmis.types import (
    Beside,
    Candidate,
    Nomination,
    RenderSpec,
    Seen,
    Stage,
    StageManner,
    Trial,
)

open_model = drawing.open_model
tiny = drawing.tiny
copy = drawing.copy
Open = Callable[..., DiffusersModel]

STEPS, SIZE = 4, 32
BOTH = Stage("a red cup", beside=(Beside("two dogs on a boat", 0.75),), weight=0.5)


# ── how a stage says it ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"weight": 0.5}, "counts only where prompts stand beside"),
        ({"beside": (Beside("a dog", float("nan")),)}, "finite"),
        ({"excited": ("dog",)}, "does not say 'dog'"),
        ({"excited": ("",)}, "does not say ''"),
        ({"beside": (Beside("a dog"),), "excited": ("cup",)}, "one manner"),
        ({"beside": (Beside("a dog"),), "refiner": "r@1"}, "one manner"),
    ],
)
def test_a_stage_that_cannot_be_drawn_is_refused(said: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Stage("a red cup", **said)


@pytest.mark.parametrize(
    ("stages", "sentence"),
    [
        ((Stage("a cup", 0.5, excited=("cup",)), Stage("a dog")), "one stage only"),
        ((Stage("a cup", refiner="r@1"),), "last of several"),
        ((Stage("a cup", 0.5, refiner="r@1"), Stage("a dog")), "last of several"),
    ],
)
def test_a_manner_that_needs_other_stages_is_refused(
    stages: tuple[Stage, ...], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        Candidate(stages)


def test_keys_of_plain_candidates_and_pictures_are_what_they_always_were() -> None:
    stages = (Stage("a tea cup", 0.25), Stage("a tea cup of iced coke"))
    assert Candidate(stages, "glass").key == "k1:17c9f0d94b749ee7d2d777dfaaa8ffe7"
    spec = RenderSpec("m@1", stages, 7, 20, 7.5, "DDIMScheduler", 64, 64, "cpu-float32-b4")
    assert spec.key == "k1:1e2e474389b053c7e62e34094a53c90f"


MANNERED = (
    (BOTH,),
    (Stage("a red cup", 0.5), BOTH),
    (Stage("a red cup", excited=("cup", "red")),),
    (Stage("a red cup", 0.5), Stage("a red cup", refiner="r@1")),
)


def test_every_manner_and_weight_is_a_picture_of_its_own() -> None:
    variants = [
        (Stage("a red cup"),),
        *MANNERED,
        (dataclasses.replace(BOTH, weight=1.0),),
        (dataclasses.replace(BOTH, beside=(Beside("two dogs on a boat"),)),),
        (Stage("a red cup", excited=("cup",)),),
        (Stage("a red cup", 0.5), Stage("a red cup", refiner="r@2")),
    ]
    assert len({Candidate(stages).key for stages in variants}) == len(variants)
    assert len({str(Candidate(stages)) for stages in variants}) == len(variants)


@pytest.mark.parametrize("stages", MANNERED)
def test_what_is_stored_comes_out_equal_with_the_same_key(stages: tuple[Stage, ...]) -> None:
    candidate = Candidate(stages)
    spec = RenderSpec("m@1", stages, 7, 20, 7.5, "DDIMScheduler", 64, 64, "p")
    trial = Trial("k1:p", "m@1", "composable", "g@1", candidate, (Seen(1, 0.5, 0.5),))
    nomination = Nomination("k1:p", "m@1", "composable", "g@1", candidate, 9, 9, "found")
    for value, read in (
        (spec, documents.spec),
        (trial, documents.trial),
        (nomination, documents.nomination),
    ):
        again = read(documents.document(value))
        assert again == value
        assert again.key == value.key


def test_a_plain_stage_is_stored_as_it_always_was() -> None:
    spec = RenderSpec("m@1", CUP, 7, 20, 7.5, "DDIMScheduler", 64, 64, "p")
    assert '"stages":[{"denoising_end":1.0,"prompt":"a red cup"}]' in documents.document(spec)


# ── several prompts at once ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("family", ["sdxl", "sd3"])
def test_the_whole_prompt_with_weight_one_is_the_plain_picture_bit_for_bit(
    family: str, open_model: Open
) -> None:
    model = open_model(family)
    alone = Stage(CUP[0].prompt, beside=(Beside(DOGS[0].prompt, 0.0),))
    other = Stage(DOGS[0].prompt, beside=(Beside(CUP[0].prompt),), weight=0.0)
    plain, first, second, both = pixels(
        model, *(model.spec(stages, 1) for stages in (CUP, (alone,), (other,), (BOTH,)))
    )
    assert same(plain, first)
    assert same(plain, second)
    assert not same(plain, both)


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_the_noise_is_the_sum_of_guided_differences(family: str, open_model: Open) -> None:
    """Against a loop of the formula, each prompt and the empty one a call of its own."""
    model = open_model(family)
    drawn, plain = (one(model, stages).astype(int) for stages in ((BOTH,), CUP))
    parts = [("a red cup", 0.5), ("two dogs on a boat", 0.75)]
    expected = by_formula(model._pipeline, parts, model.spec(CUP, 1).guidance_scale)
    assert abs(drawn - expected).max() <= 2
    assert abs(plain - expected).max() > 20


@torch.no_grad()
def by_formula(pipeline: Any, parts: list[tuple[str, float]], guidance: float) -> np.ndarray:
    scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config)
    scheduler.set_timesteps(STEPS)
    side = SIZE // pipeline.vae_scale_factor
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn((1, 4, side, side), generator=generator) * scheduler.init_noise_sigma
    told = [conditions(pipeline, prompt) for prompt, _ in parts]
    nothing = conditions(pipeline, "")
    for timestep in scheduler.timesteps:
        seen = scheduler.scale_model_input(latents, timestep)
        unguided = pipeline.unet(seen, timestep, **nothing).sample
        noise = unguided.clone()
        for (_, weight), said in zip(parts, told, strict=True):
            difference = pipeline.unet(seen, timestep, **said).sample - unguided
            noise += guidance * weight * difference
        latents = scheduler.step(noise, timestep, latents).prev_sample
    picture = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor).sample
    pixels = (picture[0] / 2 + 0.5).clamp(0, 1).permute(1, 2, 0).numpy()
    return (pixels * 255).round().astype(int)


def conditions(pipeline: Any, prompt: str) -> dict[str, Any]:
    if not hasattr(pipeline, "text_encoder_2"):
        ids = pipeline.tokenizer(prompt, padding="max_length", return_tensors="pt").input_ids
        return {"encoder_hidden_states": pipeline.text_encoder(ids).last_hidden_state}
    if not prompt:  # SDXL reads no prompt at all as zeros
        usual = conditions(pipeline, "anything")
        zeros = torch.zeros_like(usual["encoder_hidden_states"])
        told = usual["added_cond_kwargs"]
        pooled = {**told, "text_embeds": torch.zeros_like(told["text_embeds"])}
        return {"encoder_hidden_states": zeros, "added_cond_kwargs": pooled}
    states = []
    for place in ("", "_2"):
        tokenizer = getattr(pipeline, f"tokenizer{place}")
        ids = tokenizer(prompt, padding="max_length", return_tensors="pt").input_ids
        states.append(getattr(pipeline, f"text_encoder{place}")(ids, output_hidden_states=True))
    sizes = torch.tensor([[SIZE, SIZE, 0, 0, SIZE, SIZE]], dtype=torch.float32)
    return {
        "encoder_hidden_states": torch.cat([one.hidden_states[-2] for one in states], -1),
        "added_cond_kwargs": {"text_embeds": states[1].text_embeds, "time_ids": sizes},
    }


def test_a_picture_of_several_prompts_does_not_depend_on_its_neighbours(open_model: Open) -> None:
    model = open_model("sd")
    three = Stage("a red cup", beside=(Beside("two dogs"), Beside("a boat", -0.5)))
    later = (Stage("two dogs", 0.5), BOTH)
    stages = ((three,), (BOTH,), later, CUP)
    specs = [model.spec(one, 3) for one in stages]
    together = pixels(model, *specs)
    for spec, beside in zip(specs, together, strict=True):
        assert same(pixels(model, spec)[0], beside)
    assert len({picture.tobytes() for picture in together}) == len(stages)


@pytest.mark.parametrize("scheduler", ["HeunDiscreteScheduler", "PNDMScheduler"])
def test_prompts_at_once_and_stages_go_together(scheduler: str, open_model: Open) -> None:
    """What follows from the first step on is the picture; what would follow after it is none."""
    model = open_model("sd", scheduler=scheduler)
    at_once, never = (
        (Stage("two dogs", 0.01), BOTH),
        (dataclasses.replace(BOTH, denoising_end=0.99), DOGS[0]),
    )
    whole, early, late, half = pixels(
        model,
        *(model.spec(one, 2) for one in ((BOTH,), at_once, never, (BOTH_FIRST, DOGS[0]))),
    )
    assert same(whole, early)
    assert same(whole, late)
    assert not same(whole, half)


BOTH_FIRST = dataclasses.replace(BOTH, denoising_end=0.5)


def test_a_beginning_that_two_pictures_share_is_begun_once_and_no_bit_changes(
    tiny: Callable[[str], Path],
) -> None:
    begun = (Stage("a red cup", 0.75), DOGS[0])
    beside = (dataclasses.replace(BOTH, denoising_end=0.75), DOGS[0])
    fresh = [DiffusersModel(settings_of(tiny("sd"))) for _ in range(2)]
    first = pixels(fresh[0], fresh[0].spec(begun, 1))[0]
    second = pixels(fresh[0], fresh[0].spec(beside, 1))[0]
    longer = (dataclasses.replace(BOTH, denoising_end=0.75), CUP[0])
    before = fresh[0].work
    pixels(fresh[0], fresh[0].spec(longer, 1))
    assert (fresh[0].work - before).skipped > 0
    assert same(second, pixels(fresh[1], fresh[1].spec(beside, 1))[0])
    assert not same(first, second)


def test_every_prompt_is_held_to_what_the_encoder_reads(open_model: Open) -> None:
    model = open_model("sd")
    with pytest.raises(RenderError, match="reads"):
        model.spec((Stage("a cup", beside=(Beside("dog " * 200),)),), 0)
    with pytest.raises(RenderError, match="empty prompt"):
        model.spec((Stage("a cup", beside=(Beside(" "),)),), 0)


def test_a_model_without_guidance_says_that_it_follows_one_prompt(open_model: Open) -> None:
    model = open_model("sd", guidance_scale=1.0)
    assert StageManner.TOGETHER not in manners_of(model)
    with pytest.raises(RenderError, match=r"follow several prompts at once \(it is not guided"):
        model.spec((BOTH,), 0)


def test_a_model_that_guides_otherwise_says_so_once_it_was_tried(
    tiny: Callable[[str], Path],
) -> None:
    model = DiffusersModel(settings_of(tiny("pixart"), batch_size=1))
    (refused,) = draw(model, [model.spec((BOTH,), 0)])
    assert isinstance(refused, RenderError)
    why = "its guidance is another than the difference to the negative prompt"
    assert why in str(refused)
    assert StageManner.TOGETHER not in manners_of(model)
    with pytest.raises(RenderError, match=why):
        model.spec((BOTH,), 0)
    assert not isinstance(draw(model, [model.spec(CUP, 0)])[0], RenderError)


# ── attention raised ─────────────────────────────────────────────────────────────────────────────


EXCITED = (Stage("a red cup on a boat", excited=("boat",)),)


@dataclasses.dataclass
class Drawing:
    """One picture, and what was seen while it was drawn."""

    model: DiffusersModel
    picture: np.ndarray
    latents: list[tuple[torch.Tensor, Any]]


@pytest.fixture(scope="module")
def excited(open_model: Open) -> Drawing:
    model = open_model("sd")
    with latents_seen(model._pipeline.unet) as latents:
        return Drawing(model, one(model, EXCITED), latents)


def test_an_excited_picture_is_the_one_of_diffusers_own_pipeline(excited: Drawing) -> None:
    model = excited.model
    parts = model._pipeline.components
    kind = diffusers.StableDiffusionAttendAndExcitePipeline
    known = inspect.signature(kind.__init__).parameters
    with silent():
        own = kind(**{n: p for n, p in parts.items() if n in known}, requires_safety_checker=False)
    own.scheduler = type(own.scheduler).from_config(own.scheduler.config)
    own.set_progress_bar_config(disable=True)
    processors = own.unet.attn_processors
    output = own(
        EXCITED[0].prompt,
        token_indices=tokens_of(own.tokenizer, EXCITED[0].prompt, ["boat"]),
        height=SIZE,
        width=SIZE,
        num_inference_steps=STEPS,
        guidance_scale=model.spec(CUP, 1).guidance_scale,
        generator=torch.Generator().manual_seed(1),
        max_iter_to_alter=2,
        thresholds={0: 0.05, 1: 0.5, 2: 0.8},
        attn_res=(8, 8),
    )
    own.unet.set_attn_processor(processors)
    assert same(excited.picture, np.asarray(output.images[0]))


def test_the_words_are_attended_to_more_than_in_the_plain_picture(excited: Drawing) -> None:
    model = excited.model
    prompt = EXCITED[0].prompt
    at = tokens_of(model._pipeline.tokenizer, prompt, ["boat"])
    with latents_seen(model._pipeline.unet) as plain:
        one(model, (Stage(prompt),))
    after_two = attention(model._pipeline, prompt, *excited.latents[2])[at].amax()
    without = attention(model._pipeline, prompt, *plain[2])[at].amax()
    assert after_two > without


@contextmanager
def latents_seen(unet: Any) -> Iterator[list[tuple[torch.Tensor, Any]]]:
    """What a picture was when each of its steps was predicted, and the timestep."""
    seen: list[tuple[torch.Tensor, Any]] = []

    def note(_: Any, args: tuple[Any, ...]) -> None:
        if len(args[0]) > 1 and not torch.is_grad_enabled():
            seen.append((args[0][:1].clone(), args[1]))

    hook = unet.register_forward_pre_hook(note)
    try:
        yield seen
    finally:
        hook.remove()


@torch.no_grad()
def attention(pipeline: Any, prompt: str, latents: torch.Tensor, timestep: Any) -> torch.Tensor:
    """Of each token, where it is looked at: (tokens, places), the mean of heads and layers."""
    maps = []

    def look(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        query, key = module.to_q(args[0]), module.to_k(kwargs["encoder_hidden_states"])
        query, key = module.head_to_batch_dim(query), module.head_to_batch_dim(key)
        maps.append(module.get_attention_scores(query, key).mean(0).T)

    attending = [part for name, part in pipeline.unet.named_modules() if name.endswith("attn2")]
    hooks = [part.register_forward_pre_hook(look, with_kwargs=True) for part in attending]
    pipeline.unet(latents.clone(), timestep, **conditions(pipeline, prompt))
    for hook in hooks:
        hook.remove()
    sides = max(one.shape[1] for one in maps)
    return torch.stack([one for one in maps if one.shape[1] == sides]).mean(0)


def test_nothing_is_left_behind_in_a_model_whose_attention_was_raised(
    excited: Drawing, tiny: Callable[[str], Path]
) -> None:
    model = excited.model
    fresh = DiffusersModel(settings_of(tiny("sd")))
    again, plain = pixels(model, *(model.spec(stages, 1) for stages in (EXCITED, CUP)))
    assert same(plain, one(fresh, CUP))
    assert same(excited.picture, again)


def test_all_tokens_of_all_words_are_meant_where_they_first_stand(open_model: Open) -> None:
    tokenizer = open_model("sd")._pipeline.tokenizer
    prompt = "a cup beside a red cup"
    tokens = tokenizer.convert_ids_to_tokens(tokenizer(prompt).input_ids)

    def spelled(*words: str) -> str:
        return "".join(tokens[at] for at in tokens_of(tokenizer, prompt, words)).replace("</w>", "")

    assert spelled("cup") == "cup"
    assert spelled("red cup") == "redcup"
    assert spelled("beside", "cup") == "besidecup"
    assert tokens_of(tokenizer, prompt, ["cup"]) == tokens_of(tokenizer, prompt, ["cup", "cup"])


def test_a_word_is_meant_where_it_stands_alone_before_where_another_holds_it(
    open_model: Open,
) -> None:
    tokenizer = open_model("sd")._pipeline.tokenizer
    prompt = "a bowl of rice with ice"
    last = tokens_within(tokenizer, prompt, len(prompt) - 3, len(prompt))
    assert tokens_of(tokenizer, prompt, ["ice"]) == last
    first = tokens_within(tokenizer, prompt, 11, 14)
    assert tokens_of(tokenizer, "a bowl of rice", ["ice"]) == first
    assert first != last


@pytest.mark.parametrize(
    ("family", "settings", "why"),
    [
        ("sdxl", {}, "for Stable Diffusion 1 and 2, and this is a StableDiffusionXLPipeline"),
        ("flux", {}, "this is a FluxPipeline"),
        ("sd", {"scheduler": "EulerDiscreteScheduler"}, "take a DDIMScheduler"),
    ],
)
def test_a_model_whose_attention_cannot_be_raised_says_why(
    family: str, settings: dict[str, Any], why: str, open_model: Open
) -> None:
    model = open_model(family, **settings)
    assert StageManner.EXCITED not in manners_of(model)
    with pytest.raises(RenderError, match=why):
        model.spec(EXCITED, 0)


def test_only_schedulers_that_scale_no_latents_are_excited_with() -> None:
    """By diffusers' own schedulers: what they say of the first noise."""
    of_sd = [kind.__name__ for kind in diffusers.DDIMScheduler().compatibles]
    assert {"EulerDiscreteScheduler", "DDIMScheduler"} <= set(of_sd)
    for name in of_sd:
        scheduler = getattr(diffusers, name)()
        if hasattr(scheduler, "init_noise_sigma") and not SCALED.search(name):
            scheduler.set_timesteps(STEPS)
            sample = torch.ones(1, 4, 2, 2)
            seen = scheduler.scale_model_input(sample, scheduler.timesteps[0])
            assert float(scheduler.init_noise_sigma) == 1, name
            assert torch.equal(seen, sample), name


# ── base and refiner ─────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def refined(tiny: Callable[[str], Path], open_model: Open) -> DiffusersModel:
    return open_model("sdxl", refiner=str(tiny("refiner")), num_inference_steps=8)


@pytest.mark.parametrize(
    ("share", "begun"), [(0.5, "a red cup"), (0.25, "two dogs"), (0.75, "red")]
)
def test_a_refined_picture_is_that_of_diffusers_own_two_calls(
    share: float, begun: str, refined: DiffusersModel
) -> None:
    stages = (Stage(begun, share), Stage("a red cup", refiner=refined.refiner))
    before = refined.work
    drawn = one(refined, stages, seed=5)
    assert refined.work - before == Work(alone=8, run=3 * 8, useful=8)
    between = share - 1 / 16  # at the share itself diffusers may hand over one of 8 steps later
    base, refiner = refined._pipeline, refined._refiner._pipeline  # type: ignore[union-attr]
    for pipeline in (base, refiner):
        pipeline.scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config)
    told = {"num_inference_steps": 8, "guidance_scale": refined.spec(CUP, 0).guidance_scale}
    generators = [torch.Generator().manual_seed(5) for _ in range(3)]  # the declared shape
    latents = base(
        begun,
        num_images_per_prompt=3,
        height=SIZE,
        width=SIZE,
        denoising_end=between,
        output_type="latent",
        generator=generators,
        **told,
    ).images
    names = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds")
    names += ("negative_pooled_prompt_embeds",)
    said = refiner.encode_prompt("a red cup", num_images_per_prompt=3)
    said = {name: one.detach() for name, one in zip(names, said, strict=True)}
    pictures = refiner(
        image=latents, denoising_start=between, generator=generators, **said, **told
    ).images
    assert same(drawn, np.asarray(pictures[0]))
    assert not same(drawn, one(refined, (Stage(begun, share), CUP[0]), seed=5))


def test_a_refiner_in_a_folder_whose_path_has_an_at_sign_is_found(
    tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = tmp_path / "me@home" / "refiner"
    folder.parent.mkdir()
    folder.symlink_to(tiny("refiner"))
    model = DiffusersModel(settings_of(tiny("sdxl"), refiner=str(folder)))
    assert model.refiner.startswith("refiner@")


def test_a_refiner_whose_scheduler_makes_noise_makes_it_from_the_pictures_seed(
    tiny: Callable[[str], Path], copy: Callable[[str], Path]
) -> None:
    pytest.importorskip("torchsde")
    folder = copy("refiner")
    said = folder / "scheduler" / "scheduler_config.json"
    config = {**json.loads(said.read_text()), "_class_name": "DPMSolverSDEScheduler"}
    said.write_text(json.dumps(config))
    model = DiffusersModel(settings_of(tiny("sdxl"), refiner=str(folder), batch_size=1))
    stages = (Stage("two dogs", 0.5), Stage("a red cup", refiner=model.refiner))
    assert same(one(model, stages), one(model, stages))


def test_a_model_with_a_refiner_draws_its_plain_pictures_as_without(
    refined: DiffusersModel, open_model: Open
) -> None:
    without = open_model("sdxl", num_inference_steps=8)
    spec = refined.spec(CUP, 1)
    assert spec.key == without.spec(CUP, 1).key
    assert same(one(refined, CUP), one(without, CUP))
    assert refined.refiner.startswith("refiner@")
    assert StageManner.REFINED in manners_of(refined)
    assert StageManner.REFINED not in manners_of(without)


def test_the_stages_before_a_refiner_switch_as_ever(refined: DiffusersModel) -> None:
    last = Stage("a red cup", refiner=refined.refiner)
    dogs, never, both = pixels(
        refined,
        refined.spec((Stage("two dogs", 0.5), last), 1),
        refined.spec((Stage("a cup", 0.01), Stage("two dogs", 0.5), last), 1),
        refined.spec((Stage("a cup", 0.25), Stage("two dogs", 0.5), last), 1),
    )
    assert same(dogs, never)
    assert not same(dogs, both)


@pytest.mark.parametrize(
    "name", ["DPMSolverMultistepScheduler", "EulerDiscreteScheduler", "DDIMScheduler"]
)
@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
def test_the_refiner_begins_at_the_step_that_the_stage_says(name: str, spacing: str) -> None:
    """By the rule of diffusers: the first draws what is not below the cut, the second what is."""
    scheduler = getattr(diffusers, name)(timestep_spacing=spacing)
    for steps in (3, 20, 40):
        scheduler.set_timesteps(steps)
        for first in range(1, steps):
            share = handover(scheduler, steps, first)
            cut = round(1000 - share * 1000)
            assert int((scheduler.timesteps >= cut).sum()) == first
            assert 0 < share < 1


@pytest.mark.parametrize("end", [0.01, 0.99])
def test_both_models_must_draw_a_step(end: float, refined: DiffusersModel) -> None:
    with pytest.raises(RenderError, match="each of the two models must draw one"):
        refined.spec((Stage("a cup", end), Stage("a cup", refiner=refined.refiner)), 0)


def test_a_refiner_that_is_not_named_or_another_is_refused(
    refined: DiffusersModel, open_model: Open
) -> None:
    stages = (Stage("a cup", 0.5), Stage("a cup", refiner="other@1"))
    with pytest.raises(RenderError, match="hands over to refiner@"):
        refined.spec(stages, 0)
    with pytest.raises(RenderError, match="no refiner is named: name one with --refiner"):
        open_model("sdxl").spec(stages, 0)


@pytest.mark.parametrize(
    ("family", "refiner", "why"),
    [
        ("sd", "refiner", "takes over from Stable Diffusion XL, and this is a StableDiffusionPipe"),
        ("sdxl", "sdxl", "is a StableDiffusionXLPipeline, which refines nothing"),
    ],
)
def test_what_is_no_refiner_or_has_nothing_to_refine_is_refused_before_weights_are_read(
    family: str, refiner: str, why: str, tiny: Callable[[str], Path]
) -> None:
    with pytest.raises(ConfigError, match=why):
        DiffusersModel(settings_of(tiny(family), refiner=str(tiny(refiner))))
