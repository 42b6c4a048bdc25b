"""Picture files from elsewhere: opened by their header, refused where they would fill memory."""

from __future__ import annotations

import struct
import unicodedata
import warnings
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

LARGEST_PICTURE = 2**26
"""Pixels; a file that claims more is refused unread."""
BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error)
"""What Pillow lets out where a file is no picture, or half of one."""


class NoScaleError(ValueError):
    """A picture whose numbers say nothing about how bright they are."""

    def __init__(self) -> None:
        super().__init__("holds numbers without a scale: save it as PNG or JPEG")


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


def flat(picture: Image) -> Image:
    """Any picture in RGB, as a person sees it: on white where it is clear, sixteen-bit greys as
    eight-bit ones.

    Raises:
        NoScaleError: it is in floating point.
    """
    from PIL import Image

    if picture.mode == "F":
        raise NoScaleError
    if picture.mode.startswith("I"):
        return picture.convert("I").point(lambda value: value * (1 / 257)).convert("RGB")
    if picture.has_transparency_data:
        clear = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")
    return picture.convert("RGB")


def within(folder: Path, name: str) -> Path:
    """The file that a manifest names, however it is spelled in the folder.

    A manifest from Windows has backslashes; accents may be letters of their own in the one and not
    in the other. Where no spelling is that of a file, the name as it stands.

    Raises:
        OSError: it is too long for a name.
    """
    for one in (name, name.replace("\\", "/")):
        for spelled in (one, *(unicodedata.normalize(form, one) for form in ("NFC", "NFD"))):
            if (folder / spelled).exists():
                return folder / spelled
    return folder / name
