"""What is written is read again, exactly, as state and as journal."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tests.storage.workspace.conftest import SLIDE, cells

from napari_wbc.errors import WbcError
from napari_wbc.model.cell import Annotation, Cell, Detection, LocatedBy
from napari_wbc.model.geometry import BBox
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.model.step import Step, StepHead
from napari_wbc.model.table import CellTable, diff
from napari_wbc.model.taxonomy import EIGHT_CLASSES, FIVE_CLASSES
from napari_wbc.storage.workspace import create_workspace, open_workspace

ONE = Cell("a", "s/0.png", Detection(BBox(0, 0, 9, 9)))


def step(seq, old, new, cause="human", of=0):
    return Step(seq, f"step {seq}", cause, diff(old, new), "me", "2026-01-01T00:00:00+00:00", of)


def rows(path, query):
    with closing(sqlite3.connect(path)) as file:
        return file.execute(query).fetchall()


def test_a_new_project_is_empty(workspace):
    assert len(workspace.table("s")) == 0
    assert workspace.history("s") == ([], [])
    assert (workspace.last, workspace.read_only, workspace.get("place")) == (0, "", None)
    assert workspace.slides() == (SLIDE,)


def test_nothing_can_be_written_of_nothing(workspace):
    workspace.write("s", [])
    assert workspace.last == 0


def test_the_taxonomy_comes_back(tmp_path):
    made = create_workspace(tmp_path / "five.wbc", FIVE_CLASSES)
    made.close()
    again = open_workspace(tmp_path / "five.wbc")
    assert again.taxonomy == FIVE_CLASSES
    again.close()


def test_notes_are_kept_and_replaced(workspace):
    for value in ({"at": [1, 2.5, None]}, "ü"):
        workspace.put("place", value)
        assert workspace.get("place") == value


@settings(max_examples=25, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(
    st.lists(st.lists(cells, max_size=5, unique_by=lambda c: c.cell_id).map(CellTable), max_size=6)
)
def test_every_table_comes_back_and_every_step_leads_back(tables):
    with TemporaryDirectory() as folder:
        workspace = create_workspace(Path(folder) / "p.wbc", EIGHT_CLASSES)
        workspace.put_slide(SLIDE)
        seen = [CellTable(), *tables]
        for i, (old, new) in enumerate(zip(seen, tables, strict=False), 1):
            workspace.write("s", [step(i, old, new)])
            assert workspace.table("s") == new
        workspace.close()
        workspace = open_workspace(Path(folder) / "p.wbc")
        table = workspace.table("s")
        assert table == seen[-1]
        for i in range(len(tables), 0, -1):
            table = workspace.stepped(table, i, back=True)
            assert table == seen[i - 1]
        for i, expected in enumerate(tables, 1):
            table = workspace.stepped(table, i, back=False)
            assert table == expected
        workspace.close()


def test_the_order_of_cells_is_kept(workspace):
    many = CellTable(Cell(key, "s/0.png", ONE.detection) for key in "zyxabc")
    workspace.write("s", [step(1, CellTable(), many)])
    less = many.without("x").with_cells([many["y"].annotated(Annotation("monocyte"))])
    workspace.write("s", [step(2, many, less)])
    assert list(workspace.table("s")) == list("zyabc")


def test_the_journal_says_who_said_what_when_and_what_was_before(workspace, path):
    table, said = CellTable([ONE]), []
    workspace.write("s", [step(1, CellTable(), table, "model")])
    for i, label in enumerate(["basophil", "monocyte"], 2):
        new = table.with_cells([ONE.annotated(Annotation(label, "me", f"at {i}"))])
        workspace.write("s", [step(i, table, new)])
        table = new
    for was, now, by, cause in rows(
        path,
        "SELECT was, now, by, cause FROM changes JOIN steps USING (seq) WHERE seq > 1 ORDER BY seq",
    ):
        said.append(
            (json.loads(was)["annotation"], json.loads(now)["annotation"]["label"], by, cause)
        )
    assert said[0] == (None, "basophil", "me", "human")
    assert said[1] == (
        {"label": "basophil", "annotator": "me", "when": "at 2"},
        "monocyte",
        "me",
        "human",
    )


def test_a_label_writes_no_geometry(workspace, path):
    table = CellTable([ONE])
    new = table.with_cells([ONE.annotated(Annotation("basophil"))])
    workspace.write("s", [step(1, CellTable(), table), step(2, table, new)])
    ((was, now),) = rows(path, "SELECT was, now FROM changes WHERE seq = 2")
    assert (set(json.loads(was)), set(json.loads(now))) == ({"annotation"}, {"annotation"})


def test_cells_of_one_run_share_what_located_them(workspace):
    network = LocatedBy("mask-rcnn/net 1", (("score", 0.5), ("overlap", 0.25)))
    found = [Cell(key, "s/0.png", Detection(BBox(0, 0, 9, 9), located_by=network)) for key in "abc"]
    workspace.write("s", [step(1, CellTable(), CellTable(found))])
    read = [cell.detection.located_by for cell in workspace.table("s").values()]
    assert read == [network] * 3
    assert len({id(one) for one in read}) == 1


def test_undo_and_redo_are_found_in_the_journal(workspace):
    a, b = CellTable(), CellTable([ONE])
    workspace.write("s", [step(1, a, b), step(2, b, a), step(3, a, b)])
    assert workspace.history("s") == ([StepHead(i, f"step {i}") for i in (1, 2, 3)], [])
    workspace.write(
        "s", [step(4, b, a, "undo", 3), step(5, a, b, "undo", 2), step(6, b, a, "redo", 2)]
    )
    assert workspace.history("s") == (
        [StepHead(i, f"step {i}") for i in (1, 2)],
        [StepHead(3, "step 3")],
    )
    workspace.write("s", [step(7, a, b)])
    assert workspace.history("s") == ([StepHead(i, f"step {i}") for i in (1, 2, 7)], [])
    assert [cell.cell_id for cell in workspace.removed([1, 2])] == ["a"]


def test_readings_keep_their_own_annotations(workspace):
    table = CellTable([ONE])
    workspace.write("s", [step(1, CellTable(), table)])
    for seq, reading, label in ((2, "", "basophil"), (3, "second", "monocyte")):
        said = table.with_cells([ONE.annotated(Annotation(label))])
        workspace.write("s", [step(seq, table, said)], reading)
    assert workspace.table("s")["a"].label == "basophil"
    assert workspace.table("s", "second")["a"].label == "monocyte"
    assert workspace.table("s", "third")["a"].annotation is None
    assert workspace.readings("s") == ("", "second")
    assert [head.seq for head in workspace.history("s", "second")[0]] == [3]


def test_a_step_that_fails_leaves_nothing(workspace):
    table = CellTable([ONE])
    lost = Cell("b", "elsewhere.png", ONE.detection)
    with pytest.raises(WbcError, match="cannot be written"):
        workspace.write(
            "s", [step(1, CellTable(), table), step(2, table, table.with_cells([lost]))]
        )
    assert (len(workspace.table("s")), workspace.last) == (0, 0)


def test_a_slide_that_moved_with_its_project_is_found(tmp_path):
    before, after = tmp_path / "before", tmp_path / "after"
    (before / "slide").mkdir(parents=True)
    image = before / "slide" / "1.png"
    image.write_bytes(b"pixels")
    made = create_workspace(before / "p.wbc", EIGHT_CLASSES)
    made.put_slide(Slide("slide", (FieldOfView("slide/1.png", image),)))
    made.close()
    before.rename(after)
    again = open_workspace(after / "p.wbc")
    assert again.slides()[0].fields[0].path == after / "slide" / "1.png"
    again.close()


def test_a_field_belongs_to_one_slide(workspace):
    with pytest.raises(WbcError, match="one of slide 's' already"):
        workspace.put_slide(Slide("other", SLIDE.fields[:1]))
    assert workspace.slides() == (SLIDE,)
