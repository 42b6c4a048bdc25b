"""Store → what its labels say of the checkers, of the raters, and of the rates that are left."""

from __future__ import annotations

import dataclasses
import heapq
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from lcmis import findings, judge
from lcmis.errors import ConfigError
from lcmis.findings.labels import Reading, readings, truths
from lcmis.judge import Stratum
from lcmis.store import Evidence, Store
from lcmis.types import ConceptPair, Label, Question, QuestionKind, Rate, Side, Verdict, key_number

RIGHT = "right"
"""Stands beside the kinds of questions: whether a picture shows both concepts."""
PRESENCES = (QuestionKind.A_PRESENT, QuestionKind.B_PRESENT)
CHOICES = (QuestionKind.INTRUDER_A, QuestionKind.INTRUDER_B)

Place = tuple[str, str]
"""Keys of a picture and of the pair that it was drawn for."""


# ── the pictures that may be labelled ────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Deck:
    """The pictures that rates are made of, by stratum, each stratum in the order of its lots."""

    strata: Mapping[Stratum, tuple[Place, ...]]

    @property
    def sizes(self) -> dict[Stratum, int]:
        """Pictures of each stratum."""
        return {kind: len(places) for kind, places in self.strata.items()}

    def __len__(self) -> int:
        return sum(self.sizes.values())

    def strata_of(self, renders: Collection[str]) -> dict[Place, Stratum]:
        """Where these pictures belong, those that are in the deck."""
        return {place: kind for one in renders for place, kind in self._of_render.get(one, ())}

    @cached_property
    def _of_render(self) -> Mapping[str, list[tuple[Place, Stratum]]]:
        found: dict[str, list[tuple[Place, Stratum]]] = defaultdict(list)
        for kind, places in self.strata.items():
            for place in places:
                found[place[0]].append((place, kind))
        return found


def deck(
    evidence: Sequence[Sequence[Evidence]],
    *,
    threshold: float = 0.5,
    rule: judge.StoppingRule | None = None,
) -> Deck:
    """Sort plainly prompted pictures into strata; repairs, controls and what the deciding checker
    did not score are left out.

    Args:
        evidence: of each checker, the deciding one first.
        threshold: score from which a concept counts as present.
        rule: tells which pairs are decided; without one, those whose interval excludes a half.
    """
    if not evidence:
        return Deck({})
    first = [item for item in evidence[0] if countable(item)]
    others = [
        {(item.spec_key, item.pair_key): worse(item) for item in some} for some in evidence[1:]
    ]
    undecided = _undecided(first, threshold, rule)
    places: dict[Stratum, list[Place]] = defaultdict(list)
    for item in first:
        place, score = (item.spec_key, item.pair_key), worse(item)
        if score is None:
            continue
        said = [other for some in others if (other := some.get(place)) is not None]
        kind = judge.stratum(
            score,
            threshold,
            disputed=any((other >= threshold) != (score >= threshold) for other in said),
            open=(item.model, item.pair_key) in undecided,
        )
        places[kind].append(place)
    return Deck({kind: tuple(sorted(some, key=lot)) for kind, some in sorted(places.items())})


def by_worth(cards: Deck) -> dict[Place, int]:
    """The place of every picture in the order of what its label is worth while there is none.

    Strata are drawn from as if each label that is given agreed with the checker half of the time;
    within a stratum the lot decides.
    """
    counts = dict.fromkeys(cards.strata, 0)

    def next_worth(kind: Stratum) -> float:
        given = counts[kind]
        return judge.worth(len(cards.strata[kind]), given // 2, given, kind=kind)

    queue = [(-next_worth(kind), number, kind) for number, kind in enumerate(cards.strata)]
    heapq.heapify(queue)
    order: dict[Place, int] = {}
    while queue:
        _, number, kind = heapq.heappop(queue)
        order[cards.strata[kind][counts[kind]]] = len(order)
        counts[kind] += 1
        if counts[kind] < len(cards.strata[kind]):
            heapq.heappush(queue, (-next_worth(kind), number, kind))
    return order


def countable(item: Evidence) -> bool:
    """Whether a picture can be labelled and its label counts."""
    return findings.counts_for_pair(item) and not item.refused


def worse(item: Evidence) -> float | None:
    """The score of the concept that is shown less; None unless both are known."""
    return None if item.a is None or item.b is None else min(item.a, item.b)


def lot(place: Place) -> int:
    """A picture's number in a draw that is the same for all raters, on every machine."""
    return key_number("\0".join(place))


def _undecided(
    items: Iterable[Evidence], threshold: float, rule: judge.StoppingRule | None
) -> set[tuple[str, str]]:
    counts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for item in items:
        score = worse(item)
        if score is not None:
            count = counts[item.model, item.pair_key]
            count[0] += score >= threshold
            count[1] += 1
    closed = (judge.Decision.FAILS, judge.Decision.PASSES)
    ruled: dict[tuple[int, int], bool] = {}
    for right, total in {(right, total) for right, total in counts.values()}:
        if rule is None:
            rate = judge.rate(right, total)
            ruled[right, total] = rate.low < 0.5 < rate.high
        else:
            ruled[right, total] = rule.decide(right, total) not in closed
    return {pair for pair, (right, total) in counts.items() if ruled[right, total]}


# ── what is true ─────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Truth:
    """What people say of one picture of a pair; None where nobody said, or they could not tell."""

    a: bool | None
    b: bool | None
    intruder_a: str | None = None
    intruder_b: str | None = None

    @property
    def right(self) -> bool | None:
        """Whether it shows both; one that is missing decides, whatever is known of the other."""
        if self.a is False or self.b is False:
            return False
        return True if self.a and self.b else None


class Truths:
    """What people say of pictures, found by picture and pair."""

    def __init__(self, found: Iterable[Reading], ask: Callable[[str], Question]) -> None:
        self._presences: dict[tuple[str, QuestionKind, str], bool] = {}
        self._choices: dict[str, list[tuple[Question, str]]] = defaultdict(list)
        for (render, key), answer in truths(found).items():
            question = ask(key)
            if question.kind in PRESENCES:
                self._presences[render, question.kind, question.text] = answer == "yes"
            elif question.kind in CHOICES:
                self._choices[render].append((question, answer))

    def of(self, spec_key: str, pair: ConceptPair) -> Truth:
        """What is true of a picture of this pair."""
        a, b = (
            self._presences.get((spec_key, kind, concept.name))
            for kind, concept in zip(PRESENCES, (pair.a, pair.b), strict=True)
        )
        chosen: list[str | None] = []
        for kind, side in zip(CHOICES, Side, strict=True):
            answers = (
                answer
                for question, answer in self._choices.get(spec_key, ())
                if question.kind is kind and pair.concept(side).name in question.options
            )
            chosen.append(next(answers, None))
        return Truth(a, b, *chosen)


# ── findings ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far one checker can be trusted with one kind of question."""

    checker: str
    kind: str
    """A kind of question, or :data:`RIGHT`."""
    labels: int
    """Labelled pictures that it scored."""
    accuracy: judge.Accuracy | None
    """None for a choice, which is not about presence."""
    agreement: judge.Agreement
    """With people."""
    brier: float | None = None
    """Of the raw scores."""
    curve: tuple[judge.Bin, ...] = ()
    calibrated: judge.Calibrated | None = None

    @property
    def is_calibrated(self) -> bool:
        """Whether there are labels enough to say how often it errs."""
        return self.labels >= judge.FEW_LABELS

    @property
    def threshold(self) -> float | None:
        """Score from which the thing is likelier there than not, by labels; None if they are few,
        or no score is such.
        """
        return None if self.calibrated is None else self.calibrated.curve.threshold


@dataclass(frozen=True, slots=True)
class CorrectedRate:
    """A model's rate by a checker, and the true one that labels leave."""

    model: str
    checker: str
    raw: Rate
    corrected: Rate | None
    """None where labels do not show the checker to be better than a coin."""
    labels_to_halve: int | None
    """More labels that would halve the corrected interval; None where none would."""


@dataclass(frozen=True, slots=True)
class RaterFinding:
    """One rater, and how far he agrees with himself."""

    rater: str
    answers: int
    """That stand, repeats included."""
    repeats: judge.Agreement
    """Between his first and his second answer to the same question."""


@dataclass(frozen=True, slots=True)
class LabelFinding:
    """What an audit's labels say."""

    answers: int
    """That stand."""
    pictures: int
    """Labelled by anybody, of those that rates are made of."""
    of: int
    """Pictures that rates are made of."""
    threshold: float
    calibrations: tuple[Calibration, ...]
    rates: tuple[CorrectedRate, ...]
    raters: tuple[RaterFinding, ...]
    between: judge.Alpha
    """Among all raters, over questions that more than one answered."""
    deciding: str
    """The checker whose scores decide."""

    def calibration(self, checker: str, kind: str = RIGHT) -> Calibration | None:
        """Of one checker and kind of question."""
        for one in self.calibrations:
            if (one.checker, one.kind) == (checker, kind):
                return one
        return None

    def only(self, checker: str) -> LabelFinding:
        """The same without the other checkers."""
        return dataclasses.replace(
            self,
            calibrations=tuple(one for one in self.calibrations if one.checker == checker),
            rates=tuple(one for one in self.rates if one.checker == checker),
        )


@dataclass(frozen=True, slots=True)
class LabelledAudit:
    """All that labels are held against."""

    evidence: Mapping[str, Sequence[Evidence]]
    """Of each checker, the deciding one first."""
    pairs: Mapping[str, ConceptPair]
    cards: Deck
    raw: Mapping[str, tuple[tuple[str, Rate], ...]]
    """Of each checker, every model's rate of right pictures."""
    threshold: float

    @property
    def deciding(self) -> str:
        """The checker whose scores decide."""
        return next(iter(self.evidence))


def audited(
    store: Store,
    checkers: Sequence[str],
    *,
    threshold: float = 0.5,
    rule: judge.StoppingRule | None = None,
) -> LabelledAudit:
    """Read what checkers said.

    Args:
        store: The facts.
        checkers: The deciding one first.
        threshold: Score from which a concept counts as present.
        rule: Under which the pictures were drawn.

    Raises:
        ConfigError: no checker has said anything.
    """
    if not checkers:
        raise ConfigError("no checker has looked at the pictures yet: run `lcmis audit` first")
    evidence = {checker: store.evidence(checker) for checker in checkers}
    return LabelledAudit(
        evidence=evidence,
        pairs={pair.key: pair for pair in store.pairs()},
        cards=deck(list(evidence.values()), threshold=threshold, rule=rule),
        raw={
            checker: tuple(_raw_rates(items, threshold, rule))
            for checker, items in evidence.items()
        },
        threshold=threshold,
    )


def find_labels(
    known: LabelledAudit, labels: Sequence[Label], question: Callable[[str], Question]
) -> LabelFinding:
    """Hold every checker against labels.

    Left out are those that nobody asked for: who picks out what is wrong, having seen what the
    checker said, tells nothing of how often it is. A disagreement that was settled counts as it
    was settled, where somebody was asked.

    Which pictures are labelled depends on scores and lots alone, so each labelled one stands for
    its stratum; a checker is taken to err on every model's pictures alike.

    Args:
        known: What checkers said.
        labels: All of the store.
        question: Finds a question by its key.

    Raises:
        ConfigError: a label's time cannot be read.
        UnknownNameError: a label's question is not in the store.
    """
    every = readings(labels)
    found = [one for one in every if not one.unasked]
    asked = {(one.render, one.question) for one in found}
    settled = [one for one in every if one.settles and (one.render, one.question) in asked]
    true = Truths([*found, *settled], question)
    kind_of = known.cards.strata_of(dict.fromkeys(reading.render for reading in found))
    told = {
        place: true.of(place[0], known.pairs[place[1]])
        for place in kind_of
        if place[1] in known.pairs
    }
    sampled = [kind_of[place] for place, truth in told.items() if truth.right is not None]
    weights = judge.sample_weights(known.cards.sizes, sampled)
    calibrations: list[Calibration] = []
    rates: list[CorrectedRate] = []
    for checker, items in known.evidence.items():
        lines = [
            _line(item, told[place], kind_of[place], weights)
            for item in items
            if (place := (item.spec_key, item.pair_key)) in told
        ]
        calibrations += _calibrations(checker, lines, known.threshold)
        rates += _rates(checker, known.raw[checker], _judged(RIGHT, lines), known.threshold)
    return LabelFinding(
        answers=sum(len(reading.answers) for reading in found),
        pictures=len(sampled),
        of=len(known.cards),
        threshold=known.threshold,
        calibrations=tuple(calibrations),
        rates=tuple(rates),
        raters=tuple(_raters(found)),
        between=_between(found),
        deciding=known.deciding,
    )


@dataclass(frozen=True, slots=True)
class _Labelled:
    """What a checker said of a picture, what is true of it, and what it stands for."""

    item: Evidence
    truth: Truth
    weight: float
    stratum: str


def _line(
    item: Evidence, truth: Truth, kind: Stratum, weights: Mapping[Stratum, float]
) -> _Labelled:
    weight = weights.get(kind, 1.0)
    # Strata that were taken together have one weight.
    return _Labelled(item, truth, weight, f"{kind.right} {weight}")


def _judged(kind: str, lines: Iterable[_Labelled]) -> list[judge.Judged]:
    judged = []
    for line in lines:
        match kind:
            case QuestionKind.A_PRESENT:
                score, truth = line.item.a, line.truth.a
            case QuestionKind.B_PRESENT:
                score, truth = line.item.b, line.truth.b
            case _:
                score, truth = worse(line.item), line.truth.right
        if score is not None and truth is not None:
            judged.append(judge.Judged(score, truth, line.weight, line.item.pair_key, line.stratum))
    return judged


def _calibrations(
    checker: str, lines: Sequence[_Labelled], threshold: float
) -> Iterable[Calibration]:
    for name in (RIGHT, *(kind.value for kind in PRESENCES)):
        judged = _judged(name, lines)
        agreement = judge.answers_agreement(
            [_yes(item.score >= threshold) for item in judged],
            [_yes(item.truth) for item in judged],
            weights=[item.weight for item in judged],
        )
        yield Calibration(
            checker=checker,
            kind=name,
            labels=len(judged),
            accuracy=judge.accuracy(judged, threshold=threshold),
            agreement=agreement,
            brier=judge.brier(judged),
            curve=judge.calibration_curve(judged),
            calibrated=judge.calibrate(judged),
        )
    for kind in CHOICES:
        said = [
            (getattr(line.item, kind.value), getattr(line.truth, kind.value), line.weight)
            for line in lines
        ]
        both = [(one, other, weight) for one, other, weight in said if one and other]
        agreement = judge.answers_agreement(
            [one for one, _, _ in both],
            [other for _, other, _ in both],
            weights=[weight for _, _, weight in both],
        )
        yield Calibration(checker, kind.value, len(both), None, agreement)


def _yes(there: bool) -> str:
    return "yes" if there else "no"


def _rates(
    checker: str,
    raw_rates: Iterable[tuple[str, Rate]],
    judged: Sequence[judge.Judged],
    threshold: float,
) -> Iterable[CorrectedRate]:
    for model, raw in raw_rates:
        yield CorrectedRate(
            model=model,
            checker=checker,
            raw=raw,
            corrected=judge.rate_by_labels(raw, judged, threshold=threshold),
            labels_to_halve=judge.labels_to_halve(raw, judged, threshold=threshold),
        )


def _raw_rates(
    items: Sequence[Evidence], threshold: float, rule: judge.StoppingRule | None
) -> Iterable[tuple[str, Rate]]:
    """Each model's rate, as an audit reports it: over the first pictures of every pair."""
    verdicts: dict[str, dict[str, list[tuple[int, Verdict]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for item in items:
        if findings.counts_for_pair(item):
            verdict = findings.verdict_of(item, threshold)
            verdicts[item.model][item.pair_key].append((item.seed, verdict))
    for model, pairs in sorted(verdicts.items()):
        ordered = (sorted(seen, key=lambda one: one[0]) for seen in pairs.values())
        yield model, judge.fair_rate(([one for _, one in seen] for seen in ordered), rule)


def _raters(found: Sequence[Reading]) -> Iterable[RaterFinding]:
    for rater in sorted({reading.rater for reading in found}):
        mine = [reading for reading in found if reading.rater == rater]
        twice = [reading.answers[:2] for reading in mine if len(reading.answers) > 1]
        yield RaterFinding(
            rater=rater,
            answers=sum(len(reading.answers) for reading in mine),
            repeats=judge.answers_agreement(
                [first for first, _ in twice], [second for _, second in twice]
            ),
        )


def _between(found: Sequence[Reading]) -> judge.Alpha:
    units: dict[tuple[str, str], list[str]] = defaultdict(list)
    for reading in found:
        units[reading.render, reading.question].append(reading.answers[-1])
    # The same labels give the same interval, whenever it is looked at.
    return judge.krippendorff_alpha(list(units.values()))
