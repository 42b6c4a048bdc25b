"""The contracts of text models and of language models."""

from __future__ import annotations

import contextlib
import json
import math
from typing import TYPE_CHECKING, Any

import pytest

from lcmis.errors import CheckError, ProposalError, TextModelError
from lcmis.testing.given import contract_pictures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lcmis.plugins.protocols import LanguageModel, TextModel

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"prompts": {"type": "array", "items": {"type": "string"}}},
    "required": ["prompts"],
    "additionalProperties": False,
}


class TextModelContract:
    """What every text model must pass: subclass, and say how yours is made."""

    messages: Sequence[dict[str, str]] = (
        {"role": "system", "content": "You write prompts for a text-to-image model."},
        {"role": "user", "content": "Ask for a tea cup of iced coke in other words."},
    )
    """A question that it can answer."""
    schema: dict[str, Any] = SCHEMA
    """JSON that it can be asked for with that question."""

    def make(self) -> TextModel:
        """Yours."""
        raise NotImplementedError("say how your text model is made: write make() in your test")

    def test_its_id_names_it(self) -> None:
        """Replies are kept under it."""
        assert self.make().model_id.strip()

    def test_a_reply_is_text(self) -> None:
        """Some, and nothing but text."""
        reply = self.make().complete(self.messages)
        assert isinstance(reply, str)
        assert reply.strip()

    def test_a_schema_is_kept_or_the_reply_is_an_error(self) -> None:
        """Who asks for JSON reads the reply without another look."""
        import jsonschema

        with contextlib.suppress(TextModelError, ProposalError):
            reply = self.make().complete(self.messages, schema=self.schema)
            jsonschema.validate(json.loads(reply), self.schema)

    def test_pictures_are_refused_where_it_sees_none(self) -> None:
        """With a sentence: a reply about a picture that nobody saw is worse than none."""
        model = self.make()
        if model.sees_images:
            assert model.complete(self.messages, contract_pictures()[:1]).strip()
            return
        with pytest.raises(TextModelError, match=r"\S+ \S+ \S+"):
            model.complete(self.messages, contract_pictures()[:1])

    def test_what_it_is_given_is_left_as_it_was(self) -> None:
        """Messages and schema belong to who asks."""
        messages = [dict(message) for message in self.messages]
        schema = json.loads(json.dumps(self.schema))
        with contextlib.suppress(TextModelError, ProposalError):
            self.make().complete(messages, schema=schema)
        assert messages == [dict(message) for message in self.messages]
        assert schema == self.schema


class LanguageModelContract:
    """What every language model must pass: subclass, and say how yours is made."""

    def make(self) -> LanguageModel:
        """Yours."""
        raise NotImplementedError("say how your language model is made: write make() in your test")

    def test_its_id_names_model_and_revision(self) -> None:
        """Perplexities of two ids are never compared."""
        assert "@" in self.make().language_model_id

    def test_a_perplexity_is_finite_and_at_least_one_and_the_same_again(self) -> None:
        """Whatever else was read before."""
        model = self.make()
        texts = ("a tea cup of iced coke", "coke iced of cup tea a", "the cat sat on the mat " * 40)
        values = [model.perplexity(text) for text in texts]
        assert all(math.isfinite(value) and value >= 1 for value in values)
        assert [model.perplexity(text) for text in texts] == values

    def test_a_text_without_words_has_none(self) -> None:
        """It is an error with a sentence, not a number."""
        with pytest.raises(CheckError, match=r"\S"):
            self.make().perplexity("")
