"""CRAFT: questions that a picture fails, edits aimed at them alone, the better prompt kept.

Source: flymy-ai, "CRAFT: Continuous Reasoning and Agentic Feedback Tuning", technical report, 2026.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from lcmis.errors import TextModelError
from lcmis.plugins.protocols import Case, Evaluate, Need
from lcmis.repair.methods.unmet import lacking, share_right
from lcmis.text import asking
from lcmis.types import Candidate, Side, Stage


@dataclass(frozen=True, slots=True)
class Craft:
    """Asks of every round's pictures which concept they lack, and edits the prompt for that.

    Deviations from the source: the questions are those that a pair makes the guide ask, and are not
    written by a text model; pictures are drawn anew and not edited, since a repair is a prompt; the
    same seeds compare a prompt with its edit.

    Args:
        rounds: at most; the source runs 3.
        seeds: of each prompt.
    """

    rounds: int = 6
    seeds: int = 4

    repairer_id = "craft"
    needs = frozenset({Need.TEXT_MODEL})

    def repair(self, case: Case, evaluate: Evaluate) -> None:
        """Search until no question fails, no edit is new, or the budget ends."""
        best = Candidate((Stage(case.pair.prompt),))
        (trial,) = evaluate.together([(best, case.seeds[: self.seeds])])
        tried = {best}
        for _ in range(self.rounds):
            unmet = lacking(trial, case)
            if not unmet:
                break
            asked = partial(self._edit, case, best, unmet[:1], len(tried))
            new = [one for one in evaluate.attempt("a targeted edit", asked) if one not in tried]
            if not new:
                break
            tried |= set(new)
            for one in evaluate.together([(one, case.seeds[: self.seeds]) for one in new[:1]]):
                _, read = one.right(case.threshold)
                if read and share_right([one], case.threshold) >= share_right(
                    [trial], case.threshold
                ):
                    best, trial = one.candidate, one
        evaluate.together([(best, case.seeds[self.seeds : 3 * self.seeds])])

    def _edit(
        self, case: Case, prompt: Candidate, unmet: list[Side], count: int
    ) -> list[Candidate]:
        """One edit is used; more are asked for, so that one that was tried is not the only one."""
        if case.text_model is None:
            raise TextModelError("craft asks a text model for edits, and no model is named")
        said = asking.mend(
            case.text_model,
            case.pair,
            prompt.stages[0].prompt,
            unmet,
            min(8, count + 1),
            case.intruder,
        )
        return [Candidate((Stage(one),)) for one in said]
