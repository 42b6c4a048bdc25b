"""Alternating: a frequent wording and the rare one in turn, step by step, then the rare one alone.

Source: Park et al., "Rare-to-Frequent: Unlocking Compositional Generation Power of Diffusion Models
on Rare Concepts with LLM Guidance" (R2F), ICLR 2025, arXiv 2410.22376; the steps at which it stops
are those of its published code for SDXL, of 50.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from lcmis.plugins.protocols import Case, Evaluate
from lcmis.repair.methods import halve
from lcmis.repair.methods.phrases import alone, other
from lcmis.text import asking
from lcmis.types import Candidate, Stage

LEVELS = (3, 5, 10, 20, 30)
"""By level of visual detail, 1 to 5, the step of :data:`OF` at which alternation stops."""
OF = 50
FREQUENT = 2
"""Frequent wordings that are tried: usual partners of the lost concept, or it alone."""


@dataclass(frozen=True, slots=True)
class Alternating:
    """Tries the frequent wordings at every level, the fewest steps first.

    With a text model, the frequent wording and the level that it names come first, as in the
    source. Deviations from it: without one, the frequent wording is the lost concept with a partner
    that the pair itself names as usual, or else alone; every level is tried, since a text model
    cannot know where a model of its own kind decides.
    """

    seeds: int = 4
    """Of the first round; each later round takes as many as all before."""

    repairer_id = "alternating"

    def repair(self, case: Case, evaluate: Evaluate) -> None:
        """Search until one is left or the budget ends; none where the model reads no stages."""
        named = evaluate.attempt("a frequent wording", partial(_named, case))
        halve(list(dict.fromkeys([*named, *candidates(case)])), case, evaluate, self.seeds)


def candidates(case: Case) -> list[Candidate]:
    """Each frequent wording up to each level's step; levels that fall on one step are one."""
    if not case.supports_stages:
        return []
    steps = case.num_inference_steps
    stops = sorted({_stop(level, steps) for level in range(1, len(LEVELS) + 1)})
    return list(
        dict.fromkeys(
            _in_turn(frequent, case.pair.prompt, stop, steps)
            for stop in stops
            if stop < steps
            for frequent in frequents(case)
        )
    )


def _named(case: Case) -> Iterator[Candidate]:
    """What a text model takes for frequent, up to the step of the level that it says.

    Raises:
        TextModelError: no reply.
        ProposalError: the reply cannot be used.
    """
    if case.text_model is None or not case.supports_stages:
        return
    steps = case.num_inference_steps
    frequent, level = asking.frequent(case.text_model, case.pair)
    stop = _stop(level, steps)
    if stop < steps:
        yield _in_turn(frequent, case.pair.prompt, stop, steps)


def _stop(level: int, steps: int) -> int:
    """The step at which alternation stops; two wordings take two steps at least."""
    return max(2, round(LEVELS[level - 1] / OF * steps))


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
