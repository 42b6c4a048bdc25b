"""Upgrade a database to the newest revision, and compare it with the tables.

Revisions are four digits, so that older and newer are plain to see; migrations are the only way
to make a schema.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from lcmis.errors import StoreError
from lcmis.machine.paths import shipped
from lcmis.store.connect import StorePlace, place_of, sentences
from lcmis.store.tables import Base

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection, Engine

_REVISION = re.compile(r"[0-9]{4}")
_LOCK = 5_113_740_011_204_417_001  # any number, as long as every lcmis takes the same one


def head(folder: Path | None = None) -> str:
    """The newest revision that this installation knows, e.g. ``"0001"``."""
    folder = folder or shipped("migrations")
    return max(path.name[:4] for path in (folder / "versions").glob("[0-9]*_*.py"))


def revision_at(place: StorePlace, *, wait_seconds: float = 30.0) -> str | None:
    """The revision of a database that is only looked at; None where there is none yet.

    Raises:
        StoreError: it holds tables that lcmis did not make, or may not be looked at.
    """
    if not place.exists():
        return None
    engine = place.engine(read_only=True, wait_seconds=wait_seconds)
    try:
        return current(engine)
    finally:
        engine.dispose()


def current(engine: Engine) -> str | None:
    """The revision of a database; None for an empty one.

    Raises:
        StoreError: it holds tables that lcmis did not make.
    """
    with engine.connect() as connection:
        names = set(inspect(connection).get_table_names())
        if not names:
            return None
        revision = None
        if "alembic_version" in names:
            revision = connection.scalar(text("SELECT version_num FROM alembic_version"))
            if revision is None and names == {"alembic_version"}:
                return None
        if not {"renders", "scores"} <= names or not _REVISION.fullmatch(revision or ""):
            raise StoreError(
                f"{_place(engine)} is a database of another program: name another folder or URL"
            )
        return str(revision)


def upgrade_store(path_or_url: str | Path) -> str:
    """Bring a store to the newest revision, and say in one sentence what was done.

    Raises:
        StoreError: there is none, or it is not one that this lcmis can upgrade.
    """
    place = place_of(path_or_url)
    with sentences(str(place)):
        revision = revision_at(place)
        if revision is None:
            raise StoreError(f"there is no audit at {place}: run `lcmis audit` first")
        if revision == head():
            return f"{place} is up to date (schema {revision})"
        engine = place.engine(read_only=False)
        try:
            copy = upgrade(engine)
        finally:
            engine.dispose()
        kept = f"; the old database is kept as {copy}" if copy else ""
        return f"{place} is upgraded from schema {revision} to {head()}{kept}"


def upgrade(engine: Engine, folder: Path | None = None) -> Path | None:
    """Bring a database to the newest revision, whole or not at all.

    Returns:
        The copy made of an SQLite file before it was changed; None where nothing was there to
        lose.

    Raises:
        StoreError: the database is another program's, or made by a newer lcmis.
    """
    folder = folder or shipped("migrations")
    revision = current(engine)
    newest = head(folder)
    refuse_newer(_place(engine), revision, newest)
    if revision == newest:
        return None
    copy = _copy(engine, revision) if revision is not None else None
    _migrate(engine, folder, newest)
    return copy


def downgrade(engine: Engine, revision: str, folder: Path | None = None) -> None:
    """Go back to an older revision (``"base"`` drops all); for tests of the migrations."""
    _migrate(engine, folder or shipped("migrations"), revision, down=True)


def refuse_newer(place: str, revision: str | None, newest: str) -> None:
    """Stop before a database from the future.

    Raises:
        StoreError: its revision is beyond ``newest``.
    """
    if revision is not None and revision > newest:
        raise StoreError(
            f"{place} was made by a newer lcmis (schema {revision}, this one knows "
            f"{newest}): upgrade lcmis"
        )


def check(engine: Engine) -> list[str]:
    """Where a database differs from the tables, one line each; empty when it does not."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        return [str(difference) for difference in compare_metadata(context, Base.metadata)]


def _migrate(engine: Engine, folder: Path, revision: str, *, down: bool = False) -> None:
    from alembic import command

    with engine.connect() as bare:
        connection = bare.execution_options(writes=True)
        sqlite = connection.dialect.name == "sqlite"
        if sqlite:  # inside a transaction SQLite ignores this; tables could not be rebuilt with it
            _outside(connection, "PRAGMA foreign_keys=OFF")
        try:
            with connection.begin():
                if connection.dialect.name == "postgresql":
                    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
                (command.downgrade if down else command.upgrade)(
                    _config(folder, connection), revision
                )
                if sqlite and (
                    torn := connection.exec_driver_sql("PRAGMA foreign_key_check").first()
                ):
                    raise StoreError(
                        f"{_place(engine)} cannot be upgraded, a row of {torn[0]} points nowhere: "
                        "restore the database from a copy"
                    )
        finally:
            if sqlite:
                _outside(connection, "PRAGMA foreign_keys=ON")


def _outside(connection: Connection, statement: str) -> None:
    raw = connection.connection.driver_connection
    assert raw is not None
    raw.execute(statement)


def _config(folder: Path, connection: Connection) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _copy(engine: Engine, revision: str) -> Path | None:
    if engine.dialect.name != "sqlite":
        return None
    with engine.connect() as connection:
        source = connection.connection.driver_connection
        assert source is not None
        path = Path(source.execute("PRAGMA database_list").fetchone()[2])
        copy = path.with_name(f"{path.stem}-schema-{revision}{path.suffix}")
        with closing(sqlite3.connect(copy)) as target:
            source.backup(target)
    return copy


def _place(engine: Engine) -> str:
    return str(engine.get_execution_options().get("place") or engine.url)
