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
    ("many", "Label many", ":material/done_all:"),
    ("runs", "Runs", ":material/monitoring:"),
)
HIDDEN = (("picture", "Picture"), ("similar", "Similarity"))
"""Reached from others alone."""
ADDRESSES = (*(name for name, _, _ in LISTED), *(name for name, _ in HIDDEN))

KEYS = (
    ("J / K", "Pair: the next better pair, the next worse one"),
    ("J / K", "Picture: the next seed, the one before"),
    ("← / →", "a slider between two pictures, once it was clicked or reached with Tab"),
    ("Y, N, U", "Label: yes, no, cannot tell"),
    ("1 to 9", "Label: what stands in a thing's place"),
    ("Enter", "a picture: opens it large; there, ? lists more keys"),
    ("Z", "Label: take the last answer back"),
    ("?", "this list"),
)
"""What keys do, and where."""
