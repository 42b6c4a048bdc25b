"""What an answer of the phrasebook starts from: what was filled in, pictures, and eyes for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from lcmis.errors import TextModelError
from lcmis.plugins.settings import CheckerSettings
from lcmis.types import Question, QuestionKind

if TYPE_CHECKING:
    from PIL.Image import Image

    from lcmis.check.clip import ClipChecker


@dataclass(frozen=True, slots=True)
class TemplateRead:
    """A template as it came back, taken apart."""

    filled: Mapping[str, str]
    """What stands in each of the template's fields."""
    pictures: tuple[Image, ...]
    eyes: Onlooker

    def the_picture(self) -> Image:
        """The only one.

        Raises:
            TextModelError: there are none, or several.
        """
        if len(self.pictures) != 1:
            raise TextModelError(
                f"the phrasebook was shown {len(self.pictures)} pictures with a question about one"
            )
        return self.pictures[0]


class Onlooker:
    """teacup-clip, loaded when something is first looked at."""

    def best(self, picture: Image, phrases: Sequence[str]) -> str:
        """The phrase that fits a picture best.

        Raises:
            TextModelError: it cannot be looked at.
        """
        phrases = tuple(phrases)
        question = Question(QuestionKind.INTRUDER_A, "", options=phrases, contrast=phrases)
        (answers,) = self._clip.score([picture], [question])
        scored = [(answer.value, answer.option) for answer in answers if answer.value is not None]
        if not scored:
            raise TextModelError(f"the phrasebook cannot see this picture: {answers[0].reason}")
        return max(scored)[1]

    @cached_property
    def _clip(self) -> ClipChecker:
        from lcmis.teacup.shipped import clip

        return clip(CheckerSettings("teacup-clip", device="cpu"))
