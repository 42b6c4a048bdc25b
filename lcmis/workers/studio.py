"""Brings what a run wishes for into the store: draws what is missing, asks what is unanswered."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self, TypeVar

from lcmis.errors import ItemError, OutOfBudget, Refusal, RenderError, TooManyFailures
from lcmis.machine.interrupts import undisturbed
from lcmis.plugins.protocols import AsksService, Checker, ImageModel, Work
from lcmis.render import in_trunk_order
from lcmis.store import Drawn, Store, picture_hash
from lcmis.types import ConceptPair, Failure, Question, Render, RenderSpec, Score
from lcmis.workers.here import Here
from lcmis.workers.orders import Asked, CheckOrder, Crew, Delivery, DrawOrder, Painted, Wish
from lcmis.workers.shifts import Shifts
from lcmis.workers.turns import Turns
from lcmis.workers.writer import Parcel, StoreWriter

if TYPE_CHECKING:
    from PIL.Image import Image

Item = TypeVar("Item")
FOLLOWED = 64
"""Wishes of which it is asked at once what follows from them; then who has drawn is heard again."""
SHARE = 0.1
"""Of the time that may go into asking what follows, as long as everybody has enough to do."""
PAUSE_SECONDS = 2.0
"""Until it is asked again at the latest, so that whoever watches sees what is decided."""

Then = Callable[[Sequence[Wish]], Iterable[Wish]]
"""What is wished for once these are done."""
Guess = Callable[[], Iterable[Wish]]
"""What is likely to be wished for next, the likeliest first."""
Spare = Callable[[], Sequence[Wish]]
"""What can be made at any time from now on, a part of it at every call; nothing where there is none
yet, and nothing at the end."""


@dataclass(slots=True, eq=False)
class _Open:
    """A wish, and what is still to come of it."""

    wish: Wish
    pictures: set[str] = field(default_factory=set)
    answers: int = 0
    is_done: bool = False


class Studio:
    """One for each run of a command; whoever works here is its crew.

    Args:
        store: where everything goes.
        max_failures: so many failed items end the run, if they are ``share`` or more of all that
            were tried in it: drawn, or asked about.
        crew: who draws and checks; this process where nobody is named.
        share: in [0, 1].
    """

    def __init__(
        self,
        store: Store,
        max_failures: int,
        crew: Crew | None = None,
        *,
        share: float = 0.0,
    ) -> None:
        self.store = store
        self.crew: Crew = crew or Here(store)
        self.together: list[ImageModel | Checker] = []
        """What is loaded before the first picture is drawn: what cannot be costs none."""
        self.drawn = 0
        """Pictures drawn here; those that lay in the store are not counted."""
        self.asked = 0
        """Answers given here."""
        self.work_elsewhere = Work()
        """That workers in other processes report; who draws here counts its own."""
        self.failed: set[str] = set()
        """Keys of items that failed here, or were left out."""
        self._counted: set[str] = set()
        """Those that tell of something else that is wrong."""
        self._tried: set[str] = set()
        """Keys of all items that were drawn or asked about here, and of those that failed."""
        self.known = frozenset((one.item, one.stage) for one in store.failures())
        """Items that failed in an earlier run, and at what."""
        self.run_id = ""
        """Under which it is kept who did what; nothing is where no run is recorded."""
        self._max_failures = max_failures
        self._share = share
        self._floor: _Floor | None = None
        self._turns: Turns[Wish] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.crew.close()

    # ── work ─────────────────────────────────────────────────────────────────────────────────

    def make(self, wishes: Sequence[Wish], heard: Callable[[Delivery], None] | None = None) -> None:
        """Have all that is wished for in the store, or recorded as failed.

        Raises:
            TooManyFailures: one too many in this run.
        """
        if self._turns is not None and self._turns.is_mine:
            self._turns.wait_for(wishes)
        else:
            self.work_on(wishes, heard=heard)

    def side_by_side(self, tasks: Sequence[Callable[[], None]]) -> None:
        """Run tasks of which each may :meth:`make` wishes: while one waits for its own, the next
        has its turn, and what they wait for is made together. No two run at once.
        """
        if len(tasks) == 1:
            tasks[0]()
            return
        turns: Turns[Wish] = Turns(tasks)
        self._turns = turns
        try:
            self.work_on(turns.begin(), turns.after)
        finally:
            turns.stop()
            self._turns = None

    def work_on(
        self,
        wishes: Iterable[Wish],
        then: Then | None = None,
        guess: Guess | None = None,
        heard: Callable[[Delivery], None] | None = None,
        spare: Spare | None = None,
    ) -> None:
        """Work until nothing is wished for any more.

        Args:
            wishes: to begin with.
            then: told of wishes that are done, in any order; gives what is wished for next.
            guess: asked where somebody would have nothing to do; what is drawn ahead counts only
                if it is then wished for.
            heard: told of all that came, once it is on its way into the store.
            spare: asked where somebody would have nothing to do, before anything is guessed.
        """
        with StoreWriter(self.store) as writer:
            floor = _Floor(self, writer)
            self._floor = floor
            try:
                floor.run(wishes, _Asks(then, guess, heard, spare))
            finally:
                with undisturbed():
                    for late in self.crew.stop():
                        floor.keep(late, is_last=True)
                    floor.keep_shifts()
                self._floor = None

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
        self.leave_out(item, stage, sentence)
        self._counted.add(item)
        self.try_items([item])
        self._refuse_more(sentence)

    def try_items(self, items: Iterable[str]) -> None:
        """Count these as tried, whatever came of them; each of them once."""
        self._tried.update(items)

    def leave_out(self, item: str, stage: str, sentence: str) -> None:
        """Record what could be known before it was tried: no sign that more is wrong."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        failure = Failure(item, stage, sentence, now)
        if self._floor is None:
            self.store.add_failure(failure)
        else:
            self._floor.writer.bring(Parcel(failures=(failure,)))
        self.failed.add(item)

    def _refuse_more(self, sentence: str) -> None:
        count = len(self._counted)
        if count >= self._max_failures and count >= self._share * len(self._tried):
            raise TooManyFailures(
                f"{count} items failed, the last because {sentence.rstrip('.')}; all else is kept: "
                f"mend the cause and run the same command again, or raise max_failures"
            )


@dataclass(frozen=True, slots=True)
class _Asks:
    """Who is asked and told as the work goes on; :meth:`Studio.work_on` says of what."""

    then: Then | None
    guess: Guess | None
    heard: Callable[[Delivery], None] | None
    spare: Spare | None


class _Floor:
    """One stretch of work: what is open, what is ready, what is under way."""

    def __init__(self, studio: Studio, writer: StoreWriter) -> None:
        self.writer = writer
        self._studio = studio
        self._store = studio.store
        self._crew = studio.crew
        self._ready: dict[str, deque[RenderSpec]] = {}
        self._owners: dict[str, list[_Open]] = {}
        """Who waits for a picture, by its key; for those under way too."""
        self._waiting: dict[_Place, list[_Open]] = {}
        """Who waits for an answer."""
        self._checks: dict[str, deque[CheckOrder]] = defaultdict(deque)
        self._done: deque[tuple[int, Wish]] = deque()
        """With the number of parcels that must be in the store before anybody is told."""
        self._next_follow = 0.0
        self._shifts = Shifts(studio.run_id, studio.crew)
        self._ahead: dict[str, Delivery | None] = {}
        """What nobody has asked for yet, by its key; None while it is under way."""

    def run(self, wishes: Iterable[Wish], asks: _Asks) -> None:
        self._admit(wishes)
        while True:
            self._hand_out()
            if self._is_time_to_follow():
                self._follow(asks.then)
                continue
            if self._needs_more:
                self._hand_out(partly=True)
                if self._needs_more and asks.spare is not None and (more := asks.spare()):
                    self._admit(more)
                    continue
                if self._crew.runs_low and self._crew.draws_ahead and asks.guess is not None:
                    self._draw_ahead(asks.guess)
            if not (self._crew.is_busy or any(self._ready.values()) or any(self._checks.values())):
                return
            for report in self._crew.reports():
                self.keep(report)
                if asks.heard is not None:
                    asks.heard(report)

    # ── wishes ───────────────────────────────────────────────────────────────────────────────

    @property
    def _needs_more(self) -> bool:
        return self._crew.runs_low or not self._crew.is_busy

    def _is_time_to_follow(self) -> bool:
        """As soon as somebody needs more to do, and else so seldom that it costs little."""
        if not self._done:
            return False
        return self._needs_more or (
            self._done[0][0] <= self.writer.written and time.monotonic() >= self._next_follow
        )

    def _follow(self, then: Then | None) -> None:
        """Ask what is wished for after what is done, as far as all of it is in the store."""
        started = time.monotonic()
        if self._needs_more:
            self.writer.settle()
        some: list[Wish] = []
        while self._done and self._done[0][0] <= self.writer.written and len(some) < FOLLOWED:
            some.append(self._done.popleft()[1])
        if then is not None:
            self._admit(then(some), goes_on=True)
        ended = time.monotonic()
        self._next_follow = ended + min(PAUSE_SECONDS, (ended - started) / SHARE)

    def _admit(self, wishes: Iterable[Wish], *, goes_on: bool = False) -> None:
        """Find out what is missing, for all of them at once.

        What goes on with something begun comes before what is not begun: so one after the other is
        brought to its end, and not everything at last.
        """
        opened = [_Open(wish) for wish in wishes]
        if not opened:
            return
        self._introduce(opened)
        keyed = [(one, [(spec.key, spec) for spec in one.wish.specs]) for one in opened]
        specs = {key: spec for _, some in keyed for key, spec in some}
        lacking = {spec.key for spec in self._store.missing(list(specs.values()))}
        there: dict[str, list[str]] = defaultdict(list)
        for one, some in keyed:
            one.pictures = {key for key, _ in some if key in lacking}
            there[one.wish.pair.key] += [key for key, _ in some if key not in lacking]
        self._store.add_many(links={pair: keys for pair, keys in there.items() if keys})
        self._ask_of_stored(
            [(one, [key for key, _ in some if key not in lacking]) for one, some in keyed]
        )
        fresh: dict[str, RenderSpec] = {}
        for one, some in keyed:
            for key, spec in some:
                if key in one.pictures:
                    if key not in self._owners and key not in self._ahead:
                        fresh[key] = spec
                    self._owners.setdefault(key, []).append(one)
        self._make_ready(list(fresh.values()), comes_first=goes_on)
        for report in [self._ahead.get(key) for key in specs if self._ahead.get(key)]:
            assert report is not None
            self.keep(report)
        for one in opened:
            self._close(one)

    def _introduce(self, opened: Sequence[_Open]) -> None:
        """Tell the crew of models and checkers."""
        models = {one.wish.model.model_id: one.wish.model for one in opened}
        checkers = {checker.checker_id: checker for one in opened for checker, _ in one.wish.asked}
        for checker in checkers.values():
            if isinstance(checker, AsksService):
                checker.kept = self._store
        self._crew.know(models, checkers)

    def _make_ready(self, specs: Sequence[RenderSpec], *, comes_first: bool) -> None:
        together = self._studio.together
        if specs and together:
            self._crew.begin(together)
            together.clear()
        by_model: dict[str, list[RenderSpec]] = defaultdict(list)
        for spec in specs:
            by_model[spec.model].append(spec)
        for model, some in by_model.items():
            ready = self._ready.setdefault(model, deque())
            if comes_first:
                ready.extendleft(reversed(some))
            else:
                ready.extend(some)
            if any(len(spec.stages) > 1 for spec in some):
                self._ready[model] = deque(in_trunk_order(list(ready)))

    def _close(self, one: _Open) -> None:
        if not (one.pictures or one.answers or one.is_done):
            one.is_done = True
            self._done.append((self.writer.brought, one.wish))

    # ── questions ────────────────────────────────────────────────────────────────────────────

    def _ask_of_stored(self, there: Sequence[tuple[_Open, Sequence[str]]]) -> None:
        """Ask what nobody has answered yet of pictures that lie in the store."""
        asked: dict[str, list[tuple[_Open, Asked]]] = defaultdict(list)
        for one, keys in there:
            for checker, questions in one.wish.asked:
                taken = [question for question in questions if checker.takes(question)]
                asked[checker.checker_id] += [
                    (one, (key, question)) for key in keys for question in taken
                ]
        for checker_id, items in asked.items():
            every = list(dict.fromkeys(item for _, item in items))
            unanswered = set(self._store.unscored(checker_id, every))
            fresh: dict[str, list[Asked]] = defaultdict(list)
            for one, item in items:
                if item in unanswered and self._await(one, checker_id, item):
                    fresh[item[0]].append(item)
            for keys in batches(list(fresh), self._crew.check_size(len(fresh))):
                renders = self._store.renders_of(keys)
                hashes = {key: render.sha256 for key, (_, render) in renders.items()}
                self._to_check(
                    checker_id,
                    [item for key in keys for item in fresh[key]],
                    stored={key: sha256 for key, sha256 in hashes.items() if sha256},
                )

    def _await(self, one: _Open, checker: str, item: Asked) -> bool:
        """Note that a wish waits for an answer; whether it is the first that does."""
        place = (checker, *item)
        is_first = place not in self._waiting
        waiting = self._waiting.setdefault(place, [])
        if one not in waiting:
            waiting.append(one)
            one.answers += 1
        return is_first

    def _to_check(
        self,
        checker: str,
        asked: Sequence[Asked],
        images: Mapping[str, Image] | None = None,
        stored: Mapping[str, str] | None = None,
    ) -> None:
        """Have these questions asked; of a picture that was refused there is nothing to ask."""
        images, stored = images or {}, stored or {}
        there = images.keys() | stored.keys()
        shown = tuple(item for item in asked if item[0] in there)
        self._answered(checker, [item for item in asked if item[0] not in there])
        if shown:
            self._checks[checker].append(CheckOrder(checker, shown, images, stored))

    def _answered(self, checker: str, asked: Iterable[Asked]) -> None:
        """Nobody waits for these any more."""
        for item in asked:
            for one in self._waiting.pop((checker, *item), ()):
                one.answers -= 1
                self._close(one)

    # ── handing out ──────────────────────────────────────────────────────────────────────────

    def _hand_out(self, *, partly: bool = False) -> None:
        for checker, orders in self._checks.items():
            while orders and self._crew.takes_check(checker):
                self._crew.give(orders.popleft())
        if any(order.images for orders in self._checks.values() for order in orders):
            return  # pictures in hand wait to be looked at: more of them would fill the memory
        while drawable := self._drawable(partly):
            model = self._crew.wanted(drawable)
            if model is None:
                return
            ready = self._ready[model]
            size = self._crew.batch_size(model) or len(ready)
            specs = [ready.popleft() for _ in range(min(size, len(ready)))]
            wishes = {spec.key: [one.wish for one in self._owners[spec.key]] for spec in specs}
            self._crew.give(DrawOrder(model, tuple(specs), self._asked_too(model, wishes)))

    def _drawable(self, partly: bool) -> dict[str, int]:
        """By model how many pictures are ready, where they fill a batch or need not."""
        return {
            model: len(ready)
            for model, ready in self._ready.items()
            if ready and (partly or len(ready) >= (self._crew.batch_size(model) or 1))
        }

    def _asked_too(
        self, model: str, wishes: Mapping[str, Sequence[Wish]]
    ) -> dict[str, tuple[Asked, ...]]:
        """What who draws these pictures also asks about them, by checker."""
        asked: dict[str, dict[Asked, None]] = defaultdict(dict)
        for key, some in wishes.items():
            for checker, questions in (item for wish in some for item in wish.asked):
                if self._crew.checks_too(model, checker.checker_id):
                    asked[checker.checker_id] |= {
                        (key, question): None for question in questions if checker.takes(question)
                    }
        return {checker: tuple(items) for checker, items in asked.items()}

    def _draw_ahead(self, guess: Guess) -> None:
        """Give who has nothing to do what may be asked for next."""
        guessed = {spec.key: (wish, spec) for wish in guess() for spec in wish.specs}
        lacking = {spec.key for spec in self._store.missing([spec for _, spec in guessed.values()])}
        by_model: dict[str, list[tuple[Wish, RenderSpec]]] = defaultdict(list)
        for key, (wish, spec) in guessed.items():
            if key in lacking and key not in self._owners and key not in self._ahead:
                by_model[spec.model].append((wish, spec))
        for model, some in by_model.items():
            for batch in batches(some, self._crew.batch_size(model) or 1):
                if not self._crew.runs_low or self._crew.wanted({model: len(batch)}) is None:
                    break
                specs = tuple(spec for _, spec in batch)
                self._ahead |= dict.fromkeys(spec.key for spec in specs)
                asked = self._asked_too(model, {spec.key: [wish] for wish, spec in batch})
                self._crew.give(DrawOrder(model, specs, asked, is_ahead=True))

    # ── keeping ──────────────────────────────────────────────────────────────────────────────

    def keep(self, report: Delivery, *, is_last: bool = False) -> None:
        """Send what came on its way into the store.

        Raises:
            TooManyFailures: one too many in this run, unless these are the last.
            ServiceClosed: no more can come.
        """
        with undisturbed():
            self._shifts.heard(report)
            if self._shifts.is_due:
                self.keep_shifts()
            if isinstance(report.order, DrawOrder):
                report = self._lay_aside(report)
            owners = {one.spec.key: self._owners.pop(one.spec.key) for one in report.painted}
            drawn = [one for one in report.painted if not _has_failed(one)]
            self.writer.bring(_parcel(report, drawn, owners))
            self._studio.drawn += len(drawn)
            self._studio.asked += len(report.said)
            self._studio.try_items(one.spec.key for one in report.painted)
            self._studio.try_items(one.spec_key for one in report.said)
            self._studio.try_items(one.spec_key for one in report.unsaid)
            if report.worker:
                self._studio.work_elsewhere += report.work
            if isinstance(report.order, CheckOrder):
                self._answered(report.order.checker, report.order.asked)
            self._ask_of_drawn(drawn, owners, report)
            for key, some in owners.items():
                for one in some:
                    one.pictures.discard(key)
                    self._close(one)
        failed = [(one.spec_key, "check", one.sentence) for one in report.unsaid]
        failed += [
            (one.spec.key, "render", str(one.drawn)) for one in report.painted if _has_failed(one)
        ]
        for key, stage, sentence in failed:
            if (key, stage) in self._studio.known:  # an earlier run has lived with it
                self._studio.leave_out(key, stage, sentence)
                continue
            with contextlib.suppress(*([TooManyFailures] if is_last else [])):
                self._studio.fail(key, stage, sentence)
        if report.closed is not None and not is_last:
            raise report.closed

    def keep_shifts(self) -> None:
        """Send what everybody has done on its way into the store."""
        if shifts := self._shifts.ended():
            self.writer.bring(Parcel(shifts=shifts))

    def _lay_aside(self, report: Delivery) -> Delivery:
        """What is left of a report without the pictures that nobody has asked for yet."""
        for one in report.painted:
            key = one.spec.key
            if key in self._owners:
                self._ahead.pop(key, None)
            elif not _has_failed(one):  # where it is asked for, it is tried again
                self._ahead[key] = _about(report, key)
            else:
                self._ahead.pop(key, None)
        asked = {one.spec.key for one in report.painted if one.spec.key in self._owners}
        return dataclasses.replace(
            report,
            painted=tuple(one for one in report.painted if one.spec.key in asked),
            said=tuple(one for one in report.said if one.spec_key in asked),
            unsaid=tuple(one for one in report.unsaid if one.spec_key in asked),
        )

    def _ask_of_drawn(
        self, drawn: Sequence[Painted], owners: Mapping[str, Sequence[_Open]], report: Delivery
    ) -> None:
        """Have asked what who drew them has not asked already."""
        assert isinstance(report.order, DrawOrder) or not drawn
        asked = report.order.asked if isinstance(report.order, DrawOrder) else {}
        known = {(checker, *item) for checker, items in asked.items() for item in items}
        fresh: dict[str, list[Asked]] = defaultdict(list)
        images: dict[str, Image] = {}
        stored: dict[str, str] = {}
        for one in drawn:
            if isinstance(one.drawn, RenderError):
                continue
            if one.drawn is None:
                stored[one.spec.key] = one.sha256
            else:
                images[one.spec.key] = one.drawn
            key = one.spec.key
            for open_ in owners[key]:
                for checker, questions in open_.wish.asked:
                    for question in questions:
                        place = (checker.checker_id, key, question)
                        if (
                            place not in known
                            and checker.takes(question)
                            and self._await(open_, checker.checker_id, (key, question))
                        ):
                            fresh[checker.checker_id].append((key, question))
        for checker_id, items in fresh.items():
            self._to_check(checker_id, items, images, stored)


_Place = tuple[str, str, Question]
"""A checker, the key of a picture, a question."""


def _has_failed(one: Painted) -> bool:
    return isinstance(one.drawn, RenderError) and not isinstance(one.drawn, Refusal)


def _parcel(
    report: Delivery, drawn: Sequence[Painted], owners: Mapping[str, Sequence[_Open]]
) -> Parcel:
    """What of a report goes into the store."""
    return Parcel(
        [
            drawn_as(pair, one)
            for one in drawn
            for pair in dict.fromkeys(open_.wish.pair for open_ in owners[one.spec.key])
        ],
        [
            Score(one.spec_key, one.checker, one.question.key, answer)
            for one in report.said
            for answer in one.answers
        ],
        [one.question for one in report.said],
        report.remarks,
    )


def _about(report: Delivery, key: str) -> Delivery:
    """The part of a report that is about one picture."""
    return Delivery(
        report.order,
        tuple(one for one in report.painted if one.spec.key == key),
        tuple(one for one in report.said if one.spec_key == key),
        tuple(one for one in report.unsaid if one.spec_key == key),
        worker=report.worker,
    )


def drawn_as(pair: ConceptPair, one: Painted) -> Drawn:
    """What came of a spec, on its way into the store."""
    spec, key, seconds = one.spec, one.spec.key, one.seconds
    if isinstance(one.drawn, RenderError):
        return Drawn(pair.key, spec, Render(key, "", seconds, spec.device, str(one.drawn)), None)
    if one.drawn is None:
        render = Render(key, one.sha256, seconds, spec.device)
        return Drawn(pair.key, spec, render, None, one.num_bytes)
    sha256 = one.sha256 or picture_hash(one.drawn)
    return Drawn(pair.key, spec, Render(key, sha256, seconds, spec.device), one.drawn)


def batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Cut a sequence into pieces of ``size``, the last one as long as it comes."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
