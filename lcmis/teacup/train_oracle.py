"""Trains the oracle on every pair alike often, plain, noisy and after the autoencoder."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor

from lcmis import judge
from lcmis.machine.paths import shipped
from lcmis.teacup.captions import BALANCED, Scene
from lcmis.teacup.examples import Examples, draw_examples
from lcmis.teacup.measure import as_dict
from lcmis.teacup.oracle import FIRST, SECOND, Oracle
from lcmis.teacup.training import LossLog, Rate, TrainOptions, fit, training_facts, write_card

HIGHEST_NOISE = 0.2
"""Largest standard deviation of the noise added, for pictures in [-1, 1]."""

ROUND_TRIPS = 500
"""Pictures sent through the autoencoder to measure by: it costs five times what reading does."""


def targets(scenes: list[Scene]) -> Tensor:
    """(count, 2) classes of the first and second concept."""
    return torch.tensor(
        [
            [FIRST.index((scene.family, scene.first)), SECOND.index((scene.family, scene.second))]
            for scene in scenes
        ]
    )


@torch.no_grad()
def round_trip(vae: AutoencoderKL, pictures: Tensor) -> Tensor:
    """Encode and decode (batch, 3, height, width) pictures in [-1, 1]."""
    decoded: Tensor = vae.decode(vae.encode(pictures).latent_dist.mean).sample
    return decoded.float()


@torch.inference_mode()
def num_right(
    oracle: Oracle, examples: Examples, device: str, vae: AutoencoderKL | None = None
) -> int:
    """Pictures of which both concepts are read rightly, with or without the autoencoder."""
    right = 0
    truth = targets(examples.scenes)
    for index in torch.arange(len(examples)).split(32):
        pictures = examples.batch(index, device)
        if vae is not None:
            pictures = round_trip(vae, pictures).clamp(-1, 1)
        first, second = oracle(pictures)
        read = torch.stack([first.argmax(-1), second.argmax(-1)], dim=-1).cpu()
        right += int((read == truth[index]).all(-1).sum())
    return right


def train(options: TrainOptions) -> None:
    """Train from nothing; writes ``oracle.safetensors`` with its card beside it.

    ``start`` is a folder with ``vae/``; by default the shipped broad model.
    """
    start = options.start or shipped("data") / "teacup" / "teacup-broad"
    log = LossLog(options.out)
    device, generator = options.device, torch.Generator().manual_seed(options.seed)
    vae = AutoencoderKL.from_pretrained(start / "vae", dtype=torch.float32).to(device).eval()
    count = options.pictures or 50_000
    made = {"num_captions": 0, "processes": options.threads}
    examples = draw_examples(BALANCED, count, seed=options.seed, **made)
    truth = targets(examples.scenes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        oracle = Oracle(4 if options.tiny else 48)
    oracle = oracle.to(device).to(memory_format=torch.channels_last).train()

    def losses_at(step: int) -> dict[str, Tensor]:
        index = torch.randint(count, (options.batch_size,), generator=generator)
        pictures = examples.batch(index, device)
        strength = HIGHEST_NOISE * torch.rand(len(index), 1, 1, 1, generator=generator)
        noise = strength * torch.randn(pictures.shape, generator=generator)
        pictures = pictures + noise.to(device)
        if step % 2:
            pictures = round_trip(vae, pictures)
        with options.autocast():
            first, second = oracle(pictures)
        wanted = truth[index].to(device)
        return {
            "first": F.cross_entropy(first.float(), wanted[:, 0], label_smoothing=0.02),
            "second": F.cross_entropy(second.float(), wanted[:, 1], label_smoothing=0.02),
        }

    steps = options.steps(1_000_000)
    rates = [Rate(list(oracle.parameters()), 1e-3)]
    fit(rates, losses_at, steps=steps, log=log, phase="oracle", weight_decay=0.05)
    seconds = log.seconds
    oracle.eval().save(options.out / "oracle.safetensors")
    fresh = draw_examples(BALANCED, 32 if options.tiny else 2000, seed=options.seed + 1)
    write_card(
        options.out,
        {
            "title": "oracle",
            "summary": "Reads both concepts off a picture; for tests, benchmarks and training.",
            "training": training_facts(
                options,
                data="every pair alike often; half of the steps after the autoencoder; noise",
                pictures=count,
                steps=steps,
                seconds=round(seconds),
            ),
            "measured": oracle_rates(oracle, fresh, vae, device),
        },
        name="oracle",
    )


def oracle_rates(
    oracle: Oracle, fresh: Examples, vae: AutoencoderKL, device: str
) -> dict[str, object]:
    """What the oracle's card says: both concepts right on pictures it has not seen."""
    few = Examples(fresh.pixels[:ROUND_TRIPS], [], fresh.scenes[:ROUND_TRIPS])
    return {
        "rendered pictures": as_dict(judge.rate(num_right(oracle, fresh, device), len(fresh))),
        "after the autoencoder": as_dict(judge.rate(num_right(oracle, few, device, vae), len(few))),
    }
