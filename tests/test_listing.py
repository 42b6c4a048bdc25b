"""Lists of many pairs say how many more there are; JSON is written as it is made."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import small_store

from lcmis.cli import auditing
from lcmis.cli.terminal import as_json


class Colour(enum.StrEnum):
    RED = "red"


@dataclasses.dataclass(frozen=True)
class Thing:
    name: str
    parts: tuple[object, ...] = ()
    image: object = dataclasses.field(default=None, metadata={"shown": False})


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def finite(value):
    """What JSON can hold of it."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list):
        return [finite(item) for item in value]
    if isinstance(value, dict):
        return {name: finite(item) for name, item in value.items()}
    return value


@given(values)
def test_json_reads_back_as_what_it_was(value):
    assert json.loads(as_json(value)) == finite(value)


shown = st.text('aü “"\\\n')
plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)


@given(
    st.recursive(
        plain | shown,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(shown, inner, max_size=4),
        max_leaves=15,
    )
)
def test_json_is_indented_as_the_standard_library_does_it(value):
    assert as_json(value) == json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def test_values_are_told_field_for_field():
    value = Thing(
        "a", (Colour.RED, PurePosixPath("b/c"), Thing("\x1b[2J"), {1: math.nan}), object()
    )
    assert json.loads(as_json(value)) == {
        "name": "a",
        "parts": ["red", "b/c", {"name": "\x1b[2J", "parts": []}, {"1": None}],
    }
    assert "\x1b" not in as_json(value)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_store.fill(tmp_path_factory.mktemp("listing") / "audit")


def test_a_long_list_ends_with_how_many_more_there_are(folder, lcmis, monkeypatch):
    _, whole, _ = lcmis("show", "--store", folder)
    assert "more pair" not in whole
    count = len(json.loads(lcmis("show", "--store", folder, "--json")[1])["pairs"])
    _, short, _ = lcmis("show", "--store", folder, "--limit", 1)
    assert f"… and {count - 1} more pairs: --limit 0 lists all" in " ".join(short.split())
    assert len(short.splitlines()) < len(whole.splitlines())
    monkeypatch.setattr(auditing, "USUAL_LIMIT", 1)
    _, usual, _ = lcmis("show", "--store", folder)
    assert usual == short
    assert lcmis("show", "--store", folder, "--limit", 0)[1] == whole


def test_json_has_all_pairs_unless_a_limit_is_given(folder, lcmis, monkeypatch):
    monkeypatch.setattr(auditing, "USUAL_LIMIT", 1)
    every = json.loads(lcmis("show", "--store", folder, "--json")[1])
    assert every["left_out"] == 0
    some = json.loads(lcmis("show", "--store", folder, "--json", "--limit", 1)[1])
    assert some["pairs"] == every["pairs"][:1]
    assert some["left_out"] == len(every["pairs"]) - 1 > 0
