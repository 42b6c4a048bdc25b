"""How fast the dashboard is: `python tests/bench/bench_dashboard.py [pictures] [folder]`.

The store is made as in bench_store.py, in a folder that is kept when one is named. Pages run in
Streamlit's own AppTest: what the server does, without the browser.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench_store import CHECKER, MODELS, PICTURE, SEEDS, answers, make_pair, make_spec, questions_of
from streamlit.testing.v1 import AppTest

from lcmis.machine.paths import shipped
from lcmis.store import Drawn, Store, picture_hash
from lcmis.types import Render

sys.path.insert(0, str(shipped("dashboard")))

import opinions


def fill(folder: Path, num_pictures: int) -> None:
    """Make a store whose every picture has a score for every option of five questions."""
    dice = random.Random(0)
    pairs = [make_pair(number) for number in range(num_pictures // SEEDS // len(MODELS))]
    sha256 = picture_hash(PICTURE)
    with Store(folder, create=True) as store:
        store.add_pairs(pairs)
        for start in range(0, len(pairs), 25):
            work = [
                (pair, make_spec(pair, model, seed))
                for pair in pairs[start : start + 25]
                for model in MODELS
                for seed in range(SEEDS)
            ]
            store.add_renders(
                [
                    Drawn(pair.key, spec, Render(spec.key, sha256, 0.5, "cpu"), PICTURE)
                    for pair, spec in work
                ]
            )
            questions = {pair: questions_of(pair) for pair, _ in work}
            store.add_scores(
                [score for pair, spec in work for score in answers(spec, questions[pair], dice)],
                {one for many in questions.values() for one in many},
            )


def timed(sentence: str, call: Callable[[], object]) -> None:
    """Print how long a call takes: the first time, and the best of three more."""
    found = []
    for _ in range(4):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    print(f"{sentence:<52}{found[0]:>8.3f} s, again {min(found[1:]):>7.3f} s", flush=True)


def main(num_pictures: int, folder: Path) -> None:
    """Judge the whole store in tables, then open every page of it."""
    if not (folder / "facts.db").exists():
        start = time.perf_counter()
        fill(folder, num_pictures)
        print(f"{num_pictures:,} pictures in {time.perf_counter() - start:.0f} s")
    with Store(folder, read_only=True) as store:
        timed("store.counts()", store.counts)
        start = time.perf_counter()
        evidence = store.evidence_table(CHECKER)
        print(f"{'store.evidence_table()':<52}{time.perf_counter() - start:>8.3f} s")
        pairs = {pair.key: pair for pair in store.pairs()}
    timed("gather", lambda: opinions.gather(evidence))
    pictures = opinions.gather(evidence)
    timed("judge every picture", lambda: opinions.judged(pictures, 0.5))
    judged = opinions.judged(pictures, 0.5)
    timed("by pair", lambda: opinions.by_pair(judged, pairs, None))
    timed("by model", lambda: opinions.by_model(judged, None))
    timed("painted instead", lambda: opinions.drawn_instead(judged, pairs))

    page = AppTest.from_file(shipped("dashboard") / "navigation.py", default_timeout=120)
    page.secrets["store"], page.secrets["pictures"] = str(folder), ""
    timed("Overview", page.run)
    thresholds = iter((0.4, 0.41, 0.42, 0.43))
    timed("Overview, another threshold", lambda: page.slider[0].set_value(next(thresholds)).run())
    page.switch_page("views/pairs.py")
    timed("Pairs", page.run)
    words = iter(("vessel 7", "vessel 8", "vessel 9", "glass"))
    timed("Pairs, other words", lambda: page.text_input[0].set_value(next(words)).run())
    page.switch_page("views/pair.py")
    page.query_params["pair"] = next(iter(pairs))
    timed("Pair", page.run)
    page.switch_page("views/picture.py")
    page.query_params["picture"] = evidence.spec_keys[0]
    timed("Picture", page.run)
    if page.exception or page.error:
        sys.exit(f"a page failed: {[*page.exception, *page.error]}")


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    if len(sys.argv) > 2:
        main(count, Path(sys.argv[2]))
    else:
        with tempfile.TemporaryDirectory() as kept:
            main(count, Path(kept))
