"""How often a diffusion model of the miniature world paints what it was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from PIL.Image import Image

from lcmis import judge
from lcmis.teacup.concepts import FAMILIES
from lcmis.teacup.draw import PICTURE_SIZE
from lcmis.teacup.oracle import Oracle
from lcmis.teacup.world import grade, prompt_by_looks, prompt_of
from lcmis.types import Rate

NUM_STEPS = 12
GUIDANCE = 3.0


@dataclass(frozen=True)
class Pair:
    """Two concepts that can be asked for together."""

    family: str
    first: str
    second: str
    grade: int
    """0 for the usual partners."""

    def __str__(self) -> str:
        return prompt_of(self.family, self.first, self.second)


@dataclass(frozen=True)
class Outcome:
    """What came of asking for one pair."""

    pair: Pair
    right: tuple[bool, ...]
    """For each seed, whether the oracle saw both concepts."""

    @property
    def fails(self) -> bool:
        """Whether more than half of the pictures are wrong."""
        return sum(self.right) * 2 < len(self.right)


def all_pairs() -> list[Pair]:
    """The world's 136 pairs."""
    return [
        Pair(family.name, a.name, b.name, grade(family.name, i, j))
        for family in FAMILIES.values()
        for i, a in enumerate(family.first)
        for j, b in enumerate(family.second)
    ]


def paint(
    pipeline: StableDiffusionPipeline,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    batch_size: int = 32,
) -> list[Image]:
    """Paint one picture a prompt, 128 × 128, in 12 steps at guidance 3."""
    pictures: list[Image] = []
    for start in range(0, len(prompts), batch_size):
        batch = slice(start, start + batch_size)
        generators = [torch.Generator().manual_seed(seed) for seed in seeds[batch]]
        output = pipeline(
            list(prompts[batch]),
            num_inference_steps=NUM_STEPS,
            guidance_scale=GUIDANCE,
            height=PICTURE_SIZE,
            width=PICTURE_SIZE,
            generator=generators,
        )
        pictures += output.images
    return pictures


def ask(
    pipeline: StableDiffusionPipeline,
    oracle: Oracle,
    pairs: Sequence[Pair],
    seeds: range,
    word: Callable[[str, str, str], str] = prompt_of,
) -> list[Outcome]:
    """Ask for pairs and let the oracle read the pictures.

    Args:
        pipeline: the model.
        oracle: reads the pictures.
        pairs: what to ask for.
        seeds: one picture a pair and seed; seeds differ between pairs.
        word: makes the prompt from family, first and second.
    """
    asked = [(number, pair, seed) for number, pair in enumerate(pairs) for seed in seeds]
    pictures = paint(
        pipeline,
        [word(pair.family, pair.first, pair.second) for _, pair, _ in asked],
        [seed * 1000 + all_pairs().index(pair) for _, pair, seed in asked],
    )
    right: list[list[bool]] = [[] for _ in pairs]
    for (number, pair, _), reading in zip(asked, oracle.classify(pictures), strict=True):
        right[number].append(reading.shows(pair.first, pair.second))
    return [Outcome(pair, tuple(one)) for pair, one in zip(pairs, right, strict=True)]


def picture_rate(outcomes: Iterable[Outcome]) -> Rate:
    """Share of right pictures; the interval takes pictures of one pair for independent."""
    right = [one for outcome in outcomes for one in outcome.right]
    return judge.rate(sum(right), len(right))


def rates_by_grade(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Share of right pictures for each family and grade."""
    table: dict[str, Any] = {}
    for family in FAMILIES:
        table[family] = {}
        for unusual in range(len(FAMILIES[family].second)):
            chosen = [
                outcome
                for outcome in outcomes
                if outcome.pair.family == family and outcome.pair.grade == unusual
            ]
            table[family][f"grade {unusual}"] = as_dict(picture_rate(chosen))
    return table


def as_dict(rate: Rate) -> dict[str, float | int]:
    """A rate as it stands in a card."""
    numbers = asdict(rate)
    return {
        "value": round(numbers["value"], 4),
        "low": round(numbers["low"], 4),
        "high": round(numbers["high"], 4),
        "total": numbers["total"],
    }


def measure(
    pipeline: StableDiffusionPipeline,
    oracle: Oracle,
    num_seeds: int,
    partner_weights: Mapping[int, tuple[float, ...]],
) -> dict[str, Any]:
    """All that a diffusion model's card says.

    Args:
        pipeline: the model.
        oracle: reads the pictures.
        num_seeds: pictures a pair; pairs that fail get as many again.
        partner_weights: the training's, which tell what was never seen.

    Returns:
        JSON-able rates: by name over all pairs, by grade, never seen; how many never-seen pairs
        fail in more than half of their pictures; by looks alone over all pairs and over those
        that fail.
    """
    pairs = all_pairs()
    outcomes = ask(pipeline, oracle, pairs, range(num_seeds))
    again = [outcome.pair for outcome in outcomes if outcome.fails]
    more = ask(pipeline, oracle, again, range(num_seeds, 2 * num_seeds))
    added = {outcome.pair: outcome.right for outcome in more}
    outcomes = [Outcome(one.pair, one.right + added.get(one.pair, ())) for one in outcomes]
    failing = [outcome.pair for outcome in outcomes if outcome.fails]
    looks = ask(pipeline, oracle, failing, range(num_seeds), prompt_by_looks)
    described = ask(pipeline, oracle, pairs, range(1), prompt_by_looks)
    return summarise(outcomes, looks, described, num_seeds, partner_weights)


def summarise(
    outcomes: Sequence[Outcome],
    looks: Sequence[Outcome],
    described: Sequence[Outcome],
    num_seeds: int,
    partner_weights: Mapping[int, tuple[float, ...]],
) -> dict[str, Any]:
    """Turn outcomes into what a card says.

    Args:
        outcomes: by name, all pairs; more than ``num_seeds`` pictures of some, of which only the
            first count where pairs are compared or pooled.
        looks: by looks, those of the pairs that fail, in the order of ``outcomes``.
        described: by looks, all pairs.
        num_seeds: pictures that every pair has.
        partner_weights: the training's, which tell what was never seen.
    """
    alike = [Outcome(one.pair, one.right[:num_seeds]) for one in outcomes]
    failing = [one for one in outcomes if one.fails]
    never = [
        outcome
        for outcome in outcomes
        if not partner_weights[len(FAMILIES[outcome.pair.family].second)][outcome.pair.grade]
    ]
    return {
        "sampling": f"{NUM_STEPS} steps, guidance {GUIDANCE:g}, read by the oracle",
        "by name, all pairs alike": as_dict(picture_rate(alike)),
        "by name, usual pairs": as_dict(picture_rate(one for one in alike if one.pair.grade == 0)),
        "by name": rates_by_grade(alike),
        "by looks alone, all pairs alike": as_dict(picture_rate(described)),
        "pairs never named together that fail in more than half of their pictures": as_dict(
            judge.rate(sum(one.fails for one in never), len(never))
        ),
        "pairs that fail in more than half of their pictures": len(failing),
        "pairs that fail, by name": as_dict(picture_rate(failing)),
        "pairs that fail, by looks alone": as_dict(picture_rate(looks)),
        "pairs that fail, by looks alone, by family": {
            family: as_dict(picture_rate(one for one in looks if one.pair.family == family))
            for family in FAMILIES
            if any(one.pair.family == family for one in looks)
        },
        "failing pairs": {
            str(one.pair): f"by name {sum(one.right)}/{len(one.right)}, by looks "
            f"{sum(seen.right)}/{len(seen.right)}"
            for one, seen in zip(failing, looks, strict=True)
        },
    }
