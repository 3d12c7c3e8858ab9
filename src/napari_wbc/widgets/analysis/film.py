"""Which part of a scanned film is looked at."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import shapely
from qtpy.QtWidgets import QWidget

from napari_wbc.errors import WbcError
from napari_wbc.imaging.pyramid.opening import is_whole_slide
from napari_wbc.imaging.pyramid.zones import Zones
from napari_wbc.layers.field import FieldView
from napari_wbc.layers.region import clear_region, draw_region, region_of
from napari_wbc.layers.zones import clear_zones, show_zones, zones_of
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.slide import FieldOfView
from napari_wbc.pipeline.film.analyze import FilmOptions
from napari_wbc.pipeline.film.kept import forget
from napari_wbc.pipeline.film.regions import film_zones_steps, zone_areas, zones_among
from napari_wbc.session.session import Session
from napari_wbc.widgets.qt.layout import button, choice, column, row
from napari_wbc.widgets.qt.panel import Panel

WHOLE, MONOLAYER, REGION = "Whole film", "Monolayer", "Drawn region"
WHERE_TIP = (
    "Which part of the scanned film is looked at. Monolayer: where red cells lie side by side, "
    "which a coarse pass finds. Drawn region: the rectangles of the layer region."
)

MAP_TIP = (
    "Find the monolayer (green), and the thin and thick parts, and show them as a layer. Paint "
    "label 2 to add monolayer and 1, 3 or 0 to take it away; the next analysis goes by what is "
    "painted."
)


class FilmChoice(Panel, QWidget):
    """Where on a scanned film cells are looked for; hidden for fields of a camera."""

    def __init__(
        self, session: Session, view: FieldView, kept: Callable[[str], Mapping[str, Any]]
    ) -> None:
        super().__init__()
        self._kept = kept
        self._session = session
        self._view = view
        self.where = choice((WHOLE, MONOLAYER, REGION), WHERE_TIP)
        tip = "Draw rectangles on the film; only cells whose middle lies in one count"
        self.draw = button("Draw region", tip, self._draw)
        self.map = button("Show monolayer", MAP_TIP)
        column(self, row(self.where, self.draw, self.map, stretch=self.where))
        self.listen(self._on_slide, session.slide_changed)
        self.listen(self._on_field, session.field_changed)
        self._show()

    def value(self, fields: Sequence[FieldOfView]) -> FilmOptions:
        """What is chosen for films, and where their tiles are kept.

        Raises
        ------
        WbcError
            If the region is to be drawn yet, or was drawn on one film of several.
        """
        keep = self._tiles(fields)
        chosen = self.where.currentText()
        zones = self._zones(fields)
        if chosen == MONOLAYER:
            return FilmOptions(where="monolayer", zones=zones, keep=keep)
        if chosen == WHOLE:
            return FilmOptions(zones=zones, keep=keep)
        area = region_of(self._view.viewer)
        if area is None:
            raise WbcError("No region is drawn. Press Draw region and drag over the film.")
        if tuple(fields) != (self._session.field,):
            raise WbcError("The region is drawn on the film in view. Press This field only.")
        return FilmOptions(area=area, zones=zones, keep=keep)

    @property
    def is_film(self) -> bool:
        """Whether the field in view is a scanned film."""
        field = self._session.field
        return field is not None and is_whole_slide(field.path)

    def zones_job(self) -> Callable[[], Steps[Zones]]:
        """Find the zones of the film in view, or those that its project keeps."""
        field = self._session.field
        assert field is not None
        return partial(film_zones_steps, field.path, self._kept(field.fov_id))

    def show_zones(self, fov_id: str, zones: Zones) -> None:
        """Show zones, if their film is still in view."""
        field, image = self._session.field, self._view.image_layer
        if field is not None and field.fov_id == fov_id and image is not None:
            show_zones(self._view.viewer, image, zones)
            self.where.setCurrentText(MONOLAYER)

    def _zones(self, fields: Sequence[FieldOfView]) -> Mapping[str, shapely.Geometry]:
        """The zones that a person sees or corrected before; of several films, what each shows."""
        shown = zones_of(self._view.viewer)
        if tuple(fields) == (self._session.field,):
            return zone_areas(shown) if shown else zones_among(self._kept(fields[0].fov_id))
        if shown is not None and self.where.currentText() == MONOLAYER:
            raise WbcError("The monolayer shown is of the film in view. Press This field only.")
        return {}

    def _tiles(self, fields: Sequence[FieldOfView]) -> Path | None:
        """Where results of tiles of films are kept, so that a cancelled analysis goes on."""
        workspace = self._session.workspace
        if workspace is None:
            return None
        # For these films alone, since it is removed once they are done. By name, since the window
        # must not wait for a film to be read; the files in it go by what the film holds.
        films = json.dumps([self._session.slide.name, *(field.fov_id for field in fields)])
        name = hashlib.sha256(films.encode()).hexdigest()[:16]
        return workspace.path.with_suffix(".tiles") / name

    def _draw(self) -> None:
        image = self._view.image_layer
        if image is not None:
            draw_region(self._view.viewer, image)
            self.where.setCurrentText(REGION)

    def _on_slide(self, _slide: object) -> None:
        clear_region(self._view.viewer)
        clear_zones(self._view.viewer)
        self.where.setCurrentText(WHOLE)
        self._show()

    def _on_field(self, _fov_id: str) -> None:
        # A region is in pixels of the film on which it was drawn.
        clear_region(self._view.viewer)
        clear_zones(self._view.viewer)
        self._show()

    def _show(self, *_what: object) -> None:
        self.setVisible(self.is_film)


def forget_steps(tiles: Path) -> Steps[None]:
    """Remove what is kept of tiles, and the folder of all films if it was the last one."""
    yield Progress("removing what is kept of tiles", 0, 1)
    forget(tiles)
    # The folder may not be there, or hold other films.
    with suppress(OSError):
        tiles.parent.rmdir()
