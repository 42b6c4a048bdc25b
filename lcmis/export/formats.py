"""Repaired prompts to a file of any format that there is, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lcmis.errors import ConfigError
from lcmis.export.repaired import RepairedPrompt
from lcmis.export.script import as_diffusers, diffusers_left_out
from lcmis.export.tables import as_csv, as_jsonl, as_parquet
from lcmis.export.webui import (
    a1111_left_out,
    a1111_notes,
    as_a1111,
    as_comfyui,
    comfyui_left_out,
    comfyui_notes,
)
from lcmis.machine.files import replacing
from lcmis.plugins import registry


@dataclass(frozen=True, slots=True)
class Exporter:
    """Makes a file of repaired prompts for another tool."""

    suffix: str
    """How its files are usually called: ``.csv``."""
    write: Callable[[Sequence[RepairedPrompt]], bytes]
    """The whole file; never asked for none."""
    left_out: Callable[[RepairedPrompt], str] = lambda _one: ""
    """Why it cannot say a repair; empty where it can."""
    notes: Callable[[RepairedPrompt], Sequence[str]] = lambda _one: ()
    """What it cannot say of a repair that it says."""


CSV = Exporter(".csv", as_csv)
"""Spreadsheets."""
JSONL = Exporter(".jsonl", as_jsonl)
"""Programs, one JSON a line."""
PARQUET = Exporter(".parquet", as_parquet)
"""pandas, DuckDB, Spark."""
DIFFUSERS = Exporter(".py", as_diffusers, diffusers_left_out)
"""A Python script that draws them."""
A1111 = Exporter(".txt", as_a1111, a1111_left_out, a1111_notes)
"""Pasted into AUTOMATIC1111 and its kin."""
COMFYUI = Exporter(".json", as_comfyui, comfyui_left_out, comfyui_notes)
"""A graph in ComfyUI's API format."""


def open_exporter(name: str) -> Exporter:
    """Find an exporter by its registered name.

    Raises:
        UnknownNameError: no such format.
    """
    exporter: Exporter = registry.load("exporters", name)
    return exporter


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written to a file, and what was not."""

    num_repairs: int
    left_out: tuple[str, ...]
    """One sentence for each repair that the format cannot say."""
    notes: tuple[str, ...]
    """One sentence for each thing that it cannot say of a repair."""


def export(repaired: Sequence[RepairedPrompt], format: str, path: Path) -> Exported:
    """Write all of them to one file, whole or not at all; a file of that name is replaced.

    Args:
        repaired: in the order in which they are to stand.
        format: a registered exporter.
        path: the file; its folder must exist.

    Raises:
        UnknownNameError: no such format.
        ConfigError: there is nothing to export, nothing of it can be said in this format, or the
            file cannot be written.
    """
    exporter = open_exporter(format)
    if not repaired:
        raise ConfigError("there is no repaired prompt to export: run lcmis repair first")
    left_out = tuple(filter(None, map(exporter.left_out, repaired)))
    if len(left_out) == len(repaired):
        raise ConfigError(f"{format} cannot say {left_out[0]}: export to another format")
    content = exporter.write(repaired)
    with replacing(path) as draft:
        draft.write_bytes(content)
    notes = [note for one in repaired for note in exporter.notes(one)]
    return Exported(len(repaired) - len(left_out), left_out, tuple(dict.fromkeys(notes)))
