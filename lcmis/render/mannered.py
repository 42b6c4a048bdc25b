"""Manners of drawing beside telling a prompt: what a model is asked for, and why it cannot."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from lcmis.render.execution import Execution
from lcmis.types import StageManner

if TYPE_CHECKING:
    from lcmis.render.forms.form import Form
    from lcmis.render.kinds import PipelineKind

ASKED_FOR: Mapping[StageManner, str] = MappingProxyType(
    {
        StageManner.TOGETHER: "follow several prompts at once",
        StageManner.EXCITED: "have its attention raised to words",
        StageManner.REFINED: "hand over to a refiner",
    }
)
SCALED = re.compile("Euler|Heun|KDPM2|LMS|SDE|EDM|Consistency|FlowMatch")
"""In the name of a scheduler whose latents are scaled before the denoiser sees them: diffusers'
Attend-and-Excite looks at attention without scaling them, and so at another picture."""


def unexcited(
    family: PipelineKind, form: Form, scheduler: str, offload: str, execution: Execution
) -> str:
    """Why diffusers' Attend-and-Excite cannot draw with a model's parts; empty where it can."""
    if family.folder.class_name != "StableDiffusionPipeline" or not family.has_known_encoders:
        return f"that is for Stable Diffusion 1 and 2, and this is a {family.folder.class_name}"
    if not any("CrossAttn" in kind for kind in family.folder.config("unet")["down_block_types"]):
        return "its U-Net looks at the words at no size that could be read"
    if SCALED.search(scheduler):
        return f"its {scheduler} scales what attention is looked at in: take a DDIMScheduler"
    if offload != "none":
        return f'its weights rest elsewhere: leave offload = "{offload}" out'
    if execution.compiled != "none":
        return "what is compiled cannot be looked into: leave compiled out"
    if form.words:
        return "words of one's own take several places: leave embedding out"
    return ""
