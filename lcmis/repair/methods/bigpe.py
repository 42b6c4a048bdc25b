"""BIGPE: evolves the instruction by which a text model rewrites prompts, not a prompt.

Source: Yang, Wang, Hu, "Batch-Instructed Gradient for Prompt Evolution: Systematic Prompt
Optimization for Enhanced Text-to-Image Synthesis", arXiv 2406.08713, 2024, and its published code.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean, stdev
from typing import Literal, Protocol, TypeVar

from lcmis.errors import OutOfBudget, TextModelError
from lcmis.plugins.protocols import Case, Evaluate, Need, TextModel
from lcmis.text import asking
from lcmis.text.asking import WritingShown
from lcmis.text.prompts import wording
from lcmis.types import Candidate, ConceptPair, Stage

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt for a subject, to be drawn and scored on these seeds."""

    subject: ConceptPair
    prompt: str
    seeds: tuple[int, ...]


Score = Callable[[Sequence[Asked]], Sequence[Mapping[int, float]]]
"""Seed → score for each that is asked, higher is better on any scale; a seed without a picture or
a score is left out. May raise :class:`lcmis.errors.OutOfBudget`."""


class Attempt(Protocol):
    """Gives what a source gives; where an item fails, records that with what was attempted."""

    def __call__(self, what: str, source: Callable[[], Iterable[Item]]) -> list[Item]:
        """What came before a failure stands."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """How instructions are evolved; the defaults are the paper's where it says."""

    iterations: int = 10
    batch: int | None = None
    """Subjects of one evaluation (the paper: 1, 3 or 5); None is all of them."""
    pictures: int = 4
    """Seeds of a subject in one evaluation; the paper: 1."""
    keep: int = 3
    selector: Literal["ucb", "epsilon", "greedy"] = "ucb"
    c: float = 0.8
    """Exploration of ``ucb``, in standard deviations of the gains."""
    epsilon: float = 0.1
    """How often ``epsilon`` keeps an instruction by chance, in [0, 1]."""
    improvements: int = 3
    """Of one analysis; also variants of an instruction that is the best already."""
    experts: int = 5
    """Professional prompts of a subject that are drawn in one iteration."""


@dataclass(frozen=True, slots=True)
class Value:
    """What an instruction gains over the plain prompts on the same seeds; on the score's scale."""

    gain: float
    """Mean over subjects."""
    error: float
    """Its standard error: over subjects or, if there is one, over its pictures; 0 for one picture.
    """
    low: float
    """Of the 95 % interval by Student's t; -inf where one observation says nothing of others."""
    high: float
    subjects: int
    pictures: int


@dataclass(frozen=True, slots=True)
class Instruction:
    """An instruction that was tried."""

    text: str
    parent: str
    """The instruction that it was made from; empty for the first one."""
    improvement: str
    """What the gradient calculator asked for; empty for the first one and for a variant."""
    value: Value | None
    """None where nothing could be compared."""
    prompts: tuple[tuple[str, str], ...]
    """Subject's prompt → what was written for it under this instruction."""


@dataclass(frozen=True, slots=True)
class Evolution:
    """How instructions developed."""

    first: Instruction
    best: Instruction
    """The largest gain less one standard error, so that luck on few pictures does not win."""
    tried: tuple[Instruction, ...]
    """In the order they were born."""
    kept: tuple[tuple[str, ...], ...]
    """Instructions that each iteration kept, best first."""
    ended: str = ""
    """Why it stopped before its last iteration; empty if it did not."""


@dataclass(slots=True)
class _Arm:
    """An instruction while it is being tried."""

    text: str
    parent: str = ""
    improvement: str = ""
    turns: int = 0
    """Evaluations so far: the next one is on the same subjects and seeds as everybody's of that
    number."""
    prompts: dict[int, str | None] = field(default_factory=dict)
    """By place of the subject; None where the generator failed."""
    gains: dict[int, list[float]] = field(default_factory=dict)
    """By place of the subject, one a picture."""

    @property
    def mean(self) -> float:
        """Mean over subjects; nothing gained where nothing could be compared."""
        return mean(mean(gains) for gains in self.gains.values()) if self.gains else 0.0

    def told(self, subjects: Sequence[ConceptPair]) -> Instruction:
        written = ((subjects[place].prompt, said) for place, said in self.prompts.items())
        return Instruction(
            text=self.text,
            parent=self.parent,
            improvement=self.improvement,
            value=value(list(self.gains.values())),
            prompts=tuple((asked, said) for asked, said in written if said is not None),
        )


def evolve(
    subjects: Sequence[ConceptPair],
    text_model: TextModel,
    score: Score,
    attempt: Attempt,
    seeds: Sequence[int],
    *,
    instruction: str = "",
    plan: Plan | None = None,
    experts: Mapping[str, Sequence[str]] | None = None,
    dice: random.Random,
) -> Evolution:
    """Find an instruction under which a text model's prompts draw the subjects better.

    Args:
        subjects: fixed for the whole search.
        text_model: writes (G), analyses (GC) and amends (IM).
        score: draws and scores prompts.
        attempt: records failures of the text model; a prompt that is not written gains nothing,
            since the plain one would stand.
        seeds: to draw on, in this order.
        instruction: the first one; empty is a neutral sentence.
        plan: sizes, selector.
        experts: professional prompts by the subject's own prompt.
        dice: decides for ``epsilon`` and which professional prompts are drawn.

    Deviations from the source: it scores every iteration on other subjects and seeds, so that its
    values show the draw; here the n-th evaluation of every instruction is on the same subjects and
    seeds, and counts what it gains over the plain prompt there. The bonus of ``ucb`` is scaled by
    the spread of the gains, so that c means the same for every score. The last instruction that is
    left is never deleted, and returned is not the highest mean of one batch.

    Raises:
        ValueError: no subjects.
    """
    if not subjects:
        raise ValueError("nothing to evolve on: an evolution needs a subject")
    search = _Search(
        list(subjects), text_model, score, attempt, seeds, plan or Plan(), experts or {}, dice
    )
    return search.run(instruction or wording("instruction"))


class _Search:
    def __init__(
        self,
        subjects: list[ConceptPair],
        text_model: TextModel,
        score: Score,
        attempt: Attempt,
        seeds: Sequence[int],
        plan: Plan,
        experts: Mapping[str, Sequence[str]],
        dice: random.Random,
    ) -> None:
        self.subjects = subjects
        self.text_model = text_model
        self.score = score
        self.attempt = attempt
        self.seeds = seeds
        self.plan = plan
        self.experts = experts
        self.dice = dice
        self.plain: dict[int, dict[int, float]] = {place: {} for place in range(len(subjects))}
        self.arms: list[_Arm] = []

    def run(self, first: str) -> Evolution:
        pool = self._born([_Arm(first)])
        kept: list[tuple[str, ...]] = []
        ended = ""
        try:
            for iteration in range(self.plan.iterations):
                experts = self._evaluate(pool)
                pool = self._select(pool, iteration)
                kept.append(tuple(arm.text for arm in pool))
                if iteration + 1 < self.plan.iterations:
                    pool = self._replace_weakest(pool, experts)
        except OutOfBudget as error:
            ended = str(error)
        tried = [arm.told(self.subjects) for arm in self.arms]
        return Evolution(tried[0], max(tried, key=_cautious), tuple(tried), tuple(kept), ended)

    # ── drawing and scoring ──────────────────────────────────────────────────────────────────

    @property
    def _batch(self) -> int:
        return min(self.plan.batch or len(self.subjects), len(self.subjects))

    def _cells(self, turn: int) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Which subjects, on which seeds, the evaluation of this number is about."""
        for number in range(turn * self._batch, (turn + 1) * self._batch):
            lap, place = divmod(number, len(self.subjects))
            start = lap * self.plan.pictures
            yield place, tuple(self.seeds[start : start + self.plan.pictures])

    def _evaluate(self, pool: Sequence[_Arm]) -> dict[int, dict[str, float]]:
        """Each instruction's next evaluation; gains of professional prompts by subject."""
        cells = [(arm, *cell) for arm in pool for cell in self._cells(arm.turns)]
        if any(not seeds for *_, seeds in cells):
            raise OutOfBudget("there are no more seeds")
        for arm, place, _ in cells:
            self._write(arm, place)
        newest = dict(self._cells(min(arm.turns for arm in pool)))
        asked = dict.fromkeys(
            Asked(self.subjects[place], prompt, seeds)
            for arm, place, seeds in cells
            for prompt in (self.subjects[place].prompt, arm.prompts[place])
            if prompt is not None
        )
        shown = [(place, prompt) for place in newest for prompt in self._sampled(place)]
        asked |= dict.fromkeys(
            Asked(self.subjects[place], prompt, newest[place]) for place, prompt in shown
        )
        found = dict(zip(asked, self.score(list(asked)), strict=True))
        for arm, place, seeds in cells:
            gains = self._gains(found, place, arm.prompts[place], seeds)
            if gains:
                arm.gains.setdefault(place, []).extend(gains)
        for arm in pool:
            arm.turns += 1
        pooled: dict[int, dict[str, float]] = {}
        for place, prompt in shown:
            if gains := self._gains(found, place, prompt, newest[place]):
                pooled.setdefault(place, {})[prompt] = mean(gains)
        return pooled

    def _gains(
        self,
        found: Mapping[Asked, Mapping[int, float]],
        place: int,
        prompt: str | None,
        seeds: tuple[int, ...],
    ) -> list[float]:
        """Over the plain prompt, seed by seed; a prompt that cannot be drawn gains nothing."""
        subject = self.subjects[place]
        plain = found[Asked(subject, subject.prompt, seeds)]
        scores = found[Asked(subject, prompt, seeds)] if prompt is not None else {}
        if not scores:
            return [0.0] * len(plain)
        return [scores[seed] - plain[seed] for seed in seeds if seed in scores and seed in plain]

    def _write(self, arm: _Arm, place: int) -> None:
        if place not in arm.prompts:
            subject = self.subjects[place]
            written = self.attempt(
                "bigpe's writer",
                lambda: [asking.refine(self.text_model, arm.text, subject)],
            )
            arm.prompts[place] = written[0] if written else None

    def _sampled(self, place: int) -> list[str]:
        known = list(dict.fromkeys(self.experts.get(self.subjects[place].prompt, ())))
        return self.dice.sample(known, min(len(known), self.plan.experts))

    # ── which stay, and who follows ──────────────────────────────────────────────────────────

    def _select(self, pool: list[_Arm], iteration: int) -> list[_Arm]:
        chosen = SELECTORS[self.plan.selector](
            [InstructionStanding(arm.mean, arm.turns * self._batch) for arm in pool],
            self.plan,
            iteration,
            _spread(pool),
            self.dice,
        )
        return sorted((pool[place] for place in chosen), key=lambda arm: -arm.mean)

    def _replace_weakest(
        self, pool: list[_Arm], experts: Mapping[int, Mapping[str, float]]
    ) -> list[_Arm]:
        weakest = pool[-1]
        shown = self._shown(weakest, pool, experts)
        children = self._born(self._amended(weakest, shown)) if shown else []
        children = children or self._born(self._varied(weakest))
        stay = pool[:-1] if children and len(pool) > 1 else pool
        return [*stay, *children]

    def _shown(
        self, weakest: _Arm, pool: Sequence[_Arm], experts: Mapping[int, Mapping[str, float]]
    ) -> list[WritingShown]:
        """Its prompts beside the best for the same subjects; none if its own are the best."""
        shown = []
        for place, gains in weakest.gains.items():
            rivals = {
                said: mean(arm.gains[place])
                for arm in pool
                if (said := arm.prompts.get(place)) is not None and place in arm.gains
            } | dict(experts.get(place, {}))
            if not rivals:
                continue
            subject, own = self.subjects[place], weakest.prompts[place]
            best = max(rivals, key=rivals.__getitem__)
            shown.append(
                WritingShown(subject, own or subject.prompt, mean(gains), best, rivals[best])
            )
        return shown if any(one.best_gain > one.gain for one in shown) else []

    def _amended(self, arm: _Arm, shown: Sequence[WritingShown]) -> Iterator[_Arm]:
        advice = self.attempt(
            "bigpe's analyst",
            lambda: asking.critique(self.text_model, arm.text, shown, self.plan.improvements),
        )
        for improvement in advice:
            for text in self._amend(arm.text, improvement):
                yield _Arm(text, arm.text, improvement)

    def _amend(self, instruction: str, improvement: str) -> list[str]:
        return self.attempt(
            "bigpe's modifier",
            lambda: [asking.amend(self.text_model, instruction, improvement)],
        )

    def _varied(self, arm: _Arm) -> Iterator[_Arm]:
        known = [one.text for one in self.arms]
        for text in self.attempt(
            "bigpe's modifier",
            lambda: asking.vary(self.text_model, arm.text, known, self.plan.improvements),
        ):
            yield _Arm(text, arm.text)

    def _born(self, arms: Iterable[_Arm]) -> list[_Arm]:
        """Those that were not tried before."""
        known = {arm.text.casefold() for arm in self.arms}
        new = {arm.text.casefold(): arm for arm in arms}
        born = [arm for text, arm in new.items() if text not in known]
        self.arms += born
        return born


# ── selectors ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class InstructionStanding:
    """How an instruction stands among others."""

    mean: float
    """Gain over all its evaluations."""
    evaluations: int
    """Subjects that it was evaluated on, each evaluation counted."""


Selector = Callable[[Sequence[InstructionStanding], Plan, int, float, random.Random], list[int]]
"""Standings, plan, iteration from 0, spread of the gains, dice → places of those that are kept."""


def ucb(
    standings: Sequence[InstructionStanding],
    plan: Plan,
    iteration: int,
    spread: float,
    dice: random.Random,
) -> list[int]:
    """Keep those that may be the best.

    The bonus is ``c · spread · sqrt(ln t / n)`` with ``t = 1 + iteration · keep + position`` and
    ``n = 1 + evaluations``; the arg-max is taken until enough are kept.

    Source: Yang et al. 2024, published code; Auer, Cesa-Bianchi, Fischer, Machine Learning 2002.
    """
    left, kept = list(range(len(standings))), list[int]()

    def promise(place: int) -> float:
        t, one = 1 + iteration * plan.keep + len(kept), standings[place]
        return one.mean + plan.c * spread * math.sqrt(math.log(t) / (1 + one.evaluations))

    while left and len(kept) < plan.keep:
        kept.append(max(left, key=promise))
        left.remove(kept[-1])
    return kept


def epsilon_greedy(
    standings: Sequence[InstructionStanding],
    plan: Plan,
    iteration: int,
    spread: float,
    dice: random.Random,
) -> list[int]:
    """Keep the best one that is left, or with probability ε any."""
    left, kept = list(range(len(standings))), list[int]()
    while left and len(kept) < plan.keep:
        by_chance = dice.random() < plan.epsilon
        chosen = dice.choice(left) if by_chance else max(left, key=lambda p: standings[p].mean)
        kept.append(chosen)
        left.remove(chosen)
    return kept


def greedy(
    standings: Sequence[InstructionStanding],
    plan: Plan,
    iteration: int,
    spread: float,
    dice: random.Random,
) -> list[int]:
    """Keep the highest means."""
    return sorted(range(len(standings)), key=lambda p: -standings[p].mean)[: plan.keep]


SELECTORS: dict[str, Selector] = {"ucb": ucb, "epsilon": epsilon_greedy, "greedy": greedy}


# ── values ───────────────────────────────────────────────────────────────────────────────────────


def value(gains: Sequence[Sequence[float]], *, confidence: float = 0.95) -> Value | None:
    """Gains of pictures, subject by subject, as one value; None without any.

    Subjects are the sample and count alike. With one subject its pictures are the sample, and the
    value speaks of that subject alone.
    """
    from scipy.special import stdtrit

    known = [list(one) for one in gains if one]
    if not known:
        return None
    sample = [mean(one) for one in known] if len(known) > 1 else known[0]
    centre, free = mean(sample), len(sample) - 1
    error = stdev(sample) / math.sqrt(len(sample)) if free else 0.0
    reach = float(stdtrit(free, (1 + confidence) / 2)) * error if free else math.inf
    return Value(
        gain=centre,
        error=error,
        low=centre - reach,
        high=centre + reach,
        subjects=len(known),
        pictures=sum(map(len, known)),
    )


def _cautious(one: Instruction) -> float:
    """The one-standard-error rule (Breiman et al., Classification and Regression Trees, 1984)."""
    return -math.inf if one.value is None else one.value.gain - one.value.error


def _spread(pool: Sequence[_Arm]) -> float:
    """Standard deviation of an instruction's gains between subjects or pictures, pooled."""
    squares, free = 0.0, 0
    for arm in pool:
        means = [mean(gains) for gains in arm.gains.values()]
        sample = means if len(means) > 1 else [gain for one in arm.gains.values() for gain in one]
        if len(sample) > 1:
            squares += (len(sample) - 1) * stdev(sample) ** 2
            free += len(sample) - 1
    return math.sqrt(squares / free) if free else 0.0


# ── as a repair of one pair ──────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Bigpe:
    """Evolves an instruction on the one pair; candidates are the prompts written under it.

    Needs a text model. An instruction evolved on many pairs (``lcmis evolve``) is where it starts
    if the case brings one.
    """

    plan: Plan = Plan(iterations=40)
    """A search of one pair ends by its budget."""

    needs = frozenset({Need.TEXT_MODEL})

    @property
    def repairer_id(self) -> str:
        """The algorithm and its selector."""
        return "bigpe" if self.plan.selector == "ucb" else f"bigpe-{self.plan.selector}"

    def repair(self, case: Case, evaluate: Evaluate) -> None:
        """Search until the budget ends."""
        if case.text_model is None:
            evaluate.attempt("bigpe", _no_text_model)
            return

        def score(asked: Sequence[Asked]) -> list[dict[int, float]]:
            trials = evaluate.together(
                [(Candidate((Stage(one.prompt),)), one.seeds) for one in asked]
            )
            return [
                {item.seed: item.worse for item in trial.seen if item.worse is not None}
                for trial in trials
            ]

        evolution = evolve(
            [case.pair],
            case.text_model,
            score,
            evaluate.attempt,
            case.seeds,
            instruction=case.instruction,
            plan=self.plan,
            dice=random.Random(case.pair.key),
        )
        if evolution.ended:
            raise OutOfBudget(evolution.ended)


def _no_text_model() -> list[Candidate]:
    raise TextModelError("bigpe evolves what a text model is told, and none is named")


def by_epsilon() -> Bigpe:
    """BIGPE that keeps the best instructions, and sometimes any."""
    return Bigpe(Plan(iterations=40, selector="epsilon"))


def by_greed() -> Bigpe:
    """BIGPE that keeps the best instructions only."""
    return Bigpe(Plan(iterations=40, selector="greedy"))
