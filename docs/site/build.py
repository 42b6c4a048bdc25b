"""`make site`: README, docs/ and the docstrings laid together, made into pages, and guarded."""

from __future__ import annotations

import ast
import re
import shutil
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
TOP = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md"}
"""Files above docs/ and their place among the pages."""
ORDER = {
    "Guides": [
        "first-audit",
        "looking",
        "workers",
        "models",
        "checkers",
        "pairs",
        "repair",
        "share",
        "extend",
    ],
    "Figures": ["numbers", "measured"],
    "The house": ["house", "glossary", "contributing"],
}
LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
"""Elements that a browser fetches something for, and where it is named."""


def lay_together(folder: Path) -> None:
    """Copy every page, write the front page and one page of reference for each room."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "docs", folder, ignore=shutil.ignore_patterns("site"))
    for name, place in TOP.items():
        text = (ROOT / name).read_text("utf-8").replace("](docs/", "](")
        for other, page in TOP.items():
            text = text.replace(f"]({other})", f"]({page})")
        (folder / place).write_text(text, "utf-8")
    (folder / "reference").mkdir()
    rooms = dict(_rooms())
    for name, modules in rooms.items():
        lines = [name, "=" * len(name), ""]
        for module in modules:
            if module != name:
                lines += [module, "-" * len(module), ""]
            lines += [f".. automodule:: {module}", "   :members:", "   :ignore-module-all:", ""]
        (folder / "reference" / f"{name}.rst").write_text("\n".join(lines), "utf-8")
    trees = {**ORDER, "Reference": [f"reference/{name}" for name in rooms]}
    with (folder / "index.md").open("a", encoding="utf-8") as front:
        for caption, pages in trees.items():
            listed = "\n".join(pages)
            front.write(f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{listed}\n```\n")


def _rooms() -> Iterator[tuple[str, list[str]]]:
    """Every entry of ``lcmis/`` with its modules, by dotted name."""
    for entry in sorted((ROOT / "lcmis").iterdir()):
        paths = sorted(entry.rglob("*.py")) if entry.is_dir() else [entry]
        names = [
            ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            for path in paths
            if path.suffix == ".py" and ast.get_docstring(ast.parse(path.read_text("utf-8")))
        ]
        if names and not entry.stem.startswith("_"):
            yield f"lcmis.{entry.stem}", sorted(names)


class Fetched(HTMLParser):
    """Collects what a page fetches from other hosts."""

    def __init__(self) -> None:
        super().__init__()
        self.foreign: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at one element."""
        where = dict(attrs).get(LOADS.get(tag, "")) or ""
        if re.match(r"(?:https?:)?//", where):
            self.foreign.append(where)


def foreign(site: Path) -> list[str]:
    """What pages and styles would fetch from elsewhere, each with where it says so."""
    found = []
    for path in sorted(site.rglob("*.html")):
        reader = Fetched()
        reader.feed(path.read_text("utf-8"))
        found += [f"{path}: {where}" for where in reader.foreign]
    for path in sorted(site.rglob("*.css")):
        text = path.read_text("utf-8")
        named = re.findall(r"(?:url\(|@import\s)['\"]?((?:https?:)?//[^)'\"]*)", text)
        found += [f"{path}: {where}" for where in named]
    return found


def main() -> int:
    """Make build/site; an exit code."""
    from sphinx.cmd.build import main as sphinx_build  # the tests look at what goes before it

    source, site = ROOT / "build/site-source", ROOT / "build/site"
    lay_together(source)
    here = str(Path(__file__).parent)
    code = sphinx_build(["-q", "-E", "-b", "html", "-c", here, str(source), str(site)])
    if elsewhere := foreign(site):
        print("the pages would fetch from elsewhere:", *elsewhere, sep="\n  ", file=sys.stderr)
        return 1
    print(site.relative_to(ROOT) / "index.html")
    return code


if __name__ == "__main__":
    raise SystemExit(main())
