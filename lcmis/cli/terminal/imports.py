"""What imports show: what was read, what became a pair, and why the rest did not."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from rich.markup import escape

from lcmis.cli.terminal import console, print_next
from lcmis.findings.words import several
from lcmis.propose.formats.outcomes import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lcmis.export.publish import Published
    from lcmis.propose.formats.outcomes import Reason, SetRead
    from lcmis.propose.importing import Imported
    from lcmis.propose.importing.pictures import PicturesImported

REASONS = 12
"""Of one set that are shown; a report has all."""
EXAMPLE = 60
"""Letters of an example."""
COLOURS = {Outcome.NO_PAIR: "yellow", Outcome.REPEATED: "yellow", Outcome.REFUSED: "red"}


def print_imported(found: Imported) -> None:
    """What became of every set, and what to do next."""
    print_sets(found.sets)
    if not found.num_pairs:
        console.print("[yellow]No pairs, so nothing was written.[/]")
        return
    console.print(
        f"[bold]{several(found.num_added, 'pair')} added to {escape(str(found.into))}[/], "
        f"which has {found.num_pairs} now."
    )
    into = shlex.quote(str(found.into))
    print_next((f"lcmis audit -p {into} -m MODEL -c CHECKER", "audits them"))


def print_pictures(found: PicturesImported) -> None:
    """Which pictures were taken, the pairs they are about, and what to do next."""
    taken = sum(folder.num_pictures for folder in found.folders)
    console.print(f"[bold]{taken:,} of {several(found.num_claimed, 'picture')} can be used[/]")
    _print_reasons(found.reasons)
    print_sets(found.pairs.sets)
    pairs = found.pairs
    console.print(
        f"[bold]{several(pairs.num_added, 'pair')} added to {escape(str(pairs.into))}[/], "
        f"which has {pairs.num_pairs} now."
    )
    into = shlex.quote(str(pairs.into))
    print_next(
        *(
            (
                f"lcmis audit -m folder:{shlex.quote(str(folder.manifest))} -p {into} -c CHECKER",
                f"{several(folder.num_pictures, 'picture')} of "
                f"{several(folder.num_prompts, 'prompt')}",
            )
            for folder in found.folders
        )
    )


def print_published(found: Sequence[Published]) -> None:
    """Where each model's pictures lie now, and which prompts the format cannot say."""
    for item in found:
        console.print(
            f"{several(item.num_pictures, 'picture')} of {escape(item.model)} in "
            f"{escape(str(item.folder))}",
            soft_wrap=True,
        )
        if item.left_out:
            every = item.num_prompts + len(item.left_out)
            console.print(f"  {item.num_prompts} of {every} prompts, {len(item.left_out)} left out")
        for sentence in item.left_out:
            console.print(f"  [yellow]left out[/]: {escape(sentence)}")


def print_sets(found: Iterable[SetRead], *, quiet: bool = False) -> None:
    """How many lines of each set became pairs, and why the others did not; nothing where the
    output is for a script.
    """
    for item in () if quiet else found:
        _print_set(item)


def _print_set(item: SetRead) -> None:
    counts = [
        (Outcome.PAIR, "pairs" if item.count(Outcome.PAIR) > 1 else "pair"),
        (Outcome.PART, "part of another line"),
        (Outcome.NO_PAIR, "no pair of concepts"),
        (Outcome.REPEATED, "repeated"),
        (Outcome.REFUSED, "not read"),
    ]
    said = ", ".join(
        f"{item.count(outcome):,} {words}" for outcome, words in counts if item.count(outcome)
    )
    console.print(
        f"[bold]{escape(str(item.path))}[/]: {escape(item.format)}, "
        f"{several(item.num_lines, 'line')}: {said}"
    )
    console.print(f"[dim]licence: {escape(item.licence) or 'unknown; say it with --licence'}[/]")
    _print_reasons(item.reasons)


def _print_reasons(reasons: Sequence[Reason]) -> None:
    for item in reasons[:REASONS]:
        lines = ", ".join(map(str, item.lines)) + (" …" if item.count > len(item.lines) else "")
        console.print(
            f"{item.count:>9,}  [{COLOURS[item.outcome]}]{item.outcome}[/]: {escape(item.reason)} "
            f"[dim](line {lines}: {escape(item.example[:EXAMPLE])})[/]"
        )
    if len(reasons) > REASONS:
        console.print(
            f"[dim]… and {several(len(reasons) - REASONS, 'more reason')}: --report FILE[/]"
        )
