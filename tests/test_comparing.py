"""Two audits side by side, and gates."""

import json
import random
import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import confint_proportions_2indep
from worlds import facts, small_store
from worlds.small_store import BROAD, COKE, JUDGE, NARROW, ROSES

from lcmis import judge
from lcmis.errors import ConfigError, UnknownNameError
from lcmis.export.gate import markdown, write_junit
from lcmis.findings import comparison, gate
from lcmis.judge import PairedCounts, Ruling
from lcmis.store import Store
from lcmis.types import Answer, QuestionKind, Rate, Score


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_store.fill(tmp_path_factory.mktemp("comparing") / "audit")


@pytest.fixture
def store(folder):
    with Store(folder, read_only=True) as opened:
        yield opened


def sides(store):
    return [comparison.audited(store, name) for name in ("broad", "narrow")]


# ── the numbers ──────────────────────────────────────────────────────────────────────────────────


def test_of_unrelated_pictures_the_interval_is_newcombes():
    # as many seeds right by one alone as independence has it, one seed a pair: no clusters
    counts = (
        [PairedCounts(1, 0, 0, 0)] * 1200
        + [PairedCounts(0, 1, 0, 0)] * 1800
        + [PairedCounts(0, 0, 1, 0)] * 800
        + [PairedCounts(0, 0, 0, 1)] * 1200
    )
    found = judge.paired_difference(counts)
    low, high = confint_proportions_2indep(2000, 5000, 3000, 5000, method="newcomb")
    assert found.value == pytest.approx(-0.2)
    assert (found.low, found.high) == pytest.approx((low, high), abs=6e-4)
    assert found.low < low < high < found.high


def test_pairing_narrows_the_interval_where_models_fail_on_the_same_pairs():
    alike = [PairedCounts(4, 0, 0, 0)] * 20 + [PairedCounts(0, 0, 1, 3)] * 20
    found = judge.paired_difference(alike)
    unlike = [PairedCounts(4, 0, 0, 0), PairedCounts(0, 0, 4, 0), PairedCounts(0, 4, 0, 0)]
    wild = judge.paired_difference(
        unlike[:1] * 10 + unlike[1:2] * 15 + unlike[2:] * 5 + [PairedCounts(0, 0, 0, 4)] * 10
    )
    assert wild.value == found.value * 2
    assert found.high - found.low < (wild.high - wild.low) / 2
    assert found.low < found.value < found.high


def test_agreement_everywhere_leaves_doubt():
    found = judge.paired_difference([PairedCounts(4, 0, 0, 0)] * 10)
    assert found.value == 0
    assert found.low < -0.1
    assert found.high > 0.1


def test_one_pair_says_hardly_anything():
    found = judge.paired_difference([PairedCounts(0, 4, 0, 0)])
    assert found.value == -1
    assert found.low == -1
    assert found.high == pytest.approx(2 * judge.rate(0, 1).high - 1)


@given(
    st.lists(st.tuples(*[st.integers(0, 4)] * 4).map(lambda four: PairedCounts(*four)), max_size=30)
)
def test_the_difference_lies_in_its_interval_and_turns_round_with_the_models(counts):
    found = judge.paired_difference(counts)
    turned = judge.paired_difference(
        [PairedCounts(one.both, one.second, one.first, one.neither) for one in counts]
    )
    assert found.low <= found.value + 1e-12
    assert found.value <= found.high + 1e-12
    assert found.low >= -1 - 1e-9
    assert (turned.value, turned.low, turned.high) == pytest.approx(
        (-found.value, -found.high, -found.low), abs=1e-9
    )


@pytest.mark.parametrize("shift", [0.0, 0.15])
def test_the_interval_covers_the_true_difference(shift):
    dice = np.random.default_rng(7)
    missed = 0
    for _ in range(400):
        chance = dice.beta(0.5, 0.5, 40)
        better = np.where(dice.random(40) < 2 * shift, 1.0, chance)
        first, second = dice.random((4, 40)) < chance, dice.random((4, 40)) < better
        cells = [(first & second), (first & ~second), (~first & second), (~first & ~second)]
        columns = (cell.sum(axis=0).tolist() for cell in cells)
        counts = [PairedCounts(*four) for four in zip(*columns, strict=True)]
        found = judge.paired_difference(counts)
        missed += not found.low <= shift <= found.high
    assert missed / 400 < 0.08


def test_what_was_detectable_grows_with_the_spread_between_pairs():
    calm, wild = (
        judge.paired_difference([PairedCounts(*one)] * 30 + [PairedCounts(*other)] * 30)
        for one, other in (((3, 1, 1, 0), (3, 1, 0, 1)), ((0, 5, 0, 0), (0, 0, 5, 0)))
    )
    assert calm.detectable < wild.detectable


def test_one_pair_can_notice_no_difference_and_the_words_say_so(capsys):
    from lcmis.cli.terminal.gates import print_comparison

    found = judge.paired_difference([PairedCounts(1, 2, 0, 1)])
    assert found.detectable == 1
    whole = comparison.Comparison(
        "one@1", "other@2", JUDGE, Rate(0.75, 0, 1, 4), Rate(0.25, 0, 1, 4), found, (), 0, 0
    )
    print_comparison(whole, 10)
    said = " ".join(capsys.readouterr().out.split())
    assert "so few cannot be relied on to notice any true difference" in said
    assert "100%" not in said


# ── two audits ───────────────────────────────────────────────────────────────────────────────────


def test_two_models_are_compared_on_shared_pairs_and_seeds(store):
    found = comparison.compare(*sides(store))
    assert (found.first, found.second, found.checker) == (BROAD, NARROW, JUDGE)
    # four of each pair: COKE gggg against g+g+, ROSES ++++ against refusals
    assert found.difference.pairs == 1
    assert (found.difference.only_first, found.difference.only_second) == (0, 2)
    assert (found.unpaired, found.not_shared) == (4, 1)


def test_pairs_that_disagree_name_the_files_of_both_pictures(store):
    (row,) = comparison.compare(*sides(store)).discordant
    assert row.pair == COKE
    assert len(row.only_second) == 2
    assert not row.only_first
    assert all(name.endswith(".webp") for name in chain.from_iterable(row.only_second))


def test_an_audit_against_itself_differs_nowhere(store):
    side = comparison.audited(store, "broad")
    found = comparison.compare(side, side)
    assert found.difference.value == 0
    assert not found.discordant


def test_an_audit_is_found_by_model_store_or_both(folder, store):
    with comparison.opened(["broad", f"{folder}::narrow"], store) as found:
        assert [one.model for one in found] == [BROAD, NARROW]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("wide", "no model"), ("@", "several models")],
)
def test_a_model_that_is_not_there_or_not_alone_is_named(store, name, sentence):
    with pytest.raises(UnknownNameError, match=sentence):
        comparison.audited(store, name)


@pytest.mark.parametrize(("name", "found"), [("cup", [0]), ("style", [1]), ("c", [0, 1])])
def test_a_base_is_told_from_what_is_laid_over_it(name, found):
    known = ["cup@1", "cup@1+style@2:1"]
    assert comparison.matching(known, name) == [known[number] for number in found]


def test_without_a_store_a_name_must_be_a_folder():
    with pytest.raises(UnknownNameError, match="no store"), comparison.opened(["nowhere"], None):
        pass


# ── gates ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.01, 0.2, Ruling.PASS),
        (0.21, 0.4, Ruling.FAIL),
        (0.2, 0.4, Ruling.UNDECIDED),
        (0.1, 0.3, Ruling.UNDECIDED),
    ],
)
def test_the_interval_decides_not_the_point(low, high, expected):
    assert judge.ruling(low, high, 0.2) is expected


def test_wrong_pictures_are_what_is_left_of_right_ones():
    assert judge.failing(Rate(0.75, 0.5, 1.0, 8)) == Rate(0.25, 0.0, 0.5, 8)


def test_enough_pairs_would_settle_an_open_gate():
    # a half width of 0.1 has to shrink to 0.05: four times the pairs
    assert judge.pairs_needed(40, 0.25, 0.15, 0.35, 0.3) == 160
    assert judge.pairs_needed(40, 0.3, 0.2, 0.4, 0.3) is None


def test_a_limit_far_above_what_was_measured_passes(store):
    found = gate.examine(comparison.audited(store, "broad"), max_rate=1.0)
    assert (found.ruling, found.exit_code) == (Ruling.PASS, 0)


def test_few_pairs_cannot_tell_and_say_how_many_could(store):
    found = gate.examine(comparison.audited(store, "broad"), max_rate=0.4)
    assert (found.ruling, found.exit_code) == (Ruling.UNDECIDED, 3)
    assert "pairs of this kind would settle it" in found.conditions[0].sentence


def test_fail_weighs_more_than_cannot_tell_than_pass():
    def with_rulings(*rulings):
        conditions = tuple(
            gate.Condition("c", ruling, Rate(0.1, 0, 0.2, 9), 3, 0.2, "s") for ruling in rulings
        )
        return gate.Gate("m", "c", conditions)

    assert with_rulings(Ruling.PASS, Ruling.UNDECIDED, Ruling.FAIL).exit_code == 1
    assert with_rulings(Ruling.PASS, Ruling.UNDECIDED).exit_code == 3
    assert gate.worst([with_rulings(Ruling.PASS), with_rulings(Ruling.UNDECIDED)]) == 3
    assert gate.worst([with_rulings(Ruling.UNDECIDED), with_rulings(Ruling.FAIL)]) == 1


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [({}, "needs a limit"), ({"max_rate": 1.5}, "--max-rate is 1.5"), ({"max_rate": -1}, "share")],
)
def test_a_gate_without_a_sensible_limit_says_so(store, asked, sentence):
    with pytest.raises(ConfigError, match=sentence):
        gate.examine(comparison.audited(store, "broad"), **asked)


def test_a_reference_without_a_common_picture_is_refused(store):
    stranger, model = sides(store)
    lonely = comparison.Audited(store, "nobody@0", JUDGE, 4)
    with pytest.raises(ConfigError, match="no scored pair in common"):
        gate.examine(model, reference=lonely)
    assert gate.examine(model, reference=stranger).conditions[0].pairs == 1


def test_junit_shows_neither_a_failed_nor_an_open_gate_as_passed(store, tmp_path):
    side = comparison.audited(store, "broad")
    conditions = [gate.examine(side, max_rate=limit) for limit in (0.4, 1.0, 0.0)]
    assert [one.exit_code for one in conditions] == [3, 0, 1]
    write_junit(conditions, tmp_path / "gate.xml")
    root = ET.parse(tmp_path / "gate.xml").getroot()
    cases = root.findall(".//testcase")
    for element in (root, *root.findall("testsuite")):  # each reader trusts one of them
        counted = {name: element.get(name) for name in ("skipped", "failures", "errors")}
        inside = [case for case in cases if element is root or case in element]
        assert counted == {
            "skipped": "0",
            "failures": str(sum(case.find("failure") is not None for case in inside)),
            "errors": str(sum(case.find("error") is not None for case in inside)),
        }
    assert [[found.tag for found in case] for case in cases] == [
        ["error"],
        ["system-out"],
        ["failure"],
    ]
    assert "cannot tell" in cases[0].find("error").get("message")


def test_a_summary_holds_no_markup_from_names(store):
    hostile = gate.Gate("a|b <img src=x> [x](http://evil.example)", JUDGE, ())
    text = markdown([hostile])
    assert "\\<img" in text
    assert "\\[x\\]" in text


# ── the command line ─────────────────────────────────────────────────────────────────────────────


def test_compare_says_who_is_better(folder, lcmis):
    code, out, _ = lcmis("compare", "broad", "narrow", "--store", folder)
    assert code == 0
    assert "No difference can be told" in out
    assert ROSES.prompt not in out
    assert COKE.prompt in out


def test_compare_as_json_names_the_pictures(folder, lcmis):
    code, out, _ = lcmis("compare", f"{folder}::broad", f"{folder}::narrow", "--json")
    found = json.loads(out)
    assert (code, found["difference"]["only_second"]) == (0, 2)
    assert found["discordant"][0]["only_second"][0][0].endswith(".webp")


@pytest.mark.parametrize(("limit", "code"), [(1.0, 0), (0.4, 3), (0.0, 1)])
def test_the_gate_speaks_by_its_exit_code(folder, lcmis, limit, code, tmp_path):
    summary = tmp_path / "summary.md"
    found, out, _ = lcmis(
        "gate", "broad", "--max-rate", limit, "--store", folder, "--summary", summary
    )
    assert found == code
    assert ("PASS", "FAIL", "", "CANNOT TELL")[code] in out
    assert "95 % interval" in summary.read_text()


@pytest.mark.parametrize("flag", ["--junit", "--summary"])
def test_a_gate_that_cannot_write_is_the_users_mistake_and_no_failed_model(
    lcmis, folder, tmp_path, flag
):
    words = ("gate", "broad", "--max-rate", 1, "--store", folder, flag, tmp_path / "none" / "x")
    code, _, errors = lcmis(*words)
    assert code == 2
    assert "cannot be written" in errors


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["gate", "broad"], "needs a limit"),
        (["gate", "nobody", "--max-rate", "0.2"], "no model"),
        (["compare", "broad", "/nowhere/at/all"], "no model"),
    ],
)
def test_what_cannot_be_gated_or_compared_is_one_sentence(folder, lcmis, words, sentence):
    code, out, errors = lcmis(*words, "--store", folder)
    assert (code, out) == (2, "")
    assert sentence in errors
    assert errors.count("\n") == 1


# ── one way of drawing ───────────────────────────────────────────────────────────────────────────

H100, A100 = (f"cuda-bfloat16-b4 on NVIDIA {name}" for name in ("H100", "A100"))


def drawn_on(store, model, profiles, right=0.9):
    """A picture of one pair for each profile and seed, all of them right or all wrong."""
    one = facts.make_pair()
    store.add_pairs([one])
    asked = facts.questions_of(one)
    for profile, seeds in profiles.items():
        for seed in seeds:
            spec = replace(facts.make_spec(one, seed, model), profile=profile)
            store.add_renders([facts.make_drawn(one, spec)])
            store.add_scores(
                [
                    Score(spec.key, facts.CHECKER, asked[kind].key, Answer(right))
                    for kind in (QuestionKind.A_PRESENT, QuestionKind.B_PRESENT)
                ],
                asked.values(),
            )


def compared(store):
    return comparison.compare(
        *(comparison.Audited(store, name, facts.CHECKER, 20) for name in ("m@1", "n@1"))
    )


def test_each_seed_counts_once_though_it_was_drawn_in_two_ways(tmp_path):
    with Store(tmp_path / "audit", create=True) as store:
        drawn_on(store, "m@1", {H100: range(8), A100: range(6)})
        drawn_on(store, "n@1", {H100: range(8)}, right=0.1)
        found = compared(store)
        assert found.difference.pictures == 8
        assert found.notes == ()
        sides = comparison.Audited(store, "m@1", facts.CHECKER, 20)
        assert comparison.right_rate(sides)[0].total == 8


def test_pictures_of_two_devices_are_never_compared_without_a_word(tmp_path, lcmis):
    with Store(tmp_path / "audit", create=True) as store:
        drawn_on(store, "m@1", {H100: range(8)})
        drawn_on(store, "n@1", {A100: range(8)}, right=0.1)
        (note,) = compared(store).notes
    assert note == (
        "m@1 was drawn on cuda-bfloat16 on NVIDIA H100, n@1 on cuda-bfloat16 on NVIDIA A100: part "
        "of a difference may be theirs"
    )
    code, out, err = lcmis(
        "compare", "m@1", "n@1", "--store", tmp_path / "audit", "--checker", facts.CHECKER
    )
    assert (code, err) == (0, "")
    assert note in " ".join(out.split())


def test_a_model_drawn_in_several_ways_is_told_so(tmp_path):
    other = facts.make_pair("wine glass", "milk")
    with Store(tmp_path / "audit", create=True) as store:
        for model in ("m@1", "n@1"):
            drawn_on(store, model, {H100: range(8)})
        store.add_pairs([other])
        for model, profile in (("m@1", A100), ("n@1", H100)):
            for seed in range(4):
                spec = replace(facts.make_spec(other, seed, model), profile=profile)
                store.add_renders([facts.make_drawn(other, spec)])
                said, asked = facts.answer_all(spec, other, random.Random(0))
                store.add_scores(said, asked)
        assert compared(store).notes == (
            f"the pictures of m@1 were drawn in 2 ways: 8 of {H100}, 4 of {A100}",
        )


def test_batches_of_another_shape_are_no_other_device(tmp_path):
    with Store(tmp_path / "audit", create=True) as store:
        drawn_on(store, "m@1", {H100: range(4)})
        drawn_on(store, "n@1", {H100.replace("-b4", "-b8"): range(4)})
        assert compared(store).notes == ()
