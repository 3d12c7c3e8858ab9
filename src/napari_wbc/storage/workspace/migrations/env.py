"""What alembic runs: it uses the connection it is given."""

from __future__ import annotations

from alembic import context

if hasattr(context, "config"):  # run by alembic, not imported by somebody who looks for examples
    context.configure(connection=context.config.attributes["connection"], transactional_ddl=False)
    context.run_migrations()
