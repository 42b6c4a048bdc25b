"""On the pages: what a checker was asked and said, and pictures that checkers see differently."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from worlds import judged_store, pages
from worlds.judged_store import PICTURE, THOUGHT
from worlds.pages import settled
from worlds.small_store import COKE, SECOND

from lcmis.store import Store

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

RECORD = f"/picture?pair={quote(COKE.key)}&picture={quote(PICTURE.key)}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return judged_store.fill(tmp_path_factory.mktemp("judged"))


@pytest.mark.parametrize("width", [1400, 390], ids=["desk", "phone"])
def test_any_answer_opens_to_what_was_asked_and_said(
    browser: playwright.Browser, address: str, width: int
) -> None:
    """At a desk and on a phone, without a link that anybody wrote and nothing wider than it."""
    with pages.visited(browser, address, viewport={"width": width, "height": 900}) as page:
        page.goto(RECORD)
        page.get_by_text("What each was asked, and what it said").wait_for()
        assert page.get_by_text(THOUGHT).count() == 0
        page.locator("details summary", has_text="org/thinks").first.click()
        said = page.locator("[data-testid=stCode]")
        for text in ("of 4 replies, of 5 asked for", THOUGHT, "I will not judge this"):
            said.filter(has_text=text).first.wait_for()
        assert page.locator("a[href*='evil']").count() == 0
        page.locator("details summary", has_text="vqa:local").first.click()
        said.filter(has_text='Does this image show "tea cup"? Answer yes or no.').nth(1).wait_for()
        said.filter(has_text="D. none of these").nth(1).wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_pictures_that_checkers_see_differently_are_a_filter_in_the_address(
    browser: playwright.Browser, address: str, folder: Path
) -> None:
    with Store(folder, read_only=True) as store:
        judged = {item.seed for item in store.evidence(SECOND, pair=COKE.key) if item.scored}
    assert len(judged) > len(judged_store.SEEDS)
    with pages.visited(browser, address) as page:
        page.goto(f"/pair?pair={quote(COKE.key)}&show=checkers+differ&checker={quote(SECOND)}")
        settled(page, COKE.prompt)
        records = page.get_by_test_id("stPageLink").get_by_role("link", name="seed")
        records.first.wait_for()
        playwright.expect(records).to_have_count(len(judged_store.SEEDS), timeout=pages.PATIENCE)
