"""The button that adapts the model to the slide."""

from __future__ import annotations

from qtpy.QtWidgets import QPushButton, QWidget

__all__ = ["AdaptButton"]

TIP = (
    "Let the chosen model get used to the stain and camera of this slide. It needs no labels, takes minutes "
    "and changes no cell; the model stays as it was, and the adapted one stands beside it. "
    "Research use only: compare the two before you trust the new one."
)


class AdaptButton(QPushButton):
    """Says in plain words what adapting does.

    Parameters
    ----------
    parent : QWidget, optional
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Adapt to this slide", parent)
        self.setToolTip(f"<qt>{TIP}</qt>")
