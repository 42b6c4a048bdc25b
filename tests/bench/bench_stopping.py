"""How many pictures each stopping rule saves against twenty of twenty, and what that changes.

``python tests/bench/bench_stopping.py`` sums exactly over assumed populations of pairs and counts
changed decisions on simulated ones. ``--store FOLDER`` replays real verdicts instead: pairs with at
least twenty scored pictures, in the order of their seeds.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lcmis.judge import (
    Curtailed,
    Decision,
    FixedN,
    Sprt,
    StoppingRule,
    expected_pictures,
    stopped_interval,
)
from lcmis.types import Rate, Verdict

TWENTY = FixedN(20)
RULES: tuple[StoppingRule, ...] = (
    TWENTY,
    Curtailed(20),
    Curtailed(20, block=1),
    Sprt(),
    Sprt(cap=60),
    FixedN(64),
    Curtailed(64),
    Sprt(delta=0.1, cap=64),
    Sprt(delta=0.1, cap=192),
)

Population = tuple[tuple[float, float, float], ...]
"""Parts of a mixture: share, and the two shapes of a Beta distribution of failure rates."""

POPULATIONS: dict[str, Population] = {
    "uniform": ((1, 1, 1),),
    "U-shaped": ((1, 0.5, 0.5),),
    "audit-like": ((0.6, 0.5, 9.5), (0.2, 2, 2), (0.2, 9, 1)),
    "mined-hard": ((0.2, 1, 9), (0.35, 2, 2), (0.45, 9, 1)),
}


@dataclass(frozen=True, slots=True)
class Replay:
    """What a rule made of one pair."""

    decision: Decision
    pictures: int
    interval: Rate


@functools.cache
def interval_at(correct: int, total: int, rule: StoppingRule) -> Rate:
    """The interval where a rule stopped, computed once per place."""
    return stopped_interval(correct, total, rule)


def replay(rule: StoppingRule, outcomes: Sequence[bool]) -> Replay:
    """Walk through outcomes (right or not) until the rule stops or they run out."""
    correct = 0
    decision = Decision.CONTINUE
    seen = 0
    for seen, outcome in enumerate(outcomes[: rule.cap], start=1):
        correct += outcome
        if seen % rule.block == 0 or seen == rule.cap:
            decision = rule.decide(correct, seen)
            if decision is not Decision.CONTINUE:
                break
    return Replay(decision, seen, interval_at(correct, seen, rule))


def draw_pairs(population: Population, pairs: int, generator: np.random.Generator) -> np.ndarray:
    """Failure rates of simulated pairs, (pairs,)."""
    parts = generator.choice(len(population), size=pairs, p=[part[0] for part in population])
    shapes = np.array([part[1:] for part in population])[parts]
    return generator.beta(shapes[:, 0], shapes[:, 1])


def changed(replays: Sequence[Replay], against: Sequence[Replay]) -> tuple[float, float]:
    """Shares of pairs with the opposite decision, and with none."""
    opposite = {(Decision.FAILS, Decision.PASSES), (Decision.PASSES, Decision.FAILS)}
    both = list(zip(replays, against, strict=True))
    turned = sum((ours.decision, theirs.decision) in opposite for ours, theirs in both)
    silent = sum(ours.decision in (Decision.UNDECIDED, Decision.CONTINUE) for ours in replays)
    return turned / len(both), silent / len(both)


def simulate(pairs: int, seed: int) -> None:
    """Print one table per assumed population."""
    for name, population in POPULATIONS.items():
        generator = np.random.default_rng(seed)
        rates = draw_pairs(population, pairs, generator)
        outcomes = (generator.random((pairs, 192)) >= rates[:, None]).tolist()
        twenty = [replay(TWENTY, row) for row in outcomes]
        print(f"\n{name}: {pairs} simulated pairs; pictures are exact means")
        print(f"{'rule':<46}{'pictures':>9}{'of 20':>7}{'error':>8}{'turned':>8}", end="")
        print(f"{'undecided':>11}{'covered':>9}{'width':>7}")
        for rule in RULES:
            mean = sum(share * expected_pictures(rule, (a, b)).mean for share, a, b in population)
            replays = [replay(rule, row) for row in outcomes]
            truth = np.where(rates > 0.5, Decision.FAILS, Decision.PASSES)
            wrong = np.mean(
                [
                    one.decision in (Decision.FAILS, Decision.PASSES) and one.decision != true
                    for one, true in zip(replays, truth, strict=True)
                ]
            )
            turned, silent = changed(replays, twenty)
            covered = np.mean(
                [
                    one.interval.low <= 1 - p <= one.interval.high
                    for one, p in zip(replays, rates, strict=True)
                ]
            )
            width = np.mean([one.interval.high - one.interval.low for one in replays])
            label = f"{rule.name}, looks every {rule.block}" if rule.block == 1 else rule.name
            print(f"{label:<46}{mean:>9.1f}{mean / 20:>7.2f}{wrong:>8.1%}{turned:>8.1%}", end="")
            print(f"{silent:>11.1%}{covered:>9.1%}{width:>7.2f}")


def replay_store(folder: str, checker: str | None, threshold: float) -> None:
    """Print what each rule would have made of the pictures in a store."""
    from lcmis.findings import find_pairs
    from lcmis.store import Store

    with Store(folder, read_only=True) as store:
        checkers = store.checkers()
        if not checkers:
            raise SystemExit(f"{folder} holds no scores yet; run `lcmis audit` first")
        checker = checker or checkers[0]
        found = find_pairs(store, checker, threshold=threshold)
    scored = [[seen for seen in one.judgement.verdicts if seen.is_scored] for one in found]
    rows = [[seen is Verdict.ALIGNED for seen in row[:20]] for row in scored if len(row) >= 20]
    print(f"{len(found)} pairs and models by {checker}; {len(rows)} with 20 scored pictures")
    if not rows:
        return
    twenty = [replay(TWENTY, row) for row in rows]
    print(f"{'rule':<46}{'pictures':>9}{'of 20':>7}{'turned':>8}{'undecided':>11}{'width':>7}")
    for rule in RULES:
        if rule.cap > 20:
            continue
        replays = [replay(rule, row) for row in rows]
        mean = np.mean([one.pictures for one in replays])
        turned, silent = changed(replays, twenty)
        width = np.mean([one.interval.high - one.interval.low for one in replays])
        label = f"{rule.name}, looks every {rule.block}" if rule.block == 1 else rule.name
        print(f"{label:<46}{mean:>9.1f}{mean / 20:>7.2f}{turned:>8.1%}", end="")
        print(f"{silent:>11.1%}{width:>7.2f}")


def main() -> None:
    """Read the command line; print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--store", help="folder or URL of a store to replay")
    parser.add_argument("--checker", help="whose scores decide; default: the store's first")
    parser.add_argument("--threshold", type=float, default=0.5)
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    if chosen.store:
        replay_store(chosen.store, chosen.checker, chosen.threshold)
    else:
        simulate(chosen.pairs, chosen.seed)


if __name__ == "__main__":
    main()
