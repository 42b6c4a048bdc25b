"""Human preference scores: an open_clip model tuned on people's choices, as a plain similarity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from lcmis.check.clip import ClipChecker
from lcmis.check.pictures import abstain, once_each, options_of, to_look_at
from lcmis.plugins.protocols import Encoder
from lcmis.plugins.settings import CheckerSettings
from lcmis.types import Answer, Question, QuestionKind

if TYPE_CHECKING:
    from PIL.Image import Image

    from lcmis.machine.hub.fetching import Fetch


class PreferenceChecker:
    """HPS v2 through open_clip: the cosine of a picture and the whole plain prompt.

    It guides a search and says nothing of single concepts, so it cannot decide an audit. Only
    differences on one prompt mean something: absolute values depend on the prompt. The published
    score is a hundred times this one; a negative cosine counts as 0.

    Args:
        settings: ``name`` is a folder with ``open_clip_config.json`` of ViT-H-14 and HPS v2's
            weights as ``open_clip_model.safetensors``, or a hub name.

    Raises:
        ConfigError: no such device, no safe weights, a folder without a configuration.
        UnknownNameError: no such model.

    Source: Wu et al., "Human Preference Score v2", arXiv 2306.09341, 2023.
    """

    def __init__(self, settings: CheckerSettings) -> None:
        self._clip = ClipChecker(settings)
        self.checker_id = "hps:" + self._clip.checker_id.removeprefix("clip:")

    def load(self) -> None:
        """Read the weights now, fetched where they must be.

        Raises:
            ConfigError: that cannot be.
        """
        self._clip.load()

    def fetches(self) -> tuple[Fetch, ...]:
        """How much of it comes from the hub, and how much of that is here."""
        return self._clip.fetches()

    def takes(self, question: Question) -> bool:
        """Whole prompts only."""
        return question.kind is QuestionKind.RELATION

    def score(
        self, images: Sequence[Image], questions: Sequence[Question]
    ) -> list[tuple[Answer, ...]]:
        """Answer question i about image i; a picture is looked at once, whatever it is asked.

        Raises:
            ConfigError: the weights cannot be loaded, or memory does not suffice.
        """
        answers, rows = to_look_at(images, questions, self.takes, options_of)
        asked = []
        for place, picture in rows:
            reason = self._too_long(questions[place].text)
            if reason:
                answers[place] = abstain(("",), reason)
            else:
                asked.append((place, picture))
        if not asked:
            return answers
        different, seen_at = once_each([picture for _, picture in asked])
        texts, read_at = _each_once([questions[place].text for place, _ in asked])
        cosines = (self._encoder.see(different) @ self._encoder.read(texts).T).tolist()
        for (place, _), row, column in zip(asked, seen_at, read_at, strict=True):
            answers[place] = (_answer(cosines[row][column]),)
        return answers

    def _too_long(self, text: str) -> str:
        length, reads = self._encoder.num_tokens(text), self._encoder.context_length
        if length <= reads:
            return ""
        return f"{text!r} is {length} tokens long, and the text encoder reads {reads}"

    @cached_property
    def _encoder(self) -> Encoder:
        return self._clip.encoder()


def _each_once(texts: Sequence[str]) -> tuple[list[str], list[int]]:
    """The different texts in order, and for each text its place among them."""
    places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    return list(places), [places[text] for text in texts]


def _answer(cosine: float) -> Answer:
    if math.isnan(cosine):
        return Answer(None, reason="the similarity is not a finite number")
    return Answer(min(max(cosine, 0.0), 1.0))
