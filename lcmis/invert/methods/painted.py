"""Texts told apart by what is painted from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lcmis.plugins.protocols import Encoder, Tools

if TYPE_CHECKING:
    import torch


def likeness(
    text: str, seen: torch.Tensor, encoder: Encoder, tools: Tools, paintings: int
) -> float:
    """Mean cosine of a picture and what is painted from a text; -1 where nothing is.

    Args:
        text: the prompt.
        seen: what the encoder sees in the picture, (joint,).
        encoder: compares.
        tools: paint.
        paintings: pictures of the text.

    Raises:
        OutOfBudget: as it paints.
    """
    painted = [tools.paint(text, place) for place in range(paintings)]
    pictures = [picture for picture in painted if picture is not None]
    return float((encoder.see(pictures) @ seen).mean()) if pictures else -1.0
