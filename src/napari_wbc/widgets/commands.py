"""What napari's command palette runs: the main steps of the workbench that is open.

Invariant: this module imports nothing that takes long; napari imports it for its menus.
"""

from __future__ import annotations

from html import unescape
from typing import TYPE_CHECKING

from napari import current_viewer
from napari.utils.notifications import show_warning
from qtpy.QtWidgets import QApplication, QPushButton, QWidget

from napari_wbc.widgets.opening import WorkbenchDock

if TYPE_CHECKING:
    from napari_wbc.widgets.workbench import Workbench


def analyze() -> None:
    """Locate and classify the cells of the open slide."""
    bench = _bench()
    if bench is not None:
        _press(bench, bench.analysis.run)


def start_review() -> None:
    """Start a review, and show its first cell."""
    bench = _bench()
    if bench is not None:
        _press(bench, bench.queue_panel.start_button)


def go_on() -> None:
    """Return to the cell under review."""
    bench = _bench()
    if bench is not None:
        _press(bench, bench.queue_panel.go_on)


def export() -> None:
    """Ask for a folder, and write the slide there."""
    bench = _bench()
    if bench is not None:
        _press(bench, bench.export)


def _bench() -> Workbench | None:
    """The open workbench; None where it is only being opened."""
    for widget in QApplication.allWidgets():
        if isinstance(widget, WorkbenchDock) and widget.bench is not None:
            return widget.bench
    viewer = current_viewer()
    if viewer is not None:
        viewer.window.add_plugin_dock_widget("napari-wbc", "Workbench")
    return None


def _press(bench: Workbench, push: QPushButton) -> None:
    """Press a button, on the page that it is on; say why where that cannot be done now."""
    bench.tabs.bring(push)
    if push.isEnabled():
        push.click()
    else:
        show_warning(plain_text(push))


def plain_text(widget: QWidget) -> str:
    """A tooltip without the marks that keep names from being markup."""
    tip = str(widget.toolTip()).removeprefix("<qt>").removesuffix("</qt>")
    return unescape(tip.replace("<br>", "\n"))
