"""RenderSpec to picture: fixed-shape batches, and what happens when memory runs out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from lcmis.errors import ConfigError, RenderError
from lcmis.machine.memory import largest_that_fits, out_of_memory, within_memory
from lcmis.plugins.optional import at_once_of, sketch_of
from lcmis.plugins.protocols import ImageModel
from lcmis.render.trunks import in_trunk_order
from lcmis.types import RenderSpec

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["draw", "in_trunk_order"]

for _talks_at_import in ("torch.utils._pytree", "diffusers.quantizers.torchao.torchao_quantizer"):
    logging.getLogger(_talks_at_import).setLevel(logging.ERROR)  # of torchao, where it is installed


MOST_TRIED_ON_CPU = 16
"""Pictures by which it is found out what fits: more are drawn no faster there, and take hours."""


def draw(model: ImageModel, specs: Sequence[RenderSpec]) -> list[Image | RenderError]:
    """Draw every spec, in batches of the model's declared shape.

    The batch shape is part of a picture's numerics profile and so of its key: a batch that does
    not fit is never quietly drawn in halves. It is tried once more with the cache emptied (another
    program may have held the memory for a moment); then smaller batches are tried, only to tell
    the user which size fits. Hand over one batch at a time to keep what was drawn before that.

    Returns:
        One RGB picture, or the reason there is none, per spec and in order.

    Raises:
        ConfigError: the device has too little memory for ``model.batch_size``; the sentence names
            the size that was seen to fit.
    """
    drawn: list[Image | RenderError] = []
    for start in range(0, len(specs), at_once_of(model)):
        batch = specs[start : start + at_once_of(model)]
        pictures = within_memory(partial(model.generate, batch))
        if pictures is None:
            raise _out_of_memory(model, batch)
        if len(pictures) != len(batch):
            raise ValueError(f"{model.model_id} drew {len(pictures)} pictures of {len(batch)}")
        drawn += pictures
    return drawn


def _out_of_memory(model: ImageModel, specs: Sequence[RenderSpec]) -> ConfigError:
    declared, first = model.batch_size, specs[0]
    most = min(declared, 2 * MOST_TRIED_ON_CPU) if first.device == "cpu" else declared
    is_sketch = first.profile != model.spec(first.stages, first.seed).profile

    def drawn_as(size: int) -> object:
        """Under another batch shape, and so another profile; the pictures are dropped."""
        model.batch_size = size
        again = [model.spec(spec.stages, spec.seed) for spec in specs[:size]]
        return model.generate([sketch_of(model, one) for one in again] if is_sketch else again)

    try:
        fits = largest_that_fits(most, drawn_as)
    finally:
        model.batch_size = declared
    return out_of_memory(
        f"{model.model_id} runs out of memory at {declared} pictures of "
        f"{first.width}x{first.height}",
        fits,
        'set a smaller height and width, dtype = "bfloat16" or offload = "model"',
    )
