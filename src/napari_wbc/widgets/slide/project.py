"""The project file of the slide: open it, show whether all is saved, switch readings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from napari.utils.notifications import show_error
from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QInputDialog, QWidget

from napari_wbc.errors import WbcError, WorkspaceError
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.slide import Slide
from napari_wbc.model.words import counted
from napari_wbc.session.opening import (
    OtherClasses,
    Renamed,
    open_project_steps,
    point_to,
    project_path,
    projects_folder,
    renamed_steps,
)
from napari_wbc.session.rescue import fits, forget, put_back, rescued_of, set_aside
from napari_wbc.session.session import Loaded, Session, load
from napari_wbc.widgets.qt.described import FIRST
from napari_wbc.widgets.qt.files import ask_file, ask_folder
from napari_wbc.widgets.qt.layout import button, choice, column, confirmed, plain, row, text_label
from napari_wbc.widgets.qt.panel import Panel, guarded
from napari_wbc.widgets.qt.worker import LatestJob
from napari_wbc.widgets.slide.reader import ReaderName

if TYPE_CHECKING:
    from napari_wbc.storage.workspace import ImageFault, Workspace

STATE_EVERY_MS = 150
"""Time between two looks at whether everything is saved."""
# White text has a contrast of 4.5 and more on each.
STATES = {
    "saved": ("Saved", "#247a4b"),
    "saving": ("Saving…", "#8a6508"),
    "not saved": ("NOT SAVED", "#d40000"),
    "read only": ("Read only", "#8a6508"),
}
FILES = "Projects (*.wbc)"
BLIND = "New blind reading…"


class ProjectPanel(Panel, QWidget):
    """Opens projects in a thread, shows whether they are saved, and switches between readings."""

    warned = Signal(str)
    wanted = Signal(object)
    """With path, slide and reading of the project that a person chose."""
    opened = Signal(object)
    """With the Loaded that the session goes on with."""
    has_others = Signal(object)
    """With the OtherClasses of a chosen project; no project is open then."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.jobs = LatestJob(self)
        self._checks = LatestJob(self)
        self._workspace = session.workspace
        self.opening = False
        """Whether the slide that is open is being left for another."""
        self._before: tuple[Path, str, str] | None = None
        """File, slide and reading of the project before the one that is being opened."""
        self._failed: Callable[[str], None] = self.warned.emit
        self._anew: Callable[[], Steps[Loaded | OtherClasses]]
        """Makes a new project for the slide that is being opened."""
        self.state = text_label()
        self.state.setToolTip("Every change is written to the project file at once")
        tip = "A project file (.wbc) keeps cells, labels, undo and your place"
        self.open = button("Open project…", tip, self._ask_project)
        tip = "Choose the folder where the slide's images are now"
        self.images = button("Images moved…", tip, self._ask_images)
        self.images.hide()
        self.slides = choice((), "Slides of the project")
        self.slides.hide()
        tip = "A second reader reviews blind: without the first reader's labels"
        self.reading = choice((FIRST, BLIND), tip)
        self.reader = ReaderName(session)
        who = row(self.reading, self.reader, stretch=self.reader)
        column(self, row(self.open, who), row(self.slides, self.images))
        self.slides.activated.connect(self._on_slide_chosen)
        self.reading.activated.connect(self._on_reading_chosen)
        self.jobs.failed.connect(self._on_failed)
        self.jobs.returned.connect(self._on_loaded)
        self._checks.returned.connect(self._on_checked)
        self._checks.failed.connect(self.warned)
        self._clock = QTimer(self)
        self._clock.timeout.connect(self.show_state)
        self._clock.start(STATE_EVERY_MS)
        self.at_release(self._leave_for_good)
        self.at_release(self.jobs.cancel)
        self.show_state()

    @property
    def path(self) -> Path | None:
        """The project file that is open, None where there is none."""
        return self._workspace.path if self._workspace else None

    @property
    def busy(self) -> bool:
        """Whether a project is being opened or its images are checked."""
        return self.jobs.running or self._checks.running

    def open_slide(self, slide: Slide, kept: Loaded | None = None) -> None:
        """Open a slide with its project; an image that is no file has none, and stays in memory.

        Such an image has the cells of ``kept``, as an earlier workbench left them.
        """
        path = project_path(slide)
        if path is None:
            self._leave()
            self._resume(Loaded(slide) if kept is None else replace(kept, slide=slide))
            return
        taxonomy = self.session.taxonomy

        def failed(text: str) -> None:
            # Work can go on without a project; the state then reads NOT SAVED in red.
            self._resume(Loaded(slide))
            self.warned.emit(f"{text} Until then nothing is saved.")

        def opened() -> Steps[Loaded | OtherClasses | Renamed]:
            found = yield from renamed_steps(path, slide)
            if found is not None and found.was == found.now:
                return (yield from open_project_steps(found.path, found.slide, "", taxonomy))
            if found is not None:
                return found
            return (yield from open_project_steps(path, slide, "", taxonomy, make=True))

        self._anew = partial(open_project_steps, path, slide, "", taxonomy, make=True)
        self._start(opened, failed)

    def open_project(self, path: Path, slide: str = "", reading: str = "") -> None:
        """Open a project file, at its first slide where none is named."""
        taxonomy = self.session.taxonomy
        steps = partial(open_project_steps, path, slide, reading, taxonomy)
        self._start(steps, self._on_failed_project)

    def go_back(self) -> None:
        """Open the project that was open before, or none where there was none."""
        if self._before is None:
            self._resume(Loaded(Slide("", ())))
        else:
            self.open_project(*self._before)

    def show_state(self) -> None:
        """Show whether everything is on the disk."""
        saved = self.session.saved
        text, color = STATES[saved.kind]
        if self.state.text() != text:
            self.state.setText(text)
            self.state.setStyleSheet(
                f"color: white; background: {color}; padding: 2px; border-radius: 3px"
            )
        # Before a slide is open, there is nothing to save.
        self.state.setVisible(bool(self.session.slide.fields))
        where = self._workspace.path if self._workspace else "in memory only"
        self.state.setToolTip(plain(f"{saved.why or 'Every change is written at once'}\n{where}"))

    def may_leave(self) -> bool:
        """Ask before a slide is left whose last changes could not be saved."""
        if self.session.flush() and (
            self.session.saved.kind != "not saved" or not self.session.worked_on
        ):
            return True
        text = f"{self.session.saved.sentence} Leave the slide all the same?"
        return confirmed(self, "Open another slide", text)

    def _start(
        self,
        steps: Callable[[], Steps[Loaded | OtherClasses | Renamed]],
        failed: Callable[[str], None],
    ) -> None:
        """Load in a thread, after the open project is closed, since it may be the same file."""
        if self._workspace is not None:
            self._before = (self._workspace.path, self.session.slide.name, self.session.reading)
        else:
            self._before = None
        self._leave()
        self._failed = failed
        self.opening = True
        self.jobs.request(steps)

    def _on_failed(self, text: str) -> None:
        self._failed(text)

    def _leave(self) -> bool:
        self._checks.cancel()
        # The session writes its last changes through the workspace, which is closed after that.
        saved = self.session.close()
        if self._workspace is not None:
            self._workspace.close()
            self._workspace = None
        return saved

    def _leave_for_good(self) -> None:
        if not self._leave():
            where = self.session.rescued
            text = "Your last changes could not be saved; make room on the disk."
            if where is not None:
                text += f" They wait in {where}, and are offered when you open this project again."
            show_error(text)

    def _on_loaded(self, loaded: Loaded | OtherClasses | Renamed) -> None:
        if isinstance(loaded, Renamed):
            self._ask_renamed(loaded)
            return
        if isinstance(loaded, OtherClasses):
            self.has_others.emit(loaded)
            return
        workspace = loaded.workspace
        assert workspace is not None
        if not workspace.read_only and self._puts_back(loaded, workspace):
            return
        self._resume(loaded)
        from napari_wbc.storage.workspace import check_images_steps, check_journal_steps

        def checks() -> Steps[tuple[tuple[ImageFault, ...], tuple[str, ...]]]:
            differ = yield from check_journal_steps(workspace)
            return (yield from check_images_steps(workspace, loaded.slide)), differ

        # Work starts before these checks, which read each image of another size or time in full.
        self._checks.request(checks)

    def _puts_back(self, loaded: Loaded, workspace: Workspace) -> bool:
        """Offer the steps that could not be written when the project was closed."""
        rescued = rescued_of(workspace.path)
        if rescued is None:
            return False
        if not fits(workspace, rescued):
            self.warned.emit(
                "Changes that could not be saved before do not fit this project any more; they are "
                f"kept in {set_aside(rescued)}."
            )
            return False
        question = (
            f"{counted(len(rescued.steps), 'change')} of slide {rescued.slide} could not be saved "
            "when this project was closed. Put them back? If not, they are dropped."
        )
        if not confirmed(self, "Changes that were not saved", question):
            forget(rescued)
            return False

        def put() -> Steps[Loaded]:
            yield Progress("putting changes back", 0, 1)
            try:
                put_back(workspace, rescued)
                return load(loaded.slide, workspace, loaded.reading)
            except BaseException:
                workspace.close()
                raise

        self.jobs.request(put)
        return True

    def _ask_renamed(self, found: Renamed) -> None:
        """Ask whether to go on with the project of a folder that has another name now."""
        question = (
            f"The images of {found.now} have a project, from when they were in {found.was}. Go on "
            "with it? If not, a new project begins."
        )
        if not confirmed(self, "Renamed folder", question):
            self.jobs.request(self._anew)
            return
        taxonomy = self.session.taxonomy

        def pointed() -> Steps[Loaded | OtherClasses]:
            # It reads all images, so in a thread.
            point_to(found)
            return (yield from open_project_steps(found.path, found.slide, "", taxonomy))

        self.jobs.request(pointed)

    def _resume(self, loaded: Loaded) -> None:
        self._workspace, self.opening = loaded.workspace, False
        self.session.resume(loaded)
        self.images.hide()
        names = [slide.name for slide in loaded.workspace.slides()] if loaded.workspace else []
        self.slides.clear()
        self.slides.addItems(names)
        self.slides.setCurrentText(loaded.slide.name)
        self.slides.setVisible(len(names) > 1)
        self._show_reading()
        self.show_state()
        self.opened.emit(loaded)

    def _show_reading(self) -> None:
        workspace, now = self._workspace, self.session.reading
        existing = workspace.readings(self.session.slide.name) if workspace else ()
        blind = sorted({*existing, now} - {""})
        self.reading.clear()
        self.reading.addItems([FIRST, *blind, BLIND])
        self.reading.setCurrentIndex(blind.index(now) + 1 if now else 0)
        self.reader.read_as(now)

    def _on_checked(self, found: tuple[tuple[ImageFault, ...], tuple[str, ...]]) -> None:
        faults, differ = found
        if differ and self._workspace is not None:
            from napari_wbc.storage.workspace import not_of_journal

            self.warned.emit(str(not_of_journal(self._workspace, differ)))
        if not faults:
            return
        self.images.show()
        missing = sum(fault.what == "missing" for fault in faults)
        text = f"{missing} images are not where they were" if missing else ""
        if missing < len(faults):
            text += f"{' and ' if text else ''}{len(faults) - missing} are not the images they were"
        name = faults[0].path.name
        self.warned.emit(f"{text}: {name}. Choose Images moved… to say where they are.")

    def _on_failed_project(self, text: str) -> None:
        self.warned.emit(text)
        self._resume(Loaded(Slide("", ())))

    def _ask_project(self) -> None:
        path = ask_file(self, "Open a project", "project", FILES, str(projects_folder()))
        if path is not None:
            self._open_asked(path)

    def _open_asked(self, path: Path) -> None:
        """Open a project; where it is damaged, offer its backup."""
        from napari_wbc.storage.workspace import open_workspace, restore_backup

        try:
            open_workspace(path, read_only=True).close()
        except WorkspaceError as error:
            self.warned.emit(str(error))
            if error.backup is None:
                return
            question = (
                f"{error}\n\nPut the backup in its place and open it? The damaged file is kept "
                "beside it under another name."
            )
            if not confirmed(self, "Open a project", question):
                return
            # The damaged file may be the open project.
            self._leave()
            try:
                restore_backup(path)
            except WbcError as failure:
                self._on_failed_project(str(failure))
                return
        self.wanted.emit((path, "", ""))

    def _ask_images(self) -> None:
        folder = ask_folder(self, "Where are the images now?", "images")
        if folder is not None and self._workspace is not None:
            self.point_to(folder)

    def point_to(self, folder: Path) -> None:
        """Look for the slide's images in another folder."""
        guarded(self.warned.emit, self._point_to)(folder)

    def _point_to(self, folder: Path) -> None:
        from napari_wbc.storage.workspace import pointed_to

        assert self._workspace is not None
        if not self.session.flush():
            raise WbcError(self.session.saved.sentence)
        slide = pointed_to(self._workspace, self.session.slide, folder)
        self.wanted.emit((self._workspace.path, slide.name, self.session.reading))

    def _on_slide_chosen(self, _index: int) -> None:
        if self._workspace is not None:
            slide = self.slides.currentText()
            self.wanted.emit((self._workspace.path, slide, self.session.reading))
            self.slides.setCurrentText(self.session.slide.name)

    def _on_reading_chosen(self, index: int) -> None:
        if self._workspace is None:
            self.reading.setCurrentIndex(0)
            self.warned.emit("A blind reading needs a project; this image is not from a file.")
            return
        name = "" if not index else self.reading.currentText()
        if index == self.reading.count() - 1:
            question = "Who reads the slide a second time?"
            name, _ = QInputDialog.getText(self, "Blind reading", question)
            name = name.strip()
        if name == FIRST:
            self.warned.emit(f"{FIRST!r} is the name of the first reading; choose another.")
        elif name or not index:
            self.read_as(name)
        self._show_reading()

    def read_as(self, reading: str) -> None:
        """Open a reader's own labels and undo; an empty name is the first reader."""
        if self._workspace is not None:
            self.wanted.emit((self._workspace.path, self.session.slide.name, reading))
