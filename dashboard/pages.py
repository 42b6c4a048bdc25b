"""Which pages there are: their names in the address, their titles and their signs."""

from __future__ import annotations

LISTED = (
    ("overview", "Overview", ":material/insights:"),
    ("grid", "Grid", ":material/grid_view:"),
    ("pairs", "Pairs", ":material/table_rows:"),
    ("pair", "Pair", ":material/compare:"),
    ("compare", "Compare", ":material/balance:"),
    ("repairs", "Repairs", ":material/healing:"),
    ("label", "Label", ":material/edit:"),
    ("runs", "Runs", ":material/monitoring:"),
)
HIDDEN = (("picture", "Picture"),)
"""Reached from others alone."""
ADDRESSES = (*(name for name, _, _ in LISTED), *(name for name, _ in HIDDEN))
