"""Repaired prompts for web interfaces: AUTOMATIC1111's prompt editing, ComfyUI's graphs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import Any

from lcmis.export.repaired import RepairedPrompt, told_only
from lcmis.export.tables import record
from lcmis.types import Seen

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


_A1111_TWO_CALLS = frozenset({"DPM++ SDE", "DPM2", "DPM2 a"})
"""Its samplers that ask the denoiser once more between two steps."""
_A1111_BY_TIMESTEP = frozenset({"DDIM", "PLMS", "UniPC"})
"""Its samplers that read no schedule of sigmas."""


def as_a1111(repaired: Sequence[RepairedPrompt]) -> bytes:
    """One block a repair, as it is pasted into the prompt field, blocks parted by an empty line.

    By the code of AUTOMATIC1111 1.10.1. Stages are prompt editing, ``[first:full:3]``: an integer
    ``n`` counts the calls of the denoiser, not steps, and the first text rules the calls 0 to n,
    one more than the handbook there says. A number below 1 is dropped, so a text cannot rule one
    call alone: such a repair stands as a comment with the reason, and so says
    :func:`a1111_left_out`. Letters that mean something there are escaped; its words AND and BREAK
    by a backslash within, which it drops where it reads weights. ``#`` begins a comment there and
    cannot be escaped: it is left out, and :func:`a1111_notes` says so, as it does of a scheduler
    that has no name there. Prompts that are followed at once are joined by its AND, each with its
    weight, by which it adds up their guidance as we do. ``RNG: CPU`` and a named schedule make it
    draw the noise and take the steps that diffusers does; its Automatic would be another one for
    some samplers.
    """
    return "\n".join(
        f"# left out: {' '.join(reason.split())}\n"
        if (reason := a1111_left_out(one))
        else _infotext(one)
        for one in repaired
    ).encode()


def a1111_left_out(one: RepairedPrompt) -> str:
    """Why it cannot be told so, or no number there makes the prompts change where ours do; empty if
    it can.
    """
    if one.manners and not (len(one.stages) == 1 and one.stages[0].beside):
        return told_only(one, "AUTOMATIC1111")
    for (switch, _), (_, earlier) in zip(one.starts()[1:], one.starts(), strict=False):
        if _when(one, switch) < 1:
            return (
                f"{one.pair.prompt!r} for {one.model}: {earlier!r} rules one call of the denoiser "
                f"alone, and the shortest that AUTOMATIC1111 can say is two"
            )
    return ""


def a1111_notes(one: RepairedPrompt) -> tuple[str, ...]:
    """What the block cannot say, one sentence each."""
    said = []
    if one.scheduler not in _A1111_SAMPLERS:
        said.append(f"{one.scheduler} has no name in AUTOMATIC1111: choose a sampler yourself")
    texts = [prompt for _, prompt in one.starts()]
    texts += [part.prompt for stage in one.stages for part in stage.beside]
    if any("#" in text for text in (*texts, one.negative_prompt)):
        said.append("# begins a comment in AUTOMATIC1111, so it is taken out of the prompt")
    return (*said, *_laid_over(one))


def _laid_over(one: RepairedPrompt) -> tuple[str, ...]:
    """What has to be loaded there by hand, one sentence each."""
    return (
        *(
            f"the adapter {item.name} at {item.weight:g} is not loaded by this: add it"
            for item in (one.adapters)
        ),
        *(
            f"the prompts may say {word.token}: load {word.name} under that name"
            for word in (one.embeddings)
        ),
        *((f"the VAE {one.vae} is not loaded by this: choose it",) if one.vae else ()),
    )


def _infotext(one: RepairedPrompt) -> str:
    starts = one.starts()
    text = _a1111_text(starts[-1][1])
    if beside := one.stages[-1].beside:
        parts = [(text, one.stages[-1].weight)]
        parts += [(_a1111_text(part.prompt), part.weight) for part in beside]
        text = " AND ".join(f"{said} :{weight:.6f}" for said, weight in parts)
    for (_, prompt), (switch, _) in reversed(list(pairwise(starts))):
        text = f"[{_a1111_text(prompt)}:{text}:{_when(one, switch)}]"
    certificate = one.certificate
    sampler = _A1111_SAMPLERS.get(one.scheduler, "")
    parameters = {
        "Steps": one.num_inference_steps,
        "Sampler": sampler,
        "Schedule type": "" if not sampler or sampler in _A1111_BY_TIMESTEP else "SGM Uniform",
        "CFG scale": f"{one.guidance_scale:g}",
        "Seed": certificate.seeds[0] if certificate.seeds else 0,
        "Size": f"{one.width}x{one.height}",
        "Model": one.model,
        "RNG": "CPU",
        "Original prompt": one.pair.prompt,
        "Certificate": one.summary(),
        "Seeds": ", ".join(map(str, certificate.seeds)),
        "Scores": "; ".join(_score(seen) for seen in one.seen),
        "Left out": "; ".join(a1111_notes(one)),
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
    text = re.sub(r"([\\()\[\]:|])", r"\\\1", " ".join(text.replace("#", " ").split()))
    return re.sub(r"\b(A)(ND)\b|\b(B)(REAK)\b", r"\1\3\\\2\4", text)


def _a1111_value(value: object) -> str:
    text = " ".join(str(value).split())
    return json.dumps(text, ensure_ascii=False) if re.search(r'[,:"\n]', text) else text


def _when(one: RepairedPrompt, step: int) -> int:
    """The last call of the denoiser, counted from 0, before a step; calls go by its sampler."""
    match _A1111_SAMPLERS.get(one.scheduler):
        case "Heun":  # its second call looks at the next step already, as it does here
            calls = 2 * step - 1
        case "PLMS":  # looks ahead once, in its first step
            calls = step + (step > 1)
        case sampler:
            calls = 2 * step if sampler in _A1111_TWO_CALLS else step
    return calls - 1


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

_COMFYUI_DROPS = frozenset({"dpm_2", "dpm_2_ancestral", "uni_pc", "uni_pc_bh2"})
"""Its samplers that are given one sigma more and lose the last but one."""
_COMFYUI_BETWEEN = frozenset({"dpm_2", "dpmpp_sde"})
"""Its samplers that ask the denoiser between two steps, too."""


def as_comfyui(repaired: Sequence[RepairedPrompt]) -> bytes:
    """One graph in the API format, a chain of nodes and a saved picture for each repair.

    By the code of ComfyUI 0.3: a stage is the text's range of the sampling, as a share of the
    timesteps of ``sgm_uniform``, and rules every call of the denoiser whose sigma lies within. It
    is cut between the last call of the step before and the first of its own, so that never two
    rule at once; both lie elsewhere for samplers that lose the last but one sigma, or look between
    two steps. ``dpm_2_ancestral`` looks between two steps with just the sigma of the later one,
    whose text it then reads. Round brackets would be weights and ``embedding:`` a file: the former
    are escaped, a backslash in front of them included, the latter gets a space before its colon,
    which CLIP reads the same. The page in the browser would take ``{a|b}`` and ``//`` out of a
    text: such a text stands in a node of its own, whose field the page leaves alone. Models are
    named after their folder: choose the checkpoint file you have. The certificate stands in the
    ``_meta`` of the sampler, with what :func:`comfyui_notes` says.
    """
    repaired = [one for one in repaired if not comfyui_left_out(one)]
    graph: dict[str, Any] = {}

    def node(kind: str, title: str, about: Mapping[str, Any] | None = None, **inputs: Any) -> str:
        name = str(len(graph) + 1)
        meta = {"title": title, **(about or {})}
        graph[name] = {"class_type": kind, "inputs": inputs, "_meta": meta}
        return name

    def encoded(title: str, prompt: str, model: str) -> str:
        text: str | list[Any] = _comfyui_text(prompt)
        if _REWRITTEN_BY_THE_PAGE.search(str(text)):
            text = [node("PrimitiveStringMultiline", title, value=text), 0]
        return node("CLIPTextEncode", title, text=text, clip=[model, 1])

    loaders: dict[str, str] = {}
    for number, one in enumerate(repaired):
        if one.model not in loaders:
            file = f"{_slug(one.model)}.safetensors"
            loaders[one.model] = node("CheckpointLoaderSimple", one.model, ckpt_name=file)
        model = loaders[one.model]
        ruling = list(_ranges(one))
        positive = ""
        for start, end, prompt in ruling:
            said = encoded("Prompt", prompt, model)
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
        negative = encoded("Negative prompt", one.negative_prompt, model)
        latent = node("EmptyLatentImage", "Size", width=one.width, height=one.height, batch_size=1)
        seeds = one.certificate.seeds
        drawn = node(
            "KSampler",
            one.summary(),
            {"lcmis": record(one) | {"notes": list(comfyui_notes(one))}},
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


def comfyui_left_out(one: RepairedPrompt) -> str:
    """Why the graph cannot draw a repair; empty if it can. Prompts that are combined there are
    averaged, and not added up.
    """
    return told_only(one, "the graph for ComfyUI")


def comfyui_notes(one: RepairedPrompt) -> tuple[str, ...]:
    """What the graph cannot say, one sentence each."""
    laid_over = _laid_over(one)
    if one.scheduler in _COMFYUI_SAMPLERS:
        return laid_over
    return (f"{one.scheduler} has no name in ComfyUI: euler stands in its place", *laid_over)


_REWRITTEN_BY_THE_PAGE = re.compile(r"\{|//|/\*|\\[{}|]|\\$")
"""What the page takes for a choice, a comment or an escape."""


def _comfyui_text(text: str) -> str:
    text = re.sub(r"(?<!\S)embedding:", "embedding :", text.replace("\0", ""))
    return re.sub(r"([()])", r"\\\1", text)


def _ranges(one: RepairedPrompt) -> Iterator[tuple[float, float, str]]:
    """``(start, end, prompt)`` as shares of the sampling, in [0, 1]."""
    starts = one.starts()
    sampler = _COMFYUI_SAMPLERS.get(one.scheduler, "euler")
    sigmas = one.num_inference_steps + (sampler in _COMFYUI_DROPS)
    # Models whose schedule is shifted reach a step up to half a step earlier than by its number,
    # and a look between two steps may lie behind the middle.
    ahead = 0.3 if sampler in _COMFYUI_BETWEEN else 0.75
    digits = 3 if sigmas <= 100 else 6  # the field's own precision, where it is enough
    cuts = [0.0, *(round((step - ahead) / sigmas, digits) for step, _ in starts[1:]), 1.0]
    for (_, prompt), (start, end) in zip(starts, pairwise(cuts), strict=True):
        yield start, end, prompt


def _slug(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text.partition("@")[0]).strip("-.") or "model"
