"""Audits in other people's trackers and hubs, each by the real library, on this machine."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from worlds import small_store
from worlds.data_hub import DataHub
from worlds.small_store import BROAD, COKE

from lcmis.errors import ConfigError
from lcmis.export import destinations
from lcmis.export.publish import Outgoing
from lcmis.findings import deciding_checker
from lcmis.store import Store

ROOT = Path(__file__).parent.parent
SECRET = "hf_verysecrettoken12345"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_store.fill(tmp_path_factory.mktemp("sent") / "audit")


@pytest.fixture
def outgoing(folder):
    with Store(folder, read_only=True) as store:
        yield lambda place, **chosen: Outgoing(store, deciding_checker(store), place, **chosen)


def test_what_is_logged_is_what_the_store_says(outgoing):
    broad, narrow = destinations.logged(outgoing("x"))
    assert broad.model == BROAD
    assert broad.metrics["pictures"] == 20
    assert broad.metrics["pairs_fail"] + broad.metrics["pairs_pass"] <= 3
    assert "right" in broad.metrics
    assert {row["verdict"] for row in broad.pairs} <= {"fails", "passes", "undecided", "unfinished"}
    assert all(found.judgement.failing.value == "fails" for found, _ in broad.pictures)
    assert broad.content != narrow.content
    assert broad.content == destinations.logged(outgoing("y"))[0].content


def test_a_model_that_is_not_there_is_named_before_anything_is_sent(outgoing):
    with pytest.raises(ConfigError, match="no pictures of 'wide'"):
        destinations.logged(outgoing("x", model="wide"))


@pytest.mark.parametrize(
    ("destination", "module"), [("MLFLOW", "mlflow"), ("WANDB", "wandb")], ids=["mlflow", "wandb"]
)
def test_a_library_that_is_missing_is_one_sentence(outgoing, monkeypatch, destination, module):
    there = importlib.import_module

    def without(name):
        if name == module:
            raise ImportError(name)
        return there(name)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(ConfigError, match=rf"{module} is not installed: pip install 'lcmis"):
        getattr(destinations, destination).send(outgoing("x"))


def test_mlflow_keeps_a_run_a_model_and_an_audit_only_once(outgoing, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="mlflow-skinny is not installed")
    pytest.importorskip("sqlalchemy")
    monkeypatch.chdir(tmp_path)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    try:
        sent = destinations.MLFLOW.send(outgoing("pairs that fail"))
        assert ["run" in one.sentence for one in sent] == [True, True]
        again = destinations.MLFLOW.send(outgoing("pairs that fail"))
        assert all("already" in one.sentence for one in again)
        client = mlflow.MlflowClient()
        experiment = client.get_experiment_by_name("pairs that fail")
        runs = client.search_runs([experiment.experiment_id])
        assert sorted(one.info.run_name for one in runs) == ["broad", "narrow"]
        assert {one.info.status for one in runs} == {"FINISHED"}
        broad = next(one for one in runs if one.info.run_name == "broad")
        assert broad.data.params["model"] == BROAD
        assert broad.data.metrics == destinations.logged(outgoing("x"))[0].metrics
        kept = Path(client.download_artifacts(broad.info.run_id, "", str(tmp_path)))
        table = json.loads((kept / "pairs.json").read_text("utf-8"))
        assert COKE.prompt in [row[0] for row in table["data"]]
        assert (kept / "report.html").read_text("utf-8").startswith("<!doctype html>")
        assert list((kept / "pictures").rglob("*.webp"))
    finally:
        mlflow.set_tracking_uri(before)


def test_where_mlflow_cannot_be_reached_one_sentence_says_so(outgoing, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="mlflow-skinny is not installed")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri("http://127.0.0.1:9")  # nobody is there
    try:
        with pytest.raises(ConfigError, match="MLflow takes nothing"):
            destinations.MLFLOW.send(outgoing("x"))
    finally:
        mlflow.set_tracking_uri(before)


def run(*words, **environment):
    """In a process of its own: these libraries read their settings once."""
    return subprocess.run(
        [sys.executable, "-m", "lcmis", "publish", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )


def test_weights_and_biases_keeps_a_run_offline_with_its_pictures(folder, tmp_path):
    pytest.importorskip("wandb", reason="wandb is not installed")
    told = run(
        *("wandb", "failing-pairs", "--store", folder),
        WANDB_MODE="offline",
        WANDB_DIR=str(tmp_path),
        WANDB_API_KEY=SECRET,
        HOME=str(tmp_path),
    )
    assert told.returncode == 0, told.stderr
    assert "broad: run" in told.stdout
    assert "offline, in" in told.stdout
    assert SECRET not in told.stdout + told.stderr
    runs = sorted((tmp_path / "wandb").glob("offline-run-*"))
    assert len(runs) == 2
    for one in runs:
        (log,) = one.glob("*.wandb")
        assert log.stat().st_size > 0
        assert SECRET.encode() not in log.read_bytes()
    tables = list((tmp_path / "wandb").rglob("media/table/*.json"))
    rows = [row for path in tables for row in json.loads(path.read_text("utf-8"))["data"]]
    assert COKE.prompt in [row[0] for row in rows]
    assert list((tmp_path / "wandb").rglob("media/images/*.png"))


def test_a_hub_gets_a_private_data_set_that_the_library_reads(folder, tmp_path, outgoing):
    with DataHub(tmp_path / "hub", SECRET).running() as hub:
        told = run(
            *("hub", "somebody/pairs", "--store", folder),
            HF_ENDPOINT=hub.address,
            HF_TOKEN=SECRET,
            HF_HUB_OFFLINE="0",
            HF_HOME=str(tmp_path / "home"),
        )
        assert told.returncode == 0, told.stderr
        assert told.stdout == "somebody/pairs: 23 pictures pushed\n"
        assert SECRET not in told.stdout + told.stderr
        assert hub.private == {"somebody/pairs": True}
        assert hub.commits == ["23 pictures audited by lcmis"]
    pushed = tmp_path / "hub/somebody/pairs"
    lines = [json.loads(line) for line in (pushed / "metadata.jsonl").read_text().splitlines()]
    assert all((pushed / line["file_name"]).is_file() for line in lines)
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    read = datasets.load_dataset(str(pushed), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(read) == 23
    assert read.column_names[0] == "image"
    row = next(one for one in read if one["model"] == BROAD and one["prompt"] == COKE.prompt)
    assert row["image"].size == (64, 48)
    assert row["verdict"] == "a_missing"
    assert 0 <= row["a_score"] <= 1


def test_a_hub_that_takes_nothing_is_one_sentence_without_the_token(folder, tmp_path):
    with DataHub(tmp_path / "hub", "another token").running() as hub:
        told = run(
            *("hub", "somebody/pairs", "--store", folder),
            HF_ENDPOINT=hub.address,
            HF_TOKEN=SECRET,
            HF_HUB_OFFLINE="0",
            HF_HOME=str(tmp_path / "home"),
        )
    assert told.returncode == 2
    assert len(told.stderr.strip().splitlines()) == 1
    assert "the hub takes nothing as somebody/pairs" in told.stderr
    assert SECRET not in told.stdout + told.stderr
