"""Orders run in this process: drawn in the main thread, checked in another beside it."""

from __future__ import annotations

import platform
import queue
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from lcmis.machine.device import compute_with, num_cores
from lcmis.plugins.optional import at_once_of, flight_of, load, remarks_of
from lcmis.plugins.protocols import Arrival, Arrivals, Checker, ImageModel
from lcmis.store import Store
from lcmis.workers.orders import CheckOrder, Delivery, DrawOrder, Order, Painted, ask, paint

if TYPE_CHECKING:
    from collections.abc import Iterator

AT_ONCE = 32
"""Pictures from the store that one order asks about."""
CHECKS = 2
"""Orders to check that may lie before the checkers; until there is room, nothing is drawn."""


class Here:
    """The crew of one.

    What draws is in the main thread, so that Ctrl-C ends it in the midst of a picture.
    """

    draws_ahead = False
    told = ""

    def __init__(self, store: Store) -> None:
        self.notes: list[str] = []
        self._store = store
        self.models: dict[str, ImageModel] = {}
        """That orders may name."""
        self._checkers: dict[str, Checker] = {}
        self._order: DrawOrder | None = None
        self._last = ""
        self._device = ""
        """On which was drawn last."""
        self._flights = _Flights()
        self._checking: dict[Future[Delivery], CheckOrder] = {}
        self._answered: queue.SimpleQueue[Future[Delivery]] = queue.SimpleQueue()
        self._hand: ThreadPoolExecutor | None = None

    def begin(self, plugins: Sequence[ImageModel | Checker]) -> None:
        """Load them, in order."""
        for plugin in plugins:
            load(plugin)

    def know(self, models: Mapping[str, ImageModel], checkers: Mapping[str, Checker]) -> None:
        """Be told of what orders may name."""
        self.models |= models
        self._checkers |= checkers

    def checks_too(self, model: str, checker: str) -> bool:
        """Nobody: checkers have a hand of their own."""
        return False

    def wanted(self, ready: Mapping[str, int]) -> str | None:
        """One after another; the model that drew last, as long as it has something to do."""
        if self._order is not None or self._flights.is_under_way or not ready:
            return None
        if len(self._checking) > CHECKS:
            return None
        return self._last if self._last in ready else next(iter(ready))

    def batch_size(self, model: str) -> int | None:
        """What the model draws at a time; a service is asked for all at once."""
        plugin = self.models[model]
        return None if hasattr(plugin, "flight") else at_once_of(plugin)

    def takes_check(self, checker: str) -> bool:
        """As long as few wait."""
        return len(self._checking) <= CHECKS

    def give(self, order: Order) -> None:
        """Begin to check it, or remember to draw it."""
        if isinstance(order, DrawOrder):
            self._last, self._order = order.model, order
            self._device = order.specs[0].device
            return
        if self._hand is None:
            self._hand = ThreadPoolExecutor(1, "lcmis-checker")
        future = self._hand.submit(self._check, order)
        self._checking[future] = order
        future.add_done_callback(self._answered.put)

    @property
    def is_busy(self) -> bool:
        """Whether anything is drawn, to be drawn or checked."""
        return bool(self._order or self._flights.is_under_way or self._checking)

    @property
    def runs_low(self) -> bool:
        """Whether nothing is done at all: what is checked may bring more to be drawn with it. Or
        whether a few last pictures are to be drawn, beside which something could be checked.
        """
        if self._order is None:
            return not self.is_busy
        size = self.batch_size(self._order.model)
        return size is not None and len(self._order.specs) < size and not self._checking

    def check_size(self, pictures: int) -> int:
        """As many as may lie in memory together."""
        return AT_ONCE

    def reports(self) -> list[Delivery]:
        """Draw what is to be drawn, or wait for what is checked."""
        if self._flights.is_under_way:
            return [*self._heard(), *self._flights.landed()]
        if self._order is not None:
            order, self._order = self._order, None
            model = self.models[order.model]
            if not self._flights.begins(model, order):
                return [paint(model, order), *self._heard()]
            return self._flights.landed()
        return [self._heard_of(self._answered.get()), *self._heard()]

    def whereabouts(self, worker: str) -> tuple[str, str, str]:
        """Of this process; what it says it prints."""
        return platform.node(), self._device, ""

    def troubles(self) -> list[tuple[str, str]]:
        """It would be dead."""
        return []

    def stop(self) -> list[Delivery]:
        """What had come of a service, and what was being checked."""
        self._order = None
        late = self._flights.stop()
        if self._hand is not None:
            self._hand.shutdown(cancel_futures=True)
            self._hand = None
        ended = [one for one in self._checking if not one.cancelled()]
        late += [one.result() for one in ended if one.exception() is None]
        self._checking.clear()
        self._answered = queue.SimpleQueue()
        return late

    def close(self) -> None:
        """Nobody to let go."""

    def _check(self, order: CheckOrder) -> Delivery:
        images = dict(order.images)
        for key, sha256 in order.stored.items():
            images[key] = self._store.image(sha256)
        compute_with(1 if self._device == "cpu" else num_cores())  # the others draw
        started = time.monotonic()
        said, unsaid = ask(self._checkers[order.checker], order.asked, images)
        seconds = time.monotonic() - started
        return Delivery(order, said=tuple(said), unsaid=tuple(unsaid), seconds=seconds)

    def _heard(self) -> list[Delivery]:
        heard = []
        while not self._answered.empty():
            heard.append(self._heard_of(self._answered.get()))
        return heard

    def _heard_of(self, future: Future[Delivery]) -> Delivery:
        del self._checking[future]
        return future.result()


class _Flights:
    """Pictures that a service draws in the background, one order at a time."""

    def __init__(self) -> None:
        self._model: ImageModel | None = None
        self._order: DrawOrder | None = None
        self._flight: Arrivals | None = None
        self._coming: Iterator[list[Arrival]] | None = None
        self._reported: set[str] = set()

    @property
    def is_under_way(self) -> bool:
        return self._flight is not None

    def begins(self, model: ImageModel, order: DrawOrder) -> bool:
        """Whether this model draws in the background; it then does."""
        self._flight = flight_of(model, order.specs)
        if self._flight is None:
            return False
        self._model, self._order, self._reported = model, order, set()
        self._coming = iter(self._flight)
        return True

    def landed(self) -> list[Delivery]:
        """What has come since; nothing at the end."""
        assert self._coming is not None
        try:
            arrivals = next(self._coming)
        except StopIteration:
            return self.stop()
        return [self._report(arrivals)]

    def stop(self) -> list[Delivery]:
        """What had come and was not reported."""
        if self._flight is None:
            return []
        arrivals = self._flight.stop()
        late = self._report([one for one in arrivals if one.spec.key not in self._reported])
        self._flight = self._coming = None
        return [late] if late.painted or late.remarks else []

    def _report(self, arrivals: Sequence[Arrival]) -> Delivery:
        assert self._order is not None
        assert self._model is not None
        self._reported |= {one.spec.key for one in arrivals}
        painted = [Painted(one.spec, one.seconds, one.drawn) for one in arrivals]
        return Delivery(self._order, tuple(painted), remarks=tuple(remarks_of(self._model)))
