"""Where bars and remarks go: one console on standard error, or two bars would tear each other."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


@cache
def stderr_console() -> Console:
    """For everything that is said beside the output."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)
