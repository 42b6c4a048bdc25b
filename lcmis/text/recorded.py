"""What a text model is asked and says: kept as facts, asked once, counted against a budget."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lcmis.errors import ItemError, ServiceClosed
from lcmis.machine.budget import Budget
from lcmis.plugins.protocols import KeepsExchanges, TellsAttempts, TextModel
from lcmis.plugins.settings import TextModelSettings
from lcmis.text.chat import request_of
from lcmis.text.endpoint import clean

if TYPE_CHECKING:
    from PIL.Image import Image


class Correspondence:
    """A text model within one search: what was answered before is not asked again.

    The n-th time that a search asks the same thing it gets the n-th reply that was ever given to
    it; where there are not so many, the model is asked, and its reply is kept. So a search that is
    done again, or was cut off, goes the same way and asks nothing twice, with no endpoint at all
    if need be. What failed is kept too, and asked again. A model that asks several times for one
    reply has each attempt kept as it was said, under a name of its own, as soon as it ends.

    Args:
        model: is asked what is not known.
        settings: with which it was opened.
        store: where exchanges are kept.
        calls: that the search may make, those answered from the store counted too, so that it ends
            where it would have ended; None is without limit.
    """

    def __init__(
        self,
        model: TextModel,
        settings: TextModelSettings,
        store: KeepsExchanges,
        calls: int | None = None,
    ) -> None:
        self.model_id = model.model_id
        self.sees_images = model.sees_images
        self._model = model
        self._settings = settings
        self._store = store
        self.failure = ""
        """Why a request was not answered, the last of those; empty where all were."""
        self._budget = Budget(calls=calls)
        self._times = Counter[str]()

    @property
    def calls(self) -> int:
        """Made by now."""
        return self._budget.calls

    def complete(
        self,
        messages: Sequence[dict[str, str]],
        images: Sequence[Image] = (),
        schema: dict[str, Any] | None = None,
    ) -> str:
        """The reply's text, as the model gives it or once gave it.

        Raises:
            OutOfBudget: the calls are spent.
            TextModelError: no reply.
            ProposalError: a reply that cannot be used.
            ServiceClosed: there will be none to anything.
        """
        self._budget.call()
        request = request_of(self.model_id, self._settings, messages, images, schema)
        key = request.key
        known = self._store.replies(key)
        self._times[key] += 1
        if len(known) >= self._times[key]:
            return known[self._times[key] - 1]
        started = time.monotonic()
        if isinstance(self._model, TellsAttempts):
            self._model.record = self._store.add_exchange
        try:
            reply = clean(self._model.complete(messages, images, schema))
        except (ItemError, ServiceClosed) as error:
            self.failure = clean(str(error))
            self._store.add_exchange(request.exchange("", self.failure, started))
            raise
        self._store.add_exchange(request.exchange(reply, "", started))
        return reply
