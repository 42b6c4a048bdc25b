"""Figures, rules and certificates in plain words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from lcmis import judge
from lcmis.findings import RepairFinding
from lcmis.judge import Decision
from lcmis.text.words import percent
from lcmis.types import NONE_OF_THESE, Certificate, ConceptPair, Rate, Side, Verdict

LONGEST = 600
"""Letters of foreign text that are shown."""
JOINERS = "\u200c\u200d"
"""Letters that do not show themselves but shape others: in Persian, in family emoji."""

DECISIONS = {
    Decision.FAILS: "fails",
    Decision.PASSES: "passes",
    Decision.UNDECIDED: "undecided",
    Decision.CONTINUE: "not finished",
}


def visible(text: str, longest: int = LONGEST) -> str:
    """Text of models, files and people on one line, letters that would act on it spelled out.

    A right-to-left override becomes ``[U+202E]``; a terminal's escape ``[U+001B]``.
    """
    flat = re.sub(r"[ \t\n\r\f\v\x1c-\x1f\x85\u2028\u2029]+", " ", text).strip(" ")
    if len(flat) > longest:
        flat = f"{flat[:longest]}… ({len(text):,} letters)"
    return "".join(map(_letter, flat))


def _letter(letter: str) -> str:
    acts = unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp", "Cn")
    return f"[U+{ord(letter):04X}]" if acts and letter not in JOINERS else letter


def rate(measured: Rate) -> str:
    """E.g. ``"42 % (28–57)"``, the sign not parted from its number."""
    if not measured.total:
        return "not judged"
    return f"{percent(measured.value)}\u00a0% ({percent(measured.low)}–{percent(measured.high)})"


def score(value: float | None) -> str:
    """How surely something is there: ``"97 %"``, or ``"no answer"``."""
    return "no answer" if value is None else f"{percent(value)}\u00a0%"


def megabytes(count: int) -> str:
    """Bytes as ``"1.2 MB"``."""
    return f"{count / 1e6:.1f} MB"


def moment(at: str) -> str:
    """A time in UTC, ISO 8601, to the second: ``"2026-11-21 02:00:00"``."""
    return at[:19].replace("T", " ")


def p_value(p: float) -> str:
    """E.g. ``"p = 0.012"`` or ``"p < 0.001"``."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def several(count: int, noun: str) -> str:
    """E.g. ``"1 picture"``, ``"2,304 pictures"``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def short_names(ids: Sequence[str]) -> dict[str, str]:
    """Ids without folders and revisions, as far as they stay different."""

    def bare(name: str) -> str:
        return re.sub(r"(^|:)[/~.].*/", r"\1", name.partition("@")[0].rstrip("/")) or name

    def with_revision(name: str) -> str:
        revision = name.partition("@")[2]
        return f"{bare(name)}@{revision[:7]}" if revision else name

    names, known = {}, set(ids)
    for name in ids:
        for spell in (bare, with_revision, str):
            if sum(spell(other) == spell(name) for other in known) == 1:
                names[name] = spell(name)
                break
    return names


def verdict(kind: Verdict, pair: ConceptPair) -> str:
    """What a picture shows: ``"right"``, ``"no tea cup"``."""
    match kind:
        case Verdict.ALIGNED:
            return "right"
        case Verdict.A_MISSING:
            return f"no {pair.a.name}"
        case Verdict.B_MISSING:
            return f"no {pair.b.name}"
        case Verdict.BOTH_MISSING:
            return "neither"
        case Verdict.UNSCORED:
            return "not judged"
        case Verdict.REFUSED:
            return "refused"


def lacks(kind: Verdict, side: Side) -> bool:
    """Whether a picture with this verdict lacks the concept of this side."""
    one = Verdict.A_MISSING if side is Side.A else Verdict.B_MISSING
    return kind in (one, Verdict.BOTH_MISSING)


def names_somebody(option: str | None, asked: str) -> bool:
    """Whether the option chosen in the place of a missing concept is an intruder's name."""
    return option not in (None, "", NONE_OF_THESE, asked)


def rule(chosen: judge.StoppingRule | None) -> str:
    """How the number of pictures of a pair is decided."""
    match chosen:
        case judge.FixedN():
            return (
                f"Every pair gets {several(chosen.total, 'picture')}, and fails when more than "
                f"{percent(chosen.threshold)} % of them are wrong."
            )
        case judge.Curtailed():
            return (
                f"A pair fails when more than {percent(chosen.threshold)} % of "
                f"{several(chosen.total, 'picture')} are wrong. Drawing stops as soon as the "
                f"pictures still to come could not change that."
            )
        case judge.Sprt():
            low, high = chosen.threshold - chosen.delta, chosen.threshold + chosen.delta
            return (
                f"Pictures are drawn {chosen.block} at a time, {chosen.cap} at the most, until a "
                f"sequential test can tell a pair that is wrong in {percent(high)} % of its "
                f"pictures from one that is wrong in {percent(low)} %. Of pairs at these rates it "
                f"misses {percent(chosen.beta)} % and blames {percent(chosen.alpha)} % without "
                f"cause; a pair still open at the end goes the likelier way."
            )
        case None:
            return "No audit is recorded: every pair counts with the pictures it has."
    return f"Pictures were drawn until this rule stopped them: {chosen.name}."


def counted(chosen: judge.StoppingRule | None) -> str:
    """Which pictures of a pair count in a rate over pairs, and why not all."""
    if chosen is None:
        return "All pictures of every pair count."
    first = f"Of each pair the first {several(chosen.fair, 'picture')} count"
    if chosen.fair == chosen.cap:
        return f"{first}, as many as were planned."
    return (
        f"{first}: a pair that stopped early stopped at an extreme, and all its pictures would "
        f"bend the rate."
    )


def certificate(proof: Certificate, names: dict[str, str] | None = None) -> str:
    """What was proved of a repair, in two sentences."""
    spelled = names or {}
    judge_name = spelled.get(proof.judge, proof.judge)
    seeds = len(proof.seeds)
    if not seeds:
        return "No fresh seed has both pictures judged, so nothing is proved."
    won = several(proof.wins, "seed") if proof.wins else "no seed"
    told = (
        f"On {several(seeds, 'fresh seed')}, the same before and after, "
        f"{rate(proof.before)} of the pictures were right with the plain prompt and "
        f"{rate(proof.after)} with the repaired one: {won} won, "
        f"{proof.losses or 'none'} lost, {p_value(proof.anytime_p)} at any number of looks "
        f"(McNemar's exact test, for one look: {p_value(proof.p)}). "
        f"Judged by {judge_name}, which the search never asked."
    )
    left_out = (
        f" {several(proof.unjudged, 'seed')} could not be judged and count for neither."
        if proof.unjudged
        else ""
    )
    return told + left_out


def standing(found: RepairFinding) -> str:
    """What a certificate is worth among all that were looked at; nothing where it is the only one.

    Sorted by what was seen, those on top owe their place to luck too.
    """
    told, among = found.standing, several(found.standing.among, "certificate")
    if told.among == 1 or not found.certificate.seeds:
        return ""
    chance = (
        f"It passes alone, and not among {among}: of so many, some pass by chance. "
        if found.certificate.passed and not told.proved
        else ""
    )
    return (
        f"{chance}Drawn on other seeds, about {percent(told.expected.after)}\u00a0% are to be "
        f"expected right with the repaired prompt, by what {among} show together."
    )


def elsewhere(found: RepairFinding) -> str:
    """What a repair found on one model is worth on another."""
    proof = found.certificate
    if found.standing.proved:
        return "holds"
    if proof.passed:
        return "passes alone"
    if proof.harms:
        return "does harm"
    if proof.seeds and proof.before.value == proof.after.value == 1:
        return "nothing to mend: right without it"
    return "makes no difference that shows"
