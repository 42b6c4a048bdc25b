"""Repaired prompts to a file of any format that there is, whole or not at all."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from lcmis.errors import ConfigError, UnknownNameError
from lcmis.export.repaired import RepairedPrompt
from lcmis.export.script import as_diffusers
from lcmis.export.tables import as_csv, as_jsonl, as_parquet
from lcmis.export.webui import a1111_left_out, a1111_notes, as_a1111, as_comfyui, comfyui_notes
from lcmis.machine.files import replacing


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
        format: a key of :data:`FORMATS`.
        path: the file; its folder must exist.

    Raises:
        UnknownNameError: no such format.
        ConfigError: there is nothing to export, nothing of it can be said in this format, or the
            file cannot be written.
    """
    if format not in FORMATS:
        near = difflib.get_close_matches(format, FORMATS, n=3) or sorted(FORMATS)
        raise UnknownNameError(f"no export format is called {format!r}; try {', '.join(near)}")
    if not repaired:
        raise ConfigError("there is no repaired prompt to export: run lcmis repair first")
    left_out = tuple(filter(None, map(LEFT_OUT.get(format, _nothing), repaired)))
    if len(left_out) == len(repaired):
        raise ConfigError(f"{format} cannot say {left_out[0]}: export to another format")
    content = FORMATS[format](repaired)
    with replacing(path) as draft:
        draft.write_bytes(content)
    notes = [note for one in repaired for note in NOTES.get(format, _nothing)(one)]
    return Exported(len(repaired) - len(left_out), left_out, tuple(dict.fromkeys(notes)))


def _nothing(one: RepairedPrompt) -> str:
    return ""


FORMATS: Mapping[str, Callable[[Sequence[RepairedPrompt]], bytes]] = MappingProxyType(
    {
        "csv": as_csv,
        "jsonl": as_jsonl,
        "parquet": as_parquet,
        "diffusers": as_diffusers,
        "a1111": as_a1111,
        "comfyui": as_comfyui,
    }
)
"""Name of a format to what makes a file of it."""

LEFT_OUT: Mapping[str, Callable[[RepairedPrompt], str]] = MappingProxyType(
    {"a1111": a1111_left_out}
)
"""Why a format cannot say a repair, where there is such a thing."""
NOTES: Mapping[str, Callable[[RepairedPrompt], Sequence[str]]] = MappingProxyType(
    {"a1111": a1111_notes, "comfyui": comfyui_notes}
)
"""What a format cannot say of a repair that it says."""

SUFFIXES: Mapping[str, str] = MappingProxyType(
    {
        "csv": ".csv",
        "jsonl": ".jsonl",
        "parquet": ".parquet",
        "diffusers": ".py",
        "a1111": ".txt",
        "comfyui": ".json",
    }
)
"""How a file of each format is usually called."""
