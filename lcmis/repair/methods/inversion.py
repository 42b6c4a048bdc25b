"""Repairs by inversion: what would ask for the picture that was wanted, tried as a prompt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lcmis.plugins.opening import open_inverter
from lcmis.plugins.optional import needs_of, reads_table
from lcmis.plugins.protocols import Case, Evaluate, Inverter, Need
from lcmis.repair.methods import halve
from lcmis.types import Candidate, Stage


@dataclass(frozen=True, slots=True)
class ByInversion:
    """Turns the reference picture into prompts, which then compete on the case's seeds.

    Args:
        inverter: finds the prompts.
        most: how many of them compete, the last and so best ones.
        seeds: of the first round.
    """

    inverter: Inverter
    most: int = 8
    seeds: int = 4

    @property
    def repairer_id(self) -> str:
        """The inverter's."""
        return self.inverter.inverter_id

    @property
    def reads_table(self) -> bool:
        """As the inverter."""
        return reads_table(self.inverter)

    @property
    def needs(self) -> frozenset[Need]:
        """As the inverter."""
        return needs_of(self.inverter)

    def repair(self, case: Case, evaluate: Evaluate) -> None:
        """Search until one is left or the budget ends; without a prompt nothing is drawn."""
        case = evaluate.equip(case)
        found = evaluate.attempt(self.repairer_id, lambda: candidates(self.inverter, case))
        halve(found[: -self.most - 1 : -1], case, evaluate, self.seeds)


def candidates(inverter: Inverter, case: Case) -> Iterator[Candidate]:
    """The inverter's prompts for an equipped case, each once, best last; none without a picture.

    Raises:
        InversionError: a tool that the inverter needs is not there.
        TextModelError: no reply.
        OutOfBudget: as it paints.
    """
    if case.reference is None or case.tools is None:
        return
    for prompt in inverter.invert(case.reference, case.tools):
        yield Candidate((Stage(prompt),))


def pez() -> ByInversion:
    """PEZ: words found by gradients through an open_clip encoder, as prompts."""
    return ByInversion(open_inverter("pez"))


def pez_through_denoiser() -> ByInversion:
    """PEZ: words found by gradients through the image model itself, as prompts."""
    return ByInversion(open_inverter("pez-denoiser"))


def ph2p() -> ByInversion:
    """PH2P: words found by L-BFGS through the image model at late times, as prompts."""
    return ByInversion(open_inverter("ph2p"))


def interrogator() -> ByInversion:
    """The table search: phrases that an encoder finds in the picture, behind its caption."""
    return ByInversion(open_inverter("interrogator"))


def editor() -> ByInversion:
    """EDITOR: an embedding found by gradients through the image model, put in words."""
    return ByInversion(open_inverter("editor"))


def arpo() -> ByInversion:
    """ARPO: a caption changed phrase by phrase by a text model that sees what was painted."""
    return ByInversion(open_inverter("arpo"))
