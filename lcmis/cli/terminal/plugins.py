"""What the terminal shows of plugins."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from operator import attrgetter
from types import MappingProxyType

from rich.markup import escape

from lcmis.cli.terminal import console
from lcmis.cli.terminal.tables import Column, Grid
from lcmis.plugins.registry import KINDS, OURS, Entry, summary

HINTS: Mapping[str, str] = MappingProxyType(
    {
        "models": "Any other name is a diffusers model: a folder, or a hub name such as "
        "stabilityai/stable-diffusion-xl-base-1.0.",
        "checkers": "Name a model after the kind: vqa:Qwen/Qwen2-VL-2B-Instruct, "
        "clip:ViT-B-32/openai, or a folder.",
        "text_models": "Name a model after the kind: openai:MODEL, or local:FOLDER.",
        "repairers": "Name one by lcmis repair --method.",
        "inverters": "Name one by lcmis invert --method.",
        "writers": "Any other name is a folder or a hub name of a trained writer.",
        "language_models": "Any other name is a folder or a hub name of a causal language model.",
        "importers": "Name one by lcmis import --format.",
        "exporters": "Name one in lcmis export.",
        "publishers": "Name one in lcmis publish.",
    }
)
"""How a plugin of each kind is asked for."""


def print_plugins(entries: Sequence[Entry]) -> None:
    """A table a kind: what each plugin is called and is, and its package where one is not ours."""
    foreign = any(entry.package != OURS for entry in entries)
    for kind, members in itertools.groupby(entries, attrgetter("kind")):
        console.print(f"[bold]{escape(kind)}[/]: {escape(summary(KINDS[kind]))}")
        columns = [
            Column(name="name", wraps=True, style="bold"),
            Column(name="what it is", wraps=True),
        ]
        if foreign:
            columns.append(Column(name="package", wraps=True, style="dim"))
        told = [(entry.name, entry.summary, entry.package) for entry in members]
        console.print(Grid(columns, [list(row[: 2 + foreign]) for row in told]))
        console.print(f"[dim]{escape(HINTS[kind])}[/]\n")
