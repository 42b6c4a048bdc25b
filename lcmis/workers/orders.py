"""What is wished for, what is handed out to be drawn or asked, and what comes back."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from lcmis.errors import CheckError, Refusal, RenderError, ServiceClosed
from lcmis.plugins.optional import remarks_of, work_of
from lcmis.plugins.protocols import Checker, ImageModel, Work
from lcmis.render import draw
from lcmis.types import Answer, ConceptPair, Exchange, Question, RenderSpec

if TYPE_CHECKING:
    from PIL.Image import Image

Asked = tuple[str, Question]
"""The key of a picture's spec, and a question about it."""


@dataclass(frozen=True, slots=True, eq=False)
class Wish:
    """Pictures of a pair and what is asked of each; done once all of it that can be is stored."""

    pair: ConceptPair
    model: ImageModel
    specs: tuple[RenderSpec, ...]
    asked: tuple[tuple[Checker, tuple[Question, ...]], ...] = ()
    """Of every picture."""


@dataclass(frozen=True, slots=True, eq=False)
class DrawOrder:
    """Pictures of one model that are drawn at once."""

    model: str
    specs: tuple[RenderSpec, ...]
    asked: Mapping[str, tuple[Asked, ...]] = field(default_factory=dict)
    """By checker: what whoever draws them also asks."""
    is_ahead: bool = False
    """Whether nobody has asked for them yet: they come back whole, and nothing of them is kept."""


@dataclass(frozen=True, slots=True, eq=False)
class CheckOrder:
    """Questions about pictures, for one checker."""

    checker: str
    asked: tuple[Asked, ...]
    images: Mapping[str, Image] = field(default_factory=dict)
    """Those in hand, by the keys of their specs."""
    stored: Mapping[str, str] = field(default_factory=dict)
    """The hashes of those that lie in the folder of pictures, by the keys of their specs."""


Order = DrawOrder | CheckOrder
NO_WORK = Work()


@dataclass(frozen=True, slots=True)
class Painted:
    """What came of one spec."""

    spec: RenderSpec
    seconds: float
    drawn: Image | RenderError | None
    """None where the worker has written the file itself."""
    sha256: str = ""
    """Of the pixels; empty where nobody has hashed them yet."""
    num_bytes: int = 0
    """Of the file; 0 where there is none yet."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What a checker answered."""

    checker: str
    spec_key: str
    question: Question
    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class Unsaid:
    """A picture that a checker could not be asked about, or not all that was to be asked."""

    checker: str
    spec_key: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came of an order, or of a part of it."""

    order: Order
    painted: tuple[Painted, ...] = ()
    said: tuple[Heard, ...] = ()
    unsaid: tuple[Unsaid, ...] = ()
    remarks: tuple[Exchange, ...] = ()
    work: Work = NO_WORK
    worker: str = ""
    seconds: float = 0.0
    """That the worker's device was busy with it."""
    closed: ServiceClosed | None = None
    """Why no more comes of its kind, once what came is kept."""


class Crew(Protocol):
    """Who runs orders: this process, or workers elsewhere."""

    def know(self, models: Mapping[str, ImageModel], checkers: Mapping[str, Checker]) -> None:
        """Be told of what orders may name."""
        ...

    def begin(self, plugins: Sequence[ImageModel | Checker]) -> None:
        """Have in memory what is needed before the first picture is drawn.

        Raises:
            UserError: it cannot be had.
        """
        ...

    def checks_too(self, model: str, checker: str) -> bool:
        """Whether who draws with this model also asks this checker, in the same order."""
        ...

    def wanted(self, ready: Mapping[str, int]) -> str | None:
        """The model for which an order can be taken now, of those with so many ready pictures."""
        ...

    def batch_size(self, model: str) -> int | None:
        """Pictures of one order; None is all there are."""
        ...

    def takes_check(self, checker: str) -> bool:
        """Whether an order for this checker can be taken now."""
        ...

    def give(self, order: Order) -> None:
        """Take an order that was wanted."""
        ...

    @property
    def is_busy(self) -> bool:
        """Whether any order is not reported yet."""
        ...

    @property
    def runs_low(self) -> bool:
        """Whether somebody has nothing to do, or soon will have: then it is time to look for more,
        to fill no batch, or to guess.
        """
        ...

    def check_size(self, pictures: int) -> int:
        """Pictures of one order to check, where so many are to be asked about."""
        ...

    @property
    def told(self) -> str:
        """Who they are, in a few words; empty for this process alone."""
        ...

    @property
    def notes(self) -> list[str]:
        """Who kept failing and works no more, and what else befell them; a sentence each."""
        ...

    def whereabouts(self, worker: str) -> tuple[str, str, str]:
        """The node, the device and the log of whoever has this name; empty where it keeps none."""
        ...

    def troubles(self) -> list[tuple[str, str]]:
        """Who died or was left out since the last call, and why; of nobody, what befell all."""
        ...

    @property
    def draws_ahead(self) -> bool:
        """Whether who has nothing to do may draw what is likely to be asked for next."""
        ...

    def reports(self) -> list[Delivery]:
        """Work, or wait, until there is at least one, or somebody more who can work.

        Raises:
            UserError: nobody is left who could work.
        """
        ...

    def stop(self) -> list[Delivery]:
        """End what is under way; gives what had come of it."""
        ...

    def close(self) -> None:
        """Let everybody go."""
        ...


def paint(model: ImageModel, order: DrawOrder) -> Delivery:
    """Draw a batch."""
    started, before, closed = time.monotonic(), work_of(model), None
    pictures: Sequence[Image | RenderError | None]
    try:
        pictures = draw(model, order.specs)
    except ServiceClosed as error:
        pictures, closed = error.drawn or [None] * len(order.specs), ServiceClosed(str(error))
    seconds = time.monotonic() - started
    return Delivery(
        order,
        tuple(
            Painted(spec, seconds / len(order.specs), _plain(picture))
            for spec, picture in zip(order.specs, pictures, strict=True)
            if picture is not None
        ),
        remarks=tuple(remarks_of(model)),
        work=work_of(model) - before,
        seconds=seconds,
        closed=closed,
    )


def _plain(picture: Image | RenderError) -> Image | RenderError:
    """A failure as one of ours: a plugin's own need not survive the way to another process."""
    if not isinstance(picture, RenderError):
        return picture
    kind = Refusal if isinstance(picture, Refusal) else RenderError
    return kind(str(picture).strip() or type(picture).__name__)


def ask(
    checker: Checker, asked: Sequence[Asked], images: Mapping[str, Image]
) -> tuple[list[Heard], list[Unsaid]]:
    """Ask what is asked of these pictures; one that cannot be read harms no other."""
    asked = [(key, question) for key, question in asked if key in images]
    if not asked:
        return [], []
    try:
        answers = checker.score(
            [images[key] for key, _ in asked], [question for _, question in asked]
        )
    except CheckError as error:
        if error.answers:
            failed = {asked[place][0]: why for place, why in error.failed.items()}
            return (
                _said(checker, asked, error.answers),
                [Unsaid(checker.checker_id, key, why) for key, why in failed.items()],
            )
        keys = list(dict.fromkeys(key for key, _ in asked))
        if len(keys) == 1:
            return [], [Unsaid(checker.checker_id, keys[0], str(error))]
        said: list[Heard] = []
        unsaid: list[Unsaid] = []
        for key in keys:
            one, none = ask(checker, [item for item in asked if item[0] == key], images)
            said += one
            unsaid += none
        return said, unsaid
    return _said(checker, asked, answers), []


def _said(
    checker: Checker, asked: Sequence[Asked], answers: Sequence[tuple[Answer, ...]]
) -> list[Heard]:
    return [
        Heard(checker.checker_id, key, question, given)
        for (key, question), given in zip(asked, answers, strict=True)
    ]
