"""Plugins that answer at once: what is left of an audit's cost is our own."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from lcmis.plugins.settings import CheckerSettings, ModelSettings
from lcmis.types import Answer, Question, QuestionKind, RenderSpec, Stage

SIZE = 16


class QuickModel:
    """Every picture is another plain colour, told by its seed."""

    supports_seeds = True
    supports_stages = False

    def __init__(self, settings: ModelSettings) -> None:
        self.batch_size = settings.batch_size or 8
        self.model_id = f"quick:{settings.name}@1"

    def spec(self, stages: tuple[Stage, ...], seed: int) -> RenderSpec:
        return RenderSpec(
            self.model_id, stages, seed, 20, 7.5, "Euler", SIZE, SIZE, f"quick-b{self.batch_size}"
        )

    def generate(self, specs: Sequence[RenderSpec]) -> list[Image.Image]:
        return [
            Image.new("RGB", (SIZE, SIZE), (spec.seed % 251, len(spec.prompt) % 251, at % 251))
            for at, spec in enumerate(specs)
        ]


class QuickChecker:
    """Sees whatever is asked for, a little less surely in pictures of higher seeds."""

    def __init__(self, settings: CheckerSettings) -> None:
        self.checker_id = f"quick:{settings.name or 'judge'}@1"

    def takes(self, question: Question) -> bool:
        return question.kind is not QuestionKind.LIKENESS

    def score(
        self, images: Sequence[Image.Image], questions: Sequence[Question]
    ) -> list[tuple[Answer, ...]]:
        return [
            tuple(
                Answer(0.9 if place == 0 else 0.05, option)
                for place, option in enumerate(question.options or ("",))
            )
            for question in questions
        ]
