"""What the command line shows: tables, one picture's record, progress with rate and time left."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import functools
import itertools
import json
import math
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Protocol

from rich.markup import escape
from rich.text import Text

from lcmis.cli.terminal.bars import NOTHING, Bars, SoFar
from lcmis.cli.terminal.piped import Pace, spoken
from lcmis.cli.terminal.tables import Cell, Column, Grid, rate_cell
from lcmis.findings import AllPairs, Dissents, Failures, OnePair, OnePicture, words
from lcmis.findings.likeness import LikenessFinding
from lcmis.findings.words import several
from lcmis.judge import Decision
from lcmis.machine import letters
from lcmis.machine.console import Terminal, stderr_console
from lcmis.machine.hub.fetching import in_words, room_for_models
from lcmis.machine.secrets import withheld
from lcmis.plugins.settings import USUAL_STORE
from lcmis.types import QuestionKind, Verdict

if TYPE_CHECKING:
    from lcmis.audit.doctor import Finding
    from lcmis.audit.replay import Replay
    from lcmis.audit.run import AuditResult, Judging, ModelPlan, Watch
    from lcmis.audit.run import Progress as AuditProgress
    from lcmis.audit.settled import AuditSummary
    from lcmis.findings import PairFinding
    from lcmis.findings.notes import Noted
    from lcmis.findings.summary import ModelSummary
    from lcmis.machine.hub.fetching import Fetch
    from lcmis.plugins.settings import AuditSettings
    from lcmis.repair.progress import RepairProgress
    from lcmis.repair.search import Watch as RepairWatch
    from lcmis.types import ConceptPair, Question, Render, RenderSpec, Score

console = Terminal()

DERIVED = (
    *("key", "passed", "num_repaired", "num_proved", "num_surely_failing"),
    *("num_added", "num_pairs"),
)
"""Properties that belong to a value's JSON beside its fields."""
BAR = "▏▎▍▌▋▊▉█"
COLOURS = {
    Decision.FAILS: "red",
    Decision.PASSES: "green",
    Decision.UNDECIDED: "yellow",
    Decision.CONTINUE: "yellow",
}
PROMPT = Column(name="prompt", wraps=True, heads=True, longest=160)
"""Of a pair, in a list of many."""


# ── progress ─────────────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def progress(*, quiet: bool = False) -> Iterator[Watch | None]:
    """A line a model while an audit runs; nothing where the output is for a script."""
    if quiet:
        yield None
        return

    def standing(now: AuditProgress) -> SoFar:
        failed = f", {several(now.failures, 'error')}" if now.failures else ""
        return SoFar(
            f"{now.decided} of {several(now.pairs, 'pair')} decided{failed}",
            f"{now.decided}/{now.pairs} decided{failed}",
        )

    with lines() as move:
        yield lambda now: move(now.model, now.pictures, now.expected, now.activity, standing(now))


@contextlib.contextmanager
def repair_progress(*, quiet: bool = False) -> Iterator[RepairWatch | None]:
    """A line a model while a repair runs; nothing where the output is for a script."""
    if quiet:
        yield None
        return

    def standing(now: RepairProgress) -> SoFar:
        repaired, left = f"{now.repaired} of {now.done} repaired", f"{now.pairs - now.done} to do"
        return SoFar(f"{repaired}, {left}")

    with lines() as move:
        yield lambda now: move(now.model, now.pictures, now.expected, now.activity, standing(now))


@contextlib.contextmanager
def embedding(encoder: str, *, quiet: bool = False) -> Iterator[Callable[[int, int], None] | None]:
    """A line while an encoder looks at pictures; nothing where the output is for a script."""
    if quiet:
        yield None
        return
    with lines() as move:
        yield lambda done, expected: move(encoder, done, expected, "looking")


class Moves(Protocol):
    """What moves a line."""

    def __call__(
        self, model: str, pictures: int, expected: int, activity: str, standing: SoFar = NOTHING
    ) -> None:
        """How far a model is, what happens now, and what has come of the work."""


@contextlib.contextmanager
def lines() -> Iterator[Moves]:
    """Bars that are moved; lines now and then where no terminal shows a bar."""
    if not stderr_console().is_terminal:
        pace = Pace()
        with spoken() as said:

            def tell(
                model: str,
                pictures: int,
                expected: int,
                activity: str,
                standing: SoFar = NOTHING,
            ) -> None:
                said.move(
                    words.short_name(model),
                    several(pictures, "picture"),
                    "; ".join(filter(None, (activity, standing.whole))),
                    f" of about {expected:,}{pace.told(model, pictures, expected)}",
                )

            yield tell
        return
    bars = Bars(stderr_console())
    with bars:
        yield bars.move
        bars.end()


# ── an audit ─────────────────────────────────────────────────────────────────────────────────────


def print_result(result: AuditResult, store: str) -> None:
    """The closing tables of an audit: a line a model, then the pairs that fail."""
    print_summary(result.summary(), store)


def print_summary(result: AuditSummary, store: str) -> None:
    """The same of what was remembered."""
    names = words.short_names([model.model for model in result.models])
    columns = [
        Column(name="model", wraps=True, style="bold"),
        Column(name="pictures right"),
        Column(name="pairs pass", right=True, style="green"),
        Column(name="fail", right=True, style="red"),
        Column(name="open", right=True, style="yellow"),
        Column(name="pictures", right=True, spare=1),
        Column(name="2nd opinion", wraps=True, spare=2),
    ]
    console.print(Grid(columns, [_model_row(model, names[model.model]) for model in result.models]))
    for model in result.models:
        _print_failing(model, names[model.model])
    for model in result.models:
        print_pairs(
            model.worst,
            title=f"what {names[model.model]} gets wrong",
            show_model=False,
            left_out=model.num_failing + model.num_open - len(model.worst),
        )
    for model in result.models:
        _print_silence(model, names[model.model])
    console.print(
        f"[dim]{several(result.drawn, 'picture')} drawn in {words.duration(result.seconds)}; "
        f"judged by {escape(result.checkers[0])}.[/]"
    )
    if result.spent:
        console.print(f"This run cost about {result.spent:.2f}, by the prices you gave.")
    print_notes(result.notes)
    print_errors(result.failures)
    where = in_store(store)
    print_next(
        (f"lcmis dashboard{where}", "to look at the pictures"),
        (f"lcmis show{where}", "for every pair"),
    )


def _model_row(model: ModelSummary, name: str) -> list[Cell]:
    return [
        name,
        rate_cell(model.aligned),
        str(model.num_passing),
        str(model.num_failing),
        str(model.num_open),
        str(model.pictures),
        "; ".join(f"{words.percent(one.value)} %" for one in model.second_opinions if one.total),
    ]


def say(sentence: str) -> None:
    """One sentence on a line of its own, never broken."""
    console.print(Text(sentence), soft_wrap=True)


def print_notes(notes: Sequence[str]) -> None:
    """What else is to be known of a run, a sentence each."""
    for sentence in notes:
        console.print(f"[dim]{escape(sentence)}[/]")


def print_errors(count: int) -> None:
    """How much could not be drawn or checked, and what becomes of it; nothing where nothing."""
    if count:
        console.print(
            f"[yellow]{several(count, 'error')}[/], to be tried again by the same command; "
            f"`lcmis show errors` tells more."
        )


def in_store(store: str) -> str:
    """What a command needs to be told of this store; nothing of the usual one."""
    return "" if store == USUAL_STORE else f" --store {shlex.quote(withheld(store))}"


def print_next(*steps: tuple[str, str]) -> None:
    """Commands to go on with and what each is for: a line each, never broken, to be copied."""
    for number, (command, purpose) in enumerate(steps):
        lead = "     " if number else "Next:"
        console.print(f"[dim]{lead}[/] {escape(command)}  [dim]{purpose}[/]", soft_wrap=True)


def _print_failing(model: ModelSummary, name: str) -> None:
    """How many pairs fail, each decided alone, and how many still do among all."""
    failing = model.num_failing
    if failing and model.num_looked_at > 1:
        told = words.controlled(model.num_surely_failing, model.num_looked_at)
        fail = f"{several(failing, 'pair')} {'fails' if failing == 1 else 'fail'}"
        console.print(f"{escape(name)}: {fail} ({told})")


def _print_silence(model: ModelSummary, name: str) -> None:
    silent = {
        words.NOT_JUDGED: model.num_unscored,
        "refused by the model": model.num_refused,
    }
    for kind, count in silent.items():
        if count:
            console.print(f"[yellow]{escape(name)}: {several(count, 'picture')} {kind}[/]")


def print_pairs(
    found: Sequence[PairFinding],
    *,
    title: str = "",
    left_out: int = 0,
    show_model: bool = True,
) -> None:
    """Pairs, worst first: how many are right, how bad that is, and what is painted instead."""
    if not found:
        return
    names = words.short_names(list(dict.fromkeys(finding.model for finding in found)))
    columns = [
        *([Column(name="model", wraps=True, style="bold")] if show_model else []),
        PROMPT,
        Column(name="right", right=True),
        Column(name="rate"),
        Column(name="level", spare=2),
        Column(name="missing", wraps=True, spare=3),
        Column(name="painted instead", wraps=True, style="bold"),
        Column(name=""),
    ]
    rows = [
        [*([names[finding.model]] if show_model else []), *_pair_row(finding)] for finding in found
    ]
    console.print(Grid(columns, rows, title))
    if left_out:
        console.print(f"[dim]… and {left_out} more[/]\n")


def _pair_row(finding: PairFinding) -> list[Cell]:
    judgement, top = finding.judgement, finding.intruder
    missing = words.missing(finding)
    nobody: Cell = Text("none of the suspects", style="not bold dim") if missing else ""
    total = judgement.aligned.total
    return [
        finding.pair.prompt,
        f"{judgement.count(Verdict.ALIGNED)}/{total}",
        rate_cell(judgement.aligned),
        words.level(judgement.levels if total else None),
        missing,
        nobody if top is None else f"{top.name} ×{top.count}",
        Text(words.decision(judgement.failing), style=COLOURS[judgement.failing]),
    ]


# ── a plan ───────────────────────────────────────────────────────────────────────────────────────


def print_plan(plans: Sequence[ModelPlan], config: AuditSettings) -> None:
    """What an audit would draw, how long that takes, and what it can tell apart."""
    names = words.short_names([plan.model for plan in plans])
    columns = [
        Column(name="model", wraps=True, style="bold"),
        Column(name="pairs", right=True),
        Column(name="undecided", right=True),
        Column(name="in the store", right=True),
        Column(name="still to draw", right=True),
        Column(name="at worst", right=True),
        Column(name="time", wraps=True),
    ]
    console.print(Grid(columns, [[names[plan.model], *_plan_row(plan)] for plan in plans]))
    stopping = config.stopping
    console.print(
        f"A pair fails when more than {words.percent(stopping.threshold)} % of its pictures are "
        f"wrong; it is drawn {several(stopping.block, 'picture')} at a time until that is decided, "
        f"{stopping.cap} at most ({stopping.rule})."
    )
    if plans and plans[0].detectable < 1:
        console.print(
            f"Two models audited like this can be told apart from a difference of "
            f"{words.percent(plans[0].detectable)} % of their pictures on (power 80 %)."
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
                f"{escape(names[plan.model])} costs about {mean:.2f}, from {low:.2f} to {high:.2f}."
            )
        for judging in plan.judging:
            console.print(escape(_judging(names[plan.model], judging)))
        for sentence in plan.notes:
            console.print(f"{escape(names[plan.model])}: {escape(sentence)}")
        for sentence in plan.refused:
            console.print(f"[yellow]left out:[/] {escape(sentence)}")
    _print_fetches(list(dict.fromkeys(fetch for plan in plans for fetch in plan.fetches)))


def _judging(model: str, judging: Judging) -> str:
    """What a service would be asked of a model's pictures, and what that costs at the most."""
    low, mean, high = judging.least, judging.expected, judging.most
    said = (
        f"{words.short_name(judging.checker)} is asked about "
        f"{several(mean.questions, 'question')} of pictures by {model}, from {low.questions:,} to "
        f"{high.questions:,}: up to {mean.tokens_read:,} tokens read and "
        f"{mean.tokens_written:,} written"
    )
    if mean.price is None or low.price is None or high.price is None:
        return f"{said}; give its prices with --checker-price, to see what that costs."
    return (
        f"{said}, which cost up to {mean.price:.2f}, and from {low.price:.2f} to {high.price:.2f} "
        f"by how many pictures are needed."
    )


def _print_fetches(fetches: Sequence[Fetch]) -> None:
    """How much must come from the hub before the first picture; a line for each model it is of."""
    for fetch in fetches:
        here = f", of which {in_words(fetch.cached)} are on this machine" if fetch.cached else ""
        name = words.short_name(fetch.name)
        if fetch.missing:
            console.print(
                f"{escape(name)} is fetched from the hub first: {in_words(fetch.size)}{here}."
            )
    if sum(fetch.missing for fetch in fetches) > room_for_models():
        console.print(
            f"[yellow]The hub's cache has room for {in_words(room_for_models())}: make some, or "
            f"set HF_HOME to a folder on another disk.[/]"
        )


def _plan_row(plan: ModelPlan) -> list[Cell]:
    if not plan.undecided:
        time = "done"
    elif plan.seconds_each is None:
        time = "not measured yet"
    else:
        time = f"about {words.duration(plan.expected * plan.seconds_each)}"
    return [
        str(plan.pairs),
        str(plan.undecided),
        str(plan.present),
        f"about {plan.expected}" if plan.undecided else "0",
        str(plan.most),
        time,
    ]


# ── one pair, one picture ────────────────────────────────────────────────────────────────────────


def print_pair(found: Sequence[PairFinding], pair: ConceptPair) -> None:
    """One pair over all models, then every picture with its scores."""
    console.print(
        f"[bold]{escape(letters.visible(pair.prompt))}[/]  [dim]{words.short_key(pair.key)}[/]"
    )
    for side in (pair.a, pair.b):
        console.print(f"  {escape(side.name)}: [dim]{escape(side.description)}[/]")
    if pair.intruders:
        suspects = ", ".join(dict.fromkeys(item.concept.name for item in pair.intruders))
        console.print(f"  suspected instead: [dim]{escape(suspects)}[/]")
    if not found:
        console.print("[yellow]No model has drawn this pair yet: run `lcmis audit`.[/]")
        return
    console.print()
    print_pairs(found)
    names = words.short_names(list(dict.fromkeys(finding.model for finding in found)))
    for finding in found:
        columns = [
            Column(name="seed", right=True),
            Column(name="verdict", heads=True),
            Column(name=f"P({pair.a.name})", right=True),
            Column(name=f"P({pair.b.name})", right=True),
            Column(name="seen as", wraps=True),
            Column(name="picture", style="dim", spare=1),
        ]
        judged = zip(finding.evidence, finding.judgement.verdicts, strict=True)
        rows: list[list[Cell]] = [
            [
                str(item.seed),
                _verdict_cell(verdict, pair),
                words.score(item.a),
                words.score(item.b),
                ", ".join(filter(None, (item.intruder_a, item.intruder_b))),
                words.short_key(item.spec_key),
            ]
            for item, verdict in judged
        ]
        console.print(Grid(columns, rows, names[finding.model]))


def print_likenesses(found: Sequence[LikenessFinding], pair: ConceptPair) -> None:
    """CLIPScores of both concepts over a pair's pictures, and their difference."""
    if not found:
        return
    models = words.short_names(list(dict.fromkeys(one.model for one in found)))
    checkers = words.short_names(list(dict.fromkeys(one.checker for one in found)))
    columns = [
        Column(name="model", wraps=True, heads=True),
        Column(name="by", wraps=True, style="dim"),
        Column(name=pair.a.name, right=True),
        Column(name=pair.b.name, right=True),
        Column(name="difference", right=True),
        Column(name="pictures", right=True, spare=1),
    ]
    rows: list[list[Cell]] = [
        [
            models[one.model],
            checkers[one.checker],
            _number(one.a),
            _number(one.b),
            _number(one.difference, sign="+"),
            str(one.pictures),
        ]
        for one in found
    ]
    console.print(Grid(columns, rows, "CLIPScore, which decides nothing"))


def _number(value: float | None, sign: str = "") -> str:
    return "–" if value is None else f"{value:{sign}.3f}"


def _verdict_cell(verdict: Verdict, pair: ConceptPair) -> Text:
    colour = "green" if verdict is Verdict.ALIGNED else "red" if verdict.is_scored else "yellow"
    return Text(letters.visible(words.verdict(verdict, pair)), style=colour)


def print_picture(
    spec: RenderSpec,
    render: Render,
    scores: Sequence[tuple[Question, Score]],
    path: str,
) -> None:
    """One picture: how it was drawn, and every question, option and probability."""
    facts = {
        "prompt": " → ".join(
            stage.said if len(spec.stages) == 1 else f"{stage.said} (to {stage.denoising_end})"
            for stage in spec.stages
        ),
        "negative prompt": spec.negative_prompt,
        "model": spec.model,
        "adapters": ", ".join(f"{item.name} × {item.weight:g}" for item in spec.adapters),
        "words": ", ".join(f"{item.token} from {item.name}" for item in spec.embeddings),
        "VAE": spec.vae,
        "base": spec.base,
        "variant": spec.variant,
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
    console.print()
    columns = [
        Column(name="question", wraps=True, heads=True),
        Column(name="option", wraps=True),
        Column(name="probability", right=True),
        Column(name="", wraps=True),
        Column(name="mass", right=True, style="dim"),
    ]
    names = words.short_names(list(dict.fromkeys(score.checker for _, score in scores)))
    for checker in sorted(names):
        mine = [(question, score) for question, score in scores if score.checker == checker]
        console.print(Grid(columns, list(_answers(mine)), names[checker]))


def _answers(scores: Sequence[tuple[Question, Score]]) -> Iterator[list[Cell]]:
    """A row an option; a question is told once."""
    last = ""
    kinds = list(QuestionKind)
    for question, score in sorted(scores, key=lambda item: kinds.index(item[0].kind)):
        asked = f"{question.kind.replace('_', ' ')}: {question.text}"
        answer = score.answer
        yield [
            asked if asked != last else "",
            answer.option,
            words.score(answer.value),
            answer.reason if answer.value is None else _bar(answer.value),
            words.score(answer.mass),
        ]
        last = asked


def _bar(share: float, width: int = 10) -> str:
    filled, part = divmod(round(share * width * 8), 8)
    return "█" * filled + (BAR[part - 1] if part else "")


@functools.singledispatch
def print_found(found: object) -> None:
    """What `lcmis show` found: all pairs, one pair, one picture, or the failures."""
    raise TypeError(f"no way to show a {type(found).__name__}")


@print_found.register
def _(found: AllPairs) -> None:
    if not found.pairs and found.is_failing:
        console.print("[green]No pair is decided to fail.[/]")
    elif not found.pairs:
        console.print("No model has drawn any of these pairs yet: run `lcmis audit`.")
    print_pairs(found.pairs)
    if found.left_out:
        console.print(
            f"[dim]… and {several(found.left_out, 'more pair')}: --limit 0 lists all, words from "
            f"a prompt find some[/]"
        )
    _print_moved(found.pairs)
    for sentence in found.notes:
        console.print(f"[yellow]{escape(sentence)}[/]")
    console.print(f"[dim]judged by {escape(found.checker)}[/]")


@print_found.register
def _(found: OnePair) -> None:
    print_pair(found.findings, found.pair)
    _print_moved(found.findings)
    print_likenesses(found.likenesses, found.pair)
    _print_left(found.noted)


def _print_left(noted: Noted) -> None:
    if noted:
        from lcmis.cli.terminal.notes import print_noted

        print_noted(noted)


def _print_moved(found: Sequence[PairFinding]) -> None:
    for sentence in words.moved(finding.model for finding in found):
        console.print(f"[yellow]{escape(sentence)}[/]")


@print_found.register
def _(found: OnePicture) -> None:
    print_picture(found.spec, found.render, found.scores, found.path)
    _print_left(found.noted)
    if found.told:
        from lcmis.cli.terminal.told import print_told

        print_told(found.told)
    elif found.scores:
        print_next(
            (f"lcmis show {words.short_key(found.spec.key)} --asked", "for what was asked and said")
        )


@print_found.register
def _(found: Dissents) -> None:
    from lcmis.cli.terminal.told import print_dissents

    print_dissents(found)


@print_found.register
def _(found: Failures) -> None:
    if not found.failures:
        console.print("[green]No errors: all that was asked for was drawn and checked.[/]")
    for failure in found.failures:
        console.print(
            f"[dim]{words.moment(failure.at)}[/] {failure.stage} "
            f"[dim]{escape(words.short_key(failure.item))}[/]: "
            f"{escape(letters.visible(failure.sentence))}",
            soft_wrap=True,
        )
    console.print("[dim]Pairs that a model paints wrong: `lcmis show failing`.[/]")


# ── plugs, health, replay ────────────────────────────────────────────────────────────────────────


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


@contextlib.contextmanager
def paged() -> Iterator[None]:
    """What is printed meanwhile goes through the reader's pager, if this is a terminal and it is
    longer than one.
    """
    if not (console.is_terminal and sys.stdin.isatty()):
        yield
        return
    os.environ.setdefault("LESS", "FRX")  # colours pass, and what fits is just printed
    with console.pager(styles=True):
        yield


def print_json(value: Any) -> None:
    """A result as JSON on standard output, written as it is made: a large one is never whole in
    memory.
    """
    for part in _parts(value):
        sys.stdout.write(part)
    sys.stdout.write("\n")


def as_json(value: Any) -> str:
    """Field for field but for pictures; what is not a number is null with its count beside it.

    Letters that would act on a terminal are escaped, so that a reader of JSON gets them back.
    """
    return "".join(_parts(value)) + "\n"


def _parts(value: Any, margin: str = "\n") -> Iterator[str]:
    """JSON with an indent of two, piece by piece; neighbours that hold nothing in one."""
    plain = _shallow(value)
    if isinstance(plain, dict):
        named, brackets = [(str(name), item) for name, item in plain.items()], "{}"
    elif isinstance(plain, list | tuple):
        named, brackets = [("", item) for item in plain], "[]"
    else:
        yield _harmless(_encoder(",")(plain))
        return
    inner = f"{margin}  "
    between, before = f",{inner}", brackets[0] + inner
    encode, is_list = _encoder(between), brackets == "[]"
    read = ((name, item, _leaf(item)) for name, item in named)
    for holds, run in itertools.groupby(read, lambda one: one[2] is _BRANCH):
        if holds:
            for name, item, _ in run:
                yield before if is_list else f"{before}{_harmless(encode(name))}: "
                yield from _parts(item, inner)
                before = between
        else:
            level = [leaf for *_, leaf in run] if is_list else {name: leaf for name, _, leaf in run}
            yield before + _harmless(encode(level)[1:-1])
            before = between
    yield margin + brackets[1] if named else brackets


@functools.cache
def _encoder(between: str) -> Callable[[Any], str]:
    """Of what holds nothing, or one level of that, with this between two of them."""
    return json.JSONEncoder(ensure_ascii=False, separators=(between, ": ")).encode


def _harmless(text: str) -> str:
    if text.replace("\n", " ").isprintable():
        return text
    return "".join(
        json.dumps(one)[1:-1] if one != "\n" and letters.acts(one) else one for one in text
    )


_BRANCH = object()
_LEAVES = frozenset({str, int, bool, type(None)})


def _leaf(value: Any) -> Any:
    """A value that holds no others, in JSON's kinds; else :data:`_BRANCH`."""
    if type(value) in _LEAVES:
        return value
    if isinstance(value, enum.Enum):
        return _leaf(value.value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, PurePath):
        return str(value)
    return value if isinstance(value, str | int) else _BRANCH


def _shallow(value: Any) -> Any:
    """One level of it in JSON's kinds; what is inside stays as it is."""
    leaf = _leaf(value)
    if leaf is not _BRANCH:
        return leaf
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: getattr(value, name) for name in _shown(type(value))}
    return dict(value) if isinstance(value, Mapping) else value


@functools.cache
def _shown(kind: type) -> tuple[str, ...]:
    """Of a dataclass, what belongs to its JSON."""
    fields = {item.name: item.metadata.get("shown", True) for item in dataclasses.fields(kind)}
    derived = [name for name in DERIVED if name in fields or hasattr(kind, name)]
    return tuple(dict.fromkeys([*derived, *(name for name, shown in fields.items() if shown)]))
