"""What MoCE's searches cost in row-steps, and whether they find a switch step that works.

``python tests/bench/bench_fork.py --pairs 10`` takes pairs that teacup-narrow fails by the oracle,
lets each search look for a switch step with teacup-clip as its guide and no budget, and draws what
it found on seeds of the oracle's own. Then one tree of branches is drawn with its trunks shared and
not, turn by turn. Every pair prints a line; the summary is over all of them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from scipy.stats import bootstrap

from lcmis import judge
from lcmis.check import questions_of
from lcmis.plugins.optional import choice_of
from lcmis.plugins.protocols import Case, Checker, Work
from lcmis.plugins.settings import CheckerSettings, ModelSettings
from lcmis.propose.catalogue import catalogue
from lcmis.render import draw, in_trunk_order
from lcmis.render.diffusion import DiffusersModel
from lcmis.render.trunks import Trunks
from lcmis.repair.methods import moce, ranked
from lcmis.repair.methods.phrases import alone
from lcmis.teacup import shipped
from lcmis.teacup.oracle import Oracle, load_oracle
from lcmis.types import (
    FIRST_CERTIFICATE_SEED,
    FIRST_REPAIR_SEED,
    Candidate,
    ConceptPair,
    QuestionKind,
    Rate,
    RenderSpec,
    Seen,
    Side,
    Stage,
    Trial,
)

MODES = ("fork", "bisect", "replicate")
FRESH = FIRST_CERTIFICATE_SEED + 2**20
PLAIN = 8
"""Pictures of the plain prompt by which a pair is found to fail."""


@dataclass(frozen=True, slots=True)
class Search:
    """One pair by one search."""

    work: Work
    pictures: int
    seconds: float
    share: float
    """Of fresh pictures by what was found, right by the oracle."""


class Evaluation:
    """Draws and checks what a search asks, and remembers it; there is no budget."""

    def __init__(self, model: DiffusersModel, guide: Checker, pair: ConceptPair) -> None:
        self.trials: list[Trial] = []
        self.asked: dict[str, Seen] = {}
        self._model, self._guide, self._pair = model, guide, pair
        kinds = (QuestionKind.A_PRESENT, QuestionKind.B_PRESENT)
        self._questions = [item for item in questions_of(pair) if item.kind in kinds]

    def together(self, asked: Sequence[tuple[Candidate, Sequence[int]]]) -> list[Trial]:
        groups = [
            [self._model.spec(candidate.stages, seed) for seed in seeds]
            for candidate, seeds in asked
        ]
        lacking = [spec for group in groups for spec in group if spec.key not in self.asked]
        ordered = in_trunk_order(list(dict.fromkeys(lacking)))
        pictures = draw(self._model, ordered)
        answers = [
            self._guide.score(pictures, [question] * len(pictures)) for question in self._questions
        ]
        for spec, a, b in zip(ordered, *answers, strict=True):
            self.asked[spec.key] = Seen(spec.seed, a[0].value, b[0].value)
        trials = [
            Trial(
                self._pair.key,
                self._model.model_id,
                "bench",
                self._guide.checker_id,
                candidate,
                tuple(self.asked[spec.key] for spec in group),
            )
            for (candidate, _), group in zip(asked, groups, strict=True)
        ]
        self.trials += trials
        return trials


def main() -> None:
    """Print a line a pair, and the summary."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--fresh", type=int, default=16, help="pictures for the oracle")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--rounds", type=int, default=3, help="of shared against not shared")
    parser.add_argument("--skip", type=int, default=0, help="failing pairs to leave out first")
    asked = parser.parse_args()
    models = {mode: opened(asked.dtype) for mode in MODES}
    guide = shipped.clip(CheckerSettings("teacup-clip"))
    look = Look(opened(asked.dtype), load_oracle(), asked.fresh)
    found: list[dict[str, Search]] = []
    for pair in islice(failing(look), asked.skip, asked.skip + asked.pairs):
        found.append({mode: search(mode, models[mode], guide, pair, look) for mode in MODES})
        each = ", ".join(
            f"{mode} {one.work.run} row-steps {one.pictures} pictures right {one.share:.0%}"
            for mode, one in found[-1].items()
        )
        print(f"{pair.prompt}: {each}", flush=True)
    summarise(found)
    share_and_not(asked.dtype, asked.rounds)


def opened(dtype: str) -> DiffusersModel:
    """A model that remembers nothing yet."""
    return shipped.narrow(ModelSettings("teacup-narrow", dtype=dtype))


class Look:
    """The oracle's eye on pictures that no search has seen."""

    def __init__(self, model: DiffusersModel, oracle: Oracle, pictures: int) -> None:
        self.model = model
        self._oracle = oracle
        self._pictures = pictures
        self._known: dict[Candidate, float] = {}

    def missing(self, pair: ConceptPair) -> tuple[int, int, int]:
        """Of the plain prompt: pictures that lack A, that lack B, that are wrong."""
        specs = [self.model.spec((Stage(pair.prompt),), seed) for seed in range(PLAIN)]
        read = self._oracle.classify(draw(self.model, specs))
        a = [one.first == pair.a.name for one in read]
        b = [one.second == pair.b.name for one in read]
        return a.count(False), b.count(False), sum(not (x and y) for x, y in zip(a, b, strict=True))

    def right(self, pair: ConceptPair, candidate: Candidate) -> float:
        """Share of fresh pictures that show both concepts; drawn once a candidate."""
        if candidate not in self._known:
            seeds = range(FRESH, FRESH + self._pictures)
            specs = [self.model.spec(candidate.stages, seed) for seed in seeds]
            read = self._oracle.classify(draw(self.model, specs))
            self._known[candidate] = float(
                np.mean([one.shows(pair.a.name, pair.b.name) for one in read])
            )
        return self._known[candidate]


def failing(look: Look) -> Iterable[ConceptPair]:
    """Pairs that are wrong in more than half of their plain pictures, patterns in turn."""
    pairs = sorted(catalogue("teacup"), key=lambda pair: pair.key)  # by chance, and always the same
    return (pair for pair in pairs if look.missing(pair)[2] > PLAIN / 2)


def search(
    mode: str, model: DiffusersModel, guide: Checker, pair: ConceptPair, look: Look
) -> Search:
    """Let one search look, and the oracle say what it is worth."""
    a_missing, b_missing, _ = look.missing(pair)
    case = Case(
        pair=pair,
        num_inference_steps=model.spec((Stage(pair.prompt),), 0).num_inference_steps,
        supports_stages=True,
        supports_negative_prompt=False,
        batch_size=model.batch_size,
        seeds=range(FIRST_REPAIR_SEED, FIRST_CERTIFICATE_SEED),
        threshold=0.5,
        budget=10**6,
        a_missing=a_missing,
        b_missing=b_missing,
        likeness_weight=1.0,  # the guide's probabilities, as if they were CLIPScores
    )
    before, started = model.work, time.perf_counter()
    evaluation = Evaluation(model, guide, pair)
    repairer = moce.Moce(mode)
    repairer.repair(case, evaluation)
    seconds = time.perf_counter() - started
    chosen = choice_of(repairer, case, evaluation.trials)
    best = chosen or ranked(evaluation.trials, case.threshold)[0]
    return Search(model.work - before, len(evaluation.asked), seconds, look.right(pair, best))


def summarise(found: Sequence[dict[str, Search]]) -> None:
    """Sums, hit rates, and how many times fewer row-steps than the paper's loop."""
    for mode in MODES:
        ours = [one[mode] for one in found]
        hits = judge.rate(sum(one.share >= 0.5 for one in ours), len(ours))
        work = sum((one.work for one in ours), Work())
        print(
            f"{mode:<10} {len(ours)} pairs, hit {percent(hits)}, fresh pictures right "
            f"{np.mean([one.share for one in ours]):.0%}; a pair: "
            f"{work.run / len(ours):.0f} row-steps run, {work.useful / len(ours):.0f} useful, "
            f"{work.skipped / len(ours):.0f} skipped, "
            f"{np.mean([one.pictures for one in ours]):.0f} pictures, "
            f"{np.mean([one.seconds for one in ours]):.0f} s; replicate needs "
            f"{times(found, mode, lambda one: one.work.run)} times the row-steps and "
            f"{times(found, mode, lambda one: one.seconds)} times the seconds"
        )


def times(found: Sequence[dict[str, Search]], mode: str, cost: Callable[[Search], float]) -> str:
    """Ratio of sums, with its 95 % interval, pairs drawn anew."""
    theirs = np.array([cost(one["replicate"]) for one in found])
    ours = np.array([cost(one[mode]) for one in found])
    ratio = f"{theirs.sum() / ours.sum():.2f}"
    if len(found) < 3 or mode == "replicate":
        return ratio
    spread = bootstrap(
        (theirs, ours),
        lambda x, y, axis: x.sum(axis) / y.sum(axis),
        paired=True,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return f"{ratio} [{spread.low:.2f}-{spread.high:.2f}]"


def percent(rate: Rate) -> str:
    """E.g. ``"42 [28-57] %"``."""
    return f"{100 * rate.value:.0f} [{100 * rate.low:.0f}-{100 * rate.high:.0f}] %"


def share_and_not(dtype: str, rounds: int) -> None:
    """Sixteen seeds, branches at four steps: time, row-steps and bits with trunks and without."""
    pair = next(pair for pair in catalogue("teacup") if pair.prompt == "a tea cup of orange juice")
    model = opened(dtype)
    total = model.spec((Stage(pair.prompt),), 0).num_inference_steps
    specs = in_trunk_order(
        [
            model.spec((Stage(alone(pair, Side.A), step / total), Stage(pair.prompt)), seed)
            for step in moce.fine_steps(total)
            for seed in range(model.batch_size)
        ]
    )
    draw(model, specs[:1])
    for number in range(rounds):
        turn = {}
        for shared in ((True, False), (False, True))[number % 2]:
            turn[shared] = one_turn(model, specs, shared)
        (with_it, pictures, work), (without, others, plain) = turn[True], turn[False]
        same = all(map(np.array_equal, pictures, others))
        print(
            f"tree of {len(specs)} pictures: {work.run} row-steps shared, {plain.run} not "
            f"({plain.run / work.run:.2f} times), {with_it:.1f} s against {without:.1f} s "
            f"({without / with_it:.2f} times), bits {'equal' if same else 'DIFFER'}",
            flush=True,
        )


def one_turn(
    model: DiffusersModel, specs: Sequence[RenderSpec], shared: bool
) -> tuple[float, list[np.ndarray], Work]:
    """Draw all once, with nothing known before."""
    model.trunks = Trunks() if shared else Trunks(most_bytes=0)
    before, started = model.work, time.perf_counter()
    drawn = [np.asarray(picture) for picture in draw(model, specs)]
    return time.perf_counter() - started, drawn, model.work - before


if __name__ == "__main__":
    main()
