"""The place in a slide: field, camera and place in the queue, kept in the project."""

from __future__ import annotations

from typing import Any

from napari_wbc.layers.field import FieldView
from napari_wbc.layers.focus import camera_place
from napari_wbc.session.queue import ReviewQueue
from napari_wbc.session.session import Loaded, Session

PLACE, QUEUE = "place", "queue"
"""Notes of a project: field, camera and place in the queue, and the cells of the queue."""


class PlaceKeeper:
    """Notes the place in each slide and reading, and goes back to it."""

    def __init__(self, session: Session, view: FieldView, queue: ReviewQueue) -> None:
        self._session = session
        self._view = view
        self._queue = queue
        self._place: dict[str, Any] = {}
        self._ids: tuple[str, ...] = ()
        self.camera: object = None
        """Camera for the field that comes into view; None to look at the cell under review."""

    def keep(self) -> None:
        """Note the place, if it has changed and the field is on screen."""
        session, queue = self._session, self._queue
        if session.field is None:
            return
        camera = camera_place(self._view.viewer)
        place = {"field": session.field.fov_id, "camera": camera, "queue": queue.place}
        if place != self._place and self._view.ready:
            self._place = place
            session.note(self._note(PLACE), place)
        if queue.ids is not self._ids:
            self._ids = queue.ids
            session.note(self._note(QUEUE), list(self._ids))

    def restore(self, loaded: Loaded) -> None:
        """Go back to the place in the queue, then to the field."""
        self._place = {}
        workspace = loaded.workspace
        place = workspace.get(self._note(PLACE)) if workspace else None
        if workspace is None or not isinstance(place, dict):
            return
        if loaded.table:
            self._queue.resume(place.get("queue"), workspace.get(self._note(QUEUE)))
            self._ids = self._queue.ids
        if place.get("field") not in [field.fov_id for field in loaded.slide.fields]:
            return
        # Before the field is shown, which takes the camera from here.
        self.camera = place.get("camera")
        self._session.show_field(place["field"])

    def _note(self, key: str) -> str:
        """Name of a note of this slide and reading."""
        return f"{key}/{self._session.slide.name}/{self._session.reading}"
