"""Picture files from elsewhere: opened by their header, refused where they would fill memory."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

LARGEST_PICTURE = 2**26
"""Pixels; a file that claims more is refused unread."""
BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error)
"""What Pillow lets out where a file is no picture, or half of one."""
MANIFESTS = ("manifest.csv", "manifest.jsonl")
"""What says in a folder of finished pictures which file answers which prompt."""
IMPORTED = "imported.jsonl"
"""What an import of pictures leaves in their folder: a manifest of the sound ones."""


class TooLargeError(ValueError):
    """A file claims more pixels than are opened here; ``size`` is ``"WIDTHxHEIGHT"``, if known."""

    def __init__(self, size: str = "") -> None:
        claimed = f"claims {size} pixels" if size else "claims too many pixels"
        super().__init__(f"{claimed}, more than is opened here ({LARGEST_PICTURE})")
        self.size = size


def opened(file: str | Path | IO[bytes]) -> Image:
    """A picture of which only the header was read: what follows may still be damaged.

    Raises:
        TooLargeError: it claims more than :data:`LARGEST_PICTURE`.
        OSError: there is no such file, or it is no picture; and whatever else is :data:`BROKEN`.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings(
            action="ignore",
            category=Image.DecompressionBombWarning,  # our limit is lower
        ):
            picture = Image.open(file)
    except Image.DecompressionBombError as error:
        raise TooLargeError from error
    if picture.width * picture.height > LARGEST_PICTURE:
        picture.close()
        raise TooLargeError(f"{picture.width}x{picture.height}")
    return picture
