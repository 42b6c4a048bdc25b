"""A gate for continuous integration: pass, fail or cannot tell, from intervals and not points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lcmis import judge
from lcmis.errors import ConfigError, UnknownNameError
from lcmis.findings import comparison
from lcmis.findings.comparison import Audited, compare, right_rate
from lcmis.findings.words import several
from lcmis.judge import Ruling
from lcmis.store import Store
from lcmis.types import Rate

EXIT_CODES = {Ruling.PASS: 0, Ruling.FAIL: 1, Ruling.UNDECIDED: 3}
"""Of ``lcmis gate``; 2 is a mistake of the user's."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that a model must keep, and what the audit says of it."""

    name: str
    ruling: Ruling
    measured: Rate
    """A share of wrong pictures in [0, 1], or by how much it grew, in [-1, 1]."""
    pairs: int
    limit: float
    sentence: str
    """What was measured, in words, and what would settle it where it is open."""


@dataclass(frozen=True, slots=True)
class Gate:
    """All conditions of one model."""

    model: str
    checker: str
    conditions: tuple[Condition, ...]

    @property
    def ruling(self) -> Ruling:
        """Fails if any condition does; passes if all do."""
        rulings = {condition.ruling for condition in self.conditions}
        for worst in (Ruling.FAIL, Ruling.UNDECIDED):
            if worst in rulings:
                return worst
        return Ruling.PASS

    @property
    def exit_code(self) -> int:
        """0 pass, 1 fail, 3 cannot tell."""
        return EXIT_CODES[self.ruling]


def examine(
    side: Audited,
    *,
    max_rate: float | None = None,
    reference: Audited | None = None,
    margin: float = 0.05,
    threshold: float = 0.5,
) -> Gate:
    """Hold one model's audit against a limit, a reference audit, or both.

    Args:
        side: The audit.
        max_rate: The share of wrong pictures that is allowed, in [0, 1].
        reference: An audit of the same pairs that this one may not be worse than.
        margin: By how much more of the pictures may be wrong than in the reference, in [0, 1].
        threshold: Score from which a concept counts as present.

    Raises:
        ConfigError: nothing to hold it against, a share outside [0, 1], an audit without a scored
            picture, or a reference that shares no pair.
    """
    if max_rate is None and reference is None:
        raise ConfigError("a gate needs a limit: give --max-rate, --not-worse-than, or both")
    for name, share in (("--max-rate", max_rate), ("--margin", margin)):
        if share is not None and not 0 <= share <= 1:
            raise ConfigError(f"{name} is {share:g}, but it is a share of pictures from 0 to 1")
    conditions = []
    if max_rate is not None:
        conditions.append(_absolute(side, max_rate, threshold))
    if reference is not None:
        conditions.append(_relative(side, reference, margin, threshold))
    return Gate(side.model, side.checker, tuple(conditions))


def audits(store: Store | None, place: str) -> list[str]:
    """The models of a store that a gate without a name is about.

    Raises:
        UnknownNameError: there is no store, or nothing was audited in it.
    """
    models = [] if store is None else comparison.models(store)
    if not models:
        raise UnknownNameError(f"there is no audit in {place}: run `lcmis audit`, or name a store")
    return models


def worst(gates: Sequence[Gate]) -> int:
    """The exit code of several gates: fail before cannot tell before pass."""
    codes = {gate.exit_code for gate in gates}
    return next(code for code in (1, 3, 0) if code in codes)


def _absolute(side: Audited, limit: float, threshold: float) -> Condition:
    right, pairs = right_rate(side, threshold=threshold)
    if not pairs:
        raise ConfigError(f"{side.checker} has scored no picture of {side.model}: audit it first")
    wrong = judge.failing(right)
    ruling = judge.ruling(wrong.low, wrong.high, limit)
    sentence = (
        f"{wrong.value:.1%} of {several(wrong.total, 'picture')} of "
        f"{several(pairs, 'pair')} are wrong, "
        f"{wrong.low:.1%} to {wrong.high:.1%} with 95 % confidence; allowed are {limit:.1%}"
    )
    sentence += _advice(ruling, pairs, wrong, limit)
    return Condition("at most so many wrong pictures", ruling, wrong, pairs, limit, sentence)


def _relative(side: Audited, reference: Audited, margin: float, threshold: float) -> Condition:
    compared = compare(reference, side, threshold=threshold)
    difference = compared.difference
    if not difference.pairs:
        raise ConfigError(
            f"{side.model} and {reference.model} have no scored pair in common: audit both on the "
            f"same pairs"
        )
    worse = Rate(
        value=-difference.value,
        low=-difference.high,
        high=-difference.low,
        total=difference.pictures,
    )
    ruling = judge.ruling(worse.low, worse.high, margin)
    sentence = (
        f"{worse.value:+.1%} wrong pictures against {reference.model} on "
        f"{several(difference.pairs, 'pair')} and "
        f"{several(difference.pictures, 'shared seed')}, {worse.low:+.1%} to {worse.high:+.1%} "
        f"with 95 % confidence; allowed are {margin:+.1%}"
    )
    sentence += _advice(ruling, difference.pairs, worse, margin)
    sentence += "".join(f"; {note}" for note in compared.notes)
    name = "not worse than the reference"
    return Condition(name, ruling, worse, difference.pairs, margin, sentence)


def _advice(ruling: Ruling, pairs: int, measured: Rate, limit: float) -> str:
    """What would settle an open condition."""
    if ruling is not Ruling.UNDECIDED:
        return ""
    needed = judge.pairs_needed(pairs, measured.value, measured.low, measured.high, limit)
    if needed is None:
        return "; it lies on the limit, so no number of pairs would settle it"
    more = several(needed, "pair")
    return f"; about {more} of this kind would settle it, if the share stays what it is"
