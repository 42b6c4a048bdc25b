"""Draws what is missing, asks what is unanswered, and records what fails."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from PIL.Image import Image

from lcmis.errors import (
    CheckError,
    ItemError,
    OutOfBudget,
    Refusal,
    RenderError,
    ServiceClosed,
    TooManyFailures,
)
from lcmis.machine.interrupts import undisturbed
from lcmis.plugins.optional import flight_of, load, remarks_of
from lcmis.plugins.protocols import Arrival, AsksService, Checker, ImageModel
from lcmis.render import draw, in_trunk_order
from lcmis.store import Drawn, Store, picture_hash
from lcmis.types import Answer, ConceptPair, Failure, Question, Render, RenderSpec, Score

Item = TypeVar("Item")


def batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Cut a sequence into pieces of ``size``, the last one as long as it comes."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


class Studio:
    """Brings pictures and answers into a store; one for each run of a command."""

    def __init__(
        self, store: Store, max_failures: int, together: Sequence[ImageModel | Checker] = ()
    ) -> None:
        self.store = store
        self.together = list(together)
        """What is loaded before the first picture is drawn here: what cannot be costs none."""
        self.drawn = 0
        """Pictures drawn here; those that lay in the store are not counted."""
        self.failed: set[str] = set()
        """Keys of items that failed here."""
        self._max_failures = max_failures

    def draw_missing(
        self, model: ImageModel, plan: Sequence[tuple[ConceptPair, RenderSpec]]
    ) -> Generator[list[Drawn], None, None]:
        """Draw and keep what the store lacks; gives each batch, or what has come of a service, once
        it is kept. Whoever may leave it early closes it, so that what had come by then is kept too.
        """
        owner = {spec.key: pair for pair, spec in plan}
        todo = in_trunk_order(self.store.missing([spec for _, spec in plan]))
        lacking = {spec.key for spec in todo}
        while todo and self.together:
            load(self.together.pop(0))
        there: dict[str, list[str]] = defaultdict(list)
        for pair, spec in plan:
            if spec.key not in lacking:
                there[pair.key].append(spec.key)
        for pair_key, spec_keys in there.items():
            self.store.link(pair_key, spec_keys)
        flight = flight_of(model, todo) if todo else None
        if flight is not None:
            kept: set[str] = set()
            try:
                for landed in flight:
                    drawn = self._keep_arrivals(model, owner, landed)
                    kept |= {one.spec.key for one in landed}
                    yield drawn
            finally:  # whoever ends it, with Ctrl-C or else: what had come is kept
                late = [one for one in flight.stop() if one.spec.key not in kept]
                self._keep_arrivals(model, owner, late, is_last=True)
            return
        for batch in batches(todo, model.batch_size):
            started, closed = time.monotonic(), None
            pictures: Sequence[Image | RenderError | None]
            try:
                pictures = draw(model, batch)
            except ServiceClosed as error:
                pictures, closed = error.drawn or [None] * len(batch), error
            seconds = (time.monotonic() - started) / len(batch)
            drawn = self._keep_arrivals(
                model,
                owner,
                [
                    Arrival(spec, picture, seconds)
                    for spec, picture in zip(batch, pictures, strict=True)
                    if picture is not None
                ],
            )
            if closed is not None:
                raise closed
            yield drawn

    def _keep_arrivals(
        self,
        model: ImageModel,
        owner: Mapping[str, ConceptPair],
        arrivals: Sequence[Arrival],
        *,
        is_last: bool = False,
    ) -> list[Drawn]:
        """Keep what a model gave; gives what is a picture or a refusal.

        Raises:
            TooManyFailures: one too many in this run, unless these are the last.
        """
        drawn, failed = [], {}
        with undisturbed():
            for one in arrivals:
                if isinstance(one.drawn, RenderError) and not isinstance(one.drawn, Refusal):
                    failed[one.spec.key] = str(one.drawn)
                else:
                    drawn.append(drawn_as(owner[one.spec.key], one.spec, one.drawn, one.seconds))
            self.store.add_renders(drawn)
            for remark in remarks_of(model):
                self.store.add_exchange(remark)
            self.drawn += len(drawn)
        for key, sentence in failed.items():
            with contextlib.suppress(*([TooManyFailures] if is_last else [])):
                self.fail(key, "render", sentence)
        return drawn

    def check_missing(
        self,
        checker: Checker,
        asked: Sequence[tuple[str, Question]],
        images: Mapping[str, Image],
    ) -> None:
        """Ask a checker what it has not answered yet, (spec key, question) by (spec key, question).

        Pictures that are not among ``images`` are read from the store.
        """
        if isinstance(checker, AsksService):
            checker.kept = self.store
        taken = [(key, question) for key, question in asked if checker.takes(question)]
        todo = self.store.unscored(checker.checker_id, taken)
        by_picture: dict[str, list[tuple[str, Question]]] = defaultdict(list)
        for item in todo:
            by_picture[item[0]].append(item)
        for some in batches(list(by_picture.values()), 32):
            self._score(checker, [item for items in some for item in items], images)

    def _score(
        self,
        checker: Checker,
        asked: Sequence[tuple[str, Question]],
        images: Mapping[str, Image],
    ) -> None:
        loaded = {key: images.get(key) or self.load(key) for key in dict.fromkeys(dict(asked))}
        seen = [(loaded[key], key, question) for key, question in asked]
        shown = [(image, key, question) for image, key, question in seen if image is not None]
        try:
            answers = checker.score(
                [image for image, _, _ in shown], [question for _, _, question in shown]
            )
        except CheckError as error:
            if error.answers:
                self._keep(checker, shown, error.answers)
                for key, sentence in {shown[i][1]: why for i, why in error.failed.items()}.items():
                    self.fail(key, "check", sentence)
                return
            if len(loaded) == 1:
                self.fail(next(iter(loaded)), "check", str(error))
                return
            for one in loaded:  # the others must not suffer for the one that cannot be read
                self._score(checker, [item for item in asked if item[0] == one], images)
            return
        self._keep(checker, shown, answers)

    def _keep(
        self,
        checker: Checker,
        shown: Sequence[tuple[Image, str, Question]],
        answers: Sequence[tuple[Answer, ...]],
    ) -> None:
        self.store.add_scores(
            [
                Score(key, checker.checker_id, question.key, answer)
                for (_, key, question), given in zip(shown, answers, strict=True)
                for answer in given
            ],
            {question for _, _, question in shown},
        )

    def collect(
        self, key: str, stage: str, what: str, source: Callable[[], Iterable[Item]]
    ) -> list[Item]:
        """What a source yields until it fails or has spent a budget: that much stands.

        A failure is recorded under ``key`` and ``stage``, with ``what`` was attempted.
        """
        found: list[Item] = []
        try:
            for item in source():
                found.append(item)
        except OutOfBudget:
            pass  # who goes on to spend is told
        except ItemError as error:
            self.fail(key, stage, f"{what}: {error}")
        return found

    def load(self, spec_key: str) -> Image | None:
        """A picture from the store; None for one that the model refused to draw."""
        _, render = self.store.render(spec_key)
        return None if render.refusal else self.store.image(render.sha256)

    def fail(self, item: str, stage: str, sentence: str) -> None:
        """Record that an item failed.

        Raises:
            TooManyFailures: one too many in this run.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self.store.add_failure(Failure(item, stage, sentence, now))
        self.failed.add(item)
        if len(self.failed) >= self._max_failures:
            raise TooManyFailures(
                f"{len(self.failed)} items failed, the last because {sentence.rstrip('.')}; all "
                f"else is kept: mend the cause and run the same command again, or raise "
                f"max_failures"
            )


def drawn_as(
    pair: ConceptPair, spec: RenderSpec, picture: Image | RenderError, seconds: float
) -> Drawn:
    """What a model gave for a spec, on its way into the store."""
    if isinstance(picture, RenderError):
        return Drawn(pair.key, spec, Render(spec.key, "", seconds, spec.device, str(picture)), None)
    render = Render(spec.key, picture_hash(picture), seconds, spec.device)
    return Drawn(pair.key, spec, render, picture)
