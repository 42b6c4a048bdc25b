"""Engines that serve open models: pictures from seeds, many at once, at several addresses."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from worlds import drawing
from worlds.image_engine import Engine, pipeline_of, served, stripes
from worlds.toys import COLOURS, pair

from lcmis.audit.config import load_config
from lcmis.audit.replay import replay
from lcmis.audit.run import Audit
from lcmis.errors import ConfigError, Refusal, RenderError, ServiceClosed
from lcmis.plugins.optional import takes_negative_prompts
from lcmis.plugins.settings import (
    AuditSettings,
    CheckerSettings,
    HostedSettings,
    ModelSettings,
    StoppingSettings,
)
from lcmis.propose.catalogue import to_toml
from lcmis.render.hosted import HostedModel
from lcmis.render.seeded import distance, fault, likeness
from lcmis.store import Store
from lcmis.testing import ImageModelContract
from lcmis.text import endpoint
from lcmis.types import RenderSpec, Stage

tiny = drawing.tiny
NUMBERS = {"num_inference_steps": 2, "guidance_scale": 4.0, "height": 32, "width": 32}
CUP = (Stage("a tea cup of iced coke"),)


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "FIRST_WAIT_SECONDS", 0.01)


@pytest.fixture
def serve() -> Iterator[Callable[..., Engine]]:
    with contextlib.ExitStack() as stack:
        yield lambda **said: stack.enter_context(served(Engine(**said)))


def settings_of(*engines: Engine, **changes: Any) -> ModelSettings:
    own = {field.name for field in dataclasses.fields(HostedSettings)}
    hosted = HostedSettings(
        seeded=True,
        deadline_seconds=20.0,
        endpoints=tuple(engine.endpoint for engine in engines),
    )
    told = {name: changes.pop(name) for name in list(changes) if name in own}
    return ModelSettings(
        **{
            "name": engines[0].model,
            **NUMBERS,
            "hosted": dataclasses.replace(hosted, **told),
            **changes,
        }
    )


def model(*engines: Engine, **changes: Any) -> HostedModel:
    return HostedModel(settings_of(*engines, **changes))


def specs(one: HostedModel, count: int = 1, prompt: str = CUP[0].prompt) -> list[RenderSpec]:
    return [one.spec((Stage(prompt),), seed) for seed in range(count)]


def drawn_by(one: HostedModel, wanted: list[RenderSpec]) -> list[Image.Image]:
    pictures = one.generate(wanted)
    assert not [item for item in pictures if isinstance(item, RenderError)], pictures
    return pictures  # type: ignore[return-value]


def expected(spec: RenderSpec, **more: Any) -> Image.Image:
    """What an honest engine draws from a spec."""
    asked = {
        "prompt": spec.prompt,
        "negative_prompt": spec.negative_prompt or None,
        "seed": spec.seed,
        "num_inference_steps": spec.num_inference_steps,
        "scale": spec.guidance_scale,
        "width": spec.width,
        "height": spec.height,
    }
    return stripes({**asked, **more})


# ── what an engine is told ───────────────────────────────────────────────────────────────────────


def test_seed_steps_guidance_and_negative_prompt_are_told_and_recorded(
    serve: Callable[..., Engine],
) -> None:
    engine = serve()
    one = model(engine, negative_prompt="blurry")
    wanted = specs(one, 4)
    assert [picture.tobytes() for picture in drawn_by(one, wanted)] == [
        expected(spec).tobytes() for spec in wanted
    ]
    assert {
        "model": "org/painter",
        "prompt": "a tea cup of iced coke",
        "n": 1,
        "size": "32x32",
        "response_format": "b64_json",
        "seed": 3,
        "num_inference_steps": 2,
        "guidance_scale": 4.0,
        "negative_prompt": "blurry",
    } in engine.asked
    first = wanted[0]
    assert (first.num_inference_steps, first.guidance_scale) == (2, 4.0)
    assert (first.negative_prompt, first.profile) == ("blurry", "seeded service")
    assert one.supports_seeds
    assert not one.supports_stages


def test_an_engine_with_a_dialect_of_its_own_is_told_there(serve: Callable[..., Engine]) -> None:
    engine = serve(dialect="nvext")
    one = model(engine, dialect="nvext")
    wanted = specs(one, 3)
    assert drawn_by(one, wanted)[2].tobytes() == expected(wanted[2]).tobytes()
    assert all(
        set(asked["nvext"]) == {"seed", "num_inference_steps", "guidance_scale"}
        for asked in engine.asked
    )
    assert all("seed" not in asked for asked in engine.asked)


def test_a_model_that_is_known_is_told_its_own_numbers_under_the_name_it_wants(
    serve: Callable[..., Engine],
) -> None:
    engine = serve(model="Qwen/Qwen-Image", scale="true_cfg_scale")
    one = model(engine, num_inference_steps=None, guidance_scale=None)
    (spec,) = specs(one)
    assert (spec.num_inference_steps, spec.guidance_scale, spec.negative_prompt) == (50, 4.0, " ")
    drawn_by(one, [spec])
    assert "as Qwen-Image is run: num_inference_steps = 50, guidance_scale = 4" in one.notes[0]
    assert engine.asked[0]["true_cfg_scale"] == 4.0
    assert "guidance_scale" not in engine.asked[0]
    told = model(engine, guidance="guidance_scale")
    drawn_by(told, specs(told))
    assert engine.asked[-1]["guidance_scale"] == 4.0


def test_a_negative_prompt_of_one_picture_is_followed_where_there_is_guidance(
    serve: Callable[..., Engine],
) -> None:
    one = model(serve())
    assert takes_negative_prompts(one)
    spec = dataclasses.replace(specs(one)[0], negative_prompt="a glass")
    (drawn,) = drawn_by(one, [spec])
    assert drawn.tobytes() == expected(spec).tobytes()
    assert not takes_negative_prompts(model(serve(), guidance_scale=1.0))
    assert not takes_negative_prompts(
        model(serve(), seeded=False, num_inference_steps=None, guidance_scale=None)
    )


def test_a_seeded_picture_and_one_without_a_seed_never_share_a_key(
    serve: Callable[..., Engine],
) -> None:
    engine = serve()
    seeded = model(engine, num_inference_steps=1, guidance_scale=0.0)
    plain = model(engine, seeded=False, num_inference_steps=None, guidance_scale=None)
    assert specs(seeded)[0].key != specs(plain)[0].key
    assert not plain.supports_seeds


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_inference_steps": None}, "set num_inference_steps"),
        ({"guidance_scale": None}, "set guidance_scale"),
        ({"num_inference_steps": 0}, "cannot be run so"),
        ({"seeded": False}, "told so by seeded = true"),
        ({"in_flight": 0}, "in_flight is 0"),
        ({"scheduler": "DDIMScheduler"}, "scheduler cannot reach"),
        ({"dtype": "float16"}, "dtype cannot reach"),
        ({"endpoints": ("ftp://x",)}, "address"),
        ({"endpoints": ()}, "needs an address"),
        (
            {"seeded": False, "num_inference_steps": None, "guidance_scale": None}
            | {"dialect": "nvext"},
            "set seeded = true",
        ),
        ({"spend_limit": 3.0}, "set price too"),
    ],
)
def test_settings_that_an_engine_cannot_follow_are_one_sentence(
    changes: dict[str, Any], said: str, serve: Callable[..., Engine]
) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        model(serve(), **changes)
    assert "\n" not in str(caught.value)


# ── whether it heeds the seed ────────────────────────────────────────────────────────────────────


def test_the_first_picture_is_drawn_twice_and_beside_another_seed_before_any_counts(
    serve: Callable[..., Engine],
) -> None:
    engine = serve()
    one = model(engine, in_flight=1)
    drawn_by(one, specs(one, 4))
    assert [asked["seed"] for asked in engine.asked] == [0, 0, 1, 2, 3]
    assert "the same seed gives the same picture, bit for bit" in one.notes[0]
    drawn_by(one, specs(one, 2, "a mug of milk"))
    assert len(engine.asked) == 7, "it is looked at once"


def test_a_picture_alone_is_tested_with_a_seed_that_nobody_asked_for(
    serve: Callable[..., Engine],
) -> None:
    engine = serve()
    one = model(engine)
    (drawn,) = drawn_by(one, specs(one))
    assert drawn.tobytes() == expected(specs(one)[0]).tobytes()
    assert [asked["seed"] for asked in engine.asked] == [0, 0, 1]


LIES = {
    "constant": ({"constant"}, "draws the same picture from another seed"),
    "random": ({"random"}, "draws another picture from the same seed"),
    "size": ({"size"}, "sent a picture of 16x16 where 32x32 was asked for"),
    "count": ({"count"}, "sent 3 pictures where one was asked for"),
    "model": ({"model"}, "says that 'org/another' drew it"),
    "stale": ({"stale"}, "draws the same picture from another seed"),
    "black": ({"black"}, "draws the same picture from another seed"),
    "error": ({"error"}, "device-side assert"),
    "cut": ({"cut"}, "no connection"),
    "down": ({"down"}, "not initialized"),
    "locked": ({"locked"}, "does not accept the key"),
}


@pytest.mark.parametrize("name", LIES)
def test_an_engine_that_does_not_draw_what_it_is_told_is_left_before_a_picture_counts(
    name: str, serve: Callable[..., Engine]
) -> None:
    faults, said = LIES[name]
    engine = serve(faults=faults)
    one = model(engine, price=1.0, spend_limit=50.0)
    with pytest.raises(ServiceClosed, match=said) as caught:
        one.generate([*specs(one, 4), *specs(one, 4, "a mug of milk")])
    assert not [item for item in caught.value.drawn if isinstance(item, Image.Image)]
    assert "\n" not in str(caught.value)
    assert len(engine.asked) <= 6
    assert one.spent <= len(engine.asked) * (3 if name == "count" else 1)
    with pytest.raises(ServiceClosed):
        one.generate(specs(one, 4))


def test_an_engine_that_is_told_in_the_wrong_dialect_is_found_out(
    serve: Callable[..., Engine],
) -> None:
    one = model(serve(dialect="nvext"))
    with pytest.raises(ServiceClosed, match=r"another picture from the same seed.*look at dialect"):
        one.generate(specs(one, 4))


def test_a_server_that_is_not_exact_to_the_bit_is_taken_and_that_is_said(
    serve: Callable[..., Engine],
) -> None:
    one = model(serve(faults={"drifting"}))
    assert len(drawn_by(one, specs(one, 4))) == 4
    assert "nearly the same picture" in one.notes[0]
    assert "no picture can be drawn again to the bit" in one.notes[0]


def test_pictures_of_a_jpeg_engine_are_tested_the_same(serve: Callable[..., Engine]) -> None:
    one = model(serve(format="JPEG"))
    assert len(drawn_by(one, specs(one, 3))) == 3
    assert "bit for bit" in one.notes[0]


@pytest.mark.parametrize(
    ("own", "named"), [("org/painter", "org/painter"), ("/models/painter/", "org/Painter")]
)
def test_an_engine_that_says_its_models_name_with_another_owner_or_folder_is_believed(
    own: str, named: str, serve: Callable[..., Engine]
) -> None:
    engine = serve(model=named, names_its_model=True)
    one = model(engine, name=named)
    engine.model = named
    assert drawn_by(one, specs(one, 2))


def test_identifiers_that_an_engine_gives_twice_confuse_no_pictures(
    serve: Callable[..., Engine],
) -> None:
    one = model(serve(faults={"ids"}), in_flight=3)
    wanted = specs(one, 6)
    assert [picture.tobytes() for picture in drawn_by(one, wanted)] == [
        expected(spec).tobytes() for spec in wanted
    ]
    said = [json.loads(remark.reply)["id"] for remark in one.remarks()]
    assert set(said) == {"same"}


@pytest.mark.parametrize("name", ["size", "count", "model", "stale", "error", "cut"])
def test_what_goes_wrong_later_costs_one_picture_each_time(
    name: str, serve: Callable[..., Engine]
) -> None:
    faults, said = LIES[name]
    one = model(serve(faults=faults, after=3), in_flight=1)
    drawn = one.generate(specs(one, 4))
    failed = [item for item in drawn if isinstance(item, RenderError)]
    assert len(failed) == 2
    expected_words = "the very picture that it had sent" if name == "stale" else said
    assert all(expected_words in str(item) for item in failed)
    assert not any(isinstance(item, Refusal) for item in failed)


def test_an_engine_that_serves_another_model_is_not_asked_for_a_picture(
    serve: Callable[..., Engine],
) -> None:
    engine = serve(lists=["org/another", "org/third"])
    one = model(engine)
    with pytest.raises(ServiceClosed, match=r"serves org/another, org/third.*name the model as"):
        one.generate(specs(one, 3))
    assert engine.asked == []
    assert drawn_by(model(serve(lists=["org/another", "/models/Painter"])), specs(one, 2))
    assert drawn_by(model(serve(lists=[])), specs(one, 2))


def test_an_engine_that_takes_no_such_name_or_number_is_asked_once(
    serve: Callable[..., Engine],
) -> None:
    for changes, said in (
        ({"name": "org/other"}, "Model mismatch"),
        ({"num_inference_steps": 300}, "at most 200"),
    ):
        engine = serve()
        one = model(engine, **changes)
        with pytest.raises(ServiceClosed, match=said):
            one.generate(specs(one, 4))
        assert len(engine.asked) == 1


def shifted(picture: Image.Image, by: int, share: float = 1.0) -> Image.Image:
    values = np.asarray(picture).astype(int)
    rows = round(len(values) * share)
    values[:rows] = np.clip(values[:rows] + by, 0, 255)
    return Image.fromarray(values.astype(np.uint8))


def test_same_and_other_are_told_apart_from_both_sides() -> None:
    first = Image.new("RGB", (8, 8), (100, 100, 100))
    other = Image.new("RGB", (8, 8), (200, 200, 200))  # 100 apart
    assert fault(first, first, other) == ""
    assert fault(first, shifted(first, 10), other) == ""
    assert "another picture from the same seed" in fault(first, shifted(first, 11), other)
    assert "the same picture from another seed" in fault(first, first, first)
    assert "another picture from the same seed" in fault(first, first.resize((4, 4)), other)
    assert "bit for bit" in likeness(first, first)
    assert "and 3 at most" in likeness(first, shifted(first, 3))
    assert distance(first, shifted(first, 4, share=0.5)) == (2.0, 4)


# ── a real pipeline behind it ────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def painter(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Image.Image]:
    from worlds import tiny_pipelines

    return pipeline_of(tiny_pipelines.save("sd", tmp_path_factory.mktemp("engine") / "sd"))


def test_a_real_pipeline_that_is_served_draws_the_pictures_that_its_specs_say(
    serve: Callable[..., Engine], painter: Callable[..., Image.Image]
) -> None:
    engine = serve(draw=painter)
    one = model(engine, in_flight=3, negative_prompt="a glass")
    wanted = [*specs(one, 3), *specs(one, 3, "two dogs on a boat")]
    pictures = drawn_by(one, wanted)
    for spec, picture in zip(wanted, pictures, strict=True):
        alone = painter(
            {
                "prompt": spec.prompt,
                "negative_prompt": "a glass",
                "seed": spec.seed,
                "num_inference_steps": 2,
                "scale": 4.0,
                "width": 32,
                "height": 32,
            }
        )
        assert picture.tobytes() == alone.tobytes()
    assert len({picture.tobytes() for picture in pictures}) == 6
    assert "bit for bit" in one.notes[0]


def audited(folder: Path, settings: ModelSettings, prompts: int = 3, cap: int = 4) -> AuditSettings:
    pairs = [pair(*names) for names in itertools.combinations(list(COLOURS)[:4], 2)][:prompts]
    (folder / "pairs.toml").write_text(to_toml(pairs), "utf-8")
    return AuditSettings(
        models=(dataclasses.replace(settings, name=f"hosted:{settings.name}"),),
        checkers=(CheckerSettings("toy", "flatterer"),),
        pairs=(str(folder / "pairs.toml"),),
        stopping=StoppingSettings(rule="fixed", cap=cap),
    )


def test_a_served_pipeline_is_audited_gone_on_with_and_drawn_again(
    serve: Callable[..., Engine],
    painter: Callable[..., Image.Image],
    tmp_path: Path,
    toys: None,
) -> None:
    engine = serve(draw=painter)
    config = audited(tmp_path, settings_of(engine, in_flight=2), prompts=2)
    with Store(tmp_path / "audit", create=True) as store:
        result = Audit(config, store).run()
        assert (result.drawn, result.failures, len(engine.asked)) == (8, 0, 9)
        assert "bit for bit" in result.notes[0]
        assert Audit(config, store).run().drawn == 0
        assert len(engine.asked) == 9, "what is there is not asked for, nor tested"
        item = store.renders()[0]
        assert replay(store, item.spec.key, ()).same
        tests = [json.loads(one.schema).get("a test of its seeds") for _, one in store.exchanges()]
        assert tests.count(True) == 1


class TestSeededHostedModel(ImageModelContract):
    """The contract of image models, by an engine that heeds seeds."""

    too_long = None

    @pytest.fixture(autouse=True)
    def _engine(self, serve: Callable[..., Engine]) -> None:
        self.engine = serve()

    def make(self) -> HostedModel:
        return model(self.engine)

    def undrawable(self, model: Any) -> RenderSpec:
        self.engine.refuses = "a forbidden thing"
        return model.spec((Stage("a forbidden thing"),), 0)


# ── many at once ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("in_flight", [1, 3])
def test_as_many_requests_are_under_way_as_told_and_no_more(
    in_flight: int, serve: Callable[..., Engine]
) -> None:
    engine = serve(pause=0.03)
    one = model(engine, in_flight=in_flight)
    drawn_by(one, specs(one, 12))
    assert engine.most_under_way == in_flight
    assert one.batch_size == in_flight


def test_a_flight_keeps_asking_while_what_came_is_looked_at(serve: Callable[..., Engine]) -> None:
    engine = serve()
    one = model(engine, in_flight=2)
    flight = one.flight(specs(one, 12))
    looking = iter(flight)
    first = list(next(looking))
    assert first
    while len(engine.asked) < 13:  # 12 and a test, though nobody looks
        time.sleep(0.005)
    rest = [arrival for some in looking for arrival in some]
    assert len(first) + len(rest) == 12
    assert flight.stop() == []


def test_a_flight_that_is_stopped_gives_what_had_come_and_asks_no_more(
    serve: Callable[..., Engine],
) -> None:
    engine = serve(after=6, gate=threading.Event())
    one = model(engine, in_flight=1)
    flight = one.flight(specs(one, 12))
    while len(engine.asked) < 7:
        time.sleep(0.005)
    arrived = flight.stop()
    assert [arrival.spec.seed for arrival in arrived] == [0, 1, 2, 3, 4]
    engine.gate.set()  # type: ignore[union-attr]
    assert len(engine.asked) == 7


@pytest.mark.parametrize("limit", [3, 5, 8])
def test_no_more_is_spent_than_allowed_with_many_requests_under_way(
    limit: int, serve: Callable[..., Engine]
) -> None:
    engine = serve(pause=0.01)
    one = model(engine, in_flight=6, price=1.0, spend_limit=float(limit))
    with pytest.raises(ServiceClosed, match="raise spend_limit") as caught:
        one.generate(specs(one, 12))
    assert len(engine.asked) == one.spent == limit
    pictures = [item for item in caught.value.drawn if isinstance(item, Image.Image)]
    assert len(pictures) == limit - 1  # one was the test


# ── several addresses ────────────────────────────────────────────────────────────────────────────


def test_several_addresses_share_the_work_and_give_the_pictures_of_one(
    serve: Callable[..., Engine],
) -> None:
    engines = [serve(pause=0.01) for _ in range(3)]
    one = model(*engines, in_flight=2)
    wanted = specs(one, 18)
    assert [picture.tobytes() for picture in drawn_by(one, wanted)] == [
        expected(spec).tobytes() for spec in wanted
    ]
    assert all(len(engine.asked) >= 3 for engine in engines)
    assert sum(len(engine.asked) for engine in engines) == 18 + 1 + 2
    assert one.model_id == model(engines[0]).model_id, "the first address names it"
    hosts = {json.loads(remark.schema)["address"] for remark in one.remarks()}
    assert len(hosts) == 3


FAILING = ["down", "cut", "locked", "error", "size", "count", "model", "slow"]


@pytest.mark.parametrize("name", FAILING)
@pytest.mark.parametrize("after", [0, 4])
@pytest.mark.parametrize("place", [0, 1])
def test_an_address_that_fails_hands_its_work_to_the_others_and_that_is_said_once(
    name: str, after: int, place: int, serve: Callable[..., Engine]
) -> None:
    engines = [serve(), serve()]
    engines[place].faults, engines[place].after = {name}, after
    one = model(*engines, in_flight=2, deadline_seconds=0.6 if name == "slow" else 20.0)
    wanted = specs(one, 12)
    assert [picture.tobytes() for picture in drawn_by(one, wanted)] == [
        expected(spec).tobytes() for spec in wanted
    ]
    said = [note for note in one.notes if "the others do its work" in note]
    failed = len(engines[place].asked) > after
    assert len(said) == failed
    if failed:
        assert engines[place].endpoint.split("/")[2] in said[0]


@pytest.mark.parametrize("name", ["constant", "random", "stale"])
@pytest.mark.parametrize("place", [0, 1])
def test_an_address_that_does_not_heed_seeds_is_left_out(
    name: str, place: int, serve: Callable[..., Engine]
) -> None:
    engines = [serve(), serve()]
    engines[place].faults = {name}
    if name == "stale":
        engines[place].draw = lambda asked: stripes({**asked, "prompt": "always this"})
    one = model(*engines)
    wanted = specs(one, 6)
    assert [picture.tobytes() for picture in drawn_by(one, wanted)] == [
        expected(spec).tobytes() for spec in wanted
    ]
    assert len([note for note in one.notes if "the others do its work" in note]) == 1


def test_an_address_with_another_model_behind_it_is_left_out(serve: Callable[..., Engine]) -> None:
    honest = serve()
    other = serve(draw=lambda asked: stripes({**asked, "weights": "others"}))
    one = model(honest, other)
    wanted = specs(one, 6)
    assert [picture.tobytes() for picture in drawn_by(one, wanted)] == [
        expected(spec).tobytes() for spec in wanted
    ]
    assert len(other.asked) == 1
    assert any("than the first address" in note for note in one.notes)


def test_when_the_last_address_fails_nothing_more_is_asked_and_what_came_is_kept(
    serve: Callable[..., Engine],
) -> None:
    engines = [serve(faults={"locked"}, after=5), serve(faults={"locked"}, after=5)]
    one = model(*engines, in_flight=1)
    with pytest.raises(ServiceClosed, match="key") as caught:
        one.generate(specs(one, 30))
    pictures = [item for item in caught.value.drawn if isinstance(item, Image.Image)]
    assert len(pictures) == 10 - 2  # two were tests
    assert len(caught.value.drawn) == 30


def test_a_prompt_that_one_address_refuses_is_not_asked_of_the_others(
    serve: Callable[..., Engine],
) -> None:
    engines = [serve(), serve()]
    one = model(*engines)
    drawn_by(one, specs(one, 2))
    for engine in engines:
        engine.refuses = "something else"
    before = sum(len(engine.asked) for engine in engines)
    (refused,) = one.generate(specs(one, 1, "something else"))
    assert isinstance(refused, Refusal)
    assert sum(len(engine.asked) for engine in engines) == before + 1
    assert not [note for note in one.notes if "the others" in note]


# ── Ctrl-C, and other early ends ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("seeded", [True, False])
def test_pictures_that_had_come_are_kept_when_the_next_is_interrupted(
    seeded: bool, serve: Callable[..., Engine], tmp_path: Path, toys: None
) -> None:
    engine = serve(after=6, gate=threading.Event())
    told = {} if seeded else {"num_inference_steps": None, "guidance_scale": None}
    config = audited(tmp_path, settings_of(engine, seeded=seeded, in_flight=2, **told))
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        while len(engine.asked) < 8:
            time.sleep(0.005)
        time.sleep(0.05)
        signal.pthread_kill(main, signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with Store(tmp_path / "audit", create=True) as store:
        with pytest.raises(KeyboardInterrupt):
            Audit(config, store).run()
        assert len(store.renders()) == 6 - seeded  # one was the test
        assert len(store.exchanges()) == 6
        engine.gate.set()  # type: ignore[union-attr]
        result = Audit(config, store).run()
        assert result.drawn == 12 - (6 - seeded)


def test_ctrl_c_on_the_command_line_keeps_what_had_come(
    serve: Callable[..., Engine], tmp_path: Path
) -> None:
    engine = serve(after=7, gate=threading.Event(), model="painter")
    words = ["audit", "-m", "hosted:painter", "--service", engine.endpoint, "--seeded"]
    words += ["--in-flight", "2", "--steps", "2", "--guidance", "3", "--size", "32x32"]
    words += ["-p", "teacup", "--limit", "4", "-c", "teacup-judge", "--store", str(tmp_path / "a")]
    root = Path(__file__).parent.parent
    process = subprocess.Popen(
        [sys.executable, "-m", "lcmis", *words],
        env={**os.environ, "PYTHONPATH": str(root)},
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    while len(engine.asked) < 9 and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    with Store(tmp_path / "a", read_only=True) as store:
        assert len(store.renders()) == 6


def test_an_audit_that_ends_for_its_failures_keeps_the_pictures_that_had_come(
    serve: Callable[..., Engine], tmp_path: Path, toys: None
) -> None:
    from lcmis.errors import TooManyFailures

    engine = serve(faults={"size"}, after=7)
    config = dataclasses.replace(
        audited(tmp_path, settings_of(engine, in_flight=1)), max_failures=1
    )
    with Store(tmp_path / "audit", create=True) as store:
        with pytest.raises(TooManyFailures):
            Audit(config, store).run()
        assert len(store.renders()) == 6


# ── where it is set ──────────────────────────────────────────────────────────────────────────────


def test_a_file_says_all_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LCMIS_ENDPOINT", "http://elsewhere/v1")
    path = tmp_path / "audit.toml"
    path.write_text(
        """
        [[models]]
        name = "hosted:Qwen/Qwen-Image"
        num_inference_steps = 20
        [models.hosted]
        endpoints = ["http://a/v1", "http://b/v1"]
        seeded = true
        in_flight = 8
        dialect = "nvext"
        guidance = "true_cfg_scale"
        """
    )
    (entry,) = load_config(path).models
    assert entry.hosted is not None
    assert (entry.hosted.endpoint, entry.hosted.endpoints) == ("", ("http://a/v1", "http://b/v1"))
    assert (entry.hosted.seeded, entry.hosted.in_flight) == (True, 8)
    one = HostedModel(dataclasses.replace(entry, name="Qwen/Qwen-Image"))
    assert one.model_id == "hosted:Qwen/Qwen-Image@a"
    assert one.spec(CUP, 0).num_inference_steps == 20
    path.write_text(path.read_text().replace('"nvext"', '"french"'))
    with pytest.raises(ConfigError, match="dialect is 'french'"):
        load_config(path)


def test_flags_go_before_the_file_and_need_a_service(
    lcmis: Callable[..., tuple[int, str, str]], tmp_path: Path, serve: Callable[..., Engine]
) -> None:
    engine = serve(model="painter")
    path = tmp_path / "audit.toml"
    path.write_text(
        'pairs = ["teacup"]\nlimit = 1\n[[models]]\nname = "hosted:painter"\n'
        '[models.hosted]\nendpoint = "http://nowhere.invalid/v1"\n'
    )
    numbers = ("--steps", 2, "--guidance", 3, "--size", "32x32")
    asked = ("plan", path, "--service", engine.endpoint, "--seeded", *numbers, "--json")
    code, out, errors = lcmis(*asked)
    assert code == 0, errors
    assert engine.endpoint.split("/")[2] in json.loads(out)[0]["model"]
    assert engine.asked == [], "a plan asks nothing"
    code, _, errors = lcmis("plan", "-m", "teacup-narrow", "--in-flight", 3)
    assert code == 2
    assert "no model is one" in errors
    code, _, errors = lcmis("plan", path, *numbers)
    assert code == 2
    assert "seeded = true" in errors
