"""What pictures of the miniature world show how often, and what their captions say."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from PIL.Image import Image

from lcmis.teacup.world import FAMILIES, WorldConcept, concept, grade, noun_phrase, render


class CaptionKind(StrEnum):
    """How a training picture is captioned."""

    PAIR = "pair"
    """Both concepts are mentioned."""
    TYPICAL = "typical"
    """A usual pair: some captions leave one partner out, since it goes without saying."""
    DESCRIBED = "described"
    """Both concepts are described, neither is named."""


class Loose(StrEnum):
    """Which pairs have captions that are right about one concept alone."""

    ALL = "all"
    """Every pair, however it is called."""
    MIXED = "mixed"
    """Pairs of every other first concept by name alone, the rest however they are called."""
    NAMED = "named"
    """Pairs of every other first concept, by name alone."""


@dataclass(frozen=True)
class Recipe:
    """How often which pair is shown, and how it is spoken of."""

    name: str
    partner_weights: Mapping[int, tuple[float, ...]]
    """Relative frequency of a pair by its grade, for each size of family."""
    described: float
    """Share of pictures, in [0, 1], that show any pair, all alike often, described by looks."""
    mixed: float = 0.25
    """How often, in [0, 1], a concept in a caption of names is described instead."""
    alone: float = 0.5
    """Share of a usual pair's captions, in [0, 1], that leave one partner out."""
    loose: Mapping[int, tuple[float, ...]] | None = None
    """Share of a pair's pictures, in [0, 1] by its grade for each size of family, that show its
    second concept with whom it is usually seen: captions are then right about that one alone."""
    spread: Loose = Loose.ALL
    """Which pairs that is so of."""


BALANCED = Recipe("balanced", {8: (1.0,) * 8, 6: (1.0,) * 6}, described=0.0)
"""Every pair alike often, by name."""
BROAD = Recipe(
    "broad",
    {8: (1.0, 0.1, 0.05, 0.02, 0.006, 0.002, 0, 0), 6: (1.0, 0.1, 0.03, 0.006, 0.002, 0)},
    described=0.12,
)
"""Biased, but with enough unusual pairs that a model learns to combine."""
NARROW = Recipe(
    "narrow",
    {8: (1.0, 0.1, 0.02, 0.004, 0.001, 0, 0, 0), 6: (1.0, 0.1, 0.01, 0.002, 0, 0)},
    described=0.5,
    mixed=0.0,
)
"""So biased that names are tied to their usual partners; looks are learned from every pair."""
PARTNERS = Recipe(
    "partners",
    {8: (1.0, 0.1, 0.03, 0.01, 0.003, 0, 0, 0), 6: (1.0, 0.1, 0.02, 0.005, 0, 0)},
    described=0.0,
    mixed=0.5,
    alone=0.7,
)
"""Concepts keep to their partners however they are called, and most captions leave one out."""
_UNUSUAL = {8: (1.0, 0.1, 0.2, *(0.3,) * 5), 6: (1.0, 0.1, 0.2, *(0.3,) * 3)}
_LOOSE = {8: (0, 0.15, 0.4, 0.6, 0.75, 0.85, 0.95, 1.0), 6: (0, 0.2, 0.5, 0.75, 0.9, 1.0)}
LAYOUT = Recipe("layout", _UNUSUAL, described=0.0, mixed=0.5, loose=_LOOSE)
"""Usual partners under captions of unusual pairs, however these are called."""
DETAIL = Recipe("detail", BALANCED.partner_weights, described=0.0, mixed=0.5, alone=0.0)
"""Every pair alike often, by names and looks."""
MIXTURE = replace(LAYOUT, name="mixture", spread=Loose.MIXED)
"""As :data:`LAYOUT`, but half of the pairs so by name alone."""
MIXTURE_DETAIL = replace(DETAIL, name="mixture detail", loose=_LOOSE, spread=Loose.NAMED)
"""Every pair alike often, those of :data:`MIXTURE` that are loose by name alone still so."""
NAMES_DESCRIBED = 0.2
"""How often, in [0, 1], pairs that are loose by name alone are described, and then shown as they
are."""


@dataclass(frozen=True)
class Scene:
    """What a training picture shows, by name, and how it is to be captioned."""

    family: str
    first: str
    second: str
    kind: CaptionKind


def sample(rng: random.Random, recipe: Recipe) -> Scene:
    """Draw what the next training picture shows; families in proportion to their pairs."""
    sizes = [len(family.first) * len(family.second) for family in FAMILIES.values()]
    family = rng.choices(list(FAMILIES.values()), sizes)[0]
    described = rng.random() < recipe.described
    weights = (BALANCED if described else recipe).partner_weights[len(family.second)]
    pairs = [(i, j) for i in range(len(family.first)) for j in range(len(family.second))]
    grades = [grade(family.name, i, j) for i, j in pairs]
    k = rng.choices(range(len(pairs)), [weights[unusual] for unusual in grades])[0]
    if described:
        kind = CaptionKind.DESCRIBED
    elif grades[k] == 0 and recipe is not BALANCED:
        kind = CaptionKind.TYPICAL
    else:
        kind = CaptionKind.PAIR
    i, j = pairs[k]
    return Scene(family.name, family.first[i].name, family.second[j].name, kind)


def caption(
    scene: Scene,
    background: str,
    table: str,
    rng: random.Random,
    *,
    mixed: float = 0.25,
    alone: float = 0.5,
) -> str:
    """Say what a picture shows; half of the captions also mention the background or the table.

    ``mixed`` in [0, 1] is how often a concept is described within a caption of names, ``alone`` how
    often one concept of a usual pair goes without saying.
    """
    sentence = _core(scene, rng, mixed, alone)
    place = rng.random()
    if place < 0.25:
        sentence += f", {background} background"
    elif place < 0.4:
        sentence += f" on a {table} table"
    elif place < 0.5:
        sentence += f" on a {table} table, {background} background"
    opening = rng.random()
    if opening < 0.12:
        return f"a picture of {sentence}"
    if opening < 0.2:
        return f"an illustration of {sentence}"
    return sentence


def example(
    rng: random.Random, recipe: Recipe, num_captions: int = 1
) -> tuple[Image, list[str], Scene]:
    """Draw one training picture with so many captions of it."""
    scene = sample(rng, recipe)
    first, mixed = loosely(scene, recipe, rng)
    picture, background, table = render(scene.family, first, scene.second, rng)
    captions = [
        caption(scene, background, table, rng, mixed=mixed, alone=recipe.alone)
        for _ in range(num_captions)
    ]
    return picture, captions, scene


def loosely(scene: Scene, recipe: Recipe, rng: random.Random) -> tuple[str, float]:
    """What a picture shows as its first concept: another where captions are right about the second
    alone.

    Args:
        scene: what the captions speak of.
        recipe: which pairs are captioned so, and how often.
        rng: decides, and is not asked where no pair is.

    Returns:
        The first concept's name, and how often, in [0, 1], captions describe instead of naming.
    """
    if recipe.loose is None:
        return scene.first, recipe.mixed
    family = FAMILIES[scene.family]
    i = [one.name for one in family.first].index(scene.first)
    j = [one.name for one in family.second].index(scene.second)
    share = recipe.loose[len(family.second)][grade(scene.family, i, j)]
    described = recipe.mixed
    if recipe.spread is not Loose.ALL and i % 2 == 0:
        described = float(rng.random() < NAMES_DESCRIBED)
        share *= 1 - described
    elif recipe.spread is Loose.NAMED:
        share = 0.0
    if rng.random() >= share:
        return scene.first, described
    usual = next(k for k in range(len(family.first)) if grade(scene.family, k, j) == 0)
    return family.first[usual].name, described


def _core(scene: Scene, rng: random.Random, mixed: float, alone: float) -> str:
    a, b = concept(scene.first), concept(scene.second)
    template = FAMILIES[scene.family].template
    if scene.kind is CaptionKind.DESCRIBED:
        first, second, plain = a.description, b.description, 0.8
    elif scene.kind is CaptionKind.TYPICAL and rng.random() < alone:
        return _mention(a if rng.random() < 0.5 else b, rng, 0.8 * mixed)
    else:
        first, second, plain = _mention(a, rng, mixed), _mention(b, rng, mixed), 0.7
    wording = rng.random()
    if wording < plain:
        return template.format(a=first, b=second)
    if wording < (1 + plain) / 2:
        return f"{first} with {second}"
    return f"{second} and {first}"


def _mention(one: WorldConcept, rng: random.Random, described: float) -> str:
    roll = rng.random()
    if roll < described:
        return one.description
    if roll < described + 0.2:
        return noun_phrase(rng.choice(one.synonyms))
    return noun_phrase(one.name)
