"""Lines behind the cells: dashes of candidates and dark casings, which keep their layers."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Vectors
from napari.utils.colormaps.standardize_color import transform_color

from napari_wbc.layers.behind import CASING, DASHES, dashes, rings
from napari_wbc.layers.edges import casing_width, edge_width
from napari_wbc.layers.field import FieldView
from napari_wbc.model.cell import Annotation, Cell, Detection
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.session.edit import accepted
from napari_wbc.session.session import Session


def found(name: str, *, candidate: bool, left: float = 5) -> Cell:
    return Cell(name, "one", Detection(BBox(5, left, 15, left + 10), candidate=candidate))


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def view(viewer: ViewerModel) -> FieldView:
    """A view of one field without cells."""
    view = FieldView(viewer, Session())
    view.session.open(
        view.use_layer(viewer.add_image(np.full((40, 60), 200, np.uint8), name="one"))
    )
    field = view.session.field
    assert field is not None
    view.show(field, view.read(field))
    return view


def put(view: FieldView, *cells: Cell) -> None:
    view.session.commit(view.session.table.with_cells(cells), "put")


def layers(viewer: ViewerModel) -> list[str]:
    return [layer.name for layer in viewer.layers]


def shown(viewer: ViewerModel) -> int:
    layer = viewer.layers["candidates"]
    assert isinstance(layer, Vectors)
    return len(layer.data) // DASHES


def test_of_no_candidates_there_is_no_layer(viewer, view):
    assert dashes([]).shape == (0, 2, 2)
    put(view, found("a", candidate=False))
    assert layers(viewer) == ["one", "dark outlines", "cells"]


@pytest.mark.parametrize("outline", [None, Outline(((5, 5), (5, 25), (25, 25), (25, 5)))])
def test_dashes_and_gaps_are_alike_and_lie_on_the_outline(outline):
    made = dashes([Detection(BBox(5, 5, 25, 25), outline)])
    assert made.shape == (DASHES, 2, 2)
    starts, reach = made[:, 0], made[:, 1]
    length = 80 / (2 * DASHES)
    np.testing.assert_allclose(np.hypot(*reach.T), length)
    for points in (starts, starts + reach):
        # A pixel's centre is at whole numbers in napari, half a pixel before ours.
        from_edge = np.abs(points + 0.5 - 15).max(axis=1)
        np.testing.assert_allclose(from_edge, 10)


def test_a_candidate_has_dashes_of_its_colour_and_no_edge_among_the_cells(viewer, view):
    view.draw()
    put(view, found("a", candidate=False), found("b", candidate=True, left=30))
    assert layers(viewer) == ["one", "dark outlines", "candidates", "cells"]
    assert viewer.layers.selection.active is viewer.layers["cells"]
    assert shown(viewer) == 1
    colors = viewer.layers["candidates"].edge_color
    np.testing.assert_allclose(colors[0], transform_color(EIGHT_CLASSES.colors["candidate"])[0])
    assert [color[3] for color in viewer.layers["cells"].edge_color] == [1, 0]
    assert viewer.layers["cells"].features["short"].tolist() == ["?", "c?"]


def test_what_a_person_confirms_has_an_edge_and_no_dashes_and_undo_brings_them_back(viewer, view):
    session = view.session
    put(view, found("a", candidate=True), found("b", candidate=True, left=30))
    layer = viewer.layers["candidates"]
    session.commit(accepted(session.table, ["a"]), "accept candidate")
    assert shown(viewer) == 1
    put(view, session.table["b"].annotated(Annotation("monocyte")))
    assert shown(viewer) == 0
    assert [color[3] for color in viewer.layers["cells"].edge_color] == [1, 1]
    session.undo()
    session.undo()
    assert shown(viewer) == 2
    # It is the same layer all the time.
    assert viewer.layers["candidates"] is layer
    assert [color[3] for color in viewer.layers["cells"].edge_color] == [0, 0]


def test_dashes_lie_on_the_image_and_are_hidden_with_the_cells(viewer, view):
    put(view, found("a", candidate=True))
    viewer.layers["one"].scale = (2, 3)
    assert tuple(viewer.layers["candidates"].scale) == (2, 3)
    viewer.layers["cells"].visible = False
    assert not viewer.layers["candidates"].visible
    viewer.layers["cells"].visible = True
    assert viewer.layers["candidates"].visible


def test_a_removed_layer_comes_back_with_the_next_candidate(viewer, view):
    put(view, found("a", candidate=True))
    viewer.layers.remove(viewer.layers["candidates"])
    put(view, found("b", candidate=True, left=30))
    assert shown(viewer) == 2
    viewer.layers.remove(viewer.layers["cells"])
    assert shown(viewer) == 0
    view.ensure_cells()
    assert shown(viewer) == 2
    assert layers(viewer) == ["one", "candidates", "cells"]


def test_closed_it_follows_no_more(viewer, view):
    put(view, found("a", candidate=True))
    view.close()
    put(view, found("b", candidate=True, left=30))
    assert shown(viewer) == 1


def test_a_candidate_that_is_dragged_is_a_cell(viewer, view):
    put(view, found("a", candidate=True))
    binding = view.ensure_cells()
    binding.layer.data = [binding.layer.data[0] + 8]
    binding.pull()
    assert view.session.table["a"].detection.drawn
    assert shown(viewer) == 0


def test_a_casing_is_dark_and_wider_than_its_outline_at_any_zoom(viewer, view):
    put(view, found("a", candidate=False), found("b", candidate=True, left=30))
    casing, cells = viewer.layers["dark outlines"], viewer.layers["cells"]
    assert len(casing.data) == 4
    np.testing.assert_allclose(casing.edge_color[0], transform_color(CASING)[0])
    assert casing.edge_width == casing_width(viewer.scene.camera.zoom)
    for zoom in (4.0, 1.0, 0.3, 0.06, 0.01):
        viewer.scene.camera.zoom = zoom
        assert (casing.edge_width, cells.current_edge_width) == (
            casing_width(zoom),
            edge_width(zoom),
        )
        # In pixels of the screen, at each side.
        assert (casing.edge_width - cells.current_edge_width) / 2 * zoom >= 1


def test_relabelling_draws_no_line_anew(viewer, view):
    put(view, found("a", candidate=False))
    lines = viewer.layers["dark outlines"].data
    put(view, view.session.table["a"].annotated(Annotation("monocyte")))
    assert viewer.layers["dark outlines"].data is lines


def test_rings_close_without_gaps_at_the_corners():
    assert rings([]).shape == (0, 2, 2)
    lines = rings([Detection(BBox(5, 5, 25, 25))])
    starts, ends = lines[:, 0], lines.sum(axis=1)
    # Each side ends as far beyond the corner as the next one begins before it.
    np.testing.assert_allclose(
        np.hypot(*(ends - np.roll(starts, -1, axis=0)).T), np.hypot(1.5, 1.5)
    )


def test_casings_stay_above_an_image_that_comes_back(viewer, view):
    put(view, found("a", candidate=False))
    viewer.layers.remove(viewer.layers["one"])
    field = view.session.field
    view.show(field, view.read(field))
    assert layers(viewer)[1:] == ["dark outlines", "cells"]


def test_no_thumbnail_is_drawn_of_lines_and_new_ones_have_their_color(viewer, view, monkeypatch):
    drawn = []
    monkeypatch.setattr(Vectors, "_update_thumbnail", lambda layer: drawn.append(layer.name))
    put(view, found("a", candidate=False))
    layer = viewer.layers["dark outlines"]
    drawn.clear()
    put(view, found("b", candidate=False, left=30))
    assert len(layer.data) == 8
    assert np.allclose(layer.edge_color, transform_color(CASING))
    assert not drawn
