"""Pictures per second: ours against what people run today, one folder, one run, turn by turn.

python tests/bench/bench_render.py MODEL_FOLDER --pictures 32 --threads 2

Peers, in our own words: *GenEval-like* (one prompt at a time, attention in slices, PNG at its usual
level, plus the writing of it), *HEIM-like* (one picture a call in a loop, written likewise) and
*diffusers in batches* (all that fits, nothing written). Beside every speed stands what it drew.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import statistics
import time
from collections.abc import Callable, Sequence

import diffusers
import numpy as np
import torch
from PIL.Image import Image

from lcmis.errors import RenderError
from lcmis.plugins.opening import open_model
from lcmis.plugins.protocols import ImageModel
from lcmis.plugins.settings import ModelSettings
from lcmis.render import draw
from lcmis.types import RenderSpec, Stage

PROMPTS = (
    "a tea cup of iced coke",
    "a wine glass of hot tea",
    "a bowl of milk",
    "a mug of orange juice",
)
SHUFFLES = 3
"""Orders in which the same pictures are drawn again."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", help="or a registered name, such as teacup-narrow")
    parser.add_argument("--pictures", type=int, default=32, help="per round and side")
    parser.add_argument("--rounds", type=int, default=2, help="each there and back: A B C C B A")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--batch", type=int, default=None, help="ours; the model's own if left out")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dtype", default="auto", help="of ours; the peers compute in float32")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    os.environ["OMP_NUM_THREADS"] = str(asked.threads)  # the cores that ours spreads batches over

    model = open_model(
        ModelSettings(
            asked.folder,
            num_inference_steps=asked.steps,
            batch_size=asked.batch,
            dtype=asked.dtype,
        )
    )
    plain = diffusers.DiffusionPipeline.from_pretrained(
        model.source, dtype=torch.float32, use_safetensors=True
    )
    plain.set_progress_bar_config(disable=True)
    specs = [
        model.spec((Stage(PROMPTS[i // 4 % len(PROMPTS)]),), i % 4 + i // 16 * 4)
        for i in range(asked.pictures)
    ]

    def ours() -> list[Image]:
        return [_written(one, "WEBP") for one in _drawn(model, specs)]

    def geneval() -> list[Image]:
        plain.enable_attention_slicing()
        drawn = [_written(_plainly(plain, [spec])[0], "PNG") for spec in specs]
        plain.disable_attention_slicing()
        return drawn

    def heim() -> list[Image]:
        return [_written(_plainly(plain, [spec])[0], "PNG") for spec in specs]

    def batched() -> list[Image]:
        size = model.batch_size
        return [
            one
            for start in range(0, len(specs), size)
            for one in _plainly(plain, specs[start : start + size])
        ]

    sides: dict[str, Callable[[], list[Image]]] = {
        "ours": ours,
        "GenEval-like loop": geneval,
        "HEIM-like loop": heim,
        "diffusers in batches": batched,
    }
    _drawn(model, specs[:1])
    _plainly(plain, specs[:1])
    spent: dict[str, list[float]] = {name: [] for name in sides}
    pictures: dict[str, list[Image]] = {}
    for _ in range(asked.rounds):
        for name in (*sides, *reversed(sides)):  # what else the machine does hits all alike
            started = time.perf_counter()
            pictures[name] = sides[name]()
            spent[name].append(time.perf_counter() - started)
    print(
        f"B1 render: {model.model_id}, {specs[0].profile}, {asked.threads} threads, "
        f"{asked.steps} steps at {specs[0].width}x{specs[0].height}, {len(specs)} pictures a turn"
    )
    for name, seconds in spent.items():
        speed = len(specs) / statistics.median(seconds)
        ratios = sorted(other / own for own, other in zip(spent["ours"], seconds, strict=True))
        middle = statistics.median(ratios)
        print(
            f"  {name}: {speed:.2f} pictures/s; ours is {ratios[0]:.2f} - {middle:.2f} - "
            f"{ratios[-1]:.2f} times as fast; {_apart(pictures['ours'], pictures[name])}"
        )
    _stability(model, specs)


def _stability(model: ImageModel, specs: Sequence[RenderSpec]) -> None:
    first = [one.tobytes() for one in _drawn(model, specs)]
    same = 0
    for seed in range(SHUFFLES):
        order = list(range(len(specs)))
        random.Random(seed).shuffle(order)
        again = _drawn(model, [specs[place] for place in order])
        same += sum(one.tobytes() == first[place] for one, place in zip(again, order, strict=True))
    total = SHUFFLES * len(specs)
    print(f"B3 stability: {same} of {total} pictures bit-equal in {SHUFFLES} other orders")


def _drawn(model: ImageModel, specs: Sequence[RenderSpec]) -> list[Image]:
    drawn = draw(model, specs)
    assert not any(isinstance(one, RenderError) for one in drawn)
    return [one for one in drawn if not isinstance(one, RenderError)]


def _plainly(plain: diffusers.DiffusionPipeline, specs: Sequence[RenderSpec]) -> list[Image]:
    images: list[Image] = plain(
        [spec.prompt for spec in specs],
        num_inference_steps=specs[0].num_inference_steps,
        guidance_scale=specs[0].guidance_scale,
        height=specs[0].height,
        width=specs[0].width,
        generator=[torch.Generator("cpu").manual_seed(spec.seed) for spec in specs],
    ).images
    return images


def _written(picture: Image, kind: str) -> Image:
    how = {"lossless": True, "method": 0, "quality": 0} if kind == "WEBP" else {}
    picture.save(io.BytesIO(), kind, **how)
    return picture


def _apart(ours: Sequence[Image], theirs: Sequence[Image]) -> str:
    gaps = [
        int(np.abs(np.asarray(one, np.int16) - np.asarray(other, np.int16)).max())
        for one, other in zip(ours, theirs, strict=True)
    ]
    return (
        f"{gaps.count(0)} of {len(gaps)} pictures equal, the largest difference {max(gaps)} of 255"
    )


if __name__ == "__main__":
    main()
