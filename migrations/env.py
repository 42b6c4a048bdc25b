"""How Alembic runs lcmis's migrations: on the connection that `lcmis.store.schema` hands over."""

from __future__ import annotations

from alembic import context

from lcmis.store.tables import Base

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite alters a table by making it anew
    transactional_ddl=True,
)
context.run_migrations()
