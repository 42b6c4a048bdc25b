"""Pictures, texts and their truth: what the two checkers of the miniature world learn from."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor, nn

from lcmis.teacup import world
from lcmis.teacup.draw import PICTURE_SIZE

Pixels = NDArray[np.uint8]
"""(count, height, width, 3)."""
SHIFT = 5
"""Pixels that a training picture is moved by at most."""
COPIED = 0.6
"""How often a picture is shown as its copy that went through the autoencoder, if there is one."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a picture shows, by name; or, of a text, what it claims: None claims nothing."""

    family: str
    first: str | None
    second: str | None
    background: str | None = None
    table: str | None = None

    @property
    def prompt(self) -> str:
        """How one asks for the pair by name."""
        return world.prompt_of(self.family, str(self.first), str(self.second))


@dataclass(frozen=True, slots=True)
class Statement:
    """A text about a picture, with the least that a picture must show for it to be true."""

    text: str
    needs: Shown

    def holds_for(self, shown: Shown) -> bool:
        """Whether the text is true of such a picture."""
        needs = self.needs
        return (
            needs.family == shown.family
            and needs.first in (None, shown.first)
            and needs.second in (None, shown.second)
            and needs.background in (None, shown.background)
            and needs.table in (None, shown.table)
        )


@dataclass(frozen=True, slots=True)
class Pictures:
    """Training pictures with their truth."""

    pixels: Pixels
    shown: tuple[Shown, ...]
    copies: Pixels
    """The first so many of them after a round trip through an autoencoder; may be none."""

    def __len__(self) -> int:
        return len(self.shown)

    def pick(self, chosen: Sequence[int], rng: random.Random) -> Pixels:
        """Some pictures, each shifted a little, many of them as their copies."""
        picked = np.empty((len(chosen), PICTURE_SIZE, PICTURE_SIZE, 3), np.uint8)
        margin = ((SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0))
        for place, index in enumerate(chosen):
            copied = index < len(self.copies) and rng.random() < COPIED
            padded = np.pad((self.copies if copied else self.pixels)[index], margin, mode="edge")
            top, left = rng.randint(0, 2 * SHIFT), rng.randint(0, 2 * SHIFT)
            picked[place] = padded[top : top + PICTURE_SIZE, left : left + PICTURE_SIZE]
        return picked


def all_pairs() -> tuple[Shown, ...]:
    """Every pair of the world, families in their order."""
    return tuple(
        Shown(name, first.name, second.name)
        for name, family in world.FAMILIES.items()
        for first in family.first
        for second in family.second
    )


def usual_partner(pair: Shown) -> Shown:
    """What a biased model paints instead: the second concept with its usual first one."""
    family = world.FAMILIES[pair.family]
    place = [concept.name for concept in family.second].index(str(pair.second))
    return Shown(pair.family, family.first[place].name, pair.second)


def draw_pictures(count: int, seed: int) -> Pictures:
    """Draw pictures in which every pair of the world is equally likely; 1.5 ms each."""
    pairs = all_pairs()
    pixels = np.empty((count, PICTURE_SIZE, PICTURE_SIZE, 3), np.uint8)
    shown = []
    for number in range(count):
        rng = random.Random(seed * 1_000_000_000 + number)
        pair = rng.choice(pairs)
        picture, background, table = world.render(
            pair.family, str(pair.first), str(pair.second), rng
        )
        pixels[number] = np.asarray(picture)
        shown.append(replace(pair, background=background, table=table))
    return Pictures(pixels, tuple(shown), pixels[:0])


def draw_blanks(count: int, rng: random.Random) -> Pixels:
    """Pictures of nothing: one flat colour, or a wall and an empty table."""
    pixels = np.empty((count, PICTURE_SIZE, PICTURE_SIZE, 3), np.uint8)
    for number in range(count):
        if rng.random() < 0.5:
            pixels[number] = [rng.randrange(256) for _ in range(3)]
            continue
        horizon = round(PICTURE_SIZE * rng.uniform(0.66, 0.76))
        pixels[number, :horizon] = rng.choice(list(world.BACKGROUNDS.values()))
        pixels[number, horizon:] = rng.choice(list(world.TABLES.values()))
    return pixels


@torch.inference_mode()
def add_copies(pictures: Pictures, vae: AutoencoderKL, count: int, seed: int) -> Pictures:
    """Send the first pictures through an autoencoder, with noise of random strength on the way.

    A generated picture differs from a drawn one by the decoder's smear and by latents that are
    a little off: up to half of their standard deviation here.
    """
    generator = torch.Generator().manual_seed(seed)
    copies = np.empty((count, PICTURE_SIZE, PICTURE_SIZE, 3), np.uint8)
    for start in range(0, count, 20):
        pixels = pictures.pixels[start : min(start + 20, count)]
        latents = vae.encode(to_input(pixels).to(vae.device)).latent_dist.mean.float()
        strength = 0.5 * torch.rand(len(pixels), 1, 1, 1, generator=generator)
        noise = torch.randn(latents.shape, generator=generator) * strength
        decoded = vae.decode(latents + noise.to(vae.device) * latents.std()).sample.float()
        scaled = decoded.clamp(-1, 1).add(1).mul(127.5).round().byte()
        copies[start : start + len(pixels)] = scaled.permute(0, 2, 3, 1).cpu().numpy()
    return replace(pictures, copies=copies)


def word_concept(name: str, rng: random.Random) -> str:
    """Name (55 %), synonym (25 %) or description (20 %), with an article where one belongs.

    One description in four loses some words, so that a model does not learn it as one long name.
    """
    concept = world.concept(name)
    roll = rng.random()
    if roll < 0.55:
        return world.noun_phrase(concept.name)
    if roll < 0.8:
        return world.noun_phrase(rng.choice(concept.synonyms))
    if roll < 0.95:
        return concept.description
    return " ".join(word for word in concept.description.split() if rng.random() < 0.85)


def word_pair(pair: Shown, rng: random.Random) -> str:
    """The plain prompt (40 %), or both concepts in any wording, in one of three orders."""
    if rng.random() < 0.4:
        return pair.prompt
    a, b = word_concept(str(pair.first), rng), word_concept(str(pair.second), rng)
    order = rng.random()
    if order < 0.7:
        return world.FAMILIES[pair.family].template.format(a=a, b=b)
    return f"{a} with {b}" if order < 0.85 else f"{b} and {a}"


def true_caption(shown: Shown, rng: random.Random) -> Statement:
    """Say what is there: mostly both concepts, sometimes one, sometimes background and table."""
    needs = replace(shown, background=None, table=None)
    roll = rng.random()
    if roll < 0.1:
        needs = replace(needs, second=None)
        text = word_concept(str(shown.first), rng)
    elif roll < 0.2:
        needs = replace(needs, first=None)
        text = word_concept(str(shown.second), rng)
    else:
        text = word_pair(shown, rng)
    roll = rng.random()
    if roll < 0.1:
        needs = replace(needs, table=shown.table)
        text += f" on a {shown.table} table"
    if 0.05 < roll < 0.2:
        needs = replace(needs, background=shown.background)
        text += f", {shown.background} background"
    if rng.random() < 0.15:
        text = rng.choice(("a picture of ", "an illustration of ")) + text
    return Statement(text, needs)


def near_miss(shown: Shown, rng: random.Random) -> Shown:
    """A pair of the same family that shares one concept with what is shown.

    Two in five, where that differs, are the second concept's usual pair.
    """
    family = world.FAMILIES[shown.family]
    usual = usual_partner(shown)
    if usual.first != shown.first and rng.random() < 0.4:
        return usual
    if rng.random() < 0.6:
        firsts = [concept.name for concept in family.first if concept.name != shown.first]
        return Shown(shown.family, rng.choice(firsts), shown.second)
    seconds = [concept.name for concept in family.second if concept.name != shown.second]
    return Shown(shown.family, shown.first, rng.choice(seconds))


def to_input(pixels: Pixels) -> Tensor:
    """Turn pixels into (batch, 3, height, width) floats in [-1, 1], channels last in memory."""
    scaled = torch.tensor(pixels).permute(0, 3, 1, 2).float().div(127.5).sub(1)
    return scaled.contiguous(memory_format=torch.channels_last)


def disturb(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Blur a fifth, change contrast and brightness, add noise.

    Args:
        pictures: (batch, 3, height, width) in [-1, 1].
        generator: on the CPU, so that a seed means the same on every device.
    """

    def uniform(low: float, high: float) -> Tensor:
        drawn = torch.rand(len(pictures), 1, 1, 1, generator=generator) * (high - low) + low
        return drawn.to(pictures.device)

    soft = F.avg_pool2d(pictures, 3, 1, 1, count_include_pad=False)
    changed = torch.where(uniform(0, 1) < 0.2, soft, pictures)
    changed = changed * uniform(0.88, 1.12) + uniform(-0.1, 0.1)
    noise = torch.randn(pictures.shape, generator=generator).to(pictures.device)
    changed = changed + noise * uniform(0, 1).square() * 0.15
    return changed.contiguous(memory_format=torch.channels_last)


class Namer(nn.Module):
    """Four linear classifiers of a picture's embedding: both concepts, background, table.

    They teach a tower what there is to see and are dropped afterwards.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.firsts = [c.name for family in world.FAMILIES.values() for c in family.first]
        self.seconds = [c.name for family in world.FAMILIES.values() for c in family.second]
        self.backgrounds, self.tables = list(world.BACKGROUNDS), list(world.TABLES)
        tables = (self.firsts, self.seconds, self.backgrounds, self.tables)
        self.sizes = [len(names) for names in tables]
        self.linear = nn.Linear(dim, sum(self.sizes))

    def loss(self, embeddings: Tensor, shown: Sequence[Shown]) -> Tensor:
        """Mean cross-entropy of the four; embeddings are (batch, dim)."""
        targets = [
            [self.firsts.index(str(one.first)) for one in shown],
            [self.seconds.index(str(one.second)) for one in shown],
            [self.backgrounds.index(str(one.background)) for one in shown],
            [self.tables.index(str(one.table)) for one in shown],
        ]
        logits = self.linear(embeddings).split(self.sizes, dim=1)
        losses = [
            F.cross_entropy(one, torch.tensor(target, device=one.device))
            for one, target in zip(logits, targets, strict=True)
        ]
        return torch.stack(losses).mean()
