"""Every step is written as soon as it is made, by a thread, in order.

A step that could not be written is kept and tried again, so nothing is lost while a disk is full.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari_wbc.errors import WbcError
from napari_wbc.model.step import Step
from napari_wbc.session.rescue import keep_steps

if TYPE_CHECKING:
    from napari_wbc.storage.workspace import Workspace

_log = logging.getLogger(__name__)
RETRY_S = 2.0
"""Seconds until what could not be written is tried again."""


@dataclass(frozen=True, slots=True)
class SaveState:
    """Whether the slide is on the disk.

    Parameters
    ----------
    kind : str
        ``saved``, ``saving``, ``not saved`` or ``read only``.
    why : str
        For the person at the screen; empty where all is well.
    """

    kind: Literal["saved", "saving", "not saved", "read only"]
    why: str = ""

    @property
    def sentence(self) -> str:
        """That something is not saved, and why, for a message."""
        why = self.why.rstrip(".") or "the disk is slow"
        return f"What you did is not saved: {why}."


class Autosave:
    """Writes the steps of one reading of a slide."""

    def __init__(self, workspace: Workspace, slide: str, reading: str = "") -> None:
        self._workspace = workspace
        self._slide = slide
        self._reading = reading
        self._waiting: list[Step] = []
        self._notes: dict[str, Any] = {}
        self._failed = ""
        self._open = True
        self._turn = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="autosave", daemon=True)
        if not workspace.read_only:
            self._thread.start()

    @property
    def state(self) -> SaveState:
        """Whether all steps are on the disk at this moment; may be asked in any thread."""
        if self._workspace.read_only:
            return SaveState("read only", self._workspace.read_only)
        with self._turn:
            if self._failed:
                return SaveState("not saved", self._failed)
            return SaveState("saving" if self._waiting else "saved")

    @property
    def _busy(self) -> bool:
        return bool(self._waiting or self._notes)

    def put(self, step: Step) -> None:
        """Write a step soon; returns at once."""
        with self._turn:
            self._waiting.append(step)
            self._turn.notify_all()

    def note(self, key: str, value: Any) -> None:
        """Keep a note soon; only the newest of a key is written, and none where nothing can be."""
        if not self._workspace.read_only:
            with self._turn:
                self._notes[key] = value
                self._turn.notify_all()

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait so many seconds until all steps are on the disk, or failed; whether they are."""
        with self._turn:
            self._turn.notify_all()
            self._turn.wait_for(lambda: not self._busy or bool(self._failed), timeout)
            return not self._busy

    def rescue(self) -> Path | None:
        """Keep the steps that could not be written elsewhere; None where that fails, too."""
        with self._turn:
            waiting = list(self._waiting)
        return keep_steps(self._workspace.path, self._slide, self._reading, waiting)

    def close(self) -> bool:
        """Write what waits, and end the thread; returns whether all steps are on the disk."""
        self.flush()
        with self._turn:
            self._open = False
            self._turn.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout=10)
        if self._busy and not self._thread.is_alive():
            # Once more: the disk may have room by now.
            self._write(list(self._waiting), dict(self._notes))
        return not self._busy

    @property
    def lacks_steps(self) -> bool:
        """Whether a step, and not only a note, is not on the disk."""
        with self._turn:
            return bool(self._waiting)

    def _run(self) -> None:
        while True:
            with self._turn:
                self._turn.wait_for(lambda: self._busy or not self._open)
                if not self._open:
                    return
                steps = list(self._waiting)
                notes = dict(self._notes)
            self._write(steps, notes)
            with self._turn:
                if self._failed:
                    self._turn.wait_for(lambda: not self._open, RETRY_S)

    def _write(self, steps: list[Step], notes: dict[str, Any]) -> None:
        """Write, and forget what is on the disk; whatever goes wrong is kept for another try."""
        why = ""
        try:
            if steps:
                self._workspace.write(self._slide, steps, self._reading)
                with self._turn:
                    del self._waiting[: len(steps)]
            for key, value in notes.items():
                self._workspace.put(key, value)
                with self._turn:
                    # A newer note of this key may have come in meanwhile.
                    if self._notes.get(key) is value:
                        del self._notes[key]
        except WbcError as error:
            why = str(error)
        # A thread that died would lose all that comes after, so nothing may end it.
        except Exception as error:  # noqa: BLE001
            _log.error("Autosave failed", exc_info=error)
            why = f"{type(error).__name__}: {error}"
        with self._turn:
            self._failed = why
            self._turn.notify_all()
