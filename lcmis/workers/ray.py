"""Orders run by Ray actors, one a device, on this machine or on a cluster."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import os
import socket
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lcmis.errors import ConfigError, RenderError
from lcmis.machine.device import device_name
from lcmis.machine.drafts import draft_name
from lcmis.machine.versions import versions
from lcmis.plugins.protocols import AsksService, Checker, ImageModel
from lcmis.plugins.settings import ApartSettings, CheckerSettings, ModelSettings, WorkersSettings
from lcmis.store import Store
from lcmis.workers.hand import Hand, Hello, Trouble
from lcmis.workers.here import Here
from lcmis.workers.orders import Delivery, DrawOrder, Order, Painted, Unsaid

HANDS = 3
"""Orders that a worker works on at once: one on its device, others before or behind it."""
IN_HAND_SECONDS = 2.0
"""Work that lies before a device: longer than this process ever takes to hand out more."""
MOST_IN_HAND = 16
LEAST_IN_HAND = 2
"""Orders of one worker, of whatever length: one on its device, and one that follows at once."""
CHECKED_AT_ONCE = (4, 32)
"""Pictures of one order to check: few where all devices would not get one, many where all do."""
DEATHS = 6
"""So many in a row, and a worker is left out."""
LOSSES = 4
"""So many workers died over one order, and it has failed."""
ACTIVITIES = ("drawing", "checking", "waiting", "beginning")
"""What a worker may be doing, as it is told."""
PATIENCE_SECONDS = 180.0
"""For a place in the cluster, where nobody is at work."""
GREETING_SECONDS = 60.0
"""For all to say who they are once the first has; who comes later and differs is left out."""


@dataclass(slots=True, eq=False)
class _Worker:
    """One actor, or its successors."""

    name: str
    pool: _Pool
    actor: Any = None
    node: str = ""
    device: str = ""
    log: str = ""
    is_ready: bool = False
    is_out: bool = False
    deaths: int = 0
    """Since it last gave anything."""
    all_deaths: int = 0
    model: str = ""
    orders: dict[Any, Order] = field(default_factory=dict)
    """By what Ray calls their results."""
    greeting: Any = None
    """What it is waited for to say first."""
    pictures: int = 0
    seconds: float | None = None
    """That an order takes, as seen of the last ones."""
    is_alone: bool = False
    """With an order over which another may have died: what lay beside it would be blamed too."""

    def __str__(self) -> str:
        return f"{self.name} on {self.node or 'no node yet'}"

    @property
    def has_room(self) -> bool:
        return self.is_ready and not self.is_alone and len(self.orders) < self.depth

    @property
    def depth(self) -> int:
        """Orders it may have, so that it has something to do until somebody looks after it."""
        if self.seconds is None:
            return LEAST_IN_HAND
        wanted = 1 + math.ceil(IN_HAND_SECONDS / max(self.seconds, 1e-3))
        return max(LEAST_IN_HAND, min(MOST_IN_HAND, wanted))

    @property
    def runs_low(self) -> bool:
        return self.is_ready and not self.is_alone and len(self.orders) < LEAST_IN_HAND

    @property
    def activity(self) -> str:
        """One of :data:`ACTIVITIES`."""
        if not self.is_ready:
            return "beginning"
        order = next(iter(self.orders.values()), None)
        if order is None:
            return "waiting"
        return "drawing" if isinstance(order, DrawOrder) else "checking"

    def took(self, seconds: float) -> None:
        """Learn how long an order takes; the last ones count most."""
        before = seconds if self.seconds is None else self.seconds
        self.seconds = before + (seconds - before) / 4


@dataclass(slots=True, eq=False)
class _Pool:
    """Workers that can do the same."""

    models: dict[str, ModelSettings]
    checkers: dict[str, CheckerSettings]
    count: int
    gpus: float
    memory: float
    asked_under: str
    """The heading of the settings that ask for it."""
    workers: list[_Worker] = field(default_factory=list)


def _cores(models: Mapping[str, ModelSettings]) -> int:
    """Of each worker, on a CPU."""
    return max((how.threads or 1 for how in models.values()), default=1)


class Ray:
    """Actors that hold models and checkers, with their own devices, and this process for services.

    Args:
        store: whose pictures they write.
        settings: how many, where, and what each may use.
        models: how those that may be drawn with are opened, by their ids.
        checkers: the same of checkers.
        patience: seconds to wait for a place in the cluster.

    Raises:
        ConfigError: Ray is not installed, not reached, or has not what is asked.
    """

    def __init__(
        self,
        store: Store,
        settings: WorkersSettings,
        models: Mapping[str, ModelSettings],
        checkers: Mapping[str, CheckerSettings],
        *,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self.left_out: list[str] = []
        """Workers that kept failing, and why, a sentence each."""
        self._store = store
        self._settings = settings
        self._named = (dict(models), dict(checkers))
        self._versions = versions()
        beside = Path(store.pictures.address).parent if store.pictures.is_local else Path()
        self._log_folder = beside.absolute() / "logs"
        self._unlogged = ""
        """Why workers keep no logs, as the first of them said."""
        self._patience = patience
        self._here = Here(store)
        self._local: set[str] = set()
        self._ray, self._is_mine = _connect(settings)
        self._pools: list[_Pool] = []
        self._again: deque[Order] = deque()
        self._come: list[Delivery] = []
        """What was heard and not reported yet."""
        self._troubles: list[tuple[str, str]] = []
        self._lost: Counter[int] = Counter()
        """How many workers died over an order, by its identity."""
        self._chosen: _Worker | None = None
        self._probe = ""
        """A mark among the pictures that every worker should see."""
        self._device = ""
        """On which all pictures of this run are drawn."""
        self._since = time.monotonic()
        self._first_said = 0.0
        self._has_begun = False
        """Whether orders may be out."""
        self._together: tuple[str, ...] = ()

    # ── beginning ────────────────────────────────────────────────────────────────────────────

    def know(self, models: Mapping[str, ImageModel], checkers: Mapping[str, Checker]) -> None:
        """What asks services is asked from here, where its money is counted."""
        for name, model in models.items():
            if hasattr(model, "flight") or name not in self._named[0]:
                self._local.add(name)
        for name, checker in checkers.items():
            if isinstance(checker, AsksService) or name not in self._named[1]:
                self._local.add(name)
        self._here.know(models, checkers)
        if not self._pools:
            self._pools = self._pooled()

    def _pooled(self) -> list[_Pool]:
        """Those with workers of their own, and all others together."""
        mine = {name: how for name, how in self._named[0].items() if name not in self._local}
        others = {name: how for name, how in self._named[1].items() if name not in self._local}
        pools: list[_Pool] = []
        apart: set[str] = set()
        settings = self._settings
        for one in settings.apart:
            names = [name for name in (*mine, *others) if _is_named(one, name)]
            if not names:
                raise ConfigError(
                    f"[[workers.apart]] names {one.name!r}, which is none of "
                    f"{', '.join((*mine, *others))}: write a model or KIND:NAME of a checker"
                )
            apart |= set(names)
            pools.append(
                _Pool(
                    {name: mine[name] for name in names if name in mine},
                    {name: others[name] for name in names if name in others},
                    one.count,
                    self._usual_gpus() if one.gpus is None else one.gpus,
                    one.memory,
                    f"[[workers.apart]] of {one.name!r}",
                )
            )
        together = {name: how for name, how in others.items() if name not in apart}
        for pool in pools:
            if pool.models:  # who draws also asks, unless the checker is elsewhere
                pool.checkers |= together
        rest = {name: how for name, how in mine.items() if name not in apart}
        if rest or together:
            gpus = self._usual_gpus() if settings.gpus is None else settings.gpus
            count = settings.count or self._usual_count(gpus, _cores(rest), pools)
            pools.insert(0, _Pool(rest, together, count, gpus, settings.memory, "[workers]"))
        self._refuse_too_much(pools)
        return pools

    def _usual_gpus(self) -> float:
        return 1.0 if self._ray.cluster_resources().get("GPU") else 0.0

    def _usual_count(self, gpus: float, cores: int, pools: Sequence[_Pool]) -> int:
        """One a GPU that nobody else has, or one for so many CPUs."""
        there = self._ray.cluster_resources()
        taken = sum(pool.count * pool.gpus for pool in pools)
        free = (there.get("GPU", 0.0) - taken) / gpus if gpus else there.get("CPU", 1.0) / cores
        return max(1, int(free))

    def _refuse_too_much(self, pools: Sequence[_Pool]) -> None:
        there = self._ray.cluster_resources()
        asked = sum(pool.count * pool.gpus for pool in pools)
        if asked > there.get("GPU", 0.0) + 1e-6:
            raise ConfigError(
                f"the workers ask for {asked:g} GPUs, and there are {there.get('GPU', 0.0):g}: ask "
                f"for fewer with count, or for a part of one each with gpus, under "
                f"{' and '.join(pool.asked_under for pool in pools if pool.gpus)}"
            )
        memory = sum(pool.count * pool.memory for pool in pools) * 2**30
        if memory > there.get("memory", 0.0):
            raise ConfigError(
                f"the workers ask for {memory / 2**30:.0f} GiB of memory, and there are "
                f"{there.get('memory', 0.0) / 2**30:.0f}: ask for less under "
                f"{' and '.join(pool.asked_under for pool in pools if pool.memory)}"
            )

    def begin(self, plugins: Sequence[ImageModel | Checker]) -> None:
        """Load what works here, hire the others, and go on once one of each kind can work."""
        ids = [one.model_id if isinstance(one, ImageModel) else one.checker_id for one in plugins]
        self._here.begin(
            [one for name, one in zip(ids, plugins, strict=True) if name in self._local]
        )
        self._together = tuple(dict.fromkeys(ids))
        self._staff()

    def _staff(self) -> None:
        """Hire everybody, once."""
        if self._workers():
            return
        number = 0
        for pool in self._pools:
            for _ in range(pool.count):
                number += 1
                worker = _Worker(f"worker {number}", pool)
                pool.workers.append(worker)
        self._probe = draft_name("probe")
        self._store.pictures.leave(self._probe)
        try:
            self._log_folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self._say_unlogged(f"{self._log_folder} cannot be made: {error.strerror}")
        for worker in self._workers():
            self._hire(worker)
        self._since = time.monotonic()
        while self._waits_for_greetings():
            self._wait(1.0)
            self._refuse_nobody()
        self._choose_device()
        for worker in self._workers():
            if worker.node and worker.greeting is None and not worker.is_out:
                self._let_load(worker)
        while not all(any(one.is_ready for one in pool.workers) for pool in self._pools):
            self._wait(1.0)
            self._refuse_nobody()
        self._has_begun = True

    def _waits_for_greetings(self) -> bool:
        """Whether somebody may still differ before anything is drawn."""
        said = [bool(one.node or one.is_out) for one in self._workers()]
        if not any(said):
            return True
        self._first_said = self._first_said or time.monotonic()
        limit = min(GREETING_SECONDS, self._patience)
        return not all(said) and time.monotonic() - self._first_said < limit

    def _hire(self, worker: _Worker) -> None:
        log = self._log_folder / f"{worker.name.replace(' ', '-')}.log"
        pool = worker.pool
        options: dict[str, Any] = {
            # of a Ray of our own, which counts as many as there are workers, each has one
            "num_cpus": 0 if pool.gpus else 1 if self._is_mine else _cores(pool.models),
            "num_gpus": pool.gpus,
            "max_concurrency": HANDS,
            "max_restarts": 0,
        }
        if pool.memory:
            options["memory"] = int(pool.memory * 2**30)
        actor = self._ray.remote(Hand).options(**options)
        worker.actor = actor.remote(
            worker.name, pool.models, pool.checkers, self._store.pictures, log
        )
        worker.is_ready = False
        worker.greeting = worker.actor.hello.remote(self._probe)

    def _say_unlogged(self, why: str) -> None:
        """Once, whoever else has none."""
        if not self._unlogged:
            self._unlogged = f"workers keep no logs, and work all the same: {why}"
            self._troubles.append(("", self._unlogged))

    # ── who does what ────────────────────────────────────────────────────────────────────────

    def _workers(self) -> list[_Worker]:
        return [worker for pool in self._pools for worker in pool.workers]

    def _ready(self) -> set[_Worker]:
        return {worker for worker in self._workers() if worker.is_ready}

    def checks_too(self, model: str, checker: str) -> bool:
        """Where both have the same workers."""
        return (
            model not in self._local
            and checker not in self._local
            and any(model in pool.models and checker in pool.checkers for pool in self._pools)
        )

    def wanted(self, ready: Mapping[str, int]) -> str | None:
        """By whoever has least to do; with the model that it drew with last, if it can."""
        local = {name: count for name, count in ready.items() if name in self._local}
        if local and (model := self._here.wanted(local)) is not None:
            self._chosen = None
            return model
        self._staff()
        free = [
            one
            for one in self._workers()
            if one.has_room and not self._again and any(name in one.pool.models for name in ready)
        ]
        if not free:
            return None
        self._chosen = min(
            free, key=lambda one: (len(one.orders), one.model not in ready, one.pictures)
        )
        mine = {name: count for name, count in ready.items() if name in self._chosen.pool.models}
        if self._chosen.model in mine:
            return self._chosen.model
        return max(mine, key=lambda name: mine[name])

    def batch_size(self, model: str) -> int | None:
        """The model's own, also where several would be drawn side by side here; a service is asked
        for all at once.
        """
        size = self._here.batch_size(model)
        return None if size is None else min(size, self._here.models[model].batch_size)

    def takes_check(self, checker: str) -> bool:
        """Whether any of its workers has room."""
        if checker in self._local:
            return self._here.takes_check(checker)
        self._staff()
        return not self._again and any(
            one.has_room for one in self._workers() if checker in one.pool.checkers
        )

    def give(self, order: Order) -> None:
        """To this process, or to a worker with room."""
        name = order.model if isinstance(order, DrawOrder) else order.checker
        if name in self._local:
            self._here.give(order)
            return
        if isinstance(order, DrawOrder) and self._chosen is not None and self._chosen.has_room:
            self._send(self._chosen, order)
            return
        is_suspect = self._lost[id(order)] > 0
        able = [
            one
            for one in self._workers()
            if one.has_room and _can(one, order) and not (is_suspect and one.orders)
        ]
        if able:
            worker = min(able, key=lambda one: len(one.orders))
            worker.is_alone = is_suspect
            self._send(worker, order)
        else:
            self._again.append(order)

    def _send(self, worker: _Worker, order: Order) -> None:
        if isinstance(order, DrawOrder):
            worker.model = order.model
        worker.orders[worker.actor.run.remote(order)] = order

    @property
    def is_busy(self) -> bool:
        """Whether any order is out."""
        return bool(self._here.is_busy or self._again or any(one.orders for one in self._workers()))

    @property
    def runs_low(self) -> bool:
        """Whether a worker waits for an order, or will as soon as its last one is done."""
        if not self._pools or not self._workers():
            return self._here.runs_low
        return not self._again and any(one.runs_low for one in self._workers())

    def check_size(self, pictures: int) -> int:
        """So that everybody who is able gets some."""
        least, most = CHECKED_AT_ONCE
        return max(least, min(most, pictures // (LEAST_IN_HAND * max(1, len(self._workers())))))

    def whereabouts(self, worker: str) -> tuple[str, str, str]:
        """Of one of these, or of this process."""
        for one in self._workers():
            if one.name == worker:
                return one.node, one.device, one.log
        return self._here.whereabouts(worker)

    @property
    def notes(self) -> list[str]:
        """Who was left out, and why there are no logs."""
        return [*self.left_out, *filter(None, [self._unlogged])]

    def troubles(self) -> list[tuple[str, str]]:
        """Who died or was left out since the last call, and why; of nobody, what befell all."""
        troubles, self._troubles = self._troubles, []
        return troubles

    @property
    def told(self) -> str:
        """How many do what, and where."""
        counts = Counter(one.activity for one in self._workers() if not one.is_out)
        nodes = len({one.node for one in self._workers() if one.is_ready})
        does = ", ".join(f"{counts[name]} {name}" for name in ACTIVITIES if counts[name])
        return does + (f", on {nodes} nodes" if nodes > 1 else "")

    @property
    def draws_ahead(self) -> bool:
        """Devices that stand still cost as much as those that draw."""
        return True

    # ── what comes ───────────────────────────────────────────────────────────────────────────

    def reports(self) -> list[Delivery]:
        """Wait for workers; what is to be done here is done meanwhile.

        Nothing as soon as somebody more can work: an order need not wait for what others give.
        """
        while True:
            self._give_again()
            ready = self._ready()
            self._wait(0.0 if self._here.is_busy else 1.0)
            if self._here.is_busy:
                self._come += self._here.reports()
            if self._come:
                reports, self._come = self._come, []
                return reports
            if self._ready() - ready:
                return []
            self._refuse_nobody()
            if not self.is_busy and not any(one.greeting for one in self._workers()):
                return []

    def _give_again(self) -> None:
        orders = [self._again.popleft() for _ in range(len(self._again))]
        for order in orders:
            self._chosen = None
            self.give(order)

    def _wait(self, seconds: float) -> None:
        """Hear what comes within so many seconds; whoever greets or dies is seen to."""
        pending = {ref: worker for worker in self._workers() for ref in worker.orders}
        greetings = {
            worker.greeting: worker for worker in self._workers() if worker.greeting is not None
        }
        every = [*pending, *greetings]
        if not every:
            return
        ready, _ = self._ray.wait(every, num_returns=1, timeout=seconds)
        if ready:
            ready, _ = self._ray.wait(every, num_returns=len(every), timeout=0)
        for ref, said in self._got(ready):
            worker = pending.get(ref) or greetings[ref]
            if ref not in worker.orders and ref is not worker.greeting:
                continue  # it died over another order, and this one is given out again
            if isinstance(said, Exception):
                self._come += self._bury(worker, _first_line(said))
            elif ref in worker.orders:
                self._come.append(self._heard(worker, worker.orders[ref], said))
                del worker.orders[ref]
            else:
                self._greeted(worker, said)

    def _got(self, ready: Sequence[Any]) -> list[tuple[Any, Any]]:
        """What these say, all at once; the death of whoever cannot say anything any more."""
        try:
            return list(zip(ready, self._ray.get(list(ready)), strict=True))
        except self._ray.exceptions.RayActorError:
            pass
        got = []
        for ref in ready:
            try:
                got.append((ref, self._ray.get(ref)))
            except self._ray.exceptions.RayActorError as error:
                got.append((ref, error))
        return got

    def _heard(self, worker: _Worker, order: Order, said: Delivery | Trouble) -> Delivery:
        if isinstance(said, Trouble):
            raise ConfigError(f"{worker}: {said.sentence}")
        worker.deaths = 0
        worker.is_alone = False
        worker.took(said.seconds)
        worker.pictures += len(said.painted)
        self._lost.pop(id(order), None)
        return dataclasses.replace(said, order=order)

    def _greeted(self, worker: _Worker, said: Hello | Trouble | None) -> None:
        worker.greeting = None
        if said is None:  # all that it needs is in its memory
            worker.is_ready = True
            return
        if isinstance(said, Trouble):
            self._refuse(worker, f"cannot begin: {said.sentence}")
            return
        worker.node, worker.device, worker.log = said.node, said.device, said.log
        if said.unlogged:
            self._say_unlogged(said.unlogged)
        if other := _other_versions(said, self._versions):
            self._refuse(
                worker,
                f"has other versions: {', '.join(other)}; install the same everywhere, since they "
                f"decide pixels and scores",
            )
            return
        if not said.sees_pictures:
            self._refuse(
                worker,
                f"does not see the pictures at {self._store.pictures}: name one that every "
                f"machine reaches with --pictures, at the same path everywhere",
            )
            return
        if self._device:
            self._let_load(worker)

    def _choose_device(self) -> None:
        """That of this process if a worker has it, or else that of most; never the first one's."""
        named = [one.device for one in self._workers() if one.node and one.pool.models]
        own = device_name()
        counts = Counter(sorted(named))
        self._device = own if own in counts or not counts else counts.most_common(1)[0][0]

    def _let_load(self, worker: _Worker) -> None:
        """Have in memory what it will use, unless it would draw other bits than the others."""
        if worker.pool.models and worker.device != self._device:
            self._leave_out(
                worker,
                f"it draws on {worker.device}, and others on {self._device}: pictures of two kinds "
                f"of devices are not mixed in one run",
            )
            return
        wanted = (*worker.pool.models, *worker.pool.checkers)
        names = tuple(name for name in self._together if name in wanted)
        worker.greeting = worker.actor.load.remote(names)

    def _refuse(self, worker: _Worker, why: str) -> None:
        """One that comes when others are at work already goes alone.

        Raises:
            ConfigError: nothing is under way.
        """
        if not self._has_begun:
            raise ConfigError(f"{worker} {why}")
        self._leave_out(worker, f"it {why}")

    # ── who dies ─────────────────────────────────────────────────────────────────────────────

    def _bury(self, worker: _Worker, why: str) -> list[Delivery]:
        """Give out again what a dead worker had in hand, and hire its successor."""
        worker.deaths += 1
        worker.all_deaths += 1
        reports = []
        for place, order in enumerate(worker.orders.values()):
            self._lost[id(order)] += place == 0  # what lay behind it was not begun
            if self._lost[id(order)] < LOSSES:
                self._again.append(order)
            else:
                del self._lost[id(order)]
                reports.append(_failed(order, f"{LOSSES} workers died over it; the last: {why}"))
        worker.orders.clear()
        worker.greeting = None
        worker.is_ready = worker.is_alone = False
        self._since = time.monotonic()
        if worker.deaths < DEATHS:
            died = f"it died (death {worker.all_deaths}), and another took its place: {why}"
            self._troubles.append((worker.name, died))  # numbered, or those of a minute were one
            self._hire(worker)
        else:
            self._leave_out(worker, f"it died {DEATHS} times without a result; the last: {why}")
        return reports

    def _leave_out(self, worker: _Worker, why: str) -> None:
        worker.is_out, worker.is_ready = True, False
        self.left_out.append(f"{worker} is left out: {why}")
        self._troubles.append((worker.name, f"it is left out: {why}"))
        self._ray.kill(worker.actor)

    def _refuse_nobody(self) -> None:
        """Check that somebody can still come.

        Raises:
            ConfigError: nobody is left of a kind, or there has been no place for too long.
        """
        for pool in self._pools:
            if all(one.is_out for one in pool.workers):
                raise ConfigError(
                    f"no worker is left: {'; '.join(self.left_out)}; all that was done is kept: "
                    f"mend the cause and run the same command again"
                )
            waits = time.monotonic() - self._since > self._patience
            if waits and not any(one.is_ready or one.node for one in pool.workers):
                raise ConfigError(
                    f"the cluster has had no place for a worker with {pool.gpus:g} GPUs for "
                    f"{self._patience:.0f} seconds: a node may have left; all that was done is "
                    f"kept: look at `ray status`, then run the same command again"
                )

    # ── ending ───────────────────────────────────────────────────────────────────────────────

    def stop(self) -> list[Delivery]:
        """What has come by now; orders under way are dropped, and made by the next run."""
        late, self._come = [*self._come, *self._here.stop()], []
        for worker in self._workers():
            done, _ = (
                self._ray.wait(list(worker.orders), num_returns=len(worker.orders) or 1, timeout=0)
                if worker.orders
                else ([], [])
            )
            for ref in done:
                with contextlib.suppress(self._ray.exceptions.RayError):
                    said = self._ray.get(ref)
                    if isinstance(said, Delivery):
                        late.append(dataclasses.replace(said, order=worker.orders[ref]))
            worker.orders.clear()
        self._again.clear()
        return late

    def close(self) -> None:
        """Let every worker go; what it holds in memory is lost."""
        for worker in self._workers():
            if worker.actor is not None and not worker.is_out:
                self._ray.kill(worker.actor)
        self._pools = []
        if self._probe:
            self._store.pictures.take_away(self._probe)
        if self._is_mine:
            self._ray.shutdown()


def _other_versions(said: Hello, ours: Mapping[str, str]) -> list[str]:
    """What a worker has otherwise, with what is here."""
    return [
        f"{name} {said.versions.get(name, 'missing')} (here {ours[name]})"
        for name in ours
        if said.versions.get(name) != ours[name]
    ]


def _can(worker: _Worker, order: Order) -> bool:
    if isinstance(order, DrawOrder):
        return order.model in worker.pool.models
    return order.checker in worker.pool.checkers


def _failed(order: Order, sentence: str) -> Delivery:
    """An order that nobody survives."""
    if isinstance(order, DrawOrder):
        return Delivery(
            order, tuple(Painted(spec, 0.0, RenderError(sentence)) for spec in order.specs)
        )
    keys = dict.fromkeys(key for key, _ in order.asked)
    return Delivery(order, unsaid=tuple(Unsaid(order.checker, key, sentence) for key in keys))


def _is_named(one: ApartSettings, name: str) -> bool:
    """Whether ``org/model`` or ``vqa:org/model`` means ``vqa:org/model@revision``."""
    return name == one.name or name.startswith(f"{one.name}@")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200]


def _connect(settings: WorkersSettings) -> tuple[Any, bool]:
    """Ray, connected, and whether it began for this.

    Raises:
        ConfigError: it is not installed, or nobody answers.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # workers may leave Ray's own processes little time: half a minute is short for both
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "300")
    os.environ.setdefault("RAY_health_check_timeout_ms", "60000")
    # a lost node is one sentence of ours; Ray would put thirty lines of its state on stdout
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
    try:
        import ray
    except ModuleNotFoundError as error:
        raise ConfigError(
            "workers need Ray, and it is not installed: pip install 'lcmis[cluster]', or leave "
            "--workers and --ray out"
        ) from error
    if ray.is_initialized():
        return ray, False
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if not settings.ray:
        cpus = max(settings.count + sum(one.count for one in settings.apart), os.cpu_count() or 1)
        # without "local" it would join whatever cluster this machine is part of
        ray.init("local", num_cpus=cpus, include_dashboard=False, **quiet)
        return ray, True
    _refuse_unreachable(settings.ray)
    try:
        ray.init(address=settings.ray, **quiet)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise ConfigError(
            f"no Ray cluster could be joined at {settings.ray!r} ({_first_line(error)}): start one "
            f"with `ray start --head`, name its address, or leave --ray out"
        ) from error
    return ray, True


def _refuse_unreachable(address: str) -> None:
    """Ray itself would try for minutes.

    Raises:
        ConfigError: nobody listens there.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if address in ("auto", "local") or not host:
        return
    try:
        with socket.create_connection((host, int(port)), timeout=5):
            return
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"no Ray cluster answers at {address!r}: start one with `ray start --head`, write "
            f"HOST:PORT as it says, or leave --ray out"
        ) from error
