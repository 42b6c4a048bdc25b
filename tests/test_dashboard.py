"""What the dashboard shows, for every state that a store can be in."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.middleware import Middleware
from streamlit.testing.v1 import AppTest
from worlds import small_store
from worlds.pages import drawn, opened, unescaped
from worlds.small_store import (
    BROAD,
    COKE,
    HOSTILE,
    JUDGE,
    NARROW,
    ROSES,
    STRANGE,
    UNSEEN,
    make_spec,
)

from lcmis import findings, judge
from lcmis.export import report
from lcmis.findings import calibration, comparison
from lcmis.store import Store
from lcmis.store.columns import EvidenceTable
from lcmis.types import Exchange, Label, Run, Shift, Side, Verdict

import guard  # isort: skip
import looks  # isort: skip
import opinions  # isort: skip
import pictures  # isort: skip
import shots  # isort: skip

PAGES = ("overview", "pairs", "pair", "picture", "compare", "repairs", "label", "runs")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_store.fill(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def store(folder: Path) -> Iterator[Store]:
    with Store(folder, read_only=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small store; Ann sees in every picture what the checker sees."""
    folder = small_store.fill(tmp_path_factory.mktemp("labelled"))
    with Store(folder) as store:
        labels = [
            Label(
                picture.spec_key,
                question.key,
                "yes" if value >= 0.5 else "no",
                "ann",
                f"2026-11-21T03:00:{number:02}+00:00",
            )
            for number, picture in enumerate(store.evidence(JUDGE))
            if not picture.of_repair and not findings.is_control(picture.model)
            for question, value in zip(
                small_store.questions_of(store.pair(picture.pair_key)),
                (picture.a, picture.b),
                strict=False,
            )
            if value is not None
        ]
        store.add_labels(labels)
    return folder


@pytest.fixture(scope="session")
def evidence(store: Store) -> EvidenceTable:
    return store.evidence_table(JUDGE)


def sentences(app: AppTest) -> str:
    return " ".join(box.value for box in (*app.error, *app.info, *app.warning)).replace("\\", "")


def captions(app: AppTest) -> str:
    return " ".join(caption.value for caption in app.caption).replace("\\", "")


def table(app: AppTest, number: int = 0) -> pd.DataFrame:
    return app.dataframe[number].value


# ── opinions ─────────────────────────────────────────────────────────────────────────────────────

SCORES = st.none() | st.floats(0, 1)


def seen(scores: list[tuple[float | None, float | None, bool]]) -> EvidenceTable:
    """One pair's pictures with these scores of A and B, and whether they were refused."""
    size = len(scores)
    nothing, nobody = np.full(size, np.nan), np.full(size, -1)
    return EvidenceTable(
        pair_keys=("k",),
        models=("m",),
        options=(),
        spec_keys=np.array([f"s{number}" for number in range(size)], dtype=object),
        pair=np.zeros(size, dtype=np.int64),
        model=np.zeros(size, dtype=np.int64),
        seed=np.arange(size),
        staged=np.zeros(size, dtype=bool),
        refused=np.array([refused for *_, refused in scores]),
        scored=np.ones(size, dtype=bool),
        a=np.array([a for a, *_ in scores], dtype=np.float64),
        b=np.array([b for _, b, _ in scores], dtype=np.float64),
        relation=nothing,
        intruder_a=nobody,
        intruder_b=nobody,
        intruder_a_value=nothing,
        intruder_b_value=nothing,
    )


@given(
    scores=st.lists(st.tuples(SCORES, SCORES, st.booleans()), min_size=1),
    threshold=st.floats(0, 1),
)
def test_judging_whole_columns_agrees_with_judging_one_picture(
    scores: list[tuple[float | None, float | None, bool]], threshold: float
) -> None:
    found = opinions.verdicts(opinions.gather(seen(scores)), threshold)
    expected = [
        judge.verdict(a, b, threshold_a=threshold, threshold_b=threshold, refused=refused)
        for a, b, refused in scores
    ]
    assert list(found) == [verdict.value for verdict in expected]


@pytest.mark.parametrize("threshold", [0.15, 0.5, 0.85])
@pytest.mark.parametrize("rule", [None, judge.Sprt(), judge.FixedN(8)])
def test_a_row_of_the_table_is_what_the_command_line_finds_of_the_pair(
    store: Store, evidence: EvidenceTable, threshold: float, rule: judge.StoppingRule | None
) -> None:
    pairs = {pair.key: pair for pair in store.pairs()}
    table = opinions.by_pair(
        opinions.judged(opinions.gather(evidence), threshold), pairs, rule
    ).set_index(["pair_key", "model"])
    found = findings.find_pairs(store, JUDGE, rule=rule, threshold=threshold)
    assert len(table) == len(found) == 5
    for finding in found:
        row, judgement = table.loc[finding.pair.key, finding.model], finding.judgement
        assert [row[kind.value] for kind in Verdict] == [judgement.count(kind) for kind in Verdict]
        assert row["intruder"] == finding.painted_instead
        assert row["scored"] == judgement.aligned.total
        assert row["decision"] == judgement.failing.value
        if judgement.aligned.total:
            assert (row["rate"], row["low"], row["high"]) == (
                judgement.aligned.value,
                judgement.aligned.low,
                judgement.aligned.high,
            )
            assert row["levels"] == str(judgement.levels)
        else:
            assert np.isnan(row["rate"])
            assert row["levels"] == ""


@pytest.mark.parametrize("rule", [None, judge.Sprt(), judge.FixedN(8), judge.Curtailed(8)])
def test_pairs_that_surely_fail_are_those_of_the_command_line(
    store: Store, evidence: EvidenceTable, rule: judge.StoppingRule | None
) -> None:
    pairs = {pair.key: pair for pair in store.pairs()}
    table = opinions.by_pair(opinions.judged(opinions.gather(evidence), 0.5), pairs, rule)
    counted = opinions.surely_failing(table, rule).set_index("model")
    for model in (BROAD, NARROW):
        known = findings.find_pairs(store, JUDGE, rule=rule, model=model)
        (found,) = findings.find_models(store, {model: known}, [JUDGE], rule=rule)
        assert counted.loc[model].to_dict() == {
            "failing": len(found.decided(judge.Decision.FAILS)),
            "surely": found.num_surely_failing,
            "looked_at": found.num_looked_at,
        }


def test_pairs_are_listed_in_the_order_of_the_command_line(
    store: Store, evidence: EvidenceTable
) -> None:
    pairs = {pair.key: pair for pair in store.pairs()}
    table = opinions.by_pair(opinions.judged(opinions.gather(evidence), 0.5), pairs, None)
    found = [f for f in findings.find_pairs(store, JUDGE) if f.judgement.aligned.total]
    listed = list(zip(table["pair_key"], table["model"], strict=True))
    assert listed[: len(found)] == [(f.pair.key, f.model) for f in found]
    assert listed[-1] == (ROSES.key, NARROW), "a pair with refusals alone comes last"


@pytest.mark.parametrize("rule", [judge.Sprt(block=4), judge.FixedN(6, block=4), None])
def test_the_rate_of_a_model_is_that_of_the_first_pictures_clustered_by_pair(
    store: Store, evidence: EvidenceTable, rule: judge.StoppingRule | None
) -> None:
    table = opinions.by_model(opinions.judged(opinions.gather(evidence), 0.5), rule)
    for row in table.itertuples():
        of_model = findings.find_pairs(store, JUDGE, rule=rule, model=row.model)
        expected = judge.fair_rate((f.judgement.verdicts for f in of_model), rule)
        assert (row.rate, row.low, row.high, row.counted) == (
            expected.value,
            expected.low,
            expected.high,
            expected.total,
        )
    assert list(table["model"]) == [BROAD, NARROW], "controls are no model"


@pytest.mark.parametrize("rule", [judge.Sprt(block=4), judge.FixedN(8, block=4), None])
def test_the_rate_that_labels_correct_is_the_one_that_is_shown(
    labelled: Path, rule: judge.StoppingRule | None
) -> None:
    with Store(labelled, read_only=True) as store:
        known = calibration.audited(store, [JUDGE], rule=rule)
        found = calibration.find_labels(known, store.labels(), store.question)
        judged = opinions.judged(opinions.gather(store.evidence_table(JUDGE)), 0.5)
    models = opinions.by_model(judged, rule)
    table = opinions.beside_labels(models, found.rates).set_index(["model", "by"])
    for one in found.rates:
        raw = table.loc[one.model, opinions.BY_CHECKER]
        assert raw["counted"] == one.raw.total
        if one.raw.total:
            assert (raw["rate"], raw["low"], raw["high"]) == (
                one.raw.value,
                one.raw.low,
                one.raw.high,
            )
        assert ((one.model, opinions.BY_LABELS) in table.index) == (one.corrected is not None)
        if one.corrected is not None:
            beside = table.loc[one.model, opinions.BY_LABELS]
            assert (beside["rate"], beside["low"], beside["high"]) == (
                one.corrected.value,
                one.corrected.low,
                one.corrected.high,
            )
    assert any(one.corrected is not None for one in found.rates)


def test_a_pair_with_too_few_pictures_is_left_out_of_a_models_rate_and_counted(
    evidence: EvidenceTable,
) -> None:
    judged = opinions.judged(opinions.gather(evidence), 0.5)
    table = opinions.by_model(judged, judge.FixedN(8, block=8)).set_index("model")
    assert table.loc[BROAD, "left_out"] == 1
    assert table.loc[NARROW, "left_out"] == 2
    assert np.isnan(table.loc[NARROW, "rate"])


def test_what_is_painted_instead_counts_only_pictures_that_lack_it(
    store: Store, evidence: EvidenceTable
) -> None:
    pairs = {pair.key: pair for pair in store.pairs()}
    found = opinions.drawn_instead(opinions.judged(opinions.gather(evidence), 0.5), pairs)
    rows = found.set_index(["asked", "painted"])["pictures"].to_dict()
    assert rows["tea cup", "glass"] == 5 + 2
    assert rows["tea cup", "mug"] == 1
    assert rows["tea cup", opinions.NOT_NAMED] == 1, "none of these names nobody"
    assert ("pot", "pot") not in rows


def test_filters_narrow_the_table_and_every_word_must_be_there(
    store: Store, evidence: EvidenceTable
) -> None:
    pairs = {pair.key: pair for pair in store.pairs()}
    table = opinions.by_pair(opinions.judged(opinions.gather(evidence), 0.5), pairs, None)
    assert set(opinions.chosen(table, text="COKE tea")["pair_key"]) == {COKE.key}
    assert opinions.chosen(table, text="coke roses").empty
    assert set(opinions.chosen(table, text="glass")["pair_key"]) == {COKE.key}, "an intruder's name"
    assert set(opinions.chosen(table, patterns=[ROSES.pattern])["pair_key"]) == {ROSES.key}
    assert set(opinions.chosen(table, models=[NARROW])["model"]) == {NARROW}
    worst = set(opinions.chosen(table, levels=[5], models=[BROAD])["pair_key"])
    assert COKE.key in worst
    assert ROSES.key not in worst
    assert ROSES.key in set(opinions.chosen(table, levels=[1], models=[BROAD])["pair_key"])


@given(st.text())
def test_escaped_text_has_no_sign_that_markdown_would_read(text: str) -> None:
    assert not re.search(r"(?<!\\)(?:\\\\)*[*_`\[\]()<>!#$:~|&/.@]", looks.plain(text))
    assert "\n" not in looks.plain(text)


def test_marks_that_turn_or_hide_text_are_spelled_out_and_long_text_stays_whole() -> None:
    shown = looks.plain(f"evil\u202egnp.exe\u2066 \u200b\x1b[31m{'long ' * 1000}end")
    assert shown.replace("\\", "") == (
        f"evil[U+202E]gnp.exe[U+2066] [U+200B][U+001B][31m{'long ' * 1000}end"
    )


# ── pages ────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("empty")
    Store(folder, create=True).close()
    return folder


@pytest.fixture(scope="module", params=["9999", "0000"])
def other_schema(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> tuple[Path, str]:
    """A store whose schema claims another revision, and what to do about it."""
    folder = small_store.fill(tmp_path_factory.mktemp("other"))
    with closing(sqlite3.connect(folder / "facts.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = ?", (request.param,))
    return folder, {"9999": "newer lcmis", "0000": "`lcmis db upgrade`"}[request.param]


@pytest.fixture(scope="module")
def unchecked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose pictures no checker has seen."""
    return small_store.fill(tmp_path_factory.mktemp("unchecked"), scored=False, runs=False)


@pytest.mark.parametrize("page", PAGES)
def test_every_page_says_that_an_empty_store_is_empty_and_what_to_do(
    empty: Path, page: str
) -> None:
    assert "empty. Run `lcmis audit`" in sentences(opened(empty, page))


@pytest.mark.parametrize("page", PAGES)
def test_every_page_says_what_to_do_with_another_schema(
    other_schema: tuple[Path, str], page: str
) -> None:
    folder, sentence = other_schema
    app = opened(folder, page)
    assert sentence in sentences(app)
    assert len(app.error) == 1


@pytest.mark.parametrize("page", PAGES)
def test_every_page_says_that_a_file_is_no_database(tmp_path: Path, page: str) -> None:
    (tmp_path / "facts.db").write_bytes(b"no database at all" * 100)
    assert "not a database" in sentences(opened(tmp_path, page))


def test_a_store_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert str(tmp_path / "nowhere") in sentences(opened(tmp_path / "nowhere"))


def test_without_a_store_the_dashboard_says_how_to_name_one() -> None:
    assert "lcmis dashboard" in sentences(opened(""))


def test_the_overview_answers_in_the_words_of_the_report_and_leads_to_the_pairs(
    folder: Path, store: Store
) -> None:
    app = opened(folder)
    told = unescaped(" ".join(text.value for text in app.markdown)).replace("**", "")
    for pieces in report.gather(store).in_short:
        assert " ".join(piece.text for piece in pieces) in told
    links = {(link.proto.label, link.proto.query_string) for link in app.get("page_link")}
    assert ("1 pair that fails", f"models={quote(BROAD, safe='')}&verdict=fails") in links
    assert not app.error


def test_the_overview_tells_both_counts_of_pictures_and_that_an_error_is_no_verdict(
    folder: Path,
) -> None:
    told = captions(opened(folder))
    assert "3 pairs, 2 models, 28 pictures; 2 more belong to repairs and controls" in told
    assert "21 are judged, 5 were refused; 1 error." in told
    assert "failure" not in told


def test_the_overview_shows_the_worst_pairs_and_of_each_kind_how_many_fail(folder: Path) -> None:
    app = opened(folder)
    shown = " ".join(element.proto.body for element in app.get("html"))
    assert shown.count(f"{COKE.prompt}: wrong") == 1
    assert shown.count(f"{COKE.prompt}: right") == 1
    kinds = next(frame.value for frame in app.dataframe if "kind" in frame.value)
    assert kinds.to_dict("records")[0] == {
        "kind": COKE.pattern, "broad": "1 of 1 pair", "narrow": "0 of 1 pair"
    }  # fmt: skip


def test_the_health_of_a_checker_says_how_many_labels_are_lacking(folder: Path) -> None:
    app = opened(folder)
    health = next(frame.value for frame in app.dataframe if "Test" in frame.value)
    assert dict(health.iloc[:, :2].itertuples(index=False))["Labelled pictures"] == "0 of 50"
    assert "Against second" in " ".join(health["Test"]).replace("clip:", "")


def rates_of(app: AppTest) -> pd.DataFrame:
    charts = {chart.proto.alt: chart.proto for chart in app.get("vega_lite_chart")}
    (drawn,) = charts["Rate and interval of every model"].datasets
    return pa.ipc.open_stream(drawn.data.data).read_pandas()


def test_the_overview_is_silent_of_what_too_few_labels_say(labelled: Path) -> None:
    app = opened(labelled)
    assert set(rates_of(app)["by"]) == {opinions.BY_CHECKER}
    assert "21 pictures labelled by people: from 50 on" in captions(app)
    assert "coin" not in captions(app)
    health = next(frame.value for frame in app.dataframe if "Test" in frame.value)
    rows = dict(health.iloc[:, :2].itertuples(index=False))
    assert rows["Labelled pictures"] == "21 of 50"
    assert "Sees what is there" not in rows


def test_the_overview_shows_the_rate_that_labels_leave_beside_the_raw_one(
    labelled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge, "FEW_LABELS", 21)
    app = opened(labelled)
    assert not app.error
    rates = rates_of(app)
    assert list(zip(rates["name"], rates["by"], strict=True)) == [
        ("broad", opinions.BY_CHECKER),
        ("narrow", opinions.BY_CHECKER),
        ("broad", opinions.BY_LABELS),
        ("narrow", opinions.BY_LABELS),
    ]
    assert rates["high"].iloc[-1] - rates["low"].iloc[-1] > 0.9, "four pictures of one pair"
    health = next(frame.value for frame in app.dataframe if "Test" in frame.value)
    rows = dict(health.iloc[:, :2].itertuples(index=False))
    assert rows["Sees what is there"].startswith("100\u00a0%")


def test_the_table_of_pairs_begins_with_the_worst(folder: Path) -> None:
    shown = table(opened(folder, "pairs"))
    assert shown["prompt"].iloc[0] == COKE.prompt
    assert shown["intruder"].iloc[0] == "glass in 5 of 7"
    assert list(shown["rate"].dropna()) == sorted(shown["rate"].dropna())


def test_filters_come_from_the_address(folder: Path) -> None:
    app = opened(folder, "pairs", words="roses")
    assert set(table(app)["prompt"]) == {ROSES.prompt}
    app.text_input(key="words").set_value("coke").run()
    assert set(table(app)["prompt"]) == {COKE.prompt}
    app.text_input(key="words").set_value("nothing like it").run()
    assert "No pair passes these filters" in sentences(app)


def test_another_threshold_changes_every_verdict_at_once(folder: Path) -> None:
    app = opened(folder, "pairs", words="coke")
    before = table(app)["rate"].to_numpy()
    app.slider(key="threshold").set_value(0.05).run()
    assert (table(app)["rate"].to_numpy() == 100).all()
    assert (before < 100).all()


def test_another_checker_judges_when_the_address_says_so(folder: Path) -> None:
    app = opened(folder, "pairs")
    assert app.selectbox(key="checker").value == JUDGE, "the one that decided the audit"
    app.selectbox(key="checker").set_value(small_store.SECOND).run()
    assert not table(app).empty


def test_a_pair_shows_its_pictures_with_verdict_scores_and_intruder(folder: Path) -> None:
    app = opened(folder, "pair", pair=COKE.key)
    assert app.title[0].value == looks.plain(COKE.prompt)
    cards = [text.value for text in app.markdown if "-badge[" in text.value]
    assert any(":small[looks like glass **70\u00a0%**]" in text for text in cards)
    assert sum(":small[tea cup **" in text for text in cards) == 8 + 4
    assert not app.error


def test_a_pair_without_pictures_says_so(folder: Path) -> None:
    assert "No picture was painted for this pair" in sentences(
        opened(folder, "pair", pair=UNSEEN.key)
    )


def test_without_a_pair_in_the_address_the_worst_one_opens(folder: Path) -> None:
    app = opened(folder, "pair")
    assert app.title[0].value == looks.plain(COKE.prompt)


def test_why_begins_with_the_answers_that_decide(store: Store) -> None:
    said = store.scores(make_spec(COKE, BROAD, 0).key)
    first = shots.deciding(said, JUDGE, 0.5)
    assert [(asked.kind.value, score.answer.option) for asked, score in first] == [
        ("a_present", ""),
        ("intruder_a", "glass"),
        ("b_present", ""),
    ]
    assert {score.checker for _, score in first} == {JUDGE}
    sure = shots.deciding(said, JUDGE, 0.05)
    assert [asked.kind.value for asked, _ in sure] == ["a_present", "b_present"]


def test_the_things_of_a_pair_stand_in_the_order_of_the_prompt() -> None:
    turned = dataclasses.replace(COKE, prompt="iced coke in a tea cup")
    assert [turned.concept(side).name for side in looks.as_asked(turned)] == [
        "iced coke",
        "tea cup",
    ]
    assert looks.as_asked(COKE) == (Side.A, Side.B)
    unnamed = dataclasses.replace(COKE, prompt="a cold drink")
    assert looks.as_asked(unnamed) == (Side.A, Side.B)


def test_what_is_missing_is_not_asked_for_while_an_audit_writes(tmp_path: Path) -> None:
    small_store.fill(tmp_path)
    assert "If an audit still runs" in sentences(opened(tmp_path, "pair", pair=UNSEEN.key))
    for name in ("facts.db", "facts.db-wal"):
        if (tmp_path / name).exists():
            os.utime(tmp_path / name, (1, 1))
    assert "Run `lcmis audit`" in sentences(opened(tmp_path, "pair", pair=UNSEEN.key))


@pytest.mark.parametrize(
    ("page", "name"), [("pair", "pair"), ("picture", "picture"), ("picture", "pair")]
)
def test_an_unknown_name_in_the_address_is_a_sentence(folder: Path, page: str, name: str) -> None:
    app = opened(folder, page, **{name: "k1:nobody"})
    assert len(app.error) == 1
    assert "k1:nobody" in sentences(app) or "names no picture" in sentences(app)


def test_a_picture_shows_every_answer_its_recipe_and_how_to_paint_it_again(folder: Path) -> None:
    spec = make_spec(COKE, BROAD, 7)
    app = opened(folder, "picture", picture=spec.key)
    answers, recipe = table(app, 0), table(app, 1)
    assert len(answers) == 2 * (3 + 4)
    assert set(answers["reason"]) == {"", "no answer"}
    assert dict(recipe.itertuples(index=False))["Seed"] == "7"
    assert any(code.value == f"lcmis replay {spec.key}" for code in app.code)


def test_a_repaired_picture_shows_its_stages(folder: Path, store: Store) -> None:
    staged = next(e for e in store.evidence(JUDGE) if e.staged)
    app = opened(folder, "picture", picture=staged.spec_key)
    assert "Prompt until 50 % of the steps" in set(table(app, 1)["What"])


def test_a_refused_picture_gives_the_reason(folder: Path) -> None:
    spec = make_spec(ROSES, NARROW, 0)
    app = opened(folder, "picture", picture=spec.key)
    assert "unsafe, says the filter" in captions(app)
    assert "No checker" not in sentences(app)


def test_a_missing_picture_file_is_a_sentence(tmp_path: Path) -> None:
    small_store.fill(tmp_path)
    for path in (tmp_path / "pictures").rglob("*.webp"):
        path.unlink()
    app = opened(tmp_path, "pair", pair=COKE.key)
    assert any("file of this picture is missing" in caption.value for caption in app.caption)
    spec = make_spec(COKE, BROAD, 0)
    assert "file of this picture is missing" in captions(
        opened(tmp_path, "picture", picture=spec.key)
    )


@pytest.mark.parametrize("page", PAGES)
def test_pictures_that_nobody_checked_are_shown_without_rates(unchecked: Path, page: str) -> None:
    spec = make_spec(COKE, BROAD, 0)
    app = opened(unchecked, page, picture=spec.key, pair=COKE.key)
    assert "No checker has looked at the pictures" in sentences(app)
    assert not app.error


@pytest.mark.parametrize("page", PAGES)
def test_foreign_text_is_shown_letter_for_letter(folder: Path, page: str) -> None:
    spec = make_spec(STRANGE, BROAD, 0)
    app = opened(folder, page, pair=STRANGE.key, picture=spec.key)
    drawn = [*app.markdown, *app.caption, *app.title, *app.header, *app.error, *app.warning]
    for element in drawn:
        assert not re.search(r"(?<!\\)\]\(|(?<!\\)<img|(?<!\\)\*bold", element.value)
    if page in ("pair", "picture"):
        assert app.title[0].value == looks.plain(STRANGE.prompt)
        assert HOSTILE in unescaped(app.title[0].value)


# ── filters, comparisons, runs ───────────────────────────────────────────────────────────────────


def judged_by(store: Store, checker: str, model: str = "") -> pd.DataFrame:
    found = opinions.judged(opinions.gather(store.evidence_table(checker)), 0.5)
    return found[found["model"] == model] if model else found


def test_a_comparison_of_columns_is_that_of_the_command_line(store: Store) -> None:
    sides = [comparison.audited(store, model, JUDGE) for model in (BROAD, NARROW)]
    expected = comparison.compare(*sides)
    table, not_shared, unpaired = opinions.paired(
        judged_by(store, JUDGE, BROAD), judged_by(store, JUDGE, NARROW), prefix=sides[0].prefix
    )
    counts = opinions.paired_counts(table)
    assert (not_shared, unpaired) == (expected.not_shared, expected.unpaired) == (1, 4)
    assert opinions.difference(counts) == expected.difference
    rows = counts.set_index("pair_key")
    for one in expected.discordant:
        assert tuple(rows.loc[one.pair.key, ["first", "second"]]) == (
            one.counts.first,
            one.counts.second,
        )
    assert list(counts["gap"].abs()) == sorted(counts["gap"].abs(), reverse=True)


def test_checkers_that_say_the_same_agree_and_one_that_does_not_is_found(store: Store) -> None:
    ours, theirs = judged_by(store, JUDGE), judged_by(store, small_store.SECOND)
    assert opinions.agreement(ours, theirs).share.value == 1
    same = opinions.disagreements(ours, [theirs])
    assert same["disagree"].sum() == 0
    assert same["compared"].sum() == 21
    other = theirs.assign(verdict=theirs["verdict"].cat.codes)
    turned = theirs.copy()
    turned.loc[0, "verdict"] = "aligned"
    assert other["verdict"].iloc[0] != 0
    found = opinions.disagreements(ours, [theirs, turned])
    assert found["disagree"].tolist().count(1) == 1


def test_kinds_of_conflict_count_the_pairs_that_fail(store: Store) -> None:
    pairs = {pair.key: pair for pair in store.pairs()}
    table = opinions.by_pair(judged_by(store, JUDGE), pairs, judge.Sprt(block=4))
    found = opinions.failing_kinds(table).set_index(["pattern", "model"])
    known = findings.find_pairs(store, JUDGE, rule=judge.Sprt(block=4))
    for (pattern, model), row in found.iterrows():
        of_kind = [
            one
            for one in known
            if (one.pair.pattern, one.model) == (pattern, model) and one.judgement.aligned.total
        ]
        assert row["pairs"] == len(of_kind)
        fails = judge.Decision.FAILS
        assert row["fail"] == sum(one.judgement.failing is fails for one in of_kind)
    assert list(found["share"]) == sorted(found["share"], reverse=True)


def test_the_examples_of_a_pair_are_its_first_right_and_its_first_wrong_picture(
    store: Store,
) -> None:
    found = opinions.examples(judged_by(store, JUDGE)).set_index(["pair_key", "model"])
    row = found.loc[(COKE.key, NARROW)]
    assert (row["wrong"], row["right"]) == (
        make_spec(COKE, NARROW, 0).key,
        make_spec(COKE, NARROW, 1).key,
    )
    assert found.loc[(COKE.key, BROAD), "right"] == ""


def test_pairs_are_chosen_by_verdict_and_say_it_as_the_terminal_does(folder: Path) -> None:
    rows = table(opened(folder, "pairs"))
    said = dict(zip(zip(rows["prompt"], rows["name"], strict=True), rows["verdict"], strict=True))
    assert said[COKE.prompt, "broad"] == "fails"
    assert said[COKE.prompt, "narrow"] == "open"
    assert said[ROSES.prompt, "broad"] == "passes"
    fails = table(opened(folder, "pairs", verdict="fails"))
    assert set(fails["verdict"]) == {"fails"}
    missing = dict(zip(rows["prompt"], rows["missing"], strict=True))
    assert missing[ROSES.prompt] in ("no roses in 1", "")


def test_every_row_of_pairs_shows_a_wrong_and_a_right_picture_where_there_is_one(
    folder: Path,
) -> None:
    rows = table(opened(folder, "pairs", words="coke"))
    wrong, right = make_spec(COKE, BROAD, 0).key, make_spec(COKE, NARROW, 1).key
    of_broad = rows[rows["name"] == "broad"].iloc[0]
    assert of_broad["wrong"].endswith(f"/thumbnail/{wrong}.webp")
    assert of_broad["right"].endswith(f"/thumbnail/{right}.webp"), "another model's"
    assert fetched(folder, f"/thumbnail/{wrong}.webp")[0] == 200


def test_pairs_can_be_chosen_by_intruder_and_by_checkers(folder: Path) -> None:
    app = opened(folder, "pairs", intruders="glass")
    assert set(table(app)["prompt"]) == {COKE.prompt}
    app = opened(folder, "pairs", intruders="mug")
    assert list(table(app)["name"]) == ["broad"], "in one picture, and not the commonest"
    app = opened(folder, "pairs", checkers="agree")
    assert len(table(app)) == 4, "a pair of refusals alone was judged by nobody"
    assert set(table(app)["disagreement"]) <= {f"0 of {total}" for total in range(9)}
    assert "No pair passes" in sentences(opened(folder, "pairs", checkers="disagree"))
    app = opened(folder, "pairs", order="best first")
    assert list(table(app)["rate"].dropna()) == sorted(table(app)["rate"].dropna(), reverse=True)


def test_two_models_are_compared_with_the_largest_difference_first(folder: Path) -> None:
    app = opened(folder, "compare")
    figures = {metric.label: metric.value for metric in app.metric}
    assert figures["Pictures compared"] == "4"
    assert figures["Difference"] == "+50.0"
    assert list(table(app)["second"]) == [2]
    assert any("Nobody can tell yet" in text.value for text in app.markdown)
    shown = " ".join(element.proto.body for element in app.get("html"))
    assert shown.count('class="lcmis-divider"') == 2
    swapped = opened(folder, "compare", first="narrow", second="broad")
    assert {m.label: m.value for m in swapped.metric}["Difference"] == "-50.0"
    assert "Choose two different" in sentences(opened(folder, "compare", second="broad"))
    unknown = opened(folder, "compare", pair="k1:nobody")
    assert "No pair in the store is called" in sentences(unknown)


def test_an_audit_is_compared_with_another_that_was_named(folder: Path, tmp_path: Path) -> None:
    other = small_store.fill(tmp_path / "other")
    named = {"store": str(folder), "beside": [str(other)]}
    sides = {"first": f"broad in {folder.name}", "second": "broad in other"}
    app = drawn(named, "compare", **sides)
    assert "Both are right and wrong in the same places" in sentences(app)


def test_one_model_alone_is_told_how_to_get_another(tmp_path: Path) -> None:
    with Store(tmp_path, create=True) as new:
        new.add_pairs([COKE])
        small_store.add(new, COKE, make_spec(COKE, BROAD, 0), "+", scored=True)
    app = opened(tmp_path, "compare")
    assert "a comparison needs two" in sentences(app)
    for page in ("overview", "pairs", "pair", "runs"):
        assert not opened(tmp_path, page).error


def test_runs_show_what_is_decided_refused_and_broke(folder: Path) -> None:
    app = opened(folder, "runs")
    assert {m.label: m.value for m in app.metric}["Pictures"] == "30"
    decided = next(frame.value for frame in app.dataframe if "settled" in frame.value)
    assert list(decided["continue"] + decided["settled"] + decided["untouched"]) == [4, 4]
    failures = next(frame.value for frame in app.dataframe if "What happened" in frame.value)
    assert failures["What happened"].tolist() == [HOSTILE]
    refused = next(frame.value for frame in app.dataframe if "number" in frame.value)
    assert refused["number"].tolist() == [4, 1]


def test_what_text_models_said_is_listed_newest_first_and_as_text(tmp_path: Path) -> None:
    small_store.fill(tmp_path)
    with Store(tmp_path) as store:
        for number in range(35):
            store.add_exchange(
                Exchange(f"r{number}", "chat:m", (("user", HOSTILE),), f"reply {number}", "")
            )
    app = opened(tmp_path, "runs")
    said = next(frame.value for frame in app.dataframe if "Said" in frame.value)
    assert said["Said"].tolist() == [f"reply {number}" for number in range(34, 4, -1)]
    app = opened(tmp_path, "runs", exchanges="2")
    said = next(frame.value for frame in app.dataframe if "Said" in frame.value)
    assert said["Said"].tolist() == [f"reply {number}" for number in range(4, -1, -1)]


def test_money_is_the_price_times_the_pictures(tmp_path: Path) -> None:
    small_store.fill(tmp_path)
    settings = {**small_store.SETTINGS, "models": [{"name": "m", "hosted": {"price": 0.25}}]}
    with Store(tmp_path) as store:
        run = Run("r2", "2026-11-21T03:00:00Z", "lcmis audit", json.dumps(settings), "{}", "", "c")
        store.add_run(dataclasses.replace(run, models=(BROAD,)))
    app = opened(tmp_path, "runs")
    spent = next(frame.value for frame in app.dataframe if "Spent" in frame.value)
    assert spent["Spent"].tolist() == [20 * 0.25]


def shifts(run_id: str) -> list[Shift]:
    """Of two workers on two machines; the tenth has died once, and one worker draws here."""
    at = ["2026-11-21T03:01:00Z", "2026-11-21T03:02:00Z"]
    drew = [
        Shift(run_id, f"worker {number}", f"node-{number}", "H100", BROAD, moment, 60.0, 45.0, 30)
        for number in (2, 10)
        for moment in at
    ]
    judged = Shift(run_id, "worker 2", "node-2", "H100", "vqa:j@1", at[0], 60.0, 12.0, answers=90)
    died = Shift(run_id, "worker 10", "node-10", "H100", "", at[1], 0.0, 0.0, sentence=HOSTILE)
    failed = dataclasses.replace(drew[-1], busy=46.0, failures=2, log="/logs/worker-10.log")
    return [*drew[:-1], failed, judged, died]


def test_who_worked_in_a_run_and_what_it_cost_is_shown(tmp_path: Path) -> None:
    small_store.fill(tmp_path)
    settings = {**small_store.SETTINGS, "models": [{"name": "m", "hosted": {"price": 0.25}}]}
    with Store(tmp_path) as store:
        run = Run("r2", "2026-11-21T03:00:00Z", "lcmis audit", json.dumps(settings), "{}", "", "c")
        store.add_run(dataclasses.replace(run, models=(BROAD,)))
        store.add_many(shifts=shifts("r2"))
        store.add_many(shifts=shifts("r2"))  # a fact is kept once
    app = opened(tmp_path, "runs")
    told = {metric.label: (metric.value, metric.delta) for metric in app.metric}
    assert told["Workers"] == ("2", "2 machines")
    assert told["Pictures drawn"] == ("120", "90 answers")
    assert told["Device time"] == ("3 min", "80 % busy")
    assert (told["Failures"][0], told["Spent"][0]) == ("2", "30.00")
    table = next(frame.value for frame in app.dataframe if "Worker" in frame.value)
    assert table["Worker"].tolist() == ["worker 2", "worker 10"]
    assert table["Busy"].round(2).tolist() == [85.0, 75.83]
    assert table["A minute"].tolist() == [30.0, 30.0]
    assert table["What befell it"].tolist() == ["", HOSTILE]
    assert table["Log"].tolist() == ["", "/logs/worker-10.log"]
    every = next(frame.value for frame in app.dataframe if "Device time" in frame.value)
    assert every["Pictures"].tolist()[0] == 120
    assert every["Spent"].tolist()[0] == 30.0


def test_another_store_in_the_same_place_is_read_anew_and_one_that_went_is_told(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "audit"
    Store(folder, create=True).close()
    app = opened(folder)
    assert "empty" in sentences(app)
    shutil.rmtree(folder)
    assert "there is no audit" in sentences(app.run()).casefold()
    small_store.fill(folder)
    app.run()
    assert "3 pairs, 2 models" in captions(app)


def test_a_locked_store_is_a_sentence(tmp_path: Path) -> None:
    small_store.fill(tmp_path)
    with closing(sqlite3.connect(tmp_path / "facts.db", isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode=DELETE")
        other.execute("BEGIN EXCLUSIVE")
        assert "locked by another program" in sentences(opened(tmp_path))


# ── pictures ─────────────────────────────────────────────────────────────────────────────────────


def fetched(folder: Path, path: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of one request, the path sent as it is."""
    app = Starlette(routes=pictures.routes(str(folder)), middleware=[Middleware(guard.KeptAtHome)])
    got: list[Any] = []
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1")],
        "scheme": "http",
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
    }

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()  # the client sends nothing, and stays
        raise AssertionError

    async def send(message: Any) -> None:
        got.append(message)

    asyncio.run(app(scope, receive, send))
    headers = {name.decode(): value.decode() for name, value in got[0]["headers"]}
    return got[0]["status"], headers, b"".join(m.get("body", b"") for m in got[1:])


@pytest.mark.parametrize("kind", ["picture", "thumbnail"])
def test_a_picture_comes_by_its_hash_and_may_be_kept_for_ever(
    folder: Path, store: Store, kind: str
) -> None:
    sha256 = store.renders(limit=1)[0].render.sha256
    status, headers, body = fetched(folder, f"/{kind}/{sha256}.webp")
    assert status == 200
    assert headers["content-type"] == "image/webp"
    assert "immutable" in headers["cache-control"]
    assert "default-src 'self'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert body == store.image_path(sha256).read_bytes()


def test_a_thumbnail_of_a_large_picture_is_small(tmp_path: Path) -> None:
    large = tmp_path / "large.webp"
    small_store.make_picture(0).resize((1024, 768)).save(large, lossless=True)
    small = pictures.shrunk(large)
    assert small is not None
    assert len(small) < 20_000


@pytest.mark.parametrize("cut", [True, False])
def test_a_damaged_file_is_a_sentence_or_a_notice_in_its_place(tmp_path: Path, cut: bool) -> None:
    """Cut short it is known at once, otherwise when somebody looks at its pixels."""
    small_store.fill(tmp_path)
    spec = make_spec(COKE, BROAD, 0)
    with Store(tmp_path, read_only=True) as store:
        sha256 = store.render(spec.key)[1].sha256
        path = store.image_path(sha256)
    whole = path.read_bytes()
    path.write_bytes(whole[:40] if cut else whole[:12].ljust(len(whole), b"\0"))
    assert "file of this picture is damaged" in captions(
        opened(tmp_path, "picture", picture=spec.key)
    )
    told = captions(opened(tmp_path, "pair", pair=COKE.key))
    status, headers, body = fetched(tmp_path, f"/thumbnail/{sha256}.webp")
    assert (status, headers["content-type"]) == (422, "image/svg+xml")
    assert b"damaged" in body
    assert ("file of this picture is damaged" in told) == cut


def test_thumbnails_of_what_comes_next_are_made_ahead_unless_the_plan_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_store.fill(tmp_path)
    monkeypatch.setattr(pictures, "PAUSE_SECONDS", 0.05)
    pictures.shrunk.cache_clear()
    with Store(tmp_path, read_only=True) as store:
        pictures.shrink_ahead(store, [make_spec(COKE, BROAD, 0).key])
        pictures.shrink_ahead(store, [make_spec(ROSES, BROAD, seed).key for seed in (0, 1)])
        for _ in range(100):
            if pictures.shrunk.cache_info().currsize == 2:
                break
            time.sleep(0.05)
        assert pictures.shrunk.cache_info().misses == 2


@pytest.mark.parametrize(
    "name",
    [
        "../../facts.db",
        "..%2f..%2ffacts.db",
        "%2e%2e/%2e%2e/facts.db",
        "../facts.db",
        "/etc/passwd",
        "0" * 63,
        "0" * 65,
        "0" * 64,
        "A" * 64,
        "0" * 62 + "..",
        "0" * 64 + "/../../facts.db",
        "0" * 64 + "\n",
        "",
    ],
)
def test_nothing_but_a_hash_of_a_stored_picture_is_answered(folder: Path, name: str) -> None:
    for kind in ("picture", "thumbnail"):
        status, _, body = fetched(folder, f"/{kind}/{name}.webp")
        assert status == 404
        assert b"SQLite" not in body
