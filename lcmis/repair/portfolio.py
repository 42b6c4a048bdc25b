"""Portfolio: every method's candidates in one pool, pictures spent where they may be the best."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from lcmis.protocols import Case, Evaluate
from lcmis.repair import moce, rewrite
from lcmis.repair.phrases import by_looks, other
from lcmis.types import Candidate, Side, Stage

DRAWS = 2000
"""From the posterior, to ask how likely the leader is the best: known to about 1 %."""


@dataclass(frozen=True, slots=True)
class Portfolio:
    """Lets all methods' candidates compete, by top-two Thompson sampling of their chances.

    Source: Russo, Operations Research 2020 (top-two Thompson sampling), Algorithm 3, a batch of
    pictures at a time.

    Args:
        confidence: posterior probability that ends the search, once the leader is so surely within
            ``margin`` of the best.
        margin: difference in the share of right pictures that does not matter.
        top: how often the likeliest best is drawn instead of its rival.
        least: pictures that the leader must have before the search may end.
    """

    confidence: float = 0.95
    margin: float = 0.1
    top: float = 0.5
    least: int = 8

    repairer_id = "portfolio"

    def repair(self, case: Case, evaluate: Evaluate) -> None:
        """Search until one candidate is as good as the best, or the budget ends."""
        pool = candidates(case)
        dice = np.random.default_rng(_number(case.pair.key))
        right, wrong = np.ones(len(pool)), np.ones(len(pool))
        asked = np.zeros(len(pool), dtype=int)
        while pool and not self._is_settled(right, wrong, dice):
            wanted = self._batch(right, wrong, asked, case, dice)
            trials = evaluate.together(
                [(pool[arm], case.seeds[asked[arm] :][:count]) for arm, count in wanted.items()]
            )
            for (arm, count), trial in zip(wanted.items(), trials, strict=True):
                good, seen = trial.right(case.threshold)
                right[arm] += good
                wrong[arm] += seen - good if seen else count  # unreadable: never asked again soon
                asked[arm] += count

    def _batch(
        self,
        right: np.ndarray,
        wrong: np.ndarray,
        asked: np.ndarray,
        case: Case,
        dice: np.random.Generator,
    ) -> dict[int, int]:
        """How many pictures of which arm come next, together one batch of the model."""
        wanted: dict[int, int] = {}
        for _ in range(case.batch_size):
            arm = self._pick(right, wrong, dice)
            if asked[arm] + wanted.get(arm, 0) < len(case.seeds):
                wanted[arm] = wanted.get(arm, 0) + 1
        return wanted

    def _pick(self, right: np.ndarray, wrong: np.ndarray, dice: np.random.Generator) -> int:
        best = int(dice.beta(right, wrong).argmax())
        if len(right) == 1 or dice.random() < self.top:
            return best
        for _ in range(100):
            rival = int(dice.beta(right, wrong).argmax())
            if rival != best:
                return rival
        return best  # so far ahead that no rival comes up

    def _is_settled(self, right: np.ndarray, wrong: np.ndarray, dice: np.random.Generator) -> bool:
        leader = int((right / (right + wrong)).argmax())
        if right[leader] + wrong[leader] - 2 < self.least:
            return False
        shares = dice.beta(right, wrong, size=(DRAWS, len(right)))
        near = shares[:, leader] >= shares.max(axis=1) - self.margin
        return bool(near.mean() >= self.confidence)


def candidates(case: Case) -> list[Candidate]:
    """What the other methods would try, and their combinations; each once."""
    staged, rewritten = moce.candidates(case), rewrite.candidates(case)
    return list(dict.fromkeys([*staged, *rewritten, *_combined(case)]))


def _combined(case: Case) -> list[Candidate]:
    """Looks at the beginning, in the full prompt, or both; the intruder kept away all the while."""
    pair = case.pair
    looks = [pair.concept(side).description for side in (case.lost, other(case.lost))]
    prompts = [pair.prompt]
    if described := by_looks(pair, *Side):
        prompts.append(described)
        prompts.append(", ".join([pair.prompt, *looks]))
    combined = [Candidate((Stage(prompt),)) for prompt in prompts[2:]]
    steps = moce.fine_steps(case.num_inference_steps)[2:3] if case.supports_stages else []
    staged = [
        (Stage(look, step / case.num_inference_steps), Stage(prompt))
        for step in steps
        for prompt in prompts[:2]
        for look in looks
        if look
    ]
    combined += [Candidate(stages) for stages in staged]
    if case.intruder and case.supports_negative_prompt:
        kept_away: list[tuple[Stage, ...]] = [(Stage(prompt),) for prompt in prompts[1:2]]
        kept_away += [moce.two_stages(case, case.first, step).stages for step in steps]
        combined += [Candidate(stages, case.intruder) for stages in kept_away]
    return combined


def _number(key: str) -> int:
    """A seed that belongs to a pair."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest())
