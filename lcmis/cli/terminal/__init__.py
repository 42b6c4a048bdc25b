"""What the command line shows: tables, one picture's record, progress with rate and time left."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import functools
import json
import math
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from lcmis.findings import AllPairs, Failures, OnePair, OnePicture
from lcmis.judge import Decision
from lcmis.text import words
from lcmis.types import QuestionKind, Verdict

if TYPE_CHECKING:
    from lcmis.audit.doctor import Finding
    from lcmis.audit.replay import Replay
    from lcmis.audit.run import AuditResult, ModelPlan, Watch
    from lcmis.audit.run import Progress as AuditProgress
    from lcmis.findings import ModelFinding, PairFinding
    from lcmis.plugins.registry import Entry
    from lcmis.plugins.settings import AuditSettings
    from lcmis.repair.evaluate import RepairProgress
    from lcmis.repair.search import Watch as RepairWatch
    from lcmis.types import ConceptPair, Question, Rate, Render, RenderSpec, Score

console = Console(highlight=False)

DERIVED = (
    *("key", "passed", "num_repaired", "num_proved", "num_surely_failing"),
    *("num_added", "num_pairs"),
)
"""Properties that belong to a value's JSON beside its fields."""
ROOMY = 110
"""Columns of a terminal from which a table of pairs has room for levels and what is missing."""
BAR = "▏▎▍▌▋▊▉█"
DECISIONS = {
    Decision.FAILS: ("fails", "red"),
    Decision.PASSES: ("passes", "green"),
    Decision.UNDECIDED: ("undecided", "yellow"),
    Decision.CONTINUE: ("not finished", "yellow"),
}


def short(model_id: str) -> str:
    """A name without its revision, for a table."""
    name, _, revision = model_id.rpartition("@")
    return name if name and revision else model_id


def name_column(table: Table, names: Iterable[str]) -> None:
    """A column for model names, wide enough that a narrow terminal folds other columns first."""
    widest = max((len(name) for name in names), default=0)
    table.add_column("model", style="bold", min_width=min(widest, 32), overflow="fold")


def percent(rate: Rate) -> str:
    """E.g. ``"42 % [28–57]"``."""
    if not rate.total:
        return "no pictures"
    low, high = words.percent(rate.low), words.percent(rate.high)
    return f"{words.percent(rate.value):>3} % [{low}–{high}]"


# ── progress ─────────────────────────────────────────────────────────────────────────────────────


class _RateColumn(ProgressColumn):
    """Pictures a second, over the last few of them."""

    def render(self, task: Task) -> Text:
        speed = task.speed or task.finished_speed
        return Text("" if not speed else f"{speed:.1f} pictures/s", style="dim")


@contextlib.contextmanager
def progress(*, quiet: bool = False) -> Iterator[Watch | None]:
    """A line a model while an audit runs; nothing where the output is for a script."""
    if quiet:
        yield None
        return

    def doing(now: AuditProgress) -> str:
        failed = f", {now.failures} failed" if now.failures else ""
        return f"{now.activity}; {now.decided} of {now.pairs} pairs decided{failed}"

    with lines() as move:
        yield lambda now: move(now.model, now.pictures, now.expected, doing(now))


@contextlib.contextmanager
def repair_progress(*, quiet: bool = False) -> Iterator[RepairWatch | None]:
    """A line a model while a repair runs; nothing where the output is for a script."""
    if quiet:
        yield None
        return

    def doing(now: RepairProgress) -> str:
        return f"{now.repaired} of {now.done} repaired, {now.pairs} to do; {escape(now.activity)}"

    with lines() as move:
        yield lambda now: move(now.model, now.pictures, now.expected, doing(now))


@contextlib.contextmanager
def lines() -> Iterator[Callable[[str, int, int, str], None]]:
    """Bars that are moved by model, pictures, pictures expected, and what happens now."""
    bars = Progress(
        SpinnerColumn(),
        TextColumn("[bold]{task.fields[model]}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("[dim]{task.description}"),
        console=Console(stderr=True, highlight=False),
    )
    tasks: dict[str, Any] = {}

    def move(model: str, pictures: int, expected: int, doing: str) -> None:
        if model not in tasks:
            for task in tasks.values():
                bars.update(task, total=bars.tasks[task].completed, description="done")
            tasks[model] = bars.add_task(
                doing, total=expected, completed=pictures, model=short(model)
            )
        bars.update(tasks[model], total=expected, completed=pictures, description=doing)

    with bars:
        yield move
        for task in tasks.values():
            bars.update(task, total=bars.tasks[task].completed, description="done")


# ── an audit ─────────────────────────────────────────────────────────────────────────────────────


def print_result(result: AuditResult, store: str, *, worst: int = 12) -> None:
    """The closing tables of an audit: a line a model, then the pairs that fail."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
    name_column(table, [short(model.model) for model in result.models])
    table.add_column("pictures right", no_wrap=True)
    table.add_column("pairs pass", justify="right", style="green")
    table.add_column("fail", justify="right", style="red")
    table.add_column("open", justify="right", style="yellow")
    table.add_column("pictures", justify="right")
    table.add_column("2nd opinion")
    for model in result.models:
        table.add_row(
            escape(short(model.model)),
            percent(model.aligned),
            *(str(len(model.decided(d))) for d in _ENDS),
            str(model.pictures),
            "; ".join(
                f"{other.agreement.share.value:.0%}" for other in model.second_opinions
            ).replace("%", " %"),
        )
    console.print(table)
    for model in result.models:
        failing = len(model.decided(Decision.FAILS))
        if failing and model.num_looked_at > 1:
            told = words.controlled(model.num_surely_failing, model.num_looked_at)
            console.print(f"{escape(short(model.model))}: {failing} pairs fail ({told})")
    for model in result.models:
        print_pairs(
            [pair for pair in model.pairs if pair.judgement.failing is not Decision.PASSES],
            title=f"what {short(model.model)} gets wrong",
            limit=worst,
            show_model=False,
        )
    for model in result.models:
        _print_silence(model)
    console.print(
        f"[dim]{result.drawn} pictures drawn in {duration(result.seconds)}; judged by "
        f"{escape(result.checkers[0])}.[/]"
    )
    if result.spent:
        console.print(f"They cost about {result.spent:.2f}, by the price you gave.")
    print_failures(result.failures)
    where = in_store(store)
    print_next(
        (f"lcmis dashboard{where}", "to look at the pictures"),
        (f"lcmis show{where}", "for every pair"),
    )


def print_failures(count: int) -> None:
    """How many items failed, and what becomes of them; nothing where none did."""
    if count:
        console.print(
            f"[yellow]{count} items failed[/] and will be tried again by the same command; "
            f"`lcmis show failures` lists them."
        )


def in_store(store: str) -> str:
    """What a command needs to be told of this store; nothing of the usual one."""
    return "" if store == "audit" else f" --store {shlex.quote(store)}"


def print_next(*steps: tuple[str, str]) -> None:
    """Commands to go on with and what each is for: a line each, never broken, to be copied."""
    for number, (command, purpose) in enumerate(steps):
        lead = "     " if number else "Next:"
        console.print(f"[dim]{lead}[/] {escape(command)}  [dim]{purpose}[/]", soft_wrap=True)


_ENDS = (Decision.PASSES, Decision.FAILS, Decision.UNDECIDED)


def _print_silence(model: ModelFinding) -> None:
    silent = {
        "unscored": model.count(Verdict.UNSCORED),
        "refused by the model": model.count(Verdict.REFUSED),
    }
    for kind, count in silent.items():
        if count:
            console.print(f"[yellow]{escape(short(model.model))}: {count} pictures {kind}[/]")


def print_pairs(
    found: Sequence[PairFinding],
    *,
    title: str = "",
    limit: int | None = None,
    show_model: bool = True,
) -> None:
    """Pairs, worst first: how many are right, how bad that is, and what is painted instead."""
    if not found:
        return
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        title=title or None,
        title_justify="left",
    )
    if show_model:
        name_column(table, [short(finding.model) for finding in found])
    roomy = console.width >= ROOMY
    counted = roomy or not show_model  # 80 columns have no room for both
    table.add_column("prompt", overflow="fold", min_width=20)
    if counted:
        table.add_column("right", justify="right")
    table.add_column("rate", no_wrap=True)
    if roomy:
        table.add_column("level", justify="center", no_wrap=True)
        table.add_column("missing", no_wrap=True)
    table.add_column("painted instead", style="bold", min_width=22 if roomy else 15)
    table.add_column("", no_wrap=True)
    for finding in found[:limit]:
        judgement = finding.judgement
        aligned = judgement.aligned
        word, colour = DECISIONS[judgement.failing]
        missing = _missing(finding)
        table.add_row(
            *([escape(short(finding.model))] if show_model else []),
            escape(finding.pair.prompt),
            *([f"{judgement.count(Verdict.ALIGNED)}/{aligned.total}"] if counted else []),
            percent(aligned) if aligned.total else "[yellow]unscored[/]",
            *([str(judgement.levels), missing] if roomy else []),
            escape(_instead(finding, roomy)) or ("[dim]none of the suspects[/]" if missing else ""),
            f"[{colour}]{word}[/]",
        )
    console.print(table)
    if limit is not None and len(found) > limit:
        console.print(f"[dim]… and {len(found) - limit} more[/]\n")


def _instead(finding: PairFinding, roomy: bool) -> str:
    top = finding.intruder
    return finding.painted_instead if roomy or top is None else f"{top.name} ×{top.count}"


def _missing(finding: PairFinding) -> str:
    counts = {
        finding.pair.a.name: finding.judgement.count(Verdict.A_MISSING),
        finding.pair.b.name: finding.judgement.count(Verdict.B_MISSING),
        "both": finding.judgement.count(Verdict.BOTH_MISSING),
    }
    return ", ".join(f"{escape(name)} {count}" for name, count in counts.items() if count)


# ── a plan ───────────────────────────────────────────────────────────────────────────────────────


def print_plan(plans: Sequence[ModelPlan], config: AuditSettings) -> None:
    """What an audit would draw, how long that takes, and what it can tell apart."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    name_column(table, [short(plan.model) for plan in plans])
    table.add_column("pairs", justify="right")
    table.add_column("undecided", justify="right")
    table.add_column("in the store", justify="right")
    table.add_column("still to draw", justify="right")
    table.add_column("at worst", justify="right")
    table.add_column("time")
    for plan in plans:
        table.add_row(
            escape(short(plan.model)),
            str(plan.pairs),
            str(plan.undecided),
            str(plan.present),
            f"about {plan.expected}" if plan.undecided else "0",
            str(plan.most),
            "done"
            if not plan.undecided
            else "not measured yet"
            if plan.seconds_each is None
            else f"about {duration(plan.expected * plan.seconds_each)}",
        )
    console.print(table)
    stopping = config.stopping
    console.print(
        f"A pair fails when more than {stopping.threshold:.0%} of its pictures are wrong; it is "
        f"drawn {stopping.block} pictures at a time until that is decided, {stopping.cap} at most "
        f"({stopping.rule})."
    )
    if plans and plans[0].detectable < 1:
        console.print(
            f"Two models audited like this can be told apart from a difference of "
            f"{plans[0].detectable:.0%} of their pictures on (power 80 %)."
        )
    elif plans:
        console.print(
            "[yellow]So few pairs cannot tell two models apart, however much they differ: add "
            "pairs.[/]"
        )
    for plan in plans:
        if plan.price is not None:
            low, mean, high = (
                plan.price * count for count in (plan.least, plan.expected, plan.most)
            )
            console.print(
                f"{escape(short(plan.model))} costs about {mean:.2f}, from {low:.2f} to {high:.2f}."
            )
        for sentence in plan.refused:
            console.print(f"[yellow]left out:[/] {escape(sentence)}")


# ── one pair, one picture ────────────────────────────────────────────────────────────────────────


def print_pair(found: Sequence[PairFinding], pair: ConceptPair) -> None:
    """One pair over all models, then every picture with its scores."""
    console.print(f"[bold]{escape(pair.prompt)}[/]  [dim]{pair.key}[/]")
    for side in (pair.a, pair.b):
        console.print(f"  {escape(side.name)}: [dim]{escape(side.description)}[/]")
    if pair.intruders:
        names = ", ".join(dict.fromkeys(item.concept.name for item in pair.intruders))
        console.print(f"  suspected instead: [dim]{escape(names)}[/]")
    if not found:
        console.print("[yellow]No model has drawn this pair yet: run `lcmis audit`.[/]")
        return
    print_pairs(found)
    for finding in found:
        table = Table(
            box=box.SIMPLE_HEAD, pad_edge=False, title=short(finding.model), title_justify="left"
        )
        table.add_column("seed", justify="right")
        table.add_column("verdict")
        table.add_column(f"P({finding.pair.a.name})", justify="right")
        table.add_column(f"P({finding.pair.b.name})", justify="right")
        table.add_column("seen as")
        table.add_column("picture", style="dim", no_wrap=True)
        for item, verdict in zip(finding.evidence, finding.judgement.verdicts, strict=True):
            table.add_row(
                str(item.seed),
                _verdict_words(verdict, finding.pair),
                _probability(item.a),
                _probability(item.b),
                escape(", ".join(filter(None, (item.intruder_a, item.intruder_b)))),
                item.spec_key,
            )
        console.print(table)


def _verdict_words(verdict: Verdict, pair: ConceptPair) -> str:
    words = {
        Verdict.ALIGNED: "[green]right[/]",
        Verdict.A_MISSING: f"[red]no {escape(pair.a.name)}[/]",
        Verdict.B_MISSING: f"[red]no {escape(pair.b.name)}[/]",
        Verdict.BOTH_MISSING: "[red]neither[/]",
        Verdict.UNSCORED: "[yellow]unscored[/]",
        Verdict.REFUSED: "[yellow]refused[/]",
    }
    return words[verdict]


def _probability(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def print_picture(
    spec: RenderSpec,
    render: Render,
    scores: Sequence[tuple[Question, Score]],
    path: str,
) -> None:
    """One picture: how it was drawn, and every question, option and probability."""
    facts = {
        "prompt": " → ".join(
            stage.prompt if len(spec.stages) == 1 else f"{stage.prompt} (to {stage.denoising_end})"
            for stage in spec.stages
        ),
        "negative prompt": spec.negative_prompt,
        "model": spec.model,
        "adapters": ", ".join(f"{item.name} × {item.weight:g}" for item in spec.adapters),
        "seed": str(spec.seed),
        "steps": str(spec.num_inference_steps),
        "guidance": f"{spec.guidance_scale:g}",
        "scheduler": spec.scheduler,
        "size": f"{spec.width}×{spec.height}",
        "profile": spec.profile,
        "took": f"{render.seconds:.2f} s on {render.device}",
        "picture": path or f"refused: {render.refusal}",
        "key": spec.key,
    }
    for name, value in facts.items():
        if value:
            console.print(f"[dim]{name:>16}[/]  {escape(value)}", soft_wrap=True)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("checker", "question", "option"):
        table.add_column(column, overflow="fold")
    table.add_column("probability", justify="right")
    table.add_column("")
    table.add_column("mass", justify="right", style="dim")
    last = ("", "")
    kinds = list(QuestionKind)
    for question, score in sorted(
        scores, key=lambda item: (item[1].checker, kinds.index(item[0].kind))
    ):
        asked = (short(score.checker), f"{question.kind.replace('_', ' ')}: {question.text}")
        answer = score.answer
        table.add_row(
            escape(asked[0]) if asked[0] != last[0] else "",
            escape(asked[1]) if asked != last else "",
            escape(answer.option),
            _probability(answer.value),
            escape(answer.reason) if answer.value is None else _bar(answer.value),
            f"{answer.mass:.2f}",
        )
        last = asked
    console.print(table)


def _bar(share: float, width: int = 10) -> str:
    filled, part = divmod(round(share * width * 8), 8)
    return "█" * filled + (BAR[part - 1] if part else "")


@functools.singledispatch
def print_found(found: object) -> None:
    """What `lcmis show` found: all pairs, one pair, one picture, or the failures."""
    raise TypeError(f"no way to show a {type(found).__name__}")


@print_found.register
def _(found: AllPairs) -> None:
    if not found.pairs:
        console.print("No model has drawn anything in this store yet: run `lcmis audit`.")
    print_pairs(found.pairs)
    console.print(f"[dim]judged by {escape(found.checker)}[/]")


@print_found.register
def _(found: OnePair) -> None:
    print_pair(found.findings, found.pair)


@print_found.register
def _(found: OnePicture) -> None:
    print_picture(found.spec, found.render, found.scores, found.path)


@print_found.register
def _(found: Failures) -> None:
    if not found.failures:
        console.print("[green]Nothing has failed.[/]")
    for failure in found.failures:
        console.print(
            f"[dim]{failure.at}[/] {failure.stage} [dim]{failure.item}[/]: "
            f"{escape(failure.sentence)}",
            soft_wrap=True,
        )


# ── plugs, health, replay ────────────────────────────────────────────────────────────────────────


def print_names(entries: Sequence[Entry], hint: str) -> None:
    """Registered plugs: what they are called, what they are, and where they live."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("name", style="bold")
    table.add_column("what it is", overflow="fold")
    table.add_column("where", style="dim")
    for entry in entries:
        table.add_row(escape(entry.name), escape(entry.summary), escape(entry.where))
    console.print(table)
    console.print(f"[dim]{escape(hint)}[/]")


def print_health(results: Sequence[Finding]) -> None:
    """One line a check, the failing ones with what to do."""
    marks = {"ok": "[green]✓[/]", "note": "[yellow]![/]", "fault": "[red]✗[/]"}
    for item in results:
        console.print(f"{marks[item.state]} [bold]{escape(item.name)}[/]: {escape(item.sentence)}")


def print_faults(faults: Sequence[str]) -> None:
    """What is wrong with a store, a line each."""
    for fault in faults:
        console.print(f"[red]✗[/] {escape(fault)}", soft_wrap=True)
    if not faults:
        console.print("[green]✓[/] schema, keys and pictures are as they should be")


def print_replay(replay: Replay) -> None:
    """Whether a picture drawn again is the same one."""
    if replay.same:
        console.print(f"[green]✓[/] the same picture, bit for bit ({replay.sha256[:16]}…)")
        return
    console.print(
        f"[red]✗[/] another picture: {replay.differing:.2%} of its values differ, by "
        f"{replay.largest} of 255 at most"
    )
    for line in replay.changed:
        console.print(f"  {escape(line)}")


# ── for scripts ──────────────────────────────────────────────────────────────────────────────────


def print_json(value: Any) -> None:
    """A result as JSON on standard output."""
    sys.stdout.write(as_json(value))


def as_json(value: Any) -> str:
    """Field for field but for pictures; what is not a number is null with its count beside it."""
    return json.dumps(_plain(value), indent=2, ensure_ascii=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, PurePath):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {
            item.name: getattr(value, item.name)
            for item in dataclasses.fields(value)
            if item.metadata.get("shown", True)
        }
        keyed = {name: getattr(value, name) for name in DERIVED if hasattr(value, name)}
        return {name: _plain(item) for name, item in (keyed | fields).items()}
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def duration(seconds: float) -> str:
    """As a person says it: ``"42 s"``, ``"3 min"``, ``"1.5 h"``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
