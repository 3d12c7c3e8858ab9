"""Writing a file whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from napari_wbc.errors import WbcError

__all__ = ["write_bytes", "write_text"]


def write_bytes(path: Path, data: bytes) -> None:
    """Write through a temporary file beside the target, synced before it takes its place.

    Raises
    ------
    WbcError
        If it cannot be written; the old file is then as it was.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise WbcError(
            f"{path}: cannot be written ({error.strerror or error}); choose another place."
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8, what UTF-8 has not (an odd file name) escaped; see :func:`write_bytes`."""
    write_bytes(path, text.encode("utf-8", errors="backslashreplace"))
