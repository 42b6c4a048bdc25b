"""Proves nominations on fresh seeds: on the model they were found for, or on another."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lcmis import findings, judge
from lcmis.audit.provenance import provenance
from lcmis.errors import ConfigError, RenderError
from lcmis.plugins.opening import Openable, open_checker, open_model
from lcmis.plugins.protocols import Checker, ImageModel
from lcmis.plugins.settings import AuditSettings, ModelSettings
from lcmis.repair.evaluate import look, spec_of
from lcmis.repair.progress import Headway, RepairProgress
from lcmis.store import Store
from lcmis.types import (
    CERTIFICATE_BLOCK,
    Candidate,
    Certificate,
    ConceptPair,
    Nomination,
    QuestionKind,
    Stage,
    Standing,
    share_a_member,
)
from lcmis.workers import as_hired, hire
from lcmis.workers.studio import Studio, batches


def prove(
    studio: Studio,
    checker: Checker,
    model: ImageModel,
    pair: ConceptPair,
    nomination: Nomination,
    *,
    pictures: int,
    threshold: float,
    guide: Checker | None = None,
) -> Certificate | None:
    """Draw the plain prompt and the nominated candidate on the same fresh seeds and compare them.

    What counts is all that the store then holds of the nomination's own seeds, drawn as this model
    draws now; None where not one of them could be judged.

    Args:
        studio: draws and keeps.
        checker: judges; never the guide.
        model: draws: the nomination's own, or another to see whether it holds there.
        pair: what is asked for.
        nomination: what was chosen.
        pictures: of each of the two, the first of the nomination's own seeds.
        threshold: score from which a concept counts as present.
        guide: says how well the pictures fit the plain prompt, once the search is over; None leaves
            that out of the collateral.

    Raises:
        RenderError: this model cannot read the candidate: a prompt is longer than its text encoder
            reads, or it cannot switch between stages.
    """
    seeds = nomination.fresh_seeds[:pictures]
    plain = Candidate((Stage(pair.prompt),))
    asked = [(item, seed) for item in (plain, nomination.candidate) for seed in seeds]
    specs = [spec_of(model, *one) for one in asked]
    look(studio, checker, model, pair, specs)
    if guide is not None:
        look(studio, guide, model, pair, specs, [QuestionKind.RELATION])
    return findings.find_certificate(
        studio.store,
        checker.checker_id,
        nomination,
        threshold=threshold,
        model=model.model_id,
        drawn=specs[-1],
    )


@dataclass(frozen=True, slots=True)
class Proof:
    """One nomination, proved on one model."""

    pair: ConceptPair
    nomination: Nomination
    model: str
    """Who drew; the nomination's own model, or another."""
    certificate: Certificate | None
    """None where this model cannot read the repaired prompt, or draws nothing to be judged."""
    own: Certificate | None
    """On the nomination's own model, as the facts stand; None where there is none."""
    reason: str = ""
    """Why there is no certificate."""
    standing: Standing | None = None
    """Of the certificate, among all of the same run."""


@dataclass(frozen=True, slots=True)
class CertifyResult:
    """What proving again concludes, and what it cost."""

    proofs: tuple[Proof, ...]
    judge: str
    drawn: int
    seconds: float
    failures: int
    notes: tuple[str, ...] = ()
    """Workers that kept failing and were left out, a sentence each."""

    @property
    def num_repaired(self) -> int:
        """Proofs that passed, each looked at alone."""
        return sum(one.certificate is not None and one.certificate.passed for one in self.proofs)

    @property
    def num_proved(self) -> int:
        """Those that stand when all of them are looked at together."""
        return sum(one.standing is not None and one.standing.proved for one in self.proofs)


SIDE_BY_SIDE = 32
"""Proofs whose pictures are made together."""


class Certify:
    """Stored nominations with their models resolved, and none of them loaded.

    Of each pair and model the latest nomination counts that this judge has not looked at yet, or
    else the best that stands, or the latest; none that the judge guided.

    Args:
        config: its first checker judges.
        store: the facts.
        pictures: of each prompt.
        elsewhere: prove on the configuration's models; otherwise on each nomination's own.
        named: the configuration says how models are opened; otherwise, and where it does not, each
            is opened as it was when the nomination was found.
        watch: told how far it is.

    Raises:
        UserError: there is nothing to prove, or it cannot be proved here.
    """

    def __init__(
        self,
        config: AuditSettings,
        store: Store,
        *,
        pictures: int = 20,
        elsewhere: bool = False,
        named: bool = True,
        watch: Callable[[RepairProgress], None] | None = None,
    ) -> None:
        refuse_too_few(pictures)
        self.config = config = as_hired(config)
        self.store = store
        self.pictures = pictures
        self.watch = watch
        self.judge, *self.guides = [open_checker(entry) for entry in config.checkers]
        self.studio = Studio(store, config.max_failures, share=config.max_failure_share)
        chosen = self._chosen()
        self._named = config.models if named else ()
        self._own = Openable([*self._named, *findings.past_models(store)])
        others = [(open_model(entry), entry) for entry in config.models] if elsewhere else []
        self._opened: list[tuple[ImageModel, ModelSettings]] = []
        self.plan: list[tuple[Nomination, ImageModel]] = []
        for nomination in chosen:
            for model, entry in others or [self._own_model(nomination)]:
                if (model, entry) not in self._opened:
                    self._opened.append((model, entry))
                self.plan.append((nomination, model))
        self.plan.sort(key=lambda one: one[1].model_id)  # each model is loaded once
        self.studio.together += [self.judge, *dict.fromkeys(model for _, model in self.plan)]

    @property
    def num_proofs(self) -> int:
        """Repairs on models that are to be proved."""
        return len(self.plan)

    def _own_model(self, nomination: Nomination) -> tuple[ImageModel, ModelSettings]:
        """Who found it, named as it was then if anybody still says so.

        Raises:
            ConfigError: nobody says how it is opened.
        """
        known = list(self._own.named(nomination.model))
        asked = [one for one in known if one[1] in self._named]
        as_then = [one for one in known if one[1].is_given(nomination.given)]
        if known:
            return (*asked, *as_then, *known)[0]
        reasons = f" ({self._own.reasons[0]})" if self._own.reasons else ""
        raise ConfigError(
            f"{nomination.model} found a repair, and no run of this store says how to open "
            f"it{reasons}: name it with --model"
        )

    def _chosen(self) -> list[Nomination]:
        known = self.store.nominations()
        if not known:
            raise ConfigError("this store holds no repair to certify: run `lcmis repair` first")
        fair = [one for one in known if not share_a_member(one.guide, self.judge.checker_id)]
        if not fair:
            raise ConfigError(
                f"{self.judge.checker_id} guided every repair in this store, so it cannot certify "
                f"any: name another judge with --checker"
            )
        chosen = {(one.pair, one.model): one for one in fair}
        found = findings.find_repairs(
            self.store, self.judge.checker_id, threshold=self.config.threshold
        )
        seen = {one.certificate.nomination for one in found}
        for best in findings.best_repairs(found):
            nomination = best.certificate.nomination
            place = (nomination.pair, nomination.model)
            if chosen[place] in seen:
                chosen[place] = nomination
        return list(chosen.values())

    def run(self, command: str = "") -> CertifyResult:
        """Draw and judge what is missing; what lies in the store is not done again.

        Raises:
            TooManyFailures: ``max_failures`` items failed in this run.
        """
        started = time.monotonic()
        models = list(dict.fromkeys(model.model_id for _, model in self.plan))
        this_run = provenance(self.config, command, models, [self.judge.checker_id])
        self.store.add_run(this_run)
        self.studio.run_id = this_run.run_id
        done: dict[int, Proof] = {}
        headway = Headway(self.watch, len(self.plan), 2 * self.pictures)

        def task(place: int) -> None:
            nomination, model = self.plan[place]
            said = f"certifying: {nomination.candidate}"
            headway.tell(place, model.model_id, said, 0)
            done[place] = found = self._prove(nomination, model)
            passed = found.certificate is not None and found.certificate.passed
            drawn = 2 * self.pictures if found.certificate else 0
            headway.end(place, model.model_id, said, drawn, repaired=passed)

        self.studio.crew = hire(
            self.store,
            self.config.workers,
            self._opened,
            zip([self.judge, *self.guides], self.config.checkers, strict=True),
        )
        with self.studio:
            for places in batches(range(len(self.plan)), SIDE_BY_SIDE):
                self.studio.side_by_side([functools.partial(task, place) for place in places])
        proofs = [done[place] for place in range(len(self.plan))]
        return CertifyResult(
            proofs=tuple(
                dataclasses.replace(one, standing=standing)
                for one, standing in zip(
                    proofs, stand_together([one.certificate for one in proofs]), strict=True
                )
            ),
            judge=self.judge.checker_id,
            drawn=self.studio.drawn,
            seconds=time.monotonic() - started,
            failures=len(self.studio.failed & {item.item for item in self.store.failures()}),
            notes=tuple(self.studio.crew.notes),
        )

    def _prove(self, nomination: Nomination, model: ImageModel) -> Proof:
        pair = self.store.pair(nomination.pair)
        guides = (one for one in self.guides if one.checker_id == nomination.guide)
        certificate, reason = None, ""
        try:
            certificate = prove(
                self.studio,
                self.judge,
                model,
                pair,
                nomination,
                pictures=self.pictures,
                threshold=self.config.threshold,
                guide=next(guides, None),
            )
            reason = "" if certificate else _NOTHING_JUDGED
        except RenderError as error:
            reason = str(error)
        own = certificate
        if model.model_id != nomination.model:
            own = findings.find_certificate(
                self.store, self.judge.checker_id, nomination, threshold=self.config.threshold
            )
        return Proof(pair, nomination, model.model_id, certificate, own, reason)


_NOTHING_JUDGED = (
    "not one seed gave two pictures that the judge could compare: see `lcmis show errors`"
)


def stand_together(certificates: Sequence[Certificate | None]) -> list[Standing | None]:
    """What each is worth among all of one run; None where there is none."""
    standings = iter(judge.standings([one for one in certificates if one is not None]))
    return [None if one is None else next(standings) for one in certificates]


def refuse_too_few(pictures: int) -> None:
    """Check how many fresh seeds are wanted.

    Raises:
        ConfigError: none, or more than belong to a nomination.
    """
    if not 1 <= pictures <= CERTIFICATE_BLOCK:
        raise ConfigError(
            f"--certificate is {pictures}, but it is at least 1 and at most {CERTIFICATE_BLOCK}"
        )
