"""How a pipeline of diffusers is called, read from its source: importing it costs seconds."""

from __future__ import annotations

import ast
import importlib.util
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from lcmis.errors import ConfigError


class Unknown:
    """A default that is missing, or no plain value."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


REQUIRED: Final = Unknown("required")
"""The default of a parameter that has none."""
COMPUTED: Final = Unknown("computed")
"""A default that only running the source could tell."""

Number = int | float
OPERATORS: Mapping[type[ast.operator], Callable[[Any, Any], Number]] = {
    ast.Mult: operator.mul,
    ast.Pow: operator.pow,
    ast.FloorDiv: operator.floordiv,
    ast.Add: operator.add,
}


@dataclass(frozen=True, slots=True)
class Signature:
    """What ``Pipeline.__call__`` takes."""

    parameters: Mapping[str, Any]
    """Name to default; :data:`REQUIRED` or :data:`COMPUTED` where there is no plain one."""
    constants: Mapping[str, int]
    """Numbers that the pipeline writes into itself when it is made: ``default_sample_size``."""
    fallbacks: Mapping[str, int]
    """Those that it writes only where no part of it says another."""
    divisors: tuple[ast.expr, ...]
    """By what it wants the height to be divisible, as the source says it."""
    heights: tuple[ast.expr, ...]
    """What it draws where no height is given, as the source says it."""

    def __contains__(self, name: str) -> bool:
        return name in self.parameters

    def default(self, name: str) -> Any:
        """The plain default of a parameter; None where there is none."""
        value = self.parameters.get(name)
        return None if isinstance(value, Unknown) else value

    def missing(self, *offered: str) -> list[str]:
        """Parameters that must be given and are not among those offered."""
        return [
            name
            for name, value in self.parameters.items()
            if value is REQUIRED and name not in offered
        ]

    def multiple(self, known: Mapping[str, Number]) -> int:
        """Height and width must be multiples of this, as far as the source says so.

        Args:
            known: attributes of the pipeline that are read from a model's configuration.
        """
        values = self._values(self.divisors, known)
        return max((int(value) for value in values if value > 0), default=1)

    def usual_height(self, known: Mapping[str, Number]) -> int | None:
        """Of a picture whose size nobody gives, as far as the source says so.

        Args:
            known: attributes of the pipeline and its denoiser, from a model's configuration.
        """
        return next((int(value) for value in self._values(self.heights, known)), None)

    def _values(
        self, expressions: Iterable[ast.expr], known: Mapping[str, Number]
    ) -> Iterator[Number]:
        for expression in expressions:
            value = _value(expression, {**self.fallbacks, **self.constants, **known})
            if value is not None:
                yield value


@cache
def signature_of(class_name: str) -> Signature:
    """Read the source of a pipeline class and of those that it is made from.

    Raises:
        ConfigError: the installed diffusers has no such class.
    """
    parameters: dict[str, Any] = {}
    constants: dict[str, int] = {}
    fallbacks: dict[str, int] = {}
    divisors: list[ast.expr] = []
    heights: list[ast.expr] = []
    for node in _lineage(class_name):
        methods = {item.name: item for item in node.body if isinstance(item, ast.FunctionDef)}
        if not parameters and "__call__" in methods:
            parameters = _parameters(methods["__call__"].args)
        for method in methods.values():
            divisors += _divisors(method)
            heights += _heights(method)
        if "__init__" in methods:
            for name, value, is_plain in _numbers(methods["__init__"]):
                (constants if is_plain else fallbacks).setdefault(name, value)
    return Signature(parameters, constants, fallbacks, tuple(divisors), tuple(heights))


def names_calls(class_name: str) -> bool:
    """Whether a pipeline class tells its denoiser's caches which call is with the prompt and which
    without; as :func:`signature_of`, and only where somebody sets a cache.
    """
    return any(
        isinstance(part, ast.Attribute) and part.attr == "cache_context"
        for node in _lineage(class_name)
        for part in ast.walk(node)
    )


def _parameters(arguments: ast.arguments) -> dict[str, Any]:
    named = [*arguments.posonlyargs, *arguments.args][1:]  # without ``self``
    defaults: list[ast.expr | None] = [None for _ in range(len(named) - len(arguments.defaults))]
    defaults += arguments.defaults
    pairs = [*zip(named, defaults, strict=True)]
    pairs += zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return {name.arg: _default(default) for name, default in pairs}


def _default(node: ast.expr | None) -> Any:
    if node is None:
        return REQUIRED
    try:
        return ast.literal_eval(node)
    except ValueError:
        return COMPUTED


def _numbers(method: ast.FunctionDef) -> Iterator[tuple[str, int, bool]]:
    """Attributes that are set to a number, and whether they are so whatever the parts say."""
    for node in ast.walk(method):
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Attribute):
            continue
        is_plain = not isinstance(node.value, ast.IfExp)
        value = node.value.orelse if isinstance(node.value, ast.IfExp) else node.value
        if isinstance(value, ast.Constant) and type(value.value) is int:
            yield node.targets[0].attr, value.value, is_plain


def _divisors(method: ast.FunctionDef) -> Iterator[ast.expr]:
    local = {
        node.targets[0].id: node.value
        for node in ast.walk(method)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    for node in ast.walk(method):
        match node:
            case ast.BinOp(left=ast.Name(id="height"), op=ast.Mod(), right=ast.Name(id=name)):
                yield local.get(name, node.right)
            case ast.BinOp(left=ast.Name(id="height"), op=ast.Mod(), right=divisor):
                yield divisor


def _heights(method: ast.FunctionDef) -> Iterator[ast.expr]:
    for node in ast.walk(method):
        match node:
            case ast.Assign(
                targets=[ast.Name(id="height")],
                value=ast.BoolOp(op=ast.Or(), values=[ast.Name(id="height"), usual]),
            ):
                yield usual


def _value(node: ast.expr, known: Mapping[str, Number]) -> Number | None:
    """What an expression comes to; None where it needs more than is known."""
    match node:
        case ast.Constant(value=int() | float() as value):
            return value
        case ast.Attribute(attr=name):
            return known.get(name)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            values = _value(left, known), _value(right, known)
            if values[0] is None or values[1] is None:
                return None
            return OPERATORS[type(op)](*values)
    return None


def _lineage(class_name: str) -> Iterator[ast.ClassDef]:
    """A pipeline class, then those it inherits from that are pipelines too."""
    node = _class(class_name)
    yield node
    for base in node.bases:
        name = base.id if isinstance(base, ast.Name) else ""
        if name.endswith("Pipeline") and name != "DiffusionPipeline":
            yield from _lineage(name)


def _class(name: str) -> ast.ClassDef:
    wanted = f"class {name}(".encode()
    for file in _sources(name):
        source = file.read_bytes()
        if wanted in source:
            for node in ast.parse(source).body:
                if isinstance(node, ast.ClassDef) and node.name == name:
                    return node
    raise ConfigError(
        f"the installed diffusers does not hold the source of {name}: install it anew"
    )


def _sources(name: str) -> Iterator[Path]:
    """Files that may define a class, the likeliest first."""
    found = importlib.util.find_spec("diffusers")
    if found is None or found.origin is None:
        raise ConfigError("diffusers is not installed: install lcmis again, whole")
    root = Path(found.origin).parent / "pipelines"
    index = (root / "__init__.py").read_text(encoding="utf-8")
    for folder, names in re.findall(r'"([\w.]+)"\W*(?:=|:|extend)\W*\[([^\]]*)\]', index):
        if f'"{name}"' in names:
            yield from sorted((root / folder.replace(".", "/")).rglob("pipeline_*.py"))
    yield from sorted(root.rglob("pipeline_*.py"))
