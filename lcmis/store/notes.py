"""Words that people left on pictures, pairs and repairs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, Row, select

from lcmis.errors import UnknownNameError
from lcmis.store import documents
from lcmis.store.door import Door
from lcmis.store.rows import ids_of, insert_new
from lcmis.store.tables import NominationRow, NoteRow, PairRow, RenderRow
from lcmis.types import About, Note, NoteKind

_SUBJECTS = {
    About.PICTURE: (RenderRow.spec_key, RenderRow.id),
    About.PAIR: (PairRow.key, PairRow.id),
    About.REPAIR: (NominationRow.key, NominationRow.id),
}
_COLUMNS = ("about", "subject", "kind", "text", "rater", "at", "withdraws")


class NoteDoor(Door):
    """Notes, each kept as it was left."""

    def add_notes(self, notes: Sequence[Note]) -> int:
        """Keep what people said, all or nothing; what is there stays as it is.

        Returns:
            How many were new.

        Raises:
            UnknownNameError: what a note is about is not in the store.
            StoreError: a text that no database keeps, or no room or permission to write.
        """
        rows = [_row(note) for note in dict.fromkeys(notes)]
        with self._writing() as connection:
            _refuse_unknown(connection, notes)
            known = ids_of(connection, NoteRow.key, NoteRow.id, [row["key"] for row in rows])
            new = [row for row in rows if row["key"] not in known]
            insert_new(connection, NoteRow, new)
        return len(new)

    def notes(self, about: About | None = None, subject: str | None = None) -> list[Note]:
        """What people said, those taken back too, in the order of arrival.

        Args:
            about: Only of pictures, of pairs, or of repairs.
            subject: Only of the one with this key.
        """
        statement = _NOTES.order_by(NoteRow.id)
        if about is not None:
            statement = statement.where(NoteRow.about == about.value)
        if subject is not None:
            statement = statement.where(NoteRow.subject == subject)
        with self._reading() as connection:
            return [note for _, note in map(_read, connection.execute(statement))]

    def tags(self) -> list[str]:
        """Every tag that was ever given, by the alphabet."""
        statement = select(NoteRow.text).where(
            NoteRow.kind == NoteKind.TAG.value, NoteRow.withdraws == ""
        )
        with self._reading() as connection:
            return list(connection.scalars(statement.distinct().order_by(NoteRow.text)))

    def _kept_notes(self) -> Iterator[tuple[Note, str]]:
        """Each with the key that it was kept under."""
        with self._reading() as connection:
            for key, note in map(_read, connection.execute(_NOTES.order_by(NoteRow.id))):
                yield note, key


_NOTES = select(NoteRow.key, *(getattr(NoteRow, name) for name in _COLUMNS))


def _read(row: Row[*tuple[str, ...]]) -> tuple[str, Note]:
    key, about, subject, kind, *others = row
    return key, Note(About(about), subject, NoteKind(kind), *others)


def _row(note: Note) -> dict[str, str]:
    texts = {name: str(getattr(note, name)) for name in _COLUMNS}
    for name, text in texts.items():
        documents.refuse_broken(text, f"note.{name}")
    return {"key": note.key, **texts}


def _refuse_unknown(connection: Connection, notes: Sequence[Note]) -> None:
    for about, (key, number) in _SUBJECTS.items():
        wanted = list(dict.fromkeys(note.subject for note in notes if note.about is about))
        known = ids_of(connection, key, number, wanted)
        if absent := [subject for subject in wanted if subject not in known]:
            raise UnknownNameError(f"no {about} in the store has the key {absent[0]!r}")
