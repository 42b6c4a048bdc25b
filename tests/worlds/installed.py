"""Packages that come and go while a process runs."""

from __future__ import annotations

from lcmis.plugins import registry
from lcmis.propose.formats.sets import formats


def forget_packages() -> None:
    """What was looked up of installed packages is looked up anew."""
    registry._installed.cache_clear()
    formats.cache_clear()
