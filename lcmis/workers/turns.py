"""Tasks that take turns: while one waits for what it wished for, the next one runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Wanted = TypeVar("Wanted")


class Turns(Generic[Wanted]):
    """Runs each task in a thread of its own, never two at once.

    Whoever owns the turns runs none of the tasks; it is told what they wait for and says when that
    has come, so that everything else can stay as it is written for one task.
    """

    def __init__(self, tasks: Sequence[Callable[[], None]]) -> None:
        self._hand = ThreadPoolExecutor(len(tasks), "lcmis-task")
        self._tasks: list[_Task[Wanted]] = [_Task(task) for task in tasks]
        self._by_thread: dict[int, _Task[Wanted]] = {}
        self._owner: dict[int, _Task[Wanted]] = {}
        """Who waits, by the identity of what it waits for."""

    @property
    def is_mine(self) -> bool:
        """Whether the caller is one of the tasks."""
        return threading.get_ident() in self._by_thread

    def begin(self) -> Iterator[Wanted]:
        """Give each task its first turn, in order; what they wait for then."""
        for task in self._tasks:
            task.ended = self._hand.submit(self._run, task)
            yield from self._turn(task)

    def after(self, come: Iterable[Wanted]) -> Iterator[Wanted]:
        """Give a turn to each task for which all has come; what they wait for then."""
        ready = []
        for one in come:
            task = self._owner.pop(id(one))
            task.left -= 1
            if task.left == 0:
                ready.append(task)
        for task in self._tasks:  # in the order of the tasks, whatever came first
            if task in ready:
                yield from self._turn(task)

    def wait_for(self, wanted: Sequence[Wanted]) -> None:
        """End the caller's turn until all of this has come."""
        task = self._by_thread[threading.get_ident()]
        if wanted:
            task.wanted = list(wanted)
            task.parked.set()
            task.go_on.wait()
            task.go_on.clear()
        if task.is_stopped:
            raise Stopped

    def stop(self) -> None:
        """End those that wait; what they were about to do is not done."""
        for task in self._tasks:
            task.is_stopped = True
            task.go_on.set()
        self._hand.shutdown(wait=False, cancel_futures=True)

    def _turn(self, task: _Task[Wanted]) -> Iterator[Wanted]:
        task.go_on.set()
        task.parked.wait()
        task.parked.clear()
        assert task.ended is not None
        if task.is_over:
            task.ended.result()
            return
        task.left = len(task.wanted)
        self._owner |= {id(one): task for one in task.wanted}
        yield from task.wanted

    def _run(self, task: _Task[Wanted]) -> None:
        task.go_on.wait()
        task.go_on.clear()
        self._by_thread[threading.get_ident()] = task
        try:
            if not task.is_stopped:
                task.run()
        finally:
            task.is_over = True
            task.parked.set()


class Stopped(BaseException):
    """Ends a task whose owner does not go on."""


class _Task(Generic[Wanted]):
    def __init__(self, run: Callable[[], None]) -> None:
        self.run = run
        self.wanted: list[Wanted] = []
        self.left = 0
        self.go_on = threading.Event()
        self.parked = threading.Event()
        self.is_over = False
        self.is_stopped = False
        self.ended: Future[None] | None = None
