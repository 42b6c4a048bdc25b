"""The order of the stages; budgets; failures: the only room that knows."""

from __future__ import annotations

import contextlib
import functools
import itertools
import operator
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from PIL.Image import Image

from lcmis import findings, judge
from lcmis.audit.pairs import Chosen, chosen_pairs
from lcmis.audit.provenance import provenance
from lcmis.check import blank_picture, questions_for
from lcmis.errors import ConfigError, ItemError, RenderError
from lcmis.findings import CONTROL_MODEL, ModelFinding, PairFinding
from lcmis.machine.hub.fetching import Fetch
from lcmis.plugins.opening import open_checker, open_model
from lcmis.plugins.optional import bill_of, fetches_of, may_decide, notes_of, price_of, spent_by
from lcmis.plugins.protocols import Bill, Checker, ImageModel
from lcmis.plugins.settings import AuditSettings
from lcmis.store import Drawn, Store
from lcmis.types import ConceptPair, Question, RenderSpec, Stage
from lcmis.workers.here import Studio, drawn_as


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an audit is, as told to whoever watches."""

    model: str
    activity: str
    """What happens now: ``"drawing"`` or ``"checking"``."""
    pictures: int
    """Of this model, in the store now."""
    expected: int
    """Pictures of this model that the stopping rule will have asked for; an estimate that moves."""
    decided: int
    pairs: int
    failures: int


Watch = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class AuditResult:
    """What an audit concludes, and what it cost."""

    models: tuple[ModelFinding, ...]
    checkers: tuple[str, ...]
    """The first one decided."""
    drawn: int
    """Pictures drawn by this run; those that lay in the store are not counted."""
    seconds: float
    failures: int
    """Items that failed in this run and have not succeeded since."""
    spent: float = 0.0
    """Money that this run's pictures and answers cost, by the prices in the configuration."""
    notes: tuple[str, ...] = ()
    """Where models' numbers come from, and what was seen of services; a sentence each."""

    def worst(self, count: int = 10) -> list[PairFinding]:
        """The worst pairs over all models."""
        every = [finding for model in self.models for finding in model.pairs]
        return sorted(every, key=findings.severity)[:count]


@dataclass(frozen=True, slots=True)
class Judging:
    """What a judge that is a service would be asked of one model's new pictures."""

    checker: str
    least: Bill
    expected: Bill
    most: Bill


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """What an audit would still draw for one model."""

    model: str
    pairs: int
    undecided: int
    present: int
    """Pictures already in the store."""
    least: int
    """Pictures still to draw if every undecided pair turns out clear."""
    expected: int
    most: int
    """Pictures still to draw if none does."""
    seconds_each: float | None
    """Measured on this store's pictures of the model; None before the first."""
    refused: tuple[str, ...]
    """One sentence for each prompt that the model cannot read."""
    detectable: float
    """The smallest difference between two models' rates that an audit of this size will notice; 1
    where it can be relied on to notice none."""
    price: float | None = None
    """Of one picture; None where it costs nothing, or nobody said what."""
    fetches: tuple[Fetch, ...] = ()
    """How much of the model and of each checker comes from the hub before its first picture."""
    notes: tuple[str, ...] = ()
    """Where its numbers come from, and what else is to be known of it; a sentence each."""
    judging: tuple[Judging, ...] = ()
    """What judges that are services would be asked of its new pictures."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What an audit would still draw, over all models."""

    pairs: int
    """Undecided on some model."""
    models: int
    """That have an undecided pair."""
    expected: int
    most: int
    seconds_each: float | None
    """Of a picture, where pictures of every such model were measured."""


class Audit:
    """One audit with every name resolved and no model loaded.

    Raises:
        UserError: whatever is wrong with the configuration, before anything heavy happens.
    """

    def __init__(
        self,
        config: AuditSettings,
        store: Store,
        watch: Watch | None = None,
        *,
        pairs: Sequence[ConceptPair] = (),
    ) -> None:
        self.config = config
        self.store = store
        self.watch = watch
        chosen = Chosen(tuple(pairs)) if pairs else chosen_pairs(config)
        self.pairs, self.sets = chosen.pairs, chosen.sets
        self.models = [open_model(settings) for settings in config.models]
        self.checkers = [open_checker(settings) for settings in config.checkers]
        refuse_undecided(self.checkers[0])
        self.rule = findings.stopping_rule(config.stopping)
        self._questions: dict[tuple[str, str], tuple[Question, ...]] = {}
        self._specs: dict[tuple[str, str], tuple[RenderSpec, ...]] = {}
        self.studio = Studio(store, config.max_failures)
        for kind, ids in (
            ("model", [model.model_id for model in self.models]),
            ("checker", [checker.checker_id for checker in self.checkers]),
        ):
            if len(set(ids)) < len(ids):
                raise ConfigError(f"a {kind} is named twice among {', '.join(ids)}: name it once")

    # ── before ───────────────────────────────────────────────────────────────────────────────

    def plan(self) -> list[ModelPlan]:
        """What would be drawn, without drawing anything or loading a model."""
        return [self._plan_model(model) for model in self.models]

    def cost(self) -> Cost:
        """What would be drawn, in short; nothing is drawn, loaded or asked of a hub."""
        pairs, expected, most, seconds = set(), 0, 0, 0.0
        lasting: list[float | None] = []
        mean, block, cap = judge.expected_pictures(self.rule).mean, self.rule.block, self.rule.cap
        for model in self.models:
            undecided = self._undecided(self._find(model, self._readable(model)[0]))
            if undecided:
                drawn = [len(finding.evidence) for finding in undecided]
                pairs |= {finding.pair.key for finding in undecided}
                mine = sum(max(block, round(mean) - count) for count in drawn)
                each = self._seconds_each(model)
                lasting.append(each)
                seconds += mine * (each or 0)
                expected += mine
                most += sum(max(0, cap - count) for count in drawn)
        known = expected and None not in lasting
        return Cost(len(pairs), len(lasting), expected, most, seconds / expected if known else None)

    @staticmethod
    def _undecided(found: Sequence[PairFinding]) -> list[PairFinding]:
        return [pair for pair in found if pair.judgement.failing is judge.Decision.CONTINUE]

    def _plan_model(self, model: ImageModel) -> ModelPlan:
        readable, refused = self._readable(model)
        found = self._find(model, readable)
        undecided = self._undecided(found)
        expectation = judge.expected_pictures(self.rule)
        drawn = [len(finding.evidence) for finding in undecided]
        block, cap = self.rule.block, self.rule.cap
        least = [max(block, expectation.low - count) for count in drawn]
        expected = [max(block, round(expectation.mean) - count) for count in drawn]
        most = [max(0, cap - count) for count in drawn]
        return ModelPlan(
            model=model.model_id,
            pairs=len(readable),
            undecided=len(undecided),
            present=sum(len(finding.evidence) for finding in found),
            least=sum(least),
            expected=sum(expected),
            most=sum(most),
            seconds_each=self._seconds_each(model),
            refused=tuple(refused.values()),
            detectable=judge.minimum_detectable_difference(
                max(1, len(readable)), round(expectation.mean)
            ),
            price=price_of(model),
            fetches=(
                *fetches_of(model),
                *(fetch for checker in self.checkers for fetch in fetches_of(checker)),
            ),
            notes=notes_of(model),
            judging=self._judging(
                model, [finding.pair for finding in undecided], (least, expected, most)
            ),
        )

    def _judging(
        self,
        model: ImageModel,
        pairs: Sequence[ConceptPair],
        counts: tuple[Sequence[int], Sequence[int], Sequence[int]],
    ) -> tuple[Judging, ...]:
        """Of every judge that is a service; nothing is asked.

        Args:
            model: whose pictures are judged.
            pairs: that are undecided.
            counts: for each pair the pictures to draw: at least, expected, at most.
        """
        found = []
        for checker in self.checkers:
            bills = []
            for pair in pairs:
                spec = self._specs_of(model, pair)[0]
                asked = self._questions_of(checker, pair)
                bills.append(bill_of(checker, asked, spec.width, spec.height))
            known = [bill for bill in bills if bill is not None]
            if known:
                least, expected, most = (
                    functools.reduce(
                        operator.add,
                        [bill.times(count) for bill, count in zip(known, each, strict=True)],
                    )
                    for each in counts
                )
                found.append(Judging(checker.checker_id, least, expected, most))
        return tuple(found)

    def _seconds_each(self, model: ImageModel) -> float | None:
        listed = self.store.renders(model=model.model_id, limit=200)
        drawn = [item.render.seconds for item in listed if not item.render.refusal]
        return sum(drawn) / len(drawn) if drawn else None

    # ── the work ─────────────────────────────────────────────────────────────────────────────

    def run(self, command: str = "") -> AuditResult:
        """Draw and check whatever is missing, until every pair is decided.

        Raises:
            TooManyFailures: ``max_failures`` items failed in this run.
        """
        started = time.monotonic()
        models = [model.model_id for model in self.models]
        checkers = [checker.checker_id for checker in self.checkers]
        self.store.add_run(provenance(self.config, command, models, checkers))
        self.store.add_pairs(self.pairs)
        self.studio.together = [*self.checkers, *filter(self._is_unfinished, self.models)]
        for model in self.models:
            self._audit_model(model)
        self._check_controls()
        return self.result(time.monotonic() - started)

    def result(self, seconds: float = 0.0) -> AuditResult:
        """What the store says now about the pairs, models and settings of this audit."""
        checkers = tuple(checker.checker_id for checker in self.checkers)
        return AuditResult(
            models=tuple(
                findings.find_model(
                    self.store,
                    model.model_id,
                    self._find(model, self._readable(model)[0]),
                    checkers,
                    rule=self.rule,
                    threshold=self.config.threshold,
                )
                for model in self.models
            ),
            checkers=checkers,
            drawn=self.studio.drawn,
            seconds=seconds,
            failures=len(self.studio.failed & {item.item for item in self.store.failures()}),
            spent=sum(map(spent_by, self.models)) + sum(map(spent_by, self.checkers)),
            notes=tuple(note for model in self.models for note in notes_of(model)),
        )

    def _audit_model(self, model: ImageModel) -> None:
        undecided, refused = self._readable(model)
        for key, sentence in refused.items():
            self.studio.fail(key, "render", sentence)
        for failure in self.store.failures():
            if failure.item in {pair.key for pair in undecided}:
                self.store.clear_failure(failure.item)
        present = sum(len(finding.evidence) for finding in self._find(model, undecided))
        state = _State(model.model_id, len(self.pairs), present)
        for look in itertools.count(1):
            seen = look * self.rule.block
            plan = [
                (pair, spec) for pair in undecided for spec in self._specs_of(model, pair)[:seen]
            ]
            state.undecided = len(undecided)
            self._draw_missing(model, plan, state)
            lacking = {spec.key for spec in self.store.missing([spec for _, spec in plan])}
            self._check_missing(
                [(pair, spec.key) for pair, spec in plan if spec.key not in lacking], {}
            )
            undecided = [
                finding.pair
                for finding in self._find(model, undecided, seen)
                if finding.judgement.failing is judge.Decision.CONTINUE
            ]
            if not undecided or seen >= self.rule.cap:
                return

    def _is_unfinished(self, model: ImageModel) -> bool:
        found = self._find(model, self._readable(model)[0])
        return any(pair.judgement.failing is judge.Decision.CONTINUE for pair in found)

    def _draw_missing(
        self, model: ImageModel, plan: Sequence[tuple[ConceptPair, RenderSpec]], state: _State
    ) -> None:
        owner = {spec.key: pair for pair, spec in plan}
        self._tell("drawing", state)
        with contextlib.closing(self.studio.draw_missing(model, plan)) as drawing:
            for drawn in drawing:
                state.pictures += len(drawn)
                self._tell("checking", state)
                images = {item.spec.key: item.image for item in drawn if item.image is not None}
                self._check_missing([(owner[key], key) for key in images], images)
                self._tell("drawing", state)

    def _check_missing(
        self, pictures: Sequence[tuple[ConceptPair, str]], images: Mapping[str, Image]
    ) -> None:
        """Ask every checker what it has not yet answered about these pictures."""
        for checker in self.checkers:
            asked = [
                (spec_key, question)
                for pair, spec_key in pictures
                for question in self._questions_of(checker, pair)
            ]
            self.studio.check_missing(checker, asked, images)

    def _questions_of(self, checker: Checker, pair: ConceptPair) -> tuple[Question, ...]:
        place = (checker.checker_id, pair.key)
        if place not in self._questions:
            self._questions[place] = questions_for(checker, pair)
        return self._questions[place]

    # ── controls ─────────────────────────────────────────────────────────────────────────────

    def _check_controls(self) -> None:
        """Ask the same questions of a blank picture and of a picture of something else.

        What remains is what a checker says when nothing of the pair is there.
        """
        model = self.models[0]
        first = {pair: self._specs_of(model, pair)[0] for pair in self._readable(model)[0]}
        lacking = {spec.key for spec in self.store.missing(list(first.values()))}
        first = {pair: spec for pair, spec in first.items() if spec.key not in lacking}
        drawn: list[Drawn] = []
        for pair, spec in first.items():
            blank = control_spec("blank", pair, spec)
            drawn.append(drawn_as(pair, blank, blank_picture(spec.width, spec.height), 0.0))
            other = next((o for o in first if not _share_concepts(pair, o)), None)
            picture = None if other is None else self.studio.load(first[other].key)
            if picture is not None:
                drawn.append(drawn_as(pair, control_spec("mismatched", pair, spec), picture, 0.0))
        lacking = {spec.key for spec in self.store.missing([item.spec for item in drawn])}
        self.store.add_renders([item for item in drawn if item.spec.key in lacking])
        pairs = {pair.key: pair for pair in first}
        self._check_missing([(pairs[item.pair_key], item.spec.key) for item in drawn], {})

    # ── the plan, minus the store ────────────────────────────────────────────────────────────

    def _specs_of(self, model: ImageModel, pair: ConceptPair) -> tuple[RenderSpec, ...]:
        """Every picture of a pair that the stopping rule may ask for, in the order of seeds."""
        place = (model.model_id, pair.key)
        if place not in self._specs:
            self._specs[place] = tuple(self._specs_until_refused(model, pair))
        return self._specs[place]

    def _specs_until_refused(self, model: ImageModel, pair: ConceptPair) -> Iterator[RenderSpec]:
        """A folder of finished pictures ends before the cap: what there is counts."""
        first = self.config.first_seed
        for seed in range(first, first + self.rule.cap):
            try:
                yield model.spec((Stage(pair.prompt),), seed)
            except RenderError:
                if seed == first:
                    raise
                return

    def _readable(self, model: ImageModel) -> tuple[list[ConceptPair], dict[str, str]]:
        """The pairs whose prompts a model can read, and the others' keys with the reason."""
        readable, refused = [], {}
        for pair in self.pairs:
            try:
                self._specs_of(model, pair)
            except ItemError as error:
                refused[pair.key] = str(error)
            else:
                readable.append(pair)
        return readable, refused

    def _find(
        self, model: ImageModel, pairs: Iterable[ConceptPair], seen: int | None = None
    ) -> list[PairFinding]:
        """Judge pairs from the first ``seen`` planned pictures; all of them by default."""
        return findings.find_pairs(
            self.store,
            self.checkers[0].checker_id,
            rule=self.rule,
            threshold=self.config.threshold,
            model=model.model_id,
            only={
                pair: [spec.key for spec in self._specs_of(model, pair)[:seen]] for pair in pairs
            },
        )

    def _tell(self, activity: str, state: _State) -> None:
        if self.watch is None:
            return
        expected = round(judge.expected_pictures(self.rule).mean * state.pairs)
        self.watch(
            Progress(
                model=state.model,
                activity=activity,
                pictures=state.pictures,
                expected=max(expected, state.pictures + state.undecided),
                decided=state.pairs - state.undecided,
                pairs=state.pairs,
                failures=len(self.studio.failed),
            )
        )


@dataclass(slots=True)
class _State:
    """How far one model is."""

    model: str
    pairs: int
    pictures: int
    undecided: int = 0


def refuse_undecided(checker: Checker) -> None:
    """Not every checker tells whether a concept is there.

    Raises:
        ConfigError: this one does not, and no verdict can rest on it.
    """
    if not may_decide(checker):
        raise ConfigError(
            f"{checker.checker_id} does not tell whether a concept is there, so it decides "
            f"nothing: name another checker before it"
        )


def control_spec(kind: str, pair: ConceptPair, like: RenderSpec) -> RenderSpec:
    """The name under which a control picture of a pair is stored: drawn by nobody."""
    return RenderSpec(
        model=f"{CONTROL_MODEL}@{kind}",
        stages=(Stage(pair.prompt),),
        seed=0,
        num_inference_steps=1,
        guidance_scale=0.0,
        scheduler="none",
        height=like.height,
        width=like.width,
        profile="none",
        device="none",
    )


def _share_concepts(pair: ConceptPair, other: ConceptPair) -> bool:
    """Whether a picture of ``other``, right or wrong, may show a concept of ``pair``."""
    shown = {other.a.name, other.b.name, *(item.concept.name for item in other.intruders)}
    return pair.a.name in shown or pair.b.name in shown
