"""The mouse on the cells layer: what a click and a drag do, and do not do."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_wbc.layers.field import FieldView
from napari_wbc.model.cell import Annotation, Cell, Detection, Prediction
from napari_wbc.model.geometry import BBox
from napari_wbc.session.session import Session


class Event:
    """As much of a mouse event as the tools read; the canvas shows 1 world unit a pixel."""

    def __init__(self, modifiers=()):
        self.type, self.modifiers = "mouse_press", modifiers
        self.dims_displayed = (0, 1)
        self.position = self.pos = (0.0, 0.0)

    def go(self, point):
        self.position = self.pos = tuple(point)


def mouse(layer, *points, modifiers=()):
    """Press at the first point, move through the others, let go."""
    event = Event(modifiers)
    event.go(points[0])
    steps = layer.mouse_drag_callbacks[-1](layer, event)
    next(steps)
    event.type = "mouse_move"
    for point in points[1:]:
        event.go(point)
        next(steps)
    event.type = "mouse_release"
    for _ in steps:
        pass


def half_drawn(view, layer):
    """A box while it is being dragged: the event, and what goes on with each of its moves."""
    view.draw()
    event = Event()
    event.go((150, 200))
    steps = layer.mouse_drag_callbacks[-1](layer, event)
    next(steps)
    event.type = "mouse_move"
    event.go((190, 240))
    next(steps)
    return event, steps


@pytest.fixture
def view():
    viewer, session = ViewerModel(), Session()
    view = FieldView(viewer, session)
    image = viewer.add_image(np.zeros((200, 300, 3), np.uint8), name="one", rgb=True)
    session.open(view.use_layer(image))
    view.show(session.field, view.read(session.field))
    boxes = (BBox(20, 20, 60, 60), BBox(100, 100, 150, 150))
    session.commit(
        session.table.with_cells(Cell.new("one", Detection(box)) for box in boxes), "fill"
    )
    viewer.scene.camera.zoom = 1
    return view


@pytest.fixture
def layer(view):
    return view.binding.layer


def test_escape_gives_up_the_box_that_is_being_drawn(view, layer):
    before = dict(view.session.table)
    event, steps = half_drawn(view, layer)
    view.give_up()
    for point in ((195, 245), (198, 248)):
        event.go(point)
        next(steps, None)
    assert dict(view.session.table) == before
    assert layer.nshapes == len(before)
    assert layer.mode == "select"


def test_what_a_key_has_ended_is_not_dragged_on(view, layer):
    event, steps = half_drawn(view, layer)
    view.settle()
    event.go((198, 248))
    next(steps, None)
    assert layer.mode == "select"
    assert len(view.session.table) == 3


def test_a_path_is_no_cell_and_ends_without_an_error(view, layer):
    layer.mode = "add_path"
    event = Event()
    for point in ((10, 200), (20, 210), (30, 200)):
        event.go(point)
        for _ in layer.mouse_drag_callbacks[-1](layer, event):
            event.type = "mouse_release"
        event.type = "mouse_press"
    assert layer.nshapes == 3
    view.settle()
    assert len(view.session.table) == 2
    assert layer.nshapes == 2


def test_on_a_hidden_layer_nothing_is_clicked(view, layer):
    layer.visible = False
    event = Event()
    event.go((40, 40))
    for _ in layer._drag_modes[layer._modeclass.SELECT](layer, event):
        event.type = "mouse_release"
    assert layer.selected_data == set()


def test_a_new_cells_layer_is_reshaped_as_the_one_before(view, layer):
    view.reshaping = True
    view.viewer.layers.remove(layer)
    fresh = view.ensure_cells().layer
    before = fresh.data[0].copy()
    mouse(fresh, (40, 40), (50, 50), (60, 60))
    assert not np.array_equal(fresh.data[0], before)


def test_a_small_cell_can_be_moved_when_zoomed_out_but_not_shrunk_away(view, layer):
    view.viewer.scene.camera.zoom = 0.1
    layer.data = [layer.data[0] + 20, layer.data[1]]
    view.pull()
    assert next(iter(view.session.table.values())).detection.bbox == BBox(40, 40, 80, 80)
    middle = layer.data[0].mean(axis=0)
    layer.data = [middle + (layer.data[0] - middle) / 20, layer.data[1]]
    view.pull()
    assert next(iter(view.session.table.values())).detection.bbox == BBox(40, 40, 80, 80)


def test_a_click_selects_and_a_trembling_hand_changes_nothing(view, layer):
    table = view.session.table
    first, second = table
    mouse(layer, (40, 40), (41, 42), (40, 43))
    assert view.selected() == (first,)
    mouse(layer, (120, 120), modifiers=("Shift",))
    assert set(view.selected()) == {first, second}
    mouse(layer, (120, 120), modifiers=("Shift",))
    assert view.selected() == (first,)
    assert view.session.table is table


def test_a_drag_on_a_cell_moves_the_picture_and_no_cell(view, layer):
    table, camera = view.session.table, view.viewer.scene.camera
    camera.center = (0, 100, 150)
    layer.selected_data = {0}
    mouse(layer, (40, 40), (50, 60), (60, 80))
    assert view.session.table is table
    assert tuple(camera.center[-2:]) != (100, 150)
    assert set(layer.selected_data) == {0}


def test_reshaping_moves_a_cell_says_so_and_is_one_step(view, layer):
    said = []
    view.edited.connect(said.append)
    view.reshaping = True
    first = next(iter(view.session.table))
    mouse(layer, (40, 40), (45, 45), (50, 50))
    assert view.session.table[first].detection.bbox.top > 20
    assert said == ["Moved 1 cell. Ctrl+Z takes it back."]
    assert view.session.undo() == "move 1 cell"
    assert view.session.table[first].detection.bbox.top == 20
    view.reshaping = False
    table = view.session.table
    mouse(layer, (40, 40), (45, 45), (50, 50))
    assert view.session.table is table


def test_a_box_is_drawn_once_and_cells_can_be_selected_again(view, layer):
    tools = []
    view.tool_changed.connect(tools.append)
    view.draw()
    assert layer.mode == "add_rectangle"
    mouse(layer, (70, 10), (80, 20), (99, 39))
    assert len(view.session.table) == 3
    assert layer.mode == "select"
    assert tools == ["add_rectangle", "select"]


@pytest.mark.parametrize("points", [[(70, 10)], [(70, 10), (72, 13)]], ids=["a click", "a slip"])
def test_what_is_too_small_is_no_cell(view, layer, points):
    table = view.session.table
    view.draw()
    mouse(layer, *points)
    assert view.session.table is table
    assert layer.nshapes == 2
    assert not view.session.undoable.startswith("draw")


def test_what_is_small_on_the_screen_is_a_slip_too(view, layer):
    view.viewer.scene.camera.zoom = 0.1
    table = view.session.table
    view.draw()
    mouse(layer, (70, 10), (90, 30))
    assert view.session.table is table


def test_a_cell_is_not_made_too_small(view, layer):
    view.reshaping = True
    first = next(iter(view.session.table))
    layer.data = [np.array([[30, 30], [30, 32], [32, 32], [32, 30]]), layer.data[1]]
    assert view.session.table[first].detection.bbox == BBox(20, 20, 60, 60)


def test_the_status_bar_says_class_and_confidence_under_the_cursor(view):
    layer, session = view.binding.layer, view.session
    cell = next(iter(session.table.values()))
    said = Prediction(("monocyte", "blast"), (0.9, 0.1))
    row, col = cell.detection.bbox.center

    def status():
        return layer.get_status((row, col), world=True, dims_displayed=[0, 1])

    assert status()["coordinates"].endswith(": unidentified")
    session.commit(session.table.with_cells([cell.predicted(said)]), "classify")
    assert status()["coordinates"].endswith(": monocyte 90 %")
    cell = session.table[cell.cell_id]
    session.commit(session.table.with_cells([cell.annotated(Annotation("blast"))]), "label")
    assert status()["value"] == "blast (model: monocyte 90 %)"
    assert "%" not in layer.get_status((1, 1), world=True, dims_displayed=[0, 1])["coordinates"]
