"""What was measured of a model's ways of computing, a line each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lcmis.audit.tuning import LOSSY, Computing, MeasuredWay, lines_of
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


def print_best(
    name: str, best: MeasuredWay, into: Path | None, untried: Sequence[Computing]
) -> None:
    """What to set, whether it was written, and what there was no time for."""
    if untried:
        named = ", ".join(one.name for one in untried)
        console.print(f"no time was left for {named}: allow more with --minutes", markup=False)
    if not best.way.settings:
        tried = "of what was tried, nothing" if untried else "nothing"
        console.print(f"{name}: {tried} draws faster here; leave it as it is", markup=False)
        return
    where = f"written to {into}" if into else "to keep it, put this under [[models]]"
    console.print(f"{name}: {where}", markup=False)
    for line in lines_of(best.way.settings):
        console.print(f"  {line}", markup=False)
