"""Workers elsewhere, played by threads: who dies, differs, has no place, or sees no folder."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import re
import threading
import time
from concurrent.futures import wait
from pathlib import Path

import pytest
from worlds.threads import Threads, make_one_sick
from worlds.toys import ToyChecker, ToyModel, audited, pair, repair

from lcmis.audit.config import load_config
from lcmis.audit.run import Audit
from lcmis.cli.terminal.repairs import print_proofs, print_repairs
from lcmis.errors import CheckError, ConfigError, Refusal, RenderError, ServiceClosed
from lcmis.plugins import registry
from lcmis.plugins.settings import (
    ApartSettings,
    AuditSettings,
    CheckerSettings,
    ModelSettings,
    StoppingSettings,
    WorkersSettings,
)
from lcmis.propose.catalogue import to_toml
from lcmis.repair.certify import Certify
from lcmis.store import Store, images
from lcmis.workers import hand, ray
from lcmis.workers.hand import Hand

pytestmark = pytest.mark.usefixtures("toys")

PAIRS = (pair("rubine", "azure"), pair("lime", "amber"), pair("azure", "amber"))


@pytest.fixture
def threads(monkeypatch):
    started = Threads()
    monkeypatch.setattr(ray, "_connect", lambda _: (started, False))
    return started


@pytest.fixture
def config(tmp_path):
    (tmp_path / "pairs.toml").write_text(to_toml(PAIRS), "utf-8")

    def make(name="store", count=3, **changes):
        return dataclasses.replace(
            AuditSettings(
                models=(ModelSettings("toy", scheduler="coin"),),
                checkers=(CheckerSettings("toy"), CheckerSettings("toy", "twin")),
                pairs=(str(tmp_path / "pairs.toml"),),
                store=str(tmp_path / name),
                workers=WorkersSettings(count, gpus=0),
            ),
            **changes,
        )

    return make


def run(config):
    with Store(config.store, create=True) as store:
        audit = Audit(config, store)
        return audit.run("a test"), audit.studio.crew


def facts(config):
    with Store(config.store, read_only=True) as store:
        assert list(store.verify()) == []
        return {
            (item.pair_key, item.spec.key, item.render.sha256, len(store.scores(item.spec.key)))
            for item in store.renders(limit=10_000)
        }


def named(monkeypatch, model):
    """The toy model is another one; only this process opens it."""
    monkeypatch.setattr(hand, "open_model", model)
    return model


# ── the same store ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("count", [1, 8])
def test_the_store_is_that_of_one_process(config, threads, count):
    alone, _ = run(config("alone", 0))
    together, crew = run(config("together", count))
    assert facts(config("together")) == facts(config("alone"))
    assert together.models == alone.models
    assert crew.left_out == []


@pytest.mark.parametrize("name", ["toy:twin", "toy@coin"])
def test_whatever_lives_apart_does_the_same(config, threads, name):
    run(config("alone", 0))
    own = WorkersSettings(1, gpus=0, apart=(ApartSettings(name, 2, gpus=0),))
    run(config("apart", workers=own))
    assert facts(config("apart")) == facts(config("alone"))


def test_a_repair_goes_the_same_way_by_any_number_of_workers(tmp_path, threads):
    told = []
    for name, workers in (("alone", 0), ("together", 4)):
        (tmp_path / name).mkdir()
        base = audited(tmp_path / name, PAIRS, "shy")
        asked = dataclasses.replace(base, workers=WorkersSettings(workers, gpus=0))
        found = repair(asked, budget=24)
        with Store(base.store) as store:
            assert list(store.verify()) == []
            trials = [
                (one.key, trial.key)
                for one in PAIRS
                for trial in store.trials(one.key, base.models[0].name + "@shy")
            ]
        told.append((found.drawn, [one.certificate for one in found.pairs], trials))
    assert told[0] == told[1]


# ── who dies ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("seed", range(3))
def test_workers_killed_at_any_moment_cost_nothing_but_time(config, threads, monkeypatch, seed):
    run(config("alone", 0))
    moments = {3 + seed, 7 + seed, 8 + seed, 15 + seed}

    class Killed(ToyModel):
        count = 0

        def generate(self, specs):
            Killed.count += 1
            if Killed.count in moments:
                threads.kill_worker(Killed.count + seed)
            return super().generate(specs)

    named(monkeypatch, Killed)
    result, _ = run(config("killed"))
    assert threads.num_killed > 0
    assert facts(config("killed")) == facts(config("alone"))
    assert result.failures == 0


def test_an_order_that_nobody_survives_fails_and_all_else_is_made(config, threads, monkeypatch):
    class Deadly(ToyModel):
        def generate(self, specs):
            if any(spec.prompt == PAIRS[0].prompt for spec in specs):
                own = threading.current_thread().name.rpartition("_")[0]
                next(a for a in threads.actors if a._hand._thread_name_prefix == own).die()
            return super().generate(specs)

    named(monkeypatch, Deadly)
    four = {
        "models": (ModelSettings("toy", batch_size=4),),
        "stopping": StoppingSettings(rule="fixed", cap=4),
    }
    result, _ = run(config(**four))
    assert (result.failures, result.drawn) == (4, 8)
    with Store(config().store, read_only=True) as store:
        assert all("workers died over it" in item.sentence for item in store.failures())
    named(monkeypatch, ToyModel)
    assert run(config(**four))[0].drawn == 4


def test_an_order_that_lies_before_a_deadly_one_is_not_blamed_for_it(config, threads, monkeypatch):
    deaths: list[str] = []
    written = images.PictureFolder._write_whole

    class Deadly(ToyModel):
        def generate(self, specs):
            if specs[0].prompt == PAIRS[1].prompt:
                own = threading.current_thread().name.rpartition("_")[0]
                next(a for a in threads.actors if a._hand._thread_name_prefix == own).die()
                deaths.append(own)
            return super().generate(specs)

    def late(*args):
        """A file that is whole when the order behind it has killed its worker, if that begins."""
        before, until = len(deaths), time.monotonic() + 0.5
        while len(deaths) == before and time.monotonic() < until:
            time.sleep(0.01)
        return written(*args)

    named(monkeypatch, Deadly)
    monkeypatch.setattr(images.PictureFolder, "_write_whole", late)
    four = {
        "models": (ModelSettings("toy", batch_size=4),),
        "stopping": StoppingSettings(rule="fixed", cap=4),
    }
    result, _ = run(config(count=1, **four))
    assert (result.failures, result.drawn) == (4, 8)


def test_a_worker_that_keeps_failing_is_named_and_left_out(config, threads, monkeypatch):
    run(config("alone", 0))

    make_one_sick(monkeypatch, threads)
    result, crew = run(config("sick"))
    assert list(result.notes) == crew.left_out
    (sentence,) = crew.left_out
    assert sentence.startswith("worker 2 on ")
    assert "left out: it died 6 times" in sentence
    assert facts(config("sick")) == facts(config("alone"))
    with Store(config("sick").store, read_only=True) as store:
        told = [one.sentence for one in store.shifts() if one.worker == "worker 2"]
    assert [bool(re.match(r"it died \(death \d\), and", one)) for one in told] == [True] * 5 + [
        False
    ]


def test_a_repair_and_its_proofs_name_who_is_left_out(tmp_path, threads, monkeypatch, capsys):
    asked = audited(tmp_path, PAIRS, "deaf", workers=WorkersSettings(3, gpus=0))
    make_one_sick(monkeypatch, threads)
    repaired = repair(asked, budget=24)
    print_repairs(repaired, asked.store)
    with Store(asked.store) as store:
        proved = Certify(asked, store, pictures=96, elsewhere=False).run()
    print_proofs(proved)
    for notes in (repaired.notes, proved.notes):
        (sentence,) = notes
        assert "is left out: it died 6 times" in sentence
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("worker 2 on no node yet is left out: it died 6 times") == 2


def test_nobody_left_is_one_sentence_and_what_was_made_is_kept(config, threads, monkeypatch):
    class Dying(Hand):
        def run(self, order):
            report = super().run(order)
            if len(ToyModel.drawn) > 6:
                next(a for a in threads.actors if a._inside is self).die()
            return report

    many = {
        "models": (ModelSettings("toy", scheduler="coin", batch_size=1),),
        "stopping": StoppingSettings(rule="fixed", cap=20),
    }
    monkeypatch.setattr(ray, "Hand", Dying)
    with pytest.raises(ConfigError, match=r"no worker is left: worker \d on .* died 6 times"):
        run(config(count=2, **many))
    monkeypatch.setattr(ray, "Hand", Hand)
    with Store(config().store, read_only=True) as store:
        assert store.counts().renders > 0
    run(config(**many))
    run(config("alone", 0, **many))
    assert facts(config()) == facts(config("alone"))


def test_ctrl_c_keeps_what_has_come(config, threads, monkeypatch):
    run(config("alone", 0))
    heard = ray.Ray._heard

    def interrupted(self, *arguments):
        if self._store.counts().renders:  # what comes all at once is in no store yet
            raise KeyboardInterrupt
        return heard(self, *arguments)

    monkeypatch.setattr(ray.Ray, "_heard", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(config("stopped"))
    monkeypatch.setattr(ray.Ray, "_heard", heard)
    with Store(config("stopped").store, read_only=True) as store:
        assert store.counts().renders > 0
    run(config("stopped"))
    assert facts(config("stopped")) == facts(config("alone"))


# ── what fails ───────────────────────────────────────────────────────────────────────────────────


class Lost(RenderError):
    """A plugin's own, made of something else than a sentence, and holding what cannot travel."""

    def __init__(self, seed, why):
        super().__init__(f"seed {seed} {why}")
        self.lock = threading.Lock()


class Withheld(Refusal):
    def __init__(self, seed, why):
        super().__init__()
        self.sentence = f"seed {seed} {why}"

    def __str__(self):
        return self.sentence


class Unread(CheckError):
    def __init__(self, seed, why):
        super().__init__(f"seed {seed} {why}")
        self.lock = threading.Lock()


class Closed(ServiceClosed):
    def __init__(self, drawn, account):
        super().__init__(f"account {account} is empty", drawn)


def failing(monkeypatch):
    """The toys fail in ways of their own, here and elsewhere."""
    paint, score = ToyModel._paint, ToyChecker.score

    def painted(self, spec):
        if spec.seed in (1, 2):
            return (Lost, Withheld)[spec.seed - 1](spec.seed, "is lost")
        return paint(self, spec)

    def scored(self, images, questions):
        if any(image.getpixel((0, 0))[0] == 3 for image in images):
            raise Unread(3, "cannot be read")
        return score(self, images, questions)

    monkeypatch.setattr(ToyModel, "_paint", painted)
    monkeypatch.setattr(ToyChecker, "score", scored)


def test_failures_of_a_plugins_own_kind_are_told_by_workers_as_by_one_process(
    config, threads, monkeypatch
):
    failing(monkeypatch)
    told = []
    rule = {"stopping": StoppingSettings(rule="fixed", cap=6)}
    for asked in (config("alone", 0, **rule), config("together", **rule)):
        run(asked)
        with Store(asked.store, read_only=True) as store:
            failures = {(one.item, one.stage, one.sentence) for one in store.failures()}
            refused = {one.spec.key: one.render.refusal for one in store.renders(limit=1000)}
        told.append((failures, refused))
    assert told[0] == told[1]
    failures, refused = told[1]
    assert {one[1:] for one in failures} == {
        ("render", "seed 1 is lost"),
        ("check", "seed 3 cannot be read"),
    }
    assert set(refused.values()) == {"", "seed 2 is lost"}


def test_a_plugins_service_that_is_closed_is_told_and_what_had_come_is_kept(
    config, threads, monkeypatch
):
    def generate(self, specs):
        drawn = [self._paint(spec) for spec in specs]
        raise Closed([drawn[0], Lost(specs[1].seed, "is lost"), None], "mine")

    monkeypatch.setattr(ToyModel, "generate", generate)
    rule = StoppingSettings(rule="fixed", cap=3)
    with pytest.raises(ServiceClosed, match=r"^account mine is empty$"):
        run(config(stopping=dataclasses.replace(rule, block=3)))
    with Store(config().store, read_only=True) as store:
        assert store.counts().renders > 0


# ── logs ─────────────────────────────────────────────────────────────────────────────────────────


def told_of_logs(config):
    """What a run says of its logs, and where its workers say that they lie."""
    result, crew = run(config)
    assert crew.left_out == []
    with Store(config.store, read_only=True) as store:
        shifts = store.shifts()
    notes = [one for one in result.notes if " logs" in one]
    assert [one.sentence for one in shifts if one.sentence] == notes
    with Store(config.store) as store:  # nothing is left to do, and nobody works
        assert [one for one in Audit(config, store).run("again").notes if " logs" in one] == []
    return notes, {one.log for one in shifts if one.worker}


def test_a_run_goes_on_without_logs_where_their_folder_cannot_be_made(config, threads):
    with Store(config().store, create=True):
        (Path(config().store) / "logs").write_text("in the way")
    (sentence,), logs = told_of_logs(config())
    assert sentence.startswith("workers keep no logs, and work all the same: ")
    assert sentence.endswith("/store/logs cannot be made: File exists")
    assert logs == {""}
    run(config("alone", 0))
    assert facts(config()) == facts(config("alone"))


@contextlib.contextmanager
def logging_afresh():
    """As in a new process: nobody has said yet where what is said goes."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers
    root.handlers = []
    try:
        yield
    finally:
        for one in root.handlers:
            one.close()
        root.handlers = handlers
        root.setLevel(level)


def test_a_log_that_cannot_be_written_is_said_once_and_nowhere_named(config, threads):
    with Store(config().store, create=True):
        for number in (1, 2, 3):
            (Path(config().store) / "logs" / f"worker-{number}.log").mkdir(parents=True)
    with logging_afresh():
        (sentence,), logs = told_of_logs(config())
    assert "/store/logs/worker-" in sentence
    assert sentence.endswith(".log cannot be written: Is a directory")
    assert logs == {""}


def test_a_log_is_named_where_it_lies(config, threads):
    with logging_afresh():
        notes, logs = told_of_logs(config(count=1))
    assert notes == []
    assert logs == {str(Path(config().store) / "logs" / "worker-1.log")}
    assert all(Path(log).is_file() for log in logs)


# ── who differs ──────────────────────────────────────────────────────────────────────────────────


def differing(monkeypatch, **changes):
    class Other(Hand):
        def hello(self, probe=""):
            said = super().hello(probe)
            return dataclasses.replace(said, **changes) if self._name == "worker 2" else said

    monkeypatch.setattr(ray, "Hand", Other)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"versions": {"torch": "1.0"}}, r"worker 2 on .* has other versions: .*torch 1.0 \(here"),
        ({"sees_pictures": False}, "does not see the pictures at .* with --pictures"),
    ],
    ids=["versions", "folder"],
)
def test_what_must_be_the_same_everywhere_is_looked_at_first(
    config, threads, monkeypatch, changes, sentence
):
    differing(monkeypatch, **changes)
    with pytest.raises(ConfigError, match=sentence):
        run(config())
    assert ToyModel.drawn == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"versions": {"torch": "1.0"}}, "worker 2 on .* is left out: it has other versions"),
        ({"sees_pictures": False}, "worker 2 on .* is left out: it does not see the pictures"),
    ],
    ids=["versions", "folder"],
)
def test_who_comes_late_and_differs_goes_alone(config, threads, monkeypatch, changes, sentence):
    drawn = threading.Event()

    class Late(Hand):
        def hello(self, probe=""):
            said = super().hello(probe)
            if self._name != "worker 2":
                return said
            drawn.wait()
            return dataclasses.replace(said, **changes)

    heard = ray.Ray._heard

    def after(self, *arguments):
        drawn.set()
        wait(one.greeting for one in self._workers() if one.greeting is not None)
        return heard(self, *arguments)

    monkeypatch.setattr(ray, "Hand", Late)
    monkeypatch.setattr(ray.Ray, "_heard", after)
    monkeypatch.setattr(ray, "GREETING_SECONDS", 0.0)
    _, crew = run(config())
    run(config("alone", 0))
    assert facts(config()) == facts(config("alone"))
    assert [bool(re.match(sentence, one)) for one in crew.left_out] == [True]


@pytest.mark.parametrize(
    ("cores", "is_mine", "asked"), [(1, False, [1] * 4), (2, False, [2, 2]), (2, True, [1, 1])]
)
def test_a_worker_asks_a_cluster_for_as_many_cores_as_its_model_computes_with(
    config, threads, monkeypatch, cores, is_mine, asked
):
    monkeypatch.setattr(ray, "_connect", lambda _: (threads, is_mine))
    toy = ModelSettings("toy", scheduler="coin", threads=cores)
    run(config(models=(toy,), workers=WorkersSettings(0, gpus=0, ray="auto")))
    assert threads.cores == asked


@pytest.mark.parametrize("count", [2, 3])
def test_another_kind_of_device_is_left_out_and_named(config, threads, monkeypatch, count):
    differing(monkeypatch, device="NVIDIA A100")
    _, crew = run(config(count=count))
    assert ["worker 2" in one and "NVIDIA A100" in one for one in crew.left_out] == [True]
    run(config("alone", 0))
    assert facts(config()) == facts(config("alone"))


def test_a_worker_never_draws_under_another_profile(config, threads, monkeypatch):
    class Half(ToyModel):
        def spec(self, stages, seed):
            return dataclasses.replace(super().spec(stages, seed), profile="cuda-float16-b3")

    named(monkeypatch, Half)
    with pytest.raises(ConfigError, match="draws as cuda-float16-b3, and the run asks"):
        run(config())
    with Store(config().store, read_only=True) as store:
        assert store.counts().renders == 0


def test_a_model_that_a_worker_cannot_reach_is_one_sentence(config, threads, monkeypatch):
    class Far(ToyModel):
        def load(self):
            raise ConfigError("the hub does not answer: check the network")

    named(monkeypatch, Far)
    with pytest.raises(ConfigError, match=r"worker \d on .* cannot begin: the hub does not answer"):
        run(config())


# ── what there is not ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("workers", "sentence"),
    [
        (
            WorkersSettings(2, gpus=1),
            r"ask for 2 GPUs, and there are 0: .* with gpus, under \[workers\]$",
        ),
        (
            WorkersSettings(2, gpus=0, apart=(ApartSettings("toy:twin", gpus=0.5),)),
            r"ask for 0.5 GPUs, and there are 0: .*, under \[\[workers.apart\]\] of 'toy:twin'$",
        ),
        (
            WorkersSettings(2, gpus=0, memory=10_000),
            r"ask for 20000 GiB of memory, .* under \[workers\]$",
        ),
        (WorkersSettings(1, apart=(ApartSettings("nobody"),)), "'nobody', which is none of toy@"),
    ],
    ids=["gpus", "gpus apart", "memory", "name"],
)
def test_what_the_cluster_has_not_is_one_sentence(config, threads, workers, sentence):
    with pytest.raises(ConfigError, match=sentence):
        run(config(workers=workers))


def test_no_place_in_the_cluster_is_waited_for_and_then_told(config, threads, monkeypatch):
    threads.has_place = False
    monkeypatch.setattr(ray, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(ray.Ray.__init__, "__kwdefaults__", {"patience": 0.0})
    with pytest.raises(ConfigError, match="has had no place for a worker"):
        run(config())


@pytest.mark.parametrize("there", [0.0, 2.0])
def test_who_lives_apart_has_a_gpu_of_its_own_where_there_are_any(config, threads, there):
    threads.resources["GPU"] = there
    own = WorkersSettings(apart=(ApartSettings("toy:twin"),), count=1)
    _, crew = run(config(workers=own))
    assert crew.left_out == []
    assert threads.cores == ([0, 0] if there else [1, 1])


def test_half_a_gpu_each_is_enough_for_two(config, threads):
    threads.resources["GPU"] = 1.0
    run(config(workers=WorkersSettings(2, gpus=0.5)))
    run(config("alone", 0))
    assert facts(config()) == facts(config("alone"))


def test_a_cluster_that_does_not_answer_is_one_sentence():
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'lcmis[cluster]'")
    for address in ("127.0.0.1:9", "ray://127.0.0.1:9", "nowhere.invalid:6379", "10.0.0.1:x"):
        with pytest.raises(ConfigError, match="no Ray cluster answers at"):
            ray._connect(WorkersSettings(ray=address))


def test_without_ray_the_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'lcmis\[cluster\]'"):
        ray._connect(WorkersSettings(2))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[workers]\ncount = -1", "workers.count is -1"),
        ("[workers]\ngpus = 1.5", "a fraction of one, such as 0.5, or a whole number"),
        ("[workers]\nmemory = -2", "workers.memory is -2"),
        ("[workers]\nmemory = nan", "workers.memory is nan"),
        ("[workers]\ngpus = inf", "workers.gpus is inf"),
        ("[workers]\ngpus = nan", "workers.gpus is nan"),
        ("[[workers.apart]]\nname = 'x'\nmemory = inf", "workers.apart.memory is inf"),
        ("[workers]\ncounts = 2", "did you mean 'count'"),
        ("[[workers.apart]]\nname = 'x'\ncount = 0", "workers.apart.count is 0"),
        ("[[workers.apart]]\nname = 'x'\ngpu = 1", "did you mean 'gpus'"),
        ("[workers]\ncount = 100000000000", "workers.count is 100000000000, but it is from 0 to"),
        ("[workers]\ngpus = inf", "gpus is inf, but it should be finite"),
        ("[workers]\ngpus = 1e400", "gpus is inf, but it should be finite"),
        ("[workers]\nmemory = nan", "memory is nan, but it should be finite"),
        ("[[workers.apart]]\nname = 'x'\ngpus = nan", "gpus is nan, but it should be finite"),
        ("[workers]\napart = 3", "apart is 3, but it is a list"),
        ("max_failure_share = 2", "max_failure_share is 2"),
    ],
)
def test_settings_of_workers_that_cannot_be_are_one_sentence(tmp_path, text, sentence):
    (tmp_path / "audit.toml").write_text(text)
    with pytest.raises(ConfigError, match=sentence):
        load_config(tmp_path / "audit.toml")


def test_services_are_asked_from_here(config, threads, monkeypatch):
    class Service(ToyModel):
        def flight(self, specs):
            return Landing(self, specs)

    class Landing:
        def __init__(self, model, specs):
            self.model, self.specs = model, specs

        def __iter__(self):
            from lcmis.plugins.protocols import Arrival

            for spec in self.specs:
                assert threading.current_thread() is threading.main_thread()
                yield [Arrival(spec, self.model.generate([spec])[0], 0.1)]

        def stop(self):
            return []

    load = registry.load

    def loaded(kind, name):
        return Service if (kind, name) == ("models", "toy") else load(kind, name)

    monkeypatch.setattr(registry, "load", loaded)
    run(config())
    run(config("alone", 0))
    assert facts(config()) == facts(config("alone"))
