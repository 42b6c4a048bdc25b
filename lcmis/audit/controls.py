"""Pictures that show nothing of a pair: a blank one, and one that was drawn for another pair."""

from __future__ import annotations

import functools
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from lcmis.check import blank_picture
from lcmis.findings import CONTROL_MODEL
from lcmis.store import Drawn, Store, picture_hash
from lcmis.types import ConceptPair, RenderSpec, Stage
from lcmis.workers.orders import Painted
from lcmis.workers.studio import batches, drawn_as

if TYPE_CHECKING:
    from PIL.Image import Image

BLANK = "blank"
MISMATCHED = "mismatched"
AT_ONCE = 64
"""Controls that go into the store together, before anything is asked about them."""
MANY = 16
"""A name shown by more than one pair in so many is passed over whole, not pair by pair."""


def control_spec(kind: str, pair: ConceptPair, like: RenderSpec) -> RenderSpec:
    """The name under which a control picture of a pair is stored: drawn by nobody."""
    return RenderSpec(
        model=f"{CONTROL_MODEL}@{kind}",
        stages=(Stage(pair.prompt),),
        seed=0,
        num_inference_steps=1,
        guidance_scale=0.0,
        scheduler="none",
        height=like.height,
        width=like.width,
        profile="none",
        device="none",
    )


def missing_controls(
    store: Store, first: Mapping[ConceptPair, RenderSpec]
) -> Iterator[list[Drawn]]:
    """The controls that the store lacks, a few at a time; no picture is read for them.

    Args:
        store: where the pictures lie that controls show.
        first: one stored picture of each pair, drawn or refused; it says how large controls are,
            and is the one that others may be given.
    """
    specs = {
        (kind, pair): control_spec(kind, pair, like)
        for pair, like in first.items()
        for kind in (BLANK, MISMATCHED)
    }
    lacking = {spec.key for spec in store.missing(list(specs.values()))}
    todo = [place for place, spec in specs.items() if spec.key in lacking]
    if not todo:
        return
    files = store.files_of(spec.key for spec in first.values())
    strangers = Strangers(list(first))
    for some in batches(todo, AT_ONCE):
        drawn = []
        for kind, pair in some:
            spec = specs[kind, pair]
            if kind == BLANK:
                drawn.append(drawn_as(pair, Painted(spec, 0.0, *_blank(spec.width, spec.height))))
                continue
            shown = (files.get(first[other].key) for other in strangers.of(pair))
            file = next(filter(None, shown), None)  # a refused one shows nothing at all
            if file is not None:
                drawn.append(drawn_as(pair, Painted(spec, 0.0, None, *file)))
        if drawn:
            yield drawn


@functools.lru_cache(maxsize=2)
def _blank(width: int, height: int) -> tuple[Image, str]:
    """A blank picture and its hash."""
    picture = blank_picture(width, height)
    return picture, picture_hash(picture)


class Strangers:
    """For each pair others whose pictures, right or wrong, show neither of its concepts.

    Each pair begins to look at its own place in the order of keys, so that pairs get different
    others wherever there are enough, and the same ones at every call.
    """

    def __init__(self, pairs: Sequence[ConceptPair]) -> None:
        self._pairs = sorted(pairs, key=lambda pair: pair.key)
        self._place = {pair.key: place for place, pair in enumerate(self._pairs)}
        self._showing: dict[str, set[int]] = {}
        for place, pair in enumerate(self._pairs):
            for name in (pair.a.name, pair.b.name, *(one.concept.name for one in pair.intruders)):
                self._showing.setdefault(name, set()).add(place)
        self._without: dict[str, list[int]] = {}

    def of(self, pair: ConceptPair) -> Iterator[ConceptPair]:
        """All of them, the nearest first."""
        place = self._place[pair.key]
        rarer, commoner = sorted(
            (pair.a.name, pair.b.name), key=lambda name: len(self._showing[name])
        )
        if len(self._showing[commoner]) * MANY > len(self._pairs):
            those: Sequence[int] = self._lacking(commoner)
            start, shows = bisect_right(those, place), self._showing[rarer]
        else:
            those = range(len(self._pairs))
            start, shows = place + 1, self._showing[rarer] | self._showing[commoner]
        for step in range(len(those)):
            other = those[(start + step) % len(those)]
            if other not in shows:
                yield self._pairs[other]

    def _lacking(self, name: str) -> list[int]:
        if name not in self._without:
            showing = self._showing[name]
            self._without[name] = [at for at in range(len(self._pairs)) if at not in showing]
        return self._without[name]
