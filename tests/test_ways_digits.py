"""How a candidate is built, how alike two are, and what other pairs taught: to three digits."""

from __future__ import annotations

import dataclasses
import math
from functools import partial

import numpy as np
import pytest
from worlds.searches import CUP

from lcmis.repair.methods import ways
from lcmis.repair.methods.ways import Experience, Opening, Symptoms, Way, way
from lcmis.types import Candidate, Concept, Seen, Side, Stage, Trial

PLAIN = CUP.prompt
NONE = Way(Opening.NONE, False, 0, False, True, True, False, True, False, "{prompt}")
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
        (
            partial(built, "tea cup", lost=Side.A),
            but(plain=False, other_named=False, frame="{lost}"),
        ),
        (
            partial(built, "tea cup", lost=Side.B),
            but(plain=False, lost_named=False, frame="{other}"),
        ),
        (
            partial(built, "a tea cup, a small white cup"),
            but(plain=False, lost_described=True, other_named=False, frame="{lost}, {lost}"),
        ),
        (
            partial(built, "iced coke, dark drink with ice"),
            but(plain=False, lost_named=False, other_described=True, frame="{other}, {other}"),
        ),
        (
            partial(built, LOOKS),
            Way(Opening.NONE, False, 0, False, False, False, True, False, True, "{prompt}"),
        ),
        (
            partial(built, "a teacup of iced coke"),
            but(plain=False, lost_named=False, frame="{lost}'s synonym of {other}"),
        ),
        (partial(built, f"{PLAIN} on a table"), but(frame="{prompt} on a table")),
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
    both = ways.SAID_LOST + ways.SAID_BOTH
    rest = ways.SAID_OTHER + ways.SAID_BOTH
    words = ways.FRAME + ways.SAID_LOST + ways.SAID_OTHER + ways.SAID_BOTH + ways.KEPT_AWAY
    everything = ways.PAIR + ways.KIND + words
    assert ways.shared(NONE, NONE) == pytest.approx(everything)
    for one, lacking in (
        (but(keeps_away=True), ways.KEPT_AWAY),
        (but(frame="{other}"), ways.FRAME),
        (but(lost_named=False), both),
        (but(lost_described=True), both),
        (but(other_named=False), rest),
        (but(other_described=True), rest),
        (but(plain=False), 0.0),
    ):
        assert ways.shared(NONE, one) == pytest.approx(everything - lacking)
        assert ways.shared(one, NONE) == pytest.approx(everything - lacking)
    early = but(opening=Opening.LOST, opens_for=-4)
    assert ways.shared(NONE, early) == pytest.approx(everything - ways.KIND)
    assert ways.shared(early, early) == pytest.approx(everything + ways.OPENED)
    late = dataclasses.replace(early, opens_for=-1)
    assert ways.shared(early, late) == pytest.approx(everything + ways.OPENED * math.exp(-9 / 4))
    by_looks = dataclasses.replace(early, opens_by_looks=True)
    assert ways.shared(early, by_looks) == pytest.approx(everything + ways.OPENED / 2)
    other = dataclasses.replace(early, opening=Opening.OTHER)
    assert ways.shared(early, other) == pytest.approx(everything)


def trial(words: str, *scores: tuple[int, float | None]) -> Trial:
    seen = tuple(Seen(seed, score, 0.9) for seed, score in scores)
    return Trial(CUP.key, "m@1", "toy", "clip:g@1", Candidate((Stage(words),)), seen)


def test_experience_is_one_normal_distribution_conditioned_on_all_that_was_seen():
    told, here, there = Experience(), Symptoms(Side.A, True), Symptoms(Side.A, False)
    asked = [Candidate((Stage(PLAIN),)), Candidate((Stage("a tea cup"),))]
    mean, covariance = told.chances("m", CUP, here, asked)
    assert mean == pytest.approx([ways.EXPECTED] * 2)
    known = [NONE, way(CUP, Side.A, asked[1])]
    own = np.array([[ways.shared(one, two) for two in known] for one in known])
    same = ways.SAME * np.eye(2)
    assert covariance == pytest.approx(own + same + ways.OWN * np.eye(2))
    told.learn("m", CUP, here, [trial(PLAIN, (1, None))], 0.5)
    assert told.chances("m", CUP, here, asked)[0] == pytest.approx(mean)
    # a seed that was seen twice counts once, as it was seen last: two of four are right
    trials = [trial(PLAIN, (1, 0.5), (2, 0.1), (3, 0.4)), trial(PLAIN, (3, 0.6), (5, 0.2))]
    told.learn("m", CUP, here, trials, 0.5)
    told.learn("n", CUP, there, [trial(PLAIN, (1, 0.9))], 0.5)
    seen = [("m", here, 2 / 4, 4), ("n", there, 1.0, 1)]
    common = ways.ALIKE * own[0, 0] + ways.SAME
    for model, symptoms in (("m", here), ("x", there)):
        near = [
            (1.0 if name == model else ways.ELSEWHERE) * (1.0 if sick == symptoms else ways.UNLIKE)
            for name, sick, *_ in seen
        ]
        noise = [(1 - ways.ALIKE) * own[0, 0] + ways.OWN + ways.NOISE / n for *_, n in seen]
        between = ways.ELSEWHERE * ways.UNLIKE
        among = common * np.array([[1, between], [between, 1]]) + np.diag(noise)
        across = np.outer(ways.ALIKE * own[:, 0] + ways.SAME * np.array([1, 0]), near)
        off = np.array([share for _, _, share, _ in seen]) - ways.EXPECTED
        mean, covariance = told.chances(model, CUP, symptoms, asked)
        assert mean == pytest.approx(ways.EXPECTED + across @ np.linalg.inv(among) @ off)
        before = own + same + ways.OWN * np.eye(2)
        assert covariance == pytest.approx(before - across @ np.linalg.inv(among) @ across.T)
