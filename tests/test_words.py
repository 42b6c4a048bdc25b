"""Opinions in words: one spelling for terminal, report and dashboard."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import repair_store, small_store
from worlds.small_store import COKE, ROSES

from lcmis import judge
from lcmis.findings import find_repairs, words
from lcmis.judge import Curtailed, Decision, FixedN, Sprt, StoppingRule
from lcmis.machine import letters
from lcmis.store import Store
from lcmis.types import NONE_OF_THESE, LevelRange, Rate, Side, Verdict

NBSP = "\u00a0"

# ── numbers ──────────────────────────────────────────────────────────────────────────────────────


def test_a_share_is_0_or_100_per_cent_only_when_it_is() -> None:
    assert [words.percent(x) for x in (0.0, 0.0004, 0.004, 0.37, 0.996, 0.9999, 1.0)] == [
        "0",
        "0.1",
        "0.4",
        "37",
        "99.6",
        "99.9",
        "100",
    ]


@given(st.floats(0, 1))
def test_no_share_but_0_and_1_is_told_as_them(share: float) -> None:
    assert (words.percent(share) == "0") == (share == 0)
    assert (words.percent(share) == "100") == (share == 1)
    assert (words.score(share) == f"0{NBSP}%") == (share == 0)


@pytest.mark.parametrize(
    ("difference", "said"),
    [(0.125, "+12.5"), (-0.125, "-12.5"), (0.0, "+0.0"), (0.0004, "+0.04"), (-0.0004, "-0.04")],
)
def test_a_difference_is_told_in_points_and_as_none_only_where_there_is_none(
    difference: float, said: str
) -> None:
    assert words.points(difference) == said


def test_a_rate_comes_with_its_interval_and_none_is_not_judged() -> None:
    assert words.rate(Rate(0.42, 0.28, 0.57, 40)) == f"42{NBSP}% (28–57)"
    assert words.rate(Rate(1, 0.996, 1, 999)) == f"100{NBSP}% (99.6–100)"
    assert words.rate(Rate(0, 0, 1, 0)) == "not judged"
    assert words.share(0.42, 0.28, 0.57) == f"42{NBSP}% (28–57)"
    assert words.share(math.nan, math.nan, math.nan) == "not judged"
    assert words.interval(0.004, 0.55) == "0.4–55"


def test_a_score_is_a_share_or_no_answer() -> None:
    assert words.score(0.97) == f"97{NBSP}%"
    assert words.score(None) == "no answer"


def test_levels_are_a_range_or_a_dash() -> None:
    assert words.level(LevelRange(4, 5)) == "4–5"
    assert words.level(LevelRange(4, 4)) == "4"
    assert words.level(None) == "–"


@pytest.mark.parametrize(
    ("p", "said"),
    [
        (0.0, "p < 0.001"),
        (0.00099, "p < 0.001"),
        (0.001, "p = 0.001"),
        (0.0123, "p = 0.012"),
        (0.0499, "p = 0.0499"),
        (0.04999, "p = 0.04999"),
        (0.05, "p = 0.050"),
        (0.0501, "p = 0.050"),
        (0.9996, "p > 0.999"),
        (1.0, "p = 1.000"),
    ],
)
def test_a_p_value_stays_on_its_side_of_the_line(p: float, said: str) -> None:
    assert words.p_value(p) == said


@given(st.floats(0.001, 0.9994))
def test_who_reads_a_p_value_decides_as_the_certificate_does(p: float) -> None:
    assert (float(words.p_value(p).removeprefix("p = ")) < words.PROVED) == (p < words.PROVED)


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 pictures"), (1, "1 picture"), (2304, "2,304 pictures")]
)
def test_one_is_no_plural(count: int, said: str) -> None:
    assert words.several(count, "picture") == said


def test_a_plural_of_its_own_is_told() -> None:
    assert words.several(1, "person", "people") == "1 person"
    assert words.several(2, "person", "people") == "2 people"


def test_sizes_and_times_are_told_as_people_do() -> None:
    assert words.megabytes(1_234_567) == "1.2 MB"
    assert words.moment("2026-11-21T02:00:00.123Z") == "2026-11-21 02:00:00"
    assert words.begun_by("lcmis audit --yes") == "lcmis audit --yes"
    assert words.begun_by("") == "from Python"
    assert [words.duration(s) for s in (42, 89, 90, 600, 5399, 5400)] == [
        "42 s",
        "89 s",
        "2 min",
        "10 min",
        "90 min",
        "1.5 h",
    ]


# ── names ────────────────────────────────────────────────────────────────────────────────────────


def test_names_are_as_short_as_they_may_be_without_being_the_same() -> None:
    ids = ("broad@abc", "hub/sd@1111111x", "hub/sd@2222222x", "vqa:/models/judge@9")
    two = ("sd@e84df5d8b46d+cats@311a923a7a2a:1", "sd@e84df5d8b46d+cats@4441a923a7a2a:1")
    assert list(words.short_names(two).values()) == ["sd+cats@311a923", "sd+cats@4441a92"]
    other_base = ("sd@e84df5d8b46d+cats@311a923a7a2a:1", "sd@4444f5d8b46d+cats@311a923a7a2a:1")
    assert list(words.short_names(other_base).values()) == list(other_base)
    assert list(words.short_names(ids).values()) == [
        "broad",
        "hub/sd@1111111",
        "hub/sd@2222222",
        "vqa:judge",
    ]


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("broad@abc", "broad"),
        ("vqa:/models/judge@9", "vqa:judge"),
        ("~/a@home/models/sd", "sd"),
        ("/srv/a@b/sd@67a3", "sd"),
        ("clip:ViT-B-32/openai@1", "clip:ViT-B-32/openai"),
        ("broad@e84df5d8b46d+layout@311a923a7a2a:1", "broad+layout"),
        ("vqa:judge@709d922db877+pcb2512", "vqa:judge"),
        ("plain", "plain"),
        ("@9", "@9"),
    ],
)
def test_a_name_alone_loses_folders_and_revision(name: str, short: str) -> None:
    assert words.short_name(name) == short


def test_the_beginning_of_a_key_finds_what_it_names(tmp_path) -> None:
    small_store.fill(tmp_path)
    with Store(tmp_path, read_only=True) as store:
        for item in store.renders(limit=1000):
            short = words.short_key(item.spec.key)
            assert len(short) == 12
            assert store.render(short)[0] == item.spec
        for pair in store.pairs():
            assert store.pair(words.short_key(pair.key)) == pair


# ── foreign text ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("foreign", "shown"),
    [
        ("a\u202eb", "a[U+202E]b"),
        ("a\x1b[31mb", "a[U+001B][31mb"),
        ("two\nlines\t here", "two lines here"),
        ("\u200bzero", "[U+200B]zero"),
        ("👩\u200d👧", "👩\u200d👧"),
        ("\ud800", "[U+D800]"),
        ("äß 茶碗 كوب", "äß 茶碗 كوب"),
    ],
)
def test_letters_that_act_are_spelled_out(foreign: str, shown: str) -> None:
    assert letters.visible(foreign) == shown


def test_a_million_letters_are_cut_and_counted() -> None:
    assert letters.visible("x" * 10**6).endswith("… (1,000,000 letters)")


def test_a_text_is_shortened_in_the_middle() -> None:
    assert words.shortened("as it is", 8) == "as it is"
    assert words.shortened("a photo of a cat on a table", 17) == "a photo…a table"
    assert {len(words.shortened("x" * 99, longest)) for longest in (8, 9)} == {8, 9}


# ── opinions ─────────────────────────────────────────────────────────────────────────────────────


def test_every_verdict_has_a_word_of_its_own() -> None:
    assert {kind: words.verdict(kind, COKE) for kind in Verdict} == {
        Verdict.ALIGNED: "right",
        Verdict.A_MISSING: f"no {COKE.a.name}",
        Verdict.B_MISSING: f"no {COKE.b.name}",
        Verdict.BOTH_MISSING: "neither",
        Verdict.UNSCORED: "not judged",
        Verdict.REFUSED: "refused",
    }


def test_every_decision_is_one_word_of_its_own() -> None:
    said = {words.decision(made) for made in Decision}
    assert said == {"fails", "passes", "undecided", "unfinished"}


def test_a_verdict_says_which_side_it_lacks() -> None:
    lacking = {side: {kind for kind in Verdict if words.lacks(kind, side)} for side in Side}
    assert lacking[Side.A] == {Verdict.A_MISSING, Verdict.BOTH_MISSING}
    assert lacking[Side.B] == {Verdict.B_MISSING, Verdict.BOTH_MISSING}


def test_neither_the_asked_nor_nobody_is_an_intruder() -> None:
    assert words.names_somebody("glass", "tea cup")
    for option in (None, "", NONE_OF_THESE, "tea cup"):
        assert not words.names_somebody(option, "tea cup")


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (Sprt(block=4), "Of each pair the first 4 pictures count: a pair that stopped early"),
        (FixedN(20), "Of each pair the first 20 pictures count, as many as were planned."),
        (None, "All pictures of every pair count."),
    ],
)
def test_a_rule_says_which_pictures_of_a_pair_count(rule: StoppingRule | None, said: str) -> None:
    assert words.counted(rule).startswith(said)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (FixedN(1), "Every pair gets 1 picture, and fails when more than 50 % of them are wrong."),
        (Curtailed(20), "A pair fails when more than 50 % of 20 pictures are wrong."),
        (Sprt(block=4, cap=40, delta=0.2), "wrong in 70 % of its pictures from one that is"),
        (None, "No audit is recorded"),
    ],
)
def test_a_rule_is_told(rule: StoppingRule | None, said: str) -> None:
    assert said in words.rule(rule)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Repairs of the small store, of which none stands."""
    folder = repair_store.fill(tmp_path_factory.mktemp("proofs"))
    with Store(folder, read_only=True) as store:
        return {one.pair: one for one in find_repairs(store, small_store.JUDGE)}


@pytest.fixture(scope="module")
def proofs(found):
    """Their certificates."""
    return {pair: one.certificate for pair, one in found.items()}


def test_a_certificate_tells_both_rates_wins_losses_and_p(proofs) -> None:
    proof = proofs[COKE]
    told = words.certificate(proof, {proof.judge: "the judge"})
    for said in (
        "On 8 fresh seeds",
        words.rate(proof.before),
        words.rate(proof.after),
        "7 seeds won, 1 lost",
        "p = 0.141 at any number of looks",
        "for one look: p = 0.070",
        "Judged by the judge, which",
    ):
        assert said in told
    other = words.certificate(proofs[ROSES])
    assert "no seed won, 1 lost" in other
    assert "1 seed could not be judged" in other
    nothing = replace(proof, seeds=())
    assert words.certificate(nothing).endswith("so nothing is proved.")


def test_what_a_repair_is_worth_elsewhere(found) -> None:
    one, always = found[COKE], judge.rate(8, 8)

    def told(*, proved: bool = False, **changes) -> str:
        standing = replace(one.standing, proved=proved)
        proof = replace(one.certificate, **changes)
        return words.elsewhere(replace(one, certificate=proof, standing=standing))

    assert told() == "makes no difference that shows"
    assert told(anytime_p=0.01, proved=True) == "holds"
    assert told(anytime_p=0.04) == "passes alone"
    assert told(anytime_p=0.01, wins=1, losses=7) == "does harm"
    assert told(before=always, after=always).startswith("nothing to mend")


def test_an_outcome_is_one_of_three() -> None:
    assert words.outcome(passed=True, proved=True) == "repaired"
    assert words.outcome(passed=True, proved=False) == "passes alone"
    assert words.outcome(passed=False, proved=False) == "not repaired"
    assert words.controlled(3, 1200) == "3 after control for looking at 1,200"
