"""B10: seconds of drawing a decided pair, ours against a loop over a fixed number of pictures.

python tests/bench/bench_cost.py --ours 5.6 --loop 2.5 [--dollars-per-hour 3.3]

Pictures a second come from ``bench_render.py`` or ``bench_gpu.py`` on the same machine; pictures a
pair are exact means of the stopping rules over assumed populations. The error beside each is the
share of simulated pairs that the rule calls wrongly.
"""

from __future__ import annotations

import argparse

import numpy as np
from bench_stopping import POPULATIONS, draw_pairs, replay

from lcmis.judge import Decision, FixedN, Sprt, StoppingRule, expected_pictures

OURS: tuple[StoppingRule, ...] = (Sprt(), Sprt(delta=0.1, cap=192))
"""At the errors of twenty and of sixty-four."""
THEIRS: tuple[StoppingRule, ...] = (FixedN(20), FixedN(64))
PAIRS = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ours", type=float, required=True, help="pictures a second of our engine")
    parser.add_argument("--loop", type=float, required=True, help="of the loop beside it")
    parser.add_argument("--dollars-per-hour", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    for name, population in POPULATIONS.items():
        generator = np.random.default_rng(asked.seed)
        rates = draw_pairs(population, PAIRS, generator)
        outcomes = (generator.random((PAIRS, 192)) >= rates[:, None]).tolist()
        for ours, theirs in zip(OURS, THEIRS, strict=True):
            means = [
                sum(share * expected_pictures(rule, (a, b)).mean for share, a, b in population)
                for rule in (ours, theirs)
            ]
            seconds = [means[0] / asked.ours, means[1] / asked.loop]
            errors = [_error(rule, outcomes, rates) for rule in (ours, theirs)]
            money = (
                " ($ {:.4f} against $ {:.4f})".format(
                    *(one / 3600 * asked.dollars_per_hour for one in seconds)
                )
                if asked.dollars_per_hour
                else ""
            )
            print(
                f"B10 {name}, against a fixed {theirs.cap}: {seconds[0]:.2f} s a decided pair "
                f"against {seconds[1]:.2f} s{money}, {seconds[1] / seconds[0]:.1f} times less; "
                f"wrong {errors[0]:.1%} against {errors[1]:.1%}"
            )


def _error(rule: StoppingRule, outcomes: list[list[bool]], rates: np.ndarray) -> float:
    decisions = [replay(rule, row).decision for row in outcomes]
    wrong = [
        one is (Decision.FAILS if rate <= 0.5 else Decision.PASSES)
        for one, rate in zip(decisions, rates, strict=True)
    ]
    return sum(wrong) / len(wrong)


if __name__ == "__main__":
    main()
