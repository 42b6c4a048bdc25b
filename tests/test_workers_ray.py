"""Workers in other processes: the same store as one process makes, whoever dies on the way."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from worlds import tiny_pipelines
from worlds.clustered import installed_at, small_ray
from worlds.installed import forget_packages
from worlds.toys import pair

from lcmis.audit.run import Audit
from lcmis.plugins.settings import (
    ApartSettings,
    AuditSettings,
    CheckerSettings,
    ModelSettings,
    StoppingSettings,
    WorkersSettings,
)
from lcmis.propose.catalogue import to_toml
from lcmis.repair.search import Repair, RepairSettings
from lcmis.store import Store

pytest.importorskip("ray", reason="Ray is not installed: pip install 'lcmis[cluster]'")

PAIRS = (
    pair("rubine", "azure"),
    pair("lime", "amber"),
    pair("azure", "amber"),
    pair("lime", "rubine"),
    pair("amber", "rubine"),
)


@pytest.fixture(scope="module")
def deaths(tmp_path_factory):
    return tmp_path_factory.mktemp("deaths")


@pytest.fixture(scope="module", autouse=True)
def ray(tmp_path_factory, deaths):
    folder = installed_at(tmp_path_factory.mktemp("site"))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setenv("LCMIS_TEST_DEATHS", str(deaths))
        forget_packages()
        with small_ray(folder, 4, LCMIS_TEST_DEATHS=str(deaths)) as started:
            yield started
    forget_packages()


@pytest.fixture
def config(tmp_path):
    file = tmp_path / "pairs.toml"
    file.write_text(to_toml(PAIRS), "utf-8")

    def make(name, behaviour="coin", model="toy", **changes):
        return dataclasses.replace(
            AuditSettings(
                models=(ModelSettings(model, scheduler=behaviour),),
                checkers=(CheckerSettings("toy"), CheckerSettings("toy", "twin")),
                pairs=(str(file),),
                store=str(tmp_path / name),
            ),
            **changes,
        )

    return make


def run(config, workers=None):
    config = dataclasses.replace(config, workers=workers or WorkersSettings())
    with Store(config.store, create=True) as store:
        return Audit(config, store).run("a test")


def facts(config):
    """All that two stores of the same run share."""
    with Store(config.store, read_only=True) as store:
        assert list(store.verify()) == []
        return {
            (
                item.pair_key,
                item.spec.key,
                item.render.sha256,
                tuple(
                    sorted(
                        (question.key, score.checker, score.answer.option, score.answer.value or -1)
                        for question, score in store.scores(item.spec.key)
                    )
                ),
            )
            for item in store.renders(limit=10_000)
        }


def test_two_workers_leave_the_store_that_one_process_leaves(config):
    alone, together = config("alone"), config("together")
    first, second = run(alone), run(together, WorkersSettings(2, gpus=0))
    assert facts(together) == facts(alone)
    assert second.models == first.models
    assert second.drawn == first.drawn
    assert run(together, WorkersSettings(2, gpus=0)).drawn == 0
    logs = sorted((Path(together.store) / "logs").iterdir())
    assert [log.name for log in logs] == ["worker-1.log", "worker-2.log"]
    assert "drew" in "".join(log.read_text() for log in logs)


def test_a_judge_on_devices_of_its_own_says_the_same(config):
    alone, apart = config("alone"), config("apart")
    run(alone)
    own = WorkersSettings(1, gpus=0, apart=(ApartSettings("toy:twin", 1, gpus=0),))
    run(apart, own)
    assert facts(apart) == facts(alone)


def test_workers_that_die_cost_nothing_but_time(config, deaths):
    alone, killed = config("alone", model="dying"), config("killed", model="dying")
    run(alone)
    for number, one in enumerate(PAIRS[:3]):
        (deaths / f"{one.prompt} {number}").touch()
    result = run(killed, WorkersSettings(2, gpus=0))
    assert list(deaths.iterdir()) == []
    assert result.failures == 0
    assert facts(killed) == facts(alone)


def test_workers_of_this_machine_join_no_cluster_that_it_is_part_of(ray, monkeypatch):
    from lcmis.workers.ray import _connect

    begun = []
    monkeypatch.setenv("RAY_ADDRESS", "192.0.2.1:6379")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda address, **asked: begun.append((address, asked)))
    assert _connect(WorkersSettings(3)) == (ray, True)
    [(address, asked)] = begun
    assert address == "local"
    assert asked["num_cpus"] >= 3


def test_workers_search_by_a_cache_and_prove_without_it_as_one_process_does(config, tmp_path):
    folder = tiny_pipelines.save("flux", tmp_path / "flux")
    settings = ModelSettings(
        str(folder), height=32, width=32, num_inference_steps=6, batch_size=2, cache="taylor-seer:3"
    )
    found = []
    for name, workers in (("here", WorkersSettings()), ("there", WorkersSettings(1))):
        both = config(name, models=(settings,), limit=1, stopping=StoppingSettings(cap=8))
        run(both, workers)
        both = dataclasses.replace(both, workers=workers)
        with Store(both.store) as store:
            Repair(both, store, RepairSettings("moce", 8, certificate=4)).run("a test")
            (model,) = {trial.model for trial in store.trials()}
            drawn = store.profiles(model)
        found.append((facts(both), drawn))
    assert found[0] == found[1]
    assert {said for _, drawn in found for said in drawn.values()} == {
        "cpu-float32-b2",
        "cpu-float32-b2-lossy_taylor_seer_3",
    }
