"""Secrets: whatever way one gets in, it comes out nowhere."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import small_store

from lcmis.machine.secrets import VARIABLES, withheld
from lcmis.store import Store
from lcmis.types import Failure, Run

ROOT = Path(__file__).parents[1]
CANARY = "canary-5f1e"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://anna:canary-5f1e@db/audit", "postgresql://anna:***@db/audit"),
        ("postgresql://anna:a/b?c#canary-5f1e@db:5432/x", "postgresql://anna:***@db:5432/x"),
        ("postgresql://anna:a@canary-5f1e@db/x", "postgresql://anna:***@db/x"),
        ("postgresql://:canary-5f1e@db/x", "postgresql://:***@db/x"),
        (
            "postgresql://db/x?user=anna&password=canary-5f1e",
            "postgresql://db/x?user=anna&password=***",
        ),
        ("host=db password=canary-5f1e user=anna", "host=db password=*** user=anna"),
        (
            "https://h/a.png?X-Amz-Signature=canary-5f1e&x=1",
            "https://h/a.png?X-Amz-Signature=***&x=1",
        ),
        (
            "--store 'postgresql://a:canary-5f1e@db/x' -m m",
            "--store 'postgresql://a:***@db/x' -m m",
        ),
        ('{"store": "http://a:canary-5f1e@h/x", "p": 1}', '{"store": "http://a:***@h/x", "p": 1}'),
    ],
)
def test_an_address_keeps_all_but_its_secret(text, shown):
    assert withheld(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://anna@db/audit",
        "http://localhost:8000/v1",
        "stabilityai/sdxl@462165984030",
        "a tea cup: 3@4",
        "token: none",
        "the keyword=argument",
        "/home/anna/audit",
    ],
)
def test_what_holds_no_secret_stays_as_it_is(text):
    assert withheld(text) == text


@given(
    st.text(
        alphabet=st.characters(blacklist_categories=("Z", "C"), blacklist_characters="\"'"),
        min_size=8,
    )
)
def test_no_password_comes_through(password):
    text = withheld(f"see postgresql://anna:{password}@db/audit for more")
    assert password not in text
    assert text.endswith("@db/audit for more")


@pytest.mark.parametrize("name", VARIABLES)
def test_what_the_environment_holds_is_secret_anywhere(name, monkeypatch):
    monkeypatch.setenv(name, CANARY)
    assert withheld(f"it said {CANARY} twice: {CANARY}") == "it said *** twice: ***"


def test_a_store_keeps_no_password_and_shows_none_that_lies_in_it(tmp_path):
    folder = small_store.fill(tmp_path)
    address = f"postgresql://anna:{CANARY}@db/audit"
    settings = json.dumps({**small_store.SETTINGS, "store": address})
    run = Run("r9", "2026-11-21T03:00:00Z", f"audit --store {address}", settings, "{}", "", "cpu")
    with Store(folder) as store:
        store.add_run(run)
        store.add_failure(Failure("k1:00", "render", f"no {address}", "2026-11-21T03:00:01Z"))
        assert CANARY not in str([*store.runs(), *store.failures()])
    for file in folder.rglob("*"):
        assert file.is_dir() or CANARY.encode() not in file.read_bytes(), file


@pytest.mark.parametrize(
    "address",
    [
        f"postgresql://anna:{CANARY}@127.0.0.1:1/audit",
        f"postgresql://anna:{CANARY}@[::1/audit",
        f"mysql://anna:{CANARY}@db/audit",
        f"post gres://anna:{CANARY}@db/audit",
    ],
)
def test_no_sentence_repeats_the_password_of_an_address(address, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "lcmis", "show", "--store", address, "--pictures", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=dict(os.environ),
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("lcmis: ")
    assert CANARY not in done.stdout + done.stderr
