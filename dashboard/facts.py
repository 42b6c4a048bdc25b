"""What the pages know: the store, opened once and read again only when it has grown."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

import opinions
import pandas as pd
import streamlit as st

from lcmis import findings, judge
from lcmis.errors import StoreError, UserError
from lcmis.store import Store, StoreCounts
from lcmis.types import ConceptPair, Failure, Run

CONTROLS = ("checker", "threshold")
"""Choices of the sidebar, by their names in the address."""
FEW_LABELS = 50
"""Below this many human labels a checker counts as uncalibrated."""

# Caches are of resources: nobody changes a table in place, and a copy of a hundred thousand rows
# for every click would cost more than judging them.


def place() -> str:
    """The store that this dashboard shows: a folder or a database URL; empty if nobody said."""
    return str(st.secrets["store"])


def place_shown() -> str:
    """The same for people: without user and password."""
    return re.sub(r"//[^@/]*@", "//", place())


def store() -> Store:
    """The store, opened for reading.

    Raises:
        StoreError: none was named, or it cannot be read; the sentence says what to do.
    """
    if not place():
        raise StoreError(
            "No store was named: start the dashboard with `lcmis dashboard`, in the folder of your "
            "audit or with `--store FOLDER`"
        )
    return _opened(place(), str(st.secrets["pictures"]))


@st.cache_resource(show_spinner=False, max_entries=4)
def _opened(place: str, pictures: str) -> Store:
    return Store(place, pictures=Path(pictures) if pictures else None, read_only=True)


def read_ahead(place: str, pictures: str) -> None:
    """Read and judge what the first visitor will ask for, so that he need not wait.

    What is wrong with the store is told to him, not here.
    """
    with contextlib.suppress(UserError):
        opened = _opened(place, pictures)
        counts, runs = _counts(place, opened), opened.runs()
        if counts.scores and runs:
            checker = findings.deciding_checker(opened)
            threshold = float(json.loads(runs[-1].config)["threshold"])
            _by_pair(place, opened, counts, checker, threshold, findings.rule_of(runs[-1]))


def counts() -> StoreCounts:
    """How much is stored, or was some seconds ago."""
    return _counts(place(), store())


@st.cache_resource(show_spinner=False, ttl=10)
def _counts(place: str, _store: Store) -> StoreCounts:
    return _store.counts()


def pairs() -> Mapping[str, ConceptPair]:
    """Every pair by its key, in the order of arrival."""
    return _pairs(place(), store(), counts().pairs)


@st.cache_resource(show_spinner=False, max_entries=4)
def _pairs(place: str, _store: Store, count: int) -> dict[str, ConceptPair]:
    return {pair.key: pair for pair in _store.pairs()}


def runs() -> list[Run]:
    """Every start of an audit, newest first."""
    return list(reversed(_known(place(), store(), counts())[0]))


def failures() -> list[Failure]:
    """What failed and was not mended since, newest first."""
    return list(reversed(_known(place(), store(), counts())[1]))


def num_labels() -> int:
    """Human labels of all pictures."""
    return _known(place(), store(), counts())[2]


@st.cache_resource(show_spinner=False, ttl=10)
def _known(place: str, _store: Store, counts: StoreCounts) -> tuple[list[Run], list[Failure], int]:
    return _store.runs(), _store.failures(), len(_store.labels())


def models() -> list[str]:
    """Ids of the models that painted something."""
    return [model for model in store().models() if opinions.is_audited(model)]


def checkers() -> list[str]:
    """Ids of the checkers that said something, the one that decided the last audit first."""
    known = store().checkers()
    if not known or not runs():
        return known
    first = findings.deciding_checker(store())
    return [first, *(checker for checker in known if checker != first)]


def rule() -> judge.StoppingRule | None:
    """The rule by which the last audit stopped; None when there was none.

    With None, the number of pictures of a pair counts as fixed at what it is.
    """
    return findings.rule_of(runs()[0]) if runs() else None


def usual_threshold() -> float:
    """The threshold of the last audit, in (0, 1)."""
    return float(json.loads(runs()[0].config)["threshold"]) if runs() else 0.5


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


def pictures() -> pd.DataFrame:
    """Every picture with its verdict, by pair, model and seed; not to be changed."""
    return _judged(place(), store(), counts(), checker(), threshold())


def judged_pairs() -> pd.DataFrame:
    """Every pair of every model, worst first; not to be changed."""
    return _by_pair(place(), store(), counts(), checker(), threshold(), rule())


@st.cache_resource(show_spinner="Reading the pictures' scores …", max_entries=4)
def _gathered(place: str, _store: Store, counts: StoreCounts, checker: str) -> pd.DataFrame:
    return opinions.gather(_store.evidence(checker))


@st.cache_resource(show_spinner=False, max_entries=16)
def _judged(
    place: str, _store: Store, counts: StoreCounts, checker: str, threshold: float
) -> pd.DataFrame:
    return opinions.judged(_gathered(place, _store, counts, checker), threshold)


@st.cache_resource(show_spinner=False, max_entries=16)
def _by_pair(
    place: str,
    _store: Store,
    counts: StoreCounts,
    checker: str,
    threshold: float,
    rule: judge.StoppingRule | None,
) -> pd.DataFrame:
    pictures = _judged(place, _store, counts, checker, threshold)
    return opinions.by_pair(pictures, _pairs(place, _store, counts.pairs), rule)
