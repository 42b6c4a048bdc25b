"""The order of the stages; budgets; failures: the only room that knows."""

from __future__ import annotations

import dataclasses
import itertools
import json
import platform
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from PIL.Image import Image
from pydantic import SecretStr

from lcmis import findings, judge
from lcmis.audit.config import AuditConfig
from lcmis.check import blank_picture, questions_of
from lcmis.errors import (
    ConfigError,
    ItemError,
    RenderError,
)
from lcmis.findings import CONTROL_MODEL, ModelFinding, PairFinding
from lcmis.plugins import registry
from lcmis.plugins.protocols import (
    Checker,
    CheckerSettings,
    HostedSettings,
    ImageModel,
    ModelSettings,
    Priced,
)
from lcmis.propose.catalogue import catalogue, catalogues, select
from lcmis.propose.formats import pairs_in
from lcmis.propose.formats.outcomes import SetRead
from lcmis.render import draw
from lcmis.store import Drawn, Store, picture_hash
from lcmis.types import (
    Adapter,
    ConceptPair,
    RenderSpec,
    Run,
    Stage,
)
from lcmis.workers.here import Studio, drawn_as

REPORTED_PACKAGES = (
    "lcmis",
    "torch",
    "diffusers",
    "transformers",
    "open_clip_torch",
    "sqlalchemy",
    "numpy",
    "pillow",
)
"""Whose versions decide pixels or scores, and so belong to a run's provenance."""


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
    """Money that this run's pictures cost, by the prices in the configuration."""

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


def open_model(settings: ModelSettings) -> ImageModel:
    """Find an image model by registered name, folder or hub name; nothing is loaded yet.

    Raises:
        UserError: there is no such model, or it cannot be run as asked.
    """
    name, _, rest = settings.name.partition(":")
    if settings.name in registry.names("models"):
        plug = registry.load("models", settings.name)
    elif rest and name in registry.names("models"):
        plug = registry.load("models", name)
        settings = dataclasses.replace(settings, name=rest)
    else:
        plug = registry.load("models", "diffusers")
    model: ImageModel = plug(settings)
    return model


def open_checker(settings: CheckerSettings) -> Checker:
    """Find a checker by kind and name; nothing is loaded yet.

    Raises:
        UserError: there is no such checker.
    """
    checker: Checker = registry.load("checkers", settings.kind)(settings)
    return checker


@dataclass(frozen=True, slots=True)
class Chosen:
    """The pairs of a configuration: catalogues and files, in order, each pair once."""

    pairs: tuple[ConceptPair, ...]
    sets: tuple[SetRead, ...] = ()
    """Other people's sets among its files: not every line of theirs is a pair."""


def chosen_pairs(config: AuditConfig) -> Chosen:
    """The pairs that a configuration asks for.

    Raises:
        ConfigError: a file or catalogue cannot be read, or nothing is left after the patterns.
    """
    found: dict[str, ConceptPair] = {}
    sets = []
    for name in config.pairs:
        if name in catalogues():
            pairs = catalogue(name)
        elif Path(name).is_file():
            pairs, read = pairs_in(Path(name), config.column)
            sets += [read] if read else []
        else:
            raise ConfigError(
                f"there are no pairs called {name!r}: name a file, or one of the shipped "
                f"catalogues {', '.join(catalogues())}"
            )
        found.update((pair.key, pair) for pair in pairs)
    if config.column and not sets:
        raise ConfigError(
            f"column is {config.column!r}, but none of the files of pairs has columns of other "
            f"people's: leave it out"
        )
    words = [word.casefold() for word in config.patterns]
    wanted = tuple(
        pair
        for pair in found.values()
        if not words or any(word in pair.pattern.casefold() for word in words)
    )
    if not wanted:
        there = sorted({pair.pattern for pair in found.values()})
        raise ConfigError(
            f"no pair has a pattern with {' or '.join(map(repr, config.patterns))} in it: "
            f"there are {', '.join(there)}"
        )
    return Chosen(select(wanted, limit=config.limit), tuple(sets))


class Audit:
    """One audit with every name resolved and no model loaded.

    Raises:
        UserError: whatever is wrong with the configuration, before anything heavy happens.
    """

    def __init__(
        self,
        config: AuditConfig,
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
        self.rule = findings.stopping_rule(**dataclasses.asdict(config.stopping))
        self._questions = {pair.key: questions_of(pair) for pair in self.pairs}
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
            price=model.price if isinstance(model, Priced) else None,
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
            spent=sum(model.spent for model in self.models if isinstance(model, Priced)),
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

    def _draw_missing(
        self, model: ImageModel, plan: Sequence[tuple[ConceptPair, RenderSpec]], state: _State
    ) -> None:
        owner = {spec.key: pair for pair, spec in plan}
        self._tell("drawing", state)
        for drawn in self.studio.draw_missing(model, plan):
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
                for question in self._questions[pair.key]
            ]
            self.studio.check_missing(checker, asked, images)

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
    )


def _share_concepts(pair: ConceptPair, other: ConceptPair) -> bool:
    """Whether a picture of ``other``, right or wrong, may show a concept of ``pair``."""
    shown = {other.a.name, other.b.name, *(item.concept.name for item in other.intruders)}
    return pair.a.name in shown or pair.b.name in shown


def provenance(
    config: AuditConfig, command: str, models: Sequence[str] = (), checkers: Sequence[str] = ()
) -> Run:
    """What ran, on what, with which versions; stands beside the facts, never inside a key."""
    return Run(
        run_id=uuid.uuid4().hex,
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        config=json.dumps(dataclasses.asdict(config), sort_keys=True, default=_withheld),
        versions=json.dumps(
            {"python": platform.python_version()}
            | {name: version(name) for name in REPORTED_PACKAGES}
        ),
        git_revision=_git_revision(),
        device=f"{platform.system()} {platform.machine()}",
        models=tuple(models),
        checkers=tuple(checkers),
    )


def _withheld(value: object) -> None:
    """A key, in the place of which nothing is kept.

    Raises:
        TypeError: anything else that has no place in a configuration.
    """
    if not isinstance(value, SecretStr):
        raise TypeError(f"{type(value).__name__} is no setting")


def _git_revision() -> str:
    """Of the checkout that lcmis runs from; empty where it is a wheel, or git is not there."""
    package = Path(__file__).resolve().parent
    if not (package.parent / ".git").exists() or shutil.which("git") is None:
        return ""
    asked = subprocess.run(
        ["git", "-C", str(package.parent), "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip()


# ── one picture again ────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Replay:
    """A stored picture, drawn again."""

    same: bool
    sha256: str
    """Of the picture drawn now."""
    differing: float
    """Share of the pixel values that differ, in [0, 1]."""
    largest: int
    """The largest difference of one value, of 255."""
    changed: tuple[str, ...]
    """What is different on this machine, one line each: package versions, device."""


def replay(store: Store, key: str, config: AuditConfig) -> Replay:
    """Draw a stored picture again and compare it, bit for bit.

    The model is found among those of ``config`` and of the runs in the store.

    Raises:
        UserError: there is no such picture, or its model cannot be opened here.
        RenderError: it cannot be drawn.
    """
    import numpy as np

    spec, render = store.render(key)
    if render.refusal:
        raise ConfigError(f"{spec.key} was refused by its model: there is no picture to compare")
    model = _model_of(spec, store, config)
    (picture,) = draw(model, [spec])
    if isinstance(picture, RenderError):
        raise picture
    before = np.asarray(store.image(render.sha256), dtype=np.int16)
    now = np.asarray(picture, dtype=np.int16)
    if before.shape != now.shape:
        raise RenderError(f"{spec.key}: drawn at {now.shape[1]}x{now.shape[0]} this time")
    distance = np.abs(before - now)
    digest = picture_hash(picture)
    return Replay(
        same=digest == render.sha256,
        sha256=digest,
        differing=float((distance > 0).mean()),
        largest=int(distance.max()),
        changed=_changed(store),
    )


def past_models(store: Store) -> list[ModelSettings]:
    """Every model that a run of this store has named, the latest first, each once."""
    named = [
        _model_settings(entry)
        for run in reversed(store.runs())
        for entry in json.loads(run.config)["models"]
    ]
    return list(dict.fromkeys(named))


def _model_settings(entry: Mapping[str, Any]) -> ModelSettings:
    """As a run kept them, which has no key."""
    hosted = entry.get("hosted")
    return ModelSettings(
        **{
            **entry,
            "adapters": tuple(Adapter(**item) for item in entry["adapters"]),
            "hosted": HostedSettings(**hosted) if hosted else None,
        }
    )


def _model_of(spec: RenderSpec, store: Store, config: AuditConfig) -> ImageModel:
    tried = []
    for settings in dict.fromkeys([*past_models(store), *config.models]):
        model = open_model(settings)
        if model.model_id == spec.model:
            usual = model.spec(spec.stages, spec.seed)
            if dataclasses.replace(usual, negative_prompt=spec.negative_prompt) == spec:
                return model
        tried.append(model.model_id)
    raise ConfigError(
        f"{spec.key} was drawn by {spec.model} with {spec.profile}, {spec.num_inference_steps} "
        f"steps; here are only {', '.join(dict.fromkeys(tried))}: name the model and settings it "
        f"was drawn with"
    )


def _changed(store: Store) -> tuple[str, ...]:
    now = json.loads(provenance(AuditConfig(), "").versions)
    then = json.loads(store.runs()[-1].versions) if store.runs() else now
    return tuple(
        f"{name} was {then.get(name, 'absent')}, is {now[name]}"
        for name in now
        if then.get(name) != now[name]
    )
