"""What works for which family of pipelines, as tests found it on tiny ones of the real classes."""

from __future__ import annotations

import difflib
import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass

from lcmis.errors import UnknownNameError
from lcmis.machine.paths import shipped

WORKS = "yes"


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyFacts:
    """One family; what works is :data:`WORKS`, what does not is the sentence that refuses it."""

    family: str
    pipeline: str
    """Class of diffusers."""
    same: str
    """Whether one prompt is drawn as diffusers draws it, bit for bit."""
    stages: str
    """Whether the prompt can be switched between steps."""
    guidance: str
    """Whether the guidance scale acts."""
    negative: str
    """Whether a negative prompt acts."""
    batches: str
    """Whether pictures of a batch are those drawn alone, bit for bit."""
    length: str
    """Whether a prompt that is read whole is told from one that is one letter longer; without
    :data:`WORKS`, why there is no longest one."""
    size: str
    """Whether pictures have the size that was asked for."""
    seconds: str = ""
    """Of one picture, drawn by lcmis and by diffusers alone, and the ratio: ``"0.21 / 0.20 =
    1.05"``. Measured in one run on tiny pipelines, where all that lcmis adds shows most."""

    @property
    def document(self) -> Mapping[str, str]:
        """As it stands in the file."""
        return {name: getattr(self, name) for name in (*ASPECTS, "seconds")}

    @property
    def ratio(self) -> str:
        """Of the seconds alone."""
        return self.seconds.rpartition("= ")[2]


ASPECTS = ("pipeline", "same", "stages", "guidance", "negative", "batches", "length", "size")
"""Fields of a family, in the order of the table."""


@functools.cache
def family_facts() -> tuple[FamilyFacts, ...]:
    """Every family that was tried, in the order of the file."""
    text = (shipped("data") / "families.toml").read_text(encoding="utf-8")
    found = tomllib.loads(text)
    return tuple(FamilyFacts(family=family, **facts) for family, facts in found.items())


def find_families(name: str) -> tuple[FamilyFacts, ...]:
    """Those of this name or pipeline class, or of whose name it is a part.

    Raises:
        UnknownNameError: there is none.
    """
    every = family_facts()
    said = name.casefold()
    exact = [facts for facts in every if said in (facts.family, facts.pipeline.casefold())]
    part = [facts for facts in every if said in facts.family or said in facts.pipeline.casefold()]
    if not part:
        names = [facts.family for facts in every]
        near = ", ".join(difflib.get_close_matches(said, names, n=3)) or ", ".join(names[:3])
        raise UnknownNameError(
            f"no family is called {name!r}: try {near}, or `lcmis models --families`"
        )
    return tuple(exact or part)
