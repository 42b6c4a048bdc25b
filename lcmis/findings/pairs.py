"""Facts of a store → what they say of each pair and model, under a threshold and a rule."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import attrgetter

from lcmis import judge
from lcmis.findings import words
from lcmis.findings.telling import Telling, Tells
from lcmis.store import Evidence, Store
from lcmis.types import ConceptPair, Rate, Verdict

CONTROL_MODEL = "control"
"""Bears the name of a model where pictures show nothing of the pair they are asked about."""


@cache
def is_control(model: str) -> bool:
    """Whether a model's id is that of controls, drawn by nobody."""
    return model.partition("@")[0] == CONTROL_MODEL


def counts_for_pair(item: Evidence) -> bool:
    """Whether a picture counts in how often its pair fails: no repair drew it, and it is no
    control.
    """
    return not (item.of_repair or is_control(item.model))


@dataclass(frozen=True, slots=True, repr=False)
class PairFinding(Tells):
    """What one model makes of one pair."""

    model: str
    pair: ConceptPair
    evidence: tuple[Evidence, ...]
    """One a picture, in the order of their seeds."""
    judgement: judge.PairJudgement

    @property
    def intruder(self) -> judge.IntruderCount | None:
        """What is painted most often instead of either concept; None if nobody can name it."""
        sides = [self.judgement.intruders_a, self.judgement.intruders_b]
        named = [count for side in sides for count in side if count.name != judge.UNNAMED]
        return max(named, key=lambda count: count.count, default=None)

    @property
    def painted_instead(self) -> str:
        """The commonest intruder as a phrase, e.g. ``"mug in 9 of 12"``; empty if none."""
        top = self.intruder
        return "" if top is None else f"{top.name} in {top.count} of {self.judgement.aligned.total}"

    def telling(self) -> Telling:
        """One row, as `lcmis show` has it."""
        return tell_pairs(self.pair.prompt, [self])


@dataclass(frozen=True, slots=True)
class ModelFinding:
    """What an audit concludes of one model."""

    model: str
    aligned: Rate
    """Of pictures right, over those of every pair that :func:`lcmis.judge.fair_rate` counts."""
    pairs: tuple[PairFinding, ...]
    """Worst first."""
    pictures: int
    prior: judge.PriorCheck
    """What the deciding checker says when nothing of a pair is there."""
    second_opinions: tuple[SecondOpinion, ...]

    def decided(self, decision: judge.Decision) -> tuple[PairFinding, ...]:
        """The pairs of one decision, worst first."""
        return tuple(finding for finding in self.pairs if finding.judgement.failing is decision)

    @property
    def surely_failing(self) -> tuple[PairFinding, ...]:
        """Those decided to fail that still do when all pairs are looked at together."""
        sure = judge.surely_failing([finding.judgement for finding in self.pairs])
        return tuple(finding for finding, fails in zip(self.pairs, sure, strict=True) if fails)

    @property
    def num_surely_failing(self) -> int:
        """So many."""
        return len(self.surely_failing)

    @property
    def num_looked_at(self) -> int:
        """Pairs with a picture that was judged."""
        return sum(finding.judgement.aligned.total > 0 for finding in self.pairs)

    def count(self, verdict: Verdict) -> int:
        """Pictures with this verdict, over all pairs."""
        return sum(finding.judgement.count(verdict) for finding in self.pairs)


@dataclass(frozen=True, slots=True)
class SecondOpinion:
    """How far another checker sees the same as the deciding one."""

    checker: str
    agreement: judge.Agreement


def find_pairs(
    store: Store,
    checker_id: str,
    *,
    rule: judge.StoppingRule | None = None,
    threshold: float = 0.5,
    model: str | None = None,
    pair: str | None = None,
    only: Mapping[ConceptPair, Container[str]] | None = None,
) -> list[PairFinding]:
    """Judge every pair of every model from the plainly prompted pictures in the store.

    Args:
        store: The facts.
        checker_id: Whose scores decide.
        rule: The stopping rule under which the pictures were drawn; it decides which interval is
            valid. None takes their number as fixed.
        threshold: Score from which a concept counts as present, in (0, 1).
        model: Only this model.
        pair: Only the pair of this key.
        only: Pair → the spec keys that count; pairs without an entry are left out.

    Returns:
        Worst first; a pair without any picture is judged too when ``only`` names it.
    """
    known: Iterable[ConceptPair] = only or ()
    if only is None:
        known = store.pairs() if pair is None else [store.pair(pair)]
    asked = {found.key: found for found in known}
    gathered: dict[tuple[str, str], list[Evidence]] = defaultdict(list)
    if only is not None and model is not None:
        for key in asked:
            gathered[model, key] = []
    counted = {} if only is None else {one.key: keys for one, keys in only.items()}
    pairs = None if only is None else list(asked)
    for item in store.evidence(checker_id, model=model, pair=pair, pairs=pairs):
        if counts_for_pair(item) and (only is None or item.spec_key in counted[item.pair_key]):
            gathered[item.model, item.pair_key].append(item)
    findings = [
        _find(name, asked[key], evidence, rule, threshold)
        for (name, key), evidence in gathered.items()
        if key in asked
    ]
    return sorted(findings, key=severity)


def _find(
    model: str,
    pair: ConceptPair,
    evidence: Iterable[Evidence],
    rule: judge.StoppingRule | None,
    threshold: float,
) -> PairFinding:
    ordered = tuple(sorted(evidence, key=attrgetter("seed")))
    judgement = judge.judge_pair(
        ordered,
        asked_a=pair.a.name,
        asked_b=pair.b.name,
        threshold_a=threshold,
        threshold_b=threshold,
        rule=rule,
    )
    return PairFinding(model, pair, ordered, judgement)


def tell_pairs(title: str, found: Sequence[PairFinding]) -> Telling:
    """A row a model, with the columns of `lcmis show`."""
    names = words.short_names(list(dict.fromkeys(one.model for one in found)))
    rows = [
        (
            names[one.model],
            f"{one.judgement.count(Verdict.ALIGNED)}/{one.judgement.aligned.total}",
            words.rate(one.judgement.aligned),
            words.level(one.judgement.levels if one.judgement.aligned.total else None),
            words.missing(one),
            one.painted_instead,
            words.decision(one.judgement.failing),
        )
        for one in found
    ]
    columns = ("model", "right", "rate", "level", "missing", "painted instead", "verdict")
    return Telling(title, columns, tuple(rows))


def severity(finding: PairFinding) -> tuple[float, float, str]:
    """Sorts the worst first: lowest rate, then the one that is surest to be low."""
    aligned = finding.judgement.aligned
    shown = aligned.value if aligned.total else 1.0
    return (shown, aligned.high, finding.pair.prompt)


def find_models(
    store: Store,
    pairs_of: Mapping[str, Sequence[PairFinding]],
    checkers: Sequence[str],
    *,
    rule: judge.StoppingRule | None,
    threshold: float = 0.5,
) -> list[ModelFinding]:
    """Sum up models, each from the findings of its pairs; ``checkers`` begins with the deciding
    one.
    """
    blank, mismatched = (
        store.evidence(checkers[0], model=f"{CONTROL_MODEL}@{kind}")
        for kind in ("blank", "mismatched")
    )
    return [
        ModelFinding(
            model=model,
            aligned=judge.fair_rate((finding.judgement.verdicts for finding in pairs), rule),
            pairs=tuple(pairs),
            pictures=sum(len(finding.evidence) for finding in pairs),
            prior=_prior(blank, mismatched, {finding.pair.key for finding in pairs}),
            second_opinions=tuple(
                SecondOpinion(other, _agreement(store, model, pairs, other, threshold))
                for other in checkers[1:]
            ),
        )
        for model, pairs in pairs_of.items()
    ]


def _prior(
    blank: Sequence[Evidence], mismatched: Sequence[Evidence], asked: set[str]
) -> judge.PriorCheck:
    def scores(items: Sequence[Evidence]) -> list[float | None]:
        return [score for item in items if item.pair_key in asked for score in (item.a, item.b)]

    return judge.prior(scores(blank), scores(mismatched))


def _agreement(
    store: Store, model: str, pairs: Sequence[PairFinding], checker_id: str, threshold: float
) -> judge.Agreement:
    theirs = {
        (item.pair_key, item.spec_key): verdict_of(item, threshold)
        for item in store.evidence(checker_id, model=model)
    }
    ours = {
        (finding.pair.key, item.spec_key): verdict
        for finding in pairs
        for item, verdict in zip(finding.evidence, finding.judgement.verdicts, strict=True)
    }
    both = [place for place in ours if place in theirs]
    return judge.agreement([ours[place] for place in both], [theirs[place] for place in both])


def verdict_of(item: Evidence, threshold: float) -> Verdict:
    """What one picture shows of its pair."""
    return judge.verdict(
        item.a, item.b, threshold_a=threshold, threshold_b=threshold, refused=item.refused
    )
