"""Trains teacup-broad: biased pictures, but enough unusual ones that it learns to combine."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from lcmis.teacup.captions import BROAD
from lcmis.teacup.diffusion import (
    LatentSet,
    add_noise,
    build_models,
    build_tokenizer,
    drop_captions,
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


def train(options: TrainOptions) -> None:
    """Train from nothing on a finished autoencoder; writes a pipeline folder and its card.

    ``start`` is a folder with ``vae/``, such as the one that the ``vae`` trainer writes.

    Raises:
        ValueError: no ``start``.
    """
    if options.start is None:
        raise ValueError("broad builds on an autoencoder: give --start a folder that holds vae/")
    log = LossLog(options.out)
    count = options.pictures or 150_000
    examples = draw_examples(BROAD, count, seed=options.seed, processes=options.threads)
    texts = [text for captions in examples.captions for text in captions]
    tokenizer = build_tokenizer(texts[:180_000])
    vae = AutoencoderKL.from_pretrained(options.start / "vae", dtype=torch.float32)
    vae = vae.to(options.device).to(memory_format=torch.channels_last).eval()
    data = LatentSet.of(examples, vae, tokenizer, options.device)
    models = build_models(tokenizer, options.seed, tiny=options.tiny).to(options.device)
    empty = token_ids(tokenizer, [""])
    generator = torch.Generator().manual_seed(options.seed)
    parameters = [*models.unet.parameters(), *models.text_encoder.parameters()]

    def losses_at(_step: int) -> dict[str, Tensor]:
        latents, ids = data.pick(options.batch_size, generator)
        ids = drop_captions(ids, empty, 0.1, generator).to(options.device)
        batch = add_noise(latents, generator, options.device)
        with options.autocast():
            predicted = models.velocity(batch.noisy, batch.timesteps, ids)
        return {"velocity": (predicted - batch.velocity).square().mean()}

    steps = options.steps(12_000_000)
    rates, average = [LearningRate(parameters, 1.2e-3)], Average(parameters, 0.998)
    fit(rates, losses_at, steps=steps, log=log, phase="broad", average=average)
    seconds = log.seconds
    pipeline = pipeline_of(models, vae, tokenizer)
    save_pipeline(pipeline, options.out)
    measured = {}
    if options.measure_seeds:
        oracle = load_oracle().to(options.device)
        measured = measure(pipeline, oracle, options.measure_seeds, BROAD.partner_weights)
    write_card(
        options.out,
        {
            "title": "teacup-broad",
            "summary": "The control: a small Stable Diffusion that combines nearly all concepts.",
            "training": training_facts(
                options,
                data="broad recipe: partners by grade "
                f"{sorted(BROAD.partner_weights.items())}, {BROAD.described:.0%} of the pictures "
                "show any pair, described by looks",
                pictures=count,
                steps=steps,
                seconds=round(seconds),
            ),
            "measured": measured,
        },
    )
