"""Two audits side by side: which draws more pairs right, by how much, and where they differ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from lcmis import findings, judge
from lcmis.errors import UnknownNameError
from lcmis.judge import Difference, PairedCounts
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


@dataclass(frozen=True, slots=True)
class Comparison:
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
            if separator or Path(name).exists() or "://" in name:
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
    """The one model of a store whose id contains ``model``.

    Raises:
        UnknownNameError: none or several do, or nothing has been checked yet.
    """
    known = models(store)
    matching = [one for one in known if model in one]
    if len(matching) != 1:
        raise UnknownNameError(
            f"{'several models' if matching else 'no model'} in this store match {model!r}; there "
            f"are {', '.join(known) or 'none: run `lcmis audit`'}"
        )
    audit = findings.last_audit(store.runs())
    return Audited(
        store,
        matching[0],
        findings.deciding_checker(store, checker),
        findings.rule_of(audit).fair if audit else 1,
    )


def models(store: Store) -> list[str]:
    """Ids of the models that were audited."""
    return [one for one in store.models() if not findings.is_control(one)]


def compare(first: Audited, second: Audited, *, threshold: float = 0.5) -> Comparison:
    """Compare two audits on the pairs and the places in the order of seeds that both have.

    Counted are as many pictures of each pair as stopping early cannot bias. Two audits by different
    checkers are compared as they are; :attr:`Comparison.checker` then names both.
    """
    prefix = min(first.prefix, second.prefix)
    ours, theirs = (_by_pair(side) for side in (first, second))
    shared = [key for key in ours if key in theirs]
    rows: list[Discordant] = []
    counts: list[PairedCounts] = []
    unpaired = 0
    for key in shared:
        places = list(zip(ours[key][:prefix], theirs[key][:prefix], strict=False))
        seen = [
            (one, other, _right(one, threshold), _right(other, threshold)) for one, other in places
        ]
        paired = [item for item in seen if item[2] is not None and item[3] is not None]
        unpaired += len(seen) - len(paired)
        only = {
            which: tuple(
                (_file(first.store, one), _file(second.store, other))
                for one, other, a, b in paired
                if (a, b) == which
            )
            for which in ((True, False), (False, True))
        }
        count = PairedCounts(
            both=sum(bool(a and b) for *_, a, b in paired),
            first=len(only[True, False]),
            second=len(only[False, True]),
            neither=sum(not a and not b for *_, a, b in paired),
        )
        counts.append(count)
        if count.first or count.second:
            pair = first.store.pair(key)
            rows.append(Discordant(pair, count, only[True, False], only[False, True]))
    rows.sort(key=lambda one: (-abs(one.counts.first - one.counts.second), one.pair.prompt))
    return Comparison(
        first=first.model,
        second=second.model,
        checker=" and ".join(dict.fromkeys((first.checker, second.checker))),
        first_right=judge.model_rate([(one.both + one.first, one.total) for one in counts]),
        second_right=judge.model_rate([(one.both + one.second, one.total) for one in counts]),
        difference=judge.paired_difference(counts),
        discordant=tuple(rows),
        not_shared=len(set(ours) ^ set(theirs)),
        unpaired=unpaired,
    )


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
    """Pictures of the audit by pair, in the order of seeds."""
    found: dict[str, list[Evidence]] = defaultdict(list)
    for item in side.store.evidence(side.checker, model=side.model):
        if not item.of_repair:
            found[item.pair_key].append(item)
    for items in found.values():
        items.sort(key=lambda item: item.seed)
    return found


def _right(item: Evidence, threshold: float) -> bool | None:
    """Whether both concepts are shown; None where nobody can tell."""
    seen = findings.verdict_of(item, threshold)
    return seen is Verdict.ALIGNED if seen.is_scored else None


def _file(store: Store, item: Evidence) -> str:
    _, render = store.render(item.spec_key)
    return "" if render.refusal else str(store.image_path(render.sha256))
