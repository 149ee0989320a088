"""Alembic's entry: runs the scripts on the connection that service.store.schema hands over."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=None,  # the scripts stand alone: no package's models are imported here
    render_as_batch=True,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
