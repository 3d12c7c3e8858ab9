"""The field in view: its image, its cells, and a preview of what a detector would find.

Works on any :class:`napari.components.ViewerModel`, with or without a window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.components import ViewerModel
from napari.layers import Image, Shapes
from psygnal import Signal

from napari_wbc.errors import WbcError
from napari_wbc.imaging.read import as_rgb8, read_image
from napari_wbc.layers.binding import CellsBinding
from napari_wbc.layers.cells import HALF, make_layer, vertices
from napari_wbc.layers.focus import camera_zoom, center_on, focus
from napari_wbc.layers.placed import copy_transform, kind_of, marked, on_transform
from napari_wbc.layers.pointing import Pointing, give_up
from napari_wbc.model.cell import Detection
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.session.session import Session

__all__ = [
    "FIELDS_KEY",
    "NAME_KEY",
    "PROJECT_KEY",
    "SAMPLE_KEY",
    "FieldView",
    "LayerContent",
    "content_of",
    "slide_layer",
]

FIELDS_KEY = "napari-wbc fields"
"""Key of an image layer's metadata: the paths of all fields of its slide."""
NAME_KEY = "napari-wbc slide"
"""Key of an image layer's metadata: the name of its slide, which a layer's own name may differ from."""
SAMPLE_KEY = "napari-wbc sample"
"""Key of an image layer's metadata: it is a slide of one field, to be opened as soon as it is there."""
KEPT_KEY = "napari-wbc kept"
"""Key of an image layer's metadata: the cells of a slide that is in memory only, as they were left."""
PROJECT_KEY = "napari-wbc project"
"""Key of an image layer's metadata: the path of the project that its slide is from."""
PREVIEW = "preview"
OVER = ("cells", "preview", "heat")
"""Kinds of layers that lie over the image of a field."""
HIDES_FROM = 0.5
"""Opacity from which an image hides what lies under it."""
HIDING = ("opaque", "translucent", "translucent_no_depth")
"""Ways of blending by which an image hides what lies under it."""
LEAST_SIDE = 6.0
"""Pixels of the field, and of the screen, below which a drawn box is a slip of the hand and no cell."""


def slide_layer(
    name: str, paths: Sequence[Path]
) -> tuple[npt.NDArray[np.uint8], dict[str, Any], str]:
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
            metadata = {FIELDS_KEY: [str(path) for path in paths], NAME_KEY: name}
            return pixels, {"name": name, "rgb": True, "metadata": metadata}, "image"
    raise (
        errors[0]
        if errors
        else WbcError(f"{name}: the slide has no field; choose a folder of images.")
    )


@dataclass(frozen=True)
class LayerContent:
    """What an image layer holds.

    Parameters
    ----------
    slide : Slide
    pixels : mapping of str to ndarray
        Pixels by ``fov_id``, shape (height, width, 3), uint8, where they are in no file.
    """

    slide: Slide
    pixels: Mapping[str, npt.NDArray[np.uint8]]


def content_of(layer: Image) -> LayerContent:
    """The slide that an image layer holds, of many fields if its reader said so.

    Raises
    ------
    WbcError
        If the layer is not one grey or RGB image.
    """
    paths, data = layer.metadata.get(FIELDS_KEY), layer.data
    name = _slide_name(layer)
    if paths:
        fields = tuple(FieldOfView(f"{name}/{Path(p).name}", Path(p)) for p in paths)
        return LayerContent(Slide(name, fields), {})
    if layer.multiscale or data.ndim != (3 if layer.rgb else 2):
        raise WbcError(
            f"Layer {name!r} is not one field; choose a layer with one 2-D image, or open its folder."
        )
    field = FieldOfView(name, Path(layer.source.path or name))
    return LayerContent(Slide(name, (field,)), {name: as_rgb8(np.asarray(data), name)})


class FieldView:
    """Shows the session's field in a viewer.

    Parameters
    ----------
    viewer : ViewerModel
    session : Session
    """

    edited = Signal(str)
    """Emitted with what a person did to the cells layer, in words."""
    tool_changed = Signal(str)
    """Emitted with napari's name of the tool that the mouse has on the cells layer."""

    def __init__(self, viewer: ViewerModel, session: Session) -> None:
        self.viewer, self.session = viewer, session
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
        viewer.layers.events.removed.connect(self._on_removed)

    def close(self, *, window_gone: bool = False) -> None:
        """Take the last edits in and let go.

        The layers stay in the viewer as a picture that cannot be edited, and :meth:`left_behind`
        finds them.

        Parameters
        ----------
        window_gone : bool
            Whether there is no canvas any more that layers could be drawn on.
        """
        self.clear_preview()
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        self._end_following()
        if self.binding is not None:
            self.binding.close()
            if not window_gone:
                self.binding.layer.editable = False
            self.binding = None
        self._keep_cells()

    def _keep_cells(self) -> None:
        """Keep the cells of a slide that is in memory only on its image, for when it is opened again."""
        kept = self.session.in_memory()
        if self._image is not None and kept is not None:
            self._image.metadata[KEPT_KEY] = kept

    def left_behind(self) -> Image | None:
        """The image of the slide that an earlier workbench showed, None where there is none.

        What lay over it is taken away: it shows cells as they were then. The cells go when ours are
        there: Mesa's software OpenGL ends the process when napari draws between taking shapes away
        and adding some.
        """
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
        if layer == self._image:  # a plugin gets proxies of layers, which are equal, not the same
            return
        before, self._image = self._image, None
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
        image, layers = self._image, list(self.viewer.layers)
        if image is None or image not in layers:
            return None
        above = layers[layers.index(image) + 1 :]
        covers = [layer for layer in above if isinstance(layer, Image) and not kind_of(layer)]
        shown = [layer for layer in covers if layer.visible and _hides(layer)]
        return shown[-1] if shown else None

    @property
    def unseen(self) -> str:
        """Why the image of the slide cannot be seen, in one sentence; empty where it can be."""
        image, field = self._image, self.session.field
        if field is None or self._shown != field.fov_id:
            return ""  # there is none yet
        if image is None:
            return "The image of this slide was removed."
        if not image.visible or image.opacity == 0:
            return "The image of this slide is hidden."
        cover = self.covered_by
        return "" if cover is None else f"The image {cover.name!r} hides this slide."

    def check_seen(self) -> None:
        """Check that the image of the slide is there to be seen; one that was removed is shown again.

        Raises
        ------
        WbcError
            If it was not: nobody shall analyze or judge a cell by the picture of another.
        """
        why, field = self.unseen, self.session.field
        if not why:
            return
        if self._image is None and field is not None:
            self.show(field, self.read(field))
            raise WbcError(f"{why} It is shown again; try once more.")
        cover = self.covered_by
        if cover is None:
            raise WbcError(f"{why} Show it in the layer list, then try again.")
        raise WbcError(
            f"{why} Press Use open image to work on it, or hide it to go on with the slide."
        )

    def use_layer(self, layer: Image, content: LayerContent | None = None) -> Slide:
        """Show slides in an image layer; gives the slide it holds, of many fields if its reader said so.

        Parameters
        ----------
        layer : Image
        content : LayerContent, optional
            As :func:`content_of` gave it for this layer.

        Raises
        ------
        WbcError
            If the layer is not one grey or RGB image.
        """
        content = content or content_of(layer)
        self._pixels = dict(content.pixels)
        self.image_layer, self._shown = layer, ""
        layer.visible = True
        return content.slide

    def use_files(self) -> None:
        """Show slides from files, in the layer of the slide before if that came from files too."""
        if self._pixels:
            self.image_layer, self._pixels = None, {}
        self._shown = ""

    def kept(self, layer: Image) -> Any:
        """The cells of a slide in memory only, as :meth:`close` kept them on its image; None for none."""
        return layer.metadata.pop(KEPT_KEY, None)

    def read(self, field: FieldOfView) -> npt.NDArray[np.uint8]:
        """Pixels of a field, from memory or its file; safe in a thread."""
        held = self._pixels.get(field.fov_id)
        return read_image(field.path) if held is None else held

    @property
    def ready(self) -> bool:
        """Whether the image on screen is that of the field in view, so that its cells may be judged."""
        field = self.session.field
        return field is not None and self._shown == field.fov_id

    def show(
        self, field: FieldOfView, pixels: npt.NDArray[np.uint8], *, cells: bool = True
    ) -> None:
        """Show the image of a field, and its cells above it.

        Parameters
        ----------
        field : FieldOfView
        pixels : ndarray, shape (height, width, 3), uint8
        cells : bool
            Where False, they come with :meth:`ensure_cells`; the first layer of shapes takes napari
            long.
        """
        self._shown, self._extent = field.fov_id, pixels.shape[:2]
        layer = self.image_layer
        slide = self.session.slide
        if layer is None:
            self.image_layer = Image(pixels, name=slide.name, rgb=True)
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
        shape = (8, 8, 3) if self.image_layer is None else self.image_layer.data.shape
        self.show(field, np.zeros(shape, dtype=np.uint8))
        self._shown = ""

    def ensure_cells(self) -> CellsBinding:
        """The binding of the cells layer, which is made where it is missing and put above the image."""
        if self.binding is None:
            layer = make_layer((), self.session.taxonomy)
            marked(layer, "cells")
            self.binding = CellsBinding(self.session, layer, least=self._least_side)
            self.binding.edited.connect(self.edited)
            Pointing(self.viewer, layer, lambda: self.reshaping)
            layer.events.mode.connect(self._on_mode)
            on_transform(
                layer, self._on_transform
            )  # napari's transform tool moves all cells off theirs
            self.viewer.add_layer(layer)
            self._drop_cells_before()
            layer.mode = "select"
        self._place(self.binding.layer)
        if self.ready:
            self.binding.extent = self._extent
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

    def preview(self, detections: Sequence[Detection]) -> None:
        """Show what a detector would find, as thin white outlines."""
        if self._preview is None:
            active = self.viewer.layers.selection.active
            self._preview = Shapes(
                ndim=2, name=PREVIEW, edge_color="white", face_color="transparent", edge_width=1.5
            )
            marked(self._preview, "preview")
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
        copy_transform(image, layer)
        if layers.index(layer) < layers.index(image):
            layers.move(layers.index(layer), len(layers))
            layers.selection.active = layer

    def _on_removed(self, event: Any) -> None:
        layer = event.value
        if layer == self._image:
            self._end_following()
            self._end_following, self._image = lambda: None, None
        elif layer is self._preview:
            self._preview = None
        elif self.binding is not None and layer is self.binding.layer:
            self.binding.close()
            self.binding = None

    def _on_mode(self, event: Any) -> None:
        self.tool_changed.emit(str(event.source.mode))

    def _on_transform(self, _event: Any) -> None:
        """Image or cells were moved, turned or scaled: what lies over the image stays on it."""
        if self._image is None:
            return
        for layer in self.viewer.layers:
            if kind_of(layer) in OVER:
                copy_transform(self._image, layer)

    def let_go(self, image: Image) -> None:
        """Take the image of a slide that is left out of sight; one that a person put there is only hidden."""
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
        return max(LEAST_SIDE, LEAST_SIDE / max(camera_zoom(self.viewer) * scale, 1e-6))


def _hides(layer: Image) -> bool:
    """Whether nobody could judge a cell through an image."""
    return layer.opacity >= HIDES_FROM and str(layer.blending) in HIDING


def _slide_name(layer: Image) -> str:
    """The name of a layer's slide: as its reader or workbench noted it, or that of its file, or its own.

    napari renames a layer whose name another one has, and a project is found by the slide's name.
    """
    noted, file = layer.metadata.get(NAME_KEY), layer.source.path
    if isinstance(noted, str) and noted:
        return noted
    name = Path(file).stem if file else layer.name
    return name.replace("/", "_").replace("\\", "_").lstrip(".") or "image"
