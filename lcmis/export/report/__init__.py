"""A store as one HTML file, or Markdown, that opens anywhere: no server, script or network."""

from __future__ import annotations

from lcmis.export.report.contents import Report, gather
from lcmis.export.report.page import html, markdown

__all__ = ["Report", "gather", "html", "markdown"]
