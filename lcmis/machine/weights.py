"""Weights into memory: what every loader refuses, whatever library it loads with."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
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


PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
"""What files of weights are called that can run code when they are opened."""


def refuse_pickled(folder: Path, name: str, safe: str = "*.safetensors") -> None:
    """Judge a folder by its files, before anything of it is loaded.

    Args:
        folder: of a model.
        name: of the model.
        safe: what its weights are called when they can be loaded.

    Raises:
        ConfigError: it has no such weights, or only pickles.
    """
    if any(folder.glob(safe)):
        return
    pickled = sorted(file.name for kind in PICKLES for file in folder.glob(kind))
    if pickled:
        raise ConfigError(
            f"{name} has its weights only as {pickled[0]}, a pickle that can run code when opened: "
            f"`lcmis convert {folder / pickled[0]} --into FOLDER` reads it safely and writes "
            f"safetensors, or take a model that has them"
        )
    raise ConfigError(f"{name} has no safetensors: copy the model again, whole")


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
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ConfigError(
                f"the tensor {key} of {name} holds numbers that are not finite: copy it again"
            )


@contextmanager
def silent() -> Iterator[None]:
    """No progress bars of the libraries' own while inside; ours show what is going on."""
    from transformers.utils import logging

    bars = [logging]
    if "diffusers" in sys.modules:
        bars.append(sys.modules["diffusers"].utils.logging)
    shown = [bar for bar in bars if bar.is_progress_bar_enabled()]
    for bar in shown:
        bar.disable_progress_bar()
    try:
        yield
    finally:
        for bar in shown:
            bar.enable_progress_bar()
