"""Which diffusion models come with lcmis, and how each is made up; nothing heavy is loaded here."""

from __future__ import annotations

from dataclasses import dataclass

GUIDANCE = 3.0
"""With which every one of them is drawn."""


@dataclass(frozen=True, slots=True)
class Shipped:
    """A model of the miniature world, and how it is made up."""

    folder: str
    """Of the pipeline, below ``data/teacup``."""
    num_steps: int
    """That its card was measured with."""
    adapter: str = ""
    """Folder of what is laid over it; empty for nothing."""


MODELS = {
    "teacup-narrow": Shipped("teacup-narrow", 12),
    "teacup-broad": Shipped("teacup-broad", 12),
    "teacup-partners": Shipped("teacup-broad", 16, "teacup-partners"),
    "teacup-layout": Shipped("teacup-broad", 20, "teacup-layout"),
    "teacup-mixture": Shipped("teacup-broad", 16, "teacup-mixture"),
}
"""Every diffusion model that comes with lcmis."""
