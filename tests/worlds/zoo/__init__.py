"""Tiny pipelines of every text-to-image class of diffusers, built, saved and drawn with."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
import transformers
from diffusers import DiffusionPipeline
from diffusers.pipelines import deprecated

from worlds.zoo import cascades, clip_families, flow_families, language_families

STEPS = 4


@dataclass(frozen=True, slots=True)
class Family:
    """How one family is built, and how plain diffusers draws with it."""

    build: Callable[[], Any]
    guidance: float | None = 4.0
    """What it is drawn with; None where it has none."""
    guided_by: str = "guidance_scale"
    """What plain diffusers calls it."""
    size: int = 32
    steps: int = STEPS
    plain: Mapping[str, Any] = field(default_factory=dict)
    """What else plain diffusers must be told to do what we do."""
    is_slow: bool = False
    """Whether it takes many seconds: its text encoder has many layers, or its picture a size."""
    is_summed_up: bool = False
    """Whether CLIP still sums up what those who read the text have cut."""

    def load(self, folder: Path) -> Any:
        """Plain diffusers' pipeline; what was left out has to be said to be left out."""
        index = json.loads((folder / "model_index.json").read_text())
        absent = {part: None for part, entry in index.items() if entry == [None, None]}
        if "wuerstchen" in str(index):
            pipeline = _piece_by_piece(folder, index)
        else:
            pipeline = DiffusionPipeline.from_pretrained(folder, use_safetensors=True, **absent)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def plain_call(self, pipeline: Any, prompt: str, seed: int, **told: Any) -> np.ndarray:
        """The picture (height, width, 3) in [0, 1] that plain diffusers draws."""
        takes = inspect.signature(pipeline.__call__).parameters
        given: dict[str, Any] = {"num_inference_steps": self.steps, **self.plain}
        if "height" in takes:
            given |= {"height": self.size, "width": self.size}
        if self.guidance is not None:
            given[self.guided_by] = self.guidance
        output = pipeline(
            prompt=prompt,
            generator=torch.Generator("cpu").manual_seed(seed),
            output_type="np",
            **given | told,
        )
        pictures = output.images if hasattr(output, "images") else output.image
        return np.asarray(pictures[0])


def _piece_by_piece(folder: Path, index: Mapping[str, Any]) -> Any:
    """For diffusers no longer finds ``wuerstchen`` where it has put it, as published models ask."""
    homes = {
        "diffusers": diffusers,
        "transformers": transformers,
        "wuerstchen": deprecated.wuerstchen,
    }
    parts = {
        part: getattr(homes[entry[0]], entry[1]).from_pretrained(folder / part)
        for part, entry in index.items()
        if isinstance(entry, list) and entry[0]
    }
    return getattr(diffusers, index["_class_name"])(**parts)


UNBINNED = {"use_resolution_binning": False}

FAMILIES: Mapping[str, Family] = {
    "sd1": Family(clip_families.stable_diffusion),
    "sd2": Family(clip_families.stable_diffusion_2),
    "sdxl": Family(clip_families.stable_diffusion_xl),
    "sdxl-turbo": Family(clip_families.stable_diffusion_xl_turbo, guidance=0.0),
    "playground": Family(clip_families.playground),
    "lcm": Family(clip_families.latent_consistency),
    "ldm": Family(clip_families.latent_diffusion, size=64),
    "sd1-pag": Family(clip_families.stable_diffusion_pag),
    "sd1-sag": Family(clip_families.stable_diffusion_sag),
    "sd1-panorama": Family(clip_families.panorama),
    "sdxl-pag": Family(clip_families.stable_diffusion_xl_pag),
    "sd3": Family(flow_families.stable_diffusion_3),
    "sd3.5": Family(flow_families.stable_diffusion_35),
    "sd3-without-t5": Family(flow_families.stable_diffusion_3_without_t5),
    "sd3-pag": Family(flow_families.stable_diffusion_3_pag),
    "flux-dev": Family(flow_families.flux_dev),
    "flux-schnell": Family(
        flow_families.flux_schnell,
        guidance=None,
        plain={"max_sequence_length": 256},  # as it was trained
    ),
    "chroma": Family(flow_families.chroma),
    "pixart-alpha": Family(flow_families.pixart_alpha, plain=UNBINNED),
    "pixart-sigma": Family(flow_families.pixart_sigma, plain=UNBINNED),
    "pixart-sigma-pag": Family(flow_families.pixart_sigma_pag, plain=UNBINNED),
    "auraflow": Family(flow_families.aura_flow),
    "bria": Family(flow_families.bria),
    "cogview3": Family(flow_families.cogview3),
    "kandinsky3": Family(flow_families.kandinsky3, size=64),
    "deepfloyd-if": Family(flow_families.deep_floyd),
    "hunyuandit": Family(flow_families.hunyuan_dit, size=64, plain=UNBINNED),
    "hunyuandit-pag": Family(flow_families.hunyuan_dit_pag, size=64, plain=UNBINNED),
    "qwen-image": Family(
        language_families.qwen_image, guided_by="true_cfg_scale", plain={"negative_prompt": " "}
    ),
    "z-image": Family(language_families.z_image),
    "z-image-omni": Family(language_families.z_image_omni),
    "flux2-dev": Family(language_families.flux2_dev),
    "flux2-klein": Family(language_families.flux2_klein),
    "flux2-klein-distilled": Family(language_families.flux2_klein_distilled, guidance=None),
    "flux2-klein-kv": Family(language_families.flux2_klein_kv, guidance=None),
    "ovis-image": Family(language_families.ovis_image),
    "krea2": Family(language_families.krea2),
    "hunyuan-image": Family(language_families.hunyuan_image, guidance=None, is_slow=True),
    "kandinsky5": Family(language_families.kandinsky5, size=1024, steps=2, is_slow=True),
    "nucleus-moe": Family(language_families.nucleus_moe),
    "dreamlite": Family(language_families.dream_lite),
    "dreamlite-mobile": Family(language_families.dream_lite_mobile, guidance=None),
    "longcat-image": Family(language_families.long_cat, plain={"enable_prompt_rewrite": False}),
    "ideogram4": Family(
        language_families.ideogram4, plain={"guidance_schedule": None}, is_slow=True
    ),
    "prx": Family(language_families.prx, plain=UNBINNED),
    "prx-pixel": Family(language_families.prx_pixel, plain=UNBINNED),
    "sana": Family(language_families.sana, plain=UNBINNED),
    "sana-pag": Family(language_families.sana_pag, plain=UNBINNED),
    "sana-sprint": Family(language_families.sana_sprint, steps=2, plain=UNBINNED),
    "lumina": Family(language_families.lumina),
    "lumina2": Family(language_families.lumina2),
    "hidream": Family(
        language_families.hidream, size=128, steps=2, is_summed_up=True, is_slow=True
    ),
    "omnigen": Family(language_families.omnigen),
    "ernie-image": Family(language_families.ernie_image),
    "bria-fibo": Family(language_families.bria_fibo, is_slow=True),
    "cogview4": Family(language_families.cogview4),
    "kolors": Family(language_families.kolors),
    "kolors-pag": Family(language_families.kolors_pag),
    "stable-cascade": Family(
        cascades.stable_cascade, size=128, guided_by="prior_guidance_scale", is_slow=True
    ),
    "wuerstchen": Family(cascades.wuerstchen, size=128, guided_by="prior_guidance_scale"),
    "kandinsky2.1": Family(cascades.kandinsky21, size=64),
    "kandinsky2.2": Family(cascades.kandinsky22, size=64),
    "stable-unclip": Family(cascades.stable_unclip),
    "qwen-image-2.1": Family(
        cascades.qwen_image_21, guided_by="true_cfg_scale", plain={"negative_prompt": " "}
    ),
    "bria-fibo2": Family(cascades.bria_fibo2, is_slow=True),
}
"""Our word for a family to how it is built."""

STRENGTH = {"text_encoder": 3.0, "transformer": 2.0}


def save(name: str, folder: Path) -> Path:
    """Build one family from a fixed seed, strong enough that prompts matter, and save it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        pipeline = FAMILIES[name].build()
        for part, component in pipeline.components.items():
            if isinstance(component, torch.nn.Module):
                _strengthen(component, STRENGTH.get(part.rstrip("_234"), 1.0))
    pipeline.save_pretrained(folder)
    return folder


def _strengthen(component: torch.nn.Module, factor: float) -> None:
    """Fresh weights hardly move a picture, and some are zeros, or whatever memory held."""
    with torch.no_grad():
        for parameter in component.parameters():
            if not torch.isfinite(parameter).all() or not parameter.any():
                parameter.copy_(0.1 * torch.randn(parameter.shape))
            elif parameter.ndim > 1:
                parameter.mul_(factor)


RETIRED = "diffusers has retired it"

UNBUILT: Mapping[str, str] = {
    "AltDiffusionPipeline": RETIRED,
    "AmusedPipeline": RETIRED,
    "Cosmos2TextToImagePipeline": "its safety checker wants a package of its own, and large models",
    "FluxKontextPipeline": "it draws a million pixels whatever is asked, which takes minutes here",
    "GlmImagePipeline": "its language model draws first, from one seed of the whole machine's",
    "SemanticStableDiffusionPipeline": RETIRED,
    "StableDiffusionParadigmsPipeline": RETIRED,
    "UniDiffuserPipeline": RETIRED,
    "VQDiffusionPipeline": RETIRED,
    "VersatileDiffusionTextToImagePipeline": RETIRED,
}
"""Classes whose signature is that of a text-to-image pipeline, and why no tiny one is tried."""
