"""Picture files from elsewhere: opened by their header, and made RGB in the one way for all."""

from __future__ import annotations

import hashlib
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


class UnscaledError(ValueError):
    """A file holds numbers of which none is said to be white."""

    def __init__(self) -> None:
        super().__init__("holds numbers without a scale: save it as PNG or JPEG with 8 or 16 bits")


def flat(picture: Image) -> Image:
    """What a person sees of a picture, in RGB: every road into the tool goes through here.

    Turned as its camera held it; of several frames the first; on white where it is clear, since
    viewers and pages show it so and most pictures of one thing stand on white; sixteen-bit greys
    scaled, not clipped, to eight bits.

    Raises:
        UnscaledError: it holds floats, or integers beyond sixteen bits.
        OSError: it is damaged; and whatever else is :data:`BROKEN`.
    """
    from PIL import Image, ImageOps

    upright = ImageOps.exif_transpose(picture)
    if upright.mode == "F":
        raise UnscaledError
    if upright.mode.startswith("I"):
        upright = _eight_bits(upright)
    clear = upright.info.get("transparency")
    if upright.mode == "RGB" and isinstance(clear, tuple) and max(clear) > 255:
        upright.info["transparency"] = tuple(value >> 8 for value in clear)  # as its pixels were
    if not upright.has_transparency_data:
        return upright.convert("RGB")
    seen = upright.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen).convert("RGB")


def _eight_bits(grey: Image) -> Image:
    """Sixteen-bit greys as eight-bit ones; of one value that is said to be clear, white."""
    from PIL import Image

    wide = grey.convert("I")
    extremes = wide.getextrema()
    if not all(isinstance(value, int | float) and 0 <= value <= 65535 for value in extremes):
        raise UnscaledError
    narrow = wide.point(lambda value: value * (1 / 257) + 0.5).convert("L")
    clear = grey.info.get("transparency")
    if isinstance(clear, int):
        import numpy as np

        narrow = Image.fromarray(
            np.where(np.asarray(wide) == clear, np.uint8(255), np.asarray(narrow))
        )
    return narrow


def upright_size(picture: Image) -> tuple[int, int]:
    """``(height, width)`` that :func:`flat` will have, read from the header alone."""
    try:
        turned = picture.getexif().get(_ORIENTATION, 1) in range(5, 9)
    except BROKEN:  # told when it is opened whole
        turned = False
    return (picture.width, picture.height) if turned else (picture.height, picture.width)


_ORIENTATION = 0x0112
"""EXIF's tag; from 5 to 8 the picture lies on its side."""


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


def picture_hash(image: Image) -> str:
    """SHA-256 in hex of a picture's size and its RGB pixels, row by row.

    The size counts, because a black picture 2 by 8 has the bytes of one 4 by 4.

    Raises:
        ValueError: the picture is not RGB.
    """
    if image.mode != "RGB":
        raise ValueError(f"a picture is RGB, got {image.mode}")
    digest = hashlib.sha256(f"{image.width}x{image.height}\n".encode())
    digest.update(image.tobytes())
    return digest.hexdigest()
