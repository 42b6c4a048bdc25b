"""Pictures that begin alike are begun once: what the denoiser said is kept for the next of them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lcmis.plugins.protocols import Work
from lcmis.render.conditioning import CallArguments, tensors
from lcmis.render.stages import standing_in
from lcmis.types import Beside, RenderSpec, stage_starts

if TYPE_CHECKING:
    import torch

MOST_BYTES = 2**28
"""Of main memory for kept outputs; one of Stable Diffusion XL in half precision takes 256 KiB."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """All that has decided a picture's bits when the denoiser is called, under one model."""

    profile: str
    seed: int
    negative_prompt: str
    told: tuple[tuple[int, str, float, tuple[Beside, ...]], ...]
    """Every prompt so far, after the step from which it rules, its weight and what stands beside
    it."""
    call: int
    """Of the denoiser, counted from 0: some schedulers call it twice a step."""


def beginning(spec: RenderSpec, step: int, call: int) -> Beginning | None:
    """What a picture shares with all others that begin so; None once its last stage has begun,
    since from there on it has only itself to share with.
    """
    starts = stage_starts(spec.stages, spec.num_inference_steps)
    if max(starts) <= step:
        return None
    told = tuple(
        (start, stage.prompt, stage.weight, stage.beside)
        for start, stage in starts.items()
        if start <= step
    )
    return Beginning(spec.profile, spec.seed, spec.negative_prompt, told, call)


def in_trunk_order(specs: Sequence[RenderSpec]) -> list[RenderSpec]:
    """Pictures in an order in which those that begin alike follow one another, the longest
    beginning first; pictures of one stage come before all others, in the order given.
    """
    return sorted(specs, key=_trunk)


def _trunk(spec: RenderSpec) -> tuple[Any, ...]:
    if len(spec.stages) == 1:
        return ()
    stages = tuple((stage.prompt, -stage.denoising_end) for stage in spec.stages)
    return spec.negative_prompt, stages


class Trunks:
    """What the denoiser said to beginnings, in main memory; the longest unused goes first."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.num_bytes = 0
        """Held now."""
        self._most_bytes = most_bytes
        self._said: OrderedDict[Beginning, torch.Tensor] = OrderedDict()
        self._changing = threading.Lock()
        """Batches may be drawn side by side."""

    def __contains__(self, row: Beginning | None) -> bool:
        return row in self._said

    def __len__(self) -> int:
        return len(self._said)

    def recall(self, rows: Sequence[Beginning | None]) -> torch.Tensor | None:
        """What was said to all of them, as one batch; None where one of them is new."""
        import torch

        with self._changing:
            if not all(row in self._said for row in rows):
                return None
            for row in rows:
                if row is not None:
                    self._said.move_to_end(row)
            known = [self._said[row] for row in rows if row is not None]
        return torch.stack(known, 1).flatten(0, 1)

    def keep(self, rows: Sequence[Beginning | None], said: torch.Tensor) -> None:
        """Remember one batch, (pictures, …) or, where guidance doubles it, (2 · pictures, …)."""
        halves = said.unflatten(0, (-1, len(rows)))
        with self._changing:
            for place, row in enumerate(rows):
                if row is not None and row not in self._said:
                    self._said[row] = halves[:, place].to("cpu", copy=True)
                    self.num_bytes += self._said[row].nbytes
            while self.num_bytes > self._most_bytes:
                _, gone = self._said.popitem(last=False)
                self.num_bytes -= gone.nbytes


@contextmanager
def sharing(
    denoiser: torch.nn.Module,
    trunks: Trunks,
    beginnings: Callable[[], Sequence[Beginning | None]],
    pictures: Sequence[int],
    tell: Callable[[Work], None],
) -> Iterator[None]:
    """Answer for a denoiser whose whole batch has been begun before, while inside.

    A batch is answered whole or not at all: it has one declared shape, so that leaving out some of
    its rows would save nothing. The answers are the bits that the denoiser would give, for its
    rows do not depend on their neighbours in that shape. The pipeline, its scheduler and its random
    numbers go their way as ever.

    Args:
        denoiser: its weights may rest elsewhere; they are not fetched for what is known.
        trunks: known beginnings, and those that become known.
        beginnings: of the batch at the present call, filler rows included.
        pictures: which of its rows are none of those.
        tell: is told of each call what it cost; of ``alone`` nothing.
    """
    device: torch.device | None = None

    def answer(inner: Callable[..., Any], told: CallArguments) -> Any:
        nonlocal device
        rows = beginnings()
        known = trunks.recall(rows)
        if known is not None:
            tell(Work(skipped=len(rows)))
            return (known.to(device or _device(told)),)
        new = [rows[place] for place in pictures if rows[place] not in trunks]
        useful = len({row for row in new if row is not None}) + new.count(None)
        said = inner(*told.args, **told.kwargs)
        if _is_one_batch(said, len(rows)):
            device = said[0].device
            trunks.keep(rows, said[0])
        tell(Work(run=len(rows), useful=useful))
        return said

    with standing_in(denoiser, answer):
        yield


def _is_one_batch(said: Any, rows: int) -> bool:
    """Whether it is what can be kept row by row: one tensor, in the form that pipelines ask for."""
    import torch

    if type(said) is not tuple or len(said) != 1 or not isinstance(said[0], torch.Tensor):
        return False
    return said[0].ndim > 0 and len(said[0]) % rows == 0


def _device(told: CallArguments) -> torch.device:
    """Where the pipeline computes: where the latents lie that it hands over."""
    return next(value.device for value in tensors(told) if value.ndim > 1)
