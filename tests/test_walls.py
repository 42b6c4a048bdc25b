"""The table of rooms in the design, executable."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

ROOMS = {  # room: the rooms it may import; a room inside a room has walls of its own
    "types": set(),
    "errors": set(),
    "machine": {"errors"},
    "plugins": {"errors", "machine", "types"},
    "text": {"errors", "machine", "plugins", "types"},
    "text/prompts": set(),
    "judge": {"types"},
    "store": {"errors", "machine", "types"},
    "findings": {"errors", "judge", "machine", "plugins", "store", "text", "types"},
    "propose": {"errors", "machine", "plugins", "text", "text/prompts", "types"},
    "propose/formats": {"errors", "plugins", "propose", "text", "types"},
    "propose/importing": {"errors", "machine", "propose", "propose/formats", "text"},
    "render": {"errors", "machine", "plugins", "text", "types"},
    "check": {"errors", "machine", "plugins", "text", "text/prompts", "types"},
    "invert": {"errors", "machine", "plugins", "render", "text", "types"},
    "invert/methods": {"errors", "plugins", "text"},
    "invert/e2t": {"errors", "machine"},
    "workers": {"errors", "machine", "plugins", "render", "store", "types"},
    "audit": {
        "check",
        "errors",
        "findings",
        "judge",
        "machine",
        "plugins",
        "propose",
        "propose/formats",
        "render",
        "store",
        "text",
        "types",
        "workers",
    },
    "repair": {
        "audit",
        "check",
        "errors",
        "findings",
        "invert",
        "judge",
        "machine",
        "plugins",
        "store",
        "text",
        "types",
        "workers",
    },
    "repair/methods": {"errors", "judge", "plugins", "text", "text/prompts", "types"},
    "export": {"errors", "findings", "judge", "machine", "plugins", "store", "types"},
    "export/site": {"errors", "export/report", "findings", "judge", "machine", "store", "types"},
    "export/report": {"errors", "findings", "judge", "machine", "store", "types"},
    "cli": {
        "audit",
        "check",
        "errors",
        "export",
        "export/report",
        "findings",
        "invert",
        "machine",
        "plugins",
        "propose",
        "propose/importing",
        "render",
        "repair",
        "repair/methods",
        "store",
        "types",
    },
    "cli/terminal": {
        "audit",
        "errors",
        "export",
        "findings",
        "invert",
        "judge",
        "machine",
        "plugins",
        "propose/formats",
        "propose/importing",
        "render",
        "repair",
        "repair/methods",
        "types",
    },
    "testing": {"check", "errors", "plugins", "types"},
    "teacup": {
        "check",
        "errors",
        "invert/e2t",
        "judge",
        "machine",
        "plugins",
        "propose",
        "render",
        "text",
        "text/prompts",
        "types",
    },
    "moved": {"audit", "plugins"},
    "dashboard": {"errors", "export", "findings", "judge", "machine", "plugins", "store", "types"},
    "__main__": {"cli", "export"},
}
HEAVY = {"torch", "diffusers", "transformers", "open_clip", "streamlit"}
MAY_BE_HEAVY = {  # rooms and modules
    "machine/unpickling",
    "machine/weights",
    "text/fluency",
    "text/local",
    "text/vocabulary",
    "audit/doctor",
    "testing",
    "render",
    "check",
    "teacup",
    "invert/methods",
    "invert/masks",
    "invert/e2t",
    "dashboard",
}
NAMES_TEACUP = ("teacup", "plugins/registry", "audit/config", "cli")
FILES = sorted([*(ROOT / "lcmis").rglob("*.py"), *(ROOT / "dashboard").rglob("*.py")])


def inside(place: str, room: str) -> bool:
    return place == room or place.startswith(f"{room}/")


def room_of(place: str) -> str:
    """The innermost room: ``repair/methods/moce`` is in ``repair/methods`` if that has a line."""
    if place in ("__init__", "__main__"):
        return "__main__"
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
    assert entered(path) - ROOMS[room] == set()


def test_a_newcomer_finds_every_room():
    """At most twenty entries in the package, at most 22 rooms at that level."""
    entries = [one.name for one in (ROOT / "lcmis").iterdir() if not one.name.startswith("__")]
    assert len(entries) <= 20, sorted(entries)
    assert len({room.partition("/")[0] for room in ROOMS}) <= 22


def test_no_import_runs_in_a_circle_and_the_house_has_at_most_eleven_floors():
    doors = {}
    for room, may in ROOMS.items():
        outer = room.partition("/")[0]
        doors.setdefault(outer, set()).update(one.partition("/")[0] for one in may)

    def floor(room, below=()):
        assert room not in below, f"a circle: {' → '.join((*below, room))}"
        doors[room].discard(room)
        return 1 + max((floor(one, (*below, room)) for one in doors[room]), default=0)

    assert max(map(floor, doors)) <= 11


def test_rooms_inside_a_room_are_in_no_circle_either():
    def visit(room, below=()):
        assert room not in below, f"a circle: {' → '.join((*below, room))}"
        for one in ROOMS[room]:
            visit(one, (*below, room))

    for room in ROOMS:
        visit(room)


def test_no_permission_stands_that_nothing_uses():
    used = {room: set() for room in ROOMS}
    for path in FILES:
        used[room_of(place_of(path))] |= entered(path)
    assert {room: may - used[room] for room, may in ROOMS.items() if may - used[room]} == {}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_heavy_libraries_stay_in_heavy_rooms(path):
    if not any(inside(place_of(path), heavy) for heavy in MAY_BE_HEAVY):
        assert {name.split(".")[0] for name in imports(path, loaded=True)} & HEAVY == set()


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if not any(inside(place_of(path), room) for room in NAMES_TEACUP)],
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
        "lcmis.text.asking",
        "lcmis.audit.config",
        "lcmis.export.repaired",
        "lcmis.findings",
        "lcmis.invert.run",
        "lcmis.judge",
        "lcmis.text.chat",
        "lcmis.plugins.registry",
        "lcmis.store",
        "lcmis.cli.terminal",
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


def test_no_class_name_stands_for_two_things():
    places = {}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name.lstrip("_"), []).append(place_of(path))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_nothing_in_the_dashboard_expires_while_it_is_read():
    # Streamlit 1.67 asks whether a value has expired and then reads it: KeyError, a failed page.
    # Where it is refreshed in the background, it expires only long after it was last wanted.
    for path in (ROOT / "dashboard").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                said = {one.arg for one in node.keywords}
                assert "ttl" not in said or "refresh_mode" in said, f"{path}:{node.lineno}"
