"""The cells of the slide on a plane, those side by side that the network takes for alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QLabel, QPushButton, QVBoxLayout

from napari_wbc.model.cell import Cell
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.model.table import CellTable, diff
from napari_wbc.pipeline.feature_map import FeatureMap, feature_map_steps
from napari_wbc.session.order import disagreed
from napari_wbc.session.session import Session
from napari_wbc.widgets.map.kinds import COLOURINGS, kind_of, kinds
from napari_wbc.widgets.map.legend import Legend
from napari_wbc.widgets.map.scatter import Card, Scatter
from napari_wbc.widgets.qt.layout import TextLines, row
from napari_wbc.widgets.qt.panel import DockPanel
from napari_wbc.widgets.qt.progress import JobBar
from napari_wbc.widgets.qt.thumbnails import Thumbnails

__all__ = ["METHOD_NAMES", "FeatureMapPanel"]

METHOD_NAMES = {"t-SNE": "t-sne", "UMAP": "umap", "PCA": "pca"}
NO_MAP = "No map yet"
HINT = (
    "Drag a lasso or click to select (Shift adds), double-click to go to a cell; the wheel zooms, the right "
    "button pans. Keys: arrows, Enter, +, −, Home, and a class's key. A red ring: person and model differ."  # noqa: RUF001
)


class FeatureMapPanel(DockPanel):
    """Map the cells of the slide, colour them, and select them on the map.

    Parameters
    ----------
    session : Session
    thumbnails : Thumbnails
    weights : callable
        Name or file of the classifier's weights.
    read : callable
        The pixels of a field, shape (height, width, 3), uint8 RGB; called in a thread.
    """

    said = Signal(str)
    """With one line for the person at the screen."""
    cell_activated = Signal(str)
    """With the id of the cell to go to."""
    key_pressed = Signal(str)
    """With a plain key as napari names it, for the selected cells."""

    def __init__(
        self,
        session: Session,
        thumbnails: Thumbnails,
        weights: Callable[[], str],
        read: Callable[[FieldOfView], npt.NDArray[np.uint8]],
    ) -> None:
        super().__init__()
        self._session, self._thumbnails, self._weights, self._read = (
            session,
            thumbnails,
            weights,
            read,
        )
        self._map: FeatureMap | None = None
        self._mapped: tuple[Cell, ...] = ()
        """The cells of the map as they were mapped."""
        self._numbers: dict[str, int] = {}
        self._names: list[str] = []
        self._ringed = self._here = np.zeros(0, bool)
        self._build()
        self.jobs.said.connect(self._say)
        self.jobs.running_changed.connect(self.run.setDisabled)
        self.scatter.chosen.connect(self._on_chosen)
        self.scatter.activated.connect(lambda i: self.cell_activated.emit(self._mapped[i].cell_id))
        self.scatter.key_pressed.connect(self.key_pressed)
        self.by.currentTextChanged.connect(self._look_again)
        self.listen(self._on_ready, thumbnails.ready)
        self.listen(self._on_changed, session.changed)
        self.listen(self._on_slide, session.slide_changed)
        self.listen(self._on_selection, session.selection_changed)
        self.at_release(self.jobs.cancel)

    def _build(self) -> None:
        self.method, self.by = QComboBox(), QComboBox()
        self.method.addItems(list(METHOD_NAMES))
        self.method.setToolTip(
            "t-SNE and UMAP keep neighbours together, PCA keeps distances; UMAP has to be installed"
        )
        self.by.addItems(list(COLOURINGS))
        self.by.setToolTip("What the points are coloured by")
        self.run = QPushButton("Map")
        self.run.setToolTip("Lay out the cells of the slide by what the chosen model makes of them")
        self.scatter = Scatter(self._card)
        self.scatter.empty_text = NO_MAP
        self.scatter.setToolTip(HINT)
        self.scatter.setAccessibleName("Feature map")
        self.legend, self.jobs, self.told = Legend(), JobBar(), TextLines(1)
        self.run.clicked.connect(self.start)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(2, 2, 2, 2)
        layout.setSpacing(3)
        layout.addWidget(row(self.method, QLabel("colour by"), self.by, self.run))
        layout.addWidget(self.scatter, stretch=1)
        layout.addWidget(self.legend)
        layout.addWidget(self.jobs)
        layout.addWidget(self.told)

    @property
    def busy(self) -> bool:
        """Whether a map is being made."""
        return self.jobs.running

    def value(self) -> FeatureMap | None:
        """The map that is shown, None before there is one."""
        return self._map

    def start(self) -> None:
        """Map the cells of the slide as they are now."""
        if self.jobs.running:
            return
        session, method, weights = (
            self._session,
            METHOD_NAMES[self.method.currentText()],
            self._weights(),
        )
        slide, table = session.slide, session.table
        if not table:
            self._say("There are no cells to map; analyze the slide first.")
            return
        self.jobs.start(
            lambda: feature_map_steps(slide, table, method, weights=weights, read=self._read),
            partial(self._on_mapped, slide, table),
        )

    def show_map(self, found: FeatureMap, table: CellTable) -> None:
        """Show a map of cells as they are in a table."""
        self._map, self._mapped = found, tuple(table[key] for key in found.cell_ids)
        self._numbers = {key: i for i, key in enumerate(found.cell_ids)}
        self._here = np.zeros(len(found.cell_ids), bool)
        self._ringed = np.zeros(len(found.cell_ids), bool)
        self._names = [""] * len(found.cell_ids)
        self._look_at(self._numbers)
        self.scatter.forget()
        self.scatter.show_places(self._places())
        self._colour()
        self._on_selection(self._session.selection)

    def clear(self) -> None:
        """Show no map."""
        self.show_map(FeatureMap((), np.zeros((0, 2), np.float32), "", ""), CellTable())
        self._map = None
        self.told.setText("")

    # How the points look

    def _look_at(self, cell_ids: Iterable[str]) -> None:
        """See how some cells of the map are now; one that was moved has no place on it any more."""
        table, taxonomy, by = self._session.table, self._session.taxonomy, self.by.currentText()
        for key in cell_ids:
            i, cell = self._numbers[key], table.get(key)
            was = self._mapped[i].detection
            here = cell is not None and (cell.detection is was or cell.detection == was)
            self._here[i] = here
            self._ringed[i] = here and disagreed(cell, taxonomy)
            self._names[i] = kind_of(cell, by, taxonomy) if here else ""

    def _places(self) -> npt.NDArray[np.float32]:
        assert self._map is not None
        return np.where(self._here[:, None], self._map.places, np.float32("nan"))

    def _colour(self) -> None:
        """Colours, rings, legend and the line below, as the cells of the map are now."""
        counts = Counter(self._names)
        del counts[""]
        shown = kinds(counts, self.by.currentText(), self._session.taxonomy)
        number = {kind.name: i for i, kind in enumerate(shown)}
        kind = np.array([number.get(name, 0) for name in self._names], int)
        self.scatter.show_looks(shown, kind, self._ringed)
        self.legend.show_kinds(shown, [counts[kind.name] for kind in shown])
        self.told.setText(self._state())

    def _state(self) -> str:
        """One line on what the map shows and what it lacks."""
        found = self._map
        if found is None or not found.cell_ids:
            return "" if found is None else "No cell could be mapped."
        here = int(self._here.sum())
        text = f"{here:,} cells by {found.model_id}, {int(self._ringed.sum()):,} differ"
        if missing := len(self._session.table) - here:
            text += f"; {missing:,} not on the map, press Map to map them"
        if found.failures:
            text += f"; {len(found.failures)} fields could not be read: {found.failures[0].message}"
        return text

    def _card(self, i: int) -> Card:
        """What is shown beside a point."""
        cell = self._session.table.get(self._mapped[i].cell_id)
        if cell is None:
            return None, ()
        said = cell.prediction
        lines = (
            f"{cell.label} (reviewed)" if cell.annotation is not None else cell.label,
            f"model: {said.cell_class} {said.confidence:.0%}"
            if said is not None
            else "model: not asked",
            cell.fov_id.rsplit("/")[-1],
        )
        return self._thumbnails.get(cell), lines

    # What happens

    def _say(self, text: str) -> None:
        self.told.setText(text)
        self.said.emit(text)

    def _on_mapped(self, slide: Slide, table: CellTable, found: FeatureMap) -> None:
        if self._session.slide == slide:
            self.show_map(found, table)
            self.said.emit(self._state())

    def _on_chosen(self, points: list[int], adds: bool) -> None:
        kept = self._session.selection if adds else ()
        self._session.select([*kept, *(self._mapped[i].cell_id for i in points)])

    def _on_changed(self, old: CellTable, new: CellTable) -> None:
        """Only what changed is looked at: a key may be pressed every moment."""
        if self._map is None:
            return
        step = diff(old, new)
        cells = (*step.added, *step.removed, *(cell for _, cell in step.changed))
        self._look_at(cell.cell_id for cell in cells if cell.cell_id in self._numbers)
        if (np.isfinite(self.scatter.places[:, 0]) != self._here).any():
            self.scatter.places = self._places()
        self._colour()

    def _on_slide(self, *_slide: object) -> None:
        self.jobs.cancel()
        self.clear()

    def _on_selection(self, selection: tuple[str, ...]) -> None:
        chosen = np.zeros(len(self._mapped), bool)
        chosen[[self._numbers[key] for key in selection if key in self._numbers]] = True
        self.scatter.show_chosen(chosen)

    def _on_ready(self, cell_ids: set[str]) -> None:
        point = self.scatter.pointed
        if (
            point is not None
            and point < len(self._mapped)
            and self._mapped[point].cell_id in cell_ids
        ):
            self.scatter.update()

    def _look_again(self, _by: str) -> None:
        if self._map is not None:
            self._look_at(self._numbers)
            self._colour()
