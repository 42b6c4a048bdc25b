"""What a model or a checker may offer beside what it must, and what holds where it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

from lcmis.errors import InversionError
from lcmis.plugins.protocols import Work

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lcmis.machine.hub.fetching import Fetch
    from lcmis.plugins.protocols import (
        Arrivals,
        Bill,
        Case,
        Checker,
        CorrectingWriter,
        Denoiser,
        Encoder,
        ImageModel,
        Inverter,
        Need,
        Repairer,
        Writer,
    )
    from lcmis.types import Candidate, Exchange, Question, RenderSpec, StageManner, Trial


def price_of(model: ImageModel) -> float | None:
    """``price``: of one picture, in the currency of the user's bill; None where nobody said it."""
    price: float | None = getattr(model, "price", None)
    return price


def spent_by(model: ImageModel | Checker) -> float:
    """``spent``: what its pictures or answers have cost by now, in the same currency; else 0."""
    spent: float = getattr(model, "spent", 0.0)
    return spent


def bill_of(
    checker: Checker, questions: Sequence[Question], width: int, height: int
) -> Bill | None:
    """``bill(questions, width, height)``: what it would be asked about one picture of this size,
    and what that costs at the most; None for one that asks no service.
    """
    bill = getattr(checker, "bill", None)
    found: Bill | None = bill(questions, width, height) if bill else None
    return found


def at_once_of(model: ImageModel) -> int:
    """``at_once``: pictures that it draws at a time where it draws several batches side by side;
    else a batch of them.
    """
    at_once: int = getattr(model, "at_once", model.batch_size)
    return at_once


def threads_of(model: ImageModel) -> int:
    """``threads``: with which it computes on a CPU; 0 elsewhere, or where it does not say."""
    threads: int = getattr(model, "threads", 0)
    return threads


def work_of(model: ImageModel) -> Work:
    """``work``: since it was made, shared beginnings counted once; else none is known of."""
    work: Work = getattr(model, "work", Work())
    return work


def remarks_of(model: ImageModel) -> list[Exchange]:
    """``remarks()``: what was said beside the pictures since the last call, each under the key of
    its picture's spec; else nothing.
    """
    remarks = getattr(model, "remarks", None)
    said: list[Exchange] = remarks() if remarks else []
    return said


def notes_of(model: ImageModel) -> tuple[str, ...]:
    """``notes``: what a user should know of how it is run and where its numbers come from, a
    sentence each; else nothing.
    """
    return tuple(getattr(model, "notes", ()))


def flight_of(model: ImageModel, specs: Sequence[RenderSpec]) -> Arrivals | None:
    """``flight(specs)``: draws in the background and hands over each picture as it comes; None for
    a model that draws a batch at a time.
    """
    fly = getattr(model, "flight", None)
    flight: Arrivals | None = fly(specs) if fly else None
    return flight


def takes_negative_prompts(model: ImageModel) -> bool:
    """``takes_negative_prompts``: whether a spec's own one has an effect under its settings; else
    none is ever asked of it.
    """
    takes: bool = getattr(model, "takes_negative_prompts", False)
    return takes


def manners_of(model: ImageModel) -> frozenset[StageManner]:
    """``manners``: in which it can draw a stage, beside being told its prompt, as far as is known
    until now; else none, and it is never asked for any.
    """
    manners: frozenset[StageManner] = getattr(model, "manners", frozenset())
    return manners


def refiner_of(model: ImageModel) -> str:
    """``refiner``: the id of the model that may draw the last stage; else nothing."""
    refiner: str = getattr(model, "refiner", "")
    return refiner


def cache_of(model: ImageModel) -> str:
    """``cache``: by which it draws what is only searched with, faster and not quite as it would;
    else nothing.
    """
    cache: str = getattr(model, "cache", "")
    return cache


def sketch_of(model: ImageModel, spec: RenderSpec) -> RenderSpec:
    """``sketch(spec)``: the same picture as its cache draws it, of another profile and so of
    another key; else the picture itself.
    """
    sketch = getattr(model, "sketch", None)
    found: RenderSpec = sketch(spec) if sketch else spec
    return found


def made_again(model: ImageModel, spec: RenderSpec) -> RenderSpec:
    """A picture's stages and seed under a model's settings: its sketch where the picture is one.

    Raises:
        RenderError: as the model's ``spec``.
    """
    usual = model.spec(spec.stages, spec.seed)
    sketch = sketch_of(model, usual)
    return sketch if sketch.profile == spec.profile else usual


def searched_manners(model: ImageModel) -> frozenset[StageManner]:
    """In which it can draw a stage that is only searched with: by a cache, none."""
    return frozenset() if cache_of(model) else manners_of(model)


def denoiser_of(model: ImageModel) -> Denoiser | None:
    """``denoiser()``: its parts with gradients, loaded by their first use; else None.

    Raises:
        InversionError: gradients do not go through this kind of pipeline.
    """
    denoiser = getattr(model, "denoiser", None)
    parts: Denoiser | None = denoiser() if denoiser else None
    return parts


def gradients_of(model: ImageModel) -> tuple[Denoiser | None, str]:
    """As :func:`denoiser_of`; and why there is none, in a sentence that says what to do."""
    try:
        denoiser = denoiser_of(model)
    except InversionError as error:
        return None, str(error)
    if denoiser is None:
        return None, (
            f"{model.model_id} gives no gradients: give a Stable Diffusion 1, 2, XL or 3 or a "
            f"FLUX.1 model"
        )
    return denoiser, ""


def encoder_of(checker: Checker) -> Encoder | None:
    """``encoder()``: what may guide an inversion, loaded by its first use; else None.

    An encoder whose text tower cannot be told vectors sees and reads all the same; its
    ``vocabulary()`` raises an InversionError.
    """
    encoder = getattr(checker, "encoder", None)
    found: Encoder | None = encoder() if encoder else None
    return found


def way_of(checker: Checker) -> str:
    """``way``: how it looks at a picture that is asked several questions, in a sentence, once it
    has; else nothing.
    """
    way: str = getattr(checker, "way", "")
    return way


def may_be_spread(checker: Checker) -> bool:
    """``may_be_spread``: whether ``device_map`` and ``offload`` have an effect on it; else not."""
    spread: bool = getattr(checker, "may_be_spread", False)
    return spread


def load(plugin: ImageModel | Checker) -> None:
    """``load()``: what it works with is in memory afterwards, fetched where it must be; else that
    happens at its first use. A run loads all it needs before it draws its first picture.

    Raises:
        ConfigError: it cannot be fetched, or not be used.
    """
    into_memory = getattr(plugin, "load", None)
    if into_memory:
        into_memory()


def fetches_of(plugin: ImageModel | Checker) -> tuple[Fetch, ...]:
    """``fetches()``: how much of it comes from the hub, and how much of that is here; else none."""
    fetches = getattr(plugin, "fetches", None)
    found: tuple[Fetch, ...] = fetches() if fetches else ()
    return found


def reads_synonyms(checker: Checker) -> bool:
    """``reads_synonyms``: whether it looks for the other names in its questions too; else it is
    asked without them, and the same question keeps the same key.
    """
    reads: bool = getattr(checker, "reads_synonyms", False)
    return reads


def reads_lookalikes(checker: Checker) -> bool:
    """``reads_lookalikes``: whether a question for a concept names its suspects too, as options
    behind the concept itself; else it is asked without them, and keeps its key.
    """
    reads: bool = getattr(checker, "reads_lookalikes", False)
    return reads


def likeness_weight_of(checker: Checker) -> float | None:
    """``likeness_weight``: by what the mean of its likenesses is multiplied to be the score that
    papers print; None where it measures none, and is asked for none.
    """
    weight: float | None = getattr(checker, "likeness_weight", None)
    return weight


def may_decide(checker: Checker) -> bool:
    """``decides``: whether its answers say that a concept is there; else they guide or are shown,
    and no verdict rests on them.
    """
    decides: bool = getattr(checker, "decides", True)
    return decides


def needed_manner(repairer: Repairer) -> StageManner | None:
    """``needs_manner``: in which all of its candidates are drawn; None where being told a prompt
    will do, and it is then run with any model.
    """
    needed: StageManner | None = getattr(repairer, "needs_manner", None)
    return needed


def needs_of(plugin: Repairer | Inverter) -> frozenset[Need]:
    """``needs``: what it cannot do without; nothing where it does not say, and it is then run with
    whatever there is.
    """
    return frozenset(getattr(plugin, "needs", ()))


def needs_likeness(repairer: Repairer) -> bool:
    """``needs_likeness``: whether it can be guided by likenesses only; else by presences only."""
    needs: bool = getattr(repairer, "needs_likeness", False)
    return needs


def choice_of(repairer: Repairer, case: Case, trials: Sequence[Trial]) -> Candidate | None:
    """``choose(case, trials)``: which candidate of a search's trials, in the order in which they
    were made, it ends with, however the search ended; None where it does not say, and the harness
    picks the best one.
    """
    choose = getattr(repairer, "choose", None)
    chosen: Candidate | None = choose(case, trials) if choose else None
    return chosen


def reads_table(inverter: Inverter | Repairer) -> bool:
    """``reads_table``: whether a table of phrases has an effect on it; else none has."""
    reads: bool = getattr(inverter, "reads_table", False)
    return reads


def corrects(writer: Writer) -> TypeGuard[CorrectingWriter]:
    """``corrects``: whether it looks again by what its texts are read as; else what it writes
    stands.
    """
    return bool(getattr(writer, "corrects", False))


def takes_none_below(plug: Callable[..., Checker]) -> bool:
    """``takes_none_below``: whether the setting of that name has an effect on such checkers."""
    takes: bool = getattr(plug, "takes_none_below", False)
    return takes
