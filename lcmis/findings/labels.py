"""What people said of pictures: which answers stand, and labels as files between machines.

Labels are facts: none is changed. To take an answer back is one more label that says so.
"""

from __future__ import annotations

import dataclasses
import functools
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lcmis.errors import ConfigError, UnknownNameError
from lcmis.findings.sheets import Imported, Sheet
from lcmis.store import Store
from lcmis.types import Label, Question, Render, RenderSpec

YES, NO, UNSURE = "yes", "no", "unsure"
WITHDRAWN = "withdrawn"
"""Takes back the rater's latest standing answer to the same question about the same picture."""
UNASKED = "unasked"
"""In a file of labels, what a rater said of a picture that he chose himself."""
SETTLED = "settled by "
"""Goes before the name of whoever ended a disagreement: such an answer decides, and counts among
no rater's own."""
LONGEST_NAME = 60


def allowed(question: Question) -> tuple[str, ...]:
    """The answers that a question takes, as they are shown; all but ``withdrawn``."""
    return (*question.options, UNSURE) if question.kind.is_choice else (YES, NO, UNSURE)


def rater_name(text: str) -> str:
    """A rater's name as it is stored: without space around it.

    Raises:
        ConfigError: it is empty, too long, or holds characters that cannot be seen.
    """
    name = unicodedata.normalize("NFC", text.strip())
    if not name:
        raise ConfigError("a label needs the name of who gave it: write a name, or initials")
    if len(name) > LONGEST_NAME:
        raise ConfigError(
            f"a rater's name has {LONGEST_NAME} letters at the most, this one {len(name)}: "
            "write a shorter one"
        )
    if any(unicodedata.category(letter)[0] == "C" for letter in name):
        raise ConfigError(
            f"the rater's name {name!r} holds characters that cannot be seen: write it anew"
        )
    return name


def now() -> str:
    """The moment, as labels keep it: two answers of one second stay in order."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


# ── what stands ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Reading:
    """What one rater says of one picture to one question."""

    render: str
    question: str
    rater: str
    answers: tuple[str, ...]
    """In order, those taken back left out: the last one counts, and more than one are repeats."""
    at: str
    """When the last one was given."""
    unasked: bool = False
    """Whether the last one was: see :class:`lcmis.types.Label`."""

    @property
    def settles(self) -> bool:
        """Whether it ends a disagreement, and speaks for no rater."""
        return self.rater.startswith(SETTLED)


def readings(labels: Iterable[Label]) -> list[Reading]:
    """What stands of labels, in the order of each reading's last answer.

    Labels may come from several machines in any order; their times decide.

    Raises:
        ConfigError: a label's time cannot be read.
    """
    given: dict[tuple[str, str, str], list[Label]] = {}
    for label in sorted(labels, key=lambda label: moment_of(label.at)):
        stack = given.setdefault((label.render, label.question, label.rater), [])
        if label.answer != WITHDRAWN:
            stack.append(label)
        elif stack:
            stack.pop()
    found = [
        Reading(*key, tuple(one.answer for one in stack), stack[-1].at, stack[-1].unasked)
        for key, stack in given.items()
        if stack
    ]
    return sorted(found, key=lambda reading: moment_of(reading.at))


def moment_of(text: str) -> datetime:
    """When a label or a note was given; without a zone, in UTC.

    Raises:
        ConfigError: the time cannot be read.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            f"a label's or note's time is {text!r}, but it is ISO 8601, such as "
            "2026-11-21T05:00:00+00:00"
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def standing(labels: Iterable[Label], rater: str) -> list[Label]:
    """What a rater said and did not take back, in the order in which it was given."""
    found: list[Label] = []
    for label in sorted(labels, key=lambda label: moment_of(label.at)):
        if label.rater != rater:
            continue
        if label.answer != WITHDRAWN:
            found.append(label)
            continue
        same = [
            place
            for place, one in enumerate(found)
            if (one.render, one.question) == (label.render, label.question)
        ]
        if same:
            del found[same[-1]]
    return found


def latest(labels: Iterable[Label], rater: str) -> Label | None:
    """The rater's latest label that stands; None where there is none to take back."""
    return next(reversed(standing(labels, rater)), None)


def withdrawal(label: Label) -> Label:
    """The label that takes one back, given now."""
    return dataclasses.replace(label, answer=WITHDRAWN, at=now())


def moved(labels: Iterable[Label], rater: str) -> list[Label]:
    """What gives answers to the person who gave them: each is taken back under the wrong name, and
    said under the right one at the time when it was said. Nothing is changed.

    Args:
        labels: that stand; of a question about a picture all that one rater said.
        rater: whose answers they are.

    Raises:
        ConfigError: the name is none, or they are that person's already.
    """
    name = rater_name(rater)
    new: list[Label] = []
    for label in labels:
        if label.rater == name:
            raise ConfigError(f"these are {name}'s answers already: choose another name")
        new += [withdrawal(label), dataclasses.replace(label, rater=name)]
    return new


def instead_of(labels: Iterable[Label], answer: Label) -> list[Label]:
    """What to keep so that an answer, given now, is this rater's only one to its question: his
    standing ones are taken back first. :data:`WITHDRAWN` itself only takes back.

    Args:
        labels: What was said of the picture so far.
        answer: Its time is left aside.
    """
    place = (answer.render, answer.question, answer.rater)
    mine = [one for one in labels if (one.render, one.question, one.rater) == place]
    said = next(iter(readings(mine)), None)
    back = dataclasses.replace(answer, answer=WITHDRAWN)
    kept = [] if answer.answer == WITHDRAWN else [answer]
    given = [back] * len(said.answers if said else ()) + kept
    return [dataclasses.replace(one, at=now()) for one in given]


def truths(found: Iterable[Reading]) -> dict[tuple[str, str], str]:
    """(Picture, question) → what most raters say; ties and those who are unsure decide nothing.

    Where a disagreement was settled, the latest word on it decides alone.
    """
    votes: dict[tuple[str, str], Counter[str]] = {}
    settled = {}
    for reading in sorted(found, key=lambda reading: moment_of(reading.at)):
        if reading.settles:
            settled[reading.render, reading.question] = reading.answers[-1]
            continue
        if reading.answers[-1] != UNSURE:
            votes.setdefault((reading.render, reading.question), Counter())[
                reading.answers[-1]
            ] += 1
    said = {}
    for place, tally in votes.items():
        (first, most), *others = tally.most_common(2)
        if not others or others[0][1] < most:
            said[place] = first
    said |= settled
    return {place: answer for place, answer in said.items() if answer != UNSURE}


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A question about a picture to which raters gave different answers."""

    render: str
    question: str
    said: tuple[tuple[str, str], ...]
    """(Rater, his last answer), by the rater's name."""
    settled: str
    """What was settled on; empty while nobody did."""
    settled_by: str
    """Who did."""


def disagreements(found: Iterable[Reading]) -> list[Disagreement]:
    """Where raters differ, being unsure included; what nobody settled yet comes first."""
    every: dict[tuple[str, str], dict[str, str]] = {}
    ended: dict[tuple[str, str], tuple[str, str]] = {}
    for reading in sorted(found, key=lambda reading: moment_of(reading.at)):
        place = (reading.render, reading.question)
        if reading.settles:
            ended[place] = (reading.answers[-1], reading.rater.removeprefix(SETTLED))
        else:
            every.setdefault(place, {})[reading.rater] = reading.answers[-1]
    differ = [
        Disagreement(*place, tuple(sorted(said.items())), *ended.get(place, ("", "")))
        for place, said in every.items()
        if len(set(said.values())) > 1
    ]
    return sorted(differ, key=lambda one: bool(one.settled))


def settling(one: Disagreement, answer: str, rater: str) -> Label:
    """The label that settles a disagreement, given now; a later one settles it anew.

    Raises:
        ConfigError: no name.
    """
    name = rater_name(SETTLED + rater_name(rater))
    return Label(one.render, one.question, answer, name, now(), unasked=True)


# ── files ────────────────────────────────────────────────────────────────────────────────────────

SHEET = Sheet(
    "labels",
    columns=(
        *("render", "question", "kind", "text", "prompt"),
        *("picture", "answer", "rater", "at", "unasked"),
    ),
    needed=("render", "question", "picture", "answer", "rater", "at"),
    exported_by="lcmis label --export",
)
"""``kind``, ``text`` and ``prompt`` are for people; files of earlier versions lack ``unasked``."""


def export_labels(store: Store, path: Path) -> int:
    """Write every label, those taken back too, as CSV or JSON lines by the file's ending.

    Returns:
        How many.

    Raises:
        ConfigError: the ending is another one, or the file cannot be written.
    """
    return SHEET.write(path, list(_rows(store)))


def _rows(store: Store) -> Iterator[dict[str, str]]:
    labels = store.labels()
    drawn = store.renders_of(label.render for label in labels)
    ask = functools.cache(store.question)
    for label in labels:
        question, (spec, render) = ask(label.question), drawn[label.render]
        yield {
            "render": label.render,
            "question": label.question,
            "kind": question.kind.value,
            "text": question.text,
            "prompt": spec.prompt,
            "picture": render.sha256,
            "answer": label.answer,
            "rater": label.rater,
            "at": label.at,
            "unasked": UNASKED if label.unasked else "",
        }


def import_labels(store: Store, path: Path) -> Imported:
    """Add the labels of a file, all or none; those that are there stay as they are.

    Raises:
        ConfigError: the file cannot be read, or lines speak of pictures or questions that this
            store does not have, or of other pixels; each such line is named.
    """
    known = set(store.labels())
    rows = list(SHEET.read(path))
    drawn = store.renders_of(str(row.get("render")) for _, row in rows)
    ask = functools.cache(store.question)
    found = SHEET.all_of(path, rows, lambda row: _label(row, drawn, ask))
    new = [label for label in dict.fromkeys(found) if label not in known]
    store.add_labels(new)
    return Imported(added=len(new), known=len(found) - len(new))


def _label(
    row: Mapping[str, Any],
    drawn: Mapping[str, tuple[RenderSpec, Render]],
    ask: Callable[[str], Question],
) -> Label:
    lacking = [name for name in SHEET.needed if not isinstance(row.get(name), str) or not row[name]]
    if lacking:
        raise ConfigError(f"there is no {' and no '.join(lacking)} in it")
    if row["render"] not in drawn:
        raise UnknownNameError(f"no picture in the store has the key {row['render']!r}")
    spec, render = drawn[row["render"]]
    if not render.sha256:
        raise ConfigError(f"the picture {spec.key} was refused here, so there is nothing to label")
    if render.sha256 != row["picture"]:
        raise ConfigError(
            f"the picture {spec.key} has other pixels here than where it was labelled"
        )
    question = ask(row["question"])
    answers = (*allowed(question), WITHDRAWN)
    if row["answer"] not in answers:
        raise ConfigError(f"the answer is {row['answer']!r}, but it is one of {', '.join(answers)}")
    moment_of(row["at"])
    unasked = row.get("unasked") or ""  # files of earlier versions lack it
    if unasked not in ("", UNASKED):
        raise ConfigError(f"unasked is {unasked!r}, but it is {UNASKED!r} or empty")
    rater = _same(rater_name(row["rater"]), row)
    return Label(spec.key, row["question"], row["answer"], rater, row["at"], unasked == UNASKED)


def _same(name: str, row: Mapping[str, Any]) -> str:
    """A name that is spelled as it is stored; another spelling would be another rater."""
    if name != row["rater"]:
        raise ConfigError(f"the rater {row['rater']!r} is stored as {name!r}: write it so")
    return name
