"""Consoles: nothing that is printed tells the terminal what to do, and bars share one."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from lcmis.machine.letters import harmless


class Terminal(Console):
    """A console on which colours are ours alone: letters that would act are spelled out."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(highlight=False, **settings)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """As rich does it, the text of every segment made harmless."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else harmless(text), style, control)


@cache
def stderr_console() -> Terminal:
    """For all that is said beside the output: two bars on two consoles would tear each other."""
    return Terminal(stderr=True)
