"""Which pictures look alike: an encoder's features in a file beside the facts, and their map."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lcmis.errors import StoreError

if TYPE_CHECKING:
    from lcmis.store import Store

ROWS = 8192
"""Features in float32 at a time; the file, and what is kept of it, are half as wide."""
_LENGTH = 0.01
"""How far from one the length of a feature may lie: half precision rounds."""


@dataclass(frozen=True)
class Features:
    """What one encoder saw in pictures; a row a picture."""

    encoder: str
    """``clip:model@revision``."""
    names: tuple[str, ...]
    """SHA-256 of each picture's pixels."""
    vectors: npt.NDArray[np.float16]
    """Of length one, (pictures, dim)."""

    @cached_property
    def rows(self) -> Mapping[str, int]:
        """The row of each picture."""
        return {name: row for row, name in enumerate(self.names)}

    def likeness(self, name: str) -> npt.NDArray[np.float32]:
        """Cosine of the angle between a picture and each one, in [-1, 1], (pictures,).

        Raises:
            KeyError: it has no features.
        """
        mine = self.vectors[self.rows[name]].astype(np.float32)
        products = np.empty(len(self.vectors), np.float32)
        np.concatenate([chunk @ mine for chunk in _wide(self.vectors)], out=products)
        return products.clip(-1, 1)


@dataclass(frozen=True, slots=True)
class Layout:
    """Pictures on a plane: the two directions along which their features differ most."""

    places: npt.NDArray[np.float64]
    """(pictures, 2), the mean picture at zero."""
    share: float
    """Of all squared distance from the mean, what the plane shows, in [0, 1]."""


def feature_file(store: Store, encoder: str) -> Path:
    """Where the features of an encoder lie.

    The name bears a hash of the encoder's id, because letters that no file name may have are
    replaced in it.

    Raises:
        StoreError: the store has no folder on this machine.
    """
    told = re.sub(r"[^A-Za-z0-9._-]+", "-", encoder)[:80].strip("-.")
    mark = hashlib.sha256(encoder.encode()).hexdigest()[:8]
    return store.folder / f"features-{told}-{mark}.safetensors"


def feature_files(store: Store) -> list[Path]:
    """Every file of features that lies there, by name.

    Raises:
        StoreError: the store has no folder on this machine.
    """
    return sorted(store.folder.glob("features-*.safetensors"))


def read_features(file: Path) -> Features:
    """What `lcmis embed` wrote.

    Raises:
        StoreError: it cannot be read as such a file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "np") as opened:
            encoder = (opened.metadata() or {})["encoder"]
            names, vectors = opened.get_tensor("sha256"), opened.get_tensor("features")
        if (
            names.dtype != np.uint8
            or vectors.dtype != np.float16
            or vectors.ndim != 2
            or names.shape != (len(vectors), 32)
        ):
            raise ValueError("its tables are of another shape")
        if not all(map(of_length_one, _wide(vectors))):
            raise ValueError("it holds what is no direction")
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise StoreError(
            f"{file} cannot be read as features ({error}): delete it, and run `lcmis embed` again"
        ) from error
    return Features(encoder, tuple(row.tobytes().hex() for row in names), vectors)


def nearest(likeness: npt.NDArray[np.float32], many: int) -> npt.NDArray[np.int64]:
    """Rows of the most alike first, ``many`` of them; of equal ones the earlier row first."""
    return np.argsort(-likeness, kind="stable")[:many].astype(np.int64)


def principal_components(vectors: npt.NDArray[np.float16]) -> Layout:
    """The first two principal components of features; the same plane whenever it is asked for.

    Each axis points to where its largest part is positive, as its sign is free.

    Args:
        vectors: (pictures, dim).

    Source:
        Pearson, K. (1901). On lines and planes of closest fit to systems of points in space.
        Philosophical Magazine 2(11).
    """
    if not len(vectors):
        return Layout(np.zeros((0, 2)), 0.0)
    mean = sum(chunk.sum(axis=0, dtype=np.float64) for chunk in _wide(vectors)) / len(vectors)
    scatter = np.zeros((vectors.shape[1],) * 2)
    for chunk in _wide(vectors):
        away = chunk - mean
        scatter += away.T @ away
    values, axes = np.linalg.eigh(scatter)
    plane = axes[:, ::-1][:, :2]
    if plane.shape[1] < 2:
        plane = np.pad(plane, ((0, 0), (0, 1)))
    signs = np.sign(plane[np.abs(plane).argmax(axis=0), np.arange(2)])
    plane = plane * np.where(signs == 0, 1, signs)
    places = np.concatenate([(chunk - mean) @ plane for chunk in _wide(vectors)])
    whole = values.sum()
    share = values[-2:].sum() / whole if whole > _NOTHING * len(vectors) else 0.0
    return Layout(places, float(np.clip(share, 0, 1)))


_NOTHING = 1e-12
"""Squared distance from the mean, a picture, that rounding makes of equal ones."""


def _wide(vectors: npt.NDArray[np.float16]) -> Iterator[npt.NDArray[np.float32]]:
    for start in range(0, len(vectors), ROWS):
        yield vectors[start : start + ROWS].astype(np.float32)


def of_length_one(vectors: npt.NDArray[np.float32]) -> bool:
    """Whether all are; what is not finite is of no length, and so is not of this one."""
    return bool((np.abs(np.linalg.norm(vectors, axis=1) - 1) < _LENGTH).all())
