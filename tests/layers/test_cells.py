from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from napari.layers import Shapes

from napari_wbc.layers.binding import CellsBinding
from napari_wbc.layers.cells import make_layer, read, vertices
from napari_wbc.model.cell import Annotation, Cell, Detection, Prediction
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.model.taxonomy import EIGHT_CLASSES, UNIDENTIFIED
from napari_wbc.session.session import Session

FIRST, SECOND = "slide/1.png", "slide/2.png"
SQUARE = np.array([[0.0, 0.0], [0.0, 20.0], [20.0, 20.0], [20.0, 0.0]])
TURN = np.linspace(0, 2 * np.pi, 24, endpoint=False)
CIRCLE = 10 * np.column_stack([np.sin(TURN), np.cos(TURN)])


def boxed(top: float = 10, left: float = 10, fov: str = FIRST) -> Cell:
    return Cell.new(fov, Detection(BBox(top, left, top + 20, left + 30), score=0.9))


def outlined(row: float = 50, col: float = 60, fov: str = FIRST) -> Cell:
    outline = Outline.from_array(CIRCLE + np.array([row, col]))
    return Cell.new(fov, Detection(outline.bbox, outline, 0.9))


def predicted(cell: Cell, name: str = "lymphocyte") -> Cell:
    probabilities = tuple(float(n == name) for n in EIGHT_CLASSES.names)
    return cell.predicted(Prediction(EIGHT_CLASSES.names, probabilities))


@pytest.fixture
def session() -> Session:
    session = Session()
    session.open(
        Slide("slide", (FieldOfView(FIRST, Path("1.png")), FieldOfView(SECOND, Path("2.png"))))
    )
    return session


@pytest.fixture
def layer() -> Shapes:
    return make_layer((), EIGHT_CLASSES)


@pytest.fixture
def binding(session: Session, layer: Shapes) -> CellsBinding:
    session.reader = "ada"
    return CellsBinding(session, layer)


def put(session: Session, *cells: Cell) -> tuple[Cell, ...]:
    session.commit(session.table.with_cells(cells), "put")
    return cells


def shown(layer: Shapes) -> list[str]:
    return layer.features["cell_id"].tolist()


def agree(session: Session, layer: Shapes, fov: str = FIRST) -> bool:
    """Whether the layer shows the field's cells: ids, places, labels and colours."""
    cells = {cell.cell_id: cell for cell in session.table.of_field(fov)}
    assert len(layer.data) == len(layer.features)
    assert sorted(shown(layer)) == sorted(cells)
    for key, label, data, color in zip(
        shown(layer),
        layer.features["label"],
        layer.data,
        layer.edge_color[: layer.nshapes],
        strict=True,
    ):
        np.testing.assert_allclose(data, vertices(cells[key].detection), atol=0.01)
        assert label == cells[key].label
        np.testing.assert_allclose(color, rgba(label), atol=1e-6)
    assert layer.feature_defaults["cell_id"].tolist() == [""]
    return True


def rgba(label: str) -> list[float]:
    color = EIGHT_CLASSES.colors[label]
    return [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)] + [1.0]


def by_hand(layer: Shapes, data: np.ndarray, kind: str = "rectangle") -> None:
    """Draw as the mouse does: the shape is there at once, the event comes at its end."""
    layer._is_creating = True
    layer.add(data, shape_type=kind, gui=True)
    layer.selected_data = {layer.nshapes - 1}
    layer._moving_value = (layer.nshapes - 1, 4)
    layer._finish_drawing()


def test_no_cells(session, layer, binding):
    assert read(layer) == ()
    binding.pull()
    assert not session.undoable
    assert agree(session, layer)


def test_no_field_in_view(layer):
    session = Session()
    _binding = CellsBinding(session, layer)
    by_hand(layer, SQUARE)
    assert len(session.table) == 0


def test_shows_what_the_table_holds(session, layer, binding):
    put(session, predicted(boxed()), outlined())
    assert agree(session, layer)
    assert layer.shape_type == ["rectangle", "polygon"]


@pytest.mark.parametrize("cell", [boxed(3.25, 4.5), outlined(33.3, 44.7)])
def test_half_a_pixel_there_and_back(cell):
    layer = make_layer([cell], EIGHT_CLASSES)
    np.testing.assert_allclose(
        layer.data[0].min(axis=0), (cell.detection.bbox.top - 0.5, cell.detection.bbox.left - 0.5)
    )
    (row,) = read(layer)
    edges = (row.bbox.top, row.bbox.left, row.bbox.bottom, row.bbox.right)
    bbox = cell.detection.bbox
    np.testing.assert_allclose(edges, (bbox.top, bbox.left, bbox.bottom, bbox.right), atol=1e-4)


def test_box_of_one_pixel_lies_on_it():
    layer = make_layer([Cell.new(FIRST, Detection(BBox(7, 9, 8, 10)))], EIGHT_CLASSES)
    np.testing.assert_allclose(layer.data[0].mean(axis=0), (7, 9))


@pytest.mark.parametrize("inherited", ["row", "defaults"])
def test_drawn_shape_is_a_new_cell_whatever_features_it_inherits(
    session, layer, binding, inherited
):
    (old,) = put(session, predicted(boxed()))
    features = layer.features.iloc[-1].to_dict()
    if inherited == "defaults":
        layer.feature_defaults = features
    else:
        layer.selected_data = {0}
        layer._feature_table._defaults = layer.features.iloc[[-1]].reset_index(drop=True)
    by_hand(layer, SQUARE + 50)
    assert session.table[old.cell_id] == old
    (new,) = (cell for cell in session.table.values() if cell.cell_id != old.cell_id)
    assert new.label == UNIDENTIFIED
    assert new.label_source == "none"
    assert new.detection == Detection(BBox(50.5, 50.5, 70.5, 70.5), drawn=True)
    assert agree(session, layer)
    assert binding.selected() == (new.cell_id,)


def test_pasted_shape_is_a_new_cell(session, layer, binding):
    (old,) = put(session, predicted(boxed()).annotated(Annotation("monocyte", "bob")))
    layer.selected_data = {0}
    layer._copy_data()
    layer._paste_data()
    assert len(session.table) == 2
    assert session.table[old.cell_id] == old
    (new,) = (cell for cell in session.table.values() if cell.cell_id != old.cell_id)
    assert new.annotation is None
    assert agree(session, layer)
    assert session.undo() == "draw 1 cell"
    assert agree(session, layer)


def test_moved_box_keeps_id_and_annotation_and_drops_the_rest(session, layer, binding):
    said = Annotation("monocyte", "bob")
    cell, other = put(session, predicted(outlined()).annotated(said), boxed())
    layer.data = [layer.data[0] + (5, 0), layer.data[1]]
    now = session.table[cell.cell_id]
    assert now.prediction is None
    assert now.annotation == said
    assert now.detection.bbox.top == pytest.approx(cell.detection.bbox.top + 5, abs=1e-4)
    assert session.table[other.cell_id] is other
    assert agree(session, layer)


def test_moved_rectangle_has_no_outline(session, layer, binding):
    (cell,) = put(session, boxed())
    layer.data = [layer.data[0] + 3]
    assert session.table[cell.cell_id].detection.outline is None


def test_deleted_shape(session, layer, binding):
    gone, left = put(session, boxed(), outlined())
    layer.selected_data = {0}
    layer.remove_selected()
    assert list(session.table) == [left.cell_id]
    session.undo()
    assert session.table[gone.cell_id] == gone
    assert agree(session, layer)


def test_all_deleted(session, layer, binding):
    put(session, boxed(), outlined())
    layer.data = []
    assert len(session.table) == 0
    assert agree(session, layer)


def test_label_edited_in_the_features_table_is_taken_in_at_the_next_pull(session, layer, binding):
    (cell,) = put(session, predicted(boxed()))
    layer.features.loc[0, "label"] = "basophil"
    assert session.table[cell.cell_id] is cell
    binding.pull()
    annotation = session.table[cell.cell_id].annotation
    assert annotation is not None
    assert (annotation.label, annotation.annotator) == ("basophil", "ada")
    assert session.table[cell.cell_id].prediction == cell.prediction
    assert agree(session, layer)


@pytest.mark.parametrize(
    ("column", "value"), [("label", "nonsense"), ("label", None), ("cell_id", "nobody")]
)
def test_nonsense_in_the_features_table_is_mended(session, layer, binding, column, value):
    cell, other = put(session, predicted(boxed()), outlined())
    layer.features.loc[0, column] = value
    binding.pull()
    assert session.table[other.cell_id] is other
    assert [c.detection.bbox for c in session.table.values()].count(cell.detection.bbox) == 1
    assert agree(session, layer)


def test_nonsense_beside_a_true_label_is_mended_too(session, layer, binding):
    first, second = put(session, boxed(), outlined())
    layer.features["label"] = ["nonsense", "basophil"]
    binding.pull()
    assert [session.table[c.cell_id].label for c in (first, second)] == [UNIDENTIFIED, "basophil"]
    assert agree(session, layer)


@pytest.mark.filterwarnings("ignore:Applying the encoding failed")
def test_features_replaced_by_another_plugin_are_put_back(session, layer, binding):
    cells = put(session, predicted(boxed()), outlined().annotated(Annotation("monocyte")))
    layer.features = {"area": [1.0, 2.0]}
    assert tuple(session.table.values()) == cells
    assert agree(session, layer)


def test_undo_and_redo_are_shown(session, layer, binding):
    (cell,) = put(session, boxed())
    put(session, predicted(outlined(), "basophil"))
    layer.data = [layer.data[0] + 4, layer.data[1]]
    while session.undoable:
        session.undo()
        assert agree(session, layer)
    assert len(layer.data) == 0
    while session.redoable:
        session.redo()
        assert agree(session, layer)
    assert session.table[cell.cell_id].detection.bbox.top == 14


def test_relabelling_touches_no_shape(session, layer, binding):
    cells = put(session, *(predicted(boxed(30 * i)) for i in range(4)))
    shapes, view = list(layer._data_view.shapes), layer._data_view
    data = [shape.data for shape in shapes]
    heard: list[object] = []
    layer.events.data.connect(heard.append)
    session.commit(session.table.with_cells([cells[1].annotated(Annotation("basophil"))]), "label")
    session.undo()
    session.redo()
    binding.pull()
    assert layer._data_view is view
    assert all(a is b for a, b in zip(layer._data_view.shapes, shapes, strict=True))
    assert all(shape.data is before for shape, before in zip(shapes, data, strict=True))
    assert heard == []
    assert agree(session, layer)


def test_pull_without_a_change_emits_nothing(session, layer, binding):
    put(session, predicted(boxed()), outlined())
    heard: list[object] = []
    for event in (layer.events.data, layer.events.features, layer.events.edge_color):
        event.connect(heard.append)
    table = session.table
    binding.pull()
    assert heard == []
    assert session.table is table


def test_moving_one_of_many_leaves_the_others(session, layer, binding):
    cells = put(session, *(boxed(30 * i) for i in range(4)))
    shapes = list(layer._data_view.shapes)
    session.commit(session.table.with_cells([cells[0].moved(Detection(BBox(0, 0, 9, 9)))]), "move")
    assert sum(shape in shapes for shape in layer._data_view.shapes) == 3
    assert agree(session, layer)


def test_colours_do_not_depend_on_the_classes_present(session, layer, binding):
    cells = put(
        session, *(predicted(boxed(30 * i), name) for i, name in enumerate(EIGHT_CLASSES.names))
    )
    assert agree(session, layer)
    session.commit(session.table.without(cell.cell_id for cell in cells[:5]), "fewer")
    assert agree(session, layer)


@pytest.mark.parametrize("value", [None, np.nan])
def test_colours_survive_features_without_a_value(session, layer, binding, value):
    put(session, predicted(boxed()), outlined())
    layer.features["label"] = [value, "basophil"]
    layer.refresh_colors()
    binding.pull()
    assert agree(session, layer)


def test_ellipse_becomes_an_outline_and_stays_selected(session, layer, binding):
    by_hand(layer, SQUARE + 10, "ellipse")
    (cell,) = session.table.values()
    assert cell.detection.outline is not None
    bbox = cell.detection.bbox
    np.testing.assert_allclose(
        (bbox.top, bbox.left, bbox.bottom, bbox.right), (10.5, 10.5, 30.5, 30.5)
    )
    np.testing.assert_allclose(np.hypot(*(cell.detection.outline.array() - 20.5).T), 10)
    assert agree(session, layer)
    assert binding.selected() == (cell.cell_id,)


def test_rotated_rectangle_becomes_an_outline(session, layer, binding):
    diamond = np.array([[0.0, 10], [10, 20], [20, 10], [10, 0]])
    by_hand(layer, diamond + 30)
    (cell,) = session.table.values()
    assert cell.detection.outline == Outline.from_array(diamond + 30.5)
    assert agree(session, layer)
    assert binding.selected() == (cell.cell_id,)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (SQUARE[:2], "line"),
        (np.array([[0.0, 0], [20, 20]]), "line"),
        (SQUARE[:2], "path"),
        (np.zeros((4, 2)) + 5, "rectangle"),
        (np.array([[0.0, 0], [0, 5], [0, 9]]), "polygon"),
    ],
)
def test_shape_without_area_holds_no_cell_and_is_taken_away(session, layer, binding, data, kind):
    put(session, boxed())
    layer.add(data, shape_type=kind)
    assert len(session.table) == 1
    assert agree(session, layer)


def test_path_around_an_area_is_an_outline(session, layer, binding):
    layer.add(SQUARE + 5, shape_type="path")
    (cell,) = session.table.values()
    assert cell.detection.outline is not None
    assert len(cell.detection.outline.vertices) == 4


class Event:
    """As much of a mouse event as napari's drawing reads."""

    def __init__(self, layer: Shapes) -> None:
        self.layer, self.type, self.modifiers = layer, "mouse_press", ()
        self.position = self.pos = np.zeros(2)


def drag(layer: Shapes, points: np.ndarray, *, release: bool = True) -> None:
    """Press, move and release the mouse along points."""
    event = Event(layer)
    event.position = event.pos = points[0]
    steps = layer.mouse_drag_callbacks[-1](layer, event)
    next(steps)
    event.type = "mouse_move"
    for point in points[1:]:
        event.position = event.pos = point
        next(steps)
    if release:
        event.type = "mouse_release"
        for _ in steps:
            pass
    else:
        layer._held = steps  # as napari's viewer holds what is under way


def test_lasso_becomes_an_outline(session, layer, binding):
    layer.mode = "add_polygon_lasso"
    drag(layer, 10 * CIRCLE + 200)
    (cell,) = session.table.values()
    assert cell.detection.outline is not None
    assert cell.detection.bbox.area == pytest.approx(40_000, rel=0.1)
    assert agree(session, layer)


@pytest.mark.filterwarnings("ignore:Polygons must have")
def test_lasso_given_up_leaves_everything_as_it_was(session, layer, binding):
    """napari takes such a shape away, but not its row of features."""
    said = Annotation("monocyte", "bob")
    put(session, predicted(boxed()), outlined().annotated(said))
    table = session.table
    layer.mode = "add_polygon"
    layer._is_creating = True
    layer.add(SQUARE[:2] + 50, shape_type="path", gui=True)
    layer._moving_value = (layer.nshapes - 1, 1)
    layer._finish_drawing()
    assert session.table is table
    assert agree(session, layer)
    by_hand(layer, SQUARE + 100)
    assert len(session.table) == 3
    assert agree(session, layer)


def test_shape_that_lost_its_last_vertices_takes_only_its_own_cell(session, layer, binding):
    """napari takes the shape away, but no row of features."""
    first, gone, last = put(
        session, boxed(), outlined(), boxed(100).annotated(Annotation("monocyte"))
    )
    layer._data_view.remove(1)
    layer.events.data(value=layer.data, action="changed", data_indices=(1,), vertex_indices=((0,),))
    assert list(session.table.values()) == [first, last]
    assert gone.cell_id not in session.table
    assert agree(session, layer)


def test_clock_does_not_pull_while_a_shape_is_drawn_or_dragged(session, layer, binding):
    layer.mode = "add_rectangle"
    drag(layer, np.array([[50.0, 50], [60, 60]]), release=False)
    assert binding.drawing
    assert len(session.table) == 0
    binding.settle()
    assert not binding.drawing
    assert len(session.table) == 1
    assert agree(session, layer)


def test_table_changed_while_a_shape_is_drawn_drops_the_drawing(session, layer, binding):
    layer.mode = "add_rectangle"
    drag(layer, np.array([[50.0, 50], [60, 60]]), release=False)
    put(session, boxed(), outlined())
    assert not binding.drawing
    assert len(session.table) == 2
    assert agree(session, layer)
    event = layer._held.gi_frame.f_locals["event"]
    for point in ([70.0, 70], [80, 80]):  # the mouse still moves, then is released
        event.position = event.pos = np.array(point)
        next(layer._held)
    event.type = "mouse_release"
    assert list(layer._held) == []
    assert agree(session, layer)


def test_dragged_cell_and_a_change_from_elsewhere(session, layer, binding):
    cell, _other = put(session, boxed(), outlined())
    layer.mode = "select"
    drag(layer, np.array([[20.0, 20], [25, 25], [26, 26]]), release=False)
    assert binding.drawing
    session.commit(session.table.with_cells([cell.annotated(Annotation("basophil"))]), "label")
    assert not binding.drawing
    event = layer._held.gi_frame.f_locals["event"]
    event.type = "mouse_release"
    assert list(layer._held) == []
    binding.pull()
    assert agree(session, layer)


def test_dragged_cell(session, layer, binding):
    (cell,) = put(session, boxed())
    layer.mode = "select"
    drag(layer, np.array([[20.0, 20], [25, 25], [26, 27]]))
    now = session.table[cell.cell_id].detection.bbox
    assert (now.top - 10, now.left - 10) == (6, 7)
    assert binding.selected() == (cell.cell_id,)
    assert agree(session, layer)


def test_field_shows_its_own_cells_only(session, layer, binding):
    here, there = put(session, boxed(), outlined(fov=SECOND))
    assert shown(layer) == [here.cell_id]
    session.show_field(SECOND)
    assert shown(layer) == [there.cell_id]
    assert agree(session, layer, SECOND)
    by_hand(layer, SQUARE + 90)
    assert {cell.fov_id for cell in session.table.values() if cell not in (here, there)} == {SECOND}
    session.show_field(FIRST)
    assert agree(session, layer)


def test_edits_are_taken_in_before_another_field_is_shown(session, layer, binding):
    (cell,) = put(session, predicted(boxed()))
    layer.features.loc[0, "label"] = "basophil"
    layer.mode = "add_rectangle"
    drag(layer, np.array([[50.0, 50], [60, 60]]), release=False)
    session.show_field(SECOND)
    assert session.table[cell.cell_id].label == "basophil"
    assert [c.fov_id for c in session.table.values()] == [FIRST, FIRST]
    assert agree(session, layer, SECOND)


def test_another_slide_takes_nothing_over(session, layer, binding):
    put(session, boxed())
    layer.mode = "add_rectangle"
    drag(layer, np.array([[50.0, 50], [60, 60]]), release=False)
    session.open(Slide("other", (FieldOfView("other/1.png", Path("1.png")),)))
    assert len(session.table) == 0
    assert not session.undoable
    assert agree(session, layer, "other/1.png")


def test_selection_survives_changes(session, layer, binding):
    cells = put(session, *(boxed(30 * i) for i in range(60)))
    chosen = {cells[3].cell_id, cells[40].cell_id}
    binding.select(chosen)
    session.commit(session.table.without([cells[0].cell_id]), "fewer")
    assert set(binding.selected()) == chosen
    session.commit(session.table.with_cells([cells[3].moved(Detection(BBox(1, 1, 5, 5)))]), "move")
    assert set(binding.selected()) == chosen
    session.commit(session.table.with_cells(boxed(30 * i, 90) for i in range(60)), "many")
    assert set(binding.selected()) == chosen
    assert agree(session, layer)


def test_scale_and_translate_do_not_move_cells(session):
    layer = make_layer((), EIGHT_CLASSES, scale=(0.25, 0.5), translate=(100, -7))
    _binding = CellsBinding(session, layer)
    (cell,) = put(session, outlined())
    np.testing.assert_allclose(layer.data[0], vertices(cell.detection), atol=1e-4)
    layer.scale = (3, 3)
    by_hand(layer, SQUARE)
    assert session.table[cell.cell_id] is cell
    assert agree(session, layer)


def test_far_corner_of_a_large_field(session, layer, binding):
    """Layers hold float32, whose steps are 0.001 pixels there."""
    cells = put(session, *(outlined(12_000 + 1 / 3 + 40 * i, 11_999 + 2 / 7) for i in range(3)))
    binding.pull()
    assert all(session.table[cell.cell_id] is cell for cell in cells)
    layer.data = [layer.data[0] + 0.5, *layer.data[1:]]
    assert session.table[cells[0].cell_id] is not cells[0]
    assert all(session.table[cell.cell_id] is cell for cell in cells[1:])
    assert agree(session, layer)


def test_a_thousand_cells(session, layer, binding):
    cells = put(session, *(predicted(boxed(40 * (i // 25), 40 * (i % 25))) for i in range(1000)))
    assert agree(session, layer)
    put(session, *(outlined(40 * (i // 20) + 20, 40 * (i % 20) + 20, SECOND) for i in range(400)))
    session.show_field(SECOND)
    session.show_field(FIRST)
    assert all(session.table[cell.cell_id] is cell for cell in cells)
    layer.selected_data = {7}
    layer.remove_selected()
    assert len(session.table) == 1399
    assert agree(session, layer)


def test_read_gives_known_detections_back_as_they_are():
    cells = [outlined(), boxed()]
    rows = read(make_layer(cells, EIGHT_CLASSES), cells)
    assert all(row.bbox is cell.detection.bbox for row, cell in zip(rows, cells, strict=True))
    assert rows[0].outline is cells[0].detection.outline


def test_closed_binding_lets_go(session, layer, binding):
    put(session, boxed())
    layer.features.loc[0, "label"] = "basophil"
    binding.close()
    assert [cell.label for cell in session.table.values()] == ["basophil"]
    assert [len(s) for s in (session.changed, session.field_changed, session.slide_changed)] == [
        0,
        0,
        0,
    ]
    by_hand(layer, SQUARE)
    put(session, outlined())
    assert len(session.table) == 2
    assert len(layer.data) == 2


def test_ids_are_never_minted_twice(session, layer, binding):
    for i in range(5):
        by_hand(layer, SQUARE + 25 * i)
    ids = list(session.table)
    assert all(a != b for a, b in pairwise(sorted(ids)))
    assert shown(layer) == ids


def test_a_layer_of_many_shapes_changes_at_once(session, layer, binding):
    put(session, *(boxed(left=i) for i in range(60)))
    put(session, *(boxed(left=i, fov=SECOND) for i in range(70)))
    heard = []
    layer.events.data.connect(lambda event: heard.append(str(event.action)))
    session.show_field(SECOND)
    assert layer.nshapes == 70
    assert heard == ["adding", "added"]
    assert layer.feature_defaults["cell_id"].tolist() == [""]


def test_relabelling_checks_the_defaults_of_features_once(session, layer, binding):
    first, second = put(session, boxed(), boxed(top=50))
    set_anew = []
    layer.events.feature_defaults.connect(set_anew.append)
    put(session, second.annotated(Annotation("monocyte", "ada")))
    binding.select({first.cell_id})
    assert len(set_anew) == 1
    assert layer.feature_defaults["cell_id"].tolist() == [""]
