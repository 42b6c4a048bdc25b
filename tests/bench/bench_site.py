"""How long a site takes, and how long its frames: synthetic pictures, one checker, two models."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))

from worlds.small_store import SETTINGS, answers, make_pair, make_spec, questions_of

import lcmis
from lcmis.export.destinations import SITE
from lcmis.export.publish import Outgoing
from lcmis.store import Drawn, Store, picture_hash
from lcmis.types import Render, Run

EACH = 10
"""Pictures of a pair and model."""


def fill(folder: Path, pictures: int, side: int) -> None:
    """Pairs of two models, each picture of its own."""
    dice = np.random.default_rng(0)
    with Store(folder, create=True) as store:
        pairs = [make_pair(f"cup {n}", f"drink {n}", "glass") for n in range(pictures // EACH // 2)]
        store.add_run(
            Run("r", "2026-11-27T00:00:00Z", "lcmis audit", json.dumps(SETTINGS), "{}", "0", "cpu")
        )
        store.add_pairs(pairs)
        for pair in pairs:
            drawn, said = [], []
            for model in ("broad@1111111aaaa", "narrow@2222222bbbb"):
                for seed in range(EACH):
                    spec = make_spec(pair, model, seed)
                    small = dice.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                    image = Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC)
                    render = Render(spec.key, picture_hash(image), 0.1, "cpu")
                    drawn.append(Drawn(pair.key, spec, render, image))
                    said += answers(pair, "g+"[seed % 2], "vqa:judge@3333333cccc", spec.key)
            store.add_renders(drawn)
            store.add_scores(said, questions_of(pair))


def main() -> None:
    """Fill, then time each."""
    told = argparse.ArgumentParser(description=__doc__)
    told.add_argument("--pictures", type=int, default=10_000)
    told.add_argument("--side", type=int, default=64)
    chosen = told.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "audit"
        started = time.perf_counter()
        fill(place, chosen.pictures, chosen.side)
        print(f"filled in {time.perf_counter() - started:.1f} s", flush=True)
        started, worked = time.perf_counter(), time.process_time()
        with Store(place, read_only=True) as store:
            (sent,) = SITE.send(Outgoing(store, "vqa:judge@3333333cccc", f"{folder}/site"))
        seconds = f"{time.perf_counter() - started:.1f} s, {time.process_time() - worked:.1f} s CPU"
        print(f"site: {seconds}; {sent.sentence.partition(': ')[2]}", flush=True)
        audit = lcmis.open(place)
        for name in ("pairs", "pictures", "scores", "models"):
            started, worked = time.perf_counter(), time.process_time()
            rows = len(getattr(audit, name)())
            seconds = f"{time.perf_counter() - started:.1f} s, "
            seconds += f"{time.process_time() - worked:.1f} s CPU"
            print(f"{name}: {seconds}; {rows:,} rows", flush=True)


main()
