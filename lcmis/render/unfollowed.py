"""Settings for drawing, given to a model that does not draw here."""

from __future__ import annotations

from lcmis.plugins.settings import ModelSettings

DRAWING = (
    "revision",
    "adapters",
    "base",
    "vae",
    "variant",
    "embeddings",
    "num_inference_steps",
    "guidance_scale",
    "scheduler",
    "negative_prompt",
)


def unfollowed(settings: ModelSettings, *more: str) -> str:
    """The first of :data:`DRAWING` and ``more`` that was set; empty if all are as usual."""
    usual = ModelSettings(settings.name)
    names = (*DRAWING, *more)
    return next((n for n in names if getattr(settings, n) != getattr(usual, n)), "")
