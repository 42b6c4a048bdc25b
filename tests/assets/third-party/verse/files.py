"""A set format, and a file of repaired prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lcmis.export.formats import Exporter
from lcmis.export.repaired import RepairedPrompt
from lcmis.propose.formats.sets import Format
from lcmis.types import Concept


def _named(prompt: str, rows: Sequence[Mapping[str, Any]]) -> tuple[Concept, Concept]:
    (fields,) = rows
    return Concept(fields["one"]), Concept(fields["other"])


def _sung(repaired: Sequence[RepairedPrompt]) -> bytes:
    return "\n".join(f"♪ {one.stages[-1].prompt}" for one in repaired).encode()


VERSES = Format("verse", "Verses", ("verse", "one", "other"), _named, prompt="verse")
"""Verses, each with the two things that it sings of."""
VERSE = Exporter(".song", _sung)
"""A line to sing for each repair."""
