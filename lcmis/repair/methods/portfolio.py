"""Portfolio: every method's candidates in one pool, pictures spent where they may be the best."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from lcmis.plugins.opening import open_inverter
from lcmis.plugins.protocols import Case, Evaluate, Inverter, Tools
from lcmis.repair.methods import alternating, inversion, moce, ordered, proxies, rewrite
from lcmis.repair.methods.phrases import by_looks, other
from lcmis.repair.methods.ways import NOISE, Chances, Experience, Symptoms
from lcmis.types import Candidate, Side, Stage, key_number

BEST = 3
"""Prompts of each inverter that join the race."""
DRAWS = 2000
"""From the posterior, to ask how likely the leader is the best: known to about 1 %."""
IN_TURN = 2
"""Alternations that join the race."""
LAST = 3
"""Candidates that the end of a budget is for."""
MUTE = 3
"""Pictures of which none could be read that close a candidate."""
RIVALS = 100
"""Draws in which a rival may come up."""
_Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Portfolio:
    """Lets all methods' candidates compete: each picture goes where the best one may be.

    A candidate that several methods would try is one candidate. All of them begin together, words
    and stages and both; what one shows is a hint at those that are built alike, so a few pictures
    tell whether words or stages help a pair, which concept belongs first, and for how long. Chances
    begin at what candidates built so were worth for other pairs, on this model and on others, where
    an audit had seen the same, and at what the audit's own pictures say of words that are near the
    plain prompt. All candidates are drawn on the same seeds. Last of all, where nothing helps when
    the race is settled or ``patience`` is out, come prompts from a reference picture, which cost
    seconds of gradients or calls of a text model, and whose picture is the better the more has been
    tried.

    Source: Russo, Operations Research 2020 (top-two Thompson sampling), Algorithm 3, a batch of
    pictures at a time; chances as a Gaussian process over candidates (Srinivas et al., ICML 2010),
    with the shares of right pictures as observations.

    Args:
        confidence: posterior probability that ends the search, once the leader is so surely within
            ``margin`` of the best.
        margin: difference in the share of right pictures that does not matter.
        top: how often the likeliest best is drawn instead of its rival.
        least: pictures that the leader must have before the search may end.
        enough: share of right pictures, by the leader's posterior mean, that needs no inversion:
            what one finds is seldom right more often, and it may take minutes.
        patience: share of the budget after which inversions join.
        at_once: most pictures that are asked for before the chances are looked at again.
        finishing: share of the budget after which only the likeliest few are drawn, once any
            candidate was right.
    """

    confidence: float = 0.95
    margin: float = 0.1
    top: float = 0.5
    least: int = 8
    enough: float = 0.05
    patience: float = 0.75
    at_once: int = 4
    finishing: float = 0.6

    repairer_id = "portfolio"

    def repair(self, case: Case, evaluate: Evaluate) -> None:
        """Search until one candidate is as good as the best, or the budget ends."""
        race = _Race(self, case)
        race.join([*rewrite.candidates(case), *staged(case, evaluate), *ordered.candidates(case)])
        may_invert = True
        while race.pool or may_invert:
            settled = race.is_settled()
            waited = race.pictures >= self.patience * case.budget
            if may_invert and (
                not race.pool or ((settled or waited) and race.leader_rate() < self.enough)
            ):
                may_invert = False
                race.join(inverted(case, evaluate))
                continue
            wanted = {} if settled else race.batch()
            if not wanted:
                return
            trials = evaluate.together(
                [(race.pool[arm], race.seeds(arm, count)) for arm, count in wanted.items()]
            )
            for (arm, count), trial in zip(wanted.items(), trials, strict=True):
                race.learn(arm, count, *trial.right(case.threshold))


class _Race:
    """How often each candidate was right, and whose turn it is."""

    def __init__(self, rules: Portfolio, case: Case) -> None:
        self.pool: list[Candidate] = []
        self._rules = rules
        self._case = case
        self._dice = np.random.default_rng(key_number(case.pair.key))
        self._right, self._seen, self._asked = (np.zeros(0, dtype=int) for _ in range(3))
        self._silent = np.zeros(0, dtype=bool)
        self._begun = Chances(np.zeros(0), np.zeros((0, 0)))
        self._expect = case.expect or _nobody_told(case)

    def join(self, candidates: Iterable[Candidate]) -> None:
        """Add those that do not run yet."""
        running = set(self.pool)
        new = [one for one in dict.fromkeys(candidates) if one not in running]
        self.pool += new
        self._right, self._seen, self._asked = (
            np.append(counts, np.zeros(len(new), dtype=int))
            for counts in (self._right, self._seen, self._asked)
        )
        self._silent = np.append(self._silent, np.ones(len(new), dtype=bool))
        self._begun = Chances(*self._expect(self.pool))

    @property
    def pictures(self) -> int:
        """Asked for by now."""
        return int(self._asked.sum())

    def seeds(self, arm: int, count: int) -> range:
        """The next ones of a candidate."""
        return self._case.seeds[self._asked[arm] :][:count]

    def learn(self, arm: int, count: int, right: int, seen: int) -> None:
        """What came of ``count`` pictures; what cannot be read is as if wrong, and a candidate of
        which :data:`MUTE` pictures could not is asked for no more.
        """
        self._right[arm] += right
        self._seen[arm] += seen or count
        self._asked[arm] += count
        self._silent[arm] &= not seen

    def batch(self) -> dict[int, int]:
        """How many pictures of which candidate come next, together one batch of the model."""
        size = min(self._case.batch_size, self._rules.at_once)
        wanted: dict[int, int] = {}
        if not self._open.any():
            return wanted
        for arm in self._raced(size):
            if self._asked[arm] + wanted.get(arm, 0) < len(self._case.seeds):
                wanted[arm] = wanted.get(arm, 0) + 1
        return wanted

    @property
    def _open(self) -> npt.NDArray[np.bool_]:
        """Candidates of which a picture may still be asked for."""
        mute = self._silent & (self._asked >= MUTE)
        return (self._asked < len(self._case.seeds)) & ~mute

    def _raced(self, count: int) -> list[int]:
        """Candidates that may be the best; of the likeliest few alone where the budget is nearly
        spent, so that the one that is chosen has been seen often enough; where none was ever right
        there is nothing to choose.
        """
        mean = np.where(self._open, self._chances()[0], -np.inf)
        late = self.pictures >= self._rules.finishing * self._case.budget and self._right.any()
        few = LAST if late else int(self._open.sum())
        behind = np.argsort(-mean, kind="stable")[few:]
        picked = []
        draws = self._drawn(count * (1 + RIVALS))
        draws[:, behind] = -np.inf
        for own in draws.argmax(axis=1).reshape(count, 1 + RIVALS).tolist():
            picked.append(self._pick(own))
        return picked

    def _pick(self, likeliest: Sequence[int]) -> int:
        """The best of the first draw, or of the first one after it that has another best; that
        again if it is so far ahead that no rival comes up.
        """
        best, *rivals = likeliest
        if self._dice.random() < self._rules.top:
            return best
        return next((rival for rival in rivals if rival != best), best)

    def _chances(self) -> tuple[_Numbers, _Numbers]:
        """Posterior mean and covariance of each candidate's share of right pictures."""
        tried = np.flatnonzero(self._seen)
        shares = self._right[tried] / self._seen[tried]
        now = self._begun.told(tried.tolist(), shares, NOISE / self._seen[tried])
        return now.mean, now.covariance

    def _drawn(self, count: int) -> _Numbers:
        """Shares of all candidates as they may be, (count, candidates)."""
        mean, covariance = self._chances()
        root = np.linalg.cholesky(covariance + 1e-9 * np.eye(len(mean)))
        return mean + self._dice.standard_normal((count, len(mean))) @ root.T

    def leader_rate(self) -> float:
        """Posterior mean of the leader's share of right pictures."""
        return float(self._chances()[0].max())

    def is_settled(self) -> bool:
        """Whether the leader is as good as the best, or near it."""
        if not self.pool:
            return False
        leader = int(self._chances()[0].argmax())
        if self._seen[leader] < self._rules.least:
            return False
        shares = self._drawn(DRAWS).clip(0, 1)
        near = shares[:, leader] >= shares.max(axis=1) - self._rules.margin
        return bool(near.mean() >= self._rules.confidence)


def _nobody_told(case: Case) -> Callable[[Sequence[Candidate]], tuple[_Numbers, _Numbers]]:
    """Chances by how candidates are built alone."""
    seen = Symptoms(case.lost, intruded=bool(case.intruder))
    return partial(Experience().chances, "", case.pair, seen)


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
    """Either concept first, by its name and by its looks, at every fine step; two wordings in turn;
    and what joins words and stages.
    """
    pair = case.pair
    looks = [pair.concept(side).description for side in (case.first, other(case.first))]
    steps = moce.fine_steps(case.num_inference_steps) if case.supports_stages else []
    by_looks_first = [moce.opened_by(case, look, step) for look in looks if look for step in steps]
    in_turn = alternating.candidates(case)[:IN_TURN]
    return [*_combined(case), *moce.candidates(case), *by_looks_first, *in_turn]


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
