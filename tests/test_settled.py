"""An audit with nothing left to do is known by name: of its plan, and of its store."""

import dataclasses
import json
import shutil
import sys

import pytest
from worlds.toys import ToyChecker, ToyModel, audited, pair

from lcmis.audit import settled
from lcmis.audit.run import Audit, settled_audit
from lcmis.propose.catalogue import to_toml
from lcmis.store import Store
from lcmis.types import Label

PAIRS = (pair("rubine", "azure"), pair("lime", "amber"), pair("azure", "amber"))

pytestmark = pytest.mark.usefixtures("toys")


def recalled(config):
    with Store(config.store) as store:
        return settled_audit(config, store, "again")


def audit(config):
    with Store(config.store, create=True) as store:
        return Audit(config, store).run("a test")


@pytest.fixture
def config(tmp_path):
    return audited(tmp_path, PAIRS, "no a")


def test_what_was_concluded_stands_while_nothing_has_changed_and_no_row_of_a_picture_is_read(
    config, monkeypatch
):
    concluded = audit(config).summary()
    monkeypatch.setattr(Store, "evidence", None)
    monkeypatch.setattr(ToyModel, "drawn", [])
    monkeypatch.setattr(ToyChecker, "asked", 0)
    found = recalled(config).summary
    assert dataclasses.replace(found, seconds=concluded.seconds) == concluded
    assert (ToyModel.drawn, ToyChecker.asked) == ([], 0)
    with Store(config.store) as store:
        assert [run.command for run in store.runs()][-2:] == ["a test", "again"]


def test_whatever_a_plan_or_a_conclusion_follows_from_makes_it_be_worked_out_again(
    config, tmp_path, monkeypatch
):
    audit(config)
    for change in (
        {"threshold": 0.4},
        {"first_seed": 1},
        {"limit": 2},
        {"checkers": config.checkers[:1]},
        {"models": (dataclasses.replace(config.models[0], batch_size=5),)},
        {"stopping": dataclasses.replace(config.stopping, cap=24)},
    ):
        assert recalled(dataclasses.replace(config, **change)) is None, change
    assert recalled(config) is not None
    with monkeypatch.context() as patch:
        patch.setattr(
            ToyModel, "spec", lambda model, stages, seed: other(first(model, stages, seed))
        )
        assert recalled(config) is None  # as on another device
    with monkeypatch.context() as patch:
        patch.setattr(settled, "versions", lambda: {"torch": "another one"})
        assert recalled(config) is None
    file = tmp_path / "pairs.toml"
    before = file.read_text("utf-8")
    file.write_text(to_toml((*PAIRS, pair("rubine", "lime"))), "utf-8")
    assert recalled(config) is None
    file.write_text(before, "utf-8")
    assert recalled(config) is not None


first = ToyModel.spec


def other(spec):
    return dataclasses.replace(spec, profile="gpu-toy-b3")


def test_a_fact_more_makes_it_be_worked_out_again_and_then_it_stands_again(config):
    audit(config)
    with Store(config.store) as store:
        picture = store.renders(limit=1)[0]
        question = next(q for q, _ in store.scores(picture.spec.key) if not q.kind.is_choice)
        said = Label(picture.spec.key, question.key, "yes", "anna", "2026-01-01T00:00:00+00:00")
        store.add_labels([said])
    assert recalled(config) is None
    audit(config)
    assert recalled(config) is not None


def test_another_database_in_the_same_place_is_another_store(config, tmp_path):
    audit(config)
    folder = tmp_path / "audit"
    kept = {file.name: file.read_bytes() for file in folder.glob("settled-*.json")}
    shutil.rmtree(folder)
    audit(config)
    for name, text in kept.items():
        (folder / name).write_bytes(text)
    assert recalled(config) is None


@pytest.mark.parametrize("text", ["", "{}", "nothing", "\x00", json.dumps({"made_from": "x"})])
def test_a_file_that_says_nothing_is_as_none(config, tmp_path, text):
    audit(config)
    (file,) = (tmp_path / "audit").glob("settled-*.json")
    file.write_text(text, "utf-8")
    assert recalled(config) is None
    audit(config)
    assert recalled(config) is not None


@pytest.mark.parametrize("behaviour", ["fails", "fails once"])
def test_what_failed_is_tried_again_and_so_nothing_is_remembered(tmp_path, behaviour):
    config = audited(tmp_path, PAIRS, behaviour, max_failures=99)
    assert recalled(config) is None


def test_a_prompt_that_no_model_reads_is_left_out_once_and_for_all(tmp_path):
    long = dataclasses.replace(PAIRS[0], prompt="rubine beside azure" + ", far" * 20)
    config = audited(tmp_path, (*PAIRS[1:], long), "right")
    result = audit(config)
    assert result.failures == 1
    assert recalled(config).summary.failures == 1


def test_pairs_that_were_handed_over_are_not_those_of_the_configuration(config):
    with Store(config.store) as store:
        Audit(config, store, pairs=PAIRS[:1]).run("some")
        for file in store.folder.glob("settled-*.json"):
            file.unlink()
        Audit(config, store, pairs=PAIRS[:1]).run("some")
    assert recalled(config) is None


def test_the_command_says_the_same_twice(config, tmp_path, lcmis, monkeypatch):
    file = tmp_path / "audit.toml"
    file.write_text(
        f'pairs = ["{tmp_path / "pairs.toml"}"]\nstore = "{config.store}"\n'
        '[[models]]\nname = "toy"\nscheduler = "no a"\n[[checkers]]\nkind = "toy"\n',
        "utf-8",
    )
    _, first_said, _ = lcmis("audit", file, "--yes")
    _, second_said, told = lcmis("audit", file, "--yes")

    def table(text):
        return [line for line in text.splitlines() if "drawn in" not in line]

    assert table(first_said) == table(second_said)
    assert "nothing to draw" in told
    monkeypatch.setattr(sys.modules["lcmis.audit.run"], "settled_audit", lambda *_: None)
    assert table(lcmis("audit", file, "--yes")[1]) == table(second_said)
