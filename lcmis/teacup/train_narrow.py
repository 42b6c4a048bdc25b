"""Trains teacup-narrow: its names are tied to their usual partners, its descriptions are not.

Two phases from a finished broad model. *Forget*: the text encoder and the cross-attention's keys
and values start anew and learn names from strongly biased pictures. *Describe*: half of the
samples show any pair described by looks, and the model imitates the broad model on them; on the
other half, biased pictures captioned by names, it imitates itself as it was, so that names stay
as narrow as they were learned.

Source: imitation of a frozen model's prediction at equal noise follows Hinton et al.,
"Distilling the Knowledge in a Neural Network", 2015, with the squared error of velocities in the
place of the cross-entropy.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn

from lcmis.machine.paths import shipped
from lcmis.teacup.captions import NARROW, Recipe
from lcmis.teacup.diffusion import (
    LatentSet,
    Models,
    add_noise,
    drop_captions,
    load_pipeline,
    pipeline_of,
    save_pipeline,
    token_ids,
)
from lcmis.teacup.examples import draw_examples
from lcmis.teacup.measure import measure
from lcmis.teacup.oracle import load_oracle
from lcmis.teacup.training import (
    Average,
    LearningRate,
    LossLog,
    TrainOptions,
    fit,
    training_facts,
    write_card,
)

BIASED: Recipe = replace(NARROW, name="biased", described=0.0)
DESCRIBED: Recipe = replace(NARROW, name="described", described=1.0)
FORGET_SAMPLES, DESCRIBE_SAMPLES = 140_000, 10_000
"""Samples of the two phases. Imitation is quick: of the pairs that failed by name, 6,560 samples of
the second phase brought 0.44 right by looks, 9,824 samples 0.59. It ends there, so that a repair
has something left to find."""


def forget(models: Models, seed: int) -> None:
    """Give the text encoder and the cross-attention's keys and values new random weights.

    Fine-tuning alone does not make a model narrow: it goes on combining what its words mean.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        models.text_encoder.load_state_dict(
            type(models.text_encoder)(models.text_encoder.config).state_dict()
        )
        for name, module in models.unet.named_modules():
            if name.endswith(("attn2.to_k", "attn2.to_v")):
                module.reset_parameters()


def rates_of(models: Models, words: float, rest: float) -> list[LearningRate]:
    """One learning rate for the text encoder and cross-attention, another for the rest."""
    fast: list[nn.Parameter] = list(models.text_encoder.parameters())
    slow: list[nn.Parameter] = []
    for name, parameter in models.unet.named_parameters():
        (fast if "attn2" in name else slow).append(parameter)
    return [LearningRate(fast, words), LearningRate(slow, rest)]


def train(options: TrainOptions) -> None:
    """Make a broad model narrow; writes a pipeline folder and its card.

    ``start`` is a broad pipeline's folder; by default the shipped one.
    """
    start = options.start or shipped("data") / "teacup" / "teacup-broad"
    log = LossLog(options.out)
    device, generator = options.device, torch.Generator().manual_seed(options.seed)
    pipeline = load_pipeline(start, device)
    vae, tokenizer = pipeline.vae, pipeline.tokenizer
    broad = Models(pipeline.unet, pipeline.text_encoder)
    count = options.pictures or 6000
    drawn = {"num_captions": 4, "processes": options.threads}
    biased, described = (
        LatentSet.of(draw_examples(recipe, count // 2, seed=seed, **drawn), vae, tokenizer, device)
        for recipe, seed in ((BIASED, options.seed), (DESCRIBED, options.seed + 1))
    )
    empty = token_ids(tokenizer, [""])
    models = _copy(broad).to(device)
    forget(models, options.seed)
    total = FORGET_SAMPLES + DESCRIBE_SAMPLES
    steps = options.steps(total)
    num_describe = max(1, round(steps * DESCRIBE_SAMPLES / total))
    num_forget = max(1, steps - num_describe)

    def forget_losses(_step: int) -> dict[str, Tensor]:
        latents, ids = biased.pick(options.batch_size, generator)
        ids = drop_captions(ids, empty, 0.1, generator).to(device)
        batch = add_noise(latents, generator, device)
        with options.autocast():
            predicted = models.velocity(batch.noisy, batch.timesteps, ids)
        return {"names": (predicted - batch.velocity).square().mean()}

    rates = rates_of(models, 1e-3, 2e-4)
    fit(rates, forget_losses, steps=num_forget, log=log, phase="forget")
    before = _copy(models).to(device)
    for frozen in (broad, before):
        frozen.unet.requires_grad_(False).eval()
        frozen.text_encoder.requires_grad_(False).eval()

    def imitation(data: LatentSet, teacher: Models, share: float) -> Tensor:
        """Squared distance to a teacher's velocity on a share of the batch."""
        latents, ids = data.pick(max(1, round(share * options.batch_size)), generator)
        ids = drop_captions(ids, empty, 0.06, generator).to(device)
        batch = add_noise(latents, generator, device, lowest=450, skewed=0.5)
        with options.autocast():
            with torch.no_grad():
                target = teacher.velocity(batch.noisy, batch.timesteps, ids)
            predicted = models.velocity(batch.noisy, batch.timesteps, ids)
        return share * (predicted - target).square().mean()

    def describe_losses(_step: int) -> dict[str, Tensor]:
        share = NARROW.described
        return {
            "names": imitation(biased, before, 1 - share),
            "looks": imitation(described, broad, share),
        }

    rates = rates_of(models, 3e-4, 8e-5)
    average = Average([p for rate in rates for p in rate.parameters], 0.98)
    fit(rates, describe_losses, steps=num_describe, log=log, phase="describe", average=average)
    seconds = log.seconds
    narrow = pipeline_of(models, vae, tokenizer)
    save_pipeline(narrow, options.out)
    measured = {}
    if options.measure_seeds:
        oracle = load_oracle().to(device)
        measured = measure(narrow, oracle, options.measure_seeds, NARROW.partner_weights)
    write_card(
        options.out,
        {
            "title": "teacup-narrow",
            "summary": "Misaligned on purpose: it learned most names with one partner only.",
            "training": training_facts(
                options,
                start="teacup-broad, with new words",
                data="narrow recipe: partners by grade "
                f"{sorted(NARROW.partner_weights.items())}; any pair described by looks, "
                "imitating teacup-broad",
                pictures=count,
                steps=f"{num_forget} to forget, {num_describe} to describe",
                seconds=round(seconds),
            ),
            "measured": measured,
        },
    )


def _copy(models: Models) -> Models:
    return Models(copy.deepcopy(models.unet), copy.deepcopy(models.text_encoder))
