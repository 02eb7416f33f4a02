"""What Alembic runs for a command: the revisions, on the connection that `upgrade` gives it."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    # SQLite cannot change a column: Alembic copies the table then.
    render_as_batch=True,
)
context.run_migrations()
