"""Whatever breaks or dies at any point: run again, the same facts are there, whole and once.

``make faults`` tries every point; the suite tries some of each kind of work.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from worlds import small_store
from worlds.toys import audited, pair, repair

from faults.points import broken_disk, full_disk, killed_at, watched
from lcmis import findings
from lcmis.audit.run import Audit
from lcmis.errors import UserError
from lcmis.export.formats import export
from lcmis.export.repaired import repaired_prompts
from lcmis.findings import labels
from lcmis.plugins.settings import AuditSettings, CheckerSettings, ModelSettings
from lcmis.propose.catalogue import to_toml
from lcmis.propose.importing import import_sets
from lcmis.store import Store, schema
from lcmis.types import QuestionKind

pytestmark = pytest.mark.usefixtures("toys")
EVERY = os.environ.get("LCMIS_FAULTS") == "all"
PAIRS = [pair("rubine", "azure"), pair("lime", "amber")]
ASSETS = Path(__file__).parents[1] / "assets"


@dataclass(frozen=True)
class Work:
    """Something that writes: what it starts from, what it does, what must be there in the end."""

    prepare: Callable[[Path], None]
    do: Callable[[Path], object]
    outcome: Callable[[Path], Any]


def facts(folder: Path) -> dict[str, Any]:
    """All that a store says, in no order, and which files lie there."""
    with Store(folder, read_only=True) as store:
        assert list(store.verify()) == []
        checkers = store.checkers()
        return {
            "pairs": {one.key for one in store.pairs()},
            "renders": sorted((one.render.spec_key, one.render.sha256) for one in pages(store)),
            "evidence": sorted(repr(one) for name in checkers for one in store.evidence(name)),
            "trials": sorted(one.key for one in store.trials()),
            "nominations": sorted(one.key for one in store.nominations()),
            "labels": sorted(map(repr, store.labels())),
            "files": sorted(
                path.name for path in folder.rglob("*.webp") if path.parent.name != ".drafts"
            ),
        }


def pages(store: Store) -> list[Any]:
    return list(store.renders(limit=10_000))


def settings_in(folder: Path, behaviour: str) -> AuditSettings:
    return AuditSettings(
        models=(ModelSettings("toy", scheduler=behaviour),),
        checkers=(CheckerSettings("toy"), CheckerSettings("toy", "guide")),
        pairs=(str(folder / "pairs.toml"),),
        store=str(folder / "audit"),
    )


def prepare_audit(folder: Path) -> None:
    (folder / "pairs.toml").write_text(to_toml(PAIRS), "utf-8")


def do_audit(folder: Path) -> None:
    with Store(folder / "audit", create=True) as store:
        Audit(settings_in(folder, "no b"), store).run("lcmis audit")


def prepare_repair(folder: Path) -> None:
    audited(folder, PAIRS, "shy")


def do_repair(folder: Path) -> None:
    repair(settings_in(folder, "shy"), method="moce", budget=24, certificate=4)


def prepare_labels(folder: Path) -> None:
    small_store.fill(folder / "audit")
    with Store(folder / "audit") as store:
        (picture, *_) = pages(store)
        asked = (question for question, _ in store.scores(picture.render.spec_key))
        question = next(one for one in asked if one.kind is QuestionKind.A_PRESENT)
        (folder / "labels.csv").write_text(
            "render,question,picture,answer,rater,at\n"
            f"{picture.render.spec_key},{question.key},{picture.render.sha256},yes,anna,"
            "2026-11-21T03:00:00Z\n",
            "utf-8",
        )


def do_labels(folder: Path) -> None:
    with Store(folder / "audit") as store:
        labels.import_labels(store, folder / "labels.csv")


def prepare_import(folder: Path) -> None:
    (folder / "set.txt").write_text("a red apple and a green cup\na cat and a boot\n", "utf-8")


def do_import(folder: Path) -> None:
    import_sets([folder / "set.txt"], folder / "pairs.jsonl", report=folder / "report.csv")


def prepare_export(folder: Path) -> None:
    prepare_repair(folder)
    do_repair(folder)


def do_export(folder: Path) -> None:
    with Store(folder / "audit", read_only=True) as store:
        prompts = repaired_prompts(store, findings.deciding_checker(store), every=True)
    for form in ("csv", "parquet", "comfyui"):
        export(prompts, form, folder / f"repaired.{form}")


def prepare_upgrade(folder: Path) -> None:
    (folder / "audit").mkdir()
    shutil.copy(ASSETS / "schema-0001.db", folder / "audit" / "facts.db")


def do_upgrade(folder: Path) -> None:
    schema.upgrade_store(folder / "audit")


def revision(folder: Path) -> Any:
    with Store(folder / "audit", read_only=True) as store:
        return [one.key for one in store.pairs()], len(store.runs())


def written(*names: str) -> Callable[[Path], Any]:
    """Files whole, and no draft beside them."""

    def outcome(folder: Path) -> Any:
        assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []
        return [(folder / name).read_text("utf-8").replace(str(folder), "") for name in names]

    return outcome


WORKS = {
    "audit": Work(prepare_audit, do_audit, lambda folder: facts(folder / "audit")),
    "repair": Work(prepare_repair, do_repair, lambda folder: facts(folder / "audit")),
    "labels": Work(prepare_labels, do_labels, lambda folder: facts(folder / "audit")),
    "import": Work(prepare_import, do_import, written("pairs.jsonl", "report.csv")),
    "export": Work(
        prepare_export,
        do_export,
        lambda folder: [len((folder / f"repaired.{x}").read_bytes()) for x in ("csv", "comfyui")],
    ),
    "upgrade": Work(prepare_upgrade, do_upgrade, revision),
}


@pytest.fixture(params=WORKS)
def undisturbed(request, tmp_path):
    """A kind of work, a folder to begin from, how many points it passes, and how it ends."""
    work, start, whole = WORKS[request.param], tmp_path / "start", tmp_path / "whole"
    start.mkdir()
    work.prepare(start)
    moved(start, whole)
    with watched() as points:
        work.do(whole)
    return work, start, points.count, work.outcome(whole)


def moved(start: Path, folder: Path) -> Path:
    """A copy to work in; what names its own folder in a file is written anew by the work."""
    shutil.copytree(start, folder)
    return folder


def tried(count: int) -> list[int]:
    """Points to try: all of them, or the first, the last and some between."""
    some = {1, 2, count // 3, count // 2, count}
    return [at for at in range(1, count + 1) if EVERY or at in some]


@pytest.mark.parametrize("fault", [broken_disk, full_disk])
def test_a_disk_that_fails_is_a_sentence_and_the_next_run_ends_as_if_nothing_was(
    undisturbed, fault, tmp_path, record_testsuite_property
):
    work, start, count, outcome = undisturbed
    assert count >= 1
    record_testsuite_property("points at which a disk failed", f"{len(tried(count))} of {count}")
    for at in tried(count):
        folder = moved(start, tmp_path / f"failed-{at}")
        with watched(at, fault), contextlib.suppress(UserError):  # anything else: a traceback
            work.do(folder)
        work.do(folder)
        assert work.outcome(folder) == outcome, f"after point {at} of {count}"
        shutil.rmtree(folder)


def test_a_process_that_dies_loses_nothing_and_leaves_nothing(
    undisturbed, tmp_path, record_testsuite_property
):
    work, start, count, outcome = undisturbed
    record_testsuite_property("kills", f"{len(tried(count))} of {count}")
    for at in tried(count):
        folder = moved(start, tmp_path / f"killed-{at}")
        while not killed_at(at, lambda folder=folder: work.do(folder)):
            at -= 1  # what comes together is written together: this run ended a point sooner
            assert at > 0
            shutil.rmtree(folder)
            moved(start, folder)
        work.do(folder)
        assert work.outcome(folder) == outcome, f"after point {at} of {count}"
        shutil.rmtree(folder)
