"""What labels show: who gave them, how often checkers err, and the rates that are left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape

from lcmis.cli.terminal import console
from lcmis.cli.terminal.tables import Cell, Column, Grid
from lcmis.findings import words
from lcmis.findings.words import several
from lcmis.judge import FEW_LABELS

if TYPE_CHECKING:
    from lcmis.findings.calibration import Calibration, LabelFinding
    from lcmis.findings.labels import Reading
    from lcmis.types import Rate

HINT = "People label in the dashboard: `lcmis dashboard`, page Label."


def print_labellers(found: Sequence[Reading]) -> None:
    """Who has labelled how much."""
    if not found:
        console.print(f"There are no labels yet. {HINT}")
        return
    columns = [
        Column(name="rater", wraps=True, style="bold"),
        Column(name="pictures", right=True),
        Column(name="answers", right=True),
        Column(name="asked again", right=True),
    ]
    rows: list[list[Cell]] = []
    for rater in sorted({reading.rater for reading in found}):
        mine = [reading for reading in found if reading.rater == rater]
        rows.append(
            [
                rater,
                str(len({reading.render for reading in mine})),
                str(sum(len(reading.answers) for reading in mine)),
                str(sum(len(reading.answers) > 1 for reading in mine)),
            ]
        )
    console.print(Grid(columns, rows))
    console.print(f"[dim]{HINT} `lcmis calibrate` says what the labels mean.[/]")


def print_calibration(found: LabelFinding) -> None:
    """Checkers by kind of question, rates raw and corrected, raters."""
    if not found.answers:
        console.print(f"There are no labels yet, so no checker is calibrated. {HINT}")
        return
    console.print(
        f"{found.pictures:,} of {several(found.of, 'picture')} labelled; "
        f"a score of {found.threshold:g} counts as present."
    )
    for checker in dict.fromkeys(one.checker for one in found.calibrations):
        _print_checker(found, checker)
    _print_raters(found)


def _print_checker(found: LabelFinding, checker: str) -> None:
    mine = [one for one in found.calibrations if one.checker == checker and one.labels]
    if not mine:
        console.print(
            f"\n[bold]{escape(words.short_name(checker))}[/]  has scored no labelled picture"
        )
        return
    whole = found.calibration(checker)
    few = whole is None or not whole.is_calibrated
    state = f"[yellow]uncalibrated: fewer than {FEW_LABELS} labelled pictures[/]" if few else ""
    console.print(f"\n[bold]{escape(words.short_name(checker))}[/]  {state}")
    columns = [
        Column(name="question"),
        Column(name="labels", right=True),
        Column(name="sensitivity"),
        Column(name="specificity"),
        Column(name="kappa"),
        Column(name="Brier", right=True),
        Column(name="threshold", right=True),
    ]
    console.print(Grid(columns, [_row(one) for one in mine]))
    rates = [rate for rate in found.rates if rate.checker == checker]
    for rate in rates:
        corrected = "cannot be told" if rate.corrected is None else words.rate(rate.corrected)
        name = escape(words.short_name(rate.model))
        line = f"  {name}: right {words.rate(rate.raw)}, corrected {corrected}"
        if rate.labels_to_halve is not None:
            line += f"; {several(rate.labels_to_halve, 'more label')} would halve this range"
        elif rate.corrected is not None:
            line += "; labels alone would not halve this range"
        console.print(line)


def _row(one: Calibration) -> tuple[str, ...]:
    brier = "" if one.brier is None else f"{one.brier:.3f}"
    if one.calibrated is not None:
        brier += f" → {one.calibrated.brier:.3f} {one.calibrated.curve}"
    return (
        one.kind.replace("_", " "),
        str(one.labels),
        _share(None if one.accuracy is None else one.accuracy.sensitivity.rate),
        _share(None if one.accuracy is None else one.accuracy.specificity.rate),
        ""
        if one.agreement.kappa is None
        else f"{one.agreement.kappa:.2f} ({one.agreement.low:.2f}–{one.agreement.high:.2f})",
        brier,
        "" if one.threshold is None else f"{one.threshold:.2f}",
    )


def _share(rate: Rate | None) -> str:
    return "" if rate is None or not rate.total else words.rate(rate)


def _print_raters(found: LabelFinding) -> None:
    columns = [
        Column(name="rater", wraps=True, style="bold"),
        Column(name="answers", right=True),
        Column(name="the same when asked again"),
    ]
    rows: list[list[Cell]] = []
    for one in found.raters:
        again = one.repeats.share
        said = f"{words.rate(again)} of {again.total}" if again.total else "never asked again"
        rows.append([one.rater, str(one.answers), said])
    console.print(Grid(columns, rows))
    between = found.between
    if between.value is not None:
        console.print(
            f"Between raters: Krippendorff's alpha {between.value:.2f} "
            f"({between.low:.2f}–{between.high:.2f}) on "
            f"{several(between.units, 'shared question')}."
        )
