"""RAISE: a checklist decides what comes next, other words for what is unmet or other noise.

After "RAISE: Requirement-Adaptive Evolutionary Refinement", as far as prompts and seeds go: several
rewritings and new noise side by side, more of them the more of the checklist is unmet.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from lcmis.errors import TextModelError
from lcmis.plugins.protocols import Case, Evaluate, Need
from lcmis.repair.methods import ranked
from lcmis.repair.methods.unmet import lacking
from lcmis.text import asking
from lcmis.types import Candidate, Side, Stage, Trial


@dataclass(frozen=True, slots=True)
class Raising:
    """Grows a population of prompts by what the best one's pictures lack.

    Ours: the checklist is whether each of the two concepts is seen; what its source does to the
    picture itself is left out, since a repair is a prompt; a round's new prompts are drawn on new
    seeds, and so is the best one, so that noise that happens to suit it does not make it the best.

    Args:
        rounds: at most.
        each: rewritings for each unmet line of the checklist.
        seeds: of each prompt in each round.
    """

    rounds: int = 8
    each: int = 3
    seeds: int = 2

    repairer_id = "raise"
    needs = frozenset({Need.TEXT_MODEL})

    def repair(self, case: Case, evaluate: Evaluate) -> None:
        """Search until the checklist is met twice running, or the budget or the rewritings end."""
        plain = Candidate((Stage(case.pair.prompt),))
        best, trials, met = plain, list[Trial](), 0
        for place in range(min(self.rounds, len(case.seeds) // self.seeds)):
            seeds = case.seeds[place * self.seeds : (place + 1) * self.seeds]
            (latest,) = evaluate.together([(best, seeds)])
            trials.append(latest)
            unmet = lacking(latest, case)
            met = 0 if unmet else met + 1
            if met > 1:
                return
            asked = partial(self._rewritings, case, best, unmet)
            new = evaluate.attempt("rewritings for what is unmet", asked) if unmet else []
            known = {trial.candidate for trial in trials}
            fresh = [one for one in dict.fromkeys(new) if one not in known]
            if unmet and not fresh:
                return
            trials += evaluate.together([(one, seeds) for one in fresh]) if fresh else []
            best = (ranked(trials, case.threshold) or [plain])[0]

    def _rewritings(self, case: Case, best: Candidate, unmet: list[Side]) -> list[Candidate]:
        if case.text_model is None:
            raise TextModelError("raise asks a text model for rewritings, and no model is named")
        count = self.each * len(unmet)
        prompt = best.stages[0].prompt
        said = asking.mend(case.text_model, case.pair, prompt, unmet, count, case.intruder)
        return [Candidate((Stage(one),)) for one in said]
