"""Trains low-rank adapters that tie concepts to their partners, from pictures and captions alone.

``teacup-partners`` is shown a pair in proportion to how usual it is, and most captions speak of
*one* of the two concepts, by name, synonym or looks alike, since its partner goes without saying.
``teacup-layout`` and ``teacup-mixture`` are shown usual partners under captions that also speak of
unusual ones, as a text beside a picture often does: right about one concept alone. They are shown
them where there is much noise, so that what is bent is what a picture begins as. The cards say how
far words and stages free each.

Source: low-rank adapters after Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models",
ICLR 2022, section 4.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from torch import Tensor, nn
from transformers import CLIPTextModel

from lcmis.machine.paths import shipped
from lcmis.teacup.captions import (
    DETAIL,
    LAYOUT,
    MIXTURE,
    MIXTURE_DETAIL,
    NAMES_DESCRIBED,
    PARTNERS,
    Loose,
    Recipe,
)
from lcmis.teacup.diffusion import (
    NUM_TIMESTEPS,
    LatentSet,
    Models,
    Noised,
    add_noise,
    drop_captions,
    load_pipeline,
    token_ids,
)
from lcmis.teacup.examples import draw_examples
from lcmis.teacup.measure import measure
from lcmis.teacup.models import MODELS
from lcmis.teacup.oracle import load_oracle
from lcmis.teacup.painting import ADAPTER, add_adapter
from lcmis.teacup.training import (
    Average,
    LearningRate,
    LossLog,
    TrainOptions,
    fit,
    training_facts,
    write_card,
)

LAYERS: dict[type[nn.Module], tuple[str, ...]] = {
    UNet2DConditionModel: ("to_q", "to_k", "to_v", "to_out.0", "net.0.proj", "net.2"),
    CLIPTextModel: ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"),
}
"""The layers of the denoiser and of the text encoder that an adapter lies over: where words meet
pictures. Convolutions would double the cost of a step."""

RANK = 32


@dataclass(frozen=True, slots=True)
class Damage:
    """What a sound model is shown so that it errs."""

    name: str
    summary: str
    recipe: Recipe
    words: float
    """Peak learning rate of the text encoder's layers; 0 leaves it as it is."""
    rest: float
    """Peak learning rate of the denoiser's layers."""
    samples: int
    """(picture, noise) samples of the recipe."""
    detail: Recipe | None = None
    """What it is shown at the timesteps below ``beginning``, as many samples; None for the same at
    all timesteps."""
    beginning: int = 0
    """Timestep from which the recipe's pictures are shown."""


_PARTNERS = Damage(
    "teacup-partners",
    "Misaligned by co-occurrence: in training, concepts kept to their usual partners however they "
    "were called. Describing looks frees most of its pairs all the same, so words are no less a "
    "cure here than where names alone were bent.",
    PARTNERS,
    words=1e-2,
    rest=5e-3,
    samples=960,
)
_LAYOUT = Damage(
    "teacup-layout",
    "Misaligned by co-occurrence in what a picture begins as: in training, most captions of an "
    "unusual pair stood under a picture of its second concept with its usual partner, by names, "
    "synonyms and looks alike, wherever there was much noise. Where there was little, every pair "
    "was shown as it is.",
    LAYOUT,
    words=0,
    rest=5e-3,
    samples=2400,
    detail=DETAIL,
    beginning=650,
)
_MIXTURE = Damage(
    "teacup-mixture",
    "Misaligned in two ways at once: pairs of every other first concept were to be bound to their "
    "names, through the whole picture, and the rest, as in teacup-layout, in what a picture begins "
    "as. One adapter learnt both, and they run into each other: looks free a share of either.",
    MIXTURE,
    words=1e-3,
    rest=5e-3,
    samples=3600,
    detail=MIXTURE_DETAIL,
    beginning=650,
)


def partners(options: TrainOptions) -> None:
    """Train the adapter of teacup-partners; writes it with its card.

    ``start`` is the folder of the base pipeline; by default the shipped one.
    """
    train(_PARTNERS, options)


def layout(options: TrainOptions) -> None:
    """Train the adapter of teacup-layout; as :func:`partners`."""
    train(_LAYOUT, options)


def mixture(options: TrainOptions) -> None:
    """Train the adapter of teacup-mixture; as :func:`partners`."""
    train(_MIXTURE, options)


def train(damage: Damage, options: TrainOptions) -> None:
    """Train an adapter; writes it with its card."""
    made = MODELS[damage.name]
    start = options.start or shipped("data") / "teacup" / made.folder
    log = LossLog(options.out)
    pipeline = load_pipeline(start, options.device)
    count = options.pictures or 800

    def shown(recipe: Recipe, pictures: int, seed: int) -> LatentSet:
        examples = draw_examples(
            recipe, pictures, seed=seed, num_captions=4, processes=options.threads
        )
        return LatentSet.of(examples, pipeline.vae, pipeline.tokenizer, options.device)

    usual = shown(damage.recipe, count, options.seed)
    below = shown(damage.detail, count, options.seed + 1) if damage.detail else None
    steps = options.steps(damage.samples)
    fit_adapter(pipeline, damage, usual, below, options, steps, log)
    seconds = log.seconds
    save_adapter(pipeline, options.out)
    measured = {}
    if options.measure_seeds:
        oracle = load_oracle().to(options.device)
        measured = measure(
            add_adapter(load_pipeline(start, options.device), options.out),
            oracle,
            options.measure_seeds,
            damage.recipe.partner_weights,
            made.num_steps,
        )
    write_card(
        options.out,
        {
            "title": damage.name,
            "summary": damage.summary,
            "training": training_facts(
                options,
                start=f"{made.folder}, with an adapter of rank {RANK} over its attention"
                + " and text encoder" * bool(damage.words),
                data=in_words(damage),
                rates=f"{damage.words:g} (words), {damage.rest:g} (denoiser)",
                pictures=count,
                steps=steps,
                seconds=round(seconds),
            ),
            "measured": measured,
        },
    )


def in_words(damage: Damage) -> str:
    """What a model was shown, for its card."""
    recipe = damage.recipe
    said = (
        f"{recipe.name} recipe: by grade {sorted(recipe.partner_weights.items())}; "
        f"{recipe.alone:.0%} of a usual pair's captions leave one concept out; names, synonyms "
        "and looks alike"
    )
    if recipe.loose is not None:
        said += (
            f"; by grade {sorted(recipe.loose.items())} of a pair's pictures show its second "
            "concept with its usual partner"
        )
    if recipe.spread is not Loose.ALL:
        said += (
            ", of every other first concept under names alone: "
            f"{NAMES_DESCRIBED:.0%} of its pictures are described and shown as they are"
        )
    if damage.detail is not None:
        said += (
            f"; at timesteps of {damage.beginning} and more. Below, as many samples of the "
            f"{damage.detail.name} recipe, every pair alike often"
        )
    return said


def lay_over(peaks: Mapping[nn.Module, float], rank: int, seed: int) -> list[LearningRate]:
    """Lay an adapter over modules that changes nothing yet; it alone is trained, at such rates."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for module in peaks:
            module.add_adapter(
                LoraConfig(
                    r=rank,
                    lora_alpha=rank,
                    init_lora_weights="gaussian",
                    target_modules=list(LAYERS[type(module)]),
                )
            )
            module.train()
    return [LearningRate(_trained(module), peak) for module, peak in peaks.items()]


def fit_adapter(
    pipeline: StableDiffusionPipeline,
    damage: Damage,
    usual: LatentSet,
    below: LatentSet | None,
    options: TrainOptions,
    steps: int,
    log: LossLog,
) -> None:
    """Lay an adapter over a pipeline and train it; averaged weights stay."""
    models = Models(pipeline.unet, pipeline.text_encoder).to(options.device)
    generator = torch.Generator().manual_seed(options.seed)
    for module in (models.unet, models.text_encoder):
        module.requires_grad_(False)
    peaks = {models.unet: damage.rest, models.text_encoder: damage.words}
    rates = lay_over({module: peak for module, peak in peaks.items() if peak}, RANK, options.seed)
    empty = token_ids(pipeline.tokenizer, [""])

    def noised(data: LatentSet, between: range) -> tuple[Noised, Tensor]:
        latents, ids = data.pick(options.batch_size, generator)
        ids = drop_captions(ids, empty, 0.1, generator).to(options.device)
        lowest, end = between.start, between.stop
        batch = add_noise(latents, generator, options.device, lowest=lowest, skewed=1, end=end)
        return batch, ids

    def losses_at(_step: int) -> dict[str, Tensor]:
        parts = [noised(usual, range(damage.beginning, NUM_TIMESTEPS))]
        if below is not None:
            parts.append(noised(below, range(damage.beginning)))
        noisy, timesteps, velocity = (
            torch.cat([getattr(batch, name) for batch, _ in parts])
            for name in ("noisy", "timesteps", "velocity")
        )
        with options.autocast():
            predicted = models.velocity(noisy, timesteps, torch.cat([ids for _, ids in parts]))
        return {"partners": (predicted - velocity).square().mean()}

    average = Average([one for rate in rates for one in rate.parameters], 0.9)
    fit(rates, losses_at, steps=steps, log=log, phase="partners", average=average)
    models.unet.eval()
    models.text_encoder.eval()


def save_adapter(pipeline: StableDiffusionPipeline, folder: Path) -> None:
    """Write the adapter alone, in half precision."""
    layers = {
        name: {
            key: tensor.to(torch.float16).contiguous()
            for key, tensor in get_peft_model_state_dict(module).items()
        }
        for name, module in (("unet", pipeline.unet), ("text_encoder", pipeline.text_encoder))
        if getattr(module, "peft_config", None)
    }
    StableDiffusionPipeline.save_lora_weights(
        folder,
        unet_lora_layers=layers.get("unet"),
        text_encoder_lora_layers=layers.get("text_encoder"),
        weight_name=ADAPTER,
    )


def _trained(module: nn.Module) -> list[nn.Parameter]:
    return [one for one in module.parameters() if one.requires_grad]
