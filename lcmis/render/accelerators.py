"""Which accelerator draws, by its own name: another kind of it draws other bits."""

from __future__ import annotations

from functools import cache

from lcmis.machine.device import accelerator_name


@cache
def accelerator(device: str) -> str:
    """By its own name, e.g. ``"NVIDIA H100 80GB HBM3"``; empty for a CPU."""
    name = accelerator_name(device)
    if name is not None:
        return name
    import torch

    return str(torch.cuda.get_device_name(device)) if device.startswith("cuda") else device


def profile_of(device: str, rest: str) -> str:
    """A numerics profile that names the accelerator, so that two kinds share no key.

    Pictures of a CPU keep the names that they have always had.
    """
    name = accelerator(device)
    return f"{device.partition(':')[0]}-{rest}" + (f" on {name}" if name else "")
