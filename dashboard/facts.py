"""What the pages know: the store, opened once and read again only when it has grown."""

from __future__ import annotations

import contextlib
import functools
import itertools
import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import choosing
import numpy as np
import numpy.typing as npt
import opinions
import pandas as pd
import streamlit as st

from lcmis import findings, judge
from lcmis.errors import StoreError, UnknownNameError, UserError
from lcmis.findings import calibration, labels, notes, words
from lcmis.findings.calibration import LabelFinding, LabelledAudit
from lcmis.findings.features import (
    Features,
    Layout,
    feature_files,
    principal_components,
    read_features,
)
from lcmis.findings.short import ModelOutcome
from lcmis.store import Growth, Store
from lcmis.types import ConceptPair, Failure, Question, Run, Shift

Found = TypeVar("Found")
CONTROLS = ("checker", "threshold")
"""Choices of the sidebar, by their names in the address."""
PATIENCE_SECONDS = 3.0
"""A reader waits so long for a database that somebody else has locked."""
LIVE_SECONDS = 5
"""So often a page looks whether the store has grown, while it grows."""
IDLE_SECONDS = 15
"""So often while nothing comes: a look may cross a click, and Streamlit then loses what it drew."""
QUIET_SECONDS = 120.0
"""Nothing new for so long: no audit runs, as far as anybody can see."""

# Caches are of resources: nobody changes a table in place, and a copy of a hundred thousand rows
# for every click would cost more than judging them.


@dataclass(frozen=True)
class Opened:
    """A store that is open for reading, and which one: another file in its place is another."""

    store: Store
    name: str
    file: tuple[int, int]


@dataclass(frozen=True)
class Gathered:
    """All that one checker said, as it stood when this much was stored."""

    opened: Opened
    checker: str
    growth: Growth
    pictures: pd.DataFrame
    others: pd.DataFrame
    """Pictures of repairs, and controls."""
    controls: judge.PriorCheck


@dataclass(frozen=True)
class Alike:
    """The audit's pictures as one encoder sees them: those that it has looked at."""

    features: Features
    places: npt.NDArray[np.int64]
    """Of each in :func:`pictures`."""
    rows: npt.NDArray[np.int64]
    """Of each in the features."""
    layout: Layout


@dataclass(frozen=True)
class Aged(Generic[Found]):
    """What was found at a moment of this server's clock."""

    seconds: float
    found: Found


def _name(opened: Opened) -> tuple[str, tuple[int, int]]:
    return opened.name, opened.file


def _names_of(gathered: Gathered) -> tuple[object, ...]:
    return (*_name(gathered.opened), gathered.checker, gathered.growth)


BY_NAME: dict[str | type[Any], Callable[[Any], Any]] = {Opened: _name, Gathered: _names_of}
"""How caches tell these apart, without looking into what they hold."""


def place() -> str:
    """The store that this dashboard shows: a folder or a database URL; empty if nobody said."""
    return str(st.secrets["store"])


def place_shown() -> str:
    """The same for people: without user and password."""
    return shown(place())


def shown(place: str) -> str:
    """A place for people: without user and password."""
    return re.sub(r"//[^@/]*@", "//", place)


def beside() -> tuple[str, ...]:
    """Stores that whoever started the dashboard named to compare with."""
    return tuple(st.secrets.get("beside", ()))


def store() -> Store:
    """The store, opened for reading.

    Raises:
        StoreError: none was named, or it cannot be read; the sentence says what to do.
    """
    return _here().store


def _here() -> Opened:
    if not place():
        raise StoreError(
            "No store was named: start the dashboard with `lcmis dashboard`, in the folder of your "
            "audit or with `--store FOLDER`"
        )
    return opened(place(), str(st.secrets["pictures"]))


def opened(place: str, pictures: str = "") -> Opened:
    """Any store, opened for reading; another file at the same place is opened anew.

    Raises:
        StoreError: it cannot be read.
    """
    return _opened(place, pictures, _file(place))


def _file(place: str) -> tuple[int, int]:
    """What tells one database file from another that took its place."""
    if "://" in place:
        return (0, 0)
    try:
        found = (Path(place) / "facts.db").stat()
    except OSError:
        return (0, 0)  # opening it says what is wrong
    return (found.st_dev, found.st_ino)


@st.cache_resource(show_spinner=False, max_entries=16)
def _opened(place: str, pictures: str, file: tuple[int, int]) -> Opened:
    found = Store(place, pictures=pictures or None, read_only=True, wait_seconds=PATIENCE_SECONDS)
    return Opened(found, place, file)


def read_ahead(place: str, pictures: str) -> None:
    """Read and judge what the first visitor will ask for, so that he need not wait.

    What is wrong with the store is told to him, not here.
    """
    with contextlib.suppress(UserError):
        here = opened(place, pictures)
        growth = _growth(here)
        _, known = _names(here, growth)
        if known:
            threshold, rule = _settings(_runs(here, growth.runs))
            _outcomes(_gathered(here, known[0]), threshold, rule)
            if growth.labels:
                _found_by_labels(here, threshold, growth.labels, growth.renders)


# ── how much there is ────────────────────────────────────────────────────────────────────────────


def growth() -> Growth:
    """How much is stored, or was some seconds ago."""
    return _growth(_here())


def _growth(opened: Opened) -> Growth:
    return _sample(opened).found


def _younger_than(seconds: float) -> Callable[[Aged[Any]], bool]:
    """Whether what is remembered may still be told.

    Not by a ``ttl``: Streamlit 1.67 asks whether a value has expired, and then reads it, with a
    ``KeyError`` and a failed page where it expires between the two.
    """
    return lambda found: time.monotonic() - found.seconds < seconds


@st.cache_resource(
    show_spinner=False, validate=_younger_than(2), max_entries=16, hash_funcs=BY_NAME
)
def _sample(opened: Opened) -> Aged[Growth]:
    found = opened.store.growth()
    sample = Aged(time.monotonic(), found)
    _samples(opened).append(sample)
    return sample


def look_again() -> None:
    """What was written just now is to be seen at once."""
    _sample.clear()


def samples() -> list[Aged[Growth]]:
    """How the store grew while somebody looked, oldest first."""
    return list(_samples(_here()))


@st.cache_resource(show_spinner=False, max_entries=16, hash_funcs=BY_NAME)
def _samples(opened: Opened) -> deque[Aged[Growth]]:
    return deque(maxlen=600)


def is_growing() -> bool:
    """Whether an audit seems to be writing now: pictures or scores came not long ago."""
    return any(
        (before.found.renders, before.found.scores) != (one.found.renders, one.found.scores)
        and time.monotonic() - one.seconds < QUIET_SECONDS
        for before, one in itertools.pairwise(samples())
    )


def how_to_fill() -> str:
    """What to do about what is missing: nothing while an audit draws and checks it."""
    if is_growing():
        return (
            "An audit is writing to this store: what it draws and checks shows up here by itself."
        )
    if runs() and _written_lately(place()):
        return (
            "This store was written to a moment ago. If an audit still runs, what it draws and "
            "checks shows up here by itself; if none does, `lcmis audit` goes on where it stopped."
        )
    return "Run `lcmis audit`: it draws and checks what is missing, and this page shows what comes."


def _written_lately(place: str) -> bool:
    """Whether a store on this disk was written to not long ago; of others nobody can tell."""
    if "://" in place:
        return False
    times = []
    for name in ("facts.db", "facts.db-wal"):
        with contextlib.suppress(OSError):
            times.append((Path(place) / name).stat().st_mtime)
    return bool(times) and time.time() - max(times) < QUIET_SECONDS


def pairs() -> Mapping[str, ConceptPair]:
    """Every pair by its key, in the order of arrival."""
    return _pairs(_here(), growth().pairs)


@st.cache_resource(show_spinner=False, max_entries=4, hash_funcs=BY_NAME)
def _pairs(opened: Opened, count: int) -> dict[str, ConceptPair]:
    return {pair.key: pair for pair in opened.store.pairs()}


def runs() -> list[Run]:
    """Every start of an audit, newest first."""
    return _runs(_here(), growth().runs)


@st.cache_resource(show_spinner=False, max_entries=16, hash_funcs=BY_NAME)
def _runs(opened: Opened, count: int) -> list[Run]:
    return list(reversed(opened.store.runs()))


def shifts() -> list[Shift]:
    """What workers of every run did, oldest first."""
    return _shifts(_here(), growth().shifts)


@st.cache_resource(show_spinner=False, max_entries=16, hash_funcs=BY_NAME)
def _shifts(opened: Opened, count: int) -> list[Shift]:
    return opened.store.shifts()


def failures() -> list[Failure]:
    """What failed and was not mended since, newest first."""
    return _failures(_here(), growth()) if growth().failures else []


@st.cache_resource(show_spinner=False, max_entries=4, hash_funcs=BY_NAME)
def _failures(opened: Opened, growth: Growth) -> list[Failure]:
    return list(reversed(opened.store.failures()))


def mixed_ways() -> tuple[str, ...]:
    """Which models were drawn in several ways that are counted together, a sentence each."""
    return _mixed_ways(_here(), growth().renders)


@st.cache_resource(show_spinner=False, max_entries=4, hash_funcs=BY_NAME)
def _mixed_ways(opened: Opened, count: int) -> tuple[str, ...]:
    return tuple(findings.mixed_ways(opened.store).values())


def models() -> list[str]:
    """Ids of the models that painted something."""
    return [model for model in _names(_here(), growth())[0] if opinions.is_audited(model)]


def checkers() -> list[str]:
    """Ids of the checkers that said something, the one that decided the last audit first."""
    return _names(_here(), growth())[1]


@st.cache_resource(show_spinner=False, max_entries=16, hash_funcs=BY_NAME)
def _names(opened: Opened, growth: Growth) -> tuple[list[str], list[str]]:
    checkers = opened.store.checkers()
    if checkers and growth.runs:
        first = findings.deciding_checker(opened.store)
        checkers = [first, *(checker for checker in checkers if checker != first)]
    return opened.store.models(), checkers


def rule() -> judge.StoppingRule | None:
    """The rule by which the last audit stopped; None when there was none.

    With None, the number of pictures of a pair counts as fixed at what it is.
    """
    return _settings(runs())[1]


def usual_threshold() -> float:
    """The threshold of the last audit, in (0, 1)."""
    return _settings(runs())[0]


def _settings(newest_first: list[Run]) -> tuple[float, judge.StoppingRule | None]:
    """Threshold and stopping rule of the last audit."""
    audit = findings.last_audit(newest_first[::-1])
    if audit is None:
        return 0.5, None
    return findings.settings_of(audit).threshold, findings.rule_of(audit)


# ── what the sidebar chose ───────────────────────────────────────────────────────────────────────


def checker() -> str:
    """The checker chosen in the sidebar."""
    return str(st.session_state["checker"])


def threshold() -> float:
    """The threshold chosen in the sidebar, in [0, 1]."""
    return float(st.session_state["threshold"])


def address(**query: str) -> dict[str, str]:
    """Query parameters of a link within the dashboard: the sidebar's choices go along."""
    kept = {name: st.query_params[name] for name in CONTROLS if name in st.query_params}
    return kept | query


# ── what it means ────────────────────────────────────────────────────────────────────────────────


def gathered(checker_id: str | None = None) -> Gathered:
    """What a checker said, the sidebar's unless another is named; some seconds old at the most."""
    return _gathered(_here(), checker() if checker_id is None else checker_id)


def seen() -> tuple[Growth, Growth]:
    """How much is stored, and how much of it was read by now: a page shows the latter.

    Labels and notes are left out: whoever writes should not have the page drawn anew for each.
    """
    stored = growth()
    read = gathered().growth if checkers() else stored
    return replace(stored, labels=0, notes=0), replace(read, labels=0, notes=0)


def pictures(checker_id: str | None = None) -> pd.DataFrame:
    """Every picture with its verdict, by pair, model and seed; not to be changed."""
    return _judged(gathered(checker_id), threshold())


def judged_pairs() -> pd.DataFrame:
    """Every pair of every model, worst first; not to be changed."""
    return _by_pair(gathered(), threshold(), rule())


def examples() -> pd.DataFrame:
    """The first right and the first wrong picture of every pair and model; not to be changed."""
    return _examples(gathered(), threshold())


def painted_names() -> list[str]:
    """What is painted in the place of anything, in the order of the alphabet."""
    found = _instead(gathered(), threshold())
    return sorted(set(found["painted"]) - {opinions.NOT_NAMED})


def painting(names: tuple[str, ...]) -> pd.DataFrame:
    """Pairs and models with a picture in which one of these stands in a thing's place."""
    return opinions.painting(pictures(), pairs(), names)


def outcomes() -> Mapping[str, ModelOutcome]:
    """What the overview's first sentences are made of, for each model."""
    return _outcomes(gathered(), threshold(), rule())


def agreement(other: str) -> judge.Agreement:
    """How far another checker sees the same as the sidebar's."""
    return _agreement(gathered(), gathered(other), threshold())


def disagreements() -> pd.DataFrame:
    """How often any other checker sees a pair's pictures differently; not to be changed."""
    others = tuple(gathered(name) for name in checkers() if name != checker())
    return _disagreements(gathered(), others, threshold())


def differing() -> frozenset[str]:
    """Spec keys of the pictures that any other checker sees differently."""
    others = tuple(gathered(name) for name in checkers() if name != checker())
    return _differing(gathered(), others, threshold())


def repairs() -> Mapping[tuple[str, str], str]:
    """For each pair and model for which a repair was searched: ``"proven"`` or ``"tried"``.

    Proven is what passes its certificate on fresh seeds, by a checker that did not guide it.
    """
    return _repaired(gathered(), threshold())


@st.cache_resource(
    show_spinner="Reading the pictures' scores …",
    ttl=10,
    max_entries=16,
    refresh_mode="background",
    hash_funcs=BY_NAME,
)
def _gathered(opened: Opened, checker: str) -> Gathered:
    # Read again behind the reader's back: a running audit must not make every click wait.
    return _read(opened, checker, opened.store.growth())


@st.cache_resource(show_spinner=False, max_entries=4, hash_funcs=BY_NAME)
def _read(opened: Opened, checker: str, growth: Growth) -> Gathered:
    table = opened.store.evidence_table(checker)
    return Gathered(
        opened,
        checker,
        growth,
        opinions.gather(table),
        opinions.gather_others(table),
        opinions.controls(table),
    )


@st.cache_resource(show_spinner=False, max_entries=16, hash_funcs=BY_NAME)
def _judged(gathered: Gathered, threshold: float) -> pd.DataFrame:
    return opinions.judged(gathered.pictures, threshold)


@st.cache_resource(show_spinner=False, max_entries=16, hash_funcs=BY_NAME)
def _by_pair(gathered: Gathered, threshold: float, rule: judge.StoppingRule | None) -> pd.DataFrame:
    pairs = _pairs(gathered.opened, gathered.growth.pairs)
    return opinions.by_pair(_judged(gathered, threshold), pairs, rule)


@st.cache_resource(show_spinner=False, max_entries=16, hash_funcs=BY_NAME)
def _examples(gathered: Gathered, threshold: float) -> pd.DataFrame:
    return opinions.examples(_judged(gathered, threshold))


@st.cache_resource(show_spinner=False, max_entries=16, hash_funcs=BY_NAME)
def _instead(gathered: Gathered, threshold: float) -> pd.DataFrame:
    pairs = _pairs(gathered.opened, gathered.growth.pairs)
    return opinions.drawn_instead(_judged(gathered, threshold), pairs)


@st.cache_resource(show_spinner=False, max_entries=16, hash_funcs=BY_NAME)
def _outcomes(
    gathered: Gathered, threshold: float, rule: judge.StoppingRule | None
) -> dict[str, ModelOutcome]:
    pairs = _pairs(gathered.opened, gathered.growth.pairs)
    pictures = _judged(gathered, threshold)
    return opinions.outcomes(pictures, _by_pair(gathered, threshold, rule), pairs, rule)


@st.cache_resource(
    show_spinner="Reading the certificates of repairs …", max_entries=4, hash_funcs=BY_NAME
)
def _repaired(gathered: Gathered, threshold: float) -> dict[tuple[str, str], str]:
    store = gathered.opened.store
    found = {(one.pair, one.model): "tried" for one in store.nominations()}
    for proof in findings.find_repairs(store, gathered.checker, threshold=threshold):
        if proof.standing.proved:
            found[proof.pair.key, proof.model] = "proven"
    return found


@st.cache_resource(show_spinner=False, max_entries=16, hash_funcs=BY_NAME)
def _agreement(ours: Gathered, theirs: Gathered, threshold: float) -> judge.Agreement:
    return opinions.agreement(_judged(ours, threshold), _judged(theirs, threshold))


@st.cache_resource(show_spinner=False, max_entries=16, hash_funcs=BY_NAME)
def _disagreements(ours: Gathered, others: tuple[Gathered, ...], threshold: float) -> pd.DataFrame:
    return opinions.disagreements(
        _judged(ours, threshold), [_judged(other, threshold) for other in others]
    )


@st.cache_resource(show_spinner=False, max_entries=16, hash_funcs=BY_NAME)
def _differing(ours: Gathered, others: tuple[Gathered, ...], threshold: float) -> frozenset[str]:
    return opinions.differing(
        _judged(ours, threshold), [_judged(other, threshold) for other in others]
    )


def alike() -> dict[str, Alike]:
    """What encoders saw in the pictures, by the encoders' ids: those that `lcmis embed` asked.

    Raises:
        StoreError: a file of features is damaged.
    """
    found = []
    for file in feature_files(store()):
        with contextlib.suppress(FileNotFoundError):  # taken away since
            now = file.stat()
            found.append(_alike(gathered(), file, (now.st_mtime_ns, now.st_size)))
    return {one.features.encoder: one for one in found}


@st.cache_resource(show_spinner=False, max_entries=4, hash_funcs=BY_NAME)
def _alike(gathered: Gathered, file: Path, version: tuple[int, int]) -> Alike:
    features, names = _features(file, version), gathered.opened.store.hashes()
    shown = [
        features.rows.get(names.get(key, ""), -1) for key in gathered.pictures["spec_key"].tolist()
    ]
    every = np.array(shown, dtype=np.int64)
    places = np.flatnonzero(every >= 0)
    rows = every[places]
    return Alike(features, places, rows, principal_components(features.vectors[rows]))


@st.cache_resource(show_spinner=False, max_entries=4)
def _features(file: Path, version: tuple[int, int]) -> Features:
    return read_features(file)


def grid_pictures(kind: str) -> pd.DataFrame:
    """Pictures of a kind of :data:`choosing.KINDS` with their verdicts, by pair, model and seed;
    not to be changed.
    """
    return _of_kind(gathered(), threshold(), kind)


@st.cache_resource(show_spinner=False, max_entries=8, hash_funcs=BY_NAME)
def _of_kind(gathered: Gathered, threshold: float, kind: str) -> pd.DataFrame:
    if kind == "audit":
        return _judged(gathered, threshold)
    others = gathered.others
    if kind != "all":
        others = others[others["kind"] == kind]
    others = others.drop(columns="kind")
    found = others if kind != "all" else _together(gathered.pictures, others)
    return opinions.judged(found.reset_index(drop=True), threshold)


def _together(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    named = ["pair_key", "model", "intruder_a", "intruder_b"]
    both = pd.concat([first.astype(dict.fromkeys(named, object)), second])
    both = both.sort_values(["pair_key", "model", "seed"], kind="stable")
    return both.astype(dict.fromkeys(named, "category"))


def chosen_pictures(kind: str, wanted: choosing.Wanted) -> npt.NDArray[np.int64]:
    """Places of the pictures of a kind that a grid was asked for, in order; not to be changed."""
    others = tuple(gathered(name) for name in checkers() if name != checker())
    grown = growth()
    said = (grown.labels, grown.notes) if wanted.of_people else (0, 0)
    return _chosen_pictures(gathered(), others, threshold(), kind, wanted, said)


@st.cache_resource(show_spinner=False, max_entries=32, hash_funcs=BY_NAME)
def _chosen_pictures(
    gathered: Gathered,
    others: tuple[Gathered, ...],
    threshold: float,
    kind: str,
    wanted: choosing.Wanted,
    said: tuple[int, int],
) -> npt.NDArray[np.int64]:
    opened, differ, agreed = gathered.opened, frozenset[str](), frozenset[str]()
    if wanted.checkers != choosing.ANY:
        differ = _differing(gathered, others, threshold)
        agreed = _compared(gathered, others, threshold) - differ
    worth = None
    if wanted.order == "worth":
        worth = _worth(opened, _settings(_runs(opened, gathered.growth.runs))[0])
    return choosing.chosen(
        _of_kind(gathered, threshold, kind),
        wanted,
        _pairs(opened, gathered.growth.pairs),
        _people(opened, *said, gathered.growth.pairs),
        threshold=threshold,
        agreed=agreed,
        differing=differ,
        worth=worth,
    )


@st.cache_resource(show_spinner=False, max_entries=8, hash_funcs=BY_NAME)
def _compared(ours: Gathered, others: tuple[Gathered, ...], threshold: float) -> frozenset[str]:
    return opinions.compared(
        _judged(ours, threshold), [_judged(other, threshold) for other in others]
    )


def people() -> choosing.People:
    """What people said of pictures."""
    grown = growth()
    return _people(_here(), grown.labels, grown.notes, grown.pairs)


@st.cache_resource(show_spinner=False, max_entries=4, hash_funcs=BY_NAME)
def _people(opened: Opened, num_labels: int, num_notes: int, num_pairs: int) -> choosing.People:
    found = labels.readings(opened.store.labels()) if num_labels else []
    truth = calibration.Truths(found, functools.partial(_question, opened))
    pairs = _pairs(opened, num_pairs)
    told = {
        (render, key): truth.of(render, pairs[key])
        for render in dict.fromkeys(one.render for one in found)
        for key in opened.store.pairs_of(render)
        if key in pairs
    }
    return choosing.People(
        right={place: one.right for place, one in told.items()},
        seen={place: (one.a, one.b) for place, one in told.items()},
        disputed=choosing.disputed(labels.disagreements(found)),
        noted=notes.noted(opened.store.notes()) if num_notes else {},
    )


def intruders(kind: str) -> list[str]:
    """Names of what is painted instead in pictures of a kind, the commonest first."""
    return _intruders(gathered(), threshold(), kind)


@st.cache_resource(show_spinner=False, max_entries=8, hash_funcs=BY_NAME)
def _intruders(gathered: Gathered, threshold: float, kind: str) -> list[str]:
    pairs = _pairs(gathered.opened, gathered.growth.pairs)
    return choosing.intruders(_of_kind(gathered, threshold, kind), pairs)


# ── what people say ──────────────────────────────────────────────────────────────────────────────


def audited(threshold: float) -> LabelledAudit:
    """What labels are held against; minutes old at the most."""
    return _audited(_here(), threshold)


def _worth(opened: Opened, threshold: float) -> dict[tuple[str, str], int]:
    return _sorted_by_worth(opened, threshold).found


@st.cache_resource(
    show_spinner="Sorting the pictures by what a label is worth …",
    validate=_younger_than(300),
    max_entries=4,
    hash_funcs=BY_NAME,
)
def _sorted_by_worth(opened: Opened, threshold: float) -> Aged[dict[tuple[str, str], int]]:
    found = calibration.by_worth(_audited(opened, threshold).cards)
    return Aged(time.monotonic(), found)


def question(key: str) -> Question:
    """A question by its key.

    Raises:
        UnknownNameError: the store has none of this key.
    """
    return _question(_here(), key)


def found_by_labels(num_labels: int) -> LabelFinding:
    """What this many labels say of the checkers, at the sidebar's threshold."""
    return _found_by_labels(_here(), threshold(), num_labels, growth().renders)


def _audited(opened: Opened, threshold: float) -> LabelledAudit:
    return _held_against_labels(opened, threshold).found


@st.cache_resource(
    show_spinner="Sorting the pictures by what a label is worth …",
    validate=_younger_than(300),
    max_entries=4,
    hash_funcs=BY_NAME,
)
def _held_against_labels(opened: Opened, threshold: float) -> Aged[LabelledAudit]:
    growth = _growth(opened)
    _, rule = _settings(_runs(opened, growth.runs))
    checkers = _names(opened, growth)[1]
    found = calibration.audited(opened.store, checkers, threshold=threshold, rule=rule)
    return Aged(time.monotonic(), found)


@st.cache_resource(show_spinner=False, max_entries=20_000, hash_funcs=BY_NAME)
def _question(opened: Opened, key: str) -> Question:
    return opened.store.question(key)


@st.cache_resource(
    show_spinner="Holding the checkers against labels …", max_entries=8, hash_funcs=BY_NAME
)
def _found_by_labels(
    opened: Opened, threshold: float, num_labels: int, renders: int
) -> LabelFinding:
    known, labels = _audited(opened, threshold), opened.store.labels()
    return calibration.find_labels(known, labels, functools.partial(_question, opened))


# ── two audits ───────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class ComparedAudit:
    """One model of one store, as an audit to compare."""

    place: str
    model: str
    words: str
    """For people."""

    @property
    def key(self) -> str:
        """In the address: the model's id, after the number of a store other than the first."""
        number = (place(), *beside()).index(self.place)
        return f"{number}::{self.model}" if number else self.model


def sides() -> dict[str, ComparedAudit]:
    """Every audit that can be compared, by its name in the address.

    Raises:
        StoreError: a store that was named to compare with cannot be read.
    """
    found = []
    for one in (place(), *beside()):
        store = _here() if one == place() else opened(one)
        models = [name for name in _names(store, _growth(store))[0] if opinions.is_audited(name)]
        names = words.short_names(models)
        where = f" in {Path(one).name or shown(one)}" if beside() else ""
        found += [ComparedAudit(one, model, names[model] + where) for model in models]
    return {side.key: side for side in found}


def side_pictures(side: ComparedAudit) -> tuple[Store, pd.DataFrame, int]:
    """An audit's store, its judged pictures, and how many of each pair count without bias.

    The sidebar's checker judges where it has looked, else the one that decided that audit.

    Raises:
        UnknownNameError: nothing has been checked in that store.
    """
    here = _here() if side.place == place() else opened(side.place)
    known = _names(here, _growth(here))[1]
    if not known:
        raise UnknownNameError(
            f"nothing has been checked in {shown(side.place)}: run `lcmis audit`"
        )
    checked = checker() if checker() in known else known[0]
    pictures = _judged(_gathered(here, checked), threshold())
    _, rule = _settings(_runs(here, _growth(here).runs))
    fair = rule.fair if rule else 1
    return here.store, pictures[pictures["model"] == side.model], fair
