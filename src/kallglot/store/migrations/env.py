"""Alembic's entry: runs on the connection it is given, inside that connection's transaction."""

from __future__ import annotations

from alembic import context

from kallglot.store.tables.base import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, compare_type=True, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
