"""A world of two coloured halves: plugs with known answers, for tests of the harness alone."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from PIL import Image

from lcmis.audit.run import Audit
from lcmis.errors import CheckError, Refusal, RenderError, TextModelError
from lcmis.plugins import registry
from lcmis.plugins.protocols import Case, Evaluate
from lcmis.plugins.settings import AuditSettings, CheckerSettings, ModelSettings, TextModelSettings
from lcmis.propose.catalogue import to_toml
from lcmis.repair.evaluate import SEARCH_SEEDS
from lcmis.repair.search import Repair, RepairResult, RepairSettings
from lcmis.store import Store
from lcmis.types import (
    FIRST_CERTIFICATE_SEED,
    NONE_OF_THESE,
    Answer,
    Candidate,
    Concept,
    ConceptPair,
    Intruder,
    Question,
    QuestionKind,
    RenderSpec,
    Side,
    Stage,
    StageManner,
    Trial,
)

COLOURS = {
    "rubine": (200, 0, 60),
    "azure": (0, 120, 220),
    "lime": (140, 220, 0),
    "amber": (250, 180, 0),
    "void": (10, 10, 10),
}


def pair(a: str, b: str, intruder: str = "void", pattern: str = "halves") -> ConceptPair:
    suspect = Concept(intruder, "nothing but darkness")
    return ConceptPair(
        Concept(a, f"the look of {a[::-1]}"),
        Concept(b, f"the look of {b[::-1]}"),
        f"{a} beside {b}",
        intruders=(
            Intruder(suspect, Side.A, f"{intruder} beside {b}"),
            Intruder(suspect, Side.B, f"{a} beside {intruder}"),
        ),
        pattern=pattern,
        source="toys",
        licence="Apache-2.0",
    )


def understood(words: str) -> str:
    """The colour that is named or described; void if none is."""
    return next((name for name in COLOURS if name in words or name[::-1] in words), "void")


class ToyModel:
    """Paints the left half for A and the right for B; ``settings.scheduler`` says how it errs.

    ``right`` never errs, ``no a`` and ``no b`` and ``neither`` paint void instead, ``coin`` is
    wrong for half of the seeds, ``refuses``, ``fails`` and ``fails once`` give no picture. ``shy``
    paints A only where A comes first alone, and loses B where it is alone for too long; ``deaf``
    knows A by its looks and not by its name. Two steps are too few for B.
    """

    supports_seeds = True
    drawn: ClassVar[list[str]] = []
    """Keys of all specs drawn by any instance, in order; tests clear it."""
    interrupt_at: ClassVar[int | None] = None
    """Ctrl-C comes at this many drawn pictures."""

    def __init__(self, settings: ModelSettings) -> None:
        self.settings = settings
        self.batch_size = settings.batch_size or 3
        self.supports_stages = settings.scheduler == "shy"
        self.model_id = f"{settings.name}@{(settings.scheduler or 'right').replace(' ', '-')}"

    def spec(self, stages: tuple[Stage, ...], seed: int) -> RenderSpec:
        if len(stages[0].prompt) > 60:
            raise RenderError(f"{stages[0].prompt[:20]!r}… has {len(stages[0].prompt)} letters")
        if len(stages) > 1 and not self.supports_stages:
            raise RenderError(f"{self.model_id} cannot switch prompts")
        steps = self.settings.num_inference_steps or (12 if self.supports_stages else 1)
        return RenderSpec(
            self.model_id, stages, seed, steps, 1.0, "toy", 8, 16, f"cpu-toy-b{self.batch_size}"
        )

    def generate(self, specs: Sequence[RenderSpec]) -> list[Image.Image | RenderError]:
        if self.interrupt_at is not None and len(self.drawn) + len(specs) > self.interrupt_at:
            raise KeyboardInterrupt
        once = self.settings.scheduler == "fails once" and not self.drawn
        self.drawn.extend(spec.key for spec in specs)
        return [
            RenderError("the first batch is lost") if once else self._paint(spec) for spec in specs
        ]

    def _paint(self, spec: RenderSpec) -> Image.Image | RenderError:
        left, _, right = spec.prompt.partition(" beside ")
        a, b = understood(left), understood(right)
        flip = hashlib.sha256(spec.key.encode()).digest()[0] % 2 == 0
        match self.settings.scheduler:
            case "no a":
                a = "void"
            case "no b":
                b = "void"
            case "neither":
                a = b = "void"
            case "coin" if flip:
                a = "void"
            case "deaf" if a in left:
                a = "void"
            case "shy" if len(spec.stages) == 1 or spec.stages[0].prompt != a:
                a = "void"
            case "shy" if spec.stages[0].denoising_end > 0.2:
                b = "void"
            case "refuses":
                return Refusal("withheld by its safety filter")
            case "fails":
                return RenderError("not finite")
        if spec.num_inference_steps == 2:
            b = "void"
        picture = Image.new("RGB", (16, 8), COLOURS[a])
        picture.paste(COLOURS[b], (8, 0, 16, 8))
        picture.putpixel((0, 0), (spec.seed % 256, 0, 0))
        return picture


class AddingModel(ToyModel):
    """Paints both halves where it follows two prompts at once, one a half; else as it is set."""

    manners = frozenset({StageManner.TOGETHER})

    def _paint(self, spec: RenderSpec) -> Image.Image | RenderError:
        (stage,) = spec.stages
        picture = super()._paint(spec)
        if stage.beside and isinstance(picture, Image.Image):
            for left, said in ((0, stage.prompt), (8, stage.beside[0].prompt)):
                picture.paste(COLOURS[understood(said)], (left, 1, left + 8, 8))
        return picture


class TiredModel(ToyModel):
    """Draws none of the odd seeds of a search while it is tired."""

    is_tired: ClassVar[bool] = True

    def _paint(self, spec: RenderSpec) -> Image.Image | RenderError:
        if self.is_tired and spec.seed in SEARCH_SEEDS and spec.seed % 2:
            return RenderError("too tired for this one")
        return super()._paint(spec)


class SketchingModel(ToyModel):
    """Has a cache, by which it draws the same; ``sketched`` are the seeds of what it drew so."""

    cache = "toy:1"
    sketched: ClassVar[set[int]] = set()
    counted: ClassVar[set[int]] = set()

    def sketch(self, spec: RenderSpec) -> RenderSpec:
        return dataclasses.replace(spec, profile=f"{spec.profile}-lossy")

    def _paint(self, spec: RenderSpec) -> Image.Image | RenderError:
        (self.sketched if spec.profile.endswith("-lossy") else self.counted).add(spec.seed)
        return super()._paint(spec)


class ToyChecker:
    """Reads the colours of both halves; ``settings.name`` may be ``silent``, ``broken`` or
    ``flatterer``, who sees whatever is asked for."""

    asked: ClassVar[int] = 0

    def __init__(self, settings: CheckerSettings) -> None:
        self.settings = settings
        self.checker_id = f"toy:{settings.name or 'reader'}@1"

    def takes(self, question: Question) -> bool:
        return question.kind is not QuestionKind.RELATION

    def score(
        self, images: Sequence[Image.Image], questions: Sequence[Question]
    ) -> list[tuple[Answer, ...]]:
        ToyChecker.asked += len(questions)
        if self.settings.name == "broken":
            raise CheckError("the checker lost its weights")
        return [self._answer(image, q) for image, q in zip(images, questions, strict=True)]

    def _answer(self, image: Image.Image, question: Question) -> tuple[Answer, ...]:
        if self.settings.name == "silent":
            return (Answer(None, reason="it says nothing"),)
        if self.settings.name == "flatterer":
            return tuple(Answer(0.9, option) for option in question.options or ("",))
        left_side = question.kind in (QuestionKind.A_PRESENT, QuestionKind.INTRUDER_A)
        colour = image.getpixel((4 if left_side else 12, 4))
        if question.kind.is_choice:
            seen = next((o for o in question.options if COLOURS.get(o) == colour), NONE_OF_THESE)
            return tuple(Answer(float(o == seen), o) for o in question.options)
        return (Answer(0.9 if COLOURS[question.text] == colour else 0.1),)


class ToyWriter:
    """A text model that knows how to say a pair; ``settings.name`` may be ``mute``, or ``terse``,
    which knows what comes first and says no more."""

    model_id = "toy:writer@1"
    sees_images = False
    is_down: ClassVar[bool] = False
    """Whether no one of them answers."""
    asked: ClassVar[int] = 0

    def __init__(self, settings: TextModelSettings) -> None:
        self.settings = settings

    def complete(
        self,
        messages: Sequence[dict[str, str]],
        images: Sequence[Image.Image] = (),
        schema: dict[str, Any] | None = None,
    ) -> str:
        ToyWriter.asked += 1
        if self.settings.name == "mute" or self.is_down:
            raise TextModelError("it would rather not say")
        if self.settings.name == "terse" and schema and "first" not in schema["properties"]:
            raise TextModelError("it has said enough")
        names = [name for name in COLOURS if name in messages[-1]["content"] and name != "void"]
        if schema and "first" in schema["properties"]:
            return json.dumps({"first": names[-1]})
        return json.dumps({"prompts": [" beside ".join(name[::-1] for name in names)]})


class Scripted:
    """A text model with one reply, however it is asked; keeps the schemas that it was asked for."""

    model_id = "scripted@1"
    sees_images = False

    def __init__(self, reply: object) -> None:
        self.reply = reply if isinstance(reply, str) else json.dumps(reply)
        self.schemas: list[dict[str, Any] | None] = []

    def complete(
        self,
        messages: Sequence[dict[str, str]],
        images: Sequence[Image.Image] = (),
        schema: dict[str, Any] | None = None,
    ) -> str:
        self.schemas.append(schema)
        return self.reply


class Chooser:
    """A repairer that ends with the first prompt that it tries, whatever is seen of it."""

    repairer_id = "chooser"
    fickle: ClassVar[bool] = False
    """Whether it ends with what it never tried."""

    def repair(self, case: Case, evaluate: Evaluate) -> None:
        for prompt in ("void beside void", case.pair.prompt):
            evaluate((Stage(prompt),), seeds=case.seeds[:2])

    def choose(self, case: Case, trials: Sequence[Trial]) -> Candidate:
        return Candidate((Stage("anything"),)) if self.fickle else trials[0].candidate


class Cheat:
    """A repairer that would like to see how it is going to be judged."""

    repairer_id = "cheat"

    def repair(self, case: Case, evaluate: Evaluate) -> None:
        evaluate((Stage(case.pair.prompt),), seeds=[FIRST_CERTIFICATE_SEED])


# ── whole ways ───────────────────────────────────────────────────────────────────────────────────


def registered(patch: pytest.MonkeyPatch) -> None:
    """The toys answer to their names, as if another package had brought them."""
    patch.setitem(registry.BUILT_IN["models"], "toy", "worlds.toys:ToyModel")
    patch.setitem(registry.BUILT_IN["checkers"], "toy", "worlds.toys:ToyChecker")


def audited(
    folder: Path, pairs: Sequence[ConceptPair], behaviour: str, guide: str = "guide", **changes: Any
) -> AuditSettings:
    """A configuration whose audit is done: the plain reader judges, ``guide`` may guide."""
    (folder / "pairs.toml").write_text(to_toml(pairs), "utf-8")
    config = AuditSettings(
        models=(ModelSettings("toy", scheduler=behaviour),),
        checkers=(CheckerSettings("toy"), CheckerSettings("toy", guide)),
        pairs=(str(folder / "pairs.toml"),),
        store=str(folder / "audit"),
        **changes,
    )
    with Store(config.store, create=True) as store:
        Audit(config, store).run("an audit")
    ToyModel.drawn.clear()
    return config


def repair(config: AuditSettings, **settings: Any) -> RepairResult:
    """A repair with these settings, run to its end."""
    with Store(config.store) as store:
        return Repair(config, store, RepairSettings(**settings)).run("a repair")
