"""The field in view: its image, its cells, and a preview of what a detector would find.

Works on any :class:`napari.components.ViewerModel`, with or without a window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.components import ViewerModel
from napari.layers import Image, Shapes
from psygnal import Signal

from napari_wbc.detect.base import Located
from napari_wbc.errors import ReadError, WbcError
from napari_wbc.imaging.pyramid.opening import is_whole_slide
from napari_wbc.imaging.read import read_image
from napari_wbc.layers.behind import CandidateOutlines, Casings
from napari_wbc.layers.binding import CellsBinding
from napari_wbc.layers.cells import HALF, make_layer
from napari_wbc.layers.edges import keep_visible
from napari_wbc.layers.focus import camera_place, center_on, focus
from napari_wbc.layers.placed import copy_transform, kind_of, marked, on_transform
from napari_wbc.layers.pointing import Pointing, give_up, tell_under_cursor
from napari_wbc.layers.preview import make_preview, show_preview
from napari_wbc.layers.region import region_layer
from napari_wbc.layers.slide_layer import (
    FIELDS_KEY,
    IDS_KEY,
    NAME_KEY,
    PROJECT_KEY,
    LayerContent,
    content_of,
    shown_pixels,
)
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.session.session import Session

KEPT_KEY = "napari-wbc kept"
"""Key of an image layer's metadata: the cells of a slide that no project keeps."""
OVER = ("cells", "candidates", "dark outlines", "preview", "heat", "region")
"""Kinds of layers that lie over the image of a field."""
HIDING_OPACITY = 0.5
"""Opacity from which an image hides what lies under it."""
HIDING_BLENDINGS = ("opaque", "translucent", "translucent_no_depth")
MIN_SIDE = 6.0
"""Pixels, of the field and of the screen, below which a drawn box is a slip of the hand."""


class FieldView:
    """Shows the field in view in a viewer."""

    edited = Signal(str)
    """Emitted with what a person did to the cells layer, in words."""
    tool_changed = Signal(str)
    """Emitted with napari's name of the tool that the mouse has on the cells layer."""

    def __init__(self, viewer: ViewerModel, session: Session) -> None:
        self.viewer = viewer
        self.session = session
        self._image: Image | None = None
        self._end_following: Callable[[], None] = lambda: None
        self._cells_before: list[Any] = []
        self.reshaping = False
        """Whether a drag moves and reshapes cells; otherwise it moves the picture."""
        self.binding: CellsBinding | None = None
        self._preview: Shapes | None = None
        self._pixels: dict[str, npt.NDArray[np.uint8]] = {}
        self._shown = ""
        self._extent: tuple[int, ...] | None = None
        self._casings = Casings(viewer, session)
        self._candidates = CandidateOutlines(viewer, session)
        viewer.layers.events.removed.connect(self._on_removed)
        viewer.scene.camera.events.zoom.connect(self._on_zoom)

    def close(self, *, window_gone: bool = False) -> None:
        """Take the last edits in and let go; ``window_gone`` leaves no canvas to draw layers on.

        The layers stay in the viewer as a picture that cannot be edited, and :meth:`left_behind`
        finds them.
        """
        self.preview(None)
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        self.viewer.scene.camera.events.zoom.disconnect(self._on_zoom)
        self._end_following()
        self._casings.close()
        self._candidates.close()
        if self.binding is not None:
            self.binding.close()
            if not window_gone:
                self.binding.layer.editable = False
            self.binding = None
        self._keep_cells()

    def _keep_cells(self) -> None:
        """Keep the cells of a slide without a project on its image layer."""
        cells = self.session.in_memory()
        if self._image is not None and cells is not None:
            self._image.metadata[KEPT_KEY] = cells

    def left_behind(self) -> Image | None:
        """The image of the slide that an earlier workbench showed, None where there is none.

        What lay over it is taken away: it shows cells as they were then.
        """
        # The old cells layer goes only when the new one is there: Mesa's software OpenGL ends the
        # process when napari draws between removing a Shapes layer and adding another.
        image = None
        for layer in list(self.viewer.layers):
            kind = kind_of(layer)
            if kind == "cells":
                self._cells_before.append(layer)
                layer.name = "cells before"
            elif kind in OVER:
                self.viewer.layers.remove(layer)
            elif kind == "image":
                image = layer
        if image is None:
            self._drop_cells_before()
        return image

    def _drop_cells_before(self) -> None:
        """Take away the cells layer of an earlier workbench."""
        for layer in self._cells_before:
            if layer in self.viewer.layers:
                self.viewer.layers.remove(layer)
        self._cells_before.clear()

    @property
    def image_layer(self) -> Image | None:
        """The image layer of the slide."""
        return self._image

    @image_layer.setter
    def image_layer(self, layer: Image | None) -> None:
        self._keep_cells()
        # A plugin gets proxies of layers, which are equal and not the same.
        if layer == self._image:
            return
        before = self._image
        self._image = None
        self._end_following()
        self._end_following = lambda: None
        if before is not None:
            self.let_go(before)
        if layer is not None:
            self._image = layer
            marked(layer, "image")
            self._end_following = on_transform(layer, self._on_transform)

    @property
    def covered_by(self) -> Image | None:
        """An image that lies over that of the slide and hides it, None where there is none.

        One that lets the slide shine through, as an overlay does, hides nothing.
        """
        image = self._image
        layers = list(self.viewer.layers)
        if image is None or image not in layers:
            return None
        for layer in reversed(layers[layers.index(image) + 1 :]):
            foreign = isinstance(layer, Image) and not kind_of(layer)
            opaque = layer.opacity >= HIDING_OPACITY and str(layer.blending) in HIDING_BLENDINGS
            if foreign and layer.visible and opaque:
                return layer
        return None

    @property
    def unseen(self) -> str:
        """Why the image of the slide cannot be seen, in one sentence; empty where it can be."""
        image = self._image
        if not self.ready:
            return ""
        if image is None:
            return "The image of this slide was removed."
        if not image.visible or image.opacity == 0:
            return "The image of this slide is hidden."
        cover = self.covered_by
        return "" if cover is None else f"The image {cover.name!r} hides this slide."

    def check_seen(self) -> None:
        """Check that the image of the slide can be seen; a removed one is shown again.

        It raises WbcError if it could not be seen.
        """
        # Nobody shall analyze or judge a cell by the picture of another.
        why = self.unseen
        field = self.session.field
        if not why:
            return
        if self._image is None and field is not None:
            self.show(field, self.read_shown(field))
            raise WbcError(f"{why} It is shown again; try once more.")
        cover = self.covered_by
        if cover is None:
            raise WbcError(f"{why} Show it in the layer list, then try again.")
        raise WbcError(
            f"{why} Press Use open image to work on it, or hide it to go on with the slide."
        )

    def use_layer(self, layer: Image, content: LayerContent | None = None) -> Slide:
        """Show slides in an image layer, and return the slide that it holds.

        ``content`` is as :func:`content_of` gave it for this layer.

        It raises WbcError if the layer is not one grey or RGB image.
        """
        content = content or content_of(layer)
        self._pixels = dict(content.pixels)
        if content.turned is not None:
            layer.data = content.turned
        self.image_layer = layer
        self._shown = ""
        layer.visible = True
        return content.slide

    @property
    def extent(self) -> tuple[int, ...] | None:
        """Height and width of the image on screen, None before there is one."""
        return self._extent

    def use_files(self) -> None:
        """Show slides from files, in the layer of the slide before if that came from files too."""
        if self._pixels:
            self.image_layer = None
            self._pixels = {}
        self._shown = ""

    def kept(self, layer: Image) -> Any:
        """The cells that :meth:`close` kept on the image layer; None if there are none."""
        return layer.metadata.pop(KEPT_KEY, None)

    def read(self, field: FieldOfView) -> npt.NDArray[np.uint8]:
        """Pixels of a field, from memory or its file; safe in a thread.

        It raises ReadError if they cannot be read, or are those of a whole slide.
        """
        pixels = self._pixels.get(field.fov_id)
        if pixels is None and is_whole_slide(field.path):
            raise ReadError(
                f"{field.path.name} is a scanned film; this works on fields of a camera alone."
            )
        return read_image(field.path) if pixels is None else pixels

    def read_shown(self, field: FieldOfView) -> Any:
        """What the viewer shows of a field, see :func:`shown_pixels`; safe in a thread."""
        film = field.fov_id not in self._pixels and is_whole_slide(field.path)
        return shown_pixels(field.path) if film else self.read(field)

    @property
    def ready(self) -> bool:
        """Whether the image on screen is that of the field in view."""
        field = self.session.field
        return field is not None and self._shown == field.fov_id

    @property
    def begun(self) -> bool:
        """Whether any field of the open slide was on screen yet."""
        return bool(self._shown)

    def show(self, field: FieldOfView, pixels: Any, *, cells: bool = True) -> None:
        """Show the image of a field, as :func:`shown_pixels` gives it, and its cells above it.

        Without ``cells`` they come with :meth:`ensure_cells`; the first layer of shapes takes
        napari long.
        """
        self._shown = field.fov_id
        levels = isinstance(pixels, tuple)
        self._extent = (pixels[0] if levels else pixels).shape[:2]
        layer = self.image_layer
        slide = self.session.slide
        if layer is not None and (levels or layer.multiscale):
            if levels and layer.metadata.get(FIELDS_KEY) == [str(field.path)]:
                # Its reader put it there, or an earlier workbench.
                self._note_slide()
                if cells:
                    self.ensure_cells()
                return
            # napari makes no image of several levels out of one, nor the other way.
            self.image_layer = None
            layer = None
        if layer is None:
            data = list(pixels) if levels else pixels
            self.image_layer = Image(data, name=slide.name, rgb=True, multiscale=levels)
            if field.fov_id not in self._pixels or field.path.is_file():
                self._note_slide()
            self.viewer.add_layer(self.image_layer)
            self.viewer.reset_view()
        elif field.fov_id not in self._pixels:
            reset = layer.data.shape != pixels.shape
            layer.data = pixels
            if layer.metadata.get(NAME_KEY) != slide.name:
                layer.name = slide.name
            self._note_slide()
            if reset:
                self.viewer.reset_view()
        if cells:
            self.ensure_cells()

    def blank(self, field: FieldOfView) -> None:
        """Show nothing where the image of a field cannot be read, rather than the one before."""
        layer = self.image_layer
        shape = (8, 8, 3) if layer is None or layer.multiscale else layer.data.shape
        self.show(field, np.zeros(shape, dtype=np.uint8))
        self._shown = ""

    def ensure_cells(self) -> CellsBinding:
        """The binding of the cells layer, made if it is missing, above the image."""
        if self.binding is None:
            layer = make_layer((), self.session.taxonomy)
            marked(layer, "cells")
            self.binding = CellsBinding(self.session, layer, least=self._least_side)
            self.binding.edited.connect(self.edited)
            Pointing(self.viewer, layer, lambda: self.reshaping)
            layer.events.mode.connect(self._on_mode)
            # napari's transform tool would move all cells off those of the image.
            on_transform(layer, self._on_transform)
            self.viewer.add_layer(layer)
            self._drop_cells_before()
            self._casings.follow(layer)
            self._candidates.follow(layer)
            tell_under_cursor(layer, self.session)
            layer.mode = "select"
        self._place(self.binding.layer)
        self._place_behind(self.binding.layer)
        self._on_zoom()
        if self.ready:
            self.binding.extent = self._extent
        return self.binding

    def pull(self) -> None:
        """Take in what a person did to the layer, unless a shape is just being drawn."""
        if self.binding is not None and not self.binding.drawing:
            self.binding.pull()

    def settle(self) -> None:
        """End what is being drawn and read the layer, before something else changes the table."""
        if self.binding is not None:
            self.binding.settle()

    def selected(self) -> tuple[str, ...]:
        """Ids of the selected cells."""
        return () if self.binding is None else self.binding.selected()

    def select(self, cell_ids: Iterable[str], *, center: bool = True) -> None:
        """Select cells of the field and bring them into the middle of the view."""
        binding = self.ensure_cells()
        binding.select(set(cell_ids))
        layer = binding.layer
        self.viewer.layers.selection.active = layer
        if center and layer.selected_data:
            points = np.concatenate(list(map(layer.data.__getitem__, layer.selected_data)))
            center_on(self.viewer, self._world((points.min(axis=0) + points.max(axis=0)) / 2))

    def enlarge(self, cell_id: str) -> None:
        """Bring a cell of the field into the middle, enlarged."""
        cell = self.session.table.get(cell_id)
        field = self.session.field
        if cell is None or field is None or cell.fov_id != field.fov_id:
            return
        box = cell.detection.bbox
        corners = np.array([self._world(corner) for corner in box.corners() - HALF])
        row, col = (corners.min(axis=0) + corners.max(axis=0)) / 2
        side = float(np.ptp(corners, axis=0).max())
        focus(self.viewer, (float(row), float(col)), side)

    def draw(self, *, on: bool = True) -> None:
        """Let the next drag in the image draw a box, or select cells again."""
        layer = self.ensure_cells().layer
        self.viewer.layers.selection.active = layer
        layer.mode = "add_rectangle" if on else "select"

    def give_up(self) -> None:
        """End what is being drawn; a box that is being dragged becomes no cell."""
        if self.binding is not None:
            give_up(self.binding.layer)

    @property
    def drawing(self) -> bool:
        """Whether a shape is being drawn or dragged at this moment."""
        return self.binding is not None and self.binding.drawing

    @property
    def pushing(self) -> bool:
        """Whether what happens to the cells layer at this moment is our own doing."""
        return self.binding is not None and self.binding.pushing

    def _world(self, point: npt.NDArray[np.float64]) -> tuple[float, float]:
        """World coordinates of a point of the cells layer."""
        binding = self.binding or self.ensure_cells()
        row, col = binding.layer.data_to_world(point)[-2:]
        return float(row), float(col)

    def preview(self, located: Located | None) -> None:
        """Show what a cell finder would find; None takes the preview away."""
        if located is None:
            if self._preview is not None:
                self.viewer.layers.remove(self._preview)
            return
        if self._preview is None:
            active = self.viewer.layers.selection.active
            self._preview = make_preview()
            self.viewer.add_layer(self._preview)
            self.viewer.layers.selection.active = active
        self._place(self._preview)
        show_preview(self._preview, located)
        self._on_zoom()

    def _place(self, layer: Shapes) -> None:
        """Put shapes where the image is, and above it."""
        image = self.image_layer
        layers = self.viewer.layers
        if image is None:
            return
        copy_transform(image, layer)
        if layers.index(layer) < layers.index(image):
            layers.move(layers.index(layer), len(layers))
            layers.selection.active = layer

    def _place_behind(self, cells: Shapes) -> None:
        """Put the lines behind the cells above an image that was added after them."""
        layers = self.viewer.layers
        for lines in (self._casings.layer, self._candidates.layer):
            below = self._image is not None and lines is not None
            if below and layers.index(lines) < layers.index(self._image):
                layers.move(layers.index(lines), layers.index(cells))

    def _on_removed(self, event: Any) -> None:
        layer = event.value
        if layer == self._image:
            self._end_following()
            self._end_following = lambda: None
            self._image = None
        elif layer is self._preview:
            self._preview = None
        elif self.binding is not None and layer is self.binding.layer:
            self.binding.close()
            self.binding = None

    def _on_zoom(self, _event: Any = None) -> None:
        zoom = self.viewer.scene.camera.zoom
        cells = None if self.binding is None else self.binding.layer
        for layer in (cells, self._preview, region_layer(self.viewer)):
            if layer is not None:
                keep_visible(layer, zoom)
        for lines in (self._casings, self._candidates):
            lines.keep_visible()

    def _on_mode(self, event: Any) -> None:
        self.tool_changed.emit(str(event.source.mode))

    def _on_transform(self, _event: Any) -> None:
        """Image or cells were moved, turned or scaled: what lies over the image stays on it."""
        if self._image is None:
            return
        for layer in self.viewer.layers:
            if kind_of(layer) in OVER:
                copy_transform(self._image, layer)
        self._on_zoom()

    def let_go(self, image: Image) -> None:
        """Remove the image of a slide that was closed; hide one that a person opened."""
        marked(image, "")
        self._drop_cells_before()
        if image not in self.viewer.layers:
            return
        if FIELDS_KEY in image.metadata:
            self.viewer.layers.remove(image)
        else:
            image.visible = False

    def _note_slide(self) -> None:
        """Note on the image which slide it shows, for a workbench that is opened later."""
        assert self._image is not None
        slide = self.session.slide
        self._image.metadata[FIELDS_KEY] = [str(field.path) for field in slide.fields]
        self._image.metadata[IDS_KEY] = [field.fov_id for field in slide.fields]
        self._image.metadata[NAME_KEY] = slide.name
        workspace = self.session.workspace
        if workspace is not None:
            self._image.metadata[PROJECT_KEY] = str(workspace.path)
        else:
            self._image.metadata.pop(PROJECT_KEY, None)

    def _least_side(self) -> float:
        """Side in pixels of the field below which a drawn box is no cell."""
        across = self._world(np.array([0.0, 1.0]))
        origin = self._world(np.array([0.0, 0.0]))
        scale = float(np.hypot(across[0] - origin[0], across[1] - origin[1]))
        zoom = camera_place(self.viewer)[2]
        return max(MIN_SIDE, MIN_SIDE / max(zoom * scale, 1e-6))
