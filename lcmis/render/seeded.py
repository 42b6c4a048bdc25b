"""Whether a service that says it takes seeds does: looked at, before its pictures count."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

SHARE = 0.1
"""Pictures from one seed may differ by so much of what another seed makes different: servers that
batch do not repeat themselves to the bit."""


def distance(one: Image, other: Image) -> tuple[float, int]:
    """Mean and largest difference of the values of two pictures, of 255; 255 if sizes differ."""
    import numpy as np

    if one.size != other.size:
        return 255.0, 255
    apart = np.abs(np.asarray(one, dtype=np.int16) - np.asarray(other, dtype=np.int16))
    return float(apart.mean()), int(apart.max())


def fault(first: Image, again: Image, other: Image) -> str:
    """Why pictures do not come from their seeds; empty if they do.

    Args:
        first: of a prompt and a seed.
        again: of the same.
        other: of the same prompt and another seed.
    """
    same, _ = distance(first, again)
    different, _ = distance(first, other)
    if different == 0:
        return "draws the same picture from another seed"
    if same > SHARE * different:
        return "draws another picture from the same seed"
    return ""


def likeness(one: Image, other: Image) -> str:
    """How alike two pictures from one seed are, as a sentence goes on."""
    mean, largest = distance(one, other)
    if largest == 0:
        return "the same seed gives the same picture, bit for bit"
    return (
        f"the same seed gives nearly the same picture: its values differ by {mean:.2g} of 255 on "
        f"average and {largest} at most, so that no picture can be drawn again to the bit"
    )
