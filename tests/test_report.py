"""The report: every number is the store's, every foreign word is text, one file is enough."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
import shutil
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from PIL import Image
from worlds import repair_store, small_store
from worlds.repair_store import FAILED, PASSED, SHOUT
from worlds.small_store import BROAD, COKE, HOSTILE, JUDGE, NARROW, ROSES, SECOND, STRANGE

from lcmis import findings, judge
from lcmis.check import questions_of
from lcmis.errors import ConfigError, UnknownNameError
from lcmis.export import report
from lcmis.export.repaired import repaired_prompt
from lcmis.export.report import album
from lcmis.export.tables import record
from lcmis.findings import RepairFinding, words
from lcmis.findings.words import percent
from lcmis.judge import Decision, Sprt
from lcmis.store import Store
from lcmis.types import Answer, Box, Score, Verdict

VOID = {"meta", "img", "br", "rect", "circle"}


class Page(HTMLParser):
    """A page as a tree's texts: what stands in each element, and every attribute."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, dict[str, str]]] = []
        self.rows: list[list[str]] = []
        self.headings: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag in ("h1", "h2", "h3", "h4"):
            self.headings.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag, f"{tag} closes what was not opened"

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        self.text += data
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data
        if self.open and {"h1", "h2", "h3", "h4"} & set(self.open):
            self.headings[-1] += data

    def row(self, first: str, number: int = 0) -> list[str]:
        """The cells of a row that begins so."""
        found = [row for row in self.rows if row and row[0].strip() == first]
        return [" ".join(cell.split()) for cell in found[number]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return repair_store.fill(tmp_path_factory.mktemp("repaired"))


@pytest.fixture(scope="module")
def made(folder: Path) -> report.Report:
    with Store(folder, read_only=True) as store:
        return report.gather(store)


@pytest.fixture(scope="module")
def text(made: report.Report) -> str:
    return report.html(made)


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def plain(text: str) -> str:
    return " ".join(text.split())


# ── numbers ──────────────────────────────────────────────────────────────────────────────────────


def test_the_numbers_of_a_model_are_those_of_the_stores_opinions(folder: Path, page: Page) -> None:
    with Store(folder, read_only=True) as store:
        rule = findings.rule_of(store.runs()[-1])
        for model, name in ((BROAD, "broad"), (NARROW, "narrow")):
            pairs = findings.find_pairs(store, JUDGE, rule=rule, model=model)
            (found,) = findings.find_models(store, {model: pairs}, [JUDGE, SECOND], rule=rule)
            ends = [len(found.decided(end)) for end in Decision]
            counted = dict(zip(Decision, ends, strict=True))
            row = page.row(name)
            assert [row[1], *row[3:]] == [
                plain(words.rate(found.aligned)),
                str(found.aligned.total),
                str(len(pairs)),
                str(counted[Decision.FAILS]),
                str(counted[Decision.PASSES]),
                str(counted[Decision.UNDECIDED] + counted[Decision.CONTINUE]),
                str(found.count(Verdict.UNSCORED)),
                str(found.count(Verdict.REFUSED)),
            ]


def test_every_pair_that_does_not_pass_is_listed_with_its_rate(folder: Path, page: Page) -> None:
    with Store(folder, read_only=True) as store:
        rule = findings.rule_of(store.runs()[-1])
        found = findings.find_pairs(store, JUDGE, rule=rule, model=BROAD, pair=COKE.key)[0]
    row = page.row(COKE.prompt)
    judged = found.judgement
    assert [row[1], *row[3:6]] == [
        plain(words.rate(judged.aligned)),
        str(judged.aligned.total),
        str(judged.levels),
        "glass in 5 of 7",
    ]
    assert judged.count(Verdict.ALIGNED) == 0
    assert judged.aligned.total == 7


def test_the_matrix_counts_what_was_painted_in_the_place_of_what(page: Page) -> None:
    header = next(row for row in page.rows if row[0] == "asked for")
    row = page.row("tea cup")
    said = dict(zip([cell.strip() for cell in header], row, strict=True))
    assert (said["glass"], said["mug"], said["something not named"]) == ("5", "1", "1")


def test_levels_say_how_many_pairs_are_surely_and_possibly_of_each(made: report.Report) -> None:
    for model in made.models:
        ranges = [f.judgement.levels for f in model.finding.pairs if f.judgement.aligned.total]
        for one in model.levels:
            assert one.surely == sum(r.low == r.high == one.level for r in ranges)
            assert one.at_all == sum(r.low <= one.level <= r.high for r in ranges)


def test_a_certificate_is_told_in_figures_and_in_words(page: Page, made: report.Report) -> None:
    assert [one.found.certificate.nomination for one in made.repairs] == [PASSED, FAILED]
    proof = made.repairs[0].found.certificate
    assert (proof.wins, proof.losses, len(proof.seeds)) == (7, 1, 8)
    assert proof.p == pytest.approx(0.0703125), "McNemar: 2 (1 + 8) / 2^8"
    row = page.row("broad", 1)
    assert row[1] == plain(words.rate(proof.before))
    assert row[3] == plain(words.rate(proof.after))
    assert row[6:9] == ["7", "1", "p = 0.141"], "the one that decides"
    assert "p = 0.141 at any number of looks (McNemar's exact test, for one look: p = 0.070)" in (
        plain(page.text)
    )
    assert plain(words.certificate(proof, dict(made.names))) in plain(page.text)


def test_what_is_to_be_expected_and_what_stands_among_all_is_said(
    page: Page, made: report.Report
) -> None:
    first = made.repairs[0].found
    assert first.standing.among == 3, "those on other models are looked at, too"
    expected = percent(first.standing.expected.after)
    assert f"about {expected} % are to be expected right" in plain(page.text)
    assert first.standing.expected.after < first.certificate.after.value
    assert "0 of 2 repairs are proved to help" in plain(page.text)


def test_a_repair_that_passes_alone_is_not_called_repaired(made: report.Report) -> None:
    found = made.repairs[0].found
    lucky = dataclasses.replace(
        found,
        certificate=dataclasses.replace(found.certificate, anytime_p=0.04),
        standing=dataclasses.replace(found.standing, proved=False, among=64),
    )
    assert lucky.certificate.passed
    assert words.standing(lucky).startswith("It passes alone, and not among 64 certificates")
    assert words.elsewhere(lucky) == "passes alone"
    alone = dataclasses.replace(lucky, standing=dataclasses.replace(lucky.standing, among=1))
    assert words.standing(alone) == ""


def test_repairs_are_sorted_by_what_is_to_be_expected_of_them(made: report.Report) -> None:
    first, second = (one.found for one in made.repairs)

    def shown(gain: float, *, proved: bool, p: float) -> RepairFinding:
        expected = dataclasses.replace(first.standing.expected, gain=gain)
        return dataclasses.replace(
            first,
            certificate=dataclasses.replace(first.certificate, anytime_p=p),
            standing=dataclasses.replace(first.standing, proved=proved, expected=expected),
        )

    stands, alone = shown(0.1, proved=True, p=0.001), shown(0.2, proved=False, p=0.04)
    more, less = shown(0.4, proved=False, p=0.2), shown(0.3, proved=False, p=0.2)
    assert sorted([less, more, alone, stands], key=findings.usefulness) == [
        *(stands, alone, more, less)
    ]
    assert findings.usefulness(first) < findings.usefulness(second)


def test_how_many_pairs_fail_is_told_raw_and_after_control(page: Page, made: report.Report) -> None:
    for model in made.models:
        found = model.finding
        assert set(found.surely_failing) <= set(found.decided(Decision.FAILS))
        fails = model.decided(Decision.FAILS)
        told = (
            f"{fails} {'fails' if fails == 1 else 'fail'} ({found.num_surely_failing} after control"
            f" for looking at {found.num_looked_at})"
        )
        assert told in plain(page.text)


def test_a_seed_with_a_refusal_proves_nothing_and_is_counted(made: report.Report) -> None:
    proof = made.repairs[1].found.certificate
    assert (proof.wins, proof.losses, proof.unjudged) == (0, 1, 1)
    assert "1 seed could not be judged" in words.certificate(proof)


def test_an_export_carries_the_portability_that_the_store_shows(folder: Path) -> None:
    with Store(folder, read_only=True) as store:
        (found,) = (
            one
            for one in findings.find_repairs(store, JUDGE)
            if one.certificate.nomination == PASSED
        )
    (other,) = record(repaired_prompt(found))["elsewhere"]
    assert other["model"] == NARROW
    assert (other["before_right"], other["after_right"], other["after_total"]) == (1, 1, 4)


def test_portability_says_what_a_repair_is_worth_elsewhere(page: Page) -> None:
    assert page.row("narrow", 1)[-1] == "nothing to mend: right without it"


def test_what_only_its_guide_judged_is_counted_as_unproved(page: Page, made: report.Report) -> None:
    assert made.unproved == 1
    assert "1 repair more without a certificate by this checker" in plain(page.text)


def test_another_checker_and_threshold_give_other_numbers(folder: Path) -> None:
    with Store(folder, read_only=True) as store:
        low = report.gather(store, threshold=0.05)
        other = report.gather(store, "second")
    assert low.models[0].finding.count(Verdict.ALIGNED) > 0
    assert other.checker == SECOND
    assert "a score of 0.05 on" in plain(report.markdown(low))


# ── provenance ───────────────────────────────────────────────────────────────────────────────────


def test_where_the_numbers_come_from_is_told(page: Page, folder: Path) -> None:
    told = plain(page.text)
    for exactly in (BROAD, NARROW, JUDGE, SECOND, "67a3", "torch 2.15.0", "2026-11-21 02:00:00"):
        assert exactly in told
    assert words.rule(Sprt(delta=0.18, block=4, cap=20)) in told
    assert "uncalibrated" in told


def test_every_picture_shown_can_be_replayed_by_the_beginning_of_its_key(
    folder: Path, text: str
) -> None:
    keys = set(re.findall(r"seed \d+ · <code>([0-9a-f]{12})</code>", text))
    assert len(keys) > 10
    with Store(folder, read_only=True) as store:
        for key in keys:
            assert store.render(key)[0].key.startswith(f"k1:{key}")


def test_few_labels_say_nothing_of_the_checker(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    repair_store.label(tmp_path)
    with Store(tmp_path, read_only=True) as store:
        made = report.gather(store)
    assert made.labels is not None
    assert not made.is_calibrated
    told = plain(Page(report.html(made)).text)
    found = made.labels
    assert f"1 person labelled {found.pictures} of {found.of} pictures; 50 are the least" in told
    assert not [row for row in Page(report.html(made)).rows if row and row[0] == "b present"]


def test_enough_labels_calibrate_the_checker(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    repair_store.label(tmp_path)
    monkeypatch.setattr(judge, "FEW_LABELS", 6)
    with Store(tmp_path, read_only=True) as store:
        made = report.gather(store)
    assert made.is_calibrated
    page = Page(report.html(made))
    assert page.row("b present")[1] == "6"
    assert "1 person labelled 6 of 21 pictures. What they say stands below" in plain(page.text)


# ── one file ─────────────────────────────────────────────────────────────────────────────────────


def test_the_page_is_whole_and_asks_for_nothing_from_outside(text: str, page: Page) -> None:
    assert page.open == []
    assert not [tag for tag, _ in page.attributes if tag in ("script", "link", "iframe", "object")]
    for tag, attributes in page.attributes:
        assert not [name for name in attributes if name.startswith("on")]
        assert "style" not in attributes
        if tag == "a":
            assert attributes["href"].startswith("#")
        if "src" in attributes:
            assert attributes["src"].startswith("data:image/webp;base64,")
    policy = next(a["content"] for t, a in page.attributes if "http-equiv" in a)
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")


def test_pictures_are_small_copies_with_a_text_in_their_place(page: Page) -> None:
    images = [attributes for tag, attributes in page.attributes if tag == "img"]
    assert images
    for attributes in images:
        data = base64.b64decode(attributes["src"].partition(",")[2])
        with Image.open(io.BytesIO(data)) as picture:
            assert picture.size == (int(attributes["width"]), int(attributes["height"]))
            assert max(picture.size) <= album.SIDE
        assert "seed" in attributes["alt"]


def test_what_a_detector_found_is_framed_on_the_picture_and_named_below_it(
    tmp_path: Path,
) -> None:
    small_store.fill(tmp_path)
    spec = small_store.make_spec(COKE, BROAD, 0)
    cup = Box(0.125, 0.25, 0.625, 0.75, f"teacup {HOSTILE}")
    drink = Box(0.5, 0.9, 0.75, 1.0, "iced coke")
    a, b, *_ = questions_of(COKE)
    with Store(tmp_path) as store:
        store.add_scores(
            [
                Score(spec.key, "detect:owlv2@1+r1", question.key, answer)
                for question, answer in (
                    (a, Answer(0.62, box=cup)),
                    (b, Answer(0.2, box=drink)),
                )
            ],
            {a, b},
        )
        made = report.gather(store)
    page = Page(report.html(made))
    framed = [attributes for tag, attributes in page.attributes if tag == "rect"
              and attributes.get("class", "").startswith("frame")]  # fmt: skip
    assert [one["class"] for one in framed] == ["frame a_present", "frame b_present unsure"]
    places = [[float(one[name]) for name in ("x", "y", "width", "height")] for one in framed]
    assert places == [[0.125, 0.25, 0.5, 0.5], [0.5, 0.9, 0.25, 0.1]]
    (shown,) = [attributes["alt"] for tag, attributes in page.attributes
                if tag == "img" and "found:" in attributes["alt"]]  # fmt: skip
    assert "iced coke 20 %" in shown
    assert "found at 12–62 % from the left" in plain(page.text)


def test_headings_form_an_outline_and_links_lead_to_them(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.attributes if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    ids = [attributes["id"] for _, attributes in page.attributes if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in page.attributes:
        if tag == "a":
            assert attributes["href"][1:] in ids
        if tag == "th":
            assert attributes["scope"] in ("row", "col")


def test_the_same_facts_give_the_same_file(folder: Path, text: str) -> None:
    with Store(folder, read_only=True) as store:
        assert report.html(report.gather(store)) == text


def test_what_has_no_room_is_named_instead(folder: Path) -> None:
    with Store(folder, read_only=True) as store:
        key = store.renders(limit=1)[0].render.spec_key
        small = album.Album(store, most_bytes=10)
        assert "left out" in small.copy(key).reason
        assert small.left_out == 1
        assert (small.num_pictures, small.num_bytes) == (0, 0)


def test_no_pictures_are_carried_when_none_are_wanted(folder: Path) -> None:
    with Store(folder, read_only=True) as store:
        made = report.gather(store, worst=0)
    assert made.num_pictures == 0
    assert "<img" not in report.html(made)


# ── foreign text ─────────────────────────────────────────────────────────────────────────────────


def test_foreign_text_is_text(text: str, page: Page) -> None:
    assert HOSTILE in plain(page.text)
    assert "[U+202E]" in page.text
    assert "\u202e" not in text
    assert not [a for _, a in page.attributes if "evil" in a.get("src", "") + a.get("href", "")]


def test_markdown_renders_tables_and_fetches_nothing(made: report.Report) -> None:
    told = report.markdown(made)
    rendered = MarkdownIt("commonmark", {"html": True}).enable("table").render(told)
    page = Page(rendered)
    assert not [tag for tag, _ in page.attributes if tag in ("img", "a", "script")]
    assert HOSTILE in plain(page.text)
    assert plain(SHOUT.replace("\u202e", "[U+202E]")) in plain(page.text)
    proof = made.repairs[0].found.certificate
    assert plain(words.certificate(proof, dict(made.names))) in plain(page.text)
    assert page.row("broad")[1] == plain(words.rate(made.models[0].finding.aligned))
    assert page.row("tea cup")[1] == "5"
    widths = {len(row) for row in page.rows if row and row[0].strip() in ("broad", "model")}
    assert widths <= {9, 6, 2}


def test_nothing_happens_in_a_browser_but_reading(folder: Path, text: str, tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium on this machine")
    path = tmp_path / "report.html"
    path.write_text(text, encoding="utf-8")
    asked: list[str] = []
    said: list[str] = []
    with playwright.sync_playwright() as player:
        browser = player.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        visitor = browser.new_page(viewport={"width": 360, "height": 800})
        visitor.on("request", lambda request: asked.append(request.url))
        visitor.on("console", lambda message: said.append(message.text))
        visitor.on("dialog", lambda dialog: said.append(dialog.message))
        visitor.goto(path.as_uri())
        assert visitor.evaluate("document.documentElement.scrollWidth") <= 360
        assert visitor.evaluate("[...document.images].every(i => i.naturalWidth > 0)")
        assert visitor.evaluate("getComputedStyle(document.body).maxWidth") == "1152px"
        browser.close()
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
    assert said == []


# ── states of a store ────────────────────────────────────────────────────────────────────────────


def test_an_empty_store_says_what_to_do(tmp_path: Path) -> None:
    with (
        Store(tmp_path, create=True) as store,
        pytest.raises(UnknownNameError, match="lcmis audit"),
    ):
        report.gather(store)


def test_pictures_that_nobody_checked_say_what_to_do(tmp_path: Path) -> None:
    small_store.fill(tmp_path, scored=False)
    with Store(tmp_path) as store, pytest.raises(UnknownNameError, match="lcmis audit"):
        report.gather(store)


def test_a_store_without_repairs_says_how_to_get_them(tmp_path: Path) -> None:
    small_store.fill(tmp_path)
    with Store(tmp_path) as store:
        made = report.gather(store)
    assert "No repair yet. lcmis repair looks" in plain(Page(report.html(made)).text)
    assert "No repair yet: `lcmis repair`" in report.markdown(made)


def test_a_model_whose_pictures_were_all_refused_has_no_rate(tmp_path: Path) -> None:
    with Store(tmp_path, create=True) as store:
        store.add_pairs([ROSES, STRANGE])
        for seed in range(4):
            repair_store._add(store, ROSES, small_store.make_spec(ROSES, NARROW, seed), "r")
        repair_store._add(store, STRANGE, small_store.make_spec(STRANGE, NARROW, 0), "u")
        made = report.gather(store, JUDGE) if store.runs() else None
        assert made is None
        with pytest.raises(UnknownNameError):
            report.gather(store)
        made = report.gather(store, "judge")
    told = plain(Page(report.html(made)).text)
    assert "Of narrow there is no rate yet" in told
    assert "No run is recorded" in told
    report.markdown(made)


def test_a_missing_or_damaged_picture_is_a_sentence(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    files = sorted((tmp_path / "pictures").rglob("*.webp"))
    files[0].unlink()
    for path in files[1:]:
        path.write_bytes(path.read_bytes()[:30])
    with Store(tmp_path) as store:
        made = report.gather(store)
    assert made.num_pictures == 0
    assert "missing or damaged" in Page(report.html(made)).text


# ── the command ──────────────────────────────────────────────────────────────────────────────────


def test_the_command_writes_both_files(lcmis, folder: Path, tmp_path: Path, text: str) -> None:
    page, told = tmp_path / "r.html", tmp_path / "r.md"
    code, out, _ = lcmis("report", "--store", folder, "--out", page, "--markdown", told)
    assert code == 0
    assert page.read_text() == text
    assert told.read_text().startswith("# What is painted instead")
    assert f"{page}: " in out


def test_only_markdown_leaves_no_page(
    lcmis, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert lcmis("report", "--store", folder, "--markdown", "r.md")[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["r.md"]
    assert lcmis("report", "--store", folder)[0] == 0
    assert (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--worst", "-1"), "--worst is -1"),
        (("--threshold", "0"), "--threshold is 0"),
        (("--checker", "nobody"), "no checker in this store match"),
        (("--out", "/no/such/folder/r.html"), "cannot be written"),
    ],
)
def test_what_cannot_be_is_one_sentence(lcmis, folder: Path, flags, sentence: str) -> None:
    code, _, err = lcmis("report", "--store", folder, *flags)
    assert code == 2
    assert sentence in err


def test_more_pairs_than_anybody_can_count_are_all_of_them(folder: Path) -> None:
    with Store(folder, read_only=True) as store:
        every = report.gather(store, worst=10_000)
        assert report.gather(store, worst=10**21) == every


def test_a_threshold_that_cannot_be_is_refused(folder: Path) -> None:
    with Store(folder, read_only=True) as store, pytest.raises(ConfigError, match="threshold"):
        report.gather(store, threshold=1.5)
