"""What a repairer asks: candidates drawn and checked within a budget, tools, a reference."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lcmis import findings
from lcmis.check import questions_for
from lcmis.errors import InversionError, ItemError, ProposalError, RenderError
from lcmis.machine.budget import Budget
from lcmis.plugins.optional import (
    encoder_of,
    gradients_of,
    likeness_weight_of,
    manners_of,
    searched_manners,
    sketch_of,
)
from lcmis.plugins.protocols import (
    Case,
    Checker,
    Encoder,
    ImageModel,
    PhraseTable,
    Tools,
    Writer,
)
from lcmis.repair import references
from lcmis.repair.methods.phrases import alone
from lcmis.repair.references import Reference
from lcmis.store import Evidence
from lcmis.types import (
    FIRST_CERTIFICATE_SEED,
    FIRST_REPAIR_SEED,
    Candidate,
    ConceptPair,
    Question,
    QuestionKind,
    RenderSpec,
    Seen,
    Side,
    Stage,
    StageManner,
    Trial,
    key_number,
)
from lcmis.workers.orders import Wish
from lcmis.workers.studio import Item, Studio

if TYPE_CHECKING:
    from PIL.Image import Image

SEARCH_SEEDS = range(FIRST_REPAIR_SEED, FIRST_CERTIFICATE_SEED)
ASKED = (QuestionKind.A_PRESENT, QuestionKind.B_PRESENT)
"""All that a search or a certificate needs to know of a picture."""
ALONE = 4
"""Pictures of each concept alone, of which the clearest are pasted together."""


@dataclass(frozen=True, slots=True)
class Bench:
    """All that a search works with; the same for every pair of a model."""

    studio: Studio
    model: ImageModel
    guide: Checker
    repairer_id: str
    budget: int
    """Different pictures."""
    seconds: float | None = None
    threshold: float = 0.5
    guard: Checker | None = None
    writer: Writer | None = None
    phrases: PhraseTable | None = None
    """The user's own, for a method that reads one; None is the one that is shipped."""
    reference: Reference | str = ""
    """A picture, one of :data:`lcmis.repair.references.KINDS`, or empty for the first that can be
    had."""
    drawn: str = ""
    """How its pictures are drawn, where not as the model does of itself."""


class Evaluation:
    """What one pair's repairer asks; the :class:`lcmis.plugins.protocols.Evaluate` of the harness.

    Args:
        bench: whose budget it keeps to.
        pair: what is to be repaired.
        tell: told what happens now and how many pictures are spent.
    """

    def __init__(self, bench: Bench, pair: ConceptPair, tell: Callable[[str, int], None]) -> None:
        self.trials: list[Trial] = []
        self.origin = ""
        """Of the last reference picture; empty where none was asked for."""
        self.failure = ""
        """Why something failed that the same search would try again, the last of those; empty where
        nothing did."""
        self._bench = bench
        self._pair = pair
        self._tell = tell
        self._seen: dict[str, Evidence] = {}
        self._measures = likeness_weight_of(bench.guide) is not None
        self._budget = Budget(pictures=bench.budget, seconds=bench.seconds)

    @property
    def spent(self) -> int:
        """Different pictures asked for: drawn or not, so that a search resumed ends where it would
        have ended.
        """
        return self._budget.pictures

    # ── trials ───────────────────────────────────────────────────────────────────────────────

    def __call__(
        self, stages: tuple[Stage, ...], *, seeds: Sequence[int] = (), negative_prompt: str = ""
    ) -> Trial:
        """One candidate, drawn, checked and remembered."""
        candidate = Candidate(stages, negative_prompt)
        return self.together([(candidate, seeds or SEARCH_SEEDS[:8])])[0]

    def together(self, asked: Sequence[tuple[Candidate, Sequence[int]]]) -> list[Trial]:
        """Several, in as few batches as that takes."""
        specs = [self._specs(candidate, seeds) for candidate, seeds in asked]
        left = self._affordable(specs)
        found = self._look([spec for group in left for spec in group])
        self._seen |= found
        trials = [
            self._trial(candidate, group, found)
            for (candidate, _), group in zip(asked, left, strict=True)
        ]
        for trial in trials:
            if trial.seen:
                self._bench.studio.store.add_trial(trial)
        self.trials += trials
        if left != specs:
            raise self._budget.pictures_spent()
        return trials

    def attempt(self, what: str, source: Callable[[], Iterable[Item]]) -> list[Item]:
        """What a source yields until it fails, or has spent what there is."""
        self._tell(f"{what} looks for prompts", self.spent)
        return self._bench.studio.collect(
            self._pair.key, "repair", what, lambda: self._in_time(what, source)
        )

    def _in_time(self, what: str, source: Callable[[], Iterable[Item]]) -> Iterator[Item]:
        try:
            for item in source():
                yield item
                self._budget.refuse_late()
        except (ProposalError, InversionError):
            raise  # a reply that is kept, or a tool that is not there: the next time is no other
        except ItemError as error:
            self.failure = f"{what}: {error}"
            raise

    def _note_failed(self, specs: Iterable[RenderSpec]) -> None:
        failed = self._bench.studio.failed
        if any(spec.key in failed for spec in specs):
            self.failure = "pictures of the search could not be drawn or checked"

    def _specs(self, candidate: Candidate, seeds: Sequence[int]) -> list[RenderSpec]:
        """One for each seed; none where the model cannot read the candidate."""
        strange = [seed for seed in seeds if int(seed) not in SEARCH_SEEDS]
        if strange:
            raise ValueError(f"the seed {strange[0]} is not one to search on")
        try:
            return [self._spec(candidate, seed) for seed in seeds]
        except RenderError:
            return []

    def _spec(self, candidate: Candidate, seed: int) -> RenderSpec:
        """The picture of a candidate as a search sees it, which a certificate never does."""
        model = self._bench.model
        return sketch_of(model, spec_of(model, candidate, seed, searched_manners(model)))

    def _affordable(self, groups: Sequence[Sequence[RenderSpec]]) -> list[list[RenderSpec]]:
        """What is left of several groups when each picture has been paid for."""
        self._budget.refuse_late()
        return [[spec for spec in group if self._budget.affords(spec.key)] for group in groups]

    def _look(self, specs: Sequence[RenderSpec]) -> dict[str, Evidence]:
        self._tell("searching", self.spent)
        bench = self._bench
        asked = (QuestionKind.LIKENESS,) if self._measures else ASKED
        found = look(bench.studio, bench.guide, bench.model, self._pair, specs, asked)
        self._note_failed(specs)
        return found

    def _trial(
        self, candidate: Candidate, specs: Sequence[RenderSpec], found: Mapping[str, Evidence]
    ) -> Trial:
        return Trial(
            pair=self._pair.key,
            model=self._bench.model.model_id,
            repairer=self._bench.repairer_id,
            guide=self._bench.guide.checker_id,
            candidate=candidate,
            seen=tuple(self._seen_of(spec, found.get(spec.key)) for spec in specs),
            cache=self._bench.drawn,
        )

    def _seen_of(self, spec: RenderSpec, item: Evidence | None) -> Seen:
        """What the guide says of one picture: presences, or likenesses where it measures them."""
        if item is None:
            return Seen(spec.seed, None, None)
        if not self._measures:
            return Seen(spec.seed, item.a, item.b)
        bench = self._bench
        said = {
            question.text: score.answer.value
            for question, score in bench.studio.store.scores(spec.key)
            if score.checker == bench.guide.checker_id and question.kind is QuestionKind.LIKENESS
        }
        (a, a_described), (b, b_described) = (
            [said.get(text) for text in (concept.name, concept.description)]
            for concept in (self._pair.a, self._pair.b)
        )
        return Seen(spec.seed, a, b, a_described, b_described)

    # ── tools ────────────────────────────────────────────────────────────────────────────────

    def equip(self, case: Case, *, reference: bool = True) -> Case:
        """Tools, and a reference as good as one is by now."""
        bench = self._bench
        denoiser, no_gradients = gradients_of(bench.model)
        tools = Tools(
            paint=self.paint,
            encoder=_encoder(bench.guide),
            guard=_encoder(bench.guard),
            denoiser=denoiser,
            writer=bench.writer,
            text_model=case.text_model,
            phrases=bench.phrases,
            seed=key_number(self._pair.key) >> 1,
            no_gradients=no_gradients,
        )
        case = dataclasses.replace(case, tools=tools)
        if not reference:
            return case
        try:
            found = self._reference()
        except InversionError as error:
            bench.studio.fail(self._pair.key, "repair", f"reference: {error}")
            return dataclasses.replace(case, reference=None)
        self.origin = found.origin
        return dataclasses.replace(case, reference=found.picture)

    def paint(self, prompt: str, place: int) -> Image | None:
        """A prompt with the n-th seed of the search; kept as any picture, and paid for.

        Raises:
            OutOfBudget: the pictures, or the seconds, are spent.
        """
        studio, model = self._bench.studio, self._bench.model
        try:
            spec = self._spec(Candidate((Stage(prompt),)), SEARCH_SEEDS[place])
        except RenderError:
            return None
        if not self._affordable([[spec]])[0]:
            raise self._budget.pictures_spent()
        self._tell("painting", self.spent)
        studio.make([Wish(self._pair, model, (spec,))])
        self._note_failed([spec])
        return None if studio.store.missing([spec]) else studio.load(spec.key)

    # ── a reference ──────────────────────────────────────────────────────────────────────────

    def _reference(self) -> Reference:
        """The picture that was given, or the first that can be had.

        Raises:
            InversionError: none.
            OutOfBudget: as it draws what is pasted.
        """
        chosen = self._bench.reference
        if isinstance(chosen, Reference):
            return chosen
        sources = {
            references.OTHER: self._by_another,
            references.BEST: self._best_so_far,
            references.PASTE: self._pasted,
        }
        for name in [chosen] if chosen else references.KINDS:
            if (found := sources[name](forced=bool(chosen))) is not None:
                return found
        raise InversionError(_NO_REFERENCE[chosen or references.PASTE])

    def _by_another(self, *, forced: bool) -> Reference | None:
        """What another model drew and the guide finds right."""
        store, guide = self._bench.studio.store, self._bench.guide.checker_id
        mine = self._bench.model.model_id
        others = [
            item
            for item in store.evidence(guide, pair=self._pair.key)
            if item.model != mine and not findings.is_control(item.model)
        ]
        best = references.clearest(others, self._bench.threshold)
        return None if best is None else references.stored(store, best)

    def _best_so_far(self, *, forced: bool) -> Reference | None:
        """Of the trials; where it was asked for by name, also one that is not right."""
        least = 0.0 if forced else self._bench.threshold
        best = references.clearest(self._seen.values(), least)
        return None if best is None else references.stored(self._bench.studio.store, best)

    def _pasted(self, *, forced: bool) -> Reference | None:
        """Each concept drawn alone, and one laid into the other's picture."""
        prompts = {side: alone(self._pair, side) for side in Side}
        specs = {
            side: self._specs(Candidate((Stage(prompt),)), SEARCH_SEEDS[:ALONE])
            for side, prompt in prompts.items()
        }
        if not self._budget.holds(one.key for group in specs.values() for one in group):
            raise InversionError(
                f"the {self._bench.budget - self.spent} pictures that are left are too few to draw "
                f"each concept alone: allow more with --budget, or give a picture with --reference"
            )
        groups = self._affordable(list(specs.values()))
        found = self._look([spec for group in groups for spec in group])
        a, b = (
            _clearest_of(side, [found[spec.key] for spec in group if spec.key in found])
            for side, group in specs.items()
        )
        if a is None or b is None:
            return None
        store = self._bench.studio.store
        denoiser, _ = gradients_of(self._bench.model)
        first, second = references.stored(store, a), references.stored(store, b)
        region = None
        if denoiser is not None:
            name = self._pair.b.name
            region = references.region(denoiser, second.picture, prompts[Side.B], name)
        return references.pasted(first, second, region)


def _clearest_of(side: Side, found: Sequence[Evidence]) -> Evidence | None:
    """The picture that shows one concept best; None where there is no picture."""

    def shown(item: Evidence) -> tuple[float, int]:
        score = item.a if side is Side.A else item.b
        return (-1.0 if score is None else score, -item.seed)

    return max((item for item in found if not item.refused), key=shown, default=None)


_NO_REFERENCE = {
    references.OTHER: "no other model has drawn this pair right in this store: audit one",
    references.BEST: "nothing has been tried yet of which a picture could be taken",
    references.PASTE: "the model draws no picture of one of the concepts alone",
}


def _encoder(checker: Checker | None) -> Encoder | None:
    return encoder_of(checker) if checker else None


def spec_of(
    model: ImageModel,
    candidate: Candidate,
    seed: int,
    manners: frozenset[StageManner] | None = None,
) -> RenderSpec:
    """The picture of a candidate; its negative prompt is added to the model's own.

    Args:
        model: draws it.
        candidate: what is drawn.
        seed: from which.
        manners: that may be asked for; all of the model's where nobody says so.

    Raises:
        RenderError: the model cannot read it, or not draw it in the manner that it asks for.
    """
    spec = model.spec(candidate.stages, seed)
    if not candidate.manners <= (manners_of(model) if manners is None else manners):
        raise RenderError(
            f"{model.model_id} can only be told its prompt, and {candidate} asks for more: take a "
            f"model that draws so"
        )
    if not candidate.negative_prompt:
        return spec
    negative = ", ".join(filter(None, (spec.negative_prompt, candidate.negative_prompt)))
    return dataclasses.replace(spec, negative_prompt=negative)


def look(
    studio: Studio,
    checker: Checker,
    model: ImageModel,
    pair: ConceptPair,
    specs: Sequence[RenderSpec],
    asked: Sequence[QuestionKind] = ASKED,
) -> dict[str, Evidence]:
    """Draw and check what is missing; what the checker says of each picture, by spec key."""
    return look_at_all(studio, checker, model, {pair: specs}, asked)


def look_at_all(
    studio: Studio,
    checker: Checker,
    model: ImageModel,
    plan: Mapping[ConceptPair, Sequence[RenderSpec]],
    asked: Sequence[QuestionKind] = ASKED,
    tell: Callable[[], None] = lambda: None,
) -> dict[str, Evidence]:
    """The same for several pairs, whose pictures share batches and workers."""
    wishes = [
        Wish(pair, model, tuple(specs), ((checker, _questions(checker, pair, asked)),))
        for pair, specs in plan.items()
    ]
    studio.make(wishes, heard=lambda _: tell())
    every = [spec for specs in plan.values() for spec in specs]
    lacking = {spec.key for spec in studio.store.missing(every)}
    found: dict[str, Evidence] = {}
    for pair, specs in plan.items():
        there = {spec.key for spec in specs} - lacking
        if there:
            evidence = studio.store.evidence(
                checker.checker_id, model=model.model_id, pair=pair.key
            )
            found |= {item.spec_key: item for item in evidence if item.spec_key in there}
    return found


def _questions(
    checker: Checker, pair: ConceptPair, asked: Sequence[QuestionKind]
) -> tuple[Question, ...]:
    return tuple(item for item in questions_for(checker, pair) if item.kind in asked)
