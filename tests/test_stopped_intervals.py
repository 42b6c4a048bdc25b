"""Intervals of stopped pairs: to three digits, mirrored where rules are, no wider than needed."""

from __future__ import annotations

import numpy as np
import pytest
from worlds.ids import name_of

from lcmis.judge import (
    Curtailed,
    Decision,
    FixedN,
    Sprt,
    StoppingRule,
    expected_pictures,
    operating_characteristics,
    stopped_interval,
)

SKEWED = Sprt(threshold=0.2, delta=0.1, cap=64)
THIRDS = Curtailed(10, threshold=0.3, block=3)


@pytest.mark.parametrize(
    ("rule", "right", "total", "low", "high"),
    [
        (Sprt(), 0, 1, 0.000, 0.950),
        (Sprt(), 0, 4, 0.000, 0.548),
        (Sprt(), 1, 4, 0.013, 0.800),
        (Sprt(), 2, 4, 0.075, 0.925),
        (Sprt(), 4, 4, 0.452, 1.000),
        (Sprt(), 6, 12, 0.200, 0.800),
        (Sprt(), 0, 20, 0.000, 0.154),
        (Sprt(), 1, 20, 0.003, 0.253),
        (Sprt(), 5, 20, 0.081, 0.509),
        (Sprt(), 10, 20, 0.256, 0.744),
        (Sprt(), 20, 20, 0.846, 1.000),
        (SKEWED, 0, 4, 0.000, 0.565),
        (SKEWED, 4, 4, 0.435, 1.000),
        (SKEWED, 6, 12, 0.194, 0.806),
        (SKEWED, 19, 20, 0.739, 0.998),
        (Curtailed(20), 0, 4, 0.000, 0.565),
        (Curtailed(20), 4, 4, 0.435, 1.000),
        (Curtailed(20), 0, 20, 0.000, 0.158),
        (Curtailed(20), 1, 20, 0.003, 0.258),
        (Curtailed(20), 10, 20, 0.253, 0.747),
        (Curtailed(20), 19, 20, 0.742, 0.997),
        (Curtailed(20), 20, 20, 0.842, 1.000),
        (THIRDS, 0, 3, 0.000, 0.665),
        (THIRDS, 6, 9, 0.283, 0.928),
        (THIRDS, 7, 10, 0.329, 0.936),
        (FixedN(20), 0, 4, 0.000, 0.602),
        (FixedN(20), 0, 20, 0.000, 0.168),
        (FixedN(20), 1, 20, 0.001, 0.249),
        (FixedN(20), 10, 20, 0.272, 0.728),
        (FixedN(20), 19, 20, 0.751, 0.999),
        (FixedN(20), 20, 20, 0.832, 1.000),
    ],
    ids=name_of,
)
def test_stopped_intervals_are_pinned(
    rule: StoppingRule, right: int, total: int, low: float, high: float
) -> None:
    found = stopped_interval(right, total, rule)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5.1e-4)
    assert (found.value, found.total, found.stopped) == (right / total, total, rule.name)


@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.99])
def test_another_confidence_gives_another_interval(confidence: float) -> None:
    widths = {0.5: (0.368, 0.632), 0.8: (0.302, 0.698), 0.99: (0.203, 0.797)}
    found = stopped_interval(10, 20, Sprt(), confidence=confidence)
    assert (found.low, found.high) == pytest.approx(widths[confidence], abs=5.1e-4)


@pytest.mark.parametrize("rule", [Sprt(), Sprt(cap=60), FixedN(20), Curtailed(19)], ids=name_of)
def test_where_a_rule_is_mirrored_so_are_its_intervals(rule: StoppingRule) -> None:
    for total in (1, 4, 7, 12, rule.cap):
        for right in range(total + 1):
            found = stopped_interval(right, total, rule)
            turned = stopped_interval(total - right, total, rule)
            mirrored = (1 - turned.high, 1 - turned.low)
            assert (found.low, found.high) == pytest.approx(mirrored, abs=1e-12)


@pytest.mark.parametrize("rule", [Sprt(), SKEWED, Curtailed(20), THIRDS], ids=name_of)
def test_a_stopped_interval_is_no_wider_than_its_promise_takes(rule: StoppingRule) -> None:
    """A hair beside one of the bounds the truth is held with 95 %, and not with more."""
    ends = _ends(rule)
    intervals = {end: stopped_interval(*end, rule) for end in ends}
    bounds = [bound for one in intervals.values() for bound in (one.low, one.high)]
    worst = 1.0
    for truth in [bound + side for bound in bounds for side in (-1e-8, 1e-8)]:
        held = sum(
            paths * truth**right * (1 - truth) ** (total - right)
            for (right, total), paths in ends.items()
            if intervals[right, total].low <= truth <= intervals[right, total].high
        )
        if 0 < truth < 1:
            worst = min(worst, held)
    assert 0.95 - 1e-6 <= worst < 0.95 + 1e-4


def _ends(rule: StoppingRule) -> dict[tuple[int, int], int]:
    """How many orders of pictures end at each place, in whole numbers."""
    here, found = {0: 1}, {}
    for total in range(1, rule.cap + 1):
        there: dict[int, int] = {}
        for right, paths in here.items():
            for then in (right, right + 1):
                there[then] = there.get(then, 0) + paths
        here = there
        if total == rule.cap or total % rule.block == 0:
            for right in list(here):
                stops = rule.decide(right, total) is not Decision.CONTINUE
                if total == rule.cap or stops:
                    found[right, total] = here.pop(right)
    return found


def test_more_wrong_pictures_never_raise_a_bound_of_a_stopped_pair() -> None:
    for rule in (Sprt(), Curtailed(20), THIRDS):
        for total in range(1, rule.cap):
            for right in range(total + 1):
                now = stopped_interval(right, total, rule)
                assert stopped_interval(right, total + 1, rule).low <= now.low + 1e-12
                assert stopped_interval(right + 1, total + 1, rule).high >= now.high - 1e-12


@pytest.mark.parametrize(
    ("rule", "failure_rate", "fails", "pictures"),
    [
        (Sprt(), 0.5, 0.4417, 13.792),
        (Sprt(), 0.32, 0.0464, 10.580),
        (SKEWED, 0.2, 0.5974, 35.868),
        (Curtailed(20), 0.5, 0.4119, 18.581),
        (THIRDS, 0.3, 0.3504, 9.055),
        (FixedN(20), 0.5, 0.4119, 20),
    ],
    ids=name_of,
)
def test_what_rules_promise_is_pinned(
    rule: StoppingRule, failure_rate: float, fails: float, pictures: float
) -> None:
    found = operating_characteristics(rule, failure_rate)
    assert found.fails == pytest.approx(fails, abs=1e-4)
    assert found.pictures == pytest.approx(pictures, abs=5e-3)


def test_rates_outside_the_scale_and_shapes_that_are_none_are_refused() -> None:
    for rate in (-0.01, 1.01):
        with pytest.raises(ValueError, match=r"a failure rate lies in \[0, 1\]"):
            operating_characteristics(Sprt(), rate)
    for shapes in ((0.0, 1.0), (1.0, 0.0), (-1.0, 1.0)):
        with pytest.raises(ValueError, match="two positive shapes"):
            expected_pictures(Sprt(), shapes)
    assert operating_characteristics(FixedN(4), 0.0) == (0.0, 4.0)
    assert operating_characteristics(FixedN(4), 1.0) == (1.0, 4.0)


def test_paths_are_counted_up_to_a_thousand_pictures() -> None:
    assert operating_characteristics(FixedN(1000), 0.5).fails == pytest.approx(0.487, abs=5e-4)
    with pytest.raises(ValueError, match="up to 1000 pictures"):
        operating_characteristics(FixedN(1001), 0.5)


def test_bounds_of_the_sequential_test_are_walds() -> None:
    rule = Sprt(threshold=0.5, delta=0.18, alpha=0.05, beta=0.1)
    wins = np.log(0.68 / 0.32)
    fails, passes = np.log(0.9 / 0.05), np.log(0.1 / 0.95)
    for wrong in range(20):
        for right in range(20 - wrong):
            ratio = (wrong - right) * wins
            said = rule.decide(right, right + wrong)
            expected = (
                Decision.FAILS
                if ratio >= fails
                else Decision.PASSES
                if ratio <= passes
                else Decision.CONTINUE
            )
            assert said is expected
            assert rule.log_likelihood_ratio(right, right + wrong) == pytest.approx(ratio)
