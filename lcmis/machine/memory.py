"""When a device's memory runs out: once more with its cache emptied, then what would fit."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from lcmis.errors import ConfigError

SAID = (
    "DefaultCPUAllocator: ",
    "Storage size calculation overflowed",
    "MPS backend out of memory",
)
"""By torch when memory runs out where it has no class for that: on a CPU, and on a Mac."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_batches(
    items: Sequence[Item],
    size: int,
    work: Callable[[Sequence[Item]], Sequence[Result]],
    name: str,
) -> list[Result]:
    """Work through items batch by batch.

    Args:
        items: pictures, or rows with a picture each.
        size: of a batch; the last one is as long as it comes.
        work: gives one result for each item of a batch, in order.
        name: of the model at work.

    Raises:
        ConfigError: the device has too little memory for such a batch; the sentence names the size
            that was seen to fit.
    """
    done: list[Result] = []
    for start in range(0, len(items), size):
        done += _worked(items[start : start + size], work, name)
    return done


def _worked(
    batch: Sequence[Item], work: Callable[[Sequence[Item]], Sequence[Result]], name: str
) -> Sequence[Result]:
    results = within_memory(partial(work, batch))
    if results is not None:
        return results
    raise out_of_memory(
        f"{name} runs out of memory at {len(batch)} pictures at a time",
        largest_that_fits(len(batch), lambda count: work(batch[:count])),
        'set dtype = "bfloat16" or device = "cpu", or take a smaller model',
    )


def within_memory(work: Callable[[], Result]) -> Result | None:
    """What work gives; None when memory ran out, and again with the device's cache emptied, since
    another program may have held it for a moment.
    """
    result = _or_none(work)
    return _or_none(work) if result is None else result


def largest_that_fits(declared: int, work: Callable[[int], object]) -> int:
    """Halve a declared size until work of it fits; 0 when not even one item does."""
    size = declared // 2
    while size and _or_none(partial(work, size)) is None:
        size //= 2
    return size


def out_of_memory(happened: str, fits: int, instead: str) -> ConfigError:
    """What to do about it.

    Args:
        happened: who ran out of memory, and at what.
        fits: the batch size that was seen to fit; 0 for none.
        instead: what to set where none does.
    """
    if not fits:
        return ConfigError(f"{happened}, and also at one: {instead}")
    return ConfigError(f"{happened}; {fits} fit: set batch_size = {fits}")


def _or_none(work: Callable[[], Result]) -> Result | None:
    """What work gives, or None when memory ran out; then the device's cache is empty again."""
    try:
        return work()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    # recover here: in there the traceback still holds the failed batch's tensors
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether that is what happened; who asks loads no torch."""
    torch = sys.modules.get("torch")
    return (
        isinstance(error, MemoryError)
        or (torch is not None and isinstance(error, torch.OutOfMemoryError))
        or (isinstance(error, RuntimeError) and any(text in str(error) for text in SAID))
    )
