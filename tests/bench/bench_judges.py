"""How often each way of asking says what the oracle says: of a picture, and of a certificate.

``python tests/bench/bench_judges.py --pairs 7`` draws pairs of ``teacup-narrow`` that no first
audit has: the plain prompt, and other words or stages, on the same fresh seeds. The oracle, which
knows what a picture of the miniature world shows, reads every picture; so do the checkers. A
certificate is the paired test of a pair's pictures before and after, significant or not.
``--stores FOLDER`` takes the certificates' pictures that ``bench_repair.py --store FOLDER`` left
there instead, and clusters certificates by pair and model, too. Pictures
on which the oracle itself is less than nine tenths sure are half-way ones; the last column leaves
them out. Intervals of pictures are clustered by pair.
"""

from __future__ import annotations

import argparse
import itertools
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from lcmis import judge
from lcmis.audit.pairs import chosen_pairs
from lcmis.check import questions_for
from lcmis.findings import find_repairs
from lcmis.plugins.opening import open_checker
from lcmis.plugins.settings import AuditSettings, CheckerSettings, ModelSettings
from lcmis.store import Store
from lcmis.teacup.measure import Pair, all_pairs
from lcmis.teacup.models import MODELS
from lcmis.teacup.oracle import Oracle, OracleReading, load_oracle
from lcmis.teacup.painting import Order, Painter, open_painter
from lcmis.teacup.pairs import pairs
from lcmis.teacup.truth import stages, words
from lcmis.types import (
    FIRST_CERTIFICATE_SEED,
    Candidate,
    ConceptPair,
    QuestionKind,
    Rate,
    Side,
    Stage,
)

WAYS = (
    "teacup-judge",
    "compared:teacup-judge",
    "teacup-clip",
    "teacup-guard",
    "panel:teacup-judge+teacup-guard",
    "panel:compared:teacup-judge+teacup-guard",
    "panel:teacup-clip+teacup-guard",
    "panel:teacup-judge+teacup-clip+teacup-guard",
)
"""The last one has every checker of the miniature world in it, so that none is left to guide."""
HALF_WAY = 0.9
"""Confidence of the oracle below which a picture is half-way between two things."""
ALPHA = 0.05
DECIDING = "vqa:teacup-judge@"
"""How the id begins of the checker that decided in the stores of ``bench_repair.py``."""
Cluster = tuple[str, str]
"""A model and a pair's key."""
AUDITED = 40
"""Pairs of the first audit, on which the ways were chosen; none of them is drawn here."""


@dataclass(frozen=True, slots=True)
class BeforeAndAfter:
    """A pair's pictures before and after, seed by seed, with what the oracle reads."""

    model: str
    pair: ConceptPair
    before: list[Image.Image]
    after: list[Image.Image]
    readings: list[OracleReading]
    """Of those before, then of those after."""

    @property
    def truth(self) -> list[bool]:
        """Which of them show both concepts."""
        return [one.shows(self.pair.a.name, self.pair.b.name) for one in self.readings]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=7, help="that fail by the plain prompt")
    parser.add_argument("--seeds", type=int, default=12, help="pictures before, and after")
    parser.add_argument("--ways", nargs="*", default=WAYS, help="checkers, as -c takes them")
    parser.add_argument("--model", default="teacup-narrow")
    parser.add_argument("--stores", type=Path, help="folder with a store of repairs for each model")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    oracle = load_oracle()
    if asked.stores is None:
        found = drawn(open_painter(asked.model, "cpu"), oracle, asked.model, asked.seeds)
        trials = list(itertools.islice(found, asked.pairs))
    else:
        trials = list(certified(asked.stores, oracle))
    of_pairs = len({(one.model, one.pair.key) for one in trials})
    print(
        f"{len(trials)} certificates of {of_pairs} pairs, "
        f"{sum(len(one.truth) for one in trials)} pictures"
    )
    print(HEADER)
    for way in asked.ways:
        print(row(way, trials), flush=True)


def drawn(painter: Painter, oracle: Oracle, model: str, num_seeds: int) -> Iterator[BeforeAndAfter]:
    """Pairs that fail, in an order drawn by lot; candidates of four kinds take turns."""
    audit = AuditSettings(
        models=(ModelSettings(model),),
        checkers=(CheckerSettings("teacup-judge"),),
        pairs=("teacup",),
        limit=AUDITED,
    )
    audited = {pair.prompt for pair in chosen_pairs(audit).pairs}
    catalogue = {pair.prompt: pair for pair in pairs()}
    left = [pair for pair in all_pairs() if pair.grade > 1 and str(pair) not in audited]
    random.Random(7).shuffle(left)
    seeds = range(FIRST_CERTIFICATE_SEED, FIRST_CERTIFICATE_SEED + num_seeds)
    turn = 0
    for pair in left:
        plain = Candidate((Stage(str(pair)),))
        first = painted(painter, [Order(plain, seed) for seed in seeds[:2]])
        seen = oracle.classify(first)
        if all(one.shows(pair.first, pair.second) for one in seen):
            continue
        candidate = _candidate(pair, seen, turn, MODELS[model].num_steps)
        turn += 1
        orders = [Order(plain, seed) for seed in seeds[2:]]
        orders += [Order(candidate, seed) for seed in seeds]
        more = painted(painter, orders)
        before, after = first + more[: num_seeds - 2], more[num_seeds - 2 :]
        yield BeforeAndAfter(
            model, catalogue[str(pair)], before, after, oracle.classify([*before, *after])
        )


def certified(folder: Path, oracle: Oracle) -> Iterator[BeforeAndAfter]:
    """Every certificate of the stores in a folder, by whichever method."""
    for place in sorted(one.parent for one in folder.glob("*/facts.db")):
        with Store(place, read_only=True) as store:
            (judged_by,) = (one for one in store.checkers() if one.startswith(DECIDING))
            for repair in find_repairs(store, judged_by):
                before, after = (
                    [
                        store.image(store.render(item.spec_key)[1].sha256)
                        for item in (getattr(one, side) for one in repair.pictures)
                    ]
                    for side in ("before", "after")
                )
                seen = oracle.classify([*before, *after])
                yield BeforeAndAfter(repair.model, repair.pair, before, after, seen)


def painted(painter: Painter, orders: Sequence[Order]) -> list[Image.Image]:
    """As pictures that a checker takes."""
    batches = (batch.permute(0, 2, 3, 1).numpy() for batch in painter.paint(orders))
    return [Image.fromarray(np.ascontiguousarray(one)) for batch in batches for one in batch]


def _candidate(pair: Pair, seen: Sequence[OracleReading], turn: int, num_steps: int) -> Candidate:
    lost_a, lost_b = (
        sum(getattr(one, side) != getattr(pair, side) for one in seen)
        for side in ("first", "second")
    )
    lost = Side.A if lost_a >= lost_b else Side.B
    intruder = seen[0].first if lost is Side.A else seen[0].second
    if turn % 4 == 3:
        return list(stages(pair, lost, num_steps))[-2]
    return list(words(pair, lost, intruder))[turn % 4]


HEADER = (
    f"{'asked':<44} {'judged':>7} {'of pictures':>17} {'too kind':>8} {'too strict':>10} "
    f"{'of certificates':>17} {'of clear pictures':>19}"
)


def row(way: str, trials: Sequence[BeforeAndAfter]) -> str:
    """One checker's line: agreement with the oracle, of what it judged."""
    kind, _, name = way.partition(":")
    checker = open_checker(CheckerSettings(kind, name, device="cpu"))
    agreed, clear, alike = (defaultdict[Cluster, list[int]](lambda: [0, 0]) for _ in range(3))
    kind_errors = strict_errors = judged = 0
    for trial in trials:
        asked = [
            one
            for one in questions_for(checker, trial.pair)
            if one.kind in (QuestionKind.A_PRESENT, QuestionKind.B_PRESENT)
        ]
        images = [image for image in (*trial.before, *trial.after) for _ in asked]
        answers = checker.score(images, asked * len(trial.truth))
        values = [one[0].value for one in answers]
        said = [_right(values[2 * n], values[2 * n + 1]) for n in range(len(trial.truth))]
        sure = [
            min(one.first_confidence, one.second_confidence) >= HALF_WAY for one in trial.readings
        ]
        known = [place for place, one in enumerate(said) if one is not None]
        same = [said[place] == trial.truth[place] for place in known]
        of_clear = [one for one, place in zip(same, known, strict=True) if sure[place]]
        for counts, ones in (
            (agreed, same),
            (clear, of_clear),
            (alike, [_proves(said) == _proves(trial.truth)]),
        ):
            counts[trial.model, trial.pair.key][0] += sum(ones)
            counts[trial.model, trial.pair.key][1] += len(ones)
        judged += len(known)
        kind_errors += sum(bool(said[place]) and not trial.truth[place] for place in known)
        strict_errors += sum(not said[place] and trial.truth[place] for place in known)
    total = sum(len(trial.truth) for trial in trials)
    return (
        f"{way:<44} {judged / total:>7.0%} {_share(agreed):>17} "
        f"{kind_errors:>8} {strict_errors:>10} {_share(alike):>17} {_share(clear):>19}"
    )


def _share(counts: Mapping[Cluster, Sequence[int]]) -> str:
    return percent(judge.model_rate([(right, total) for right, total in counts.values()]))


def _right(a: float | None, b: float | None) -> bool | None:
    verdict = judge.verdict(a, b)
    return verdict.name == "ALIGNED" if verdict.is_scored else None


def _proves(said: Sequence[bool | None]) -> bool:
    """Whether the pictures after are right more often than those before, and not by chance."""
    half = len(said) // 2
    both = [
        (old, new)
        for old, new in zip(said[:half], said[half:], strict=True)
        if old is not None and new is not None
    ]
    wins = sum(new and not old for old, new in both)
    losses = sum(old and not new for old, new in both)
    return wins > losses and judge.paired_test(wins, losses) < ALPHA


def percent(rate: Rate) -> str:
    """With its interval."""
    return f"{100 * rate.value:.1f} % [{100 * rate.low:.0f}-{100 * rate.high:.0f}]"


if __name__ == "__main__":
    main()
