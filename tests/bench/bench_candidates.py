"""B6: which of several ways of prompting is best, by successive halving and by as many for each.

python tests/bench/bench_candidates.py

Sixteen candidates with assumed success rates, simulated; the halving is the one that repairs use:
half of the candidates go on after each round, with all pictures that they have. A choice is right
within 0.1 of the best.
"""

from __future__ import annotations

import argparse

import numpy as np

CANDIDATES = 16
TASKS = {
    "one good among many poor": lambda g, n: np.c_[
        g.uniform(0.6, 0.9, (n, 1)), g.uniform(0, 0.4, (n, 15))
    ],
    "spread evenly": lambda g, n: g.uniform(0, 1, (n, CANDIDATES)),
    "all within noise": lambda g, n: g.uniform(0.45, 0.55, (n, CANDIDATES)),
}


def uniform(rates: np.ndarray, each: int, generator: np.random.Generator) -> tuple[np.ndarray, int]:
    """The chosen candidate of each task, and pictures a task."""
    return generator.binomial(each, rates).argmax(1), each * rates.shape[1]


def halving(
    rates: np.ndarray, first: int, generator: np.random.Generator
) -> tuple[np.ndarray, int]:
    """Likewise; every round draws as many pictures in all, among half as many candidates."""
    tasks = np.arange(len(rates))[:, None]
    alive = np.tile(np.arange(rates.shape[1]), (len(rates), 1))
    hits, drawn, total, each = np.zeros(rates.shape), np.zeros(rates.shape), 0, first
    while alive.shape[1] > 1:
        hits[tasks, alive] += generator.binomial(each, rates[tasks, alive])
        drawn[tasks, alive] += each
        total += each * alive.shape[1]
        shares = hits[tasks, alive] / drawn[tasks, alive]
        order = np.argsort(-shares, axis=1)[:, : alive.shape[1] // 2]
        alive = np.take_along_axis(alive, order, 1)
        each *= 2
    return alive[:, 0], total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    for name, made in TASKS.items():
        generator = np.random.default_rng(asked.seed)
        rates = made(generator, asked.tasks)
        best = rates.max(1)
        for label, (chosen, pictures) in {
            "halving from 4": halving(rates, 4, generator),
            "20 of each": uniform(rates, 20, generator),
            "64 of each": uniform(rates, 64, generator),
        }.items():
            regret = best - rates[np.arange(len(rates)), chosen]
            print(
                f"B6 {name}, {label}: {pictures} pictures, within 0.1 of the best in "
                f"{np.mean(regret <= 0.1):.1%}, mean regret {regret.mean():.3f}"
            )


if __name__ == "__main__":
    main()
