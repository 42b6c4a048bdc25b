"""Pictures that are asked for in the background, and handed over as they come."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
SECONDS_TO_LAND = 5.0
"""How long whoever stops waits for requests to be given up."""
OVER: Any = object()
"""Stands in the queue behind all that came."""


class Flight(Generic[Item]):
    """Work with many requests under way, in a thread and an event loop of its own.

    Whoever iterates gets what has come since the last look, at least one at a time; meanwhile the
    requests go on. It ends when the work does, with the error that ended it, if any. A flight that
    is left early is to be stopped.

    Args:
        fly: the work; it is given what to hand each item over to.
    """

    def __init__(self, fly: Callable[[Callable[[Item], None]], Coroutine[Any, Any, None]]) -> None:
        self._landed: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self._seen: list[Item] = []
        """What is looked at now: whoever is interrupted while looking finds it again."""
        self._has_begun = threading.Event()
        pool = ThreadPoolExecutor(1)
        self._flown = pool.submit(asyncio.run, self._begin(fly))
        self._flown.add_done_callback(lambda _: self._landed.put(OVER))
        pool.shutdown(wait=False)

    def __iter__(self) -> Iterator[list[Item]]:
        """What has come, again and again, until all has."""
        while True:
            is_over = self._look(waits=True)
            if self._seen:
                yield self._seen
            self._seen = []
            if is_over:
                self._flown.result()
                return

    def stop(self) -> list[Item]:
        """Give up what is under way; gives what had come and was not looked at to the end."""
        self._has_begun.wait(SECONDS_TO_LAND)
        if not self._flown.done():
            with contextlib.suppress(RuntimeError):  # it is over by now
                self._loop.call_soon_threadsafe(self._task.cancel)
            wait([self._flown], SECONDS_TO_LAND)
        self._look(waits=False)
        return self._seen

    def _look(self, *, waits: bool) -> bool:
        """Gather what has come; whether that is all."""
        while True:
            try:
                one = self._landed.get(block=waits and not self._seen)
            except queue.Empty:
                return False
            if one is OVER:
                return True
            self._seen.append(one)

    async def _begin(
        self, fly: Callable[[Callable[[Item], None]], Coroutine[Any, Any, None]]
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._loop, self._task = asyncio.get_running_loop(), task
        self._has_begun.set()
        await fly(self._landed.put)
