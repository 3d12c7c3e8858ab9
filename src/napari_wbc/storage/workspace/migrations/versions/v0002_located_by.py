"""What located each cell."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "2"
down_revision = "1"


def upgrade() -> None:
    """Add the column; it stays empty where nobody knows."""
    op.add_column("cells", sa.Column("located_by", sa.Text))
