"""A store as a folder of pages: whole, offline, searchable, and with nothing foreign but text."""

import html.parser
import json
import re
import shutil
from urllib.parse import unquote

import pytest
from worlds import repair_store, small_store
from worlds.small_store import BROAD, COKE, HOSTILE, make_spec

from lcmis.errors import ConfigError
from lcmis.export.destinations import SITE
from lcmis.export.publish import Outgoing
from lcmis.findings import deciding_checker, notes
from lcmis.store import Store
from lcmis.types import About, NoteKind

DRAWN = make_spec(COKE, BROAD, 0).key


def sent(folder, place, **chosen):
    with Store(folder, read_only=True) as store:
        return SITE.send(Outgoing(store, deciding_checker(store), str(place), **chosen))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    audit = small_store.fill(folder / "audit")
    with Store(audit) as store:
        (first,) = [one.key for one in store.pairs() if one.prompt == COKE.prompt]
        store.add_notes(
            [
                notes.written(About.PAIR, first, NoteKind.TAG, "oddly glassy", "ann"),
                notes.written(About.PICTURE, DRAWN, NoteKind.STAR, "", "bob"),
                notes.written(About.PICTURE, DRAWN, NoteKind.COMMENT, f"half {HOSTILE}", "ann"),
            ]
        )
    sent(audit, folder / "public")
    return folder / "public"


class Page(html.parser.HTMLParser):
    """What a page links to, loads and runs, and what it says."""

    def __init__(self, path):
        super().__init__()
        self.links, self.elements, self.attributes, self.said = [], [], [], ""
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += [name for name, _ in attrs]
        self.links += [value for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data):
        self.said += data


def pages(site):
    return sorted(path for path in site.rglob("*.html") if path.name != "report.html")


def test_every_link_of_every_page_leads_to_a_file_of_the_site(site):
    for path in pages(site):
        for link in Page(path).links:
            if link not in ("#main", "data:,"):
                target = (path.parent / unquote(link)).resolve()
                assert target.is_file(), f"{path.name}: {link}"
                assert target.is_relative_to(site.resolve())


def test_a_page_a_pair_has_every_picture_that_was_not_refused(site):
    page = Page(site / f"pair/{COKE.key.partition(':')[2]}.html")
    drawn = [kind for pictures in ("ggggmg-u", "g+g+") for kind in pictures]
    assert page.elements.count("img") == len(drawn)
    assert "a tea cup of iced coke" in page.said
    assert "no tea cup; seen as glass" in page.said


def test_pictures_are_the_files_of_the_store_byte_for_byte(site):
    copied = list(site.rglob("*.webp"))
    kept = site.parent / "audit/pictures"
    assert copied
    for path in copied:
        assert path.read_bytes() == (kept / path.parent.name / path.name).read_bytes()


def test_hostile_text_is_text_in_every_page_and_no_file_is_named_by_it(site):
    for path in pages(site):
        page = Page(path)
        assert not any("evil" in link for link in page.links), path
        assert {"onerror", "onclick", "style"} & set(page.attributes) == set()
        assert page.elements.count("script") == (3 if path.name == "pictures.html" else 1)
    shown = [path for path in pages(site) if HOSTILE in Page(path).said]
    assert len(shown) >= 2
    assert not any("evil" in str(path) for path in site.rglob("*"))


def test_the_data_of_the_grid_is_ascii_and_reads_as_json(site):
    text = (site / "data.js").read_text("ascii")
    data = json.loads(text.removeprefix("window.SITE = ").removesuffix(";\n"))
    assert len(data["pictures"]) == 28
    for file, pair, model, *_ in data["pictures"]:
        assert not file or (site / file).is_file()
        assert (site / data["pages"][pair]).is_file()
        assert data["models"][model] in ("broad", "narrow")
    assert "</script" not in text


def test_what_people_wrote_stands_beside_the_thing_and_is_found(site):
    (page,) = [one for one in pages(site) if "oddly glassy" in Page(one).said]
    assert COKE.prompt in Page(page).said
    assert re.search(r"★ bob\s*ann: half ", Page(page).said)
    data = json.loads((site / "data.js").read_text("ascii")[len("window.SITE = ") : -2])
    (said,) = {one[-1] for one in data["pictures"] if one[-1]}
    assert said.startswith("★ bob · ann: half ")


def test_every_page_forbids_what_comes_from_elsewhere(site):
    for path in pages(site):
        policy = re.search(r'Content-Security-Policy" content="([^"]*)"', path.read_text("utf-8"))
        assert policy
        assert "default-src 'none'" in policy[1]
        assert "http" not in policy[1]
        assert "unsafe" not in policy[1]


def test_the_first_page_says_how_many_pairs_fail_and_which(site):
    said = " ".join(Page(site / "index.html").said.split())
    assert "broad painted what was asked in" in said
    assert "Of 3 pairs" in said
    assert "a tea cup of iced coke" in said


def test_two_models_are_compared_and_repairs_shown_before_and_after(tmp_path):
    sent(repair_store.fill(tmp_path / "audit"), tmp_path / "public")
    repairs = Page(tmp_path / "public/repairs.html")
    assert "fresh seeds" in repairs.said
    assert repairs.elements.count("figure") >= 2
    sent(small_store.fill(tmp_path / "small"), tmp_path / "both")
    assert "percentage points" in Page(tmp_path / "both/compare.html").said


def test_one_model_alone_can_be_shown(site, tmp_path):
    sent(site.parent / "audit", tmp_path / "public", model="narrow")
    said = Page(tmp_path / "public/index.html").said
    assert "narrow" in said
    assert "broad painted" not in said
    with pytest.raises(ConfigError, match="no pictures of 'wide'"):
        sent(site.parent / "audit", tmp_path / "other", model="wide")
    assert not (tmp_path / "other").exists()


def test_a_picture_that_is_gone_or_damaged_is_said_and_the_rest_is_there(tmp_path):
    audit = small_store.fill(tmp_path / "audit")
    first, second, *_ = sorted((audit / "pictures").rglob("*.webp"))
    first.unlink()
    second.write_bytes(b"no picture")
    (told,) = sent(audit, tmp_path / "public")
    assert "2 pictures missing or damaged" in told.sentence
    said = "".join(Page(path).said for path in pages(tmp_path / "public"))
    assert "the file of this picture is missing or damaged" in said


def test_a_site_is_there_whole_or_not_at_all(tmp_path, monkeypatch, lcmis):
    audit = small_store.fill(tmp_path / "audit")
    public = tmp_path / "public"

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", full)
        code, _, err = lcmis("publish", "site", public, "--store", audit)
    assert code == 2
    assert "No space left on device" in err
    assert [path.name for path in tmp_path.iterdir()] == ["audit"]
    code, out, _ = lcmis("publish", "site", public, "--store", audit)
    assert code == 0
    assert out.startswith(str(public / "index.html"))
    code, _, err = lcmis("publish", "site", public, "--store", audit)
    assert code == 2
    assert "exists: name a folder that does not" in err


# ── in a browser ──────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def page(browser):
    shown = browser.new_page(viewport={"width": 1200, "height": 800})
    shown.set_default_timeout(120_000)
    shown.heard, shown.asked = [], []
    shown.on("console", lambda one: shown.heard.append(one.text))
    shown.on("pageerror", lambda one: shown.heard.append(str(one)))
    shown.on("request", lambda one: shown.asked.append(one.url))
    yield shown
    assert shown.heard == []
    assert all(url.startswith(("file://", "data:")) for url in shown.asked)
    shown.close()


def test_from_the_disk_pairs_are_searched_and_a_picture_fills_the_screen(page, site):
    page.goto((site / "pairs.html").as_uri())
    page.fill("input[type=search]", "COKE broad")
    assert page.text_content("output") == "1 of 5"
    page.click("#pairs tbody tr:not([hidden]) a")
    page.click("a.zoom >> nth=0")
    assert page.text_content("#light p >> nth=0").startswith("broad, seed 0")
    assert page.locator("#light img").evaluate("one => one.naturalWidth") == 64
    page.keyboard.press("m")
    assert page.text_content("#light p >> nth=0").startswith("narrow, seed 0")
    page.keyboard.press("ArrowRight")
    assert page.text_content("#light p >> nth=0").startswith("narrow, seed 1")
    page.keyboard.press("1")
    assert page.locator("#light.whole").count() == 1
    page.keyboard.press("Escape")
    assert page.locator("#light").count() == 0
    assert page.evaluate("document.activeElement.className") == "zoom"


def test_from_the_disk_the_grid_filters_and_hostile_text_stays_text(page, site):
    page.goto((site / "pictures.html").as_uri())
    assert page.text_content("output") == "1–28 of 28"
    page.select_option("select[name=right]", "1")
    right = page.locator("#grid figure").count()
    assert right == page.locator("#grid figure.right").count() > 0
    page.select_option("select[name=right]", "")
    page.fill("input[type=search]", "evil")
    assert page.locator("#grid figure").count() == 5, "four of a pair, and one with a comment"
    assert page.locator("#grid img[src*=evil], #grid a[href*=evil]").count() == 0


def test_a_phone_shows_everything_without_scrolling_sideways(page, site):
    page.set_viewport_size({"width": 360, "height": 740})
    for name in ("index.html", "pictures.html", "repairs.html"):
        page.goto((site / name).as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, name


def test_it_prints_without_what_only_a_screen_needs(page, site):
    page.goto((site / "pairs.html").as_uri())
    page.emulate_media(media="print")
    assert not page.is_visible("nav")
    assert not page.is_visible("form.filter")
    assert page.pdf().startswith(b"%PDF")
