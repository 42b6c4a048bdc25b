"""Registered names where a person types: in the help of a flag, and behind the Tab key."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.core import TyperCommand

from lcmis.plugins import registry

CATALOGUES = "catalogues"
"""Stands for the shipped sets of pairs where a help names registered plugins."""


def known(kind: str) -> tuple[str, ...]:
    """All names of one kind, or of :data:`CATALOGUES`; nothing is imported for the first."""
    if kind == CATALOGUES:
        from lcmis.propose.catalogue import catalogues

        return catalogues()
    return tuple(registry.names(kind))


class NamesPlugins(TyperCommand):
    """A command whose help says what is registered: ``{repairers}`` in it becomes their names.

    They are looked up when the help of this command is asked for, so that no other pays for it.
    """

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Fill in the names, and print."""
        for parameter in self.params:
            said = getattr(parameter, "help", None)
            if said:
                parameter.help = re.sub(r"\{(\w+)\}", lambda kind: ", ".join(known(kind[1])), said)  # type: ignore[attr-defined]
        super().format_help(ctx, formatter)


def complete(*kinds: str) -> Callable[[str], list[str]]:
    """What begins as typed among the names of these kinds; files where none does, by the shell."""

    def names(incomplete: str) -> list[str]:
        found = {name for kind in kinds for name in known(kind) if name.startswith(incomplete)}
        return sorted(found)

    return names


def complete_or_path(*kinds: str) -> Callable[[str], list[str]]:
    """As :func:`complete`, and the files and folders that begin as typed, but for those whose names
    would act on the terminal.
    """
    of_names = complete(*kinds)

    def names_and_paths(incomplete: str) -> list[str]:
        folder, _, beginning = incomplete.rpartition("/")
        place = Path(f"{folder}/" if "/" in incomplete else ".").expanduser()
        there = sorted(place.iterdir()) if place.is_dir() else []
        prefix = incomplete.removesuffix(beginning)
        shown = [path for path in there if beginning or not path.name.startswith(".")]
        shown = [path for path in shown if path.name.isprintable()]
        found = [path for path in shown if path.name.startswith(beginning)]
        paths = [f"{prefix}{path.name}{'/' if path.is_dir() else ''}" for path in found]
        return [*of_names(incomplete), *paths]

    return names_and_paths
