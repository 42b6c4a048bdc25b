"""What every contract is tried on: a pair, and pictures that differ in content, size and mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lcmis.check import blank_picture
from lcmis.types import Concept, ConceptPair, Intruder, Side

if TYPE_CHECKING:
    from PIL.Image import Image

BATCH_TOLERANCE = 1e-3
"""How far a value may move when its neighbours change."""


def contract_pair() -> ConceptPair:
    """A tea cup of iced coke, with two suspects that would take the cup's place."""
    return ConceptPair(
        Concept("tea cup"),
        Concept("iced coke"),
        "a tea cup of iced coke",
        intruders=(
            Intruder(Concept("glass"), Side.A, "a glass of iced coke"),
            Intruder(Concept("can"), Side.A, "a can of iced coke"),
        ),
    )


def contract_pictures() -> list[Image]:
    """Small pictures that differ in content, size and mode."""
    from PIL import Image

    stripes = Image.new("RGB", (64, 64), (200, 30, 30))
    stripes.paste((20, 40, 220), (0, 0, 24, 64))
    ramp = Image.linear_gradient("L").resize((80, 48))
    see_through = Image.new("RGBA", (48, 72), (10, 200, 90, 128))
    return [stripes, ramp, see_through, blank_picture(64, 64)]
