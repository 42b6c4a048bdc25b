"""The contract of repairers, and the desk that they are tried on."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from lcmis.errors import ItemError, OutOfBudget
from lcmis.plugins.optional import choice_of
from lcmis.plugins.protocols import Case
from lcmis.testing.given import contract_pair
from lcmis.types import FIRST_REPAIR_SEED, Candidate, Seen, Stage, StageManner, Trial

if TYPE_CHECKING:
    from lcmis.plugins.protocols import Repairer

Item = TypeVar("Item")


def contract_case(**changes: object) -> Case:
    """A tea cup of iced coke that loses its cup, with the most that a case can have but tools."""
    case = Case(
        pair=contract_pair(),
        num_inference_steps=20,
        supports_stages=True,
        supports_negative_prompt=True,
        batch_size=4,
        seeds=range(FIRST_REPAIR_SEED, FIRST_REPAIR_SEED + 64),
        threshold=0.5,
        budget=60,
        a_missing=15,
        b_missing=2,
        intruder="glass",
        other_prompts=("iced coke, poured into a tea cup", "a small tea cup that holds iced coke"),
        manners=frozenset(StageManner),
        refiner="refiner@1",
        likeness_weight=2.5,
    )
    return replace(case, **changes)  # type: ignore[arg-type]


class Desk:
    """Says of a candidate and a seed, by chance that is theirs alone, how both concepts are seen.

    It keeps the promises of :class:`lcmis.plugins.protocols.Evaluate` and notes what is broken.
    """

    def __init__(self, case: Case, pictures: int | None = None) -> None:
        self.case = case
        self.pictures = case.budget if pictures is None else pictures
        """So many different ones are seen; fewer than the case says is a search that is cut off."""
        self.trials: list[Trial] = []
        self.asked: dict[tuple[Candidate, int], None] = {}
        """Different pictures that were paid for, in order."""
        self.is_spent = False
        self.asked_after = 0
        """How often it was asked when the budget had ended the search."""

    def __call__(
        self, stages: tuple[Stage, ...], *, seeds: Sequence[int] = (), negative_prompt: str = ""
    ) -> Trial:
        """One candidate."""
        seeds = seeds or self.case.seeds[:8]
        return self.together([(Candidate(stages, negative_prompt), seeds)])[0]

    def together(self, asked: Sequence[tuple[Candidate, Sequence[int]]]) -> list[Trial]:
        """Several candidates, until the pictures are spent."""
        self.asked_after += self.is_spent
        for candidate, seeds in asked:
            strange = [seed for seed in seeds if seed not in self.case.seeds]
            if strange:
                raise ValueError(f"the seed {strange[0]} is not one to search on")
            found = []
            for seed in seeds:
                if (candidate, seed) not in self.asked and len(self.asked) >= self.pictures:
                    self.is_spent = True
                    break
                self.asked[candidate, seed] = None
                found.append(Seen(int(seed), *self._seen(candidate, seed)))
            self.trials.append(self._trial(candidate, found))
        if self.is_spent:
            raise OutOfBudget(f"{self.pictures} pictures are spent")
        return self.trials[len(self.trials) - len(asked) :]

    def attempt(self, what: str, source: Callable[[], Iterable[Item]]) -> list[Item]:
        """What a source yields until it fails, or has spent what there is."""
        found = []
        try:
            for item in source():
                found.append(item)
        except ItemError:
            return found
        except OutOfBudget:
            self.is_spent = False  # whoever goes on to draw has not been told yet
        return found

    def equip(self, case: Case, *, reference: bool = True) -> Case:
        """As it is: there are neither tools nor references here."""
        return case

    def _trial(self, candidate: Candidate, seen: Sequence[Seen]) -> Trial:
        return Trial(self.case.pair.key, "any@1", "any", "any:guide@1", candidate, tuple(seen))

    def _seen(self, candidate: Candidate, seed: int) -> tuple[float, float]:
        if len(candidate.stages) > 1 and not self.case.supports_stages:
            raise AssertionError("stages are asked of a model that cannot switch")
        if candidate.negative_prompt and not self.case.supports_negative_prompt:
            raise AssertionError("a negative prompt is asked of a model that takes none")
        if not candidate.manners <= self.case.manners:
            raise AssertionError("a manner of drawing is asked of a model that does not know it")
        if candidate.stages[-1].refiner not in ("", self.case.refiner):
            raise AssertionError("a refiner is asked for that the model does not have")
        digest = hashlib.sha256(f"{candidate.key} {seed}".encode()).digest()
        return digest[0] / 255, digest[1] / 255


class RepairerContract:
    """What every repairer must pass: subclass, and say how yours is made."""

    def make(self) -> Repairer:
        """Yours."""
        raise NotImplementedError("say how your repairer is made: write make() in your test class")

    def search(self, case: Case, pictures: int | None = None) -> Desk:
        """Searches once, from its beginning to its end, or until so many pictures were seen."""
        desk = Desk(case, pictures)
        with contextlib.suppress(OutOfBudget):
            self.make().repair(case, desk)
        return desk

    def test_its_id_is_a_name(self) -> None:
        """Searches are found again by it."""
        assert self.make().repairer_id.strip()

    def test_it_asks_for_seeds_of_the_case_alone(self) -> None:
        """Others prove, and may not be seen before; the desk refuses them."""
        desk = self.search(contract_case())
        assert all(seed in contract_case().seeds for _, seed in desk.asked)

    def test_the_end_of_the_budget_ends_it(self) -> None:
        """It does not go on asking: what is asked then is drawn for nothing."""
        for budget in (1, 7, 30):
            desk = self.search(contract_case(budget=budget))
            assert len(desk.asked) <= budget
            assert desk.asked_after == 0, "it goes on after OutOfBudget"

    def test_the_same_pair_goes_the_same_way_again(self) -> None:
        """A search that was cut off is found again, picture by picture."""
        first, again = (self.search(contract_case()) for _ in range(2))
        assert first.trials == again.trials
        short = self.search(contract_case(), pictures=10)
        assert list(short.asked) == list(first.asked)[:10]

    def test_what_it_ends_with_is_something_that_it_tried(self) -> None:
        """However the search ended, if it says so at all."""
        for pictures in (None, 10, 0):
            desk = self.search(contract_case(), pictures)
            chosen = choice_of(self.make(), contract_case(), desk.trials)
            seen = [trial.candidate for trial in desk.trials if trial.seen]
            assert chosen is None or chosen in seen, "it ends with what it did not try"

    def test_it_does_with_what_a_case_has(self) -> None:
        """No stages, no negative prompts, no rewritings, no suspect, no text model, one step."""
        for lacks in (
            {"supports_stages": False},
            {"supports_negative_prompt": False},
            {"other_prompts": ()},
            {"intruder": ""},
            {"num_inference_steps": 1},
            {"b_missing": 20},
            {"batch_size": 1},
            {"manners": frozenset(), "refiner": ""},
            {"supports_stages": False, "supports_negative_prompt": False, "other_prompts": ()},
        ):
            self.search(contract_case(**lacks))

    def test_a_candidate_is_a_whole_prompt(self) -> None:
        """Something is said at every stage."""
        for trial in self.search(contract_case()).trials:
            assert all(stage.prompt.strip() for stage in trial.stages)
