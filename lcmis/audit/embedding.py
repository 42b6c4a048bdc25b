"""Pictures that an encoder has not seen yet are seen by it, once; what it saw lies in a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lcmis.errors import ConfigError, StoreError
from lcmis.findings.features import feature_file, of_length_one, read_features
from lcmis.machine.files import replacing

if TYPE_CHECKING:
    from PIL.Image import Image

    from lcmis.plugins.protocols import Encoder
    from lcmis.store import Store

AT_ONCE = 32
"""Pictures in memory at a time."""
BETWEEN_SAVES = 2048
"""New pictures after which the file is written, so that little is lost with the power."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """What a run of :func:`add_features` did."""

    encoder: str
    file: Path
    added: int
    known: int
    """Had features already."""
    damaged: int
    """Their files are missing or damaged; they have none."""


def add_features(
    store: Store, encoder: Encoder, watch: Callable[[int, int], None] | None = None
) -> Embedded:
    """Look at every picture of the store that an encoder has not seen, and keep what it saw.

    They are no facts: whoever has the pictures and the encoder has them again. What was done
    before an interrupt is kept.

    Args:
        store: Read only.
        encoder: Sees pictures.
        watch: Told after each batch how many are done, and of how many.

    Raises:
        StoreError: the file of features that lies there is damaged.
        ConfigError: it cannot be written, or the encoder sees no direction in a picture.
    """
    file = feature_file(store, encoder.encoder_id)
    names: list[str] = []
    kept: list[npt.NDArray[np.float16]] = []
    if file.exists():
        before = read_features(file)
        names, kept = list(before.names), [before.vectors]
    known, damaged, saved = len(names), 0, len(names)
    wanted = sorted({sha for sha in store.hashes().values() if sha} - set(names))
    try:
        for batch, broken in _batches(store, wanted):
            damaged += broken
            if batch:
                kept.append(_seen(encoder, list(batch.values())))
                names.extend(batch)
            if watch is not None:
                watch(len(names) - known + damaged, len(wanted))
            if len(names) - saved >= BETWEEN_SAVES:
                _write(file, encoder.encoder_id, names, kept)
                saved = len(names)
    finally:
        if len(names) > saved:
            _write(file, encoder.encoder_id, names, kept)
    return Embedded(encoder.encoder_id, file, len(names) - known, known, damaged)


def _seen(encoder: Encoder, pictures: Sequence[Image]) -> npt.NDArray[np.float16]:
    seen = encoder.see(pictures).float().cpu().numpy()
    if not of_length_one(seen):
        raise ConfigError(
            f"{encoder.encoder_id} sees no direction in a picture: are its weights whole? Try "
            f"--dtype float32"
        )
    narrow: npt.NDArray[np.float16] = seen.astype(np.float16)
    return narrow


def _batches(store: Store, names: Sequence[str]) -> Iterator[tuple[dict[str, Image], int]]:
    """Pictures by their hash, a few at a time, and how many of those few cannot be read."""
    for start in range(0, len(names), AT_ONCE):
        some = names[start : start + AT_ONCE]
        batch = {}
        for name in some:
            try:
                batch[name] = store.image(name)
            except StoreError:  # told as a number; `lcmis db check` names each
                continue
        yield batch, len(some) - len(batch)


def _write(
    file: Path, encoder: str, names: Sequence[str], kept: Sequence[npt.NDArray[np.float16]]
) -> None:
    from safetensors.numpy import save_file

    hashes = np.frombuffer(bytes.fromhex("".join(names)), np.uint8).reshape(-1, 32)
    tables = {"sha256": hashes, "features": np.concatenate(kept)}
    with replacing(file) as draft:
        save_file(tables, draft, {"encoder": encoder})
