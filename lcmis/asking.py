"""What repairs ask of a text model, and how its answers are read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lcmis.errors import ProposalError
from lcmis.prompts import wording
from lcmis.protocols import TextModel
from lcmis.types import ConceptPair, Side

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PROMPT_LETTERS = 500
"""A longer rewriting is passed over: text encoders read far less."""


def rewrites(model: TextModel, pair: ConceptPair, count: int, intruder: str = "") -> list[str]:
    """Up to ``count`` other prompts for a pair's picture, each one line and none twice.

    Args:
        model: any text model.
        pair: its prompt is what is rewritten.
        count: how many to ask for, from 1 up; what comes beyond is passed over.
        intruder: what is painted instead, if that is known.

    Raises:
        TextModelError: no reply.
        ProposalError: the reply cannot be used, or holds no prompt but the one rewritten.
    """
    asked = wording("rewrite").format(
        prompt=_one_line(pair.prompt),
        a=_one_line(pair.a.name),
        b=_one_line(pair.b.name),
        intruder=_one_line(intruder) or "not known",
        count=count,
    )
    schema = _object("prompts", {"type": "array", "items": {"type": "string"}, "minItems": 1})
    known = {pair.prompt.casefold()}
    found = []
    for prompt in map(_one_line, _answer(model, asked, schema)["prompts"]):
        if 0 < len(prompt) <= MAX_PROMPT_LETTERS and prompt.casefold() not in known:
            known.add(prompt.casefold())
            found.append(prompt)
    if not found:
        raise ProposalError(f"{model.model_id} rewrote {pair.prompt!r} into nothing new")
    return found[:count]


def first(model: TextModel, pair: ConceptPair) -> Side:
    """Which concept is better laid down alone, before the other joins it.

    Raises:
        TextModelError: no reply.
        ProposalError: the reply names neither concept.
    """
    asked = wording("first").format(
        prompt=_one_line(pair.prompt), a=_one_line(pair.a.name), b=_one_line(pair.b.name)
    )
    schema = _object("first", {"type": "string", "enum": [pair.a.name, pair.b.name]})
    return Side.A if _answer(model, asked, schema)["first"] == pair.a.name else Side.B


def caption(model: TextModel, picture: Image) -> str:
    """What a picture shows, in one line.

    Raises:
        TextModelError: no reply, or a model that sees no pictures.
    """
    asked = [{"role": "user", "content": wording("caption")}]
    return _one_line(model.complete(asked, images=[picture]))


def _answer(model: TextModel, text: str, schema: dict[str, Any]) -> Any:
    return json.loads(model.complete([{"role": "user", "content": text}], schema=schema))


def _object(name: str, value: dict[str, Any]) -> dict[str, Any]:
    """A schema that endpoints which enforce schemas accept."""
    return {
        "type": "object",
        "properties": {name: value},
        "required": [name],
        "additionalProperties": False,
    }


def _one_line(text: str) -> str:
    return " ".join(text.split())
