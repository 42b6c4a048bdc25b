"""Base and refiner: the first model draws one concept, a second one the whole prompt.

Source: Zhao et al., "Lost in Translation: Latent Concept Misalignment in Text-to-Image Diffusion
Models", ECCV 2024, as its published code runs it: the base of Stable Diffusion XL is told the first
concept alone, and the refiner the full prompt.
"""

from __future__ import annotations

from dataclasses import dataclass

from lcmis.plugins.protocols import Case, Evaluate
from lcmis.repair.methods import halve
from lcmis.repair.methods.phrases import alone, other
from lcmis.types import Candidate, Stage, StageManner, stage_starts

USUAL = 0.8
"""Share of the steps that the base draws of a plain prompt, in the source's baseline."""
ENDS = (0.125, 0.25, 0.375, 0.475)
"""Shares that it draws of one concept: the source searches from one of forty steps to nineteen."""


@dataclass(frozen=True, slots=True)
class BaseRefiner:
    """Tries the plain prompt with both models, then either concept first and the refiner after it.

    Deviations from the source: the shares are a few that are tried side by side, where it bisects
    (see ``moce-replicate`` for that); and both concepts may come first.
    """

    seeds: int = 4
    """Of the first round; each later round takes as many as all before."""

    repairer_id = "base-refiner"
    needs_manner = StageManner.REFINED

    def repair(self, case: Case, evaluate: Evaluate) -> None:
        """Search until one is left or the budget ends; none where no refiner is named."""
        halve(candidates(case), case, evaluate, self.seeds)


def candidates(case: Case) -> list[Candidate]:
    """The source's own baseline, then the concept to try first for longer and longer, then the
    other; shares that fall on no step of either model are left out.
    """
    if StageManner.REFINED not in case.manners or not case.supports_stages:
        return []
    prompt = case.pair.prompt
    begun = [(prompt, USUAL)]
    for side in (case.first, other(case.first)):
        begun += [(alone(case.pair, side), end) for end in ENDS]
    found = [(Stage(said, end), Stage(prompt, refiner=case.refiner)) for said, end in begun]
    steps = case.num_inference_steps
    return [Candidate(both) for both in found if len(stage_starts(both, steps)) == len(both)]
