"""Repaired prompts for web interfaces: AUTOMATIC1111's prompt editing, ComfyUI's graphs."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from lcmis.types import Seen

if TYPE_CHECKING:
    pass
from lcmis.export.repaired import RepairedPrompt
from lcmis.export.tables import record

_A1111_SAMPLERS = MappingProxyType(
    {
        "DDIMScheduler": "DDIM",
        "DPMSolverMultistepScheduler": "DPM++ 2M",
        "DPMSolverSDEScheduler": "DPM++ SDE",
        "EulerAncestralDiscreteScheduler": "Euler a",
        "EulerDiscreteScheduler": "Euler",
        "FlowMatchEulerDiscreteScheduler": "Euler",
        "HeunDiscreteScheduler": "Heun",
        "KDPM2AncestralDiscreteScheduler": "DPM2 a",
        "KDPM2DiscreteScheduler": "DPM2",
        "LCMScheduler": "LCM",
        "LMSDiscreteScheduler": "LMS",
        "PNDMScheduler": "PLMS",
        "UniPCMultistepScheduler": "UniPC",
    }
)
"""Scheduler of diffusers to the sampler of that web interface that does the same."""


def as_a1111(repaired: Sequence[RepairedPrompt]) -> bytes:
    """One block a repair, as it is pasted into the prompt field, blocks parted by an empty line.

    Stages are prompt editing, ``[first:full:0.2]``, the fraction as the handbook there means it;
    by the code its samplers stay with the first prompt for one step more. Letters that mean
    something there are escaped; so are its words AND and BREAK, by writing them small, as text
    encoders read them. ``#`` begins a comment there and cannot be escaped: it is left out.
    """
    return "\n".join(_infotext(one) for one in repaired).encode()


def _infotext(one: RepairedPrompt) -> str:
    starts = one.starts()
    text = _a1111_text(starts[-1][1])
    for (_, prompt), (switch, _) in reversed(list(pairwise(starts))):
        text = f"[{_a1111_text(prompt)}:{text}:{_when(one, switch)}]"
    certificate = one.certificate
    parameters = {
        "Steps": one.num_inference_steps,
        "Sampler": _A1111_SAMPLERS.get(one.scheduler, one.scheduler),
        "CFG scale": f"{one.guidance_scale:g}",
        "Seed": certificate.seeds[0] if certificate.seeds else 0,
        "Size": f"{one.width}x{one.height}",
        "Model": one.model,
        "Original prompt": one.pair.prompt,
        "Certificate": one.summary(),
        "Seeds": ", ".join(map(str, certificate.seeds)),
        "Scores": "; ".join(_score(seen) for seen in one.seen),
    }
    lines = [text]
    if one.negative_prompt:
        lines.append(f"Negative prompt: {_a1111_text(one.negative_prompt)}")
    said = (f"{name}: {_a1111_value(value)}" for name, value in parameters.items() if value != "")
    return "\n".join((*lines, ", ".join(said))) + "\n"


def _score(seen: Seen) -> str:
    a, b = ("not scored" if s is None else f"{s:.3f}" for s in (seen.a, seen.b))
    return f"{seen.seed} {a} {b}"


def _a1111_text(text: str) -> str:
    text = " ".join(text.replace("#", " ").split())
    text = re.sub(r"\b(?:AND|BREAK)\b", lambda found: found[0].lower(), text)
    return re.sub(r"([\\()\[\]:|])", r"\\\1", text)


def _a1111_value(value: object) -> str:
    text = " ".join(str(value).split())
    return json.dumps(text, ensure_ascii=False) if re.search(r'[,:"\n]', text) else text


def _when(one: RepairedPrompt, step: int) -> str:
    """A fraction below 1 whose product with the number of steps, cut off, is this step.

    The stage's own where it is one.
    """
    steps = one.num_inference_steps
    for end in (stage.denoising_end for stage in one.stages[:-1]):
        if round(end * steps) == step == int(end * steps):
            return f"{end:g}" if int(float(f"{end:g}") * steps) == step else repr(float(end))
    fraction = math.ceil(1e4 * step / steps) / 1e4
    return f"{fraction if int(fraction * steps) == step else fraction + 1e-4:.4f}"


_COMFYUI_SAMPLERS = MappingProxyType(
    {
        "DDIMScheduler": "ddim",
        "DDPMScheduler": "ddpm",
        "DPMSolverMultistepScheduler": "dpmpp_2m",
        "DPMSolverSDEScheduler": "dpmpp_sde",
        "EulerAncestralDiscreteScheduler": "euler_ancestral",
        "EulerDiscreteScheduler": "euler",
        "FlowMatchEulerDiscreteScheduler": "euler",
        "HeunDiscreteScheduler": "heun",
        "KDPM2AncestralDiscreteScheduler": "dpm_2_ancestral",
        "KDPM2DiscreteScheduler": "dpm_2",
        "LCMScheduler": "lcm",
        "LMSDiscreteScheduler": "lms",
        "UniPCMultistepScheduler": "uni_pc",
    }
)
"""Scheduler of diffusers to ComfyUI's sampler that does the same; ``euler`` for all others."""


def as_comfyui(repaired: Sequence[RepairedPrompt]) -> bytes:
    """One graph in the API format, a chain of nodes and a saved picture for each repair.

    A stage is the text's range of the sampling, cut half a step before the next stage's first
    step, so that never two rule at once. Models are named after their folder: choose the
    checkpoint file you have. The certificate stands in the ``_meta`` of the sampler.
    """
    graph: dict[str, Any] = {}

    def node(kind: str, title: str, about: Mapping[str, Any] | None = None, **inputs: Any) -> str:
        name = str(len(graph) + 1)
        meta = {"title": title, **(about or {})}
        graph[name] = {"class_type": kind, "inputs": inputs, "_meta": meta}
        return name

    loaders: dict[str, str] = {}
    for number, one in enumerate(repaired):
        if one.model not in loaders:
            file = f"{_slug(one.model)}.safetensors"
            loaders[one.model] = node("CheckpointLoaderSimple", one.model, ckpt_name=file)
        model = loaders[one.model]
        ruling = list(_ranges(one))
        positive = ""
        for start, end, prompt in ruling:
            said = node("CLIPTextEncode", "Prompt", text=prompt, clip=[model, 1])
            if len(ruling) > 1:
                said = node(
                    "ConditioningSetTimestepRange",
                    f"From {start:g} to {end:g}",
                    conditioning=[said, 0],
                    start=start,
                    end=end,
                )
            positive = (
                node(
                    "ConditioningCombine",
                    "Stages",
                    conditioning_1=[positive, 0],
                    conditioning_2=[said, 0],
                )
                if positive
                else said
            )
        negative = node(
            "CLIPTextEncode", "Negative prompt", text=one.negative_prompt, clip=[model, 1]
        )
        latent = node("EmptyLatentImage", "Size", width=one.width, height=one.height, batch_size=1)
        seeds = one.certificate.seeds
        drawn = node(
            "KSampler",
            one.summary(),
            {"lcmis": record(one)},
            model=[model, 0],
            seed=seeds[0] if seeds else 0,
            steps=one.num_inference_steps,
            cfg=float(one.guidance_scale),
            sampler_name=_COMFYUI_SAMPLERS.get(one.scheduler, "euler"),
            scheduler="sgm_uniform",
            positive=[positive, 0],
            negative=[negative, 0],
            latent_image=[latent, 0],
            denoise=1.0,
        )
        picture = node("VAEDecode", "Picture", samples=[drawn, 0], vae=[model, 2])
        node(
            "SaveImage",
            one.pair.prompt,
            images=[picture, 0],
            filename_prefix=f"lcmis-{number:03d}",
        )
    return json.dumps(graph, indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _ranges(one: RepairedPrompt) -> Iterator[tuple[float, float, str]]:
    """``(start, end, prompt)`` as shares of the sampling, in [0, 1]."""
    starts = one.starts()
    cuts = [0.0, *(round((step - 0.5) / one.num_inference_steps, 4) for step, _ in starts[1:]), 1.0]
    for (_, prompt), (start, end) in zip(starts, pairwise(cuts), strict=True):
        yield start, end, prompt


def _slug(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text.partition("@")[0]).strip("-.") or "model"
