"""Settings for drawing, given to a model that does not draw here."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

from lcmis.plugins.settings import ModelSettings

DRAWING = (
    "revision",
    "adapters",
    "base",
    "vae",
    "variant",
    "embeddings",
    "refiner",
    "num_inference_steps",
    "guidance_scale",
    "scheduler",
    "negative_prompt",
    "channels_last",
    "compiled",
    "vae_decoding",
    "attention_backend",
    "cache",
    "search_dtype",
    "gradient_checkpointing",
    "threads",
)


def unfollowed(settings: ModelSettings, *more: str, but: Collection[str] = ()) -> str:
    """The first of :data:`DRAWING` and ``more``, not of ``but``, that was set; empty if all are as
    usual.
    """
    usual = ModelSettings(settings.name)
    asked = dataclasses.replace(settings, negative_prompt=settings.negative_prompt or None)
    names = (name for name in (*DRAWING, *more) if name not in but)
    return next((n for n in names if getattr(asked, n) != getattr(usual, n)), "")
