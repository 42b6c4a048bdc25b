"""What labels show: who gave them, how often checkers err, and the rates that are left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.markup import escape
from rich.table import Table

from lcmis.cli.terminal import console, name_column, percent, short
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
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("rater", overflow="fold", style="bold")
    for heading in ("pictures", "answers", "asked again"):
        table.add_column(heading, justify="right")
    for rater in sorted({reading.rater for reading in found}):
        mine = [reading for reading in found if reading.rater == rater]
        table.add_row(
            escape(rater),
            str(len({reading.render for reading in mine})),
            str(sum(len(reading.answers) for reading in mine)),
            str(sum(len(reading.answers) > 1 for reading in mine)),
        )
    console.print(table)
    console.print(f"[dim]{HINT} `lcmis calibrate` says what the labels mean.[/]")


def print_calibration(found: LabelFinding) -> None:
    """Checkers by kind of question, rates raw and corrected, raters."""
    if not found.answers:
        console.print(f"There are no labels yet, so no checker is calibrated. {HINT}")
        return
    console.print(
        f"{found.pictures} of {found.of} pictures labelled; "
        f"a score of {found.threshold:g} counts as present."
    )
    for checker in dict.fromkeys(one.checker for one in found.calibrations):
        _print_checker(found, checker)
    _print_raters(found)


def _print_checker(found: LabelFinding, checker: str) -> None:
    mine = [one for one in found.calibrations if one.checker == checker and one.labels]
    if not mine:
        console.print(f"\n[bold]{escape(short(checker))}[/]  has scored no labelled picture")
        return
    whole = found.calibration(checker)
    few = whole is None or not whole.is_calibrated
    state = f"[yellow]uncalibrated: fewer than {FEW_LABELS} labelled pictures[/]" if few else ""
    console.print(f"\n[bold]{escape(short(checker))}[/]  {state}")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("question", no_wrap=True)
    table.add_column("labels", justify="right")
    table.add_column("sensitivity", no_wrap=True)
    table.add_column("specificity", no_wrap=True)
    table.add_column("kappa", no_wrap=True)
    table.add_column("Brier", justify="right")
    table.add_column("threshold", justify="right")
    for one in mine:
        table.add_row(*_row(one))
    console.print(table)
    rates = [rate for rate in found.rates if rate.checker == checker]
    for rate in rates:
        corrected = "cannot be told" if rate.corrected is None else percent(rate.corrected)
        line = f"  {escape(short(rate.model))}: right {percent(rate.raw)}, corrected {corrected}"
        if rate.labels_to_halve is not None:
            line += f"; {rate.labels_to_halve} more labels would halve this range"
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
        else f"{one.agreement.kappa:.2f} [{one.agreement.low:.2f}–{one.agreement.high:.2f}]",
        brier,
        "" if one.threshold is None else f"{one.threshold:.2f}",
    )


def _share(rate: Rate | None) -> str:
    return "" if rate is None or not rate.total else percent(rate).strip()


def _print_raters(found: LabelFinding) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    name_column(table, [one.rater for one in found.raters])
    table.columns[0].header = "rater"
    table.add_column("answers", justify="right")
    table.add_column("the same when asked again", no_wrap=True)
    for one in found.raters:
        again = one.repeats.share
        said = f"{percent(again).strip()} of {again.total}" if again.total else "never asked again"
        table.add_row(escape(one.rater), str(one.answers), said)
    console.print(table)
    between = found.between
    if between.value is not None:
        console.print(
            f"Between raters: Krippendorff's alpha {between.value:.2f} "
            f"\\[{between.low:.2f}–{between.high:.2f}] on {between.units} shared questions."
        )
