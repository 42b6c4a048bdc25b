"""Mined negatives: what was painted instead, or beside it, is kept away by a negative prompt.

After NPC, where a verifier finds what is wrong, a captioner says what is there, and a proposer
names what to leave out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from lcmis.plugins.protocols import Case, Evaluate, TextModel
from lcmis.repair.methods import halve
from lcmis.repair.methods.phrases import by_looks, other
from lcmis.text import asking
from lcmis.text.words import places, without_article
from lcmis.types import Candidate, Stage

CAPTIONED = 3
"""Pictures of the plain prompt that a text model is shown."""
PROPOSED = 6
"""Things that a text model is asked for."""


@dataclass(frozen=True, slots=True)
class Negatives:
    """Tries negative prompts alone and together, with the plain prompt and a described one.

    Deviations from the source: the guide verifies; without a text model the negatives are what the
    audit saw painted instead, and what the pair itself says may be; without one that sees pictures
    there are no captions.
    """

    seeds: int = 4
    """Of the first round; each later round takes as many as all before."""

    repairer_id = "npc"

    def repair(self, case: Case, evaluate: Evaluate) -> None:
        """Search until one is left or the budget ends; none where no negative prompt is read."""
        if not case.supports_negative_prompt:
            return
        mined: list[str] = []
        if case.text_model is not None:
            asked = partial(_mined, case.text_model, case, evaluate)
            mined = evaluate.attempt("negatives by a text model", asked)
        halve(candidates(case, mined), case, evaluate, self.seeds)


def candidates(case: Case, mined: list[str]) -> list[Candidate]:
    """Each negative with the plain prompt, then all together; with the lost one's looks the first
    of them and all.
    """
    if not case.supports_negative_prompt:
        return []
    known = list(dict.fromkeys([*_of_the_pair(case), *map(without_article, mined)]))
    asked_for = [case.pair.a.name, case.pair.b.name]
    kept_away = [one for one in known if not any(places(one, name) for name in asked_for)]
    prompt = case.pair.prompt
    together = [", ".join(kept_away)] if len(kept_away) > 1 else []
    found = [Candidate((Stage(prompt),), one) for one in (*kept_away, *together)]
    described = by_looks(case.pair, case.lost)
    if described and kept_away:
        found += [Candidate((Stage(described),), one) for one in (kept_away[0], *together)]
    return found


def _of_the_pair(case: Case) -> Iterator[str]:
    """What was painted instead by name and by looks, and what may be painted in either's place."""
    suspects = [*case.pair.intruders_of(case.lost), *case.pair.intruders_of(other(case.lost))]
    concepts = [one.concept for one in suspects]
    seen = [one for one in concepts if one.name == case.intruder]
    if case.intruder:
        yield case.intruder
    for one in (*seen, *concepts):
        yield one.name
        if one.description:
            yield one.description


def _mined(model: TextModel, case: Case, evaluate: Evaluate) -> Iterator[str]:
    """What a text model would leave out, told what the plain prompt's pictures show.

    Raises:
        TextModelError: no reply.
        ProposalError: the reply cannot be used.
        OutOfBudget: as it paints what is captioned.
    """
    seen: list[str] = []
    tools = evaluate.equip(case, reference=False).tools
    if model.sees_images and tools is not None:
        pictures = [tools.paint(case.pair.prompt, place) for place in range(CAPTIONED)]
        seen = [asking.caption(model, one) for one in pictures if one is not None]
    yield from asking.avoid(model, case.pair, seen, PROPOSED, case.intruder)
