"""Batches of one model drawn side by side on a CPU, each on its share of the cores."""

from __future__ import annotations

import contextlib
import copy
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, Generic, TypeVar

from lcmis.machine.device import compute_with

Batch = TypeVar("Batch")
Drawn = TypeVar("Drawn")

MOST_REPLICAS = 8
"""More would wait for one another: what stands between two layers is Python's, one at a time."""


@contextlib.contextmanager
def computing_with(threads: int) -> Iterator[None]:
    """:func:`compute_with`, as long as this lasts."""
    import torch  # it may be that nobody has: who draws loads no pipeline before

    before = torch.get_num_threads()
    compute_with(threads)
    try:
        yield
    finally:
        compute_with(before)


def with_same_weights(pipeline: Any) -> Any:
    """Another pipeline of the same weights, in the same memory: what either changes of its parts
    while it draws, such as hooks and schedulers, the other has for itself.
    """
    import torch

    modules = [part for part in pipeline.components.values() if isinstance(part, torch.nn.Module)]
    weights = [one for part in modules for one in (*part.parameters(), *part.buffers())]
    return copy.deepcopy(pipeline, {id(one): one for one in weights})


class Replicas(Generic[Batch, Drawn]):
    """Several that draw the same bits, each in a thread of its own.

    Args:
        draw: by each of them; none is called again before it has ended.
        threads: with which each computes.
        halt: is set where those under way should end, and heard by them.
    """

    def __init__(
        self, draw: Sequence[Callable[[Batch], Drawn]], threads: int, halt: threading.Event
    ) -> None:
        self._free: queue.SimpleQueue[Callable[[Batch], Drawn]] = queue.SimpleQueue()
        for one in draw:
            self._free.put(one)
        self._halt = halt
        self._hands = ThreadPoolExecutor(
            len(draw), "lcmis-painter", initializer=compute_with, initargs=(threads,)
        )

    def draw(self, batches: Sequence[Batch]) -> list[Drawn]:
        """What comes of each, in order; where one fails or Ctrl-C is heard, the others end first.

        Raises:
            Exception: what the first that failed has raised.
        """
        coming = [self._hands.submit(self._draw, batch) for batch in batches]
        try:
            return [one.result() for one in coming]
        finally:
            if not all(one.done() for one in coming):
                self._end(coming)

    def _end(self, coming: Sequence[Future[Drawn]]) -> None:
        self._halt.set()
        for one in coming:
            one.cancel()
        wait(coming)
        self._halt.clear()

    def _draw(self, batch: Batch) -> Drawn:
        draw = self._free.get()
        try:
            return draw(batch)
        finally:
            self._free.put(draw)
