"""Explain predictions: heatmaps of the cells of the slide."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from magicgui.widgets import ComboBox, SpinBox
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QWidget

from napari_wbc.errors import WbcError
from napari_wbc.explain.attribution import Question
from napari_wbc.layers.field import FieldView
from napari_wbc.layers.heatmap import HeatmapLayer
from napari_wbc.model.cell import Cell
from napari_wbc.model.heat import TITLES, Heat
from napari_wbc.model.slide import Slide
from napari_wbc.model.words import counted
from napari_wbc.pipeline.explain import Explanation, explain_cells_steps
from napari_wbc.session.heats import Heats
from napari_wbc.session.session import Session
from napari_wbc.widgets.analysis.heat_legend import HeatLegend
from napari_wbc.widgets.qt.described import failed_text
from napari_wbc.widgets.qt.form import form
from napari_wbc.widgets.qt.layout import allow, button, column, primary, row
from napari_wbc.widgets.qt.panel import Panel, relay
from napari_wbc.widgets.qt.progress import JobBar

PREDICTED = "the predicted class"
NOTHING = "nothing"
NO_CELLS = "There are no cells yet. Find them on the page Find."
NONE_SELECTED = "No cell is selected. Click one in the image or in the gallery."
SELECTED_TIP = "Show where the model looks in the selected cells, wherever they lie"
FIELD_TIP = "Show where the model looks in all cells of the field in view"
SLIDE_TIP = "Show where the model looks in all cells of the slide"
CLEAR_TIP = "Remove all heat and its layer"
MAP_TIP = "All cells as points; those that look alike to the network lie side by side"
TIPS = {
    "grad-cam": "Where the last maps of the network support the class (Grad-CAM): quick, coarse",
    "guided-grad-cam": "Grad-CAM, refined to the pixels with a gradient: quick, fine",
    "integrated-gradients": "Pixels that count between bare glass and the cell: 10 cells a second",
    "occlusion": "What the prediction loses when a patch is covered: 3 cells a second",
    "lime": "Patches that a linear model of many covered copies needs (LIME): a second a cell",
}


class ExplainPanel(Panel, QWidget):
    """Explain predictions, and show the heat as an image layer over the field.

    Parameters
    ----------
    weights : callable
        Name or file of the chosen classifier.
    """

    said = Signal(str)
    warned = Signal(str)
    noted = Signal(str)

    def __init__(
        self, session: Session, view: FieldView, heats: Heats, weights: Callable[[], str]
    ) -> None:
        super().__init__()
        self._session = session
        self._view = view
        self._heats = heats
        self._weights = weights
        self.layer = HeatmapLayer(view.viewer)
        self._finished: list[Heat] = []
        """Heat of the running job, for the case that it is cancelled."""
        self.method = ComboBox(
            label="Method",
            choices=[(title, name) for name, title in TITLES.items()],
            tooltip="How heat is found",
        )
        for i, name in enumerate(TITLES):
            self.method.native.setItemData(i, TIPS[name], Qt.ItemDataRole.ToolTipRole)
        classes = [(name, name) for name in session.taxonomy.names]
        self.target = ComboBox(
            label="For", choices=[(PREDICTED, ""), *classes], tooltip="The class to explain"
        )
        self.against = ComboBox(
            label="Not",
            choices=[(NOTHING, ""), *classes],
            tooltip="Explain why it is the one class and not this one",
        )
        self.samples = SpinBox(
            label="Samples",
            min=20,
            max=5000,
            step=50,
            value=200,
            tooltip="How often patches of a cell are covered at random",
        )
        self.options = form(self.method, self.samples, self.target, self.against)
        self.legend = self.own(HeatLegend(heats))
        self.selected = primary(button("Explain selected cells", "", self.ask_selected))
        self.field = button("Explain this field", "", self.ask_field)
        self.slide = button("Explain whole slide", "", self.ask_slide)
        self.clear = button("Remove heat", "", heats.clear)
        self.map = button("Map the cells…")
        self.jobs = JobBar("Explaining")
        cells = row(self.field, self.slide)
        others = row(self.clear, self.map)
        options = self.options.native
        column(self, options, self.selected, cells, self.jobs, self.legend, others).addStretch()
        self.method.changed.connect(self._show_samples)
        self._show_samples(self.method.value)
        relay(self.jobs, self)
        self.jobs.running_changed.connect(self._set_running)
        self.at_release(self.layer.close)
        self.listen(self.show_field, heats.changed)
        self.listen(self._show_possible, heats.changed, session.changed, session.slide_changed)
        self.listen(self._show_possible, session.selection_changed, session.field_changed)
        self._show_possible()
        self.at_release(self.jobs.cancel)

    def value(self) -> Question:
        """What is asked.

        Raises
        ------
        WbcError
            If a class is set against itself.
        """
        return Question(
            self.method.value,
            self.target.value,
            self.against.value,
            samples=self.samples.value,
        )

    def _show_samples(self, method: str) -> None:
        """Ask for the number of samples where the method takes any."""
        self.samples.visible = method == "lime"

    def ask_selected(self) -> None:
        """Explain the selected cells."""
        table = self._session.table
        self.ask(table[key] for key in self._session.selection if key in table)

    def ask_field(self) -> None:
        """Explain the cells of the field in view."""
        field = self._session.field
        self.ask(self._session.table.of_field(field.fov_id) if field else ())

    def ask_slide(self) -> None:
        """Explain all cells of the slide."""
        self.ask(self._session.table.values())

    def ask(self, cells: Iterable[Cell]) -> None:
        """Explain some cells of the open slide."""
        chosen = tuple(cells)
        if not chosen:
            self.warned.emit("No cell to explain; select some, or locate them first.")
            return
        try:
            question = self.value()
        except WbcError as error:
            self.warned.emit(str(error))
            return
        slide = self._session.slide
        self._finished = []
        steps = partial(
            explain_cells_steps,
            slide,
            chosen,
            question,
            weights=self._weights(),
            read=self._view.read,
            on_heat=self._finished.extend,
        )
        self.jobs.start(steps, partial(self._on_explained, slide))

    def show_field(self) -> None:
        """Show the heat of the field in view."""
        field, image = self._session.field, self._view.image_layer
        if field is None or image is None or not self._view.ready:
            self.layer.clear()
            return
        self.layer.show(self._heats.of_field(field.fov_id), image)

    def _on_explained(self, slide: Slide, explained: Explanation) -> None:
        self._finished = []
        if self._session.slide != slide:
            return
        shown = self._heats.put(explained.heats)
        text = explained.summary
        if shown < len(explained.heats):
            text += f". {counted(len(explained.heats) - shown)} changed meanwhile: no heat"
        self.said.emit(text + failed_text(explained.failures))

    def _set_running(self, running: bool) -> None:
        # A job that ends by itself has left nothing here: it was cancelled, or failed.
        if not running and self._finished:
            shown = self._heats.put(self._finished)
            self._finished = []
            if shown:
                why = (self.jobs.ended or "Ended early").rstrip(".")
                self.said.emit(f"{why}. Heat was found for {counted(shown)}.")
        self._show_possible()

    def _show_possible(self, *_what: object) -> None:
        """Enable what can be done now; a disabled button says why in its tooltip."""
        table, field = self._session.table, self._session.field
        selected = any(key in table for key in self._session.selection)
        in_field = field is not None and bool(table.of_field(field.fov_id))
        running = "Cells are being explained. Wait for it, or cancel it."
        running = running if self.jobs.running else ""
        none = "" if table else NO_CELLS
        for push, tip, reason in (
            (self.selected, SELECTED_TIP, running or none or ("" if selected else NONE_SELECTED)),
            (self.field, FIELD_TIP, running or none or ("" if in_field else "No cell lies here.")),
            (self.slide, SLIDE_TIP, running or none),
            (self.clear, CLEAR_TIP, "" if len(self._heats) else "There is no heat to remove."),
            (self.map, MAP_TIP, none),
        ):
            allow(push, tip, reason)
