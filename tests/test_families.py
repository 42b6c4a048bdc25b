"""Every family of text-to-image pipelines: drawn as diffusers draws it, told nothing in vain."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from worlds import zoo

from lcmis.cli.terminal.families import SHOWN, short
from lcmis.errors import ConfigError, RenderError
from lcmis.plugins.settings import ModelSettings
from lcmis.render import draw
from lcmis.render.diffusion import DiffusersModel
from lcmis.render.families import ASPECTS, WORKS, FamilyFacts, family_facts
from lcmis.types import RenderSpec, Stage

CUP, DOGS = "a red cup", "two dogs on a boat"
LONG = "a red cup of cold water on a wooden table " * 98
NO_LIMIT = "no limit"
ROOT = Path(__file__).parent.parent
TABLE = ROOT / "data" / "families.toml"
PAGE = ROOT / "docs" / "models.md"
MARKS = ("<!-- families -->\n", "<!-- end of families -->\n")
HEADER = """\
# What works for which family of diffusers' text-to-image pipelines: "yes", or what lcmis says
# instead. "seconds" are those of one picture by lcmis and by diffusers alone, and their ratio.
# Found by tests/test_families.py on tiny pipelines of the real classes, and written by
# `make families`; `lcmis models --families` prints it.
"""


THOROUGHLY = (
    "sd1",  # prompts of one length, which share a batch; guidance by a doubled batch
    "flux-dev",  # guidance that the denoiser reads
    "flux2-klein-distilled",  # no guidance at all
    "pixart-sigma",  # nothing is written of it: all is read and heard
    "qwen-image",  # guidance by two calls, and only beside a negative prompt
    "wuerstchen",  # two networks, one picture at a time
    "kandinsky2.2",  # a pipeline of pipelines, with a prior
)
"""One family of each kind of engine, tried in all that is told of it by every run of the tests. Of
the others that the picture is diffusers' own, and that what the table refuses is refused: the rest
is tried by ``make every-family`` and by ``make families``."""
DRAWN = ("same", "size")


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
    def plain(self) -> Any:
        return self.family.load(self.folder)

    @cached_property
    def cup(self) -> np.ndarray:
        return one(self.model, self.model.spec((Stage(CUP),), 5))

    def facts(self, aspects: Sequence[str]) -> dict[str, str]:
        """Aspect to :data:`WORKS`, or the sentence that refuses it."""
        pipeline = json.loads((self.folder / "model_index.json").read_text())["_class_name"]
        return {
            "pipeline": pipeline,
            **{aspect: self.said(getattr(self, aspect)) for aspect in aspects},
        }

    def seconds(self) -> str:
        """Of one picture of a new prompt: ours, diffusers' own, and how many times as long."""
        ours, plain = [], []
        for number in range(5):
            prompt = f"{CUP} and {number} spoons"
            ours.append(taken(lambda: one(self.model, self.model.spec((Stage(prompt),), 5))))  # noqa: B023 - it is run now
            plain.append(taken(lambda: self.family.plain_call(self.plain, prompt, 5)))  # noqa: B023
        first, second = statistics.median(ours), statistics.median(plain)
        return f"{first:.3g} / {second:.3g} = {first / second:.2f}"

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
        expected = self.family.plain_call(self.plain, CUP, 5)
        drawn = Image.fromarray((expected * 255).round().astype(np.uint8))
        if drawn.mode == "RGBA":
            drawn = Image.alpha_composite(Image.new("RGBA", drawn.size, "white"), drawn)
        equal = np.array_equal(self.cup, np.asarray(drawn.convert("RGB")))
        return WORKS if equal else "NOT: another picture"

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
        other = self.open(negative_prompt="a glass")
        acts = not np.array_equal(one(other, other.spec((Stage(CUP),), 5)), self.cup)
        return WORKS if acts else "NOT: it changes nothing, without a word"

    def batches(self) -> str:
        model, again = self.open(batch_size=2), self.open(batch_size=2)  # or refused
        specs = [model.spec((Stage(prompt),), seed) for prompt, seed in
                 ((CUP, 5), (DOGS, 7), (CUP, 6))]  # fmt: skip
        together = [np.asarray(picture) for picture in drawn(model, *specs)]
        alone = [one(again, specs[1]), one(again, specs[0])]
        equal = np.array_equal(together[1], alone[0]) and np.array_equal(together[0], alone[1])
        return WORKS if equal else "NOT: a picture depends on its neighbours"

    def length(self) -> str:
        longest, refused = 1, 128
        while self.fits(refused):
            longest, refused = refused, 2 * refused
            if refused > len(LONG):
                return NO_LIMIT
        while refused - longest > 1:
            middle = (longest + refused) // 2
            if self.fits(middle):
                longest = middle
            else:
                refused = middle
        one(self.model, self.model.spec((Stage(LONG[: longest - 1] + "x"),), 5))
        if not self.reads_last(longest):
            return f"NOT: the last of {longest} letters changes nothing"
        said = self.refusal(
            refused
        )  # it may be the template that is cut, or diffusers that refuses
        is_told_otherwise = (
            self.family.is_summed_up or "puts around it" in said or "is more than" in said
        )
        if not is_told_otherwise and self.reads_last(refused):
            return f"NOT: {refused} letters are read and refused"
        return WORKS

    def fits(self, letters: int) -> bool:
        return not self.refusal(letters)

    def refusal(self, letters: int) -> str:
        try:
            self.model.spec((Stage(LONG[: letters - 1] + "x"),), 5)
        except RenderError as error:
            return str(error)
        return ""

    def reads_last(self, letters: int) -> bool:
        """Whether plain diffusers draws by the last letter too."""
        pictures = [
            self.family.plain_call(self.plain, LONG[: letters - 1] + last, 5) for last in "xo"
        ]
        return not np.array_equal(*pictures)


def taken(draw: Callable[[], object]) -> float:
    """Seconds of this process's own, which other programs do not lengthen."""
    started = time.process_time()
    draw()
    return time.process_time() - started


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
            # a folder's name may say what model is in it: these say nothing
            families[name] = Tried(name, root / f"tiny{list(zoo.FAMILIES).index(name)}")
        return families[name]

    return of


@pytest.mark.parametrize("name", zoo.FAMILIES)
def test_a_family_is_drawn_as_diffusers_draws_it_and_follows_or_refuses_what_it_is_told(
    name: str, tried: Callable[[str], Tried], request: pytest.FixtureRequest
) -> None:
    writes = request.config.getoption("--write-families")
    if zoo.FAMILIES[name].is_slow and not writes:
        pytest.skip("takes many seconds: `make families` tries it")
    stands = {facts.family: facts.document for facts in family_facts()}.get(name, {})
    all_of_it = writes or name in THOROUGHLY or request.config.getoption("--every-family")
    refused = [aspect for aspect in ASPECTS[1:] if stands.get(aspect) != WORKS]
    aspects = ASPECTS[1:] if all_of_it else dict.fromkeys([*DRAWN, *refused])
    found = tried(name).facts(list(aspects))
    assert not {aspect: said for aspect, said in found.items() if said.startswith("NOT")}
    if writes:  # row by row: a run that is ended keeps what it has found
        write(name, found | {"seconds": tried(name).seconds()})
    else:
        assert {aspect: stands.get(aspect) for aspect in found} == found, "run `make families`"


def write(name: str, found: dict[str, str]) -> None:
    """Put one family's row into the table, and the table into the page."""
    family_facts.cache_clear()
    stands = {facts.family: dict(facts.document) for facts in family_facts()} | {name: found}
    facts = [FamilyFacts(family=name, **stands[name]) for name in zoo.FAMILIES if name in stands]
    TABLE.write_text(HEADER + "".join(map(as_toml, facts)), encoding="utf-8")
    family_facts.cache_clear()
    before, after = page_around()
    PAGE.write_text(before + as_markdown(facts) + after, encoding="utf-8")


def test_the_table_of_families_is_whole() -> None:
    stands = {facts.family: dict(facts.document) for facts in family_facts()}
    assert list(stands) == list(zoo.FAMILIES)
    for said in filter(itemgetter("seconds"), stands.values()):
        first, second, ratio = (float(one) for one in said["seconds"].replace("=", "/").split("/"))
        assert ratio == pytest.approx(first / second, rel=0.02)


def test_the_page_of_models_shows_the_table() -> None:
    before, after = page_around()
    assert PAGE.read_text(encoding="utf-8") == before + as_markdown(family_facts()) + after


def page_around() -> tuple[str, str]:
    text = PAGE.read_text(encoding="utf-8")
    return text[: text.index(MARKS[0]) + len(MARKS[0])], text[text.index(MARKS[1]) :]


def as_markdown(families: Sequence[FamilyFacts]) -> str:
    names = ("family", *SHOWN, "seconds")
    rows = [
        [facts.family, *(short(getattr(facts, name)) for name in SHOWN), facts.seconds]
        for facts in families
    ]
    lines = [names, ["---"] * len(names), *rows]
    return "\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines) + "\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["models", "--families"], "flux-dev"),
        (["models", "FluxPipeline", "--families"], "flux-schnell"),
        (["models", "--families", "--json"], '"negative"'),
    ],
)
def test_the_command_prints_the_table_and_one_family_with_its_reasons(
    words: list[str], said: str, lcmis: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, _ = lcmis(*words)
    assert code == 0
    assert said in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["models", "sdlx", "--families"], "try sdxl"),
        (["models", "--families", "--known"], "leave one out"),
        (["models", "sdxl"], "needs --known or --families"),
    ],
)
def test_a_family_that_is_none_gets_a_sentence(
    words: list[str], said: str, lcmis: Callable[..., tuple[int, str, str]]
) -> None:
    code, _, err = lcmis(*words)
    assert code == 2
    assert said in err


def as_toml(facts: FamilyFacts) -> str:
    lines = [f"{name} = {json.dumps(said, ensure_ascii=False)}" for name, said in
             facts.document.items()]  # fmt: skip
    return "\n".join(["", f'["{facts.family}"]', *lines, ""])
