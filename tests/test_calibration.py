"""What labels say of checkers and raters, held against numbers that others have computed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lcmis import judge
from lcmis.judge import Judged, Stratum
from lcmis.types import Rate

LOW = (0.02, 0.05, 0.1, 0.1, 0.2, 0.3, 0.35, 0.4, 0.45, 0.5)
SCORES = (*LOW, 0.55, 0.6, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99)
TRUTHS = (0, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 1, 0, 1, 1, 0, 1, 1, 1, 1)
WEIGHTS = (1.0, 2.0) * 10
PLAIN = [Judged(score, bool(truth)) for score, truth in zip(SCORES, TRUTHS, strict=True)]
WEIGHTED = [
    Judged(score, bool(truth), weight)
    for score, truth, weight in zip(SCORES, TRUTHS, WEIGHTS, strict=True)
]


def many(right: int, wrong: int, hits: int, rejects: int) -> list[Judged]:
    """So many right and wrong pictures, of which the checker is right on hits and rejects."""
    return [Judged(0.9 if i < hits else 0.1, True) for i in range(right)] + [
        Judged(0.1 if i < rejects else 0.9, False) for i in range(wrong)
    ]


# ── curves ───────────────────────────────────────────────────────────────────────────────────────


def test_platts_curve_is_scikit_learns():
    slope, intercept = 3.307358976976731, -1.6864330892498742
    found = judge.fit_platt(PLAIN)  # _SigmoidCalibration of scikit-learn 1.9.1
    assert found.slope == pytest.approx(slope, rel=1e-3)
    assert found.intercept == pytest.approx(intercept, rel=1e-3)
    assert found.threshold == pytest.approx(-intercept / slope, rel=1e-3)
    assert found.probability(found.threshold) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("judged", "expected"),
    [
        (PLAIN, [0.0, 0.25, 0.3, 0.5, 0.5, 0.666667, 1.0]),
        (WEIGHTED, [0.0, 0.3, 0.3, 0.636364, 0.636364, 0.636364, 1.0]),
    ],
)
def test_the_isotonic_curve_is_scikit_learns(judged, expected):
    found = judge.fit_isotonic(judged)  # IsotonicRegression of scikit-learn 1.9.1
    said = [found.probability(score) for score in (0.0, 0.1, 0.33, 0.5, 0.58, 0.77, 1.0)]
    assert said == pytest.approx(expected, abs=1e-6)


def test_the_brier_score_is_scikit_learns():
    assert judge.brier(PLAIN) == pytest.approx(0.1819)
    assert judge.brier(WEIGHTED) == pytest.approx(0.19502)
    assert judge.brier([]) is None


def test_the_calibration_curve_is_scikit_learns():
    curve = judge.calibration_curve(PLAIN, bins=4)
    assert [bin.score for bin in curve] == pytest.approx([0.094, 0.4, 0.64, 0.898])
    assert [bin.right.value for bin in curve] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert all(bin.right.low < bin.right.value < bin.right.high for bin in curve)


def test_equal_scores_share_a_bin():
    assert len(judge.calibration_curve([Judged(1.0, True)] * 30 + [Judged(0.0, False)] * 3)) <= 2


@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.floats(0.1, 9)), min_size=1, max_size=40)
)
def test_curves_stay_in_the_unit_interval_and_the_isotonic_one_rises(rows):
    judged = [Judged(*row) for row in rows]
    rising = judge.fit_isotonic(judged)
    assert list(rising.probabilities) == sorted(rising.probabilities)
    for curve in (rising, judge.fit_platt(judged)):
        assert all(0 <= curve.probability(x) <= 1 for x in (0, 0.3, 1))
        assert curve.threshold is None or 0 <= curve.threshold <= 1


def test_with_few_labels_nothing_is_calibrated():
    few = PLAIN * 2
    assert len(few) < judge.FEW_LABELS
    assert judge.calibrate(few) is None
    assert judge.calibrate([Judged(0.5, True)] * 80) is None, "no wrong picture to tell from"
    assert judge.calibrate([Judged(s.score, s.truth, 1, "one") for s in PLAIN * 4]) is None


def test_calibration_picks_the_curve_that_is_better_on_pairs_it_has_not_seen():
    dice = np.random.default_rng(1)
    scores = dice.random(600)
    steps = np.where(scores < 0.2, 0.05, np.where(scores < 0.8, 0.5, 0.95))
    smooth = 1 / (1 + np.exp(-12 * (scores - 0.4)))
    for chance, kind in ((steps, judge.Isotonic), (smooth, judge.Platt)):
        truths = dice.random(600) < chance
        judged = [
            Judged(float(score), bool(truth), 1.0, str(i % 60))
            for i, (score, truth) in enumerate(zip(scores, truths, strict=True))
        ]
        found = judge.calibrate(judged)
        assert isinstance(found.curve, kind)
        assert found.brier < judge.brier(judged)


# ── sensitivity, specificity, corrected rates ────────────────────────────────────────────────────


def test_a_share_of_alike_labels_is_the_exact_one():
    share, plain = (
        judge.clustered_share([True] * 45 + [False] * 15, [3.0] * 60, [""] * 60),
        judge.rate(45, 60),
    )
    assert (share.rate.low, share.rate.high) == pytest.approx((plain.low, plain.high), abs=1e-9)
    assert (share.rate.value, share.rate.total) == (0.75, 60)
    assert share.effective == pytest.approx(60)


def test_the_interval_between_groups_is_a_little_wider_than_that_of_weighted_least_squares():
    import statsmodels.api as sm
    from scipy.stats import t

    dice = np.random.default_rng(3)
    for num_groups, dearer in ((12, 1.25), (60, 1.08)):
        groups = np.repeat(np.arange(num_groups), 5)
        hits = dice.random(5 * num_groups) < dice.beta(0.5, 0.5, num_groups)[groups]
        weights = dice.uniform(0.5, 1.5, 5 * num_groups)
        fitted = sm.WLS(hits.astype(float), np.ones(len(hits)), weights=weights).fit(
            cov_type="cluster", cov_kwds={"groups": groups}
        )
        share = judge.clustered_share(hits.tolist(), weights.tolist(), [str(g) for g in groups])
        theirs = 2 * t.ppf(0.975, num_groups - 1) * float(fitted.bse[0])
        assert share.rate.value == pytest.approx(float(fitted.params[0]))
        assert 0.9 * theirs < share.rate.high - share.rate.low < dearer * theirs


def test_one_pair_says_as_much_as_one_label():
    share = judge.clustered_share([True] * 30, [1.0] * 30, ["one"] * 30)
    assert share.rate.low == pytest.approx(judge.rate(1, 1).low)
    assert share.effective == pytest.approx(1, rel=1e-6)
    assert judge.clustered_share([], [], []).rate == Rate(0.5, 0.0, 1.0, 0)


def lang_reiczigel(n, x, n_se, k_se, n_sp, k_sp, z=1.959964):
    """The limits as the paper's appendix has them, for counts."""
    p, s, t = (x + z * z / 2) / (n + z * z), (k_se + 1) / (n_se + 2), (k_sp + 1) / (n_sp + 2)
    j = s + t - 1
    e = (p + t - 1) / j
    v_s, v_t = s * (1 - s) / (n_se + 2), t * (1 - t) / (n_sp + 2)
    shift = 2 * z * z * (e * v_s - (1 - e) * v_t)
    half = z * math.sqrt(p * (1 - p) / (n + z * z) + v_s * e**2 + v_t * (1 - e) ** 2) / j
    return e + shift - half, e + shift + half


@given(
    st.integers(30, 500), st.floats(0.3, 0.7), st.integers(20, 90), st.integers(20, 90),
    st.floats(0.75, 1), st.floats(0.75, 1),
)  # fmt: skip
def test_for_alike_labels_the_corrected_limits_are_lang_and_reiczigels(n, at, right, wrong, s, t):
    hits, rejects, seen = round(s * right), round(t * wrong), round(at * n)
    found = judge.rate_by_labels(judge.rate(seen, n), many(right, wrong, hits, rejects))
    low, high = lang_reiczigel(n, seen, right, hits, wrong, rejects)
    assert found.low == pytest.approx(min(max(0, low), found.value), abs=1e-4)
    assert found.high == pytest.approx(max(min(1, high), found.value), abs=1e-4)
    sensitivity, specificity = hits / right, rejects / wrong
    expected = (seen / n + specificity - 1) / (sensitivity + specificity - 1)
    assert found.value == pytest.approx(min(1, max(0, expected)))


def test_the_example_of_the_notes_is_mended():
    """A judge of sensitivity 0.75 and specificity 0.85 reports 18 % where the truth is 5 %."""
    found = judge.rate_by_labels(judge.rate(1800, 10_000), many(400, 400, 300, 340))
    assert found.value == pytest.approx(0.05)
    assert found.low < 0.05 < found.high


def test_a_checker_no_better_than_a_coin_corrects_nothing():
    raw = judge.rate(50, 100)
    assert judge.rate_by_labels(raw, many(20, 20, 10, 10)) is None
    assert judge.rate_by_labels(raw, many(20, 0, 20, 0)) is None
    assert judge.rate_by_labels(judge.rate(0, 0), many(20, 20, 20, 20)) is None
    assert judge.labels_to_halve(raw, many(20, 20, 10, 10)) is None


def test_more_labels_halve_the_interval_where_labels_are_what_lacks():
    raw, few = judge.rate(60_000, 100_000), many(15, 15, 12, 12)
    more = judge.labels_to_halve(raw, few)
    now = judge.rate_by_labels(raw, few)
    times = 1 + more / 30
    then = judge.rate_by_labels(raw, few, more=times)
    before = judge.rate_by_labels(raw, few, more=times - 1 / 30)
    assert then.high - then.low <= (now.high - now.low) / 2 < before.high - before.low
    assert judge.labels_to_halve(judge.rate(12, 20), many(90, 90, 85, 85)) is None


@pytest.mark.parametrize(("correct", "total"), [(3, 7), (50, 100), (0, 12), (40, 40)])
def test_the_effective_number_of_a_plain_rate_is_its_number(correct, total):
    assert judge.effective_number(judge.rate(correct, total)) == pytest.approx(total, rel=1e-6)
    assert judge.effective_number(Rate(0.5, 0.0, 1.0, 0)) == 0


@pytest.mark.parametrize("by_worth", [False, True])
def test_the_corrected_rate_covers_the_truth_however_pictures_were_chosen(by_worth):
    covered = raw_covered = 0
    errors = []
    for seed in range(20):
        truth, raw, judged = simulated(seed, by_worth=by_worth)
        found = judge.rate_by_labels(raw, judged)
        covered += found.low <= truth <= found.high
        raw_covered += raw.low <= truth <= raw.high
        errors.append(found.value - truth)
    assert covered >= 19
    assert raw_covered < 18, "a checker that errs to one side is not saved by its interval"
    assert abs(np.mean(errors)) < 0.02


def simulated(seed, *, by_worth, pairs=60, each=10, labels=90):
    """An audit by a checker with known errors, labelled as the dashboard would."""
    dice = np.random.default_rng(seed)
    truth = dice.random((pairs, each)) < dice.beta(0.6, 0.6, pairs)[:, None]
    caught, cleared = dice.beta(9, 1, pairs)[:, None], dice.beta(8, 3, pairs)[:, None]
    says = np.where(truth, dice.random(truth.shape) < caught, dice.random(truth.shape) > cleared)
    sure = np.where(says == truth, dice.beta(3, 1, says.shape), dice.beta(1.2, 1.5, says.shape))
    score = np.where(says, 0.5 + sure / 2, (0.5 - sure / 2) * 0.999)
    second = np.where(dice.random(truth.shape) < 0.85, truth, ~truth)
    order = [tuple(place) for place in dice.permutation([*np.ndindex(*truth.shape)]).tolist()]
    kind = {
        place: judge.stratum(
            float(score[place]), 0.5, disputed=bool(second[place] != says[place]), open=False
        )
        for place in order
    }
    sizes: dict[Stratum, int] = {}
    for one in kind.values():
        sizes[one] = sizes.get(one, 0) + 1
    done: dict[tuple[int, int], None] = {}
    counts = dict.fromkeys(sizes, (0, 0))
    for step in range(labels):
        left = [place for place in order if place not in done]
        place = left[0]
        if by_worth and step % judge.ONE_BY_LOT:
            kinds = {kind[one] for one in left}
            best = max(sorted(kinds), key=lambda k: judge.worth(sizes[k], *counts[k], kind=k))
            place = next(one for one in left if kind[one] == best)
        done[place] = None
        right, total = counts[kind[place]]
        counts[kind[place]] = (right + int(truth[place]), total + 1)
    weights = judge.sample_weights(sizes, [kind[place] for place in done])
    judged = [
        Judged(
            float(score[place]), bool(truth[place]), weights[kind[place]], str(place[0]),
            f"{kind[place].right} {weights[kind[place]]}",
        )
        for place in done
    ]  # fmt: skip
    raw = judge.model_rate([(int(row.sum()), each) for row in says])
    return float(truth.mean()), raw, judged


# ── which pictures to label ──────────────────────────────────────────────────────────────────────


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.booleans()), min_size=1), st.data())
def test_labelled_pictures_stand_for_all_of_their_side_of_the_threshold(rows, data):
    kinds = [judge.stratum(score, 0.5, disputed=d, open=o) for score, d, o in rows]
    sizes = {kind: kinds.count(kind) for kind in kinds}
    labelled = data.draw(st.lists(st.sampled_from(kinds), max_size=len(kinds)))
    weights = judge.sample_weights(sizes, labelled)
    for side in (True, False):
        mine = [kind for kind in labelled if kind.right is side]
        whole = sum(count for kind, count in sizes.items() if kind.right is side)
        if mine:
            assert sum(weights[kind] for kind in mine) == pytest.approx(whole)


def test_a_stratum_says_on_which_side_and_how_near_the_threshold():
    scores = (0.0, 0.1, 0.3, 0.5, 0.8, 1.0)
    kinds = [judge.stratum(score, 0.5, disputed=False, open=False) for score in scores]
    assert [(kind.right, kind.band) for kind in kinds] == [
        (False, 0), (False, 1), (False, 2), (True, 0), (True, 1), (True, 2),
    ]  # fmt: skip
    assert kinds == sorted(kinds)
    with pytest.raises(ValueError, match="a score lies in"):
        judge.stratum(math.nan, 0.5, disputed=False, open=False)


def test_a_label_is_worth_more_where_less_is_sure():
    sure, near = Stratum(True, 2, False, False), Stratum(True, 0, False, False)
    disputed, turning = Stratum(True, 2, True, False), Stratum(True, 2, False, True)
    base = judge.worth(100, 0, 0, kind=sure)
    assert judge.worth(100, 0, 0, kind=near) > base
    assert judge.worth(100, 0, 0, kind=disputed) > base
    assert judge.worth(100, 0, 0, kind=turning) == 2 * base
    assert judge.worth(200, 0, 0, kind=sure) > base
    assert judge.worth(100, 10, 10, kind=sure) < base


# ── agreement ────────────────────────────────────────────────────────────────────────────────────


def test_alpha_is_krippendorffs_own_example():
    """Four observers, twelve units, missing data: nominal alpha 0.743."""
    table = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
        [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
    ]
    units = [[str(answer) for answer in column if answer] for column in zip(*table, strict=True)]
    found = judge.krippendorff_alpha(units)
    assert found.value == pytest.approx(0.743421, abs=1e-6)
    assert found.low < found.value < found.high <= 1
    assert found.units == 11


def test_alpha_without_anything_shared_or_different_is_none():
    assert judge.krippendorff_alpha([["yes"], ["no"]]).value is None
    assert judge.krippendorff_alpha([["yes", "yes"]] * 3).value is None
    assert judge.krippendorff_alpha([]).units == 0


def test_weighted_kappa_counts_each_answer_as_many_times():
    first = ["yes"] * 30 + ["no"] * 20
    second = ["yes"] * 25 + ["no"] * 22 + ["yes"] * 3
    plain = judge.answers_agreement(first, second)
    twice = judge.answers_agreement(first, second, weights=[2.0] * 50)
    assert twice == plain, "equal weights change nothing"
    uneven = judge.answers_agreement(first, second, weights=[1.0] * 30 + [3.0] * 20)
    repeated = judge.answers_agreement(first + first[30:] * 2, second + second[30:] * 2)
    assert uneven.kappa == pytest.approx(repeated.kappa)
    assert uneven.high - uneven.low > repeated.high - repeated.low


def test_perfect_agreement_on_few_pictures_proves_little():
    found = judge.answers_agreement(["yes", "no"] * 3, ["yes", "no"] * 3)
    assert found.kappa == 1
    assert found.low < 0.3
    assert judge.answers_agreement([], []).kappa is None


@pytest.mark.parametrize("weights", [[1.0], [1.0, 0.0]])
def test_weights_that_cannot_be_are_refused(weights):
    with pytest.raises(ValueError, match="weights above 0"):
        judge.answers_agreement(["yes", "no"], ["yes", "yes"], weights=weights)
