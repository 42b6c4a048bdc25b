"""Names to plugs, imported on demand; other packages join by entry points."""

from __future__ import annotations

import difflib
import importlib
from importlib.metadata import entry_points
from typing import Any

from lcmis.errors import ConfigError, UnknownNameError

BUILT_IN: dict[str, dict[str, str]] = {
    "models": {
        "teacup-narrow": "lcmis.teacup.shipped:narrow",
        "teacup-broad": "lcmis.teacup.shipped:broad",
        "folder": "lcmis.render.folder:FolderModel",
        "diffusers": "lcmis.render.diffusion:DiffusersModel",
    },
    "checkers": {
        "clip": "lcmis.check.clip:ClipChecker",
        "vqa": "lcmis.check.vqa:VqaChecker",
        "teacup-clip": "lcmis.teacup.shipped:clip",
        "teacup-judge": "lcmis.teacup.shipped:judge",
    },
}
"""Plug kind → name → ``module:object``; the object is called with the plug's settings."""


def names(kind: str) -> dict[str, str]:
    """All registered names of one kind of plug, with where they live; nothing is imported.

    Raises:
        ConfigError: two packages register one name.
    """
    found = dict(BUILT_IN[kind])
    for entry in entry_points(group=f"lcmis.{kind}"):
        if entry.name in found and found[entry.name] != entry.value:
            raise ConfigError(
                f"two {kind} are called {entry.name!r} ({found[entry.name]} and {entry.value}): "
                f"uninstall one of the packages or rename its entry point"
            )
        found[entry.name] = entry.value
    return found


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
