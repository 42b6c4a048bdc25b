"""Searches to the picture: what each method asks for, of toys whose answers are formulas."""

from __future__ import annotations

import dataclasses
import math
import random
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats
from worlds.searches import CASE, CUP, Formula, Scores

from lcmis.errors import OutOfBudget
from lcmis.plugins.protocols import Case
from lcmis.repair.methods import bigpe, halve, moce, phrases, portfolio, ranked, rewrite
from lcmis.repair.methods.moce import Moce
from lcmis.types import Candidate, Concept, Seen, Side, Stage, Trial


def seesaw(peak: float, slope: float = 2.0, height: float = 0.55, shake: float = 0.0) -> Scores:
    """A gains what B loses, equal where the first stage ends at ``peak``."""

    def scores(candidate: Candidate, seed: int) -> tuple[float | None, float | None]:
        first = candidate.stages[0]
        end = first.denoising_end if len(candidate.stages) > 1 else 0.0
        end = -end if first.prompt == "iced coke" else end
        lean = slope * (end - peak) + shake * math.sin(seed * 7.3 + end * 31)
        return tuple(min(1.0, max(0.0, height + sign * lean)) for sign in (1, -1))

    return scores


def never(candidate: Candidate, seed: int) -> tuple[float | None, float | None]:
    return 0.2, 0.4 if seed % 2 else None


WAYS: list[tuple[str, Scores, dict[str, object], str]] = [
    ("fork", seesaw(0.05), {}, "a1:0-3+a2:0-3+a4:0-3+a6:0-3+a10:0-3+a13:0-3 a2:4-7+a1:4-7"),
    (
        "fork",
        seesaw(0.18, 4.0),
        {},
        "a1:0-3+a2:0-3+a4:0-3+a6:0-3+a10:0-3+a13:0-3 a6:4-7+a10:4-7+a7:0-7",
    ),
    (
        "fork",
        seesaw(0.13, 6.0, 0.6, 0.3),
        {"batch_size": 48, "budget": 500},
        (
            "a1:0-7+a2:0-7+a4:0-7+a6:0-7+a10:0-7+a13:0-7 a6:8-15+a4:8-15+a5:0-15 a4:16-23 "
            "b1:0-7+b2:0-7+b4:0-7+b6:0-7+b10:0-7+b13:0-7 "
            "A1:0-7+A2:0-7+A4:0-7+A6:0-7+A10:0-7+A13:0-7 A6:8-15+A4:8-15+A5:0-15 A4:16-23 "
            "B1:0-7+B2:0-7+B4:0-7+B6:0-7+B10:0-7+B13:0-7 B6:8-15+B4:8-15 B4:16-23 "
            "B17:0-7 B19:0-7 B20:0-7"
        ),
    ),
    (
        "fork",
        seesaw(0.4, 3.0),
        {"batch_size": 100, "budget": 500},
        "a1:0-7+a2:0-7+a4:0-7+a6:0-7+a10:0-7+a13:0-7 a17:0-7 a15:0-7 a16:0-7",
    ),
    (
        "fork",
        seesaw(-0.1, 4.0),
        {},
        (
            "a1:0-3+a2:0-3+a4:0-3+a6:0-3+a10:0-3+a13:0-3 "
            "b1:0-3+b2:0-3+b4:0-3+b6:0-3+b10:0-3+b13:0-3 b4:4-7+b6:4-7+b3:0-7"
        ),
    ),
    (
        "fork",
        seesaw(-0.1, 4.0),
        {"first": Side.B},
        "b1:0-3+b2:0-3+b4:0-3+b6:0-3+b10:0-3+b13:0-3 b4:4-7+b6:4-7+b3:0-7",
    ),
    (
        "fork",
        seesaw(0.3, 8.0, 0.6, 0.2),
        {"first": Side.A, "batch_size": 4},
        (
            "a1:0-3+a2:0-3+a4:0-3+a6:0-3+a10:0-3+a13:0-3 a13:4-7+a10:4-7+a12:0-7 a13:8-11 "
            "A1:0-3+A2:0-3+A4:0-3+A6:0-3+A10:0-3+A13:0-3 A13:4-7+A10:4-7+A12:0-7 A13:8-11"
        ),
    ),
    (
        "fork",
        never,
        {},
        (
            "a1:0-3+a2:0-3+a4:0-3+a6:0-3+a10:0-3+a13:0-3 a17:0-7 a19:0-7 a20:0-7 "
            "b1:0-3+b2:0-3+b4:0-3+b6:0-3+b10:0-3+b13:0-3 "
            "A1:0-3+A2:0-3+A4:0-3+A6:0-3+A10:0-3+A13:0-3 A17:0-7 A19:0-7 A20:0-7 "
            "B1:0-3+B2:0-3+B4:0-3+B6:0-3+B10:0-3+B13:0-3"
        ),
    ),
    ("bisect", seesaw(0.05), {}, "a5:0-7 a2:0-7"),
    (
        "bisect",
        seesaw(0.33, 4.0, 0.6, 0.2),
        {},
        (
            "a5:0-7 a10:0-7 a14:0-7 a14:8-15 a12:0-7 a13:0-7 a13:8-15 a13:16-23 b5:0-7 b2:0-7 "
            "b1:0-7 A5:0-7 A10:0-7 A14:0-7 A14:8-15 A12:0-7 A13:0-7 A13:8-15 A13:16-23 "
            "B5:0-7 B2:0-7 B1:0-7"
        ),
    ),
    (
        "bisect",
        seesaw(0.2, 1.0, 0.45, 0.1),
        {"batch_size": 4},
        (
            "a5:0-7 a10:0-7 a7:0-7 a7:8-11 a7:12-15 a7:16-19 a7:20-23 a8:0-7 a8:8-11 "
            "a8:12-15 a8:16-19 a8:20-23 a9:0-7 a9:8-11 a9:12-15 a9:16-19 a9:20-23 b5:0-7 "
            "b2:0-7 b1:0-7 A5:0-7 A10:0-7 A7:0-7 A7:8-11 A7:12-15 A7:16-19 A7:20-23 A8:0-7 "
            "A8:8-11 A8:12-15 A8:16-19 A8:20-23 A9:0-7 A9:8-11 A9:12-15 A9:16-19 A9:20-23 "
            "B5:0-7 B2:0-7 B1:0-7"
        ),
    ),
    (
        "bisect",
        seesaw(-0.2, 3.0),
        {"batch_size": 9},
        "a5:0-7 a2:0-7 a1:0-7 b5:0-7 b10:0-7 b7:0-7 b8:0-7",
    ),
    (
        "bisect",
        never,
        {},
        (
            "a5:0-7 a10:0-7 a14:0-7 a17:0-7 a19:0-7 a20:0-7 b5:0-7 b2:0-7 b1:0-7 "
            "A5:0-7 A10:0-7 A14:0-7 A17:0-7 A19:0-7 A20:0-7 B5:0-7 B2:0-7 B1:0-7"
        ),
    ),
    (
        "bisect",
        seesaw(0.05),
        {"num_inference_steps": 41, "a_missing": 1},
        "b5:0-7 b2:0-7 b1:0-7 a5:0-7 a2:0-7",
    ),
    (
        "replicate",
        seesaw(0.1, 1.0, 0.7),
        {"likeness_weight": 1.0},
        "a10:0-63 a6:0-63 a3:0-63 a5:0-63 a4:0-63",
    ),
    (
        "replicate",
        seesaw(0.3, 1.0, 0.5),
        {"likeness_weight": 1.0},
        "a10:0-63 a15:0-63 a14:0-63 a12:0-63",
    ),
    ("replicate", seesaw(0.9, 1.0, 0.5), {"likeness_weight": 1.3}, "a10:0-63 a15:0-63 a18:0-63"),
    (
        "replicate",
        seesaw(-0.5, 1.0, 0.5),
        {"likeness_weight": 1.0, "first": Side.B},
        "b10:0-63 b15:0-63 b18:0-63",
    ),
    (
        "replicate",
        seesaw(0.21, 1.0, 0.5),
        {"likeness_weight": 1.0},
        "a10:0-63 a6:0-63 a7:0-63 a9:0-63 a8:0-63",
    ),
    ("replicate", never, {"likeness_weight": 2.5}, "a10:0-63 a15:0-63 a18:0-63"),
    ("replicate", never, {}, ""),
]


@pytest.mark.parametrize(("mode", "scores", "told", "way"), WAYS)
def test_every_search_for_the_balance_goes_its_way(mode, scores, told, way):
    toy = Formula(scores)
    told = dict(told)
    first = {"first": told.pop("first")} if "first" in told else {}
    Moce(mode, **first).repair(dataclasses.replace(CASE, **told), toy)
    assert toy.way() == way


def test_a_concept_whose_name_leads_astray_comes_first_by_its_looks():
    def scores(candidate, seed):
        first, *rest = candidate.stages
        by_looks = first.prompt == "a small white cup" and first.denoising_end <= 0.1
        return (0.9, 0.9) if rest and by_looks else (0.1, 0.9)

    toy = Formula(scores)
    Moce().repair(CASE, toy)
    trials = [(one, seed) for batch in toy.asked for one, seeds in batch for seed in seeds]
    tried = [one.stages[0].prompt for one, _ in trials]
    assert tried.index("a small white cup") > tried.index("iced coke") > tried.index("a tea cup")
    assert "dark drink with ice" not in tried, "it was found before"
    nameless = dataclasses.replace(
        CUP, a=Concept("tea cup"), b=Concept("iced coke"), prompt=CUP.prompt
    )
    toy = Formula(never)
    Moce().repair(dataclasses.replace(CASE, pair=nameless), toy)
    assert {one.stages[0].prompt for batch in toy.asked for one, _ in batch} == {
        "a tea cup",
        "iced coke",
    }


@pytest.mark.parametrize(("budget", "seeds"), [(500, 4), (95, 3), (48, 2), (10, 2)])
def test_no_opening_uses_up_what_the_others_need(budget, seeds):
    """Four openings at six switch steps: 48 pictures are two seeds each."""
    toy = Formula(lambda candidate, seed: (0.1, 0.9))
    Moce().repair(dataclasses.replace(CASE, budget=budget), toy)
    fans = [batch for batch in toy.asked if len(batch) == 6]
    assert [{len(seeds) for _, seeds in fan} for fan in fans] == [{seeds}] * 4


def test_no_search_changes_what_it_was_told_and_none_begins_where_stages_cannot_be():
    for told in ({"supports_stages": False}, {"num_inference_steps": 3}):
        for mode in ("fork", "bisect", "replicate"):
            toy = Formula(never)
            Moce(mode).repair(dataclasses.replace(CASE, likeness_weight=1.0, **told), toy)
            assert toy.asked == []
    assert [Moce(mode).repairer_id for mode in ("fork", "bisect")] == ["moce-fork", "moce-bisect"]
    assert (moce.bisect(), moce.replicate()) == (Moce("bisect"), Moce("replicate"))
    assert [Moce(mode).needs_likeness for mode in ("fork", "replicate")] == [False, True]


def test_the_candidates_of_stages_are_both_orders_at_the_finest_steps():
    found = [str(one) for one in moce.candidates(CASE, 2)]
    assert found == [
        "a tea cup (to 2%) → a tea cup of iced coke",
        "a tea cup (to 5%) → a tea cup of iced coke",
        "iced coke (to 2%) → a tea cup of iced coke",
        "iced coke (to 5%) → a tea cup of iced coke",
    ]
    assert len(moce.candidates(CASE)) == 12
    assert moce.candidates(dataclasses.replace(CASE, supports_stages=False)) == []
    assert moce.two_stages(CASE, Side.B, 10) == Candidate(
        (Stage("iced coke", 0.25), Stage("a tea cup of iced coke"))
    )
    assert [moce.fine_steps(steps) for steps in (3, 4, 20, 50)] == [
        [],
        [1],
        [1, 2, 3, 5, 7],
        [1, 2, 5, 8, 12, 16],
    ]


def test_the_balance_is_where_the_line_crosses_with_twice_the_jackknifes_error():
    leads = {
        2: {1: -0.5, 2: -0.3, 3: -0.2, 4: -0.4},
        5: {1: 0.1, 2: 0.0, 3: -0.1, 4: 0.2},
        9: {1: 0.6, 2: 0.9, 3: 0.7},
    }

    def crossing(left_out: int = 0) -> float:
        x, y = zip(
            *((x, y) for x, of_step in leads.items() for s, y in of_step.items() if s != left_out),
            strict=True,
        )
        slope, at_zero = np.polyfit(x, y, 1)
        return float(-at_zero / slope)

    parts = np.array([crossing(seed) for seed in (1, 2, 3, 4)])
    found = moce.balance(leads)
    assert found is not None
    assert found.step == pytest.approx(crossing(), abs=1e-9)
    error = math.sqrt(3 / 4 * ((parts - parts.mean()) ** 2).sum())
    assert found.half_width == pytest.approx(2 * error, abs=1e-9)
    few = {step: {seed: lead[seed] for seed in (1, 2)} for step, lead in leads.items()}
    assert moce.balance(few) is None
    three = {step: {seed: lead[seed] for seed in (1, 2, 3)} for step, lead in leads.items()}
    assert moce.balance(three) is not None
    assert moce.balance({2: leads[2]}) is None
    assert moce.balance({}) is None
    level = {2: {1: 0.1, 2: 0.1, 3: 0.1}, 5: {1: 0.1, 2: 0.1, 3: 0.1}}
    assert moce.balance(level) is None
    assert moce.balance({2: {1: -0.1, 2: 0.1, 3: 0.0}, 5: {1: 0.3}}) is None


# ── halving ──────────────────────────────────────────────────────────────────────────────────────

FIVE = [Candidate((Stage(word),)) for word in ("p", "q", "r", "s", "t")]


def halved(rates: dict[str, float], seeds: range, first: int) -> list[list[str]]:
    def scores(candidate: Candidate, seed: int) -> tuple[float, float]:
        right = (seed * 7) % 10 < 10 * rates[candidate.stages[0].prompt]
        return (0.9, 0.9) if right else (0.1, 0.9)

    toy = Formula(scores)
    halve(FIVE, dataclasses.replace(CASE, seeds=seeds), toy, first)
    return [
        [f"{candidate.stages[0].prompt}:{seeds[0]}-{seeds[-1]}" for candidate, seeds in batch]
        for batch in toy.asked
    ]


def test_the_better_half_goes_on_and_the_last_one_has_its_round():
    rates = {"p": 0.2, "q": 0.9, "r": 0.4, "s": 1.0, "t": 0.0}
    everyone = [f"{word}:100-103" for word in "pqrst"]
    whole = halved(rates, range(100, 140), 4)
    assert whole == [everyone, ["q:104-107", "s:104-107"], ["s:108-115"]]
    assert halved(rates, range(100, 116), 4) == whole
    assert halved(rates, range(100, 115), 4) == whole[:2]
    assert halved(rates, range(100, 103), 4) == []


def test_standing_is_by_the_lower_end_then_by_fitness_then_by_fewer_stages():
    def trial(candidate: Candidate, *scores: tuple[float | None, float | None]) -> Trial:
        seen = tuple(Seen(seed, *one) for seed, one in enumerate(scores))
        return Trial(CUP.key, "m@1", "toy", "clip:g@1", candidate, seen)

    p, q, r, s, t = FIVE
    good, bad = (0.9, 0.5), (0.4, 0.9)
    trials = [
        trial(p, good, bad, good),
        trial(q, *[good] * 3),
        trial(r, bad, (0.2, 0.9)),
        trial(s, bad, bad),
        trial(t, (None, 0.9), (0.9, None)),
    ]
    assert ranked(trials, 0.5) == [q, p, s, r]
    staged = Candidate((Stage("p", 0.5), Stage("x")))
    for order in ([staged, p], [p, staged]):
        assert ranked([trial(one, good) for one in order], 0.5) == [p, staged]
    again = [trial(p, bad, bad), trial(q, bad, (0.45, 0.9)), trial(p, good, good)]
    assert ranked(again, 0.5) == [p, q]
    assert ranked([trial(p, good)], 0.6) == [p]
    # 4 of 4 have Wilson's one-sided lower end .597, 8 of 10 .541, 9 of 10 .654
    assert ranked([trial(p, *[good] * 4), trial(q, *[good] * 8, bad, bad)], 0.5) == [p, q]
    assert ranked([trial(p, *[good] * 4), trial(q, *[good] * 9, bad)], 0.5) == [q, p]


def test_word_salad_stands_first_only_where_it_is_clearly_better_than_every_sentence():
    def of(words: str, right: int, total: int) -> Trial:
        shown = [(0.9, 0.9)] * right + [(0.1, 0.9)] * (total - right)
        seen = tuple(Seen(seed, *one) for seed, one in enumerate(shown))
        return Trial(CUP.key, "m@1", "toy", "clip:g@1", Candidate((Stage(words),)), seen)

    def order(*told: tuple[str, int, int]) -> list[str]:
        return [str(one) for one in ranked([of(*one) for one in told], 0.5)]

    def low(right: int, total: int) -> float:
        return stats.binomtest(right, total).proportion_ci(0.90, "wilson").low

    salad, more = (f"cup coke white dark ice {word} small glass" for word in ("drink", "tall"))
    assert low(4, 4) - low(6, 8) < 0.15 < low(4, 4) - low(5, 7)
    assert order((salad, 4, 4), ("a cup", 6, 8)) == ["a cup", salad]
    assert order((salad, 4, 4), ("a cup", 5, 7)) == [salad, "a cup"]
    three = order((salad, 4, 4), (more, 7, 8), ("a cup", 6, 8), ("a mug", 1, 8))
    assert three == ["a cup", salad, more, "a mug"]
    assert order((salad, 1, 4), (more, 2, 4)) == [more, salad]


@pytest.mark.parametrize(("right", "total"), [(0, 1), (1, 1), (4, 4), (8, 10), (9, 10), (30, 31)])
def test_the_lower_end_is_wilsons(right, total):
    from lcmis.repair.methods import _surely_right

    low = stats.binomtest(right, total).proportion_ci(0.90, "wilson").low
    assert _surely_right(right, total) == pytest.approx(low, abs=2e-4)
    assert _surely_right(0, 7) == 0.0


# ── words ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("The Tea Cup of iced coke", "The Tea Cup"),
        ("some tea cup", "some tea cup"),
        ("an tea cup", "an tea cup"),
        ("steam cup, tea cups", "tea cup"),
        ("mytea cup", "tea cup"),
        ("big tea cup", "tea cup"),
    ],
)
def test_a_concept_alone_is_said_as_the_prompt_says_it(prompt, said):
    assert phrases.alone(dataclasses.replace(CUP, prompt=prompt), Side.A) == said


def test_other_words_stand_where_the_name_stood():
    the = dataclasses.replace(CUP, prompt="look: The tea cup, and an iced coke!")
    assert phrases.by_looks(the, Side.A) == "look: a small white cup, and an iced coke!"
    assert phrases.by_looks(the, Side.B) == "look: The tea cup, and dark drink with ice!"
    assert phrases.by_looks(the, *Side) == "look: a small white cup, and dark drink with ice!"
    assert phrases.by_looks(the, Side.A, sentence="a tea cup!") == "a small white cup!"
    assert phrases.by_looks(the, Side.B, sentence="a tea cup!") is None
    plain = dataclasses.replace(the, a=Concept("tea cup"))
    assert phrases.by_looks(plain, Side.A) is None
    assert phrases.by_synonym(the, Side.A, "urn") == "look: The urn, and an iced coke!"
    assert phrases.by_synonym(the, Side.B, "soda") == "look: The tea cup, and a soda!"
    large = dataclasses.replace(CUP, prompt="A tea cup")
    assert phrases.by_synonym(large, Side.A, "urn") == "An urn"
    bare = dataclasses.replace(CUP, prompt="tea cup")
    assert phrases.by_synonym(bare, Side.A, "urn") == "urn"
    assert phrases.by_synonym(bare, Side.B, "urn") is None


def test_rewritings_keep_each_case_apart():
    bare = dataclasses.replace(
        CUP, a=Concept("tea cup"), b=Concept("iced coke"), sentences=(), intruders=()
    )
    case = dataclasses.replace(CASE, pair=bare, intruder="")
    assert [str(one) for one in rewrite.candidates(case)] == [
        "a tea cup, a tea cup of iced coke",
        "iced coke and a tea cup",
    ]
    lost_b = dataclasses.replace(
        CASE, a_missing=0, other_prompts=("coke, iced, in a tea cup", CUP.prompt)
    )
    assert [str(one) for one in rewrite.candidates(lost_b)] == [
        "a tea cup of dark drink with ice",
        "a small white cup of iced coke",
        "a small white cup of dark drink with ice",
        "iced coke, a tea cup of iced coke",
        "a tea cup of iced coke, dark drink with ice",
        "dark drink with ice and a small white cup",
        "a small white cup of dark drink with ice, a tea cup of iced coke",
        "A tea cup of dark drink with ice on a table",
        "iced coke and a tea cup",
        "coke, iced, in a tea cup",
        "A tea cup of iced coke on a table",
        "a tea cup of iced coke (without: glass)",
        "a tea cup of dark drink with ice (without: glass)",
    ]


# ── the portfolio ────────────────────────────────────────────────────────────────────────────────


def test_looks_begin_join_or_replace_and_the_intruder_is_kept_away():
    found = [str(one) for one in portfolio._combined(CASE)]
    assert found == COMBINED
    bare = dataclasses.replace(CASE, supports_stages=False, supports_negative_prompt=False)
    assert [str(one) for one in portfolio._combined(bare)] == COMBINED[:1]
    nobody = dataclasses.replace(CASE, intruder="")
    assert [str(one) for one in portfolio._combined(nobody)] == COMBINED[:5]
    steps = dataclasses.replace(CASE, num_inference_steps=3)
    assert [str(one) for one in portfolio._combined(steps)] == [COMBINED[0], COMBINED[5]]


COMBINED = [
    "a tea cup of iced coke, a small white cup, dark drink with ice",
    "a small white cup (to 2%) → a tea cup of iced coke",
    "dark drink with ice (to 2%) → a tea cup of iced coke",
    "a small white cup (to 2%) → a small white cup of dark drink with ice",
    "dark drink with ice (to 2%) → a small white cup of dark drink with ice",
    "a small white cup of dark drink with ice (without: glass)",
    "a tea cup (to 2%) → a tea cup of iced coke (without: glass)",
]


def race_of(case: Case = CASE, **rules: object) -> portfolio._Race:
    race = portfolio._Race(portfolio.Portfolio(**rules), case)
    race.join(FIVE[:3])
    return race


def as_told(shares: dict[Candidate, float]):
    def expect(pool: Sequence[Candidate]) -> tuple[np.ndarray, np.ndarray]:
        return np.array([shares.get(one, 0.25) for one in pool]), 0.05 * np.eye(len(pool))

    return expect


def by_hand(race: portfolio._Race, told: dict[int, tuple[int, int]], begun: np.ndarray):
    """Conditioning of a normal distribution, written out."""
    tried = list(told)
    begun_covariance = race._begun.covariance
    cross = begun_covariance[:, tried]
    among = begun_covariance[np.ix_(tried, tried)] + np.diag([0.16 / told[arm][1] for arm in tried])
    shares = np.array([right / seen for right, seen in told.values()])
    inverse = np.linalg.inv(among)
    mean = begun + cross @ inverse @ (shares - begun[tried])
    return mean, begun_covariance - cross @ inverse @ cross.T


def test_chances_begin_at_what_was_expected_and_follow_what_was_seen():
    race = race_of()
    assert race._chances()[0] == pytest.approx([0.25] * 3)
    race.learn(0, 4, 3, 4)
    race.learn(1, 4, 1, 2)
    race.learn(2, 2, 0, 0)  # asked for and not to be read: as if wrong
    mean, covariance = race._chances()
    told = {0: (3, 4), 1: (1, 2), 2: (0, 2)}
    assert mean == pytest.approx(by_hand(race, told, np.full(3, 0.25))[0])
    assert covariance == pytest.approx(by_hand(race, told, np.full(3, 0.25))[1])
    assert race.pictures == 10
    assert race.leader_rate() == pytest.approx(mean[0])
    assert race.seeds(0, 3) == range(104, 107)
    told_more = race_of(dataclasses.replace(CASE, expect=as_told({FIVE[1]: 0.75})))
    assert told_more._chances()[0] == pytest.approx([0.25, 0.75, 0.25])
    told_more.join([FIVE[2], FIVE[4], FIVE[4]])
    assert told_more.pool == [*FIVE[:3], FIVE[4]]
    assert told_more.seeds(3, 2) == range(100, 102)


def test_a_picture_of_one_way_is_a_hint_at_those_that_are_built_alike():
    race = portfolio._Race(portfolio.Portfolio(), CASE)
    openings = [(Side.A, 4), (Side.A, 6), (Side.B, 4)]
    race.join([*(moce.two_stages(CASE, *one) for one in openings), FIVE[0]])
    race.learn(0, 4, 4, 4)
    mean, _ = race._chances()
    assert list(np.argsort(-mean)) == [0, 1, 2, 3]
    assert mean[3] > 0.25


def test_words_stages_and_either_concept_first_are_looked_at_before_anything_is_right():
    race = portfolio._Race(portfolio.Portfolio(), CASE)
    race.join([*moce.candidates(CASE), *rewrite.candidates(CASE)])
    asked = Counter[int]()
    for _ in range(4):
        wanted = race.batch()
        asked.update(wanted)
        for arm, count in wanted.items():
            race.learn(arm, count, 0, count)
    assert asked.total() == race.pictures == 16
    assert max(asked.values()) <= 3
    looked_at = [race.pool[arm] for arm in asked]
    assert len(looked_at) > 9
    assert sum(len(one.stages) == 1 for one in looked_at) >= 3
    assert {one.stages[0].prompt for one in looked_at if len(one.stages) > 1} == {
        "a tea cup",
        "iced coke",
    }


def test_the_end_of_a_budget_is_for_the_likeliest_few():
    race = portfolio._Race(portfolio.Portfolio(), dataclasses.replace(CASE, budget=100))
    race.join(rewrite.candidates(CASE))
    for arm in range(len(race.pool)):
        race.learn(arm, 5, min(arm, 5), 5)
    mean, _ = race._chances()
    assert race.pictures >= 60
    few = set(np.argsort(-mean, kind="stable")[:3].tolist())
    assert {arm for _ in range(20) for arm in race.batch()} <= few
    hopeless = portfolio._Race(portfolio.Portfolio(), race._case)
    hopeless.join(rewrite.candidates(CASE))
    for arm in range(len(hopeless.pool)):
        hopeless.learn(arm, 5, 0, 5)
    assert len({arm for _ in range(20) for arm in hopeless.batch()}) > 3, "nothing to choose yet"


def test_a_race_is_settled_when_the_leader_has_been_seen_and_is_surely_near_the_best():
    race = race_of()
    assert not race.is_settled()
    race.learn(0, 7, 7, 7)
    for rival in (1, 2):
        race.learn(rival, 40, 0, 40)
    assert not race.is_settled()
    race.learn(0, 1, 1, 1)
    assert race.is_settled()
    assert not portfolio._Race(portfolio.Portfolio(), CASE).is_settled()
    close = race_of()
    for arm, right in ((0, 10), (1, 10), (2, 0)):
        close.learn(arm, 20, right, 20)
    assert not close.is_settled()
    near = race_of(margin=0.5)
    for arm, right in ((0, 20), (1, 19), (2, 0)):
        near.learn(arm, 40, right, 40)
    assert near.is_settled()
    sure = race_of(margin=0.1, confidence=0.5)
    for arm, right in ((0, 20), (1, 19), (2, 0)):
        sure.learn(arm, 40, right, 40)
    assert sure.is_settled()


def test_a_batch_is_as_large_as_the_models_or_the_rules_and_asks_for_no_seed_twice():
    assert sum(race_of().batch().values()) == 4
    assert sum(race_of(dataclasses.replace(CASE, batch_size=3)).batch().values()) == 3
    assert sum(race_of(at_once=30).batch().values()) == 16
    short = race_of(dataclasses.replace(CASE, seeds=range(100, 102)))
    assert 1 <= max(short.batch().values()) <= 2
    short.learn(0, 2, 2, 2)
    assert 0 not in short.batch()
    lone = portfolio._Race(portfolio.Portfolio(), CASE)
    lone.join(FIVE[:1])
    assert lone.batch() == {0: 4}


def test_the_leader_and_its_rivals_share_the_pictures_as_told():
    def shares(top: float) -> float:
        race = race_of(top=top, at_once=4000)
        race._case = dataclasses.replace(CASE, batch_size=4000, seeds=range(9000))
        race.learn(0, 60, 32, 60)
        race.learn(1, 60, 28, 60)
        race.learn(2, 60, 1, 60)
        asked = race.batch()
        assert asked.get(2, 0) == 0
        return asked[0] / 4000

    likeliest = shares(1.0)
    assert likeliest > 0.6
    assert shares(0.0) == pytest.approx(1 - likeliest, abs=0.04)
    assert shares(0.5) == pytest.approx(0.5, abs=0.04)


def by_rates(rates: dict[str, float]) -> Scores:
    def scores(candidate: Candidate, seed: int) -> tuple[float, float]:
        lucky = random.Random(f"{candidate} {seed}").random() < rates.get(str(candidate), 0.05)
        return (0.9, 0.9) if lucky else (0.1, 0.9)

    return scores


def test_words_and_stages_begin_together_and_end_with_the_budget():
    words = rewrite.candidates(CASE)
    toy = Formula(by_rates({}), budget=120)
    with pytest.raises(OutOfBudget):
        portfolio.Portfolio().repair(CASE, toy)
    first, *_ = toy.asked
    assert {candidate in words for candidate, _ in first} == {False, True}


def test_what_cannot_be_read_is_asked_for_no_more_and_ends_the_race():
    toy = Formula(lambda candidate, seed: (None, None))
    portfolio.Portfolio().repair(CASE, toy)
    asked = [candidate for batch in toy.asked for candidate, seeds in batch for _ in seeds]
    assert max(map(asked.count, set(asked))) <= portfolio.MUTE + 4
    race = race_of()
    race.learn(0, 2, 0, 0)
    race.learn(1, 3, 0, 0)
    race.learn(2, 1, 0, 1)
    race.learn(2, 2, 0, 0)
    assert race._open.tolist() == [True, False, True]


def test_a_winner_ends_the_race_and_most_of_the_pictures_are_its_own():
    words = rewrite.candidates(CASE)
    toy = Formula(by_rates({str(words[2]): 1.0}), budget=1000)
    portfolio.Portfolio().repair(dataclasses.replace(CASE, budget=200), toy)
    asked = [candidate for batch in toy.asked for candidate, seeds in batch for _ in seeds]
    assert asked.count(words[2]) >= 8
    late = asked[-24:]
    assert late.count(words[2]) >= 8


# ── evolution ────────────────────────────────────────────────────────────────────────────────────


def test_a_value_is_students_over_subjects_or_over_the_pictures_of_one():
    found = bigpe.value([[0.1, 0.3], [0.5], [], [0.2, 0.6, 0.1]])
    sample = np.array([0.2, 0.5, 0.3])
    error = sample.std(ddof=1) / math.sqrt(3)
    reach = stats.t.ppf(0.975, 2) * error
    assert found is not None
    assert (found.gain, found.error) == pytest.approx((sample.mean(), error))
    assert (found.low, found.high) == pytest.approx((sample.mean() - reach, sample.mean() + reach))
    assert (found.subjects, found.pictures) == (3, 6)
    one = bigpe.value([[0.1, 0.3, 0.8]], confidence=0.8)
    own = np.array([0.1, 0.3, 0.8])
    reach = stats.t.ppf(0.9, 2) * own.std(ddof=1) / math.sqrt(3)
    assert one is not None
    assert (one.low, one.high) == pytest.approx((own.mean() - reach, own.mean() + reach))
    assert (one.subjects, one.pictures) == (1, 3)
    lone = bigpe.value([[0.25]])
    assert lone == bigpe.Value(0.25, 0.0, -math.inf, math.inf, 1, 1)
    assert bigpe.value([[], []]) is None


STANDINGS = [
    bigpe.InstructionStanding(mean, evaluations)
    for mean, evaluations in ((0.1, 8), (0.5, 20), (0.45, 2), (0.2, 1), (0.44, 3))
]


@pytest.mark.parametrize(
    ("iteration", "spread", "told", "kept"),
    [
        (0, 0.0, {}, [1, 2, 4]),
        (0, 0.1, {}, [1, 2, 4]),
        (3, 0.3, {}, [2, 4, 1]),
        (3, 0.9, {}, [2, 4, 3]),
        (3, 0.9, {"c": 0.0}, [1, 2, 4]),
        (9, 0.4, {"keep": 2}, [2, 4]),
        (3, 0.3, {"keep": 9}, [2, 4, 1, 3, 0]),
    ],
)
def test_the_upper_bound_keeps_these(iteration, spread, told, kept):
    found = bigpe.ucb(STANDINGS, bigpe.Plan(**told), iteration, spread, random.Random(1))
    assert found == kept


def test_greed_keeps_the_best_and_chance_keeps_any():
    dice = random.Random(3)
    assert bigpe.greedy(STANDINGS, bigpe.Plan(), 0, 1.0, dice) == [1, 2, 4]
    for epsilon, kept in ((0.0, [1, 2, 4]), (1.0, None)):
        plan = bigpe.Plan(epsilon=epsilon)
        found = bigpe.epsilon_greedy(STANDINGS, plan, 0, 1.0, random.Random(3))
        assert len(set(found)) == 3
        assert (found == kept) is (kept is not None)
    few = bigpe.epsilon_greedy(STANDINGS[:2], bigpe.Plan(epsilon=0.0), 0, 1.0, dice)
    assert few == [1, 0]


def test_the_spread_is_pooled_over_instructions():
    arms = [
        bigpe._Arm("one", gains={0: [0.1, 0.3], 1: [0.6]}),
        bigpe._Arm("two", gains={0: [0.2, 0.4, 0.9]}),
        bigpe._Arm("three", gains={0: [0.7]}),
        bigpe._Arm("four"),
    ]
    squares = np.var([0.2, 0.6]) * 2 + np.var([0.2, 0.4, 0.9]) * 3
    assert bigpe._spread(arms) == pytest.approx(math.sqrt(squares / 3))
    assert bigpe._spread(arms[2:]) == 0.0
    assert [arm.mean for arm in arms] == pytest.approx([0.4, 0.5, 0.7, 0.0])


def test_the_plan_and_its_name():
    assert bigpe.Bigpe().repairer_id == "bigpe"
    assert (bigpe.by_epsilon().repairer_id, bigpe.by_greed().repairer_id) == (
        "bigpe-epsilon",
        "bigpe-greedy",
    )
    assert [
        one.plan.iterations for one in (bigpe.Bigpe(), bigpe.by_epsilon(), bigpe.by_greed())
    ] == [40] * 3
