"""What a detector found, on the page of a picture: computed, drawn, and seen in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from worlds import pages, small_store
from worlds.pages import opened, said, settled
from worlds.small_store import BROAD, COKE, make_spec

from lcmis.check import questions_of
from lcmis.store import Store
from lcmis.types import NONE_OF_THESE, Answer, Box, Question, QuestionKind, Score

import boxes  # isort: skip

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

OWL, DINO = "detect:owlv2@1+r1-none0.1", "detect:grounding-dino@2+r1-none0.25"
SPEC = make_spec(COKE, BROAD, 0)
CUP = Box(0.125, 0.25, 0.625, 0.75, 'teacup <img src="http://evil.example/x.png">')
DRINK = Box(0.5, 0.9, 0.75, 1.0, "iced coke")
GLASS = Box(0.1, 0.1, 0.9, 0.9, "glass")
A, B, _, CHOICE = questions_of(COKE)


def score(question: Question, answer: Answer, checker: str = OWL) -> tuple[Question, Score]:
    return question, Score(SPEC.key, checker, question.key, answer)


def chosen(**shares: float) -> list[tuple[Question, Score]]:
    """A choice with these shares; none of these has what is left, and no box."""
    shown = [option for option in CHOICE.options if option != NONE_OF_THESE]
    return [
        score(CHOICE, Answer(shares.get(option.replace(" ", "_"), 0.0), option, box=GLASS))
        for option in shown
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = small_store.fill(tmp_path_factory.mktemp("boxed"))
    with Store(folder) as store:
        said = [score(A, Answer(0.62, box=CUP)), score(B, Answer(0.2, box=DRINK))]
        said += [score(A, Answer(0.9, box=GLASS), DINO)]
        store.add_scores([one for _, one in said], {question for question, _ in said})
    return folder


# ── computed ─────────────────────────────────────────────────────────────────────────────────────


def test_frames_are_of_both_concepts_dashed_below_the_threshold() -> None:
    said = [score(A, Answer(0.62, box=CUP)), score(B, Answer(0.2, box=DRINK))]
    first, second = boxes.frames(said, 0.5)
    assert (first.box, first.is_sure, first.label) == (CUP, True, f"{CUP.words} 62 %")
    assert (second.box, second.is_sure, second.label) == (DRINK, False, "iced coke 20 %")
    assert first.colour != second.colour


def test_what_stands_in_a_concepts_place_is_framed_only_if_it_won() -> None:
    asked, suspect = COKE.a.name.replace(" ", "_"), COKE.intruders[0].concept.name
    key = suspect.replace(" ", "_")
    for shares, framed in (
        ({asked: 0.5, key: 0.3}, []),
        ({asked: 0.3, key: 0.5}, ["glass instead"]),
        ({asked: 0.2, key: 0.3}, []),  # none of these has 0.5
    ):
        assert [frame.label for frame in boxes.frames(chosen(**shares), 0.5)] == framed


def test_answers_without_boxes_and_abstentions_are_not_framed() -> None:
    likeness = Question(QuestionKind.LIKENESS, "tea cup")
    said = [
        score(A, Answer(0.9)),
        score(B, Answer(None, reason="not finite")),
        score(likeness, Answer(0.3, box=CUP)),
    ]
    assert boxes.frames(said, 0.5) == []


# ── drawn ────────────────────────────────────────────────────────────────────────────────────────


def test_the_page_of_a_picture_without_detectors_has_no_frames(folder: Path) -> None:
    other = make_spec(COKE, BROAD, 1)
    app = opened(folder, "picture", picture=other.key, pair=COKE.key)
    assert not app.toggle
    assert "Show what a detector found" not in said(app)


# ── seen ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def page(folder: Path) -> Iterator[playwright.Page]:
    with (
        pages.served(folder) as address,
        pages.started() as browser,
        pages.visited(browser, address) as visitor,
    ):
        visitor.goto(f"/picture?picture={quote(SPEC.key)}&pair={quote(COKE.key)}")
        settled(visitor, "What the checkers say")
        yield visitor


def test_frames_lie_where_the_detector_found_things(page: playwright.Page) -> None:
    picture = page.locator("img[alt*='found:']")
    picture.wait_for()
    page.wait_for_function("[...document.images].every(i => i.naturalWidth > 0)")
    outer, *inner = page.evaluate(  # at one moment: what comes above them moves them down
        """[...document.querySelectorAll("img[alt*='found:'], .lcmis-box")]
               .map(e => e.getBoundingClientRect()).map(({x, y, width, height}) =>
                   ({x, y, width, height}))"""
    )
    assert len(inner) == 2
    for frame, box in zip(inner, (CUP, DRINK), strict=True):
        assert frame["x"] == pytest.approx(outer["x"] + box.left * outer["width"], abs=2)
        assert frame["y"] == pytest.approx(outer["y"] + box.top * outer["height"], abs=2)
        assert frame["width"] == pytest.approx((box.right - box.left) * outer["width"], abs=2)
        assert frame["height"] == pytest.approx((box.bottom - box.top) * outer["height"], abs=2)
    frames = page.locator(".lcmis-box")
    styles = [
        frames.nth(place).evaluate("e => getComputedStyle(e).borderStyle") for place in (0, 1)
    ]
    assert styles == ["solid", "dashed"]


def test_words_of_a_detector_are_read_as_words(page: playwright.Page) -> None:
    """The visitor's fixture also fails if anything foreign was asked for."""
    assert page.locator(".lcmis-box").first.inner_text() == f"{CUP.words} 62 %"
    assert page.locator(".lcmis-box img").count() == 0


def test_another_detector_is_chosen_and_frames_can_be_taken_away(page: playwright.Page) -> None:
    page.get_by_role("radio", name="grounding-dino").or_(
        page.get_by_role("button", name="grounding-dino")
    ).first.click()
    page.wait_for_function("document.querySelectorAll('.lcmis-box').length === 1")
    page.get_by_text("Show what a detector found").click()
    page.wait_for_function("document.querySelectorAll('.lcmis-box').length === 0")
