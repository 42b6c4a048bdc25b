"""Audits text-to-image models for latent concept misalignment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lcmis.export.opened import OpenAudit

__version__ = "0.1.0"
__path__ = [*__path__, str(Path(__file__).with_name("moved"))]


def open(
    store: str | Path = "audit",
    *,
    pictures: str | Path | None = None,
    checker: str | None = None,
    threshold: float | None = None,
    frames: str | None = None,
) -> OpenAudit:
    """An audit as data frames, and as pairs, pictures and comparisons that show themselves.

    See :class:`lcmis.export.opened.OpenAudit` for what it takes and raises; nothing heavy is
    imported before it is called.
    """
    from lcmis.export.opened import OpenAudit

    return OpenAudit(store, pictures=pictures, checker=checker, threshold=threshold, frames=frames)
