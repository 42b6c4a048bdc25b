"""All benches of one machine in one run, B1 to B10, each beside its naive peer.

python tests/bench/suite.py --into build/bench     # what each printed, a file each
python tests/bench/suite.py --only B1,B5
python tests/bench/suite.py --keep                 # and into suite.json, and on docs/measured.md
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
KEPT = HERE / "suite.json"
"""What was printed on one machine, in the order of the benches; `--keep` brings newer lines in."""
PAGE = ROOT / "docs" / "measured.md"
BEGIN, END = "<!-- suite.json -->", "<!-- /suite.json -->"

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
        *("--models", "teacup-broad", "--methods", "pez"),
    ),
    "B8: files and rows": ("bench_store.py",),
    "B9: growth of our own cost": ("bench_growth.py", "50", "2"),
    "B9: memory over time": ("bench_memory.py", "--seconds", "240"),
    "B10: seconds a decided pair, on this machine": (
        *("bench_cost.py", "--ours", "{ours}", "--loop", "{loop}"),
    ),
    "B10 on a card: GPU seconds and dollars a decided pair": (
        *("bench_cost.py", "--ours", "{card_ours}", "--loop", "{card_loop}"),
        *("--dollars-per-hour", "3.3"),
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", default="build/bench")
    parser.add_argument("--only", default="", help="names such as B1, by commas")
    parser.add_argument("--keep", action="store_true", help="in suite.json and on docs/measured.md")
    asked = parser.parse_args()
    kept: dict[str, Any] = json.loads(KEPT.read_text("utf-8")) if KEPT.exists() else {}
    card = json.loads((HERE / "gpu-h200.json").read_text("utf-8"))
    of_card = card["sdxl beside plain diffusers"]["pictures_per_second"]
    into = Path(asked.into)
    into.mkdir(parents=True, exist_ok=True)
    wanted = [one for one in asked.only.split(",") if one]
    known = {
        "into": str(into),
        "tiny": "--seconds=400" if _sees_gpu() else "--tiny",
        "ours": "",
        "loop": "",
        "card_ours": f"{_median(of_card['ours']):.3f}",
        "card_loop": f"{_median(of_card['plain, one by one']):.3f}",
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
        if ran.returncode == 0 and "--tiny" not in given:  # tiny says that it runs, and no speed
            kept[name] = {
                "command": " ".join([script, *given]).replace(str(into), "build/bench"),
                "machine": _machine(),
                "day": datetime.now(UTC).date().isoformat(),
                "said": said.rstrip().splitlines(),
            }
        state = "" if ran.returncode == 0 else f", exit code {ran.returncode}"
        print(f"── {name} ({time.monotonic() - started:.0f} s{state})\n{said}", flush=True)
        for key, side in (("ours", "ours"), ("loop", "GenEval-like loop")):
            found = re.search(rf"^  {side}: ([\d.]+) pictures/s", said, re.MULTILINE)
            known[key] = found[1] if found else known[key]
    if asked.keep:
        ordered = {name: kept[name] for name in BENCHES if name in kept}
        KEPT.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n", "utf-8")
        PAGE.write_text(on_page(PAGE.read_text("utf-8"), ordered), "utf-8")


def on_page(page: str, kept: dict[str, Any]) -> str:
    """The page with all that was kept between its two marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    parts = [BEGIN]
    for name, one in kept.items():
        said = "\n".join(line.rstrip() for line in one["said"])
        told = f"`{one['command']}`, {one['day']}, {one['machine']}:"
        parts += [f"### {name}", told, f"```text\n{said}\n```"]
    return before + "\n\n".join([*parts, END]) + after


def _machine() -> str:
    import torch

    cores = os.cpu_count()
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{cores} cores ({platform.machine()}), {card}, torch {torch.__version__}"


def _median(speeds: list[float] | float) -> float:
    return sorted(speeds)[len(speeds) // 2] if isinstance(speeds, list) else speeds


def _sees_gpu() -> bool:
    import torch

    return bool(torch.cuda.is_available())


if __name__ == "__main__":
    main()
