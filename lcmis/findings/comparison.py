"""Two audits side by side: which draws more pairs right, by how much, and where they differ."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from lcmis import findings, judge
from lcmis.errors import UnknownNameError
from lcmis.findings import words
from lcmis.findings.telling import Telling, Tells
from lcmis.judge import Difference, PairedCounts
from lcmis.machine.files import is_there
from lcmis.store import Evidence, Store
from lcmis.types import ConceptPair, Rate, Verdict

BETWEEN = "::"
"""Stands between a store and a model in the name of an audit."""


@dataclass(frozen=True, slots=True)
class Audited:
    """One model in one store, as one checker sees it."""

    store: Store
    model: str
    checker: str
    prefix: int
    """Pictures of each pair that may be counted without the bias of early stopping."""


@dataclass(frozen=True, slots=True)
class Discordant:
    """A pair on which two audits disagree, with the pictures on which they do."""

    pair: ConceptPair
    counts: PairedCounts
    only_first: tuple[tuple[str, str], ...]
    """Files of the two pictures where only the first one is right; empty for a refusal."""
    only_second: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, repr=False)
class Comparison(Tells):
    """What two audits say of the same pairs, picture by picture."""

    first: str
    """The model's id."""
    second: str
    checker: str
    first_right: Rate
    second_right: Rate
    difference: Difference
    discordant: tuple[Discordant, ...]
    """The largest difference first."""
    not_shared: int
    """Pairs that only one of the two has drawn."""
    unpaired: int
    """Pictures left out because one of the two is refused or not scored."""
    notes: tuple[str, ...] = ()
    """A sentence where the pictures that are compared were not all drawn in one way."""

    def telling(self) -> Telling:
        """Who is better by how much, and the pairs on which they disagree."""
        first, second = words.two_names(self.first, self.second)
        rows = [
            (
                one.pair.prompt,
                f"{one.counts.of_first[0]}/{one.counts.total}",
                f"{one.counts.of_second[0]}/{one.counts.total}",
            )
            for one in self.discordant
        ]
        return Telling(
            words.compared(self, first, second),
            ("prompt", f"{first} right", f"{second} right"),
            tuple(rows),
            f"{first} is right in {words.rate(self.first_right)} of its pictures, {second} in "
            f"{words.rate(self.second_right)}, over "
            f"{words.several(self.difference.pairs, 'pair')} and "
            f"{words.several(self.difference.pictures, 'seed')} that both have; checked by "
            f"{self.checker}.",
        )


@contextmanager
def opened(
    names: Sequence[str], store: Store | None, *, checker: str | None = None
) -> Iterator[list[Audited]]:
    """Find the audits that a person names: a model of ``store``, a store, or ``STORE::MODEL``.

    Raises:
        UnknownNameError: no such model, or a store that holds several and none is named.
        StoreError: a store that cannot be read.
    """
    with ExitStack() as stack:
        found = []
        for name in names:
            place, separator, model = name.partition(BETWEEN)
            if separator or is_there(Path(name)) or "://" in name:
                facts = stack.enter_context(Store(place, read_only=True))
            elif store is None:
                raise UnknownNameError(
                    f"there is no store {name!r}: name a folder, a model of --store, or "
                    f"STORE{BETWEEN}MODEL"
                )
            else:
                facts, model = store, name
            found.append(audited(facts, model, checker))
        yield found


def audited(store: Store, model: str = "", checker: str | None = None) -> Audited:
    """The one model of a store that is called ``model``, or whose id contains it.

    Raises:
        UnknownNameError: none or several do, or nothing has been checked yet.
    """
    known = models(store)
    found = matching(known, model)
    if len(found) != 1:
        raise UnknownNameError(
            f"{'several models' if found else 'no model'} in this store match {model!r}; there "
            f"are {', '.join(known) or 'none: run `lcmis audit`'}"
        )
    audit = findings.last_audit(store.runs())
    return Audited(
        store,
        found[0],
        findings.deciding_checker(store, checker),
        findings.rule_of(audit).fair if audit else 1,
    )


def matching(known: Sequence[str], model: str) -> list[str]:
    """Of some ids the one that is called ``model``, else all that contain it.

    A model with something laid over it bears its base's name first, and is not called so.
    """
    called = [one for one in known if one.partition("@")[0] == model and "+" not in one]
    return called if len(called) == 1 else [one for one in known if model in one]


def models(store: Store) -> list[str]:
    """Ids of the models that were audited."""
    return [one for one in store.models() if not findings.is_control(one)]


def compare(first: Audited, second: Audited, *, threshold: float = 0.5) -> Comparison:
    """Compare two audits on the pairs and the places in the order of seeds that both have.

    Counted are as many pictures of each pair as stopping early cannot bias, all of one numerics
    profile: the one of which the pair has most. Two audits by different checkers, or on different
    devices, are compared as they are; :attr:`Comparison.checker` and :attr:`Comparison.notes` then
    say so.
    """
    prefix = min(first.prefix, second.prefix)
    ours, theirs = (_by_pair(side) for side in (first, second))
    shared = [key for key in ours if key in theirs]
    seen = {
        key: list(zip(ours[key][:prefix], theirs[key][:prefix], strict=False)) for key in shared
    }
    judged = {key: list(_judged(places, threshold)) for key, places in seen.items()}
    counts = {key: _counts(places) for key, places in judged.items()}
    return Comparison(
        first=first.model,
        second=second.model,
        checker=" and ".join(dict.fromkeys((first.checker, second.checker))),
        first_right=judge.model_rate([one.of_first for one in counts.values()]),
        second_right=judge.model_rate([one.of_second for one in counts.values()]),
        difference=judge.paired_difference(list(counts.values())),
        discordant=_discordant(first.store, second.store, judged, counts),
        not_shared=len(set(ours) ^ set(theirs)),
        unpaired=sum(map(len, seen.values())) - sum(map(len, judged.values())),
        notes=_notes(first, second, seen.values()),
    )


def _notes(
    first: Audited, second: Audited, seen: Iterable[Sequence[tuple[Evidence, Evidence]]]
) -> tuple[str, ...]:
    """How the compared pictures were drawn, where that was not in one way."""
    drawn = [
        (first, first.store.profiles(first.model)),
        (second, second.store.profiles(second.model)),
    ]
    counts = [Counter[str](), Counter[str]()]
    for places in seen:
        for place in places:
            for side, item in enumerate(place):
                counts[side][drawn[side][1][item.spec_key]] += 1
    notes = [
        f"the pictures of {side.model} were drawn in {len(found)} ways: "
        + ", ".join(f"{count} of {profile}" for profile, count in found.most_common())
        for (side, _), found in zip(drawn, counts, strict=True)
        if len(found) > 1
    ]
    devices = [sorted({_device(profile) for profile in found}) for found in counts]
    if not notes and devices[0] != devices[1]:
        notes.append(
            f"{first.model} was drawn on {', '.join(devices[0])}, {second.model} on "
            f"{', '.join(devices[1])}: part of a difference may be theirs"
        )
    return tuple(notes)


_SHAPE = re.compile(r"-b\d+")


def _device(profile: str) -> str:
    """A profile without the shape of its batches."""
    return _SHAPE.sub("", profile, count=1)


@dataclass(frozen=True, slots=True)
class _Place:
    """One picture of each audit, and whether it is right."""

    one: Evidence
    other: Evidence
    first: bool
    second: bool


def _judged(places: Iterable[tuple[Evidence, Evidence]], threshold: float) -> Iterator[_Place]:
    """Those of which both pictures can be told."""
    for one, other in places:
        first, second = _right(one, threshold), _right(other, threshold)
        if first is not None and second is not None:
            yield _Place(one, other, first, second)


def _counts(places: Sequence[_Place]) -> PairedCounts:
    tally = Counter((place.first, place.second) for place in places)
    return PairedCounts(
        both=tally[True, True],
        first=tally[True, False],
        second=tally[False, True],
        neither=tally[False, False],
    )


def _discordant(
    first: Store,
    second: Store,
    judged: Mapping[str, Sequence[_Place]],
    counts: Mapping[str, PairedCounts],
) -> tuple[Discordant, ...]:
    differing = {key: [one for one in judged[key] if one.first != one.second] for key in judged}
    every = list(chain.from_iterable(differing.values()))
    files = _files(first, (place.one for place in every))
    others = _files(second, (place.other for place in every))

    def shown(places: Iterable[_Place], *, by_first: bool) -> tuple[tuple[str, str], ...]:
        return tuple(
            (files[place.one.spec_key], others[place.other.spec_key])
            for place in places
            if place.first is by_first
        )

    pairs = {pair.key: pair for pair in first.pairs()}
    rows = [
        Discordant(
            pairs[key],
            counts[key],
            only_first=shown(places, by_first=True),
            only_second=shown(places, by_first=False),
        )
        for key, places in differing.items()
        if places
    ]
    rows.sort(key=lambda one: (-abs(one.counts.first - one.counts.second), one.pair.prompt))
    return tuple(rows)


def right_rate(side: Audited, *, threshold: float = 0.5) -> tuple[Rate, int]:
    """The share of right pictures over the counted ones of every pair, and the number of pairs."""
    judged = [
        [_right(item, threshold) for item in items[: side.prefix]]
        for items in _by_pair(side).values()
    ]
    counted = [[one for one in pair if one is not None] for pair in judged]
    rate = judge.model_rate([(sum(pair), len(pair)) for pair in counted])
    return rate, sum(bool(pair) for pair in counted)


def _by_pair(side: Audited) -> Mapping[str, Sequence[Evidence]]:
    """Pictures of the audit by pair, in the order of seeds; each seed of a pair once.

    Where a pair was drawn under several numerics profiles, that of most of its pictures counts.
    """
    found: dict[str, list[Evidence]] = defaultdict(list)
    for item in side.store.evidence(side.checker, model=side.model):
        if findings.counts_for_pair(item):
            found[item.pair_key].append(item)
    profiles = side.store.profiles(side.model)
    one_way = len(set(profiles.values())) < 2
    for key, items in found.items():
        if not one_way:
            counts = Counter(profiles[item.spec_key] for item in items)
            chosen = max(sorted(counts), key=counts.__getitem__)
            items = [item for item in items if profiles[item.spec_key] == chosen]
        found[key] = sorted(items, key=lambda item: item.seed)
    return found


def _right(item: Evidence, threshold: float) -> bool | None:
    """Whether both concepts are shown; None where nobody can tell."""
    seen = findings.verdict_of(item, threshold)
    return seen is Verdict.ALIGNED if seen.is_scored else None


def _files(store: Store, items: Iterable[Evidence]) -> dict[str, str]:
    """Where pictures lie, by their spec keys; empty for a refusal."""
    drawn = store.renders_of(item.spec_key for item in items)
    return {
        key: "" if render.refusal else store.image_place(render.sha256)
        for key, (_, render) in drawn.items()
    }
