"""The field in view: its image, its cells, and a preview of what a detector would find.

Works on any :class:`napari.components.ViewerModel`, with or without a window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.components import ViewerModel
from napari.layers import Image, Shapes

from napari_wbc.errors import WbcError
from napari_wbc.imaging.read import as_rgb8, read_image
from napari_wbc.layers.cells import HALF, CellsBinding, make_layer
from napari_wbc.model.cell import Annotation, Detection
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.session.session import Session

__all__ = ["FIELDS_KEY", "FieldView", "slide_layer"]

FIELDS_KEY = "napari-wbc fields"
"""Key of an image layer's metadata: the paths of all fields of its slide."""
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
            return pixels, {"name": name, "metadata": {FIELDS_KEY: [str(path) for path in paths]}}, "image"
    raise errors[0] if errors else WbcError(f"{name}: the slide has no field; choose a folder of images.")


class FieldView:
    """Shows the session's field in a viewer.

    Parameters
    ----------
    viewer : ViewerModel
    session : Session
    annotator : callable
        Who is at the screen.
    """

    def __init__(self, viewer: ViewerModel, session: Session, annotator: Callable[[], str] = str) -> None:
        self.viewer, self.session, self._annotator = viewer, session, annotator
        self.image_layer: Image | None = None
        self.binding: CellsBinding | None = None
        self._preview: Shapes | None = None
        self._pixels: dict[str, npt.NDArray[np.uint8]] = {}
        viewer.layers.events.removed.connect(self._on_removed)

    def close(self) -> None:
        """Take the last edits in and let go; the layers stay in the viewer."""
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        self.clear_preview()
        if self.binding is not None:
            self.binding.close()
            self.binding = None

    def open_layer(self, layer: Image) -> None:
        """Open an image layer as a slide: of many fields if its reader said so, else of one.

        Raises
        ------
        WbcError
            If the layer is not one grey or RGB image.
        """
        paths = layer.metadata.get(FIELDS_KEY)
        if paths:
            fields = tuple(FieldOfView(f"{layer.name}/{Path(p).name}", Path(p)) for p in paths)
            self._pixels = {}
            name = layer.name
        else:
            data = layer.data
            if layer.multiscale or data.ndim != (3 if layer.rgb else 2):
                raise WbcError(f"Layer {layer.name!r} is not one field; choose a layer with one 2-D image.")
            name = layer.name
            fields = (FieldOfView(name, Path(layer.source.path or name)),)
            self._pixels = {name: as_rgb8(np.asarray(data), name)}
        self.image_layer = layer
        self.session.open(Slide(name, fields))

    def open_slide(self, slide: Slide) -> None:
        """Open a slide from files."""
        self._pixels = {}
        self.session.open(slide)

    def read(self, field: FieldOfView) -> npt.NDArray[np.uint8]:
        """Pixels of a field, from memory or its file; safe in a thread."""
        held = self._pixels.get(field.fov_id)
        return read_image(field.path) if held is None else held

    def show(self, field: FieldOfView, pixels: npt.NDArray[np.uint8]) -> None:
        """Show the image of a field, and its cells above it."""
        if self.image_layer is None:
            self.image_layer = self.viewer.add_image(pixels, name=field.fov_id)
            self.viewer.reset_view()
        elif self._pixels.get(field.fov_id) is None:
            reset = self.image_layer.data.shape != pixels.shape
            self.image_layer.data = pixels
            if reset:
                self.viewer.reset_view()
        self.ensure_cells()

    def ensure_cells(self) -> CellsBinding:
        """The binding of the cells layer, which is made where it is missing."""
        if self.binding is None:
            image = self.image_layer
            place = {} if image is None else {"scale": image.scale[-2:], "translate": image.translate[-2:]}
            layer = make_layer((), self.session.taxonomy, **place)
            self.binding = CellsBinding(self.session, layer, self._annotator)
            self.viewer.add_layer(layer)
            layer.mode = "select"
        return self.binding

    def pull(self) -> None:
        """Take in what a person did to the layer, unless a shape is just being drawn."""
        if self.binding is not None and not self.binding.drawing:
            self.binding.pull()

    def selected(self) -> tuple[str, ...]:
        """Ids of the selected cells."""
        return () if self.binding is None else self.binding.selected()

    def label_selected(self, label: str) -> int:
        """Annotate the selected cells; returns how many there are.

        Raises
        ------
        WbcError
            If the taxonomy has no such label.
        """
        if label not in self.session.taxonomy.labels:
            raise WbcError(f"No label {label!r}; choose one of: {', '.join(self.session.taxonomy.labels)}.")
        when = datetime.now(UTC).isoformat(timespec="seconds")
        said = Annotation(label, self._annotator(), when)
        table = self.session.table
        cells = [table[key] for key in self.selected() if key in table]
        self.session.commit(table.with_cells(cell.annotated(said) for cell in cells), f"label {label}")
        return len(cells)

    def select(self, cell_ids: Iterable[str], *, center: bool = True) -> None:
        """Select cells of the field and bring them into the middle of the view."""
        wanted = set(cell_ids)
        binding = self.ensure_cells()
        binding.select(wanted)
        self.viewer.layers.selection.active = binding.layer
        boxes = [self.session.table[key].detection.bbox for key in wanted if key in self.session.table]
        if center and boxes:
            middle = np.mean([box.center for box in boxes], axis=0) - HALF
            world = binding.layer.data_to_world(middle)
            self.viewer.camera.center = (0.0, *(float(v) for v in world[-2:]))

    def preview(self, detections: Sequence[Detection]) -> None:
        """Show what a detector would find, as thin white outlines."""
        shapes = [(d.outline.array() if d.outline else d.bbox.corners()) - HALF for d in detections]
        if self._preview is None:
            image = self.image_layer
            place = {} if image is None else {"scale": image.scale[-2:], "translate": image.translate[-2:]}
            active = self.viewer.layers.selection.active
            self._preview = Shapes(
                ndim=2, name=PREVIEW, edge_color="white", face_color="transparent", edge_width=1.5, **place
            )
            self.viewer.add_layer(self._preview)
            self.viewer.layers.selection.active = active
        self._preview.data = []
        if shapes:
            self._preview.add(shapes, shape_type="polygon", edge_color="white", face_color="transparent")
            self._preview.selected_data = set()

    def clear_preview(self) -> None:
        """Take the preview away."""
        if self._preview is not None and self._preview in self.viewer.layers:
            self.viewer.layers.remove(self._preview)
        self._preview = None

    def _on_removed(self, event: Any) -> None:
        layer = event.value
        if layer is self.image_layer:
            self.image_layer = None
        elif layer is self._preview:
            self._preview = None
        elif self.binding is not None and layer is self.binding.layer:
            self.binding.close()
            self.binding = None
