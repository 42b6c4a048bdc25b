"""What every training in the miniature world shares: options, the loop, its log, the card."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

CARD = "card.json"
LOSSES = "losses.jsonl"
LOG_EVERY = 25
"""Steps between two lines of the log."""


@dataclass(frozen=True)
class TrainOptions:
    """What the command line decides about a training."""

    out: Path
    """Folder for weights, log and card."""
    start: Path | None = None
    """Folder of finished models to build on; each trainer says which it needs."""
    pictures: int | None = None
    """How many different pictures to draw; None for the trainer's own number."""
    samples: int | None = None
    """How many (picture, noise) samples to train on; None for the trainer's own number."""
    batch_size: int = 32
    threads: int = 1
    device: str = "cpu"
    """``cpu`` or ``cuda``."""
    bfloat16: bool = False
    """Whether the forward passes run in bfloat16."""
    tiny: bool = False
    """Whether to build models of a few thousand parameters: for tests."""
    seed: int = 0
    measure_seeds: int = 4
    """Pictures a pair to measure the finished model by; 0 to measure nothing."""
    encoder: str | None = None
    """Of a writer: folder or hub name of the text encoder to undo; None for teacup-narrow's."""
    corpus: Path | None = None
    """Of a writer: a file with one text a line; None for captions of the world."""
    noise: float = 0.5
    """Of a writer: greatest noise on embeddings, in deviations of an embedding's numbers."""

    @property
    def device_name(self) -> str:
        """The device in words, for the card."""
        if self.device == "cuda":
            return str(torch.cuda.get_device_name())
        return f"CPU, {self.threads} thread{'s' if self.threads > 1 else ''}"

    def autocast(self) -> torch.autocast:
        """The numerics of the forward passes."""
        return torch.autocast(self.device, torch.bfloat16, enabled=self.bfloat16)

    def steps(self, default_samples: int) -> int:
        """Optimiser steps that see the asked or default number of samples."""
        return max(1, (self.samples or default_samples) // self.batch_size)


class LossLog:
    """Writes one JSON line every few steps: step, seconds, mean losses since the last line."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / LOSSES
        self.started = time.monotonic()
        self._sums: dict[str, float] = {}
        self._num_steps = 0

    @property
    def seconds(self) -> float:
        """Since the log was opened."""
        return time.monotonic() - self.started

    def add(self, phase: str, step: int, losses: Mapping[str, float], *, last: bool) -> None:
        """Take in one step's losses."""
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._num_steps += 1
        if last or (step + 1) % LOG_EVERY == 0:
            line: dict[str, Any] = {
                "phase": phase,
                "step": step + 1,
                "seconds": round(self.seconds, 1),
            }
            line |= {name: round(v / self._num_steps, 6) for name, v in self._sums.items()}
            with self.path.open("a") as file:
                print(json.dumps(line), file=file)
            self._sums, self._num_steps = {}, 0


class Average:
    """An exponential moving average of parameters, kept beside them.

    Args:
        decay: share of the old average that each update keeps, in [0, 1); lower in the beginning.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], decay: float) -> None:
        self.parameters = list(parameters)
        self.decay = decay
        self._averages = [parameter.detach().clone() for parameter in self.parameters]
        self._num_updates = 0

    @torch.no_grad()
    def update(self) -> None:
        """Take in the parameters as they are."""
        self._num_updates += 1
        keep = min(self.decay, self._num_updates / (9 + self._num_updates))
        torch._foreach_mul_(self._averages, keep)
        torch._foreach_add_(
            self._averages, [one.detach() for one in self.parameters], alpha=1 - keep
        )

    @torch.no_grad()
    def apply(self) -> None:
        """Put the averages in the parameters' place."""
        for parameter, average in zip(self.parameters, self._averages, strict=True):
            parameter.copy_(average)


@dataclass(frozen=True)
class LearningRate:
    """How fast one group of parameters learns."""

    parameters: Sequence[nn.Parameter]
    peak: float
    """Learning rate after the warm-up."""


def fit(
    rates: Sequence[LearningRate],
    losses_at: Callable[[int], Mapping[str, Tensor]],
    *,
    steps: int,
    log: LossLog,
    phase: str,
    average: Average | None = None,
    weight_decay: float = 0.01,
    betas: tuple[float, float] = (0.9, 0.98),
) -> None:
    """Minimise the sum of some losses by AdamW: warm-up, cosine to 5 %, gradients clipped at 1.

    Args:
        rates: the parameters to train.
        losses_at: from the step's number to its losses, scalars that are added up.
        steps: how many steps to take.
        log: where losses go.
        phase: the training's name in the log.
        average: updated after every step, and put in the parameters' place at the end.
        weight_decay: as AdamW's.
        betas: as AdamW's.

    Raises:
        FloatingPointError: a loss is not finite.
    """
    groups = [{"params": list(rate.parameters), "lr": rate.peak} for rate in rates]
    optimizer = torch.optim.AdamW(groups, weight_decay=weight_decay, betas=betas)
    everything = [parameter for rate in rates for parameter in rate.parameters]
    warm_up = min(100, max(1, steps // 10))
    for step in range(steps):
        factor = min(1, (step + 1) / warm_up) * (0.525 + 0.475 * math.cos(math.pi * step / steps))
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate.peak * factor
        losses = losses_at(step)
        total = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(total):
            raise FloatingPointError(f"{phase}: the loss at step {step} is {total.item()}")
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(everything, 1.0)
        optimizer.step()
        if average is not None:
            average.update()
        values = {name: loss.item() for name, loss in losses.items()}
        log.add(phase, step, values, last=step == steps - 1)
    if average is not None:
        average.apply()


def write_card(folder: Path, card: Mapping[str, Any], *, name: str = "") -> None:
    """Write what was trained, on what, how long, and how good it is, for programs and for people.

    Args:
        folder: where the weights are.
        card: JSON-able; ``title`` and ``summary`` open the README, ``measured`` is set out in it.
        name: file stem for weights that have no folder of their own; by default the card is
            ``card.json`` with a ``README.md``.
    """
    text = json.dumps(card, indent=1, ensure_ascii=False) + "\n"
    (folder / (f"{name}.json" if name else CARD)).write_text(text)
    readme = [f"# {card['title']}", "", str(card["summary"]), "", "## Training", ""]
    readme += [f"- {key}: {value}" for key, value in card["training"].items()]
    readme += ["", "## Measured", ""]
    readme += _lines(card["measured"])
    (folder / (f"{name}.md" if name else "README.md")).write_text("\n".join(readme) + "\n")


def training_facts(options: TrainOptions, **facts: Any) -> dict[str, Any]:
    """The part of a card that every trainer fills alike."""
    given = asdict(options)
    kept = ("seed", "batch_size", "bfloat16", "tiny")
    return {"device": options.device_name, **{key: given[key] for key in kept}, **facts}


def _lines(value: Mapping[str, Any], depth: int = 0) -> list[str]:
    lines = []
    for key, item in value.items():
        if isinstance(item, Mapping) and set(item) == {"value", "low", "high", "total"}:
            shown = (
                f"{item['value']:.3f} [{item['low']:.3f}, {item['high']:.3f}] of {item['total']}"
            )
            lines.append(f"{'  ' * depth}- {key}: {shown}")
        elif isinstance(item, Mapping):
            lines += [f"{'  ' * depth}- {key}", *_lines(item, depth + 1)]
        else:
            lines.append(f"{'  ' * depth}- {key}: {item}")
    return lines
