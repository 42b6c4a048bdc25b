"""Progress where a bar can move: a line for each model, laid out for the width and never broken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, SpinnerColumn, Task, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from lcmis.findings import words

BAR = 28
NAME = 20
"""Letters of a name that nothing else but what must be said takes away."""
LEAST_NAME = 4
"""Less of it says nothing."""
ACTIVITY = 32
"""Letters for which who does what is worth its place; what is longer is cut at the end."""
TIME = 7
"""As ``0:12:34``."""
ALWAYS = ("spinner", "counts", "time", "brief")
WITH_ROOM = (
    ("activity", ""),
    ("rate", ""),
    ("standing", "brief"),
    ("speed", "rate"),
    ("bar", ""),
)
"""What is shown too as far as there is room, the most important first, and in whose place."""
ORDER = ("spinner", "name", "bar", "counts", "rate", "speed", "time", "brief", "standing")
"""From left to right; who does what comes last."""


@dataclass(frozen=True, slots=True)
class SoFar:
    """What has come of the work by now."""

    whole: str = ""
    brief: str = ""
    """The same where there is little room; empty where it cannot be said in fewer letters."""


NOTHING = SoFar()


class Bars(Progress):
    """A line each. Counts, time left and what has come of the work are always whole; where there is
    no room the bar goes first, then words, how fast it goes, and who does what; names are cut.

    What was shown once is counted as wide as it was then: nothing comes and goes as numbers change.

    Args:
        console: where they stand.
        clock: gives seconds; the console's own where None.
    """

    def __init__(self, console: Console, clock: Callable[[], float] | None = None) -> None:
        super().__init__(console=console, get_time=clock)
        self._spinner, self._bar = SpinnerColumn(), BarColumn(bar_width=BAR)
        self._time = TimeRemainingColumn(compact=True)
        self._lines: dict[str, Task] = {}
        self._widest: dict[str, int] = {}

    def move(
        self,
        model: str,
        pictures: int,
        expected: int,
        activity: str,
        standing: SoFar = NOTHING,
    ) -> None:
        """How far a model is, what happens now, and what has come of it; one that was not heard of
        begins where those before have ended.
        """
        told: dict[str, Any] = {"activity": activity, "standing": standing}
        if model not in self._lines:
            self.end()
            name = words.short_name(model)
            self.add_task("", total=expected, completed=pictures, name=name, **told)
            self._lines[model] = self.tasks[-1]
        line = self._lines[model]
        line.total = expected  # told by `update`, it would forget how fast they came
        if pictures < expected:
            line.finished_time = None
        self.update(line.id, completed=pictures, **told)

    def end(self) -> None:
        """All is done that is said to be under way."""
        for line in self._lines.values():
            line.total = line.completed
            self.update(line.id, activity="done")

    def get_renderables(self) -> Iterable[RenderableType]:
        """All lines, as one table."""
        tasks = self.tasks
        if not tasks:
            return
        texts = [_texts(task) for task in tasks]
        for name in texts[0]:
            widest = max(cell_len(text[name]) for text in texts)
            self._widest[name] = max(widest, self._widest.get(name, 0))
        widths = laid_out(self._widest, self.console.width)
        table = Table.grid(padding=(0, 1), pad_edge=False)
        for width in widths.values():
            table.add_column(width=width, no_wrap=True, overflow="ellipsis")
        for task, text in zip(tasks, texts, strict=True):
            table.add_row(*self._cells(task, text, widths))
        yield table

    def _cells(
        self, task: Task, text: Mapping[str, str], widths: Mapping[str, int]
    ) -> Iterable[RenderableType]:
        drawn = {"spinner": self._spinner, "bar": self._bar, "time": self._time}
        styles = {"name": "bold", "counts": "green"}
        for name, width in widths.items():
            if name in drawn:
                yield drawn[name](task)
            else:
                said = words.shortened(text[name], width) if name == "name" else text[name]
                yield Text(said, style=styles.get(name, "dim"))


def _texts(task: Task) -> dict[str, str]:
    rate, standing = task.speed or task.finished_speed, task.fields["standing"]
    return {
        "name": task.fields["name"],
        "counts": f"{task.completed:.0f}/{task.total:.0f}",
        "rate": f"{rate:.1f}/s" if rate else "",
        "speed": f"{rate:.1f} pictures/s" if rate else "",
        "brief": standing.brief or standing.whole,
        "standing": standing.whole,
        "activity": f"· {doing}" if (doing := task.fields["activity"]) else "",
    }


def laid_out(widest: Mapping[str, int], width: int) -> dict[str, int]:
    """What is shown in a line of so many letters, from left to right, each with its width.

    Args:
        widest: letters of what there is to say; nothing is said of what has none.
        width: of the terminal.
    """
    wants = {**widest, "spinner": 1, "time": TIME, "bar": BAR}
    wants["activity"] = min(widest["activity"], ACTIVITY)
    shown = {name: wants[name] for name in ALWAYS if wants[name]}
    name = min(widest["name"], NAME)

    def free(some: Mapping[str, int]) -> int:
        """With one letter between any two."""
        return width - sum(some.values()) - len(some) + 1

    for more, instead in WITH_ROOM:
        if wants[more] and (not instead or instead in shown):
            trial = {one: room for one, room in shown.items() if one != instead}
            trial[more] = wants[more]
            if free(trial) > name:
                shown = trial
    room = free(shown) - 1
    if room >= min(LEAST_NAME, widest["name"]):
        shown["name"] = min(room, widest["name"])
        if "activity" in shown:
            shown["activity"] += min(room - shown["name"], widest["activity"] - shown["activity"])
    elif free(shown) < 0:
        del shown["spinner"]
    return {one: shown[one] for one in (*ORDER, "activity") if one in shown}
