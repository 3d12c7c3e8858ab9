"""How a laboratory counts, as the options of ``napari-wbc report`` have it."""

from __future__ import annotations

from typing import Any

from magicgui.widgets import CheckBox, FileEdit, FloatSpinBox

from napari_wbc.widgets.qt.form import form


class CountingRules:
    """The form of the counting rules.

    Attributes
    ----------
    fields : mapping of str to widget
        By the names of a :class:`~napari_wbc.pipeline.lab_report.choice.Choice`.
    form : Container
    """

    def __init__(self) -> None:
        within = FloatSpinBox(
            label="Limits within, points",
            min=0,
            max=50,
            step=1,
            tooltip="Half-width of the limits of each class, to be reached before signing",
        )
        # The lowest value stands for none.
        within.native.setSpecialValueText("any")
        self.fields: dict[str, Any] = {
            "within": within,
            "bands_apart": CheckBox(
                text="Band neutrophils apart",
                tooltip="In a row of their own; ICSH 2015 advises to merge them",
            ),
            "unidentified_counted": CheckBox(
                text="Unidentified cells in the denominator",
                tooltip="As LOINC 44095-8 has it; else they stand beside, with worst-case limits",
            ),
            "correct_from": FloatSpinBox(
                label="Correct WBC from, /100 WBC",
                min=0,
                max=1000,
                step=1,
                tooltip="Erythroblasts per 100 WBC from which on the WBC count is corrected",
            ),
            "simultaneous": CheckBox(
                text="Limits for all classes at once",
                tooltip="Wider limits that hold for all classes together (Bonferroni)",
            ),
            "intervals": FileEdit(
                label="Reference intervals",
                filter="*.csv",
                nullable=True,
                tooltip="Your own CSV table; the shipped one where empty",
            ),
            "findings": FileEdit(
                label="Critical findings",
                filter="*.csv",
                nullable=True,
                tooltip="Your own CSV table; the shipped one where empty",
            ),
        }
        # As exact as what the shell takes.
        for name in ("within", "correct_from"):
            self.fields[name].native.setDecimals(3)
        self.form = form(*self.fields.values())
