"""What was measured of a model's ways of computing, a line each."""

from __future__ import annotations

from pathlib import Path

from lcmis.audit.tuning import LOSSY, MeasuredWay, lines_of
from lcmis.cli.terminal import console


def print_measured(name: str, one: MeasuredWay) -> None:
    """Speed, and beside it what it changes."""
    if one.refusal:
        console.print(f"{one.way.name}: cannot be here: {one.refusal}", markup=False)
        return
    if not one.way.settings:
        console.print(f"{name}: {one.pictures_per_second:.2f} pictures/s as it is", markup=False)
        return
    if one.equal == one.pictures:
        changed = "every picture the same, bit for bit"
    else:
        changed = (
            f"{one.pictures - one.equal} of {one.pictures} pictures differ, by at most "
            f"{one.largest} of 255"
        )
    once = (
        f"; the first batch takes {one.first_seconds:.0f} s"
        if "compiled" in one.way.settings
        else ""
    )
    aside = "; searches only, so it is yours to set" if one.kind == LOSSY else ""
    turned = f"; {one.turned} of {one.answers} answers turned" if one.answers else ""
    console.print(
        f"{one.way.name}: {one.ratio:.2f} times as fast, class {one.kind}: "
        f"{changed}{turned}{once}{aside}",
        markup=False,
    )


def print_best(name: str, best: MeasuredWay, into: Path | None) -> None:
    """What to set, and whether it was written."""
    if not best.way.settings:
        console.print(f"{name}: nothing draws faster here; leave it as it is", markup=False)
        return
    where = f"written to {into}" if into else "to keep it, put this under [[models]]"
    console.print(f"{name}: {where}", markup=False)
    for line in lines_of(best.way.settings):
        console.print(f"  {line}", markup=False)
