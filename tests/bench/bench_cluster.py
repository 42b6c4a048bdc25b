"""Two nodes of two workers each on this machine, by real Ray: how much they gain, and a node lost.

``python tests/bench/bench_cluster.py`` takes some minutes; plugins sleep.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))
from bench_workers import facts, left_over, pairs
from worlds.clustered import TESTS, installed_at

from lcmis.audit.run import Audit
from lcmis.plugins.settings import AuditSettings, CheckerSettings, ModelSettings, WorkersSettings
from lcmis.propose.catalogue import to_toml
from lcmis.store import Store

MILLISECONDS = {"picture": 120, "judge": 300}


def audit(folder: Path, workers: int, count: int) -> Audit:
    folder.mkdir()
    (folder / "pairs.toml").write_text(to_toml(pairs(count)), "utf-8")
    config = AuditSettings(
        models=(
            ModelSettings("sleeping", scheduler="coin", guidance_scale=MILLISECONDS["picture"]),
        ),
        checkers=(CheckerSettings("sleeping", str(MILLISECONDS["judge"])),),
        pairs=(str(folder / "pairs.toml"),),
        workers=WorkersSettings(workers, gpus=0),
    )
    with Store(folder / "store", create=True) as store:
        run = Audit(config, store)
        run.run("a bench")
        return run


def lost(folder: Path, cluster: Any, node: Any, count: int) -> None:
    """A node goes while its workers draw."""
    timer = threading.Timer(6.0, lambda: cluster.remove_node(node, allow_graceful=False))
    timer.start()
    audit(folder / "lost", 4, count)
    timer.join()
    with Store(folder / "lost" / "store", read_only=True) as store:
        for one in store.shifts():
            if one.sentence:
                print(f"  {one.worker} on {one.node}: {one.sentence[:120]}")


def main() -> None:
    """All of it, in one cluster."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--pairs", type=int, default=12)
    count = asked.parse_args().pairs
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "600")
    import ray
    from ray.cluster_utils import Cluster

    with tempfile.TemporaryDirectory() as place:
        site = installed_at(Path(place) / "site")
        path = os.pathsep.join([str(site), str(TESTS), str(TESTS.parent)])
        sys.path.insert(0, str(site))
        memory = {"object_store_memory": 80 * 2**20}
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, **memory})
        second = cluster.add_node(num_cpus=2, **memory)
        ray.init(
            cluster.address, log_to_driver=False, runtime_env={"env_vars": {"PYTHONPATH": path}}
        )
        folder = Path(place)
        for workers in (1, 4):
            started = time.monotonic()
            run = audit(folder / f"of-{workers}", workers, count)
            took = time.monotonic() - started
            with Store(folder / f"of-{workers}" / "store", read_only=True) as store:
                shifts = store.shifts()
            busy = sum(one.busy for one in shifts)
            lasted = sum({one.at: one.seconds for one in shifts}.values())
            print(
                f"  {workers} workers: {run.studio.drawn} pictures in {took:.1f} s, {lasted:.1f} s "
                f"of them at work; each device busy {busy / workers / lasted:.0%} of these",
                flush=True,
            )
        print("a node is lost", flush=True)
        lost(folder, cluster, second, count)
        assert facts(folder / "lost") == facts(folder / "of-1") == facts(folder / "of-4")
        assert not (left := left_over(folder / "lost")), left
        print("the same store with 1 worker, with 4, and with a node lost; no file left over")
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main()
