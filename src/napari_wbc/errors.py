"""Room ``errors``: the only exceptions that cross rooms.

Invariant: the message of a :class:`WbcError` is one or two sentences for the person at the
screen. It names the file or value, says what is wrong, and says what to do.
"""

from __future__ import annotations

from pathlib import Path


class WbcError(Exception):
    """Bad input, told in one clear message."""


class ReadError(WbcError):
    """A file cannot be read as what it was given as."""


class WeightsError(WbcError):
    """Weights or their model card are missing, damaged or do not fit."""


class TorchMissing(WbcError):  # noqa: N818, named by what happened, not what it is
    """PyTorch is not installed, or cannot be loaded; what needs no network still works."""


class AlreadySure(WbcError):  # noqa: N818, named by what happened, not what it is
    """A classifier is sure of cells that it was to be adapted to, and stays as it is."""


class StepFailed(WbcError):  # noqa: N818, named by what happened, not what it is
    """A long-running step failed; the cause is chained.

    It exists because superqt's generator worker takes any ``RuntimeError`` for a deleted
    worker and never reports it, and torch raises ``RuntimeError`` for nearly everything.
    """


class WorkspaceError(WbcError):
    """A project file cannot be opened.

    Parameters
    ----------
    message : str
    backup : Path or None
        A backup of it that may be opened instead.
    """

    def __init__(self, message: str, backup: Path | None) -> None:
        super().__init__(message)
        self.backup = backup
