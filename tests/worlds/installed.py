"""Packages that come and go while a process runs."""

from __future__ import annotations

import importlib.util

import pytest

from lcmis.plugins import registry
from lcmis.propose.formats.sets import formats


def forget_packages() -> None:
    """What was looked up of installed packages is looked up anew."""
    registry._installed.cache_clear()
    formats.cache_clear()


def without(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine where a package is not installed."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == package else find(name)
    )
