"""A concept weighed against its look-alikes: the same checker is asked of each of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lcmis.check.pictures import abstain, options_of
from lcmis.errors import ConfigError
from lcmis.plugins import registry
from lcmis.plugins.opening import asked_by, open_checker
from lcmis.plugins.optional import (
    fetches_of,
    load,
    may_be_spread,
    may_decide,
    reads_synonyms,
    takes_none_below,
    way_of,
)
from lcmis.plugins.protocols import AsksService
from lcmis.plugins.settings import CheckerSettings
from lcmis.types import COMPARED, Answer, Question, QuestionKind, members_of

if TYPE_CHECKING:
    from PIL.Image import Image

    from lcmis.machine.hub.fetching import Fetch

NONE_BELOW = 0.1
"""Weight of "neither": by so much a concept must be surer than its nearest look-alike."""
MARK = "+none"


class ComparedChecker:
    """Asks a checker of a concept and of each of its suspects, and weighs the answers.

    Presence: what the checker says of the concept, as a share of that, of what it says of the
    likeliest suspect, and of ``none_below`` for neither. So it reaches one half just where the
    concept is surer than its nearest look-alike by ``none_below``: a picture half-way between two
    drinks, of which a checker says yes to both, shows neither. Where a pair has no suspects, and in
    everything else that is asked, the checker's own answer stands. An abstention about any of them
    is one of the comparison.

    Args:
        settings: ``name`` is the checker, ``KIND:NAME``; all else holds for it.

    Raises:
        ConfigError: no checker is named, one that compares already or is not asked of single
            concepts, one behind an API, or ``none_below`` outside of (0, 1).
        UnknownNameError: there is no such kind, or no such model.

    Source: Luce, "Individual Choice Behavior", 1959 (an option is chosen in proportion to its
    weight). That only the nearest look-alike counts is ours.
    """

    takes_none_below = True
    reads_lookalikes = True
    """As :func:`lcmis.plugins.optional.reads_lookalikes` has it."""

    def __init__(self, settings: CheckerSettings) -> None:
        self.none_below = NONE_BELOW if settings.none_below is None else settings.none_below
        if not 0 < self.none_below < 1:
            raise ConfigError(f"none_below is {self.none_below:g}, but it lies between 0 and 1")
        kind, _, name = settings.name.partition(":")
        if not kind or kind in ("compared", "panel"):
            raise ConfigError(
                f"compared asks one checker more, but here is {settings.name or 'none'!r}: write "
                f"compared:KIND:NAME, such as compared:vqa:Qwen/Qwen2-VL-2B-Instruct"
            )
        own = settings.none_below if takes_none_below(registry.load("checkers", kind)) else None
        self._checker = open_checker(
            dataclasses.replace(settings, kind=kind, name=name, none_below=own)
        )
        inner = self._checker.checker_id
        if isinstance(self._checker, AsksService):
            raise ConfigError(
                f"{inner} is behind an API, and what is compared runs here: name it without "
                f"compared:"
            )
        alone = Question(QuestionKind.A_PRESENT, "tea cup")
        if not (may_decide(self._checker) and self._checker.takes(alone)):
            raise ConfigError(
                f"{inner} is not asked of single concepts, so there is nothing to compare: name it "
                f"without compared:"
            )
        self.checker_id = f"{COMPARED}{inner}{MARK}{self.none_below:g}"
        self.reads_synonyms = reads_synonyms(self._checker)
        self.may_be_spread = may_be_spread(self._checker)

    @staticmethod
    def asked(checker_id: str, question: Question) -> tuple[tuple[str, str], ...]:
        """What the checker is asked, for each of the names; as
        :func:`lcmis.plugins.opening.asked_by` has it.
        """
        (inner,) = members_of(checker_id)
        return tuple(said for one in _questions(question) for said in asked_by(inner, one))

    def takes(self, question: Question) -> bool:
        """What the checker takes."""
        return self._checker.takes(_plain(question))

    def score(
        self, images: Sequence[Image], questions: Sequence[Question]
    ) -> list[tuple[Answer, ...]]:
        """Answer question i about image i.

        Raises:
            ConfigError: the weights cannot be loaded, or memory does not suffice.
            CheckError: the model cannot take the pictures in.
        """
        asked = [_questions(question) for question in questions]
        rows = [(image, one) for image, some in zip(images, asked, strict=True) for one in some]
        said = iter(self._checker.score([image for image, _ in rows], [one for _, one in rows]))
        return [
            self._weighed(question, [next(said) for _ in some])
            for question, some in zip(questions, asked, strict=True)
        ]

    def _weighed(
        self, question: Question, heard: Sequence[tuple[Answer, ...]]
    ) -> tuple[Answer, ...]:
        if len(heard) == 1 or not heard[0]:
            return heard[0]
        answers = [one[0] for one in heard]
        mass = min(one.mass for one in answers)
        for name, one in zip(question.options, answers, strict=True):
            if one.value is None:
                return abstain(options_of(question), f"{name}: {one.reason}", mass)
        value, *others = (one.value for one in answers if one.value is not None)
        share = value / (value + max(others) + self.none_below)
        return (Answer(share, mass=mass, box=answers[0].box),)

    @property
    def way(self) -> str:
        """How the checker looks at a picture that is asked several questions."""
        return way_of(self._checker)

    def load(self) -> None:
        """Read the weights now, fetched where they must be.

        Raises:
            ConfigError: that cannot be.
        """
        load(self._checker)

    def fetches(self) -> tuple[Fetch, ...]:
        """How much of it comes from the hub, and how much of that is here."""
        return fetches_of(self._checker)


def _plain(question: Question) -> Question:
    """As the checker would be asked it alone."""
    return question if question.kind.is_choice else dataclasses.replace(question, options=())


def _questions(question: Question) -> tuple[Question, ...]:
    """What the checker is asked: of the concept first, then of each look-alike."""
    own = _plain(question)
    if question.kind.is_choice:
        return (own,)
    return (own, *(Question(question.kind, name) for name in question.options[1:]))
