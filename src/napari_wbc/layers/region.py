"""The region of a scanned film that a person draws: a layer of shapes over the image."""

from __future__ import annotations

import shapely
from napari.components import ViewerModel
from napari.layers import Image, Shapes

from napari_wbc.layers.cells import HALF
from napari_wbc.layers.edges import keep_visible
from napari_wbc.layers.placed import copy_transform, kind_of, marked

KIND = "region"
COLOR = "#00e5ff"


def region_layer(viewer: ViewerModel) -> Shapes | None:
    """The layer of the region; None where nobody drew one."""
    return next((layer for layer in viewer.layers if kind_of(layer) == KIND), None)


def draw_region(viewer: ViewerModel, image: Image) -> Shapes:
    """Let the next drags in the viewer draw rectangles of the region, over an image."""
    layer = region_layer(viewer)
    if layer is None:
        layer = Shapes(name="region", edge_color=COLOR, face_color="transparent")
        layer.current_edge_color = COLOR
        layer.current_face_color = "transparent"
        marked(layer, KIND)
        viewer.add_layer(layer)
    copy_transform(image, layer)
    keep_visible(layer, viewer.scene.camera.zoom)
    layer.visible = True
    viewer.layers.selection.active = layer
    layer.mode = "add_rectangle"
    return layer


def region_of(viewer: ViewerModel) -> shapely.Geometry | None:
    """The drawn region in (x, y) pixels of the image; None where there is none."""
    layer = region_layer(viewer)
    if layer is None:
        return None
    shapes = []
    for points, kind in zip(layer.data, layer.shape_type, strict=True):
        # A line holds no area.
        if kind not in ("line", "path"):
            corners = points[:, -2:] + HALF
            shapes.append(shapely.make_valid(shapely.Polygon(corners[:, ::-1])))
    area = shapely.union_all(shapes)
    return None if area.is_empty else area


def clear_region(viewer: ViewerModel) -> None:
    """Forget what was drawn; the layer stays."""
    layer = region_layer(viewer)
    if layer is not None and layer.nshapes:
        layer.data = []
