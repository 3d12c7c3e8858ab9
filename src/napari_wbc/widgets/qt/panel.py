"""The life cycle of panels: connections, jobs and child panels are released once, last first."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from typing import Any, TypeVar

from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtWidgets import QWidget

from napari_wbc.errors import WbcError

P = TypeVar("P", bound="Panel")


class Panel:
    """A part of the window; to be mixed in before a Qt class, or used alone for connections.

    Session, viewer and layers outlive the window, and a handler that they still call would touch
    widgets that Qt has deleted. So a panel connects to them by :meth:`listen` only. Connections
    between widgets of one window need no release: they go with the widgets. A panel speaks by up
    to three signals, each with one line: ``said`` with a result, ``warned`` with what went wrong
    or cannot be done, and ``noted`` with what is only worth a look at this moment.

    Examples
    --------
    >>> from psygnal import Signal
    >>> class Sender:
    ...     sent = Signal(str)
    >>> sender, panel = Sender(), Panel()
    >>> panel.listen(print, sender.sent)
    >>> sender.sent.emit("heard")
    heard
    >>> panel.release()
    >>> sender.sent.emit("not heard")
    """

    @cached_property
    def _releases(self) -> ExitStack:
        # Made on first use: an __init__ here would have to go along with that of every Qt class.
        return ExitStack()

    def listen(self, handler: Callable[..., Any], *signals: Any) -> None:
        """Connect a handler to signals until the panel is released.

        Parameters
        ----------
        *signals : psygnal, Qt or napari signals
            All three have ``connect`` and ``disconnect``.
        """
        for signal in signals:
            signal.connect(handler)
            self._releases.callback(signal.disconnect, handler)

    def own(self, panel: P) -> P:
        """Release another panel with this one; returns it."""
        self._releases.callback(panel.release)
        return panel

    def at_release(self, action: Callable[[], object]) -> None:
        """Do something when the panel is released, such as to cancel its job."""
        self._releases.callback(action)

    def release(self) -> None:
        """Disconnect all, stop jobs and release the panels it owns, the last one first.

        It may come when Qt is about to delete the widgets. A second call does nothing. Where one
        step fails, the others are taken all the same, and the error comes after them.
        """
        self._releases.close()


class DockPanel(Panel, QWidget):
    """A panel in a dock of napari, released when the dock is closed."""

    def changeEvent(self, event: Any) -> None:  # noqa: N802 (Qt's name)
        """Release it when napari closes the dock."""
        # napari takes the widget out of its dock, and sends it no close event.
        super().changeEvent(event)
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.release()
            self.deleteLater()

    def closeEvent(self, event: Any) -> None:  # noqa: N802 (Qt's name)
        """Release it."""
        self.release()
        super().closeEvent(event)


def single_shot(parent: QObject, action: Callable[[], object], ms: int = 0) -> QTimer:
    """A timer that calls an action once, ``ms`` milliseconds after its last start.

    With 0 the action comes in a turn of Qt's event loop of its own, so that the window answers in
    between.
    """
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(ms)
    timer.timeout.connect(action)
    return timer


def relay(source: QObject, target: QObject) -> None:
    """Pass on what a part of a panel says, warns of and notes."""
    for name in ("said", "warned", "noted"):
        if hasattr(source, name):
            getattr(source, name).connect(getattr(target, name))


def guarded(say: Callable[[str], object], action: Callable[..., object]) -> Callable[..., None]:
    """An action whose WbcError is said."""

    def act(*args: Any) -> None:
        try:
            # A button sends along whether it is checked, which no action wants.
            action(*[arg for arg in args if not isinstance(arg, bool)])
        except WbcError as error:
            say(str(error))

    return act
