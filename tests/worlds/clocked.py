"""Ray's place taken by a clock that nobody waits for: who is given what, when, and who stands idle.

Devices take the seconds that are said, and so does this process; nothing is drawn, and how loaded
the machine is changes nothing.
"""

from __future__ import annotations

import hashlib
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lcmis.audit.run import Audit, Watch
from lcmis.machine.device import device_name
from lcmis.machine.pictures import picture_hash
from lcmis.machine.versions import versions
from lcmis.plugins.settings import AuditSettings, CheckerSettings, ModelSettings, WorkersSettings
from lcmis.store import Store
from lcmis.types import Answer, ConceptPair, Question
from lcmis.workers import ray, studio
from lcmis.workers.hand import Hand, Hello
from lcmis.workers.orders import Asked, CheckOrder, Delivery, DrawOrder, Heard, Painted
from lcmis.workers.writer import Parcel, StoreWriter
from worlds.toys import COLOURS, pair

PICTURE = Image.new("RGB", (16, 8), COLOURS["azure"])
HASH = picture_hash(PICTURE)
OURS = versions()
OWN_SECONDS, LOOK_SECONDS, DISK_SECONDS = 0.002, 0.004, 0.05
"""Of this process, about twice what is measured: for each picture that comes, for each look at a
pair, and until what was brought is in the store."""


@dataclass
class Pace:
    """Seconds a picture; and by how much later each worker can begin than the one before."""

    picture: float
    judge: float = 0.3
    disk: float = 0.05
    apart: float = 0.0


@dataclass
class Clock:
    """Stands for ``ray`` and for ``time``."""

    pace: Pace
    now: float = 0.0
    actors: list[_Actor] = field(default_factory=list)

    exceptions = types.SimpleNamespace(RayError=RuntimeError, RayActorError=RuntimeError)

    def monotonic(self) -> float:
        return self.now

    def cluster_resources(self) -> Mapping[str, float]:
        return {"CPU": 64.0, "GPU": 0.0, "memory": 2.0**40}

    def remote(self, kind: type[Hand]) -> Any:
        def made(*arguments: Any) -> _Actor:
            late = self.pace.apart * len(self.actors)
            self.actors.append(_Actor(self, kind(*arguments), late))
            return self.actors[-1]

        return types.SimpleNamespace(options=lambda **_: types.SimpleNamespace(remote=made))

    def wait(
        self, refs: Sequence[_Ref], *, num_returns: int, timeout: float
    ) -> tuple[list[_Ref], list[_Ref]]:
        first = min(ref.at for ref in refs)
        if timeout and first > self.now:
            self.now = min(first, self.now + timeout)
        ready = [ref for ref in refs if ref.at <= self.now]
        return ready[:num_returns], []

    def get(self, refs: Any) -> Any:
        if isinstance(refs, list):
            return [self.get(ref) for ref in refs]
        if isinstance(refs.said, Delivery):
            self.now += OWN_SECONDS * max(1, len(refs.said.painted))
        return refs.said

    def kill(self, actor: _Actor) -> None:
        pass

    def idle_share(self) -> float:
        """Of all devices, until 95 % of their work is done."""
        spans = sorted((span for actor in self.actors for span in actor.busy), key=lambda s: s[1])
        total, done, end = sum(stop - start for start, stop in spans), 0.0, 0.0
        for start, end in spans:
            done += end - start
            if done >= 0.95 * total:
                break
        begin = min(start for start, _ in spans)
        spent = sum(min(stop, end) - min(start, end) for start, stop in spans)
        return 1 - spent / (len(self.actors) * (end - begin))


@dataclass(eq=False)
class _Ref:
    said: Any
    at: float


class _Actor:
    """One worker: a device, and hands that write what the device has drawn."""

    def __init__(self, clock: Clock, hand: Hand, late: float) -> None:
        self._clock, self._inside, self.late = clock, hand, late
        self._ends: list[float] = []
        self.busy: list[tuple[float, float]] = []

    def __getattr__(self, name: str) -> Any:
        return types.SimpleNamespace(remote=lambda *said: self._begin(name, *said))

    def _begin(self, name: str, *arguments: Any) -> _Ref:
        said = getattr(self._inside, name)(*arguments)
        if not isinstance(said, Delivery):
            return _Ref(said, self.late if name == "load" else self._clock.now)
        pace = self._clock.pace
        free = self.busy[-1][1] if self.busy else 0.0
        hands = sorted(self._ends)[-ray.HANDS] if len(self._ends) >= ray.HANDS else 0.0
        start = max(self._clock.now, free, hands)
        pictures = {one.spec_key for one in said.said}
        batch = said.order.specs if isinstance(said.order, DrawOrder) else ()
        stop = start + len(pictures) * pace.judge + (4 * pace.picture if batch else 0.0)
        self.busy.append((start, stop))
        self._ends.append(stop + len(batch) * pace.disk)
        return _Ref(
            Delivery(said.order, said.painted, said.said, worker=said.worker, seconds=stop - start),
            self._ends[-1],
        )


class Quick(Hand):
    """Says that it has drawn, and whether the pair is there by the toss of a coin."""

    def hello(self, probe: str = "") -> Hello:
        return Hello("here", device_name(), OURS, sees_pictures=True)

    def _draw(self, order: DrawOrder) -> Delivery:
        drawn = PICTURE if order.is_ahead else None
        return Delivery(
            order,
            tuple(Painted(spec, 1.0, drawn, HASH, 100) for spec in order.specs),
            tuple(one for checker, asked in order.asked.items() for one in answers(checker, asked)),
            worker=self._name,
        )

    def _check(self, order: CheckOrder) -> Delivery:
        return Delivery(order, said=answers(order.checker, order.asked), worker=self._name)


def answers(checker: str, asked: Sequence[Asked]) -> tuple[Heard, ...]:
    return tuple(Heard(checker, key, question, said(key, question)) for key, question in asked)


def said(key: str, question: Question) -> tuple[Answer, ...]:
    coin = hashlib.sha256(f"{key} {question.kind}".encode()).digest()[0] < 192
    return tuple(Answer(0.9 if coin else 0.1, option) for option in question.options or ("",))


def pairs(count: int) -> list[ConceptPair]:
    names = [name for name in COLOURS if name != "void"]
    both = [(a, b) for a in names for b in names if a != b]
    found = []
    for number in range(count):
        one = pair(*both[number % len(both)])
        object.__setattr__(one, "prompt", f"{one.prompt} no {number}")
        object.__setattr__(one, "intruders", ())
        found.append(one)
    return found


def simulated(
    folder: Path,
    patch: pytest.MonkeyPatch,
    pace: Pace,
    workers: int,
    count: int,
    watch: Watch | None = None,
) -> tuple[Clock, Audit]:
    """An audit of so many pairs by so many workers."""
    clock = Clock(pace)
    looked = Audit._next_looks

    class Patient(StoreWriter):
        """Writes when somebody wants to know what is written; that takes its time by the clock."""

        def bring(self, parcel: Parcel) -> None:
            self._waiting.append(parcel)
            self.brought += 1

        def settle(self) -> None:
            clock.now += DISK_SECONDS
            self._write()

        @property
        def written(self) -> int:
            self._write()
            return self._count

        @written.setter
        def written(self, count: int) -> None:
            self._count = count

    def look(self: Audit, done: Sequence[Any]) -> Any:
        clock.now += LOOK_SECONDS * len(done)
        return looked(self, done)

    patch.setattr(ray, "_connect", lambda _: (clock, False))
    patch.setattr(ray, "Hand", Quick)
    patch.setattr(ray, "time", clock)
    patch.setattr(studio, "time", clock)
    patch.setattr(studio, "StoreWriter", Patient)
    patch.setattr(Audit, "_next_looks", look)
    config = AuditSettings(
        models=(ModelSettings("toy", batch_size=4),),
        pairs=(),
        checkers=(CheckerSettings("toy"),),
        workers=WorkersSettings(workers, gpus=0),
    )
    with Store(folder / "store", create=True) as store:
        store.pictures.write({HASH: PICTURE})
        audit = Audit(config, store, watch, pairs=pairs(count))
        audit.run("a simulation")
    return clock, audit
