"""Attend-and-Excite: the concepts that a U-Net looks at least are looked at while it lays out.

Source: Chefer et al., "Attend-and-Excite: Attention-Based Semantic Guidance for Text-to-Image
Diffusion Models", SIGGRAPH 2023, arXiv 2301.13826.
"""

from __future__ import annotations

from dataclasses import dataclass

from lcmis.plugins.protocols import Case, Evaluate
from lcmis.repair.methods import halve
from lcmis.repair.methods.phrases import other
from lcmis.text.words import places
from lcmis.types import Candidate, Stage, StageManner


@dataclass(frozen=True, slots=True)
class AttendAndExcite:
    """Tries the plain prompt with both concepts attended to, then with either alone.

    A baseline of MoCE's paper, with all words of both concepts as targets; the lost one alone is
    tried besides. A picture costs several times a plain one.
    """

    seeds: int = 4
    """Of the first round; each later round takes as many as all before."""

    repairer_id = "attend-and-excite"
    needs_manner = StageManner.EXCITED

    def repair(self, case: Case, evaluate: Evaluate) -> None:
        """Search until one is left or the budget ends; none where attention cannot be raised."""
        halve(candidates(case), case, evaluate, self.seeds)


def candidates(case: Case) -> list[Candidate]:
    """Both concepts as the prompt names them, the lost one, the other one; without a name that the
    prompt does not say.
    """
    if StageManner.EXCITED not in case.manners:
        return []
    pair, lost = case.pair, case.lost
    found = [places(pair.prompt, pair.concept(side).name) for side in (lost, other(lost))]
    said = [pair.prompt[spans[0][0] : spans[0][1]] for spans in found if spans]
    choices = [tuple(said), *((name,) for name in said)] if len(said) > 1 else [tuple(said)]
    return [Candidate((Stage(pair.prompt, excited=words),)) for words in choices if words]
