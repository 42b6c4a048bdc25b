"""Portfolio: every method's candidates in one pool, pictures spent where they may be the best."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from lcmis.plugins.opening import open_inverter
from lcmis.plugins.protocols import Case, Evaluate, Inverter, Tools
from lcmis.repair.methods import inversion, moce, proxies, rewrite
from lcmis.repair.methods.phrases import by_looks, other
from lcmis.types import Candidate, Side, Stage, key_number

BEST = 3
"""Prompts of each inverter that join the race."""
FINEST = 2
"""Switch steps of either order that join the race: the first steps decide what is painted."""
DRAWS = 2000
"""From the posterior, to ask how likely the leader is the best: known to about 1 %."""


@dataclass(frozen=True, slots=True)
class Portfolio:
    """Lets all methods' candidates compete, by top-two Thompson sampling of their chances.

    Words alone come first: every tool understands them, and the more there is to choose from, the
    fewer pictures are left to tell luck from merit. Stages and prompts that keep the intruder away
    join where words have not won, when the race is settled or ``patience`` is out, or at once where
    they have helped other pairs of the model more; last of all, by the same rule, prompts from a
    reference picture, which cost seconds of gradients or calls of a text model, and whose picture
    is the better the more has been tried.

    Chances begin at what candidates built alike were worth for other pairs of the model; where
    there is no such experience, what one candidate shows is a hint at the others, and they begin at
    the mean of the whole pool.

    Source: Russo, Operations Research 2020 (top-two Thompson sampling), Algorithm 3, a batch of
    pictures at a time.

    Args:
        confidence: posterior probability that ends the search, once the leader is so surely within
            ``margin`` of the best.
        margin: difference in the share of right pictures that does not matter.
        top: how often the likeliest best is drawn instead of its rival.
        least: pictures that the leader must have before the search may end.
        enough: share of right pictures, by the leader's posterior mean, that needs no inversion.
        patience: shares of the budget after which others join.
        at_once: most pictures that are asked for before the chances are looked at again.
        belief: pictures that experience, or the mean of the pool, counts as.
    """

    confidence: float = 0.95
    margin: float = 0.1
    top: float = 0.5
    least: int = 8
    enough: float = 0.8
    patience: tuple[float, float] = (0.5, 0.75)
    at_once: int = 8
    belief: float = 1.0

    repairer_id = "portfolio"

    def repair(self, case: Case, evaluate: Evaluate) -> None:
        """Search until one candidate is as good as the best, or the budget ends."""
        race = _Race(self, case)
        race.join(rewrite.candidates(case))
        others = [staged, inverted]
        if _hope(case, _by_rule(case)) > _hope(case, race.pool):
            race.join(others.pop(0)(case, evaluate))
        while race.pool or others:
            settled = race.is_settled()
            if others:
                waited = race.pictures >= self.patience[-len(others)] * case.budget
                if not race.pool or ((settled or waited) and race.leader_rate() < self.enough):
                    race.join(others.pop(0)(case, evaluate))
                    continue
            if settled:
                return
            wanted = race.batch()
            trials = evaluate.together(
                [(race.pool[arm], race.seeds(arm, count)) for arm, count in wanted.items()]
            )
            for (arm, count), trial in zip(wanted.items(), trials, strict=True):
                race.learn(arm, count, *trial.right(case.threshold))


def _hope(case: Case, candidates: Iterable[Candidate]) -> float:
    """What experience expects of the best of them; 0 without experience."""
    return max((case.expect(one) or 0.0 for one in candidates), default=0.0)


_Chances = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


class _Race:
    """How often each candidate was right, and whose turn it is."""

    def __init__(self, rules: Portfolio, case: Case) -> None:
        self.pool: list[Candidate] = []
        self._rules = rules
        self._case = case
        self._dice = np.random.default_rng(key_number(case.pair.key))
        self._right, self._wrong = np.zeros(0), np.zeros(0)
        self._asked = np.zeros(0, dtype=int)
        self._expected = np.zeros(0)

    def join(self, candidates: Iterable[Candidate]) -> None:
        """Add those that do not run yet."""
        new = [one for one in dict.fromkeys(candidates) if one not in set(self.pool)]
        self.pool += new
        self._right, self._wrong = (
            np.append(side, np.zeros(len(new))) for side in (self._right, self._wrong)
        )
        self._asked = np.append(self._asked, np.zeros(len(new), dtype=int))
        told = [self._case.expect(one) for one in new]
        self._expected = np.append(self._expected, [np.nan if t is None else t for t in told])

    @property
    def pictures(self) -> int:
        """Asked for by now."""
        return int(self._asked.sum())

    def seeds(self, arm: int, count: int) -> range:
        """The next ones of a candidate."""
        return self._case.seeds[self._asked[arm] :][:count]

    def learn(self, arm: int, count: int, right: int, seen: int) -> None:
        """What came of ``count`` pictures; one that cannot be read is not asked again soon."""
        self._right[arm] += right
        self._wrong[arm] += seen - right if seen else count
        self._asked[arm] += count

    def batch(self) -> dict[int, int]:
        """How many pictures of which candidate come next, together one batch of the model."""
        wanted: dict[int, int] = {}
        chances = self._chances()
        for _ in range(min(self._case.batch_size, self._rules.at_once)):
            arm = self._pick(chances)
            if self._asked[arm] + wanted.get(arm, 0) < len(self._case.seeds):
                wanted[arm] = wanted.get(arm, 0) + 1
        return wanted

    def _pick(self, chances: _Chances) -> int:
        best = int(self._dice.beta(*chances).argmax())
        if len(self.pool) == 1 or self._dice.random() < self._rules.top:
            return best
        for _ in range(100):
            rival = int(self._dice.beta(*chances).argmax())
            if rival != best:
                return rival
        return best  # so far ahead that no rival comes up

    def _chances(self) -> _Chances:
        """Each candidate's Beta posterior."""
        right, wrong = self._right.sum(), self._wrong.sum()
        mean = (1 + right) / (2 + right + wrong)
        prior = np.where(np.isnan(self._expected), mean, self._expected)
        belief = self._rules.belief
        return belief * prior + self._right, belief * (1 - prior) + self._wrong

    def leader_rate(self) -> float:
        """Posterior mean of the leader's share of right pictures."""
        right, wrong = self._chances()
        return float((right / (right + wrong)).max())

    def is_settled(self) -> bool:
        """Whether the leader is as good as the best, or near it."""
        if not self.pool:
            return False
        right, wrong = self._chances()
        leader = int((right / (right + wrong)).argmax())
        if self._right[leader] + self._wrong[leader] < self._rules.least:
            return False
        shares = self._dice.beta(right, wrong, size=(DRAWS, len(self.pool)))
        near = shares[:, leader] >= shares.max(axis=1) - self._rules.margin
        return bool(near.mean() >= self._rules.confidence)


def inverted(case: Case, evaluate: Evaluate) -> list[Candidate]:
    """The best prompts of every inverter whose tools are there, from the best reference by now."""
    tools = evaluate.equip(case, reference=False).tools
    inverters = list(_inverters(tools)) if tools else []
    if not inverters:
        return []
    equipped = evaluate.equip(case)
    found: list[Candidate] = []
    for inverter in inverters:
        prompts = evaluate.attempt(
            inverter.inverter_id, partial(inversion.candidates, inverter, equipped)
        )
        found += prompts[: -BEST - 1 : -1]  # each inverter's best comes last
    return found


def _inverters(tools: Tools) -> Iterator[Inverter]:
    """Those that need nothing that is not there."""
    if tools.denoiser is not None and tools.writer is not None:
        yield open_inverter("editor")
    if tools.encoder is not None and tools.text_model is not None and tools.text_model.sees_images:
        yield open_inverter("arpo")
    if tools.denoiser is not None:  # what the painter understands, not what an encoder resembles
        yield open_inverter("pez-denoiser")
    elif tools.encoder is not None:
        yield open_inverter("pez")


def staged(case: Case, evaluate: Evaluate) -> list[Candidate]:
    """What needs more of a tool than words: stages, also those that a text model thinks of."""
    asked = proxies.attempted(case, evaluate) if case.text_model is not None else []
    return [*_by_rule(case), *asked]


def _by_rule(case: Case) -> list[Candidate]:
    return [*_combined(case), *moce.candidates(case, FINEST)]


def _combined(case: Case) -> list[Candidate]:
    """Looks at the beginning, in the full prompt, or both; the intruder kept away all the while."""
    pair = case.pair
    looks = [pair.concept(side).description for side in (case.lost, other(case.lost))]
    prompts = [pair.prompt]
    if described := by_looks(pair, *Side):
        prompts.append(described)
        prompts.append(", ".join([pair.prompt, *looks]))
    combined = [Candidate((Stage(prompt),)) for prompt in prompts[2:]]
    steps = moce.fine_steps(case.num_inference_steps)[:1] if case.supports_stages else []
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
