"""Deciding many things, and one thing many times: what holds by chance, and what is still found."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy import stats
from worlds.ids import name_of

from lcmis import judge
from lcmis.judge import Curtailed, Decision, FixedN, Sprt, StoppingRule, anytime_p
from lcmis.judge.chance import passing_rate
from lcmis.types import Candidate, Certificate, Concept, ConceptPair, Expected, Nomination, Stage

PAIR = ConceptPair(Concept("tea cup"), Concept("iced coke"), "a tea cup of iced coke")
CHOSEN = Nomination(PAIR.key, "m@1", "moce", "clip:g@1", Candidate((Stage("x"),)), 9, 9, "found")
RIGHT, WRONG = judge.Picture(0.9, 0.9), judge.Picture(0.1, 0.9)
LOOKS = (8, 12, 20, 40, 64)


def certified(before: np.ndarray, after: np.ndarray) -> Certificate:
    """The certificate of these outcomes, right or wrong, seed by seed."""
    pictures = [[RIGHT if one else WRONG for one in side] for side in (before, after)]
    return judge.certificate(CHOSEN, "vqa:j@1", range(len(before)), *pictures, pair=PAIR)


def certified_all(before: np.ndarray, after: np.ndarray) -> list[Certificate]:
    """One a row, (certificates, seeds)."""
    return [certified(*rows) for rows in zip(before, after, strict=True)]


# ── one certificate, looked at again ─────────────────────────────────────────────────────────────


def test_every_figure_of_the_anytime_test_is_the_exact_chance_of_ever_being_as_low() -> None:
    lowest = Counter(anytime_p(path, longest=12) for path in itertools.product((0, 1), repeat=12))
    met = 0
    for p, paths in sorted(lowest.items()):
        met += paths
        assert p == pytest.approx(met / 2**12)


def test_an_outcome_more_never_makes_the_figure_of_the_anytime_test_rise() -> None:
    path = np.random.default_rng(1).random(60) < 0.7
    found = [anytime_p(path[:seen].tolist()) for seen in range(61)]
    assert found[0] == 1
    assert found == sorted(found, reverse=True)


def test_the_anytime_test_says_these_numbers() -> None:
    said = {
        (won, lost): anytime_p([False] * lost + [True] * won)
        for won, lost in [(1, 0), (6, 0), (7, 0), (8, 1), (9, 1), (12, 2), (20, 0), (4, 5)]
    }
    assert said == pytest.approx(
        {
            (1, 0): 0.5710,
            (6, 0): 0.0341,
            (7, 0): 0.0196,
            (8, 1): 0.0410,
            (9, 1): 0.0238,
            (12, 2): 0.0158,
            (20, 0): 1.559e-5,
            (4, 5): 1.0,
        },
        rel=0.01,
    )


def test_more_outcomes_than_there_can_be_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 8"):
        anytime_p([True] * 9, longest=8)


@cache
def at_any_look(wins: int, losses: int) -> bool:
    """Whether a certificate passes that is nowhere better than at its end."""
    return wins > losses + 4 and anytime_p([False] * losses + [True] * wins) < 0.025


def at_one_look(wins: int, losses: int) -> bool:
    """Whether McNemar's exact test says that there is a gain."""
    return wins > losses and judge.paired_test(wins, losses) < 0.05


def ever(
    passes: Callable[[int, int], bool], before: float, after: float, looks: Collection[int]
) -> float:
    """The exact chance of passing at any look, for pictures independent of each other."""
    win, lose = after * (1 - before), before * (1 - after)
    still, found = {(0, 0): 1.0}, 0.0
    for seen in range(1, max(looks) + 1):
        reached: Counter[tuple[int, int]] = Counter()
        for (wins, losses), chance in still.items():
            reached[wins + 1, losses] += chance * win
            reached[wins, losses + 1] += chance * lose
            reached[wins, losses] += chance * (1 - win - lose)
        passed = {place for place in reached if seen in looks and passes(*place)}
        found += sum(reached[place] for place in passed)
        still = {place: chance for place, chance in reached.items() if place not in passed}
    return found


@pytest.mark.parametrize("right", [0.3, 0.5, 0.85])
def test_looked_at_after_every_seed_a_certificate_passes_by_chance_as_seldom_as_promised(
    right: float,
) -> None:
    assert 0.012 < ever(at_any_look, right, right, range(1, LOOKS[-1] + 1)) <= 0.025
    if right < 0.8:
        assert ever(at_one_look, right, right, LOOKS) > 0.03, "the test for one look fails at five"


def test_certificates_that_are_looked_at_again_pass_by_chance_as_seldom_as_promised() -> None:
    runs, passed = 1200, 0
    before, after = np.random.default_rng(7).random((2, runs, LOOKS[-1])) < 0.5
    for old, new in zip(before, after, strict=True):
        passed += any(certified(old[:seeds], new[:seeds]).passed for seeds in LOOKS)
    assert stats.binom.sf(passed - 1, runs, 0.025) > 0.01


EFFECTS = (
    *((0, 0.25), (0, 0.4), (0.1, 0.4), (0.1, 0.6), (0.2, 0.6), (0.2, 0.8), (0.3, 0.7)),
    *((0.3, 0.9), (0.5, 0.8), (0.5, 0.9), (0.5, 1), (0.6, 0.95), (0, 0.9), (0.25, 0.5)),
)


def test_looking_as_often_as_one_likes_costs_seven_points_of_power_at_twenty_seeds() -> None:
    anytime = np.mean([ever(at_any_look, *effect, range(1, 21)) for effect in EFFECTS])
    fixed = np.mean([ever(at_one_look, *effect, [20]) for effect in EFFECTS])
    assert (anytime, fixed) == pytest.approx((0.622, 0.688), abs=0.002)


def test_a_certificate_is_decided_by_the_figure_that_holds_at_every_look() -> None:
    one = certified(np.zeros(6, bool), np.ones(6, bool))
    assert (one.p, one.anytime_p) == pytest.approx((0.03125, 0.06826), rel=1e-3)
    assert not one.passed
    assert certified(np.zeros(7, bool), np.ones(7, bool)).passed


def test_harm_is_decided_as_gain_is() -> None:
    worse = certified(np.ones(7, bool), np.zeros(7, bool))
    better = certified(np.zeros(7, bool), np.ones(7, bool))
    assert worse.anytime_p == better.anytime_p
    assert (worse.harms, worse.passed) == (True, False)
    assert not certified(np.ones(6, bool), np.zeros(6, bool)).harms


def test_where_wins_and_losses_are_equal_nothing_is_decided() -> None:
    before = np.array([False] * 10 + [True] * 10)
    level = certified(before, ~before)
    assert (level.wins, level.losses, level.anytime_p) == (10, 10, 1.0)
    assert not level.passed
    assert not level.harms


# ── many certificates ────────────────────────────────────────────────────────────────────────────


def test_the_controlled_decision_is_scipys() -> None:
    generator = np.random.default_rng(3)
    for size in (1, 2, 9, 64):
        p = generator.beta(0.3, 1.5, size)
        theirs = stats.false_discovery_control(p) <= 0.05
        assert judge.benjamini_hochberg(p.tolist()) == tuple(theirs.tolist())
    assert judge.benjamini_hochberg([]) == ()
    assert judge.benjamini_hochberg([0.025, 0.05]) == (True, True), "a limit met is met"


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_no_share_of_false_discoveries_is_a_level(level: float) -> None:
    with pytest.raises(ValueError, match="lies in"):
        judge.benjamini_hochberg([0.1], level=level)


def test_what_is_no_p_value_is_refused() -> None:
    with pytest.raises(ValueError, match="p-value"):
        judge.benjamini_hochberg([0.1, 1.1])


def test_a_certificate_alone_stands_where_it_passes() -> None:
    for wins in range(5, 10):
        one = certified(np.zeros(wins, bool), np.ones(wins, bool))
        assert judge.proved([one]) == (one.passed,)


def shares(before: np.ndarray, after: np.ndarray, real: int) -> np.ndarray:
    """Of many runs, (runs, certificates, seeds): any proved raw and controlled, the false share of
    what is proved after control, and of what is real, found raw and controlled.
    """
    found = []
    for old, new in zip(before, after, strict=True):
        made = certified_all(old, new)
        raw, kept = np.array([one.passed for one in made]), np.array(judge.proved(made))
        assert not (kept & ~raw).any(), "control only takes away"
        false = kept[real:].sum() / max(1, kept.sum())
        found.append(
            (
                raw.any(),
                kept.any(),
                false,
                raw[:real].mean() if real else 0,
                kept[:real].mean() if real else 0,
            )
        )
    return np.mean(found, axis=0)


def test_sixty_four_pairs_without_any_effect_prove_nothing_after_control() -> None:
    before, after = np.random.default_rng(11).random((2, 150, 64, 20)) < 0.5
    raw, kept, *_ = shares(before, after, 0)
    assert raw > 0.4, "each of them decided alone, one passes in half of the runs or more"
    assert kept <= 0.05


def test_nominations_of_one_pair_that_share_plain_pictures_prove_nothing_after_control() -> None:
    generator = np.random.default_rng(12)
    before = np.repeat(generator.random((600, 1, 40)) < 0.5, 9, axis=1)
    raw, kept, *_ = shares(before, generator.random((600, 9, 40)) < 0.5, 0)
    assert raw > 0.08
    assert kept <= 0.05


def test_real_repairs_are_still_proved_among_many() -> None:
    generator = np.random.default_rng(13)
    rates = np.full((64, 2), 0.6)
    rates[:16] = 0.4, 0.85
    before, after = (generator.random((60, 64, 40)) < side[:, None] for side in rates.T)
    _, _, false, raw, kept = shares(before, after, 16)
    assert false <= 0.05
    assert raw > 0.93
    assert kept > 0.88


# ── many pairs called failing ────────────────────────────────────────────────────────────────────

RULES: tuple[StoppingRule, ...] = (
    Sprt(),
    Sprt(delta=0.1, cap=64),
    FixedN(20),
    Curtailed(20),
    Curtailed(20, block=1),
)
by_name = pytest.mark.parametrize("rule", RULES, ids=name_of)


def stops(rule: StoppingRule, wrong: float) -> dict[tuple[int, int], float]:
    """The chance of stopping at each ``(correct, total)``."""
    open_, ends = {0: 1.0}, {}
    for total in range(1, rule.cap + 1):
        reached: Counter[int] = Counter()
        for correct, chance in open_.items():
            reached[correct] += chance * wrong
            reached[correct + 1] += chance * (1 - wrong)
        open_ = dict(reached)
        if total % rule.block == 0 or total == rule.cap:
            for correct in list(open_):
                if rule.decide(correct, total) is not Decision.CONTINUE:
                    ends[correct, total] = open_.pop(correct)
    return ends


@by_name
def test_the_p_value_of_a_failing_pair_is_the_exact_chance_of_one_as_low(
    rule: StoppingRule,
) -> None:
    ends = stops(rule, passing_rate(rule))
    lows = sorted((judge.failing_p(*place, rule), chance) for place, chance in ends.items())
    for p in {p for p, _ in lows if p < 1}:
        assert sum(chance for low, chance in lows if low <= p) == pytest.approx(p)
    least_rate = stops(rule, passing_rate(rule) - 0.1)
    for p, _ in lows:
        chance = sum(c for place, c in least_rate.items() if judge.failing_p(*place, rule) <= p)
        assert chance <= p + 1e-12, "a pair that fails less often looks so bad less often"


def test_the_p_value_of_a_fixed_number_is_scipys_binomial_one() -> None:
    for correct in range(21):
        theirs = stats.binomtest(20 - correct, 20, 0.5, alternative="greater").pvalue
        ours = judge.failing_p(correct, 20, FixedN(20))
        assert ours == (pytest.approx(theirs) if correct < 10 else 1)


def test_four_failures_of_four_are_as_rare_as_the_lower_rate_allows() -> None:
    assert judge.failing_p(0, 4, Sprt()) == pytest.approx(0.32**4)
    assert judge.failing_p(0, 5, FixedN(4)) == pytest.approx(0.5**5)
    assert judge.failing_p(4, 4, Sprt()) == judge.failing_p(2, 4, Sprt()) == 1


def test_pictures_beyond_the_cap_do_not_make_a_pair_surer_than_its_looks_allow() -> None:
    early = judge.failing_p(0, 4, Sprt())
    assert early < judge.failing_p(2, 40, Sprt()) < 0.05


@cache
def judged(correct: int, total: int, rule: StoppingRule) -> judge.PairJudgement:
    """A pair of so many right pictures."""
    return judge.judge_pair([RIGHT] * correct + [WRONG] * (total - correct), rule=rule)


def drawn(rule: StoppingRule, wrong: np.ndarray, seed: int) -> list[judge.PairJudgement]:
    """One pair a failure rate, drawn until the rule stops."""
    right = np.random.default_rng(seed).random((len(wrong), rule.cap)) >= wrong[:, None]
    looks = [*range(rule.block, rule.cap, rule.block), rule.cap]
    found = []
    for row in np.cumsum(right, axis=1).tolist():
        said = (judged(row[seen - 1], seen, rule) for seen in looks)
        found.append(next(one for one in said if one.failing is not Decision.CONTINUE))
    return found


@by_name
def test_among_many_pairs_that_pass_hardly_ever_is_one_called_failing_after_control(
    rule: StoppingRule,
) -> None:
    called = kept = 0
    for seed in range(400):
        found = drawn(rule, np.full(64, passing_rate(rule)), seed)
        called += any(one.failing is Decision.FAILS for one in found)
        kept += any(judge.surely_failing(found))
    assert called > 300, "decided one by one, some nearly always are"
    assert stats.binom.sf(kept - 1, 400, 0.05) > 0.01


@by_name
def test_pairs_that_fail_are_still_called_so_among_many_and_few_falsely(
    rule: StoppingRule,
) -> None:
    wrong = np.full(136, passing_rate(rule))
    wrong[:60] = 0.95
    false, found = [], []
    for seed in range(100):
        kept = np.array(judge.surely_failing(drawn(rule, wrong, seed)))
        false.append(kept[60:].sum() / max(1, kept.sum()))
        found.append(kept[:60].mean())
    assert np.mean(false) <= 0.05
    assert np.mean(found) > 0.85


def test_pairs_without_a_scored_picture_were_not_looked_at() -> None:
    failing = judge.judge_pair([WRONG] * 4, rule=Sprt())
    silent = judge.judge_pair([judge.Picture(None, None)] * 4, rule=Sprt())
    assert judge.surely_failing([failing, *[silent] * 50]) == (True, *[False] * 50)
    assert not any(judge.surely_failing([failing, *[judge.judge_pair([RIGHT] * 4)] * 50]))
    assert judge.surely_failing([]) == ()


# ── what was chosen for its height ───────────────────────────────────────────────────────────────

POPULATIONS = {
    "all alike": lambda rng, many: (np.full(many, 0.4), np.full(many, 0.92)),
    "spread": lambda rng, many: (rng.beta(2, 4, many), rng.beta(6, 2, many)),
    "some help": lambda rng, many: mixed(rng, many),
    "none helps": lambda rng, many: (rates := rng.beta(2, 2, many), rates),
}


def mixed(rng: np.random.Generator, many: int) -> tuple[np.ndarray, np.ndarray]:
    """Two of five help much, the others not at all."""
    before = rng.beta(0.5, 2, many)
    return before, np.where(rng.random(many) < 0.4, rng.beta(9, 1, many), before)


@pytest.mark.parametrize("population", POPULATIONS)
@pytest.mark.parametrize("many", [4, 40])
def test_what_is_expected_of_the_repairs_on_top_is_what_is_true_of_them(
    population: str, many: int
) -> None:
    rng, top = np.random.default_rng(5), max(1, many // 4)
    shown = []
    for _ in range(400 // many * 4):
        rates = np.stack(POPULATIONS[population](rng, many))
        seeds = int(rng.choice([12, 20, 30]))
        before, after = rng.random((2, many, seeds)) < rates[:, :, None]
        said = judge.expected(certified_all(before, after))
        for number, truth, by in (
            ("gain", rates[1] - rates[0], "gained"),
            ("after", rates[1], "after"),
        ):
            seen = [
                after[place].mean() if by == "after" else one.gained
                for place, one in enumerate(said)
            ]
            best = np.argsort(-np.array(seen), kind="stable")[:top]
            shown.append(
                (
                    number,
                    np.mean([seen[p] for p in best]),
                    np.mean([getattr(said[p], number) for p in best]),
                    truth[best].mean(),
                )
            )
    for number in ("gain", "after"):
        raw, expected, truth = np.mean([row[1:] for row in shown if row[0] == number], axis=0)
        assert raw - truth > 0.015, "what is seen on top is too good"
        assert -0.035 < expected - truth < 0.03, "too low rather than too high"


def test_repairs_that_are_all_alike_are_expected_to_be_what_they_are() -> None:
    rng, found = np.random.default_rng(6), []
    for _ in range(40):
        rates = np.array([0.4, 0.92])
        before, after = rng.random((2, 40, 20)) < rates[:, None, None]
        said = judge.expected(certified_all(before, after))
        best = np.argsort([-one.gained for one in said], kind="stable")[:10]
        found.append(
            [
                (after[place].mean(), said[place].gained, said[place].after, said[place].gain)
                for place in best
            ]
        )
    after, gained, expected, gain = np.mean(found, axis=(0, 1))
    assert (after, gained) == pytest.approx((0.952, 0.67), abs=0.01), "shown without shrinking"
    assert (expected, gain) == pytest.approx((0.92, 0.52), abs=0.015)


def test_one_repair_alone_was_not_chosen_so_it_is_expected_as_seen() -> None:
    one = certified(np.zeros(10, bool), np.arange(10) < 8)
    assert judge.expected([one]) == (Expected(0.8, 0.8, 0.8),)
    assert judge.expected([]) == ()


def test_a_repair_of_more_pictures_is_shrunk_less() -> None:
    ones = [
        certified(np.zeros(n, bool), np.arange(n) < share * n)
        for n, share in ((10, 0.9), (100, 0.9), (10, 0.2), (40, 0.4), (20, 0.1))
    ]
    few, more, *_ = judge.expected(ones)
    assert few.gained == more.gained == 0.9
    assert few.gain < more.gain < 0.9
    assert few.after < more.after < 0.9


def test_a_certificate_without_pictures_is_expected_to_be_like_the_others() -> None:
    ones = [
        certified(np.zeros(n, bool), np.arange(n) < share * n)
        for n, share in ((20, 0.9), (20, 0.5), (0, 0))
    ]
    *_, empty = judge.expected(ones)
    assert empty.gain == pytest.approx(0.7)
    assert empty.after == pytest.approx(0.7)


def test_a_certificate_stands_among_all_and_is_expected_to_be_like_those_of_its_kind() -> None:
    own = [certified(np.zeros(20, bool), np.arange(20) < right) for right in (18, 12)]
    far = [replace(certified(np.zeros(20, bool), np.arange(20) < 2), model="other@1")] * 3
    found = judge.standings([far[0], *own, *far[1:]])
    assert [one.among for one in found] == [5] * 5
    assert [one.proved for one in found] == [False, True, True, False, False]
    assert [found[1].expected, found[2].expected] == list(judge.expected(own))
    assert found[0].expected.gain == pytest.approx(0.1)
    assert judge.standings([]) == ()
