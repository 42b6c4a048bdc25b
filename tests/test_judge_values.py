"""Values of the formulas to their digits, and the edges of what they take."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from lcmis import judge
from lcmis.judge import (
    Alpha,
    Judged,
    Ruling,
    krippendorff_alpha,
    minimum_detectable_difference,
    pictures_needed,
    prior,
    rate,
)
from lcmis.judge.comparison import failing, pairs_needed, ruling
from lcmis.judge.trust import rank_correlation
from lcmis.types import Rate


@pytest.mark.parametrize(
    ("size", "told", "least"),
    [
        ((40, 4), {}, 0.247627),
        ((40, 4, 0.2), {"icc": 0.3, "correlation": 0.6, "power": 0.9, "alpha": 0.01}, 0.187391),
        ((120, 1, 0.9), {"icc": 1.0}, 0.108505),
        ((7, 20, 0.5), {"correlation": 1.0}, 0.118389),
        ((1, 1), {"icc": 0, "power": 0.05}, 0.222817),
    ],
)
def test_the_least_difference_that_is_noticed_is_pinned(size, told, least):
    assert minimum_detectable_difference(*size, **told) == pytest.approx(least, abs=1e-6)


RANGES = "rate lies in (0, 1), icc and correlation in [0, 1]; got "


@pytest.mark.parametrize(
    ("size", "told", "sentence"),
    [
        ((0, 4), {}, "a comparison needs pairs and pictures, got 0 and 4"),
        ((4, 0), {}, "a comparison needs pairs and pictures, got 4 and 0"),
        ((4, 4, 0.0), {}, RANGES + "0.0, 0.5, 0.0"),
        ((4, 4, 1.0), {}, RANGES + "1.0, 0.5, 0.0"),
        ((4, 4), {"icc": -0.1}, RANGES + "0.5, -0.1, 0.0"),
        ((4, 4), {"icc": 1.1}, RANGES + "0.5, 1.1, 0.0"),
        ((4, 4), {"correlation": -1}, RANGES + "0.5, 0.5, -1"),
        ((4, 4), {"correlation": 2}, RANGES + "0.5, 0.5, 2"),
        ((4, 4), {"alpha": 0.0}, "alpha 0.0 and power 0.8 are no test"),
        ((4, 4), {"alpha": 1.0}, "alpha 1.0 and power 0.8 are no test"),
        ((4, 4), {"power": 0.025}, "alpha 0.05 and power 0.025 are no test"),
        ((4, 4), {"power": 1.0}, "alpha 0.05 and power 1.0 are no test"),
    ],
)
def test_what_is_no_comparison_is_refused_with_its_numbers(size, told, sentence):
    with pytest.raises(ValueError) as refused:
        minimum_detectable_difference(*size, **told)
    assert str(refused.value) == sentence


@pytest.mark.parametrize("told", [{"icc": 0}, {"icc": 1}, {"correlation": 0}, {"correlation": 1}])
def test_the_ends_of_the_ranges_are_taken(told):
    assert 0 < minimum_detectable_difference(30, 4, **told) <= 1
    assert 0 < minimum_detectable_difference(1, 1, 0.01, **told) <= 1


@pytest.mark.parametrize(
    ("width", "told", "pictures"),
    [
        (0.1, {}, 402),
        (0.2, {"value": 0.9}, 44),
        (1.0, {}, 1),
        (0.3, {"value": 0}, 11),
        (0.3, {"value": 1}, 11),
        (0.25, {"confidence": 0.8}, 33),
    ],
)
def test_the_pictures_needed_are_pinned(width, told, pictures):
    assert pictures_needed(width, **told) == pictures


@pytest.mark.parametrize(("width", "value"), [(0, 0.5), (1.01, 0.5), (0.1, -0.01), (0.1, 1.01)])
def test_a_width_or_a_value_out_of_range_is_refused(width, value):
    with pytest.raises(ValueError) as refused:
        pictures_needed(width, value=value)
    assert str(refused.value) == (
        f"width lies in (0, 1] and value in [0, 1], got {width} and {value}"
    )


UNITS = [list(unit) for unit in ("aab", "bb", "acc", "c", "aaa", "bbb", "cc", "ab")]


@pytest.mark.parametrize(
    ("units", "confidence", "value", "low", "high", "count"),
    [
        (UNITS, 0.95, 0.514286, 0.044029, 0.891860, 7),
        (UNITS, 0.8, 0.514286, 0.176285, 0.814757, 7),
        ([["a", "a"], ["b", "b"], ["a"] * 3], 0.95, 1.0, -0.082557, 1.0, 3),
    ],
)
def test_alpha_and_its_interval_are_pinned(units, confidence, value, low, high, count):
    found = krippendorff_alpha(units, confidence=confidence)
    assert (found.value, found.low, found.high) == pytest.approx((value, low, high), abs=1e-5)
    assert found.units == count


def test_alpha_of_nothing_says_nothing():
    for units in ([], [["a"]], [["a", "a"], ["a", "a", "a"]]):
        shared = sum(len(unit) > 1 for unit in units)
        assert krippendorff_alpha(units) == Alpha(None, low=-1.0, high=1.0, units=shared)


def test_a_prior_is_pinned():
    found = prior([0.2, 0.4, None], [0.9, 1.0, 0.8, None, None])
    assert (found.blank.value, found.blank.total) == (pytest.approx(0.3), 2)
    assert (found.blank.low, found.blank.high) == pytest.approx((0.044721, 0.890455), abs=1e-5)
    assert (found.mismatched.value, found.mismatched.total) == (pytest.approx(0.9), 3)
    assert (found.mismatched.low, found.mismatched.high) == pytest.approx(
        (0.262074, 0.986636), abs=1e-5
    )
    assert found.abstained == 3
    assert prior([1.0], [0.0]).blank.value == 1.0


@pytest.mark.parametrize("score", [-0.001, 1.001, math.nan])
def test_a_score_out_of_range_is_no_control(score):
    for controls in (([score], []), ([], [score])):
        with pytest.raises(ValueError) as refused:
            prior(*controls)
        assert str(refused.value) == ("a score lies in [0, 1]; these controls hold another number")


def test_a_rank_correlation_is_scipys_with_ties():
    first, second = [1, 2, 2, 3, 5], [1, 3, 2, 2, 4]
    assert rank_correlation(first, second) == stats.kendalltau(first, second).statistic
    assert rank_correlation([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(2 / 3)
    assert rank_correlation([1, 2], [2, 1]) == -1
    assert rank_correlation([1, 1], [1, 2]) is None
    assert rank_correlation([1, 2], [1, 1]) is None
    assert rank_correlation([], []) is None
    with pytest.raises(ValueError) as refused:
        rank_correlation([1, 2], [1])
    assert str(refused.value) == "2 numbers cannot be paired with 1"


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [
        (0.1, 0.2, Ruling.PASS),
        (0.1, 0.3, Ruling.PASS),
        (0.1, 0.31, Ruling.UNDECIDED),
        (0.3, 0.4, Ruling.UNDECIDED),
        (0.31, 0.4, Ruling.FAIL),
    ],
)
def test_a_limit_is_kept_by_the_whole_interval_or_broken_by_all_of_it(low, high, told):
    assert ruling(low, high, 0.3) is told


def test_wrong_pictures_are_those_that_are_not_right():
    right = Rate(value=0.75, low=0.5, high=0.875, total=8, stopped="sprt")
    assert failing(right) == Rate(value=0.25, low=0.125, high=0.5, total=8, stopped="sprt")


@pytest.mark.parametrize(
    ("pairs", "value", "low", "high", "limit", "needed"),
    [
        (40, 0.3, 0.2, 0.5, 0.35, 640),
        (40, 0.4, 0.2, 0.5, 0.35, 640),
        (40, 0.4, 0.25, 0.5, 0.35, 360),
        (40, 0.3, 0.2, 0.45, 0.35, 360),
        (40, 0.1, 0.05, 0.15, 0.9, 41),
        (40, 0.35, 0.2, 0.5, 0.35, None),
        (0, 0.4, 0.2, 0.5, 0.35, None),
        (1, 0.4, 0.39, 0.5, 0.35, 2),
    ],
)
def test_about_how_many_pairs_decide_is_pinned(pairs, value, low, high, limit, needed):
    found = pairs_needed(pairs, value, low, high, limit)
    assert found == needed or (needed and found == pytest.approx(needed, abs=1))


def test_a_curve_of_calibration_is_weighted_and_keeps_equal_scores_together():
    labels = [Judged(0.1 * (n // 2), truth=n % 3 > 0, weight=1 + n % 2) for n in range(20)]
    curve = judge.calibration_curve(labels, bins=4)
    assert [round(one.score, 4) for one in curve] == [0.1, 0.35, 0.6, 0.85]
    assert [one.right.total for one in curve] == [6, 4, 6, 4]
    assert judge.calibration_curve([]) == ()
    narrow = judge.calibration_curve(labels, bins=4, confidence=0.5)
    for wide, tight in zip(curve, narrow, strict=True):
        assert wide.right.low < tight.right.low <= tight.right.high < wide.right.high


def test_rates_have_the_size_they_were_made_from():
    assert rate(3, 9).total == 9
