"""Which device and number format a model runs on, decided before torch is loaded."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from lcmis.errors import ConfigError

DTYPES = ("float32", "float16", "bfloat16")
BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16"})
"""What Linux calls the instructions for it that torch computes pictures by."""
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


def num_cores() -> int:
    """Cores that computing may use: as many as ``OMP_NUM_THREADS`` says, else this process's own,
    of which two threads of one core count once.
    """
    said = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if said.isdigit() and int(said):
        return int(said)
    import psutil

    mine = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0)
    return max(1, min(len(mine), psutil.cpu_count(logical=False) or len(mine)))


def compute_with(threads: int) -> None:
    """Have torch compute with so many threads from now on, in the thread that says so; nothing is
    changed where nobody has loaded it.
    """
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


def has_bfloat16() -> bool:
    """Whether this machine's processor has instructions for bfloat16 that torch uses. One without
    any computes slower in it than in float32. Only Linux on x86 tells; elsewhere it is no.
    """
    try:
        told = Path("/proc/cpuinfo").read_text("utf-8", errors="replace")
    except OSError:
        return False
    lists = re.findall(r"^flags\s*:(.*)$", told, re.MULTILINE)
    return bool(lists) and all(BFLOAT16.intersection(one.split()) for one in lists)


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


def accelerator_name(device: str) -> str | None:
    """What an accelerator is called, e.g. ``"NVIDIA H100 80GB HBM3"``: another kind draws other
    bits. Empty for a CPU; None where only torch can tell, since GPUs of several kinds, or parts of
    one, are in this machine.
    """
    if device == "mps":
        return _apple_name()
    if not device.startswith("cuda"):
        return ""
    with _nvml() as library:
        names = set() if library is None else _gpu_names(library)
    return names.pop() if len(names) == 1 else None  # which of several is meant, CUDA decides


def device_name() -> str:
    """What this process draws on by itself: the accelerator's name, or ``cpu`` and its kind."""
    device = choose_device("auto")
    return accelerator_name(device) or f"{device} {platform.machine()}"


def _apple_name() -> str | None:
    asked = ["sysctl", "-n", "machdep.cpu.brand_string"]
    try:
        told = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return told.stdout.strip() or None


def _gpu_names(library: ctypes.CDLL) -> set[str | None]:
    """Of all GPUs; None for one that is handed out in parts, or does not say."""
    names: set[str | None] = set()
    count = ctypes.c_uint()
    library.nvmlDeviceGetCount_v2(ctypes.byref(count))
    for number in range(count.value):
        handle, name = ctypes.c_void_p(), ctypes.create_string_buffer(96)
        parted, later = ctypes.c_uint(), ctypes.c_uint()
        told = (
            library.nvmlDeviceGetHandleByIndex_v2(number, ctypes.byref(handle)) == 0
            and library.nvmlDeviceGetName(handle, name, len(name)) == 0
        )
        if told:  # a GPU that cannot be parted does not know the question
            library.nvmlDeviceGetMigMode(handle, ctypes.byref(parted), ctypes.byref(later))
        names.add(name.value.decode(errors="replace") if told and not parted.value else None)
    return names


@contextlib.contextmanager
def _nvml() -> Iterator[ctypes.CDLL | None]:
    """The driver's management library, awake; None where there is none."""
    try:
        library = ctypes.CDLL("nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1")
    except OSError:
        yield None
        return
    if library.nvmlInit_v2() != 0:
        yield None
        return
    try:
        yield library
    finally:
        library.nvmlShutdown()


def _has_cuda() -> bool:
    """Asked of the driver's management library: torch is slow to load, and CUDA once woken does
    not survive a fork.
    """
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1"):
        return False
    count = ctypes.c_uint()
    with _nvml() as library:
        return (
            library is not None
            and library.nvmlDeviceGetCount_v2(ctypes.byref(count)) == 0
            and count.value > 0
        )


def _has_mps() -> bool:
    return sys.platform == "darwin" and platform.machine() == "arm64"
