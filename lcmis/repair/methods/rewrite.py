"""Rewriting: what a person would try, description for name, other order, synonyms, a negative."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lcmis.plugins.protocols import Case, Evaluate
from lcmis.repair.methods import halve
from lcmis.repair.methods.phrases import alone, by_looks, by_synonym, other
from lcmis.text.words import places
from lcmis.types import Candidate, Side, Stage


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Tries every rewriting on a few seeds, then the better half on more, and so on."""

    seeds: int = 4
    """Of the first round; each later round doubles them."""

    repairer_id = "rewrite"

    def repair(self, case: Case, evaluate: Evaluate) -> None:
        """Search until one is left or the budget ends."""
        halve(candidates(case), case, evaluate, self.seeds)


def candidates(case: Case) -> list[Candidate]:
    """Every rewriting that the pair's own words allow, likeliest to help first."""
    prompts = dict.fromkeys(prompt for prompt in _prompts(case) if prompt != case.pair.prompt)
    plain = [Candidate((Stage(prompt),)) for prompt in prompts]
    if not (case.intruder and case.supports_negative_prompt):
        return plain
    kept_away = [case.pair.prompt, *list(prompts)[:1]]
    return plain + [Candidate((Stage(prompt),), case.intruder) for prompt in kept_away]


def _prompts(case: Case) -> Iterator[str]:
    pair, lost = case.pair, case.lost
    for sides in ((lost,), (other(lost),), tuple(Side)):
        yield from _if_any(by_looks(pair, *sides))
    yield f"{alone(pair, lost)}, {pair.prompt}"
    if look := pair.concept(lost).description:
        yield f"{pair.prompt}, {look}"
    first, second = sorted(Side, key=lambda side: places(pair.prompt, pair.concept(side).name)[:1])
    if all(looks := [pair.concept(side).description for side in (second, first)]):
        yield " and ".join(looks)
        yield f"{by_looks(pair, *Side) or looks[1]}, {pair.prompt}"
    for sentence in pair.sentences:
        yield from _if_any(by_looks(pair, lost, sentence=sentence))
    for synonym in pair.concept(lost).synonyms:
        yield from _if_any(by_synonym(pair, lost, synonym))
    yield f"{alone(pair, second)} and {alone(pair, first)}"
    yield from case.other_prompts
    yield from pair.sentences


def _if_any(prompt: str | None) -> Iterator[str]:
    if prompt is not None:
        yield prompt
