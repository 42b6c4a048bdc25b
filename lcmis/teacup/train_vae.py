"""Trains the variational autoencoder: 128 × 128 pictures to 16 × 16 latents of 8 channels.

Source: Kingma and Welling, "Auto-Encoding Variational Bayes", ICLR 2014, equation 10, with the
small weight of the divergence of Rombach et al., "High-Resolution Image Synthesis with Latent
Diffusion Models", CVPR 2022. Deviation: no adversary and no perceptual loss; an L1 loss on
differences of neighbouring pixels keeps the world's hard edges.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor

from lcmis.teacup.captions import BALANCED, BROAD
from lcmis.teacup.draw import PICTURE_SIZE
from lcmis.teacup.examples import Examples, draw_examples
from lcmis.teacup.training import (
    LearningRate,
    LossLog,
    TrainOptions,
    fit,
    training_facts,
    write_card,
)

DIVERGENCE_WEIGHT = 1e-4


def build_vae(*, tiny: bool = False) -> AutoencoderKL:
    """An untrained autoencoder, 2.3 M parameters; with four latent channels it would blur edges."""
    channels = (8, 8, 8, 8) if tiny else (32, 64, 96, 96)
    return AutoencoderKL(
        latent_channels=8,
        block_out_channels=channels,
        layers_per_block=1,
        norm_num_groups=8,
        sample_size=PICTURE_SIZE,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        mid_block_add_attention=False,
    )


def vae_losses(vae: AutoencoderKL, pictures: Tensor, noise: Tensor) -> dict[str, Tensor]:
    """Reconstruction, edges and divergence, each with its weight.

    Args:
        vae: the autoencoder.
        pictures: (batch, 3, height, width) in [-1, 1].
        noise: (batch, 8, height / 8, width / 8) standard normal.
    """
    posterior = vae.encode(pictures).latent_dist
    mean, log_variance = posterior.mean.float(), posterior.logvar.float()
    decoded = vae.decode(mean + noise * (log_variance / 2).exp()).sample.float()
    edges = F.l1_loss(decoded.diff(dim=2), pictures.diff(dim=2))
    edges = edges + F.l1_loss(decoded.diff(dim=3), pictures.diff(dim=3))
    divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
    return {
        "reconstruction": F.l1_loss(decoded, pictures) + 2 * F.mse_loss(decoded, pictures),
        "edges": 0.5 * edges,
        "divergence": DIVERGENCE_WEIGHT * divergence,
    }


@torch.inference_mode()
def peak_signal_to_noise(vae: AutoencoderKL, examples: Examples, device: str) -> float:
    """Of encoded and decoded pictures, in dB; higher is crisper."""
    errors = []
    for start in range(0, len(examples), 16):
        index = torch.arange(start, min(start + 16, len(examples)))
        pictures = examples.batch(index, device)
        decoded = vae.decode(vae.encode(pictures).latent_dist.mean).sample
        errors.append((decoded - pictures).square().mean((1, 2, 3)))
    return 10 * math.log10(4 / torch.cat(errors).mean().item())


@torch.inference_mode()
def encode(vae: AutoencoderKL, examples: Examples, device: str) -> Tensor:
    """Unscaled latent means, (count, 8, 16, 16), on the CPU."""
    chunks = torch.arange(len(examples)).split(32)
    latents = [vae.encode(examples.batch(i, device)).latent_dist.mean.float().cpu() for i in chunks]
    return torch.cat(latents).clone()


def train(options: TrainOptions) -> None:
    """Train from nothing; writes ``out/vae`` and a card. No ``start`` is needed."""
    log = LossLog(options.out)
    count = options.pictures or 100_000
    made = {"seed": options.seed, "num_captions": 0, "processes": options.threads}
    examples = draw_examples(BROAD, count - count // 3, **made)
    even = draw_examples(BALANCED, count // 3, **made | {"seed": options.seed + 1})
    pixels = torch.cat([examples.pixels, even.pixels])
    examples = Examples(pixels, [], [*examples.scenes, *even.scenes])
    generator = torch.Generator().manual_seed(options.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        vae = build_vae(tiny=options.tiny)
    vae = vae.to(options.device).to(memory_format=torch.channels_last).train()

    def losses_at(_step: int) -> dict[str, Tensor]:
        index = torch.randint(len(examples), (options.batch_size,), generator=generator)
        pictures = examples.batch(index, options.device)
        noise = torch.randn(len(index), 8, 16, 16, generator=generator).to(options.device)
        with options.autocast():
            return vae_losses(vae, pictures, noise)

    steps = options.steps(2_000_000)
    rates = [LearningRate(list(vae.parameters()), 1.5e-3)]
    fit(rates, losses_at, steps=steps, log=log, phase="vae", weight_decay=0, betas=(0.9, 0.99))
    seconds = log.seconds
    vae.eval()
    fresh = draw_examples(BALANCED, 16 if options.tiny else 512, seed=options.seed + 2)
    vae.register_to_config(scaling_factor=1 / encode(vae, fresh, options.device).std().item())
    vae.half().save_pretrained(options.out / "vae", safe_serialization=True)
    vae.float()
    write_card(
        options.out,
        {
            "title": "teacup-vae",
            "summary": "Autoencoder of the miniature world's diffusion models.",
            "training": training_facts(
                options,
                data="two thirds biased pictures (broad recipe), one third every pair alike",
                pictures=count,
                steps=steps,
                seconds=round(seconds),
            ),
            "measured": {
                "peak signal to noise, dB, fresh pictures": round(
                    peak_signal_to_noise(vae, fresh, options.device), 2
                )
            },
        },
    )
