"""Every family of text-to-image pipelines: drawn as diffusers draws it, and followed in what it is told."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from worlds import zoo

from lcmis.errors import ConfigError, RenderError
from lcmis.plugins.settings import ModelSettings
from lcmis.render import draw
from lcmis.render.diffusion import DiffusersModel
from lcmis.render.families import ASPECTS, WORKS, FamilyFacts, family_facts
from lcmis.types import RenderSpec, Stage

CUP, DOGS = "a red cup", "two dogs on a boat"
LONG = "a red cup of cold water on a wooden table " * 200
NO_LIMIT = "no limit"
TABLE = Path(__file__).parent.parent / "data" / "families.toml"
HEADER = """\
# What works for which family of diffusers' text-to-image pipelines, found by tests/test_families.py on tiny pipelines of
# the real classes and written by `make families`; `lcmis models --families` prints it. "yes", or what lcmis says instead.
"""


class Tried:
    """One family, and everything that was found of it; each thing is drawn once."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.family = zoo.FAMILIES[name]
        self.folder = folder if folder.exists() else zoo.save(name, folder)

    def open(self, **settings: Any) -> DiffusersModel:
        size = {"height": self.family.size, "width": self.family.size}
        usual: dict[str, Any] = {"num_inference_steps": self.family.steps, "batch_size": 1, **size}
        if self.family.guidance is not None:
            usual["guidance_scale"] = self.family.guidance
        return DiffusersModel(ModelSettings(str(self.folder), **usual | settings))

    @cached_property
    def model(self) -> DiffusersModel:
        return self.open()

    @cached_property
    def cup(self) -> np.ndarray:
        return one(self.model, self.model.spec((Stage(CUP),), 5))

    @cached_property
    def facts(self) -> dict[str, str]:
        """Aspect to :data:`WORKS`, or the sentence that refuses it."""
        pipeline = json.loads((self.folder / "model_index.json").read_text())["_class_name"]
        return {
            "pipeline": pipeline,
            **{aspect: self.said(getattr(self, aspect)) for aspect in ASPECTS[1:]},
        }

    def said(self, look: Callable[[], str]) -> str:
        try:
            return look()
        except (ConfigError, RenderError) as error:
            named = str(error).replace(self.model_id, "MODEL")
            return named.removeprefix("MODEL: ").removeprefix("MODEL ")

    @cached_property
    def model_id(self) -> str:
        try:
            return self.model.model_id
        except ConfigError as error:  # it cannot be opened at all
            return str(error).split(" ")[0].rstrip(":")

    def same(self) -> str:
        expected = self.family.plain_call(self.family.load(self.folder), CUP, 5)
        drawn = (expected * 255).round().astype(np.uint8)
        return WORKS if np.array_equal(self.cup, drawn) else "NOT: another picture"

    def size(self) -> str:
        side = self.family.size
        return WORKS if self.cup.shape == (side, side, 3) else f"NOT: {self.cup.shape}"

    def stages(self) -> str:
        told = self.model.spec((Stage(CUP, 0.99), Stage(DOGS)), 5)
        switched = self.model.spec((Stage(CUP, 0.5), Stage(DOGS)), 5)
        pictures = [one(self.model, spec) for spec in (told, switched)]
        dogs = one(self.model, self.model.spec((Stage(DOGS),), 5))
        if not np.array_equal(pictures[0], self.cup):
            return "NOT: the first prompt throughout is another picture than that prompt alone"
        acts = not any(np.array_equal(pictures[1], other) for other in (self.cup, dogs))
        return WORKS if acts else "NOT: a switch changes nothing"

    def guidance(self) -> str:
        other = self.open(guidance_scale=2.5)
        acts = not np.array_equal(one(other, other.spec((Stage(CUP),), 5)), self.cup)
        return WORKS if acts else "NOT: it changes nothing, without a word"

    def negative(self) -> str:
        other = self.open(negative_prompt="a glass of coke")
        acts = not np.array_equal(one(other, other.spec((Stage(CUP),), 5)), self.cup)
        return WORKS if acts else "NOT: it changes nothing, without a word"

    def batches(self) -> str:
        model = self.open(batch_size=2)
        specs = [model.spec((Stage(prompt),), seed) for prompt, seed in
                 ((CUP, 5), (DOGS, 7), (CUP, 6))]  # fmt: skip
        together = [np.asarray(picture) for picture in drawn(model, *specs)]
        again = self.open(batch_size=2)
        alone = [one(again, specs[1]), one(again, specs[0])]
        equal = np.array_equal(together[1], alone[0]) and np.array_equal(together[0], alone[1])
        return WORKS if equal else "NOT: a picture depends on its neighbours"

    def length(self) -> str:
        longest, refused = 1, len(LONG)
        if self.fits(refused):
            return NO_LIMIT
        while refused - longest > 1:
            middle = (longest + refused) // 2
            if self.fits(middle):
                longest = middle
            else:
                refused = middle
        read, other = LONG[: longest - 1] + "x", LONG[: longest - 1] + "o"
        pictures = [one(self.model, self.model.spec((Stage(text),), 5)) for text in (read, other)]
        acts = not np.array_equal(*pictures)
        return WORKS if acts else f"NOT: the last of {longest} letters changes nothing"

    def fits(self, letters: int) -> bool:
        try:
            self.model.spec((Stage(LONG[: letters - 1] + "x"),), 5)
        except RenderError as error:
            assert "the prompt 'a red cup" in str(error)
            return False
        return True


def drawn(model: DiffusersModel, *specs: RenderSpec) -> list[Any]:
    pictures = draw(model, specs)
    for picture in pictures:
        if isinstance(picture, RenderError):
            raise picture
    return pictures


def one(model: DiffusersModel, spec: RenderSpec) -> np.ndarray:
    return np.asarray(drawn(model, spec)[0])


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Tried]:
    root = tmp_path_factory.mktemp("zoo")
    families: dict[str, Tried] = {}

    def of(name: str) -> Tried:
        if name not in families:
            families.clear()  # one pipeline in memory at a time
            families[name] = Tried(name, root / name)
        return families[name]

    return of


FOUND: dict[str, dict[str, str]] = {}


@pytest.mark.parametrize("name", zoo.FAMILIES)
def test_a_family_is_drawn_as_diffusers_draws_it_and_follows_or_refuses_what_it_is_told(
    name: str, tried: Callable[[str], Tried]
) -> None:
    FOUND[name] = tried(name).facts
    assert not {aspect: said for aspect, said in FOUND[name].items() if said.startswith("NOT")}


def test_the_table_of_families_says_what_was_found(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--write-families"):
        facts = [FamilyFacts(family=name, **found) for name, found in FOUND.items()]
        TABLE.write_text(HEADER + "".join(map(as_toml, facts)), encoding="utf-8")
        family_facts.cache_clear()
    stands = {facts.family: dict(facts.document) for facts in family_facts()}
    assert {name: stands.get(name) for name in FOUND} == FOUND, "run `make families`"
    assert list(stands) == list(zoo.FAMILIES)


def as_toml(facts: FamilyFacts) -> str:
    lines = [f"{name} = {json.dumps(said, ensure_ascii=False)}" for name, said in
             facts.document.items()]  # fmt: skip
    return "\n".join(["", f'["{facts.family}"]', *lines, ""])
