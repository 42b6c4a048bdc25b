"""One engine for SQLite or PostgreSQL, and database errors as sentences."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

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
        StoreError: nothing is named, no URL, or a database that lcmis does not speak to.
    """
    text = str(path_or_url)
    if not text.strip():
        raise StoreError("no store is named: name a folder, or postgresql://…")
    if "://" not in text:
        return StorePlace(Path(text) / "facts.db", None, Path(text))
    try:
        text.encode()
        url = make_url(text)
        if "\0" in unquote(text):  # the server's library would read no further
            raise ValueError("it holds a NUL character")
    except (ArgumentError, ValueError) as error:  # the latter: a broken port, letter or address
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
        engine = create_engine(url, execution_options=options)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise StoreError(
            f"the driver for {url.drivername} is not installed: pip install psycopg[binary]"
        ) from error

    def connect(dialect: Any, _record: Any, arguments: Any, named: dict[str, Any]) -> Any:
        # Whatever the environment or the database itself would have us speak.
        named["client_encoding"] = "utf8"
        try:
            connection = dialect.connect(*arguments, **named)
        except UnicodeError as error:
            raise StoreError(
                f"the server of {name} has a name that no network knows ({error}): check its host"
            ) from error
        except dialect.loaded_dbapi.ProgrammingError as error:
            raise StoreError(
                f"{name} cannot be used ({_first_line(error)}): check what stands behind the `?`"
            ) from error
        if (kept_in := connection.info.parameter_status("server_encoding")) != "UTF8":
            connection.close()
            raise StoreError(
                f"{name} keeps its texts as {kept_in}, and lcmis needs UTF8: make another database "
                f"with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0, and name that one"
            )
        return connection

    if url.get_driver_name() == "psycopg":
        event.listen(engine, "do_connect", connect)
    return engine


@contextmanager
def sentences(place: str) -> Iterator[None]:
    """Turn what a database cannot do into a :class:`StoreError`; our own mistakes pass."""
    try:
        yield
    except DatabaseError as error:
        state = getattr(error.orig, "sqlstate", None)
        if state in _REFUSED:
            raise StoreError(_refusal(place, state, error)) from error
        if isinstance(error, IntegrityError | ProgrammingError | DataError | InternalError):
            raise
        raise StoreError(_sentence(place, error)) from error


_REFUSED = {
    "25006": (
        "is read-only",
        "name the server that takes what is new, or ask its owner to let you add to it",
    ),
    "3F000": (
        "has no schema that you may use",
        "name another one, or ask the owner of the database for GRANT USAGE, CREATE ON SCHEMA",
    ),
    "42501": (
        "does not give you that right",
        "ask the owner of the database to run this command",
    ),
    "53100": ("has no room", "free some space on the server's disk and run the command again"),
    "53200": ("has no memory left", "wait until others are done, then try again"),
    "53300": ("has no connection left", "wait until others are done, then try again"),
}
"""What a server refuses to whom it let in, by its SQLSTATE, and what to do; by the classes of their
errors most of these could be our own mistakes. Source: the manual of PostgreSQL, appendix A."""
_RIGHTS = {
    "CREATE": "ask the owner of the database for GRANT CREATE ON SCHEMA, or name a database of "
    "your own",
    "SELECT": "ask the owner of the database for GRANT SELECT ON ALL TABLES IN SCHEMA",
    "INSERT": "ask the owner of the database for GRANT INSERT ON ALL TABLES IN SCHEMA and GRANT "
    "USAGE ON ALL SEQUENCES IN SCHEMA",
}
"""What to ask for, by the first word of the statement that was refused; nobody but the owner of a
table may change it."""


def _refusal(place: str, state: str, error: DatabaseError) -> str:
    what, mending = _REFUSED[state]
    if state == "42501":
        first = (error.statement or "").split(maxsplit=1)[:1]
        mending = _RIGHTS.get(first[0].upper() if first else "", mending)
    return f"{place} {what} ({_first_line(error.orig)}): {mending}"


def _first_line(error: object) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


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
        case "":
            return (
                f"{place} cannot be used ({_first_line(error.orig)}): check that the server runs "
                "and lets you in"
            )
        case _:
            return (
                f"{place} cannot be used ({_first_line(error.orig)}): if another program has "
                "changed it, restore it from a copy"
            )
