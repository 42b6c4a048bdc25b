"""How long an import takes: 100,000 lines of each kind, one thread.

.venv/bin/python tests/bench/bench_import.py
"""

from __future__ import annotations

import csv
import json
import sys
import tempfile
import time
from pathlib import Path

from lcmis.propose.importing import import_sets

LINES = 100_000


def prompts() -> list[tuple[str, str, str]]:
    words = [f"{first}{last}" for first in "bdfgklmnprst" for last in ("ado", "ibel", "umo", "en")]
    things = [f"{one} {other}" for one in words for other in words]
    return [
        (a, b, f"a {a} and a {b} {place}".strip())
        for place in ("", "in a room", "on a hill", "under a sky")
        for number, a in enumerate(things)
        for b in things[number % 7 :: 80]
    ][:LINES]


def write(folder: Path) -> list[Path]:
    asked = prompts()
    text, lines, table, document = (
        folder / name for name in ("p.txt", "geneval.jsonl", "p.csv", "prompt.json")
    )
    text.write_text("\n".join(prompt for _, _, prompt in asked))
    lines.write_text(
        "\n".join(
            json.dumps(
                {
                    "tag": "two_object",
                    "include": [{"class": a, "count": 1}, {"class": b, "count": 1}],
                    "prompt": prompt,
                }
            )
            for a, b, prompt in asked
        )
    )
    with table.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "prompt", "category"])
        rows.writerows((n, prompt, "made up") for n, (_, _, prompt) in enumerate(asked))
    document.write_text(
        json.dumps(
            {
                f"prompt{n}": {"prompt": prompt, "first_prompt": a, "second_prompt": b}
                for n, (a, b, prompt) in enumerate(asked)
            },
            indent=1,
        )
    )
    return [text, lines, table, document]


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for path in write(folder):
            into = folder / f"{path.name}.pairs.jsonl"
            for what in ("import", "again"):
                started, cpu = time.perf_counter(), time.process_time()
                (found,) = import_sets([path], into, report=folder / "report.csv").sets
                seconds, worked = time.perf_counter() - started, time.process_time() - cpu
                said = ", ".join(f"{count} {outcome}" for outcome, count in found.counts.items())
                print(f"{path.name:16}{what:8}{seconds:6.1f} s, processor {worked:5.1f} s  {said}")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
