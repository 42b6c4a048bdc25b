"""Code changed in one place at a time: `python tests/mutating.py judge` says what no test notices.

mutmut makes the changes. Trying them is ours, for its way costs seconds a change: here every change
is tried in a child of one process that has imported and collected all, by the tests that reach it,
the quickest first, under a limit of processor time that a busy machine does not shorten. Results
are kept in `mutants/tried-*.json`; what survived is tried again when this is called again.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import functools
import gc
import hashlib
import importlib
import json
import math
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from statsmodels.stats.proportion import proportion_confint

ROOMS = {
    "judge": (
        "lcmis.judge.",
        (
            "test_judge_digits",
            "test_judge_values",
            "test_labels_digits",
            "test_judge",
            "test_rates",
            "test_stopped_intervals",
            "test_calibration",
            "test_multiplicity",
        ),
    ),
    "types": ("lcmis.types.", ("test_types", "test_types_values")),
    "stages": ("lcmis.render.stages.", ("test_stages_values",)),
    "store": (
        "lcmis.store.",
        (
            "test_store_digits",
            "test_store_values",
            "test_store",
            "test_store_evidence",
            "test_store_opening",
            "test_store_pictures",
            "test_store_batches",
            "test_notes",
            "test_moving",
            "test_buckets",
        ),
    ),
    "methods": (
        "lcmis.repair.methods.",
        (
            "test_baselines_digits",
            "test_ways_digits",
            "test_methods_digits",
            "test_methods_values",
            "test_bigpe",
            "test_phrases",
            "test_proxies",
            "test_repair",
            "test_baselines",
        ),
    ),
}
QUICK = 1.0
"""Seconds of processor time above which a test is left to `--slow`."""
SLOW = 2
"""Those above which a test is left out altogether: a simulation."""
LEFT = ["survived", "no tests"]
LATE = ("alembic.autogenerate", "alembic.command", "fsspec.implementations.memory", "scipy.stats")
"""Packages that our code imports when it needs them, and every child would import anew."""
OUT = os.dup(1)
PINS = {
    f"tests/{name}.py"
    for _, files in ROOMS.values()
    for name in files
    if name.endswith(("_values", "_digits"))
}


def main() -> None:
    """Makes the changes, tries them, and says what passes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("room", choices=ROOMS)
    parser.add_argument("--which", default="", help="only changes whose name holds one of a,b,c")
    parser.add_argument("--sample", type=int, default=0, help="so many by lot; 0 is all")
    parser.add_argument("--seed", type=int, default=1, help="of the lot")
    parser.add_argument("--part", default="1/1", help="of what is to be tried, e.g. 2/3")
    parser.add_argument("--slow", action="store_true", help="slow tests too, on what is left")
    parser.add_argument("--tests", default="", help="only these files, e.g. test_rates,test_judge")
    parser.add_argument("--again", action="store_true", help="only what survived before")
    parser.add_argument("--new", action="store_true", help="only what was never tried")
    parser.add_argument("--as-is", action="store_true", help="changes as they were made before")
    parser.add_argument("--told", action="store_true", help="only say what is known")
    told = parser.parse_args()
    if not (told.told or told.as_is):
        _change()
    os.chdir("mutants")
    prefix, files = ROOMS[told.room]
    files = tuple(told.tests.split(",")) if told.tests else files
    which = told.which.split(",")
    mine = [
        name
        for name in _changes()
        if name.startswith(prefix) and any(part in name for part in which)
    ]
    random.Random(told.seed).shuffle(mine)  # cut short, what was tried is a sample all the same
    mine = mine[: told.sample or len(mine)]
    if not told.told:
        sys.path[:0] = [str(Path.cwd()), str(Path("tests").resolve())]
        tests = [str(path) for name in files if (path := Path("tests", f"{name}.py")).exists()]
        tried = _tried()
        left = [one for one in mine if not told.again or tried.get(one, [""])[0] in LEFT]
        left = [one for one in left if not (told.new and one in tried)]
        part, parts = map(int, told.part.split("/"))
        how = "-again" if told.again else "-new" if told.new else ""
        kept = f"tried-{told.room}-{part}-{parts}{how}.json"
        loop = Loop(left[part - 1 :: parts], kept, slow=told.slow)
        # Every child would start a server of its own.
        words = ["-k", "not postgresql"]
        words += ["-q", "-p", "no:xdist", "--rootdir=.", "--tb=no", "--assert=plain"]
        pytest.main([*words, *tests], plugins=[loop])
    _tell(mine)


def _change() -> None:
    from mutmut import __main__ as mutmut
    from mutmut.utils.file_utils import copy_also_copy_files, copy_src_dir, setup_source_paths

    Path("mutants").mkdir(exist_ok=True)
    shutil.rmtree("mutants/tests", ignore_errors=True)
    change = mutmut.mutate_file_contents
    mutmut.mutate_file_contents = lambda name, text, *rest: change(name, undecorated(text), *rest)
    with contextlib.redirect_stdout(None):
        copy_src_dir()
        copy_also_copy_files()
        setup_source_paths()
        mutmut.create_mutants(1)


def undecorated(text: str) -> str:
    """The same code, with decorators called below their functions: mutmut leaves out what has one.

    That would be every property, and the formulas that are kept once they are computed.
    """
    lines = text.splitlines()
    found = [
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef) and len(node.decorator_list) == 1
    ]
    for node in sorted(found, key=lambda node: -node.lineno):
        (decorator,) = node.decorator_list
        spelled = ast.unparse(decorator)
        if spelled in ("staticmethod", "classmethod"):
            continue
        assert decorator.lineno == decorator.end_lineno == node.lineno - 1
        indent = " " * node.col_offset
        lines.insert(node.end_lineno, f"{indent}{node.name} = {spelled}({node.name})")
        del lines[decorator.lineno - 1]
    return "\n".join(lines) + "\n"


def _changes() -> list[str]:
    found = []
    for path in sorted(Path("lcmis").rglob("*.meta")):
        found += list(json.loads(path.read_text())["exit_code_by_key"])
    return found


def _of(change: str) -> str:
    """The function that is changed, as mutmut calls it."""
    return change.rpartition("__mutmut_")[0]


class Noticed(Exception):
    """By this test."""


class Loop:
    """Runs in place of pytest's loop over tests."""

    def __init__(self, changes: list[str], kept: str, *, slow: bool) -> None:
        self.changes, self.kept, self.slow = changes, Path(kept), slow

    def pytest_collection(self) -> None:
        """Failures need no smallest example here, and no two runs differ."""
        from hypothesis import Phase, settings

        settings.register_profile(
            "mutants",
            parent=settings.get_profile("clockless"),
            phases=[Phase.explicit, Phase.generate],
            derandomize=True,
            database=None,
        )
        settings.load_profile("mutants")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[Any]) -> None:
        """The first failure is enough, and nobody reads how it came about."""
        if call.excinfo is not None and not call.excinfo.errisinstance(pytest.skip.Exception):
            raise Noticed(item.nodeid)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Which test reaches what, and then each change."""
        if session.testsfailed:
            raise session.Failed("the tests could not be collected")
        import torch

        torch.set_num_threads(1)
        for name in LATE:
            importlib.import_module(name)
        gc.collect()
        gc.freeze()
        items = {item.nodeid: item for item in session.items}
        reached = self._reached(items)
        tried = _tried()
        waiting = [one for one in self.changes if tried.get(one, LEFT)[0] in LEFT]
        began = time.monotonic()
        for place, change in enumerate(waiting):
            known = sorted(
                (reached[name][1], name) for name in items if _of(change) in reached[name][0]
            )
            known.sort(key=lambda one: one[1].split("::")[0] not in PINS)
            chosen = [(cpu, name) for cpu, name in known if self.slow or cpu <= QUICK]
            new = self._try(change, chosen, [items[name] for _, name in chosen])
            if new[0] != "no tests" or change not in tried:
                tried[change] = new
            if place % 50 == 49 or place + 1 == len(waiting):
                before = json.loads(self.kept.read_text()) if self.kept.exists() else {}
                mine = {one: tried[one] for one in self.changes if one in tried}
                self.kept.write_text(json.dumps(before | mine))
                kinds = Counter(tried[one][0] for one in self.changes if one in tried)
                spent = time.monotonic() - began
                _say(f"{place + 1} of {len(waiting)}, {spent:.0f} s: {dict(kinds)}")
        return True

    def _reached(self, items: dict[str, Any]) -> dict[str, tuple[list[str], float]]:
        """For each test the functions that it reaches, and its seconds of processor time."""
        kept = Path("reached.json")
        files = {item.path for item in items.values()}
        made = "".join(sorted({_of(change) for change in _changes()})).encode()
        marks = {path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in files}
        known = hashlib.sha256(made).hexdigest()[:16]
        found = json.loads(kept.read_text()) if kept.exists() else {}
        for place, (name, item) in enumerate(items.items()):
            mark = f"{marks[item.path.name]} {known}"
            before = found.get(name, ([], 0.0, ""))
            slow = before[1] >= SLOW and before[2].split()[0] == mark.split()[0]
            if before[2] != mark and not slow:
                status, said, cpu = _in_a_child("stats", functools.partial(self._hits, item), SLOW)
                if status > 0:
                    _say(f"{name} fails without any change and is left out: {said or status}")
                    status, said, cpu = 0, "", math.inf
                found[name] = [json.loads(said or "[]"), cpu, mark]
            if place % 50 == 49 or place + 1 == len(items):
                kept.write_text(json.dumps(found))
                _say(f"{place + 1} tests of {len(items)} timed")
        return {name: (found[name][0], found[name][1]) for name in items}

    def _hits(self, item: Any) -> tuple[int, str]:
        from mutmut.state import state

        try:
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        except Noticed as failed:
            return 1, str(failed)
        return 0, json.dumps(sorted(state()._stats))

    def _try(self, change: str, chosen: list[tuple[float, str]], items: list[Any]) -> list[Any]:
        if not items:
            return ["no tests", "", 0.0]

        def run() -> tuple[int, str]:
            for item, following, (cpu, _) in zip(items, [*items[1:], None], chosen, strict=True):
                _limit(2 + 5 * cpu)
                try:
                    item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                except Noticed as test:
                    return 1, str(test)
            return 0, ""

        status, said, cpu = _in_a_child(change, run, QUICK)
        if status < 0:
            return ["timeout" if -status in (signal.SIGXCPU, signal.SIGKILL) else "died", "", cpu]
        return ["killed" if status else "survived", said, cpu]


def _in_a_child(change: str, run: Any, seconds: float) -> tuple[int, str, float]:
    """The exit code, what is said, and the seconds of processor time."""
    folder = tempfile.mkdtemp(prefix="mutating-")
    said = Path(folder, "said")
    pid = os.fork()
    if not pid:
        _silent()
        _limit(seconds)
        from mutmut.mutation.trampoline import set_mutant_under_test

        os.environ["TMPDIR"] = folder
        tempfile.tempdir = folder
        set_mutant_under_test(change)
        code = 3
        try:
            code, text = run()
            said.write_text(text)
        finally:
            os._exit(code)
    _, status, used = os.wait4(pid, 0)
    text = said.read_text() if said.exists() else ""
    shutil.rmtree(folder, ignore_errors=True)
    return os.waitstatus_to_exitcode(status), text, used.ru_utime + used.ru_stime


def _limit(more: float) -> None:
    """Ends this process after so many more seconds of processor time."""
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time() + more), -1))


def _say(line: str) -> None:
    os.write(OUT, f"{line}\n".encode())


def _silent() -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(nowhere, stream)


def _tried() -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for path in Path().glob("tried-*.json"):
        for change, one in json.loads(path.read_text()).items():
            if found.get(change, LEFT)[0] in LEFT:
                found[change] = one
    return found


def _tell(changes: list[str]) -> None:
    tried = _tried()
    kinds = ("killed", "timeout", "died", "survived", "no tests")
    rows: dict[str, Counter[str]] = {}
    for change in sorted(changes):
        module = change.rpartition(".")[0]
        rows.setdefault(module, Counter())[tried.get(change, ["not tried"])[0]] += 1
    print(f"{'':34}{'all':>7}" + "".join(f"{kind:>10}" for kind in kinds))
    for module, row in [*rows.items(), ("all", sum(rows.values(), Counter()))]:
        print(f"{module:34}{row.total():7}" + "".join(f"{row[kind]:10}" for kind in kinds))
    row = sum(rows.values(), Counter())
    noticed = row["killed"] + row["timeout"] + row["died"]
    known = noticed + row["survived"] + row["no tests"]
    if known:
        low, high = proportion_confint(noticed, known, method="beta")
        print(f"noticed {noticed} of {known}: {noticed / known:.3f} ({low:.3f} to {high:.3f})")
    for change in sorted(changes):
        if tried.get(change, ["not tried"])[0] in LEFT:
            print(change)


if __name__ == "__main__":
    main()
