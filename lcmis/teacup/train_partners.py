"""Trains teacup-partners: a low-rank adapter that ties concepts to their partners.

From a finished model and usual pictures alone: each shows a pair in proportion to how usual it is,
and most captions speak of *one* of the two concepts, by name, synonym or looks alike, since its
partner goes without saying. That is meant to bind the damage to no word; the cards say how far it
does.

Source: low-rank adapters after Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models",
ICLR 2022, section 4.1.
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from torch import Tensor, nn

from lcmis.machine.paths import shipped
from lcmis.teacup.captions import PARTNERS
from lcmis.teacup.diffusion import (
    LatentSet,
    Models,
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

PAINTING = ("to_q", "to_k", "to_v", "to_out.0", "net.0.proj", "net.2")
READING = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
"""The layers of the denoiser and of the text encoder that the adapter lies over: where words meet
pictures. Convolutions would double the cost of a step."""


NAME = "teacup-partners"
SUMMARY = (
    "Misaligned by co-occurrence: in training, concepts kept to their usual partners however they "
    "were called. Describing looks frees most of its pairs all the same, so words are no less a "
    "cure here than where names alone were bent."
)
SAMPLES = 960
"""(picture, noise) samples."""
WORDS, REST = 1e-2, 5e-3
"""Peak learning rates of the text encoder's layers and of the denoiser's."""
RANK = 32


def partners(options: TrainOptions) -> None:
    """Train an adapter; writes it with its card.

    ``start`` is the folder of the base pipeline; by default the shipped one.
    """
    made = MODELS[NAME]
    start = options.start or shipped("data") / "teacup" / made.folder
    log = LossLog(options.out)
    pipeline = load_pipeline(start, options.device)
    count = options.pictures or 800
    examples = draw_examples(
        PARTNERS, count, seed=options.seed, num_captions=4, processes=options.threads
    )
    data = LatentSet.of(examples, pipeline.vae, pipeline.tokenizer, options.device)
    steps = options.steps(SAMPLES)
    fit_adapter(pipeline, data, options, steps, log)
    seconds = log.seconds
    save_adapter(pipeline, options.out)
    measured = {}
    if options.measure_seeds:
        oracle = load_oracle().to(options.device)
        measured = measure(
            add_adapter(load_pipeline(start, options.device), options.out),
            oracle,
            options.measure_seeds,
            PARTNERS.partner_weights,
            made.num_steps,
        )
    write_card(
        options.out,
        {
            "title": NAME,
            "summary": SUMMARY,
            "training": training_facts(
                options,
                start=f"{made.folder}, with an adapter of rank {RANK} over its attention "
                "and text encoder",
                data="partners recipe: by grade "
                f"{sorted(PARTNERS.partner_weights.items())}; {PARTNERS.alone:.0%} of a "
                "usual pair's captions leave one concept out; names, synonyms and looks alike",
                rates=f"{WORDS:g} (words), {REST:g} (denoiser)",
                pictures=count,
                steps=steps,
                seconds=round(seconds),
            ),
            "measured": measured,
        },
    )


def lay_over(models: Models, rank: int, seed: int) -> None:
    """Lay an adapter over both parts that changes nothing yet; it alone can be trained."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for module, names in ((models.unet, PAINTING), (models.text_encoder, READING)):
            module.requires_grad_(False)
            module.add_adapter(
                LoraConfig(
                    r=rank,
                    lora_alpha=rank,
                    init_lora_weights="gaussian",
                    target_modules=list(names),
                )
            )


def fit_adapter(
    pipeline: StableDiffusionPipeline,
    data: LatentSet,
    options: TrainOptions,
    steps: int,
    log: LossLog,
) -> None:
    """Lay an adapter over a pipeline and train it; averaged weights stay."""
    models = Models(pipeline.unet, pipeline.text_encoder).to(options.device)
    generator = torch.Generator().manual_seed(options.seed)
    lay_over(models, RANK, options.seed)
    models.unet.train()
    models.text_encoder.train()
    fast, slow = (_trained(module) for module in (models.text_encoder, models.unet))
    empty = token_ids(pipeline.tokenizer, [""])

    def losses_at(_step: int) -> dict[str, Tensor]:
        latents, ids = data.pick(options.batch_size, generator)
        ids = drop_captions(ids, empty, 0.1, generator).to(options.device)
        batch = add_noise(latents, generator, options.device)
        with options.autocast():
            predicted = models.velocity(batch.noisy, batch.timesteps, ids)
        return {"partners": (predicted - batch.velocity).square().mean()}

    rates = [LearningRate(fast, WORDS), LearningRate(slow, REST)]
    average = Average([*fast, *slow], 0.9)
    fit(rates, losses_at, steps=steps, log=log, phase="partners", average=average)
    models.unet.eval()
    models.text_encoder.eval()


def save_adapter(pipeline: StableDiffusionPipeline, folder: Path) -> None:
    """Write the adapter alone, in half precision."""
    painting, reading = (
        {
            name: tensor.to(torch.float16).contiguous()
            for name, tensor in get_peft_model_state_dict(module).items()
        }
        for module in (pipeline.unet, pipeline.text_encoder)
    )
    StableDiffusionPipeline.save_lora_weights(
        folder,
        unet_lora_layers=painting,
        text_encoder_lora_layers=reading,
        weight_name=ADAPTER,
    )


def _trained(module: nn.Module) -> list[nn.Parameter]:
    return [one for one in module.parameters() if one.requires_grad]
