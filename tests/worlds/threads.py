"""What lcmis asks of Ray, answered by threads of this process: many workers in little memory."""

from __future__ import annotations

import itertools
import pickle
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

import pytest

from lcmis.workers import ray
from lcmis.workers.hand import Hand, Hello


class RayError(Exception):
    """As Ray's own."""


class RayActorError(RayError):
    """Its process has died."""


class exceptions:  # noqa: N801 (a module of Ray)
    RayError = RayError
    RayActorError = RayActorError


class Threads:
    """Stands for the module ``ray``; kill a worker with :meth:`kill_worker`."""

    exceptions = exceptions

    def __init__(self, **resources: float) -> None:
        self.resources = {"CPU": 4.0, "GPU": 0.0, "memory": 2.0**34, **resources}
        self.actors: list[_Actor] = []
        self.cores: list[int] = []
        """That each of them asked for."""
        self.num_killed = 0
        self.has_place = True
        self._numbers = itertools.count(1)

    def cluster_resources(self) -> Mapping[str, float]:
        return self.resources

    def remote(self, kind: type) -> _Remote:
        return _Remote(self, kind)

    def wait(
        self, refs: Sequence[Future[Any]], *, num_returns: int = 1, timeout: float | None = None
    ) -> tuple[list[Future[Any]], list[Future[Any]]]:
        done = {ref for ref in refs if ref.done()}
        if not done:
            done = wait(refs, timeout, FIRST_COMPLETED).done
        ready = [ref for ref in refs if ref in done][:num_returns]
        return ready, [ref for ref in refs if ref not in ready]

    def get(self, refs: Future[Any] | list[Future[Any]]) -> Any:
        return [ref.result() for ref in refs] if isinstance(refs, list) else refs.result()

    def kill(self, actor: _Actor) -> None:
        actor.die()

    def shutdown(self) -> None:
        pass

    def kill_worker(self, place: int) -> bool:
        """As ``kill -9``: whatever it does, nothing of it is heard any more."""
        living = [actor for actor in self.actors if not actor.is_dead]
        if not living:
            return False
        living[place % len(living)].die()
        self.num_killed += 1
        return True


def make_one_sick(patch: pytest.MonkeyPatch, threads: Threads) -> None:
    """The second worker dies whenever it is greeted."""

    class Sickly(Hand):
        def hello(self, probe: str = "") -> Hello:
            if self._name == "worker 2":
                next(one for one in threads.actors if one._inside is self).die()
            return super().hello(probe)

    patch.setattr(ray, "_connect", lambda _: (threads, False))
    patch.setattr(ray, "Hand", Sickly)


class _Remote:
    def __init__(self, threads: Threads, kind: type) -> None:
        self._threads, self._kind = threads, kind
        self._options: dict[str, Any] = {}

    def options(self, **options: Any) -> _Remote:
        self._options = options
        return self

    def remote(self, *arguments: Any) -> _Actor:
        actor = _Actor(self._threads, self._kind, arguments, self._options["max_concurrency"])
        self._threads.cores.append(self._options["num_cpus"])
        self._threads.actors.append(actor)
        return actor


class _Actor:
    def __init__(
        self, threads: Threads, kind: type, arguments: tuple[Any, ...], hands: int
    ) -> None:
        self.number = next(threads._numbers)
        self.is_dead = False
        self._lock = threading.Lock()
        self._under_way: set[Future[Any]] = set()
        self._has_place = threads.has_place
        self._inside = kind(*arguments)
        self._hand = ThreadPoolExecutor(hands, f"actor-{self.number}")

    def __getattr__(self, name: str) -> Any:
        def remote(*arguments: Any) -> Future[Any]:
            heard: Future[Any] = Future()
            with self._lock:
                if self.is_dead:
                    heard.set_exception(RayActorError("the actor is dead"))
                    return heard
                self._under_way.add(heard)
            if self._has_place:
                self._hand.submit(self._run, heard, name, arguments)
            return heard

        return type("Method", (), {"remote": staticmethod(remote)})()

    def _run(self, heard: Future[Any], name: str, arguments: tuple[Any, ...]) -> None:
        done: Future[Any] = Future()
        try:
            said = getattr(self._inside, name)(*arguments)
            done.set_result(pickle.loads(pickle.dumps(said)))  # as it would travel
        except Exception as error:  # noqa: BLE001 (as Ray does, whatever it is)
            done.set_exception(error)
        with self._lock:
            if heard not in self._under_way:
                return
            self._under_way.discard(heard)
        error = done.exception()
        heard.set_exception(error) if error else heard.set_result(done.result())

    def die(self) -> None:
        with self._lock:
            self.is_dead = True
            lost, self._under_way = self._under_way, set()
        for heard in lost:
            heard.set_exception(RayActorError("the actor died: its process was killed"))
        self._hand.shutdown(wait=False, cancel_futures=True)
