"""Ordered: both concepts named in an order, "first …, and second …", by words alone.

The baseline of MoCE's paper: a text that spells out what to paint first.

Source: Zhao et al., "Lost in Translation: Latent Concept Misalignment in Text-to-Image Diffusion
Models", ECCV 2024, section on experiments.
"""

from __future__ import annotations

from dataclasses import dataclass

from lcmis.plugins.protocols import Case, Evaluate
from lcmis.repair.methods import halve
from lcmis.repair.methods.phrases import alone, other
from lcmis.types import Candidate, Stage


@dataclass(frozen=True, slots=True)
class Ordered:
    """Tries both orders, alone and behind the pair's own prompt.

    Deviation from the source: which concept comes first is tried both ways, and not asked of a text
    model alone.
    """

    seeds: int = 4
    """Of the first round; each later round takes as many as all before."""

    repairer_id = "ordered"

    def repair(self, case: Case, evaluate: Evaluate) -> None:
        """Search until one is left or the budget ends."""
        halve(candidates(case), case, evaluate, self.seeds)


def candidates(case: Case) -> list[Candidate]:
    """The orders, likeliest to help first."""
    pair = case.pair
    said = [
        f"first {alone(pair, side)}, and second {alone(pair, other(side))}"
        for side in (case.first, other(case.first))
    ]
    prompts = [*said, *(f"{pair.prompt}: {order}" for order in said)]
    return [Candidate((Stage(prompt),)) for prompt in prompts]
