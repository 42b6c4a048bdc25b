"""Pictures per second: ours in batches against a plain diffusers loop, one folder, one run.

python tests/bench/bench_render.py MODEL_FOLDER --pictures 32 --threads 2
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import diffusers
import torch

from lcmis.errors import RenderError
from lcmis.plugins.settings import ModelSettings
from lcmis.render import draw
from lcmis.render.diffusion import DiffusersModel
from lcmis.types import RenderSpec, Stage


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--prompt", default="a tea cup of iced coke")
    parser.add_argument("--pictures", type=int, default=32, help="per round and side")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--batch", type=int, default=None, help="ours; the model's own if left out")
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)

    model = DiffusersModel(
        ModelSettings(asked.folder, num_inference_steps=asked.steps, batch_size=asked.batch)
    )
    plain = diffusers.DiffusionPipeline.from_pretrained(
        asked.folder, dtype=torch.float32, use_safetensors=True
    )
    plain.set_progress_bar_config(disable=True)
    specs = [model.spec((Stage(asked.prompt),), seed) for seed in range(asked.pictures)]

    def ours() -> None:
        assert not [item for item in draw(model, specs) if isinstance(item, RenderError)]

    def theirs() -> None:
        for spec in specs:
            _draw_plainly(plain, spec)

    draw(model, specs[:1])
    _draw_plainly(plain, specs[0])
    spent = {ours: 0.0, theirs: 0.0}
    ratios = []
    for number in range(asked.rounds):
        # turn by turn, and each first every other time: what else the machine does hits both
        turn = {side: _seconds(side) for side in ((ours, theirs), (theirs, ours))[number % 2]}
        for side, seconds in turn.items():
            spent[side] += seconds
        ratios.append(turn[theirs] / turn[ours])
        print(f"round {number + 1}: ours is {ratios[-1]:.2f} times as fast")
    drawn = asked.rounds * asked.pictures
    print(
        f"{model.model_id}, {specs[0].profile}, {torch.get_num_threads()} threads, "
        f"{asked.steps} steps at {specs[0].width}x{specs[0].height}: "
        f"ours {drawn / spent[ours]:.2f} pictures/s, a plain loop {drawn / spent[theirs]:.2f} "
        f"pictures/s, ratio {spent[theirs] / spent[ours]:.2f} "
        f"(rounds {min(ratios):.2f} to {max(ratios):.2f})"
    )


def _draw_plainly(plain: diffusers.DiffusionPipeline, spec: RenderSpec) -> None:
    plain(
        spec.prompt,
        num_inference_steps=spec.num_inference_steps,
        guidance_scale=spec.guidance_scale,
        height=spec.height,
        width=spec.width,
        generator=torch.Generator("cpu").manual_seed(spec.seed),
    )


def _seconds(side: Callable[[], None]) -> float:
    started = time.perf_counter()
    side()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
