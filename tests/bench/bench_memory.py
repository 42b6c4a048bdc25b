"""Memory over time: `python tests/bench/bench_memory.py --seconds 180`.

Audits of fresh pairs by plugins that answer at once, one after the other in one process, each into
a store of its own. What is left in memory after each is read; the slope over the second half is
that of a process that leaks, with the interval of a straight line's slope at 95 %.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from bench_growth import register, write_world


def resident() -> float:
    """Megabytes of this process now."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * 4096 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--pairs", type=int, default=25)
    parser.add_argument("--into", type=Path, help="JSON file of seconds and MB after each audit")
    asked = parser.parse_args()
    register()
    from lcmis.audit.config import load_config
    from lcmis.audit.run import Audit
    from lcmis.store import Store

    began = time.monotonic()
    seen: list[tuple[float, float]] = []
    drawn = 0
    while time.monotonic() - began < asked.seconds:
        with tempfile.TemporaryDirectory() as made:
            write_world(Path(made), asked.pairs, 2, 4)
            config = load_config(Path(made) / "audit.toml")
            with Store(config.store, create=True) as store:
                drawn += Audit(config, store).run("a bench").drawn
        gc.collect()
        seen.append((time.monotonic() - began, resident()))
    if asked.into:
        asked.into.write_text(json.dumps(seen), "utf-8")
    half = np.array(seen[len(seen) // 2 :])
    slope, error = _slope(half[:, 0] / 60, half[:, 1])
    each, apart = _slope(np.arange(len(half), dtype=float), 1000 * half[:, 1])
    print(
        f"memory: {len(seen)} audits, {drawn:,} pictures in {seen[-1][0] / 60:.1f} minutes; "
        f"{statistics.median(half[:, 1]):.0f} MB in the second half, "
        f"{slope:+.2f} MB a minute [{slope - 2 * error:+.2f}, {slope + 2 * error:+.2f}], "
        f"{each:+.2f} kB an audit [{each - 2 * apart:+.2f}, {each + 2 * apart:+.2f}]"
    )


def _slope(at: np.ndarray, what: np.ndarray) -> tuple[float, float]:
    """Of the straight line through these, and its standard error."""
    centred = at - at.mean()
    spread = float((centred**2).sum())
    slope = float((centred * what).sum()) / spread
    left = what - what.mean() - slope * centred
    return slope, float(np.sqrt((left**2).sum() / max(1, len(at) - 2) / spread))


if __name__ == "__main__":
    main()
