"""How a candidate is built, how alike two are, and what other pairs taught: to three digits."""

from __future__ import annotations

import dataclasses
import math
from functools import partial

import pytest
from worlds.searches import CUP

from lcmis.repair.methods import ways
from lcmis.repair.methods.ways import Experience, Opening, Symptoms, Way, way
from lcmis.types import Candidate, Concept, Seen, Side, Stage, Trial

PLAIN = CUP.prompt
NONE = Way(Opening.NONE, False, 0, False, True, True, False, True, False)
"""The plain prompt: both concepts by their names."""
LOOKS = "a small white cup of dark drink with ice"


def built(*stages: tuple[str, float] | str, without: str = "", lost: Side = Side.A) -> Way:
    made = [Stage(*one) if isinstance(one, tuple) else Stage(one) for one in stages]
    return way(CUP, lost, Candidate(tuple(made), without))


def but(**told: object) -> Way:
    return dataclasses.replace(NONE, **told)


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (partial(built, PLAIN), NONE),
        (partial(built, PLAIN, without="glass"), but(keeps_away=True)),
        (partial(built, "tea cup", lost=Side.A), but(plain=False, other_named=False)),
        (partial(built, "tea cup", lost=Side.B), but(plain=False, lost_named=False)),
        (
            partial(built, "a tea cup, a small white cup"),
            but(plain=False, lost_described=True, other_named=False),
        ),
        (
            partial(built, "iced coke, dark drink with ice"),
            but(plain=False, lost_named=False, other_described=True),
        ),
        (
            partial(built, LOOKS),
            Way(Opening.NONE, False, 0, False, False, False, True, False, True),
        ),
        (partial(built, ("a tea cup", 0.25), PLAIN), but(opening=Opening.LOST, opens_for=-2)),
        (
            partial(built, ("a tea cup", 0.25), PLAIN, lost=Side.B),
            but(opening=Opening.OTHER, opens_for=-2),
        ),
        (partial(built, ("iced coke", 0.1), PLAIN), but(opening=Opening.OTHER, opens_for=-3)),
        (
            partial(built, ("a small white cup", 0.5), PLAIN),
            but(opening=Opening.LOST, opens_by_looks=True, opens_for=-1),
        ),
        (
            partial(built, ("dark drink with ice", 0.5), PLAIN),
            but(opening=Opening.OTHER, opens_by_looks=True, opens_for=-1),
        ),
        (partial(built, ("a room", 0.5), PLAIN), but(opening=Opening.ELSE, opens_for=-1)),
        (partial(built, (PLAIN, 0.5), PLAIN), but(opening=Opening.ELSE, opens_for=-1)),
        (
            partial(built, ("a tea cup", 0.25), (PLAIN, 0.5), ("a tea cup", 0.75), PLAIN),
            but(opening=Opening.TURNS, opens_for=-2),
        ),
        (
            partial(built, ("a tea cup", 0.25), ("iced coke", 0.5), PLAIN),
            but(opening=Opening.ELSE, opens_for=-2),
        ),
    ],
)
def test_a_way_says_what_begins_and_how_each_concept_is_said(found, wanted):
    assert found() == wanted


def test_what_nobody_described_is_not_described():
    bare = dataclasses.replace(CUP, a=Concept("tea cup"))
    assert way(bare, Side.A, Candidate((Stage(PLAIN),))) == NONE


def test_ways_share_what_a_pair_has_in_common_and_what_is_built_alike():
    pair, kind, opened, said = ways.PAIR, ways.KIND, ways.OPENED, ways.SAID
    everything = pair + kind + opened + sum(said)
    assert ways.shared(NONE, NONE) == pytest.approx(everything)
    for one, lacking in (
        (but(keeps_away=True), said[2]),
        (but(lost_named=False), said[0]),
        (but(lost_described=True), said[0]),
        (but(other_named=False), said[1]),
        (but(other_described=True), said[1]),
        (but(plain=False), 0.0),
    ):
        assert ways.shared(NONE, one) == pytest.approx(everything - lacking)
        assert ways.shared(one, NONE) == pytest.approx(everything - lacking)
    early = but(opening=Opening.LOST, opens_for=-4)
    assert ways.shared(NONE, early) == pytest.approx(pair)
    late = dataclasses.replace(early, opens_for=-1)
    bell = math.exp(-9 / 4)
    assert ways.shared(early, late) == pytest.approx(everything - opened * (1 - bell))
    by_looks = dataclasses.replace(early, opens_by_looks=True)
    assert ways.shared(early, by_looks) == pytest.approx(everything - opened / 2)
    other = dataclasses.replace(early, opening=Opening.OTHER)
    assert ways.shared(early, other) == pytest.approx(everything - opened)


def trial(words: str, *scores: tuple[int, float | None]) -> Trial:
    seen = tuple(Seen(seed, score, 0.9) for seed, score in scores)
    return Trial(CUP.key, "m@1", "toy", "clip:g@1", Candidate((Stage(words),)), seen)


def test_experience_shrinks_from_all_ways_to_this_one_to_what_was_seen():
    told, here, there = Experience(), Symptoms(Side.A, True), Symptoms(Side.A, False)
    assert told.share("m", here, NONE) is None
    told.learn("m", CUP, here, [trial(PLAIN, (1, None))], 0.5)
    assert told.share("m", here, NONE) is None
    # a seed that was seen twice counts once, and what was seen last of it
    trials = [
        trial(PLAIN, (1, 0.5), (2, 0.1), (3, 0.4), (4, None)),
        trial(PLAIN, (3, 0.6), (5, 0.2)),
        trial(LOOKS, (1, 0.9)),
    ]
    told.learn("m", CUP, here, trials, 0.5)
    told.learn("n", CUP, there, [trial(PLAIN, (1, 0.9))], 0.5)
    far, belief = ways.ELSEWHERE, ways.BELIEF
    everything = (1 + 0.5 + 1 + far * 1) / (2 + 2 + far)
    anyway = (0.5 + far * 1 + belief * everything) / (1 + far + belief)
    assert told.share("m", here, NONE) == pytest.approx((0.5 + belief * anyway) / (1 + belief))
    elsewhere = (far * 1 + belief * anyway) / (far + belief)
    assert told.share("m", there, NONE) == pytest.approx(elsewhere)
    never = but(keeps_away=True)
    assert told.share("m", here, never) == pytest.approx(everything)
    stranger = (1 + far * 2.5) / (2 + far * 3)
    assert told.share("x", here, never) == pytest.approx(stranger)
