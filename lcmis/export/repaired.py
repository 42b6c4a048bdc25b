"""Repaired prompts as files for other tools, with their model, seeds, scores and certificate."""

from __future__ import annotations

import csv
import difflib
import io
import json
import math
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from pprint import pformat
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from lcmis.errors import ConfigError, UnknownNameError
from lcmis.machine.files import replacing
from lcmis.text.words import percent
from lcmis.types import Adapter, Certificate, ConceptPair, LevelRange, Rate, Seen, Stage

if TYPE_CHECKING:
    import pyarrow

    from lcmis.findings import RepairFinding


@dataclass(frozen=True, slots=True)
class RepairedPrompt:
    """One pair with the way of prompting that was found for it, and all that proves it.

    Raises:
        ValueError: the certificate is another pair's, or one from elsewhere another candidate's.
    """

    pair: ConceptPair
    certificate: Certificate
    num_inference_steps: int
    guidance_scale: float
    scheduler: str
    """As the model reports it: the class in diffusers."""
    height: int
    width: int
    negative_prompt: str
    """All that the pictures were kept away from: the model's own and the candidate's."""
    seen: tuple[Seen, ...] = ()
    """What the judge saw in the repaired pictures, one a seed of the certificate."""
    source: str = ""
    """Hub name or folder from which diffusers loads the model; by default its id, less the
    revision."""
    revision: str = ""
    """Of a hub model; empty for a folder."""
    adapters: tuple[Adapter, ...] = ()
    dtype: str = "float32"
    elsewhere: tuple[Certificate, ...] = ()
    """Of the same candidate on other models."""

    def __post_init__(self) -> None:
        if self.certificate.nomination.pair != self.pair.key:
            raise ValueError(f"the certificate is not about {self.pair.prompt!r}")
        if any(one.nomination != self.certificate.nomination for one in self.elsewhere):
            raise ValueError("a certificate from elsewhere is about another candidate")

    @property
    def model(self) -> str:
        """``name@revision``."""
        return self.certificate.nomination.model

    @property
    def stages(self) -> tuple[Stage, ...]:
        """What replaces the pair's prompt."""
        return self.certificate.nomination.candidate.stages

    @property
    def location(self) -> str:
        """Where diffusers finds the model."""
        return self.source or self.model.partition("@")[0]

    def starts(self) -> tuple[tuple[int, str], ...]:
        """``(step, prompt)``: from which denoising step, counted from 0, each prompt rules.

        A stage too short for one whole step gives way to its successor.
        """
        steps = self.num_inference_steps
        begins = [0, *(round(stage.denoising_end * steps) for stage in self.stages[:-1])]
        ruling = dict(zip(begins, (stage.prompt for stage in self.stages), strict=True))
        return tuple((step, prompt) for step, prompt in ruling.items() if step < steps)

    def summary(self) -> str:
        """The certificate in one line, what the repair costs included."""
        one = self.certificate
        costs = f", but {'; '.join(one.collateral)}" if one.collateral else ""
        return (
            f"{'repaired' if one.passed else 'NOT repaired'}: "
            f"{percent(one.before.value)}% right before, {percent(one.after.value)}% after, "
            f"{one.wins} wins, {one.losses} losses, p = {one.p:.2g}, "
            f"on {len(one.seeds)} fresh seeds, judged by {one.judge}{costs}"
        )


def repaired_prompt(found: RepairFinding, source: str = "") -> RepairedPrompt:
    """A certified repair, ready for other tools.

    Args:
        found: On the model it was found for, and on others.
        source: Whence diffusers loads that model.
    """
    spec = found.spec
    return RepairedPrompt(
        pair=found.pair,
        certificate=found.certificate,
        num_inference_steps=spec.num_inference_steps,
        guidance_scale=spec.guidance_scale,
        scheduler=spec.scheduler,
        height=spec.height,
        width=spec.width,
        negative_prompt=spec.negative_prompt,
        seen=found.seen,
        source=source,
        adapters=spec.adapters,
        dtype=spec.profile.split("-")[1],
        elsewhere=tuple(one.certificate for one in found.elsewhere),
    )


def export(repaired: Sequence[RepairedPrompt], format: str, path: Path) -> None:
    """Write all of them to one file, whole or not at all; a file of that name is replaced.

    Args:
        repaired: in the order in which they are to stand.
        format: a key of :data:`FORMATS`.
        path: the file; its folder must exist.

    Raises:
        UnknownNameError: no such format.
        ConfigError: there is nothing to export, or the file cannot be written.
    """
    if format not in FORMATS:
        near = difflib.get_close_matches(format, FORMATS, n=3) or sorted(FORMATS)
        raise UnknownNameError(f"no export format is called {format!r}; try {', '.join(near)}")
    if not repaired:
        raise ConfigError("there is no repaired prompt to export: run lcmis repair first")
    content = FORMATS[format](repaired)
    with replacing(path) as draft:
        draft.write_bytes(content)


# ── as a record ──────────────────────────────────────────────────────────────────────────────────


def record(one: RepairedPrompt) -> dict[str, Any]:
    """Everything about one repair, in the types of JSON; the same names in every format."""
    certificate, nomination = one.certificate, one.certificate.nomination
    return {
        "pair": one.pair.key,
        "a": one.pair.a.name,
        "b": one.pair.b.name,
        "original_prompt": one.pair.prompt,
        "concept_pair": one.pair.as_json(),
        "repaired": certificate.passed,
        "prompt": one.stages[-1].prompt,
        "stages": [
            {"prompt": stage.prompt, "denoising_end": float(stage.denoising_end)}
            for stage in one.stages
        ],
        "negative_prompt": one.negative_prompt,
        "model": one.model,
        "source": one.location,
        "revision": one.revision,
        "adapters": [{"name": a.name, "weight": float(a.weight)} for a in one.adapters],
        "num_inference_steps": one.num_inference_steps,
        "guidance_scale": float(one.guidance_scale),
        "scheduler": one.scheduler,
        "height": one.height,
        "width": one.width,
        "dtype": one.dtype,
        "repairer": nomination.repairer,
        "guide": nomination.guide,
        "given": list(nomination.given),
        "reference": nomination.reference,
        "judge": certificate.judge,
        "seeds": list(certificate.seeds),
        "unjudged": certificate.unjudged,
        "scores": [{"seed": seen.seed, "a": seen.a, "b": seen.b} for seen in one.seen],
        **_figures(certificate),
        "alpha": float(certificate.alpha),
        "collateral": list(certificate.collateral),
        "certificate": one.summary(),
        "helps_on": [other.model for other in one.elsewhere if other.passed],
        "harms_on": [other.model for other in one.elsewhere if other.harms],
        "elsewhere": [
            {
                "model": other.model,
                "judge": other.judge,
                "seeds": list(other.seeds),
                "unjudged": other.unjudged,
                **_figures(other),
                "collateral": list(other.collateral),
            }
            for other in one.elsewhere
        ],
    }


def _figures(certificate: Certificate) -> dict[str, Any]:
    return {
        **_rate("before", certificate.before, certificate.levels_before),
        **_rate("after", certificate.after, certificate.levels_after),
        "wins": certificate.wins,
        "losses": certificate.losses,
        "p": float(certificate.p),
    }


def _rate(when: str, rate: Rate, levels: LevelRange) -> dict[str, Any]:
    return {
        f"{when}_right": float(rate.value),
        f"{when}_low": float(rate.low),
        f"{when}_high": float(rate.high),
        f"{when}_total": rate.total,
        f"{when}_level": str(levels),
    }


def _csv(repaired: Sequence[RepairedPrompt]) -> bytes:
    """One line a repair, lists as JSON.

    No cell begins like a formula: those that would get an apostrophe in front.
    """
    rows = [record(one) for one in repaired]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(rows[0])
    for row in rows:
        writer.writerow([_cell(value) for value in row.values()])
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        value = json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and value.strip()[:1] in ("=", "+", "-", "@", "＝", "＋", "－", "＠"):
        return f"'{value}"
    return value


def _jsonl(repaired: Sequence[RepairedPrompt]) -> bytes:
    lines = [json.dumps(record(one), ensure_ascii=False, allow_nan=False) for one in repaired]
    return "".join(f"{line}\n" for line in lines).encode()


def _parquet(repaired: Sequence[RepairedPrompt]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.Table.from_pylist([record(one) for one in repaired], schema=_schema())
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(table, buffer)
    return buffer.getvalue()


def _schema() -> pyarrow.Schema:
    """Spelled out, so that a column has its type also where all of its lists are empty."""
    import pyarrow as pa

    text, whole, real = pa.string(), pa.int64(), pa.float64()
    stages = pa.list_(pa.struct({"prompt": text, "denoising_end": real}))
    adapters = pa.list_(pa.struct({"name": text, "weight": real}))
    scores = pa.list_(pa.struct({"seed": whole, "a": real, "b": real}))
    rate = {"right": real, "low": real, "high": real, "total": whole, "level": text}
    figures = {
        **{f"{when}_{name}": kind for when in ("before", "after") for name, kind in rate.items()},
        "wins": whole,
        "losses": whole,
        "p": real,
    }
    elsewhere = pa.struct(
        {
            **dict.fromkeys(("model", "judge"), text),
            "seeds": pa.list_(whole),
            "unjudged": whole,
            **figures,
            "collateral": pa.list_(text),
        }
    )
    return pa.schema(
        {
            **dict.fromkeys(("pair", "a", "b", "original_prompt", "concept_pair"), text),
            "repaired": pa.bool_(),
            "prompt": text,
            "stages": stages,
            **dict.fromkeys(("negative_prompt", "model", "source", "revision"), text),
            "adapters": adapters,
            "num_inference_steps": whole,
            "guidance_scale": real,
            "scheduler": text,
            "height": whole,
            "width": whole,
            **dict.fromkeys(("dtype", "repairer", "guide"), text),
            "given": pa.list_(text),
            **dict.fromkeys(("reference", "judge"), text),
            "seeds": pa.list_(whole),
            "unjudged": whole,
            "scores": scores,
            **figures,
            "alpha": real,
            "collateral": pa.list_(text),
            "certificate": text,
            **dict.fromkeys(("helps_on", "harms_on"), pa.list_(text)),
            "elsewhere": pa.list_(elsewhere),
        }
    )


# ── as a script for diffusers ────────────────────────────────────────────────────────────────────

_SCRIPT = '''\
"""Draws repaired prompts with diffusers, without lcmis: python repaired.py --help

Needs torch, diffusers and transformers. A prompt in several stages rules until its share of the
denoising is over: the text that the denoiser reads is then swapped for the next one's.

{summaries}
"""

import argparse
import contextlib
from pathlib import Path

import diffusers
import torch

REPAIRED = {data}

TEXT = (  # whatever of these a denoiser takes tells it the prompt
    "encoder_hidden_states",
    "encoder_attention_mask",
    "encoder_hidden_states_mask",
    "pooled_projections",
    "added_cond_kwargs",
    "txt_ids",
)


class Told(Exception):
    """The denoiser has been told a prompt."""


@contextlib.contextmanager
def hooked(denoiser, hook):
    handle = denoiser.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def told(pipeline, denoiser, prompt, call):
    """What the denoiser is told of one prompt."""
    found = {{}}

    def listen(module, args, kwargs):
        found.update({{name: kwargs[name] for name in TEXT if kwargs.get(name) is not None}})
        raise Told

    with hooked(denoiser, listen), contextlib.suppress(Told):
        pipeline(prompt=prompt, **call)
    return found


def draw(pipeline, one, seed):
    steps = one["num_inference_steps"]
    call = {{
        "num_inference_steps": steps,
        "guidance_scale": one["guidance_scale"],
        "height": one["height"],
        "width": one["width"],
    }}
    if one["negative_prompt"]:
        call["negative_prompt"] = one["negative_prompt"]
    *earlier, last = one["stages"]
    denoiser = getattr(pipeline, "unet", None) or pipeline.transformer
    starts = [0] + [round(stage["denoising_end"] * steps) for stage in earlier]
    texts = {{}}
    if earlier:
        for start, stage in zip(starts, one["stages"]):
            texts[start] = told(pipeline, denoiser, stage["prompt"], call)
    # a fresh scheduler: whatever one keeps between calls cannot reach the next picture
    pipeline.scheduler = pipeline.scheduler.from_config(pipeline.scheduler.config)
    now = {{"step": 0}}

    def switch(module, args, kwargs):
        ruling = texts[max(start for start in texts if start <= now["step"])]
        for name, value in ruling.items():
            kwargs[name] = {{**kwargs[name], **value}} if isinstance(value, dict) else value
        return args, kwargs

    def count(pipe, index, timestep, values):
        timesteps = [float(t) for t in pipe.scheduler.timesteps]
        distinct = sorted(set(timesteps), reverse=True)
        if index + 1 < len(timesteps):  # some schedulers call the denoiser twice a step
            now["step"] = distinct.index(timesteps[index + 1]) * steps // len(distinct)
        return values

    if earlier:
        call["callback_on_step_end"] = count
    with hooked(denoiser, switch) if earlier else contextlib.nullcontext():
        generator = torch.Generator("cpu").manual_seed(seed)
        return pipeline(prompt=last["prompt"], generator=generator, **call).images[0]


def load(one, source, device):
    choice = {{"revision": one["revision"]}} if one["revision"] else {{}}
    pipeline = diffusers.DiffusionPipeline.from_pretrained(
        source, torch_dtype=getattr(torch, one["dtype"]), use_safetensors=True, **choice
    )
    if type(pipeline.scheduler).__name__ != one["scheduler"]:
        scheduler = getattr(diffusers, one["scheduler"])
        pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config)
    for number, adapter in enumerate(one["adapters"]):
        name = adapter["name"].partition("@")[0]
        pipeline.load_lora_weights(name, adapter_name=f"adapter{{number}}")
    if one["adapters"]:
        names = [f"adapter{{number}}" for number in range(len(one["adapters"]))]
        pipeline.set_adapters(names, [adapter["weight"] for adapter in one["adapters"]])
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def main():
    parser = argparse.ArgumentParser(description="Draws repaired prompts.")
    parser.add_argument("--output", type=Path, default=Path("repaired"), help="folder for pictures")
    parser.add_argument("--model", help="hub name or folder to take instead of the recorded one")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seeds", type=int, nargs="+", help="instead of the certificate's")
    parser.add_argument("--only", type=int, nargs="+", help="numbers of prompts, from 0")
    chosen = parser.parse_args()
    chosen.output.mkdir(parents=True, exist_ok=True)
    pipeline, loaded = None, None
    for number, one in enumerate(REPAIRED):
        if chosen.only is not None and number not in chosen.only:
            continue
        source = chosen.model or one["source"]
        wanted = (source, one["revision"], one["scheduler"], one["dtype"], str(one["adapters"]))
        if wanted != loaded:
            pipeline, loaded = load(one, source, chosen.device), wanted
        for seed in chosen.seeds or one["seeds"]:
            file = chosen.output / f"{{number:03d}}-{{seed}}.png"
            draw(pipeline, one, seed).save(file)
            print(file)


if __name__ == "__main__":
    main()
'''


def _diffusers(repaired: Sequence[RepairedPrompt]) -> bytes:
    """A script that draws them all, of any pipeline whose denoiser is told the prompt by name."""
    summaries = [
        f"{number:03d}  {_printable(one.pair.prompt)}  ({_printable(one.model)})\n"
        f"     {_printable(one.summary())}"
        for number, one in enumerate(repaired)
    ]
    data = pformat([record(one) for one in repaired], width=96, sort_dicts=False)
    text = _SCRIPT.format(summaries="\n".join(summaries), data=data)
    return text.encode()


def _printable(text: str) -> str:
    """Text that can stand within a docstring and end neither it nor its line."""
    letters = (c if c.isprintable() and c not in '\\"' else " " for c in text)
    return textwrap.shorten("".join(letters), 200)


# ── as text for AUTOMATIC1111 ────────────────────────────────────────────────────────────────────

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


def _a1111(repaired: Sequence[RepairedPrompt]) -> bytes:
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


# ── as a graph for ComfyUI ───────────────────────────────────────────────────────────────────────

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


def _comfyui(repaired: Sequence[RepairedPrompt]) -> bytes:
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


FORMATS: Mapping[str, Callable[[Sequence[RepairedPrompt]], bytes]] = MappingProxyType(
    {
        "csv": _csv,
        "jsonl": _jsonl,
        "parquet": _parquet,
        "diffusers": _diffusers,
        "a1111": _a1111,
        "comfyui": _comfyui,
    }
)
"""Name of a format to what makes a file of it."""
SUFFIXES: Mapping[str, str] = MappingProxyType(
    {
        "csv": ".csv",
        "jsonl": ".jsonl",
        "parquet": ".parquet",
        "diffusers": ".py",
        "a1111": ".txt",
        "comfyui": ".json",
    }
)
"""How a file of each format is usually called."""
