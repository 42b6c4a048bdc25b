"""Reference pictures for inversions: the user's, another model's, the best so far, or pasted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter

from lcmis.check.pictures import open_picture
from lcmis.errors import ItemError
from lcmis.invert.masks import word_masks
from lcmis.store import Evidence, Store

if TYPE_CHECKING:
    from lcmis.plugins.protocols import Denoiser

OTHER, BEST, PASTE = "other", "best", "paste"
KINDS = (OTHER, BEST, PASTE)
"""Where a reference may come from, in the order of trust; anything else names a file."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A picture that shows both concepts, or nearly, and where it came from."""

    picture: Image.Image = field(repr=False)
    origin: str
    """Keys of stored pictures, or a file's name with the hash of its content."""


def read(path: Path) -> Reference:
    """A picture of the user's.

    Raises:
        ConfigError: there is no such file, or it is no picture.
    """
    picture = open_picture(path)
    digest = hashlib.sha256(path.expanduser().read_bytes()).hexdigest()
    return Reference(picture, f"{path.name} sha256:{digest[:16]}")


def stored(store: Store, item: Evidence) -> Reference:
    """A picture that lies in the store."""
    _, render = store.render(item.spec_key)
    return Reference(store.image(render.sha256), f"{item.spec_key} by {item.model}")


def clearest(evidence: Iterable[Evidence], at_least: float) -> Evidence | None:
    """The picture whose less visible concept is seen best, if it is seen well enough."""
    known = {
        item.spec_key: (min(item.a, item.b), item)
        for item in evidence
        if item.a is not None and item.b is not None and not item.refused
    }
    if not known:
        return None
    score, best = max(known.values(), key=lambda one: (one[0], one[1].spec_key))
    return best if score >= at_least else None


def pasted(a: Reference, b: Reference, region: Image.Image | None) -> Reference:
    """B's concept in A's picture: where ``region`` is white, else at half its size in the middle.

    Args:
        a: Shows the first concept alone.
        b: Shows the second one alone.
        region: Where B's concept is in B's picture, mode L, as large as it.
    """
    picture = a.picture.copy()
    shown = b.picture.resize(picture.size)
    if region is not None:
        edge = ImageFilter.GaussianBlur(max(picture.size) / 64)
        picture.paste(shown, mask=region.resize(picture.size).filter(edge))
    else:
        small = shown.resize((max(1, shown.width // 2), max(1, shown.height // 2)))
        place = ((picture.width - small.width) // 2, (picture.height - small.height) // 2)
        picture.paste(small, place)
    return Reference(picture, f"{b.origin} pasted into {a.origin}")


def region(denoiser: Denoiser, picture: Image.Image, prompt: str, name: str) -> Image.Image | None:
    """Where a prompt's picture shows a concept: white where the words of its name matter.

    None where the model cannot be looked into, or none of the words has a place.
    """
    try:
        masks = word_masks(denoiser, picture, prompt)
    except ItemError:
        return None
    words = name.casefold().split()
    covered = [mask.covered for mask in masks if mask.word.casefold() in words]
    if not covered:
        return None
    return Image.fromarray(np.where(np.logical_or.reduce(covered), 255, 0).astype(np.uint8))
