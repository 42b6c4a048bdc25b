"""The command line, as a person meets it, on the real miniature models."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lcmis.findings.words import short_key
from lcmis.store import Store

SMALL = ["--limit", "3", "--batch", "4", "-m", "teacup-narrow"]


@pytest.fixture(scope="session")
def audited(tmp_path_factory):
    """A finished audit of three pairs, and what it printed."""
    store = tmp_path_factory.mktemp("cli") / "audit"
    done = subprocess.run(
        [sys.executable, "-m", "lcmis", "audit", *SMALL, "--store", store],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "120"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return store, done.stdout


def test_an_audit_ends_with_a_table_and_what_to_do_next(audited):
    _, printed = audited
    assert "teacup-narrow" in printed
    assert "pictures right" in printed
    assert "lcmis dashboard" in printed


def test_the_same_audit_again_draws_nothing(audited, lcmis):
    code, out, _ = lcmis("audit", *SMALL, "--store", audited[0], "--json")
    result = json.loads(out)
    assert (code, result["drawn"]) == (0, 0)
    assert len(result["models"][0]["pairs"]) == 3


def test_show_leads_from_all_pairs_to_one_to_a_picture(audited, lcmis):
    store = audited[0]
    code, out, _ = lcmis("show", "--store", store, "--json")
    pairs = json.loads(out)["pairs"]
    assert (code, len(pairs)) == (0, 3)
    code, out, _ = lcmis("show", pairs[0]["pair"]["prompt"], "--store", store)
    key = short_key(pairs[0]["evidence"][0]["spec_key"])
    assert code == 0
    assert key in out
    code, out, _ = lcmis("show", key, "--store", store)
    assert code == 0
    assert pairs[0]["pair"]["prompt"] in out
    assert "none of these" in out
    assert lcmis("show", "failures", "--store", store)[0] == 0


def test_in_eighty_columns_no_decision_is_cut_off(audited):
    done = subprocess.run(
        [sys.executable, "-m", "lcmis", "show", "--store", audited[0]],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "80"},
        check=True,
    )
    rows = [line.split() for line in done.stdout.splitlines() if "teacup-narrow" in line]
    assert len(rows) == 3
    assert {row[-1] for row in rows} <= {"fails", "passes", "undecided", "open"}


def test_a_plan_draws_nothing_and_leaves_nothing_behind(tmp_path, lcmis):
    code, out, _ = lcmis("plan", *SMALL, "--store", tmp_path / "none")
    assert code == 0
    assert "not measured" in out
    assert not (tmp_path / "none").exists()


def test_a_finished_audit_is_planned_as_done(audited, lcmis):
    code, out, _ = lcmis("plan", *SMALL, "--store", audited[0], "--json")
    (plan,) = json.loads(out)
    assert (code, plan["undecided"]) == (0, 0)
    assert plan["seconds_each"] > 0


def test_a_picture_drawn_again_is_the_same_bit_for_bit(audited, lcmis):
    with Store(audited[0], read_only=True) as store:
        key = store.renders(limit=1)[0].spec.key
    code, out, _ = lcmis("replay", key, "--store", audited[0])
    assert (code, "bit for bit" in out) == (0, True)


def test_a_sound_store_is_checked_and_a_changed_picture_found(audited, lcmis, tmp_path):
    assert lcmis("db", "check", "--store", audited[0])[0] == 0
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", audited[0], copy], check=True)
    next((copy / "pictures").rglob("*.webp")).write_bytes(b"RIFF no picture")
    code, out, _ = lcmis("db", "check", "--store", copy)
    assert (code, out.count("✗")) == (1, 1)


def test_the_named_plugs_are_listed(lcmis):
    assert "teacup-narrow" in lcmis("models")[1]
    assert "vqa" in lcmis("checkers")[1]
    assert {entry["name"] for entry in json.loads(lcmis("checkers", "--json")[1])} >= {"clip"}


def test_a_repair_is_certified_and_taken_away(audited, lcmis, tmp_path):
    """A small search on the pair that fails worst; whatever it finds can be exported and read."""
    store = tmp_path / "audit"
    subprocess.run(["cp", "-r", audited[0], store], check=True)
    asked = ["--budget", "16", "--certificate", "8", "--level", "4", "--method", "rewrite"]
    code, out, _ = lcmis("repair", *SMALL, *asked, "--store", store, "--json")
    repaired = json.loads(out)
    assert code == 0
    assert repaired["pairs"]
    code, out, _ = lcmis("export", "jsonl", tmp_path / "all.jsonl", "--every", "--store", store)
    assert code == 0
    lines = (tmp_path / "all.jsonl").read_text("utf-8").splitlines()
    nominated = [item for item in repaired["pairs"] if item["certificate"]]
    assert len(lines) == len(nominated)
    code, _, err = lcmis("export", "cvs", tmp_path / "x", "--store", store)
    assert (code, "csv" in err) == (2, True)


def test_every_command_has_help_a_person_can_read(lcmis):
    commands = (
        "audit",
        "plan",
        "show",
        "models",
        "checkers",
        "doctor",
        "replay",
        "dashboard",
        "repair",
        "export",
    )
    for words in [(), ("db",), *((name,) for name in commands)]:
        code, out, _ = lcmis(*words, "--help")
        assert code == 0
        assert "Usage:" in out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["audit", "-m", "teacup-narow"], "teacup-narow"),
        (["audit", "-m", "nobody/has-this"], "nobody/has-this"),
        (["audit", "-c", "vqaa:x"], "vqa"),
        (["audit", "-c", "clip:ViT-B-33/openai"], "ViT-B-33"),
        (["audit", "-p", "no-such-file.csv"], "no-such-file.csv"),
        (["audit", "no-such.toml"], "no-such.toml"),
        (["audit", "--size", "big"], "WIDTHxHEIGHT"),
        (["audit", "--cap", "2"], "block"),
        (["audit", "--rule", "coin"], "sprt"),
        (["audit", "--threshold", "2"], "between 0 and 1"),
        (["audit", "--device", "cuda"], "cuda"),
        (["audit", "--dtype", "float7"], "float7"),
        (["audit", "--steps", "0"], "step"),
        (["audit", "--adapter", "x:heavy"], "NAME:WEIGHT"),
        (["audit", "--pattern", "xyzzy"], "xyzzy"),
        (["show", "--store", "nowhere"], "lcmis audit"),
        (["replay", "k1:0", "--store", "nowhere"], "lcmis audit"),
        (["dashboard", "--store", "nowhere"], "lcmis audit"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_a_user_can_mend_is_one_sentence_and_exit_code_2(
    lcmis, tmp_path, monkeypatch, words, sentence
):
    import torch

    if torch.cuda.is_available() and "cuda" in words:
        pytest.skip("there is a GPU here")
    monkeypatch.chdir(tmp_path)
    code, _, err = lcmis(*words)
    assert code == 2
    assert sentence in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1


def test_a_file_that_is_no_store_is_named(tmp_path, lcmis):
    folder = tmp_path / "audit"
    folder.mkdir()
    (folder / "facts.db").write_bytes(b"not a database at all" * 99)
    code, _, err = lcmis("show", "--store", folder)
    assert (code, str(folder) in err, len(err.splitlines())) == (2, True, 1)
    (folder / "facts.db").unlink()
    with sqlite3.connect(folder / "facts.db") as foreign:
        foreign.execute("CREATE TABLE songs (title TEXT)")
    code, _, err = lcmis("audit", *SMALL, "--store", folder)
    assert (code, "Traceback" in err) == (2, False)


def test_killed_outright_an_audit_goes_on_where_it_was(audited, tmp_path):
    """Nothing lost, nothing drawn twice, and the same pictures as the undisturbed audit."""
    store = tmp_path / "audit"
    words = [sys.executable, "-m", "lcmis", "audit", *SMALL, "--store", str(store)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        deadline = time.monotonic() + 120
        while not list((store / "pictures").rglob("*.webp")) and time.monotonic() < deadline:
            time.sleep(0.05)
        running.send_signal(signal.SIGKILL)
    subprocess.run(words, check=True, capture_output=True)
    assert pictures(store) == pictures(audited[0])
    with Store(store, read_only=True) as facts:
        orphans = [fault for fault in facts.verify() if "belongs to no picture" not in fault]
        assert orphans == []


def pictures(folder: Path) -> dict[str, tuple[str, int]]:
    with Store(folder, read_only=True) as store:
        return {
            item.spec.key: (item.render.sha256, len(store.scores(item.spec.key)))
            for item in store.renders(limit=1000)
        }
