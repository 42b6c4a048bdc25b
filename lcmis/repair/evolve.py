"""Evolves an instruction on pairs that fail, and measures it on failing pairs it never saw."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lcmis import findings, judge
from lcmis.audit.provenance import provenance
from lcmis.check import questions_of
from lcmis.errors import ConfigError, RenderError
from lcmis.judge import Difference, PairedCounts
from lcmis.machine.budget import Budget
from lcmis.machine.files import replacing
from lcmis.plugins.opening import open_checker
from lcmis.plugins.optional import sketch_of
from lcmis.plugins.protocols import Checker, ImageModel
from lcmis.plugins.settings import AuditSettings, CheckerSettings, TextModelSettings
from lcmis.repair.evaluate import ASKED, SEARCH_SEEDS, look_at_all
from lcmis.repair.methods.bigpe import Asked, Evolution, Plan, evolve
from lcmis.repair.search import Repair, RepairSettings
from lcmis.store import Evidence, Store
from lcmis.text import asking
from lcmis.text.recorded import Correspondence
from lcmis.text.words import one_line, plain
from lcmis.types import (
    CERTIFICATE_BLOCK,
    ConceptPair,
    QuestionKind,
    Rate,
    RenderSpec,
    Stage,
    Verdict,
    certificate_block,
    content_key,
    key_number,
    share_a_member,
)
from lcmis.workers.studio import Item

LEAST_PAIRS = 2
"""On either side: of one pair nothing follows for others."""


@dataclass(frozen=True, slots=True)
class EvolveSettings:
    """How an instruction is evolved and measured."""

    text_model: TextModelSettings
    plan: Plan = field(default_factory=Plan)
    subjects: int = 6
    """Failing pairs to evolve on, at the most."""
    held_out: int = 8
    """Other failing pairs to measure on, at the most."""
    fresh: int = 8
    """Seeds of each pair that is measured."""
    budget: int = 1200
    """Different pictures that the search may ask for."""
    calls: int = 400
    """That may be made to the text model."""
    score: CheckerSettings | None = None
    """What a picture is worth; None is the guide's fitness."""
    experts: Mapping[str, Sequence[str]] | None = None
    """Professional prompts by the prompt of their pair; see :func:`read_experts`."""
    instruction: str = ""
    """The first one; empty is a neutral sentence."""
    level: int | None = None
    """Pairs of this severity level or worse; None is those decided to fail."""


@dataclass(frozen=True, slots=True)
class EvolveProgress:
    """How far an evolution is, as told to whoever watches."""

    model: str
    activity: str
    pictures: int
    """Drawn by this run."""
    expected: int
    """All that may be drawn."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """One pair that the search never saw."""

    pair: ConceptPair
    first: str
    """Written under the first instruction; the plain prompt where nothing could be."""
    best: str
    """Written under the evolved one."""
    counts: PairedCounts
    """First against evolved, on the same seeds."""
    plain_right: int
    """Of the pictures of the plain prompt on these seeds."""
    plain_total: int


@dataclass(frozen=True, slots=True)
class EvolveResult:
    """What an evolution concludes, and what it cost."""

    evolution: Evolution
    model: str
    text_model: str
    guide: str
    """Whose scores guided the search."""
    judge: str
    """Who judged the pairs that were held out; never the guide."""
    subjects: tuple[ConceptPair, ...]
    held_out: tuple[HeldOut, ...]
    plain: Rate
    """Right pictures of held-out pairs with an interval clustered by pair."""
    first: Rate
    best: Rate
    difference: Difference
    """Evolved less first, paired by pair and seed, clustered by pair."""
    drawn: int
    """Pictures drawn by this run."""
    seconds: float
    failures: int
    notes: tuple[str, ...] = ()
    """Workers that kept failing and were left out, a sentence each."""

    @property
    def helps(self) -> bool:
        """Whether the evolved instruction is better with 95 % confidence."""
        return self.difference.low > 0


class Evolve:
    """One evolution with every name resolved and no model loaded.

    The first checker judges, the second one guides unless ``score`` names another. Which pairs are
    held out is decided by their keys, so that the same store is always split the same way.

    Raises:
        UserError: whatever is wrong with the settings, before anything heavy happens.
    """

    def __init__(
        self,
        config: AuditSettings,
        store: Store,
        settings: EvolveSettings,
        watch: Callable[[EvolveProgress], None] | None = None,
    ) -> None:
        _refuse_impossible(settings)
        chosen = RepairSettings("bigpe", level=settings.level, text_model=settings.text_model)
        repair = Repair(config, store, chosen)
        self.config = config
        self.store = store
        self.settings = settings
        self.watch = watch
        self._repair = repair
        self.studio = repair.studio
        self.judge = repair.judge
        self.guide = open_checker(settings.score) if settings.score else repair.guide
        if share_a_member(self.guide.checker_id, self.judge.checker_id):
            raise ConfigError(
                f"{self.judge.checker_id} judges what is found, so it cannot score the search: "
                f"name another with --score, or another judge with --checker"
            )
        self.model = _one_model([model for model, _ in repair.failing])
        self.studio.together = [self.judge, self.guide, self.model]
        pairs = [finding.pair for model, finding in repair.failing if model is self.model]
        self.subjects, self.held_out = _split(pairs, settings.subjects, settings.held_out)
        self.experts = _of_these(settings.experts, self.subjects)
        assert repair.text_model is not None
        self.text_model = Correspondence(
            repair.text_model, settings.text_model, store, settings.calls
        )
        self._budget = Budget(pictures=settings.budget)

    @property
    def most_pictures(self) -> int:
        """That the search and its measurement may draw."""
        return self.settings.budget + self._measured

    @property
    def _measured(self) -> int:
        return 3 * self.settings.fresh * len(self.held_out)

    def run(self, command: str = "") -> EvolveResult:
        """Evolve, then measure; pictures and replies in the store are not asked for again.

        Raises:
            TooManyFailures: ``max_failures`` items failed in this run.
        """
        started = time.monotonic()
        checkers = [self.judge.checker_id, self.guide.checker_id]
        this_run = provenance(self.config, command, [self.model.model_id], checkers)
        self.store.add_run(this_run)
        self.studio.run_id = this_run.run_id
        self.studio.crew = self._repair.crew()
        with self.studio:
            evolution = evolve(
                self.subjects,
                self.text_model,
                self._score,
                self._attempt,
                SEARCH_SEEDS,
                instruction=self.settings.instruction,
                plan=self.settings.plan,
                experts=self.experts,
                dice=random.Random(content_key(tuple(pair.key for pair in self.subjects))),
            )
            held_out = self._measure(evolution.first.text, evolution.best.text)
        counts = [one.counts for one in held_out]
        return EvolveResult(
            evolution=evolution,
            model=self.model.model_id,
            text_model=self.text_model.model_id,
            guide=self.guide.checker_id,
            judge=self.judge.checker_id,
            subjects=tuple(self.subjects),
            held_out=tuple(held_out),
            plain=judge.model_rate([(one.plain_right, one.plain_total) for one in held_out]),
            first=judge.model_rate([one.of_first for one in counts]),
            best=judge.model_rate([one.of_second for one in counts]),
            difference=judge.paired_difference(counts),
            drawn=self.studio.drawn,
            seconds=time.monotonic() - started,
            failures=len(self.studio.failed),
            notes=tuple(self.studio.crew.notes),
        )

    # ── searching ────────────────────────────────────────────────────────────────────────────

    def _score(self, asked: Sequence[Asked]) -> list[dict[int, float]]:
        """What the guide says of each picture: the worse of both concepts or, by a checker that
        only knows whole prompts, how well it fits the plain one.
        """
        groups = [
            [
                sketch_of(self.model, spec)
                for spec in self._specs(one.subject, one.prompt, one.seeds)
            ]
            for one in asked
        ]
        wanted = {spec.key for specs in groups for spec in specs}
        self._budget.pay(wanted)
        plan = [
            (one.subject, spec) for one, specs in zip(asked, groups, strict=True) for spec in specs
        ]
        kinds = _kinds(self.guide, self.subjects[0])
        seen = self._look(self.guide, plan, kinds, "evolving")
        scored = {key: _worth(item, kinds) for key, item in seen.items()}
        return [
            {spec.seed: worth for spec in specs if (worth := scored.get(spec.key)) is not None}
            for specs in groups
        ]

    def _attempt(self, what: str, source: Callable[[], Iterable[Item]]) -> list[Item]:
        return self.studio.collect(self.text_model.model_id, "ask", what, source)

    # ── measuring ────────────────────────────────────────────────────────────────────────────

    def _measure(self, first: str, best: str) -> list[HeldOut]:
        seeds = fresh_seeds(best, self.settings.fresh)
        prompts = {
            pair: (pair.prompt, self._written(first, pair), self._written(best, pair))
            for pair in self.held_out
        }
        specs = {
            (pair, prompt): self._specs(pair, prompt, seeds)
            for pair, three in prompts.items()
            for prompt in three
        }
        plan = [(pair, spec) for (pair, _), some in specs.items() for spec in some]
        seen = self._look(self.judge, plan, ASKED, "measuring")
        right = {key: _right(item, self.config.threshold) for key, item in seen.items()}
        return [
            _held_out(
                pair, three, *([right.get(spec.key) for spec in specs[pair, one]] for one in three)
            )
            for pair, three in prompts.items()
        ]

    def _written(self, instruction: str, pair: ConceptPair) -> str:
        """The plain prompt stands where nothing is written or what is written cannot be read."""
        written = self._attempt(
            "bigpe's writer", lambda: [asking.refine(self.text_model, instruction, pair)]
        )
        return next((one for one in written if self._specs(pair, one, [0])), pair.prompt)

    # ── both ─────────────────────────────────────────────────────────────────────────────────

    def _specs(self, pair: ConceptPair, prompt: str, seeds: Sequence[int]) -> list[RenderSpec]:
        """One for each seed; none where the model cannot read the prompt."""
        try:
            return [self.model.spec((Stage(prompt),), seed) for seed in seeds]
        except RenderError:
            return []

    def _look(
        self,
        checker: Checker,
        plan: Sequence[tuple[ConceptPair, RenderSpec]],
        kinds: Sequence[QuestionKind],
        activity: str,
    ) -> dict[str, Evidence]:
        """Draw all pairs' pictures together, since a batch has room for several, then check."""
        groups: dict[ConceptPair, list[RenderSpec]] = defaultdict(list)
        for pair, spec in plan:
            groups[pair].append(spec)
        return look_at_all(
            self.studio, checker, self.model, groups, kinds, lambda: self._tell(activity)
        )

    def _tell(self, activity: str) -> None:
        if self.watch is not None:
            self.watch(
                EvolveProgress(
                    model=self.model.model_id,
                    activity=activity,
                    pictures=self.studio.drawn,
                    expected=self.most_pictures,
                )
            )


def fresh_seeds(instruction: str, count: int) -> range:
    """Seeds that measure this instruction and no other, as nominations have theirs."""
    return certificate_block(key_number(instruction) >> 1)[:count]


def _held_out(
    pair: ConceptPair,
    prompts: tuple[str, str, str],
    plain: Sequence[bool | None],
    first: Sequence[bool | None],
    best: Sequence[bool | None],
) -> HeldOut:
    paired = [
        (one, other)
        for one, other in zip(first, best, strict=True)
        if one is not None and other is not None
    ]
    return HeldOut(
        pair=pair,
        first=prompts[1],
        best=prompts[2],
        counts=PairedCounts(
            both=paired.count((True, True)),
            first=paired.count((True, False)),
            second=paired.count((False, True)),
            neither=paired.count((False, False)),
        ),
        plain_right=sum(one is True for one in plain),
        plain_total=sum(one is not None for one in plain),
    )


def _right(item: Evidence, threshold: float) -> bool | None:
    verdict = findings.verdict_of(item, threshold)
    return verdict is Verdict.ALIGNED if verdict.is_scored else None


def _kinds(checker: Checker, pair: ConceptPair) -> Sequence[QuestionKind]:
    """What a checker is asked: about both concepts or, where it cannot tell, the whole prompt."""
    taken = {question.kind for question in questions_of(pair) if checker.takes(question)}
    if taken.issuperset(ASKED):
        return ASKED
    if QuestionKind.RELATION in taken:
        return (QuestionKind.RELATION,)
    raise ConfigError(f"{checker.checker_id} cannot score {pair.prompt!r}: name another --score")


def _worth(item: Evidence, kinds: Sequence[QuestionKind]) -> float | None:
    if kinds is not ASKED:
        return item.relation
    return None if item.a is None or item.b is None else min(item.a, item.b)


def _one_model(failing: Sequence[ImageModel]) -> ImageModel:
    models = list(dict.fromkeys(failing))
    if len(models) > 1:
        raise ConfigError(
            f"pairs fail on {', '.join(model.model_id for model in models)}, and an instruction is "
            f"evolved for one model: name it with --model"
        )
    return models[0]


def _split(
    pairs: Sequence[ConceptPair], subjects: int, held_out: int
) -> tuple[list[ConceptPair], list[ConceptPair]]:
    """Both sides in proportion to what was asked for where there are not so many pairs."""
    shuffled = sorted(pairs, key=lambda pair: key_number(f"evolve {pair.key}"))
    if len(shuffled) < 2 * LEAST_PAIRS:
        raise ConfigError(
            f"{len(shuffled)} pairs of this store fail, and an evolution needs {2 * LEAST_PAIRS}, "
            f"half of them held out: audit more pairs, or choose others with --level"
        )
    if len(shuffled) < subjects + held_out:
        share = round(len(shuffled) * subjects / (subjects + held_out))
        subjects = min(max(share, LEAST_PAIRS), len(shuffled) - LEAST_PAIRS)
    return shuffled[:subjects], shuffled[subjects : subjects + held_out]


def _of_these(
    experts: Mapping[str, Sequence[str]] | None, subjects: Sequence[ConceptPair]
) -> dict[str, Sequence[str]]:
    """The subjects' professional prompts."""
    if not experts:
        return {}
    by_prompt = {prompt.casefold(): lines for prompt, lines in experts.items()}
    found = {
        pair.prompt: by_prompt[pair.prompt.casefold()]
        for pair in subjects
        if pair.prompt.casefold() in by_prompt
    }
    if not found:
        raise ConfigError(
            f"the professional prompts are for none of the pairs that are evolved on, which are "
            f"{'; '.join(pair.prompt for pair in subjects)}: begin a paragraph with one of these"
        )
    return found


def _refuse_impossible(settings: EvolveSettings) -> None:
    counts = {
        "--subjects": (settings.subjects, LEAST_PAIRS),
        "--held-out": (settings.held_out, LEAST_PAIRS),
        "--iterations": (settings.plan.iterations, 1),
        "--fresh": (settings.fresh, 1),
        "--budget": (settings.budget, 1),
    }
    for name, (count, least) in counts.items():
        if count < least:
            raise ConfigError(f"{name} is {count}, but it is at least {least}")
    if settings.fresh > CERTIFICATE_BLOCK:
        raise ConfigError(f"--fresh is {settings.fresh}, but it is at most {CERTIFICATE_BLOCK}")


# ── files ────────────────────────────────────────────────────────────────────────────────────────


def read_instruction(path: Path) -> str:
    """An instruction from a file; lines that begin with # are left out, the others joined.

    Raises:
        ConfigError: the file cannot be read as text, or holds none or too much.
    """
    lines = [line for line in _lines(path) if not line.startswith("#")]
    instruction = one_line(" ".join(lines))
    if not 0 < len(instruction) <= asking.MAX_INSTRUCTION_LETTERS:
        raise ConfigError(
            f"{path} holds an instruction of {len(instruction)} letters, and a text model is given "
            f"1 to {asking.MAX_INSTRUCTION_LETTERS}: write a sentence or two"
        )
    return instruction


def write_instruction(evolved: EvolveResult, path: Path) -> None:
    """The evolved instruction with a line of where it comes from.

    Raises:
        ConfigError: it cannot be written.
    """
    difference = evolved.difference
    said = (
        f"# evolved by lcmis on {len(evolved.subjects)} pairs of {evolved.model}; on "
        f"{difference.pairs} others {difference.value:+.1%} right pictures "
        f"({difference.low:+.1%} to {difference.high:+.1%}) over the first instruction"
    )
    with replacing(path) as draft:
        draft.write_text(f"{said}\n{evolved.evolution.best.text}\n", encoding="utf-8")


def read_experts(path: Path) -> dict[str, tuple[str, ...]]:
    """Professional prompts from a text file: paragraphs apart by empty lines, each a pair's plain
    prompt and then other prompts for it, one a line; lines that begin with # are left out.

    Raises:
        ConfigError: the file cannot be read as text, or a paragraph holds a plain prompt alone.
    """
    found: dict[str, tuple[str, ...]] = {}
    lines = [line for line in _lines(path) if not line.startswith("#")]
    for paragraph in "\n".join(lines).split("\n\n"):
        subject, *prompts = [line for line in paragraph.split("\n") if line] or [""]
        if subject and not prompts:
            raise ConfigError(
                f"{path}: nothing follows {subject!r}; write other prompts for it in the lines "
                f"below, one a line"
            )
        if subject:
            found[subject] = (*found.get(subject, ()), *prompts)
    if not found:
        raise ConfigError(f"{path} holds no prompts: begin with a pair's prompt, others below it")
    return found


def _lines(path: Path) -> list[str]:
    """Each without the space around it."""
    try:
        return [one_line(plain(line)) for line in path.read_text("utf-8").splitlines()]
    except FileNotFoundError as error:
        raise ConfigError(f"{path} does not exist: name a text file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as text: {error}; save it as UTF-8") from error
