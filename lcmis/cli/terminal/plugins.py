"""What the terminal shows of plugins."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from operator import attrgetter
from types import MappingProxyType

from rich import box
from rich.markup import escape
from rich.table import Table

from lcmis.cli.terminal import console
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
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("name", style="bold", no_wrap=True)
        table.add_column("what it is", overflow="fold")
        if foreign:
            table.add_column("package", overflow="fold")
        for entry in members:
            table.add_row(*map(escape, (entry.name, entry.summary, entry.package)[: 2 + foreign]))
        console.print(table)
        console.print(f"[dim]{escape(HINTS[kind])}[/]\n")
