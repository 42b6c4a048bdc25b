"""Repairs pairs that fail: budgets a search, keeps what it tries, certifies what it finds."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lcmis import findings, judge
from lcmis.audit.pairs import chosen_pairs
from lcmis.audit.provenance import provenance
from lcmis.audit.run import refuse_undecided
from lcmis.errors import ConfigError, InversionError, OutOfBudget
from lcmis.findings import PairFinding
from lcmis.machine.budget import refuse_no_time
from lcmis.plugins.opening import (
    open_checker,
    open_model,
    open_repairer,
    open_text_model,
    open_writer,
)
from lcmis.plugins.optional import (
    cache_of,
    choice_of,
    denoiser_of,
    encoder_of,
    likeness_weight_of,
    may_decide,
    needed_manner,
    needs_likeness,
    needs_of,
    refiner_of,
    searched_manners,
    takes_negative_prompts,
    work_of,
)
from lcmis.plugins.protocols import (
    Case,
    Checker,
    ImageModel,
    Need,
    Repairer,
    TextModel,
    Work,
    lost_of,
)
from lcmis.plugins.settings import AuditSettings, CheckerSettings, TextModelSettings
from lcmis.repair import references
from lcmis.repair.certify import prove, refuse_too_few, stand_together
from lcmis.repair.evaluate import SEARCH_SEEDS, Bench, Evaluation
from lcmis.repair.methods import ranked
from lcmis.repair.methods.ways import Experience, Symptoms
from lcmis.repair.progress import Headway, RepairProgress
from lcmis.repair.references import Reference
from lcmis.store import Store
from lcmis.text import asking
from lcmis.text.phrases import own_table
from lcmis.text.recorded import Correspondence
from lcmis.types import (
    Candidate,
    Certificate,
    ConceptPair,
    Nomination,
    Side,
    Stage,
    StageManner,
    Standing,
    Trial,
    Verdict,
    content_key,
    share_a_member,
)
from lcmis.workers import as_hired, hire
from lcmis.workers.orders import Crew
from lcmis.workers.studio import Studio

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

BROKEN_OFF = "broken off"
"""Among what a nomination was given, where something failed in its search that is tried again: it
is proved as it stands, and the search has not ended."""
NUM_REWRITES = 8
"""Prompts that a text model is asked for."""
FIRST_ROUND, ROUND = 4, 8
"""Pairs that are searched side by side, at first and at most, by any number of workers; what they
teach is known from the next round on."""


@dataclass(frozen=True, slots=True)
class RepairSettings:
    """How a repair searches and proves."""

    method: str = "portfolio"
    """A registered repairer."""
    budget: int = 120
    """Different pictures that the search of one pair may ask for."""
    seconds: float | None = None
    """That the search of one pair may take; None is as long as the pictures last."""
    certificate: int = 20
    """Fresh seeds on which plain prompt and candidate are compared."""
    level: int | None = None
    """Repair pairs of this severity level or worse; None is those decided to fail."""
    text_model: TextModelSettings | None = None
    """Asked for other prompts and for what is painted first; None asks nobody."""
    calls: int = 40
    """That the search of one pair may make to the text model."""
    guard: CheckerSettings | None = None
    """Its encoder is held out for methods that choose by another one; it never guides or judges."""
    writer: str = ""
    """A registered writer or a folder: what turns embeddings into text; empty is none."""
    table: str = ""
    """TOML file of the phrases that a prompt is put together of, for a method that reads one; empty
    is the one that is shipped."""
    reference: str = ""
    """What inversions start from: ``other``, ``best``, ``paste`` or a picture's file; empty is the
    first of them that can be had."""
    instruction: str = ""
    """How the text model is told to rewrite prompts, as ``lcmis evolve`` finds it."""


Watch = Callable[[RepairProgress], None]


@dataclass(frozen=True, slots=True)
class Repaired:
    """One pair after its search."""

    finding: PairFinding
    """What the audit said of it."""
    certificate: Certificate | None
    """None where nothing could be nominated."""
    trials: int
    """Different candidates that were seen."""
    standing: Standing | None = None
    """Of the certificate, among all of the same run."""


@dataclass(frozen=True, slots=True)
class RepairResult:
    """What a repair concludes, and what it cost."""

    pairs: tuple[Repaired, ...]
    method: str
    guide: str
    judge: str
    drawn: int
    """Pictures drawn by this run; those that lay in the store are not counted."""
    seconds: float
    failures: int
    """Pictures and pairs of which something failed that the same command tries again."""
    work: Work
    """Row-steps of the models that count them, certificates included."""
    done_without: int = 0
    """Pairs whose search ended without something that it asked for, such as a reply that is of no
    use; the same command does not ask for it again."""
    notes: tuple[str, ...] = ()
    """Workers that kept failing and were left out, a sentence each."""

    @property
    def num_repaired(self) -> int:
        """Pairs whose certificate passed, each looked at alone."""
        return sum(item.certificate is not None and item.certificate.passed for item in self.pairs)

    @property
    def num_proved(self) -> int:
        """Those that stand when all certificates of the run are looked at together."""
        return sum(item.standing is not None and item.standing.proved for item in self.pairs)


class Repair:
    """One repair with every name resolved and no model loaded.

    The first checker judges, the second one guides.

    Raises:
        UserError: whatever is wrong with the settings, before anything heavy happens.
    """

    def __init__(
        self,
        config: AuditSettings,
        store: Store,
        settings: RepairSettings | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.config = config = as_hired(config)
        self.store = store
        self.settings = settings or RepairSettings()
        self.watch = watch
        _refuse_impossible(self.settings)
        self.repairer = open_repairer(self.settings.method)
        self.judge, self.guide = _two_checkers(config)
        self.guard = _guard(self.settings.guard, self.judge, self.guide)
        self.writer = open_writer(self.settings.writer) if self.settings.writer else None
        self.phrases = own_table(self.settings.table, {self.settings.method: self.repairer})
        self.reference = _reference(self.settings.reference)
        asked = self.settings.text_model
        self.text_model = open_text_model(asked) if asked else None
        self.models = [open_model(entry) for entry in config.models]
        self.studio = Studio(store, config.max_failures, share=config.max_failure_share)
        self.failing = self._failing()
        _refuse_unmannered(self.repairer, [model for model, _ in self.failing])
        self._refuse_unequipped()
        used = [one for one in (self.judge, self.guide, self.guard) if one]
        self.studio.together += [*used, *dict.fromkeys(model for model, _ in self.failing)]
        self._experience = Experience()
        self._broken_off: set[str] = set()
        """Keys of pairs whose search the same command goes on with."""

    def _failing(self) -> list[tuple[ImageModel, PairFinding]]:
        """Pairs to repair, worst first, model by model.

        Raises:
            ConfigError: there are none.
        """
        rule = findings.stopping_rule(self.config.stopping)
        wanted = {pair.key for pair in chosen_pairs(self.config).pairs}
        found = [
            (model, finding)
            for model in self.models
            for finding in findings.find_pairs(
                self.store,
                self.judge.checker_id,
                rule=rule,
                threshold=self.config.threshold,
                model=model.model_id,
            )
            if finding.pair.key in wanted and self._is_failing(finding)
        ]
        if not found:
            raise ConfigError(
                f"{self.judge.checker_id} has found no pair in this store that fails on "
                f"{', '.join(model.model_id for model in self.models)}: run `lcmis audit` with the "
                f"same settings first, or choose others with --level"
            )
        return found

    def _refuse_unequipped(self) -> None:
        """Check that what the method cannot do without is there.

        Raises:
            ConfigError: it is not.
        """
        needed = needs_of(self.repairer)
        asked = self.text_model
        failing = dict.fromkeys(model for model, _ in self.failing)
        there = {
            Need.TEXT_MODEL: asked is not None,
            Need.SEEING_TEXT_MODEL: asked is not None and asked.sees_images,
            Need.WRITER: self.writer is not None,
            Need.ENCODER: Need.ENCODER in needed and encoder_of(self.guide) is not None,
            Need.DENOISER: Need.DENOISER in needed and any(map(_has_gradients, failing)),
        }
        for need in sorted(needed):
            if not there[need]:
                raise ConfigError(f"{self.repairer.repairer_id} {_NEEDED[need]}")

    def _is_failing(self, finding: PairFinding) -> bool:
        if self.settings.level is None:
            return finding.judgement.failing is judge.Decision.FAILS
        return (finding.judgement.level or 0) >= self.settings.level

    @property
    def num_open(self) -> int:
        """Failing pairs and models whose search with these settings has not ended yet."""
        places = ((finding.pair.key, model.model_id) for model, finding in self.failing)
        return sum(self._nominated(place) is None for place in places)

    @property
    def most_pictures(self) -> int:
        """That these searches and their proofs may draw; more than they will."""
        return self.num_open * (self.settings.budget + 2 * self.settings.certificate)

    # ── the work ─────────────────────────────────────────────────────────────────────────────

    def run(self, command: str = "") -> RepairResult:
        """Search and certify every failing pair; what lies in the store is not done again.

        Raises:
            ConfigError: the second checker cannot guide this method.
            TooManyFailures: ``max_failures`` items failed in this run.
        """
        _refuse_guide(self.repairer, self.guide)
        started = time.monotonic()
        models = [model.model_id for model in self.models]
        checkers = [one.checker_id for one in (self.judge, self.guide, self.guard) if one]
        this_run = provenance(self.config, command, models, checkers)
        self.store.add_run(this_run)
        self.studio.run_id = this_run.run_id
        each = self.settings.budget + 2 * self.settings.certificate
        headway = Headway(self.watch, len(self.failing), each)
        repaired: list[Repaired] = []
        self.studio.crew = self.crew()
        with self.studio:
            for some in self._rounds():
                repaired += self._round(some, headway)
        failed = self.studio.failed & {item.item for item in self.store.failures()}
        done_without = {finding.pair.key for _, finding in self.failing} - self._broken_off
        return RepairResult(
            pairs=tuple(
                dataclasses.replace(one, standing=standing)
                for one, standing in zip(
                    repaired, stand_together([one.certificate for one in repaired]), strict=True
                )
            ),
            method=self.repairer.repairer_id,
            guide=self.guide.checker_id,
            judge=self.judge.checker_id,
            drawn=self.studio.drawn,
            seconds=time.monotonic() - started,
            failures=len(failed - done_without),
            done_without=len(failed & done_without),
            work=sum(map(work_of, self.models), self.studio.work_elsewhere),
            notes=tuple(self.studio.crew.notes),
        )

    def crew(self) -> Crew:
        """Who draws and checks."""
        used = [(self.judge, self.config.checkers[0]), (self.guide, self.config.checkers[1])]
        return hire(
            self.store,
            self.config.workers,
            zip(self.models, self.config.models, strict=True),
            used,
        )

    def _rounds(self) -> Iterator[list[tuple[ImageModel, PairFinding]]]:
        """What is searched side by side: pairs of one model, since a search may look at what
        another model drew for the same pair; as many as were searched before, since the first ones
        teach the most.
        """
        for _, group in itertools.groupby(self.failing, key=lambda one: one[0].model_id):
            pairs, begun = list(group), 0
            while pairs[begun:]:
                size = min(ROUND, max(FIRST_ROUND, begun))
                yield pairs[begun : begun + size]
                begun += size

    def _round(
        self, some: Sequence[tuple[ImageModel, PairFinding]], headway: Headway
    ) -> list[Repaired]:
        """Search and certify these, then learn from all of them."""
        done: dict[str, Repaired] = {}

        def task(model: ImageModel, finding: PairFinding) -> None:
            done[finding.pair.key] = self._repair(model, finding, headway)

        tasks = [functools.partial(task, *one) for one in some]
        if self.settings.seconds is None:
            self.studio.side_by_side(tasks)
        else:  # the seconds of one search are not spent on another's pictures
            for one in tasks:
                one()
        for model, finding in some:
            self._experience.learn(
                model.model_id,
                finding.pair,
                _symptoms(finding),
                self._trials((finding.pair.key, model.model_id)),
                self.config.threshold,
            )
        return [done[finding.pair.key] for _, finding in some]

    def _trials(self, place: tuple[str, str]) -> list[Trial]:
        drawn = self._drawn(place[1])
        return [
            item
            for item in self.store.trials(*place)
            if self._is_ours(item) and item.cache == drawn
        ]

    def _repair(self, model: ImageModel, finding: PairFinding, headway: Headway) -> Repaired:
        place = (finding.pair.key, model.model_id)

        def tell(activity: str, pictures: int) -> None:
            said = f"{activity}: {finding.pair.prompt}"
            headway.tell(place, model.model_id, said, pictures)

        def end(pictures: int, certificate: Certificate | None) -> None:
            passed = certificate is not None and certificate.passed
            said = f"{'repaired' if passed else 'not repaired'}: {finding.pair.prompt}"
            headway.end(place, model.model_id, said, pictures, repaired=passed)

        tell("beginning", 0)
        chosen = self._nominated(place)
        spent = 0
        if chosen is None:
            spent, chosen = self._search(model, finding, tell)
        tried = len({item.candidate for item in self._trials(place)})
        if chosen is None:
            end(spent, None)
            return Repaired(finding, None, tried)
        tell("certifying", chosen.pictures)
        certificate = prove(
            self.studio,
            self.judge,
            model,
            finding.pair,
            chosen,
            pictures=self.settings.certificate,
            threshold=self.config.threshold,
            guide=self.guide,
        )
        end(chosen.pictures + 2 * self.settings.certificate, certificate)
        return Repaired(finding, certificate, tried)

    def _nominated(self, place: tuple[str, str]) -> Nomination | None:
        """What a search with these settings chose before, if it ended."""
        return next(
            (
                one
                for one in reversed(self.store.nominations(*place))
                if self._made(one) and BROKEN_OFF not in one.given
            ),
            None,
        )

    def _made(self, one: Nomination) -> bool:
        """Whether a search with these settings chose it."""
        settings = self.settings
        return (
            self._is_ours(one)
            and (one.budget, one.seconds) == (settings.budget, settings.seconds)
            and (one.calls, one.given) == (self._calls, self._given(one.model))
        )

    def _is_ours(self, item: Nomination | Trial) -> bool:
        """Whether the same method left it, guided by the same checker."""
        return (item.repairer, item.guide) == (self.repairer.repairer_id, self.guide.checker_id)

    @property
    def _calls(self) -> int | None:
        return None if self.text_model is None else self.settings.calls

    def _cache(self, model: str) -> str:
        """By which a model's pictures are drawn while it is searched."""
        return next((cache_of(one) for one in self.models if one.model_id == model), "")

    def _of_the_picture(self, model: str) -> dict[str, str]:
        """What is asked of a model's pictures."""
        asked = zip(self.models, self.config.models, strict=True)
        return next((entry.of_the_picture() for one, entry in asked if one.model_id == model), {})

    def _drawn(self, model: str) -> str:
        """How a model's pictures are drawn while it is searched, where not as it does of itself."""
        asked = [f"{name} {said}" for name, said in self._of_the_picture(model).items()]
        return "; ".join(filter(None, [self._cache(model), *asked]))

    def _given(self, model: str) -> tuple[str, ...]:
        """What else decides the way of a search."""
        forced = self.reference
        named = {
            "text model": self.text_model.model_id if self.text_model else "",
            "instruction": self.settings.instruction,
            "guard": self.guard.checker_id if self.guard else "",
            "writer": self.writer.writer_id if self.writer else "",
            "table": content_key(self.phrases) if self.phrases else "",
            "reference": forced.origin if isinstance(forced, Reference) else forced,
            "lossy": self._cache(model),
            "threshold": "" if self.config.threshold == 0.5 else f"{self.config.threshold:g}",
            **self._of_the_picture(model),
            **_replies_otherwise(self.settings.text_model),
        }
        return tuple(f"{what} {name}" for what, name in named.items() if name)

    def _search(
        self, model: ImageModel, finding: PairFinding, tell: Callable[[str, int], None]
    ) -> tuple[int, Nomination | None]:
        """How many pictures were asked for, and the best candidate, nominated.

        Where something failed that the same command tries again, the plain prompt is none.
        """
        settings = self.settings
        bench = Bench(
            self.studio,
            model,
            self.guide,
            self.repairer.repairer_id,
            settings.budget,
            settings.seconds,
            self.config.threshold,
            self.guard,
            self.writer,
            self.phrases,
            self.reference,
            self._drawn(model.model_id),
        )
        evaluation = Evaluation(bench, finding.pair, tell)
        text_model = self._correspondence()
        case = self._case(model, finding, text_model)
        ended = "found"
        try:
            self.repairer.repair(case, evaluation)
        except OutOfBudget as error:
            ended = str(error)
        failure = evaluation.failure or (text_model.failure if text_model else "")
        best = self._best(case, evaluation.trials)
        if failure or best is None:
            self._broken_off.add(finding.pair.key)
        if best is None or (failure and best == Candidate((Stage(finding.pair.prompt),))):
            return evaluation.spent, None
        nomination = Nomination(
            pair=finding.pair.key,
            model=model.model_id,
            repairer=self.repairer.repairer_id,
            guide=self.guide.checker_id,
            candidate=best,
            budget=settings.budget,
            pictures=evaluation.spent,
            ended=failure or ended,
            seconds=settings.seconds,
            calls=self._calls,
            given=(*self._given(model.model_id), *([BROKEN_OFF] if failure else [])),
            reference=evaluation.origin,
        )
        self.store.add_nomination(nomination)
        return evaluation.spent, nomination

    def _best(self, case: Case, trials: Sequence[Trial]) -> Candidate | None:
        """What the method ends with or, where it does not say, the best by the guide.

        Raises:
            ValueError: the method chose what it did not try.
        """
        chosen = choice_of(self.repairer, case, trials)
        if chosen is None:
            return next(iter(ranked(trials, self.config.threshold)), None)
        if not any(trial.candidate == chosen and trial.seen for trial in trials):
            raise ValueError(f"{self.repairer.repairer_id} chose {chosen}, which it did not try")
        return chosen

    def _correspondence(self) -> Correspondence | None:
        """The text model, as one search may ask it."""
        if self.text_model is None or self.settings.text_model is None:
            return None
        return Correspondence(
            self.text_model, self.settings.text_model, self.store, self.settings.calls
        )

    def _asked(
        self, text_model: TextModel | None, pair: ConceptPair, intruder: str
    ) -> tuple[Side | None, tuple[str, ...]]:
        """What a text model would paint first, and other prompts; a question that fails is
        recorded, and what the others brought stands.
        """
        if text_model is None:
            return None, ()
        instruction = self.settings.instruction
        collect = functools.partial(self.studio.collect, pair.key, "ask")
        first = collect("what is painted first", lambda: [asking.first(text_model, pair)])
        told: list[str] = []
        if instruction:
            told = collect(
                "a prompt as instructed",
                lambda: [asking.refine(text_model, instruction, pair)],
            )
        told += collect(
            "other prompts", lambda: asking.rewrites(text_model, pair, NUM_REWRITES, intruder)
        )
        return next(iter(first), None), tuple(told)

    def _case(
        self, model: ImageModel, finding: PairFinding, text_model: Correspondence | None
    ) -> Case:
        spec = model.spec((Stage(finding.pair.prompt),), SEARCH_SEEDS[0])
        a_missing, b_missing = _missing(finding)
        intruder = finding.intruder.name if finding.intruder else ""
        first, prompts = self._asked(text_model, finding.pair, intruder)
        return Case(
            pair=finding.pair,
            num_inference_steps=spec.num_inference_steps,
            supports_stages=model.supports_stages,
            supports_negative_prompt=takes_negative_prompts(model),
            manners=searched_manners(model),
            refiner=refiner_of(model),
            batch_size=model.batch_size,
            seeds=SEARCH_SEEDS,
            threshold=self.config.threshold,
            budget=self.settings.budget,
            a_missing=a_missing,
            b_missing=b_missing,
            intruder=intruder,
            painted_first=first,
            other_prompts=prompts,
            text_model=text_model,
            instruction=self.settings.instruction,
            expect=self._expect(model, finding),
            likeness_weight=likeness_weight_of(self.guide),
        )

    def _expect(
        self, model: ImageModel, finding: PairFinding
    ) -> Callable[[Sequence[Candidate]], tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
        """By the pairs of earlier rounds: searched again, and by any number of workers, it goes the
        same way.
        """
        plain = finding.judgement.aligned
        return functools.partial(
            self._experience.chances,
            model.model_id,
            finding.pair,
            _symptoms(finding),
            audited=(round(plain.value * plain.total), plain.total),
        )


def _replies_otherwise(settings: TextModelSettings | None) -> dict[str, str]:
    """The settings of a text model that decide its replies, where they are not as they were before
    they could be said.
    """
    if settings is None:
        return {}
    usual = TextModelSettings(settings.kind)
    named = {
        "temperature": (settings.temperature, usual.temperature),
        "max_tokens": (settings.max_tokens, usual.max_tokens),
    }
    return {
        name: f"{said:g}" for name, (said, before) in named.items() if said not in (None, before)
    }


def _guard(settings: CheckerSettings | None, *others: Checker) -> Checker | None:
    """The checker whose encoder is held out.

    Raises:
        ConfigError: it judges or guides, or has no encoder.
    """
    if settings is None:
        return None
    guard = open_checker(settings)
    if any(share_a_member(guard.checker_id, other.checker_id) for other in others):
        raise ConfigError(
            f"--guard is {guard.checker_id}, which judges or guides: name a checker that does "
            f"neither"
        )
    if encoder_of(guard) is None:
        raise ConfigError(
            f"--guard is {guard.checker_id}, which offers no encoder: name an open_clip model, "
            f"such as clip:ViT-B-32/laion2b_s34b_b79k"
        )
    return guard


def _reference(text: str) -> Reference | str:
    return text if not text or text in references.KINDS else references.read(Path(text))


def _two_checkers(config: AuditSettings) -> tuple[Checker, Checker]:
    """Who judges and who guides.

    Raises:
        ConfigError: they are the same, or there is only one.
    """
    checkers = [open_checker(entry) for entry in config.checkers[:2]]
    if len({checker.checker_id for checker in checkers}) < 2:
        raise ConfigError(
            f"a repair needs one checker that judges and another that guides the search, but here "
            f"is only {checkers[0].checker_id}: name two with --checker, the judge first"
        )
    judge, guide = checkers
    if share_a_member(judge.checker_id, guide.checker_id):
        raise ConfigError(
            f"{guide.checker_id} has a part in {judge.checker_id}, and who searches does not "
            f"judge: name a second checker that has none"
        )
    refuse_undecided(judge)
    return judge, guide


def _refuse_guide(repairer: Repairer, guide: Checker) -> None:
    """A likeness and the score of a presence are numbers of two kinds.

    Raises:
        ConfigError: the method reads the other kind.
    """
    measures = likeness_weight_of(guide) is not None
    if needs_likeness(repairer) and not measures:
        raise ConfigError(
            f"{repairer.repairer_id} compares CLIPScores with its threshold, and "
            f"{guide.checker_id} gives none: name clipscore:ViT-B-32/openai as the second checker"
        )
    if not (measures or may_decide(guide)):
        raise ConfigError(
            f"{guide.checker_id} says nothing of single concepts, so it cannot guide a repair: "
            f"name another second checker"
        )
    if measures and not needs_likeness(repairer):
        raise ConfigError(
            f"{guide.checker_id} measures likeness and cannot tell {repairer.repairer_id} whether "
            f"a concept is there: name another second checker, or --method moce-replicate"
        )


_WANTED = {
    StageManner.TOGETHER: (
        "follows several prompts at once, as those do that guide a picture beside its negative "
        "prompt (guidance_scale above 1)"
    ),
    StageManner.EXCITED: (
        "has attention that can be raised: Stable Diffusion 1 or 2 on this machine, with a "
        "scheduler such as DDIMScheduler"
    ),
    StageManner.REFINED: "has a refiner: name one with --refiner, for Stable Diffusion XL",
}
"""Who can draw so."""


def _refuse_unmannered(repairer: Repairer, models: Sequence[ImageModel]) -> None:
    """Check that there is a model that the method can ask anything of.

    Raises:
        ConfigError: there is none.
    """
    needed = needed_manner(repairer)
    if needed and not any(needed in searched_manners(model) for model in models):
        named = ", ".join(dict.fromkeys(model.model_id for model in models))
        raise ConfigError(
            f"{repairer.repairer_id} wants a model that {_WANTED[needed]}; {named} is none"
        )


_NEEDED = {
    Need.TEXT_MODEL: "asks a text model, and none is named: name one with --text-model",
    Need.SEEING_TEXT_MODEL: (
        "shows pictures to a text model, and none is named that sees them: name one with "
        "--text-model, and say so with --vision"
    ),
    Need.ENCODER: (
        "compares texts and pictures by the second checker's encoder, and that one offers none: "
        "name an open_clip model second, such as clip:ViT-L-14/datacomp_xl_s13b_b90k"
    ),
    Need.DENOISER: (
        "follows the gradient of the image model, which offers none: take a Stable Diffusion 1, 2, "
        "XL or 3 or a FLUX.1 model on this machine"
    ),
    Need.WRITER: "puts embeddings in words by a writer, and none is named: name one with --writer",
}
"""What is said where it is not there."""


def _has_gradients(model: ImageModel) -> bool:
    try:
        return denoiser_of(model) is not None
    except InversionError:
        return False


def _missing(finding: PairFinding) -> tuple[int, int]:
    """How many pictures of the audit lack either concept."""
    missing = finding.judgement.count
    both = missing(Verdict.BOTH_MISSING)
    return missing(Verdict.A_MISSING) + both, missing(Verdict.B_MISSING) + both


def _symptoms(finding: PairFinding) -> Symptoms:
    return Symptoms(lost_of(*_missing(finding)), intruded=finding.intruder is not None)


def _refuse_impossible(settings: RepairSettings) -> None:
    refuse_too_few(settings.certificate)
    for name, count, least in (("--budget", settings.budget, 1), ("--calls", settings.calls, 0)):
        if count < least:
            raise ConfigError(f"{name} is {count}, but it is at least {least}")
    refuse_no_time(settings.seconds)
    if settings.instruction and settings.text_model is None:
        raise ConfigError("--instruction tells a text model what to do: name one with --text-model")
    if settings.level is not None and not 1 <= settings.level <= 5:
        raise ConfigError(f"--level is {settings.level}, but levels go from 1 to 5")
