"""Who takes a pipeline of diffusers apart for gradients."""

from __future__ import annotations

from collections.abc import Mapping

from lcmis.render.denoiser import PipelineDenoiser
from lcmis.render.denoiser_flow import FluxDenoiser, StableDiffusion3Denoiser
from lcmis.render.denoiser_pair import TwoEncoderDenoiser
from lcmis.render.denoiser_unet import UNetDenoiser

DENOISERS: Mapping[str, type[PipelineDenoiser]] = {
    "StableDiffusionPipeline": UNetDenoiser,
    "StableDiffusionXLPipeline": TwoEncoderDenoiser,
    "StableDiffusion3Pipeline": StableDiffusion3Denoiser,
    "FluxPipeline": FluxDenoiser,
}
"""By pipeline class; which text encoders each can read stands in :mod:`lcmis.render.kinds`."""
