"""The field in view: its image, its cells, and a preview of what a detector would find.

Works on any :class:`napari.components.ViewerModel`, with or without a window.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.components import ViewerModel
from napari.layers import Image, Layer, Shapes

from napari_wbc.errors import WbcError
from napari_wbc.imaging.read import as_rgb8, read_image
from napari_wbc.layers.binding import CellsBinding
from napari_wbc.layers.cells import HALF, make_layer, vertices
from napari_wbc.layers.focus import center_on, focus
from napari_wbc.model.cell import Detection
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.session.session import Session

__all__ = ["FIELDS_KEY", "PROJECT_KEY", "FieldView", "slide_layer"]

FIELDS_KEY = "napari-wbc fields"
"""Key of an image layer's metadata: the paths of all fields of its slide."""
PROJECT_KEY = "napari-wbc project"
"""Key of an image layer's metadata: the path of the project that its slide is from."""
PREVIEW = "preview"


def slide_layer(name: str, paths: Sequence[Path]) -> tuple[npt.NDArray[np.uint8], dict[str, Any], str]:
    """A slide as napari layer data: its first readable field, the others in the metadata.

    Raises
    ------
    WbcError
        If no field can be read.
    """
    errors: list[WbcError] = []
    for path in paths:
        try:
            pixels = read_image(path)
        except WbcError as error:
            errors.append(error)
        else:
            metadata = {FIELDS_KEY: [str(path) for path in paths]}
            return pixels, {"name": name, "rgb": True, "metadata": metadata}, "image"
    raise errors[0] if errors else WbcError(f"{name}: the slide has no field; choose a folder of images.")


class FieldView:
    """Shows the session's field in a viewer.

    Parameters
    ----------
    viewer : ViewerModel
    session : Session
    """

    def __init__(self, viewer: ViewerModel, session: Session) -> None:
        self.viewer, self.session = viewer, session
        self.image_layer: Image | None = None
        self.binding: CellsBinding | None = None
        self._preview: Shapes | None = None
        self._pixels: dict[str, npt.NDArray[np.uint8]] = {}
        self._shown = ""
        viewer.layers.events.removed.connect(self._on_removed)

    def close(self) -> None:
        """Take the last edits in and let go; the layers stay in the viewer."""
        self.clear_preview()
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        if self.binding is not None:
            self.binding.close()
            self.binding = None

    @property
    def layers(self) -> tuple[Layer, ...]:
        """What it put into the viewer for slides from files, to be taken away with it."""
        cells = self.binding.layer if self.binding else None
        image = None if self._pixels else self.image_layer
        return tuple(layer for layer in (cells, image) if layer is not None)

    def use_layer(self, layer: Image) -> Slide:
        """Show slides in an image layer; gives the slide it holds, of many fields if its reader said so.

        Raises
        ------
        WbcError
            If the layer is not one grey or RGB image.
        """
        paths, data = layer.metadata.get(FIELDS_KEY), layer.data
        name = layer.name.replace("/", "_").replace("\\", "_").lstrip(".") or "image"
        if paths:
            fields = tuple(FieldOfView(f"{name}/{Path(p).name}", Path(p)) for p in paths)
            self._pixels = {}
        elif layer.multiscale or data.ndim != (3 if layer.rgb else 2):
            raise WbcError(f"Layer {name!r} is not one field; choose a layer with one 2-D image.")
        else:
            fields = (FieldOfView(name, Path(layer.source.path or name)),)
            self._pixels = {name: as_rgb8(np.asarray(data), name)}
        self.image_layer, self._shown = layer, ""
        return Slide(name, fields)

    def use_files(self) -> None:
        """Show slides from files, in the layer of the slide before if that came from files too."""
        if self._pixels:
            self.image_layer, self._pixels = None, {}
        self._shown = ""

    def read(self, field: FieldOfView) -> npt.NDArray[np.uint8]:
        """Pixels of a field, from memory or its file; safe in a thread."""
        held = self._pixels.get(field.fov_id)
        return read_image(field.path) if held is None else held

    @property
    def ready(self) -> bool:
        """Whether the image on screen is that of the field in view, so that its cells may be judged."""
        field = self.session.field
        return field is not None and self._shown == field.fov_id

    def show(self, field: FieldOfView, pixels: npt.NDArray[np.uint8]) -> None:
        """Show the image of a field, and its cells above it."""
        self._shown = field.fov_id
        layer = self.image_layer
        if layer is None:
            self.image_layer = Image(pixels, name=self.session.slide.name, rgb=True)
            self.viewer.add_layer(self.image_layer)
            self.viewer.reset_view()
        elif field.fov_id not in self._pixels:
            reset = layer.data.shape != pixels.shape
            layer.data = pixels
            if reset:
                self.viewer.reset_view()
        binding = self.ensure_cells()
        binding.extent = pixels.shape[:2]

    def blank(self, field: FieldOfView) -> None:
        """Show nothing where the image of a field cannot be read, rather than the one before."""
        shape = (8, 8, 3) if self.image_layer is None else self.image_layer.data.shape
        self.show(field, np.zeros(shape, dtype=np.uint8))
        self._shown = ""

    def ensure_cells(self) -> CellsBinding:
        """The binding of the cells layer, which is made where it is missing and put above the image."""
        if self.binding is None:
            layer = make_layer((), self.session.taxonomy)
            self.binding = CellsBinding(self.session, layer)
            self.viewer.add_layer(layer)
            layer.mode = "select"
        self._place(self.binding.layer)
        return self.binding

    def pull(self) -> None:
        """Take in what a person did to the layer, unless a shape is just being drawn."""
        if self.binding is not None and not self.binding.drawing:
            self.binding.pull()

    def settle(self) -> None:
        """End what is being drawn and take everything in, before the table is changed from elsewhere."""
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
            data = layer.data
            points = np.concatenate([data[i] for i in layer.selected_data])
            center_on(self.viewer, self._world((points.min(axis=0) + points.max(axis=0)) / 2))

    def enlarge(self, cell_id: str) -> None:
        """Bring a cell of the field into the middle, enlarged; a cell of another field changes nothing."""
        cell, field = self.session.table.get(cell_id), self.session.field
        if cell is None or field is None or cell.fov_id != field.fov_id:
            return
        box, layer = cell.detection.bbox, self.ensure_cells().layer
        row, col = box.center
        side = max(box.height, box.width) * float(np.abs(layer.scale[-2:]).max())
        focus(self.viewer, self._world(np.array([row - HALF, col - HALF])), side)

    def draw(self) -> None:
        """Let the next drag in the image draw a box."""
        layer = self.ensure_cells().layer
        self.viewer.layers.selection.active = layer
        layer.mode = "add_rectangle"

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

    def preview(self, detections: Sequence[Detection]) -> None:
        """Show what a detector would find, as thin white outlines."""
        if self._preview is None:
            active = self.viewer.layers.selection.active
            self._preview = Shapes(
                ndim=2, name=PREVIEW, edge_color="white", face_color="transparent", edge_width=1.5
            )
            self.viewer.add_layer(self._preview)
            self.viewer.layers.selection.active = active
        self._place(self._preview)
        self._preview.data = []
        if detections:
            self._preview.add(
                [vertices(detection) for detection in detections],
                shape_type="polygon",
                edge_color="white",
                face_color="transparent",
            )

    def clear_preview(self) -> None:
        """Take the preview away."""
        if self._preview is not None:
            self.viewer.layers.remove(self._preview)

    def _place(self, layer: Shapes) -> None:
        """Put shapes where the image is, and above it."""
        image, layers = self.image_layer, self.viewer.layers
        if image is None:
            return
        for name in ("scale", "translate"):  # each setting of them draws the layer anew
            wanted = getattr(image, name)[-2:]
            if not np.array_equal(getattr(layer, name), wanted):
                setattr(layer, name, wanted)
        if layers.index(layer) < layers.index(image):
            layers.move(layers.index(layer), len(layers))
            layers.selection.active = layer

    def _on_removed(self, event: Any) -> None:
        layer = event.value
        if layer == self.image_layer:  # a plugin gets proxies of layers, which are equal, not the same
            self.image_layer = None
        elif layer is self._preview:
            self._preview = None
        elif self.binding is not None and layer is self.binding.layer:
            self.binding.close()
            self.binding = None
