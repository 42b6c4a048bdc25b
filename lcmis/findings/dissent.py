"""Pictures that checkers see differently."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from lcmis.findings.pairs import counts_for_pair, verdict_of
from lcmis.store import Store
from lcmis.types import ConceptPair, Verdict


@dataclass(frozen=True, slots=True)
class Dissent:
    """A picture of which two checkers do not say the same, both having judged it."""

    pair: ConceptPair
    model: str
    seed: int
    spec_key: str
    verdicts: tuple[tuple[str, Verdict], ...]
    """Of every checker that judged it, the deciding one first."""


def dissents(
    store: Store,
    checkers: Sequence[str],
    *,
    threshold: float = 0.5,
    model: str | None = None,
    pair: str | None = None,
) -> list[Dissent]:
    """Every picture that counts in a pair's rate and that the first checker sees otherwise than
    another one; by model, pair and seed.

    Args:
        store: The facts.
        checkers: Ids, the deciding one first.
        threshold: Score from which a concept counts as present, in (0, 1), for all of them.
        model: Only models whose name contains this.
        pair: Only the pair of this key.

    Raises:
        UnknownNameError: the pair is not in the store.
    """
    asked = {one.key: one for one in (store.pairs() if pair is None else [store.pair(pair)])}
    if len(checkers) == 1:  # nobody to differ from
        return []
    verdicts: dict[tuple[str, str], list[tuple[str, Verdict]]] = defaultdict(list)
    seen: dict[tuple[str, str], tuple[str, int]] = {}
    for checker in checkers:
        for item in store.evidence(checker, pair=pair):
            verdict = verdict_of(item, threshold)
            if counts_for_pair(item) and verdict.is_scored:
                place = (item.pair_key, item.spec_key)
                verdicts[place].append((checker, verdict))
                seen[place] = (item.model, item.seed)
    first = checkers[0] if checkers else ""
    return [
        Dissent(asked[pair_key], *seen[pair_key, spec_key], spec_key, tuple(said))
        for (pair_key, spec_key), said in verdicts.items()
        if said[0][0] == first
        and len({verdict for _, verdict in said}) > 1
        and (model is None or model in seen[pair_key, spec_key][0])
        and pair_key in asked
    ]
