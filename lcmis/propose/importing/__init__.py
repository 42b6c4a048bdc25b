"""Other people's prompts and pictures → a file of pairs and a folder model, whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lcmis.errors import ConfigError
from lcmis.machine.files import replacing
from lcmis.propose.catalogue import read_pairs, to_record
from lcmis.propose.formats import Line, PromptSet, open_set
from lcmis.propose.formats.outcomes import Outcome, SetRead, Tally
from lcmis.propose.formats.rows import Encoding


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import has done."""

    into: Path
    sets: tuple[SetRead, ...]
    before: int
    """Pairs that the file held before."""

    @property
    def num_added(self) -> int:
        """Pairs that the file has gained."""
        return sum(item.count(Outcome.PAIR) for item in self.sets)

    @property
    def num_pairs(self) -> int:
        """Pairs that the file holds now."""
        return self.before + self.num_added


@dataclass(frozen=True, slots=True)
class Source:
    """Lines of one set on their way in."""

    path: Path
    format: str
    source: str
    licence: str
    lines: Iterable[Line]


def import_sets(
    paths: Sequence[Path],
    into: Path,
    *,
    form: str | None = None,
    column: str = "",
    encoding: Encoding = "utf-8",
    source: str = "",
    licence: str = "",
    report: Path | None = None,
) -> Imported:
    """Add the pairs of every set to a file of pairs; those that it has stay as they are.

    Args:
        paths: the sets, in order; a prompt counts where it is asked first.
        into: JSON lines in our own format, which an audit reads; made where it does not exist.
        form: the format of all sets; recognised by default.
        column: of all sets, the one that holds the prompts; recognised by default.
        encoding: of all sets.
        source: who made them, for the pairs; by default the format and the file's name.
        licence: of the sets; by default what is known of the published ones.
        report: a CSV file with the outcome of every line.

    Raises:
        UserError: a set cannot be read, or a file cannot be written; then nothing has changed.
    """
    opened = [
        open_set(path, form, column=column, encoding=encoding, source=source, licence=licence)
        for path in paths
    ]
    if into.resolve() in {path.resolve() for path in paths}:
        raise ConfigError(f"{into} is read and cannot be written: name another file with --into")
    asked = pairs_before(into)
    before = len(asked)
    return write_pairs([source_of(item, asked) for item in opened], into, before, report)


def source_of(opened: PromptSet, asked: dict[str, str]) -> Source:
    """A set whose prompts join those asked before."""
    return Source(
        opened.path,
        opened.format.title,
        opened.source,
        opened.licence,
        opened.lines(asked),
    )


def pairs_before(into: Path) -> dict[str, str]:
    """The prompts that a file of pairs holds, in small letters, and where they stand.

    Raises:
        ConfigError: it is no file of pairs in JSON lines.
    """
    if into.suffix.lower() != ".jsonl":
        raise ConfigError(f"--into is {into}, but pairs are kept as JSON lines: name it .jsonl")
    if not into.exists():
        return {}
    return {pair.prompt.casefold(): into.name for pair in read_pairs(into)}


def write_pairs(
    sources: Iterable[Source], into: Path, before: int, report: Path | None
) -> Imported:
    """Add what the sources hold to a file of pairs, and write the report.

    Raises:
        UserError: a source breaks off, or a file cannot be written; then nothing has changed.
    """
    with contextlib.ExitStack() as stack:
        draft = stack.enter_context(whole(into, keep=True))
        listed = csv.writer(stack.enter_context(whole(report))) if report else None
        if listed:
            listed.writerow(["file", "line", "outcome", "prompt", "reason", "detail"])
        sets = []
        for source in sources:
            tally = Tally()
            for line in source.lines:
                tally.add(line.outcome, line.number, line.reason, line.detail or line.prompt)
                if line.pair is not None:
                    draft.write(json.dumps(to_record(line.pair), ensure_ascii=False) + "\n")
                if listed:
                    listed.writerow(
                        (
                            source.path,
                            line.number,
                            line.outcome,
                            line.prompt,
                            line.reason,
                            line.detail,
                        )
                    )
            sets.append(tally.of_set(source.path, source.format, source.source, source.licence))
    return Imported(into, tuple(sets), before)


@contextlib.contextmanager
def whole(path: Path, *, keep: bool = False) -> Iterator[IO[str]]:
    """A text file that appears when all is written, and not at all if anything goes wrong.

    Args:
        path: the file; what was there is replaced, and an empty one does not appear.
        keep: begin with what is there.

    Raises:
        ConfigError: it cannot be written.
    """
    with replacing(path) as draft:
        with draft.open("w", encoding="utf-8", newline="") as file:
            if keep and path.exists():
                text = path.read_text("utf-8-sig")
                file.write(text if text.endswith("\n") or not text else text + "\n")
            yield file
        if not draft.stat().st_size:
            draft.unlink()
