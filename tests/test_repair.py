"""Repairs: the algorithms on toys with known answers, the harness on the toy plugs."""

import contextlib
import dataclasses
import math
import os
import random
import re
import subprocess
import sys
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest
from statsmodels.stats.contingency_tables import mcnemar
from worlds import searches, toys
from worlds.toys import ToyChecker, ToyModel, pair, repair

from lcmis import judge
from lcmis.errors import ConfigError, OutOfBudget, UnknownNameError
from lcmis.findings import find_pairs, find_repairs
from lcmis.plugins import registry
from lcmis.plugins.optional import needs_of
from lcmis.plugins.protocols import Case, Evaluate, Need, Repairer
from lcmis.plugins.settings import CheckerSettings, TextModelSettings
from lcmis.repair.evaluate import SEARCH_SEEDS
from lcmis.repair.methods import moce, phrases, ranked, rewrite
from lcmis.repair.methods.moce import Moce
from lcmis.repair.methods.portfolio import Portfolio, staged
from lcmis.repair.methods.rewrite import Rewrite
from lcmis.repair.methods.ways import (
    ALIKE,
    ELSEWHERE,
    EXPECTED,
    NOISE,
    OWN,
    SAME,
    UNLIKE,
    Experience,
    Opening,
    Symptoms,
    Way,
    shared,
    way,
)
from lcmis.repair.search import BROKEN_OFF, Repair, RepairSettings
from lcmis.store import Store
from lcmis.text.words import is_salad
from lcmis.types import (
    FIRST_CERTIFICATE_SEED,
    FIRST_REPAIR_SEED,
    Candidate,
    Concept,
    ConceptPair,
    Intruder,
    LevelRange,
    Nomination,
    Seen,
    Side,
    Stage,
    Trial,
)

CUP = ConceptPair(
    Concept("tea cup", "a small white cup with a handle", ("teacup",)),
    Concept("iced coke", "dark brown drink with ice"),
    "a tea cup of iced coke",
    ("A tea cup of iced coke on a table",),
    (Intruder(Concept("glass"), Side.A, "a glass of iced coke"),),
)
CASE = dataclasses.replace(searches.CASE, pair=CUP, seeds=SEARCH_SEEDS)
LIKENESS = dataclasses.replace(CASE, likeness_weight=1.0)  # as if scores were CLIPScores


def trial(candidate, *scores, first_seed=FIRST_REPAIR_SEED):
    seen = tuple(Seen(first_seed + i, *one) for i, one in enumerate(scores))
    return Trial(CUP.key, "m@1", "toy", "clip:guide@1", candidate, seen)


class Toy:
    """An evaluation by formula; ``scores(candidate, seed)`` says how both concepts are seen."""

    def __init__(self, scores, budget=10_000):
        self.scores, self.budget, self.trials, self.asked = scores, budget, [], set()

    def __call__(self, stages, *, seeds=(), negative_prompt=""):
        candidate = Candidate(stages, negative_prompt)
        return self.together([(candidate, seeds or CASE.seeds[:8])])[0]

    def together(self, asked):
        trials = []
        for candidate, seeds in asked:
            self.asked |= {(candidate, seed) for seed in seeds}
            if len(self.asked) > self.budget:
                raise OutOfBudget("spent")
            trials.append(trial(candidate, *(self.scores(candidate, seed) for seed in seeds)))
        self.trials += trials
        return trials

    def equip(self, case, *, reference=True):
        return case

    def attempt(self, what, source):
        return list(source())

    def best(self):
        return ranked(self.trials, CASE.threshold)[0]


def seesaw(peak, noise=0.0, slope=2.0, height=0.55):
    """A gains what B loses, equal where the first stage ends at ``peak``; right near there."""

    def scores(candidate, seed):
        first = candidate.stages[0]
        end = first.denoising_end if len(candidate.stages) > 1 else 0.0
        if first.prompt == "iced coke":
            end = -end
        shake = random.Random(f"{candidate} {seed}").gauss(0, noise) if noise else 0.0
        lean = slope * (end - peak) + shake
        return tuple(min(1.0, max(0.0, height + sign * lean)) for sign in (1, -1))

    return scores


def by_chance(rates, otherwise=0.0):
    """Right with a candidate's own rate."""

    def scores(candidate, seed):
        lucky = random.Random(f"{candidate} {seed}").random() < rates.get(candidate, otherwise)
        return (0.9, 0.9) if lucky else (0.1, 0.9)

    return scores


# ── what is said ─────────────────────────────────────────────────────────────────────────────────


def test_a_concept_alone_keeps_the_article_that_the_prompt_gives_it():
    assert phrases.alone(CUP, Side.A) == "a tea cup"
    assert phrases.alone(CUP, Side.B) == "iced coke"
    unnamed = dataclasses.replace(CUP, prompt="cold soda in porcelain")
    assert phrases.alone(unnamed, Side.A) == "tea cup"


def test_another_wording_brings_its_article_or_takes_one_that_agrees():
    both = phrases.by_looks(CUP, *Side)
    assert both == "a small white cup with a handle of dark brown drink with ice"
    fern = dataclasses.replace(CUP, a=Concept("fern", "long green leaves"), prompt="a fern, sad")
    assert phrases.by_looks(fern, Side.A) == "long green leaves, sad"
    assert phrases.by_synonym(CUP, Side.A, "urn") == "an urn of iced coke"
    assert phrases.by_synonym(CUP, Side.A, "hourglass") == "an hourglass of iced coke"
    assert phrases.by_synonym(CUP, Side.A, "unicorn mug") == "a unicorn mug of iced coke"
    unsaid = dataclasses.replace(CUP, prompt="x")
    assert phrases.by_looks(unsaid, Side.A) is phrases.by_synonym(unsaid, Side.A, "urn") is None


# ── trials ───────────────────────────────────────────────────────────────────────────────────────


def test_the_fitness_of_a_trial_is_the_mean_of_the_worse_concept_and_silence_is_not_absence():
    plain = Candidate((Stage("x"),))
    seen = trial(plain, (0.9, 0.3), (0.2, 0.8), (None, 0.9), (None, None))
    assert seen.fitness == pytest.approx(0.25)
    assert seen.mean(Side.B) == pytest.approx((0.3 + 0.8 + 0.9) / 3)
    assert seen.right() == (0, 2)
    assert seen.right(0.2) == (2, 2)
    assert trial(plain).fitness is None


def test_where_nothing_is_right_the_fittest_is_best_and_not_the_least_tried():
    often, seldom = (Candidate((Stage(text),)) for text in ("often", "seldom"))
    trials = [trial(often, *[(0.4, 0.9)] * 7), trial(seldom, (0.1, 0.9))]
    assert ranked(trials, 0.5) == [often, seldom]


def test_the_best_candidate_is_most_surely_right_over_all_its_trials():
    lucky, solid, unseen = (Candidate((Stage(text),)) for text in ("lucky", "solid", "unseen"))
    good, bad = (0.9, 0.9), (0.1, 0.9)
    trials = [
        trial(lucky, *[good] * 4),
        trial(solid, *[good] * 15),
        trial(solid, *[good] * 15, bad, first_seed=FIRST_REPAIR_SEED + 15),
        trial(unseen, (None, None)),
    ]
    assert ranked(trials, 0.5) == [solid, lucky]


SALAD = "mug artilleryglass cola tumbler prawn handles icedcoffee vintage porcelain"


@pytest.mark.parametrize(
    ("prompt", "torn"),
    [
        (SALAD, True),
        ("cup 4k3 tea", True),
        ("cup <|end|> of tea", True),
        ("a tall clear straight drinking glass of dark brown drink with ice", False),
        ("dark brown drink with ice, small white porcelain cup, wooden table", False),
        ("3 cups of a drink, 'hot' (very)", False),
        ("a (tea cup)++ of iced coke+, 4k, 35mm, 3D, 50% grey", False),
        ("a 2x2 grid with a sign that says “open”", False),
        ("a cup of t3a", True),
        ("one two three four five six", False),
        ("one two three four five six seven", True),
        ("often", False),
    ],
)
def test_words_that_nothing_joins_are_salad(prompt, torn):
    assert is_salad(prompt) is torn


def test_word_salad_is_chosen_only_where_it_is_clearly_better_than_every_sentence():
    salad, said = Candidate((Stage(SALAD),)), Candidate((Stage("a cup with dark cola and ice"),))
    good, bad = (0.9, 0.9), (0.1, 0.9)
    # Wilson's one-sided lower ends: .816 for 12 of 12, .694 for 11 of 12, .591 for 10 of 12
    whole = trial(salad, *[good] * 12)
    assert ranked([whole, trial(said, *[good] * 11, bad)], 0.5) == [said, salad]
    assert ranked([whole, trial(said, *[good] * 10, bad, bad)], 0.5) == [salad, said]
    assert ranked([whole, trial(said, good)], 0.5) == [salad, said], "one of one is luck"
    assert ranked([whole], 0.5) == [salad]


def test_stages_that_do_not_rise_are_no_candidate():
    with pytest.raises(ValueError, match="rise strictly"):
        Candidate((Stage("a", 0.5), Stage("b", 0.4), Stage("c")))


# ── MoCE ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("mode", ["fork", "bisect"])
@pytest.mark.parametrize("peak", [0.05, 0.1, 0.18, 0.3])
def test_moce_finds_the_balance(mode, peak):
    toy = Toy(seesaw(peak, slope=4.0))
    Moce(mode).repair(CASE, toy)
    best = toy.best()
    assert abs(best.stages[0].denoising_end - peak) <= 0.025
    assert [stage.prompt for stage in best.stages] == ["a tea cup", "a tea cup of iced coke"]


@pytest.mark.parametrize("steps", [4, 12, 28])
def test_moce_puts_the_lost_concept_first_and_turns_round_if_that_does_not_help(steps):
    case = dataclasses.replace(CASE, num_inference_steps=steps)
    toy = Toy(seesaw(-1 / steps, slope=steps / 4))
    Moce().repair(case, toy)
    assert toy.trials[0].stages[0].prompt == "a tea cup"
    assert toy.best().stages[0].prompt == "iced coke"
    lost_b = dataclasses.replace(case, b_missing=20)
    toy = Toy(seesaw(-1 / steps, slope=steps / 4))
    Moce().repair(lost_b, toy)
    assert toy.trials[0].stages[0].prompt == "iced coke"


def test_two_equally_bad_scores_pass_in_the_papers_loop_and_not_in_ours():
    def bad(candidate, seed):
        return (0.2, 0.2)

    theirs, ours = Toy(bad), Toy(bad)
    Moce("replicate").repair(LIKENESS, theirs)
    Moce("bisect").repair(CASE, ours)
    assert len(theirs.trials) == 1
    assert len({one.candidate for one in ours.trials}) > 4


def test_the_papers_loop_probes_as_published():
    """40 steps, the first at 10, between 1 and 19, the momentum delayed by one move."""
    toy = Toy(lambda candidate, seed: (0.9, 0.1))  # A leads everywhere: fewer steps, every time
    Moce("replicate").repair(LIKENESS, toy)
    probes = [round(one.stages[0].denoising_end * 40) for one in toy.trials]
    assert probes == [10, 6, 3, 2]
    assert {len(one.seen) for one in toy.trials} == {64}


def test_the_fork_needs_fewer_pictures_than_the_papers_loop_at_the_same_balance():
    fork, theirs = (Toy(seesaw(0.18, noise=0.1, height=0.7)) for _ in range(2))
    Moce("fork").repair(CASE, fork)
    Moce("replicate").repair(LIKENESS, theirs)
    assert len(fork.asked) * 2 <= len(theirs.asked)


def test_a_line_through_the_leads_gives_the_balance_with_its_interval():
    dice = random.Random(5)
    steps = (2, 4, 6, 10)
    leads = {s: {seed: 0.1 * (s - 5) + dice.gauss(0, 0.1) for seed in range(12)} for s in steps}
    found = moce.balance(leads)
    x, y = np.array([(s, lead) for s in steps for lead in leads[s].values()]).T
    slope, at_zero = np.polyfit(x, y, 1)
    assert found.step == pytest.approx(-at_zero / slope)
    assert abs(found.step - 5) <= found.half_width < 2
    falling = {s: {seed: -lead for seed, lead in leads[s].items()} for s in steps}
    assert moce.balance(falling) is None
    assert moce.balance({3: leads[4]}) is None


def test_where_stages_cannot_be_switched_moce_asks_nothing():
    for case in (
        dataclasses.replace(CASE, supports_stages=False),
        dataclasses.replace(CASE, num_inference_steps=1),
    ):
        toy = Toy(seesaw(0.1))
        Moce().repair(case, toy)
        assert toy.trials == []
        assert moce.candidates(case) == [] or case.num_inference_steps == 1


def test_switch_steps_are_finest_where_the_first_steps_decide():
    assert moce.fine_steps(12) == [1, 2, 3, 4]
    assert moce.fine_steps(40) == [1, 2, 4, 6, 10, 13]
    assert moce.fine_steps(2) == []


# ── rewriting ────────────────────────────────────────────────────────────────────────────────────


def test_rewriting_offers_looks_synonyms_order_sentences_and_the_intruder_kept_away():
    found = [str(candidate) for candidate in rewrite.candidates(CASE)]
    assert found == [
        "a small white cup with a handle of iced coke",
        "a tea cup of dark brown drink with ice",
        "a small white cup with a handle of dark brown drink with ice",
        "a tea cup, a tea cup of iced coke",
        "a tea cup of iced coke, a small white cup with a handle",
        "dark brown drink with ice and a small white cup with a handle",
        "a small white cup with a handle of dark brown drink with ice, a tea cup of iced coke",
        "a small white cup with a handle of iced coke on a table",
        "a teacup of iced coke",
        "iced coke and a tea cup",
        "A tea cup of iced coke on a table",
        "a tea cup of iced coke (without: glass)",
        "a small white cup with a handle of iced coke (without: glass)",
    ]
    plain = dataclasses.replace(CASE, supports_negative_prompt=False)
    assert not any(candidate.negative_prompt for candidate in rewrite.candidates(plain))


def test_rewriting_spends_its_pictures_on_what_seems_right():
    pool = rewrite.candidates(CASE)
    toy = Toy(by_chance({pool[5]: 0.9, pool[2]: 0.2}), budget=120)
    Rewrite().repair(CASE, toy)
    assert toy.best() == pool[5]
    spent = [sum(candidate == one for one, _ in toy.asked) for candidate in pool]
    assert spent.index(max(spent)) == 5


# ── the portfolio ────────────────────────────────────────────────────────────────────────────────


def pool_of(case: Case) -> list[Candidate]:
    """Words first, then what needs stages."""
    return list(dict.fromkeys([*rewrite.candidates(case), *staged(case, Toy(None))]))


def test_the_portfolio_pools_what_the_other_methods_try():
    pool = pool_of(CASE)
    named = moce.candidates(CASE)
    assert len(named) == 12
    looks = [moce.opened_by(CASE, one.description, 4) for one in (CUP.a, CUP.b)]
    assert {*named, *looks, *rewrite.candidates(CASE)} < set(pool)
    assert len(pool) == len(set(pool))


def test_words_stages_and_both_begin_together_and_what_does_not_help_a_pair_is_soon_left():
    """Only the cup first, for a tenth to a third of the way, helps; then only a described cup."""

    def stages(candidate, seed):
        first, *rest = candidate.stages
        helps = rest and first.prompt == "a tea cup" and 0.1 <= first.denoising_end <= 0.3
        return (0.9, 0.9) if helps and seed % 5 else (0.1, 0.9)

    def words(candidate, seed):
        helps = len(candidate.stages) == 1 and LOOK in candidate.stages[0].prompt
        return (0.9, 0.9) if helps and seed % 5 else (0.1, 0.9)

    for scores in (stages, words):
        toy = Toy(scores, budget=96)
        with contextlib.suppress(OutOfBudget):
            Portfolio().repair(dataclasses.replace(CASE, budget=96), toy)
        assert scores(toy.best(), 1) == (0.9, 0.9)
        tried = [one.candidate for one in toy.trials]
        early = tried[: len(tried) // 3]
        assert {len(one.stages) > 1 for one in early} == {False, True}
        last = [one for one in tried[-10:] if scores(one, 1) == (0.9, 0.9)]
        assert len(last) >= 7


@pytest.mark.parametrize("best", [0, 7, 25])
def test_the_portfolio_finds_the_best_and_stops_when_it_is_sure(best):
    pool = pool_of(CASE)
    rates = dict.fromkeys(pool, 0.1) | {pool[best]: 0.9}
    toy = Toy(by_chance(rates), budget=1000)
    Portfolio().repair(dataclasses.replace(CASE, budget=1000), toy)
    assert toy.best() == pool[best]
    assert len(toy.asked) < 20 * len(pool) / 2, "uniform would take twenty each"


def test_the_portfolio_begins_with_what_helped_other_pairs():
    pool = pool_of(CASE)
    best = rewrite.candidates(CASE)[7]

    def spent(case: Case) -> int:
        toy = Toy(by_chance({best: 0.9}, otherwise=0.1), budget=1000)
        Portfolio().repair(dataclasses.replace(case, budget=1000), toy)
        assert toy.best() == best
        return len(toy.asked)

    def expecting(good: Candidate) -> Case:
        def expect(pool: Sequence[Candidate]) -> tuple[np.ndarray, np.ndarray]:
            return np.array([0.7 if one == good else 0.05 for one in pool]), 0.03 * np.eye(
                len(pool)
            )

        return dataclasses.replace(CASE, expect=expect)

    told, misled = expecting(best), expecting(pool[0])
    assert spent(told) < 0.75 * spent(CASE)
    assert spent(told) < spent(misled), "what is seen outweighs what was expected"


LOOK = CUP.a.description


@pytest.mark.parametrize(
    ("candidate", "expected"),
    [
        (
            Candidate((Stage(CUP.prompt),)),
            Way(Opening.NONE, False, 0, False, True, True, False, True, False, "{prompt}"),
        ),
        (
            Candidate((Stage(f"{LOOK} of Iced Coke"),), "glass"),
            Way(Opening.NONE, False, 0, True, False, False, True, True, False, "{prompt}"),
        ),
        (
            Candidate((Stage("tea cup", 0.25), Stage("dark brown drink with ice"))),
            Way(Opening.LOST, False, -2, False, False, False, False, False, True, "{other}"),
        ),
        (
            Candidate((Stage(LOOK, 0.1), Stage(CUP.prompt))),
            Way(Opening.LOST, True, -3, False, True, True, False, True, False, "{prompt}"),
        ),
        (
            Candidate((Stage("iced coke", 0.5), Stage(CUP.prompt))),
            Way(Opening.OTHER, False, -1, False, True, True, False, True, False, "{prompt}"),
        ),
        (
            Candidate((Stage("a cup of tea", 0.1), Stage("cola", 0.2), Stage(CUP.prompt))),
            Way(Opening.ELSE, False, -3, False, True, True, False, True, False, "{prompt}"),
        ),
        (
            Candidate(
                (Stage("x", 0.1), Stage(CUP.prompt, 0.2), Stage("x", 0.3), Stage(CUP.prompt))
            ),
            Way(Opening.TURNS, False, -3, False, True, True, False, True, False, "{prompt}"),
        ),
    ],
)
def test_a_way_is_how_a_candidate_begins_and_how_it_says_its_pair(candidate, expected):
    assert way(CUP, Side.A, candidate) == expected
    swapped = way(CUP, Side.B, candidate)
    assert (swapped.lost_named, swapped.other_named) == (expected.other_named, expected.lost_named)


def test_what_candidates_share_is_a_covariance_and_more_the_more_alike_they_are():
    ways = [way(CUP, Side.A, one) for one in pool_of(CASE)]
    matrix = np.array([[shared(one, two) for two in ways] for one in ways])
    assert np.allclose(matrix, matrix.T)
    assert np.linalg.eigvalsh(matrix).min() > -1e-12

    def opened(words: str, end: float) -> Way:
        return way(CUP, Side.A, Candidate((Stage(words, end), Stage(CUP.prompt))))

    cup = opened("a tea cup", 0.1)
    plain = way(CUP, Side.A, Candidate((Stage(CUP.prompt),)))
    alike = [opened(*one) for one in (("a tea cup", 0.2), (LOOK, 0.1), ("iced coke", 0.1))]
    hints = [shared(cup, one) for one in [cup, *alike, plain]]
    assert hints == sorted(hints, reverse=True)
    assert hints[-1] > 0, "how hard a pair is, all of them tell"


SYMPTOMS = Symptoms(Side.A, intruded=True)


def expected(
    experience: Experience, candidates: list[Candidate], model: str = "m@1", **told: object
) -> np.ndarray:
    return experience.chances(model, CUP, told.pop("seen", SYMPTOMS), candidates, **told)[0]


def test_chances_begin_alike_and_what_an_audit_saw_of_the_plain_prompt_tells_of_words_like_it():
    other_order, looks, staged = (
        Candidate((Stage("iced coke and a tea cup"),)),
        Candidate((Stage(f"{LOOK} of iced coke"),)),
        Candidate((Stage("a tea cup", 0.1), Stage(CUP.prompt))),
    )
    pool = [other_order, looks, staged]
    assert expected(Experience(), pool) == pytest.approx([EXPECTED] * 3)
    failing = expected(Experience(), pool, audited=(0, 20))
    assert failing[0] < failing[1] < EXPECTED
    assert failing[0] < failing[2] < EXPECTED
    assert (expected(Experience(), pool, audited=(20, 20)) > EXPECTED).all()


def test_experience_is_the_posterior_of_what_all_pairs_have_in_common():
    """One way, seen twice for one pair: the weights are written out."""
    experience, looks = Experience(), Candidate((Stage(f"{LOOK} of iced coke"),))
    seen = [trial(looks, (0.9, 0.9)), trial(looks, (0.1, 0.9), first_seed=2**41)]
    experience.learn("m@1", CUP, SYMPTOMS, [*seen, *seen], 0.5)
    how = way(CUP, Side.A, looks)
    common, own = ALIKE * shared(how, how) + SAME, (1 - ALIKE) * shared(how, how)
    noise = own + OWN + NOISE / 2
    weight = common / (common + noise)
    mean, covariance = experience.chances("m@1", CUP, SYMPTOMS, [looks])
    assert mean == pytest.approx([EXPECTED + weight * (0.5 - EXPECTED)])
    assert covariance == pytest.approx(np.array([[common * (1 - weight) + own + OWN]]))


def test_many_pairs_teach_more_than_one_and_a_candidate_counts_once():
    looks, plain = (Candidate((Stage(said),)) for said in (f"{LOOK} of iced coke", CUP.prompt))
    one, many, longer = Experience(), Experience(), Experience()
    for experience, times, pictures in ((one, 1, 4), (many, 9, 4), (longer, 1, 36)):
        for _ in range(times):
            right = trial(looks, *[(0.9, 0.9)] * pictures)
            experience.learn("m@1", CUP, SYMPTOMS, [right], 0.5)
    told = [expected(experience, [looks])[0] for experience in (one, longer, many)]
    assert EXPECTED < told[0] < told[1] < told[2] < 1
    assert EXPECTED < expected(many, [plain])[0] < told[2], "a hint at what is built alike"


def test_what_another_model_or_other_symptoms_taught_counts_for_less():
    experience, looks = Experience(), Candidate((Stage(f"{LOOK} of iced coke"),))
    experience.learn("m@1", CUP, SYMPTOMS, [trial(looks, (0.9, 0.9))], 0.5)
    own = expected(experience, [looks])[0] - EXPECTED
    elsewhere = expected(experience, [looks], "m@2")[0] - EXPECTED
    unlike = expected(experience, [looks], seen=Symptoms(Side.A, intruded=False))[0] - EXPECTED
    assert elsewhere == pytest.approx(ELSEWHERE * own)
    assert unlike == pytest.approx(UNLIKE * own)
    assert 0 < elsewhere < unlike < own


@pytest.mark.parametrize(
    ("prompt", "frame"),
    [
        (CUP.prompt, "{prompt}"),
        (f"{LOOK} of Iced Coke on a table", "{prompt} on a table"),
        ("iced coke and the tea cup", "{other} and {lost}"),
        ("an iced coke in a teacup", "{other} in {lost}'s synonym"),
        ("a teacupful of dreams", "a teacupful of dreams"),
        (f"{CUP.prompt}, {CUP.prompt}: {LOOK}", "{prompt}, {prompt}: {lost}"),
    ],
)
def test_a_frame_is_what_is_left_of_a_prompt_without_its_concepts(prompt, frame):
    assert way(CUP, Side.A, Candidate((Stage(prompt),))).frame == frame


def test_the_portfolio_goes_on_to_the_end_of_its_budget_while_several_may_be_best():
    pool = pool_of(CASE)
    toy = Toy(by_chance(dict.fromkeys(pool, 0.5)), budget=120)
    with pytest.raises(OutOfBudget):
        Portfolio().repair(CASE, toy)


def test_the_portfolio_goes_the_same_way_again():
    ways = []
    for _ in range(2):
        toy = Toy(by_chance({}, otherwise=0.3), budget=90)
        with pytest.raises(OutOfBudget):
            Portfolio().repair(CASE, toy)
        ways.append(toy.trials)
    assert ways[0] == ways[1]


def test_the_portfolio_leaves_what_the_model_cannot_read():
    def together(asked):
        return [trial(candidate) for candidate, _ in asked]

    toy = Toy(None)
    toy.together = together
    Portfolio().repair(CASE, toy)  # ends


# ── the certificate ──────────────────────────────────────────────────────────────────────────────

REPAIR = Candidate((Stage("a tea cup", 0.1), Stage(CUP.prompt)))
CHOSEN = Nomination(CUP.key, "m@1", "moce-fork", "clip:guide@1", REPAIR, 120, 64, "found")
RIGHT, NO_A, NO_B = (judge.Picture(*one) for one in ((0.9, 0.9), (0.1, 0.9), (0.9, 0.1)))


def certify(before, after, judge_id="vqa:judge@1"):
    return judge.certificate(CHOSEN, judge_id, range(len(before)), before, after, pair=CUP)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([NO_A] * 20, [RIGHT] * 14 + [NO_A] * 6),
        ([RIGHT] * 3 + [NO_A] * 17, [NO_A] * 2 + [RIGHT] * 9 + [NO_B] * 9),
        ([RIGHT] * 8 + [NO_A] * 12, [RIGHT] * 12 + [NO_A] * 8),
        ([RIGHT] * 20, [NO_A] * 20),
    ],
)
def test_the_numbers_of_a_certificate_are_those_of_others(before, after):
    found = certify(before, after)
    was, now = ([one is RIGHT for one in side] for side in (before, after))
    table = [
        [sum(a == x and b == y for a, b in zip(was, now, strict=True)) for y in (1, 0)]
        for x in (1, 0)
    ]
    assert (found.losses, found.wins) == (table[0][1], table[1][0])
    assert found.p == pytest.approx(mcnemar(table, exact=True).pvalue)
    assert found.before.value == sum(was) / 20
    interval = binomtest(sum(now), 20).proportion_ci(method="exact")
    assert (found.after.low, found.after.high) == pytest.approx((interval.low, interval.high))
    assert found.passed == (found.p < 0.05 and sum(now) > sum(was))


def test_a_certificate_counts_only_seeds_on_which_both_were_judged():
    refused = judge.Picture(None, None, refused=True)
    found = certify(
        [NO_A, NO_A, None, refused, NO_A], [RIGHT, judge.Picture(None, 0.9), RIGHT, RIGHT, RIGHT]
    )
    assert found.seeds == (0, 4)
    assert found.unjudged == 3
    assert found.after.total == 2
    assert not found.passed
    nothing = certify([None], [None])
    assert nothing.levels_after == LevelRange(1, 5)
    assert not nothing.passed


def test_a_certificate_says_which_concept_pays():
    assert certify([NO_A] * 20, [NO_B] * 10 + [RIGHT] * 10).collateral == (
        "iced coke is lost in 10 pictures that had it before",
    )
    assert certify([NO_A] * 20, [RIGHT] * 20).collateral == ()


def test_a_guide_never_certifies_what_it_found():
    with pytest.raises(ValueError, match="guided the search"):
        certify([NO_A], [RIGHT], judge_id="clip:guide@1")


# ── the harness ──────────────────────────────────────────────────────────────────────────────────

PAIRS = (pair("rubine", "azure"), pair("lime", "amber"))


pytestmark = pytest.mark.usefixtures("toys")


@pytest.fixture
def audited(tmp_path):
    """A configuration, its audit done by the first checker."""
    return partial(toys.audited, tmp_path, PAIRS)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """By behaviour: what the portfolio found there, and which pictures that took."""

    @cache
    def make(behaviour):
        with pytest.MonkeyPatch.context() as patch:
            toys.registered(patch)
            patch.setattr(ToyModel, "drawn", [])
            config = toys.audited(tmp_path_factory.mktemp("made"), PAIRS, behaviour)
            return config, repair(config), sorted(ToyModel.drawn)

    return make


@pytest.mark.parametrize("method", ["portfolio", "moce", "moce-bisect"])
def test_a_lost_concept_comes_back_when_it_is_painted_first(audited, made, method):
    result = made("shy")[1] if method == "portfolio" else repair(audited("shy"), method=method)
    assert result.num_repaired == len(PAIRS)
    for item in result.pairs:
        proof = item.certificate
        first, full = proof.nomination.candidate.stages
        assert (first.prompt, full.prompt) == (item.finding.pair.a.name, item.finding.pair.prompt)
        assert first.denoising_end <= 0.2
        assert (proof.before.value, proof.after.value, proof.wins, proof.losses) == (0, 1, 20, 0)
        assert proof.collateral == ()
        assert (proof.judge, proof.nomination.guide) == ("toy:reader@1", "toy:guide@1")


def test_a_search_begins_with_what_helped_the_rounds_before(tmp_path, monkeypatch):
    monkeypatch.setattr("lcmis.repair.search.ROUND", 1)
    others = [pair("rubine", "lime"), pair("rubine", "amber"), pair("azure", "rubine")]
    config = toys.audited(tmp_path, [PAIRS[0], *others], "shy")
    searched = [item.finding.pair for item in repair(config).pairs]
    with Store(config.store, read_only=True) as store:
        asked = [
            [one.candidate for one in store.trials(one.key) for _ in one.seen] for one in searched
        ]
    spent = [len(found) for found in asked]
    assert max(spent[1:]) < spent[0]
    assert spent[-1] < 0.5 * spent[0]
    staged = [len(one.stages) > 1 for one in asked[-1]]
    assert sum(staged[:8]) > 4
    lost = searched[-1].a.name
    assert sum(one.stages[0].prompt == lost for one in asked[-1][:8]) > 4


@pytest.mark.parametrize("method", ["portfolio", "rewrite"])
def test_a_concept_unknown_by_name_comes_back_by_its_looks(audited, made, method):
    result = made("deaf")[1] if method == "portfolio" else repair(audited("deaf"), method=method)
    assert result.num_repaired == len(PAIRS)
    for item in result.pairs:
        assert "the look of" in item.certificate.nomination.candidate.stages[0].prompt


def test_what_cannot_be_repaired_is_shown_as_not_repaired(audited):
    result = repair(audited("no a"), method="rewrite")
    assert result.num_repaired == 0
    assert [item.certificate.passed for item in result.pairs] == [False, False]


def test_a_guide_that_sees_what_it_wants_convinces_no_judge(audited):
    result = repair(audited("no a", guide="flatterer"))
    assert result.num_repaired == 0
    assert all(item.certificate.after.value == 0 for item in result.pairs)


def test_search_audit_and_certificate_never_share_a_seed_nor_guide_and_judge_a_picture(made):
    config, _, _ = made("shy")
    with Store(config.store, read_only=True) as store:
        by_checker = {
            checker: {item.seed for item in store.evidence(checker) if item.scored}
            for checker in ("toy:guide@1", "toy:reader@1")
        }
        searched = {seed for one in store.trials() for seed in one.seeds}
        plain = [item for item in store.evidence("toy:reader@1") if not item.of_repair]
    assert all(seed in SEARCH_SEEDS for seed in searched)
    assert max(item.seed for item in plain) < FIRST_REPAIR_SEED
    assert not any(seed in SEARCH_SEEDS for seed in by_checker["toy:reader@1"])
    assert not any(seed >= FIRST_CERTIFICATE_SEED for seed in by_checker["toy:guide@1"])


def test_what_a_repair_draws_does_not_change_what_the_audit_found(audited):
    config = audited("shy")

    def found():
        with Store(config.store, read_only=True) as store:
            return find_pairs(store, "toy:reader@1")

    before = found()
    repair(config)
    assert found() == before


@pytest.mark.parametrize("behaviour", ["shy", "deaf"])
def test_certificates_are_read_from_the_facts_alone(made, behaviour):
    config, result, _ = made(behaviour)
    with Store(config.store, read_only=True) as store:
        found = find_repairs(store, "toy:reader@1")
        assert find_repairs(store, "toy:guide@1") == []
        oldest_first = [one.pair for one in store.nominations()]
    certified = {item.finding.pair.key: item.certificate for item in result.pairs}
    assert sorted(oldest_first) == sorted(certified)
    assert [one.pair.key for one in found] == oldest_first
    assert [one.certificate for one in found] == [certified[key] for key in oldest_first]
    for one in found:
        assert one.spec.stages == one.certificate.nomination.candidate.stages
        assert tuple(item.seed for item in one.seen) == one.certificate.seeds
        assert min(item.worse for item in one.seen) == 0.9


def test_a_repair_done_again_draws_nothing_and_says_the_same(made):
    config, first, _ = made("shy")
    asked = ToyChecker.asked
    again = repair(config)
    assert (ToyModel.drawn, ToyChecker.asked, again.drawn) == ([], asked, 0)
    assert again.pairs == first.pairs


@pytest.mark.parametrize("at", [5, 40, 130, 160])
def test_a_repair_that_was_cut_off_ends_as_if_it_had_not_been(audited, made, monkeypatch, at):
    _, whole, drawn = made("shy")
    other = audited("shy")
    monkeypatch.setattr(ToyModel, "interrupt_at", at)
    if at < len(drawn):
        with pytest.raises(KeyboardInterrupt):
            repair(other)
    monkeypatch.setattr(ToyModel, "interrupt_at", None)
    resumed = repair(other)
    assert [item.certificate for item in resumed.pairs] == [i.certificate for i in whole.pairs]
    assert sorted(ToyModel.drawn) == drawn, "nothing is drawn twice"


def test_a_search_stops_at_its_budget_and_the_best_so_far_stands(audited):
    config = audited("no a")
    result = repair(config, budget=7)
    for item in result.pairs:
        chosen = item.certificate.nomination
        assert (chosen.pictures, chosen.ended) == (7, "the 7 pictures are spent")
    with Store(config.store, read_only=True) as store:
        for one in PAIRS:
            asked = {(t.candidate, s) for t in store.trials(one.key) for s in t.seeds}
            assert len(asked) == 7


def test_a_larger_budget_searches_on(audited):
    config = audited("no a")
    repair(config, budget=7)
    ToyModel.drawn.clear()
    repair(config, budget=30)
    with Store(config.store, read_only=True) as store:
        assert [one.budget for one in store.nominations(PAIRS[0].key)] == [7, 30]


def test_no_time_at_all_leaves_the_pair_not_repaired(audited):
    result = repair(audited("shy"), seconds=1e-9)
    assert [item.certificate for item in result.pairs] == [None, None]
    assert result.num_repaired == 0


@pytest.mark.parametrize("checkers", [1, 2])
def test_a_guide_that_is_the_judge_is_refused(audited, checkers):
    config = dataclasses.replace(audited("no a"), checkers=(CheckerSettings("toy"),) * checkers)
    with pytest.raises(ConfigError, match="one checker that judges and another that guides"):
        repair(config)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"budget": 0}, "--budget is 0"),
        ({"certificate": 0}, "--certificate is 0"),
        ({"seconds": 0.0}, "--seconds is 0"),
        ({"seconds": math.inf}, "--seconds is inf, but it is above 0 and finite"),
        ({"seconds": math.nan}, "--seconds is nan"),
        ({"level": 6}, "levels go from 1 to 5"),
    ],
)
def test_a_setting_that_cannot_be_is_one_sentence(audited, settings, said):
    with pytest.raises(ConfigError, match=said):
        repair(audited("no a"), **settings)


def test_a_method_that_nobody_knows_is_named(audited):
    with pytest.raises(UnknownNameError, match="portfolio"):
        repair(audited("no a"), method="portfoli")


def test_where_nothing_fails_there_is_nothing_to_repair(audited):
    config = audited("right")
    with pytest.raises(ConfigError, match="run `lcmis audit`"):
        repair(config)
    assert len(repair(config, level=1, budget=6, method="rewrite").pairs) == len(PAIRS)


def test_a_repairer_cannot_draw_the_seeds_of_the_certificate(audited, monkeypatch):
    monkeypatch.setitem(registry.BUILT_IN["repairers"], "cheat", "worlds.toys:Cheat")
    with pytest.raises(ValueError, match="not one to search on"):
        repair(audited("no a"), method="cheat")


def test_a_repairer_may_say_what_it_ends_with(audited, monkeypatch):
    monkeypatch.setitem(registry.BUILT_IN["repairers"], "chooser", "worlds.toys:Chooser")
    config = audited("no a")
    found = repair(config, method="chooser").pairs
    assert [str(one.certificate.nomination.candidate) for one in found] == ["void beside void"] * 2
    monkeypatch.setattr(toys.Chooser, "fickle", True)
    with pytest.raises(ValueError, match="chooser chose anything, which it did not try"):
        repair(config, method="chooser", budget=60)


def test_what_a_text_model_says_is_tried_too(audited, monkeypatch):
    monkeypatch.setitem(registry.BUILT_IN["text_models"], "toy", "worlds.toys:ToyWriter")
    config = audited("deaf")
    result = repair(config, method="rewrite", text_model=TextModelSettings("toy"))
    assert result.num_repaired == len(PAIRS)
    with Store(config.store, read_only=True) as store:
        tried = {one.stages[0].prompt for one in store.trials(PAIRS[0].key)}
    assert "enibur beside eruza" in tried


def test_a_text_model_says_which_concept_comes_first():
    case = dataclasses.replace(CASE, painted_first=Side.B)
    assert moce.candidates(CASE)[0].stages[0].prompt == "a tea cup"
    assert moce.candidates(case)[0].stages[0].prompt == "iced coke"


def test_a_text_model_that_does_not_answer_is_a_failure_and_the_repair_goes_on(
    audited, monkeypatch
):
    monkeypatch.setitem(registry.BUILT_IN["text_models"], "toy", "worlds.toys:ToyWriter")
    config = audited("shy")
    result = repair(config, text_model=TextModelSettings("toy", "mute"))
    assert (result.num_repaired, result.failures) == (len(PAIRS), len(PAIRS))
    with Store(config.store, read_only=True) as store:
        said = {(one.stage, one.sentence.rpartition(": ")[2]) for one in store.failures()}
    assert said == {(stage, "it would rather not say") for stage in ("ask", "repair")}


# ── what a method cannot do without, and what fails on the way ───────────────────────────────────


@pytest.fixture
def writer(monkeypatch):
    """The settings of a text model whose endpoint may be down."""
    monkeypatch.setitem(registry.BUILT_IN["text_models"], "toy", "worlds.toys:ToyWriter")
    monkeypatch.setattr(toys.ToyWriter, "asked", 0)
    return TextModelSettings("toy")


@pytest.mark.parametrize(
    ("method", "said"),
    [
        *(
            (one, "asks a text model, and none is named: name one with --text-model")
            for one in ("opt2i", "protegi", "craft", "raise", "proxies", "bigpe", "bigpe-greedy")
        ),
        ("arpo", "arpo compares texts and pictures by the second checker's encoder"),
        ("pez", "pez compares texts and pictures by the second checker's encoder"),
        ("interrogator", "such as clip:ViT-L-14/datacomp_xl_s13b_b90k"),
        ("pez-denoiser", "follows the gradient of the image model, which offers none"),
        ("ph2p", "follows the gradient of the image model, which offers none"),
        ("editor", "follows the gradient of the image model, which offers none"),
    ],
)
def test_what_a_method_cannot_do_without_is_asked_for_before_anything_is_drawn(
    audited, method, said
):
    config = audited("no a")
    drawn = len(ToyModel.drawn)
    with pytest.raises(ConfigError, match=said):
        repair(config, method=method)
    assert len(ToyModel.drawn) == drawn
    with Store(config.store, read_only=True) as store:
        assert (store.trials(), store.failures()) == ([], [])


def test_a_text_model_that_sees_nothing_is_none_to_show_pictures_to(audited, writer, monkeypatch):
    monkeypatch.setattr(ToyChecker, "encoder", lambda self: object(), raising=False)
    with pytest.raises(ConfigError, match=r"none is named that sees them.*--vision"):
        repair(audited("no a"), method="arpo", text_model=writer)
    monkeypatch.setattr(ToyModel, "denoiser", lambda self: object(), raising=False)
    with pytest.raises(ConfigError, match="name one with --writer"):
        repair(audited("no a"), method="editor", text_model=writer)


def test_what_methods_need_is_what_the_table_says():
    table = (Path(__file__).parent.parent / "docs/repair.md").read_text("utf-8")
    said = {
        Need.TEXT_MODEL: "a text model",
        Need.SEEING_TEXT_MODEL: "a text model that sees pictures",
        Need.ENCODER: "an encoder",
        Need.DENOISER: "denoiser",
        Need.WRITER: "a writer",
    }
    rows = [line.split("|") for line in table.splitlines() if line.startswith("| `")]
    wanted = {name: row[3] for row in rows for name in re.findall(r"`([\w-]+)`", row[1])}
    for name in registry.names("repairers"):
        for need in needs_of(registry.load("repairers", name)()):
            assert said[need] in wanted[name], (name, need)
    assert needs_of(registry.load("repairers", "portfolio")()) == frozenset()


def test_a_search_whose_text_model_was_down_goes_on_when_it_is_up(audited, writer, monkeypatch):
    config = audited("deaf")
    settings = {"method": "opt2i", "budget": 24, "text_model": writer}
    monkeypatch.setattr(toys.ToyWriter, "is_down", True)
    down = repair(config, **settings)
    assert [one.certificate for one in down.pairs] == [None, None]
    assert [one.trials for one in down.pairs] == [1, 1]
    assert (down.failures, down.done_without) == (2, 0)
    with Store(config.store) as store:
        assert store.nominations() == []
        assert Repair(config, store, RepairSettings(**settings)).num_open == 2
    monkeypatch.setattr(toys.ToyWriter, "is_down", False)
    drawn = set(ToyModel.drawn)
    up = repair(config, **settings)
    assert (up.num_repaired, up.failures, up.done_without) == (2, 0, 0)
    assert all(one.certificate.nomination.ended == "found" for one in up.pairs)
    assert len(set(ToyModel.drawn) - drawn) == up.drawn == len(ToyModel.drawn) - len(drawn)
    asked = toys.ToyWriter.asked
    again = repair(config, **settings)
    assert (again.pairs, again.drawn, toys.ToyWriter.asked) == (up.pairs, 0, asked)


def test_what_was_found_while_a_text_model_was_down_is_proved_and_not_final(
    audited, writer, monkeypatch
):
    config = audited("shy")
    settings = {"text_model": writer, "budget": 60}
    monkeypatch.setattr(toys.ToyWriter, "is_down", True)
    down = repair(config, **settings)
    assert (down.num_repaired, down.failures) == (2, 2)
    for one in down.pairs:
        assert BROKEN_OFF in one.certificate.nomination.given
        assert one.certificate.nomination.ended.endswith("it would rather not say")
    with Store(config.store) as store:
        assert Repair(config, store, RepairSettings(**settings)).num_open == 2
    assert repair(config, **settings).drawn == 0, "it goes the same way as long as it is down"
    monkeypatch.setattr(toys.ToyWriter, "is_down", False)
    up = repair(config, **settings)
    assert up.num_repaired == 2
    assert not any(BROKEN_OFF in one.certificate.nomination.given for one in up.pairs)
    with Store(config.store) as store:
        assert Repair(config, store, RepairSettings(**settings)).num_open == 0


def test_an_answer_stands_where_only_the_next_question_fails(audited, writer):
    config = audited("shy")
    terse = dataclasses.replace(writer, name="terse")
    with Store(config.store) as store:
        found = Repair(config, store, RepairSettings("rewrite", text_model=terse))
        model, finding = found.failing[0]
        case = found._case(model, finding, found._correspondence())
        assert (case.painted_first, case.other_prompts) == (Side.B, ())
        assert [one.sentence for one in store.failures()] == ["other prompts: it has said enough"]


def test_a_reply_that_is_of_no_use_ends_a_search_since_it_would_be_the_same_again(
    audited, monkeypatch
):
    class Prose(toys.Scripted):
        def __init__(self, settings):
            super().__init__("I would begin with the left half.")

    monkeypatch.setitem(registry.BUILT_IN["text_models"], "toy", "worlds.toys:ToyWriter")
    monkeypatch.setattr(toys, "ToyWriter", Prose)
    config = audited("shy")
    found = repair(config, text_model=TextModelSettings("toy"))
    assert (found.num_repaired, found.failures, found.done_without) == (2, 0, 2)
    again = repair(config, text_model=TextModelSettings("toy"))
    assert (again.pairs, again.drawn, again.done_without) == (found.pairs, 0, 0)


def test_a_search_whose_pictures_failed_goes_on_when_they_can_be_drawn(audited, monkeypatch):
    monkeypatch.setitem(registry.BUILT_IN["models"], "toy", "worlds.toys:TiredModel")
    config = dataclasses.replace(audited("deaf"), max_failures=10_000)
    tired = repair(config, method="rewrite", budget=24)
    assert tired.failures
    assert all(BROKEN_OFF in one.certificate.nomination.given for one in tired.pairs)
    monkeypatch.setattr(toys.TiredModel, "is_tired", False)
    rested = repair(config, method="rewrite", budget=24)
    assert (rested.num_repaired, rested.failures) == (2, 0)
    assert rested.drawn
    assert not any(BROKEN_OFF in one.certificate.nomination.given for one in rested.pairs)


def test_every_registered_repairer_is_one(audited):
    for name in registry.names("repairers"):
        repairer = registry.load("repairers", name)()
        assert repairer.repairer_id
        assert callable(repairer.repair)


def test_the_command_shows_before_after_and_the_way(audited, tmp_path):
    config = audited("shy")
    code = (
        "import sys; from lcmis import cli; from lcmis.plugins import registry;"
        "registry.BUILT_IN['models']['toy'] = 'worlds.toys:ToyModel';"
        "registry.BUILT_IN['checkers']['toy'] = 'worlds.toys:ToyChecker';"
        "sys.argv = ['lcmis', 'repair', *sys.argv[1:]]; cli.main()"
    )
    flags = ["-m", "toy", "--scheduler", "shy", "-c", "toy", "-c", "toy:guide"]
    flags += ["-p", config.pairs[0], "--store", config.store, "--budget", "60"]
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", code, *flags],
        capture_output=True,
        text=True,
        cwd=here.parent,
        env={**os.environ, "PYTHONPATH": f"{here}:{here.parent}", "COLUMNS": "160"},
    )
    assert done.returncode == 0, done.stderr
    assert "2 of 2 pairs repaired by portfolio" in done.stdout
    assert re.search(r"rubine \(to (8|17)%\) → rubine beside azure", done.stdout)


_: type[Repairer] = Portfolio
_evaluate: Evaluate = Toy(None)
