"""A store as a folder of pages: no server, opens from the disk and from any static host."""

from __future__ import annotations

from lcmis.export.site.pages import Site, write_site

__all__ = ["Site", "write_site"]
