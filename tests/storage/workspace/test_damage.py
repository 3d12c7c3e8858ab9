"""A damaged project is told, never read as another: flipped bits, odd values, strangers' tables."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import update
from tests.storage.workspace.conftest import SLIDE
from tests.storage.workspace.test_workspace import step

from napari_wbc.errors import WbcError, WorkspaceError
from napari_wbc.model.cell import Annotation, Cell, Detection, LocatedBy, Prediction
from napari_wbc.model.differential import differential
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.storage.workspace import backup_of, create_workspace, open_workspace, schema
from napari_wbc.storage.workspace.seal import as_sql, know_seals, seal_of

FLIPS = 200
OUTLINE = Outline(((1.0, 2.0), (1.0, 12.5), (11.0, 12.5)))
FOUND = Cell(
    "a",
    "s/0.png",
    Detection(OUTLINE.bbox, OUTLINE, 0.875, located_by=LocatedBy("net", (("score", 0.5),))),
    Prediction(EIGHT_CLASSES.names, (0.3, *[0.1] * 7), 0.25, "cdnn 3", 0.75, "ab" * 32),
    Annotation("monocyte", "me", "2026-01-03T00:00:00+00:00"),
)
DRAWN = Cell("b", "s/1.png", Detection(BBox(1, 1, 10, 10), drawn=True))


@pytest.fixture
def project(tmp_path):
    """A closed project with two cells, read twice, with an undo and notes; and its backup."""
    path = tmp_path / "p.wbc"
    with closing(create_workspace(path, EIGHT_CLASSES)) as made:
        made.put_slide(SLIDE)
        both = CellTable([FOUND, DRAWN])
        named = both.with_cells([DRAWN.annotated(Annotation("basophil", "you", "then"))])
        made.write("s", [step(1, CellTable(), both), step(2, both, named)])
        made.write("s", [step(3, named, both, "undo", 2)])
        made.write("s", [step(4, both, named)], "second")
        made.put("place", {"field": "s/0.png", "queue": 1})
        facts = {"key": "s/0.png", "size": 5, "modified": 6, "sha256": "cd" * 32}
        made.put_image_facts([facts])
    open_workspace(path).close()
    return path


def content(path):
    """All that a project says."""
    with closing(open_workspace(path, read_only=True)) as opened:
        told = [opened.taxonomy, opened.slides(), opened.get("place"), opened.image_facts("s")]
        for reading in opened.readings("s"):
            table = opened.table("s", reading)
            past, future = opened.history("s", reading)
            told += [reading, dict(table), past, future]
            for head in (*past, *future):
                told.append(dict(opened.stepped(table, head.seq, back=head in past)))
        return [*told, opened.removed(range(9))]


def change(path, statement, sealed=True):
    """Change a project as another program would; whether the rows are sealed again."""
    with closing(sqlite3.connect(path)) as file, file:
        know_seals(file)
        file.execute(statement)
        for table in schema.metadata.sorted_tables if sealed else ():
            file.execute(as_sql(update(table).values(seal=seal_of(table))))


def test_a_flipped_bit_is_told_or_changes_nothing(project):
    rng = random.Random(22)
    whole = project.read_bytes()
    expected = content(project)
    # Most of a small file is room that nothing is read from.
    used = [i for i, byte in enumerate(whole) if byte]
    told = 0
    for _ in range(FLIPS):
        data = bytearray(whole)
        data[rng.choice(used)] ^= 1 << rng.randrange(8)
        project.write_bytes(data)
        try:
            read = content(project)
        except WbcError:
            told += 1
            continue
        assert read == expected
    assert told > FLIPS / 2


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE annotations SET label = 'lonocyte'",
        "UPDATE cells SET top = top + 1",
        "UPDATE predictions SET model_id = 'cdnn 2'",
        "UPDATE changes SET now = replace(now, 'basophil', 'monocyte')",
        "UPDATE steps SET by = 'You'",
        "UPDATE notes SET value = replace(value, 'basophil', 'Basophil')",
        "UPDATE fields SET path = replace(path, '0.png', '1.png')",
        "UPDATE slides SET position = 1",
        "UPDATE cells SET seal = NULL",
        "UPDATE cells SET outline = CAST(x'ff' AS TEXT)",
        "UPDATE annotations SET label = CAST(x'ff' AS TEXT)",
    ],
)
def test_a_value_that_changed_in_the_file_is_told_and_the_backup_named(project, statement):
    change(project, statement, sealed=False)
    backup = backup_of(project).read_bytes()
    with pytest.raises(WorkspaceError, match="damaged") as caught:
        open_workspace(project)
    assert caught.value.backup == backup_of(project)
    assert backup_of(project).read_bytes() == backup


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE cells SET top = 'high'",
        "UPDATE cells SET top = 9e99, bottom = 9e100",
        "UPDATE cells SET left = 9e999",
        "UPDATE cells SET bottom = top",
        "UPDATE cells SET score = 7",
        "UPDATE cells SET drawn = 'no'",
        "UPDATE cells SET outline = '[[1, 2], [3]]'",
        "UPDATE cells SET outline = '[[1, 2], [3, \"4\"], [5, 6]]'",
        "UPDATE cells SET outline = '[[1, 2], [3, NaN], [5, 6]]'",
        "UPDATE cells SET outline = '[' || hex(zeroblob(3000))",
        "UPDATE cells SET outline = replace(hex(zeroblob(9000)), '00', '[')",
        'UPDATE cells SET outline = \'{"ab": 1, "cd": 2, "ef": 3}\'',
        "UPDATE cells SET located_by = '[]'",
        "UPDATE cells SET cell_id = x'00' WHERE cell_id = 'b'",
        "UPDATE cells SET fov_id = 'nowhere'",
        "UPDATE predictions SET names = '\"neutrophil\"'",
        "UPDATE predictions SET names = '[1, 2, 3, 4, 5, 6, 7, 8]'",
        "UPDATE predictions SET names = replace(names, '\"neutrophil\"', '\"\"')",
        "UPDATE predictions SET probabilities = '[]'",
        "UPDATE predictions SET probabilities = '[\"a\", 0, 0, 0, 0, 0, 0, 0]'",
        "UPDATE predictions SET probabilities = '[true, 0, 0, 0, 0, 0, 0, 0]'",
        "UPDATE predictions SET threshold = -1",
        "UPDATE predictions SET unlikeness = -1",
        "UPDATE predictions SET cell_id = 'nobody'",
        "UPDATE annotations SET label = ''",
        "UPDATE annotations SET label = 'a' || char(10) || 'b'",
        "UPDATE annotations SET label = x'ff'",
        "UPDATE changes SET now = '3'",
        "UPDATE changes SET now = '\"fov_id\"'",
        "UPDATE changes SET was = '{\"annotation\": 0}' WHERE seq = 4",
        "UPDATE changes SET was = '{\"detection\": null}' WHERE seq = 4",
        "UPDATE changes SET was = '{\"prediction\": {}}' WHERE seq = 4",
        "UPDATE steps SET cause = 'undo'",
        "UPDATE steps SET cause = 'redo' WHERE seq = 1",
        "UPDATE steps SET slide = 'another'",
        "UPDATE notes SET value = '{' WHERE key = 'taxonomy'",
        "UPDATE notes SET value = 'null' WHERE key = 'taxonomy'",
        "DELETE FROM notes WHERE key = 'taxonomy'",
        "UPDATE notes SET value = 'nonsense' WHERE key = 'place'",
        "UPDATE fields SET path = 'a' || char(0)",
        "UPDATE fields SET size = 'large'",
        "INSERT INTO slides (slide, position) VALUES (x'00', 1)",
    ],
)
def test_an_odd_value_is_damage_also_where_its_seal_is_right(project, statement):
    change(project, statement)
    with pytest.raises(WorkspaceError, match="damaged") as caught:
        content(project)
    assert str(project) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.backup == backup_of(project)


def test_a_path_that_is_too_long_is_that_of_an_image_that_is_gone(project):
    change(project, "UPDATE fields SET path = hex(zeroblob(3000)), relative = path")
    with closing(open_workspace(project)) as opened:
        assert len(opened.slides()[0].fields) == 3


def test_cells_in_a_field_of_another_slide_are_damage(project):
    change(project, "INSERT INTO slides (slide, position) VALUES ('t', 1)")
    change(project, "UPDATE cells SET slide = 't'")
    with pytest.raises(WorkspaceError, match="another slide's field"):
        open_workspace(project)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE VIEW seen AS SELECT * FROM cells",
        "CREATE TRIGGER gone AFTER INSERT ON steps BEGIN DELETE FROM cells; END",
        "CREATE TABLE photographs (name TEXT)",
        "CREATE VIRTUAL TABLE words USING fts5(word)",
    ],
)
@pytest.mark.parametrize("version", [schema.VERSION, schema.VERSION - 1])
def test_a_stranger_in_the_file_is_refused_and_never_run(project, statement, version):
    change(project, statement)
    change(project, f"PRAGMA user_version = {version}", sealed=False)
    before = project.read_bytes()
    with pytest.raises(WorkspaceError, match="which no project has"):
        open_workspace(project)
    assert project.read_bytes() == before


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE cells DROP COLUMN candidate",
        "ALTER TABLE cells ADD COLUMN more AS (top * 2)",
        "DROP TABLE changes",
        "DROP INDEX changes_of_cell",
    ],
)
def test_tables_of_another_form_are_damage(project, statement):
    change(project, statement, sealed=False)
    with pytest.raises(WorkspaceError, match="its tables are not those of a project"):
        open_workspace(project)


@pytest.fixture
def unsealed(project):
    """The project as version 3 had it, with a sound backup."""
    for table in schema.metadata.tables:
        change(project, f"ALTER TABLE {table} DROP COLUMN seal", sealed=False)
    change(project, "PRAGMA user_version = 3", sealed=False)
    shutil.copy(project, backup_of(project))
    return project


def test_rows_of_an_older_version_are_sealed(unsealed):
    expected = content(unsealed)
    open_workspace(unsealed).close()
    assert content(unsealed) == expected
    change(unsealed, "UPDATE cells SET score = 0.5", sealed=False)
    with pytest.raises(WorkspaceError, match="damaged"):
        open_workspace(unsealed)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE annotations SET label = x'ff'",
        "UPDATE annotations SET label = CAST(x'ff' AS TEXT)",
        "UPDATE cells SET outline = '[[1, 2], [3]]'",
        "UPDATE notes SET value = '{' WHERE key = 'taxonomy'",
        "UPDATE steps SET cause = 'undo'",
    ],
)
@pytest.mark.parametrize("read_only", [False, True])
def test_a_damaged_file_of_an_older_version_is_left_and_keeps_its_backup(
    unsealed, statement, read_only
):
    change(unsealed, statement, sealed=False)
    before = unsealed.read_bytes()
    kept = backup_of(unsealed).read_bytes()
    with pytest.raises(WorkspaceError) as caught:
        open_workspace(unsealed, read_only=read_only)
    assert "\n" not in str(caught.value)
    assert caught.value.backup == backup_of(unsealed)
    assert backup_of(unsealed).read_bytes() == kept
    assert unsealed.read_bytes() == before
    assert not list(unsealed.parent.glob(".*.part"))


def test_a_label_that_no_class_has_is_shown_and_counted_as_itself(project):
    change(project, "UPDATE annotations SET label = 'hairy cell' WHERE reading = ''")
    with closing(open_workspace(project)) as opened:
        table = opened.table("s")
    assert table["a"].label == "hairy cell"
    beside = {row.name: row.count for row in differential("s", table, EIGHT_CLASSES).beside}
    assert beside["hairy cell"] == 1
