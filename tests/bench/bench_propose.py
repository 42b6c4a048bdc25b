"""What a text model's proposals are worth: how many replies parse, how many pairs are new, and how
many fail at level 4 or 5, against as many pairs of the catalogue in an order of chance.

``python tests/bench/bench_propose.py`` runs `lcmis propose` as it ships, with pairs of the
catalogue to begin with, and then audits other pairs of the catalogue, as many, the same way. The
i-th proposal stands against the i-th pair by chance; the difference has a bootstrap interval.
Prompts of both come from one world, so that a pair's wording gives nobody an advantage.
"""

from __future__ import annotations

import argparse
import dataclasses
import random
import tempfile
from pathlib import Path

import numpy as np

from lcmis import judge
from lcmis.audit.config import text_model_settings
from lcmis.audit.proposals import SEVERE, Propose, ProposeSettings
from lcmis.audit.run import Audit
from lcmis.plugins.settings import AuditSettings, CheckerSettings, ModelSettings, StoppingSettings
from lcmis.propose.catalogue import catalogue
from lcmis.propose.rounds import LESS_LIKELY, REPEATS, Measured
from lcmis.store import Store
from lcmis.types import ConceptPair, Rate

RESAMPLES = 10_000


def main() -> None:
    """Print the three figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text-model", default="teacup-lm")
    parser.add_argument("--model", default="teacup-narrow")
    parser.add_argument("--checker", default="teacup-clip")
    parser.add_argument("--catalogue", default="teacup")
    parser.add_argument("--begin-with", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--pictures", type=int, default=4, help="of each pair")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--store", type=Path, help="keeps what is drawn")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(given, given.store or Path(folder))


def measure(given: argparse.Namespace, folder: Path) -> None:
    """One run, and the same number of pairs by chance."""
    config = AuditSettings(
        models=(ModelSettings(given.model, dtype="bfloat16"),),
        checkers=(CheckerSettings(given.checker),),
        pairs=(given.catalogue,),
        limit=given.begin_with,
        store=str(folder / "facts"),
        stopping=StoppingSettings(block=given.pictures, cap=given.pictures),
    )
    settings = ProposeSettings(
        text_model_settings(given.text_model), given.rounds, given.count, folder / "found.toml"
    )
    with Store(config.store, create=True) as store:
        run = Propose(config, store, settings, tell=print)
        result = run.run()
        replies = [one for _, one in store.exchanges(limit=100_000)]
        kept = [one for each in result.rounds for one in each.measured]
        rivals = list(catalogue(given.catalogue))
        begun = {pair.key for pair in run.seeds}
        rivals = [pair for pair in rivals if pair.key not in begun]
        random.Random(given.seed).shuffle(rivals)
        rivals = rivals[: len(kept)]
        Audit(dataclasses.replace(config, limit=None), store, pairs=rivals).run()
        by_chance = {one.pair.key: one for one in run.measured(rivals)}
    parsed = judge.rate(sum(bool(one.reply) for one in replies), len(replies))
    dropped = [one for each in result.rounds for one in each.round.dropped]
    repeats = sum(one.reason in REPEATS for one in dropped)
    print(f"questions answered with JSON of the asked shape: {said(parsed)}")
    new = len(kept) + sum(one.reason == LESS_LIKELY for one in dropped)
    print(f"pairs new to what was known: {said(judge.rate(new, new + repeats))}")
    print(f"dropped: {result.reasons}")
    for each in result.rounds:
        print(f"round {each.round.number}: at level 4-5 {said(each.severe)}")
    known = {names(pair) for pair in catalogue(given.catalogue)}
    inside = [one for proposal, one in kept if names(proposal.pair) in known]
    outside = [one for proposal, one in kept if names(proposal.pair) not in known]
    for what, some in (("of the catalogue's pairs", inside), ("that nobody listed", outside)):
        print(f"proposals {what}: at level 4-5 {said(rate([severe(one) for one in some]))}")
    control = [severe(by_chance[pair.key]) for pair in rivals if pair.key in by_chance]
    print(f"by chance: at level 4-5 {said(rate(control))}")
    for what, some in (("all", [one for _, one in kept]), ("of the catalogue", inside)):
        mine = [severe(one) for one in some][: len(control)]
        print(f"difference, {what}: {against(mine, control[: len(mine)], given.seed)}")
    print(f"{result.seconds:.0f} s")


def names(pair: ConceptPair) -> frozenset[str]:
    """Which pair it is, however it is described."""
    return frozenset((pair.a.name, pair.b.name))


def severe(one: Measured) -> bool:
    """Whether it counts as a find."""
    return judge.level(one.right, one.total) >= SEVERE


def rate(found: list[bool]) -> Rate:
    """Of those that are."""
    return judge.rate(sum(found), len(found))


def said(one: Rate) -> str:
    """A rate with its interval."""
    return f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}] of {one.total}"


def against(mine: list[bool], chance: list[bool], seed: int) -> str:
    """Mean of the paired differences with its 95 % percentile bootstrap interval.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, section 13.3.
    """
    difference = np.array(mine, float) - np.array(chance, float)
    if not len(difference):
        return "nothing to compare"
    dice = np.random.default_rng(seed)
    means = dice.choice(difference, (RESAMPLES, len(difference))).mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return f"{difference.mean():+.3f} [{low:+.3f}, {high:+.3f}] over {len(difference)}"


if __name__ == "__main__":
    main()
