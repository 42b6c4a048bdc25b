"""Which device and number format a model runs on, decided before torch is loaded."""

from __future__ import annotations

import ctypes
import os
import platform
import sys

from lcmis.errors import ConfigError

DTYPES = ("float32", "float16", "bfloat16")
OFFLOADS = ("none", "model", "sequential")
OFFLOADS_OF_PIPELINES = ("none", "encoders", "model", "group", "sequential")


def choose_device(asked: str) -> str:
    """``cpu``, ``cuda``, ``cuda:1`` or ``mps``; ``auto`` takes an accelerator if there is one.

    Raises:
        ConfigError: no such device, or not in this machine.
    """
    kind, _, index = asked.partition(":")
    if kind not in ("auto", "cpu", "cuda", "mps") or (index and not index.isdigit()):
        raise ConfigError(f"there is no device {asked!r}: write auto, cpu, cuda, cuda:1 or mps")
    if kind == "auto":
        return "cuda" if _has_cuda() else "mps" if _has_mps() else "cpu"
    if kind == "cuda" and not _has_cuda():
        raise ConfigError(
            f"device = {asked!r}, but no NVIDIA GPU can be seen from here: write auto or cpu, "
            f"or check nvidia-smi and CUDA_VISIBLE_DEVICES"
        )
    if kind == "mps" and not _has_mps():
        raise ConfigError(f"device = {asked!r} needs a Mac with Apple silicon: write auto or cpu")
    return asked


def choose_dtype(asked: str, device: str) -> str:
    """One of :data:`DTYPES`; ``auto`` is float32 on a CPU, else bfloat16.

    Raises:
        ConfigError: no such format.
    """
    if asked == "auto":
        return "float32" if device == "cpu" else "bfloat16"
    if asked not in DTYPES:
        raise ConfigError(f"there is no dtype {asked!r}: write auto, {', '.join(DTYPES)}")
    return asked


def choose_offload(asked: str, device: str, ways: tuple[str, ...] = OFFLOADS) -> str:
    """One of the ways to rest in main memory.

    Raises:
        ConfigError: no such way, or no accelerator to offload from.
    """
    if asked not in ways:
        raise ConfigError(f"there is no offload {asked!r}: write {', '.join(ways)}")
    if asked != "none" and not device.startswith("cuda"):
        raise ConfigError(f'offload = "{asked}" needs an NVIDIA GPU: write none on {device}')
    return asked


def _has_cuda() -> bool:
    """Asked of the driver's management library: torch is slow to load, and CUDA once woken does
    not survive a fork.
    """
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1"):
        return False
    try:
        library = ctypes.CDLL("nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1")
    except OSError:
        return False
    if library.nvmlInit_v2() != 0:
        return False
    count = ctypes.c_uint()
    found = library.nvmlDeviceGetCount_v2(ctypes.byref(count)) == 0 and count.value > 0
    library.nvmlShutdown()
    return found


def _has_mps() -> bool:
    return sys.platform == "darwin" and platform.machine() == "arm64"
