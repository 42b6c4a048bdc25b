"""Settings for drawing, given to a model that does not draw here."""

from __future__ import annotations

import dataclasses

from lcmis.plugins.settings import ModelSettings

DRAWING = (
    "revision",
    "adapters",
    "num_inference_steps",
    "guidance_scale",
    "scheduler",
    "negative_prompt",
)


def unfollowed(settings: ModelSettings, *more: str) -> str:
    """The first of :data:`DRAWING` and ``more`` that was set; empty if all are as usual."""
    usual = ModelSettings(settings.name)
    asked = dataclasses.replace(settings, negative_prompt=settings.negative_prompt or None)
    names = (*DRAWING, *more)
    return next((n for n in names if getattr(asked, n) != getattr(usual, n)), "")
