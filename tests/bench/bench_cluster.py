"""Two nodes on this machine by real Ray: what they gain, and what it costs when they are killed.

``python tests/bench/bench_cluster.py`` takes some minutes. Models and checkers sleep; nodes,
workers, PostgreSQL and the command are real and are killed as by ``kill -9``, at moments drawn by
lot. After each round the run is gone on with until it ends, and its store must equal that of one
process that nobody disturbed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parent.parent))
from bench_workers import facts, facts_of, left_over, pairs
from worlds.clustered import TESTS, installed_at
from worlds.facts import Server, in_schema, served_postgresql

from lcmis.audit.run import Audit
from lcmis.errors import LcmisError
from lcmis.plugins.settings import AuditSettings, CheckerSettings, ModelSettings, WorkersSettings
from lcmis.propose.catalogue import to_toml
from lcmis.store import Store
from lcmis.workers.hand import Hand

MEMORY = {"object_store_memory": 80 * 2**20}
PATIENCE_SECONDS = 600
"""For one round of kills to end."""


def audit(
    folder: Path, workers: WorkersSettings | None, count: int, pause: int, **place: str
) -> Audit:
    """One run of ``count`` pairs; a picture takes ``pause`` milliseconds, a judge half of that."""
    folder.mkdir(exist_ok=True)
    (folder / "pairs.toml").write_text(to_toml(pairs(count)), "utf-8")
    config = AuditSettings(
        models=(ModelSettings("sleeping", scheduler="coin", guidance_scale=pause),),
        checkers=(CheckerSettings("sleeping", str(pause // 2)),),
        pairs=(str(folder / "pairs.toml"),),
        workers=workers or WorkersSettings(),
    )
    where = place or {"path_or_url": str(folder / "store")}
    with Store(**where, create=True) as store:
        run = Audit(config, store)
        run.run("a bench")
        return run


@dataclass
class Nodes:
    """A cluster whose second node may be lost and come back."""

    cluster: Any
    num_workers: int
    """Of each node."""
    second: Any = None

    def __post_init__(self) -> None:
        self.restore()

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def lose(self) -> None:
        self.cluster.remove_node(self.second, allow_graceful=False)
        self.second = None

    def restore(self) -> None:
        if self.second is None:
            self.second = self.cluster.add_node(num_cpus=self.num_workers, **MEMORY)

    def kill_worker(self, dice: random.Random) -> bool:
        """One that holds a model; false where there is none now."""
        below = psutil.Process().children(recursive=True)  # of these nodes, not of another's
        held = [one for one in below if is_worker(one)]
        if held:
            dice.choice(held).kill()
        return bool(held)


def is_worker(process: psutil.Process) -> bool:
    try:
        return " ".join(process.cmdline()).startswith(f"ray::{Hand.__name__}")
    except psutil.NoSuchProcess:
        return False


@contextlib.contextmanager
def two_nodes(folder: Path, num_workers: int) -> Iterator[Nodes]:
    """Of so many workers each; those, and this process, find the plugins that sleep."""
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "600")
    site = installed_at(folder / "site")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(site), str(TESTS), str(TESTS.parent)])
    sys.path.insert(0, str(site))
    from ray.cluster_utils import Cluster

    head = {"num_cpus": num_workers, "include_dashboard": False, **MEMORY}
    nodes = Nodes(Cluster(initialize_head=True, head_node_args=head), num_workers)
    yield nodes
    nodes.cluster.shutdown()


def gain(folder: Path, nodes: Nodes, count: int, pause: int) -> None:
    """All workers of two nodes against one."""
    rates, most = {}, 2 * nodes.num_workers
    for workers in (1, most):
        place = folder / f"of-{workers}"
        settings = WorkersSettings(workers, gpus=0, ray=nodes.address)
        run = audit(place, settings, count * workers, pause)
        with Store(place / "store", read_only=True) as store:
            shifts = store.shifts()
        lasted = sum({one.at: one.seconds for one in shifts}.values())
        rates[workers] = run.studio.drawn / lasted
        busy = sum(one.busy for one in shifts) / workers / lasted
        print(
            f"  {workers} workers: {run.studio.drawn} pictures, {rates[workers]:.2f} a second once "
            f"they have begun; a device is busy {busy:.0%} of that time",
            flush=True,
        )
    share = rates[most] / rates[1] / most
    print(f"  {most} workers of two nodes against one: {share:.2f} of {most} times")


@dataclass
class Rounds:
    """Kills at moments drawn by lot, and what was killed."""

    folder: Path
    nodes: Nodes
    server: Server
    killed: Counter[str] = field(default_factory=Counter)
    said: Counter[str] = field(default_factory=Counter)
    dice: random.Random = field(default_factory=lambda: random.Random(3))

    def play(self, number: int, count: int) -> None:
        """One store: drawn under fire, then gone on with in peace, then compared."""
        place = self.folder / f"round-{number}"
        place.mkdir()
        where = {"path_or_url": str(place / "store")}
        if number % 2:
            address = in_schema(self.server.url, place)
            where = {"path_or_url": address, "pictures": str(place / "pictures")}
        for _ in range(3):
            self._disturb(place, count, where)
        self.nodes.restore()
        audit(place, None, count, 0, **where)  # what is left, in one process
        with Store(**where, read_only=True) as store:
            assert facts_of(store) == facts(self.folder / "whole"), "another store"
        usual = ("pictures/", "logs/", "settled-")  # beside pictures where facts are on a server
        left = [one for one in left_over(place) if not one.startswith(usual)]
        assert not left, left

    def _disturb(self, place: Path, count: int, where: dict[str, str]) -> None:
        """One command, until it ends or is killed; whatever is hit meanwhile."""
        with subprocess.Popen(
            [
                sys.executable,
                __file__,
                *("--child", str(place), "--ray", self.nodes.address, "--pairs", str(count)),
                *("--workers", str(self.nodes.num_workers)),
                *(f"--{name.replace('_', '-')}={value}" for name, value in where.items()),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as child:
            until = time.monotonic() + PATIENCE_SECONDS
            while child.poll() is None:
                assert time.monotonic() < until, "it hangs"
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(self.dice.uniform(2, 12))
                    break
                self._hit(child, is_remote="pictures" in where)
            said, troubles = child.communicate()
        self.said.update(line.strip()[:90] for line in said.splitlines())
        assert "Traceback" not in troubles, troubles
        # 1: Ray itself ends a command that joins by a node which is just lost
        assert child.returncode in (0, 1, 2, -signal.SIGKILL), child.returncode

    def _hit(self, child: subprocess.Popen[str], *, is_remote: bool) -> None:
        what = self.dice.choice(["worker", "worker", "worker", "node", "driver", "database"])
        if what == "worker" and not self.nodes.kill_worker(self.dice):
            return
        if what == "node":
            if self.nodes.second is None:
                self.nodes.restore()
                return
            self.nodes.lose()
        if what == "driver":
            child.kill()
        if what == "database":
            if not is_remote:
                return
            self.server.crash()
            self.server.start()
        self.killed[what] += 1


def kills(folder: Path, nodes: Nodes, wanted: int, count: int) -> None:
    audit(folder / "whole", None, count, 0)
    with served_postgresql() as server:
        rounds, number = Rounds(folder, nodes, server), 0
        while rounds.killed.total() < wanted:
            rounds.play(number, count)
            number += 1
            print(f"  round {number}: {dict(rounds.killed)} so far, the same store", flush=True)
    for sentence, times in rounds.said.most_common():
        print(f"  said {times} times: {sentence}")
    print(f"  {rounds.killed.total()} kills in {number} rounds: 0 lost, 0 twice, equal stores")


def child(asked: argparse.Namespace) -> int:
    """The command that is killed: one run on the cluster."""
    where = {"path_or_url": asked.path_or_url}
    if asked.pictures:
        where["pictures"] = asked.pictures
    try:
        workers = WorkersSettings(2 * asked.workers, gpus=0, ray=asked.ray)
        audit(asked.child, workers, asked.pairs, 0, **where)
    except LcmisError as error:
        print(error)
        return 2
    return 0


def main() -> int:
    """All of it, in one cluster."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--workers", type=int, default=2, help="of each of the two nodes")
    parser.add_argument("--pause", type=int, default=240, help="milliseconds of a picture")
    parser.add_argument("--only", choices=["gain", "kills"])
    for name in ("--child", "--path-or-url", "--pictures", "--ray"):
        parser.add_argument(name, type=Path if name == "--child" else str, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child is not None:
        return child(asked)
    with tempfile.TemporaryDirectory() as folder, two_nodes(Path(folder), asked.workers) as nodes:
        print(f"two nodes of {asked.workers} workers each", flush=True)
        if asked.only != "kills":
            gain(Path(folder), nodes, asked.pairs, asked.pause)
        if asked.only != "gain":
            kills(Path(folder), nodes, asked.kills, asked.pairs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
