"""A whole grid answered at once, and disagreements settled: the page, keys, and what is kept."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from worlds import pages, small_store
from worlds.small_store import BROAD, COKE, JUDGE, SECOND, make_spec

import said  # isort: skip
from lcmis.findings import calibration, labels
from lcmis.store import Store
from lcmis.types import Label

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

HAS_A, HAS_B, *_ = small_store.questions_of(COKE)
FIRST, SECOND_ONE = (make_spec(COKE, BROAD, seed).key for seed in (0, 1))


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_store.fill(tmp_path_factory.mktemp("many") / "audit")


@pytest.fixture
def folder(untouched: Path, tmp_path: Path) -> Path:
    return shutil.copytree(untouched, tmp_path / "audit")


def given(answer: str, rater: str, render: str = FIRST, *, unasked: bool = False) -> Label:
    return Label(render, HAS_A.key, answer, rater, labels.now(), unasked)


# ── what is kept ─────────────────────────────────────────────────────────────────────────────────


def test_a_grid_is_kept_whole_or_not_at_all_and_never_twice(folder: Path) -> None:
    places = said.Places(str(folder), "", (), may_write=True)
    word = {"rater": "ann", "question": HAS_A.key, "answers": {FIRST: "yes", SECOND_ONE: "no"}}
    with pytest.raises(said.ConfigError, match="the answer is 'maybe'"):
        said.keep_answers(places, word | {"answers": {FIRST: "yes", SECOND_ONE: "maybe"}})
    with pytest.raises(said.UnknownNameError):
        said.keep_answers(places, word | {"answers": {FIRST: "yes", "k1:none": "no"}})
    with pytest.raises(said.ConfigError, match="no answers"):
        said.keep_answers(places, word | {"answers": {}})
    with Store(folder) as store:
        assert store.labels() == []
        store.add_labels([given("no", "ann")])  # in another window, meanwhile
    assert said.keep_answers(places, word) == 1
    assert said.keep_answers(places, word) == 0
    with Store(folder) as store:
        kept = {(one.render, one.answer) for one in store.labels()}
    assert kept == {(FIRST, "no"), (SECOND_ONE, "no")}


def test_a_settled_disagreement_decides_and_speaks_for_no_rater(folder: Path) -> None:
    with Store(folder) as store:
        store.add_labels([given("yes", "ann"), given("no", "bob"), given("yes", "ann", SECOND_ONE)])
        (one,) = labels.disagreements(labels.readings(store.labels()))
        assert (one.said, one.settled) == ((("ann", "yes"), ("bob", "no")), "")
        found = labels.readings(store.labels())
        assert (FIRST, HAS_A.key) not in labels.truths(found), "a tie decides nothing"
        store.add_labels([labels.settling(one, "no", "eve")])
        found = labels.readings(store.labels())
        assert labels.truths(found) == {(FIRST, HAS_A.key): "no", (SECOND_ONE, HAS_A.key): "yes"}
        (again,) = labels.disagreements(found)
        assert (again.settled, again.settled_by) == ("no", "eve")
        known = calibration.audited(store, [JUDGE, SECOND])
        told = calibration.find_labels(known, store.labels(), store.question)
        assert [one.rater for one in told.raters] == ["ann", "bob"]
        store.add_labels([labels.settling(one, "unsure", "eve")])
        assert (FIRST, HAS_A.key) not in labels.truths(labels.readings(store.labels()))


def test_what_nobody_asked_for_mends_no_rate(folder: Path) -> None:
    with Store(folder) as store:
        known = calibration.audited(store, [JUDGE, SECOND])
        store.add_labels([given("no", "ann"), given("no", "ann", SECOND_ONE, unasked=True)])
        found = calibration.find_labels(known, store.labels(), store.question)
        assert found.pictures == 1
        whole = found.calibration(JUDGE)
        assert whole is not None
        assert whole.labels == 1


# ── the page ─────────────────────────────────────────────────────────────────────────────────────


def test_disagreements_are_settled_on_one_screen(folder: Path) -> None:
    with Store(folder) as store:
        store.add_labels([given("yes", "ann"), given("no", "bob")])
    app = pages.opened(folder, "many", rater="eve", tab="Settle")
    assert "Are you eve?" in pages.said(app), "a name in an address is nobody's word"
    next(one for one in app.button if one.label == "Label as eve").click().run()
    assert "ann: Yes · bob: No" in pages.said(app)
    button = next(one for one in app.button if one.label == "No")
    button.click().run()
    assert not app.exception
    assert "Nothing to settle: 1 disagreement settled" in pages.said(app)
    with Store(folder, read_only=True) as store:
        assert store.labels()[-1].rater == "settled by eve"


@pytest.fixture(scope="module")
def address(
    untouched: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    folder = shutil.copytree(untouched, tmp_path_factory.mktemp("served") / "audit")
    with pages.served(folder) as url:
        yield url, folder


def test_a_grid_is_answered_by_clicks_and_keys_and_kept_by_its_button(
    address: tuple[str, Path],
) -> None:
    url, folder = address
    with pages.started() as browser, pages.visited(browser, url) as page:
        page.goto("/many?rater=ann")
        pages.settled(page, "Label many")
        page.get_by_role("button", name="Label as ann").click()
        cards = page.locator("[data-lcmis-answering] .lcmis-card")
        cards.first.wait_for()
        assert page.get_by_role("textbox").count() == 0, "no field takes the keys"
        shown = [one.get_attribute("data-picture") for one in cards.all()]
        assert page.get_by_text("vqa:judge says").count() == 0, "nothing of the checker is told"
        assert page.get_by_role("button", name="No answers yet").is_disabled()
        cards.nth(0).click()
        cards.nth(0).click()
        cards.nth(1).focus()
        page.keyboard.press("u")
        page.keyboard.press("y")
        with page.expect_response("**/answers"):
            page.get_by_role("button", name="Keep these 3 answers").click()
        page.locator("[data-answer]").first.wait_for(state="detached")
        with Store(folder, read_only=True) as store:
            kept = {one.render: one.answer for one in store.labels()}
        assert [kept[key] for key in shown[:3]] == ["no", "unsure", "yes"]
        assert set(kept) == set(shown[:3]), "what nobody answered is not kept"
        left = [one.get_attribute("data-picture") for one in cards.all()]
        asked = page.locator("[data-lcmis-answering]").get_attribute("data-lcmis-answering")
        cards.nth(0).click()
        page.get_by_role("button", name="All others: no").click()
        with page.expect_response("**/answers"):
            page.get_by_role("button", name=f"Keep these {len(left)} answers").click()
        page.locator("[data-answer]").first.wait_for(state="detached")
        with Store(folder, read_only=True) as store:
            kept = {one.render: one.answer for one in store.labels() if one.question == asked}
        assert [kept[key] for key in left] == ["yes", *["no"] * (len(left) - 1)]
        axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
        page.wait_for_selector(pages.STILL)
        faults = axe.run(page).response["violations"]
        assert [(one["id"], [x["html"][:160] for x in one["nodes"]]) for one in faults] == []
