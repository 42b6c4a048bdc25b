"""Best of N: the plain prompt again and again; the guide picks the picture it likes best."""

from __future__ import annotations

from dataclasses import dataclass

from lcmis.plugins.protocols import Case, Evaluate
from lcmis.types import Candidate, Stage


@dataclass(frozen=True, slots=True)
class BestOfN:
    """Spends its whole budget on the prompt as it is: what is found is a picture, not a prompt.

    Its certificate compares the plain prompt with itself, so nothing is ever proved. It stands in
    tables for what any other search must beat: a right picture at as many pictures drawn.
    """

    repairer_id = "best-of-n"

    def repair(self, case: Case, evaluate: Evaluate) -> None:
        """Draw until the budget or the seeds end, a batch at a time."""
        plain = Candidate((Stage(case.pair.prompt),))
        end = min(case.budget, len(case.seeds))
        for start in range(0, end, case.batch_size):
            evaluate.together([(plain, case.seeds[start : min(end, start + case.batch_size)])])
