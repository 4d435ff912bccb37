"""How Alembic runs a step: on the connection that it is given, with batch mode for SQLite."""

from __future__ import annotations

from alembic import context

from cumulet.model import tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=tables.metadata,
    render_as_batch=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
