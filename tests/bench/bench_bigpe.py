"""Whether an evolved instruction beats the first one on pairs it never saw, by the oracle.

``python tests/bench/bench_bigpe.py --store FOLDER`` audits teacup-narrow where the store lacks it,
evolves an instruction on some of the failing pairs with teacup-clip as guide, and compares what is
written under the first and under the evolved instruction on other failing pairs, paired by pair and
seed with an interval clustered by pair. The oracle judges the same pictures as teacup-judge. Run
again, it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence

from lcmis import judge
from lcmis.audit.run import Audit
from lcmis.judge import PairedCounts
from lcmis.plugins.settings import AuditSettings, CheckerSettings, ModelSettings, TextModelSettings
from lcmis.repair.evolve import Evolve, EvolveResult, EvolveSettings, fresh_seeds
from lcmis.repair.methods.bigpe import SELECTORS, Plan, Value
from lcmis.store import Store
from lcmis.teacup.oracle import Oracle, load_oracle
from lcmis.types import ConceptPair, Stage


def main() -> None:
    """Print what was evolved, and the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--store", help="keep facts here, or go on with those that are there")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--subjects", type=int, default=6)
    parser.add_argument("--held-out", type=int, default=8)
    parser.add_argument("--fresh", type=int, default=8)
    parser.add_argument("--pictures", type=int, default=4)
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--selectors", nargs="*", default=["ucb"], choices=list(SELECTORS))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config = AuditSettings(
            models=(ModelSettings("teacup-narrow", dtype=asked.dtype),),
            checkers=(CheckerSettings("teacup-judge"), CheckerSettings("teacup-clip")),
            pairs=("teacup",),
            store=asked.store or folder,
        )
        with Store(config.store, create=True) as store:
            Audit(config, store).run("bench_bigpe")
            for selector in asked.selectors:
                settings = EvolveSettings(
                    TextModelSettings("phrasebook"),
                    Plan(asked.iterations, pictures=asked.pictures, selector=selector),
                    subjects=asked.subjects,
                    held_out=asked.held_out,
                    fresh=asked.fresh,
                )
                evolving = Evolve(config, store, settings)
                found = evolving.run("bench_bigpe")
                report(selector, evolving, found)


def report(selector: str, evolving: Evolve, found: EvolveResult) -> None:
    """One selector's search and proof."""
    evolution = found.evolution
    print(f"{selector}: {len(evolution.tried)} instructions in {len(evolution.kept)} iterations")
    for one in evolution.tried:
        print(f"  {_gain(one.value)}  {one.text}")
    print(f"evolved ({found.drawn} pictures, {found.seconds:.0f} s): {evolution.best.text}")
    print(f"by {found.guide}, the guide: {_gain(evolution.best.value)}")
    counts = [one.counts for one in found.held_out]
    print(f"held out, by {found.judge}: {_compared(counts)}")
    seeds = fresh_seeds(evolution.best.text, evolving.settings.fresh)
    oracle = load_oracle()
    truth = [
        _by_oracle(oracle, evolving, one.pair, one.first, one.best, seeds) for one in found.held_out
    ]
    print(f"held out, by the oracle: {_compared(truth)}", flush=True)


def _by_oracle(
    oracle: Oracle, evolving: Evolve, pair: ConceptPair, first: str, best: str, seeds: range
) -> PairedCounts:

    def right(prompt: str) -> list[bool]:
        loaded = [evolving.studio.load(_spec(evolving, prompt, seed)) for seed in seeds]
        pictures = [picture for picture in loaded if picture is not None]
        return [one.shows(pair.a.name, pair.b.name) for one in oracle.classify(pictures)]

    paired = list(zip(right(first), right(best), strict=True))
    return PairedCounts(
        both=paired.count((True, True)),
        first=paired.count((True, False)),
        second=paired.count((False, True)),
        neither=paired.count((False, False)),
    )


def _spec(evolving: Evolve, prompt: str, seed: int) -> str:
    return evolving.model.spec((Stage(prompt),), seed).key


def _gain(value: Value | None) -> str:
    if value is None:
        return "not measured"
    return f"{value.gain:+.3f} [{value.low:+.3f}, {value.high:+.3f}] ({value.pictures} pictures)"


def _compared(counts: Sequence[PairedCounts]) -> str:
    first = judge.model_rate([(one.both + one.first, one.total) for one in counts])
    best = judge.model_rate([(one.both + one.second, one.total) for one in counts])
    found = judge.paired_difference(counts)
    verdict = "above zero" if found.low > 0 else "not above zero"
    return (
        f"first {first.value:.0%}, evolved {best.value:.0%} right of {found.pictures}; difference "
        f"{found.value:+.1%} [{found.low:+.1%}, {found.high:+.1%}] over {found.pairs} pairs: "
        f"the interval is {verdict}"
    )


if __name__ == "__main__":
    main()
