"""Composable diffusion: each concept has a prompt of its own, and their guidance is added up.

Source: Liu et al., "Compositional Visual Generation with Composable Diffusion Models", ECCV 2022,
arXiv 2206.01714, conjunction of concepts.
"""

from __future__ import annotations

from dataclasses import dataclass

from lcmis.plugins.protocols import Case, Evaluate
from lcmis.repair.methods import halve
from lcmis.repair.methods.phrases import alone, other
from lcmis.types import Beside, Candidate, Side, Stage, StageManner


@dataclass(frozen=True, slots=True)
class Composable:
    """Tries both concepts' own prompts together, and the whole prompt with the lost one beside it.

    Deviations from the source: weights of a half as well as of one, since the sum of two whole
    guidances is twice as strong as what the model was set to; and the whole prompt may be one of
    those that are followed, since two concepts say nothing of how they belong together.
    """

    seeds: int = 4
    """Of the first round; each later round takes as many as all before."""

    repairer_id = "composable"
    needs_manner = StageManner.TOGETHER

    def repair(self, case: Case, evaluate: Evaluate) -> None:
        """Search until one is left or the budget ends; none where one prompt alone is followed."""
        halve(candidates(case), case, evaluate, self.seeds)


def candidates(case: Case) -> list[Candidate]:
    """The source's own first, then milder ones, then those that keep the whole prompt."""
    if StageManner.TOGETHER not in case.manners:
        return []
    pair, lost = case.pair, alone(case.pair, case.lost)
    kept = alone(pair, other(case.lost))
    both = (alone(pair, Side.A), alone(pair, Side.B))
    stages = [
        *(Stage(both[0], beside=(Beside(both[1], w),), weight=w) for w in (1.0, 0.5)),
        *(Stage(pair.prompt, beside=(Beside(lost, w),)) for w in (0.5, 1.0)),
        Stage(pair.prompt, beside=(Beside(lost, 0.5),), weight=0.5),
        Stage(pair.prompt, beside=(Beside(lost, 0.5), Beside(kept, 0.5))),
    ]
    return [Candidate((stage,)) for stage in stages]
