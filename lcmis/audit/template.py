"""A commented audit.toml, written from the settings themselves."""

from __future__ import annotations

import ast
import dataclasses
import json
import sys
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from lcmis.audit.config import USUAL
from lcmis.errors import ConfigError
from lcmis.machine.files import is_there, replacing
from lcmis.plugins.settings import AuditSettings

HEAD = """\
# What `lcmis audit {name}` does. A line that begins with # and no space shows a setting's default:
# take the # away to change it. `…` is a choice left to the model or to lcmis. Flags go before what
# is said here.
"""
LEFT_OPEN = "…"


def write_template(path: Path, *, force: bool = False) -> None:
    """Write an audit.toml with every setting, its default and what it means.

    Raises:
        ConfigError: the file is there and ``force`` is not given, or it cannot be written.
    """
    if is_there(path) and not force:
        raise ConfigError(f"{path} exists: name another file, or replace it with --force")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"there is no folder {path.absolute().parent}: make it, or name another")
    with replacing(path) as draft:
        draft.write_text(template(path.name), "utf-8")


def template(name: str = "audit.toml") -> str:
    """The text of a commented audit.toml; as it stands it says what no file says."""
    lines = [HEAD.format(name=name)]
    for field in _fields(AuditSettings):
        if not field.inner:
            lines += field.lines(USUAL.get(field.name))
    for field in _fields(AuditSettings):
        if field.inner:
            lines += _table(field, field.name, USUAL.get(field.name, ()))
    return "\n".join(lines)


@dataclasses.dataclass(frozen=True, slots=True)
class _Field:
    """One setting, as a file spells it."""

    name: str
    comment: str
    """Its docstring on one line; empty where it has none."""
    default: Any
    """None where the choice is left open."""
    inner: type | None
    """The settings inside, where it is a table of its own."""
    several: bool

    def lines(self, value: Any = None) -> Iterator[str]:
        """What it means and its value, or its default commented out."""
        if self.comment:
            yield f"# {self.comment}"
        shown = LEFT_OPEN if self.default is None else _value(self.default)
        yield f"#{self.name} = {shown}" if value is None else f"{self.name} = {_value(value)}"
        yield ""


def _table(field: _Field, path: str, named: Sequence[str], off: bool = False) -> Iterator[str]:
    """A table, each setting of it once; further ones, by name alone, follow where it is several.

    Optional tables are commented out, ``off``, and all that is in them.
    """
    assert field.inner is not None
    fields = _fields(field.inner)
    off = off or (field.several and not named) or (not field.several and field.default is None)
    heading = f"[[{path}]]" if field.several else f"[{path}]"
    if field.comment:
        yield f"# {field.comment}"
    yield f"#{heading}" if off else heading
    first, *others = fields
    yield from first.lines(named[0] if named else None)
    for one in others:
        if not one.inner:
            yield from one.lines()
    for one in others:
        if one.inner:
            yield from _table(one, f"{path}.{one.name}", (), off=True)
    for name in named[1:]:
        yield from (heading, f"{first.name} = {_value(name)}", "")


def _fields(kind: type) -> list[_Field]:
    """The settings of a kind in order, but those that come from the environment alone."""
    hints, said = typing.get_type_hints(kind), _docstrings(kind)
    found = []
    for entry in dataclasses.fields(kind):
        hint = hints[entry.name]
        parts = (hint, *typing.get_args(hint))
        if SecretStr in parts:
            continue
        found.append(
            _Field(
                entry.name,
                said.get(entry.name, ""),
                None if entry.default is dataclasses.MISSING else entry.default,
                next((one for one in parts if _is_table(one)), None),
                typing.get_origin(hint) is tuple,
            )
        )
    return found


def _is_table(hint: Any) -> bool:
    return isinstance(hint, type) and dataclasses.is_dataclass(hint)


def _docstrings(kind: type) -> dict[str, str]:
    """What stands below each field of a class, on one line."""
    source = sys.modules[kind.__module__].__file__
    assert source is not None
    found = {}
    for node in ast.parse(Path(source).read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name == kind.__name__:
            for field, after in zip(node.body, node.body[1:], strict=False):
                if isinstance(field, ast.AnnAssign) and isinstance(after, ast.Expr):
                    text = ast.literal_eval(after.value)
                    found[ast.unparse(field.target)] = " ".join(text.replace("``", "`").split())
    return found


def _value(value: Any) -> str:
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
