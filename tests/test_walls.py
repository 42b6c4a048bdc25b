"""The table of rooms in the design, executable."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALWAYS = {"paths"}

ROOMS = {  # room: the rooms it may import
    "__init__": set(),
    "__main__": {"cli"},
    "types": set(),
    "paths": set(),
    "errors": set(),
    "writing": {"errors"},
    "protocols": {"errors", "types"},
    "registry": {"errors"},
    "config": {"errors", "protocols", "types"},
    "revision": {"errors"},
    "device": {"errors"},
    "memory": {"errors"},
    "weights": {"errors"},
    "vocabulary": {"errors"},
    "words": set(),
    "opening": set(),
    "judge": {"types"},
    "store": {"errors", "types"},
    "findings": {"errors", "judge", "store", "types"},
    "labels": {"errors", "store", "types", "writing"},
    "calibrating": {"errors", "findings", "judge", "labels", "store", "types"},
    "prompts": set(),
    "endpoint": {"errors"},
    "llm": {"endpoint", "errors", "prompts", "protocols", "types"},
    "local": {"check", "device", "endpoint", "errors", "llm", "protocols", "revision"},
    "asking": {"errors", "prompts", "protocols", "types", "words"},
    "e2t": {"errors", "revision", "weights"},
    "export": {"errors", "findings", "types", "words", "writing"},
    "report": {"calibrating", "errors", "findings", "judge", "store", "types", "words"},
    "propose": {"errors", "prompts", "protocols", "types", "words"},
    "peers": {"errors", "findings", "revision", "store", "types"},
    "importing": {"errors", "opening", "propose", "render", "revision", "writing"},
    "render": {
        "device",
        "endpoint",
        "errors",
        "memory",
        "opening",
        "protocols",
        "revision",
        "types",
        "vocabulary",
        "weights",
    },
    "check": {
        "device",
        "errors",
        "memory",
        "opening",
        "prompts",
        "protocols",
        "revision",
        "types",
        "vocabulary",
        "weights",
    },
    "testing": {"check", "errors", "protocols", "types"},
    "teacup": {
        "check",
        "e2t",
        "errors",
        "llm",
        "local",
        "prompts",
        "propose",
        "protocols",
        "render",
        "revision",
        "types",
    },
    "repair": {"asking", "errors", "prompts", "protocols", "types", "words"},
    "studio": {"errors", "protocols", "render", "store", "types"},
    "audit": {
        "check",
        "config",
        "errors",
        "findings",
        "judge",
        "propose",
        "protocols",
        "registry",
        "render",
        "store",
        "studio",
        "types",
    },
    "exchanges": {"endpoint", "errors", "llm", "protocols", "store"},
    "references": {"check", "errors", "protocols", "repair", "store"},
    "evaluation": {
        "check",
        "errors",
        "findings",
        "protocols",
        "references",
        "repair",
        "store",
        "studio",
        "types",
    },
    "certifying": {
        "audit",
        "config",
        "errors",
        "evaluation",
        "findings",
        "judge",
        "protocols",
        "store",
        "studio",
        "types",
    },
    "repairing": {
        "asking",
        "audit",
        "certifying",
        "config",
        "errors",
        "evaluation",
        "exchanges",
        "export",
        "findings",
        "inverting",
        "judge",
        "protocols",
        "references",
        "registry",
        "repair",
        "store",
        "studio",
        "types",
    },
    "proposing": {
        "audit",
        "config",
        "errors",
        "exchanges",
        "findings",
        "judge",
        "propose",
        "protocols",
        "registry",
        "store",
        "studio",
        "types",
        "writing",
    },
    "evolving": {
        "asking",
        "audit",
        "check",
        "config",
        "errors",
        "evaluation",
        "exchanges",
        "findings",
        "judge",
        "protocols",
        "repair",
        "repairing",
        "store",
        "studio",
        "types",
        "words",
        "writing",
    },
    "comparing": {"errors", "findings", "judge", "store", "types"},
    "gate": {"comparing", "errors", "judge", "store", "types", "writing"},
    "inverting": {
        "audit",
        "device",
        "errors",
        "protocols",
        "registry",
        "render",
        "repair",
        "types",
    },
    "doctor": {"audit", "config", "protocols", "registry", "render", "types"},
    "terminal": {
        "audit",
        "calibrating",
        "certifying",
        "comparing",
        "config",
        "doctor",
        "evaluation",
        "evolving",
        "findings",
        "gate",
        "importing",
        "inverting",
        "judge",
        "labels",
        "peers",
        "propose",
        "proposing",
        "registry",
        "repair",
        "repairing",
        "types",
        "words",
    },
    "cli": {
        "audit",
        "calibrating",
        "certifying",
        "check",
        "comparing",
        "config",
        "doctor",
        "errors",
        "evolving",
        "export",
        "findings",
        "gate",
        "importing",
        "inverting",
        "labels",
        "peers",
        "proposing",
        "protocols",
        "registry",
        "repair",
        "repairing",
        "report",
        "store",
        "terminal",
        "types",
        "writing",
    },
    "dashboard": {
        "calibrating",
        "errors",
        "export",
        "findings",
        "judge",
        "labels",
        "report",
        "store",
        "types",
        "words",
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


def inside(place: str, room: str) -> bool:
    return place == room or place.startswith(f"{room}/")


def room_of(place: str) -> str:
    """The innermost room: ``repair/methods/moce`` is in ``repair/methods`` if that has a line."""
    rooms = [room for room in ROOMS if inside(place, room)]
    return max(rooms, key=len, default=place.partition("/")[0])


def place_of(path: Path) -> str:
    """``lcmis/store/tables.py`` → ``store/tables``; a folder's ``__init__`` is the folder."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts if parts[0] == "dashboard" else parts[1:]
    return "/".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def _module(package: str, name: str) -> str:
    """What ``from package import name`` enters: a module of that name, or the package itself."""
    inner = ROOT.joinpath(*package.split("."), name)
    return f"{package}.{name}" if inner.is_dir() or inner.with_suffix(".py").exists() else package


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
            found |= {_module(node.module, alias.name) for alias in node.names}
    return found


def entered(path: Path) -> set[str]:
    """The rooms that a file imports from, but its own and those inside its own."""
    own = room_of(place_of(path))
    theirs = {name.removeprefix("lcmis.") for name in imports(path) if name.startswith("lcmis.")}
    return {room for name in theirs if not inside(room := room_of(name.replace(".", "/")), own)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_imports_only_what_it_may(path):
    room = room_of(place_of(path))
    assert room in ROOMS, f"no room is called {room}: give it a line in ROOMS"
    assert entered(path) - ROOMS[room] - ALWAYS == set()


def test_no_permission_stands_that_nothing_uses():
    used = {room: set() for room in ROOMS}
    for path in FILES:
        used[room_of(place_of(path))] |= entered(path)
    assert {room: may - used[room] for room, may in ROOMS.items() if may - used[room]} == {}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_heavy_libraries_stay_in_heavy_rooms(path):
    if room_of(place_of(path)) not in MAY_BE_HEAVY:
        assert {name.split(".")[0] for name in imports(path, loaded=True)} & HEAVY == set()


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in FILES
        if room_of(place_of(path)) not in ("teacup", "config", "registry", "cli")
    ],
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
