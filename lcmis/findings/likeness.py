"""How like a pair's pictures are to its concepts, as papers print it: beside the verdicts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lcmis.findings.pairs import PairFinding
from lcmis.judge.likeness import clipscore
from lcmis.plugins import registry
from lcmis.plugins.optional import likeness_weight_of
from lcmis.store import Store
from lcmis.types import Concept, QuestionKind


@dataclass(frozen=True, slots=True)
class LikenessFinding:
    """What one checker measured of one model's pictures of a pair."""

    model: str
    checker: str
    a: float | None
    """CLIPScore of concept A over all pictures; None where nothing was measured."""
    b: float | None
    pictures: int

    @property
    def difference(self) -> float | None:
        """A less B: far from 0 where one of them is missing.

        Source: Zhao et al., "Lost in Translation" (D-score).
        """
        return None if self.a is None or self.b is None else self.a - self.b


def find_likenesses(store: Store, found: Iterable[PairFinding]) -> tuple[LikenessFinding, ...]:
    """What every checker that measures likeness said of the pictures that were judged."""
    return tuple(one for finding in found for one in _of_model(store, finding))


def _of_model(store: Store, finding: PairFinding) -> Iterable[LikenessFinding]:
    measured: dict[str, list[dict[str, float | None]]] = defaultdict(list)
    for item in finding.evidence:
        of_picture: dict[str, dict[str, float | None]] = defaultdict(dict)
        for question, score in store.scores(item.spec_key):
            if question.kind is QuestionKind.LIKENESS:
                of_picture[score.checker][question.text] = score.answer.value
        for checker, said in of_picture.items():
            measured[checker].append(said)
    for checker, pictures in sorted(measured.items()):
        weight = _weight(checker)
        if weight is not None:
            a, b = (
                _clipscore(pictures, concept, weight)
                for concept in (finding.pair.a, finding.pair.b)
            )
            yield LikenessFinding(finding.model, checker, a, b, len(pictures))


def _clipscore(
    pictures: Sequence[dict[str, float | None]], concept: Concept, weight: float
) -> float | None:
    named, described = (
        [said.get(text) for said in pictures] for text in (concept.name, concept.description)
    )
    return clipscore(named, described, weight)


def _weight(checker_id: str) -> float | None:
    """By the kind that its id begins with; None where no such kind is installed."""
    kind = checker_id.partition(":")[0]
    if kind not in registry.names("checkers"):
        return None
    return likeness_weight_of(registry.load("checkers", kind))
