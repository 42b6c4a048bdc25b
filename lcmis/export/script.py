"""Repaired prompts as a script that draws them with diffusers, without lcmis."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pprint import pformat

from lcmis.export.repaired import RepairedPrompt, told_only
from lcmis.export.tables import record

_SCRIPT = '''\
"""Draws repaired prompts with diffusers, without lcmis: python repaired.py --help

Needs torch, diffusers and transformers; what is a file is looked for in the current folder. A
prompt in several stages rules until its share of the denoising is over: the text that the denoiser
reads is then swapped for the next one's.

{summaries}
"""

import argparse
import contextlib
from pathlib import Path

import diffusers
import torch
from safetensors.torch import load_file

REPAIRED = {data}

LOADED = ("revision", "variant", "base", "vae", "scheduler", "dtype", "adapters", "embeddings")

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


def read(kind, name, dtype, **more):
    """A part out of a file, a folder or the hub."""
    name = name.partition("@")[0]
    if name.endswith((".safetensors", ".gguf")):
        return kind.from_single_file(name, torch_dtype=dtype, **more)
    return kind.from_pretrained(name, torch_dtype=dtype, use_safetensors=True, **more)


def teach(pipeline, word):
    """A word of one's own: one tensor, or one for each of two text encoders."""
    name, token = word["name"].partition("@")[0], word["token"]
    if not name.endswith(".safetensors"):
        return pipeline.load_textual_inversion(name, token=token)
    tensors = load_file(name)
    for number, key in enumerate(sorted(tensors, reverse=True)):  # clip_l, clip_g
        behind = f"_{{number + 1}}" if number else ""
        pipeline.load_textual_inversion(
            {{token: tensors[key]}},
            token=token,
            tokenizer=getattr(pipeline, f"tokenizer{{behind}}"),
            text_encoder=getattr(pipeline, f"text_encoder{{behind}}"),
        )


def pinned(name):
    """``owner/name/FILE@commit`` of the hub, in the words of diffusers; of a folder, its name."""
    name, _, revision = name.partition("@")
    if len(revision) != 40:
        return name, {{}}
    words = name.split("/")
    choice = {{"weight_name": "/".join(words[2:])}} if words[2:] else {{}}
    return "/".join(words[:2]), {{"revision": revision, **choice}}


def load(one, source, device):
    dtype = getattr(torch, one["dtype"])
    choice = {{name: one[name] for name in ("revision", "variant") if one[name]}}
    kind = diffusers.DiffusionPipeline
    if one["base"]:
        base = one["base"].partition("@")[0]
        kind = getattr(diffusers, kind.load_config(base)["_class_name"])
        pipeline = kind.from_single_file(source, config=base, torch_dtype=dtype)
    else:
        pipeline = kind.from_pretrained(source, torch_dtype=dtype, use_safetensors=True, **choice)
    if one["vae"]:
        pipeline.vae = read(type(pipeline.vae), one["vae"], dtype)
    if type(pipeline.scheduler).__name__ != one["scheduler"]:
        scheduler = getattr(diffusers, one["scheduler"])
        pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config)
    for number, adapter in enumerate(one["adapters"]):
        name, choice = pinned(adapter["name"])
        pipeline.load_lora_weights(name, adapter_name=f"adapter{{number}}", **choice)
    if one["adapters"]:
        names = [f"adapter{{number}}" for number in range(len(one["adapters"]))]
        pipeline.set_adapters(names, [adapter["weight"] for adapter in one["adapters"]])
    for word in one["embeddings"]:
        teach(pipeline, word)
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
        wanted = (source, *(str(one[name]) for name in LOADED))
        if wanted != loaded:
            pipeline, loaded = load(one, source, chosen.device), wanted
        for seed in chosen.seeds or one["seeds"]:
            file = chosen.output / f"{{number:03d}}-{{seed}}.png"
            draw(pipeline, one, seed).save(file)
            print(file)


if __name__ == "__main__":
    main()
'''


def diffusers_left_out(one: RepairedPrompt) -> str:
    """Why the script cannot draw a repair; empty if it can."""
    return told_only(one, "the script for diffusers")


def as_diffusers(repaired: Sequence[RepairedPrompt]) -> bytes:
    """A script that draws them all, of any pipeline whose denoiser is told the prompt by name, but
    those of which :func:`diffusers_left_out` says why not.
    """
    repaired = [one for one in repaired if not diffusers_left_out(one)]
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
