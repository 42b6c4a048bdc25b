"""How near a picture and a text lie in the space of a CLIP model: the cosine, kept as it is."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lcmis.check.clip import FOLDER_PREFIX, HUB_PREFIX, ClipChecker, is_listed
from lcmis.check.pictures import abstain, once_each, options_of, to_look_at
from lcmis.plugins.protocols import Encoder
from lcmis.plugins.settings import CheckerSettings
from lcmis.types import Answer, Question, QuestionKind

if TYPE_CHECKING:
    from PIL.Image import Image

    from lcmis.machine.hub.fetching import Fetch


class SimilarityChecker:
    """The cosine of a picture and a text; a negative one counts as 0.

    A text that is longer than the model reads is an abstention: cut, it would be another text.

    Raises:
        ConfigError: no such device, no safe weights, a folder without a configuration.
        UnknownNameError: no such model.
    """

    decides = False
    kind = ""
    """In front of every id."""
    kinds: tuple[QuestionKind, ...] = (QuestionKind.RELATION,)
    """Of the questions that it takes."""
    prefix = ""
    """Stands before every text."""

    def __init__(self, settings: CheckerSettings) -> None:
        self._clip = ClipChecker(dataclasses.replace(settings, name=_whole_name(settings.name)))
        self.checker_id = f"{self.kind}:{self._clip.checker_id.removeprefix('clip:')}"

    def load(self) -> None:
        """Read the weights now, fetched where they must be.

        Raises:
            ConfigError: that cannot be.
        """
        self._clip.load()

    def fetches(self) -> tuple[Fetch, ...]:
        """How much of it comes from the hub, and how much of that is here."""
        return self._clip.fetches()

    @classmethod
    def asked(cls, checker_id: str, question: Question) -> tuple[tuple[str, str], ...]:
        """The words that a picture was compared with."""
        return (("compared with", cls.prefix + question.text),)

    def takes(self, question: Question) -> bool:
        """By its kind; a likeness needs words."""
        return question.kind in self.kinds and bool(question.text.strip())

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
            reason = self._too_long(self.prefix + questions[place].text)
            if reason:
                answers[place] = abstain(("",), reason)
            else:
                asked.append((place, picture))
        if not asked:
            return answers
        different, seen_at = once_each([picture for _, picture in asked])
        texts, read_at = _each_once([self.prefix + questions[place].text for place, _ in asked])
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


def _whole_name(name: str) -> str:
    """As ``clip:`` wants it: what is no folder and no model of open_clip's list is on the hub."""
    if name.startswith((HUB_PREFIX, FOLDER_PREFIX)) or Path(name).expanduser().is_dir():
        return name
    return name if is_listed(name.partition("/")[0]) or "/" not in name else HUB_PREFIX + name


def _each_once(texts: Sequence[str]) -> tuple[list[str], list[int]]:
    """The different texts in order, and for each text its place among them."""
    places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    return list(places), [places[text] for text in texts]


def _answer(cosine: float) -> Answer:
    if math.isnan(cosine):
        return Answer(None, reason="the similarity is not a finite number")
    return Answer(min(max(cosine, 0.0), 1.0))
