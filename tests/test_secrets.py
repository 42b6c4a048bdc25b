"""Secrets: whatever way one gets in, it comes out nowhere."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import facts, pages, small_store
from worlds.facts import LOCKED, PASSWORD
from worlds.toys import pair

from lcmis.machine.secrets import VARIABLES, withheld
from lcmis.propose.catalogue import to_toml
from lcmis.store import Store
from lcmis.types import Failure, Run

ROOT = Path(__file__).parents[1]
CANARY = PASSWORD
postgresql, locked = facts.postgresql, facts.locked


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


# ── a server that asks for a password ────────────────────────────────────────────────────────────

AUDIT = """
pairs = ["pairs.toml"]
models = [{ name = "toy", scheduler = "deaf" }]
checkers = [{ kind = "toy" }, { kind = "toy", name = "guide" }]
"""


def in_the_address(socket, base, desk, setenv):
    return f"postgresql://{LOCKED}:{PASSWORD}@/{base}?host={socket}"


def in_the_query(socket, base, desk, setenv):
    return f"postgresql:///{base}?host={socket}&user={LOCKED}&password={PASSWORD}"


def in_a_variable(socket, base, desk, setenv):
    setenv("PGPASSWORD", PASSWORD)
    return f"postgresql://{LOCKED}@/{base}?host={socket}"


def in_a_password_file(socket, base, desk, setenv):
    (desk / "passwords").write_text(f"*:*:{base}:{LOCKED}:{PASSWORD}\n")
    (desk / "passwords").chmod(0o600)
    setenv("PGPASSFILE", str(desk / "passwords"))
    return f"postgresql://{LOCKED}@/{base}?host={socket}"


def in_a_service_file(socket, base, desk, setenv):
    lines = ("[audits]", f"host={socket}", f"user={LOCKED}", f"dbname={base}")
    (desk / "services").write_text("\n".join((*lines, f"password={PASSWORD}\n")))
    setenv("PGSERVICEFILE", str(desk / "services"))
    return "postgresql:///?service=audits"


@pytest.mark.parametrize(
    "told",
    [in_the_address, in_the_query, in_a_variable, in_a_password_file, in_a_service_file],
)
def test_a_database_that_asks_for_a_password_gets_it_and_nobody_else(
    told, locked, toys, lcmis, tmp_path, monkeypatch, caplog
):
    import psycopg

    desk = tmp_path / "desk"
    desk.mkdir()
    monkeypatch.chdir(desk)
    (desk / "pairs.toml").write_text(to_toml([pair("rubine", "azure")]), "utf-8")
    (desk / "audit.toml").write_text(AUDIT, "utf-8")
    address = told(*locked, tmp_path, monkeypatch.setenv)
    monkeypatch.setenv("LCMIS_PICTURES", str(desk / "pictures"))
    monkeypatch.setenv("LCMIS_STORE", address)
    shown = []
    for words in (
        ("audit", "audit.toml"),
        ("plan", "audit.toml"),
        ("show",),
        ("show", "--json"),
        (
            "repair",
            "audit.toml",
            "--method",
            "moce",
            "--budget",
            "16",
            "--certificate",
            "4",
            "--json",
        ),
        ("report", "--markdown", "report.md", "--out", "report.html"),
        ("export", "jsonl", "repaired.jsonl", "--every"),
        ("publish", "parquet", "published"),
        ("db", "check"),
        ("db", "upgrade"),
    ):
        code, out, errors = lcmis(*words)
        assert code in (0, 2), (words, errors)
        shown.append((code, out, errors))
    assert [code for code, _, _ in shown][:4] == [0] * 4, shown
    for page in ("overview", "runs"):
        shown.append(pages.said(pages.drawn({"store": address, "pictures": "pictures"}, page)))
    for one in (*shown, caplog.text):
        assert PASSWORD not in str(one)
    for file in desk.rglob("*"):
        assert file.is_dir() or PASSWORD.encode() not in file.read_bytes(), file
    socket, base = locked
    login = f"host={socket} user={LOCKED} dbname={base} password={PASSWORD}"
    with psycopg.connect(login) as server:
        tables = server.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        for (table,) in tables.fetchall():
            rows = server.execute(
                psycopg.sql.SQL("SELECT * FROM {}").format(psycopg.sql.Identifier(table))
            )
            assert PASSWORD not in str(rows.fetchall()), table


def test_a_wrong_password_is_a_sentence(locked, lcmis, tmp_path):
    socket, base = locked
    address = f"postgresql://{LOCKED}:canary-wrong@/{base}?host={socket}"
    code, out, errors = lcmis("show", "--store", address, "--pictures", tmp_path)
    assert code == 2
    assert len(errors.splitlines()) == 1
    assert "password" in errors
    assert "canary" not in out + errors
