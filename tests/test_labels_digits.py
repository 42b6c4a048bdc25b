"""What labels say of a checker and which are worth asking for, to the digits."""

from __future__ import annotations

import math
from statistics import NormalDist

import pytest

from lcmis import judge
from lcmis.judge import (
    Calibrated,
    Decision,
    FixedN,
    Isotonic,
    Judged,
    PairedCounts,
    Picture,
    Platt,
    Sprt,
    Stratum,
    labels_to_halve,
    paired_difference,
    rate,
    rate_by_labels,
    sample_weights,
    stratum,
    worth,
)
from lcmis.judge.likeness import clipscore
from lcmis.types import Rate, Verdict

LABELS = [
    Judged(
        score=(7 * n % 20) / 20 + 0.01,
        truth=(7 * n % 20 > 9) != (n % 6 == 0),
        weight=1 + (n % 3) / 2,
        group="" if n % 5 == 0 else f"g{n % 4}",
        stratum="" if n % 7 == 0 else f"s{n % 3}",
    )
    for n in range(40)
]
PLAIN = [Judged(one.score, one.truth) for one in LABELS]
WEIGHTED = [Judged(one.score, one.truth, one.weight) for one in LABELS]
GROUPED = [Judged(one.score, one.truth, group=one.group) for one in LABELS]
TWO = [Judged(one.score, one.truth, group="ab"[n % 2]) for n, one in enumerate(PLAIN)]
PAIRED = [Judged(one.score, one.truth, stratum=f"s{n // 2}") for n, one in enumerate(PLAIN)]
STRATIFIED = [Judged(one.score, one.truth, stratum=one.stratum) for one in LABELS]


# ── rates by labels ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("labels", "told", "value", "low", "high"),
    [
        (LABELS, {}, 0.673418, 0.385636, 1.0),
        (LABELS, {"threshold": 0.3}, 0.376471, 0.0, 0.971182),
        (LABELS, {"confidence": 0.8}, 0.673418, 0.493714, 0.983475),
        (LABELS, {"more": 4.0}, 0.673418, 0.452714, 0.994096),
        (WEIGHTED, {}, 0.673418, 0.442534, 0.920247),
        (WEIGHTED, {"confidence": 0.8}, 0.673418, 0.522228, 0.838767),
        (GROUPED, {}, 0.725385, 0.374725, 1.0),
        (GROUPED, {"threshold": 0.3}, 0.324359, 0.0, 1.0),
        (TWO, {}, 0.725385, 0.000000, 1.000000),
        (PAIRED, {"confidence": 0.8}, 0.725385, 0.536184, 0.951377),
        (STRATIFIED, {"threshold": 0.3}, 0.324359, 0.0, 0.829026),
        (STRATIFIED, {"confidence": 0.8}, 0.725385, 0.539162, 0.934561),
        (STRATIFIED, {"more": 4.0}, 0.725385, 0.486139, 0.967585),
    ],
)
def test_the_rate_behind_a_checkers_is_pinned(labels, told, value, low, high):
    seen = rate(30, 50, confidence=told.get("confidence", 0.95))
    found = rate_by_labels(seen, labels, **told)
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((value, low, high), abs=2e-6)
    assert found.total == 50


@pytest.mark.parametrize("correct", [4, 30, 46])
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("confidence", [0.95, 0.6])
def test_for_labels_that_are_alike_the_limits_are_lang_and_reiczigels(
    correct, threshold, confidence
):
    """Preventive Veterinary Medicine 2014, equations of section 2."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    there = [one for one in PLAIN if one.truth]
    absent = [one for one in PLAIN if not one.truth]
    tp, tn = len(there) + 2, len(absent) + 2
    se = (sum(one.score >= threshold for one in there) + 1) / tp
    sp = (sum(one.score < threshold for one in absent) + 1) / tn
    p, informed = (correct + z * z / 2) / (50 + z * z), se + sp - 1
    true = (p + sp - 1) / informed
    by_se, by_sp = se * (1 - se) / tp, sp * (1 - sp) / tn
    centre = true + 2 * z * z * (true * by_se - (1 - true) * by_sp)
    errors = p * (1 - p) / (50 + z * z) + true**2 * by_se + (1 - true) ** 2 * by_sp
    half = z * math.sqrt(errors) / informed
    found = rate_by_labels(
        rate(correct, 50, confidence=confidence), PLAIN, threshold=threshold, confidence=confidence
    )
    low, high = (min(1.0, max(0.0, bound)) for bound in (centre - half, centre + half))
    assert found is not None
    assert found.low == pytest.approx(min(low, found.value), abs=1e-6)
    assert found.high == pytest.approx(max(high, found.value), abs=1e-6)


def test_the_corrected_rate_keeps_how_it_was_stopped_and_ends_where_nothing_is_known():
    stopped = Rate(0.6, 0.45, 0.74, 50, "sprt")
    found = rate_by_labels(stopped, LABELS)
    assert found is not None
    assert (found.total, found.stopped) == (50, "sprt")
    assert rate_by_labels(rate(0, 0), LABELS) is None
    assert rate_by_labels(rate(30, 50), [one for one in LABELS if one.truth]) is None
    coin = [Judged(0.9, truth=n % 2 == 0) for n in range(20)]
    assert rate_by_labels(rate(30, 50), coin) is None
    assert rate_by_labels(rate(30, 50), []) is None


@pytest.mark.parametrize(
    ("labels", "told", "more"),
    [
        (LABELS, {}, 169),
        (PLAIN, {}, 126),
        (GROUPED, {}, 293),
        (LABELS, {"threshold": 0.3}, 125),
    ],
)
def test_how_many_more_labels_halve_the_interval_is_pinned(labels, told, more):
    assert labels_to_halve(rate(3000, 5000), labels, **told) == more


def test_where_pictures_are_what_lacks_no_labels_halve_the_interval():
    assert labels_to_halve(rate(30, 50), LABELS) is None


@pytest.mark.parametrize(
    ("hits", "weights", "groups", "confidence", "low", "high", "effective"),
    [
        ("ynyy", [1, 2, 1.5, 1], ["a", "a", "b", ""], 0.95, 0.156408, 0.989410, 4.223241),
        ("ynyy", [1, 2, 1.5, 1], ["a", "a", "b", ""], 0.8, 0.252322, 0.957453, 3.893021),
    ],
)
def test_a_clustered_share_is_pinned(hits, weights, groups, confidence, low, high, effective):
    found = judge.clustered_share(
        [hit == "y" for hit in hits], weights, groups, confidence=confidence
    )
    assert found.rate.value == pytest.approx(3.5 / 5.5)
    assert (found.rate.low, found.rate.high) == pytest.approx((low, high), abs=2e-6)
    assert found.effective == pytest.approx(effective, abs=1e-4)
    assert found.rate.total == 4


def test_a_checkers_accuracy_is_pinned():
    found = judge.accuracy(LABELS)
    assert found.sensitivity.rate.value == pytest.approx(0.852941, abs=1e-6)
    assert found.specificity.rate.value == pytest.approx(0.921569, abs=1e-6)
    assert (found.sensitivity.rate.low, found.specificity.rate.low) == pytest.approx(
        (0.431819, 0.487679), abs=2e-6
    )
    assert (found.sensitivity.effective, found.specificity.effective) == pytest.approx(
        (8.31112, 7.14514), abs=1e-4
    )
    assert (found.sensitivity.rate.total, found.specificity.rate.total) == (23, 17)
    assert found.informed == pytest.approx(0.774510, abs=1e-6)
    surer = judge.accuracy(LABELS, confidence=0.8)
    assert surer.sensitivity.rate.low > found.sensitivity.rate.low + 0.05
    assert surer.specificity.rate.low > found.specificity.rate.low + 0.05
    other = judge.accuracy([Judged(0.5, truth=True), Judged(0.5, truth=False)])
    assert (other.sensitivity.rate.value, other.specificity.rate.value) == (1.0, 0.0)


# ── curves ───────────────────────────────────────────────────────────────────────────────────────


def test_curves_are_pinned():
    platt, isotonic = judge.fit_platt(LABELS), judge.fit_isotonic(LABELS)
    assert (str(platt), str(isotonic)) == ("Platt", "isotonic")
    assert platt.threshold == pytest.approx(0.422946, abs=1e-5)
    assert platt.slope == pytest.approx(6.10336, abs=1e-4)
    assert platt.intercept == pytest.approx(-2.58139, abs=1e-4)
    assert isotonic.threshold == pytest.approx(0.4975, abs=1e-6)
    rising = [isotonic.probability(score) for score in (0.0, 0.3, 0.5, 0.7, 1.0)]
    assert rising == pytest.approx([0.1667, 0.1788, 0.52, 1.0, 1.0], abs=1e-4)
    assert judge.brier(LABELS) == pytest.approx(0.128390, abs=1e-6)
    assert judge.brier(LABELS, [0.5] * 40) == pytest.approx(0.25)
    assert judge.brier([]) is None
    with pytest.raises(ValueError, match="zip"):
        judge.brier(LABELS, [0.5])
    for fit in (judge.fit_platt, judge.fit_isotonic):
        with pytest.raises(ValueError) as refused:
            fit([])
        assert str(refused.value) == "a curve needs labels"


def test_the_better_curve_over_folds_is_chosen_and_its_error_pinned():
    twice = [
        *LABELS,
        *(
            Judged(min(1, one.score + 0.02), one.truth, one.weight, f"{one.group}x")
            for one in LABELS
        ),
    ]
    found = judge.calibrate(twice)
    assert isinstance(found, Calibrated)
    assert found.brier == pytest.approx(0.114569, abs=1e-6)
    assert found.curve == judge.fit_isotonic(twice)
    assert judge.calibrate(twice[:49]) is None
    assert judge.calibrate(twice[:50]) is not None
    assert judge.calibrate([Judged(one.score, truth=True) for one in twice]) is None
    assert judge.calibrate([Judged(one.score, one.truth, group="a") for one in twice]) is None
    two = [Judged(one.score, one.truth, group="ab"[n % 2]) for n, one in enumerate(twice)]
    assert judge.calibrate(two) is not None


@pytest.mark.parametrize(
    ("slope", "intercept", "threshold"),
    [
        (4.0, -1.0, 0.25),
        (4.0, 0.0, None),
        (4.0, -4.0, None),
        (0.0, 1.0, None),
        (-4.0, 1.0, None),
        (0.5, -0.25, 0.5),
    ],
)
def test_platts_threshold_lies_within_the_scale_or_nowhere(slope, intercept, threshold):
    assert Platt(slope, intercept).threshold == threshold


def test_platts_curve_is_logistic_and_never_overflows():
    assert Platt(2.0, -1.0).probability(0.75) == pytest.approx(1 / (1 + math.exp(-0.5)))
    assert Platt(1e6, 0.0).probability(1.0) == pytest.approx(1.0)
    assert Platt(1e6, -1e6).probability(0.0) == pytest.approx(0.0)
    assert Platt(-1e6, 0.0).probability(1.0) == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("scores", "probabilities", "threshold"),
    [
        ((0.1, 0.3, 0.7), (0.2, 0.4, 0.8), 0.4),
        ((0.1, 0.3), (0.2, 0.5), 0.3),
        ((0.1, 0.3), (0.5, 0.6), None),
        ((0.1, 0.3), (0.2, 0.4), None),
        ((0.2,), (0.9,), None),
    ],
)
def test_the_isotonic_threshold_is_where_the_curve_crosses_a_half(scores, probabilities, threshold):
    found = Isotonic(scores, probabilities).threshold
    assert found == (None if threshold is None else pytest.approx(threshold))
    with pytest.raises(ValueError, match="zip"):
        _ = Isotonic((*scores, 0.9), probabilities).threshold


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ({"score": -0.1}, "a score lies in [0, 1], got -0.1"),
        ({"score": 1.1}, "a score lies in [0, 1], got 1.1"),
        ({"score": math.nan}, "a score lies in [0, 1], got nan"),
        ({"score": 0.5, "weight": 0.0}, "a weight lies above 0, got 0.0"),
        ({"score": 0.5, "weight": math.nan}, "a weight lies above 0, got nan"),
    ],
)
def test_what_is_no_label_is_refused_with_its_number(told, sentence):
    with pytest.raises(ValueError) as refused:
        Judged(truth=True, **told)
    assert str(refused.value) == sentence
    assert Judged(0.0, truth=True).score == 0.0
    assert Judged(1.0, truth=True, weight=1e-9).weight == 1e-9


# ── which pictures are worth a label ─────────────────────────────────────────────────────────────

SIDES = [Stratum(right, band, False, False) for right in (False, True) for band in range(3)]


def test_strata_are_cut_at_a_tenth_and_a_half_of_the_way_to_the_threshold():
    found = [
        stratum(score, 0.6, disputed=True, open=False)
        for score in (0, 0.06, 0.07, 0.3, 0.31, 0.59, 0.6, 0.79, 0.81, 0.95, 0.97, 1)
    ]
    assert [(one.right, one.band) for one in found] == [
        *((False, band) for band in (0, 0, 1, 1, 2, 2)),
        *((True, band) for band in (0, 0, 1, 1, 2, 2)),
    ]
    assert {(one.disputed, one.open) for one in found} == {(True, False)}
    assert stratum(0.5, 0.5, disputed=False, open=True) == Stratum(True, 0, False, True)
    for score in (-0.01, 1.01, math.nan):
        with pytest.raises(ValueError) as refused:
            stratum(score, 0.5, disputed=False, open=False)
        assert str(refused.value) == f"a score lies in [0, 1], got {score}"


def test_strata_of_few_labels_are_taken_together_on_their_own_side():
    there = dict(zip(SIDES, (10, 20, 30, 40, 50, 60), strict=True))
    labelled = [SIDES[place] for place in (0, 0, 1, 2, 4, 4, 4)]
    assert sample_weights(there, labelled) == dict(
        zip(SIDES, (5.0, 25.0, 25.0, 50.0, 50.0, 50.0), strict=True)
    )
    assert sample_weights(there, [SIDES[0]]) == dict.fromkeys(SIDES[:3], 60.0)
    some = dict(list(there.items())[:3])
    assert sample_weights(some, [SIDES[place] for place in (0, 1, 2, 2)]) == dict.fromkeys(
        SIDES[:3], 15.0
    )
    last = [SIDES[place] for place in (0, 0, 1, 1, 2)]
    assert sample_weights(some, last) == dict(zip(SIDES[:3], (5.0, 50 / 3, 50 / 3), strict=True))
    assert sample_weights(there, []) == {}
    assert sample_weights({}, []) == {}


@pytest.mark.parametrize(
    ("right", "band", "plain", "disputed"),
    [
        (False, 0, 21.45, 30.0),
        (False, 1, 24.05, 30.0),
        (False, 2, 27.2, 30.0),
        (True, 0, 31.2, 30.0),
        (True, 1, 31.05, 30.0),
        (True, 2, 30.45, 30.0),
    ],
)
def test_the_worth_of_a_label_is_pinned(right, band, plain, disputed):
    for is_disputed, expected in ((False, plain), (True, disputed)):
        for is_open, times in ((False, 1), (True, 2)):
            kind = Stratum(right, band, is_disputed, is_open)
            assert worth(50, 1, 3, kind=kind) == pytest.approx(times * expected)
    with pytest.raises(ValueError, match="got 4 of 3"):
        worth(50, 4, 3, kind=SIDES[0])


def test_a_clipscore_is_the_higher_of_two_means_weighted():
    assert clipscore([0.2, None, 0.4], [0.1, 0.3], 2.5) == pytest.approx(0.75)
    assert clipscore([0.2], [0.1, 0.5], 2.0) == pytest.approx(0.6)
    assert clipscore([None], [0.5], 2.0) == pytest.approx(1.0)
    assert clipscore([0.5], [], 2.0) == pytest.approx(1.0)
    assert clipscore([None], [], 2.5) is None


# ── edges ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("correct", "total", "level"),
    [
        (31, 40, 1),
        (30, 40, 2),
        (21, 40, 2),
        (20, 40, 3),
        (11, 40, 3),
        (10, 40, 4),
        (1, 40, 4),
        (0, 40, 5),
    ],
)
def test_halves_go_to_the_better_level(correct, total, level):
    assert judge.level(correct, total) == level
    assert judge.level_range(Rate(0.5, correct / 40, correct / 40, total)).low == level


def test_sentences_of_rates_are_whole():
    with pytest.raises(ValueError) as refused:
        judge.level(0, 0)
    assert str(refused.value) == "a level needs at least one scored picture"
    with pytest.raises(ValueError) as refused:
        judge.corrected_rate(rate(3, 4), 0.5, 0.5)
    assert str(refused.value) == (
        "sensitivity 0.5 and specificity 0.5 add up to 1 or less: "
        "such a checker says nothing about the rate"
    )
    for shares in ((-0.1, 0.9), (1.1, 0.9), (0.9, -0.1), (0.9, 1.1)):
        with pytest.raises(ValueError) as refused:
            judge.corrected_rate(rate(3, 4), *shares)
        assert str(refused.value) == (
            f"sensitivity and specificity lie in [0, 1], got {shares[0]}, {shares[1]}"
        )


def test_who_is_right_alone_is_counted_on_either_side():
    counts = [PairedCounts(5, 2, 4, 1), PairedCounts(0, 3, 0, 9), PairedCounts(0, 0, 0, 0)]
    found = paired_difference(counts)
    assert (found.only_first, found.only_second) == (5, 4)
    assert (found.pairs, found.pictures) == (2, 24)
    assert found.value == pytest.approx(-1 / 24)
    assert (found.low, found.high) == pytest.approx((-0.852098, 0.838626), abs=2e-6)
    assert (counts[0].of_first, counts[0].of_second, counts[0].total) == ((7, 12), (9, 12), 12)
    one = paired_difference(counts[:1])
    assert (one.detectable, one.pairs) == (1.0, 1)
    nothing = paired_difference(counts[2:])
    assert (nothing.value, nothing.low, nothing.high, nothing.detectable) == (0.0, -1.0, 1.0, 1.0)
    assert (nothing.pairs, nothing.pictures, nothing.only_first, nothing.only_second) == (0,) * 4


def test_what_a_comparison_can_detect_is_pinned():
    counts = [PairedCounts(4, int(n % 3 == 0), n % 2 + (n == 5), 2) for n in range(30)]
    found = paired_difference(counts)
    assert (found.value, found.low, found.high, found.detectable) == pytest.approx(
        (0.029126, -0.111565, 0.162073, 0.157647), abs=2e-6
    )
    narrow = paired_difference(counts, confidence=0.8)
    assert (narrow.low, narrow.high) == pytest.approx((-0.063075, 0.116465), abs=2e-6)


def test_which_pairs_surely_fail_depends_on_the_level_that_is_asked_for():
    wrong, right = Picture(0.1, 0.9), Picture(0.9, 0.9)
    judged = [
        judge.judge_pair([wrong] * few + [right] * (20 - few), rule=FixedN(20))
        for few in (20, 14, 13, 0)
    ]
    nothing = judge.judge_pair([Picture(None, 0.9)] * 20, rule=FixedN(20))
    every = [*judged, nothing]
    assert judge.surely_failing(every) == (True, False, False, False, False)
    assert judge.surely_failing(every, level=0.2) == (True, True, True, False, False)
    assert judge.surely_failing([nothing, judged[0]]) == (False, True)
    assert judge.surely_failing([]) == ()


def test_a_rule_may_look_at_every_picture():
    assert FixedN(1, block=1).decide(0, 1) is Decision.FAILS
    for told in ({"total": 0}, {"block": 0}):
        with pytest.raises(ValueError) as refused:
            FixedN(**told)
        assert str(refused.value) == (
            f"a rule needs pictures: got {told.get('total', 20)} "
            f"in blocks of {told.get('block', 4)}"
        )
    for threshold in (-0.1, 1.0):
        with pytest.raises(ValueError) as refused:
            FixedN(threshold=threshold)
        assert str(refused.value) == (f"a failure rate to exceed lies in [0, 1), got {threshold}")


@pytest.mark.parametrize(
    "told",
    [
        {"threshold": 0.5, "delta": 0.5},
        {"threshold": 0.75, "delta": 0.25},
        {"threshold": 0.25, "delta": 0.25},
        {"delta": 0.0},
        {"delta": -0.1},
    ],
)
def test_two_hypotheses_are_two_rates_within_the_scale(told):
    with pytest.raises(ValueError) as refused:
        Sprt(**told)
    assert str(refused.value) == (
        f"threshold {told.get('threshold', 0.5)} plus and minus delta {told['delta']} must be two "
        "rates within (0, 1)"
    )


@pytest.mark.parametrize("errors", [(0.0, 0.05), (0.5, 0.05), (0.05, 0.0), (0.05, 0.5)])
def test_errors_of_a_sequential_test_lie_below_a_half(errors):
    with pytest.raises(ValueError) as refused:
        Sprt(alpha=errors[0], beta=errors[1])
    assert str(refused.value) == f"errors lie in (0, 0.5), got {errors[0]} and {errors[1]}"


def test_a_pair_of_one_picture_is_judged_by_it():
    found = judge.judge_pair([Picture(0.1, 0.9)])
    assert (found.failing, found.aligned.total, found.aligned.stopped) == (
        Decision.FAILS,
        1,
        "fixed 1",
    )
    nothing = judge.judge_pair([])
    assert (nothing.level, nothing.aligned.total, nothing.aligned.stopped) == (None, 0, "fixed 1")


def test_each_concept_has_its_own_threshold_and_its_own_name():
    pictures = [Picture(0.6, 0.6, intruder_a="glass", intruder_b="iced coke")] * 3
    both = judge.judge_pair(pictures, threshold_a=0.7, threshold_b=0.7, asked_b="iced coke")
    assert both.count(Verdict.BOTH_MISSING) == 3
    assert [(one.name, one.count, one.total) for one in both.intruders_a] == [("glass", 3, 3)]
    assert [(one.name, one.count) for one in both.intruders_b] == [("unnamed", 3)]
    named = judge.judge_pair(pictures, threshold_a=0.7, threshold_b=0.7, asked_a="glass")
    assert [one.name for one in named.intruders_a] == ["unnamed"]
    assert [one.name for one in named.intruders_b] == ["iced coke"]
    assert [one.value for one in judge.judge_pair(pictures, threshold_a=0.7).verdicts] == [
        "a_missing"
    ] * 3
    assert [one.value for one in judge.judge_pair(pictures, threshold_b=0.7).verdicts] == [
        "b_missing"
    ] * 3
    narrow = judge.judge_pair(pictures, confidence=0.5).aligned
    assert (narrow.low, narrow.high) == (rate(3, 3, confidence=0.5).low, 1.0)


def test_nothing_compared_is_no_agreement():
    found = judge.answers_agreement([], [])
    assert (found.share, found.kappa, found.low, found.high) == (rate(0, 0), None, -1.0, 1.0)
    same = judge.answers_agreement(["yes"] * 4, ["yes"] * 4)
    assert (same.share.value, same.kappa, same.low, same.high) == (1.0, None, -1.0, 1.0)
    for weights in ([1.0], [1.0, 0.0], [1.0, -1.0]):
        with pytest.raises(ValueError) as refused:
            judge.answers_agreement(["a", "b"], ["a", "b"], weights=weights)
        assert str(refused.value) == "2 answers need as many weights above 0"
    with pytest.raises(ValueError, match="zip"):
        judge.answers_agreement(["a", "b"], ["a"])


@pytest.mark.parametrize("pictures", [1, 5, 64, 65])
def test_an_interval_as_wide_as_was_asked_for_is_not_too_wide(pictures):
    found = rate(pictures, pictures)
    assert judge.pictures_needed(found.high - found.low, value=1) == pictures


def test_many_are_controlled_at_the_level_that_is_asked_for():
    p = [0.001, 0.02, 0.04, 0.3]
    assert judge.benjamini_hochberg(p) == (True, True, False, False)
    assert judge.benjamini_hochberg(p, level=0.054) == (True, True, True, False)
    assert judge.benjamini_hochberg(p[::-1], level=0.3) == (True,) * 4
    assert judge.benjamini_hochberg([0.025, 0.05]) == (True, True)
    assert judge.benjamini_hochberg([0.05]) == (True,)
    assert judge.benjamini_hochberg([0.0, 1.0]) == (True, False)
    assert judge.benjamini_hochberg([]) == ()
    for level in (0, 1):
        with pytest.raises(ValueError) as refused:
            judge.benjamini_hochberg(p, level=level)
        assert str(refused.value) == f"a share of false discoveries lies in (0, 1), got {level}"
    for odd in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError) as refused:
            judge.benjamini_hochberg([0.1, odd])
        assert str(refused.value) == "a p-value lies in [0, 1]; one of these does not"


def test_evidence_that_lies_on_walds_bound_decides():
    rule = Sprt(threshold=0.5, delta=0.3, alpha=1 / 17, beta=1 / 17)
    assert rule.log_likelihood_ratio(0, 2) == pytest.approx(math.log(16))
    assert rule.decide(0, 2) is Decision.FAILS
    assert rule.decide(2, 2) is Decision.PASSES
    assert rule.decide(1, 3) is Decision.CONTINUE
    short = Sprt(threshold=0.5, delta=0.3, alpha=1 / 17, beta=1 / 17, cap=3)
    assert (short.decide(1, 3), short.capped(1, 3)) == (Decision.FAILS, True)
    assert (short.decide(0, 3), short.capped(0, 3)) == (Decision.FAILS, False)
    four = Sprt(threshold=0.5, delta=0.3, alpha=1 / 17, beta=1 / 17, cap=4)
    assert (four.decide(2, 4), four.capped(2, 4)) == (Decision.UNDECIDED, True)
    assert (four.decide(1, 4), four.capped(1, 4)) == (Decision.FAILS, False)
    assert (four.decide(3, 4), four.capped(3, 4)) == (Decision.PASSES, False)
    uneven = Sprt(alpha=0.01, beta=0.2)
    assert uneven.name == "sprt 0.5±0.18 errors 0.01/0.2 every 4 to 20"
    assert uneven.log_likelihood_ratio(1, 4) == pytest.approx(
        3 * math.log(0.68 / 0.32) + math.log(0.32 / 0.68)
    )


RULES = [
    (Sprt(), 1, 4),
    (Sprt(), 2, 12),
    (Sprt(threshold=0.4, delta=0.2, cap=24), 13, 20),
    (judge.Curtailed(), 3, 12),
    (judge.Curtailed(30, 0.3, 5), 17, 20),
    (judge.Curtailed(12, 0.5, 1), 6, 12),
]
BOUNDS = [
    (0.0127415, 0.7999073),
    (0.0234636, 0.4953488),
    (0.3774193, 0.8637194),
    (0.0528232, 0.5912596),
    (0.6018973, 0.9693316),
    (0.198748, 0.801252),
]


@pytest.mark.parametrize(
    ("rule", "correct", "total", "low", "high"),
    [(*one, *two) for one, two in zip(RULES, BOUNDS, strict=True)],
)
def test_stopped_intervals_are_pinned(rule, correct, total, low, high):
    found = judge.stopped_interval(correct, total, rule)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-6)
    mirrored = judge.stopped_interval(total - correct, total, rule)
    if rule.threshold == 0.5:
        assert (mirrored.low, mirrored.high) == pytest.approx((1 - high, 1 - low), abs=1e-6)
    assert found.value == correct / total
    assert (found.total, found.stopped) == (total, rule.name)


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_a_fixed_number_has_the_exact_interval(confidence):
    found = judge.stopped_interval(3, 20, FixedN(), confidence=confidence)
    exact = rate(3, 20, confidence=confidence)
    assert (found.low, found.high, found.stopped) == (exact.low, exact.high, "fixed 20")
    nothing = judge.stopped_interval(0, 0, Sprt(), confidence=confidence)
    assert (nothing.low, nothing.high, nothing.stopped) == (0.0, 1.0, Sprt().name)


def test_no_label_says_nothing():
    assert judge.clustered_share([], [], []) == judge.Share(Rate(0.5, 0.0, 1.0, 0), 0.0)
    assert judge.effective_number(rate(0, 0)) == 0.0
    assert judge.effective_number(Rate(0.5, 0.0, 1.0, 4)) == 0.0
    assert judge.effective_number(rate(3, 9, confidence=0.8), confidence=0.8) == pytest.approx(9)
    assert judge.effective_number(Rate(0.5, 0.5, 0.5, 4)) == pytest.approx(1e12)


def test_a_decision_wants_one_pair_more_at_the_least():
    assert judge.pairs_needed(1, 0.4, 0.39, 0.5, 0.35) == 2
    assert judge.pairs_needed(40, 0.1, 0.05, 0.15, 0.9) == 41


def test_a_paired_test_wants_counts():
    for wins, losses in ((-1, 2), (2, -1), (-1, -1)):
        with pytest.raises(ValueError) as refused:
            judge.paired_test(wins, losses)
        assert str(refused.value) == f"wins and losses are counts, got {wins} and {losses}"
    assert [judge.paired_test(*one) for one in ((0, 0), (1, 0), (6, 0), (2, 8))] == pytest.approx(
        [1.0, 1.0, 0.03125, 0.109375]
    )


def test_who_names_nobody_is_unnamed():
    pictures = [Picture(0.1, 0.9, intruder_a=name) for name in ("", None, "none of these", "glass")]
    found = judge.judge_pair(pictures, asked_a="tea cup").intruders_a
    assert [(one.name, one.count, one.total) for one in found] == [
        ("glass", 1, 4),
        ("unnamed", 3, 4),
    ]
    for told in ({"asked_a": ""}, {}):
        assert judge.judge_pair(pictures, **told).intruders_a == found


FIRST = "aaabbbbcccaabbcabcaaabbb"
SECOND = "aabbbbbccaaabbcabcaacbba"
KAPPAS = [
    (0.7405405, 0.4150443, 0.9273541, 0.6261583, 0.9526464),
    (0.7405405, 0.5215121, 0.8853648, 0.6941208, 0.9252652),
    (0.6850394, 0.311113, 0.9144627, 0.5519712, 0.9430019),
    (0.6850394, 0.5369978, 0.8034613, 0.696442, 0.8691257),
]


@pytest.mark.parametrize(
    ("told", "expected"),
    zip(
        [
            {},
            {"confidence": 0.8},
            {"weights": [1.0 + n % 3 for n in range(24)]},
            {"weights": [1.0 + n % 3 for n in range(24)], "confidence": 0.5},
        ],
        KAPPAS,
        strict=True,
    ),
)
def test_kappa_and_its_interval_are_pinned(told, expected):
    found = judge.answers_agreement(FIRST, SECOND, **told)
    numbers = (found.kappa, found.low, found.high, found.share.low, found.share.high)
    assert numbers == pytest.approx(expected, abs=1e-6)
    turned = judge.answers_agreement(SECOND, FIRST, **told)
    assert (turned.kappa, turned.low, turned.high) == pytest.approx(
        (found.kappa, found.low, found.high), abs=1e-6
    )


def test_two_judges_who_agree_throughout_may_be_sure_of_it():
    found = judge.answers_agreement("aabb", "aabb")
    assert (found.kappa, found.high) == (1.0, 1.0)
    assert found.low < 0.4


def test_paths_are_counted_up_to_a_thousand_pictures():
    found = judge.operating_characteristics(FixedN(1000, block=1000), 0.5)
    assert found.pictures == pytest.approx(1000)
    assert 0.48 < found.fails < 0.5
    with pytest.raises(ValueError) as refused:
        judge.operating_characteristics(FixedN(1001, block=1001), 0.5)
    assert str(refused.value) == "paths are counted exactly up to 1000 pictures, not to 1001"
    for odd in (-0.1, 1.1):
        with pytest.raises(ValueError) as refused:
            judge.operating_characteristics(FixedN(), odd)
        assert str(refused.value) == f"a failure rate lies in [0, 1], got {odd}"
    for shapes in ((0, 1), (1, 0)):
        with pytest.raises(ValueError) as refused:
            judge.expected_pictures(FixedN(), shapes)
        assert str(refused.value) == f"a Beta distribution has two positive shapes, got {shapes}"


def test_rules_say_all_of_their_settings_but_the_usual_threshold():
    assert (FixedN().name, FixedN(8, 0.3).name) == ("fixed 20", "fixed 8 at 0.3")
    assert (judge.Curtailed().name, judge.Curtailed(9, 0.25).name) == (
        "curtailed 20",
        "curtailed 9 at 0.25",
    )
    assert (FixedN(8).fair, judge.Curtailed(8).fair, Sprt(block=5).fair) == (8, 4, 5)


def test_a_checker_that_sees_nothing_right_is_no_better_than_a_coin():
    for shares in ((0.0, 1.0), (1.0, 0.0)):
        with pytest.raises(ValueError, match="add up to 1 or less"):
            judge.corrected_rate(rate(3, 4), *shares)


def test_two_pairs_that_agree_can_show_a_large_difference():
    assert paired_difference([PairedCounts(5, 0, 0, 5)] * 2).detectable < 0.9


def test_a_corrected_value_stays_on_the_scale_and_lone_groups_and_strata_are_taken():
    found = rate_by_labels(rate(46, 50), PLAIN)
    assert found is not None
    assert (found.value, found.high) == (1.0, 1.0)
    one = [Judged(item.score, item.truth, group="a") for item in PLAIN]
    assert rate_by_labels(rate(30, 50), one) is not None
    alone = [Judged(item.score, item.truth, stratum=f"s{n}") for n, item in enumerate(PLAIN)]
    assert rate_by_labels(rate(30, 50), alone) == rate_by_labels(rate(30, 50), PLAIN)
