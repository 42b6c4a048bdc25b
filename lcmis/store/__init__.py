"""The one door to the database: facts go in once, and come out as values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from sqlalchemy import Select, func, select

from lcmis.errors import StoreError
from lcmis.machine.pictures import picture_hash
from lcmis.store import documents, schema
from lcmis.store.asked import RunDoor, add_shifts
from lcmis.store.connect import sentences
from lcmis.store.evidence import Evidence
from lcmis.store.failures import FailureDoor, insert_failure, still_failed
from lcmis.store.images import is_hash
from lcmis.store.labels import LabelDoor
from lcmis.store.notes import NoteDoor
from lcmis.store.pictures import Drawn, Listed, PictureDoor, add_drawn, add_links, unlinked
from lcmis.store.scores import ScoreDoor, add_answers
from lcmis.store.searches import SearchDoor, add_exchanges
from lcmis.store.tables import (
    DismissalRow,
    ExchangeRow,
    FailureRow,
    LabelRow,
    NominationRow,
    NoteRow,
    PairRenderRow,
    PairRow,
    QuestionRow,
    RenderRow,
    RunRow,
    ScoreRow,
    ShiftRow,
    TrialRow,
)
from lcmis.types import ConceptPair, Exchange, Failure, Question, Score, Shift

__all__ = ["Drawn", "Evidence", "Growth", "Listed", "Store", "StoreCounts", "picture_hash"]


@dataclass(frozen=True, slots=True)
class StoreCounts:
    """How much is stored."""

    pairs: int
    renders: int
    scores: int
    failures: int
    """Those not mended since."""
    picture_bytes: int


@dataclass(frozen=True, slots=True)
class Growth:
    """How many facts of each kind are kept. Facts are only added: equal growth, equal store."""

    runs: int
    shifts: int
    pairs: int
    links: int
    """Pictures linked to pairs: two pairs of one prompt share theirs."""
    renders: int
    scores: int
    labels: int
    notes: int
    trials: int
    nominations: int
    exchanges: int
    failures: int
    """Those mended since too."""
    dismissals: int


class Store(RunDoor, PictureDoor, ScoreDoor, SearchDoor, LabelDoor, NoteDoor, FailureDoor):
    """Runs, pairs, pictures, scores, labels, notes and failures of an audit, each kept once.

    A path names a folder: facts in ``facts.db``, pictures in ``pictures/`` unless said. A URL names
    a database and needs the place of its pictures: a folder, or an address such as
    ``s3://bucket/prefix``. Any number of readers, in any thread; one writer at a time, the others
    wait.

    Args:
        path_or_url: the audit's folder, or a database URL (anything with ``://``).
        pictures: where the pictures lie; beside the facts unless said.
        read_only: refuse to change anything; a missing store is not made.
        create: make what is missing.
        wait_seconds: how long to wait for another writer.

    Raises:
        StoreError: there is no store and none is to be made; it is older or newer than this lcmis,
            another program's, damaged, locked, or out of reach.
    """

    def add_many(
        self,
        drawn: Sequence[Drawn] = (),
        scores: Sequence[Score] = (),
        questions: Iterable[Question] = (),
        *,
        links: Mapping[str, Sequence[str]] | None = None,
        exchanges: Sequence[Exchange] = (),
        failures: Sequence[Failure] = (),
        shifts: Sequence[Shift] = (),
    ) -> None:
        """Keep facts of many kinds, all of them or none: files first, then one transaction.

        For whoever gathers what several hands made. What is there stays as it is, so that the same
        facts may come again after a kill.

        Args:
            drawn: pictures; those with ``num_bytes`` have their files among the pictures already.
            scores: answers about these pictures, or about others that are in the store.
            questions: those that were answered.
            links: pair key → spec keys of pictures drawn for another pair, which are its too.
            exchanges: what services were asked and said.
            failures: what failed, counted after all else is there.
            shifts: what workers did.

        Raises:
            UnknownNameError: a pair, a picture or a question is not in the store.
            StoreError: no room or no permission to write.
            ValueError: a render does not belong to its spec or its image.
        """
        if links and not (drawn or scores or exchanges or failures or shifts):
            with self._reading() as connection:
                if not unlinked(connection, links):
                    return
        new, sizes = self._file(drawn)
        with self._writing() as connection:
            if drawn:
                add_drawn(connection, drawn, new, sizes)
            if links:
                add_links(connection, links)
            if scores:
                add_answers(connection, scores, questions)
            add_exchanges(connection, exchanges)
            for failure in failures:
                insert_failure(connection, failure)
            add_shifts(connection, shifts)

    def counts(self) -> StoreCounts:
        """How much is stored."""
        files = select(func.max(RenderRow.num_bytes).label("size")).group_by(RenderRow.sha256)
        with self._reading() as connection:

            def count(statement: Select[Any]) -> int:
                return int(connection.execute(statement).scalar_one())

            return StoreCounts(
                pairs=count(select(func.count()).select_from(PairRow)),
                renders=count(select(func.count()).select_from(RenderRow)),
                scores=count(select(func.count()).select_from(ScoreRow)),
                failures=count(select(func.count()).where(still_failed())),
                picture_bytes=count(select(func.coalesce(func.sum(files.subquery().c.size), 0))),
            )

    def growth(self) -> Growth:
        """How many facts of each kind there are; asked every few seconds, so it is quick."""
        tables = {
            "runs": RunRow,
            "shifts": ShiftRow,
            "pairs": PairRow,
            "links": PairRenderRow,
            "renders": RenderRow,
            "scores": ScoreRow,
            "labels": LabelRow,
            "notes": NoteRow,
            "trials": TrialRow,
            "nominations": NominationRow,
            "exchanges": ExchangeRow,
            "failures": FailureRow,
            "dismissals": DismissalRow,
        }
        counts = [
            select(func.count()).select_from(table).scalar_subquery().label(name)
            for name, table in tables.items()
        ]
        with self._reading() as connection:
            return Growth(**connection.execute(select(*counts)).one()._asdict())

    def drift(self) -> list[str]:
        """Where the database's schema differs from this lcmis's, one sentence each."""
        with sentences(self._place):
            return [f"{self._place}: {line}" for line in schema.check(self._engine)]

    def verify(self) -> Iterator[str]:
        """Hash every picture and every value again; one sentence for each that disagrees.

        Files that are named as pictures are and belong to none are named too; others there are not
        ours.
        """
        with self._reading() as connection:
            if connection.dialect.name == "sqlite":
                for (finding,) in connection.exec_driver_sql("PRAGMA integrity_check"):
                    if finding != "ok":
                        yield f"{self._place} is damaged: {finding}"
        for kind, table, noun in (
            (ConceptPair, PairRow, "pair"),
            (Question, QuestionRow, "question"),
        ):
            for key, document in self._kept(table):
                if documents.key(kind, document) != key:
                    yield f"the {noun} {key} is not what its key says"
        for note, key in self._kept_notes():
            if note.key != key:
                yield f"the note {key} is not what its key says"
        known = set()
        for key, sha256, document in self._kept_specs():
            if documents.spec_key(document) != key:
                yield f"the spec {key} is not what its key says"
            if sha256 and sha256 not in known:
                known.add(sha256)
                try:
                    self.image(sha256)
                except StoreError as error:
                    yield str(error)
        expected = {self.image_place(sha256) for sha256 in known}
        for path in self._pictures.files():
            if path not in expected and self._is_named_as_ours(path):
                yield f"{path} belongs to no picture in the store; it can be deleted"

    def _is_named_as_ours(self, path: str) -> bool:
        """Whether it lies where the picture of the hash would that it is called by."""
        name = PurePath(path).stem
        return is_hash(name) and self._pictures.place(name) == path

    def _kept(self, table: type[PairRow | QuestionRow]) -> Iterator[tuple[str, str]]:
        """Key and document of every row, as they lie there."""
        with self._reading() as connection:
            yield from connection.execute(select(table.key, table.document)).tuples()
