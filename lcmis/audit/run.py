"""The order of the stages; budgets; failures: the only room that knows."""

from __future__ import annotations

import dataclasses
import functools
import operator
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lcmis import findings, judge
from lcmis.audit.controls import BLANK, MISMATCHED, control_spec, missing_controls
from lcmis.audit.pairs import Chosen, chosen_pairs
from lcmis.audit.planned import Planned
from lcmis.audit.provenance import provenance
from lcmis.audit.settled import (
    WORST,
    AuditSummary,
    Settled,
    growth_of,
    is_of,
    made_from,
    probes,
    recall,
    remember,
)
from lcmis.check import questions_for
from lcmis.errors import ConfigError, ItemError, RenderError
from lcmis.findings import ModelFinding, PairFinding
from lcmis.findings.summary import summarise
from lcmis.machine.hub.fetching import Fetch
from lcmis.plugins.opening import open_checker, open_model
from lcmis.plugins.optional import bill_of, fetches_of, may_decide, notes_of, price_of, spent_by
from lcmis.plugins.protocols import Bill, Checker, ImageModel
from lcmis.plugins.settings import AuditSettings
from lcmis.store import Growth, Store
from lcmis.types import ConceptPair, Question, RenderSpec, Run, Stage
from lcmis.workers import as_hired, hire
from lcmis.workers.orders import Delivery, DrawOrder, Wish
from lcmis.workers.studio import Studio, batches

ASKED_AT_ONCE = 256
"""Controls that lie in the store, of which it is seen at once what is to be asked."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an audit is, as told to whoever watches."""

    model: str
    activity: str
    """What happens now: ``"drawing"`` or ``"checking"``, or how many workers do what."""
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

    def summary(self, worst: int = WORST) -> AuditSummary:
        """The same as counts, with so many of each model's pairs that do not pass."""
        return AuditSummary(
            tuple(summarise(model, worst) for model in self.models),
            self.checkers,
            self.drawn,
            self.seconds,
            self.failures,
            self.spent,
            self.notes,
        )


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
        self.config = config = as_hired(config)
        self.store = store
        self.watch = watch
        chosen = Chosen(tuple(pairs)) if pairs else chosen_pairs(config)
        self._is_configured = not pairs
        """Whether the plan follows from the configuration alone."""
        self.pairs, self.sets = chosen.pairs, chosen.sets
        self.models = [open_model(settings) for settings in config.models]
        self.checkers = [open_checker(settings) for settings in config.checkers]
        refuse_undecided(self.checkers[0])
        self.rule = findings.stopping_rule(config.stopping)
        self._questions: dict[str, tuple[tuple[Checker, tuple[Question, ...]], ...]] = {}
        self._specs: dict[tuple[str, str], Planned] = {}
        self._states: dict[str, _State] = {}
        self._looks: dict[tuple[str, str], _PairLook] = {}
        self._judged: tuple[Growth, dict[str, list[PairFinding]]] | None = None
        """Under way, by model and pair."""
        self._last: _State | None = None
        self._activity = "drawing"
        self._first: set[str] = set()
        """Pairs that may miss their first picture by the first model; controls are made of it."""
        self._controls: Iterator[list[Wish]] | None = None
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

    def cost(self) -> Cost:
        """What would be drawn, in short; nothing is drawn, loaded or asked of a hub."""
        pairs, expected, most, seconds = set(), 0, 0, 0.0
        lasting: list[float | None] = []
        mean, block, cap = judge.expected_pictures(self.rule).mean, self.rule.block, self.rule.cap
        standing = self._standing()
        for model in self.models:
            undecided = self._undecided(standing[model.model_id])
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

    def _standing(self) -> dict[str, list[PairFinding]]:
        """What the store says of each model's pairs; judged once as long as nothing is added."""
        growth = self.store.growth()
        if self._judged is None or self._judged[0] != growth:
            found = {
                model.model_id: self._find(model, self._readable(model)[0]) for model in self.models
            }
            self._judged = growth, found
        return self._judged[1]

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
                spec = self._specs_of(model, pair, 1)[0]
                asked = questions_for(checker, pair)
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
        before = self._standing()
        run = start_of(self.config, command, self.models, self.checkers)
        self.store.add_run(run)
        self.studio.run_id = run.run_id
        self.store.add_pairs(self.pairs)
        unfinished = [one for one in self.models if any(map(_is_open, before[one.model_id]))]
        self.studio.together = [*self.checkers, *unfinished]
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
            worked_on = self._audit(before)
        settled = {name: found for name, found in before.items() if name not in worked_on}
        growth = growth_of(self.store)
        result = self._result(time.monotonic() - started, settled)
        if growth == growth_of(self.store):  # nobody else added anything that it was not told of
            self._remember(result, growth, run.run_id)
        return result

    def _remember(self, result: AuditResult, growth: Growth, run_id: str) -> None:
        """Where nothing is left to do, say so to the next run."""
        refused: set[str] = set()
        first = []
        for model in self.models:
            readable, unreadable = self._readable(model)
            refused |= unreadable.keys()
            first += [readable[0].prompt] if readable else []
        is_open = any(map(_is_open, (pair for model in result.models for pair in model.pairs)))
        probed = probes(self.config, self.models, first)
        if is_open or probed is None or self.studio.failed - refused or not self._is_configured:
            return
        named = made_from(self.config, self.models, self.checkers)
        lasting = tuple(one for one in result.notes if one not in self.studio.crew.notes)
        found = dataclasses.replace(result.summary(), drawn=0, spent=0.0, notes=lasting)
        remember(self.config, self.store, Settled(named, probed, run_id, growth, found, self.sets))

    def result(self) -> AuditResult:
        """What the store says now about the pairs, models and settings of this audit."""
        return self._result(0.0, {})

    def _result(self, seconds: float, settled: Mapping[str, list[PairFinding]]) -> AuditResult:
        """``settled`` are findings that stand: nothing was drawn or checked since."""
        checkers = tuple(checker.checker_id for checker in self.checkers)
        return AuditResult(
            models=tuple(
                findings.find_models(
                    self.store,
                    {
                        model.model_id: settled.get(model.model_id)
                        or self._find(model, self._readable(model)[0])
                        for model in self.models
                    },
                    checkers,
                    rule=self.rule,
                    threshold=self.config.threshold,
                )
            ),
            checkers=checkers,
            drawn=self.studio.drawn,
            seconds=seconds,
            failures=len(self.studio.failed & {item.item for item in self.store.failures()}),
            spent=sum(map(spent_by, self.models)) + sum(map(spent_by, self.checkers)),
            notes=(
                *(note for model in self.models for note in notes_of(model)),
                *self.studio.crew.notes,
                *self._mixed(),
            ),
        )

    def _mixed(self) -> Iterator[str]:
        """What is to be known of this audit's models where the store has them drawn otherwise too:
        here they are counted apart, elsewhere together.
        """
        mixed = findings.mixed_ways(self.store)
        yield from (mixed[one.model_id] for one in self.models if one.model_id in mixed)

    def _audit(self, before: Mapping[str, Sequence[PairFinding]]) -> set[str]:
        """Every look of every pair and model, as soon as the one before has come.

        Args:
            before: what the store says of each model's pairs; those that it says all of are left.

        Returns:
            The models of which something was to do.
        """
        items = []
        for model in self.models:
            found = before[model.model_id]
            finished = self._finished(model, found)
            todo = [one.pair for one in found if one.pair.key not in finished]
            present = sum(len(finding.evidence) for finding in found)
            self._states[model.model_id] = _State(model.model_id, len(self.pairs), present)
            self._states[model.model_id].undecided = len(todo)
            order = {pair.key: place for place, pair in enumerate(self.pairs)}
            todo.sort(key=lambda pair: order[pair.key])
            items += [_PairLook(model, pair, self.rule.block) for pair in todo]
        self._clear_failures({pair.pair.key for found in before.values() for pair in found})
        self._first = {item.pair.key for item in items if item.model is self.models[0]}
        if items:  # loads scipy: at the first look all devices would wait for it
            judge.stopped_interval(0, self.rule.block, self.rule)
        self.studio.work_on(
            map(self._wish, items),
            self._next_looks,
            self._likely_looks,
            self._heard,
            self._controls_now,
        )
        return {item.model.model_id for item in items}

    def _finished(self, model: ImageModel, found: Sequence[PairFinding]) -> set[str]:
        """The keys of pairs that are decided by the first pictures that were planned, of which
        every checker has answered all that it takes.
        """
        decided = {
            one.pair.key: one
            for one in found
            if not _is_open(one) and self._is_first_ones(model, one)
        }
        for checker in self.checkers:
            asked = []
            for one in decided.values():
                taken = self._taken_of(checker, one.pair)
                asked += [
                    (item.spec_key, question)
                    for item in one.evidence
                    if not item.refused
                    for question in taken
                ]
            open_ = {spec_key for spec_key, _ in self.store.unscored(checker.checker_id, asked)}
            if open_:
                decided = {
                    key: one
                    for key, one in decided.items()
                    if not open_.intersection(item.spec_key for item in one.evidence)
                }
        return set(decided)

    def _is_first_ones(self, model: ImageModel, found: PairFinding) -> bool:
        """Whether the pictures are those of whole looks, without a gap."""
        drawn = [item.spec_key for item in found.evidence]
        planned = [spec.key for spec in self._specs_of(model, found.pair, len(drawn))]
        whole = len(drawn) % self.rule.block == 0 or len(drawn) == self.rule.cap
        return bool(drawn) and whole and drawn == planned

    def _taken_of(self, checker: Checker, pair: ConceptPair) -> list[Question]:
        asked = next(some for one, some in self._asked_of(pair) if one is checker)
        return [question for question in asked if checker.takes(question)]

    def _clear_failures(self, readable: set[str]) -> None:
        """What kept a pair from being read does so no more."""
        for failure in self.store.failures():
            if failure.item in readable:
                self.store.clear_failure(failure.item)

    def _wish(self, look: _PairLook) -> Wish:
        self._looks[look.model.model_id, look.pair.key] = look
        return Wish(
            look.pair,
            look.model,
            self._specs_of(look.model, look.pair, look.seen),
            self._asked_of(look.pair),
        )

    def _next_looks(self, done: Sequence[Wish]) -> list[Wish]:
        """What the rule asks for once these pictures are there; the others are decided."""
        groups: dict[tuple[str, int], list[_PairLook]] = defaultdict(list)
        for wish in done:
            if any(spec.model != wish.model.model_id for spec in wish.specs):
                continue  # a control, after which nothing comes
            look = self._looks.pop((wish.model.model_id, wish.pair.key))
            if look.model is self.models[0]:
                self._first.discard(look.pair.key)
            groups[look.model.model_id, look.seen].append(look)
        wishes = []
        for (model_id, seen), looks in groups.items():
            model = looks[0].model
            found = self._find(model, [look.pair for look in looks], seen)
            for finding in found:
                if finding.judgement.failing is judge.Decision.CONTINUE and seen < self.rule.cap:
                    wishes.append(
                        self._wish(_PairLook(model, finding.pair, seen + self.rule.block))
                    )
                else:
                    self._states[model_id].undecided -= 1
            self._tell(self._activity, self._states[model_id])
        return wishes

    def _likely_looks(self) -> Iterator[Wish]:
        """What comes after the looks that are under way, the nearest to its end first."""
        for look in sorted(self._looks.values(), key=lambda look: -look.seen):
            specs = self._specs_of(look.model, look.pair, self.rule.cap)[look.seen :]
            if specs:
                yield Wish(look.pair, look.model, specs, self._asked_of(look.pair))

    def _heard(self, report: Delivery) -> None:
        if isinstance(report.order, DrawOrder):
            state = self._states[report.order.model]
            state.pictures += sum(not isinstance(one.drawn, RenderError) for one in report.painted)
            self._last = state
        if self._last is not None:
            activity = "checking" if isinstance(report.order, DrawOrder) else "drawing"
            self._activity = self.studio.crew.told or activity
            self._tell(self._activity, self._last)

    def _asked_of(self, pair: ConceptPair) -> tuple[tuple[Checker, tuple[Question, ...]], ...]:
        """All that is asked about a picture of a pair."""
        if pair.key not in self._questions:
            self._questions[pair.key] = tuple(
                (checker, questions_for(checker, pair)) for checker in self.checkers
            )
        return self._questions[pair.key]

    # ── controls ─────────────────────────────────────────────────────────────────────────────

    def _controls_now(self) -> list[Wish]:
        """The next few, once every pair has its first picture or never will."""
        if self._first:
            return []
        if self._controls is None:
            self._controls = self._controls_in_parts()
        return next(self._controls, [])

    def _controls_in_parts(self) -> Iterator[list[Wish]]:
        """Ask the same questions of a blank picture and of a picture of something else.

        What remains is what a checker says when nothing of the pair is there.
        """
        model = self.models[0]
        first = {pair: self._specs_of(model, pair, 1)[0] for pair in self._readable(model)[0]}
        lacking = {spec.key for spec in self.store.missing(list(first.values()))}
        first = {pair: spec for pair, spec in first.items() if spec.key not in lacking}
        controls = {
            control_spec(kind, pair, like): pair
            for pair, like in first.items()
            for kind in (BLANK, MISMATCHED)
        }
        lacking = {spec.key for spec in self.store.missing(list(controls))}
        there = [(spec, pair) for spec, pair in controls.items() if spec.key not in lacking]
        for some in batches(there, ASKED_AT_ONCE):
            yield [self._control(pair, spec) for spec, pair in some]
        by_key = {pair.key: pair for pair in first}
        for drawn in missing_controls(self.store, first):
            self.store.add_renders(drawn)
            yield [self._control(by_key[one.pair_key], one.spec) for one in drawn]

    def _control(self, pair: ConceptPair, spec: RenderSpec) -> Wish:
        return Wish(pair, self.models[0], (spec,), self._asked_of(pair))

    # ── the plan, minus the store ────────────────────────────────────────────────────────────

    def _specs_of(self, model: ImageModel, pair: ConceptPair, seen: int) -> tuple[RenderSpec, ...]:
        """The first pictures of a pair that the stopping rule may ask for, in the order of seeds.

        Raises:
            ItemError: the model cannot read the prompt.
        """
        return self._planned(model, pair).first(seen)

    def _planned(self, model: ImageModel, pair: ConceptPair) -> Planned:
        place = (model.model_id, pair.key)
        if place not in self._specs:
            self._specs[place] = Planned(self._specs_until_refused(model, pair))
        return self._specs[place]

    def _specs_until_refused(self, model: ImageModel, pair: ConceptPair) -> Iterator[RenderSpec]:
        """A folder of finished pictures ends before the cap: what there is counts."""
        first, stages = self.config.first_seed, (Stage(pair.prompt),)
        for seed in range(first, first + self.rule.cap):
            try:
                yield model.spec(stages, seed)
            except RenderError:
                if seed == first:
                    raise
                return

    def _readable(self, model: ImageModel) -> tuple[list[ConceptPair], dict[str, str]]:
        """The pairs whose prompts a model can read, and the others' keys with the reason."""
        readable, refused = [], {}
        for pair in self.pairs:
            try:
                self._specs_of(model, pair, 1)
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
            only={pair: self._planned(model, pair).among(seen or self.rule.cap) for pair in pairs},
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


def start_of(
    config: AuditSettings, command: str, models: Sequence[ImageModel], checkers: Sequence[Checker]
) -> Run:
    """That an audit of these was started now."""
    return provenance(
        config,
        command,
        [model.model_id for model in models],
        [checker.checker_id for checker in checkers],
    )


def settled_audit(config: AuditSettings, store: Store, command: str = "") -> Settled | None:
    """What an audit concluded that has nothing left to do, without working it out again; None
    where anything has changed since, and :class:`Audit` must be asked.

    The start is kept, as that of every audit.

    Raises:
        UserError: a model or a checker cannot be opened as the configuration has it.
    """
    started = time.monotonic()
    config = as_hired(config)
    found = recall(config, store)
    if found is None:  # and nothing is opened that the audit itself will open
        return None
    models = [open_model(settings) for settings in config.models]
    checkers = [open_checker(settings) for settings in config.checkers]
    if not is_of(found, config, models, checkers):
        return None
    store.add_run(start_of(config, command, models, checkers))
    seconds = time.monotonic() - started
    return dataclasses.replace(found, summary=dataclasses.replace(found.summary, seconds=seconds))


def _is_open(found: PairFinding) -> bool:
    return found.judgement.failing is judge.Decision.CONTINUE


@dataclass(frozen=True, slots=True)
class _PairLook:
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
