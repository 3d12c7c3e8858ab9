"""The first project file: slides, fields, cells, predictions, annotations and the journal."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "1"
down_revision = None


def upgrade() -> None:
    """Make all tables."""
    op.create_table(
        "notes",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "slides",
        sa.Column("slide", sa.Text, primary_key=True),
        sa.Column("position", sa.Integer, nullable=False),
    )
    op.create_table(
        "fields",
        sa.Column("fov_id", sa.Text, primary_key=True),
        sa.Column("slide", sa.Text, sa.ForeignKey("slides.slide"), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("relative", sa.Text),
        sa.Column("size", sa.Integer),
        sa.Column("modified", sa.Integer),
        sa.Column("sha256", sa.Text),
    )
    op.create_table(
        "cells",
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("cell_id", sa.Text, nullable=False, unique=True),
        sa.Column("slide", sa.Text, sa.ForeignKey("slides.slide"), nullable=False, index=True),
        sa.Column("fov_id", sa.Text, sa.ForeignKey("fields.fov_id"), nullable=False),
        *(sa.Column(edge, sa.Float, nullable=False) for edge in ("top", "left", "bottom", "right")),
        sa.Column("outline", sa.Text),
        sa.Column("score", sa.Float, nullable=False),
        sa.Column("drawn", sa.Integer, nullable=False),
    )
    op.create_table(
        "predictions",
        sa.Column(
            "cell_id", sa.Text, sa.ForeignKey("cells.cell_id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("confidence", sa.Float, nullable=False),
        sa.Column("names", sa.Text, nullable=False),
        sa.Column("probabilities", sa.Text, nullable=False),
        sa.Column("threshold", sa.Float, nullable=False),
        sa.Column("model_id", sa.Text, nullable=False),
        sa.Column("weights", sa.Text, nullable=False),
        sa.Column("unlikeness", sa.Float),
    )
    op.create_table(
        "annotations",
        sa.Column("cell_id", sa.Text, primary_key=True),
        sa.Column("reading", sa.Text, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("label", "annotator", "when")),
    )
    op.create_table(
        "steps",
        sa.Column("seq", sa.Integer, primary_key=True),
        sa.Column("slide", sa.Text, sa.ForeignKey("slides.slide"), nullable=False),
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("reading", "what", "cause", "by", "when")
        ),
        sa.Column("of", sa.Integer, nullable=False),
    )
    op.create_index("steps_of_reading", "steps", ["slide", "reading"])
    op.create_table(
        "changes",
        sa.Column("change", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("seq", sa.Integer, sa.ForeignKey("steps.seq"), nullable=False),
        sa.Column("cell_id", sa.Text, nullable=False),
        sa.Column("was", sa.Text),
        sa.Column("now", sa.Text),
    )
    op.create_index("changes_of_step", "changes", ["seq", "cell_id"], unique=True)
    op.create_index("changes_of_cell", "changes", ["cell_id"])
