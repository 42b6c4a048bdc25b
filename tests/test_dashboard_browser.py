"""The dashboard in a real browser: pictures load, addresses work, nothing foreign is fetched."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from worlds import pages, repair_store, small_store
from worlds.pages import PATIENCE, STILL, settled
from worlds.repair_store import SHOUT
from worlds.small_store import BROAD, COKE, JUDGE, ROSES, STRANGE, make_spec

from lcmis import findings
from lcmis.export.repaired import repaired_prompt
from lcmis.store import Store
from lcmis.types import Label

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

Ask = Callable[[str], "playwright.Page"]
LOADED = "[...document.images].every(i => i.naturalWidth > 0)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small store with repairs; nobody writes to it."""
    return repair_store.fill(tmp_path_factory.mktemp("served"))


@pytest.fixture
def page(browser: playwright.Browser, address: str) -> Iterator[playwright.Page]:
    with pages.visited(browser, address) as visitor:
        yield visitor


def record(page: playwright.Page, seed: int) -> playwright.Locator:
    """The ways to the records of the pictures of a seed."""
    return page.get_by_test_id("stPageLink").get_by_role("link", name=f"seed {seed}")


def test_the_overview_draws_its_charts(page: playwright.Page) -> None:
    page.goto("/")
    settled(page, "Overview")
    page.get_by_text("Where these numbers come from").wait_for()
    page.locator("[data-testid=stVegaLiteChart] canvas, [data-testid=stVegaLiteChart] svg").nth(
        1
    ).wait_for()


def test_the_pair_of_the_address_shows_every_picture(page: playwright.Page) -> None:
    page.goto(f"/pair?pair={quote(COKE.key)}")
    settled(page, COKE.prompt)
    page.wait_for_function(f"document.images.length >= 12 && {LOADED}")


def test_a_picture_opens_its_record_and_the_way_back_leads_to_the_pair(
    page: playwright.Page,
) -> None:
    page.goto(f"/pair?pair={quote(COKE.key)}&checker=vqa%3Ajudge")
    settled(page, COKE.prompt)
    record(page, 5).first.click()
    page.get_by_text("How it was painted").wait_for()
    spec = make_spec(COKE, BROAD, 5)
    page.get_by_text(f"lcmis replay {spec.key}").wait_for()
    page.go_back()
    page.get_by_text("About this pair").wait_for()
    assert f"pair={quote(COKE.key)}" in page.url.replace("pair=k1:", "pair=k1%3A")
    page.go_forward()
    page.get_by_text("How it was painted").wait_for()


def test_a_click_on_a_row_opens_its_pair(page: playwright.Page) -> None:
    page.goto("/pairs?words=coke")
    settled(page, "Pairs")
    page.get_by_text("1 of 3 pairs").wait_for()
    box = page.locator("[data-testid=stDataFrame] canvas").first.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 60, box["y"] + 55)  # a table is one canvas: rows are no elements
    settled(page, COKE.prompt)
    assert "/pair?" in page.url


def test_a_filter_goes_into_the_address(page: playwright.Page) -> None:
    page.goto("/pairs")
    settled(page, "Pairs")
    words = page.get_by_role("textbox", name="Words")
    words.fill("roses")
    words.press("Enter")
    page.get_by_text("1 of 3 pairs").wait_for()
    page.wait_for_url("**/pairs?words=roses")


def test_the_first_page_is_found_by_its_name(page: playwright.Page) -> None:
    page.goto("/overview?threshold=0.7")
    settled(page, "Overview")
    assert page.url.endswith("/?threshold=0.7")
    assert not page.get_by_text("Page not found").count()


def test_charts_are_drawn_without_a_warning(page: playwright.Page) -> None:
    warned: list[str] = []
    page.on("console", lambda one: warned.append(one.text) if one.type == "warning" else None)
    page.goto("/overview")
    settled(page, "Overview")
    page.locator("[data-testid=stVegaLiteChart] svg").nth(1).wait_for()
    assert not [text for text in warned if "fit" in text.lower()]


def test_an_unknown_pair_is_a_sentence(page: playwright.Page) -> None:
    page.goto("/pair?pair=k1%3Anobody")
    page.get_by_text("No pair in the store is called").wait_for()


def test_what_an_audit_adds_appears_by_itself(browser: playwright.Browser, tmp_path: Path) -> None:
    small_store.fill(tmp_path)
    with pages.served(tmp_path) as url, pages.visited(browser, url) as page:
        page.goto(f"/pair?pair={quote(ROSES.key)}")
        settled(page, ROSES.prompt)
        page.get_by_text("Store of 30 pictures").wait_for()
        with Store(tmp_path) as store:
            small_store.add(store, ROSES, make_spec(ROSES, BROAD, 8), "+", scored=True)
        page.get_by_text("Store of 31 pictures").wait_for()
        record(page, 8).wait_for()


def test_what_is_read_in_a_dialog_stays_while_an_audit_adds_pictures(
    browser: playwright.Browser, tmp_path: Path
) -> None:
    small_store.fill(tmp_path)
    with pages.served(tmp_path) as url, pages.visited(browser, url) as page:
        page.goto(f"/pair?pair={quote(ROSES.key)}")
        settled(page, ROSES.prompt)
        page.get_by_role("button", name="Why").first.click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_text("These decide").wait_for()
        with Store(tmp_path) as store:
            small_store.add(store, ROSES, make_spec(ROSES, BROAD, 8), "+", scored=True)
        page.get_by_text("Store of 31 pictures").wait_for()
        with Store(tmp_path) as store:
            small_store.add(store, ROSES, make_spec(ROSES, BROAD, 9), "+", scored=True)
        page.get_by_text("Store of 32 pictures").wait_for()  # looked up once more since
        assert dialog.get_by_text("These decide").is_visible()
        page.keyboard.press("Escape")
        dialog.wait_for(state="detached")
        record(page, 9).wait_for()


def test_hostile_text_is_shown_fetches_nothing_and_leads_nowhere(page: playwright.Page) -> None:
    foreign = page.locator("[data-testid=stMain] a[href*='evil.example']")
    page.goto(f"/pair?pair={quote(STRANGE.key)}")
    page.get_by_role("heading", name="evil.example").wait_for()
    page.wait_for_selector(STILL)
    assert foreign.count() == 0
    page.goto("/pairs?words=bucket")
    settled(page, "Pairs")
    assert foreign.count() == 0
    page.goto("/")
    settled(page, "Overview")
    page.get_by_text("Where these numbers come from").wait_for()
    assert foreign.count() == 0


def test_an_address_in_a_text_is_no_link(page: playwright.Page) -> None:
    said = (
        "see http://evil.example/a or HTTPS://evil.example or www.evil.example or me@evil.example"
    )
    page.goto(f"/pair?pair={quote(said)}")
    page.get_by_text("evil.example/a or").wait_for()
    assert page.locator("[data-testid=stMain] a[href*='evil.example']").count() == 0


def test_the_checker_of_the_address_is_the_one_that_judges(page: playwright.Page) -> None:
    page.goto("/pairs?checker=clip%3Asecond&threshold=0.05")
    settled(page, "Pairs")
    checker = page.locator("[data-testid=stSelectbox] input").first
    playwright.expect(checker).to_have_value("clip:second", timeout=PATIENCE)
    page.get_by_test_id("stSlider").get_by_text("0.05").wait_for()


DRAWN = """(scheme) => {
    const page = document.querySelector("[data-testid=stApp]")
    const ground = getComputedStyle(page).backgroundColor.match(/\\d+/g).map(Number)
    return page.dataset.testScriptState === "notRunning" &&
        (ground[0] > 127) === (scheme === "light") &&
        [...document.querySelectorAll("[data-testid=stElementContainer]")].every(
            (one) => getComputedStyle(one).opacity === "1"
        )
}"""
"""What is drawn anew is pale for a moment, which is no fault of the page."""


@pytest.mark.parametrize(
    ("path", "heading"),
    [
        ("/", "Overview"),
        ("/pairs", "Pairs"),
        (f"/pair?pair={quote(COKE.key)}", COKE.prompt),
        (f"/pair?pair={quote(COKE.key)}&tab=Repairs", "What was tried"),
        (f"/picture?picture={quote(make_spec(COKE, BROAD, 0).key)}", COKE.prompt),
        ("/compare", "Compare"),
        ("/label", "Label"),
        ("/label?rater=ann", "What the labels say"),
        ("/repairs", "In words"),
        ("/runs", "Every run"),
    ],
)
def test_a_page_has_no_fault_of_accessibility_and_a_clean_console(
    page: playwright.Page, path: str, heading: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    broke: list[str] = []
    page.on("console", lambda told: told.type == "error" and broke.append(told.text))
    page.on("response", lambda answer: answer.status >= 400 and broke.append(answer.url))
    page.goto(path)
    settled(page, heading)
    faults = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_function(DRAWN, arg=scheme)
        faults += [
            (scheme, fault["id"], [node["html"][:200] for node in fault["nodes"]])
            for fault in axe.run(page).response["violations"]
        ]
    assert faults == []
    assert broke == [], "the console of the browser"


def test_a_comparison_opens_from_its_address(page: playwright.Page) -> None:
    page.goto("/compare?first=narrow&second=broad")
    settled(page, "Compare")
    page.get_by_text("Nobody can tell yet").wait_for()
    page.wait_for_function(f"document.images.length >= 4 && {LOADED}")


def test_a_repair_is_chosen_taken_away_and_read(
    page: playwright.Page, folder: Path, tmp_path: Path
) -> None:
    page.goto("/repairs")
    page.get_by_text("2 of 2 repairs").wait_for()
    page.get_by_text("No repair here is proved").wait_for()
    box = page.locator("[data-testid=stDataFrame] canvas").first.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 16, box["y"] + 52)  # the tick of the first row
    page.get_by_text("Chosen: 1 repair").wait_for()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="jsonl").click()
    waiting.value.save_as(tmp_path / "taken.jsonl")
    page.get_by_role("link", name="its pictures").first.click()
    page.get_by_role("heading", name="What was tried").wait_for()
    assert f"pair={quote(COKE.key)}" in page.url.replace("pair=k1:", "pair=k1%3A")
    page.wait_for_function(f"document.images.length >= 16 && {LOADED}")
    (line,) = (tmp_path / "taken.jsonl").read_text().splitlines()
    taken = json.loads(line)
    with Store(folder, read_only=True) as store:
        found = findings.find_repairs(store, JUDGE)[0]
    assert taken["pair"] == COKE.key
    assert taken["prompt"] == SHOUT
    stage = {"prompt": "a small cup", "denoising_end": 0.4}
    plain = {"weight": 1.0, "beside": [], "excited": [], "refiner": ""}
    assert taken["stages"][0] == {**stage, **plain}
    assert taken["certificate"] == repaired_prompt(found).summary()
    assert taken["seeds"] == list(found.certificate.seeds)


# ── pictures are large and near ──────────────────────────────────────────────────────────────────

LAPTOP = {"width": 1440, "height": 720}


def place(element: playwright.Locator) -> dict[str, float]:
    """Where it lies on the screen."""
    found = element.bounding_box()
    assert found is not None
    return found


def test_the_pictures_of_a_pair_begin_high_are_large_and_open_whole(
    page: playwright.Page, folder: Path
) -> None:
    page.set_viewport_size(LAPTOP)
    page.goto(f"/pair?pair={quote(COKE.key)}")
    settled(page, COKE.prompt)
    page.wait_for_function(f"document.images.length >= 12 && {LOADED}")
    shot = page.locator(".lcmis-shot img").first
    assert place(shot)["y"] < 330
    assert place(shot)["width"] > 180
    shot.click()
    whole = page.get_by_role("dialog", name="Picture in full").locator("img").first
    whole.wait_for()
    page.wait_for_function(LOADED)
    assert "/picture/" in whole.evaluate("one => one.src")
    assert whole.evaluate("one => one.naturalWidth") == make_spec(COKE, BROAD, 0).width
    assert page.get_by_role("button", name="Fullscreen").count() == 0


def test_why_stands_beside_the_picture_and_begins_with_what_decides(
    page: playwright.Page,
) -> None:
    page.goto(f"/pair?pair={quote(COKE.key)}")
    settled(page, COKE.prompt)
    page.get_by_role("button", name="Why").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("These decide").wait_for()
    dialog.get_by_text("11 other answers").wait_for()
    picture, table = dialog.locator("img"), dialog.get_by_test_id("stDataFrame").first
    assert place(picture)["x"] + place(picture)["width"] <= place(table)["x"]
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")


def test_a_click_on_what_the_overview_draws_opens_the_pairs_behind_it(
    page: playwright.Page,
) -> None:
    page.goto("/")
    settled(page, "Overview")
    page.get_by_text("Where these numbers come from").wait_for()
    kinds = page.get_by_test_id("stDataFrame").first
    kinds.scroll_into_view_if_needed()
    table = place(kinds.locator("canvas").first)
    page.mouse.click(table["x"] + 40, table["y"] + 52)
    page.wait_for_url("**/pairs?*patterns=drink*")
    page.get_by_text("1 of 3 pairs").wait_for()
    page.go_back()
    settled(page, "Overview")
    page.get_by_role("link", name="1 pair that fails").first.click()
    page.wait_for_url("**/pairs?*verdict=fails*")
    settled(page, "Pairs")


def test_the_pictures_of_a_clicked_row_are_in_view_under_one_slider(
    page: playwright.Page,
) -> None:
    page.set_viewport_size(LAPTOP)
    page.goto("/compare")
    settled(page, "Compare")
    table = place(page.get_by_test_id("stDataFrame").first.locator("canvas").first)
    page.mouse.click(table["x"] + 40, table["y"] + 52)
    page.wait_for_url("**/compare?*pair=*")
    page.wait_for_selector(STILL)
    divider = page.locator(".lcmis-divider").first
    page.wait_for_function(LOADED)
    assert place(divider)["y"] + 100 < LAPTOP["height"]
    slider = divider.get_by_role("slider")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    assert divider.evaluate("one => one.style.getPropertyValue('--at')") == "48%"


def test_keys_are_listed_and_the_prompt_is_copied(
    browser: playwright.Browser, address: str
) -> None:
    with pages.visited(browser, address, permissions=["clipboard-read", "clipboard-write"]) as page:
        page.goto(f"/pair?pair={quote(COKE.key)}")
        settled(page, COKE.prompt)
        page.get_by_role("button", name="copy prompt").click()
        page.get_by_text("copied").wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == COKE.prompt
        page.locator(".st-key-keys button").wait_for()  # the sidebar may come after the page
        page.keyboard.press("?")
        page.get_by_role("dialog").get_by_text("take the last answer back").wait_for()


def test_on_a_phone_the_pages_can_be_chosen_and_on_paper_there_is_only_what_is_read(
    browser: playwright.Browser, address: str
) -> None:
    with pages.visited(browser, address, viewport={"width": 390, "height": 844}) as page:
        page.goto("/pairs")
        settled(page, "Pairs")
        page.locator(".st-key-pages").get_by_role("link", name="Repairs").click()
        settled(page, "Repairs")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.emulate_media(media="print")
        for hidden in ("stSidebar", "stHeader"):
            assert not page.get_by_test_id(hidden).is_visible()
        assert page.pdf()[:5] == b"%PDF-"


# ── labelling ────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_store.fill(tmp_path_factory.mktemp("labelled"))


@pytest.fixture(scope="module")
def label_address(labelled: Path) -> Iterator[str]:
    with pages.served(labelled) as url:
        yield url


@pytest.fixture
def ask(browser: playwright.Browser, label_address: str) -> Iterator[Ask]:
    """Opens the page for a rater, up to the first question."""
    with pages.visited(browser, label_address) as visitor:

        def asked(rater: str) -> playwright.Page:
            visitor.goto(f"/label?rater={rater}")
            visitor.get_by_role("button", name=f"Label as {rater}").click()
            visitor.get_by_role("button", name="Cannot tell").wait_for()
            visitor.wait_for_selector(STILL)
            return visitor

        yield asked


def kept(folder: Path, rater: str) -> list[Label]:
    with Store(folder, read_only=True) as store:
        return [label for label in store.labels() if label.rater == rater]


def counted(page: playwright.Page, rater: str, answers: int) -> None:
    """Wait until the page tells of so many answers, and is drawn whole."""
    page.get_by_text(f"{rater} (you): {answers} answer").wait_for()
    page.wait_for_selector(STILL)
    page.wait_for_function(LOADED)


def question(page: playwright.Page) -> str:
    return page.get_by_role("heading", level=2).first.inner_text()


TOLD_MORE = """(answers) => {
    const told = document.body.innerText.match(/\\(you\\): (\\d+) answer/)
    return told !== null && Number(told[1]) > answers
}"""


TWICE = """(key) => {
    for (const time of [1, 2])
        document.body.dispatchEvent(new KeyboardEvent(
            "keydown", {key: key, code: "Key" + key.toUpperCase(), bubbles: true}
        ))
}"""
"""Strikes a key two times before the page can draw anything, as a key that bounces does."""


def test_keys_never_reach_the_field_of_the_name(ask: Ask, labelled: Path) -> None:
    page = ask("kim")
    page.goto("/label")
    field = page.get_by_role("textbox", name="Your name").or_(
        page.get_by_role("textbox", name="Somebody new")
    )
    field.fill("lee")
    field.press("Enter")
    page.keyboard.press("y")
    page.get_by_role("button", name="Label as lee").wait_for()
    page.keyboard.press("n")
    page.get_by_role("button", name="Label as lee").click()
    page.get_by_role("button", name="Cannot tell").wait_for()
    page.wait_for_selector(STILL)
    page.keyboard.press("y")
    counted(page, "lee", 1)
    with Store(labelled, read_only=True) as store:
        said = {label.rater for label in store.labels()}
    assert "lee" in said
    assert said <= {"lee", "ann", "bob"}
    assert page.get_by_text("Your answer, lee").count() == 1


def test_pictures_are_labelled_by_keys_and_a_key_struck_twice_answers_once(
    ask: Ask, labelled: Path
) -> None:
    page = ask("ann")
    for answers in range(1, 11):
        page.keyboard.press("y")
        counted(page, "ann", answers)
    page.get_by_text("5 pictures labelled by ann").wait_for()
    asked = question(page)
    page.evaluate(TWICE, "n")
    counted(page, "ann", 11)
    assert question(page) != asked
    page.evaluate(TWICE, "z")
    counted(page, "ann", 10)
    assert question(page) == asked
    page.keyboard.press("u")
    counted(page, "ann", 11)
    said = ["yes"] * 10 + ["no", "withdrawn", "unsure"]
    assert [label.answer for label in kept(labelled, "ann")] == said


def test_keys_struck_while_the_page_is_drawn_answer_no_question_twice(
    ask: Ask, labelled: Path
) -> None:
    page = ask("bob")
    for _ in range(20):
        page.evaluate(TWICE, "y")
    page.get_by_text("bob (you): ").wait_for()
    answers = len(kept(labelled, "bob"))
    counted(page, "bob", answers)
    page.keyboard.press("y")
    page.wait_for_function(TOLD_MORE, arg=answers)
    page.wait_for_selector(STILL)
    labels = kept(labelled, "bob")
    counted(page, "bob", len(labels))
    assert len(labels) > 1
    assert len({(label.render, label.question) for label in labels}) == len(labels)
