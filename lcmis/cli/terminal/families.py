"""What the terminal shows of families of pipelines: what works for which."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape

from lcmis.cli.terminal import console
from lcmis.cli.terminal.tables import Column, Grid
from lcmis.render.families import WORKS, FamilyFacts

SHOWN = ("same", "stages", "guidance", "negative", "batches", "length")
COLUMNS = (
    Column(name="family", style="bold", spare=1),
    *(Column(name=name) for name in SHOWN),
    Column(name="time", right=True),
)
LEGEND = (
    "same: a prompt is drawn as diffusers alone draws it. stages: prompts switch between steps. "
    "guidance, negative: they act. batches: a picture is the same alone and beside others. length: "
    "the longest prompt is read to its end, and one more letter refused. time: of a picture, over "
    "that of diffusers alone, on tiny pipelines. What is not `yes` is refused with a reason: lcmis "
    "models FAMILY --families"
)


def print_families(found: Sequence[FamilyFacts], *, in_full: bool) -> None:
    """The whole table, or each of these with its pipeline and all reasons."""
    if not in_full:
        console.print(Grid(COLUMNS, [_row(facts) for facts in found]))
        console.print(f"[dim]{len(found)} families. {LEGEND}[/]")
        return
    for facts in found:
        console.print(f"[bold]{escape(facts.family)}[/]")
        for name in facts.document:
            console.print(f"  [dim]{name}[/] {escape(getattr(facts, name))}")
        console.print()


def _row(facts: FamilyFacts) -> list[str]:
    return [facts.family, *(short(getattr(facts, name)) for name in SHOWN), facts.ratio]


def short(said: str) -> str:
    """A word for what was found: `yes`, `no`, or that there is no limit."""
    return said if said == WORKS or len(said.split()) < 3 else "no"
