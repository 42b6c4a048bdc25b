"""CLIPScore of a concept over pictures, from the cosines that were kept of each."""

from __future__ import annotations

from collections.abc import Sequence


def clipscore(
    named: Sequence[float | None],
    described: Sequence[float | None],
    weight: float,
) -> float | None:
    """How like pictures are to a concept, by its name or its description, whichever is higher.

    Args:
        named: for each picture its cosine to the concept's name, negative ones as 0, in [0, 1];
            None where there is none, which is left out.
        described: likewise to its description; empty where it has none.
        weight: what means are multiplied by: 2.5.

    Returns:
        In [0, ``weight``]; None where nothing is known.

    Source: Hessel et al., EMNLP 2021 (2.5 · max(cos, 0)); Zhao et al., "Lost in Translation",
    ECCV 2024, and its published code: means over pictures first, then the higher of the two.
    """
    means = [_mean(cosines) for cosines in (named, described)]
    return max((weight * mean for mean in means if mean is not None), default=None)


def _mean(cosines: Sequence[float | None]) -> float | None:
    known = [cosine for cosine in cosines if cosine is not None]
    return sum(known) / len(known) if known else None
