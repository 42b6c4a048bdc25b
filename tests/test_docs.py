"""What the README and docs/ say is so: their blocks run, their commands, files and links exist."""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import itertools
import json
import re
import shlex
import statistics
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from markdown_it import MarkdownIt
from markdown_it.token import Token
from worlds import small_store, toys
from worlds.installed import forget_packages

from lcmis import judge
from lcmis.audit.config import load_config
from lcmis.cli import app
from lcmis.plugins import registry
from lcmis.propose.catalogue import read_pairs
from lcmis.store import Store

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
EACH_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
ONLY_READ = {"gpu", "hub", "service", "browser", "slow"}
"""Behind ``shell``: what a block needs that a test has not."""
ANSWERS = {"gate": (0, 1, 3)}
"""Exit codes that are answers and no failures."""
AUDIT = """
pairs = ["toys.toml"]

[[models]]
name = "toy"
scheduler = "deaf"

[[checkers]]
kind = "toy"

[[checkers]]
kind = "toy"
name = "guide"
"""


# ── pages, and what stands on them ────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Block:
    """A block of code on a page."""

    page: Path
    line: int
    language: str
    words: tuple[str, ...]
    """What stands behind the language: what it needs, or the name of its file."""
    text: str

    @property
    def where(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def file(self) -> str:
        return next((word for word in self.words if "." in word), "")

    def commands(self) -> list[list[str]]:
        lines = self.text.replace("\\\n", " ").splitlines()
        return [words for line in lines if (words := shlex.split(line, comments=True))]


@functools.cache
def tokens(page: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(page.read_text("utf-8"))


def blocks(page: Path, *languages: str) -> list[Block]:
    found = []
    for token in tokens(page):
        if token.type == "fence":
            language, *words = token.info.split() or [""]
            found.append(Block(page, token.map[0] + 1, language, tuple(words), token.content))
    return [block for block in found if not languages or block.language in languages]


def inside(page: Path, kind: str) -> Iterator[Token]:
    """Tokens within lines: links, pictures, short code."""
    for token in tokens(page):
        yield from (child for child in token.children or () if child.type == kind)


def short_code(page: Path) -> list[str]:
    return [token.content for token in inside(page, "code_inline")]


def slugs(page: Path) -> set[str]:
    every = tokens(page)
    titles = [
        after.content for token, after in itertools.pairwise(every) if token.type == "heading_open"
    ]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


# ── commands ──────────────────────────────────────────────────────────────────────────────────────


@functools.cache
def every_command() -> dict[str, typer.core.TyperCommand]:
    """``"audit"``, ``"db upgrade"``, … → what typer makes of it."""
    found = {}
    for name, command in typer.main.get_command(app).commands.items():
        for inner, one in getattr(command, "commands", {"": command}).items():
            found[f"{name} {inner}".strip()] = one
    return found


def command_of(words: list[str]) -> tuple[str, list[str]]:
    """The command that ``lcmis WORDS`` runs, and what it is told."""
    for count in (2, 1):
        if (name := " ".join(words[:count])) in every_command():
            return name, words[count:]
    raise AssertionError(f"there is no command `lcmis {' '.join(words[:2])}`")


def parsed(words: list[str]) -> None:
    """An option or a value that the command does not know is an error."""
    name, told = command_of(words)
    every_command()[name].make_context(f"lcmis {name}", list(told))


def options(command: typer.core.TyperCommand) -> set[str]:
    return {name for one in command.params for name in (*one.opts, *one.secondary_opts)} | {
        "--help"
    }


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))


# ── what is only read ─────────────────────────────────────────────────────────────────────────────


@EACH_PAGE
def test_every_command_of_a_block_is_one_with_its_options(page):
    for block in blocks(page, "shell"):
        assert set(block.words) <= ONLY_READ, f"{block.where}: what is {block.words}?"
        for first, *words in block.commands():
            match first:
                case "lcmis":
                    parsed(words)
                case "make":
                    assert set(words) <= targets(), block.where
                case "export":
                    name = words[0].partition("=")[0]
                    assert f'"{name}"' in (ROOT / "lcmis/audit/config.py").read_text(), block.where
                case "pytest":
                    assert words[0] in {other.file for other in blocks(page)}, block.where
                case _:
                    pytest.fail(f"{block.where}: `{first}` is no command that docs may use")


@EACH_PAGE
def test_short_code_names_commands_and_options_that_are(page):
    every = set().union(*map(options, every_command().values())) | {"--version"}
    for text in short_code(page):
        if text.startswith("lcmis ") and not text.startswith("lcmis --"):
            name, told = command_of(shlex.split(text)[1:])
            flags = {word for word in told if word.startswith("-")}
            assert flags <= options(every_command()[name]), text
        elif text.startswith("make ") and "=" not in text:
            assert set(text.split()[1:]) <= targets(), text
        elif text.startswith("-"):
            assert text.split()[0] in every, text


@EACH_PAGE
def test_methods_that_a_page_names_are_registered(page):
    known = {*registry.names("repairers"), *registry.names("inverters"), "turned"}
    for block in blocks(page, "shell"):
        for words in block.commands():
            for flag, value in itertools.pairwise(words):
                if flag == "--method":
                    assert set(value.split(",")) <= known, block.where


@EACH_PAGE
def test_files_that_a_page_names_are_there(page):
    named = re.findall(
        r"(?<![\w./-])(?:lcmis|tests|data|dashboard|docs|migrations)/[\w./-]*",
        page.read_text("utf-8"),
    )
    assert [name for name in named if not (ROOT / name.rstrip(".")).exists()] == []


@EACH_PAGE
def test_modules_that_a_page_names_are_there(page):
    for name in set(re.findall(r"\blcmis(?:\.\w+)+", page.read_text("utf-8"))):
        kind = name.removeprefix("lcmis.")
        assert kind in registry.BUILT_IN or is_there(name), name


def is_there(dotted: str) -> bool:
    """A module, or something in one."""
    module, _, attribute = dotted.rpartition(".")
    try:
        if importlib.util.find_spec(dotted) is not None:
            return True
    except ModuleNotFoundError:  # what stands before the last dot is no package
        pass
    return hasattr(importlib.import_module(module), attribute)


@EACH_PAGE
def test_links_and_pictures_of_a_page_lead_somewhere(page):
    linked = [token.attrs["href"] for token in inside(page, "link_open")]
    shown = [token.attrs["src"] for token in inside(page, "image")]
    for link in [*linked, *shown]:
        if "://" in link:
            continue
        name, _, place = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.is_file(), link
        if place:
            assert place in slugs(target), link


def test_every_page_is_linked_from_the_readme_and_every_picture_is_shown():
    linked = {token.attrs["href"].partition("#")[0] for token in inside(PAGES[0], "link_open")}
    assert {str(page.relative_to(ROOT)) for page in PAGES[1:]} - linked == set()
    shown = {Path(token.attrs["src"]).name for page in PAGES for token in inside(page, "image")}
    assert {path.name for path in (ROOT / "docs/pictures").iterdir()} - shown == set()


def test_every_command_is_on_some_page():
    told = [text for page in PAGES for text in short_code(page)]
    told += [block.text for page in PAGES for block in blocks(page, "shell")]
    said = " ".join(" ".join(told).split())
    assert [name for name in every_command() if f"lcmis {name}" not in said] == []


def test_the_readme_is_short():
    assert len(PAGES[0].read_text("utf-8").splitlines()) <= 95


def test_the_tree_is_what_the_modules_say_of_themselves():
    (shown,) = [
        block for block in blocks(ROOT / "docs/house.md", "text") if block.words == ("tree",)
    ]
    assert shown.text == tree(), f"in docs/house.md the tree should be:\n{tree()}"


def tree() -> str:
    """Every entry of ``lcmis/`` with its first line, and the rooms inside rooms below theirs."""
    lines = ["lcmis/"]
    folder = ROOT / "lcmis"
    entries = [*folder.glob("*/__init__.py"), *folder.glob("*.py"), *folder.glob("*/*/__init__.py")]
    named = sorted(
        (path.parent if path.name == "__init__.py" else path, path)
        for path in entries
        if path.parent != folder or path.name != "__init__.py"
    )
    for name, path in named:
        depth = len(name.relative_to(folder).parts)
        spoken = "  " * depth + name.name + ("/" if name.is_dir() else "")
        first = ast.get_docstring(ast.parse(path.read_text("utf-8"))).splitlines()[0]
        lines.append(f"{spoken:<20}{first}")
    return "\n".join(lines) + "\n"


@EACH_PAGE
def test_settings_that_a_page_shows_can_be_read(page, tmp_path):
    for block in blocks(page, "toml"):
        table = tomllib.loads(block.text)
        path = tmp_path / "block.toml"
        path.write_text(block.text, "utf-8")
        if "project" in table:
            groups = set(table["project"]["entry-points"])
            assert groups <= {f"lcmis.{kind}" for kind in registry.BUILT_IN}, block.where
        elif "concepts" in table:
            assert read_pairs(path), block.where
        else:
            assert load_config(path).models, block.where


def test_make_says_what_it_does_before_it_takes_long_and_needs_no_more_than_pip():
    for uv in ("uv", ""):
        planned = subprocess.run(
            ["make", "--dry-run", "--always-make", "audit", f"UV={uv}"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        steps = [line for line in planned.splitlines() if re.match(r'echo "\d/3', line)]
        assert [step[6:9] for step in steps] == ["1/3", "2/3", "3/3"]
        installs = next(line for line in planned.splitlines() if "-e ." in line)
        assert ("uv pip" if uv else ".venv/bin/python -m pip") in installs
        assert "sleep 15" in installs, "nothing is said while it installs"


def test_make_help_lists_every_target():
    shown = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    assert {line.split()[0] for line in shown.stdout.splitlines()} == targets()


def site():
    spec = importlib.util.spec_from_file_location("site_build", ROOT / "docs/site/build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_site_has_every_page_and_every_module_once(tmp_path):
    site().lay_together(tmp_path / "source")
    front = (tmp_path / "source/index.md").read_text("utf-8")
    pages = {
        path.relative_to(tmp_path / "source") for path in tmp_path.rglob("*.*") if path.is_file()
    }
    texts = {str(page.with_suffix("")) for page in pages if page.suffix in (".md", ".rst")}
    assert {page for page in texts if f"\n{page}\n" not in front} == {"index"}
    told = [
        line.split("::")[1].strip()
        for path in (tmp_path / "source/reference").iterdir()
        for line in path.read_text("utf-8").splitlines()
        if line.startswith(".. automodule::")
    ]
    modules = [path for path in (ROOT / "lcmis").rglob("*.py") if path.parent != ROOT / "lcmis"]
    modules += [path for path in (ROOT / "lcmis").glob("*.py") if not path.stem.startswith("_")]
    assert len(told) == len(set(told)) == len(modules)


def test_a_page_that_would_fetch_from_elsewhere_is_found_out(tmp_path):
    own = '<link href="style.css"><img src="a.webp"><a href="https://example.org">there</a>'
    (tmp_path / "own.html").write_text(own)
    (tmp_path / "own.css").write_text("a { background: url(a.svg) }")
    assert site().foreign(tmp_path) == []
    (tmp_path / "page.html").write_text('<script src="https://cdn.example.org/x.js"></script>')
    (tmp_path / "page.css").write_text("@import 'https://fonts.example.org/a.css';")
    assert len(site().foreign(tmp_path)) == 2


# ── what is run ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> Path:
    """A small audit that is done: toys, one of which paints what is described and not what is
    named, and some pictures of the pair that the docs speak of.
    """
    folder = tmp_path_factory.mktemp("stored")
    with pytest.MonkeyPatch.context() as patch:
        toys.registered(patch)
        pairs = [toys.pair("rubine", "azure"), toys.pair("lime", "amber")]
        config = toys.audited(folder, pairs, "deaf")
    (folder / "pairs.toml").rename(folder / "toys.toml")
    with Store(config.store) as store:
        coke = small_store.COKE
        store.add_pairs([coke])
        for model, kinds in (("teacup-narrow@1", "ggg+"), ("teacup-broad@1", "++++")):
            for seed, kind in enumerate(kinds):
                spec = small_store.make_spec(coke, model, seed)
                small_store.add(store, coke, spec, kind, scored=False)
                said = small_store.answers(coke, kind, "toy:reader@1", spec.key)
                store.add_scores(said, small_store.questions_of(coke))
    (folder / "audit.toml").write_text(AUDIT, "utf-8")
    return folder


@pytest.fixture
def desk(stored, tmp_path, monkeypatch, toys) -> Iterator[Path]:
    """A folder of one's own with that audit in it, where the toys and own plugins are found."""
    subprocess.run(["cp", "-r", f"{stored}/.", tmp_path], check=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]
    forget_packages()


def installed(folder: Path, project: str) -> None:
    """What pip leaves of a package that brings plugins."""
    told = tomllib.loads(project)["project"]
    place = folder / f"{told['name'].replace('-', '_')}-{told['version']}.dist-info"
    place.mkdir()
    (place / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {told['name']}\nVersion: {told['version']}\n"
    )
    lines = []
    for group, names in told["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {where}" for name, where in names.items())]
    (place / "entry_points.txt").write_text("\n".join(lines))
    importlib.invalidate_caches()
    forget_packages()


@EACH_PAGE
def test_the_blocks_of_a_page_run_from_top_to_bottom(page, desk, lcmis, monkeypatch):
    names: dict[str, object] = {"__name__": page.stem}
    for block in blocks(page):
        if block.file:
            (desk / block.file).write_text(block.text, "utf-8")
            if block.file == "pyproject.toml":
                installed(desk, block.text)
        elif block.language == "python":
            code = "\n" * block.line + block.text  # a traceback names the page's own line
            exec(compile(code, str(page), "exec"), names)
        elif block.language == "shell" and not block.words:
            for first, *words in block.commands():
                if first == "pytest":
                    contract(desk, words, block.where)
                else:
                    assert first == "lcmis", block.where
                    ran(lcmis, words, block.where)


def ran(lcmis, words: list[str], where: str) -> None:
    name, _ = command_of(words)
    if name == "init":
        Path("audit.toml").unlink()
    code, out, errors = lcmis(*words)
    assert code in ANSWERS.get(name, (0,)), f"{where}: lcmis {' '.join(words)}\n{out}\n{errors}"
    assert out.strip(), f"{where}: lcmis {' '.join(words)} says nothing"
    if name == "init":  # what it wrote can be read; the page goes on with the small audit
        assert load_config(Path("audit.toml")).models
        Path("audit.toml").write_text(AUDIT, "utf-8")


def contract(desk: Path, words: list[str], where: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words],
        cwd=desk,
        env={"PYTHONPATH": f"{desk}:{ROOT}", "PATH": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{where}\n{done.stdout}{done.stderr}"
    assert re.search(r"\d+ passed", done.stdout), where


# ── figures ──────────────────────────────────────────────────────────────────────────────────────

RACED = ("teacup-narrow", "teacup-partners", "teacup-layout", "teacup-mixture")
METHOD = re.compile(r"\| `(portfolio|rewrite|moce)`(, 24 pictures)?(?:: [a-z ]+)? \|")


def percentages(counts: list[tuple[int, int]]) -> tuple[str, ...]:
    """The rate of right pictures over pairs and its interval, as pages say them."""
    rate = judge.model_rate(counts)
    return tuple(f"{100 * x:.0f}" for x in (rate.value, rate.low, rate.high))


@pytest.mark.parametrize(("page", "rows"), [("README.md", 3), ("docs/repair.md", 4)])
def test_tables_of_repairs_say_what_came_of_every_pair(page: str, rows: int) -> None:
    kept = json.loads((ROOT / "tests/bench/repair.json").read_text("utf-8"))
    lines = (ROOT / page).read_text("utf-8").splitlines()
    found = [(match, line) for line in lines if (match := METHOD.match(line)) and "%" in line]
    assert len(found) == rows
    for match, line in found:
        of_models = kept["24 pictures" if match[2] else "48 pictures"]
        told = re.findall(r"(\d+) %\W* \[(\d+)–(\d+)\]", line)
        for model, said in zip(RACED, told, strict=True):
            counts = [tuple(one["right after"]) for one in of_models[model][match[1]].values()]
            assert len(counts) == 16
            assert said == percentages(counts)


def measured(of_model: str) -> Iterator[list[str]]:
    """The cells behind a model's name in every table of the page of figures."""
    for line in (ROOT / "docs/measured.md").read_text("utf-8").splitlines():
        if line.startswith(f"| `{of_model}` |"):
            yield [cell.strip() for cell in line.split("|")[2:-1]]


def mapped(model: str) -> dict[str, str]:
    """What works for each pair that fails, by the map of truth."""
    path = ROOT / "data/teacup/truth" / f"{model}.json"
    pairs = json.loads(path.read_text("utf-8"))["pairs"]
    return {prompt: entry["works"] for prompt, entry in pairs.items() if entry}


@pytest.mark.parametrize("model", RACED)
def test_the_table_of_what_works_is_the_map_of_truth(model: str) -> None:
    works = Counter(mapped(model).values())
    counts = [works[kind] for kind in ("both", "words", "stages", "none")]
    assert [str(one) for one in (sum(counts), *counts)] in [row[:5] for row in measured(model)]


@pytest.mark.parametrize("model", RACED)
def test_what_a_method_repaired_of_what_can_be_is_counted_by_the_map(model: str) -> None:
    kept = json.loads((ROOT / "tests/bench/repair.json").read_text("utf-8"))["48 pictures"][model]
    rows = {row[0]: row for row in measured(model) if row[0] in ("portfolio", "rewrite", "moce")}
    assert len(rows) == 3
    for method, row in rows.items():
        mendable = [
            prompt for prompt in kept[method] if mapped(model).get(prompt, "none") != "none"
        ]
        reached = [judge.level(*kept[method][prompt]["right after"]) <= 2 for prompt in mendable]
        assert row[6] == f"{sum(reached)} of {len(mendable)}", method


def test_the_table_of_other_methods_says_what_came_of_every_pair() -> None:
    kept = json.loads((ROOT / "tests/bench/repair.json").read_text("utf-8"))["48 pictures"]
    lines = (ROOT / "docs/measured.md").read_text("utf-8").splitlines()
    head = next(place for place, line in enumerate(lines) if line.startswith("| alone on |"))
    models = re.findall(r"`(teacup-\w+)`", lines[head])
    rows = list(itertools.takewhile(lambda line: line.startswith("|"), lines[head + 2 :]))
    assert len(rows) > 9
    for line in rows:
        method, *cells = (cell.strip(" `") for cell in line.strip("|").split("|"))
        for model, cell in zip(models, cells, strict=True):
            if method not in kept[model]:
                assert cell == "–", method
                continue
            counts = [tuple(one.get("right after", (0, 1))) for one in kept[model][method].values()]
            value, low, high = percentages(counts)
            reached = sum(judge.level(*one) <= 2 for one in counts)
            assert cell == f"{value} % [{low}–{high}], {reached} of {len(counts)}", method


DIFFERENCE = re.compile(r"([+−]?\d+) \[([+−]?\d+), ([+−]?\d+)\]")


def differences(kept: dict[str, Any], method: str, models: Sequence[str]) -> tuple[int, ...]:
    """Points of the portfolio less a method on the same pairs, and two standard errors around."""

    def share(came: dict[str, Any]) -> float:
        right, total = came.get("right after", (0, 1))
        return float(right / total)

    apart = [
        100 * (share(kept[model]["portfolio"][prompt]) - share(came))
        for model in models
        for prompt, came in kept[model][method].items()
    ]
    mean, error = statistics.mean(apart), statistics.stdev(apart) / len(apart) ** 0.5
    return tuple(round(one) for one in (mean, mean - 2 * error, mean + 2 * error))


def test_differences_of_the_portfolio_are_those_of_every_pair() -> None:
    kept = json.loads((ROOT / "tests/bench/repair.json").read_text("utf-8"))["48 pictures"]
    lines = (ROOT / "docs/measured.md").read_text("utf-8").splitlines()
    heads = [place for place, line in enumerate(lines) if line.startswith("| portfolio less |")]
    told = 0
    for head in heads:
        models = re.findall(r"`(teacup-\w+)`", lines[head])
        without = [model for model in models if model != "teacup-partners"]
        columns = [[model] for model in models]
        columns += [models, without] if without != models else [models]
        for line in itertools.takewhile(lambda line: line.startswith("|"), lines[head + 2 :]):
            method = line.split("|")[1].strip(" `")
            for where, said in zip(columns, DIFFERENCE.findall(line), strict=True):
                numbers = tuple(int(one.replace("−", "-")) for one in said)
                assert numbers == differences(kept, method, where), (method, where)
                told += 1
    assert told == 2 * 6 + 7 * 4
