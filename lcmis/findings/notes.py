"""What people wrote beside the facts: comments, tags and stars; which stand, and as files.

Notes are facts that decide nothing: no verdict and no rate depends on one.
"""

from __future__ import annotations

import dataclasses
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lcmis.errors import ConfigError, UnknownNameError
from lcmis.findings.labels import moment_of, now, rater_name
from lcmis.findings.sheets import Imported, Sheet
from lcmis.machine.letters import acts
from lcmis.store import Store
from lcmis.types import About, Note, NoteKind

LONGEST_COMMENT = 4000
LONGEST_TAG = 40


# ── saying something ─────────────────────────────────────────────────────────────────────────────


def written(about: About, subject: str, kind: NoteKind, text: str, rater: str) -> Note:
    """A note given now, as it is stored.

    Args:
        about: What kind of thing it is left on.
        subject: The key of that thing.
        kind: A comment, a tag or a star.
        text: Of a comment or a tag; a star has none.
        rater: Who says it.

    Raises:
        ConfigError: no name, or a text that is empty, too long, or no single line where one is
            wanted.
    """
    return Note(about, subject, kind, _text(kind, text), rater_name(rater), now())


def _text(kind: NoteKind, text: str) -> str:
    match kind:
        case NoteKind.STAR:
            if text:
                raise ConfigError("a star has no text: leave a comment beside it")
            return ""
        case NoteKind.TAG:
            return tag_name(text)
        case NoteKind.COMMENT:
            said = text.strip()
            if not said:
                raise ConfigError("an empty comment says nothing: write some words")
            if len(said) > LONGEST_COMMENT:
                raise ConfigError(
                    f"a comment has {LONGEST_COMMENT:,} letters at the most, this one "
                    f"{len(said):,}: write two, or a shorter one"
                )
            return said


def tag_name(text: str) -> str:
    """A tag as it is stored: composed letters, single spaces.

    Raises:
        ConfigError: it is empty, too long, or holds characters that cannot be seen.
    """
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not name:
        raise ConfigError("a tag without letters finds nothing: write a word")
    if len(name) > LONGEST_TAG:
        raise ConfigError(
            f"a tag has {LONGEST_TAG} letters at the most, this one {len(name):,}: write a comment"
        )
    if any(acts(letter) for letter in name):
        raise ConfigError(f"the tag {name!r} holds characters that cannot be seen: write it anew")
    return name


def withdrawal(note: Note, rater: str) -> Note:
    """What takes a note back, given now by anybody with a name.

    Raises:
        ConfigError: no name.
    """
    return dataclasses.replace(note, text="", rater=rater_name(rater), at=now(), withdraws=note.key)


# ── what stands ──────────────────────────────────────────────────────────────────────────────────


def standing(notes: Iterable[Note]) -> list[Note]:
    """Those that nobody took back, each saying once, by their times.

    The order of arrival does not matter: notes may come from several machines. A tag or a star
    that one person gave twice counts once.
    """
    every = list(notes)
    gone = {note.withdraws for note in every if note.withdraws}
    found: dict[tuple[str, ...], Note] = {}
    for note in sorted(every, key=lambda note: moment_of(note.at)):
        if note.withdraws or note.key in gone:
            continue
        said = (note.about, note.subject, note.kind, note.text, note.rater)
        found.setdefault((*said, note.at) if note.kind is NoteKind.COMMENT else said, note)
    return list(found.values())


def takes_back(notes: Iterable[Note], one: Note, rater: str) -> list[Note]:
    """The notes that take back ``one`` and all that say the same of the same thing by the same
    person: a star that was given in two browsers is gone after one click.

    Raises:
        ConfigError: no name.
    """
    every = list(notes)
    gone = {note.withdraws for note in every if note.withdraws}
    same = [
        note
        for note in every
        if not note.withdraws
        and note.key not in gone
        and (
            note.key == one.key
            or (note.kind is not NoteKind.COMMENT and dataclasses.replace(note, at=one.at) == one)
        )
    ]
    return [withdrawal(note, rater) for note in same]


@dataclass(frozen=True, slots=True)
class Noted:
    """All that people left on one thing."""

    comments: tuple[Note, ...] = ()
    """The newest last."""
    tags: tuple[str, ...] = ()
    """By the alphabet."""
    stars: tuple[str, ...] = ()
    """Who gave one, by the alphabet."""

    def __bool__(self) -> bool:
        return bool(self.comments or self.tags or self.stars)

    def __or__(self, other: Noted) -> Noted:
        """What was left on two things together."""
        comments = sorted((*self.comments, *other.comments), key=lambda note: moment_of(note.at))
        return Noted(
            tuple(comments),
            tuple(sorted({*self.tags, *other.tags})),
            tuple(sorted({*self.stars, *other.stars})),
        )

    def as_record(self) -> dict[str, Any]:
        """In the types of JSON, with the same names in every file."""
        return {
            "tags": list(self.tags),
            "stars": list(self.stars),
            "comments": [f"{note.rater}: {note.text}" for note in self.comments],
        }


NOTHING = Noted()


def noted(notes: Iterable[Note]) -> dict[tuple[About, str], Noted]:
    """What stands of notes, by what it is about."""
    by_subject: dict[tuple[About, str], list[Note]] = defaultdict(list)
    for note in standing(notes):
        by_subject[note.about, note.subject].append(note)
    return {place: _gathered(some) for place, some in by_subject.items()}


def _gathered(notes: Sequence[Note]) -> Noted:
    return Noted(
        comments=tuple(note for note in notes if note.kind is NoteKind.COMMENT),
        tags=tuple(sorted({note.text for note in notes if note.kind is NoteKind.TAG})),
        stars=tuple(sorted({note.rater for note in notes if note.kind is NoteKind.STAR})),
    )


def noted_on(store: Store, about: About, subject: str) -> Noted:
    """What stands of the notes on one thing."""
    return noted(store.notes(about, subject)).get((about, subject), NOTHING)


@dataclass(frozen=True, slots=True)
class Noticed:
    """A thing with notes, and how people call it."""

    about: About
    subject: str
    prompt: str
    model: str
    """Empty for a pair."""
    seed: int | None
    """Of a picture."""
    noted: Noted


def find_notes(
    store: Store, wanted: Mapping[tuple[About, str], Noted] | None = None
) -> list[Noticed]:
    """Everything that has notes, with its prompt, model and seed; starred first, then by prompt.

    Args:
        store: The facts.
        wanted: What stands, where somebody has read it already.
    """
    found = noted(store.notes()) if wanted is None else wanted
    drawn = store.renders_of(key for about, key in found if about is About.PICTURE)
    pairs = {pair.key: pair for pair in store.pairs()}
    nominated = {}
    if any(about is About.REPAIR for about, _ in found):
        nominated = {one.key: one for one in store.nominations()}
    told = []
    for (about, subject), one in found.items():
        match about:
            case About.PICTURE:
                spec = drawn[subject][0]
                told.append(Noticed(about, subject, spec.prompt, spec.model, spec.seed, one))
            case About.PAIR:
                told.append(Noticed(about, subject, pairs[subject].prompt, "", None, one))
            case About.REPAIR:
                chosen = nominated[subject]
                prompt = pairs[chosen.pair].prompt
                told.append(Noticed(about, subject, prompt, chosen.model, None, one))
    return sorted(
        told,
        key=lambda one: (-len(one.noted.stars), one.prompt, one.about, one.model, one.seed or 0),
    )


# ── files ────────────────────────────────────────────────────────────────────────────────────────

SHEET = Sheet(
    "notes",
    columns=(
        *("about", "subject", "kind", "text", "rater", "at", "withdraws"),
        *("key", "stands", "prompt", "model", "seed"),
    ),
    needed=("about", "subject", "kind", "text", "rater", "at", "withdraws"),
    exported_by="lcmis note --export",
    endings=(".csv", ".jsonl", ".parquet"),
    arrow_kinds={"stands": "bool", "seed": "int64"},
)
"""What is not needed is for people."""


def export_notes(store: Store, path: Path) -> int:
    """Write every note, those taken back too, as CSV, JSON lines or Parquet by the file's ending.

    Returns:
        How many.

    Raises:
        ConfigError: the ending is another one, or the file cannot be written.
    """
    return SHEET.write(path, _rows(store))


def _rows(store: Store) -> list[dict[str, Any]]:
    every = store.notes()
    stand = {note.key for note in standing(every)}
    places = {(note.about, note.subject): NOTHING for note in every}
    called = {(one.about, one.subject): one for one in find_notes(store, places)}
    rows = []
    for note in every:
        thing = called[note.about, note.subject]
        rows.append(
            {
                **{name: str(getattr(note, name)) for name in SHEET.needed},
                "key": note.key,
                "stands": note.key in stand,
                "prompt": thing.prompt,
                "model": thing.model,
                "seed": thing.seed,
            }
        )
    return rows


def import_notes(store: Store, path: Path) -> Imported:
    """Add the notes of a file, all or none; those that are there stay as they are.

    Raises:
        ConfigError: the file cannot be read, or a line is no note or speaks of what this store
            does not have; each such line is named.
    """
    there = _Subjects(store)
    found = SHEET.all_of(path, SHEET.read(path), lambda row: there.checked(_note(row)))
    added = store.add_notes(found)
    return Imported(added=added, known=len(found) - added)


class _Subjects:
    """What notes of a file may be about."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[tuple[About, str], bool] = {}
        self._pairs = {pair.key for pair in store.pairs()}
        self._nominated = {one.key for one in store.nominations()}

    def checked(self, note: Note) -> Note:
        match note.about:
            case About.PAIR:
                known = note.subject in self._pairs
            case About.REPAIR:
                known = note.subject in self._nominated
            case About.PICTURE:
                place = (note.about, note.subject)
                if place not in self._known:
                    self._known[place] = bool(self._store.renders_of([note.subject]))
                known = self._known[place]
        if not known:
            raise UnknownNameError(f"no {note.about} in the store has the key {note.subject!r}")
        return note


def _note(row: Mapping[str, Any]) -> Note:
    lacking = [name for name in SHEET.needed if not isinstance(row.get(name), str)]
    if lacking:
        raise ConfigError(f"there is no {' and no '.join(lacking)} in it")
    try:
        about, kind = About(row["about"]), NoteKind(row["kind"])
    except ValueError as error:
        raise ConfigError(
            f"{error}: a note is about {', '.join(About)}, and a {', '.join(NoteKind)}"
        ) from error
    text = row["text"]
    if row["withdraws"]:
        if text:
            raise ConfigError("what takes a note back has no text of its own")
    elif _text(kind, text) != text:
        raise ConfigError(f"the {kind} {text!r} is stored as {_text(kind, text)!r}: write it so")
    if rater_name(row["rater"]) != row["rater"]:
        raise ConfigError(f"the rater {row['rater']!r} is stored otherwise: write the name so")
    moment_of(row["at"])
    return Note(about, row["subject"], kind, text, row["rater"], row["at"], row["withdraws"])
