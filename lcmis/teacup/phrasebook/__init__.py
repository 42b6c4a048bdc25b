"""A stand-in for a text model over the miniature world's vocabulary; it is no language model."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from lcmis.errors import TextModelError
from lcmis.plugins.settings import TextModelSettings
from lcmis.teacup.phrasebook import instructions, painting, seeing, wordings
from lcmis.teacup.phrasebook.asked import Onlooker, TemplateRead
from lcmis.text.prompts import wording

if TYPE_CHECKING:
    from PIL.Image import Image

ANSWERS: dict[str, Callable[[TemplateRead], str]] = {
    "rewrite": wordings.rewrite,
    "first": wordings.first,
    "improve": wordings.improve,
    "mend": wordings.mend,
    "avoid": wordings.avoid,
    "frequent": wordings.frequent,
    "caption": wordings.caption,
    "refine": instructions.refine,
    "critique": instructions.critique,
    "amend": instructions.amend,
    "vary": instructions.vary,
    "stages": painting.stages,
    "describe": seeing.describe,
    "changes": seeing.changes,
    "differences": seeing.differences,
}
"""Template of :mod:`lcmis.text.prompts` → what answers it; a new question is a line here."""


class Phrasebook:
    """Looks answers to our own templates up in the miniature world's table: no language model.

    It knows forty concepts and the questions in :data:`ANSWERS`. What a picture shows is the phrase
    that teacup-clip finds nearest; all else needs no model at all. Always the same answer to the
    same question.

    Args:
        settings: nothing of them matters; they are taken so that all text models are made alike.
    """

    model_id = "phrasebook@1"
    sees_images = True

    def __init__(self, settings: TextModelSettings | None = None) -> None:
        self._eyes = Onlooker()

    def complete(
        self,
        messages: Sequence[dict[str, str]],
        images: Sequence[Image] = (),
        schema: dict[str, Any] | None = None,
    ) -> str:
        """The answer to the last message, which is one of our templates, filled in.

        Raises:
            TextModelError: it is something else, or names what is not in this world.
        """
        asked = messages[-1]["content"]
        for name, answer in ANSWERS.items():
            if found := _pattern(name).fullmatch(asked):
                return answer(TemplateRead(found.groupdict(), tuple(images), self._eyes))
        raise TextModelError(
            "the phrasebook is no language model and answers only lcmis's own questions, of which "
            "this is none: name a text model for it"
        )


@cache
def _pattern(name: str) -> re.Pattern[str]:
    """A template as the pattern that recognises it, filled in, and takes out what was filled in.

    Only a field with a line of its own may have been filled with several lines; one that comes
    again says the same again.
    """
    pattern, parts = "", list(string.Formatter().parse(wording(name)))
    texts = [text for text, *_ in parts]
    for (text, field, *_), after in zip(parts, [*texts[1:], ""], strict=True):
        pattern += re.escape(text)
        if f"(?P<{field}>" in pattern:
            pattern += f"(?P={field})"
        elif field is not None:
            stands_alone = text.endswith("\n") and after.startswith("\n")
            what = r"\d+" if field == "count" else "(?s:.*)" if stands_alone else ".*"
            pattern += f"(?P<{field}>{what})"
    return re.compile(pattern)
