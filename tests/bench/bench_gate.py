"""How often a gate is wrong on simulated audits whose true rates are known.

``python tests/bench/bench_gate.py`` draws populations of pairs, audits samples of them, and asks
the gate. First with the limit at the truth, where it is hardest to be right: how often the interval
holds the truth, how often the gate passes what lies (by a hair) above the limit and fails what lies
on it, and the mean width. Then with limits as people set them, for both kinds of condition: the
share of audits that are ruled wrongly, and that cannot tell.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from lcmis import judge
from lcmis.judge import PairedCounts, Ruling
from lcmis.types import Rate

Chances = Callable[[np.random.Generator, int], np.ndarray]
"""The chance to be right of so many pairs drawn from a population."""
BLOCK = 4
LIMIT = 0.2


@dataclass(frozen=True, slots=True)
class Population:
    """Pairs, and the true share of their pictures that come out right."""

    name: str
    chances: Chances
    right: float


def _beta(a: float, b: float) -> Population:
    return Population(f"Beta({a:g}, {b:g})", lambda dice, n: dice.beta(a, b, n), a / (a + b))


def _broken(share: float, bad: float, good: float) -> Population:
    return Population(
        f"{share:.0%} of pairs at {bad:g}, others at {good:g}",
        lambda dice, n: np.where(dice.random(n) < share, bad, good),
        share * bad + (1 - share) * good,
    )


def _alike(right: float) -> Population:
    return Population(f"all pairs at {right:g}", lambda dice, n: np.full(n, right), right)


HARD = (
    *(_broken(share, 0.0, 0.99) for share in (0.01, 0.02, 0.05, 0.1)),
    *(_alike(right) for right in (0.5, 0.9, 0.99)),
    _beta(0.5, 0.5),
    _beta(0.8, 0.2),
    _beta(9.5, 0.5),
)
POPULATIONS = (
    _beta(0.8, 0.2),
    _beta(1.6, 0.4),
    _beta(3, 1),
    _broken(0.2, 0.0, 1.0),
    _broken(0.3, 0.1, 0.95),
    _broken(0.1, 0.0, 0.97),
    _beta(0.5, 0.5),
)


def absolute(dice: np.random.Generator, population: Population, pairs: int) -> tuple[Rate, bool]:
    """A simulated audit, and whether the truth keeps the limit."""
    right = dice.binomial(BLOCK, population.chances(dice, pairs))
    found = judge.failing(judge.model_rate([(int(one), BLOCK) for one in right]))
    return found, 1 - population.right <= LIMIT


def relative(
    dice: np.random.Generator, population: Population, pairs: int, loss: float
) -> tuple[Rate, bool]:
    """Two simulated audits, the second worse by ``loss`` on average; a margin of 0.05."""
    first = population.chances(dice, pairs)
    second = np.where(dice.random(pairs) < loss / population.right, 0.0, first)
    seen = dice.random((2, BLOCK, pairs)) < np.stack([first, second])[:, None]
    a, b = seen
    cells = [(cell).sum(axis=0).tolist() for cell in (a & b, a & ~b, ~a & b, ~a & ~b)]
    found = judge.paired_difference([PairedCounts(*four) for four in zip(*cells, strict=True)])
    return Rate(-found.value, -found.high, -found.low, found.pictures), loss <= 0.05


def at_the_limit(
    dice: np.random.Generator, population: Population, pairs: int, pictures: int, audits: int
) -> str:
    """How often the interval holds the truth, errs to either side, and how wide it is."""
    truth, known = population.right, dict[tuple[int, ...], Rate]()
    held = passes = fails = 0
    width = 0.0
    for _ in range(audits):
        right = tuple(sorted(dice.binomial(pictures, population.chances(dice, pairs)).tolist()))
        if right not in known:
            known[right] = judge.model_rate([(one, pictures) for one in right])
        found = known[right]
        passes += found.low > truth
        fails += found.high < truth
        held += found.low <= truth <= found.high
        width += found.high - found.low
    return (
        f"{population.name:<34} {pairs:>4} pairs x {pictures:>2}   held {held / audits:6.1%}   "
        f"false PASS {passes / audits:6.2%}   false FAIL {fails / audits:6.2%}   "
        f"width {width / audits:.3f}"
    )


def lines(audits: int) -> Iterator[str]:
    """One a population, size and kind of condition."""
    dice = np.random.default_rng(20261121)
    for pairs in (6, 20, 40, 136, 400):
        for pictures in (1, 4, 20):
            for population in HARD:
                yield at_the_limit(dice, population, pairs, pictures, audits)
    for pairs in (20, 40, 136):
        for population in POPULATIONS:
            found = [absolute(dice, population, pairs) for _ in range(audits)]
            truth = f"{1 - population.right:.0%} wrong, allowed {LIMIT:.0%}"
            yield line(population.name, truth, pairs, found, LIMIT)
        for population in (POPULATIONS[0], POPULATIONS[3]):
            for loss in (0.0, 0.05, 0.051, 0.1):
                paired = [relative(dice, population, pairs, loss) for _ in range(audits)]
                truth = f"worse by {loss:.1%}, allowed 5 %"
                yield line(population.name, truth, pairs, paired, 0.05)


def line(name: str, truth: str, pairs: int, found: list[tuple[Rate, bool]], limit: float) -> str:
    """How often the gate was wrong, and how often it could not tell."""
    rulings = [(judge.ruling(one.low, one.high, limit), keeps) for one, keeps in found]
    wrong = [ruling is (Ruling.FAIL if keeps else Ruling.PASS) for ruling, keeps in rulings]
    open_ = [ruling is Ruling.UNDECIDED for ruling, _ in rulings]
    return (
        f"{name:<38} {truth:<28} {pairs:>4} pairs   "
        f"wrong {sum(wrong) / len(found):6.2%}   cannot tell {sum(open_) / len(found):6.1%}"
    )


def main() -> None:
    """Print the table and the worst line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--audits", type=int, default=400, help="simulated, per line")
    worst: dict[str, float] = {}
    for one in lines(parser.parse_args().audits):
        print(one, flush=True)
        for kind, share in re.findall(r"(wrong|false PASS|false FAIL) +([0-9.]+)%", one):
            worst[kind] = max(worst.get(kind, 0.0), float(share))
    print("at worst: " + ", ".join(f"{kind} {share:.2f} %" for kind, share in worst.items()))


if __name__ == "__main__":
    main()
