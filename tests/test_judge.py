"""Verdicts, rates, levels, stopping rules, comparisons: against scipy, statsmodels, exact sums."""

from __future__ import annotations

import dataclasses
import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.inter_rater import cohens_kappa
from statsmodels.stats.power import TTestPower, zt_ind_solve_power
from statsmodels.stats.proportion import proportion_confint
from worlds.ids import name_of

from lcmis.judge import (
    UNNAMED,
    Curtailed,
    Decision,
    FixedN,
    IntruderCount,
    Picture,
    Sprt,
    StoppingRule,
    agreement,
    corrected_rate,
    counts,
    disagreements,
    expected_pictures,
    fair_rate,
    judge_pair,
    level,
    level_range,
    minimum_detectable_difference,
    model_rate,
    operating_characteristics,
    paired_test,
    pictures_needed,
    prior,
    rate,
    stopped_interval,
    verdict,
)
from lcmis.types import NONE_OF_THESE, LevelRange, Rate, Verdict

some_counts = st.integers(0, 120).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
stopping_rules: list[StoppingRule] = [
    Sprt(),
    Sprt(cap=60),
    Sprt(threshold=0.2, delta=0.1, cap=64),
    Sprt(delta=0.1, block=8, cap=64),
    Curtailed(20),
    Curtailed(64, block=8),
    Curtailed(10, threshold=0.3, block=3),
]


# ── one picture ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("a", "b", "seen"),
    [
        (0.5, 0.5, Verdict.ALIGNED),
        (0.49, 0.5, Verdict.A_MISSING),
        (1.0, 0.0, Verdict.B_MISSING),
        (0.1, 0.2, Verdict.BOTH_MISSING),
        (None, 0.0, Verdict.UNSCORED),
        (1.0, None, Verdict.UNSCORED),
    ],
)
def test_a_concept_is_there_when_its_score_reaches_the_threshold_and_silence_is_not_absence(
    a: float | None, b: float | None, seen: Verdict
) -> None:
    assert verdict(a, b) is seen


def test_each_concept_has_its_own_threshold() -> None:
    assert verdict(0.4, 0.6, threshold_a=0.3, threshold_b=0.7) is Verdict.B_MISSING


def test_a_refused_picture_is_refused_whatever_its_scores() -> None:
    assert verdict(1.0, 1.0, refused=True) is Verdict.REFUSED


@pytest.mark.parametrize("score", [math.nan, -0.1, 1.1])
def test_a_score_outside_the_unit_interval_is_an_error_not_an_absence(score: float) -> None:
    with pytest.raises(ValueError, match="a score lies in"):
        verdict(score, 0.5)


# ── rates and levels ─────────────────────────────────────────────────────────────────────────────


@given(some_counts, st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_the_interval_of_a_fixed_number_is_statsmodels_exact_interval(
    pair: tuple[int, int], confidence: float
) -> None:
    correct, total = pair
    ours = rate(correct, total, confidence=confidence)
    if total == 0:
        assert (ours.low, ours.high, ours.total) == (0.0, 1.0, 0)
        return
    theirs = proportion_confint(correct, total, alpha=1 - confidence, method="beta")
    assert (ours.low, ours.high) == pytest.approx(theirs, abs=1e-12)
    assert 0 <= ours.low <= ours.value <= ours.high <= 1


@pytest.mark.parametrize(("correct", "total"), [(-1, 4), (5, 4), (0, -1)])
def test_impossible_counts_are_refused(correct: int, total: int) -> None:
    with pytest.raises(ValueError, match="correct <= total"):
        rate(correct, total)


def test_a_level_is_the_papers_by_twenty() -> None:
    papers = [5] + [4] * 5 + [3] * 5 + [2] * 5 + [1] * 5
    assert [level(correct, 20) for correct in range(21)] == papers


@given(some_counts.filter(lambda pair: pair[1] > 0))
def test_another_total_takes_the_level_of_the_nearest_count_out_of_twenty(
    pair: tuple[int, int],
) -> None:
    correct, total = pair
    nearest = (40 * correct + total) // (2 * total)  # round half up, in whole numbers
    assert level(correct, total) == level(nearest, 20)


@given(some_counts.filter(lambda pair: pair[1] > 0))
def test_the_levels_that_an_interval_allows_hold_the_level_of_its_point(
    pair: tuple[int, int],
) -> None:
    allowed = level_range(rate(*pair))
    assert allowed.low <= level(*pair) <= allowed.high


def test_twenty_failures_of_twenty_do_not_prove_level_five() -> None:
    assert level_range(rate(0, 20)) == LevelRange(4, 5)
    assert level_range(rate(0, 145)) == LevelRange(4, 5)
    assert level_range(rate(0, 146)) == LevelRange(5, 5)
    assert str(level_range(rate(10, 20))) == "2–4"
    assert str(level_range(rate(32, 64))) == "2–3"
    assert level_range(rate(0, 0)) == LevelRange(1, 5)


def test_a_rate_is_corrected_for_the_checkers_known_errors() -> None:
    true_rate, sensitivity, specificity = 0.3, 0.9, 0.8
    seen = true_rate * sensitivity + (1 - true_rate) * (1 - specificity)
    mended = corrected_rate(Rate(seen, 0.1, 0.9, 50, "fixed 50"), sensitivity, specificity)
    assert mended.value == pytest.approx(true_rate)
    assert (mended.low, mended.high) == (0.0, 1.0)
    assert (mended.total, mended.stopped) == (50, "fixed 50")


@given(some_counts, st.floats(0.55, 1), st.floats(0.55, 1))
def test_a_corrected_rate_stays_ordered_within_the_unit_interval(
    pair: tuple[int, int], sensitivity: float, specificity: float
) -> None:
    mended = corrected_rate(rate(*pair), sensitivity, specificity)
    assert 0 <= mended.low <= mended.value <= mended.high <= 1


def test_a_checker_no_better_than_a_coin_corrects_nothing() -> None:
    with pytest.raises(ValueError, match="says nothing"):
        corrected_rate(rate(3, 10), 0.4, 0.6)
    with pytest.raises(ValueError, match="lie in"):
        corrected_rate(rate(3, 10), 1.4, 0.6)


# ── stopping ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("total", [1, 4, 7, 10])
@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.5, 0.8])
def test_curtailing_never_changes_the_decision(total: int, threshold: float) -> None:
    fixed, curtailed = FixedN(total, threshold), Curtailed(total, threshold)
    for outcomes in itertools.product((False, True), repeat=total):
        rights = list(itertools.accumulate(outcomes, initial=0))
        for seen, right in enumerate(rights):
            early = curtailed.decide(right, seen)
            if early is not Decision.CONTINUE:
                assert early is fixed.decide(rights[-1], total)
        assert curtailed.decide(rights[-1], total) is fixed.decide(rights[-1], total)


@given(st.integers(1, 200), st.floats(0, 0.99), st.data())
def test_curtailing_never_changes_the_decision_at_any_size(
    total: int, threshold: float, data: st.DataObject
) -> None:
    seen = data.draw(st.integers(0, total))
    right = data.draw(st.integers(0, seen))
    later = data.draw(st.integers(0, total - seen))
    early = Curtailed(total, threshold).decide(right, seen)
    if early is not Decision.CONTINUE:
        assert early is FixedN(total, threshold).decide(right + later, total)


def test_half_wrong_does_not_exceed_a_half() -> None:
    assert FixedN(20).decide(10, 20) is Decision.PASSES
    assert FixedN(20).decide(9, 20) is Decision.FAILS
    assert FixedN(20).decide(0, 19) is Decision.CONTINUE
    assert FixedN(10, threshold=0.3).decide(7, 10) is Decision.PASSES  # 0.3 * 10 > 3 in doubles


def test_four_alike_are_enough_for_the_default_sequential_test() -> None:
    assert Sprt().decide(0, 4) is Decision.FAILS
    assert Sprt().decide(4, 4) is Decision.PASSES
    assert Sprt().decide(1, 4) is Decision.CONTINUE


def test_at_the_cap_the_likelier_hypothesis_wins_and_the_rule_says_that_it_was_capped() -> None:
    rule = Sprt()
    assert rule.decide(9, 20) is Decision.FAILS
    assert rule.decide(11, 20) is Decision.PASSES
    assert rule.decide(10, 20) is Decision.UNDECIDED
    assert rule.capped(9, 20)
    assert not rule.capped(0, 20)
    assert not rule.capped(9, 16)
    assert not FixedN(20).capped(10, 20)
    assert not Curtailed(20).capped(10, 20)


@pytest.mark.parametrize("rule", stopping_rules, ids=name_of)
def test_more_right_pictures_never_turn_a_pass_into_a_failure(rule: StoppingRule) -> None:
    order = [Decision.FAILS, Decision.CONTINUE, Decision.UNDECIDED, Decision.PASSES]
    for total in range(rule.cap + 3):
        ranks = [order.index(rule.decide(correct, total)) for correct in range(total + 1)]
        assert ranks == sorted(ranks)


@pytest.mark.parametrize(
    "settings_of_it",
    [
        {"threshold": 0.1},
        {"delta": 0.0},
        {"alpha": 0.0},
        {"beta": 0.5},
        {"cap": 0},
        {"block": 0},
    ],
)
def test_a_test_between_impossible_hypotheses_is_refused(settings_of_it: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        Sprt(**settings_of_it)  # type: ignore[arg-type]


def test_a_fixed_number_errs_as_the_binomial_distribution_says() -> None:
    for total, failure_rate in itertools.product((4, 20, 64), (0.0, 0.1, 0.4, 0.5, 0.9, 1.0)):
        exact = operating_characteristics(FixedN(total), failure_rate)
        assert exact.fails == pytest.approx(stats.binom.sf(total // 2, total, failure_rate))
        assert exact.pictures == pytest.approx(total)
    assert operating_characteristics(FixedN(20), 0.4).fails == pytest.approx(0.128, abs=5e-4)
    assert operating_characteristics(FixedN(20), 0.3).fails == pytest.approx(0.017, abs=5e-4)
    assert operating_characteristics(FixedN(64), 0.4).fails == pytest.approx(0.040, abs=5e-4)


@pytest.mark.parametrize(
    ("failure_rate", "pictures"), [(0.02, 8.6), (0.2, 14), (0.3, 21), (0.4, 39), (0.5, 67)]
)
def test_the_narrow_sequential_test_costs_what_was_published_for_it(
    failure_rate: float, pictures: float
) -> None:
    cost = operating_characteristics(Sprt(delta=0.1, cap=192), failure_rate).pictures
    assert cost == pytest.approx(pictures, abs=0.05 if pictures < 10 else 0.5)


def mean_error(rule: StoppingRule, failure_rates: np.ndarray) -> float:
    wrong = []
    for failure_rate in failure_rates:
        fails = operating_characteristics(rule, float(failure_rate)).fails
        wrong.append(fails if failure_rate < 0.5 else 1 - fails)
    return float(np.mean(wrong))


middles = (np.arange(200) + 0.5) / 200
uniform, u_shaped = middles, np.sin(middles * np.pi / 2) ** 2


@pytest.mark.parametrize(
    ("rule", "flat", "curved"),
    [
        (FixedN(20), (20, 0.088), (20, 0.056)),
        (Curtailed(20, block=1), (14.1, 0.088), (13.0, 0.056)),
        (Sprt(cap=60), (10.1, 0.080), (8.2, 0.051)),
        (FixedN(64), (64, 0.050), (64, 0.032)),
        (Sprt(delta=0.1, cap=192), (24.8, 0.042), (19.2, 0.027)),
    ],
    ids=name_of,
)
def test_means_over_whole_populations_are_the_published_ones(
    rule: StoppingRule, flat: tuple[float, float], curved: tuple[float, float]
) -> None:
    # The published figures were summed over a coarser grid of rates: one per cent.
    assert expected_pictures(rule, (1, 1)).mean == pytest.approx(flat[0], rel=0.01)
    assert expected_pictures(rule, (0.5, 0.5)).mean == pytest.approx(curved[0], rel=0.01)
    assert mean_error(rule, uniform) == pytest.approx(flat[1], abs=1.5e-3)
    assert mean_error(rule, u_shaped) == pytest.approx(curved[1], abs=1.5e-3)


@pytest.mark.parametrize("rule", stopping_rules, ids=name_of)
def test_expected_pictures_are_the_population_mean_of_the_cost_and_lie_in_their_bounds(
    rule: StoppingRule,
) -> None:
    costs = [operating_characteristics(rule, float(p)).pictures for p in u_shaped]
    expected = expected_pictures(rule)
    assert expected.mean == pytest.approx(np.mean(costs), rel=1e-3)
    assert expected.low < expected.mean < expected.high == rule.cap


def test_the_published_savings_hold_for_the_default_rule() -> None:
    assert expected_pictures(Sprt()).mean < 0.4 * 20
    assert expected_pictures(FixedN(20)) == dataclasses.replace(
        expected_pictures(FixedN(20)), low=20, high=20
    )


# ── intervals under stopping ─────────────────────────────────────────────────────────────────────


def where_it_stops(
    rule: StoppingRule, aligned: float, cap: int | None = None
) -> dict[tuple[int, int], float]:
    """Probability of each (correct, total) at the stop: a second, slower way to count."""
    cap = rule.cap if cap is None else cap
    here, stopped = {0: 1.0}, {}
    for total in range(1, cap + 1):
        there: dict[int, float] = {}
        for correct, chance in here.items():
            there[correct] = there.get(correct, 0.0) + chance * (1 - aligned)
            there[correct + 1] = there.get(correct + 1, 0.0) + chance * aligned
        here = there
        if total == cap or total % rule.block == 0:
            for correct in list(here):
                if total == cap or rule.decide(correct, total) is not Decision.CONTINUE:
                    stopped[correct, total] = here.pop(correct)
    return stopped


@pytest.mark.parametrize("rule", stopping_rules, ids=name_of)
def test_the_interval_at_the_stopping_time_covers_every_true_rate(rule: StoppingRule) -> None:
    intervals = {end: stopped_interval(*end, rule) for end in where_it_stops(rule, 0.5)}
    bounds = [bound for interval in intervals.values() for bound in (interval.low, interval.high)]
    jumps = [min(1.0, max(0.0, b + side)) for b in bounds for side in (-1e-7, 1e-7)]
    for aligned in [*np.linspace(0, 1, 101), *jumps]:
        covered = sum(
            chance
            for end, chance in where_it_stops(rule, aligned).items()
            if intervals[end].low <= aligned <= intervals[end].high
        )
        assert covered >= 0.95 - 1e-6


def test_a_plain_interval_would_not_cover_after_stopping() -> None:
    def plain(end: tuple[int, int]) -> tuple[float, float]:
        low, high = proportion_confint(*end, method="wilson")
        return low, high

    covered = {
        aligned: sum(
            chance
            for end, chance in where_it_stops(Sprt(), aligned).items()
            if plain(end)[0] <= aligned <= plain(end)[1]
        )
        for aligned in np.linspace(0.02, 0.98, 49)
    }
    assert min(covered.values()) < 0.90


def test_a_pair_that_the_budget_cut_short_is_covered_too() -> None:
    rule, cut = Sprt(), 8
    ends = where_it_stops(rule, 0.5, cap=cut)
    intervals = {end: stopped_interval(*end, rule) for end in ends}
    for aligned in np.linspace(0, 1, 201):
        covered = sum(
            chance
            for end, chance in where_it_stops(rule, aligned, cap=cut).items()
            if intervals[end].low <= aligned <= intervals[end].high
        )
        assert covered >= 0.945


@pytest.mark.parametrize("rule", [*stopping_rules, FixedN(20)], ids=name_of)
def test_a_stopped_interval_holds_its_point_and_rises_with_it(rule: StoppingRule) -> None:
    for total in (1, 3, 4, 10, rule.cap):
        rates = [stopped_interval(correct, total, rule) for correct in range(total + 1)]
        for interval in rates:
            assert 0 <= interval.low <= interval.value <= interval.high <= 1
            assert (interval.total, interval.stopped) == (total, rule.name)
        if rule.decide(0, total) is rule.decide(total, total):
            lows, highs = [r.low for r in rates], [r.high for r in rates]
            assert lows == sorted(lows)
            assert highs == sorted(highs)


@given(some_counts)
def test_a_fixed_number_needs_no_wider_interval(pair: tuple[int, int]) -> None:
    fixed = stopped_interval(*pair, FixedN(20))
    plain = rate(*pair)
    assert (fixed.value, fixed.low, fixed.high) == (plain.value, plain.low, plain.high)


def test_without_pictures_the_interval_is_all_there_is() -> None:
    assert stopped_interval(0, 0, Sprt()) == Rate(0.5, 0.0, 1.0, 0, stopped=Sprt().name)


# ── one pair ─────────────────────────────────────────────────────────────────────────────────────


right = Picture(0.9, 0.9)


def test_a_pair_is_judged_by_its_scored_pictures_only() -> None:
    pictures = [right, Picture(0.9, 0.1), Picture(None, 0.9), Picture(0.9, 0.9, refused=True)]
    judged = judge_pair(pictures, rule=Sprt())
    assert [judged.count(kind) for kind in Verdict] == [1, 0, 1, 0, 1, 1]
    assert judged.aligned == stopped_interval(1, 2, Sprt())
    assert judged.level == 3
    assert judged.levels == level_range(judged.aligned)
    assert judged.failing is Decision.CONTINUE


def test_a_pair_that_always_loses_a_concept_fails_after_one_look() -> None:
    judged = judge_pair([Picture(0.9, 0.1)] * 4, rule=Sprt())
    assert judged.failing is Decision.FAILS
    assert not judged.capped
    assert judged.level == 5
    assert judged.levels.high == 5
    assert judged.levels.low < 5


def test_a_pair_whose_cap_is_spent_on_refusals_is_undecided_and_capped() -> None:
    refused = Picture(None, None, refused=True)
    judged = judge_pair([right, Picture(0.1, 0.9)] * 2 + [refused] * 16, rule=Sprt())
    assert judged.failing is Decision.UNDECIDED
    assert judged.capped
    nobody = judge_pair([refused] * 20, rule=Sprt())
    assert nobody.failing is Decision.UNDECIDED
    assert nobody.level is None
    assert nobody.aligned.total == 0


def test_a_half_right_pair_at_the_cap_is_capped() -> None:
    judged = judge_pair([right, Picture(0.1, 0.9)] * 10, rule=Sprt())
    assert (judged.failing, judged.capped) == (Decision.UNDECIDED, True)


def test_without_a_rule_the_number_of_pictures_counts_as_fixed() -> None:
    judged = judge_pair([right] * 3 + [Picture(0.1, 0.9)] * 2)
    assert (judged.aligned.low, judged.aligned.high) == (rate(3, 5).low, rate(3, 5).high)
    assert judged.failing is Decision.PASSES
    assert judge_pair([]).failing is Decision.CONTINUE


def test_an_intruder_counts_only_where_its_concept_is_missing() -> None:
    pictures = [
        Picture(0.1, 0.9, intruder_a="glass", intruder_b="lemonade"),
        Picture(0.1, 0.1, intruder_a="glass", intruder_b="lemonade"),
        Picture(0.1, 0.9, intruder_a="bottle"),
        Picture(0.1, 0.9, intruder_a="tea cup"),
        Picture(0.1, 0.9, intruder_a=NONE_OF_THESE),
        Picture(0.1, 0.9),
        Picture(0.9, 0.9, intruder_a="glass"),
        Picture(None, 0.9, intruder_a="glass"),
    ]
    judged = judge_pair(pictures, asked_a="tea cup", asked_b="iced coke")
    assert judged.intruders_a == (
        IntruderCount("glass", 2, 6),
        IntruderCount("bottle", 1, 6),
        IntruderCount(UNNAMED, 3, 6),
    )
    assert judged.intruders_b == (IntruderCount("lemonade", 1, 1),)
    assert judge_pair([right]).intruders_a == ()


# ── many pairs ───────────────────────────────────────────────────────────────────────────────────


def test_a_fair_rate_counts_the_same_first_pictures_of_every_pair() -> None:
    seen = [Verdict.ALIGNED, Verdict.REFUSED, Verdict.A_MISSING, Verdict.ALIGNED]
    other = [Verdict.B_MISSING] * 3
    assert counts(seen) == (2, 3)
    assert fair_rate([seen, other], Sprt(block=3)) == model_rate([(1, 2), (0, 3)])
    assert fair_rate([seen, other], Sprt(block=4)) == model_rate([(2, 3)]), "no whole first look"
    assert fair_rate([seen, other], None) == model_rate([(2, 3), (0, 3)])


def test_a_fair_rate_of_a_fixed_number_counts_all_of_it_not_the_first_look_alone() -> None:
    pairs = [[Verdict.ALIGNED] * 4 + [Verdict.A_MISSING] * 16, [Verdict.A_MISSING] * 7]
    expected = model_rate([(4, 20), (0, 7)])
    assert fair_rate(pairs, FixedN(20, block=4)) == expected
    assert fair_rate(pairs, Curtailed(20, block=4)) == model_rate([(4, 4), (0, 4)])


def test_a_rate_over_pairs_is_the_share_of_all_pictures() -> None:
    assert model_rate([(1, 2), (2, 4), (0, 0)]).value == pytest.approx(0.5)
    assert model_rate([(1, 2), (2, 4), (0, 0)]).total == 6


@pytest.mark.parametrize(("right", "pairs"), [(0, 1), (1, 2), (12, 40), (399, 400), (400, 400)])
def test_one_picture_a_pair_gives_the_exact_interval(right: int, pairs: int) -> None:
    clustered, plain = model_rate([(1, 1)] * right + [(0, 1)] * (pairs - right)), rate(right, pairs)
    assert (clustered.low, clustered.high) == pytest.approx((plain.low, plain.high), abs=1e-9)


def test_pictures_of_one_pair_that_always_agree_count_as_one() -> None:
    once = model_rate([(1, 1)] * 6 + [(0, 1)] * 9)
    often = model_rate([(8, 8)] * 6 + [(0, 8)] * 9)
    assert (once.low, once.high) == pytest.approx((often.low, often.high))


def test_pairs_that_all_agree_leave_as_much_doubt_as_one_picture_of_each() -> None:
    perfect = model_rate([(8, 8)] * 20)
    assert perfect.value == perfect.high == 1
    assert perfect.low == pytest.approx(rate(20, 20).low)
    assert model_rate([(8, 8)]).low == pytest.approx(rate(1, 1).low)
    assert model_rate([(0, 0)]) == rate(0, 0)
    assert model_rate([]) == rate(0, 0)


@given(st.lists(some_counts, min_size=1, max_size=30))
def test_a_rate_over_pairs_stays_within_the_unit_interval(pairs: list[tuple[int, int]]) -> None:
    clustered = model_rate(pairs)
    assert 0 <= clustered.low <= clustered.value <= clustered.high <= 1


@pytest.mark.parametrize(
    ("shapes", "pairs", "pictures", "dearer"),
    [
        ((0.5, 0.5), 40, 8, 1.08),
        ((0.3, 1.7), 60, 4, 1.14),
        ((3, 7), 25, 8, 1.5),
        ((1, 30), 60, 8, 2.15),
    ],
)
def test_the_clustered_interval_covers_the_populations_mean_and_costs_little_over_students(
    shapes: tuple[float, float], pairs: int, pictures: int, dearer: float
) -> None:
    generator, truth, held = np.random.default_rng(7), shapes[0] / sum(shapes), 0
    width = students = 0.0
    for _ in range(200):
        drawn = generator.binomial(pictures, generator.beta(*shapes, size=pairs))
        clustered = model_rate([(int(count), pictures) for count in drawn])
        held += clustered.low <= truth <= clustered.high
        width += clustered.high - clustered.low
        error = np.std(drawn / pictures, ddof=1) / math.sqrt(pairs)
        students += 2 * stats.t.ppf(0.975, pairs - 1) * error
    assert held / 200 >= 0.93
    assert width <= dearer * students


# ── comparisons and plans ────────────────────────────────────────────────────────────────────────


@given(st.integers(0, 200), st.integers(0, 200))
def test_the_paired_test_is_scipys_exact_binomial(wins: int, losses: int) -> None:
    if wins + losses == 0:
        assert paired_test(wins, losses) == 1
        return
    theirs = stats.binomtest(wins, wins + losses).pvalue
    assert paired_test(wins, losses) == pytest.approx(theirs, rel=1e-9)
    assert paired_test(wins, losses) == paired_test(losses, wins)


def test_the_detectable_difference_is_statsmodels_for_independent_pictures() -> None:
    ours = minimum_detectable_difference(100, 1, 0.3, icc=0)
    effect = zt_ind_solve_power(nobs1=100, alpha=0.05, power=0.8)
    assert ours == pytest.approx(effect * math.sqrt(0.3 * 0.7), rel=1e-4)


def test_the_detectable_difference_on_common_pairs_is_statsmodels_paired_one() -> None:
    ours = minimum_detectable_difference(400, 8, 0.4, icc=0.5, correlation=0.8)
    deviation = math.sqrt(2 * 0.24 * (0.5 * 0.2 + 0.5 / 8))
    effect = TTestPower().solve_power(nobs=400, alpha=0.05, power=0.8)
    assert ours == pytest.approx(effect * deviation, rel=0.01)  # Student against normal


def test_more_pictures_of_the_same_pairs_cannot_replace_more_pairs() -> None:
    base = minimum_detectable_difference(50, 8)
    assert minimum_detectable_difference(200, 8) == pytest.approx(base / 2)
    assert minimum_detectable_difference(50, 8000) > 0.9 * base
    with pytest.raises(ValueError):
        minimum_detectable_difference(0, 8)


def test_no_share_is_larger_than_all_so_few_pairs_detect_nothing() -> None:
    assert minimum_detectable_difference(2, 8) == 1
    assert minimum_detectable_difference(1, 1, icc=1) == 1
    assert minimum_detectable_difference(3, 8) < 1


@given(st.floats(0.05, 1), st.integers(0, 20))
def test_the_pictures_needed_are_the_fewest_that_reach_the_width(width: float, many: int) -> None:
    value = many / 20
    needed = pictures_needed(width, value=value)

    def width_at(total: int) -> float:
        low, high = proportion_confint(value * total, total, method="beta")
        return float(high - low)

    assert width_at(needed) <= width + 1e-9
    assert needed == 1 or width_at(needed - 1) > width - 1e-9


def test_it_can_be_said_how_many_more_pictures_halve_an_interval() -> None:
    seen = rate(10, 20)
    needed = pictures_needed((seen.high - seen.low) / 2, value=seen.value)
    assert needed == 80
    assert rate(40, 80).high - rate(40, 80).low <= (seen.high - seen.low) / 2
    assert rate(39, 78).high - rate(39, 78).low > (seen.high - seen.low) / 2


# ── trust ────────────────────────────────────────────────────────────────────────────────────────

A, B, OK = Verdict.A_MISSING, Verdict.B_MISSING, Verdict.ALIGNED


def test_agreement_is_statsmodels_kappa_over_pictures_that_both_scored() -> None:
    first = [OK] * 20 + [A] * 10 + [OK] * 5 + [B] * 5 + [Verdict.UNSCORED, OK]
    second = [OK] * 20 + [A] * 8 + [OK] * 2 + [A] * 5 + [B] * 5 + [OK, Verdict.REFUSED]
    theirs = cohens_kappa(np.array([[20, 5, 0], [2, 8, 0], [0, 0, 5]]))
    ours = agreement(first, second)
    assert ours.kappa == pytest.approx(theirs.kappa)
    assert ours.low < theirs.kappa_low < theirs.kappa_upp
    assert ours.high - ours.low < 1.12 * (theirs.kappa_upp - theirs.kappa_low)
    assert (ours.share.value, ours.share.total) == (33 / 40, 40)
    assert disagreements(first, second) == (28, 29, 30, 31, 32, 33, 34)


def test_two_judges_who_say_one_and_the_same_thing_have_no_kappa() -> None:
    assert agreement([OK] * 5, [OK] * 5).kappa is None
    assert agreement([], []).kappa is None
    assert agreement([OK, A], [OK, A]).kappa == pytest.approx(1)
    with pytest.raises(ValueError):
        agreement([OK], [])


def test_a_prior_is_the_mean_yes_on_controls_and_surer_of_scores_between_no_and_yes() -> None:
    seen = prior([1.0, 0.0, 0.0, 0.0, None], [0.25] * 8)
    plain = rate(1, 4)
    assert seen.blank.value == 0.25
    assert (seen.blank.low, seen.blank.high) == pytest.approx((plain.low, plain.high), abs=1e-9)
    assert (seen.mismatched.value, seen.mismatched.total) == (0.25, 8)
    assert rate(2, 8).low < seen.mismatched.low < 0.25 < seen.mismatched.high < rate(2, 8).high
    assert seen.abstained == 1
    assert prior([None], []).blank == rate(0, 0)
    with pytest.raises(ValueError, match="a score lies in"):
        prior([math.nan], [])
    with pytest.raises(ValueError, match="a confidence lies in"):
        prior([], [], confidence=1.0)


def test_importing_the_judge_loads_neither_scipy_nor_statsmodels() -> None:
    loaded = "import sys, lcmis.judge; print({'scipy', 'statsmodels', 'torch'} & set(sys.modules))"
    said = subprocess.run(
        [sys.executable, "-c", loaded], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "set()"
