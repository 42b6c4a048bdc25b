"""All benches of one machine in one run, B1 to B10, each beside its naive peer.

python tests/bench/suite.py --into build/bench     # what each printed, a file each
python tests/bench/suite.py --only B1,B5
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

BENCHES: dict[str, tuple[str, ...]] = {
    "B1 and B3: drawing, and its bits in other orders": (
        "bench_render.py",
        "teacup-narrow",
        "--pictures",
        "16",
    ),
    "B2: the engine by batch and way of computing": (
        "bench_gpu.py",
        "--into",
        "{into}/gpu",
        "{tiny}",
        "--only",
        "machine,sdxl,sdxl beside plain diffusers,sdxl bits,sdxl shapes",
    ),
    "B4: the forked search of a switch step": ("bench_fork.py", "--pairs", "2", "--rounds", "1"),
    "B5: stopping early": ("bench_stopping.py", "--pairs", "2000"),
    "B6: choosing among candidates": ("bench_candidates.py",),
    "B7: inversion": (
        "bench_inversion.py",
        *("--facts", "{into}/inversion.jsonl", "--limit", "1"),
        *("--models", "broad", "--methods", "pez"),
    ),
    "B8: files and rows": ("bench_store.py",),
    "B9: growth of our own cost": ("bench_growth.py", "50", "2"),
    "B10: seconds a decided pair": ("bench_cost.py", "--ours", "{ours}", "--loop", "{loop}"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", default="build/bench")
    parser.add_argument("--only", default="", help="names such as B1, by commas")
    asked = parser.parse_args()
    into = Path(asked.into)
    into.mkdir(parents=True, exist_ok=True)
    wanted = [one for one in asked.only.split(",") if one]
    known = {
        "into": str(into),
        "tiny": "--seconds=400" if _sees_gpu() else "--tiny",
        "ours": "",
        "loop": "",
    }
    for name, (script, *flags) in BENCHES.items():
        if wanted and not any(re.search(rf"\b{one}\b", name) for one in wanted):
            continue
        given = [flag.format(**known) for flag in flags]
        if "" in given:
            print(f"{name}: needs the speeds of B1: run it in the same call", flush=True)
            continue
        started = time.monotonic()
        paths = os.pathsep.join([str(ROOT), str(HERE.parent), os.environ.get("PYTHONPATH", "")])
        ran = subprocess.run(
            [sys.executable, str(HERE / script), *given],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": paths},
        )
        said = ran.stdout if ran.returncode == 0 else ran.stdout + ran.stderr[-2000:]
        file = into / f"{name.partition(':')[0].replace(' and ', '-')}.txt"
        file.write_text(said)
        state = "" if ran.returncode == 0 else f", exit code {ran.returncode}"
        print(f"── {name} ({time.monotonic() - started:.0f} s{state})\n{said}", flush=True)
        for key, side in (("ours", "ours"), ("loop", "GenEval-like loop")):
            found = re.search(rf"^  {side}: ([\d.]+) pictures/s", said, re.MULTILINE)
            known[key] = found[1] if found else known[key]


def _sees_gpu() -> bool:
    import torch

    return bool(torch.cuda.is_available())


if __name__ == "__main__":
    main()
