"""Several at one store at once: labellers, and an audit under their hands."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from worlds import small_store
from worlds.toys import audited, pair

from lcmis.audit.run import Audit
from lcmis.findings import labels
from lcmis.plugins.settings import AuditSettings, CheckerSettings, ModelSettings
from lcmis.propose.catalogue import to_toml
from lcmis.store import Store
from lcmis.types import Label, QuestionKind

pytestmark = pytest.mark.usefixtures("toys")

LABELLER = """
import sys
from lcmis.store import Store
from lcmis.types import Label, QuestionKind

folder, rater, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
with Store(folder) as store:
    pages = [one for one in store.renders(limit=10_000) if not one.render.refusal]
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(rounds):
        picture = pages[number % len(pages)].render
        asked = [one for one, _ in store.scores(picture.spec_key)]
        question = next(one for one in asked if one.kind is QuestionKind.A_PRESENT)
        at = f"2026-11-21T03:{number // 60:02}:{number % 60:02}Z"
        store.add_labels([Label(picture.spec_key, question.key, "yes", rater, at)])
        print(number, flush=True)
"""
ROOT = Path(__file__).parents[2]


def labeller(folder: Path, rater: str, rounds: int) -> subprocess.Popen[str]:
    """A process that has opened the store and waits for a line before it labels."""
    started = subprocess.Popen(
        [sys.executable, "-c", LABELLER, str(folder), rater, str(rounds)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert started.stdout.readline() == "ready\n"
    return started


def begin(*labellers: subprocess.Popen[str]) -> None:
    for one in labellers:
        one.stdin.write("go\n")
        one.stdin.flush()


def labels_of(folder: Path, rater: str) -> list[Label]:
    with Store(folder, read_only=True) as store:
        assert list(store.verify()) == []
        return [one for one in store.labels() if one.rater == rater]


def test_labels_of_several_people_at_once_are_all_kept(tmp_path):
    small_store.fill(tmp_path / "audit")
    people = ("ann", "ben", "eve")
    working = [labeller(tmp_path / "audit", rater, 40) for rater in people]
    begin(*working)
    assert [one.wait() for one in working] == [0, 0, 0]
    assert [len(labels_of(tmp_path / "audit", rater)) for rater in people] == [40, 40, 40]


def test_a_labeller_who_is_killed_loses_at_most_the_label_in_hand(tmp_path):
    small_store.fill(tmp_path / "audit")
    killed, other = (labeller(tmp_path / "audit", rater, 60) for rater in ("ann", "ben"))
    begin(killed, other)
    said = [killed.stdout.readline() for _ in range(10)]
    killed.send_signal(signal.SIGKILL)
    said += killed.stdout.readlines()
    assert (killed.wait(), other.wait()) == (-signal.SIGKILL, 0)
    kept = len(labels_of(tmp_path / "audit", "ann"))
    assert kept in (len(said), len(said) + 1)
    assert len(labels_of(tmp_path / "audit", "ben")) == 60


def test_an_audit_beside_a_labeller_ends_with_the_facts_of_one_alone(tmp_path):
    first, later = [pair("rubine", "azure")], [pair("lime", "amber"), pair("amber", "rubine")]
    alone, beside = tmp_path / "alone", tmp_path / "beside"
    drawn = {}
    for folder in (alone, beside):
        folder.mkdir()
        audited(folder, first, "no b")
        (folder / "later.toml").write_text(to_toml(later), "utf-8")
        settings = AuditSettings(
            models=(ModelSettings("toy", scheduler="no b"),),
            checkers=(CheckerSettings("toy"), CheckerSettings("toy", "guide")),
            pairs=(str(folder / "later.toml"),),
            store=str(folder / "audit"),
        )
        working = labeller(folder / "audit", "ann", 40) if folder == beside else None
        if working:
            begin(working)
        with Store(folder / "audit") as store:
            Audit(settings, store).run("lcmis audit")
        if working:
            assert working.wait() == 0
        with Store(folder / "audit", read_only=True) as store:
            assert list(store.verify()) == []
            drawn[folder] = sorted(one.render.spec_key for one in store.renders(limit=10_000))
    assert drawn[alone] == drawn[beside]
    assert len(labels_of(beside / "audit", "ann")) == 40


def test_a_label_and_its_opposite_at_once_are_both_facts_and_the_later_counts(tmp_path):
    small_store.fill(tmp_path / "audit")
    with Store(tmp_path / "audit") as one, Store(tmp_path / "audit") as other:
        picture = next(one for one in other.renders(limit=9) if not one.render.refusal).render
        asked = [question for question, _ in one.scores(picture.spec_key)]
        question = next(each for each in asked if each.kind is QuestionKind.A_PRESENT)
        for store, answer, second in ((one, "yes", 1), (other, "no", 2)):
            at = f"2026-11-21T03:00:0{second}Z"
            said = Label(picture.spec_key, question.key, answer, "ann", at)
            store.add_labels([said])
        assert len(one.labels()) == 2
        assert [each.answers for each in labels.readings(one.labels())] == [("yes", "no")]
