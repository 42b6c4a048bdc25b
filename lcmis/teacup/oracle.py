"""The oracle: a classifier that reads both concepts off a picture of the miniature world.

It knows the world's forty concepts and nothing else, so it serves tests, benchmarks and training,
never an audit.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL.Image import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lcmis.machine.paths import shipped
from lcmis.teacup.concepts import FAMILIES

FIRST = tuple((family.name, one.name) for family in FAMILIES.values() for one in family.first)
"""(family, name) of every first concept, in the order of the classifier's classes."""
SECOND = tuple((family.name, one.name) for family in FAMILIES.values() for one in family.second)
"""(family, name) of every second concept, in the order of the classifier's classes."""


class OracleReading(NamedTuple):
    """What a picture shows, and how sure that is."""

    first: str
    """Name of the likeliest first concept of any family."""
    second: str
    """Name of the likeliest second concept of any family."""
    first_confidence: float
    """Softmax probability in [0, 1]."""
    second_confidence: float
    """Softmax probability in [0, 1]."""

    def shows(self, first: str, second: str) -> bool:
        """Whether both concepts are the ones asked for."""
        return self.first == first and self.second == second


class Oracle(nn.Module):
    """Five blocks of two convolutions, each halving the picture, and a linear head per concept.

    Args:
        width: channels of the first block; the shipped oracle has 48 and 3.4 M parameters.
    """

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        sizes = (3, width, 2 * width, 4 * width, 6 * width, 6 * width)
        layers: list[nn.Module] = []
        for i, o in pairwise(sizes):
            layers += [nn.Conv2d(i, o, 3, 1, 1), nn.BatchNorm2d(o), nn.GELU()]
            layers += [nn.Conv2d(o, o, 3, 2, 1), nn.BatchNorm2d(o), nn.GELU()]
        self.body = nn.Sequential(*layers)
        self.first = nn.Linear(sizes[-1], len(FIRST))
        self.second = nn.Linear(sizes[-1], len(SECOND))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Classify (batch, 3, height, width) pictures in [-1, 1].

        Returns:
            Logits over :data:`FIRST` and over :data:`SECOND`, each (batch, 20).
        """
        features = self.body(pictures).mean((2, 3))
        return self.first(features), self.second(features)

    def classify(self, pictures: Sequence[Image], batch_size: int = 32) -> list[OracleReading]:
        """Read 128 × 128 RGB pictures, one reading each, in order."""
        readings: list[OracleReading] = []
        for start in range(0, len(pictures), batch_size):
            readings += self.read(to_tensor(pictures[start : start + batch_size]))
        return readings

    @torch.inference_mode()
    def read(self, pictures: Tensor) -> list[OracleReading]:
        """Read (batch, 3, 128, 128) pictures in [-1, 1], one reading each, in order."""
        logits = self(pictures.to(next(self.parameters()).device))
        (p, i), (q, j) = (one.float().softmax(-1).max(-1) for one in logits)
        return [
            OracleReading(FIRST[first][1], SECOND[second][1], sure_first, sure_second)
            for first, second, sure_first, sure_second in zip(
                i.tolist(), j.tolist(), p.tolist(), q.tolist(), strict=True
            )
        ]

    def save(self, path: Path) -> None:
        """Write the weights in half precision."""
        half = {name: tensor.half().contiguous() for name, tensor in self.state_dict().items()}
        save_file(half, path)


def to_tensor(pictures: Sequence[Image]) -> Tensor:
    """Stack RGB pictures of one size into (batch, 3, height, width), in [-1, 1]."""
    pixels = torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures]))
    return pixels.permute(0, 3, 1, 2).float().div(127.5).sub(1)


def load_oracle(path: Path | None = None) -> Oracle:
    """Load the shipped oracle, or one that was trained here.

    Raises:
        RuntimeError: the file does not hold exactly an oracle's weights.
    """
    weights = load_file(path or shipped("data") / "teacup" / "oracle.safetensors")
    oracle = Oracle(weights["body.0.weight"].shape[0])
    oracle.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    return oracle.eval()
