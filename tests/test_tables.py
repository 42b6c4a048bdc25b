"""What the terminal shows, at 80 and at 40 columns: no number cut, no line too long."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text
from worlds import repair_store, small_store, toys
from worlds.small_store import BROAD, COKE, JUDGE, ROSES

from lcmis import findings, judge
from lcmis.audit.proposals import ProposeResult, RoundResult
from lcmis.audit.run import Audit
from lcmis.cli import terminal
from lcmis.cli.terminal import evolution, gates, labels, proposals, repairs
from lcmis.cli.terminal.plugins import print_plugins
from lcmis.cli.terminal.tables import Column, Grid, one_below_the_other, rate_cell
from lcmis.errors import UnknownNameError
from lcmis.findings import calibration, comparison, gate, words
from lcmis.findings.labels import readings
from lcmis.judge import Decision
from lcmis.plugins.registry import describe
from lcmis.propose.rounds import Dropped, FoundBy, Kind, Measured, Proposal, Round
from lcmis.repair.certify import Certify
from lcmis.repair.evolve import EvolveResult
from lcmis.repair.methods.bigpe import Evolution, Instruction, Value
from lcmis.store import Store
from lcmis.types import Rate, Verdict

WIDTHS = (80, 40)
TO_BE_COPIED = (
    "Next:",
    "Written to ",
    "2 new pairs by",
    "      lcmis ",
    "         picture  ",
    "             key  ",
)
"""Lines that are never broken begin so."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The small store with repairs and labels."""
    made = repair_store.fill(tmp_path_factory.mktemp("tables") / "audit")
    repair_store.label(made)
    return made


@pytest.fixture
def store(folder):
    with Store(folder, read_only=True) as opened:
        yield opened


@pytest.fixture(params=WIDTHS)
def shown(request, monkeypatch):
    """Prints in so many columns; what stands there, a line an entry, none too long."""
    monkeypatch.setattr(terminal.console, "width", request.param)

    def lines(printed, *arguments, **named):
        with terminal.console.capture() as caught:
            printed(*arguments, **named)
        said = [line.rstrip() for line in caught.get().splitlines()]
        to_read = [line for line in said if not line.startswith(TO_BE_COPIED)]
        assert [line for line in to_read if cell_len(line) > request.param] == []
        return said

    return lines


def whole(lines, *said):
    """Everything that was said stands in one line, unbroken."""
    for one in said:
        assert any(str(one) in line for line in lines), (one, lines)


def drawn(grid, width):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(grid)
    return [line.rstrip() for line in console.export_text().splitlines()]


# ── the shape ────────────────────────────────────────────────────────────────────────────────────

CELLS = st.lists(
    st.tuples(st.text("ab c", max_size=40), *[st.text("0123456789%", max_size=12)] * 3),
    min_size=1,
    max_size=4,
)
COLUMNS = (
    Column(name="prompt", wraps=True),
    Column(name="pictures right", right=True),
    Column(name="pictures", right=True, spare=1),
    Column(name="", style="bold"),
)


@given(CELLS, st.integers(20, 120))
def test_no_number_is_cut_and_no_line_too_long(rows, width):
    lines = drawn(Grid(COLUMNS, rows), width)
    assert max(map(cell_len, lines), default=0) <= width
    left_out = " ".join(lines).partition("columns left out")[2]
    for place, column in enumerate(COLUMNS[1:], 1):
        for row in rows:
            told = any(row[place] in line for line in lines)
            assert told or (column.name == "pictures" and left_out.endswith(": pictures "))


def test_what_matters_least_is_left_out_first_and_said():
    columns = (
        Column(name="pair"),
        Column(name="least", spare=2),
        Column(name="less", spare=1),
        Column(name="most"),
    )
    grid = Grid(columns, [("x" * 10, "2" * 10, "1" * 10, "0" * 10)])
    assert "left out" not in "".join(drawn(grid, 46))
    assert drawn(grid, 45)[-2:] == ["columns left out at 45: least", ""]
    assert " ".join(drawn(grid, 33)).endswith("columns left out at 33: least, less ")


def test_where_no_table_fits_a_row_is_a_block_with_everything():
    grid = Grid(COLUMNS, [("a cat", "12/20", "20", "fails")])
    assert drawn(grid, 22) == [
        "a cat",
        "  pictures right 12/20",
        "  pictures 20 · fails",
        "",
    ]


def test_a_column_in_which_nothing_stands_is_not_shown():
    grid = Grid((Column(name="a"), Column(name="b")), [("1", ""), ("2", "")])
    assert drawn(grid, 80)[0] == "a"


def test_a_cell_is_text_and_never_markup_and_shows_what_acts():
    (_, _, said, _) = drawn(Grid((Column(name="a"),), [("[red]\u202ex\x1b[31m",)]), 80)
    assert said == "[red][U+202E]x[U+001B][31m"


def test_a_long_text_loses_its_middle():
    column = Column(name="prompt", wraps=True, longest=21)
    said = drawn(Grid((column,), [("a photo of " + "x" * 99 + " on a table",)]), 80)[2]
    assert said.startswith("a photo of")
    assert said.endswith("on a table")
    assert "…" in said
    assert len(said) == 21


def test_rates_stand_with_their_signs_below_each_other():
    cells = [rate_cell(Rate(value, 0, 1, 4)).plain for value in (0.0, 0.42, 1.0)]
    assert {cell.index("%") for cell in cells} == {4}
    assert rate_cell(Rate(0, 0, 1, 0)).plain == "not judged"


def test_a_cell_of_several_lines_skips_the_empty_ones():
    assert one_below_the_other(("a", ""), ("", "red"), ("b\nc", "")) == Text("a\nb c")


# ── what is shown ────────────────────────────────────────────────────────────────────────────────


def test_every_pair_with_its_rate_and_verdict(store, shown):
    found = findings.look_up(store, None)
    lines = shown(terminal.print_found, found)
    assert len(found.pairs) > 3
    for one in found.pairs:
        judged = one.judgement
        whole(lines, words.rate(judged.aligned), words.decision(judged.failing))
        whole(lines, f"{judged.count(Verdict.ALIGNED)}/{judged.aligned.total}")
        if one.intruder:
            whole(lines, f"×{one.intruder.count}")


def test_one_pair_with_the_scores_of_every_picture(store, shown):
    found = findings.look_up(store, COKE.prompt)
    lines = shown(terminal.print_found, found)
    whole(lines, words.short_key(COKE.key))
    for one in found.findings:
        for item, verdict in zip(one.evidence, one.judgement.verdicts, strict=True):
            whole(lines, item.seed, words.verdict(verdict, COKE))
            whole(lines, words.score(item.a), words.score(item.b))
            key = words.short_key(item.spec_key)
            assert any(key in line for line in lines) or any("left out" in line for line in lines)


def test_one_picture_with_every_answer(store, shown):
    spec = small_store.make_spec(COKE, BROAD, 0)
    found = findings.look_up(store, words.short_key(spec.key))
    lines = shown(terminal.print_found, found)
    whole(lines, spec.key)
    for _, score in found.scores:
        whole(lines, words.score(score.answer.value), words.score(score.answer.mass))


def test_models_and_checkers(shown):
    for group in ("models", "checkers"):
        lines = shown(print_plugins, describe(group))
        whole(lines, *(entry.name for entry in describe(group)))


def test_two_models_side_by_side(store, shown):
    sides = [comparison.audited(store, name) for name in ("broad", "narrow")]
    found = comparison.compare(*sides)
    lines = shown(gates.print_comparison, found, 10)
    whole(lines, words.rate(found.first_right), words.rate(found.second_right))
    whole(lines, found.difference.only_first, found.difference.only_second)


def test_gates(store, shown):
    first, second = (comparison.audited(store, name) for name in ("broad", "narrow"))
    found = [gate.examine(first, max_rate=0.5), gate.examine(second, reference=first)]
    lines = shown(gates.print_gates, found)
    for one in found:
        whole(lines, str(one.ruling).upper(), *(condition.ruling for condition in one.conditions))


def test_who_labelled_and_what_it_says(store, shown):
    known = calibration.audited(store, [JUDGE], threshold=0.5, rule=None)
    found = calibration.find_labels(known, store.labels(), store.question)
    lines = shown(labels.print_calibration, found)
    judged = [one for one in found.calibrations if one.labels]
    assert judged
    for one in judged:
        whole(lines, one.kind.replace("_", " "), one.labels)
        for rate in (one.accuracy.sensitivity.rate, one.accuracy.specificity.rate):
            whole(lines, words.rate(rate) if rate.total else "")
    lines = shown(labels.print_labellers, readings(store.labels()))
    whole(lines, "anna")


# ── what is run ──────────────────────────────────────────────────────────────────────────────────

PAIRS = (toys.pair("rubine", "azure"), toys.pair("lime", "amber"))


@pytest.mark.usefixtures("toys")
def test_a_plan_and_an_audit(tmp_path, shown):
    config = _audited(tmp_path)
    with Store(config.store) as store:
        plans = Audit(config, store).plan()
        result = Audit(config, store).run("a test")
        lines = shown(terminal.print_plan, plans, config)
        whole(lines, *(number for plan in plans for number in (plan.pairs, plan.most)))
        lines = shown(terminal.print_result, result, config.store)
        for model in result.models:
            whole(lines, words.rate(model.aligned), len(model.decided(Decision.FAILS)))
            for one in model.pairs:
                whole(lines, words.rate(one.judgement.aligned))


@pytest.mark.usefixtures("toys")
def test_repairs_and_their_proofs(tmp_path, shown):
    config = _audited(tmp_path)
    result = _repaired(config)
    lines = shown(repairs.print_repairs, result, config.store)
    for item in result.pairs:
        _proof_is_whole(lines, item.certificate)
    with Store(config.store) as store:
        proofs = Certify(config, store, elsewhere=False).run("a proof")
    lines = shown(repairs.print_proofs, proofs)
    for one in proofs.proofs:
        _proof_is_whole(lines, one.certificate)


def _proof_is_whole(lines, proof):
    whole(lines, words.rate(proof.before), words.rate(proof.after), words.p_value(proof.anytime_p))
    whole(lines, f"level {proof.levels_before}", f"level {proof.levels_after}")
    whole(lines, "repaired" if proof.passed else "not repaired")


def _audited(folder):
    return toys.audited(folder, PAIRS, "deaf")


def _repaired(config):
    return toys.repair(config, method="rewrite", certificate=8)


# ── what is meant by words ───────────────────────────────────────────────────────────────────────


def test_words_find_pairs_by_prompt_and_concept(store):
    def prompts(what):
        found = findings.look_up(store, what)
        if isinstance(found, findings.OnePair):
            return {found.pair.prompt}
        return {one.pair.prompt for one in found.pairs}

    assert prompts("coke") == {COKE.prompt}
    assert prompts("TEA Coke") == {COKE.prompt}
    assert prompts("ros") == {ROSES.prompt}, "the beginning of a word"
    assert len(prompts("a")) > 1
    with pytest.raises(UnknownNameError, match="no pair in the store"):
        findings.look_up(store, "oke")
    with pytest.raises(UnknownNameError):
        findings.look_up(store, "coke roses")


def test_a_whole_prompt_means_its_pair_alone_and_a_key_is_never_taken_for_words(tmp_path):
    longer = dataclasses.replace(COKE, prompt=f"{COKE.prompt} again")
    small_store.fill(tmp_path)
    with Store(tmp_path) as store:
        store.add_pairs([longer, dataclasses.replace(COKE, prompt="deadbeef1 in a cup")])
        assert findings.look_up(store, COKE.prompt).pair == COKE
        assert findings.look_up(store, longer.prompt).findings == ()
        for pair in (COKE, longer):
            assert findings.look_up(store, words.short_key(pair.key)).pair == pair
        with pytest.raises(UnknownNameError):
            findings.look_up(store, "deadbeef1")


def test_rounds_of_proposals(shown):
    bad, good = (
        Proposal(COKE, FoundBy.EXPAND, 0.996, 1.0),
        Proposal(ROSES, FoundBy.IMITATE, 0.4, 0.5),
    )
    one = Round(1, (bad, good), (Dropped("x", "it is known"),), (Kind("new kind", "new"),), ())
    measured = ((bad, Measured(COKE, 1, 12)), (good, Measured(ROSES, 12, 12)))
    severe = judge.rate(1, 2)
    result = ProposeResult(
        "a writer", "proposed.toml", (RoundResult(one, measured, severe, -0.25),), severe, 9.0
    )
    lines = shown(proposals.print_proposals, result)
    whole(lines, words.rate(severe), "-0.25", "1/12", "99.6 %", "expand, round 1")


def test_an_evolution_of_instructions(shown):
    first = Instruction("say it plainly", "", "", Value(0.0, 0.1, -0.125, 0.125, 3, 12), ())
    best = Instruction("say how it looks " * 9, "", "", Value(0.5, 0.1, 0.375, 0.625, 3, 12), ())
    never = Instruction("say nothing", "", "", None, ())
    found = EvolveResult(
        evolution=Evolution(first, best, (first, best, never), ()),
        model=BROAD,
        text_model="a writer",
        guide="a guide",
        judge=JUDGE,
        subjects=(COKE,),
        held_out=(),
        plain=judge.rate(1, 12),
        first=judge.rate(3, 12),
        best=judge.rate(9, 12),
        difference=judge.paired_difference([judge.PairedCounts(3, 0, 6, 3)] * 4),
        drawn=1,
        seconds=1.0,
        failures=0,
    )
    lines = shown(evolution.print_evolved, found, Path("best.txt"))
    whole(lines, "+0.50 (+0.38 to +0.62)", "+0.00 (-0.12 to +0.12)", "not compared", "12")
    assert "3 instructions tried on 1 pair." in " ".join(lines)
