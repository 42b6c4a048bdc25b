"""Intervals that keep their word at every true rate, and are no wider than that takes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from lcmis.judge import (
    Agreement,
    Judged,
    PairedCounts,
    answers_agreement,
    clustered_share,
    effective_number,
    krippendorff_alpha,
    level,
    level_range,
    model_rate,
    paired_difference,
    rate,
    rate_by_labels,
)
from lcmis.judge.clusters import chance_above_zero, falling_root, share_bounds
from lcmis.types import Rate

HALVES = 0.025
"""What a 95 % interval may miss on either side."""

# ── a fixed number of pictures ───────────────────────────────────────────────────────────────────


def missed(total: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Exact chance that the truth lies below and above the interval, at many true rates."""
    rates = [rate(right, total) for right in range(total + 1)]
    lows, highs = np.array([r.low for r in rates]), np.array([r.high for r in rates])
    beside = np.concatenate([lows - 1e-7, lows + 1e-7, highs - 1e-7, highs + 1e-7])
    truths = np.unique(np.clip(np.concatenate([np.linspace(0, 1, 201), beside]), 0, 1))
    chances = stats.binom.pmf(np.arange(total + 1)[:, None], total, truths)
    below = (chances * (truths < lows[:, None])).sum(axis=0)
    above = (chances * (truths > highs[:, None])).sum(axis=0)
    return truths, below, above


@pytest.mark.parametrize("total", [*range(1, 21), 64])
def test_a_rate_holds_the_truth_at_every_true_rate_and_errs_as_often_as_it_may_to_either_side(
    total: int,
) -> None:
    _, below, above = missed(total)
    assert (1 - below - above).min() >= 0.95
    assert HALVES - 1e-6 < below.max() <= HALVES + 1e-12
    assert HALVES - 1e-6 < above.max() <= HALVES + 1e-12


@pytest.mark.parametrize(
    ("total", "dearer"), [(1, 1.23), (2, 1.29), (4, 1.24), (8, 1.21), (20, 1.14), (64, 1.085)]
)
def test_a_rate_is_little_wider_than_wilsons_which_does_not_hold_it(
    total: int, dearer: float
) -> None:
    covered = np.ones(1)
    for right in range(total + 1):
        low, high = proportion_confint(right, total, method="wilson")
        assert rate(right, total).high - rate(right, total).low <= dearer * (high - low)
    rights = np.arange(total + 1)
    lows, highs = proportion_confint(rights, total, method="wilson")
    truths = np.linspace(0.001, 0.999, 999)
    chances = stats.binom.pmf(rights[:, None], total, truths)
    covered = (chances * ((lows[:, None] <= truths) & (truths <= highs[:, None]))).sum(axis=0)
    assert covered.min() < 0.9


@pytest.mark.parametrize("total", [4, 20])
def test_the_levels_of_a_rate_hold_the_level_of_the_truth(total: int) -> None:
    ranges = [level_range(rate(right, total)) for right in range(total + 1)]
    for truth in np.linspace(0, 1, 401):
        true_level = level(round(truth * 400), 400)
        held = [one.low <= true_level <= one.high for one in ranges]
        chances = stats.binom.pmf(np.arange(total + 1), total, truth)
        assert float(chances[held].sum()) >= 0.95


def test_the_levels_of_twenty_pictures_are_pinned() -> None:
    said = [str(level_range(rate(right, 20))) for right in range(21)]
    assert said == [
        "4–5", "4–5", "3–5", "3–4", "3–4", "3–4", "2–4", "2–4", "2–4", "2–4", "2–4",
        "2–3", "1–3", "1–3", "1–3", "1–3", "1–2", "1–2", "1–2", "1–2", "1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("right", "total", "low", "high"),
    [
        (0, 1, 0.0, 0.975),
        (0, 4, 0.0, 0.602),
        (1, 4, 0.006, 0.806),
        (2, 4, 0.068, 0.932),
        (0, 20, 0.0, 0.168),
        (1, 20, 0.001, 0.249),
        (10, 20, 0.272, 0.728),
        (64, 64, 0.944, 1.0),
        (320, 400, 0.757, 0.838),
    ],
)
def test_rates_are_pinned_on_both_sides(right: int, total: int, low: float, high: float) -> None:
    found, turned = rate(right, total), rate(total - right, total)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-4)
    assert (turned.low, turned.high) == pytest.approx((1 - found.high, 1 - found.low), abs=1e-12)


@given(st.integers(0, 60), st.integers(0, 60))
def test_one_more_wrong_picture_never_raises_a_bound_and_one_more_right_never_lowers_it(
    right: int, wrong: int
) -> None:
    now = rate(right, right + wrong)
    worse, better = rate(right, right + wrong + 1), rate(right + 1, right + wrong + 1)
    assert worse.low <= now.low <= better.low
    assert worse.high <= now.high <= better.high


@pytest.mark.parametrize("confidence", [0.0, 1.0, -1.0, 2.0, math.nan])
def test_a_confidence_that_is_none_is_refused(confidence: float) -> None:
    for ask in (
        lambda: rate(3, 4, confidence=confidence),
        lambda: model_rate([(3, 4)], confidence=confidence),
        lambda: model_rate([], confidence=confidence),
        lambda: paired_difference([], confidence=confidence),
        lambda: clustered_share([], [], [], confidence=confidence),
        lambda: answers_agreement([], [], confidence=confidence),
        lambda: krippendorff_alpha([], confidence=confidence),
        lambda: effective_number(rate(3, 4), confidence=confidence),
    ):
        with pytest.raises(ValueError, match="a confidence lies in"):
            ask()


# ── sums of exponentials ─────────────────────────────────────────────────────────────────────────


def race(worth: Sequence[float]) -> float:
    """The chance that the sum lies above 0, as a race: exponentials forget how long they ran."""
    gains = [one for one in worth if one > 0]
    losses = [-one for one in worth if one < 0]
    chance = np.zeros((len(gains) + 1, len(losses) + 1))
    chance[:-1, -1] = 1
    for i, j in itertools.product(reversed(range(len(gains))), reversed(range(len(losses)))):
        gain_ends = losses[j] / (gains[i] + losses[j])
        chance[i, j] = gain_ends * chance[i + 1, j] + (1 - gain_ends) * chance[i, j + 1]
    return float(chance[0, 0])


@pytest.mark.parametrize("size", [2, 3, 7, 40, 200])
@pytest.mark.parametrize("spread", [0.0, 3.0])
def test_the_chance_of_a_sum_above_zero_is_what_a_race_of_exponentials_says(
    size: int, spread: float
) -> None:
    dice = np.random.default_rng(size)
    for _ in range(5):
        worth = dice.normal(size=size) * 10 ** dice.uniform(-spread, 0, size)
        found = chance_above_zero(worth, np.ones(size))
        assert found == pytest.approx(race(worth.tolist()), abs=1e-9)


@pytest.mark.parametrize(("times", "few"), [(1, 1), (3, 2), (399, 2), (5000, 40)])
def test_the_chance_is_the_beta_distributions_for_two_kinds(times: int, few: int) -> None:
    for at in (0.01, 0.025, 0.5, 0.9):
        # a gamma of `few` is a share of both together that follows Beta(few, times)
        share = float(stats.beta.ppf(1 - at, few, times))
        worth = np.array([1 - share, -share])
        counts = np.array([few, times], dtype=np.float64)
        assert chance_above_zero(worth, counts) == pytest.approx(at, abs=1e-8)


def test_a_sum_of_gains_or_losses_alone_is_certain_and_nothings_worth_does_not_count() -> None:
    ones = np.ones(2)
    assert chance_above_zero(np.array([1.0, 0.0]), ones) == 1
    assert chance_above_zero(np.array([-1.0, 0.0]), ones) == 0
    assert chance_above_zero(np.array([0.0, 0.0]), ones) == 0
    found = chance_above_zero(np.array([3.0, -1.0, 0.0]), np.ones(3))
    assert found == pytest.approx(0.75, abs=1e-9)


def test_a_root_outside_its_two_places_is_the_nearer_of_them() -> None:
    assert falling_root(lambda x: 0.3 - x, 0.0, 1.0) == pytest.approx(0.3)
    assert falling_root(lambda x: -1 - x, 0.0, 1.0) == 0
    assert falling_root(lambda x: 0 - x, 0.0, 1.0) == 0
    assert falling_root(lambda x: 2 - x, 0.0, 1.0) == 1
    assert falling_root(lambda x: 1 - x, 0.0, 1.0) == 1


# ── many pairs ───────────────────────────────────────────────────────────────────────────────────

some_pairs = st.lists(
    st.integers(0, 20).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
    min_size=1,
    max_size=40,
)


def test_a_wrong_picture_does_not_turn_doubt_into_certainty() -> None:
    perfect, worse = model_rate([(20, 20)] * 40), model_rate([(20, 20)] * 39 + [(19, 20)])
    assert worse.low < perfect.low
    assert (perfect.low, perfect.high) == pytest.approx((0.912, 1.0), abs=5e-4)
    assert (worse.low, worse.high) == pytest.approx((0.911, 1.0), abs=5e-4)
    assert worse.high < 1


@pytest.mark.parametrize(
    ("pairs", "low", "high"),
    [
        ([(3, 8)], 0.009, 0.984),
        ([(4, 4), (0, 4)], 0.013, 0.987),
        ([(4, 4)] * 5 + [(0, 4)], 0.359, 0.996),
        ([(10, 20)] * 6, 0.270, 0.730),
        ([(10, 20)] * 40, 0.456, 0.544),
        ([(20, 20)] * 38 + [(0, 20)] * 2, 0.831, 0.994),
        ([(4, 4), (3, 4), (2, 4), (1, 4), (0, 4)] * 8, 0.380, 0.620),
        ([(20, 20)] * 30 + [(1, 4)] * 10, 0.841, 0.979),
        ([(9, 10)] * 400, 0.892, 0.901),
    ],
)
def test_rates_over_pairs_are_pinned_on_both_sides(
    pairs: list[tuple[int, int]], low: float, high: float
) -> None:
    found = model_rate(pairs)
    turned = model_rate([(total - right, total) for right, total in pairs])
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-4)
    assert (turned.low, turned.high) == pytest.approx((1 - found.high, 1 - found.low), abs=1e-9)


@settings(max_examples=40)
@given(some_pairs, st.data())
def test_one_more_wrong_picture_never_raises_the_lower_bound_of_what_is_right(
    pairs: list[tuple[int, int]], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(pairs) - 1))
    right, total = pairs[place]
    now = model_rate(pairs)
    added = model_rate([*pairs[:place], (right, total + 1), *pairs[place + 1 :]])
    new_pair = model_rate([*pairs, (0, data.draw(st.integers(0, 20)))])
    assert added.low <= now.low + 1e-9
    assert new_pair.low <= now.low + 1e-9
    if right:
        turned = model_rate([*pairs[:place], (right - 1, total), *pairs[place + 1 :]])
        assert turned.low <= now.low + 1e-9
        assert turned.high <= now.high + 1e-9


@settings(max_examples=40)
@given(some_pairs, st.randoms())
def test_pairs_have_no_order_and_allow_no_more_than_single_pictures_would(
    pairs: list[tuple[int, int]], dice: object
) -> None:
    found = model_rate(pairs)
    shuffled = list(pairs)
    dice.shuffle(shuffled)  # type: ignore[attr-defined]
    again = model_rate(shuffled)
    assert (again.low, again.high) == pytest.approx((found.low, found.high), abs=1e-9)
    seen = sum(total > 0 for _, total in pairs)
    assert found.low <= HALVES ** (1 / max(1, seen)) + 1e-9
    assert found.high >= 1 - HALVES ** (1 / max(1, seen)) - 1e-9


@pytest.mark.parametrize("pairs", [1, 2, 3, 5, 6])
def test_of_few_pairs_each_bound_errs_as_seldom_as_it_says_whatever_pairs_are_like(
    pairs: int,
) -> None:
    """Exact sums over all that can be drawn from pairs with three shares of right pictures."""
    dice, worst = np.random.default_rng(pairs), 0.0
    for _ in range(40 if pairs < 5 else 12):
        shares = np.sort(np.append(dice.random(2), dice.choice([0.0, 1.0])))
        chances = dice.dirichlet(np.full(3, 0.5))
        truth, lost = float(shares @ chances), 0.0
        for drawn in itertools.combinations_with_replacement(range(3), pairs):
            times = np.bincount(drawn, minlength=3)
            orders = math.factorial(pairs) / math.prod(map(math.factorial, times.tolist()))
            high = share_bounds(shares[list(drawn)], np.ones(pairs), 1.0, 0.95)[1]
            lost += orders * float(np.prod(chances**times)) * (truth > high + 1e-9)
        worst = max(worst, lost)
    assert worst <= HALVES + 1e-9


@pytest.mark.parametrize(
    "pairs",
    [
        [(3, 8)],
        [(20, 20)] * 39 + [(19, 20)],
        [(0, 3), (1, 4), (4, 4), (2, 2), (4, 4), (3, 4), (1, 1)],
        [(n % 5, 4) for n in range(60)] + [(20, 20), (7, 9)],
    ],
)
def test_the_bounds_lie_where_a_pair_that_was_not_drawn_leaves_so_much_chance(
    pairs: list[tuple[int, int]],
) -> None:
    found, largest = model_rate(pairs), max(total for _, total in pairs)

    def beyond(share: float, unseen: float) -> float:
        residuals = [right - share * total for right, total in pairs]
        return race([*residuals, largest * (unseen - share)])

    assert beyond(found.low, 0.0) == pytest.approx(1 - HALVES, abs=1e-7)
    assert beyond(found.high, 1.0) == pytest.approx(HALVES, abs=1e-7)


# ── differences ──────────────────────────────────────────────────────────────────────────────────

some_counts = st.lists(
    st.tuples(*[st.integers(0, 4)] * 4).map(lambda four: PairedCounts(*four)),
    min_size=1,
    max_size=25,
)


@pytest.mark.parametrize(
    ("counts", "low", "high", "detectable"),
    [
        ([PairedCounts(4, 0, 0, 0)] * 40, -0.088, 0.088, 0.088),
        ([PairedCounts(4, 0, 0, 0)] * 136, -0.027, 0.027, 0.027),
        ([PairedCounts(4, 0, 0, 0)] * 20 + [PairedCounts(0, 0, 1, 3)] * 20, 0.020, 0.210, 0.122),
        ([PairedCounts(0, 4, 0, 0)] * 3 + [PairedCounts(2, 0, 0, 2)] * 7, -0.652, 0.149, 0.577),
        ([PairedCounts(1, 1, 1, 1), PairedCounts(0, 0, 3, 5)] * 15, 0.050, 0.369, 0.226),
    ],
)
def test_differences_are_pinned_on_both_sides(
    counts: list[PairedCounts], low: float, high: float, detectable: float
) -> None:
    found = paired_difference(counts)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-4)
    assert found.detectable == pytest.approx(detectable, abs=5e-4)


def test_nothing_in_common_leaves_everything() -> None:
    found = paired_difference([PairedCounts(0, 0, 0, 0)])
    assert (found.value, found.low, found.high, found.pairs) == (0, -1, 1, 0)
    assert (found.pictures, found.only_first, found.only_second, found.detectable) == (0, 0, 0, 1)


@settings(max_examples=40)
@given(some_counts, st.data())
def test_a_picture_that_the_second_loses_never_speaks_for_it(
    counts: list[PairedCounts], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(counts) - 1))
    now, one = paired_difference(counts), counts[place]
    lost = [PairedCounts(one.both, one.first + 1, one.second, one.neither)]
    if one.both:
        lost.append(PairedCounts(one.both - 1, one.first + 1, one.second, one.neither))
    if one.second:
        lost.append(PairedCounts(one.both, one.first, one.second - 1, one.neither + 1))
    for worse in lost:
        found = paired_difference([*counts[:place], worse, *counts[place + 1 :]])
        assert found.low <= now.low + 1e-9
    assert paired_difference([*counts, PairedCounts(0, 2, 0, 0)]).low <= now.low + 1e-9


# ── labels ───────────────────────────────────────────────────────────────────────────────────────


@given(
    st.lists(
        st.tuples(st.booleans(), st.floats(0.1, 9), st.integers(0, 5)), min_size=1, max_size=30
    ),
    st.data(),
)
@settings(max_examples=40)
def test_a_hit_that_turns_out_a_miss_never_raises_a_bound_of_a_weighted_share(
    labels: list[tuple[bool, float, int]], data: st.DataObject
) -> None:
    hits, weights, groups = ([row[i] for row in labels] for i in range(3))
    names = [str(group or "") for group in groups]
    place = data.draw(st.integers(0, len(hits) - 1))
    now, worse = (
        clustered_share([*hits[:place], truth, *hits[place + 1 :]], weights, names).rate
        for truth in (True, False)
    )
    assert worse.low <= now.low + 1e-9
    assert worse.high <= now.high + 1e-9
    assert 0 <= now.low <= now.value + 1e-12
    assert now.value <= now.high + 1e-12 <= 1 + 1e-12
    clusters = len({name or place for place, name in enumerate(names)})
    assert now.low <= HALVES ** (1 / clusters) + 1e-9


@pytest.mark.parametrize(
    ("weights", "chances", "times"),
    [
        ((30.0, 3.75), (0.9, 0.99), (10, 80)),
        ((30.0, 3.75), (0.8, 0.8), (5, 80)),
        ((50.0, 1.0), (0.9, 0.99), (3, 60)),
    ],
)
def test_few_heavy_labels_do_not_hide_what_they_stand_for(
    weights: tuple[float, float], chances: tuple[float, float], times: tuple[int, int]
) -> None:
    """Exact sums over two strata; with an unseen label of mean weight it errs in up to 40 %."""
    heavy, light = times
    truth = sum(w * p * n for w, p, n in zip(weights, chances, times, strict=True)) / sum(
        w * n for w, n in zip(weights, times, strict=True)
    )
    below = above = 0.0
    for first, second in itertools.product(range(heavy + 1), range(light + 1)):
        chance = stats.binom.pmf(first, heavy, chances[0]) * stats.binom.pmf(
            second, light, chances[1]
        )
        if chance < 1e-5:
            continue
        hits = [True] * first + [False] * (heavy - first)
        hits += [True] * second + [False] * (light - second)
        given = [weights[0]] * heavy + [weights[1]] * light
        found = clustered_share(hits, given, [""] * (heavy + light)).rate
        below += chance * (truth < found.low)
        above += chance * (truth > found.high)
    assert max(below, above) <= HALVES
    assert max(below, above) > HALVES / 5, "it would be needlessly wide"


@pytest.mark.parametrize(
    ("hits", "weights", "groups", "low", "high", "effective"),
    [
        ([True] * 60, [1.0] * 60, ["a", "b", "c"] * 20, 0.292, 1.0, 3.0),
        ([True] * 59 + [False], [1.0] * 60, ["a", "b", "c"] * 20, 0.287, 1.0, 3.08),
        ([True, True, False], [1.0, 1.0, 5.0], [""] * 3, 0.023, 0.979, 1.88),
        ([True] * 10 + [False] * 5, [2.0, 1.0, 1.0] * 5, [""] * 15, 0.400, 0.901, 14.1),
    ],
)
def test_weighted_shares_are_pinned_and_say_no_more_than_their_groups(
    hits: list[bool],
    weights: list[float],
    groups: list[str],
    low: float,
    high: float,
    effective: float,
) -> None:
    share = clustered_share(hits, weights, groups)
    assert (share.rate.low, share.rate.high) == pytest.approx((low, high), abs=5e-4)
    assert share.effective == pytest.approx(effective, rel=0.005)


def labelled(pairs: int, each: int, right: int) -> list[Judged]:
    """Labels of so many pairs, as many right as wrong ones, of each of which the checker knows so
    many.
    """
    return [
        Judged(0.9 if (number < right) is truth else 0.1, truth, 1.0, f"{truth} {pair}")
        for truth in (True, False)
        for pair in range(pairs)
        for number in range(each)
    ]


def test_labels_of_few_pairs_correct_a_rate_with_little_certainty() -> None:
    raw = rate(6000, 10_000)
    alone, grouped, few = (
        rate_by_labels(raw, labelled(*shape)) for shape in ((90, 1, 1), (30, 3, 3), (3, 30, 30))
    )
    assert alone is not None
    assert grouped is not None
    assert few is not None
    assert alone.high - alone.low < 0.05
    assert alone.high - alone.low < grouped.high - grouped.low < (few.high - few.low) / 3
    assert few.high - few.low > 0.4


def test_the_effective_number_of_pictures_is_that_of_the_exact_interval() -> None:
    assert effective_number(rate(17, 20)) == pytest.approx(20, rel=1e-6)
    assert effective_number(Rate(0.5, 0.5, 0.5, 3)) == pytest.approx(1e12)
    assert effective_number(Rate(0.5, 0.0, 1.0, 3)) == 0


# ── raters ───────────────────────────────────────────────────────────────────────────────────────


def drawn(table: np.ndarray, total: int, times: int) -> dict[tuple[int, ...], int]:
    dice = np.random.default_rng(11)
    tables = dice.multinomial(total, table.ravel(), times)
    kinds, often = np.unique(tables, axis=0, return_counts=True)
    return {tuple(row): int(n) for row, n in zip(kinds.tolist(), often.tolist(), strict=True)}


def judged_alike(cells: Sequence[int]) -> Agreement:
    size = math.isqrt(len(cells))
    answers = [
        (str(place // size), str(place % size))
        for place, times in enumerate(cells)
        for _ in range(times)
    ]
    return answers_agreement([one for one, _ in answers], [other for _, other in answers])


@pytest.mark.parametrize(
    ("commonest", "kappa", "width"),
    [(0.5, 0.0, 0.92), (0.5, 0.6, 0.76), (0.9, 0.3, 1.05), (0.9, 0.6, 1.05), (0.7, 0.9, 0.6)],
)
def test_twenty_pictures_hold_kappa_at_every_kappa_however_rare_an_answer_is(
    commonest: float, kappa: float, width: float
) -> None:
    shares = np.array([commonest, 1 - commonest])
    table = kappa * np.diag(shares) + (1 - kappa) * np.outer(shares, shares)
    held = wide = 0.0
    for cells, times in drawn(table, 20, 400).items():
        found = judged_alike(cells)
        held += times * (found.low <= kappa <= found.high)
        wide += times * (found.high - found.low)
    assert held / 400 >= 0.94
    assert 0.8 * width < wide / 400 < width


@pytest.mark.parametrize(
    ("cells", "low", "high"),
    [
        ((10, 0, 0, 10), 0.668, 1.0),
        ((9, 1, 1, 9), 0.371, 0.975),
        ((5, 5, 5, 5), -0.454, 0.454),
        ((0, 10, 10, 0), -1.0, -0.686),
        ((18, 1, 1, 0), -0.142, 0.906),
        ((10, 1, 0, 1, 5, 0, 0, 0, 3), 0.442, 0.980),
    ],
)
def test_intervals_of_kappa_are_pinned(cells: tuple[int, ...], low: float, high: float) -> None:
    found = judged_alike(cells)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-4)


def test_kappas_interval_is_fleiss_where_pictures_are_many() -> None:
    from statsmodels.stats.inter_rater import cohens_kappa

    theirs = cohens_kappa(np.array([[600, 90, 30], [60, 500, 40], [20, 10, 400]]))
    ours = judged_alike((600, 90, 30, 60, 500, 40, 20, 10, 400))
    assert ours.kappa == pytest.approx(theirs.kappa)
    assert (ours.low, ours.high) == pytest.approx((theirs.kappa_low, theirs.kappa_upp), abs=2e-3)


@pytest.mark.parametrize(
    ("units", "low", "high"),
    [
        ([["a", "a"]] * 10 + [["b", "b"]] * 10, 0.671, 1.0),
        ([["a", "a"]] * 9 + [["b", "b"]] * 9 + [["a", "b"]] * 2, 0.381, 0.976),
        ([["a", "b"]] * 10, -0.909, -0.386),
        ([["a", "a", "a", "b"], ["b", "b", "b", "a"]] * 10, -0.044, 0.168),
        ([["a", "a", "c"], ["b", "b"], ["a", "b", "b"], ["c", "c"], ["a", "a"]] * 4, 0.247, 0.753),
    ],
)
def test_intervals_of_alpha_are_pinned(units: list[list[str]], low: float, high: float) -> None:
    found = krippendorff_alpha(units)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-4)
