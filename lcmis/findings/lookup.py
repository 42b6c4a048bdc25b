"""What a person means by a word: all pairs, one pair, one picture, what failed."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from lcmis import judge
from lcmis.errors import ConfigError, UnknownNameError
from lcmis.findings.dissent import Dissent, dissents
from lcmis.findings.likeness import LikenessFinding, find_likenesses
from lcmis.findings.notes import NOTHING, Noted, noted_on
from lcmis.findings.pairs import PairFinding, find_pairs
from lcmis.findings.runs import deciding_checker, last_audit, rule_of
from lcmis.findings.told import Told, tell
from lcmis.findings.ways import mixed_ways
from lcmis.store import Store
from lcmis.types import About, ConceptPair, Failure, Question, Render, RenderSpec, Score


@dataclass(frozen=True, slots=True)
class AllPairs:
    """Pairs of every model, worst first: all of them, or those that a word was meant for."""

    checker: str
    pairs: tuple[PairFinding, ...]
    left_out: int = 0
    """How many more there are."""
    notes: tuple[str, ...] = ()
    """What is to be known of their numbers, a sentence each."""

    def first(self, count: int) -> AllPairs:
        """The worst so many; 0 is all."""
        kept = self.pairs[:count] if count else self.pairs
        left_out = self.left_out + len(self.pairs) - len(kept)
        return dataclasses.replace(self, pairs=kept, left_out=left_out)

    is_failing: bool = field(default=False, metadata={"shown": False})
    """Whether those were asked for that are decided to fail."""


@dataclass(frozen=True, slots=True)
class OnePair:
    """One pair, and what every model made of it."""

    pair: ConceptPair
    checker: str
    findings: tuple[PairFinding, ...]
    likenesses: tuple[LikenessFinding, ...] = ()
    """What checkers measured that decide nothing."""
    noted: Noted = NOTHING
    """What people left on the pair."""


@dataclass(frozen=True, slots=True)
class OnePicture:
    """One picture: how it was drawn, where it lies, and all that was said of it."""

    spec: RenderSpec
    render: Render
    path: str
    """Empty for a refusal."""
    scores: tuple[tuple[Question, Score], ...]
    told: tuple[Told, ...] = ()
    """What each checker was asked and said, where that was wanted."""
    noted: Noted = NOTHING
    """What people left on it."""


@dataclass(frozen=True, slots=True)
class Dissents:
    """Pictures that checkers see differently."""

    checkers: tuple[str, ...]
    """The deciding one first."""
    pictures: tuple[Dissent, ...]


ERRORS, FAILING = "errors", "failing"
"""What could not be drawn or checked, and what a model paints wrong: two things, two words."""
FAILURES = "failures"
"""What errors were called once."""


@dataclass(frozen=True, slots=True)
class Failures:
    """Items that failed and have not succeeded since."""

    failures: tuple[Failure, ...]


def look_up(
    store: Store,
    what: str | None,
    *,
    model: str | None = None,
    checker: str | None = None,
    threshold: float = 0.5,
    asked: bool = False,
    disagree: bool = False,
) -> AllPairs | OnePair | OnePicture | Dissents | Failures:
    """Find what a person means: nothing (all pairs), ``failing``, ``errors``, words, a pair, or a
    picture.

    Args:
        store: The facts.
        what: A key, the beginning of one, a pair's prompt, or words that stand in the prompts or
            concepts of pairs; several such pairs are listed.
        model: Only models whose name contains this.
        checker: The checker whose scores decide; that of the last run by default.
        threshold: Score from which a concept counts as present.
        asked: Whether of a picture it is told too what each checker was asked and said.
        disagree: Instead of pairs, their pictures that checkers see differently.

    Raises:
        UnknownNameError: nothing is called so.
        ConfigError: a choice that has no effect on what was named.
    """
    if what in (ERRORS, FAILURES) and (asked or disagree):
        raise ConfigError(
            "errors were never judged: leave --asked and --disagree out, or name a pair or picture"
        )
    if what in (ERRORS, FAILURES):
        return Failures(tuple(store.failures()))
    checker_id = deciding_checker(store, checker)
    audit = last_audit(store.runs())
    rule = rule_of(audit) if audit else None

    def judged(pair: str | None) -> tuple[PairFinding, ...]:
        found = find_pairs(store, checker_id, rule=rule, threshold=threshold, pair=pair)
        return tuple(item for item in found if model is None or model in item.model)

    def listed(found: Iterable[PairFinding], *, failing: bool = False) -> AllPairs:
        pairs = tuple(found)
        drawn = {one.model for one in pairs}
        notes = tuple(note for one, note in mixed_ways(store).items() if one in drawn)
        return AllPairs(checker_id, pairs, notes=notes, is_failing=failing)

    def differing(keys: set[str] | None) -> Dissents:
        others = [name for name in store.checkers() if name != checker_id]
        pair = next(iter(keys)) if keys and len(keys) == 1 else None
        found = dissents(store, [checker_id, *others], threshold=threshold, model=model, pair=pair)
        wanted = (one for one in found if keys is None or one.pair.key in keys)
        return Dissents((checker_id, *others), tuple(wanted))

    if what is None or what == "pairs":
        _refuse_asked(asked)
        return differing(None) if disagree else listed(judged(None))
    if what == FAILING:
        _refuse_asked(asked)
        found = tuple(one for one in judged(None) if one.judgement.failing is judge.Decision.FAILS)
        keys = {one.pair.key for one in found}
        return differing(keys) if disagree else listed(found, failing=True)
    told = _told_of(store, what)
    if disagree and len(told) > 1:
        return differing({pair.key for pair in told})
    if len(told) > 1:
        _refuse_asked(asked)
        keys = {pair.key for pair in told}
        return listed(one for one in judged(None) if one.pair.key in keys)
    try:
        pair = told[0] if told else store.pair(what)
    except UnknownNameError as no_pair:
        try:
            spec, render = store.render(what)
        except UnknownNameError:
            raise no_pair from None
        if disagree:
            raise ConfigError("--disagree lists pictures: leave it out, or name a pair") from None
        path = "" if render.refusal else store.image_place(render.sha256)
        said = tell(store, render) if asked else ()
        left = noted_on(store, About.PICTURE, spec.key)
        return OnePicture(spec, render, path, tuple(store.scores(spec.key)), said, left)
    _refuse_asked(asked)
    if disagree:
        return differing({pair.key})
    found = judged(pair.key)
    left = noted_on(store, About.PAIR, pair.key)
    return OnePair(pair, checker_id, found, find_likenesses(store, found), left)


def _refuse_asked(asked: bool) -> None:
    if asked:
        raise ConfigError(
            "--asked tells what was asked of one picture: name its key, which `lcmis show PAIR` "
            "lists"
        )


_KEY = re.compile(r"k1:.*|[0-9a-f]{8,}")


def _told_of(store: Store, what: str) -> list[ConceptPair]:
    """The pair of exactly this prompt, or else those of whose prompt, names and synonyms every
    word is told, at least its beginning; none of what looks like a key.
    """
    asked = what.casefold().split()
    if not asked or _KEY.fullmatch(what):
        return []
    pairs = store.pairs()
    if exactly := [pair for pair in pairs if pair.prompt == what]:
        return exactly
    said = [(pair, _said(pair)) for pair in pairs]
    for words in (asked, [_singular(word) for word in asked]):
        begins = [re.compile(rf"(?<![a-z0-9]){re.escape(word)}") for word in words]
        if found := [pair for pair, text in said if all(one.search(text) for one in begins)]:
            return found
    return []


def _singular(word: str) -> str:
    """As far as a word and its plural are spelled alike: ``cactus`` finds cacti, and back."""
    for ending in ("uses", "ies", "es", "us", "i", "y", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word


def _said(pair: ConceptPair) -> str:
    names = (name for side in (pair.a, pair.b) for name in (side.name, *side.synonyms))
    return "\n".join((pair.prompt, *names)).casefold()
