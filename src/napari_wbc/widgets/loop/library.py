"""Browse the library of models: use one, go back, hand one on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QLineEdit,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QWidget,
)

from napari_wbc.errors import WbcError
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.pipeline.library import Branch, branches, in_use
from napari_wbc.pipeline.models import model_summary
from napari_wbc.weights.adopted import standing
from napari_wbc.weights.card import taxonomy_of
from napari_wbc.weights.library import Library
from napari_wbc.weights.model import KINDS, Model
from napari_wbc.weights.store import EXPORT_SUFFIX, SUFFIXES, export_model
from napari_wbc.widgets.analysis.model import CARD_TIP, CardDialog
from napari_wbc.widgets.qt.files import ask_file, ask_new_file
from napari_wbc.widgets.qt.layout import TextLines, allow, button, column, confirmed, plain, row
from napari_wbc.widgets.qt.panel import guarded
from napari_wbc.widgets.qt.progress import JobBar

T = TypeVar("T")
USE_TIP = "Use the selected model from now on; the one before stays"
BACK_TIP = "Return to what was in use before"
EXPORT_TIP = "Write the selected model with its card as one file, to hand it on"
IMPORT_TIP = "Copy a model into your library"
REMOVE_TIP = "Move the selected model to the folder removed in your library"
NONE_SELECTED = "No model is selected. Click one in the list."
COLUMNS = ("Model", "In use", "On cells or fields to check", "Since")


class LibraryWidget(QWidget):
    """A tree of models, each below the one that it was made from, and what can be done with them.

    Cards are read here; whole weights only in a thread.
    """

    adopted = Signal(str)
    """With the name or path of the classifier that came into use."""

    def __init__(self, library: Library) -> None:
        super().__init__()
        self.library = library
        self.jobs = JobBar("Models")
        self._used: tuple[Path, ...] = ()
        self.dialog = CardDialog(self)
        self.tree = QTreeWidget()
        self.tree.setAccessibleName("Models")
        self.tree.setHeaderLabels(COLUMNS)
        self.note = TextLines(2)
        self.message = TextLines(2)
        self.why = QLineEdit()
        self.why.setPlaceholderText("Why, for the history")
        self.why.setAccessibleName("Why the model is used, for the history")
        self._build()
        self.jobs.said.connect(self.say)
        self.jobs.warned.connect(self.say)
        self.jobs.running_changed.connect(self._on_running)
        self.tree.itemSelectionChanged.connect(self._enable)
        self.refresh()

    def _build(self) -> None:
        def action(text: str, act: Callable[[], None]) -> QPushButton:
            return button(text, "", guarded(self.say, act))

        self.use = action("Use", self._adopt)
        self.back = action("Roll back", self._roll_back)
        self.card = action("Card…", self._show)
        self.export = action("Export…", self._export)
        self.bring = action("Import…", self._import)
        self.remove = action("Remove", self._remove)
        choose = row(self.use, self.why, self.back)
        files = row(self.card, self.export, self.bring, self.remove)
        below = (self.note, choose, files, self.jobs, self.message)
        column(self, self.tree, *below, stretch=self.tree, spacing=6)

    def showEvent(self, event: object) -> None:  # noqa: N802 (Qt's name)
        """Show the models there are by now."""
        super().showEvent(event)
        self.refresh()

    def say(self, text: str) -> None:
        """Say what was done, or what went wrong, where the person looks."""
        self.message.setText(text)

    def refresh(self) -> None:
        """Read the folder again, and keep what is selected."""
        chosen = self.value()
        try:
            self._used = in_use(self.library)
            note = " ".join(filter(None, map(self.library.note, KINDS)))
        except WbcError as error:
            self._used, note = (), str(error)
        self.note.setText(note)
        self._fill(branches(self.library.models(), self._used), chosen.path if chosen else None)
        self._enable()

    def value(self) -> Model | None:
        """The selected model."""
        items = self.tree.selectedItems()
        return items[0].data(0, Qt.ItemDataRole.UserRole) if items else None

    def select(self, path: Path) -> None:
        """Select the model of a weights file, if it is listed."""
        every = Qt.MatchFlag.MatchWildcard | Qt.MatchFlag.MatchRecursive
        for item in self.tree.findItems("*", every):
            if item.data(0, Qt.ItemDataRole.UserRole).path == path:
                self.tree.setCurrentItem(item)

    def _fill(self, listed: tuple[Branch, ...], chosen: Path | None) -> None:
        self.tree.clear()
        above = [self.tree.invisibleRootItem()]
        for branch in listed:
            model = branch.model
            last = "damaged" if model.damaged else branch.when
            used = "in use" if branch.in_use else ""
            item = QTreeWidgetItem([model.name, used, branch.validation, last])
            item.setData(0, Qt.ItemDataRole.UserRole, model)
            card = model.damaged or (model.card.model_id if model.card else "")
            place = "comes with the package" if model.shipped else str(model.path)
            item.setToolTip(0, plain(f"{model.kind} {card}; {place}"))
            del above[branch.depth + 1 :]
            above[-1].addChild(item)
            above.append(item)
        self.tree.expandAll()
        for i in range(len(COLUMNS)):
            self.tree.resizeColumnToContents(i)
        if chosen is not None:
            self.select(chosen)

    def _enable(self) -> None:
        """Enable what can be done with the selected model; the others say why not."""
        model = self.value()
        running = "A model is being read or written. Wait for it." if self.jobs.running else ""
        chosen = "" if model else NONE_SELECTED
        damaged = f"This model is damaged: {model.damaged}" if model and model.damaged else ""
        used = "This model is in use." if model and model.path in self._used else ""
        no_card = "This model has no card." if model and model.card is None else ""
        shipped = "This model comes with the package." if model and model.shipped else ""
        for push, tip, reason in (
            (self.use, USE_TIP, chosen or damaged or used),
            (self.back, BACK_TIP, self._nothing_before()),
            (self.card, CARD_TIP, chosen or no_card),
            (self.export, EXPORT_TIP, chosen or damaged),
            (self.bring, IMPORT_TIP, ""),
            (self.remove, REMOVE_TIP, chosen or shipped or used),
        ):
            allow(push, tip, running or reason)

    def _kind(self) -> str:
        """Kind of the selected model, which *Roll back* is about."""
        model = self.value()
        return (model.kind if model else "") or "classifier"

    def _nothing_before(self) -> str:
        """Why one cannot roll back; empty where one can."""
        kind = self._kind()
        try:
            adopted = standing(self.library.history(kind))
        except WbcError as error:
            return str(error)
        return "" if adopted else f"No {kind} was adopted before; the shipped one is in use."

    def _chosen(self) -> Model:
        model = self.value()
        if model is None:
            raise WbcError(NONE_SELECTED)
        return model

    def _adopt(self) -> None:
        model, why = self._chosen(), self.why.text()

        def action() -> Model:
            self.library.adopt(model, why)
            return model

        self._start(action, self._on_adopted)

    def _roll_back(self) -> None:
        kind = self._kind()
        self._start(lambda: self.library.roll_back(kind), self._on_adopted)

    def _on_adopted(self, model: Model) -> None:
        self.why.clear()
        self.say(f"{model.name} is the {model.kind} in use.")
        if model.kind == "classifier":
            self.adopted.emit(model.weights)

    def _show(self) -> None:
        model = self._chosen()
        colors = taxonomy_of(model.card).colors if model.card and model.kind == "classifier" else {}
        self.dialog.show_summary(model_summary(model.path), colors)

    def _export(self) -> None:
        model = self._chosen()
        title = "Export a model with its card"
        kind = f"Model (*{EXPORT_SUFFIX})"
        out = ask_new_file(self, title, "model export", kind, f"{model.name}{EXPORT_SUFFIX}")
        if out is not None:
            self._start(
                lambda: export_model(model.path, out),
                lambda path: self.say(f"{model.name} written to {path}"),
            )

    def _import(self) -> None:
        kind = f"Models (*{' *'.join(SUFFIXES)})"
        path = ask_file(self, "Import a model", "model", kind)
        if path is not None:
            self._start(lambda: self.library.add(path), self._on_imported)

    def _on_imported(self, model: Model) -> None:
        self.say(f"{model.name} is in your library, and not in use yet.")
        self.refresh()
        self.select(model.path)

    def _remove(self) -> None:
        model = self._chosen()
        names = ", ".join(child.name for child in self.library.children(model))
        question = f"{names} descend from {model.name}. Remove it all the same? It is kept aside."
        if names and not confirmed(self, "Remove", question):
            return
        new = self.library.remove(model, force=bool(names))
        self.say(f"{model.name} moved to {new}")
        self.refresh()

    def _start(self, action: Callable[[], T], done: Callable[[T], None]) -> None:
        """Read or write whole weights in a thread."""
        self.jobs.start(lambda: _steps(action), done)

    def _on_running(self, running: bool) -> None:
        if running:
            self._enable()
        else:
            self.refresh()


def _steps(action: Callable[[], T]) -> Steps[T]:
    yield Progress("reading the model", 0, 0)
    return action()
