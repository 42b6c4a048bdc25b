"""Who stands idle while there is work, by a clock that no other process can slow down."""

from __future__ import annotations

import pytest
from worlds.clocked import Pace, simulated

from lcmis.workers import ray

pytestmark = pytest.mark.usefixtures("toys")

PAIRS = {1: 8, 8: 32, 64: 192}
"""By the number of workers: enough for everybody, and few enough to end with very few."""


@pytest.mark.parametrize("seconds", [1.0, 0.12])
@pytest.mark.parametrize("workers", PAIRS)
def test_no_device_stands_idle_until_the_last_of_the_work(tmp_path, monkeypatch, workers, seconds):
    clock, audit = simulated(tmp_path, monkeypatch, Pace(seconds), workers, PAIRS[workers])
    assert clock.idle_share() <= 0.05
    alone = audit.studio.drawn * (seconds + 0.3) + 2 * PAIRS[workers] * 0.3
    assert alone / (workers * clock.now) >= {1: 0.95, 8: 0.8, 64: 0.5}[workers]  # its end included


def test_who_begins_later_has_work_at_once(tmp_path, monkeypatch):
    clock, _ = simulated(tmp_path, monkeypatch, Pace(1.0, apart=0.25), 8, 32)
    assert max(actor.busy[0][0] - actor.late for actor in clock.actors) <= 0.1


@pytest.mark.parametrize(
    ("place", "name", "value"),
    [
        (ray, "LEAST_IN_HAND", 1),
        (ray.Ray, "draws_ahead", False),
    ],
    ids=["one-order-each", "nothing-ahead"],
)
def test_what_keeps_devices_busy_is_needed(tmp_path, monkeypatch, place, name, value):
    monkeypatch.setattr(place, name, value)
    if name == "LEAST_IN_HAND":
        monkeypatch.setattr(ray, "MOST_IN_HAND", 1)
    clock, _ = simulated(tmp_path, monkeypatch, Pace(0.12), 64, 128)
    assert clock.idle_share() > 0.05


def test_pairs_are_counted_as_they_are_decided(tmp_path, monkeypatch):
    told = []
    simulated(tmp_path, monkeypatch, Pace(1.0), 2, 10, told.append)
    assert sorted({now.decided for now in told}) == list(range(11))
    decided = next(now.pictures for now in told if now.decided)
    assert decided < told[-1].pictures / 2
    assert "2 drawing" in {now.activity for now in told}
    assert told[-1].decided == told[-1].pairs == 10
