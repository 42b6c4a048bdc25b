"""What a person outside writes: a model, a checker and a repairer, with nothing of lcmis's own
tests.
"""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from lcmis.errors import RenderError
from lcmis.plugins.protocols import Case, Evaluate
from lcmis.plugins.settings import CheckerSettings, ModelSettings
from lcmis.types import Answer, Question, RenderSpec, Stage
from verse.painting import Painter

__all__ = ["Eye", "Halves", "Louder", "Painter"]


class Halves(Painter):
    """Paints two coloured halves, the left one only where it is asked for aloud."""

    supports_stages = False
    supports_seeds = True

    def __init__(self, settings: ModelSettings) -> None:
        self.model_id = "verse-halves@1"
        self.batch_size = settings.batch_size or 4

    def spec(self, stages: tuple[Stage, ...], seed: int) -> RenderSpec:
        if len(stages) > 1:
            raise RenderError(f"{self.model_id} cannot switch prompts: ask for one stage")
        if len(stages[0].prompt) > 200:
            raise RenderError(f"{self.model_id} reads 200 letters, not {len(stages[0].prompt)}")
        profile = f"cpu-b{self.batch_size}"
        return RenderSpec(self.model_id, stages, seed, 1, 1.0, "none", 32, 64, profile)

    def generate(self, specs: Sequence[RenderSpec]) -> list[Image.Image | RenderError]:
        return [self.paint(spec.prompt, spec.seed) for spec in specs]


class Eye:
    """Tells by a colour whether a word was painted."""

    def __init__(self, settings: CheckerSettings) -> None:
        self.checker_id = f"verse-eye:{settings.name or 'left'}@1"

    def takes(self, question: Question) -> bool:
        return not question.kind.is_choice

    def score(
        self, images: Sequence[Image.Image], questions: Sequence[Question]
    ) -> list[tuple[Answer, ...]]:
        return [self._say(*asked) for asked in zip(images, questions, strict=True)]

    def _say(self, image: Image.Image, question: Question) -> tuple[Answer, ...]:
        if not self.takes(question):
            return ()
        if image is None:
            return (Answer(None, reason="there is no picture"),)
        shown = Painter.colour(question.text)
        seen = image.convert("RGB")
        halves = {seen.getpixel((seen.width * at // 4, 4)) for at in (1, 3)}
        return (Answer(0.95 if shown in halves else 0.05),)


class Louder:
    """Asks for everything in capitals."""

    repairer_id = "verse-louder"

    def repair(self, case: Case, evaluate: Evaluate) -> None:
        evaluate((Stage(case.pair.prompt.upper()),))
