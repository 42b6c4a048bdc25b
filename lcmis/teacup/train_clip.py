"""Trains teacup-clip and teacup-guard: small ResNet and text transformer, as open_clip saves them.

Source: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision",
ICML 2021, Figure 3. Deviations: the truth of every text is known here, so a text that is also true
of another picture is left out of that picture's negatives; every second picture brings a near miss
as one more negative; linear classifiers on the embedding, dropped afterwards, name what is shown.
"""

from __future__ import annotations

import json
import math
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from safetensors.torch import save_file
from torch import Tensor

from lcmis.machine.paths import shipped
from lcmis.teacup.checker_data import (
    Namer,
    Pictures,
    Shown,
    Statement,
    add_copies,
    disturb,
    draw_pictures,
    near_miss,
    to_input,
    true_caption,
    word_pair,
)
from lcmis.teacup.draw import PICTURE_SIZE
from lcmis.teacup.measure_checkers import ClipReader, gather_cases, measure_clip, summarise
from lcmis.teacup.training import (
    LearningRate,
    LossLog,
    TrainOptions,
    fit,
    training_facts,
    write_card,
)

EOS_ID = 1
"""End and padding of the tokenizer that the diffusion models read with."""
NAMING_WEIGHT = 0.5
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True, slots=True)
class TowerShape:
    """One of the two encoders: how large it is, and what it learns from by default."""

    title: str
    summary: str
    embed_dim: int
    image_size: int
    """Pixels of a side; pictures of another size are resized."""
    image_layers: tuple[int, int, int, int]
    """Blocks of each of the four levels."""
    image_width: int
    text_layers: int
    text_width: int
    pictures: int
    samples: int


CLIP = TowerShape(
    title="teacup-clip",
    summary="An open_clip model of the miniature world; tells a pair from its rival.",
    embed_dim=128,
    image_size=PICTURE_SIZE,
    image_layers=(1, 2, 2, 1),
    image_width=16,
    text_layers=3,
    text_width=128,
    pictures=30_000,
    samples=115_200,
)
"""1.5 M parameters see, 0.7 M read."""
GUARD = TowerShape(
    title="teacup-guard",
    summary="A second, smaller open_clip model, held out: no search is guided by it.",
    embed_dim=96,
    image_size=96,
    image_layers=(1, 1, 1, 1),
    image_width=12,
    text_layers=2,
    text_width=96,
    pictures=15_000,
    samples=102_400,
)
"""0.8 M parameters see, 0.3 M read."""


def clip_config(shape: TowerShape = CLIP, *, tiny: bool = False) -> dict[str, Any]:
    """What open_clip reads; texts are pooled at the end token."""
    return {
        "model_cfg": {
            "embed_dim": shape.embed_dim,
            "custom_text": True,
            "vision_cfg": {
                "image_size": shape.image_size,
                "layers": [1, 1, 1, 1] if tiny else list(shape.image_layers),
                "width": 4 if tiny else shape.image_width,
                "head_width": 64,
            },
            "text_cfg": {
                "context_length": 40,
                "vocab_size": 783,
                "width": 32 if tiny else shape.text_width,
                "heads": 4,
                "layers": 1 if tiny else shape.text_layers,
                "hf_tokenizer_name": shape.title,
                "tokenizer_kwargs": {"clean": "whitespace"},
                "pool_type": "eos",
                "eos_id": EOS_ID,
                "pad_id": EOS_ID,
            },
        },
        "preprocess_cfg": {
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
            "interpolation": "bicubic",
            "resize_mode": "shortest",
        },
    }


def build_clip(config: dict[str, Any], seed: int) -> open_clip.CustomTextCLIP:
    """An untrained model of a configuration."""
    model = config["model_cfg"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return open_clip.CustomTextCLIP(model["embed_dim"], model["vision_cfg"], model["text_cfg"])


def contrastive_loss(images: Tensor, texts: Tensor, scale: Tensor, truth: Tensor) -> Tensor:
    """Tell one's own text among false ones, and one's own picture among false ones.

    Args:
        images: (batch, dim), normalised.
        texts: (texts, dim), normalised; the first ``batch`` are the pictures' own captions.
        scale: factor of the cosines.
        truth: (batch, texts), whether a text is true of a picture.
    """
    count = len(images)
    own = torch.eye(count, len(texts), dtype=torch.bool, device=images.device)
    logits = (scale * images @ texts.T).masked_fill(truth & ~own, -torch.inf)
    target = torch.arange(count, device=images.device)
    by_picture = F.cross_entropy(logits, target)
    by_text = F.cross_entropy(logits[:, :count].T, target)
    return (by_picture + by_text) / 2


def make_claims(shown: Sequence[Shown], rng: random.Random) -> list[Statement]:
    """A true caption for every picture, then a near miss for every second one."""
    claims = [true_caption(one, rng) for one in shown]
    for one in shown[::2]:
        missed = near_miss(one, rng)
        claims.append(Statement(word_pair(missed, rng), missed))
    return claims


def fit_clip(
    model: open_clip.CustomTextCLIP,
    tokenizer: open_clip.tokenizer.HFTokenizer,
    pictures: Pictures,
    options: TrainOptions,
    steps: int,
    log: LossLog,
) -> None:
    """Train in place."""
    device, rng = options.device, random.Random(options.seed)
    generator = torch.Generator().manual_seed(options.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        namer = Namer(model.visual.output_dim).to(device)
    size = model.visual.image_size
    model.to(device).to(memory_format=torch.channels_last).train()
    causal = model.text.attn_mask

    def losses(_step: int) -> dict[str, Tensor]:
        chosen = rng.choices(range(len(pictures)), k=options.batch_size)
        shown = [pictures.shown[index] for index in chosen]
        claims = make_claims(shown, rng)
        truth = torch.tensor([[claim.holds_for(one) for claim in claims] for one in shown])
        ids = tokenizer([claim.text for claim in claims])
        length = int((ids != EOS_ID).sum(1).max()) + 1
        model.text.attn_mask = causal[:length, :length]  # no time is spent on padding
        batch = resized(to_input(pictures.pick(chosen, rng)).to(device), size)
        batch = disturb(batch, generator)
        with options.autocast():
            seen = model.encode_image(batch).float()
            read = model.encode_text(ids[:, :length].to(device), normalize=True).float()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        scale = model.logit_scale.exp()
        return {
            "contrast": contrastive_loss(F.normalize(seen, dim=-1), read, scale, truth.to(device)),
            "naming": NAMING_WEIGHT * namer.loss(seen, shown),
        }

    rates = [LearningRate([*model.parameters(), *namer.parameters()], 2e-3)]
    fit(rates, losses, steps=steps, log=log, phase="clip", weight_decay=0.05)
    model.text.attn_mask = causal
    model.eval()


def resized(pictures: Tensor, size: int) -> Tensor:
    """Pictures (batch, 3, height, width) as large as the model sees them, the way it is later
    shown them.
    """
    if pictures.shape[-1] == size:
        return pictures
    small = F.interpolate(pictures, (size, size), mode="bicubic", antialias=True)
    return small.contiguous(memory_format=torch.channels_last)


def prepare_folder(folder: Path, tokenizer_folder: Path, config: dict[str, Any]) -> None:
    """Write what the weights need beside them: configuration and tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER_FILES:
        shutil.copyfile(tokenizer_folder / name, folder / name)
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")


def save_clip(model: open_clip.CustomTextCLIP, folder: Path) -> None:
    """Write the weights in half precision."""
    state = {
        name: (one.half() if one.is_floating_point() else one).contiguous()
        for name, one in model.state_dict().items()
    }
    path = folder / "open_clip_model.safetensors"
    save_file(state, path)
    path.chmod(0o644)


def train(options: TrainOptions) -> None:
    """Train teacup-clip from nothing; see :func:`train_shape`."""
    train_shape(CLIP, options)


def train_guard(options: TrainOptions) -> None:
    """Train teacup-guard from nothing; see :func:`train_shape`."""
    train_shape(GUARD, options)


def train_shape(shape: TowerShape, options: TrainOptions) -> None:
    """Train from nothing; writes an open_clip folder and a card.

    ``start`` is a folder with a finished ``teacup-broad``, whose tokenizer and autoencoder are
    used, and ``teacup-narrow`` and the oracle, by which the result is measured; by default the
    shipped ones.
    """
    start = options.start or shipped("data") / "teacup"
    log = LossLog(options.out)
    config = clip_config(shape, tiny=options.tiny)
    prepare_folder(options.out, start / "teacup-broad" / "tokenizer", config)
    tokenizer = open_clip.get_tokenizer(f"local-dir:{options.out}")
    vae = AutoencoderKL.from_pretrained(start / "teacup-broad" / "vae", dtype=torch.float32)
    count, steps = options.pictures or shape.pictures, options.steps(shape.samples)
    with options.autocast():
        pictures = add_copies(
            draw_pictures(count, options.seed), vae.to(options.device), count // 10, options.seed
        )
    model = build_clip(config, options.seed)
    fit_clip(model, tokenizer, pictures, options, steps, log)
    save_clip(model, options.out)
    seconds = log.seconds
    measured = {}
    if options.measure_seeds:
        reader = ClipReader(options.out, options.device)
        measured = {
            name: summarise(measure_clip(reader, cases))
            for name, cases in gather_cases(start, options).items()
        }
    write_card(
        options.out,
        {
            "title": shape.title,
            "summary": shape.summary,
            "training": training_facts(
                options,
                data="pictures of all pairs alike often, one in ten also as autoencoder copy",
                pictures=count,
                steps=steps,
                seconds=round(seconds),
            ),
            "measured": measured,
        },
    )
