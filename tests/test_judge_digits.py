"""Formulas to their digits, held against others' formulas where there are any."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from lcmis import judge
from lcmis.judge import Picture, anytime_p
from lcmis.judge.clusters import chance_above_zero, falling_root, share_bounds, typical
from lcmis.judge.shrinkage import shrunk
from lcmis.types import Candidate, Certificate, Concept, ConceptPair, Nomination, Stage, Verdict

PAIR = ConceptPair(Concept("tea cup"), Concept("iced coke"), "a tea cup of iced coke")
CHOSEN = Nomination(PAIR.key, "m@1", "moce", "clip:g@1", Candidate((Stage("x"),)), 9, 9, "found")
RIGHT, NO_A, NO_B, NEITHER = (
    Picture(*scores) for scores in ((0.9, 0.9), (0.1, 0.9), (0.9, 0.1), (0.1, 0.1))
)


# ── clusters ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("worth", "times"),
    [
        ((1, -2), (1, 1)),
        ((2, -1), (1, 1)),
        ((1, -1), (2, 1)),
        ((1, -1), (1, 2)),
        ((1, -1), (300, 300)),
        ((1, -3), (40, 10)),
        ((0.02, -3), (400, 2)),
        ((5, -1), (1, 30)),
        ((-1, 1), (2, 3)),
        ((0.001, -1), (1, 1)),
        ((1, -0.001), (1, 1)),
        ((-0.01, 1), (1000, 10)),
        ((1e-9, -1e-9), (4, 9)),
    ],
)
def test_a_sum_of_two_kinds_is_above_zero_as_often_as_a_beta_variable_is(worth, times):
    (up,) = (place for place in range(2) if worth[place] > 0)
    down = 1 - up
    ratio = -worth[down] / (worth[up] - worth[down])
    expected = stats.beta.sf(ratio, times[up], times[down])
    found = chance_above_zero(np.array(worth, float), np.array(times, float))
    assert found == pytest.approx(expected, abs=3e-13)


def test_a_sum_of_many_kinds_is_above_zero_as_often_as_partial_fractions_say():
    """For different worths, P = sum over positive i of prod over j of w_i / (w_i - w_j)."""
    worth = [3.0, 1.0, -0.5, -2.0, -4.0, 0.25]
    expected = sum(
        math.prod(mine / (mine - other) for other in worth if other != mine)
        for mine in worth
        if mine > 0
    )
    found = chance_above_zero(np.array(worth), np.ones(6))
    assert found == pytest.approx(expected, abs=3e-13)
    idle = chance_above_zero(np.array([*worth, 0.0]), np.array([*[1.0] * 6, 5.0]))
    assert idle == pytest.approx(expected, abs=3e-13)


def test_a_sum_of_one_sign_is_certain():
    ones = np.ones(2)
    assert chance_above_zero(np.array([1.0, 0.0]), ones) == 1.0
    assert chance_above_zero(np.array([-1.0, 0.0]), ones) == 0.0
    assert chance_above_zero(np.array([0.0, 0.0]), ones) == 0.0


@pytest.mark.parametrize(
    ("right", "seen", "unseen", "confidence", "low", "high"),
    [
        ([3, 0, 2], [4, 4, 2], 4, 0.95, 0.0594699, 0.9394853),
        ([3, 0, 2], [4, 4, 2], 4, 0.8, 0.1274182, 0.8767761),
        ([20] * 39 + [19], [20] * 40, 20, 0.95, 0.9107341, 0.9999684),
        ([0.5, 1, 0, 2.5], [1, 1.5, 0.7, 2.5], 1.7526316, 0.95, 0.1653160, 0.9438410),
        ([0, 0, 0], [1, 2, 3], 3, 0.95, 0.0, 0.7948080),
        ([1, 2, 3], [1, 2, 3], 3, 0.95, 0.2051920, 1.0),
    ],
)
def test_bounds_over_clusters_are_pinned(right, seen, unseen, confidence, low, high):
    right, seen = np.array(right, float), np.array(seen, float)
    found = share_bounds(right, seen, unseen, confidence)
    assert found == pytest.approx((low, high), abs=1e-6)
    mirrored = share_bounds(seen - right, seen, unseen, confidence)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-6)


def test_a_typical_cluster_is_the_one_in_which_a_picture_is_found():
    assert typical(np.array([1.0, 2.0, 3.0])) == pytest.approx(14 / 6)
    assert typical(np.array([1.0, 1.5, 0.7, 2.5])) == pytest.approx(1.7526316)


def test_the_root_of_what_falls_is_found_between_its_ends_and_not_beyond():
    assert falling_root(lambda x: 2.0 - x, 0, 5) == pytest.approx(2.0, abs=1e-9)
    assert falling_root(lambda x: 0.3 - x**3, 0, 1) == pytest.approx(0.3 ** (1 / 3), abs=1e-9)
    assert falling_root(lambda x: 2.0 - x, 3, 5) == 3
    assert falling_root(lambda x: 9.0 - x, 3, 5) == 5
    assert type(falling_root(lambda x: 2.0 - x, 0, 5)) is float


# ── bets ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("won", "longest", "p"),
    [
        ("", 8, 1.0),
        ("0000", 8, 1.0),
        ("1", 8, 0.546875),
        ("10", 8, 0.546875),
        ("11", 11, 0.298828125),
        ("1101", 11, 0.298828125),
        ("01111", 8, 0.3125),
        ("110111", 11, 0.18359375),
        ("1111111", 8, 0.0078125),
        ("1111111", 11, 0.01123046875),
        ("11111111", 8, 0.00390625),
        ("1", 1024, 0.571040),
        ("1111111", 1024, 0.019560),
        ("01111", 1024, 0.355776),
    ],
)
def test_the_anytime_test_is_pinned(won, longest, p):
    assert anytime_p([one == "1" for one in won], longest=longest) == pytest.approx(p, abs=1e-6)


def test_as_many_outcomes_as_there_can_be_are_taken_and_one_more_is_refused():
    assert anytime_p([True] * 3, longest=3) == pytest.approx(0.125)
    assert anytime_p([True, *[False] * 1023]) == pytest.approx(0.571040, abs=1e-6)
    with pytest.raises(ValueError) as refused:
        anytime_p([True] * 1025)
    assert str(refused.value) == "1025 outcomes were to be at most 1024"


# ── certificates ─────────────────────────────────────────────────────────────────────────────────


def certified(before: list[Picture | None], after: list[Picture | None], **told) -> Certificate:
    return judge.certificate(
        CHOSEN, "vqa:j@1", range(5, 5 + len(before)), before, after, pair=PAIR, **told
    )


def test_a_certificate_leaves_out_seeds_that_say_nothing_and_keeps_the_others_order():
    refused = Picture(0.9, 0.9, refused=True)
    silent = Picture(None, 0.9)
    found = certified(
        [NO_A, RIGHT, None, NO_A, silent, RIGHT, NO_B],
        [RIGHT, NEITHER, RIGHT, refused, RIGHT, RIGHT, RIGHT],
    )
    assert found.seeds == (5, 6, 10, 11)
    assert found.unjudged == 3
    assert (found.wins, found.losses) == (2, 1)
    assert (found.before.value, found.after.value) == (0.5, 0.75)
    assert (found.before.total, found.after.total) == (4, 4)
    assert found.p == pytest.approx(1.0)
    assert found.anytime_p == 1.0
    assert found.levels_before == judge.level_range(found.before)
    assert found.levels_after == judge.level_range(found.after)
    assert (found.judge, found.nomination, found.model) == ("vqa:j@1", CHOSEN, "")


def test_what_more_seeds_lose_than_regain_is_said_of_each_concept():
    found = certified([RIGHT] * 4, [NO_A, NO_A, NO_B, NEITHER])
    assert found.collateral == (
        "tea cup is lost in 3 pictures that had it before",
        "iced coke is lost in 2 pictures that had it before",
    )
    assert certified([RIGHT, NO_A], [NO_A, RIGHT]).collateral == ()
    assert certified([RIGHT, RIGHT, NO_A], [NO_A, NO_A, RIGHT]).collateral == (
        "tea cup is lost in 2 pictures that had it before",
    )
    assert certified([NO_A, NEITHER], [NEITHER, NO_A]).collateral == ()
    assert certified([NO_B], [NEITHER]).collateral == (
        "tea cup is lost in 1 pictures that had it before",
    )


def test_the_anytime_figure_is_twice_that_of_the_side_that_wins():
    wins = certified([NO_A] * 9, [RIGHT] * 9)
    losses = certified([RIGHT] * 9, [NO_A] * 9)
    assert wins.anytime_p == losses.anytime_p == pytest.approx(2 * anytime_p([True] * 9))
    one = certified([NO_A, RIGHT, NO_A], [RIGHT, NO_A, RIGHT])
    assert one.anytime_p == 1.0
    mixed = certified([RIGHT, *[NO_A] * 8], [NO_A, *[RIGHT] * 8])
    assert mixed.anytime_p == pytest.approx(2 * anytime_p([False, *[True] * 8]))
    turned = certified([NO_A, *[RIGHT] * 8], [RIGHT, *[NO_A] * 8])
    assert turned.anytime_p == mixed.anytime_p
    assert mixed.p == pytest.approx(stats.binomtest(8, 9).pvalue)


def test_a_threshold_holds_for_both_concepts():
    pictures = [Picture(0.6, 0.9)], [Picture(0.9, 0.7)]
    assert certified(*pictures, threshold=0.65).wins == 1
    assert certified(*pictures, threshold=0.75).wins == 0
    assert certified([Picture(0.9, 0.6)], [Picture(0.7, 0.7)], threshold=0.65).wins == 1
    assert certified([Picture(0.5, 0.4999)], [Picture(0.5, 0.5)]).wins == 1


def test_the_model_is_told_where_it_is_another():
    assert certified([RIGHT], [RIGHT], model="m@1").model == ""
    assert certified([RIGHT], [RIGHT], model="m@2").model == "m@2"


def test_who_guided_does_not_judge_and_every_seed_needs_two_pictures():
    with pytest.raises(ValueError) as refused:
        judge.certificate(CHOSEN, "clip:g@1", [1], [RIGHT], [RIGHT], pair=PAIR)
    assert str(refused.value) == "clip:g@1 guided the search, so it cannot certify what was found"
    for seeds, before, after in (([1, 2], 1, 1), ([1], 2, 1), ([1], 1, 2)):
        with pytest.raises(ValueError, match="zip"):
            judge.certificate(
                CHOSEN, "vqa:j@1", seeds, [RIGHT] * before, [RIGHT] * after, pair=PAIR
            )


def fitting(fits: list[tuple[float | None, float | None]]) -> tuple[str, ...]:
    return certified([RIGHT], [RIGHT], fits=fits).collateral


def test_pictures_that_fit_the_prompt_less_are_told_with_digits_that_differ():
    less = [(0.8 + n / 100, 0.7 + n / 90) for n in range(5)]
    assert stats.wilcoxon([b - a for a, b in less], alternative="less").pvalue < 0.05
    said = "fits the plain prompt less, says the guide: "
    assert fitting(less) == (f"{said}0.82 before, 0.72 after",)
    assert fitting([*less, (None, 0.1), (0.9, None)]) == (f"{said}0.82 before, 0.72 after",)
    close = [(0.8 + n / 1e4, 0.8 + n / 1e4 - 1e-4) for n in range(6)]
    assert fitting(close) == (f"{said}0.8003 before, 0.8002 after",)
    assert fitting([(b, a) for a, b in less]) == ()
    assert fitting(less[:4]) == ()
    assert fitting([(0.5, 0.5)] * 9) == ()
    assert fitting([]) == ()
    fewer = [*[(0.8, 0.79 - n / 1e4) for n in range(9)], (0.1, 0.9)]
    assert fitting(fewer) == ()


# ── many at once ─────────────────────────────────────────────────────────────────────────────────


def test_shrunk_means_are_pinned():
    values, totals = np.array([0.2, 0.5, 0.9]), np.array([10.0, 20.0, 8.0])
    variances = np.array([0.2, 0.25, 0.1])
    near = pytest.approx([0.26907115, 0.50308453, 0.80594975], abs=1e-7)
    assert shrunk(values, totals, variances).tolist() == near
    lone = shrunk(values, np.array([10.0, 0.0, 8.0]), variances)
    assert lone.tolist() == pytest.approx([0.22222222, 0.54722222, 0.87222222], abs=1e-7)
    alike = shrunk(np.array([0.48, 0.5, 0.52]), totals, variances)
    assert alike.tolist() == pytest.approx([0.49894737] * 3, abs=1e-7)
    single = shrunk(np.array([0.2, 0.5, 1.0]), np.array([10.0, 20.0, 1.0]), variances)
    assert single.tolist() == pytest.approx([0.2907925, 0.4798694, 0.4946866], abs=1e-6)
    one = shrunk(np.array([0.2, 0.9]), np.array([10.0, 0.0]), np.array([0.2, 0.1]))
    assert one.tolist() == [0.2, 0.9]


def test_what_is_worth_what_keeps_order_and_tells_models_apart():
    before = [NO_A] * 9 + [RIGHT] * 3
    strong = certified(before, [RIGHT] * 12)
    weak = certified(before, [RIGHT] * 2 + [NO_A] * 7 + [RIGHT] * 3)
    elsewhere = [replace(one, model="m@2") for one in (strong, weak)]
    found = judge.standings([weak, elsewhere[0], strong, elsewhere[1]])
    assert [one.proved for one in found] == [False, True, True, False]
    assert [one.among for one in found] == [4] * 4
    own = judge.shrinkage.expected([weak, strong])
    assert [found[place].expected for place in (0, 2)] == list(own)
    others = judge.shrinkage.expected([elsewhere[0], elsewhere[1]])
    assert [found[place].expected for place in (1, 3)] == list(others)
    alone = judge.standings([weak, strong])
    assert [one.expected for one in alone] == list(own)
    assert judge.standings([]) == ()


def test_what_is_expected_of_chosen_repairs_is_pinned():
    before = [NO_A] * 9 + [RIGHT] * 3
    afters = [RIGHT] * 12, [RIGHT] * 5 + [NO_A] * 7, [NO_A] * 12, [RIGHT] * 3 + [NO_A] * 5
    found = judge.shrinkage.expected([certified(before[: len(after)], after) for after in afters])
    numbers = [number for one in found for number in (one.gained, one.gain, one.after)]
    assert numbers == pytest.approx(
        [
            *(0.75, 0.6659581, 0.9678593),
            *(0.1666667, 0.1822916, 0.4185180),
            *(-0.25, -0.1631845, 0.0261313),
            *(0.375, 0.3474021, 0.3812372),
        ],
        abs=1e-6,
    )


# ── agreement ────────────────────────────────────────────────────────────────────────────────────


def test_only_what_both_scored_is_compared():
    first = [Verdict.ALIGNED, Verdict.A_MISSING, Verdict.UNSCORED, Verdict.ALIGNED, Verdict.REFUSED]
    second = [Verdict.ALIGNED, Verdict.ALIGNED, Verdict.ALIGNED, Verdict.REFUSED, Verdict.UNSCORED]
    assert judge.disagreements(first, second) == (1,)
    assert judge.disagreements(second, first) == (1,)
    found = judge.agreement(first * 4, second * 4)
    assert (found.share.value, found.share.total) == (0.5, 8)
    narrow = judge.agreement(first * 4, second * 4, confidence=0.5)
    assert found.share.low < narrow.share.low < narrow.share.high < found.share.high
    for compare in (judge.agreement, judge.disagreements):
        with pytest.raises(ValueError, match="zip"):
            compare(first, second[:-1])


def test_a_lead_of_one_that_was_larger_once_counts_as_it_was():
    lead = certified([NO_A] * 9 + [RIGHT] * 8, [RIGHT] * 9 + [NO_A] * 8)
    assert lead.anytime_p == pytest.approx(2 * anytime_p([True] * 9 + [False] * 8))
    assert lead.anytime_p < 0.02


def test_means_that_are_equal_are_no_loss_however_many_fit_less():
    even = [*[(0.5, 0.4375)] * 12, (0.125, 0.875)]
    assert fitting(even) == ()


def test_proof_is_at_the_level_that_is_asked_for():
    one = certified([NO_A] * 9, [RIGHT] * 9)
    assert judge.proved([one], level=one.anytime_p / 2 * 1.001) == (True,)
    assert judge.proved([one], level=one.anytime_p / 2 * 0.999) == (False,)
    worse = certified([RIGHT] * 9, [NO_A] * 9)
    assert judge.proved([worse, one], level=0.5) == (False, True)


def test_a_gain_on_one_seed_is_whole():
    (found,) = judge.shrinkage.expected([certified([NO_A], [RIGHT])])
    assert (found.gained, found.gain, found.after) == (1.0, 1.0, 1.0)
