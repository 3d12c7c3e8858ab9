"""Files of all versions come to have the same tables."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from napari_wbc.storage.workspace import open_workspace
from napari_wbc.storage.workspace.opening import _engine
from napari_wbc.storage.workspace.schema import upgrade


def tables(path):
    """Columns and indices of each table, but for that of alembic, which older files have."""
    with closing(sqlite3.connect(path)) as file:
        made = file.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        names = {name for (name,) in made} - {"alembic_version"}
        found = {}
        for name in names:
            columns = {row[1:] for row in file.execute(f"PRAGMA table_info({name})")}
            keys = {row[2:] for row in file.execute(f"PRAGMA foreign_key_list({name})")}
            indices = {row[1:] for row in file.execute(f"PRAGMA index_list({name})")}
            found[name] = columns, keys, indices
    return found


def test_files_of_all_versions_come_to_have_the_same_tables(closed, version_1, version_2):
    for older in (version_1, version_2):
        open_workspace(older).close()
        assert tables(older) == tables(closed)


def test_a_file_that_lacks_nothing_stays_as_it_is(closed):
    before = closed.read_bytes()
    engine = _engine(closed, write=True)
    with engine.begin() as db:
        upgrade(db)
    engine.dispose()
    assert closed.read_bytes() == before
