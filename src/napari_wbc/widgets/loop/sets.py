"""The training sets: export reviewed cells, import a set, and see what the sets hold."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QGroupBox, QLineEdit, QListWidget, QMenu, QPushButton

from napari_wbc.errors import WbcError
from napari_wbc.model.progress import Steps
from napari_wbc.model.split import BY_SLIDE, PURPOSES, SPLITS
from napari_wbc.model.words import counted
from napari_wbc.session.opening import projects_folder
from napari_wbc.session.session import Session
from napari_wbc.storage.formats.registry import FORMATS
from napari_wbc.weights.library import Library
from napari_wbc.widgets.loop import jobs
from napari_wbc.widgets.loop.slide_table import SlideTable
from napari_wbc.widgets.qt.described import failed_text
from napari_wbc.widgets.qt.files import ask_file, ask_folder
from napari_wbc.widgets.qt.form import form
from napari_wbc.widgets.qt.layout import TextLines, allow, button, column, folded, row, text_label
from napari_wbc.widgets.qt.panel import Panel, guarded
from napari_wbc.widgets.qt.progress import JobBar
from napari_wbc.widgets.qt.settings import settings
from napari_wbc.widgets.qt.worker import LatestJob

if TYPE_CHECKING:
    from napari_wbc.pipeline.import_set import ImportedSet, Incoming
    from napari_wbc.pipeline.set_summary import SetSummary
    from napari_wbc.pipeline.training_sets import ExportedSet

SET_KEY = "training_set"
"""Key of the settings: the folder of the training set."""
SET_TIP = "Folder of the training set. Each export adds a round; earlier rounds stay as they are."
SPLIT_TIP = (
    "What the slides that are new in the set are for. by slide: the first slide is to learn; "
    "of 100 others, 70 are to learn, 15 to check and 15 to test, by their names. "
    "A slide keeps its purpose until you move it."
)
FORMAT_TIP = "wbc keeps everything; the other formats are for other tools"
SIDE_TIP = (
    "What the chosen slide is for: to learn from, to check each step of the training, or to test "
    "the finished model"
)
MOVE_TIP = "Give the slide another purpose, in a new round; only if no model has used the slide"
EXPORT_TIP = "Write the reviewed cells of this project as the next round of the set"
IMPORT_TIP = "Import a set (COCO, VOC, YOLO, GeoJSON, CSV, folders, .zip) as a project to review"
NO_PROJECT = "No project is open. Open a folder of fields first."
NO_SLIDES = "The set has no slide yet. Add reviewed cells first."
OLD_TIP = (
    "Training sets that the model was trained on. "
    "A part of them is used again, so that the model does not forget them."
)


class SetsBox(Panel, QGroupBox):
    """The training set, the old ones, and their slides.

    Parameters
    ----------
    project : callable
        File of the project that is open, None where there is none.
    library : Library
        Whose models may have used a slide.
    bar : JobBar
        Where jobs run, one at a time with those of the model.
    """

    said = Signal(str)
    warned = Signal(str)
    project_wanted = Signal(object)
    """With the path of a project to open."""
    looked = Signal()
    """After the sets were read, or could not be."""

    def __init__(
        self,
        session: Session,
        project: Callable[[], Path | None],
        library: Library,
        bar: JobBar,
    ) -> None:
        super().__init__()
        self.setTitle("Training set")
        self.session = session
        self._project = project
        self._library = library
        self.jobs = bar
        self.detector = False
        """Whether it is a cell finder that is to learn from the sets."""
        self.not_ready = ""
        """Why no model can learn from the sets; empty where one can, or nobody knows yet."""
        self._then: Callable[[], Any] | None = None
        """What to do when the running job has ended."""
        self._build()
        self._summaries = LatestJob(self)
        self._summaries.returned.connect(self._on_summaries)
        self._summaries.failed.connect(self._show_none)
        self._summaries.finished.connect(self._show_possible)
        self.folder.editingFinished.connect(self.show_summary)
        self.jobs.running_changed.connect(self._set_running)
        self.listen(self._show_possible, session.changed, session.slide_changed)
        self.at_release(self._summaries.cancel)
        self._show_possible()

    def _button(self, text: str, tip: str, action: Callable[[], object]) -> QPushButton:
        return button(text, tip, guarded(self.warned.emit, action))

    def _build(self) -> None:
        folder = str(settings().value(SET_KEY, "") or "")
        self.folder = QLineEdit(folder or str(projects_folder().parent / "training-set"))
        self.folder.setToolTip(SET_TIP)
        self.folder.setAccessibleName("Folder of the training set")
        self.choose_folder = self._button("…", "Choose another training set", self._ask_folder)
        self.format = ComboBox(label="Format", choices=tuple(FORMATS), tooltip=FORMAT_TIP)
        purposes = [(PURPOSES[split], split) for split in SPLITS]
        self.split = ComboBox(
            label="New slides to", choices=[("by slide", BY_SLIDE), *purposes], tooltip=SPLIT_TIP
        )
        self.options = form(self.format, self.split)
        self.export = self._button("Add reviewed cells", EXPORT_TIP, self.export_project)
        self.bring = button("Import…", IMPORT_TIP)
        menu = QMenu(self.bring)
        for text, ask in (
            ("A file of the set, or its .zip…", self._ask_import),
            ("A folder, as of images by class…", self._ask_import_folder),
        ):
            menu.addAction(text).triggered.connect(guarded(self.warned.emit, ask))
        self.bring.setMenu(menu)
        self.summary = TextLines(1)
        self.slides = SlideTable(self.session.taxonomy.shorts)
        self.side = ComboBox(label="The chosen slide is to", choices=purposes, tooltip=SIDE_TIP)
        self.move_slide = self._button("Move", MOVE_TIP, self.move_chosen_slide)
        self.old = QListWidget()
        self.old.setMaximumHeight(44)
        self.old.setToolTip(OLD_TIP)
        self.old.setAccessibleName("Old training sets")
        self.add_old = self._button("+", "Add an old training set", self._ask_old)
        self.drop_old = button("-", "Remove the selected training set from the list")
        self.drop_old.clicked.connect(self._drop_old)
        side = form(self.side).native
        old = row(text_label("Old sets"), self.old, self.add_old, self.drop_old)
        column(
            self,
            row(self.folder, self.choose_folder),
            row(self.export, self.bring, stretch=self.export),
            self.summary,
            self.slides,
            row(side, self.move_slide, stretch=side),
            folded("Format, new slides, old sets", self.options.native, old),
            margin=6,
        )

    @property
    def busy(self) -> bool:
        """Whether the sets are being read."""
        return self._summaries.running

    def set_folder(self) -> Path:
        """Folder of the training set, kept for the next start."""
        folder = self._folder()
        settings().setValue(SET_KEY, self.folder.text().strip())
        return folder

    def _folder(self) -> Path:
        text = self.folder.text().strip()
        if not text:
            raise WbcError("No training set; choose a folder for it.")
        try:
            return Path(text).expanduser()
        except RuntimeError as error:
            raise WbcError(f"{text}: no such home folder; choose another folder.") from error

    def old_sets(self) -> list[str]:
        """Training sets of which a part is used again."""
        return [self.old.item(i).text() for i in range(self.old.count())]

    def take_over(self, other: SetsBox) -> None:
        """Continue with the old sets of another panel."""
        self.old.addItems(other.old_sets())

    def export_project(self) -> None:
        """Write the reviewed cells of the open project as the next round of the set."""
        project = self._project()
        folder = self.set_folder()
        written_as = self.format.value
        split = self.split.value
        if project is None:
            raise WbcError(NO_PROJECT)
        if not self.session.flush():
            raise WbcError(self.session.saved.sentence)
        reading = self.session.reading

        def work() -> Steps[ExportedSet]:
            from napari_wbc.pipeline.training_sets import export_set_steps

            return export_set_steps(
                [project], folder, written_as=written_as, split=split, reading=reading
            )

        self.jobs.start(work, self._on_exported)

    def show_summary(self) -> None:
        """Show the slides of the sets."""
        try:
            folder = self._folder()
        except WbcError as error:
            self._show_none(str(error))
            return
        old = self.old_sets()
        library, detector = self._library, self.detector
        self._summaries.request(
            lambda: jobs.summaries_steps(folder, old, library, detector=detector)
        )
        self._show_possible()

    def _show_none(self, why: str) -> None:
        self.slides.show_sets([])
        self.summary.setText(why)
        self.not_ready = why
        self._show_possible()
        self.looked.emit()

    def _on_summaries(self, read: tuple[dict[str, SetSummary], str]) -> None:
        summaries, self.not_ready = read
        first = next(iter(summaries.values()))
        self.summary.setText(first.line if first.slides else "No cells in this set yet")
        self.slides.show_sets([(Path(path).name, sets) for path, sets in summaries.items()])
        self._show_possible()
        self.looked.emit()

    def move_chosen_slide(self) -> None:
        """Give a slide of the set another split."""
        folder = self.set_folder()
        slide = self.slides.chosen
        split = self.side.value
        library = self._library
        if not slide:
            raise WbcError(NO_SLIDES)

        def work() -> Steps[ExportedSet]:
            from napari_wbc.pipeline.move_slide import move_slide_steps

            return move_slide_steps(folder, slide, split, models=library)

        self.jobs.start(work, self._on_exported)

    def import_set(self, path: Path) -> None:
        """Show what a set holds, and ask how to import it."""
        taxonomy = self.session.taxonomy

        def work() -> Steps[Incoming]:
            from napari_wbc.pipeline.import_set import look_steps

            return look_steps(path, taxonomy=taxonomy)

        self.jobs.start(work, partial(self._on_looked, path))

    def bring_in(self, path: Path, name: str, mapping: dict[str, str]) -> None:
        """Import a set into a new project."""
        taxonomy = self.session.taxonomy
        project = projects_folder() / f"{name}.wbc"
        number = 1
        while project.exists():
            number += 1
            project = project.with_name(f"{name}-{number}.wbc")

        def work() -> Steps[ImportedSet]:
            from napari_wbc.pipeline.import_set import import_set_steps

            return import_set_steps(path, project, mapping=mapping, taxonomy=taxonomy)

        self.jobs.start(work, self._on_imported)

    def _on_exported(self, exported: ExportedSet) -> None:
        by_split = dict.fromkeys(SPLITS, 0)
        for (split, _label), n in exported.cells.items():
            by_split[split] += n
        purposes = ", ".join(f"{n} to {PURPOSES[split]}" for split, n in by_split.items())
        self.said.emit(
            f"{counted(sum(exported.cells.values()))} ({purposes}) in {exported.folder}; "
            f"{exported.added} new, {exported.relabelled} relabelled, "
            f"{exported.removed} removed{failed_text(exported.failures)}"
        )
        self.show_summary()

    def _on_looked(self, path: Path, incoming: Incoming) -> None:
        self._then = partial(self._ask_mapping, path, incoming)

    def _ask_mapping(self, path: Path, incoming: Incoming) -> None:
        from napari_wbc.widgets.loop.mapping import MappingDialog

        dialog = MappingDialog(incoming, self.session.taxonomy, self)
        if dialog.exec():
            self.bring_in(path, incoming.content.name, dialog.value())

    def _on_imported(self, imported: ImportedSet) -> None:
        text = f"{imported.summary}{failed_text(imported.failures)}"
        self.said.emit("; ".join([text, *imported.notes]))
        self.project_wanted.emit(imported.project)

    def _ask_folder(self) -> None:
        folder = ask_folder(self, "Training set", "training set", self.folder.text())
        if folder is not None:
            self.folder.setText(str(folder))
            self.set_folder()
            self.show_summary()

    def _ask_old(self) -> None:
        title = "An old training set"
        folder = ask_folder(self, title, "training set", self.folder.text())
        if folder is not None:
            self.old.addItem(str(folder))
            self.show_summary()

    def _drop_old(self) -> None:
        self.old.takeItem(self.old.currentRow())
        self.show_summary()

    def _ask_import(self) -> None:
        kinds = (
            "Training sets (*.zip *.json *.geojson *.csv *.tsv *.yaml *.yml *.xml);;All files (*)"
        )
        title = "Import a training set: any file of it, or its .zip"
        path = ask_file(self, title, "import", kinds)
        if path is not None:
            self.import_set(path.parent if path.suffix.lower() == ".xml" else path)

    def _ask_import_folder(self) -> None:
        folder = ask_folder(self, "Import a training set: its folder", "import")
        if folder is not None:
            self.import_set(folder)

    def _set_running(self, running: bool) -> None:
        self._show_possible()
        if not running and self._then is not None:
            then = self._then
            self._then = None
            guarded(self.warned.emit, then)()

    def _show_possible(self, *_what: object) -> None:
        """Enable what can be done now; a disabled button says why in its tooltip."""
        running = "A job is running here. Wait for it, or cancel it." if self.jobs.running else ""
        reviewed = any(cell.annotation is not None for cell in self.session.table.values())
        if self._project() is None:
            nothing = NO_PROJECT
        else:
            nothing = "" if reviewed else "No cell is reviewed yet. Review some on the page Review."
        slides = "" if self.slides.chosen else NO_SLIDES
        # The slides that are listed may be those of another folder.
        slides = "The sets are being read." if self.busy else slides
        for widget, tip, reason in (
            (self.export, EXPORT_TIP, nothing),
            (self.bring, IMPORT_TIP, ""),
            (self.side.native, SIDE_TIP, slides),
            (self.move_slide, MOVE_TIP, slides),
        ):
            allow(widget, tip, running or reason)
