"""Which picture is drawn in which row of a batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lcmis.types import RenderSpec

MOST_PINNED = 4
"""Rows of a batch whose places are given by seeds: a pair's pictures are looked at four by four, so
that such batches are full."""


def pins_rows(device: str, batch_size: int) -> bool:
    """Whether a picture's row follows from its seed.

    On accelerators the last rows of a matrix are summed in another order than the others (seen on
    an H200 in bfloat16: two of four pictures changed with their places, by at most 5 of 255), and
    neighbours change nothing. A row that only the seed decides makes bits a matter of the spec
    again. Larger batches would be left half empty by it, and are drawn in any order.
    """
    return device != "cpu" and 1 < batch_size <= MOST_PINNED


def in_rows(
    specs: Sequence[RenderSpec], batch_size: int, *, pinned: bool
) -> Iterator[list[RenderSpec | None]]:
    """Put pictures into as few batches as can be.

    Args:
        specs: that may share a batch.
        batch_size: rows of a batch.
        pinned: a picture's row is the remainder of its seed; else they come as they are given.

    Returns:
        Batches of so many rows; None where one stays empty.
    """
    if not pinned:
        for start in range(0, len(specs), batch_size):
            some = list(specs[start : start + batch_size])
            yield [*some, *[None] * (batch_size - len(some))]
        return
    waiting: list[list[RenderSpec]] = [[] for _ in range(batch_size)]
    for spec in specs:
        waiting[spec.seed % batch_size].append(spec)
    for place in range(max(map(len, waiting))):
        yield [queue[place] if place < len(queue) else None for queue in waiting]
