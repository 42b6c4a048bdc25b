"""Searches for a repair of one pair: a case, and an evaluation whose answers are a formula."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from PIL import Image

from lcmis.errors import InversionError, ItemError, OutOfBudget
from lcmis.plugins.protocols import Case, Tools
from lcmis.types import Candidate, Concept, ConceptPair, Intruder, Seen, Side, Trial

CUP = ConceptPair(
    Concept("tea cup", "a small white cup", ("teacup",)),
    Concept("iced coke", "dark drink with ice"),
    "a tea cup of iced coke",
    ("A tea cup of iced coke on a table",),
    (Intruder(Concept("glass"), Side.A, "a glass of iced coke"),),
)
CASE = Case(
    pair=CUP,
    num_inference_steps=40,
    supports_stages=True,
    supports_negative_prompt=True,
    batch_size=16,
    seeds=range(100, 200),
    threshold=0.5,
    budget=120,
    a_missing=18,
    b_missing=2,
    intruder="glass",
)
OPENINGS = {
    "a tea cup": "a",
    "iced coke": "b",
    "a small white cup": "A",
    "dark drink with ice": "B",
}
Scores = Callable[[Candidate, int], tuple[float | None, float | None]]


Item = TypeVar("Item")


class Formula:
    """Evaluates by a formula and remembers what was asked and what failed."""

    def __init__(
        self,
        scores: Scores,
        budget: int = 10_000,
        tools: Tools | None = None,
        reference: Image.Image | None = None,
    ) -> None:
        self.scores, self.budget, self.tools, self.reference = scores, budget, tools, reference
        self.asked: list[list[tuple[Candidate, list[int]]]] = []
        self.failures: list[str] = []
        self.equipped: list[bool] = []
        """Whether a reference was wanted, each time."""

    def together(self, asked: Sequence[tuple[Candidate, Sequence[int]]]) -> list[Trial]:
        self.asked.append([(candidate, list(seeds)) for candidate, seeds in asked])
        if sum(len(seeds) for batch in self.asked for _, seeds in batch) > self.budget:
            raise OutOfBudget("spent")
        return [
            Trial(
                CUP.key,
                "m@1",
                "toy",
                "clip:g@1",
                candidate,
                tuple(Seen(seed, *self.scores(candidate, seed)) for seed in seeds),
            )
            for candidate, seeds in asked
        ]

    def attempt(self, what: str, source: Callable[[], Iterable[Item]]) -> list[Item]:
        found = []
        try:
            for item in source():
                found.append(item)
        except ItemError as error:
            self.failures.append(f"{what}: {error}")
        return found

    def equip(self, case: Case, *, reference: bool = True) -> Case:
        self.equipped.append(reference)
        picture = self.reference if reference else None
        return dataclasses.replace(case, tools=self.tools, reference=picture)

    def way(self) -> str:
        """Which concept first, in capitals where by its looks, until which step, on which seeds;
        batches apart.
        """
        return " ".join(
            "+".join(
                f"{OPENINGS[candidate.stages[0].prompt]}"
                f"{round(candidate.stages[0].denoising_end * 40)}"
                f":{seeds[0] - 100}-{seeds[-1] - 100}"
                for candidate, seeds in batch
            )
            for batch in self.asked
        )


class Reciter:
    """An inverter that knows five prompts; it stumbles over a picture that is not square."""

    inverter_id = "reciter"

    def invert(self, reference: Image.Image, tools: Tools) -> Iterator[str]:
        yield from ("first", "second", "third", "fourth")
        if reference.width != reference.height:
            raise InversionError("lost the thread")
        yield "fifth"
