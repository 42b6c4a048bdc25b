"""Opening a store: one engine, readers in any number, one writer at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from sqlalchemy import Connection

from lcmis.errors import StoreError
from lcmis.machine.interrupts import undisturbed
from lcmis.store import schema
from lcmis.store.connect import place_of, sentences
from lcmis.store.images import PictureFiles
from lcmis.store.places import pictures_at, remember_place, said_place
from lcmis.types import ConceptPair


class Door:
    """A database and a folder of pictures, opened together; every group of facts goes through it.

    :class:`lcmis.store.Store` says what the arguments are.
    """

    def __init__(
        self,
        path_or_url: str | Path,
        *,
        pictures: str | Path | None = None,
        read_only: bool = False,
        create: bool = False,
        wait_seconds: float = 30.0,
    ) -> None:
        place = place_of(path_or_url)
        self.read_only = read_only
        self._place = str(place)
        self._folder = place.folder
        if place.folder is None and pictures is None:
            raise StoreError(f"{place} says nothing of pictures: name a folder for them too")
        with sentences(self._place):
            # Looked at before it is changed in any way: it may be another program's.
            revision = schema.revision_at(place, wait_seconds=wait_seconds)
            newest = schema.head()
            schema.refuse_newer(self._place, revision, newest)
            if revision is None and (read_only or not create):
                raise StoreError(f"there is no audit at {place}: run `lcmis audit` first")
            if revision is not None and revision < newest:
                raise StoreError(
                    f"{place} was made by an older lcmis (schema {revision}, now {newest}): "
                    "run `lcmis db upgrade`"
                )
            if revision is None:
                place.make()
            self._pictures = pictures_at(said_place(place.folder, pictures))
            self._engine = place.engine(read_only=read_only, wait_seconds=wait_seconds)
            if revision is None:
                schema.upgrade(self._engine)
        self._read_pairs: dict[str, ConceptPair] = {}
        if place.folder is not None and not read_only:
            remember_place(place.folder, self._pictures)

    @property
    def pictures(self) -> PictureFiles:
        """Where the files lie: workers in other processes write to it too."""
        return self._pictures

    @property
    def folder(self) -> Path:
        """Where files that are no facts may lie: the facts' folder, else that of the pictures'.

        Raises:
            StoreError: neither facts nor pictures lie in a folder of this machine.
        """
        if self._folder is not None:
            return self._folder
        if not self._pictures.is_local:
            raise StoreError(
                f"{self._place} has neither its facts nor its pictures in a folder of this "
                f"machine, so there is no place for what can be computed again: bring the store "
                f"into a folder with `lcmis db move`"
            )
        return Path(self._pictures.address).parent

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with sentences(self._place), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        if self.read_only:
            raise StoreError(f"{self._place} was opened for reading: open it again to write")
        with undisturbed(), sentences(self._place), self._engine.connect() as bare:
            connection = bare.execution_options(writes=True)
            with connection.begin():
                yield connection
