"""What repairs and certificates show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.text import Text

from lcmis.cli.terminal import console, in_store, print_errors, print_next, print_notes
from lcmis.cli.terminal.tables import Cell, Column, Grid, one_below_the_other, rate_cell
from lcmis.findings import words
from lcmis.findings.words import controlled, several
from lcmis.types import Certificate, Standing

if TYPE_CHECKING:
    from pathlib import Path

    from lcmis.export.formats import Exported
    from lcmis.repair.certify import CertifyResult, Proof
    from lcmis.repair.search import Repaired, RepairResult

NOT_REPAIRED = ("not repaired", "red")


def print_repairs(result: RepairResult, store: str) -> None:
    """The closing table of a repair: before and after, and under each prompt the way found."""
    columns = _columns("prompt, and the best way found")
    console.print(Grid(columns, [_repair_cells(item) for item in result.pairs]))
    console.print(
        f"{result.num_repaired} of {several(len(result.pairs), 'pair')} repaired by "
        f"{escape(result.method)}{_controlled(result.num_proved, result.pairs)}. "
        f"[dim]Guided by {escape(words.short_name(result.guide))}, judged "
        f"by {escape(words.short_name(result.judge))} on fresh seeds, the same before and after; "
        f"{several(result.drawn, 'picture')} drawn in {words.duration(result.seconds)}.[/]"
    )
    if result.work.skipped:
        console.print(
            f"[dim]{result.work.skipped:,} of {result.work.run + result.work.skipped:,} row-steps "
            f"saved: pictures that begin alike were begun once.[/]"
        )
    print_notes(result.notes)
    print_errors(result.failures)
    if result.done_without:
        console.print(
            f"[yellow]{several(result.done_without, 'pair')}[/] searched without a reply that "
            f"could be used, or without a tool; `lcmis show errors` tells more."
        )
    where = in_store(store)
    if result.num_repaired:
        print_next(
            (f"lcmis export a1111 repaired.txt{where}", "takes the prompts to your own tool"),
            (f"lcmis certify -m MODEL{where}", "asks whether they hold on another model"),
        )
    elif result.pairs:
        console.print(
            "[dim]Next: a larger --budget, or a --text-model that thinks of other prompts.[/]"
        )


def print_proofs(result: CertifyResult) -> None:
    """A row a nomination and model; elsewhere beside what it does on its own model."""
    elsewhere = [one for one in result.proofs if one.model != one.nomination.model]
    rows = [_proof_cells(one) for one in result.proofs]
    console.print(Grid(_columns("repaired prompt"), rows))
    own = len(result.proofs) - len(elsewhere)
    if own:
        passed = result.num_repaired - sum(map(_passed, elsewhere))
        proved = sum(map(_proved, result.proofs)) - sum(map(_proved, elsewhere))
        console.print(
            f"{passed} of {several(own, 'repair')} pass again on the model they were found for"
            f"{_controlled(proved, result.proofs)}."
        )
    if elsewhere:
        console.print(
            f"{sum(map(_passed, elsewhere))} of {len(elsewhere)} help on another model too"
            f"{_controlled(sum(map(_proved, elsewhere)), result.proofs)}; "
            f"{sum(map(_harms, elsewhere))} do harm there."
        )
    console.print(
        f"[dim]Judged by {escape(words.short_name(result.judge))} on seeds that belong to each "
        f"repair alone, the same before and after; {several(result.drawn, 'picture')} drawn in "
        f"{words.duration(result.seconds)}.[/]"
    )
    print_notes(result.notes)
    print_errors(result.failures)


def _passed(one: Proof) -> bool:
    return one.certificate is not None and one.certificate.passed


def _proved(one: Proof) -> bool:
    return one.standing is not None and one.standing.proved


def _controlled(proved: int, looked_at: Sequence[Proof | Repaired]) -> str:
    """In brackets; nothing where there was only one to look at."""
    among = sum(one.certificate is not None for one in looked_at)
    return f" ({controlled(proved, among)})" if among > 1 else ""


def _harms(one: Proof) -> bool:
    return one.certificate is not None and one.certificate.harms


def _columns(first: str) -> list[Column]:
    return [
        Column(name=first, wraps=True),
        Column(name="before"),
        Column(name="after"),
        Column(name=""),
    ]


def _repair_cells(item: Repaired) -> list[Cell]:
    prompt, proof = item.finding.pair.prompt, item.certificate
    if proof is None:
        before = rate_cell(item.finding.judgement.aligned)
        unproved = "nothing could be proved yet" if item.trials else "nothing could be tried"
        tried = one_below_the_other((prompt, "bold"), (unproved, "dim"))
        return [tried, before, "", one_below_the_other(NOT_REPAIRED)]
    return [_prompts(prompt, "", proof), *_before_after(proof), _outcome(proof, item.standing)]


def _proof_cells(one: Proof) -> list[Cell]:
    elsewhere = one.model != one.nomination.model
    where = f"on {words.short_name(one.model)}" if elsewhere else ""
    own = f"its own {words.rate(one.own.after)}" if elsewhere and one.own else ""
    proof = one.certificate
    if proof is None:
        reason = one_below_the_other(
            (one.pair.prompt, "bold"), (where, "dim"), (one.reason, "yellow")
        )
        told = one_below_the_other((own, "dim"))
        return [reason, "", told, one_below_the_other(("no picture", "red"))]
    before, after = _before_after(proof)
    said = _outcome(proof, one.standing)
    if elsewhere and (_harms(one) or _proved(one) or not _passed(one)):
        helps = ("helps", "green") if _proved(one) else ("no gain", "yellow")
        word = ("harms", "red") if _harms(one) else helps
        said = one_below_the_other(word, (words.p_value(proof.anytime_p), "dim"))
    told = Text("\n").join([after, Text(own, style="dim")]) if own else after
    return [_prompts(one.pair.prompt, where, proof), before, told, said]


def _prompts(prompt: str, where: str, proof: Certificate) -> Text:
    return one_below_the_other(
        (prompt, "bold"),
        (where, "dim"),
        (f"→ {proof.nomination.candidate}", ""),
        *((f"but {cost}", "yellow") for cost in proof.collateral),
    )


def _before_after(proof: Certificate) -> tuple[Text, Text]:
    sides = ((proof.before, proof.levels_before), (proof.after, proof.levels_after))
    before, after = (
        Text("\n").join([rate_cell(rate), Text(f"level {words.level(levels)}", style="dim")])
        for rate, levels in sides
    )
    return before, after


def _outcome(proof: Certificate, standing: Standing | None) -> Text:
    proved = standing is not None and standing.proved
    colour = "green" if proved else "yellow" if proof.passed else "red"
    word = words.outcome(passed=proof.passed, proved=proved)
    return one_below_the_other((word, colour), (words.p_value(proof.anytime_p), "dim"))


def print_exported(found: Exported, path: Path) -> None:
    """How many repairs are in a file, and what its format cannot say."""
    console.print(f"{found.num_repairs} repaired prompts in {escape(str(path))}", soft_wrap=True)
    for sentence in found.left_out:
        console.print(f"  [yellow]left out[/]: {escape(sentence)}")
    for sentence in found.notes:
        console.print(f"  [yellow]note[/]: {escape(sentence)}")
