"""What a report says, as values: gathered from a store, drawing and writing nothing."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from lcmis import findings, judge
from lcmis.errors import ConfigError
from lcmis.export.report.album import Album, Copy
from lcmis.findings import (
    BeforeAfter,
    Dissent,
    ModelFinding,
    PairFinding,
    RepairFinding,
    Told,
    calibration,
    short,
    words,
)
from lcmis.findings.boxes import Frame, by_detector, frames
from lcmis.findings.calibration import LabelFinding
from lcmis.findings.notes import Noticed, find_notes
from lcmis.findings.short import ModelOutcome, Phrase
from lcmis.judge import Decision
from lcmis.store import Evidence, Store, StoreCounts
from lcmis.types import ConceptPair, Failure, Rate, Run, Side, Verdict

WORST = 12
"""Pairs, and repairs, that are shown with pictures unless said."""
SEEDS_SHOWN = 6
"""Pictures of a pair and model: those of its first seeds, right or wrong."""
SHOWN_EACH = 3
"""Wins, and losses, of a repair that are shown as pictures."""
ROWS = 300
"""Of a table, at the most."""
NAMES = 12
"""Rows, and columns, of the matrix of what is painted instead."""
RUNS = 20
FAILURES = 30
NOTED = 100
"""Things with notes; those with a star come first."""
DISSENTS = 60
"""Pictures that checkers see differently."""


@dataclass(frozen=True, slots=True)
class LevelCount:
    """Pairs of one level of severity."""

    level: int
    surely: int
    """Whose interval allows this level alone."""
    at_all: int
    """Whose interval allows it, alone or among others."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """All pairs of one kind of conflict, by one model."""

    name: str
    aligned: Rate
    """Clustered by pair."""
    pairs: int
    failing: int


@dataclass(frozen=True, slots=True)
class Substitution:
    """One thing painted in the place of another."""

    asked: str
    painted: str
    pictures: int
    pairs: int


@dataclass(frozen=True, slots=True)
class Matrix:
    """Asked × painted: the commonest names of both."""

    asked: tuple[str, ...]
    painted: tuple[str, ...]
    pictures: Mapping[tuple[str, str], int]
    hidden: int
    """Pictures that fall outside of it."""


@dataclass(frozen=True, slots=True)
class ModelPart:
    """One model over all pairs."""

    name: str
    finding: ModelFinding
    levels: tuple[LevelCount, ...]
    patterns: tuple[Pattern, ...]
    """Worst first."""
    substitutions: tuple[Substitution, ...]
    """Commonest first."""
    matrix: Matrix

    @property
    def commonest(self) -> Substitution | None:
        """What is painted most often in the place of something else; None if nobody can name it."""
        named = (one for one in self.substitutions if one.painted != judge.UNNAMED)
        return next(named, None)

    def decided(self, decision: Decision) -> int:
        """Pairs of this decision."""
        return len(self.finding.decided(decision))

    @property
    def outcome(self) -> ModelOutcome:
        """What a report begins with."""
        found, named = self.finding, self.commonest
        return ModelOutcome(
            name=self.name,
            aligned=found.aligned,
            decided={kind: self.decided(kind) for kind in Decision},
            surely_failing=found.num_surely_failing,
            looked_at=found.num_looked_at,
            pictures=found.pictures,
            unscored=found.count(Verdict.UNSCORED),
            refused=found.count(Verdict.REFUSED),
            painted=named.painted if named else "",
            asked=named.asked if named else "",
            painted_pictures=named.pictures if named else 0,
            painted_pairs=named.pairs if named else 0,
        )

    @property
    def failing(self) -> tuple[PairFinding, ...]:
        """All pairs that do not pass and have a verdict at all, worst first."""
        return tuple(
            found
            for found in self.finding.pairs
            if found.judgement.failing is not Decision.PASSES and found.judgement.aligned.total
        )

    @property
    def table(self) -> tuple[PairFinding, ...]:
        """Those that a table has room for."""
        return self.failing[:ROWS]


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture with what the checker saw of it."""

    evidence: Evidence
    verdict: Verdict
    copy: Copy
    painted: str
    """What stands in the place of what is missing; empty if nobody can name it."""
    told: tuple[Told, ...] = ()
    """What each checker was asked of it and said, where there is room for that."""
    frames: tuple[Frame, ...] = ()
    """What the first detector found on it."""


@dataclass(frozen=True, slots=True)
class ShotRow:
    """One model's first pictures of a pair."""

    model: str
    finding: PairFinding
    shots: tuple[Shot, ...]


@dataclass(frozen=True, slots=True)
class WorstPair:
    """One of the worst pairs, as every model draws it."""

    pair: ConceptPair
    rows: tuple[ShotRow, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """A seed on which plain and repaired prompt differ."""

    before: Shot
    after: Shot


@dataclass(frozen=True, slots=True)
class RepairPart:
    """One repair with its proof."""

    found: RepairFinding
    model: str
    wins: tuple[Change, ...]
    losses: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class PairSource:
    """Where pairs came from."""

    name: str
    licence: str
    pairs: int


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that a report says; the same facts and settings give the same report."""

    checker: str
    threshold: float
    rule: judge.StoppingRule | None
    counts: StoreCounts
    names: Mapping[str, str]
    """Ids of models and checkers as they are spelled in tables."""
    models: tuple[ModelPart, ...]
    worst: tuple[WorstPair, ...]
    repairs: tuple[RepairPart, ...]
    """Those that stand first, then those that pass alone, then by the gain to be expected."""
    unproved: int
    """Nominations without a certificate by this checker."""
    labels: LabelFinding | None
    """What people's answers say of the deciding checker; None where nobody has labelled."""
    sources: tuple[PairSource, ...]
    runs: tuple[Run, ...]
    """Newest first."""
    versions: Mapping[str, str]
    failures: tuple[Failure, ...]
    checkers: tuple[str, ...]
    """Ids, the deciding one first."""
    dissents: tuple[Dissent, ...]
    """Pictures that checkers see differently."""
    num_dissents: int
    """Those without room counted too."""
    noted: tuple[Noticed, ...]
    """What people left on pictures, pairs and repairs, those with a star first."""
    num_noted: int
    """Those without room counted too."""
    num_pictures: int
    """That travel with the report."""
    picture_bytes: int
    left_out: int
    """Pictures that it had no room for."""
    notes: tuple[str, ...] = ()
    """What is to be known of its numbers, a sentence each."""

    @property
    def is_calibrated(self) -> bool:
        """Whether enough pictures are labelled to say how often the deciding checker errs."""
        whole = self.labels and self.labels.calibration(self.checker)
        return bool(whole and whole.is_calibrated)

    @property
    def tells_levels(self) -> bool:
        """Whether the level of any pair is known: of few pictures nearly all are possible."""
        return any(one.surely for model in self.models for one in model.levels)

    @property
    def in_short(self) -> tuple[tuple[Phrase, ...], ...]:
        """The answer: a paragraph for each model, and one for the repairs."""
        found = [repair.found for repair in self.repairs]
        return (
            *(short.model(model.outcome) for model in self.models),
            short.repairs(
                [one.standing.proved for one in found], [one.certificate.passed for one in found]
            ),
        )


def gather(
    store: Store, checker: str | None = None, threshold: float | None = None, worst: int = WORST
) -> Report:
    """Read and judge all that a report says.

    Args:
        store: The facts.
        checker: Part of the id of the one that decides; that of the last run by default.
        threshold: Score from which a concept counts as present, in (0, 1]; that of the last run by
            default.
        worst: Pairs and repairs that are shown with pictures, from 0.

    Raises:
        UnknownNameError: nothing has been checked yet, or no checker is called so.
        ConfigError: a threshold or number that cannot be.
    """
    if worst < 0:
        raise ConfigError(f"--worst is {worst}, but it is 0 or more")
    checker_id = findings.deciding_checker(store, checker)
    runs = store.runs()
    audit = findings.last_audit(runs)
    if threshold is None:
        threshold = findings.threshold_of(audit)
    if not 0 < threshold <= 1:
        raise ConfigError(f"--threshold is {threshold:g}, but it lies above 0 and at 1 at the most")
    rule = findings.rule_of(audit) if audit else None
    models = [name for name in store.models() if not findings.is_control(name)]
    others = [name for name in store.checkers() if name != checker_id]
    names = words.short_names(models) | words.short_names([checker_id, *others])
    shown = {name: names[name] for name in models}
    parts = tuple(_models(store, shown, [checker_id, *others], rule, threshold))
    album = Album(store)
    cases = tuple(_cases(store, parts, album, worst, [checker_id, *others], threshold))
    differing = findings.dissents(store, [checker_id, *others], threshold=threshold)
    repairs = _repairs(store, checker_id, threshold, names, album, worst)
    noticed = find_notes(store)
    return Report(
        checker=checker_id,
        threshold=threshold,
        rule=rule,
        counts=store.counts(),
        names=names,
        models=parts,
        worst=cases,
        repairs=repairs,
        unproved=len(store.nominations()) - len(repairs),
        labels=_labels(store, checker_id, threshold, rule),
        sources=_sources(store.pairs()),
        runs=tuple(reversed(runs))[:RUNS],
        versions=json.loads(runs[-1].versions) if runs else {},
        failures=tuple(reversed(store.failures()))[:FAILURES],
        checkers=(checker_id, *others),
        dissents=tuple(differing[:DISSENTS]),
        num_dissents=len(differing),
        noted=tuple(noticed[:NOTED]),
        num_noted=len(noticed),
        num_pictures=album.num_pictures,
        picture_bytes=album.num_bytes,
        left_out=album.left_out,
        notes=tuple(findings.mixed_ways(store).values()),
    )


# ── models ───────────────────────────────────────────────────────────────────────────────────────


def _models(
    store: Store,
    names: Mapping[str, str],
    checkers: Sequence[str],
    rule: judge.StoppingRule | None,
    threshold: float,
) -> Iterable[ModelPart]:
    """One a model, of which the names are shown so."""
    pairs_of = {
        model: findings.find_pairs(store, checkers[0], rule=rule, threshold=threshold, model=model)
        for model in names
    }
    for found in findings.find_models(store, pairs_of, checkers, rule=rule, threshold=threshold):
        substitutions = _substitutions(found.pairs)
        yield ModelPart(
            name=names[found.model],
            finding=found,
            levels=_levels(found.pairs),
            patterns=_patterns(found.pairs, rule),
            substitutions=substitutions,
            matrix=_matrix(substitutions),
        )


def _levels(pairs: Iterable[PairFinding]) -> tuple[LevelCount, ...]:
    ranges = [found.judgement.levels for found in pairs if found.judgement.aligned.total]
    return tuple(
        LevelCount(
            level,
            surely=sum(one.low == one.high == level for one in ranges),
            at_all=sum(one.low <= level <= one.high for one in ranges),
        )
        for level in range(1, 6)
    )


def _patterns(pairs: Iterable[PairFinding], rule: judge.StoppingRule | None) -> tuple[Pattern, ...]:
    grouped: dict[str, list[PairFinding]] = defaultdict(list)
    for found in pairs:
        grouped[found.pair.pattern].append(found)
    made = [
        Pattern(
            name=name,
            aligned=judge.fair_rate((found.judgement.verdicts for found in group), rule),
            pairs=len(group),
            failing=sum(found.judgement.failing is Decision.FAILS for found in group),
        )
        for name, group in grouped.items()
        if name
    ]
    return tuple(
        sorted(made, key=lambda one: (-one.failing / one.pairs, one.aligned.value, one.name))
    )


def _substitutions(pairs: Iterable[PairFinding]) -> tuple[Substitution, ...]:
    pictures: Counter[tuple[str, str]] = Counter()
    num_pairs: Counter[tuple[str, str]] = Counter()
    for found in pairs:
        for side, intruders in (
            (Side.A, found.judgement.intruders_a),
            (Side.B, found.judgement.intruders_b),
        ):
            for one in intruders:
                place = (found.pair.concept(side).name, one.name)
                pictures[place] += one.count
                num_pairs[place] += 1
    made = [Substitution(*place, count, num_pairs[place]) for place, count in pictures.items()]
    unnamed = judge.UNNAMED
    return tuple(
        sorted(
            made, key=lambda one: (one.painted == unnamed, -one.pictures, one.asked, one.painted)
        )
    )


def _matrix(substitutions: Sequence[Substitution]) -> Matrix:
    asked: Counter[str] = Counter()
    for one in substitutions:
        asked[one.asked] += one.pictures
    rows = _commonest(asked)
    painted: Counter[str] = Counter()
    for one in substitutions:
        if one.asked in rows:
            painted[one.painted] += one.pictures
    columns = _commonest(painted)
    pictures = {
        (one.asked, one.painted): one.pictures
        for one in substitutions
        if one.asked in rows and one.painted in columns
    }
    rows = tuple(name for name in rows if any(name == place[0] for place in pictures))
    return Matrix(rows, columns, pictures, asked.total() - sum(pictures.values()))


def _commonest(names: Counter[str]) -> tuple[str, ...]:
    """Unnamed last, whatever its number."""
    ranked = sorted(names, key=lambda name: (-names[name], name))[:NAMES]
    return tuple(sorted(ranked, key=lambda name: name == judge.UNNAMED))


# ── pictures ─────────────────────────────────────────────────────────────────────────────────────


def _cases(
    store: Store,
    parts: Sequence[ModelPart],
    album: Album,
    worst: int,
    checkers: Sequence[str],
    threshold: float,
) -> Iterable[WorstPair]:
    """The worst pairs, by the model that draws each worst."""
    every = [(part, found) for part in parts for found in part.finding.pairs]
    wrong = [
        (part, found)
        for part, found in every
        if found.judgement.aligned.total and found.judgement.aligned.value < 1
    ]
    ranked = sorted(wrong, key=lambda one: findings.severity(one[1]))
    for key in [*dict.fromkeys(found.pair.key for _, found in ranked)][:worst]:
        drawn = [(part, found) for part, found in every if found.pair.key == key]
        rows = [
            ShotRow(part.name, found, tuple(_shots(store, found, album, checkers, threshold)))
            for part, found in drawn
        ]
        yield WorstPair(drawn[0][1].pair, tuple(rows))


def _shots(
    store: Store, found: PairFinding, album: Album, checkers: Sequence[str], threshold: float
) -> Iterable[Shot]:
    judged = zip(found.evidence, found.judgement.verdicts, strict=True)
    for item, verdict in islice(judged, SEEDS_SHOWN):
        _, render = store.render(item.spec_key)
        shot = _shot(item, verdict, found.pair, album)
        seen = by_detector(store.scores(item.spec_key))
        first = next((seen[checker] for checker in checkers if checker in seen), [])
        yield replace(
            shot, told=findings.tell(store, render), frames=tuple(frames(first, threshold))
        )


def _shot(item: Evidence, verdict: Verdict, pair: ConceptPair, album: Album) -> Shot:
    named = [
        option
        for side, option in ((Side.A, item.intruder_a), (Side.B, item.intruder_b))
        if words.lacks(verdict, side) and words.names_somebody(option, pair.concept(side).name)
    ]
    return Shot(item, verdict, album.copy(item.spec_key), " and ".join(filter(None, named)))


# ── repairs ──────────────────────────────────────────────────────────────────────────────────────


def _repairs(
    store: Store,
    checker_id: str,
    threshold: float,
    names: Mapping[str, str],
    album: Album,
    worst: int,
) -> tuple[RepairPart, ...]:
    ranked = sorted(
        findings.find_repairs(store, checker_id, threshold=threshold), key=findings.usefulness
    )
    return tuple(
        RepairPart(
            found=found,
            model=names[found.model],
            wins=_changes(found, [one for one in found.pictures if one.is_win], album, show),
            losses=_changes(found, [one for one in found.pictures if one.is_loss], album, show),
        )
        for found, show in ((found, place < worst) for place, found in enumerate(ranked))
    )


def _changes(
    found: RepairFinding, changed: Sequence[BeforeAfter], album: Album, show: bool
) -> tuple[Change, ...]:
    return tuple(
        Change(
            _shot(one.before, one.was, found.pair, album),
            _shot(one.after, one.now, found.pair, album),
        )
        for one in (changed[:SHOWN_EACH] if show else ())
    )


# ── beside ───────────────────────────────────────────────────────────────────────────────────────


def _labels(
    store: Store, checker_id: str, threshold: float, rule: judge.StoppingRule | None
) -> LabelFinding | None:
    labels = store.labels()
    if not labels:
        return None
    known = calibration.audited(store, [checker_id], threshold=threshold, rule=rule)
    return calibration.find_labels(known, labels, store.question)


def _sources(pairs: Iterable[ConceptPair]) -> tuple[PairSource, ...]:
    tally = Counter((pair.source, pair.licence) for pair in pairs)
    return tuple(PairSource(*place, count) for place, count in sorted(tally.items()))
