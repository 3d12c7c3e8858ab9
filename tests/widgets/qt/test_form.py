"""Forms of magicgui's controls."""

from __future__ import annotations

from magicgui.widgets import ComboBox, FloatSlider
from qtpy.QtWidgets import QComboBox, QSlider

from napari_wbc.widgets.qt.form import form, refill

LONG = "a choice that is far longer than the panel is wide"


def test_a_control_says_its_label_and_what_it_does(qtbot):
    slider = FloatSlider(label="Gap", min=0, max=1, tooltip="Widest gap, in red cell diameters")
    made = form(slider)
    qtbot.addWidget(made.native)
    control = made.native.findChild(QSlider)
    assert (control.accessibleName(), control.toolTip()) == (slider.label, slider.tooltip)
    assert made.native.layout().contentsMargins().left() == 0


def test_a_long_choice_widens_no_panel(qtbot):
    made = form(ComboBox(label="For", choices=["short", LONG]))
    qtbot.addWidget(made.native)
    combo = made.native.findChild(QComboBox)
    assert combo.minimumSizeHint().width() < combo.fontMetrics().horizontalAdvance(LONG)


def test_other_controls_take_the_place_of_the_first(qtbot):
    made = form(FloatSlider(name="old", label="Old"))
    qtbot.addWidget(made.native)
    heard = []
    refill(made, FloatSlider(name="new", label="New", value=0.5, max=1))
    made.changed.connect(lambda: heard.append(made.asdict()))
    made["new"].value = 0.25
    assert heard == [{"new": 0.25}]


def test_controls_begin_in_one_line_in_a_larger_font_too(qtbot):
    first = FloatSlider(label="Gap", max=1)
    second = FloatSlider(label="Sensitivity of the finder", max=1)
    made = form(first, second)
    qtbot.addWidget(made.native)
    size = made.native.font().pointSizeF()
    made.native.setStyleSheet(f"font-size: {1.15 * size}pt")
    made.native.resize(400, 80)
    made.native.show()
    qtbot.waitExposed(made.native)
    starts = {each.native.mapTo(made.native, each.native.rect().topLeft()).x() for each in made}
    assert len(starts) == 1
