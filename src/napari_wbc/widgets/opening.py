"""What napari's menu opens: a light widget that loads the workbench in a thread and then shows it.

Invariant: this module imports nothing that takes long, so that the window answers from the first
click.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QProgressBar

from napari_wbc.model.progress import Progress, Steps
from napari_wbc.weights.device import torch_fault
from napari_wbc.widgets.qt.layout import column, text_label
from napari_wbc.widgets.qt.panel import DockPanel, single_shot
from napari_wbc.widgets.qt.responsive import open_library, open_torch
from napari_wbc.widgets.qt.worker import Job

if TYPE_CHECKING:
    import napari.viewer

    from napari_wbc.model.taxonomy import Taxonomy
    from napari_wbc.session.opening import OtherClasses
    from napari_wbc.session.session import Session
    from napari_wbc.widgets.workbench import Workbench

WORKBENCH = "napari_wbc.widgets.workbench"
NEXT = ("pandas", "napari_wbc.storage.workspace", "skimage.segmentation", "skimage.morphology")
"""Modules that the first slide and the first analysis need, loaded once the workbench is shown."""
FIRST_PAINT_MS = 300
"""Time for the window to paint the workbench before anything else is loaded."""


class WorkbenchDock(DockPanel):
    """The place of the workbench, which says that it is loading until it is there.

    Attributes
    ----------
    bench : Workbench or None
        None until it is loaded.
    """

    opened = Signal(object)
    """With the workbench, each time that one takes its place."""

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.bench: Workbench | None = None
        self._soon = single_shot(self, self._load_next, FIRST_PAINT_MS)
        self._jobs = Job(self)
        self._jobs.returned.connect(self._on_loaded)
        self._jobs.failed.connect(self._on_failed)
        self._text = text_label("Opening the workbench…", wrap=True)
        self._text.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._bar = QProgressBar()
        self._bar.setRange(0, 0)
        self._layout = column(self, self._text, self._bar)
        self._layout.insertStretch(0)
        self._layout.addStretch()
        self.at_release(self._release_bench)
        self.at_release(self._jobs.cancel)
        self.at_release(self._soon.stop)
        self._jobs.start(_load_workbench_steps)

    @property
    def loading(self) -> bool:
        """Whether the workbench, or what its first slide will need, is being loaded."""
        return self._jobs.running or self._soon.isActive()

    def reopen(self, taxonomy: Taxonomy, project: OtherClasses | None) -> None:
        """Put a workbench of other classes in the place of this one, with a project to open."""
        from napari_wbc.session.session import Session

        old = self.bench
        assert old is not None
        old.release()
        new = self._show(Session(taxonomy), project)
        new.train.take_over(old.train)
        new.detector.take_over(old.detector)
        old.deleteLater()

    def _release_bench(self) -> None:
        # The workbench of now, which may have taken the place of the first.
        if self.bench is not None:
            self.bench.release()

    def _on_loaded(self, fault: str) -> None:
        if self.bench is None:
            self._show()
            self._soon.start()
        elif fault:
            self.bench.status.warn(
                f"PyTorch cannot be loaded: {fault}. Until you install torch and torchvision "
                "again, both in one command, cells are located by colour and not classified."
            )

    def _load_next(self) -> None:
        if not self._jobs.running:
            self._jobs.start(_load_next_steps)

    def _show(
        self, session: Session | None = None, project: OtherClasses | None = None
    ) -> Workbench:
        from napari_wbc.widgets.workbench import Workbench

        bench = Workbench(self.viewer, session, project=project)
        bench.reopen_wanted.connect(self.reopen)
        while self._layout.count():
            item = self._layout.takeAt(0)
            if item.widget() is not None:
                item.widget().hide()
        self._layout.addWidget(bench)
        self.bench = bench
        self.opened.emit(bench)
        return bench

    def _on_failed(self, text: str) -> None:
        if self.bench is None:
            self._bar.hide()
            self._text.setText(f"The workbench cannot be opened: {text}. Install napari-wbc again.")
        else:
            self.bench.status.warn(f"Something that the workbench needs cannot be loaded: {text}.")


def _load_steps(modules: tuple[str, ...]) -> Steps[str]:
    """Import modules, one a step."""
    for i, name in enumerate(modules):
        yield Progress("loading", i, len(modules))
        importlib.import_module(name)
    return ""


def _load_workbench_steps() -> Steps[str]:
    """Load the workbench, after OpenCV's library, whose import would freeze the window."""
    yield Progress("loading", 0, 0)
    open_library("cv2", "cv2*.so")
    return (yield from _load_steps((WORKBENCH,)))


def _load_next_steps() -> Steps[str]:
    """Load what comes next; returns what is wrong with PyTorch, empty if nothing is."""
    yield from _load_steps(NEXT)
    # napari reads all units of measurement for its first layer; here that freezes no window.
    importlib.import_module("pint").get_application_registry().Unit("pixel")
    yield Progress("loading", 0, 0)
    fault = torch_fault()
    if not fault:
        open_torch()
    return fault
