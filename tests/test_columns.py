"""Tables of prompts: which column is read, whatever its quotes, line ends and spaces."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from lcmis.audit.config import load_config
from lcmis.audit.pairs import chosen_pairs
from lcmis.cli import app
from lcmis.errors import ConfigError
from lcmis.propose.catalogue import read_pairs
from lcmis.propose.formats import Line, open_set, pairs_in
from lcmis.propose.formats.rows import HEADINGS
from lcmis.text.words import lines, plain

PROMPT = "a fork and a wig"
OTHER = "a harp on a box"


def read(folder: Path, name: str, content: str, **said: Any) -> list[Line]:
    path = folder / name
    path.write_bytes(content.encode())
    return list(open_set(path, **said).lines())


def prompts(found: list[Line]) -> list[str]:
    return [line.prompt for line in found if line.pair]


# ── which column ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("heading", HEADINGS)
@pytest.mark.parametrize("name", ["p.csv", "p.tsv", "p.jsonl", "p.json", "whatever"])
def test_the_only_column_that_is_known_to_hold_prompts_is_found(
    tmp_path: Path, heading: str, name: str
) -> None:
    spelled = heading.title()
    row = {"No": "1", spelled: PROMPT}
    content = {
        "p.csv": f"No,{spelled}\n1,{PROMPT}\n",
        "p.tsv": f"No\t{spelled}\n1\t{PROMPT}\n",
        "p.jsonl": json.dumps(row),
        "p.json": json.dumps([row]),
        "whatever": f"No;{spelled}\n1;{PROMPT}\n",
    }[name]
    assert prompts(read(tmp_path, name, content)) == [PROMPT]
    assert [pair.prompt for pair in pairs_in(tmp_path / name)[0]] == [PROMPT]


@pytest.mark.parametrize("name", ["Short Description", "prompt-en", "TEXT  PROMPT"])
def test_the_name_of_a_column_may_be_spelled_with_spaces_and_dashes(
    tmp_path: Path, name: str
) -> None:
    for form in ("x.csv", "x"):
        assert prompts(read(tmp_path, form, f"id,{name}\n1,{PROMPT}\n")) == [PROMPT]


def test_a_column_called_prompt_goes_before_all_others(tmp_path: Path) -> None:
    content = f"text,prompt,caption\nx,{PROMPT},y\n"
    assert prompts(read(tmp_path, "p.csv", content)) == [PROMPT]


@pytest.mark.parametrize("reading", [open_set, pairs_in])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "text,caption\nx,y\n",
            r"several columns may hold the prompts \(text, caption\).*--column",
        ),
        ("Ask,size\nx,y\n", "no column is known .* of ask, size: name the one .* --column"),
    ],
)
def test_where_no_one_column_can_be_told_a_sentence_lists_them(
    tmp_path: Path, reading: Any, content: str, said: str
) -> None:
    path = tmp_path / "p.csv"
    path.write_text(content)
    with pytest.raises(ConfigError, match=said) as caught:
        reading(path)
    assert "\n" not in str(caught.value)


def test_a_column_that_is_named_is_read(tmp_path: Path) -> None:
    content = f"prompt,Ask,category\na walrus,{PROMPT},made up\n"
    (line,) = read(tmp_path, "p.csv", content, column="ask")
    assert line.pair is not None
    assert (line.prompt, line.pair.pattern) == (PROMPT, "made up")
    pairs, told = pairs_in(tmp_path / "p.csv", "Ask")
    assert [pair.prompt for pair in pairs] == [PROMPT]
    assert told is not None


def test_a_named_column_serves_a_named_format(tmp_path: Path) -> None:
    row = {"ask": PROMPT, "include": [{"class": "fork"}, {"class": "wig"}], "prompt": "x"}
    (line,) = read(tmp_path, "p.jsonl", json.dumps(row), form="geneval", column="ask")
    assert prompts([line]) == [PROMPT]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("p.csv", "ask,size\nx,y\n", "no column 'asks': it has ask, size; did you mean 'ask'"),
        ("p.txt", "a fork and a wig\n", "is text and has no columns: leave --column out"),
    ],
)
def test_a_column_that_is_not_there_is_said(
    tmp_path: Path, name: str, content: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        read(tmp_path, name, content, column="asks")


def test_the_commands_take_a_column(tmp_path: Path) -> None:
    path, into = tmp_path / "p.csv", tmp_path / "pairs.jsonl"
    path.write_text(f"ask,size\n{PROMPT},y\n")
    told = CliRunner().invoke(app, ["import", str(path), "--column", "Ask", "--into", str(into)])
    assert told.exit_code == 0
    assert [pair.prompt for pair in read_pairs(into)] == [PROMPT]
    asked = ["plan", "-m", "teacup-narrow", "-p", str(path), "--store", str(tmp_path / "none")]
    assert CliRunner().invoke(app, [*asked, "--column", "ask"]).exit_code == 0
    refused = CliRunner().invoke(app, asked)
    assert isinstance(refused.exception, ConfigError)
    config = load_config(pairs=(str(path),), column="ask")
    assert [pair.prompt for pair in chosen_pairs(config).pairs] == [PROMPT]


def test_a_column_without_a_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="column is 'ask', but none of the files"):
        chosen_pairs(load_config(column="ask"))


# ── quotes, tabs, lines ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("row", "prompt"),
    [
        ('a 12" pizza in a box\tx', 'a 12" pizza in a box'),
        ('"a fork and a wig"\tx', PROMPT),
        ('"a ""fork"" and a wig"\tx', 'a "fork" and a wig'),
        ('"a fork and a wig\tx', '"a fork and a wig'),
    ],
)
def test_a_quote_between_tabs_is_a_letter_unless_it_surrounds_a_cell(
    tmp_path: Path, row: str, prompt: str
) -> None:
    found = read(tmp_path, "p.tsv", f"Prompt\tnote\n{row}\n{OTHER}\ty\n")
    assert [line.prompt for line in found] == [prompt, OTHER]


def test_a_quote_within_a_cell_of_a_csv_file_opens_nothing(tmp_path: Path) -> None:
    found = read(tmp_path, "p.csv", f'prompt,note\na fork and a 6" wig,x\n{PROMPT},y\n')
    assert [(line.number, line.prompt) for line in found] == [
        (2, 'a fork and a 6" wig'),
        (3, PROMPT),
    ]


def test_a_quoted_cell_may_hold_lines_commas_and_quotes(tmp_path: Path) -> None:
    found = read(tmp_path, "p.csv", f'note,prompt\n"x, ""y""\nz",{PROMPT}\nw,{OTHER}\n')
    assert [line.number for line in found if line.pair] == [2, 4]


@pytest.mark.parametrize("odd", ["\u2028", "\u0085", "\x0b", "\x1c", "\u2029"])
def test_only_a_line_feed_ends_a_line(tmp_path: Path, odd: str) -> None:
    rows = [json.dumps({"prompt": PROMPT, "note": f"x{odd}y"}, ensure_ascii=False), "{}"]
    assert len(read(tmp_path, "p.jsonl", "\n".join(rows))) == 2
    assert prompts(read(tmp_path, "p.csv", f"prompt,note\n{PROMPT},x{odd}y\n")) == [PROMPT]
    assert list(lines(f"x{odd}y\r\nz")) == [(1, f"x{odd}y"), (2, "z")]
    own = tmp_path / "own.jsonl"
    own.write_text(json.dumps({"a": "fork", "b": "wig", "prompt": PROMPT, "pattern": "x"}))
    assert len(read_pairs(own)) == 1


def test_a_nameless_column_is_passed_over(tmp_path: Path) -> None:
    assert prompts(read(tmp_path, "p.csv", f",prompt,\n0,{PROMPT},\n1,{OTHER},z\n")) == [
        PROMPT,
        OTHER,
    ]


# ── Parquet ──────────────────────────────────────────────────────────────────────────────────────


def test_parquet_is_read_and_its_pictures_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "train-00000.parquet"
    picture = {"bytes": b"\x89PNG", "path": "1.png"}
    pyarrow.parquet.write_table(
        pa.table({"image": [picture, picture], "caption": [PROMPT, None], "n": [1, 2]}), path
    )
    first, second = open_set(path).lines()
    assert (first.number, first.prompt) == (1, PROMPT)
    assert first.pair is not None
    assert second.reason == "the field 'caption' is missing"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ConfigError, match="not Parquet that can be read"):
        list(open_set(path).lines())


# ── one spelling ─────────────────────────────────────────────────────────────────────────────────

NFD = unicodedata.normalize("NFD", "a café table and a crêpe")
NFC = unicodedata.normalize("NFC", NFD)
SPELLINGS = [NFD, NFC, NFC.replace(" ", "\u00a0"), "\ufeff" + NFC.replace("f", "f\u200b")]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.txt", "{}"),
        ("p.csv", "prompt\n{}\n"),
        ("p.tsv", "prompt\tx\n{}\ty\n"),
        ("p.jsonl", '{{"prompt": "{}"}}'),
        ("p.json", '[{{"prompt": "{}"}}]'),
        (
            "g.jsonl",
            '{{"prompt": "{}", "include": [{{"class": "café table"}}, {{"class": "crêpe"}}]}}',
        ),
        ("o.jsonl", '{{"prompt": "{}", "a": "café table", "b": "crêpe"}}'),
        ("o.csv", "prompt,a,b\n{},café table,crêpe\n"),
    ],
)
def test_what_looks_the_same_is_the_same_pair(
    tmp_path: Path, name: str, content: str, spelling: str
) -> None:
    path = tmp_path / name
    path.write_text(content.format(spelling), encoding="utf-8")
    (pair,) = pairs_in(path)[0]
    assert (pair.prompt, pair.a.name, pair.b.name) == (NFC, "café table", "crêpe")


def test_a_catalogue_is_read_in_one_spelling(tmp_path: Path) -> None:
    path = tmp_path / "o.toml"
    path.write_text(
        f'source = "x"\nlicence = "y"\n[concepts]\n"{NFD[2:13]}" = {{}}\n"crêpe" = {{}}\n'
        f'[[patterns]]\nname = "z"\n[[patterns.pairs]]\na = "café table"\nb = "crêpe"\n'
        f'prompt = "{NFD}"\n',
        encoding="utf-8",
    )
    (pair,) = read_pairs(path)
    assert (pair.prompt, pair.a.name) == (NFC, "café table")


@given(st.text())
def test_plain_text_stays_as_it_is(text: str) -> None:
    once = plain(text)
    assert plain(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert not {"\u00a0", "\u200b", "\ufeff", "\u2003"} & set(once)
