"""The order of the stages; budgets; failures: the only room that knows."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from lcmis import findings, judge
from lcmis.audit.controls import BLANK, MISMATCHED, control_spec, missing_controls
from lcmis.audit.pairs import Chosen, chosen_pairs
from lcmis.audit.provenance import provenance
from lcmis.check import questions_for
from lcmis.errors import ConfigError, ItemError, RenderError
from lcmis.findings import ModelFinding, PairFinding
from lcmis.machine.hub.fetching import Fetch
from lcmis.plugins.opening import open_checker, open_model
from lcmis.plugins.optional import fetches_of, may_decide, notes_of, price_of, spent_by
from lcmis.plugins.protocols import Checker, ImageModel
from lcmis.plugins.settings import AuditSettings
from lcmis.store import Store
from lcmis.types import ConceptPair, Question, RenderSpec, Stage
from lcmis.workers import hire
from lcmis.workers.orders import DrawOrder, Report, Wish
from lcmis.workers.studio import Studio


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
        self._questions: dict[str, tuple[tuple[Checker, tuple[Question, ...]], ...]] = {}
        self._specs: dict[tuple[str, str], tuple[RenderSpec, ...]] = {}
        self._states: dict[str, _State] = {}
        self._looks: dict[tuple[str, str], _Look] = {}
        """Under way, by model and pair."""
        self._last: _State | None = None
        self.studio = Studio(store, config.max_failures, share=config.max_failure_share)
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

    def _plan_model(self, model: ImageModel) -> ModelPlan:
        readable, refused = self._readable(model)
        found = self._find(model, readable)
        undecided = [pair for pair in found if pair.judgement.failing is judge.Decision.CONTINUE]
        expectation = judge.expected_pictures(self.rule)
        drawn = [len(finding.evidence) for finding in undecided]
        block, cap = self.rule.block, self.rule.cap
        return ModelPlan(
            model=model.model_id,
            pairs=len(readable),
            undecided=len(undecided),
            present=sum(len(finding.evidence) for finding in found),
            least=sum(max(block, expectation.low - count) for count in drawn),
            expected=sum(max(block, round(expectation.mean) - count) for count in drawn),
            most=sum(max(0, cap - count) for count in drawn),
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
        )

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
        self.studio.crew = hire(
            self.store,
            self.config.workers,
            zip(self.models, self.config.models, strict=True),
            zip(self.checkers, self.config.checkers, strict=True),
        )
        with self.studio:
            for model in self.models:
                for key, sentence in self._readable(model)[1].items():
                    self.studio.leave_out(key, "render", sentence)
            self._audit()
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

    def _audit(self) -> None:
        """Every look of every pair and model, as soon as the one before has come."""
        items = []
        for model in self.models:
            readable, _ = self._readable(model)
            present = sum(len(finding.evidence) for finding in self._find(model, readable))
            self._states[model.model_id] = _State(model.model_id, len(self.pairs), present)
            self._states[model.model_id].undecided = len(readable)
            items += [_Look(model, pair, self.rule.block) for pair in readable]
        self._clear_failures({item.pair.key for item in items})
        self.studio.work_on(
            map(self._wish, items), self._next_looks, self._likely_looks, self._heard
        )

    def _clear_failures(self, readable: set[str]) -> None:
        """What kept a pair from being read does so no more."""
        for failure in self.store.failures():
            if failure.item in readable:
                self.store.clear_failure(failure.item)

    def _wish(self, look: _Look) -> Wish:
        self._looks[look.model.model_id, look.pair.key] = look
        return Wish(
            look.pair,
            look.model,
            self._specs_of(look.model, look.pair)[: look.seen],
            self._asked_of(look.pair),
        )

    def _next_looks(self, done: Sequence[Wish]) -> list[Wish]:
        """What the rule asks for once these pictures are there; the others are decided."""
        groups: dict[tuple[str, int], list[_Look]] = defaultdict(list)
        for wish in done:
            look = self._looks.pop((wish.model.model_id, wish.pair.key))
            groups[look.model.model_id, look.seen].append(look)
        wishes = []
        for (model_id, seen), looks in groups.items():
            model = looks[0].model
            found = self._find(model, [look.pair for look in looks], seen)
            for finding in found:
                if finding.judgement.failing is judge.Decision.CONTINUE and seen < self.rule.cap:
                    wishes.append(self._wish(_Look(model, finding.pair, seen + self.rule.block)))
                else:
                    self._states[model_id].undecided -= 1
        return wishes

    def _likely_looks(self) -> Iterator[Wish]:
        """What comes after the looks that are under way, the nearest to its end first."""
        for look in sorted(self._looks.values(), key=lambda look: -look.seen):
            specs = self._specs_of(look.model, look.pair)[look.seen :]
            if specs:
                yield Wish(look.pair, look.model, specs, self._asked_of(look.pair))

    def _heard(self, report: Report) -> None:
        if isinstance(report.order, DrawOrder):
            state = self._states[report.order.model]
            state.pictures += sum(not isinstance(one.drawn, RenderError) for one in report.painted)
            self._last = state
        if self._last is not None:
            self._tell("checking" if self.studio.crew.is_busy else "drawing", self._last)

    def _is_unfinished(self, model: ImageModel) -> bool:
        found = self._find(model, self._readable(model)[0])
        return any(pair.judgement.failing is judge.Decision.CONTINUE for pair in found)

    def _asked_of(self, pair: ConceptPair) -> tuple[tuple[Checker, tuple[Question, ...]], ...]:
        """All that is asked about a picture of a pair."""
        if pair.key not in self._questions:
            self._questions[pair.key] = tuple(
                (checker, questions_for(checker, pair)) for checker in self.checkers
            )
        return self._questions[pair.key]

    # ── controls ─────────────────────────────────────────────────────────────────────────────

    def _check_controls(self) -> None:
        """Ask the same questions of a blank picture and of a picture of something else.

        What remains is what a checker says when nothing of the pair is there.
        """
        model = self.models[0]
        first = {pair: self._specs_of(model, pair)[0] for pair in self._readable(model)[0]}
        lacking = {spec.key for spec in self.store.missing(list(first.values()))}
        first = {pair: spec for pair, spec in first.items() if spec.key not in lacking}
        for drawn in missing_controls(self.studio, first):
            self.store.add_renders(drawn)
        controls = {
            control_spec(kind, pair, like): pair
            for pair, like in first.items()
            for kind in (BLANK, MISMATCHED)
        }
        lacking = {spec.key for spec in self.store.missing(list(controls))}
        self.studio.make(
            [
                Wish(pair, model, (spec,), self._asked_of(pair))
                for spec, pair in controls.items()
                if spec.key not in lacking
            ]
        )

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


@dataclass(frozen=True, slots=True)
class _Look:
    """One look at a pair: its first ``seen`` pictures."""

    model: ImageModel
    pair: ConceptPair
    seen: int


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
