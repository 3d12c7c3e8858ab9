"""The camera: one cell in the middle, enlarged."""

from __future__ import annotations

from napari.components import ViewerModel

SHARE = 0.3
"""Of the canvas' shorter side that a cell in focus takes."""


def center_on(viewer: ViewerModel, center: tuple[float, float]) -> None:
    """Bring a place, (row, col) in world coordinates, into the middle."""
    viewer.scene.camera.center = (0.0, *center)


def focus(viewer: ViewerModel, center: tuple[float, float], side: float) -> None:
    """Bring a place, (row, col), into the middle, its longer side as large as :data:`SHARE`.

    Both are in world coordinates.
    """
    center_on(viewer, center)
    viewer.scene.camera.zoom = SHARE * min(viewer.canvas.size) / max(side, 1e-6)


def camera_place(viewer: ViewerModel) -> list[float]:
    """What is in the middle, (row, col) in world coordinates, and screen pixels a world unit."""
    camera = viewer.scene.camera
    row, col = camera.center[-2:]
    return [float(row), float(col), float(camera.zoom)]


def restore_camera(viewer: ViewerModel, place: object) -> None:
    """Put the camera where :func:`camera_place` says; what is no place changes nothing."""
    match place:
        case [float() | int() as row, float() | int() as col, float() | int() as zoom] if zoom > 0:
            camera = viewer.scene.camera
            camera.center = (0.0, float(row), float(col))
            camera.zoom = float(zoom)
