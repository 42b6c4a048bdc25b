"""The pictures that a report carries with it: small copies, within a number of bytes."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lcmis.errors import StoreError, UnknownNameError

if TYPE_CHECKING:
    from PIL.Image import Image

    from lcmis.store import Store

SIDE = 224
"""Pixels of the longer side of a copy."""
QUALITY = 78
"""Of lossy WebP."""
MOST_BYTES = 6_000_000
"""Of all copies together; as text they take a third more."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A picture as a report shows it."""

    source: str = ""
    """A data address; empty where there is no picture."""
    width: int = 0
    height: int = 0
    reason: str = ""
    """Why there is none."""


@dataclass(slots=True)
class Album:
    """Copies made so far; those that would pass the limit are named and left out."""

    store: Store
    most_bytes: int = MOST_BYTES
    num_bytes: int = 0
    left_out: int = 0
    _made: dict[str, Copy] = field(default_factory=dict)

    def copy(self, spec_key: str) -> Copy:
        """A small copy of the picture of this key, made once."""
        if spec_key not in self._made:
            self._made[spec_key] = self._copy(spec_key)
        return self._made[spec_key]

    @property
    def num_pictures(self) -> int:
        """Copies that were made."""
        return sum(bool(copy.source) for copy in self._made.values())

    def _copy(self, spec_key: str) -> Copy:
        try:
            _, render = self.store.render(spec_key)
            if render.refusal:
                return Copy(reason=f"refused by the model: {render.refusal}")
            image = self.store.image(render.sha256)
        except (StoreError, UnknownNameError):
            return Copy(
                reason="the file of this picture is missing or damaged: `lcmis db check` says "
                "which, and a copy of the store restores it"
            )
        data = _shrunk(image, SIDE)
        if self.num_bytes + len(data) > self.most_bytes:
            self.left_out += 1
            return Copy(reason="left out to keep this file small: `lcmis dashboard` shows it")
        self.num_bytes += len(data)
        return _copy(image, data, SIDE)


def copy_of(image: Image, side: int = SIDE) -> Copy:
    """A copy whose longer side has so many pixels at the most."""
    return _copy(image, _shrunk(image, side), side)


def _copy(image: Image, data: bytes, side: int) -> Copy:
    text = base64.b64encode(data).decode()
    return Copy(f"data:image/webp;base64,{text}", *_size(image, side))


def _size(image: Image, side: int) -> tuple[int, int]:
    scale = min(1.0, side / max(image.size))
    return max(1, round(image.width * scale)), max(1, round(image.height * scale))


def _shrunk(image: Image, side: int) -> bytes:
    file = io.BytesIO()
    image.resize(_size(image, side)).save(file, format="WEBP", quality=QUALITY, method=4)
    return file.getvalue()
