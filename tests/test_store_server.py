"""A server that lets lcmis in, but not do all it wants: one sentence each, and whom to ask."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from worlds import facts
from worlds.facts import (
    CHECKER,
    answer_all,
    connected,
    make_drawn,
    make_pair,
    make_spec,
    socket_of,
)

from lcmis.errors import StoreError
from lcmis.store import Store
from lcmis.store.connect import place_of, sentences

folder = facts.folder
postgresql = facts.postgresql

READ_ONLY = "-cdefault_transaction_read_only%3Don"


@pytest.fixture
def schema(postgresql: str, tmp_path: Path) -> str:
    """A fresh one, of the server's owner."""
    return facts.in_schema(postgresql, tmp_path).partition("search_path%3D")[2]


@pytest.fixture
def guest(postgresql: str, tmp_path: Path) -> Iterator[str]:
    """Somebody who may enter, and nothing else."""
    name = f"g{uuid.uuid5(uuid.NAMESPACE_OID, str(tmp_path)).hex}"
    with connected(postgresql) as server:
        server.execute(f"CREATE ROLE {name} LOGIN")
        yield name
        server.execute(f"DROP OWNED BY {name}")
        server.execute(f"DROP ROLE {name}")


@pytest.fixture
def url(postgresql: str, schema: str):
    """Of the schema, for a role and with settings of its own."""

    def made(role: str = "lcmis", database: str = "postgres", settings: str = "") -> str:
        options = f"-csearch_path%3D{schema}%20{settings}"
        return f"postgresql://{role}@/{database}?host={socket_of(postgresql)}&options={options}"

    return made


def grant(server_url: str, rights: str, schema: str, role: str) -> None:
    with connected(server_url) as server:
        server.execute(f"GRANT {rights} SCHEMA {schema} TO {role}")


def told(*words: object, lcmis) -> str:
    """What a command says that ends with code 2: one line."""
    code, out, err = lcmis(*words)
    assert (code, out) == (2, ""), err
    assert err.count("\n") == 1
    return err


def test_each_right_that_lacks_is_named_and_is_enough(
    postgresql, schema, guest, url, folder, tmp_path, lcmis
):
    mine, there = url(guest), ("--pictures", tmp_path / "pictures")
    move = ("db", "move", "--store", folder, "--to", mine, "--to-pictures", tmp_path / "pictures")
    said = told(*move, lcmis=lcmis)
    assert "has no schema that you may use (" in said
    assert "ask the owner of the database for GRANT USAGE, CREATE ON SCHEMA" in said
    grant(postgresql, "USAGE ON", schema, guest)
    said = told(*move, lcmis=lcmis)
    assert f"does not give you that right (permission denied for schema {schema}): ask " in said
    assert "GRANT CREATE ON SCHEMA, or name a database of your own" in said

    with Store(url(), pictures=tmp_path / "pictures", create=True) as store:
        store.add_pairs([make_pair("mug")])
    said = told("show", "--store", mine, *there, lcmis=lcmis)
    assert "permission denied for table" in said
    assert "for GRANT SELECT ON ALL TABLES IN SCHEMA\n" in said
    grant(postgresql, "SELECT ON ALL TABLES IN", schema, guest)
    assert lcmis("db", "check", "--store", mine, *there)[0] == 0

    merge = ("db", "merge", folder, "--store", mine, *there)
    needed = "GRANT INSERT ON ALL TABLES IN SCHEMA and GRANT USAGE ON ALL SEQUENCES IN SCHEMA\n"
    assert needed in told(*merge, lcmis=lcmis)
    grant(postgresql, "INSERT ON ALL TABLES IN", schema, guest)
    assert needed in told(*merge, lcmis=lcmis)
    grant(postgresql, "USAGE ON ALL SEQUENCES IN", schema, guest)
    assert lcmis(*merge)[0] == 0
    with Store(mine, pictures=tmp_path / "pictures") as store:
        pair = make_pair()
        store.add_scores(*answer_all(make_spec(pair), pair, random.Random(0)))
        assert len(store.evidence(CHECKER)) == 1

    with connected(postgresql) as server:
        server.execute(f"UPDATE {schema}.alembic_version SET version_num = '0001'")
    said = told("db", "upgrade", "--store", mine, lcmis=lcmis)
    assert "does not give you that right (" in said


def test_a_read_only_server_shows_a_store_and_takes_nothing(url, folder, tmp_path, lcmis):
    pictures = tmp_path / "pictures"
    closed = url(settings=READ_ONLY)
    move = ("db", "move", "--store", folder, "--to", closed, "--to-pictures", pictures)
    assert "is read-only (cannot execute CREATE TABLE in" in told(*move, lcmis=lcmis)
    with Store(url(), pictures=pictures, create=True):
        pass
    assert lcmis("db", "check", "--store", closed, "--pictures", pictures)[0] == 0
    said = told("db", "merge", folder, "--store", closed, "--pictures", pictures, lcmis=lcmis)
    assert "is read-only (cannot execute INSERT in" in said
    assert "name the server that takes what is new, or ask its owner to let you" in said


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_has_not_every_letter_is_refused_before_anything_is_made(
    postgresql, tmp_path, url, encoding
):
    name = f"t{uuid.uuid5(uuid.NAMESPACE_OID, str(tmp_path)).hex}"
    with connected(postgresql) as server:
        server.execute(
            f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
        )
    with pytest.raises(StoreError) as caught:
        Store(url(database=name), pictures=tmp_path, create=True)
    assert f"keeps its texts as {encoding}, and lcmis needs UTF8: make another" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_letters_arrive_whatever_this_machine_is_set_to(url, tmp_path, monkeypatch):
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    pair = make_pair("茶碗", "コーラ")
    for asked in (url(), f"{url()}&client_encoding=latin1"):
        with Store(asked, pictures=tmp_path, create=True) as store:
            store.add_pairs([pair])
            store.add_renders([make_drawn(pair, make_spec(pair))])
            assert store.pairs() == [pair]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("postgresql://\udcff/x", "cannot be read as a database URL"),
        ("postgresql://host/\udcff", "cannot be read as a database URL"),
        ("postgresql://host/a%00b", "cannot be read as a database URL"),
        (f"postgresql://{'a' * 70}/x", "has a name that no network knows (.*): check its host"),
        (
            "postgresql://127.0.0.1:1/y?nonsense=1",
            'option "nonsense".*: check what stands behind',
        ),
        ("postgresql://127.0.0.1:1/y?connect_timeout=abc", "'abc'.*: check what stands behind"),
        ("postgresql://localhost:99999/y", "invalid port"),
    ],
)
def test_an_address_that_leads_nowhere_is_a_sentence(tmp_path: Path, address: str, said: str):
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    with pytest.raises(StoreError, match=said):
        Store(address, pictures=tmp_path)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("53100", "here has no room (it says so): free some space on the server's disk"),
        ("53200", "here has no memory left (it says so): wait until others are done"),
        ("53300", "here has no connection left (it says so): wait until others are done"),
        ("42501", "here does not give you that right (it says so): ask the owner of the database"),
    ],
)
def test_what_a_server_has_no_more_of_is_said(state: str, said: str):
    from sqlalchemy.exc import DBAPIError, ProgrammingError

    psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed")
    refused = psycopg.errors.lookup(state)("it says so\nLINE 2: …")
    with pytest.raises(StoreError) as told, sentences("here"):
        raise DBAPIError.instance("ALTER TABLE", {}, refused, psycopg.Error)
    assert str(told.value).startswith(said)
    mistake = psycopg.errors.lookup("42601")("no SQL")  # ours, and a traceback is right
    with pytest.raises(ProgrammingError), sentences("here"):
        raise DBAPIError.instance("SELCT", {}, mistake, psycopg.Error, dialect=_dialect())


def _dialect():
    engine = place_of("postgresql://host/db").engine(read_only=True)
    return engine.dialect
