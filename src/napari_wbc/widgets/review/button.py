"""A push button with its tooltip and action, in one line."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtWidgets import QPushButton

__all__ = ["button"]


def button(text: str, tip: str, action: Callable[[], object] | None = None) -> QPushButton:
    """A button that calls an action, if any, when it is clicked."""
    made = QPushButton(text)
    made.setToolTip(tip)
    if action is not None:
        # Qt sends along whether the button is checked.
        made.clicked.connect(lambda _checked=False: action())
    return made
