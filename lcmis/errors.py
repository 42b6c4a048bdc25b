"""What can go wrong, sorted by who can mend it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image


class LcmisError(Exception):
    """One clear sentence for a person; the root of all errors that lcmis foresees."""


class UserError(LcmisError):
    """The user's to mend, raised before work begins: the command line prints it, exit code 2."""


class ConfigError(UserError):
    """A setting, file or flag is wrong; the sentence names it and says what to write instead."""


class ServiceClosed(ConfigError):
    """A service gives nothing more, whatever it is asked: for want of money, or a key, or sense."""

    def __init__(self, sentence: str, drawn: Sequence[Image | RenderError | None] = ()) -> None:
        super().__init__(sentence)
        self.drawn = tuple(drawn)
        """What the batch in which it ended gave all the same, in order; None for the rest."""


class UnknownNameError(UserError):
    """Nothing is registered, stored or shipped under this name; the sentence lists near ones."""


class StoreError(UserError):
    """The database or its picture folder cannot be used as it is."""


class ItemError(LcmisError):
    """One picture, pair or reply failed; it is recorded under its key and the audit goes on."""


class TextModelError(ItemError):
    """A text model gave no reply: it was too slow, refused, or answered nothing that is one."""


class ProposalError(ItemError):
    """A text model's reply cannot be used as what it was asked for."""


class RenderError(ItemError):
    """One picture could not be drawn."""


class Refusal(RenderError):
    """The model's own safety filter withheld the picture: a state of its own, not a failure."""


class InversionError(ItemError):
    """A picture could not be turned into a prompt: what the method needs is not there."""


class CheckError(ItemError):
    """One picture could not be scored."""

    def __init__(
        self,
        sentence: str,
        answers: Sequence[tuple[Any, ...]] = (),
        failed: Mapping[int, str] | None = None,
    ) -> None:
        super().__init__(sentence)
        self.answers = tuple(answers)
        """What the same call gave all the same, in order; empty where it gave nothing."""
        self.failed = dict(failed or {})
        """Why there is none, by the places of those that failed."""


class TooManyFailures(UserError):
    """So many items failed that something other than them is wrong; the audit stopped itself."""


class OutOfBudget(LcmisError):
    """A repair has spent what it was given; the best trial so far stands."""
