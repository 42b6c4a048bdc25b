"""Text encoders that rest in main memory: woken by a new prompt, and asleep while pictures form."""

from __future__ import annotations

from typing import Any

import torch
from accelerate.hooks import CpuOffload, add_hook_to_module


class Resting(CpuOffload):
    """Brings a module to its device when it is called; :func:`rest_again` sends it back."""


def encoders(pipeline: Any) -> dict[str, torch.nn.Module]:
    """The parts of a pipeline that read prompts, by name."""
    return {
        name: part
        for name, part in pipeline.components.items()
        if isinstance(part, torch.nn.Module) and name.startswith("text_encoder")
    }


def lay_to_rest(encoder: torch.nn.Module, device: str) -> None:
    """Keep a module in main memory until it is called."""
    add_hook_to_module(encoder, Resting(execution_device=device), append=True)


def rest_again(pipeline: Any) -> None:
    """Send back what was woken; what was never laid to rest stays where it is."""
    woken = [part for part in encoders(pipeline).values() if _rests(part)]
    for part in woken:
        part.to("cpu")
    if woken and torch.cuda.is_available():
        torch.cuda.empty_cache()


def _rests(part: torch.nn.Module) -> bool:
    return isinstance(getattr(part, "_hf_hook", None), Resting)
