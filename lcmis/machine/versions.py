"""Which versions are installed of what decides pixels and scores."""

from __future__ import annotations

import platform
from importlib.metadata import version

REPORTED_PACKAGES = (
    "lcmis",
    "torch",
    "diffusers",
    "transformers",
    "open_clip_torch",
    "sqlalchemy",
    "numpy",
    "pillow",
)
"""Whose versions decide pixels or scores, and so belong to a run's provenance."""


def versions() -> dict[str, str]:
    """Of Python and of :data:`REPORTED_PACKAGES`, as they are installed here."""
    return {"python": platform.python_version()} | {
        name: version(name) for name in REPORTED_PACKAGES
    }
