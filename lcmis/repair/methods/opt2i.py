"""OPT2I: a text model sees which prompts were tried with which scores, and writes better ones.

Source: Mañas et al., "Improving Text-to-Image Consistency via Automatic Prompt Optimization", 2024,
arXiv 2403.17804.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from lcmis.errors import TextModelError
from lcmis.plugins.protocols import Case, Evaluate, Need
from lcmis.repair.methods import ranked
from lcmis.text import asking
from lcmis.types import Candidate, Stage, Trial


@dataclass(frozen=True, slots=True)
class Opt2i:
    """Shows the best prompts so far in rising order, and tries what is written next.

    Deviations from the source: the score is the guide's, the mean of the concept that is seen
    worse; every prompt is drawn on the same seeds; it ends where no new prompt is written or a
    prompt is right in ``enough`` of its pictures, which then has as many again.

    Args:
        rounds: at most.
        prompts: asked for in a round.
        seeds: of each prompt.
        shown: prompts in the history.
        enough: share of right pictures that needs no other prompt.
    """

    rounds: int = 8
    prompts: int = 5
    seeds: int = 4
    shown: int = 8
    enough: float = 0.8

    repairer_id = "opt2i"
    needs = frozenset({Need.TEXT_MODEL})

    def repair(self, case: Case, evaluate: Evaluate) -> None:
        """Search until it is enough, nothing new is written, or the budget ends."""
        trials = self._try(case, evaluate, [case.pair.prompt])
        for _ in range(self.rounds):
            new = evaluate.attempt("prompts by their history", partial(self._new, case, trials))
            if not new:
                return
            trials += self._try(case, evaluate, new)
            best = ranked(trials, case.threshold)[:1]
            if best and _share(trials, best[0], case.threshold) >= self.enough:
                evaluate.together([(best[0], case.seeds[self.seeds : 2 * self.seeds])])
                return

    def _try(self, case: Case, evaluate: Evaluate, prompts: list[str]) -> list[Trial]:
        asked = [(Candidate((Stage(one),)), case.seeds[: self.seeds]) for one in prompts]
        return evaluate.together(asked)

    def _new(self, case: Case, trials: list[Trial]) -> list[str]:
        if case.text_model is None:
            raise TextModelError("opt2i asks a text model for prompts, and no model is named")
        scored = {
            trial.candidate.stages[0].prompt: trial.fitness
            for trial in trials
            if trial.fitness is not None
        }
        rising = sorted(scored.items(), key=lambda one: one[1])[-self.shown :]
        said = asking.improve(case.text_model, case.pair, rising, self.prompts)
        return [prompt for prompt in said if prompt not in scored]


def _share(trials: list[Trial], candidate: Candidate, threshold: float) -> float:
    counts = [one.right(threshold) for one in trials if one.candidate == candidate]
    return sum(right for right, _ in counts) / max(1, sum(seen for _, seen in counts))
