"""Dialogs for files and folders, each of which begins where it was used last."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QWidget

from napari_wbc.widgets.qt.preferences import preference
from napari_wbc.widgets.qt.settings import settings


def ask_folder(parent: QWidget, title: str, use: str, start: str = "") -> Path | None:
    """Ask for a folder; None where the person gives up.

    Parameters
    ----------
    use : str
        What it is for, as "slide"; each use has a folder of its own.
    start : str
        Where the dialog begins the first time.
    """
    chosen = QFileDialog.getExistingDirectory(parent, title, last_folder(use, start))
    return _kept(use, chosen)


def ask_file(parent: QWidget, title: str, use: str, kinds: str, start: str = "") -> Path | None:
    """Ask for a file that exists; None where the person gives up.

    ``kinds`` is a filter of Qt's; the others are as of :func:`ask_folder`.
    """
    chosen = QFileDialog.getOpenFileName(parent, title, last_folder(use, start), kinds)[0]
    return _kept(use, chosen)


def ask_new_file(parent: QWidget, title: str, use: str, kinds: str, name: str) -> Path | None:
    """Ask where to write a file that is called ``name`` at first; None if the person gives up."""
    at = str(Path(last_folder(use)) / name)
    chosen = QFileDialog.getSaveFileName(parent, title, at, kinds)[0]
    return _kept(use, chosen)


def last_folder(use: str, start: str = "") -> str:
    """Where a dialog begins: as the preferences say, or where the folder chosen last lay."""
    fixed = str(preference("folders", "slides")) if use == "slide" else ""
    if fixed and Path(fixed).is_dir():
        return fixed
    kept = str(settings().value(f"folders/{use}", "") or "")
    return kept if kept and Path(kept).is_dir() else start


def _kept(use: str, chosen: str) -> Path | None:
    if not chosen:
        return None
    path = Path(chosen)
    # Beside a slide lies the next one, so its parent is where the next choice begins.
    settings().setValue(f"folders/{use}", str(path.parent))
    return path
