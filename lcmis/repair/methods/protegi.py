"""ProTeGi: faults of the best prompts in words, edits against them, a beam of the best.

Source: Pryzant et al., "Automatic Prompt Optimization with 'Gradient Descent' and Beam Search",
EMNLP 2023, algorithms 1 and 2, and its published code.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from lcmis.errors import TextModelError
from lcmis.plugins.protocols import Case, Evaluate, Need
from lcmis.repair.methods import ranked
from lcmis.repair.methods.unmet import lacking
from lcmis.text import asking
from lcmis.types import Candidate, Stage, Trial


@dataclass(frozen=True, slots=True)
class Protegi:
    """Edits every prompt of a beam by what its pictures lack, and keeps the best.

    Deviations from the source: the gradient is not a text but what the guide did not see, which a
    text model is told as it edits; there are no paraphrases, since an edit may be one; the beam is
    chosen by the lower end of being right and not by a bandit, and its prompts have new seeds in
    every round.

    Args:
        rounds: at most.
        beam: prompts that go on.
        edits: of each.
        seeds: of each prompt in each round.
    """

    rounds: int = 6
    beam: int = 4
    edits: int = 2
    seeds: int = 3

    repairer_id = "protegi"
    needs = frozenset({Need.TEXT_MODEL})

    def repair(self, case: Case, evaluate: Evaluate) -> None:
        """Search until no edit is new, all of the beam is right, or the budget ends."""
        beam, trials = [Candidate((Stage(case.pair.prompt),))], list[Trial]()
        for place in range(min(self.rounds, len(case.seeds) // self.seeds)):
            seeds = case.seeds[place * self.seeds : (place + 1) * self.seeds]
            latest = evaluate.together([(one, seeds) for one in beam])
            trials += latest
            new = evaluate.attempt("edits against faults", partial(self._edits, case, latest))
            known = {trial.candidate for trial in trials}
            fresh = [one for one in dict.fromkeys(new) if one not in known]
            if not fresh:
                return
            trials += evaluate.together([(one, seeds) for one in fresh])
            beam = ranked(trials, case.threshold)[: self.beam] or beam

    def _edits(self, case: Case, trials: list[Trial]) -> Iterator[Candidate]:
        if case.text_model is None:
            raise TextModelError("protegi asks a text model for edits, and no model is named")
        for trial in trials:
            unmet = lacking(trial, case)
            if unmet:
                prompt = trial.candidate.stages[0].prompt
                for said in asking.mend(
                    case.text_model, case.pair, prompt, unmet, self.edits, case.intruder
                ):
                    yield Candidate((Stage(said),))
