"""One engine for SQLite or PostgreSQL, and database errors as sentences."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DataError,
    IntegrityError,
    InternalError,
    NoSuchModuleError,
    ProgrammingError,
)
from sqlalchemy.pool import QueuePool

from lcmis.errors import StoreError
from lcmis.machine.secrets import withheld

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL, Connection, Engine


@dataclass(frozen=True, slots=True)
class StorePlace:
    """Where a store's facts lie: an SQLite file or a PostgreSQL database."""

    file: Path | None
    url: URL | None
    folder: Path | None = None
    """The audit's folder, if that is what was named."""

    def __str__(self) -> str:
        """For people: passwords are left out."""
        if self.url is not None:
            return withheld(self.url.render_as_string(hide_password=True))  # also in its query
        return str(self.folder or self.file)

    def exists(self) -> bool:
        """Whether there is a file; a server is asked when it is used.

        Raises:
            StoreError: no permission to look.
        """
        try:
            return self.file is None or self.file.exists()
        except OSError as error:
            raise StoreError(
                f"{self} cannot be looked at ({error.strerror}): check who owns the folder"
            ) from error

    def make(self) -> None:
        """Make the folder that an SQLite file needs.

        Raises:
            StoreError: no permission, no room, or a file is in the way.
        """
        if self.file is not None:
            try:
                self.file.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreError(
                    f"the folder {self.file.parent} cannot be made ({error.strerror}): "
                    "name another one"
                ) from error

    def engine(self, *, read_only: bool, wait_seconds: float = 30.0) -> Engine:
        """A fresh engine; nothing is opened until it is used.

        Raises:
            StoreError: the database's driver is not installed.
        """
        if self.file is not None:
            return _sqlite_engine(self.file, str(self), read_only, wait_seconds)
        assert self.url is not None
        return _postgresql_engine(self.url, str(self), read_only)


def place_of(path_or_url: str | Path) -> StorePlace:
    """Read where a store lies; anything with ``://`` is a URL, the rest a folder.

    Raises:
        StoreError: it is no URL, or of a database that lcmis does not speak to.
    """
    text = str(path_or_url)
    if "://" not in text:
        return StorePlace(Path(text) / "facts.db", None, Path(text))
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:  # ValueError: a broken port or IPv6 address
        raise StoreError(
            "that address cannot be read as a database URL: name a folder, or postgresql://…"
        ) from error
    if url.get_backend_name() == "sqlite" and url.database:
        return StorePlace(Path(url.database), None)
    if url.get_backend_name() != "postgresql":
        raise StoreError(
            f"lcmis keeps its facts in an SQLite file or in PostgreSQL, not in {url!r}: "
            "name a folder, or postgresql://…"
        )
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    return StorePlace(None, url)


def _sqlite_engine(path: Path, name: str, read_only: bool, wait_seconds: float) -> Engine:
    def connect() -> sqlite3.Connection:
        # A path with a space, `#` or `%` survives only as a URI.
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}",
            uri=True,
            timeout=wait_seconds,
            isolation_level=None,
            check_same_thread=False,  # the pool lends a connection to one thread at a time
        )
        if read_only:
            connection.execute("PRAGMA query_only=ON")
        else:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA foreign_keys=ON")
        return connection

    engine = create_engine(
        "sqlite://",
        creator=connect,
        poolclass=QueuePool,
        execution_options={"place": name},
    )
    event.listen(engine, "begin", _begin)
    return engine


def _begin(connection: Connection) -> None:
    # A writer that begins as a reader cannot wait for its turn: it fails with "locked".
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgresql_engine(url: URL, name: str, read_only: bool) -> Engine:
    options: dict[str, Any] = {"place": name}
    if read_only:
        options["postgresql_readonly"] = True
    try:
        return create_engine(url, execution_options=options)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise StoreError(
            f"the driver for {url.drivername} is not installed: pip install psycopg[binary]"
        ) from error


@contextmanager
def sentences(place: str) -> Iterator[None]:
    """Turn what a database cannot do into a :class:`StoreError`; our own mistakes pass."""
    try:
        yield
    except (IntegrityError, ProgrammingError, DataError, InternalError):
        raise
    except DatabaseError as error:
        raise StoreError(_sentence(place, error)) from error


def _sentence(place: str, error: DatabaseError) -> str:
    name = getattr(error.orig, "sqlite_errorname", "")
    match name.split("_")[1] if name else "":
        case "BUSY" | "LOCKED":
            return f"{place} is locked by another program: wait until it is done, then try again"
        case "NOTADB":
            return f"{place} is not a database: name another folder, or move this file away"
        case "CORRUPT":
            return f"{place} is damaged: restore it from a copy"
        case "READONLY" | "PERM" | "AUTH":
            return f"{place} cannot be written: check who owns the folder and its disk"
        case "FULL" | "IOERR":
            return (
                f"{place} cannot be read or written, {error.orig}: free some space on this disk, "
                "check it, and run the command again"
            )
        case "CANTOPEN":
            return (
                f"{place} cannot be opened: check that you may read it and write to its folder "
                "(even a reader needs an index there), or copy it to a folder of your own"
            )
        case _:
            first = str(error.orig).strip().splitlines()[0]
            return f"{place} cannot be used ({first}): check that the server runs and lets you in"
