"""A person's settings, kept between starts of napari."""

from __future__ import annotations

from qtpy.QtCore import QSettings


def settings() -> QSettings:
    """The settings file of the plugin."""
    form = QSettings.Format.IniFormat
    return QSettings(form, QSettings.Scope.UserScope, "napari-wbc", "napari-wbc")
