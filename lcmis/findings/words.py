"""Opinions in words, one place for all: verdicts, decisions, rates, levels, names, keys, rules.

The terminal, the report and the dashboard say what stands here. A number is never told as another
one that matters: 0 and 100 % are said of nothing else, and no p value crosses the line at which a
repair counts as proved.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from lcmis import judge
from lcmis.judge import Decision
from lcmis.types import (
    NONE_OF_THESE,
    Answer,
    Certificate,
    ConceptPair,
    LevelRange,
    Question,
    QuestionKind,
    Rate,
    Side,
    Verdict,
)

if TYPE_CHECKING:
    from lcmis.findings import PairFinding, RepairFinding, SaidReply
    from lcmis.findings.comparison import Comparison

KEY_LETTERS = 12
"""Of a key that are shown: two of a million pictures begin alike once in 500 stores."""
PROVED = 0.05
"""A p value below this proves a repair."""
NOT_JUDGED = "not judged"

# ── foreign text ─────────────────────────────────────────────────────────────────────────────────


def shortened(text: str, longest: int) -> str:
    """A text of at most so many letters, the middle left out: ``"a photo of … on a table"``."""
    if len(text) <= longest:
        return text
    end = (longest - 1) // 2
    return f"{text[: longest - 1 - end].rstrip()}…{text[len(text) - end :].lstrip()}"


# ── numbers ──────────────────────────────────────────────────────────────────────────────────────


def percent(share: float) -> str:
    """A share in [0, 1] as per cent, spelled so that 0 and 100 are said of nothing else."""
    number = 100 * share
    if 0 < number < 1:
        return f"{max(number, 0.1):.1f}"
    if 99 < number < 100:
        return f"{min(number, 99.9):.1f}"
    return f"{number:.0f}"


def points(difference: float) -> str:
    """A difference of two shares in percentage points: ``"+12.5"``; 0.0 is said of zero alone."""
    number = 100 * difference
    shown = f"{number:+.1f}"
    return shown if number == 0 or float(shown) else f"{number:+.1g}"


def rate(measured: Rate) -> str:
    """E.g. ``"42 % (28–57)"``, the sign not parted from its number; ``"not judged"`` of none."""
    return share(*((measured.value, measured.low, measured.high) if measured.total else _NONE))


_NONE = (math.nan, math.nan, math.nan)


def share(value: float, low: float, high: float) -> str:
    """The same of a share with the ends of its interval, all in [0, 1], or NaN where none is."""
    if math.isnan(value):
        return NOT_JUDGED
    return f"{percent(value)}\u00a0% ({interval(low, high)})"


def interval(low: float, high: float) -> str:
    """The ends of an interval of shares as per cents, without the sign: ``"28–57"``."""
    return f"{percent(low)}–{percent(high)}"


def score(value: float | None) -> str:
    """How surely something is there: ``"97 %"``, or ``"no answer"``."""
    return "no answer" if value is None else f"{percent(value)}\u00a0%"


def odds(first: Sequence[tuple[str, float]], most: int = 6) -> str:
    """The likeliest first words of a reply with their probabilities: ``"“Yes” 81 %, “No” 12 %"``.

    Args:
        first: each with the logarithm of its probability.
        most: that are told.
    """
    told = sorted((one for one in first if one[1] <= 0), key=lambda one: -one[1])[:most]
    return ", ".join(f"“{word}” {percent(math.exp(odd))}\u00a0%" for word, odd in told)


UNKNOWN_WORDS = "in words that nobody kept"
"""How a question was asked that nobody here can say again."""


def level(levels: LevelRange | None) -> str:
    """Levels of severity as ``"4"`` or ``"4–5"``; a dash where nothing was judged."""
    return "–" if levels is None else str(levels)


def p_value(p: float) -> str:
    """E.g. ``"p = 0.012"`` or ``"p < 0.001"``; as many digits as keep it on its side of 0.05."""
    if p < 0.001:
        return "p < 0.001"
    if 0.9995 <= p < 1:
        return "p > 0.999"
    digits = 3
    while (float(f"{p:.{digits}f}") < PROVED) != (p < PROVED):
        digits += 1
    return f"p = {p:.{digits}f}"


def several(count: int, noun: str, plural: str = "") -> str:
    """E.g. ``"1 picture"``, ``"2,304 pictures"``, ``"3 people"``."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def megabytes(count: int) -> str:
    """Bytes as ``"1.2 MB"``."""
    return f"{count / 1e6:.1f} MB"


def moment(at: str) -> str:
    """A time in UTC, ISO 8601, to the second: ``"2026-11-21 02:00:00"``."""
    return at[:19].replace("T", " ")


def begun_by(command: str) -> str:
    """The command line of a run, or that it was begun without one."""
    return command or "from Python"


def duration(seconds: float) -> str:
    """As a person says it: ``"42 s"``, ``"3 min"``, ``"1.5 h"``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


_REVISION = re.compile(r"@[0-9a-f]{12,40}(?![0-9a-f])")
"""A commit of the hub, or what names a folder's content."""


# ── names ────────────────────────────────────────────────────────────────────────────────────────


def short_key(key: str) -> str:
    """The beginning of a key, by which a store finds what it names."""
    return key.rpartition(":")[2][:KEY_LETTERS]


def short_name(name: str) -> str:
    """A model's or checker's id without folders and revisions, where nothing stands beside it."""
    bare = _REVISION.sub("", _parted(name)[0].rstrip("/"))
    return re.sub(r"(^|:)[/~.].*/", r"\1", bare) or name


def _parted(name: str) -> tuple[str, str]:
    """An id and its revision; an ``@`` in a folder's name begins none."""
    found = re.search(r"@([^/@]*)$", name)
    return (name[: found.start()], found[1]) if found else (name, "")


def short_names(ids: Sequence[str]) -> dict[str, str]:
    """Ids without folders and revisions, as far as they stay different."""

    def with_revision(name: str) -> str:
        revision = _parted(name)[1]
        return f"{short_name(name)}@{revision[:7]}" if revision else name

    names, known = {}, set(ids)
    for name in ids:
        for spell in (short_name, with_revision, str):
            if sum(spell(other) == spell(name) for other in known) == 1:
                names[name] = spell(name)
                break
    return names


def two_names(first: str, second: str) -> tuple[str, str]:
    """Two ids as short as they stay different; one id twice is told apart as A and B."""
    if first == second:
        return f"{short_name(first)} (A)", f"{short_name(second)} (B)"
    names = short_names([first, second])
    return names[first], names[second]


# ── what was asked and said ──────────────────────────────────────────────────────────────────────


def reply(said: SaidReply) -> list[tuple[str, str]]:
    """A reply of a service as names and texts: what it said, thought and might have said."""
    told: list[tuple[str, str]] = []
    answer = said.reply
    if answer is not None:
        told = [
            ("said", answer.said or ("" if answer.refusal else "nothing")),
            ("thought", answer.thought),
            ("first word", odds(answer.first or ())),
            ("was cut off", "at its longest" if answer.is_cut and not answer.first else ""),
            ("called", "a tool instead of answering" if answer.calls_tool else ""),
        ]
    return [(name, text) for name, text in [*told, ("no use", said.reason)] if text]


def asking(replies: Sequence[SaidReply]) -> list[tuple[str, str]]:
    """How a service was asked for all of some replies, and who answered, as names and texts."""
    if not replies:
        return []
    answers = [said.reply for said in replies if said.reply is not None]
    who = [" with ".join(filter(None, (one.model, one.fingerprint))) for one in answers]
    counts = (
        (sum(one.tokens_read or 0 for one in answers), "read"),
        (sum(one.tokens_written or 0 for one in answers), "written"),
    )
    seconds = sum(said.seconds for said in replies) / len(replies)
    told = [
        ("answered by", ", ".join(dict.fromkeys(filter(None, who)))),
        *replies[0].shown,
        ("tokens", ", ".join(f"{count:,} {what}" for count, what in counts if count)),
        ("asked", f"{moment(replies[0].at)}, about {seconds:.1f} s a reply"),
    ]
    return [(name.replace("_", " "), text) for name, text in told if text]


def answered(question: Question, answer: Answer) -> str:
    """What an answer speaks of: its option, or yes; a likeness is no yes."""
    return answer.option or ("likeness" if question.kind is QuestionKind.LIKENESS else "yes")


def beside(answer: Answer) -> str:
    """What goes with an answer: how much was heard, where it was found, why there is none."""
    heard = f", heard {percent(answer.mass)}\u00a0%" if answer.mass < 1 else ""
    box = answer.box
    where = (
        ""
        if box is None
        else f", found at {interval(box.left, box.right)}\u00a0% from the left and "
        f"{interval(box.top, box.bottom)}\u00a0% from the top"
    )
    return heard + where + (f": {answer.reason}" if answer.reason else "")


def told_range(answer: Answer, share: Rate | None, counted: int) -> str:
    """How surely an answer holds: ``"67 % (30–93) of 6 replies"`` where replies were counted."""
    if share is None or not share.total:
        return score(answer.value)
    of = several(share.total, "reply", "replies")
    silent = f", of {counted} asked for" if share.total < counted else ""
    return f"{rate(share)} of {of}{silent}"


def moved(ids: Iterable[str]) -> list[str]:
    """A sentence for each name that stands for several states of a model."""
    states: dict[str, list[str]] = {}
    for name in dict.fromkeys(ids):
        states.setdefault(_REVISION.sub("", name), []).append(name)
    return [
        f"{short_name(name)} is {len(some)} models here: it has changed between audits, on the hub "
        f"or on this disk ({', '.join(_revisions(one) for one in some)}), and their pictures are "
        f"not mixed. Look at one with --model and its digits; a model on the hub is held with "
        f"{short_name(name)}@COMMIT."
        for name, some in states.items()
        if len(some) > 1
    ]


def _revisions(name: str) -> str:
    return "+".join(revision[1:8] for revision in _REVISION.findall(name))


# ── opinions ─────────────────────────────────────────────────────────────────────────────────────


def decision(made: Decision) -> str:
    """Whether a pair fails, in one word; open is what is undecided or unfinished."""
    match made:
        case Decision.FAILS:
            return "fails"
        case Decision.PASSES:
            return "passes"
        case Decision.UNDECIDED:
            return "undecided"
        case Decision.CONTINUE:
            return "unfinished"


def standing_word(made: Decision) -> str:
    """The same where open is enough: ``"fails"``, ``"passes"`` or ``"open"``."""
    return decision(made) if made in (Decision.FAILS, Decision.PASSES) else "open"


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
            return NOT_JUDGED
        case Verdict.REFUSED:
            return "refused"


def missing(found: PairFinding) -> str:
    """Which concepts of a pair are missing from how many pictures: ``"tea cup 3, both 1"``."""
    counts = {
        found.pair.a.name: found.judgement.count(Verdict.A_MISSING),
        found.pair.b.name: found.judgement.count(Verdict.B_MISSING),
        "both": found.judgement.count(Verdict.BOTH_MISSING),
    }
    return ", ".join(f"{name} {count}" for name, count in counts.items() if count)


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
        f"expected right with the repaired prompt, by what all such show together."
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


def outcome(*, passed: bool, proved: bool) -> str:
    """What a certificate says of a repair: by itself, and among all that were looked at."""
    return "repaired" if proved else "passes alone" if passed else "not repaired"


def compared(found: Comparison, first: str, second: str) -> str:
    """Which of two models is better by how much, in one sentence; the names are as shown."""
    difference = found.difference
    if not difference.pairs:
        return "These two audits share no scored picture: nothing to compare."
    by = (
        f"{points(abs(difference.value)).lstrip('+')} percentage points "
        f"({points(difference.low)} to {points(difference.high)} with 95 % confidence)"
    )
    if difference.low > 0:
        return f"{second} is better by {by}."
    if difference.high < 0:
        return f"{first} is better by {by}."
    return f"No difference can be told: {by}."


def controlled(kept: int, among: int) -> str:
    """What is left of a number when all are looked at together."""
    return f"{kept:,} after control for looking at {among:,}"
