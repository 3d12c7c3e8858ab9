"""The settings that outlive napari."""

from __future__ import annotations

from qtpy.QtCore import QSettings

__all__ = ["settings"]


def settings() -> QSettings:
    """What a person chose and wants to find again."""
    return QSettings(
        QSettings.Format.IniFormat, QSettings.Scope.UserScope, "napari-wbc", "napari-wbc"
    )
