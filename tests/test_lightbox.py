"""The picture in full over any page: real keys and clicks in a browser, and what is answered."""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from worlds import pages, repair_store
from worlds.small_store import BROAD, COKE, HOSTILE, JUDGE, NARROW, make_spec, questions_of

import said  # isort: skip
from lcmis.findings import labels, notes
from lcmis.store import Store
from lcmis.types import About, Label, Note, NoteKind

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

PICTURE = make_spec(COKE, BROAD, 1).key
HAS_A, HAS_B, *_ = questions_of(COKE)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return repair_store.fill(tmp_path_factory.mktemp("lightbox") / "audit")


@pytest.fixture(scope="module")
def folder(untouched: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is served, and written to."""
    return shutil.copytree(untouched, tmp_path_factory.mktemp("served") / "audit")


@pytest.fixture
def page(browser: playwright.Browser, address: str) -> Iterator[playwright.Page]:
    with pages.visited(browser, address) as visitor:
        visitor.goto(f"/pair?pair={quote(COKE.key)}")
        pages.settled(visitor, COKE.prompt)
        visitor.locator(".lcmis-shot img").nth(11).wait_for()
        yield visitor


def opened(page: playwright.Page, seed: int) -> None:
    """Open the picture of this seed by the first model, and wait for all that is said of it."""
    page.locator(f"img[alt*='seed {seed}']").first.click()
    told(page, f"broad, seed {seed}")


def told(page: playwright.Page, what: str) -> None:
    page.locator(".lcmis-said .lcmis-about").first.get_by_text(what).wait_for()


def test_a_click_shows_the_whole_picture_and_arrows_go_on_to_esc(page: playwright.Page) -> None:
    opened(page, 1)
    shown = page.locator(".lcmis-frame img")
    page.wait_for_function("document.querySelector('.lcmis-frame img')?.naturalWidth === 64")
    assert "/picture/" in (shown.get_attribute("src") or ""), "the file itself, no small copy"
    page.keyboard.press("ArrowRight")
    told(page, "broad, seed 2")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    told(page, "broad, seed 0")
    page.keyboard.press("ArrowLeft")
    assert page.locator(".lcmis-place").inner_text() == "1 of 12"
    page.keyboard.press("Escape")
    page.locator("dialog").wait_for(state="hidden")
    assert page.evaluate("document.activeElement.querySelector('img').alt").startswith(COKE.prompt)


def test_enter_opens_and_one_to_one_is_a_pixel_a_pixel(page: playwright.Page) -> None:
    page.locator(".lcmis-shot").nth(1).focus()
    page.keyboard.press("Enter")
    told(page, "broad, seed 1")
    size = page.locator(".lcmis-frame")
    fits = size.bounding_box()
    assert fits is not None
    assert fits["width"] > 900
    assert abs(fits["width"] / fits["height"] - 64 / 48) < 0.01
    page.keyboard.press("1")
    page.wait_for_function("document.querySelector('.lcmis-frame')?.clientWidth === 64")
    page.keyboard.press("1")
    page.wait_for_function("document.querySelector('.lcmis-frame')?.clientWidth > 900")


def test_a_key_goes_to_the_same_seed_of_the_other_model_and_back(page: playwright.Page) -> None:
    opened(page, 1)
    page.keyboard.press("m")
    told(page, "narrow, seed 1")
    page.keyboard.press("m")
    told(page, "broad, seed 1")


def test_words_are_kept_with_their_rater_shown_as_text_and_taken_back(
    page: playwright.Page, folder: Path
) -> None:
    opened(page, 1)
    page.keyboard.press("s")
    page.get_by_text("Write your name first").wait_for()
    page.keyboard.type("ann")  # the name's field has the focus, and no key means anything else
    page.keyboard.press("Enter")
    page.keyboard.press("s")
    page.get_by_role("button", name="starred").wait_for()
    page.keyboard.press("c")
    page.keyboard.type(f"m1s? {HOSTILE}")
    page.keyboard.press("Control+Enter")
    page.locator(".lcmis-text").get_by_text(HOSTILE).wait_for()
    assert page.locator(".lcmis-said a[href*=evil], .lcmis-said img").count() == 0
    page.keyboard.press("Escape")
    page.keyboard.press("t")
    page.keyboard.type("half  a cup")
    page.keyboard.press("Enter")
    page.locator(".lcmis-tag").get_by_text("half a cup").wait_for()
    page.get_by_role("button", name="Yes: the checker is wrong").click()
    page.get_by_text("ann: Yes").wait_for()
    with Store(folder, read_only=True) as store:
        found = notes.noted_on(store, About.PICTURE, PICTURE)
        assert [note.text for note in found.comments] == [f"m1s? {HOSTILE}"]
        assert (found.tags, found.stars) == (("half a cup",), ("ann",))
        (label,) = store.labels(render=PICTURE)
        assert (label.question, label.answer, label.rater) == (HAS_A.key, "yes", "ann")
        assert label.unasked
    page.get_by_role("button", name="No", exact=True).first.click()
    page.get_by_text("ann: No").wait_for()
    page.get_by_role("button", name="No", exact=True).first.click()
    page.locator(".lcmis-labels").wait_for(state="detached")
    page.get_by_role("button", name="starred").click()
    page.get_by_role("button", name="Take away the tag").click()
    page.locator(".lcmis-tag").wait_for(state="detached")
    page.get_by_role("button", name="Take back the comment").click()
    page.locator(".lcmis-text").wait_for(state="detached")
    with Store(folder, read_only=True) as store:
        assert not notes.noted_on(store, About.PICTURE, PICTURE)
        assert len(store.notes(About.PICTURE, PICTURE)) == 6, "nothing is ever deleted"
        said_so = [label.answer for label in store.labels(render=PICTURE)]
        assert said_so == ["yes", "withdrawn", "no", "withdrawn"]


def test_the_open_picture_has_no_fault_of_accessibility(page: playwright.Page) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    opened(page, 1)
    page.keyboard.press("?")
    faults = axe.run(page).response["violations"]
    assert [(fault["id"], [one["html"][:200] for one in fault["nodes"]]) for fault in faults] == []


def test_on_a_phone_the_picture_comes_first_and_nothing_is_wider_than_the_screen(
    browser: playwright.Browser, address: str
) -> None:
    size = {"width": 390, "height": 844}
    with pages.visited(browser, address, viewport=size) as visitor:
        visitor.goto(f"/pair?pair={quote(COKE.key)}")
        pages.settled(visitor, COKE.prompt)
        opened(visitor, 1)
        visitor.locator(".lcmis-frame").wait_for()  # laid out: until then it has no size
        frame = visitor.locator(".lcmis-frame").bounding_box()
        assert frame is not None
        assert frame["width"] == pytest.approx(390, abs=2)
        wide = "document.querySelector('dialog').scrollWidth"
        assert visitor.evaluate(wide) <= 390


# ── the server's answers ─────────────────────────────────────────────────────────────────────────


@pytest.fixture
def places(untouched: Path, tmp_path: Path) -> said.Places:
    return said.Places(str(shutil.copytree(untouched, tmp_path / "audit")), "", (), may_write=True)


JUDGED = said.JudgedBy(JUDGE, 0.5, COKE.key)


def kept(places: said.Places, **word: object) -> dict[str, object]:
    said.keep(places, PICTURE, {"rater": "ann", **word})
    return said.said(places, PICTURE, JUDGED)


def test_what_is_told_of_a_picture_is_what_the_store_says(places: said.Places) -> None:
    found = said.said(places, PICTURE, JUDGED)
    assert (found["prompt"], found["seed"], found["verdict"]) == (COKE.prompt, "1", "no tea cup")
    assert [one["key"] for one in found["same_seed"]] == [PICTURE, make_spec(COKE, NARROW, 1).key]
    first, second = found["questions"]
    assert first["checker"] == "vqa:judge says no, 10\N{NO-BREAK SPACE}%"
    assert [one["wrong"] for one in first["answers"]] == [True, False, False]
    assert [one["wrong"] for one in second["answers"]] == [False, True, False]
    low = said.said(places, PICTURE, said.JudgedBy(JUDGE, 0.05, COKE.key))
    assert low["verdict"] == "right"


def test_what_stands_instead_is_asked_once_a_thing_is_denied(places: said.Places) -> None:
    found = kept(places, what="label", question=HAS_A.key, answer="no")
    instead = found["questions"][-1]
    assert instead["words"] == "In the place of tea cup?"
    assert [one["value"] for one in instead["answers"]][:3] == ["tea cup", "glass", "mug"]


def test_ten_thousand_comments_are_counted_and_the_newest_are_shown(places: said.Places) -> None:
    with places.writable() as store:
        store.add_notes(
            [
                Note(
                    About.PICTURE,
                    PICTURE,
                    NoteKind.COMMENT,
                    f"{n}",
                    "bob",
                    f"2026-11-21T03:00:00.{n:06}Z",
                )
                for n in range(10_000)
            ]
        )
    found = said.said(places, PICTURE, JUDGED)
    assert found["num_comments"] == 10_000
    assert [one["text"] for one in found["comments"]][-1] == "9999"
    assert len(found["comments"]) == said.COMMENTS
    assert len(json.dumps(found)) < 30_000


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ({"what": "comment", "text": "half \ud83e"}, "half a character"),
        ({"what": "comment", "text": " "}, "an empty comment"),
        ({"what": "comment"}, "there is no text in it"),
        ({"what": "star", "rater": ""}, "needs the name"),
        ({"what": "label", "question": "k1:none", "answer": "yes"}, "no question has the key"),
        ({"what": "label", "question": HAS_A.key, "answer": "maybe"}, "the answer is 'maybe'"),
        ({"what": "shout"}, "nothing can be done about 'shout'"),
    ],
)
def test_what_is_no_word_is_a_sentence_and_nothing_is_kept(
    places: said.Places, word: dict[str, object], sentence: str
) -> None:
    with pytest.raises(said.UserError, match=sentence):
        kept(places, **word)
    with places.writable() as store:
        assert (store.notes(), store.labels(render=PICTURE)) == ([], [])


def test_an_answer_given_again_replaces_the_raters_own_and_no_other(places: said.Places) -> None:
    with places.writable() as store:
        store.add_labels([Label(PICTURE, HAS_A.key, "no", "bob", labels.now())])
    for answer in ("yes", "no", "yes"):
        found = kept(places, what="label", question=HAS_A.key, answer=answer)
    said_so = {one["rater"]: one["answer"] for one in found["questions"][0]["labels"]}
    assert said_so == {"ann": "yes", "bob": "no"}
    with places.writable() as store:
        by_rater = {one.rater: one.answers for one in labels.readings(store.labels())}
    assert by_rater["ann"] == ("yes",)


def asked(url: str, body: object = None, **headers: str) -> tuple[int, dict[str, object]]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error) if error.code != 421 else {}


def test_over_the_wire_a_word_is_refused_to_strangers_and_told_in_a_sentence(address: str) -> None:
    url, star = f"{address}/word/{quote(PICTURE)}", {"what": "star", "rater": "eve"}
    as_json = {"content-type": "application/json"}
    assert asked(url, star, origin="http://evil.example", **as_json)[0] == 421
    assert asked(url, star, **{"content-type": "text/plain"})[0] == 415
    code, answer = asked(f"{address}/word/k1:none", star, **as_json)
    assert (code, answer["sentence"]) == (404, "No picture in the store has the key 'k1:none'.")
    assert asked(url, "star", **as_json)[0] == 400
    code, answer = asked(url, {"what": "comment", "text": "x" * 200_000, "rater": "eve"}, **as_json)
    assert (code, answer["sentence"]) == (400, "This word is too long: write a shorter one.")
    assert asked(f"{address}/said/{quote(PICTURE)}?threshold=high")[0] == 400
