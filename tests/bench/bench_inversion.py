"""From a picture of a pair to a prompt that draws the pair: every inversion, and a plain caption.

The world's own renderer paints each pair once, the methods find a prompt for that picture, and the
model draws the prompt on eight seeds that no search has used; the oracle says which of them show
both concepts. A pair counts as drawn where more than half of them do. A model that cannot draw a
pair by any words cannot be told it by an inversion, so the pair's own prompt stands beside the
methods as ``asked``, and a second table keeps to the pairs that are drawn by it: on teacup-narrow
that is the fair question, on teacup-broad both are nearly one.

``python tests/bench/bench_inversion.py --facts FILE --limit 24`` goes on where the file ends.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from PIL.Image import Image

from lcmis import judge
from lcmis.plugins.opening import open_inverter
from lcmis.plugins.protocols import TextModel, Tools, Writer
from lcmis.plugins.settings import CheckerSettings, ModelSettings
from lcmis.render import draw
from lcmis.render.diffusion import DiffusersModel
from lcmis.teacup import shipped
from lcmis.teacup.oracle import Oracle, load_oracle
from lcmis.teacup.phrasebook import Phrasebook
from lcmis.teacup.world import FAMILIES, prompt_of, render
from lcmis.text.asking import caption
from lcmis.types import FIRST_CERTIFICATE_SEED, FIRST_REPAIR_SEED, Rate, Stage

MODELS = {"teacup-broad": shipped.broad, "teacup-narrow": shipped.narrow}
WRITERS = {"teacup-broad": shipped.broad_writer, "teacup-narrow": shipped.narrow_writer}
METHODS = (
    "asked",
    "caption",
    "pez",
    "pez-denoiser",
    "ph2p",
    "interrogator",
    "editor",
    "editor, uncorrected",
    "editor, no caption",
)
SEEDS = range(FIRST_CERTIFICATE_SEED + 2**21, FIRST_CERTIFICATE_SEED + 2**21 + 8)
"""Nobody's but the oracle's."""


@dataclass(frozen=True, slots=True)
class Pair:
    """What a picture shows."""

    family: str
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class Fact:
    """What one method found for one pair's picture, and what became of it."""

    model: str
    method: str
    pair: Pair
    prompt: str
    right: int
    """Pictures of eight that show both concepts."""
    seconds: float
    """Of the search, on one thread of this machine, processor time."""
    pictures: int
    """Painted by the search."""

    @property
    def drawn(self) -> bool:
        """Whether more than half of the pictures are right."""
        return self.right > len(SEEDS) / 2


@dataclass(slots=True)
class Painter:
    """Paints for a search, and counts."""

    model: DiffusersModel
    painted: dict[tuple[str, int], Image | None] = field(default_factory=dict)

    def __call__(self, prompt: str, place: int) -> Image | None:
        if (prompt, place) not in self.painted:
            spec = self.model.spec((Stage(prompt),), FIRST_REPAIR_SEED + place)
            (picture,) = draw(self.model, [spec])
            self.painted[prompt, place] = picture if isinstance(picture, Image) else None
        return self.painted[prompt, place]


class Uncorrected:
    """A writer that does not look at its texts again."""

    def __init__(self, writer: Writer) -> None:
        self.writer_id, self.encodes_like = writer.writer_id, writer.encodes_like
        self.write = writer.write


class Bench:
    """One model with its tools."""

    def __init__(self, name: str, oracle: Oracle) -> None:
        self.name = name
        self._oracle = oracle
        settings = ModelSettings(name, device="cpu", dtype="bfloat16", batch_size=8)
        self._judged = MODELS[name](settings)
        self._painting = MODELS[name](
            ModelSettings(name, device="cpu", dtype="bfloat16", batch_size=1)
        )
        self._denoiser = self._painting.denoiser()
        self._encoder = shipped.clip(CheckerSettings("teacup-clip", device="cpu")).encoder()
        self._writer = WRITERS[name]()

    def fact(self, pair: Pair, method: str) -> Fact:
        """Search and judge."""
        picture = picture_of(pair)
        painter = Painter(self._painting)
        started = time.process_time()
        prompt = self._prompt(pair, method, picture, painter)
        seconds = time.process_time() - started
        right = self._right(pair, prompt)
        return Fact(self.name, method, pair, prompt, right, seconds, len(painter.painted))

    def _prompt(self, pair: Pair, method: str, picture: Image, painter: Painter) -> str:
        if method == "asked":
            return prompt_of(pair.family, pair.first, pair.second)
        if method == "caption":
            return caption(Phrasebook(), picture)
        captioned = method in ("editor", "editor, uncorrected", "interrogator")
        text_model: TextModel | None = Phrasebook() if captioned else None
        writer = Uncorrected(self._writer) if method == "editor, uncorrected" else self._writer
        tools = Tools(
            paint=painter,
            encoder=self._encoder,
            denoiser=self._denoiser,
            writer=writer,
            text_model=text_model,
        )
        inverter = open_inverter(method.partition(",")[0])
        return list(inverter.invert(picture, tools))[-1]

    def _right(self, pair: Pair, prompt: str) -> int:
        specs = [self._judged.spec((Stage(prompt),), seed) for seed in SEEDS]
        pictures = [one for one in draw(self._judged, specs) if isinstance(one, Image)]
        return sum(
            reading.shows(pair.first, pair.second) for reading in self._oracle.classify(pictures)
        )


def picture_of(pair: Pair) -> Image:
    """The same for a pair, whoever asks."""
    rng = random.Random(f"{pair.first} {pair.second}")
    return render(pair.family, pair.first, pair.second, rng)[0]


def all_pairs() -> list[Pair]:
    """In a shuffled order, so that any beginning of it is a sample."""
    pairs = [
        Pair(name, a.name, b.name)
        for name, family in FAMILIES.items()
        for a in family.first
        for b in family.second
    ]
    random.Random(0).shuffle(pairs)
    return pairs


def read_facts(file: Path) -> list[Fact]:
    """Those of earlier runs."""
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    found = [json.loads(line) for line in lines]
    return [Fact(**(one | {"pair": Pair(**one["pair"])})) for one in found]


def table(facts: Sequence[Fact], keep: Callable[[Pair], bool]) -> str:
    """A line for each method; every share with Wilson's 95 % interval."""
    lines = [
        f"{'method':<20} {'pairs drawn':>24} {'pictures right':>16} {'seconds':>8} {'painted':>8}"
    ]
    for method in METHODS:
        found = [fact for fact in facts if fact.method == method and keep(fact.pair)]
        if found:
            drawn = judge.rate(sum(fact.drawn for fact in found), len(found))
            right = sum(fact.right for fact in found) / (len(SEEDS) * len(found))
            seconds = sum(fact.seconds for fact in found) / len(found)
            painted = sum(fact.pictures for fact in found) / len(found)
            lines.append(
                f"{method:<20} {percent(drawn):>24} {100 * right:>14.0f} % {seconds:>8.1f} "
                f"{painted:>8.1f}"
            )
    return "\n".join(lines)


def percent(rate: Rate) -> str:
    """E.g. ``"42 [28-57] % of 24"``."""
    return f"{100 * rate.value:.0f} [{100 * rate.low:.0f}-{100 * rate.high:.0f}] % of {rate.total}"


def main() -> None:
    """Print two tables a model."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--facts", type=Path, default=Path("runs/bench_inversion.jsonl"))
    parser.add_argument("--limit", type=int, help="so many pairs, drawn by chance; all by default")
    parser.add_argument("--models", nargs="*", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=METHODS)
    asked = parser.parse_args()
    asked.facts.parent.mkdir(parents=True, exist_ok=True)
    oracle, pairs = load_oracle(), all_pairs()[: asked.limit]
    for model in asked.models:
        bench = Bench(model, oracle)
        known = {(fact.model, fact.method, fact.pair) for fact in read_facts(asked.facts)}
        for pair in pairs:
            for method in asked.methods:
                if (model, method, pair) not in known:
                    line = json.dumps(asdict(bench.fact(pair, method)))
                    with asked.facts.open("a", encoding="utf-8") as file:
                        print(line, file=file)
        facts = [one for one in read_facts(asked.facts) if one.model == model and one.pair in pairs]
        able = {one.pair for one in facts if one.method == "asked" and one.drawn}
        print(f"\n{model}, all pairs of the sample\n{table(facts, lambda pair: True)}")
        print(
            f"\n{model}, pairs that it draws by name\n{table(facts, able.__contains__)}", flush=True
        )


if __name__ == "__main__":
    main()
