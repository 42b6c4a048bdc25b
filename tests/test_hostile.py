"""Texts by people who mean harm, through every face: shown as they are, and doing nothing."""

from __future__ import annotations

import ast
import csv
import json
import os
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pyarrow.parquet
import pytest
from markdown_it import MarkdownIt
from test_export import repaired
from worlds import hostile, pages

from lcmis.errors import ConfigError
from lcmis.export import report
from lcmis.export.formats import export
from lcmis.machine import letters
from lcmis.machine.secrets import withheld
from lcmis.store import Store
from lcmis.types import Concept, ConceptPair, Stage

NUMBER = 10_000 if os.environ.get("LCMIS_FAULTS") == "all" else 150
TAME = [f"word {number}" for number in range(NUMBER)]
SAID = hostile.texts(NUMBER)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("hostile")
    with Store(place, create=True) as store:
        hostile.fill(store, SAID)
    return place


@pytest.fixture(scope="module")
def tame(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("tame")
    with Store(place, create=True) as store:
        hostile.fill(store, TAME)
    return place


def acting(text: str) -> set[str]:
    return {letter for letter in text if letter != "\n" and letters.acts(letter)}


# ── terminal ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("asked", [(), ("failures",)])
def test_a_terminal_is_not_told_what_to_do(folder, lcmis, asked):
    code, out, errors = lcmis("show", *asked, "--store", str(folder))
    assert code == 0
    assert acting(out + errors) == set()


def test_nothing_shown_of_a_pair_or_a_picture_acts_on_the_terminal(folder, lcmis):
    with Store(folder, read_only=True) as store:
        found = [(one.pair_key, one.render.spec_key) for one in store.renders(limit=12)]
        pairs = {pair.key: pair for pair in store.pairs()}
    for pair, picture in found:
        for name in (pair, picture, pairs[pair].prompt):
            code, out, errors = lcmis("show", "--store", str(folder), "--", name)
            assert acting(out + errors) == set()
            assert code in (0, 2)


def test_json_gives_every_letter_back_and_none_raw(folder, lcmis):
    # What failed is kept without what looks like a password in an address, everything else whole.
    for asked, said in (((), set(SAID)), (("failures",), set(map(withheld, SAID)))):
        _, out, _ = lcmis("show", *asked, "--json", "--store", str(folder))
        assert acting(out) == set()
        assert said <= set(strings(json.loads(out)))


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from strings(one)


# ── pages ────────────────────────────────────────────────────────────────────────────────────────


class Tags(HTMLParser):
    """Every tag with the names of its attributes, counted, and all that an address may be in."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[tuple[str, ...]] = Counter()
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags[(tag, *sorted(name for name, _ in attrs))] += 1
        told = [text or "" for name, text in attrs if name in ("src", "href", "srcset", "action")]
        self.addresses += [text for text in told if not text.startswith(("data:image/", "#"))]


def test_a_report_has_the_tags_of_a_tame_one_and_no_address(folder, tame):
    pages = []
    for place in (folder, tame):
        with Store(place, read_only=True) as store:
            pages.append(report.html(report.gather(store)))
    theirs, ours = map(Tags, pages)
    assert theirs.tags == ours.tags
    assert theirs.addresses == ours.addresses == []
    assert acting(pages[0]) == set()


def test_a_report_in_markdown_has_the_tags_of_a_tame_one(folder, tame):
    rendered = []
    reader = MarkdownIt("gfm-like", {"html": True, "linkify": False}).enable("table")
    for place in (folder, tame):
        with Store(place, read_only=True) as store:
            told = report.markdown(report.gather(store))
        assert acting(told) == set()
        rendered.append(Tags(reader.render(told)))
    theirs, ours = rendered
    assert theirs.tags == ours.tags
    assert theirs.addresses == []


SILENT = {"STREAMLIT_BROWSER_GATHER_USAGE_STATS": "false"}
ALL_TOGETHER = """
import sys
sys.path.insert(0, {dashboard!r})
import json, streamlit as st
from looks import plain
for text in json.load(open({file!r}, encoding="utf-8")):
    st.markdown(plain(text))
st.title("Done")
"""


def test_a_browser_shows_them_letter_for_letter_and_asks_nobody(tmp_path):
    said = [text for text in SAID[:1000] if text.isascii() and letters.visible(text) == text]
    (tmp_path / "said.json").write_text(json.dumps(SAID[:1000]), "utf-8")
    script = ALL_TOGETHER.format(dashboard=str(pages.DASHBOARD), file=str(tmp_path / "said.json"))
    (tmp_path / "page.py").write_text(script, "utf-8")
    with (
        pages.started() as chromium,
        pages.running(tmp_path / "page.py", SILENT) as url,
        pages.visited(chromium, url) as page,
    ):
        page.goto("/")
        pages.settled(page, "Done")
        inside = "[data-testid=stMarkdown] p"
        foreign = ", ".join(f"{inside} {tag}" for tag in ("a", "img", "svg", "em", "code", "span"))
        assert page.locator(foreign).evaluate_all("all => all.map(one => one.outerHTML)") == []
        shown = page.locator(inside).all_inner_texts()
    plainly = {" ".join(text.replace("\u2060", "").split()) for text in shown}
    assert {" ".join(text.split()) for text in said} - plainly == set()


# ── files ────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def repairs():
    made = []
    for text in SAID[:2000]:
        pair = ConceptPair(Concept(text), Concept(f"{text} too"), f"{text} of {text}")
        made.append(
            repaired(Stage(text, 0.2), Stage(f"{text} {text}"), pair=pair, negative_prompt=text)
        )
    return made


def test_a_table_gives_them_back_and_no_cell_is_a_formula(repairs, tmp_path):
    export(repairs, "csv", tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(repairs)
    starts = {value.strip()[:1] for row in rows for value in row.values() if isinstance(value, str)}
    assert not starts & set("=+@-")
    export(repairs, "parquet", tmp_path / "a.parquet")
    kept = pyarrow.parquet.read_table(tmp_path / "a.parquet").to_pylist()
    assert [row["prompt"] for row in kept] == [f"{text} {text}" for text in SAID[:2000]]
    export(repairs, "jsonl", tmp_path / "a.jsonl")
    lines = (tmp_path / "a.jsonl").read_bytes().split(b"\n")[:-1]
    assert [json.loads(line)["prompt"] for line in lines] == [f"{t} {t}" for t in SAID[:2000]]


def test_a_script_holds_them_as_words_only(repairs, tmp_path):
    export(repairs, "diffusers", tmp_path / "a.py")
    source = (tmp_path / "a.py").read_text("utf-8")
    assert acting(source) == set()
    constants = {
        node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)
    }
    assert {f"{text} {text}" for text in SAID[:2000]} <= constants
    named = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
    export([repaired()], "diffusers", tmp_path / "b.py")
    tame = ast.parse((tmp_path / "b.py").read_text("utf-8"))
    assert named == {node.id for node in ast.walk(tame) if isinstance(node, ast.Name)}


def test_a_graph_is_one_graph_a_repair(repairs, tmp_path):
    export(repairs, "comfyui", tmp_path / "a.json")
    ours = json.loads((tmp_path / "a.json").read_text("utf-8"))
    assert isinstance(ours, dict)
    try:
        export(repairs, "a1111", tmp_path / "a.txt")
    except ConfigError:
        return
    assert len((tmp_path / "a.txt").read_text("utf-8").split("\n\n")) <= len(repairs) + 1
