"""Choose a cell finder, its preset and its parameters."""

from __future__ import annotations

from typing import Any, NamedTuple

from magicgui.widgets import FloatSlider
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QWidget
from superqt.utils import signals_blocked

from napari_wbc.detect.finders import DETECTORS, NETWORKS, parameters_of, presets_of
from napari_wbc.widgets.qt.form import form, refill
from napari_wbc.widgets.qt.input_guard import guard_inputs
from napari_wbc.widgets.qt.layout import choice, column, folded, row, text_label
from napari_wbc.widgets.qt.preferences import preference

SHOWN = {
    "auto": "network and colour (auto)",
    "mask-rcnn": "network (mask-rcnn)",
    "hsv": "colour (hsv)",
}
"""What a person reads for a cell finder."""
DETECTOR_TIP = (
    "What looks for the cells: a trained network, the colour of the stain, or both, which check "
    "each other. Colour alone needs no network."
)
PRESET_TIP = (
    "With a network: which trained network. By colour alone: nucleus finds whole cells, "
    "youssef-2024 is the published recipe."
)


class DetectorChoice(NamedTuple):
    """What :func:`napari_wbc.detect.finders.make_detector` needs."""

    name: str
    preset: str
    parameters: dict[str, Any]


class DetectorWidget(QWidget):
    """Cell finder, preset and a slider for each parameter."""

    changed = Signal(object)
    """With the DetectorChoice, also while a slider moves."""
    preview_toggled = Signal(bool)

    def __init__(self) -> None:
        super().__init__()
        self._detector = choice((), DETECTOR_TIP)
        for name in DETECTORS:
            self._detector.addItem(SHOWN.get(name, name), name)
        self._detector.setAccessibleName("Find cells by")
        self._pick(preference("find", "cell_finder"))
        self._preset = choice((), PRESET_TIP)
        self.preview = QCheckBox("Preview on this field")
        self.preview.setToolTip("Outline what would be found, while the sliders move")
        self.tuning = form()
        self.tuning.native.layout().setSpacing(1)
        tuning = folded("Fine settings", self.tuning.native)
        finder = row(
            text_label("Find cells by"), self._detector, self._preset, stretch=self._preset
        )
        column(self, finder, tuning, self.preview, spacing=2)
        self._detector.currentTextChanged.connect(self._choose)
        self._preset.currentTextChanged.connect(self._fill)
        self.preview.toggled.connect(self.preview_toggled)
        self._choose()

    def value(self) -> DetectorChoice:
        """What is chosen."""
        return DetectorChoice(
            self._detector.currentData(),
            self._preset.currentText(),
            self.tuning.asdict(),
        )

    def take_over(self, other: DetectorWidget) -> None:
        """Choose what is chosen in another widget."""
        choice = other.value()
        self._pick(choice.name)
        self._preset.setCurrentText(choice.preset)
        self.tuning.update(choice.parameters)

    def weights(self) -> str:
        """Name or file of the chosen mask-rcnn model, or else of the default one.

        Raises
        ------
        WbcError
            As :func:`~napari_wbc.detect.finders.presets_of`.
        """
        chosen = self.value()
        return chosen.preset if chosen.name in NETWORKS else presets_of("mask-rcnn")[0]

    def refresh(self) -> None:
        """List the presets anew, and keep what is chosen."""
        chosen = self._preset.currentText()
        self._list(chosen)
        if self._preset.currentText() != chosen:
            self._fill()

    def _pick(self, name: str) -> None:
        self._detector.setCurrentIndex(self._detector.findData(name))

    def _choose(self, _shown: str = "") -> None:
        self._list()
        self._fill()

    def _list(self, chosen: str = "") -> None:
        with signals_blocked(self._preset):
            self._preset.clear()
            self._preset.addItems(presets_of(self._detector.currentData()))
            # The first stays chosen if the list lacks this one.
            self._preset.setCurrentText(chosen)

    def _fill(self, _preset: str = "") -> None:
        sliders: list[FloatSlider] = []
        for parameter in parameters_of(self._detector.currentData(), self._preset.currentText()):
            slider = FloatSlider(
                name=parameter.name,
                label=parameter.title,
                min=parameter.low,
                max=parameter.high,
                step=parameter.step,
                value=parameter.default,
                tooltip=parameter.help,
            )
            sliders.append(slider)
        refill(self.tuning, *sliders)
        self.tuning.changed.connect(self._on_slider, unique=True)
        guard_inputs(self)
        self.changed.emit(self.value())

    def _on_slider(self) -> None:
        self.changed.emit(self.value())
