"""Pictures made elsewhere → a manifest that a folder model reads, each picture opened once."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lcmis.errors import ConfigError
from lcmis.machine.hub import safe_name
from lcmis.machine.pictures import (
    BROKEN,
    IMPORTED,
    LARGEST_PICTURE,
    MANIFESTS,
    TooLargeError,
    UnscaledError,
    flat,
    opened,
    within,
)
from lcmis.propose.catalogue import read_pairs
from lcmis.propose.formats import Line, Picture, open_set
from lcmis.propose.formats.outcomes import Outcome, Reason, Tally
from lcmis.propose.formats.rows import Encoding
from lcmis.propose.importing import Imported, Source, pairs_before, whole, write_pairs
from lcmis.text.words import by_number, plain

WHOLE_PAIRS = "lcmis_pairs.jsonl"
"""Left by ``lcmis publish`` where a layout has no room in its own files for all of a pair."""
FOUND_MANIFESTS = (*MANIFESTS, "metadata.csv", "metadata.jsonl", WHOLE_PAIRS)
"""Manifests that are looked for; ``metadata`` is what Hugging Face's imagefolder has."""
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"}


@dataclass(frozen=True, slots=True)
class Claim:
    """A picture that is said to answer a prompt."""

    line: int
    """Of the manifest, or the number of a GenEval folder."""
    prompt: str
    picture: Picture


@dataclass(frozen=True, slots=True)
class FolderRead:
    """What was taken of one folder, as one model."""

    manifest: Path
    """Written by the import; ``folder:MANIFEST`` is the model."""
    model: str
    """As the manifest calls it; empty where it does not."""
    num_pictures: int
    num_prompts: int


@dataclass(frozen=True, slots=True)
class PicturesImported:
    """What an import of pictures has done."""

    folders: tuple[FolderRead, ...]
    num_claimed: int
    """Pictures that were named; those taken and those refused."""
    reasons: tuple[Reason, ...]
    pairs: Imported


def import_pictures(
    folder: Path,
    into: Path,
    manifest: Path | None = None,
    *,
    form: str | None = None,
    column: str = "",
    encoding: Encoding = "utf-8",
    source: str = "",
    licence: str = "",
    report: Path | None = None,
) -> PicturesImported:
    """Open every picture of a folder once, list the sound ones for a folder model, read the pairs.

    Prompts come from a manifest, never from a file's name: a file named after its prompt, as
    T2I-CompBench has them, is matched with the prompts that the manifest lists.

    Args:
        folder: with the pictures; the new manifest is written there.
        into: the file of pairs that gains those of the prompts.
        manifest: any set of prompts; by default the one in the folder, or GenEval's folders.
        form: the manifest's format; recognised by default.
        column: of the manifest, the one that holds the prompts; recognised by default.
        encoding: of the manifest.
        source: who made the prompts.
        licence: of the prompts.
        report: a CSV file with the outcome of every line and, beside it, ``….pictures.csv`` with
            that of every picture.

    Raises:
        UserError: no folder, no manifest, or a file that cannot be written; then nothing changed.
    """
    if not folder.is_dir():
        raise ConfigError(f"there is no folder {str(folder)!r} with pictures: check the path")
    asked = pairs_before(into)
    before = len(asked)
    listed = manifest or _manifest(folder)
    if listed is None:
        title, path, says, terms = "GenEval folder", folder, source, licence
        collected = list(_geneval(folder, asked, source, licence))
    else:
        opened = open_set(
            listed, form, column=column, encoding=encoding, source=source, licence=licence
        )
        title, path, says, terms = (
            opened.format.title,
            opened.path,
            opened.source,
            opened.licence,
        )
        collected = list(opened.lines(asked))
    collected = _made_whole(folder, collected)
    claims = list(_claims(folder, collected, named=listed is not None))
    taken, tally, told = _examined(folder, claims)
    if not taken:
        reasons = "; ".join(f"{item.count} {item.reason}" for item in tally.reasons()[:3])
        raise ConfigError(
            f"{folder} has no picture that can be taken"
            f"{f': {reasons}' if reasons else ''}: name a manifest with the fields file and prompt"
        )
    with contextlib.ExitStack() as stack:  # all is written before anything appears
        folders = [_write(folder, model, those, stack) for model, those in _by_model(taken).items()]
        if report:
            table = csv.writer(stack.enter_context(whole(report.with_suffix(".pictures.csv"))))
            table.writerow(["file", "line", "outcome", "prompt", "reason", "detail"])
            table.writerows(told)
        pairs = write_pairs([Source(path, title, says, terms, collected)], into, before, report)
    return PicturesImported(tuple(folders), len(claims), tally.reasons(), pairs)


def _made_whole(folder: Path, read: Sequence[Line]) -> list[Line]:
    """The lines, with the pairs that the folder carries along for their prompts.

    Raises:
        ConfigError: it carries a file that holds no pairs.
    """
    carried = folder / WHOLE_PAIRS
    pairs = {one.prompt: one for one in read_pairs(carried)} if carried.is_file() else {}
    return [
        dataclasses.replace(line, outcome=Outcome.PAIR, reason="", detail="", pair=pair)
        if line.outcome in (Outcome.PAIR, Outcome.NO_PAIR) and (pair := pairs.get(line.prompt))
        else line
        for line in read
    ]


# ── which picture answers which prompt ───────────────────────────────────────────────────────────


def _manifest(folder: Path) -> Path | None:
    """The folder's own manifest; None where it is laid out as GenEval's generator does."""
    found = [folder / name for name in FOUND_MANIFESTS if (folder / name).is_file()]
    if len(found) == 1:
        return found[0]
    if not found and any(_geneval_folders(folder)):
        return None
    raise ConfigError(
        f"{folder} has {len(found)} manifests and no GenEval folders (00000/metadata.jsonl): name "
        f"the file that says which prompt each picture answers with --manifest"
    )


def _geneval_folders(folder: Path) -> Iterator[Path]:
    return (
        place
        for place in _in_order(folder)
        if place.name.isdecimal() and (place / "metadata.jsonl").is_file()
    )


def _geneval(folder: Path, asked: dict[str, str], source: str, licence: str) -> Iterator[Line]:
    """One line a folder, with the pictures in its ``samples``."""
    for place in _geneval_folders(folder):
        number = int(place.name)
        try:
            opened = open_set(
                place / "metadata.jsonl", "geneval", source=source or "GenEval", licence=licence
            )
            line = next(iter(opened.lines(asked)))
        except ConfigError as error:
            line = Line(number, Outcome.REFUSED, reason="no metadata", detail=str(error))
        samples = place / "samples"
        pictures = tuple(
            Picture(str(file.relative_to(folder)))
            for file in (_in_order(samples) if samples.is_dir() else ())
        )
        yield Line(
            number,
            line.outcome,
            line.prompt,
            line.reason,
            line.detail,
            line.pair,
            pictures,
        )


def _claims(folder: Path, lines: Sequence[Line], *, named: bool) -> Iterator[Claim]:
    if named and not any(line.pictures for line in lines):
        yield from _named_after_prompts(folder, lines)
        return
    for line in lines:
        for picture in line.pictures:
            yield Claim(line.number, line.prompt, picture)


NAMED_AFTER = re.compile(r"(?P<prompt>.+)_(?P<number>\d+)")


def _named_after_prompts(folder: Path, lines: Sequence[Line]) -> Iterator[Claim]:
    """T2I-CompBench: ``samples/<prompt>_<6 digits>.png``; all but the last underscore may be the
    prompt's own, and a slash in a prompt cannot be in a name.
    """
    known = {line.prompt: line.number for line in lines if line.prompt}
    place = folder / "samples" if (folder / "samples").is_dir() else folder
    files = [file for file in _in_order(place) if file.suffix.lower() in SUFFIXES]
    for file in files:
        named = plain(file.stem)
        match = NAMED_AFTER.fullmatch(named)
        stem = match["prompt"] if match else named
        prompt = next((text for text in (stem, stem + ".") if text in known), "")
        yield Claim(known.get(prompt, 0), prompt, Picture(str(file.relative_to(folder))))


def _in_order(folder: Path) -> list[Path]:
    """What lies in a folder, numbers counted: the first picture is the first that was drawn."""
    return sorted(folder.iterdir(), key=lambda path: by_number(path.name))


# ── is it one ────────────────────────────────────────────────────────────────────────────────────


def _examined(
    folder: Path, claims: Sequence[Claim]
) -> tuple[list[Claim], Tally, list[tuple[str, int, Outcome, str, str, str]]]:
    """The claims whose pictures are sound, and what is wrong with the others."""
    taken: list[Claim] = []
    told, tally = [], Tally()
    root = folder.resolve()
    files: dict[str, int] = {}
    contents: dict[tuple[str, str, bytes], str] = {}
    for claim in claims:
        reason, detail = _fault(root, claim)
        file = said = claim.picture.file
        if not reason:
            file = within(root, said).resolve().relative_to(root).as_posix()
        if not reason and file in files:
            reason, detail = "named before", f"line {files[file]}"
        if not reason:
            files[file] = claim.line
            digest = hashlib.blake2b((root / file).read_bytes(), digest_size=16).digest()
            same = contents.setdefault((claim.picture.model, claim.prompt, digest), file)
            if same != file:
                reason, detail = "the same picture twice for one prompt", same
        outcome = Outcome.REFUSED if reason else Outcome.PAIR
        tally.add(outcome, claim.line, reason, f"{said}: {detail}" if detail else said)
        told.append((said, claim.line, outcome, claim.prompt, reason, detail))
        if not reason:
            picture = dataclasses.replace(claim.picture, file=file)
            taken.append(dataclasses.replace(claim, picture=picture))
    return taken, tally, told


def _fault(root: Path, claim: Claim) -> tuple[str, str]:
    """Why a picture cannot be taken, in words that group and those of its own; empty if it can."""
    file = claim.picture.file
    if not claim.prompt:
        return "no prompt of the manifest is this file's", ""
    try:
        path = within(root, file).resolve()
        if not path.is_relative_to(root):
            return "lies outside the folder: copy it in", ""
        if not path.exists():
            return "does not exist", ""
        if not path.is_file():
            return "is no file", ""
    except (OSError, ValueError) as error:  # a name too long, or with a NUL
        return "is no name of a file", str(error)
    return _damage(path)


def _damage(path: Path) -> tuple[str, str]:
    try:
        with opened(path) as picture:
            try:
                flat(picture)
            except UnscaledError as error:
                return str(error), ""
            except BROKEN as error:
                return "is truncated or damaged", str(error)
    except TooLargeError as error:
        return f"claims more than {LARGEST_PICTURE:,} pixels: make it smaller", error.size
    except BROKEN:
        return "is no picture", ""
    return "", ""


# ── the manifest ─────────────────────────────────────────────────────────────────────────────────


def _by_model(taken: Sequence[Claim]) -> dict[str, list[Claim]]:
    models: dict[str, list[Claim]] = {}
    for claim in taken:
        models.setdefault(claim.picture.model, []).append(claim)
    if len({safe_name(model).casefold() for model in models}) < len(models):
        raise ConfigError(
            f"the models {', '.join(models)} would share a file name: rename one in the manifest"
        )
    return models


def _write(
    folder: Path, model: str, claims: Sequence[Claim], stack: contextlib.ExitStack
) -> FolderRead:
    """List the pictures in order; the i-th of a prompt is its seed i for an audit.

    The seed that drew a picture stands beside it: an audit asks for seeds from 0 on, without gaps.
    """
    path = folder / (f"{safe_name(model)}.{IMPORTED}" if model else IMPORTED)
    file = stack.enter_context(whole(path))
    for claim in claims:
        fields = {"file": claim.picture.file, "prompt": claim.prompt}
        if claim.picture.seed:
            fields["drawn_from_seed"] = claim.picture.seed
        file.write(json.dumps(fields, ensure_ascii=False) + "\n")
    return FolderRead(path, model, len(claims), len({claim.prompt for claim in claims}))
