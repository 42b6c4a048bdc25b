"""Training pictures in bulk: pixels, captions and truth, drawn by one process or several."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lcmis.teacup.captions import Recipe, Scene, example
from lcmis.teacup.draw import PICTURE_SIZE

CHUNK_SIZE = 500
"""Pictures that one process draws at a time."""


@dataclass(frozen=True)
class Examples:
    """Pictures with captions and truth, in one order."""

    pixels: Tensor
    """(count, 3, 128, 128) uint8."""
    captions: list[list[str]]
    """So many captions for every picture."""
    scenes: list[Scene]

    def __len__(self) -> int:
        return len(self.scenes)

    def batch(self, index: Tensor, device: str) -> Tensor:
        """Pictures at some places as (batch, 3, 128, 128) floats in [-1, 1]."""
        return self.pixels[index].to(device).float().div(127.5).sub(1)


def draw_examples(
    recipe: Recipe, count: int, *, seed: int, num_captions: int = 3, processes: int = 1
) -> Examples:
    """Draw the recipe's pictures; the same for a seed, whatever the number of processes."""
    jobs = [
        (recipe, seed * 1_000_000_000 + start, min(CHUNK_SIZE, count - start), num_captions)
        for start in range(0, count, CHUNK_SIZE)
    ]
    if processes == 1:
        return _joined([_chunk(job) for job in jobs])
    with ProcessPoolExecutor(processes) as pool:
        return _joined(list(pool.map(_chunk, jobs)))


def _chunk(job: tuple[Recipe, int, int, int]) -> Examples:
    recipe, first_seed, count, num_captions = job
    pixels = np.empty((count, PICTURE_SIZE, PICTURE_SIZE, 3), np.uint8)
    captions, scenes = [], []
    for k in range(count):
        picture, texts, scene = example(random.Random(first_seed + k), recipe, num_captions)
        pixels[k] = np.asarray(picture)
        captions.append(texts)
        scenes.append(scene)
    channels_first = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    return Examples(channels_first, captions, scenes)


def _joined(chunks: Sequence[Examples]) -> Examples:
    return Examples(
        torch.cat([chunk.pixels for chunk in chunks]),
        [texts for chunk in chunks for texts in chunk.captions],
        [scene for chunk in chunks for scene in chunk.scenes],
    )
