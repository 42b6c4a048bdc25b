"""Several checkers that vote: more than half decide, and a tie is an abstention that says so."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from itertools import chain, combinations
from typing import TYPE_CHECKING

from lcmis.check.pictures import abstain, options_of
from lcmis.errors import ConfigError
from lcmis.plugins.opening import asked_by, open_checker
from lcmis.plugins.optional import (
    fetches_of,
    load,
    may_decide,
    reads_lookalikes,
    reads_synonyms,
    way_of,
)
from lcmis.plugins.protocols import AsksService, Checker
from lcmis.plugins.settings import CheckerSettings, checker_named
from lcmis.types import (
    BETWEEN_MEMBERS,
    BETWEEN_REVISIONS,
    Answer,
    Question,
    QuestionKind,
    panel_id,
    seats_of,
    share_a_member,
)

if TYPE_CHECKING:
    from PIL.Image import Image

    from lcmis.machine.hub.fetching import Fetch

BESIDE = "+"
"""Stands between the members where a person names them."""
VOTE = 0.5
"""The score from which a member says yes."""


class PanelChecker:
    """Asks several checkers the same and says what more than half of them say.

    Yes or no: each member votes, yes from one half on. The value is the median of all values where
    their number is odd, and the mean of the middle two where it is even and these vote alike. Where
    they do not, the panel is divided, and that is an abstention: such a picture is half-way between
    two things, or a member errs, and nobody can tell which. A member that abstains makes the panel
    abstain, with that member's reason.

    A choice is answered by the first member that takes it, so that its options share one
    probability. What not every member takes of all else is not asked.

    Args:
        settings: ``name`` is two members or more, such as
            ``vqa:Qwen/Qwen2-VL-2B-Instruct+clip:ViT-B-32/openai``; device, numbers and batch size
            hold for each of them.

    Raises:
        ConfigError: fewer than two members, the same one twice, a panel in a panel, one that may
            not decide, one behind an API, or one that cannot be opened.
        UnknownNameError: there is no such kind, or no such model.

    Source: Condorcet, "Essai sur l'application de l'analyse", 1785 (a majority of voters that err
    apart errs less than each). That a tie abstains is ours.
    """

    def __init__(self, settings: CheckerSettings) -> None:
        self._members = [open_checker(one) for one in _named(settings)]
        ids = [member.checker_id for member in self._members]
        if any(share_a_member(*two) for two in combinations(ids, 2)):
            raise ConfigError(
                f"a panel of {BETWEEN_MEMBERS.join(ids)} has one vote twice: name different members"
            )
        for member in self._members:
            _refuse(member)
        self.checker_id = panel_id(ids)
        self.reads_synonyms = any(map(reads_synonyms, self._members))
        """As :func:`lcmis.plugins.optional.reads_synonyms` has it."""
        self.reads_lookalikes = any(map(reads_lookalikes, self._members))
        """As :func:`lcmis.plugins.optional.reads_lookalikes` has it."""

    @staticmethod
    def asked(checker_id: str, question: Question) -> tuple[tuple[str, str], ...]:
        """What each member is asked, or a choice the first that says how it would be; as
        :func:`lcmis.plugins.opening.asked_by` has it.
        """
        each = (asked_by(member, question) for member in seats_of(checker_id))
        if question.kind.is_choice:
            return next(filter(None, each), ())
        return tuple(chain.from_iterable(each))

    def takes(self, question: Question) -> bool:
        """A choice that one member takes, and whatever else all of them take."""
        return bool(self._voters(question))

    def score(
        self, images: Sequence[Image], questions: Sequence[Question]
    ) -> list[tuple[Answer, ...]]:
        """Answer question i about image i.

        Raises:
            ConfigError: weights of a member cannot be loaded, or memory does not suffice.
            CheckError: a member cannot take the pictures in.
        """
        voters = {question: self._voters(question) for question in questions}
        heard: list[list[tuple[Answer, ...]]] = [[] for _ in questions]
        for member in self._members:
            places = [place for place, one in enumerate(questions) if member in voters[one]]
            said = member.score(
                [images[place] for place in places],
                [_as_read_by(member, questions[place]) for place in places],
            )
            for place, answers in zip(places, said, strict=True):
                heard[place].append(answers)
        return [
            self._answer(question, answers)
            for question, answers in zip(questions, heard, strict=True)
        ]

    def _answer(
        self, question: Question, heard: Sequence[tuple[Answer, ...]]
    ) -> tuple[Answer, ...]:
        if not heard:
            return ()
        if question.kind.is_choice:
            return heard[0]
        votes = [answers[0] for answers in heard]
        mass = min(vote.mass for vote in votes)
        for member, vote in zip(self._members, votes, strict=True):
            if vote.value is None:
                return abstain(options_of(question), f"{member.checker_id}: {vote.reason}", mass)
        values = [vote.value for vote in votes if vote.value is not None]
        low, high = statistics.median_low(values), statistics.median_high(values)
        if low < VOTE <= high:
            told = [
                f"{member.checker_id} {value:.2f}"
                for member, value in zip(self._members, values, strict=True)
            ]
            return abstain(options_of(question), f"the panel is divided: {', '.join(told)}", mass)
        boxes = [vote.box for vote in votes if vote.box is not None]
        return (Answer((low + high) / 2, mass=mass, box=next(iter(boxes), None)),)

    def _voters(self, question: Question) -> Sequence[Checker]:
        """Of a choice the first that takes it, of all else everybody or nobody."""
        taking = [one for one in self._members if one.takes(_as_read_by(one, question))]
        if question.kind.is_choice:
            return taking[:1]
        measured = question.kind is QuestionKind.LIKENESS
        return taking if len(taking) == len(self._members) and not measured else ()

    @property
    def way(self) -> str:
        """How its members look at a picture, those that say it."""
        ways = [(member.checker_id, way_of(member)) for member in self._members]
        return "; ".join(f"{name}: {way}" for name, way in ways if way)

    def load(self) -> None:
        """Read the weights of all members now, fetched where they must be.

        Raises:
            ConfigError: that cannot be.
        """
        for member in self._members:
            load(member)

    def fetches(self) -> tuple[Fetch, ...]:
        """How much of them comes from the hub, and how much of that is here."""
        return tuple(fetch for member in self._members for fetch in fetches_of(member))


def _named(settings: CheckerSettings) -> list[CheckerSettings]:
    """The members that a person has written into one name."""
    whole = f"{settings.name}@{settings.revision}" if settings.revision else settings.name
    texts = [text.strip() for text in whole.split(BESIDE)]
    if len(texts) < 2 or not all(texts):
        raise ConfigError(
            f"a panel has two members or more, but here is {whole or 'none'!r}: write "
            f"panel:KIND:NAME{BESIDE}KIND:NAME, such as "
            f"panel:vqa:FOLDER{BESIDE}clip:ViT-B-32/openai"
        )
    members = []
    for text in texts:
        read = checker_named(text)
        if read.kind == settings.kind:
            raise ConfigError("a panel cannot be a member of a panel: name its members instead")
        members.append(
            dataclasses.replace(settings, kind=read.kind, name=read.name, revision=read.revision)
        )
    return members


def _refuse(member: Checker) -> None:
    """One whose vote would mean something else, or whose replies could not be kept."""
    if isinstance(member, AsksService):
        raise ConfigError(
            f"{member.checker_id} is behind an API, and a panel's members run here: name it beside "
            f"the panel, as a second opinion"
        )
    if not may_decide(member):
        raise ConfigError(
            f"{member.checker_id} says nothing of single concepts, so it has no vote in a panel: "
            f"name another member"
        )
    for part, mark in zip(
        member.checker_id.partition("@")[::2], (BETWEEN_MEMBERS, BETWEEN_REVISIONS), strict=True
    ):
        if mark in part:
            raise ConfigError(
                f"{member.checker_id} holds {mark!r}, which stands between the members of a panel: "
                f"give its folder another name"
            )


def _as_read_by(member: Checker, question: Question) -> Question:
    """Other names and look-alikes only for who reads them, as where it is asked alone."""
    names_all = question.kind.is_choice or reads_lookalikes(member)
    return dataclasses.replace(
        question,
        options=question.options if names_all else (),
        synonyms=question.synonyms if reads_synonyms(member) else (),
    )
