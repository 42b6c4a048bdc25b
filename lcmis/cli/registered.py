"""Registered names where a person types: in the help of a flag, and behind the Tab key."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.core import TyperCommand, TyperGroup

from lcmis.cli.examples import EXAMPLES
from lcmis.errors import ConfigError
from lcmis.plugins import registry

CATALOGUES = "catalogues"
"""Stands for the shipped sets of pairs where a help names registered plugins."""


def known(kind: str) -> tuple[str, ...]:
    """All names of one kind, or of :data:`CATALOGUES`; nothing is imported for the first."""
    if kind == CATALOGUES:
        from lcmis.propose.catalogue import catalogues

        return catalogues()
    return tuple(registry.names(kind))


PLACES = ("store", "pictures", "to", "to_pictures", "other_pictures", "others")
"""Parameters that name a place as text: a folder, or an address."""


class NamesPlugins(TyperCommand):
    """A command whose help has examples, and says what is registered: ``{repairers}`` in it becomes
    their names.

    They are looked up when the help of this command is asked for, so that no other pays for it.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As typed, but no place without a name: what a shell makes of a variable that nobody set
        would be the current folder, or what stands where nothing is said.

        Raises:
            ConfigError: one is empty.
        """
        if not ctx.resilient_parsing:
            said, _, _ = self.make_parser(ctx).parse_args(list(args))
            for parameter in self.params:
                named = said.get(str(parameter.name))
                for one in named if isinstance(named, list | tuple) else [named]:
                    if isinstance(one, str) and not one.strip() and _names_a_place(parameter):
                        raise ConfigError(
                            f"{_as_typed(parameter)} is empty: name a place, or leave it out (a "
                            f"variable that is not set is empty, too)"
                        )
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Fill in the names, and print."""
        name = ctx.command_path.partition(" ")[2] or str(ctx.info_name)
        typed = "\n".join(["Examples:", *map(_typed, EXAMPLES[name])])
        written = str(self.help or "")
        self.help = f"{_flowing(written.partition(typed)[0])}\n\n{typed}"
        for parameter in self.params:
            said = getattr(parameter, "help", None)
            if said:
                parameter.help = re.sub(r"\{(\w+)\}", lambda kind: ", ".join(known(kind[1])), said)  # type: ignore[attr-defined]
        super().format_help(ctx, formatter)


def _names_a_place(parameter: Any) -> bool:
    kind = parameter.type_descriptor.annotation
    return kind in (Path, list[Path]) or (kind in (str, list[str]) and parameter.name in PLACES)


def _as_typed(parameter: Any) -> str:
    longest: str = max(parameter.opts, key=len)
    if longest.startswith("-"):
        return longest
    return (parameter.metavar or longest.upper()).strip("[]…")


def in_short(command: Callable[..., None]) -> str:
    """What a list of commands says of one: the first sentence, up to a colon or a semicolon."""
    first = _flowing(command.__doc__ or "").partition("\n\n")[0]
    return re.split(r"[:;.](?:\s|$)", first)[0] + "."


def _flowing(text: str) -> str:
    """Paragraphs without the line ends of our source, which are no line ends of a reader's."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(" ".join(one.split()) for one in paragraphs)


def _typed(line: str) -> str:
    return f"  {line.replace('[', chr(92) + '[')}"


class InOrder(TyperGroup):
    """Commands in the order of use, as they were registered; groups of commands behind them."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names."""
        names = super().list_commands(ctx)
        return sorted(names, key=lambda name: hasattr(self.commands[name], "commands"))


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
