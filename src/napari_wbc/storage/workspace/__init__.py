"""Workspace: one SQLite file a project, with its cells as they are and a journal of its steps.

Invariant: a step is written whole or not at all, journal and state together, and what is written is
never changed afterwards. A file that cannot be understood is never written to.
"""

from napari_wbc.storage.workspace.damage import backup_of, backups_of
from napari_wbc.storage.workspace.images import ImageFault, check_images_steps, pointed_to
from napari_wbc.storage.workspace.journal import (
    check_journal,
    check_journal_steps,
    not_of_journal,
)
from napari_wbc.storage.workspace.opening import (
    SUFFIX,
    create_workspace,
    lock_of,
    open_workspace,
    restore_backup,
)
from napari_wbc.storage.workspace.workspace import Workspace

__all__ = [
    "SUFFIX",
    "ImageFault",
    "Workspace",
    "backup_of",
    "backups_of",
    "check_images_steps",
    "check_journal",
    "check_journal_steps",
    "create_workspace",
    "lock_of",
    "not_of_journal",
    "open_workspace",
    "pointed_to",
    "restore_backup",
]
