"""Weights into memory: what every loader refuses, whatever library it loads with."""

from __future__ import annotations

import json
import re
import struct
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lcmis.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    import torch


def refuse_unusable(device: str) -> None:
    """A driver may see a GPU that the installed torch was not built for.

    Raises:
        ConfigError: so it is here.
    """
    import torch

    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(
            'the installed torch cannot use this machine\'s GPU: set device = "cpu", or install '
            "a build of torch that fits its driver"
        )


LONGEST_HEADER = 100_000_000
"""Bytes; the format allows no more."""


def tensor_shapes(file: Path, name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a safetensors file, read from its head alone.

    Raises:
        ConfigError: it is none, or shorter or longer than its head says.
    """
    try:
        with file.open("rb") as opened:
            (length,) = struct.unpack("<Q", opened.read(8))
            if length > LONGEST_HEADER:
                raise ValueError("it has no head")
            head = json.loads(opened.read(length))
        head.pop("__metadata__", None)
        end = max((entry["data_offsets"][1] for entry in head.values()), default=0)
        shapes = {key: tuple(map(int, entry["shape"])) for key, entry in head.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise ConfigError(f"{name} cannot be read as safetensors ({error}): copy it again") from (
            error
        )
    size = file.stat().st_size
    if size != 8 + length + end:
        raise ConfigError(
            f"{name} has {size:,} bytes and its head says {8 + length + end:,}: copy it again"
        )
    return shapes


def refuse_missing(name: str, missing: Collection[object]) -> None:
    """Loaders fill what a file lacks with random numbers, and say so only if they are asked.

    Args:
        name: of the model, or of one part of it.
        missing: names of tensors, as the loader reports them.

    Raises:
        ConfigError: there are some.
    """
    lacking = sorted(map(str, missing))
    if lacking:
        others = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise ConfigError(
            f"the weights of {name} lack the tensor {lacking[0]}{others}: random numbers would "
            f"stand in for it; copy them again, whole, or take another model"
        )


def refuse_not_finite(name: str, tensors: Mapping[str, torch.Tensor]) -> None:
    """Damage that no loader notices.

    Raises:
        ConfigError: a number is infinite, or none.
    """
    for key, tensor in tensors.items():
        for part in _plain(tensor):
            if part.is_floating_point() and not part.isfinite().all():
                raise ConfigError(
                    f"the tensor {key} of {name} holds numbers that are not finite: copy it again"
                )


def _plain(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """What a tensor is made of: itself, or the numbers and scales of one of few bits, such as
    torchao's, with which little can be computed as it is.
    """
    flatten = getattr(tensor, "__tensor_flatten__", None)
    if flatten is None:
        yield tensor
        return
    for name in flatten()[0]:
        yield from _plain(getattr(tensor, name))


BASES = ("diffusion_pytorch_model", "model")
"""How diffusers and transformers call the weights of one network."""
_INDEX = re.compile(r".*\.safetensors\.index(\.[\w-]+)?\.json")


def is_index(name: str) -> bool:
    """Whether a file says over which files weights are spread."""
    return bool(_INDEX.fullmatch(name))


def weight_files(names: Collection[str], variant: str | None = None) -> tuple[str, ...]:
    """Which of the files in one folder a network's weights are loaded from.

    Others lie beside them: twins in half precision, checkpoints of other programs, adapters.

    Args:
        names: of the files in the folder.
        variant: ``"fp16"``, …: in which spelling they are loaded; None is the plain one.

    Returns:
        One file, or an index and its shards; nothing where there are none in this spelling.
    """
    dotted = f".{variant}" if variant else ""
    for base in BASES:
        index = f"{base}.safetensors.index{dotted}.json"
        shard = re.compile(
            rf"{base}({re.escape(dotted)}-\d+-of-\d+|-\d+-of-\d+{re.escape(dotted)})\.safetensors"
        )
        single = f"{base}{dotted}.safetensors"
        spread = (index, *sorted(name for name in names if shard.fullmatch(name)))
        # of both, diffusers takes the shards and transformers the single file
        orders = (spread, (single,)) if base == BASES[0] else ((single,), spread)
        for files in orders:
            if files[0] in names:
                return files
    return ()


@contextmanager
def silent() -> Iterator[None]:
    """No progress bars and no warnings of the libraries' own while inside.

    Ours show what is going on, and what such warnings are about is checked by whoever loads.
    """
    from transformers.utils import logging

    libraries = [logging]
    if "diffusers" in sys.modules:
        libraries.append(sys.modules["diffusers"].utils.logging)
    before = [(one, one.is_progress_bar_enabled(), one.get_verbosity()) for one in libraries]
    for one, _, _ in before:
        one.disable_progress_bar()
        one.set_verbosity_error()
    try:
        yield
    finally:
        for one, is_shown, verbosity in before:
            one.set_verbosity(verbosity)
            if is_shown:
                one.enable_progress_bar()
