"""Proxies: a text model splits the painting into stages whose prompts stand in for the whole one.

Source: Park et al., "Rare-to-Frequent: Unlocking Compositional Generation Power of Diffusion Models
on Rare Concepts with LLM Guidance" (R2F), ICLR 2025, arXiv 2410.22376; SAP, arXiv 2506.01929.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lcmis.errors import TextModelError
from lcmis.plugins.protocols import Case, Evaluate, Need
from lcmis.repair.methods import halve
from lcmis.text import asking
from lcmis.types import Candidate, Stage

SHIFTS = (0, -1, 1, -2, 2)
"""Steps by which a stage's end is moved: text models name them to about two steps (SAP)."""


@dataclass(frozen=True, slots=True)
class Proxies:
    """Tries the stages that a text model names, with their ends earlier and later.

    Deviations from the sources: R2F alternates frequent and rare prompts from step to step and
    looks its steps up in a table by a level of detail, SAP takes the steps as the text model says
    them; here each proxy lasts for one stretch, and its end is searched around what was said.
    """

    seeds: int = 4
    """Of the first round; each later round takes as many as all before."""

    repairer_id = "proxies"
    needs = frozenset({Need.TEXT_MODEL})

    def repair(self, case: Case, evaluate: Evaluate) -> None:
        """Search until one is left or the budget ends; without a text model that is recorded."""
        halve(attempted(case, evaluate), case, evaluate, self.seeds)


def attempted(case: Case, evaluate: Evaluate) -> list[Candidate]:
    """The candidates; a text model that gives none is a recorded failure."""
    return evaluate.attempt("stages by a text model", lambda: candidates(case))


def candidates(case: Case) -> Iterator[Candidate]:
    """The stages as they are named, then shifted, together and one by one; each once.

    Raises:
        TextModelError: no text model, or no reply.
        ProposalError: the reply cannot be used.
    """
    if not case.supports_stages:
        return
    if case.text_model is None:
        raise TextModelError("proxies are stages that a text model names, and no model is named")
    named = asking.stages(case.text_model, case.pair, case.num_inference_steps)
    if len(named) > 1:  # a single one is the plain prompt
        yield from dict.fromkeys(_shifted(named, case.num_inference_steps))


def _shifted(named: Sequence[Stage], num_steps: int) -> Iterator[Candidate]:
    ends = [round(stage.denoising_end * num_steps) for stage in named[:-1]]
    moves = [[shift] * len(ends) for shift in SHIFTS]
    moves += [
        [shift if place == moved else 0 for place in range(len(ends))]
        for moved in range(len(ends))
        for shift in SHIFTS
    ]
    for move in moves:
        moved_ends = [end + shift for end, shift in zip(ends, move, strict=True)]
        if (
            moved_ends == sorted(set(moved_ends))
            and 0 < moved_ends[0] <= moved_ends[-1] < num_steps
        ):
            prompts = [stage.prompt for stage in named[:-1]]
            early = [
                Stage(prompt, end / num_steps)
                for prompt, end in zip(prompts, moved_ends, strict=True)
            ]
            yield Candidate((*early, named[-1]))
