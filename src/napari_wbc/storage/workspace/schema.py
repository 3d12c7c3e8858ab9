"""Tables of a project file, and how a file of an older version comes to have them.

A new version adds columns that may be NULL, or tables; a column that is there never changes. So the
tables of today, less what a file has already, are all that an upgrade adds.
"""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
)

VERSION = 4
"""``user_version`` of a project file. Version 1 does not say what located a cell, version 2 not
which cells are candidates, and version 3 has no seals."""

metadata = MetaData()

notes = Table(
    "notes", metadata, Column("key", Text, primary_key=True), Column("value", Text, nullable=False)
)
"""The taxonomy, the place in the queue, the view and what is kept of analyses, as JSON."""

slides = Table(
    "slides",
    metadata,
    Column("slide", Text, primary_key=True),
    Column("position", Integer, nullable=False),
)

fields = Table(
    "fields",
    metadata,
    Column("fov_id", Text, primary_key=True),
    Column("slide", Text, ForeignKey("slides.slide"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("path", Text, nullable=False),
    Column("relative", Text),
    Column("size", Integer),
    Column("modified", Integer),
    Column("sha256", Text),
)
"""``relative`` is the path from the project's folder; ``modified`` is in nanoseconds."""

cells = Table(
    "cells",
    metadata,
    Column("position", Integer, primary_key=True, autoincrement=True),
    Column("cell_id", Text, nullable=False, unique=True),
    Column("slide", Text, ForeignKey("slides.slide"), nullable=False, index=True),
    Column("fov_id", Text, ForeignKey("fields.fov_id"), nullable=False),
    Column("top", Float, nullable=False),
    Column("left", Float, nullable=False),
    Column("bottom", Float, nullable=False),
    Column("right", Float, nullable=False),
    Column("outline", Text),
    Column("score", Float, nullable=False),
    Column("drawn", Integer, nullable=False),
    Column("located_by", Text),
    Column("candidate", Integer),
)
"""``located_by`` is the detector with its parameters as JSON; NULL where a person drew the cell or
it is not known. ``candidate`` is NULL in rows of older versions, which had none."""

predictions = Table(
    "predictions",
    metadata,
    Column("cell_id", Text, ForeignKey("cells.cell_id", ondelete="CASCADE"), primary_key=True),
    Column("label", Text, nullable=False),
    Column("confidence", Float, nullable=False),
    Column("names", Text, nullable=False),
    Column("probabilities", Text, nullable=False),
    Column("threshold", Float, nullable=False),
    Column("model_id", Text, nullable=False),
    Column("weights", Text, nullable=False),
    Column("unlikeness", Float),
)

annotated = Table(
    "annotations",
    metadata,
    Column("cell_id", Text, primary_key=True),
    Column("reading", Text, primary_key=True),
    Column("label", Text, nullable=False),
    Column("annotator", Text, nullable=False),
    Column("when", Text, nullable=False),
)
"""``reading`` is empty for the first reader, else the name of the blind reading. What other readers
said of a cell stays when it is taken out, for it may come back; so there is no foreign key."""

steps = Table(
    "steps",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("slide", Text, ForeignKey("slides.slide"), nullable=False),
    Column("reading", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("when", Text, nullable=False),
    Column("of", Integer, nullable=False),
    Index("steps_of_reading", "slide", "reading"),
)

changes = Table(
    "changes",
    metadata,
    Column("change", Integer, primary_key=True, autoincrement=True),
    Column("seq", Integer, ForeignKey("steps.seq"), nullable=False),
    Column("cell_id", Text, nullable=False),
    Column("was", Text),
    Column("now", Text),
    Index("changes_of_step", "seq", "cell_id", unique=True),
    Index("changes_of_cell", "cell_id"),
)
"""The parts of a cell that a step changed, before and after, as JSON; NULL where it was absent."""


for _table in metadata.tables.values():
    # Of the other columns, as the module seal computes it.
    _table.append_column(Column("seal", Integer))


def upgrade(db: Connection) -> None:
    """Give a file the tables and columns that it lacks; one that has them all stays as it is."""
    metadata.create_all(db)
    for table in metadata.sorted_tables:
        # Asked of the table itself, since the version that a file says may be older than its
        # columns.
        query = "SELECT name FROM pragma_table_info(?)"
        existing = db.exec_driver_sql(query, (table.name,)).scalars().all()
        for column in table.columns:
            if column.name not in existing:
                kind = column.type.compile(db.dialect)
                db.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {column.name} {kind}")
