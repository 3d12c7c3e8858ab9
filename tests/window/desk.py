"""A desk to try napari at: a display, a window manager, mouse and keyboard of the X server.

It runs inside the process of napari, so that it can look at widgets and layers; but everything that
it does goes to the X server by xdotool, as from a person's hands.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from qtpy.QtCore import QPoint, QRect, QTimer
from qtpy.QtWidgets import (
    QApplication,
    QComboBox,
    QMenu,
    QPushButton,
    QTabWidget,
    QWidget,
)

BEAT_MS = 5


def xdotool(*words: object) -> None:
    """Move the mouse or press keys, by the X server."""
    subprocess.run(["xdotool", *(str(word) for word in words)], check=True)


def wait(seconds: float) -> None:
    """Let the window live for a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.005)


def until(what: Callable[[], Any], seconds: float = 60, *, why: str = "") -> Any:
    """Let the window live until something is so."""
    end = time.monotonic() + seconds
    while not (result := what()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {why or what}")
        QApplication.processEvents()
        time.sleep(0.005)
    return result


def place_of(widget: QWidget, point: QPoint | None = None) -> tuple[int, int]:
    """Where a point of a widget is on the screen; its middle by default."""
    where = widget.mapToGlobal(widget.rect().center() if point is None else point)
    return where.x(), where.y()


def seen(widget: QWidget) -> QWidget:
    """Scroll a widget into view, as a person does before pressing it."""
    parents = [widget.parentWidget()]
    while parents[-1] is not None:
        parents.append(parents[-1].parentWidget())
    # Outermost first: the tabs of a page can be clicked once the page is in view.
    for parent in reversed(parents[:-1]):
        if isinstance(parent, QTabWidget):
            for i in range(parent.count()):
                if parent.widget(i).isAncestorOf(widget) and parent.currentIndex() != i:
                    bar = parent.tabBar()
                    click_at(*place_of(bar, bar.tabRect(i).center()))
        if hasattr(parent, "ensureWidgetVisible"):
            parent.ensureWidgetVisible(widget)
    wait(0.1)
    assert widget.isVisible(), f"{widget} is not to be seen"
    return widget


def click_at(x: int, y: int, *, button: int = 1) -> None:
    """Click somewhere on the screen."""
    xdotool("mousemove", x, y)
    wait(0.05)
    xdotool("click", button)
    wait(0.15)


def click(widget: QWidget) -> None:
    """Click a widget in its middle."""
    click_at(*place_of(seen(widget)))


def click_and_answer(widget: QWidget, answer: Callable[[Any], Any]) -> None:
    """Click what opens a dialog, and answer it; the dialog lives inside the click."""
    seen(widget)

    def when_it_is_there() -> None:
        answer(until(QApplication.activeModalWidget, 10, why="the dialog"))

    QTimer.singleShot(500, when_it_is_there)
    click_at(*place_of(widget))


def press(*keys: str) -> None:
    """Press keys by their X names, such as ``ctrl+z``."""
    for key in keys:
        xdotool("key", key)
        wait(0.12)


def wheel(widget: QWidget, *, times: int = 3) -> None:
    """Turn the wheel over a widget, down and then up."""
    xdotool("mousemove", *place_of(widget))
    wait(0.03)
    for button in (5, 4):
        xdotool("click", "--repeat", times, "--delay", 5, button)
        wait(0.03)


def drag(start: tuple[int, int], end: tuple[int, int], *, steps: int = 8) -> None:
    """Press at a place of the screen, move, and let go."""
    xdotool("mousemove", *start)
    wait(0.08)
    xdotool("mousedown", 1)
    wait(0.05)
    for part in np.linspace(0, 1, steps + 1)[1:]:
        x, y = (round(a + (b - a) * part) for a, b in zip(start, end, strict=True))
        xdotool("mousemove", x, y)
        wait(0.03)
    xdotool("mouseup", 1)
    wait(0.25)


def choose_menu(menu: QMenu, *path: str) -> None:
    """Open a menu of the window and click through it by the texts of its entries."""
    for name in path:
        action = next(a for a in menu.actions() if a.text().replace("&", "") == name)
        click_at(*place_of(menu, menu.actionGeometry(action).center()))
        wait(0.2)
        if action.menu() is not None:
            menu = until(
                lambda action=action: action.menu().isVisible() and action.menu(), 5, why=name
            )


def open_menu(viewer: Any, title: str) -> QMenu:
    """Click a title of the menu bar."""
    bar = viewer.window._qt_window.menuBar()
    action = next(a for a in bar.actions() if a.text().replace("&", "") == title)
    click_at(*place_of(bar, bar.actionGeometry(action).center()))
    return until(lambda: action.menu().isVisible() and action.menu(), 5, why=title)


def choose_in(combo: QComboBox, text: str) -> None:
    """Open a combo box and click an entry."""
    click(combo)
    view = combo.view()
    until(view.isVisible, 5, why="the list of a combo box")
    index = combo.model().index(combo.findText(text), 0)
    view.scrollTo(index)
    wait(0.1)
    click_at(*place_of(view.viewport(), view.visualRect(index).center()))


def button(root: QWidget, text: str) -> QPushButton:
    """The button of a text that can be seen, or is on a tab that can be opened."""
    return next(b for b in root.findChildren(QPushButton) if b.text() == text)


class Canvas:
    """The picture, in pixels of the field."""

    def __init__(self, viewer: Any) -> None:
        self.viewer = viewer
        self.native = viewer.window._qt_viewer.canvas.native

    def at(self, row: float, col: float) -> tuple[int, int]:
        """Where a pixel of the slide's image is on the screen."""
        layer = next(
            one for one in self.viewer.layers if one.metadata.get("napari-wbc layer") == "image"
        )
        world = np.array(layer.data_to_world((row, col))[-2:])
        camera = self.viewer.scene.camera
        height, width = self.native.height(), self.native.width()
        y, x = (world - np.array(camera.center[-2:])) * camera.zoom
        where = self.native.mapToGlobal(QPoint(round(width / 2 + x), round(height / 2 + y)))
        return where.x(), where.y()

    def middle(self) -> tuple[int, int]:
        """The middle of the canvas on the screen."""
        return place_of(self.native)

    def screen(self) -> QRect:
        """The canvas on the screen."""
        return QRect(self.native.mapToGlobal(QPoint(0, 0)), self.native.size())


class Heartbeat:
    """How long the window did not answer, by a timer that should ring every 5 ms."""

    def __init__(self) -> None:
        self._last = time.perf_counter()
        self._gaps: list[float] = []
        self._timer = QTimer()
        self._timer.timeout.connect(self._beat)
        self._timer.start(BEAT_MS)

    def _beat(self) -> None:
        now = time.perf_counter()
        self._gaps.append(now - self._last)
        self._last = now

    @contextmanager
    def listen(self) -> Iterator[list[float]]:
        """Collect the gaps, in seconds, of what is done meanwhile."""
        self._gaps.clear()
        self._last = time.perf_counter()
        heard: list[float] = []
        yield heard
        heard += self._gaps
