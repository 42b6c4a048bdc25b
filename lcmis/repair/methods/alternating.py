"""Alternating: a frequent wording and the rare one in turn, step by step, then the rare one alone.

Source: Park et al., "Rare-to-Frequent: Unlocking Compositional Generation Power of Diffusion Models
on Rare Concepts with LLM Guidance" (R2F), ICLR 2025, arXiv 2410.22376; the steps at which it stops
are those of its published code for SDXL, of 50.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lcmis.plugins.protocols import Case, Evaluate
from lcmis.repair.methods import halve
from lcmis.repair.methods.phrases import alone, other
from lcmis.types import Candidate, Stage

LEVELS = (3, 5, 10, 20, 30)
"""By level of visual detail, 1 to 5, the step of :data:`OF` at which alternation stops."""
OF = 50
FREQUENT = 2
"""Frequent wordings that are tried: usual partners of the lost concept, or it alone."""


@dataclass(frozen=True, slots=True)
class Alternating:
    """Tries the frequent wordings at every level, the fewest steps first.

    Deviations from the source: the frequent wording is the lost concept with a partner that the
    pair itself names as usual, or else alone, where the source asks a text model; every level is
    tried, where the source takes the one that the text model says.
    """

    seeds: int = 4
    """Of the first round; each later round takes as many as all before."""

    repairer_id = "alternating"

    def repair(self, case: Case, evaluate: Evaluate) -> None:
        """Search until one is left or the budget ends; none where the model reads no stages."""
        halve(candidates(case), case, evaluate, self.seeds)


def candidates(case: Case) -> list[Candidate]:
    """Each frequent wording up to each level's step; levels that fall on one step are one."""
    if not case.supports_stages:
        return []
    steps = case.num_inference_steps
    stops = sorted({max(2, round(stop / OF * steps)) for stop in LEVELS})
    return list(
        dict.fromkeys(
            _in_turn(frequent, case.pair.prompt, stop, steps)
            for stop in stops
            if stop < steps
            for frequent in frequents(case)
        )
    )


def frequents(case: Case) -> list[str]:
    """Prompts that a model has met more often, which keep the lost concept."""
    usual = [one.prompt for one in case.pair.intruders_of(other(case.lost))]
    return [*usual, alone(case.pair, case.lost)][:FREQUENT]


def _in_turn(frequent: str, rare: str, stop: int, steps: int) -> Candidate:
    """The frequent prompt at even steps and the rare one at odd ones; from ``stop`` on the rare."""
    return Candidate(tuple(_stages(frequent, rare, stop, steps)))


def _stages(frequent: str, rare: str, stop: int, steps: int) -> Iterator[Stage]:
    last = stop - 1 if stop % 2 else stop - 2  # the last step that the frequent prompt rules
    for step in range(last + 1):
        yield Stage(rare if step % 2 else frequent, (step + 1) / steps)
    yield Stage(rare)
