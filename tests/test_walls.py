"""The table of rooms in the design, executable."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALWAYS = {"lcmis", "paths"}

ROOMS = {  # room: the rooms it may import
    "__init__": set(),
    "__main__": {"cli"},
    "types": set(),
    "paths": set(),
    "errors": set(),
    "writing": {"errors"},
    "protocols": {"types", "errors"},
    "registry": {"errors"},
    "config": {"types", "protocols", "errors"},
    "revision": {"errors"},
    "device": {"errors"},
    "memory": {"errors"},
    "weights": {"errors"},
    "vocabulary": {"errors"},
    "words": set(),
    "opening": set(),
    "judge": {"types"},
    "store": {"types", "errors"},
    "findings": {"types", "errors", "judge", "store"},
    "labels": {"types", "errors", "store", "writing"},
    "calibrating": {"types", "errors", "judge", "findings", "store", "labels"},
    "prompts": set(),
    "endpoint": {"errors"},
    "llm": {"endpoint", "types", "protocols", "errors", "prompts"},
    "local": {"endpoint", "llm", "types", "protocols", "errors", "revision", "device", "check"},
    "asking": {"types", "protocols", "errors", "prompts", "words"},
    "e2t": {"errors", "revision", "weights"},
    "export": {"types", "errors", "judge", "store", "findings", "words", "writing"},
    "report": {"types", "errors", "judge", "findings", "store", "calibrating", "words"},
    "propose": {"types", "protocols", "errors", "prompts", "words"},
    "peers": {"types", "errors", "revision", "findings", "store"},
    "importing": {"types", "errors", "propose", "render", "revision", "writing", "opening"},
    "render": {
        "opening",
        "endpoint",
        "types",
        "protocols",
        "errors",
        "device",
        "revision",
        "memory",
        "weights",
        "vocabulary",
    },
    "check": {
        "opening",
        "types",
        "protocols",
        "errors",
        "revision",
        "device",
        "memory",
        "weights",
        "prompts",
        "vocabulary",
    },
    "testing": {"types", "protocols", "errors", "check"},
    "teacup": {
        "types",
        "protocols",
        "errors",
        "judge",
        "render",
        "check",
        "propose",
        "prompts",
        "revision",
        "e2t",
        "llm",
        "local",
    },
    "repair": {"types", "protocols", "errors", "asking", "prompts", "words"},
    "studio": {"types", "protocols", "errors", "store", "render"},
    "audit": {
        "types",
        "protocols",
        "errors",
        "config",
        "registry",
        "judge",
        "findings",
        "store",
        "propose",
        "render",
        "check",
        "studio",
    },
    "exchanges": {"protocols", "errors", "endpoint", "llm", "store"},
    "references": {"protocols", "errors", "store", "check", "repair"},
    "evaluation": {
        "types",
        "protocols",
        "errors",
        "findings",
        "store",
        "check",
        "studio",
        "references",
        "repair",
    },
    "certifying": {
        "types",
        "protocols",
        "errors",
        "config",
        "judge",
        "findings",
        "store",
        "studio",
        "audit",
        "evaluation",
    },
    "repairing": {
        "types",
        "protocols",
        "errors",
        "config",
        "registry",
        "judge",
        "findings",
        "store",
        "studio",
        "audit",
        "asking",
        "exchanges",
        "references",
        "evaluation",
        "certifying",
        "inverting",
        "export",
        "repair",
    },
    "proposing": {
        "writing",
        "types",
        "protocols",
        "errors",
        "config",
        "registry",
        "judge",
        "findings",
        "store",
        "studio",
        "propose",
        "exchanges",
        "audit",
    },
    "evolving": {
        "words",
        "writing",
        "types",
        "protocols",
        "errors",
        "config",
        "judge",
        "findings",
        "store",
        "check",
        "studio",
        "audit",
        "asking",
        "exchanges",
        "evaluation",
        "repair",
        "repairing",
    },
    "comparing": {"types", "errors", "judge", "findings", "store"},
    "gate": {"types", "errors", "judge", "store", "comparing", "writing"},
    "inverting": {
        "device",
        "types",
        "protocols",
        "errors",
        "registry",
        "audit",
        "render",
        "repair",
    },
    "doctor": {"types", "protocols", "errors", "config", "registry", "audit", "render"},
    "terminal": {
        "words",
        "labels",
        "calibrating",
        "proposing",
        "evolving",
        "importing",
        "peers",
        "propose",
        "types",
        "judge",
        "findings",
        "store",
        "audit",
        "config",
        "doctor",
        "registry",
        "evaluation",
        "certifying",
        "repairing",
        "comparing",
        "gate",
        "inverting",
        "repair",
    },
    "cli": {
        "writing",
        "labels",
        "calibrating",
        "proposing",
        "evolving",
        "repair",
        "importing",
        "peers",
        "inverting",
        "check",
        "protocols",
        "comparing",
        "gate",
        "export",
        "report",
        "types",
        "errors",
        "config",
        "registry",
        "audit",
        "doctor",
        "findings",
        "store",
        "terminal",
        "certifying",
        "repairing",
    },
    "dashboard": {
        "words",
        "types",
        "errors",
        "judge",
        "findings",
        "store",
        "export",
        "report",
        "paths",
        "labels",
        "calibrating",
    },
}
HEAVY = {"torch", "diffusers", "transformers", "open_clip", "streamlit"}
MAY_BE_HEAVY = {
    "weights",
    "local",
    "doctor",
    "testing",
    "render",
    "check",
    "teacup",
    "repair",
    "e2t",
    "dashboard",
}
FILES = sorted([*(ROOT / "lcmis").rglob("*.py"), *(ROOT / "dashboard").rglob("*.py")])


def room_of(path: Path) -> str:
    place = path.relative_to(ROOT)
    return "dashboard" if place.parts[0] == "dashboard" else Path(place.parts[1]).stem


def imports(path: Path, *, loaded: bool = False) -> set[str]:
    """What a file imports; ``loaded`` leaves out what only a type checker reads."""
    tree = ast.parse(path.read_text())
    if loaded:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                node.body = [ast.Pass()]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            if node.module == "lcmis":
                found |= {f"lcmis.{alias.name}" for alias in node.names}
            else:
                found.add(node.module)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_imports_only_what_it_may(path):
    room = room_of(path)
    assert room in ROOMS, f"no room is called {room}: give it a line in ROOMS"
    rooms = {name.split(".")[1] for name in imports(path) if name.startswith("lcmis.")}
    assert rooms - {room} - ROOMS[room] - ALWAYS - {"__version__"} == set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_heavy_libraries_stay_in_heavy_rooms(path):
    if room_of(path) not in MAY_BE_HEAVY:
        assert {name.split(".")[0] for name in imports(path, loaded=True)} & HEAVY == set()


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if room_of(path) not in ("teacup", "config", "registry", "cli")],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_teacup_does_not_leak_into_the_general_rooms(path):
    assert "teacup" not in path.read_text().lower()


@pytest.mark.parametrize(
    "module",
    [
        "lcmis",
        "lcmis.audit",
        "lcmis.cli",
        "lcmis.asking",
        "lcmis.config",
        "lcmis.export",
        "lcmis.findings",
        "lcmis.inverting",
        "lcmis.judge",
        "lcmis.llm",
        "lcmis.registry",
        "lcmis.store",
        "lcmis.terminal",
    ],
)
def test_light_rooms_stay_light(module):
    code = f"import sys, {module}; print(*({HEAVY!r} & set(sys.modules)))"
    asked = [sys.executable, "-c", code]
    assert subprocess.check_output(asked, text=True, cwd=ROOT).strip() == ""


def test_every_module_says_in_one_line_what_it_is():
    for path in FILES:
        text = ast.get_docstring(ast.parse(path.read_text()))
        assert text, path
        assert len(text.splitlines()[0]) <= 100, path


def test_nothing_swallows_all_errors():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ExceptHandler):
                assert node.type is not None, path
                assert ast.unparse(node.type) not in ("Exception", "BaseException"), path
