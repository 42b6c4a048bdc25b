"""How often a diffusion model of the miniature world paints what it was asked for.

``python -m lcmis.teacup.measure MODEL`` measures a shipped model again and writes its card anew.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from PIL.Image import Image

from lcmis import judge
from lcmis.machine.paths import shipped
from lcmis.teacup.captions import BROAD, LAYOUT, MIXTURE, NARROW, PARTNERS
from lcmis.teacup.concepts import FAMILIES
from lcmis.teacup.draw import PICTURE_SIZE
from lcmis.teacup.models import GUIDANCE, MODELS
from lcmis.teacup.oracle import Oracle, load_oracle
from lcmis.teacup.painting import open_pipeline
from lcmis.teacup.training import CARD, write_card
from lcmis.teacup.world import grade, prompt_by_looks, prompt_of
from lcmis.types import Rate

NUM_STEPS = 12


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
class PairOutcome:
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
    num_steps: int = NUM_STEPS,
) -> list[Image]:
    """Paint one picture a prompt, 128 × 128, at guidance 3."""
    pictures: list[Image] = []
    for start in range(0, len(prompts), batch_size):
        batch = slice(start, start + batch_size)
        generators = [torch.Generator().manual_seed(seed) for seed in seeds[batch]]
        output = pipeline(
            list(prompts[batch]),
            num_inference_steps=num_steps,
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
    num_steps: int = NUM_STEPS,
) -> list[PairOutcome]:
    """Ask for pairs and let the oracle read the pictures.

    Args:
        pipeline: the model.
        oracle: reads the pictures.
        pairs: what to ask for.
        seeds: one picture a pair and seed; seeds differ between pairs.
        word: makes the prompt from family, first and second.
        num_steps: of every picture.
    """
    asked = [(number, pair, seed) for number, pair in enumerate(pairs) for seed in seeds]
    pictures = paint(
        pipeline,
        [word(pair.family, pair.first, pair.second) for _, pair, _ in asked],
        [seed * 1000 + all_pairs().index(pair) for _, pair, seed in asked],
        num_steps=num_steps,
    )
    right: list[list[bool]] = [[] for _ in pairs]
    for (number, pair, _), reading in zip(asked, oracle.classify(pictures), strict=True):
        right[number].append(reading.shows(pair.first, pair.second))
    return [PairOutcome(pair, tuple(one)) for pair, one in zip(pairs, right, strict=True)]


def picture_rate(outcomes: Iterable[PairOutcome]) -> Rate:
    """Share of right pictures; the interval takes pictures of one pair for independent."""
    right = [one for outcome in outcomes for one in outcome.right]
    return judge.rate(sum(right), len(right))


def rates_by_grade(outcomes: Sequence[PairOutcome]) -> dict[str, Any]:
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
    num_steps: int = NUM_STEPS,
) -> dict[str, Any]:
    """All that a diffusion model's card says.

    Args:
        pipeline: the model.
        oracle: reads the pictures.
        num_seeds: pictures a pair; pairs that fail get as many again.
        partner_weights: the training's, which tell what was never seen.
        num_steps: of every picture.

    Returns:
        JSON-able rates: by name over all pairs, by grade, never seen; how many never-seen pairs
        fail in more than half of their pictures; by looks alone over all pairs and over those
        that fail.
    """
    pairs = all_pairs()
    asked = partial(ask, pipeline, oracle, num_steps=num_steps)
    outcomes = asked(pairs, range(num_seeds))
    again = [outcome.pair for outcome in outcomes if outcome.fails]
    more = asked(again, range(num_seeds, 2 * num_seeds))
    added = {outcome.pair: outcome.right for outcome in more}
    outcomes = [PairOutcome(one.pair, one.right + added.get(one.pair, ())) for one in outcomes]
    failing = [outcome.pair for outcome in outcomes if outcome.fails]
    looks = asked(failing, range(num_seeds), prompt_by_looks)
    described = asked(pairs, range(1), prompt_by_looks)
    measured = summarise(outcomes, looks, described, num_seeds, partner_weights)
    return {"sampling": f"{num_steps} steps, guidance {GUIDANCE:g}, read by the oracle", **measured}


def summarise(
    outcomes: Sequence[PairOutcome],
    looks: Sequence[PairOutcome],
    described: Sequence[PairOutcome],
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
    alike = [PairOutcome(one.pair, one.right[:num_seeds]) for one in outcomes]
    failing = [one for one in outcomes if one.fails]
    never = [
        outcome
        for outcome in outcomes
        if not partner_weights[len(FAMILIES[outcome.pair.family].second)][outcome.pair.grade]
    ]
    of_unseen = {}
    if never:
        fail = as_dict(judge.rate(sum(one.fails for one in never), len(never)))
        of_unseen["pairs never named together that fail in more than half of their pictures"] = fail
    return {
        "by name, all pairs alike": as_dict(picture_rate(alike)),
        "by name, usual pairs": as_dict(picture_rate(one for one in alike if one.pair.grade == 0)),
        "by name": rates_by_grade(alike),
        "by looks alone, all pairs alike": as_dict(picture_rate(described)),
        **of_unseen,
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


RECIPES = {
    "teacup-broad": BROAD,
    "teacup-narrow": NARROW,
    "teacup-partners": PARTNERS,
    "teacup-layout": LAYOUT,
    "teacup-mixture": MIXTURE,
}
"""What each shipped model was shown last."""


def main() -> None:
    """Measure a shipped model, and write its card anew."""
    parser = argparse.ArgumentParser(prog="python -m lcmis.teacup.measure", description=__doc__)
    parser.add_argument("model", choices=sorted(MODELS))
    parser.add_argument("--seeds", type=int, default=4, help="pictures a pair")
    given = parser.parse_args()
    folder = shipped("data") / "teacup" / given.model
    card = json.loads((folder / CARD).read_text())
    card["measured"] = measure(
        open_pipeline(given.model, "cpu"),
        load_oracle(),
        given.seeds,
        RECIPES[given.model].partner_weights,
        MODELS[given.model].num_steps,
    )
    write_card(folder, card)


if __name__ == "__main__":
    main()
