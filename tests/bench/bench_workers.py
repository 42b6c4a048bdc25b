"""Workers: who waits, how much many hands gain, what the engine alone can do, and what kills cost.

``python tests/bench/bench_workers.py`` takes some minutes. The workers are threads that sleep, so
that 64 of them fit any machine; orders, scheduling, files and the store are lcmis's own.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))
from worlds.threads import Threads
from worlds.toys import COLOURS, ToyChecker, ToyModel, pair

from lcmis.audit.run import Audit
from lcmis.errors import RenderError
from lcmis.plugins import registry
from lcmis.plugins.settings import (
    AuditSettings,
    CheckerSettings,
    ModelSettings,
    WorkersSettings,
)
from lcmis.propose.catalogue import to_toml
from lcmis.store import Store, images
from lcmis.types import Answer, Question, RenderSpec
from lcmis.workers import ray

BUSY: list[tuple[str, float, float]] = []
"""Which worker's device was busy from when to when."""
REST = {"picture": 0.0, "judge": 0.0, "disk": 0.0}
"""Seconds a picture."""


class Model(ToyModel):
    def __init__(self, settings: ModelSettings) -> None:
        super().__init__(settings)
        self.batch_size = 4

    def generate(self, specs: Sequence[RenderSpec]) -> list[Image.Image | RenderError]:
        busy(REST["picture"] * self.batch_size)
        return [self._paint(spec) for spec in specs]


class Checker(ToyChecker):
    def score(
        self, images: Sequence[Image.Image], questions: Sequence[Question]
    ) -> list[tuple[Answer, ...]]:
        busy(REST["judge"] * len({id(image) for image in images}))
        return [self._answer(image, q) for image, q in zip(images, questions, strict=True)]


def busy(seconds: float) -> None:
    start = time.monotonic()
    if seconds:
        time.sleep(seconds)
    worker = threading.current_thread().name.rpartition("_")[0]
    BUSY.append((worker, start, time.monotonic()))


def slow_disk(folder: images.PictureFolder, path: Path, content: Image.Image, fill: Any) -> None:
    time.sleep(REST["disk"])
    written(folder, path, content, fill)


written = images.PictureFolder._write_whole


def pairs(count: int) -> list:
    names = [name for name in COLOURS if name != "void"]
    both = [(a, b) for a in names for b in names if a != b]
    found = []
    for number in range(count):
        one = pair(*both[number % len(both)], pattern="halves")
        object.__setattr__(one, "prompt", f"{one.prompt} no {number}")
        object.__setattr__(one, "intruders", ())
        found.append(one)
    return found


def audit(folder: Path, workers: int, threads: Threads | None, count: int) -> tuple[float, Audit]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pairs.toml").write_text(to_toml(pairs(count)), "utf-8")
    config = AuditSettings(
        models=(ModelSettings("toy", scheduler="coin"),),
        checkers=(CheckerSettings("toy"),),
        pairs=(str(folder / "pairs.toml"),),
        workers=WorkersSettings(workers, gpus=0),
    )
    BUSY.clear()
    with pytest.MonkeyPatch.context() as patch, Store(folder / "store", create=True) as store:
        patch.setitem(registry.BUILT_IN["models"], "toy", f"{__name__}:Model")
        patch.setitem(registry.BUILT_IN["checkers"], "toy", f"{__name__}:Checker")
        patch.setattr(ray, "_connect", lambda _: (threads or Threads(), False))
        patch.setattr(images.PictureFolder, "_write_whole", slow_disk)
        run = Audit(config, store)
        started = time.monotonic()
        run.run("a bench")
        return time.monotonic() - started, run


def idle_share(workers: int) -> float:
    """Of all devices, until 95 % of their work is done."""
    begin = min(start for _, start, _ in BUSY)
    ends = sorted((end, end - start) for _, start, end in BUSY)
    total, done = sum(seconds for _, seconds in ends), 0.0
    end = ends[-1][0]
    for end, seconds in ends:  # noqa: B007 (it is where most is done that counts)
        done += seconds
        if done >= 0.95 * total:
            break
    spent = sum(min(stop, end) - min(start, end) for _, start, stop in BUSY)
    return 1 - spent / (workers * (end - begin))


def facts(folder: Path) -> set:
    with Store(folder / "store", read_only=True) as store:
        return facts_of(store)


def facts_of(store: Store) -> set:
    """Every picture and how much was said of it; whatever does not belong there is an error."""
    assert not (left := list(store.verify())), left
    found = []
    after = 0
    while page := store.renders(after=after, limit=500):
        after = page[-1].position
        found += [
            (one.pair_key, one.spec.key, one.render.sha256, len(store.scores(one.spec.key)))
            for one in page
        ]
    assert len(found) == len(set(found)), "twice"
    return set(found)


def waiting(folder: Path, scale: float, crews: Sequence[int]) -> None:
    print(f"\nwho waits (times divided by {scale:g}: 1 or 0.12 s a picture, judge 0.3, disk 0.05)")
    for seconds in (1.0, 0.12):
        REST.update(picture=seconds / scale, judge=0.3 / scale, disk=0.05 / scale)
        for workers in crews:
            count = max(24, 6 * workers)
            took, run = audit(folder / f"{seconds}-{workers}", workers, None, count)
            drawn = run.studio.drawn
            wasted = sum(stop - start for _, start, stop in BUSY)
            needed = drawn * (REST["picture"] + REST["judge"])
            print(
                f"  {seconds:4g} s a picture, {workers:2} workers: idle {idle_share(workers):6.1%}"
                f" until the last 5 %, {drawn} pictures at {drawn / took:6.1f}/s,"
                f" {max(0.0, 1 - needed / wasted):.1%} of the work drawn ahead in vain or filler"
            )


def gain(folder: Path) -> None:
    REST.update(picture=0.05, judge=0.015, disk=0.0025)
    rates = {}
    for workers in (1, 8):
        took, run = audit(folder / f"gain-{workers}", workers, None, 40 * workers)
        rates[workers] = run.studio.drawn / took
    print(f"\n8 workers against one: {rates[8] / rates[1] / 8:.2f} of eight times as fast")


def alone(folder: Path) -> None:
    REST.update(picture=0.0, judge=0.0, disk=0.0)
    audit(folder / "warm", 4, None, 8)
    before = time.process_time()
    took, run = audit(folder / "alone", 4, None, 300)
    drawn, own = run.studio.drawn, time.process_time() - before
    print(
        f"\nthe engine alone, plugins that cost nothing, {run.studio.asked} answers: "
        f"{drawn / took:.0f} pictures/s by the clock, {drawn / own:.0f} a second of one core, "
        f"{1000 * own / drawn:.2f} ms each, everything from the first look to the last opinion"
    )


def kills(folder: Path, wanted: int) -> None:
    """Workers killed at random, also while they begin; then the same store as without."""
    REST.update(picture=0.01, judge=0.002, disk=0.001)
    audit(folder / "whole", 4, None, 40)
    dice, threads = random.Random(1), Threads()
    ended = threading.Event()

    def killer() -> None:
        while not ended.wait(dice.random()):
            threads.kill_worker(dice.randrange(100))

    number = 0
    while threads.num_killed < wanted:
        ended.clear()
        hand = threading.Thread(target=killer)
        hand.start()
        try:
            audit(folder / f"killed-{number}", 8, threads, 40)
        except ray.ConfigError as error:
            print(f"  {str(error)[:100]}…; run again")
        finally:
            ended.set()
            hand.join()
        audit(folder / f"killed-{number}", 4, None, 40)
        assert facts(folder / f"killed-{number}") == facts(folder / "whole"), "another store"
        number += 1
        print(f"  {threads.num_killed} killed so far, the same store", flush=True)
    print(f"\n{threads.num_killed} workers killed in {number} runs: 0 lost, 0 twice, equal stores")


def left_over(folder: Path) -> list[str]:
    """Files that belong to nothing; a store and its pictures are looked at by :func:`facts`."""
    usual = (
        "pairs.toml",
        *(f"store/{name}" for name in ("facts.db", "logs/", "pictures/", "settled-")),
    )
    every = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    return [name for name in every if not name.startswith(usual) or name.endswith(".tmp")]


def drivers(folder: Path, wanted: int, workers: int = 4) -> None:
    """The command itself killed as by ``kill -9``, most often early; then the same store."""
    REST.update(picture=0.01, judge=0.002, disk=0.001)
    audit(folder / "whole", 4, None, 12)
    dice, killed, late = random.Random(2), 0, 0
    while killed < wanted:
        place = folder / f"driver-{killed}"
        for _ in range(dice.randrange(1, 4)):
            moment, begun = dice.choice([0.2, 1.0, 3.0]) * dice.random(), place / "begun"
            place.mkdir(exist_ok=True)
            with subprocess.Popen(
                [sys.executable, __file__, "--child", str(place), "--workers", str(workers)],
                stdout=subprocess.DEVNULL,
            ) as child:
                while child.poll() is None and not begun.exists():
                    time.sleep(0.02)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(moment)
                late += child.poll() is not None
                child.kill()
            begun.unlink(missing_ok=True)
            killed += 1
        audit(place, 4, None, 12)
        assert facts(place) == facts(folder / "whole"), "another store"
        assert not (left := left_over(place)), left
        print(f"  {killed - late} killed so far, the same store, no file left over", flush=True)
    print(
        f"\n{killed - late} drivers killed with their workers ({late} had ended before): 0 lost, "
        f"0 twice, no file left over, equal stores"
    )


if __name__ == "__main__":
    asked = argparse.ArgumentParser()
    asked.add_argument("--scale", type=float, default=5.0)
    asked.add_argument("--kills", type=int, default=100)
    asked.add_argument("--only", default="")
    asked.add_argument("--workers", type=int, nargs="+", default=[1, 8, 64])
    asked.add_argument("--child", type=Path, help="for the kills of drivers: one audit there")
    given = asked.parse_args()
    if given.child is not None:
        REST.update(picture=0.01, judge=0.002, disk=0.001)
        (given.child / "begun").touch()
        audit(given.child, given.workers[0], None, 12)
        sys.exit()
    with tempfile.TemporaryDirectory() as place:
        parts = {
            "waiting": lambda: waiting(Path(place), given.scale, given.workers),
            "gain": lambda: gain(Path(place)),
            "alone": lambda: alone(Path(place)),
            "kills": lambda: kills(Path(place), given.kills),
            "drivers": lambda: drivers(Path(place), given.kills // 2),
        }
        for name, part in parts.items():
            if given.only in ("", name):
                part()
