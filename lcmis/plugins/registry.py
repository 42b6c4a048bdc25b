"""Names to plugs, imported on demand; other packages join by entry points."""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.util
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoints, entry_points
from pathlib import Path
from typing import Any

from lcmis.errors import ConfigError, UnknownNameError

BUILT_IN: dict[str, dict[str, str]] = {
    "models": {
        "teacup-narrow": "lcmis.teacup.shipped:narrow",
        "teacup-broad": "lcmis.teacup.shipped:broad",
        "folder": "lcmis.render.folder:FolderModel",
        "hosted": "lcmis.render.hosted:HostedModel",
        "diffusers": "lcmis.render.diffusion:DiffusersModel",
    },
    "checkers": {
        "clip": "lcmis.check.clip:ClipChecker",
        "vqa": "lcmis.check.vqa:VqaChecker",
        "hps": "lcmis.check.preference:PreferenceChecker",
        "teacup-clip": "lcmis.teacup.shipped:clip",
        "teacup-guard": "lcmis.teacup.shipped:guard",
        "teacup-judge": "lcmis.teacup.shipped:judge",
    },
    "text_models": {
        "openai": "lcmis.text.chat:ChatModel",
        "local": "lcmis.text.local:LocalModel",
        "teacup-lm": "lcmis.teacup.shipped:lm",
        "phrasebook": "lcmis.teacup.phrasebook:Phrasebook",
    },
    "repairers": {
        "portfolio": "lcmis.repair.methods.portfolio:Portfolio",
        "moce": "lcmis.repair.methods.moce:Moce",
        "moce-bisect": "lcmis.repair.methods.moce:bisect",
        "moce-replicate": "lcmis.repair.methods.moce:replicate",
        "rewrite": "lcmis.repair.methods.rewrite:Rewrite",
        "proxies": "lcmis.repair.methods.proxies:Proxies",
        "bigpe": "lcmis.repair.methods.bigpe:Bigpe",
        "bigpe-epsilon": "lcmis.repair.methods.bigpe:by_epsilon",
        "bigpe-greedy": "lcmis.repair.methods.bigpe:by_greed",
        "pez": "lcmis.repair.methods.inversion:pez",
        "pez-denoiser": "lcmis.repair.methods.inversion:pez_through_denoiser",
        "arpo": "lcmis.repair.methods.inversion:arpo",
        "editor": "lcmis.repair.methods.inversion:editor",
    },
    "inverters": {
        "caption": "lcmis.invert.methods.caption:Caption",
        "arpo": "lcmis.invert.methods.arpo:Arpo",
        "arpo-vanilla": "lcmis.invert.methods.arpo:vanilla",
        "pez": "lcmis.invert.methods.pez:Pez",
        "pez-denoiser": "lcmis.invert.methods.pez:through_denoiser",
        "editor": "lcmis.invert.methods.editor:Editor",
    },
    "writers": {
        "e2t": "lcmis.invert.e2t.writer:EmbeddingToText",
        "teacup-writer": "lcmis.teacup.shipped:narrow_writer",
        "teacup-writer-broad": "lcmis.teacup.shipped:broad_writer",
    },
    "language_models": {
        "causal": "lcmis.text.fluency:CausalLanguageModel",
    },
    "known_cases": {
        "clip": "lcmis.audit.doctor:shapes",
        "vqa": "lcmis.audit.doctor:shapes",
        "teacup-clip": "lcmis.teacup.shipped:known_cases",
        "teacup-guard": "lcmis.teacup.shipped:known_cases",
        "teacup-judge": "lcmis.teacup.shipped:known_cases",
    },
}
"""Plug kind → name → ``module:object``; the object is called with the plug's settings."""


@cache
def _installed(kind: str) -> EntryPoints:
    """Of all packages; to look through them takes long, and they stay as they are."""
    return entry_points(group=f"lcmis.{kind}")


def names(kind: str) -> dict[str, str]:
    """All registered names of one kind of plug, with where they live; nothing is imported.

    Raises:
        ConfigError: two packages register one name.
    """
    found = dict(BUILT_IN[kind])
    for entry in _installed(kind):
        if entry.name in found and found[entry.name] != entry.value:
            raise ConfigError(
                f"two {kind} are called {entry.name!r} ({found[entry.name]} and {entry.value}): "
                f"uninstall one of the packages or rename its entry point"
            )
        found[entry.name] = entry.value
    return found


@dataclass(frozen=True, slots=True)
class Entry:
    """One registered plug."""

    name: str
    summary: str
    """The first sentence of its docstring."""
    where: str
    """``module:object``."""


def describe(kind: str) -> list[Entry]:
    """Every plug of one kind with its summary, read from source without importing anything.

    Raises:
        ConfigError: two packages register one name.
    """
    return [Entry(name, _summary(where), where) for name, where in sorted(names(kind).items())]


def _summary(where: str) -> str:
    """The docstring's first sentence; empty where the module or object cannot be found."""
    module, _, attribute = where.partition(":")
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        return ""
    for node in ast.parse(Path(found.origin).read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == attribute:
            paragraph = (ast.get_docstring(node) or "").partition("\n\n")[0]
            return " ".join(paragraph.split())
    return ""


def load(kind: str, name: str) -> Any:
    """Import the plug registered under a name.

    Raises:
        UnknownNameError: nothing bears this name; the sentence lists the nearest ones.
    """
    known = names(kind)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3) or sorted(known)
        raise UnknownNameError(f"no {kind.rstrip('s')} is called {name!r}; try {', '.join(near)}")
    module, _, attribute = known[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
