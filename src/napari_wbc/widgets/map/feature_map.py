"""The feature map: cells as points; those that look alike to the network lie side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import Signal

from napari_wbc.model.cell import Cell
from napari_wbc.model.slide import Slide
from napari_wbc.model.table import CellTable, diff
from napari_wbc.model.words import counted
from napari_wbc.pipeline.analysis import ReadField
from napari_wbc.pipeline.feature_map import FeatureMap, feature_map_steps
from napari_wbc.session.order import disagreed
from napari_wbc.session.session import Session
from napari_wbc.widgets.map.kinds import COLOURINGS, kind_of, kinds
from napari_wbc.widgets.map.legend import Legend
from napari_wbc.widgets.map.scatter import Card, Scatter
from napari_wbc.widgets.qt.described import failed_text
from napari_wbc.widgets.qt.layout import TextLines, button, choice, column, row, text_label
from napari_wbc.widgets.qt.panel import DockPanel
from napari_wbc.widgets.qt.progress import JobBar
from napari_wbc.widgets.qt.thumbnails import Thumbnails

METHOD_NAMES = {"t-SNE": "t-sne", "UMAP": "umap", "PCA": "pca"}
NO_MAP = "No map yet"
METHOD_TIP = (
    "t-SNE and UMAP keep neighbours together, PCA keeps distances; UMAP has to be installed"
)
HINT = (
    "Drag a lasso or click to select; Shift adds. Double-click goes to a cell. "
    "The wheel zooms, the right button pans. "
    "Keys: arrows, Enter, +, −, Home, and the key of a class. "  # noqa: RUF001
    "A red ring: label and prediction differ."
)


class FeatureMapPanel(DockPanel):
    """Map the cells of the slide, colour them, and select them on the map.

    Parameters
    ----------
    weights : callable
        Name or file of the classifier's weights.
    """

    said = Signal(str)
    warned = Signal(str)
    cell_activated = Signal(str)
    """With the id of the cell to go to."""
    key_pressed = Signal(str)
    """With a plain key as napari names it, for the selected cells."""

    def __init__(
        self,
        session: Session,
        thumbnails: Thumbnails,
        weights: Callable[[], str],
        read: ReadField,
    ) -> None:
        super().__init__()
        self._session = session
        self._thumbnails = thumbnails
        self._weights = weights
        self._read = read
        self.feature_map: FeatureMap | None = None
        """The map that is shown, None before there is one."""
        self._mapped: tuple[Cell, ...] = ()
        """The cells of the map as they were mapped."""
        self._numbers: dict[str, int] = {}
        self._names: list[str] = []
        self._ringed = np.zeros(0, bool)
        self._placed = np.zeros(0, bool)
        """Which cells of the map are still where they were mapped."""
        self._build()
        self.jobs.said.connect(self._say)
        self.jobs.warned.connect(self._warn)
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
        self.method = choice(METHOD_NAMES, METHOD_TIP)
        self.by = choice(COLOURINGS, "What the points are coloured by")
        tip = "Map the cells of the slide by the features of the chosen model"
        self.run = button("Map", tip, self.start)
        self.scatter = Scatter(self._card)
        self.scatter.empty_text = NO_MAP
        self.scatter.setToolTip(HINT)
        self.scatter.setAccessibleName("Feature map")
        self.legend = Legend()
        self.jobs = JobBar("Feature map")
        self.message = TextLines(1)
        controls = row(self.method, text_label("colour by"), self.by, self.run)
        below = (self.legend, self.jobs, self.message)
        column(self, controls, self.scatter, *below, stretch=self.scatter, margin=2)

    @property
    def busy(self) -> bool:
        """Whether a map is being made."""
        return self.jobs.running

    def start(self) -> None:
        """Map the cells of the slide as they are now."""
        if self.jobs.running:
            return
        method = METHOD_NAMES[self.method.currentText()]
        weights = self._weights()
        slide = self._session.slide
        table = self._session.table
        if not table:
            self._warn("There are no cells to map; analyze the slide first.")
            return
        self.jobs.start(
            lambda: feature_map_steps(slide, table, method, weights=weights, read=self._read),
            partial(self._on_mapped, slide, table),
        )

    def show_map(self, feature_map: FeatureMap, table: CellTable) -> None:
        """Show a map of cells as they are in a table."""
        ids = feature_map.cell_ids
        self.feature_map = feature_map
        self._mapped = tuple(table[cell_id] for cell_id in ids)
        self._numbers = {cell_id: i for i, cell_id in enumerate(ids)}
        self._placed = np.zeros(len(ids), bool)
        self._ringed = np.zeros(len(ids), bool)
        self._names = [""] * len(ids)
        self._look_at(self._numbers)
        self.scatter.forget()
        self.scatter.show_places(self._places())
        self._colour()
        self._on_selection(self._session.selection)

    def clear(self) -> None:
        """Show no map."""
        self.show_map(FeatureMap((), np.zeros((0, 2), np.float32), "", ""), CellTable())
        self.feature_map = None
        self.message.setText("")

    def _look_at(self, cell_ids: Iterable[str]) -> None:
        """Note how some cells of the map are now; a cell that was moved leaves the map."""
        table = self._session.table
        taxonomy = self._session.taxonomy
        by = self.by.currentText()
        for cell_id in cell_ids:
            i = self._numbers[cell_id]
            cell = table.get(cell_id)
            before = self._mapped[i].detection
            # Identity first: comparing outlines of thousands of cells takes long.
            placed = cell is not None and (cell.detection is before or cell.detection == before)
            self._placed[i] = placed
            self._ringed[i] = placed and disagreed(cell, taxonomy)
            self._names[i] = kind_of(cell, by, taxonomy) if placed else ""

    def _places(self) -> npt.NDArray[np.float32]:
        assert self.feature_map is not None
        return np.where(self._placed[:, None], self.feature_map.places, np.float32("nan"))

    def _colour(self) -> None:
        """Colours, rings, legend and the line below, as the cells of the map are now."""
        counts = Counter(self._names)
        del counts[""]
        shown = kinds(counts, self.by.currentText(), self._session.taxonomy)
        number = {kind.name: i for i, kind in enumerate(shown)}
        kind = np.array([number.get(name, 0) for name in self._names], int)
        self.scatter.show_looks(shown, kind, self._ringed)
        self.legend.show_kinds(shown, [counts[kind.name] for kind in shown])
        self.message.setText(self._state())

    def _state(self) -> str:
        """One line on what the map shows and what it lacks."""
        feature_map = self.feature_map
        if feature_map is None:
            return ""
        if not feature_map.cell_ids:
            return "No cell could be mapped."
        placed = int(self._placed.sum())
        text = f"{counted(placed)} by {feature_map.model_id}, {int(self._ringed.sum()):,} differ"
        if missing := len(self._session.table) - placed:
            text += f"; {missing:,} not on the map, press Map to map them"
        return text + failed_text(feature_map.failures)

    def _card(self, i: int) -> Card:
        """What is shown beside a point."""
        cell = self._session.table.get(self._mapped[i].cell_id)
        if cell is None:
            return None, ()
        label = cell.label if cell.annotation is None else f"{cell.label} (reviewed)"
        prediction = "not classified"
        if cell.prediction is not None:
            prediction = f"model: {cell.prediction.cell_class} {cell.prediction.confidence:.0%}"
        return self._thumbnails.get(cell), (label, prediction, cell.fov_id.rsplit("/")[-1])

    def _say(self, text: str) -> None:
        self.message.setText(text)
        self.said.emit(text)

    def _warn(self, text: str) -> None:
        self.message.setText(text)
        self.warned.emit(text)

    def _on_mapped(self, slide: Slide, table: CellTable, feature_map: FeatureMap) -> None:
        if self._session.slide == slide:
            self.show_map(feature_map, table)
            self.said.emit(self._state())

    def _on_chosen(self, points: list[int], adds: bool) -> None:
        before = self._session.selection if adds else ()
        chosen = [self._mapped[i].cell_id for i in points]
        self._session.select([*before, *chosen])

    def _on_changed(self, old: CellTable, new: CellTable) -> None:
        if self.feature_map is None:
            return
        # Only what changed is looked at: a person may press a key every moment.
        change = diff(old, new)
        changed = [cell for _, cell in change.changed]
        cells = (*change.added, *change.removed, *changed)
        self._look_at(cell.cell_id for cell in cells if cell.cell_id in self._numbers)
        if (np.isfinite(self.scatter.places[:, 0]) != self._placed).any():
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
        if point is None or point >= len(self._mapped):
            return
        if self._mapped[point].cell_id in cell_ids:
            self.scatter.update()

    def _look_again(self, _by: str) -> None:
        if self.feature_map is not None:
            self._look_at(self._numbers)
            self._colour()
