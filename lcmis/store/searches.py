"""What searches for a repair tried and chose, and what services said on the way."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from lcmis.store import documents
from lcmis.store.door import Door
from lcmis.store.rows import insert_new, intern, pair_id
from lcmis.store.tables import CheckerRow, ExchangeRow, ModelRow, NominationRow, SearchRow, TrialRow
from lcmis.types import Exchange, Nomination, Trial


class SearchDoor(Door):
    """Trials, nominations and exchanges with text models."""

    def add_trial(self, trial: Trial) -> None:
        """Keep what a repairer tried.

        Raises:
            UnknownNameError: the pair is not in the store.
        """
        self._add_to_pair(TrialRow, trial)

    def trials(self, pair: str | None = None, model: str | None = None) -> list[Trial]:
        """What was tried for a pair, or for all, by one model or by all; oldest first.

        Raises:
            UnknownNameError: the pair is not in the store.
        """
        return [documents.trial(text) for text in self._of_pair(TrialRow, pair, model)]

    def add_nomination(self, nomination: Nomination) -> None:
        """Keep what a search chose; choosing the same again changes nothing.

        Raises:
            UnknownNameError: the pair is not in the store.
        """
        self._add_to_pair(NominationRow, nomination)

    def nominations(self, pair: str | None = None, model: str | None = None) -> list[Nomination]:
        """What searches chose for a pair, or for all, on one model or on all; oldest first.

        Raises:
            UnknownNameError: the pair is not in the store.
        """
        return [documents.nomination(text) for text in self._of_pair(NominationRow, pair, model)]

    def _add_to_pair(self, table: type[SearchRow], value: Trial | Nomination) -> None:
        row = {"key": value.key, "document": documents.document(value), "repairer": value.repairer}
        with self._writing() as connection:
            row_ids = {
                "pair_id": pair_id(connection, value.pair),
                "model_id": intern(connection, ModelRow, [value.model])[value.model],
                "checker_id": intern(connection, CheckerRow, [value.guide])[value.guide],
            }
            insert_new(connection, table, [row | row_ids])

    def _of_pair(self, table: type[SearchRow], pair: str | None, model: str | None) -> list[str]:
        statement = select(table.document).order_by(table.id)
        with self._reading() as connection:
            if pair is not None:
                statement = statement.where(table.pair_id == pair_id(connection, pair))
            if model is not None:
                statement = statement.join(ModelRow, ModelRow.id == table.model_id)
                statement = statement.where(ModelRow.name == model)
            return list(connection.scalars(statement))

    def add_exchange(self, exchange: Exchange) -> None:
        """Keep what a text model or a checker behind an API was asked and what it said."""
        with self._writing() as connection:
            add_exchanges(connection, [exchange])

    def replies(self, request: str) -> list[str]:
        """All that was ever said to a request, oldest first; what failed is left out."""
        with self._reading() as connection:
            found = connection.scalars(
                select(ExchangeRow.document)
                .where(ExchangeRow.request == request, ExchangeRow.reason == "")
                .order_by(ExchangeRow.id)
            )
            return [documents.exchange(text).reply for text in found]

    def exchanges_of(self, request: str) -> list[Exchange]:
        """All that was ever asked and said under one request, oldest first; failed ones too."""
        with self._reading() as connection:
            found = connection.scalars(
                select(ExchangeRow.document)
                .where(ExchangeRow.request == request)
                .order_by(ExchangeRow.id)
            )
            return [documents.exchange(text) for text in found]

    def last_exchange(self, model: str) -> Exchange | None:
        """The newest one with a text model or checker in which something was said; None of none."""
        with self._reading() as connection:
            found = connection.scalar(
                select(ExchangeRow.document)
                .where(ExchangeRow.model == model, ExchangeRow.reason == "")
                .order_by(ExchangeRow.id.desc())
                .limit(1)
            )
            return None if found is None else documents.exchange(found)

    def exchanges(self, *, after: int = 0, limit: int = 60) -> list[tuple[int, Exchange]]:
        """One page of exchanges with their positions, oldest first, from the one after a
        position; failed ones too.
        """
        with self._reading() as connection:
            rows = connection.execute(
                select(ExchangeRow.id, ExchangeRow.document)
                .where(ExchangeRow.id > after)
                .order_by(ExchangeRow.id)
                .limit(limit)
            )
            return [(row.id, documents.exchange(row.document)) for row in rows]


def add_exchanges(connection: Connection, exchanges: Sequence[Exchange]) -> None:
    """Keep them in a transaction that writes."""
    insert_new(
        connection,
        ExchangeRow,
        [
            {
                "request": exchange.request,
                "model": exchange.model,
                "reason": exchange.reason,
                "document": documents.document(exchange),
            }
            for exchange in exchanges
        ],
    )
