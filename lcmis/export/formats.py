"""Repaired prompts to a file of any format that there is, whole or not at all."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from lcmis.errors import ConfigError, UnknownNameError
from lcmis.machine.files import replacing

if TYPE_CHECKING:
    pass
from lcmis.export.repaired import RepairedPrompt
from lcmis.export.script import as_diffusers
from lcmis.export.tables import as_csv, as_jsonl, as_parquet
from lcmis.export.webui import as_a1111, as_comfyui


def export(repaired: Sequence[RepairedPrompt], format: str, path: Path) -> None:
    """Write all of them to one file, whole or not at all; a file of that name is replaced.

    Args:
        repaired: in the order in which they are to stand.
        format: a key of :data:`FORMATS`.
        path: the file; its folder must exist.

    Raises:
        UnknownNameError: no such format.
        ConfigError: there is nothing to export, or the file cannot be written.
    """
    if format not in FORMATS:
        near = difflib.get_close_matches(format, FORMATS, n=3) or sorted(FORMATS)
        raise UnknownNameError(f"no export format is called {format!r}; try {', '.join(near)}")
    if not repaired:
        raise ConfigError("there is no repaired prompt to export: run lcmis repair first")
    content = FORMATS[format](repaired)
    with replacing(path) as draft:
        draft.write_bytes(content)


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
