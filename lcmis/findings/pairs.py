"""Facts of a store → what they say of each pair and model, under a threshold and a rule."""

from __future__ import annotations

import dataclasses
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lcmis import judge
from lcmis.errors import ConfigError, UnknownNameError
from lcmis.store import Evidence, Store
from lcmis.types import (
    CERTIFICATE_BLOCK,
    FIRST_CERTIFICATE_SEED,
    Certificate,
    ConceptPair,
    Failure,
    Nomination,
    Question,
    Rate,
    Render,
    RenderSpec,
    Run,
    Score,
    Seen,
    Stage,
    Verdict,
)

CONTROL_MODEL = "control"
"""Bears the name of a model where pictures show nothing of the pair they are asked about."""


def is_control(model: str) -> bool:
    """Whether a model's id is that of controls, drawn by nobody."""
    return model.partition("@")[0] == CONTROL_MODEL


def counts_for_pair(item: Evidence) -> bool:
    """Whether a picture counts in how often its pair fails: no repair drew it, and it is no
    control.
    """
    return not (item.of_repair or is_control(item.model))


@dataclass(frozen=True, slots=True)
class PairFinding:
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
    only: Mapping[ConceptPair, Sequence[str]] | None = None,
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
    wanted = None if only is None else {spec for specs in only.values() for spec in specs}
    for item in store.evidence(checker_id, model=model, pair=pair):
        if counts_for_pair(item) and (wanted is None or item.spec_key in wanted):
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
    ordered = tuple(sorted(evidence, key=lambda item: item.seed))
    judgement = judge.judge_pair(
        [picture(item) for item in ordered],
        asked_a=pair.a.name,
        asked_b=pair.b.name,
        threshold_a=threshold,
        threshold_b=threshold,
        rule=rule,
    )
    return PairFinding(model, pair, ordered, judgement)


def picture(item: Evidence) -> judge.Picture:
    """The part of a picture's evidence that is judged."""
    return judge.Picture(
        item.a,
        item.b,
        refused=item.refused,
        intruder_a=item.intruder_a,
        intruder_b=item.intruder_b,
    )


def severity(finding: PairFinding) -> tuple[float, float, str]:
    """Sorts the worst first: lowest rate, then the one that is surest to be low."""
    aligned = finding.judgement.aligned
    shown = aligned.value if aligned.total else 1.0
    return (shown, aligned.high, finding.pair.prompt)


def find_model(
    store: Store,
    model: str,
    pairs: Sequence[PairFinding],
    checkers: Sequence[str],
    *,
    rule: judge.StoppingRule | None,
    threshold: float = 0.5,
) -> ModelFinding:
    """Sum up one model; ``checkers`` begins with the deciding one."""
    asked = {finding.pair.key for finding in pairs}
    return ModelFinding(
        model=model,
        aligned=judge.fair_rate((finding.judgement.verdicts for finding in pairs), rule),
        pairs=tuple(pairs),
        pictures=sum(len(finding.evidence) for finding in pairs),
        prior=_prior(store, checkers[0], asked),
        second_opinions=tuple(
            SecondOpinion(other, _agreement(store, model, pairs, other, threshold))
            for other in checkers[1:]
        ),
    )


def _prior(store: Store, checker_id: str, asked: set[str]) -> judge.PriorCheck:
    scores: dict[str, list[float | None]] = {"blank": [], "mismatched": []}
    for kind, values in scores.items():
        for item in store.evidence(checker_id, model=f"{CONTROL_MODEL}@{kind}"):
            if item.pair_key in asked:
                values += [item.a, item.b]
    return judge.prior(scores["blank"], scores["mismatched"])


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


@dataclass(frozen=True, slots=True)
class BeforeAfter:
    """One seed of a certificate: the plain prompt's picture and the repaired one."""

    before: Evidence
    after: Evidence
    was: Verdict
    now: Verdict

    @property
    def seed(self) -> int:
        """Of both pictures."""
        return self.after.seed

    @property
    def is_win(self) -> bool:
        """Whether only the repaired picture is right."""
        return self.now is Verdict.ALIGNED and self.was is not Verdict.ALIGNED

    @property
    def is_loss(self) -> bool:
        """Whether only the plain picture is right."""
        return self.was is Verdict.ALIGNED and self.now is not Verdict.ALIGNED


@dataclass(frozen=True, slots=True)
class RepairFinding:
    """A nominated way of prompting, with its certificate as the facts stand now."""

    pair: ConceptPair
    certificate: Certificate
    spec: RenderSpec
    """Of one repaired picture: the settings it was drawn with."""
    pictures: tuple[BeforeAfter, ...]
    """One a seed of the certificate, in their order."""
    elsewhere: tuple[RepairFinding, ...] = ()
    """On every other model that drew both prompts on the same seeds, by name."""

    @property
    def model(self) -> str:
        """Who drew the pictures."""
        return self.spec.model

    @property
    def seen(self) -> tuple[Seen, ...]:
        """What the judge saw in the repaired pictures."""
        return tuple(Seen(one.seed, one.after.a, one.after.b) for one in self.pictures)


def find_repairs(
    store: Store,
    checker_id: str,
    *,
    threshold: float = 0.5,
    pair: str | None = None,
    model: str | None = None,
) -> list[RepairFinding]:
    """Certify every nomination from the pictures in the store, drawing nothing; oldest first.

    Left out: nominations that this checker guided, and those without pictures on fresh seeds.

    Args:
        store: The facts.
        checker_id: Whose scores decide.
        threshold: Score from which a concept counts as present.
        pair: Only the pair of this key.
        model: Only those found for this model.
    """
    return _certified(store, checker_id, store.nominations(pair, model), threshold)


def find_certificate(
    store: Store, checker_id: str, nomination: Nomination, *, threshold: float = 0.5
) -> Certificate | None:
    """A nomination's certificate on its own model, from the facts; None where there are none."""
    found = _certified(store, checker_id, [nomination], threshold)
    return found[0].certificate if found else None


def _certified(
    store: Store, checker_id: str, nominations: Sequence[Nomination], threshold: float
) -> list[RepairFinding]:
    fair = [one for one in nominations if one.guide != checker_id]
    if not fair:
        return []
    facts = _Fresh(store, checker_id, fair)
    found = []
    for nomination in fair:
        proofs = {
            model: _proof(facts, checker_id, nomination, compared, threshold)
            for model in facts.models(nomination.pair)
            if (compared := facts.compared(nomination, model))
        }
        own = proofs.pop(nomination.model, None)
        if own is not None:
            found.append(dataclasses.replace(own, elsewhere=tuple(proofs.values())))
    return found


Compared = Sequence[tuple[RenderSpec, Evidence, Evidence]]
"""Of one model, by seed: the repaired picture's specification, the plain one and the repaired."""


class _Fresh:
    """The pictures on seeds that certify, read once for all nominations."""

    def __init__(self, store: Store, checker_id: str, nominations: Sequence[Nomination]) -> None:
        asked = {one.pair for one in nominations}
        self._only = next(iter(asked)) if len(asked) == 1 else None
        self._store = store
        pairs = store.pairs() if self._only is None else [store.pair(self._only)]
        self.pairs = {one.key: one for one in pairs}
        judged = [item for item in self._said(checker_id) if item.scored or item.refused]
        specs = store.renders_of(item.spec_key for item in judged if item.pair_key in asked)
        self._drawn: dict[str, dict[str, dict[str, tuple[RenderSpec, Evidence]]]] = {}
        for item in judged:
            if item.spec_key in specs:
                of_pair = self._drawn.setdefault(item.pair_key, {})
                of_model = of_pair.setdefault(item.model, {})
                of_model[item.spec_key] = (specs[item.spec_key][0], item)
        self._fits = {
            guide: {(item.pair_key, item.spec_key): item.relation for item in self._said(guide)}
            for guide in {one.guide for one in nominations}
        }

    def _said(self, checker_id: str) -> list[Evidence]:
        return self._store.evidence(checker_id, pair=self._only, from_seed=FIRST_CERTIFICATE_SEED)

    def models(self, pair: str) -> list[str]:
        """Who drew fresh pictures of a pair, by name."""
        return sorted(self._drawn.get(pair, ()))

    def fit(self, guide: str, item: Evidence) -> float | None:
        """How well a guide finds that a picture fits the plain prompt, in [0, 1]."""
        return self._fits[guide].get((item.pair_key, item.spec_key))

    def compared(self, nomination: Nomination, model: str) -> Compared:
        """What proves a nomination on a model; empty where nothing does.

        Its own seeds count. Where it has no picture on them, those count that certificates shared
        before each nomination had its own.
        """
        shared = range(FIRST_CERTIFICATE_SEED, FIRST_CERTIFICATE_SEED + CERTIFICATE_BLOCK)
        drawn = self._drawn[nomination.pair][model]
        for seeds in (nomination.fresh_seeds, shared):
            fresh = {key: one for key, one in drawn.items() if one[1].seed in seeds}
            if compared := _compared(nomination, self.pairs[nomination.pair], fresh):
                return compared
        return []


def _compared(
    nomination: Nomination, asked: ConceptPair, fresh: Mapping[str, tuple[RenderSpec, Evidence]]
) -> Compared:
    """Repaired pictures with the plain one of the same seed and settings.

    Where the store holds several settings, the one with the most seeds counts.
    """
    candidate = nomination.candidate
    by_settings: dict[RenderSpec, list[tuple[RenderSpec, Evidence, Evidence]]] = defaultdict(list)
    for spec, after in sorted(fresh.values(), key=lambda one: one[0].seed):
        own = spec.negative_prompt.removesuffix(candidate.negative_prompt).removesuffix(", ")
        joined = ", ".join(filter(None, (own, candidate.negative_prompt)))
        if spec.stages != candidate.stages or spec.negative_prompt != joined:
            continue
        plain = dataclasses.replace(spec, stages=(Stage(asked.prompt),), negative_prompt=own)
        if plain.key in fresh:
            settings = dataclasses.replace(spec, seed=0)
            by_settings[settings].append((spec, fresh[plain.key][1], after))
    return max(by_settings.values(), key=len, default=[])


def _proof(
    facts: _Fresh,
    checker_id: str,
    nomination: Nomination,
    compared: Compared,
    threshold: float,
) -> RepairFinding:
    asked, guide = facts.pairs[nomination.pair], nomination.guide
    certificate = judge.certificate(
        nomination,
        checker_id,
        [spec.seed for spec, _, _ in compared],
        [picture(before) for _, before, _ in compared],
        [picture(after) for _, _, after in compared],
        pair=asked,
        threshold=threshold,
        model=compared[0][0].model,
        fits=[(facts.fit(guide, before), facts.fit(guide, after)) for _, before, after in compared],
    )
    judged = set(certificate.seeds)
    pictures = tuple(
        BeforeAfter(before, after, verdict_of(before, threshold), verdict_of(after, threshold))
        for spec, before, after in compared
        if spec.seed in judged
    )
    return RepairFinding(asked, certificate, compared[0][0], pictures)


def stopping_rule(
    *,
    rule: str,
    threshold: float,
    delta: float,
    alpha: float,
    beta: float,
    block: int,
    cap: int,
) -> judge.StoppingRule:
    """The stopping rule that settings describe.

    Raises:
        ConfigError: the rule is none of sprt, curtailed and fixed.
    """
    match rule:
        case "sprt":
            return judge.Sprt(threshold, delta, alpha, beta, block, cap)
        case "curtailed":
            return judge.Curtailed(cap, threshold, block)
        case "fixed":
            return judge.FixedN(cap, threshold, block)
    raise ConfigError(f"there is no stopping rule {rule!r}: write sprt, curtailed or fixed")


def last_audit(runs: Sequence[Run]) -> Run | None:
    """The run whose rule drew the pictures that count: the latest of `lcmis audit`.

    Repairs and proofs are runs too, and their rule draws nothing. Runs that were started from
    Python have no command; where all are such, the latest counts.
    """
    audits = [run for run in runs if "audit" in run.command.split()[:2]]
    return next(reversed(audits or runs), None)


def rule_of(run: Run) -> judge.StoppingRule:
    """The stopping rule under which a run drew its pictures."""
    return stopping_rule(**json.loads(run.config)["stopping"])


# ── looking things up ────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class AllPairs:
    """Every pair of every model, worst first."""

    checker: str
    pairs: tuple[PairFinding, ...]


@dataclass(frozen=True, slots=True)
class OnePair:
    """One pair, and what every model made of it."""

    pair: ConceptPair
    checker: str
    findings: tuple[PairFinding, ...]


@dataclass(frozen=True, slots=True)
class OnePicture:
    """One picture: how it was drawn, where it lies, and all that was said of it."""

    spec: RenderSpec
    render: Render
    path: str
    """Empty for a refusal."""
    scores: tuple[tuple[Question, Score], ...]


@dataclass(frozen=True, slots=True)
class Failures:
    """Items that failed and have not succeeded since."""

    failures: tuple[Failure, ...]


def look_up(
    store: Store,
    what: str | None,
    *,
    model: str | None = None,
    checker: str | None = None,
    threshold: float = 0.5,
) -> AllPairs | OnePair | OnePicture | Failures:
    """Find what a person means: nothing (all pairs), ``failures``, a pair, or a picture.

    Args:
        store: The facts.
        what: A key, the beginning of one, or a pair's prompt.
        model: Only models whose name contains this.
        checker: The checker whose scores decide; that of the last run by default.
        threshold: Score from which a concept counts as present.

    Raises:
        UnknownNameError: nothing is called so.
    """
    if what == "failures":
        return Failures(tuple(store.failures()))
    checker_id = deciding_checker(store, checker)
    audit = last_audit(store.runs())
    rule = rule_of(audit) if audit else None

    def judged(pair: str | None) -> tuple[PairFinding, ...]:
        found = find_pairs(store, checker_id, rule=rule, threshold=threshold, pair=pair)
        return tuple(item for item in found if model is None or model in item.model)

    if what is None or what == "pairs":
        return AllPairs(checker_id, judged(None))
    try:
        pair = store.pair(what)
    except UnknownNameError as no_pair:
        try:
            spec, render = store.render(what)
        except UnknownNameError:
            raise no_pair from None
        path = "" if render.refusal else str(store.image_path(render.sha256))
        return OnePicture(spec, render, path, tuple(store.scores(spec.key)))
    return OnePair(pair, checker_id, judged(pair.key))


def deciding_checker(store: Store, name: str | None = None) -> str:
    """The checker whose id contains ``name``; without a name, the one the last run named first.

    Raises:
        UnknownNameError: no checker in the store is called so, or several are.
    """
    known = store.checkers()
    if name is not None:
        matching = [checker for checker in known if name in checker]
        if len(matching) != 1:
            raise UnknownNameError(
                f"{'several checkers' if matching else 'no checker'} in this store match "
                f"{name!r}; there are {', '.join(known) or 'none: run `lcmis audit`'}"
            )
        return matching[0]
    runs = store.runs()
    if not known or not runs:
        raise UnknownNameError("nothing has been checked in this store yet: run `lcmis audit`")
    deciding = next((run.checkers[0] for run in reversed(runs) if run.checkers), "")
    if deciding in known:
        return deciding
    # only runs of an lcmis that kept no ids: by the name in the configuration
    named = json.loads(runs[-1].config)["checkers"][0]
    words = [word for word in (named["name"], named["kind"]) if word]
    first = [checker for checker in known if any(Path(word).name in checker for word in words)]
    return first[0] if first else known[0]
