"""Nominated repairs with their certificates, as the facts stand now."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lcmis import judge
from lcmis.findings.notes import NOTHING, Noted, noted
from lcmis.findings.pairs import verdict_of
from lcmis.store import Evidence, Store
from lcmis.types import (
    CERTIFICATE_BLOCK,
    FIRST_CERTIFICATE_SEED,
    About,
    Candidate,
    Certificate,
    ConceptPair,
    Nomination,
    RenderSpec,
    Seen,
    Stage,
    Standing,
    Verdict,
    share_a_member,
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
    standing: Standing
    """Among all certificates that were found together, those elsewhere included."""
    elsewhere: tuple[RepairFinding, ...] = ()
    """On every other model that drew both prompts on the same seeds, by name."""
    noted: Noted = NOTHING
    """What people left on the repair, and on its pair."""

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
    Certificates stand among those that are returned: ask for all, and choose afterwards.

    Args:
        store: The facts.
        checker_id: Whose scores decide.
        threshold: Score from which a concept counts as present.
        pair: Only the pair of this key.
        model: Only those found for this model.
    """
    return _certified(store, checker_id, store.nominations(pair, model), threshold)


def best_repairs(found: Sequence[RepairFinding], *, every: bool = False) -> list[RepairFinding]:
    """Of each pair and model the most useful repair that stands, in the order in which they came.

    Whatever a later search proposed that proves nothing takes none away. Left out is the plain
    prompt, which searches for a baseline propose.

    Args:
        found: What :func:`find_repairs` returned.
        every: Also, where none stands, the latest that does not.
    """
    best: dict[tuple[str, str], RepairFinding] = {}
    for item in found:
        if item.certificate.nomination.candidate == Candidate((Stage(item.pair.prompt),)):
            continue
        place = (item.pair.key, item.certificate.nomination.model)
        other = best.get(place)
        if item.standing.proved:
            if other is None or not other.standing.proved or usefulness(item) < usefulness(other):
                best[place] = item
        elif every and not (other and other.standing.proved):
            best[place] = item
    return list(best.values())


def usefulness(found: RepairFinding) -> tuple[bool, bool, float, str, str]:
    """Sorts first what stands among all, then what passes alone, then by the gain to be expected:
    by the gain that was seen, the luckiest would come first.
    """
    proof, standing = found.certificate, found.standing
    return (
        not standing.proved,
        not proof.passed,
        -standing.expected.gain,
        found.pair.prompt,
        proof.nomination.key,
    )


def find_certificate(
    store: Store,
    checker_id: str,
    nomination: Nomination,
    *,
    threshold: float = 0.5,
    model: str | None = None,
    drawn: RenderSpec | None = None,
) -> Certificate | None:
    """A nomination's certificate, from the facts; None where there are none.

    Args:
        store: The facts.
        checker_id: Whose scores decide; never the guide's.
        nomination: What was chosen.
        threshold: Score from which a concept counts as present.
        model: Who drew; the nomination's own model by default.
        drawn: One of the repaired pictures: those count that were drawn as it was. Without it, as
            in :func:`find_repairs`.
    """
    if share_a_member(nomination.guide, checker_id):
        return None
    facts = _Fresh(store, checker_id, [nomination])
    compared = facts.compared(nomination, model or nomination.model, drawn)
    if not compared:
        return None
    return _proof(facts, checker_id, nomination, compared, threshold)


def _certified(
    store: Store, checker_id: str, nominations: Sequence[Nomination], threshold: float
) -> list[RepairFinding]:
    fair = [one for one in nominations if not share_a_member(one.guide, checker_id)]
    if not fair:
        return []
    facts = _Fresh(store, checker_id, fair)
    drawn: list[tuple[Nomination, Compared]] = []
    for one in fair:
        if own := facts.compared(one, one.model):
            others = (name for name in facts.models(one.pair) if name != one.model)
            elsewhere = [facts.compared(one, name) for name in others]
            drawn += [(one, compared) for compared in (own, *elsewhere) if compared]
    proofs = [_proof(facts, checker_id, *one, threshold) for one in drawn]
    found: dict[Nomination, list[RepairFinding]] = defaultdict(list)
    for (one, compared), proof, standing in zip(
        drawn, proofs, judge.standings(proofs), strict=True
    ):
        pictures = _pictures(compared, proof, threshold)
        found[one].append(
            RepairFinding(facts.pairs[one.pair], proof, compared[0][0], pictures, standing)
        )
    left = noted(store.notes())
    return [
        dataclasses.replace(
            own,
            elsewhere=tuple(others),
            noted=left.get((About.REPAIR, one.key), NOTHING)
            | left.get((About.PAIR, one.pair), NOTHING),
        )
        for one, (own, *others) in found.items()
    ]


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
        arrival = {key: place for place, key in enumerate(specs)}
        self._drawn: dict[str, dict[str, dict[str, tuple[RenderSpec, Evidence]]]] = {}
        for item in sorted(judged, key=lambda one: arrival.get(one.spec_key, -1)):
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

    def compared(
        self, nomination: Nomination, model: str, drawn: RenderSpec | None = None
    ) -> Compared:
        """What proves a nomination on a model; empty where nothing does.

        Its own seeds count. Where it has no picture on them, those count that certificates shared
        before each nomination had its own.
        """
        shared = range(FIRST_CERTIFICATE_SEED, FIRST_CERTIFICATE_SEED + CERTIFICATE_BLOCK)
        there = self._drawn.get(nomination.pair, {}).get(model, {})
        for seeds in (nomination.fresh_seeds, shared):
            fresh = {key: one for key, one in there.items() if one[1].seed in seeds}
            if compared := _compared(nomination, self.pairs[nomination.pair], fresh, drawn):
                return compared
        return []


def _compared(
    nomination: Nomination,
    asked: ConceptPair,
    fresh: Mapping[str, tuple[RenderSpec, Evidence]],
    drawn: RenderSpec | None,
) -> Compared:
    """Repaired pictures with the plain one of the same seed and settings.

    Where the store holds several settings and none is asked for, the one with the most seeds
    counts, and of those that have as many the one that was drawn first: by which it was found.
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
    if drawn is not None:
        return by_settings.get(dataclasses.replace(drawn, seed=0), [])
    return max(by_settings.values(), key=len, default=[])


def _proof(
    facts: _Fresh,
    checker_id: str,
    nomination: Nomination,
    compared: Compared,
    threshold: float,
) -> Certificate:
    guide = nomination.guide
    return judge.certificate(
        nomination,
        checker_id,
        [spec.seed for spec, _, _ in compared],
        [before for _, before, _ in compared],
        [after for _, _, after in compared],
        pair=facts.pairs[nomination.pair],
        threshold=threshold,
        model=compared[0][0].model,
        fits=[(facts.fit(guide, before), facts.fit(guide, after)) for _, before, after in compared],
    )


def _pictures(compared: Compared, proof: Certificate, threshold: float) -> tuple[BeforeAfter, ...]:
    judged = set(proof.seeds)
    return tuple(
        BeforeAfter(before, after, verdict_of(before, threshold), verdict_of(after, threshold))
        for spec, before, after in compared
        if spec.seed in judged
    )
