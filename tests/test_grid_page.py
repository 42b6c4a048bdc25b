"""The page with every picture: filters and orders as columns, and the page in a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest
from worlds import pages, repair_store, small_store
from worlds.small_store import BROAD, COKE, JUDGE, NARROW, ROSES, SECOND, STRANGE, make_spec

import choosing  # isort: skip
import lightbox  # isort: skip
import opinions  # isort: skip
from choosing import People, Wanted  # isort: skip
from lcmis.findings import calibration, labels, notes
from lcmis.store import Store
from lcmis.types import About, Label, Note, NoteKind, Verdict

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

HAS_A, HAS_B, *_ = small_store.questions_of(COKE)


def key(seed: int, model: str = BROAD) -> str:
    return make_spec(COKE, model, seed).key


def noted(text: str, kind: NoteKind, seed: int) -> Note:
    return Note(About.PICTURE, key(seed), kind, text, "ann", f"2026-11-21T03:00:0{seed}Z")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = repair_store.fill(tmp_path_factory.mktemp("grid") / "audit")
    with Store(folder) as store:
        store.add_notes(
            [
                noted("", NoteKind.STAR, 1),
                noted("vessel", NoteKind.TAG, 1),
                noted("vessel", NoteKind.TAG, 2),
                noted("a Glass <b>of</b> coke", NoteKind.COMMENT, 2),
            ]
        )
        for seed, rater, answer in (
            (0, "ann", "yes"),
            (0, "bob", "no"),
            (1, "ann", "yes"),
            (2, "ann", "no"),
        ):
            store.add_labels([Label(key(seed), HAS_A.key, answer, rater, labels.now())])
        store.add_labels([Label(key(1), HAS_B.key, "yes", "ann", labels.now())])
    return folder


@pytest.fixture(scope="module")
def table(folder: Path) -> pd.DataFrame:
    with Store(folder, read_only=True) as store:
        return opinions.judged(opinions.gather(store.evidence_table(JUDGE)), 0.5)


@pytest.fixture(scope="module")
def people(folder: Path) -> People:
    with Store(folder, read_only=True) as store:
        found = labels.readings(store.labels())
        truth = calibration.Truths(found, store.question)
        told = {(one.render, COKE.key): truth.of(one.render, COKE) for one in found}
        return People(
            right={place: one.right for place, one in told.items()},
            seen={place: (one.a, one.b) for place, one in told.items()},
            disputed=choosing.disputed(labels.disagreements(found)),
            noted=notes.noted(store.notes()),
        )


PAIRS = {pair.key: pair for pair in (COKE, ROSES, STRANGE)}


def seeds(table: pd.DataFrame, people: People, **wanted: object) -> list[tuple[str, int]]:
    """Model and seed of what passes, of the first pair alone unless words say otherwise."""
    asked = Wanted(**{"text": "iced coke", **wanted})
    rows = choosing.chosen(table, asked, PAIRS, people, threshold=0.5)
    return list(zip(table["model"].iloc[rows].str[:1], table["seed"].iloc[rows], strict=True))


# ── filters ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"models": (NARROW,)}, "n0 n1 n2 n3"),
        ({"verdicts": ("aligned",)}, "n1 n3"),
        ({"verdicts": ("aligned", "unscored")}, "b7 n1 n3"),
        ({"intruders": ("mug",)}, "b4"),
        ({"intruders": ("glass", "mug"), "models": (BROAD,)}, "b0 b1 b2 b3 b4 b5"),
        ({"text": "COKE cup", "models": (NARROW,)}, "n0 n1 n2 n3"),
        ({"text": "coke teapot"}, ""),
        ({"patterns": ("plant and wrong vessel",)}, ""),
        ({"low": 0.2, "high": 0.3}, "b4 b6"),
        ({"low": 0.8}, "n1 n3"),
        ({"labels": "labelled"}, "b0 b1 b2"),
        ({"labels": "unlabelled", "models": (BROAD,)}, "b3 b4 b5 b6 b7"),
        ({"labels": "right"}, "b1"),
        ({"labels": "wrong"}, "b2"),
        ({"labels": "mistaken"}, "b1"),
        ({"labels": "disputed"}, "b0"),
        ({"tags": ("vessel",)}, "b1 b2"),
        ({"tags": ("vessel", "other")}, ""),
        ({"starred": True}, "b1"),
        ({"commented": True}, "b2"),
        ({"said": "glass <B>"}, "b2"),
        ({"said": "cup"}, ""),
    ],
)
def test_a_filter_passes_exactly_what_it_names(
    table: pd.DataFrame, people: People, wanted: dict[str, object], found: str
) -> None:
    assert " ".join(f"{model}{seed}" for model, seed in seeds(table, people, **wanted)) == found


def test_the_orders_are_by_the_thing_that_is_shown_less(
    table: pd.DataFrame, people: People
) -> None:
    scores = choosing.worse(table)
    last = len(table) - int(np.isnan(scores).sum())
    for order, wanted in (
        ("worst", lambda values: values),
        ("best", lambda values: -values),
        ("near", lambda values: np.abs(values - 0.5)),
    ):
        rows = choosing.chosen(table, Wanted(order=order), PAIRS, people, threshold=0.5)
        assert sorted(rows) == list(range(len(table)))
        ordered = wanted(scores[rows[:last]])
        assert (np.diff(ordered) >= 0).all()
        assert np.isnan(scores[rows[last:]]).all(), "what has no score comes last"


def test_what_a_label_is_worth_orders_every_picture_once(folder: Path) -> None:
    with Store(folder, read_only=True) as store:
        known = calibration.audited(store, [JUDGE, SECOND])
    order = calibration.by_worth(known.cards)
    assert sorted(order.values()) == list(range(len(known.cards)))
    first = next(place for place, number in order.items() if number == 0)
    kinds = known.cards.strata_of([first[0]])
    sizes = known.cards.sizes
    best = max(sizes, key=lambda kind: calibration.judge.worth(sizes[kind], 0, 0, kind=kind))
    assert kinds[first] == best


def test_a_page_begins_with_the_picture_of_its_address_wherever_that_lies_now() -> None:
    keys = ["x", "y", "z"]
    assert [choosing.start(keys, one) for one in ("", "y", "z", "gone")] == [0, 1, 2, 0]


def test_pictures_of_repairs_and_controls_are_there_and_make_no_rate(folder: Path) -> None:
    with Store(folder, read_only=True) as store:
        whole = store.evidence_table(JUDGE)
    both, others = opinions.gather(whole), opinions.gather_others(whole)
    assert len(both) + len(others) == len(whole)
    assert set(others["kind"]) == {"repair", "control"}
    assert others["model"][others["kind"] == "control"].unique().tolist() == ["control@blank"]


def test_the_columns_say_what_the_formulas_say_of_who_came_instead(table: pd.DataFrame) -> None:
    instead = opinions.painted_instead(table, PAIRS)
    for row, picture in table.iterrows():
        pair = PAIRS[picture["pair_key"]]
        named = {
            str(picture[f"intruder_{side.value}"])
            for side in choosing.lacking(Verdict(picture["verdict"]))
            if picture[f"intruder_{side.value}"] not in (pair.concept(side).name, "none of these")
            and isinstance(picture[f"intruder_{side.value}"], str)
        }
        assert set(instead.loc[instead["row"] == row, "painted"]) == named - {""}


# ── the page ─────────────────────────────────────────────────────────────────────────────────────


def shown(app: AppTest) -> list[str]:
    """What stands on the cards."""
    html = " ".join(one.value for one in app.get("html") if "lcmis-grid" in one.value)
    return html.split("<li>")[1:]


def opened(folder: Path, **query: str) -> AppTest:
    return pages.opened(folder, "grid", **query)


def test_every_picture_of_the_audit_is_a_card_with_its_words(folder: Path) -> None:
    cards = shown(opened(folder))
    assert len(cards) == 28
    (starred,) = (card for card in cards if "★" in card)
    assert key(1) in starred
    assert "#vessel" in starred
    assert "no tea cup, glass instead" in starred
    (refused,) = (card for card in cards if "lcmis-none" in card and "broad, seed 3" in card)
    assert "Refused by the model: unsafe, says the filter" in refused
    assert not any("<img src=//evil" in card for card in cards)


def test_the_address_filters(folder: Path) -> None:
    app = opened(folder, labels="the checker is wrong")
    assert [key(1) in card for card in shown(app)] == [True]
    assert "1 picture, of 28, that pass" in pages.said(app)
    assert shown(opened(folder, words="nowhere")) == []
    app = opened(folder, of="every picture", order="what a label is worth")
    assert len(shown(app)) == 60
    assert "worth a label: number 1<" in shown(app)[0]


def test_a_page_of_sixty_goes_on_where_it_ended(folder: Path) -> None:
    app = opened(folder, of="every picture")
    first = shown(app)
    app.button(key="after-above").click().run()
    assert not app.exception
    assert len(shown(app)) == 2
    assert not set(first) & set(shown(app))


def test_a_picture_that_vanishes_is_a_sentence_on_its_card(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "audit")
    with Store(copy, read_only=True) as store:
        store.image_path(store.render(key(4))[1].sha256).unlink()
    missing = [card for card in shown(opened(copy)) if "file of this picture is missing" in card]
    assert any(key(4) in card for card in missing)


def test_texts_of_a_card_are_never_read_as_html() -> None:
    card = lightbox.Card('k"><script>', "0" * 64, '"><img src=x>', ("<b>",), marks="<i>")
    html = lightbox.cards([card])
    assert "<b>" not in html
    assert "<i>" not in html
    assert "<script>" not in html
    assert html.count("<img") == 1


def test_a_word_on_a_pair_is_kept_from_its_page_and_what_is_none_is_a_sentence(
    folder: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(folder, tmp_path / "audit")
    app = pages.opened(copy, "pair", pair=ROSES.key)
    app.session_state[f"words-{ROSES.key}"] = True
    app.run()
    app.text_input(key=f"comment {ROSES.key}").set_value("never <b>a vase</b>")
    keep = next(one for one in app.button if one.label == "Keep")
    keep.click().run()
    assert "needs the name" in app.error[0].value
    app.text_input(key=f"name {ROSES.key}").set_value("ann")
    app.toggle(key=f"star {ROSES.key}").set_value(True)
    next(one for one in app.button if one.label == "Keep").click().run()
    assert not app.exception
    assert not app.error
    with Store(copy, read_only=True) as store:
        found = notes.noted_on(store, About.PAIR, ROSES.key)
    assert [one.text for one in found.comments] == ["never <b>a vase</b>"]
    assert found.stars == ("ann",)


# ── in a browser ─────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def page(browser: playwright.Browser, address: str) -> Iterator[playwright.Page]:
    with pages.visited(browser, address) as visitor:
        visitor.goto("/grid")
        pages.settled(visitor, "Grid")
        visitor.locator(".lcmis-card").nth(27).wait_for()
        visitor.wait_for_function("document.querySelector('.lcmis-grid')?.dataset.sized")
        yield visitor


def test_the_slider_sizes_at_once_and_no_small_copy_is_stretched(page: playwright.Page) -> None:
    image = page.locator(".lcmis-card img").first
    assert "/thumbnail/" in (image.get_attribute("src") or "")
    slider = page.get_by_role("slider", name="Size")
    slider.fill("600")
    page.wait_for_function("document.querySelector('.lcmis-card')?.clientWidth > 500")
    assert "/picture/" in (image.get_attribute("src") or "")
    page.reload()
    pages.settled(page, "Grid")
    page.wait_for_function("document.querySelector('.lcmis-card')?.clientWidth > 500")
    slider.fill("80")
    page.wait_for_function("document.querySelector('.lcmis-card')?.clientWidth < 100")


def test_enter_opens_a_card_and_a_star_shows_on_it_at_once(
    page: playwright.Page, folder: Path
) -> None:
    card = page.locator(f'[data-picture="{key(3)}"]')
    card.focus()
    page.keyboard.press("Enter")
    page.locator(".lcmis-about").get_by_text("broad, seed 3").wait_for()
    page.keyboard.press("s")
    page.keyboard.type("eve")
    page.keyboard.press("Enter")
    page.keyboard.press("s")
    page.get_by_role("button", name="starred").wait_for()
    page.keyboard.press("Escape")
    page.locator("dialog").wait_for(state="hidden")
    assert card.locator(".lcmis-marks").inner_text() == "★"
    assert page.evaluate("document.activeElement.dataset.picture") == key(3)
    with Store(folder, read_only=True) as store:
        assert notes.noted_on(store, About.PICTURE, key(3)).stars == ("eve",)


def test_the_grid_has_no_fault_of_accessibility(page: playwright.Page) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.get_by_text("More filters").click()
    page.get_by_text("Words in a comment").wait_for()
    faults = axe.run(page).response["violations"]
    assert [(fault["id"], [one["html"][:200] for one in fault["nodes"]]) for fault in faults] == []
