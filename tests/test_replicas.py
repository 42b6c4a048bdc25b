"""Batches drawn side by side on a CPU: the same bits, counted once, ended together."""

from __future__ import annotations

import _thread
import dataclasses
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from PIL import Image
from worlds import drawing
from worlds.drawing import CUP, DOGS, settings_of
from worlds.toys import pair

from lcmis.audit.replay import replay
from lcmis.errors import ConfigError, RenderError
from lcmis.machine.device import compute_with, num_cores
from lcmis.plugins.opening import open_model as opened
from lcmis.plugins.optional import at_once_of, threads_of
from lcmis.plugins.protocols import ImageModel, Work
from lcmis.plugins.settings import (
    AuditSettings,
    CheckerSettings,
    HostedSettings,
    ModelSettings,
    WorkersSettings,
)
from lcmis.render import draw
from lcmis.render.calling import Halted
from lcmis.render.diffusion import DiffusersModel
from lcmis.render.hosted import HostedModel
from lcmis.render.replicas import MOST_REPLICAS, Replicas, computing_with, with_same_weights
from lcmis.render.trunks import Trunks
from lcmis.store import Drawn, Store, picture_hash
from lcmis.types import Answer, Beside, Question, QuestionKind, Render, RenderSpec, Stage
from lcmis.workers import as_hired
from lcmis.workers.here import Here
from lcmis.workers.orders import DrawOrder, Wish
from lcmis.workers.studio import Studio

tiny = drawing.tiny


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    with computing_with(torch.get_num_threads()):
        yield


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """A machine of so many."""
    return lambda count: monkeypatch.setenv("OMP_NUM_THREADS", str(count))


@pytest.fixture
def two(tiny: Callable[[str], Path], cores: Callable[[int], None]) -> Callable[..., DiffusersModel]:
    """A model that draws two batches of two side by side."""
    cores(2)

    def model(family: str = "sd", **changes: Any) -> DiffusersModel:
        given = {"threads": 1, "batch_size": 2} | changes
        return DiffusersModel(settings_of(tiny(family), **given))

    return model


def bits(model: ImageModel, specs: Sequence[RenderSpec]) -> dict[str, bytes]:
    drawn = draw(model, specs)
    assert not [one for one in drawn if isinstance(one, RenderError)]
    return {spec.key: np.asarray(one).tobytes() for spec, one in zip(specs, drawn, strict=True)}


def some(model: ImageModel, seeds: int = 4) -> list[RenderSpec]:
    branch = (Stage("a red cup", 0.5), *DOGS)
    return [model.spec(stages, seed) for seed in range(seeds) for stages in (CUP, DOGS, branch)]


def watched(model: DiffusersModel) -> list[str]:
    """The names of the threads in which batches are drawn, from now on."""
    names: list[str] = []
    drawing_one = type(model)._draw_batch

    class Watched(type(model)):  # type: ignore[misc]
        def _draw_batch(self, rows: list[RenderSpec | None]) -> Any:
            names.append(threading.current_thread().name)
            assert torch.get_num_threads() == self.threads
            return drawing_one(self, rows)

    model.__class__ = Watched
    return names


# ── what is drawn ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("family", ["sd", "sdxl", "flux"])
def test_pictures_drawn_side_by_side_have_the_bits_of_those_drawn_one_by_one(
    family: str, two: Callable[..., DiffusersModel]
) -> None:
    beside, alone = two(family), two(family)
    specs, names = some(beside), watched(beside)
    if family != "flux":
        specs[1] = dataclasses.replace(specs[1], negative_prompt="a dog")
    together = bits(beside, specs)
    assert together == {key: one for spec in specs for key, one in bits(alone, [spec]).items()}
    assert len(set(together.values())) == len(specs)
    assert {name.rpartition("_")[0] for name in names} == {"lcmis-painter"}
    assert len(set(names)) == 2


def test_manners_are_drawn_side_by_side_too(two: Callable[..., DiffusersModel]) -> None:
    beside, alone = two(), two()
    excited = Stage("a red cup", excited=("cup",))
    added = Stage("a red cup", beside=(Beside("two dogs on a boat", 0.5),))
    specs = [beside.spec((stage,), seed) for stage in (excited, added) for seed in range(4)]
    drawn = bits(beside, specs)
    assert drawn == {key: one for spec in specs for key, one in bits(alone, [spec]).items()}


def test_a_pipeline_of_the_same_weights_takes_no_more_memory_for_them(
    two: Callable[..., DiffusersModel],
) -> None:
    pipeline = two()._pipeline
    other = with_same_weights(pipeline)
    assert other.unet is not pipeline.unet
    assert other.scheduler is not pipeline.scheduler
    for part in ("unet", "vae", "text_encoder"):
        mine, its = (dict(getattr(one, part).named_parameters()) for one in (pipeline, other))
        assert {name: one.data_ptr() for name, one in mine.items()} == {
            name: one.data_ptr() for name, one in its.items()
        }


def test_what_is_drawn_side_by_side_is_counted_as_if_it_were_not(
    two: Callable[..., DiffusersModel],
) -> None:
    beside, alone = two(), two()
    specs = [beside.spec(CUP, seed) for seed in range(8)]
    bits(beside, specs)
    for start in range(0, 8, 2):
        bits(alone, specs[start : start + 2])
    assert beside.work == alone.work != Work()
    bits(beside, specs)
    assert beside.work == alone.work + alone.work


def test_beginnings_are_shared_by_all_that_draw(two: Callable[..., DiffusersModel]) -> None:
    model = two()
    trunk = [model.spec((Stage("a red cup", 0.5), *CUP), seed) for seed in range(4)]
    bits(model, trunk)
    before = model.work
    bits(model, [model.spec((Stage("a red cup", 0.5), *DOGS), seed) for seed in range(4)])
    assert (model.work - before).skipped == 4 * 2  # half of four steps, whoever drew the others
    model.trunks = Trunks()
    bits(model, [model.spec((Stage("a red cup", 0.5), *DOGS), seed) for seed in range(4)])
    assert (model.work - before).skipped == 4 * 2  # forgotten by all of them


# ── how many, and what it is called ──────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("there", "threads", "at_once"),
    [(1, 1, 1), (2, 1, 2), (2, 2, 1), (3, 2, 1), (8, 2, 4), (64, 1, MOST_REPLICAS), (2, 4, 1)],
)
def test_as_many_are_drawn_side_by_side_as_there_are_cores_for(
    there: int,
    threads: int,
    at_once: int,
    tiny: Callable[[str], Path],
    cores: Callable[[int], None],
) -> None:
    cores(there)
    model = DiffusersModel(settings_of(tiny("sd"), threads=threads, batch_size=4))
    assert at_once_of(model) == 4 * at_once
    assert model.profile == "cpu-float32-b4" + (f"-t{threads}" if threads > 1 else "")
    assert threads_of(model) == threads


def test_where_nothing_is_said_all_cores_compute_one_batch_and_the_profile_says_so(
    tiny: Callable[[str], Path], cores: Callable[[int], None]
) -> None:
    cores(6)
    model = DiffusersModel(settings_of(tiny("sd"), batch_size=4))
    assert (model.threads, at_once_of(model), model.profile) == (6, 4, "cpu-float32-b4-t6")


def test_what_shares_more_than_weights_is_drawn_alone(
    two: Callable[..., DiffusersModel],
) -> None:
    assert at_once_of(two("flux", cache="first-block:0.1")) == 2
    assert at_once_of(two("sd", compiled="whole")) == 2


def test_the_thread_that_draws_computes_as_it_did_before(
    two: Callable[..., DiffusersModel],
) -> None:
    compute_with(3)
    model = two()
    names = watched(model)
    bits(model, some(model))
    bits(model, [model.spec(CUP, 0)])
    assert "MainThread" in names
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize(("said", "count"), [("3", 3), (" 2,4 ", 2)])
def test_cores_are_as_many_as_openmp_is_told(
    said: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert num_cores() == count


@pytest.mark.parametrize("said", ["", "0", "many"])
def test_cores_are_this_process_s_own_where_openmp_is_told_nothing_of_use(
    said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    mine = psutil.Process().cpu_affinity()
    assert num_cores() == min(len(mine), psutil.cpu_count(logical=False) or len(mine))


@pytest.mark.parametrize("said", [0, -1])
def test_no_threads_at_all_are_refused(said: int, tiny: Callable[[str], Path]) -> None:
    with pytest.raises(ConfigError, match=f"threads = {said}: write 1 or more"):
        DiffusersModel(settings_of(tiny("sd"), threads=said))


def test_threads_are_refused_where_they_compute_nothing(
    tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lcmis.machine.device._has_mps", lambda: True)
    with pytest.raises(ConfigError, match="threads = 2 acts on a CPU only, and this runs on mps"):
        DiffusersModel(settings_of(tiny("sd"), threads=2, device="mps"))
    service = HostedSettings(endpoint="http://127.0.0.1:1")
    with pytest.raises(ConfigError, match="threads"):
        HostedModel(ModelSettings("any", threads=2, hosted=service))


# ── workers ──────────────────────────────────────────────────────────────────────────────────────


def test_workers_elsewhere_compute_with_one_core_each_unless_more_are_asked_for(
    tiny: Callable[[str], Path], cores: Callable[[int], None]
) -> None:
    cores(4)
    usual, said = settings_of(tiny("sd")), settings_of(tiny("sdxl"), threads=2)
    config = AuditSettings(models=(usual, said), checkers=(CheckerSettings("clip"),), pairs=())
    assert as_hired(config) is config
    hired = as_hired(dataclasses.replace(config, workers=WorkersSettings(count=2)))
    assert [one.threads for one in hired.models] == [1, 2]
    assert [opened(one).profile for one in hired.models] == [
        "cpu-float32-b3",
        "cpu-float32-b3-t2",
    ]


def test_a_picture_is_drawn_again_with_the_threads_it_was_drawn_with(
    tiny: Callable[[str], Path], cores: Callable[[int], None], tmp_path: Path
) -> None:
    cores(2)
    settings = settings_of(tiny("sd"))
    spec = opened(settings).spec(CUP, 3)
    assert spec.profile == "cpu-float32-b3-t2"
    cup = pair("cup", "coke")
    with Store(tmp_path / "store", create=True) as store:
        (picture,) = draw(opened(settings), [spec])
        assert not isinstance(picture, RenderError)
        render = Render(spec.key, picture_hash(picture), 1.0, "cpu")
        store.add_pairs([cup])
        store.add_renders([Drawn(cup.key, spec, render, picture)])
        cores(1)
        assert replay(store, spec.key, [settings]).same


# ── ends ─────────────────────────────────────────────────────────────────────────────────────────


def test_where_one_fails_the_others_are_told_and_the_next_batches_are_drawn() -> None:
    halt, begun, ended = threading.Event(), threading.Event(), []

    def fails(batch: str) -> str:
        begun.wait()
        if batch == "bad":
            raise ValueError("mine")
        return batch

    def waits(batch: str) -> str:
        begun.set()
        if batch == "long":
            halt.wait()
            ended.append(batch)
            raise Halted
        return batch

    replicas = Replicas([fails, waits], 1, halt)
    with pytest.raises(ValueError, match="mine"):
        replicas.draw(["bad", "long", "never begun"])
    assert ended == ["long"]
    assert not halt.is_set()
    assert replicas.draw(["one", "two", "three"]) == ["one", "two", "three"]


def test_ctrl_c_ends_all_that_are_drawn_before_their_next_step(
    two: Callable[..., DiffusersModel],
) -> None:
    model = two(num_inference_steps=50)
    specs = [model.spec(CUP, seed) for seed in range(8)]
    steps: list[int] = []
    (twin,) = model._twins

    def interrupt(*_: object) -> None:
        if not steps:
            _thread.interrupt_main()
        steps.append(1)

    hooks = [one._pipeline.unet.register_forward_pre_hook(interrupt) for one in (model, twin)]
    with pytest.raises(KeyboardInterrupt):
        draw(model, specs)
    assert 0 < len(steps) < 4 * 50
    for hook in hooks:
        hook.remove()
    quick = two()
    again = [quick.spec(CUP, seed) for seed in range(4)]
    assert len(bits(quick, again)) == 4
    assert len(bits(model, specs[:2])) == 2


# ── who checks beside it ─────────────────────────────────────────────────────────────────────────


class Counted:
    """A checker that says with how many threads it computes."""

    checker_id = "counted@1"

    def __init__(self) -> None:
        self.threads: list[int] = []

    def takes(self, question: Question) -> bool:
        return True

    def score(
        self, images: Sequence[Image.Image], questions: Sequence[Question]
    ) -> list[tuple[Answer, ...]]:
        self.threads.append(torch.get_num_threads())
        return [(Answer(1.0),) for _ in images]


def test_checkers_have_all_cores_until_a_cpu_draws_beside_them(
    tiny: Callable[[str], Path], cores: Callable[[int], None], tmp_path: Path
) -> None:
    cores(2)
    model, checker = DiffusersModel(settings_of(tiny("sd"))), Counted()
    cup, asked = pair("cup", "coke"), Question(QuestionKind.A_PRESENT, "cup")
    with Store(tmp_path / "store", create=True) as store:
        store.add_pairs([cup])
        first = Wish(cup, model, (model.spec(CUP, 0),))
        Studio(store, 1).make([first])
        seen = dataclasses.replace(first, asked=((checker, (asked,)),))
        more = dataclasses.replace(seen, specs=(model.spec(CUP, 1),))
        Studio(store, 1).make([seen])
        Studio(store, 1).make([more])
    assert checker.threads == [2, 1]


def test_controls_are_asked_about_while_the_last_few_pictures_are_drawn(
    two: Callable[..., DiffusersModel], tmp_path: Path
) -> None:
    crew, model = Here(Store(tmp_path / "store", create=True)), two()
    crew.know({model.model_id: model}, {})
    whole = tuple(model.spec(CUP, seed) for seed in range(4))
    assert crew.runs_low
    crew.give(DrawOrder(model.model_id, whole))
    assert not crew.runs_low
    crew.reports()
    crew.give(DrawOrder(model.model_id, whole[:3]))
    assert crew.runs_low
    assert crew.wanted({model.model_id: 3}) is None
    crew.reports()
    crew.stop()
