"""Pictures are specified and named as far as somebody asks, and no further."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds.facts import make_pair, make_spec

from lcmis.audit.planned import Planned
from lcmis.errors import RenderError
from lcmis.types import Stage, content_key

PAIR = make_pair()


def counted(number, made):
    for seed in range(number):
        made.append(seed)
        yield make_spec(PAIR, seed)


def test_no_more_pictures_are_specified_than_are_asked_for():
    made = []
    planned = Planned(counted(20, made))
    assert [spec.seed for spec in planned.first(3)] == [0, 1, 2] == made
    assert planned.first(2) == planned.first(3)[:2]
    key = make_spec(PAIR, 4).key
    assert key in planned.among(20)
    assert made == [0, 1, 2, 3, 4]
    assert key not in planned.among(4)
    assert len(planned.first(99)) == 20


def test_a_foreign_key_is_not_among_them_and_neither_is_anything_else():
    planned = Planned(counted(5, []))
    assert "k1:0" not in planned.among(20)
    assert None not in planned.among(20)
    assert make_spec(PAIR, 4).key in planned.among(20)


def test_a_prompt_that_cannot_be_read_is_refused_each_time_it_is_asked_for():
    def refuses():
        raise RenderError("too long")
        yield

    planned = Planned(refuses())
    for _ in range(2):
        with pytest.raises(RenderError, match="too long"):
            planned.first(1)


@given(
    seeds=st.lists(st.integers(0, 2**63 - 1), min_size=2, max_size=5),
    prompt=st.text(min_size=1).filter(str.strip),
    odd=st.booleans(),
)
def test_pictures_that_differ_in_their_seeds_bear_the_names_of_their_content(seeds, prompt, odd):
    first = dataclasses.replace(make_spec(PAIR, seeds[0]), stages=(Stage(prompt + '"seed":0,'),))
    specs = [dataclasses.replace(first, seed=seed, device="elsewhere") for seed in seeds]
    if odd:
        specs[1] = dataclasses.replace(specs[1], profile="another", vae="another")
    found = Planned(iter(specs)).first(len(specs))
    assert [spec.key for spec in found] == [content_key(spec) for spec in specs]
