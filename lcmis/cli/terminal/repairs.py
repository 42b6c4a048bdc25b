"""What repairs and certificates show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.markup import escape
from rich.table import Table

from lcmis.cli.terminal import (
    console,
    duration,
    in_store,
    percent,
    print_failures,
    print_next,
    short,
)
from lcmis.text.words import controlled, outcome
from lcmis.types import Certificate, Standing

if TYPE_CHECKING:
    from lcmis.repair.certify import CertifyResult, Proof
    from lcmis.repair.search import Repaired, RepairResult

NOT_REPAIRED = "[red]not repaired[/]"


def print_repairs(result: RepairResult, store: str) -> None:
    """The closing table of a repair: before and after, and under each prompt the way found."""
    table = _table("prompt, and the best way found", "before", "after")
    for item in result.pairs:
        table.add_row(*_repair_cells(item))
    console.print(table)
    console.print(
        f"{result.num_repaired} of {len(result.pairs)} pairs repaired by {escape(result.method)}"
        f"{_controlled(result.num_proved, result.pairs)}. "
        f"[dim]Guided by {escape(short(result.guide))}, judged by {escape(short(result.judge))} on "
        f"fresh seeds, the same before and after; {result.drawn} pictures drawn in "
        f"{duration(result.seconds)}.[/]"
    )
    if result.work.skipped:
        console.print(
            f"[dim]{result.work.skipped:,} of {result.work.run + result.work.skipped:,} row-steps "
            f"saved: pictures that begin alike were begun once.[/]"
        )
    print_failures(result.failures)
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
    table = _table("repaired prompt", "before", "after")
    for one in result.proofs:
        table.add_row(*_proof_cells(one))
    console.print(table)
    own = len(result.proofs) - len(elsewhere)
    if own:
        passed = result.num_repaired - sum(map(_passed, elsewhere))
        proved = sum(map(_proved, result.proofs)) - sum(map(_proved, elsewhere))
        console.print(
            f"{passed} of {own} repairs pass again on the model they were found for"
            f"{_controlled(proved, result.proofs)}."
        )
    if elsewhere:
        console.print(
            f"{sum(map(_passed, elsewhere))} of {len(elsewhere)} help on another model too"
            f"{_controlled(sum(map(_proved, elsewhere)), result.proofs)}; "
            f"{sum(map(_harms, elsewhere))} do harm there."
        )
    console.print(
        f"[dim]Judged by {escape(short(result.judge))} on seeds that belong to each repair alone, "
        f"the same before and after; {result.drawn} pictures drawn in "
        f"{duration(result.seconds)}.[/]"
    )
    print_failures(result.failures)


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


def _table(first: str, before: str, after: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(first, overflow="fold", ratio=1)
    for name in (before, after, ""):
        table.add_column(name, no_wrap=True)
    return table


def _repair_cells(item: Repaired) -> list[str]:
    prompt, proof = escape(item.finding.pair.prompt), item.certificate
    if proof is None:
        before = percent(item.finding.judgement.aligned)
        return [f"{prompt}\n[dim]nothing could be tried[/]", before, "", NOT_REPAIRED]
    return [_lines(prompt, proof), *_before_after(proof), _outcome(proof, item.standing)]


def _proof_cells(one: Proof) -> list[str]:
    elsewhere = one.model != one.nomination.model
    where = f" [dim]on {escape(short(one.model))}[/]" if elsewhere else ""
    prompt = f"{escape(one.pair.prompt)}{where}"
    own = f"\n[dim]its own {percent(one.own.after).strip()}[/]" if elsewhere and one.own else ""
    proof = one.certificate
    if proof is None:
        reason = f"{prompt}\n[yellow]{escape(one.reason)}[/]"
        return [reason, "", own.strip(), "[red]no picture[/]"]
    before, after = _before_after(proof)
    said = _outcome(proof, one.standing)
    if elsewhere and (_harms(one) or _proved(one) or not _passed(one)):
        word = "[green]helps[/]" if _proved(one) else "[yellow]no gain[/]"
        said = f"{'[red]harms[/]' if _harms(one) else word}\n[dim]{_chance(proof)}[/]"
    return [_lines(prompt, proof), before, f"{after}{own}", said]


def _lines(prompt: str, proof: Certificate) -> str:
    said = [
        f"[bold]{prompt}[/]",
        f"→ {escape(str(proof.nomination.candidate))}",
        *(f"[yellow]but {escape(cost)}[/]" for cost in proof.collateral),
    ]
    return "\n".join(said)


def _before_after(proof: Certificate) -> tuple[str, str]:
    return (
        f"{percent(proof.before)}\n[dim]level {proof.levels_before}[/]",
        f"{percent(proof.after)}\n[dim]level {proof.levels_after}[/]",
    )


def _outcome(proof: Certificate, standing: Standing | None) -> str:
    proved = standing is not None and standing.proved
    colour = "green" if proved else "yellow" if proof.passed else "red"
    word = outcome(passed=proof.passed, proved=proved)
    return f"[{colour}]{word}[/]\n[dim]{_chance(proof)}[/]"


def _chance(proof: Certificate) -> str:
    p = proof.anytime_p
    return f"p = {p:.3f}" if p >= 0.001 else "p < .001"
