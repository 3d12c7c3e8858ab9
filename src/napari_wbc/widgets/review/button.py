"""A push button with its tooltip and its action."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtWidgets import QPushButton

__all__ = ["button"]


def button(text: str, tip: str, action: Callable[[], object]) -> QPushButton:
    """A button that calls an action without arguments when it is clicked."""
    made = QPushButton(text)
    made.setToolTip(tip)
    # Qt sends along whether the button is checked.
    made.clicked.connect(lambda _checked=False: action())
    return made
