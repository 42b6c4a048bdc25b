"""What each worker of a run has done: gathered as reports come, kept as facts now and then."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from lcmis.errors import Refusal, RenderError
from lcmis.types import Shift
from lcmis.workers.orders import Crew, Delivery, DrawOrder

SHIFT_SECONDS = 60.0
"""How long one lasts where nothing ends it."""


@dataclass(slots=True)
class _Count:
    busy: float = 0.0
    pictures: int = 0
    answers: int = 0
    failures: int = 0


class Shifts:
    """Of one stretch of work.

    Args:
        run_id: of the run; nothing is kept of work that belongs to none.
        crew: who works.
        clock: seconds, of which only differences count.
    """

    def __init__(
        self, run_id: str, crew: Crew, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._run_id, self._crew, self._clock = run_id, crew, clock
        self._began = clock()
        self._done: dict[tuple[str, str], _Count] = {}

    @property
    def is_due(self) -> bool:
        """Whether it is time to keep what was done."""
        return self._clock() - self._began >= SHIFT_SECONDS

    def heard(self, report: Delivery) -> None:
        """Count what came."""
        order = report.order
        drew = self._count(report, order.model if isinstance(order, DrawOrder) else order.checker)
        drew.busy += report.seconds
        lost = sum(
            isinstance(one.drawn, RenderError) and not isinstance(one.drawn, Refusal)
            for one in report.painted
        )
        drew.pictures += len(report.painted) - lost
        drew.failures += lost
        for said in report.said:
            self._count(report, said.checker).answers += 1
        for unsaid in report.unsaid:
            self._count(report, unsaid.checker).failures += 1

    def ended(self) -> list[Shift]:
        """What was done since the last time, and what befell whom; the next shift begins."""
        now = self._clock()
        seconds, self._began = now - self._began, now
        done, self._done = self._done, {}
        troubles = self._crew.troubles()
        if not self._run_id:
            return []
        # two stretches may end in one second, and what is equal in all is one fact
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        shifts = []
        for (worker, plugin), count in done.items():
            node, device, log = self._crew.whereabouts(worker)
            shifts.append(
                Shift(
                    self._run_id,
                    worker,
                    node,
                    device,
                    plugin,
                    at,
                    round(seconds, 3),
                    round(count.busy, 3),
                    count.pictures,
                    count.answers,
                    count.failures,
                    log,
                )
            )
        for worker, sentence in troubles:
            node, device, log = self._crew.whereabouts(worker)
            shifts.append(
                Shift(
                    self._run_id, worker, node, device, "", at, 0.0, 0.0, log=log, sentence=sentence
                )
            )
        return shifts

    def _count(self, report: Delivery, plugin: str) -> _Count:
        return self._done.setdefault((report.worker, plugin), _Count())
