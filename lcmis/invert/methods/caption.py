"""A plain caption as a prompt: the baseline of every inversion."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from lcmis.errors import InversionError
from lcmis.plugins.protocols import Need, TextModel, Tools
from lcmis.text import asking

if TYPE_CHECKING:
    from PIL.Image import Image


class Caption:
    """What a text model says of the picture, once."""

    inverter_id = "caption"
    needs = frozenset({Need.SEEING_TEXT_MODEL})

    def invert(self, reference: Image, tools: Tools) -> Iterator[str]:
        """The caption.

        Raises:
            InversionError: there is no text model.
            TextModelError: no reply, or the text model sees no pictures.
            ProposalError: its reply is no caption.
        """
        yield asking.caption(text_model(self.inverter_id, tools), reference)


def text_model(inverter_id: str, tools: Tools) -> TextModel:
    """The one that an inversion asks.

    Raises:
        InversionError: there is none.
    """
    if tools.text_model is None:
        raise InversionError(f"{inverter_id} asks a text model that sees pictures: name one")
    return tools.text_model
