"""What grows with pairs, pictures and models: `python tests/bench/bench_growth.py PAIRS MODELS`.

Our own seconds of a core and memory, with plugins that cost nothing: one process a command, so
that its peak is its own.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
COLOURS = ("rubine", "azure", "lime", "amber")


def write_world(folder: Path, num_pairs: int, num_models: int, pictures: int) -> None:
    """A file of pairs, and an audit of them by models that never err but one half of the time."""
    lines = []
    for number in range(num_pairs):
        a, b = COLOURS[number % 4], COLOURS[(number + 1 + number // 4 % 3) % 4]
        said = {
            "a": {"name": f"{a} {number}", "description": "one half"},
            "b": {"name": f"{b} {number}", "description": "the other half"},
            "prompt": f"{a} {number} beside {b} {number}",
            "intruders": [
                {
                    "concept": {"name": f"void {number % 7}", "description": "nothing"},
                    "replaces": side,
                    "prompt": f"void {number % 7} instead of {side} of {number}",
                }
                for side in "ab"
            ],
            "pattern": "halves",
        }
        lines.append(json.dumps(said))
    (folder / "pairs.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    models = "".join(f'[[models]]\nname = "quick:{number}"\n' for number in range(num_models))
    (folder / "audit.toml").write_text(
        f'pairs = ["{folder / "pairs.jsonl"}"]\nstore = "{folder / "audit"}"\n{models}'
        '[[checkers]]\nkind = "quick"\n'
        f'[stopping]\nrule = "fixed"\ncap = {pictures}\nblock = {pictures}\n',
        encoding="utf-8",
    )


def register() -> None:
    """Plugins that answer at once."""
    from lcmis.plugins import registry

    sys.path.insert(0, str(TESTS))
    registry.BUILT_IN["models"]["quick"] = "worlds.quick:QuickModel"
    registry.BUILT_IN["checkers"]["quick"] = "worlds.quick:QuickChecker"


def child(words: list[str]) -> None:
    """One command in this process; its own seconds of a core and peak of memory, as JSON."""
    register()
    import lcmis.audit.run  # what has to be loaded is no growth
    import lcmis.export.report
    import lcmis.store.columns
    from lcmis import cli

    assert lcmis
    before = time.process_time()
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sys.argv = ["lcmis", *words]
    out = io.StringIO()
    ended: object = 0
    with contextlib.redirect_stdout(out):
        try:
            cli.main()
        except SystemExit as error:
            ended = error.code
    print(
        json.dumps(
            {
                "seconds": time.process_time() - before,
                "megabytes": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) / 1024,
                "code": ended,
                "printed": len(out.getvalue()),
            }
        )
    )


def measured(sentence: str, pictures: int, *words: object) -> dict[str, float]:
    """Run one command as a child, and print what it took."""
    done = subprocess.run(
        [sys.executable, __file__, "--child", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(
        f"{sentence:<34}{found['seconds']:>9.2f} s {found['megabytes']:>8.0f} MB"
        f"{found['seconds'] / pictures * 1e3:>9.3f} ms a picture"
        f"{found['printed'] / 1e3:>10.0f} kB printed, exit {found['code']}",
        flush=True,
    )
    return found


def main(num_pairs: int, num_models: int, pictures: int, folder: Path) -> None:
    """Every command that reads or makes a whole audit."""
    write_world(folder, num_pairs, num_models, pictures)
    total = num_pairs * num_models * pictures
    print(f"{num_pairs:,} pairs, {num_models} models, {total:,} pictures")
    config, store = folder / "audit.toml", folder / "audit"
    first = measured("audit", total, "audit", config)
    again = measured("audit again, nothing to do", total, "audit", config)
    print(f"  -> again: {again['seconds'] / first['seconds']:.1%} of its own seconds")
    measured("plan", total, "plan", config, "--json")
    measured("report", total, "report", "--store", store, "--out", folder / "report.html")
    measured("db check", total, "db", "check", "--store", store)
    measured("show", total, "show", "--store", store)
    measured("show --json", total, "show", "--store", store, "--json")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2:])
    else:
        parser = argparse.ArgumentParser(description=__doc__)
        parser.add_argument("pairs", type=int, nargs="?", default=200)
        parser.add_argument("models", type=int, nargs="?", default=3)
        parser.add_argument("--pictures", type=int, default=4)
        asked = parser.parse_args()
        with tempfile.TemporaryDirectory() as made:
            main(asked.pairs, asked.models, asked.pictures, Path(made))
