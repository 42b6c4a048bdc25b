"""How fast the store is: `python tests/bench/bench_store.py [pictures]`; every ratio is of one run.

The rows are made by the store itself, without picture files (refusals would not be scored, so the
files' names are written straight into the rows).
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from lcmis.store import Drawn, Store, picture_hash
from lcmis.types import (
    NONE_OF_THESE,
    Answer,
    Concept,
    ConceptPair,
    Intruder,
    Question,
    QuestionKind,
    Render,
    RenderSpec,
    Score,
    Side,
    Stage,
)

SEEDS = 20
MODELS = ("model-one@a", "model-two@b")
CHECKER = "vqa:judge@1"
PICTURE = Image.new("RGB", (8, 8), "red")


def make_pair(number: int) -> ConceptPair:
    """One of many pairs with two suspects a side."""
    a, b = f"vessel {number}", f"drink {number}"
    return ConceptPair(
        Concept(a),
        Concept(b),
        f"a {a} of {b}",
        intruders=(
            Intruder(Concept("glass"), Side.A, f"a glass of {b}"),
            Intruder(Concept("mug"), Side.A, f"a mug of {b}"),
            Intruder(Concept("tea"), Side.B, f"a {a} of tea"),
        ),
    )


def make_spec(pair: ConceptPair, model: str, seed: int) -> RenderSpec:
    """A plain picture of a pair."""
    return RenderSpec(model, (Stage(pair.prompt),), seed, 20, 7.5, "Euler", 8, 8, "cpu-float32-b16")


def questions_of(pair: ConceptPair) -> tuple[Question, ...]:
    """The five questions."""
    contrast = {
        side: (pair.prompt, *(one.prompt for one in pair.intruders_of(side))) for side in Side
    }
    options = {
        side: (
            pair.concept(side).name,
            *(one.concept.name for one in pair.intruders_of(side)),
            NONE_OF_THESE,
        )
        for side in Side
    }
    return (
        Question(QuestionKind.A_PRESENT, pair.a.name, contrast=contrast[Side.A]),
        Question(QuestionKind.B_PRESENT, pair.b.name, contrast=contrast[Side.B]),
        Question(QuestionKind.RELATION, pair.prompt),
        Question(QuestionKind.INTRUDER_A, pair.prompt, options[Side.A]),
        Question(QuestionKind.INTRUDER_B, pair.prompt, options[Side.B]),
    )


def answers(spec: RenderSpec, questions: tuple[Question, ...], dice: random.Random) -> list[Score]:
    """Scores of one picture: a row for each question, or each option of a choice."""
    return [
        Score(spec.key, CHECKER, question.key, Answer(dice.random(), option))
        for question in questions
        for option in question.options or ("",)
    ]


@contextmanager
def timed(sentence: str, amount: int = 0) -> Iterator[Callable[[], float]]:
    """Print how long a block took, and how many rows a second that is."""
    start = time.perf_counter()
    seconds = [0.0]
    yield lambda: seconds[0]
    seconds[0] = time.perf_counter() - start
    rate = f"  {amount / seconds[0]:>12,.0f} rows/s" if amount else ""
    print(f"{sentence:<58}{seconds[0]:>9.4f} s{rate}", flush=True)


def best(call: Callable[[], object], times: int = 5) -> float:
    """Seconds of the quickest of some calls."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return min(found)


def main(num_pictures: int) -> None:
    """Make the rows, then read them in each way."""
    dice = random.Random(0)
    pairs = [make_pair(number) for number in range(num_pictures // SEEDS // len(MODELS))]
    work = [
        (pair, make_spec(pair, model, seed))
        for pair in pairs
        for model in MODELS
        for seed in range(SEEDS)
    ]
    sha256 = picture_hash(PICTURE)
    with tempfile.TemporaryDirectory() as folder, Store(folder, create=True) as store:
        with timed("add pairs", len(pairs)):
            store.add_pairs(pairs)
        batches = [work[start : start + 1000] for start in range(0, len(work), 1000)]
        drawn = [
            [
                Drawn(pair.key, spec, Render(spec.key, sha256, 0.5, "cpu"), PICTURE)
                for pair, spec in batch
            ]
            for batch in batches
        ]
        with timed("add pictures, 1,000 a transaction", len(work)):
            for batch in drawn:
                store.add_renders(batch)
        num_scores = 0
        seconds = 0.0
        asked = []
        for batch in batches:
            questions = {pair: questions_of(pair) for pair, _ in batch}
            scores = [one for p, s in batch for one in answers(s, questions[p], dice)]
            asked += [(spec.key, one) for pair, spec in batch for one in questions[pair]]
            start = time.perf_counter()
            store.add_scores(scores, {one for many in questions.values() for one in many})
            seconds += time.perf_counter() - start
            num_scores += len(scores)
        print(
            f"{'add scores, 1,000 pictures a transaction':<58}{seconds:>9.4f} s"
            f"  {num_scores / seconds:>12,.0f} rows/s"
        )
        fast = num_scores / seconds
        print(f"{num_scores:,} scores, {Path(folder, 'facts.db').stat().st_size / 1e6:,.0f} MB")

        few = work[: min(500, len(work))]
        slow_scores = [
            Score(one.render, "clip:other@1", one.question, one.answer)
            for p, s in few[:50]
            for one in answers(s, questions_of(p), dice)
        ]
        with timed("add scores, one a transaction", len(slow_scores)) as taken:
            for score in slow_scores:
                store.add_scores([score], [])
        ratio = fast / (len(slow_scores) / taken())
        print(f"  -> one transaction a batch is {ratio:.0f} times as fast")

        evidence = []
        with timed("evidence of all, first time", len(work)):
            evidence = store.evidence(CHECKER)
        assert len(evidence) == len(work)
        assert all(line.scored and line.a is not None and line.intruder_b for line in evidence)
        whole = best(lambda: store.evidence(CHECKER), 3)
        one = best(lambda: store.evidence(CHECKER, pair=pairs[-1].key))
        print(f"{'evidence of all, best of 3':<58}{whole:>9.4f} s")
        print(f"{'evidence of one model, best of 3':<58}", end="")
        print(f"{best(lambda: store.evidence(CHECKER, model=MODELS[0]), 3):>9.4f} s")
        print(f"{'evidence of one pair, best of 5':<58}{one:>9.4f} s")
        by_hand = best(lambda: [store.scores(spec.key) for _, spec in few], 1) / len(few)
        ratio = by_hand * len(work) / whole
        print(f"  -> reading the scores picture by picture: {ratio:.0f} times as long")

        page = best(lambda: store.renders(after=num_pictures * 9 // 10))
        print(f"{'a page of 60 pictures at nine tenths, best of 5':<58}{page:>9.4f} s")
        with sqlite3.connect(Path(folder, "facts.db")) as plain:
            base = "SELECT r.*, s.document FROM renders r JOIN specs s ON s.render_id = r.id "
            keyed = best(
                lambda: plain.execute(
                    base + "WHERE r.id > ? ORDER BY r.id LIMIT 60", (num_pictures * 9 // 10,)
                ).fetchall()
            )
            offset = best(
                lambda: plain.execute(
                    base + "ORDER BY r.id LIMIT 60 OFFSET ?", (num_pictures * 9 // 10,)
                ).fetchall()
            )
        print(f"  -> in SQL alone, OFFSET takes {offset / keyed:.0f} times as long as the key")
        for pair in (None, pairs[-1].key):
            seconds = best(lambda pair=pair: store.renders(pair=pair, model=MODELS[1]))
            print(f"{f'a page of one model, pair={pair is not None}':<58}{seconds:>9.4f} s")
        with timed("unscored, all asked, none open", len(asked)):
            assert store.unscored(CHECKER, asked) == []
        with timed("missing, all asked, none open", len(work)):
            assert store.missing([spec for _, spec in work]) == []
        with timed("counts"):
            print(store.counts())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pictures", type=int, nargs="?", default=100_000)
    main(parser.parse_args().pictures)
