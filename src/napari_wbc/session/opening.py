"""Find the project of a slide and open it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import NamedTuple

from platformdirs import user_data_path

from napari_wbc.errors import WbcError, WorkspaceError
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.slide import Slide
from napari_wbc.model.taxonomy import Taxonomy
from napari_wbc.session.session import Loaded, Session, load


def projects_folder() -> Path:
    """The folder of the default project files."""
    return user_data_path() / "napari-wbc" / "projects"


def project_path(slide: Slide) -> Path | None:
    """The default project file of a slide; None for an image without a file."""
    if not slide.fields or not slide.fields[0].path.exists():
        return None
    first = slide.fields[0]
    where = first.path.resolve()
    # A slide that is a folder is named by the folder, which may get more images.
    if "/" in first.fov_id:
        where = where.parent
    place = f"{where}\n{slide.name}".encode(errors="surrogateescape")
    plain = re.sub(r"[^\w.-]+", "_", slide.name)[:60]
    return projects_folder() / f"{plain}-{hashlib.sha256(place).hexdigest()[:10]}.wbc"


def open_project_steps(
    path: Path, slide: Slide | str, reading: str, taxonomy: Taxonomy, *, make: bool = False
) -> Steps[Loaded | OtherClasses]:
    """Open a project, or create it, and load a slide of it if its classes are these."""
    yield Progress("opening", 0, 1, f"opening {path.name}")
    from napari_wbc.storage.workspace import (
        backup_of,
        create_workspace,
        open_workspace,
        restore_backup,
    )

    if make and not path.exists() and backup_of(path).exists():
        # Whoever removed the project did not mean its labels.
        restore_backup(path)
    try:
        workspace = create_workspace(path, taxonomy) if make else open_workspace(path)
    except WorkspaceError:
        raise
    except WbcError:
        if not path.exists():
            raise
        workspace = open_workspace(path)
    try:
        if workspace.taxonomy.names != taxonomy.names:
            other = OtherClasses(workspace.taxonomy, path, slide, reading)
            workspace.close()
            return other
        if isinstance(slide, str):
            slides = [kept for kept in workspace.slides() if slide in ("", kept.name)]
            if not slides:
                raise WbcError(f"{path}: no slide {slide!r} in this project; choose another.")
            slide = slides[0]
        return load(slide, workspace, reading)
    except BaseException:
        workspace.close()
        raise


class OtherClasses(NamedTuple):
    """A project whose classes are not those of the workbench."""

    taxonomy: Taxonomy
    path: Path
    slide: Slide | str = ""
    reading: str = ""


def add_classes(session: Session, taxonomy: Taxonomy) -> OtherClasses | None:
    """Write more classes into the open project, which is to be opened anew; None without one.

    It raises WbcError if the cells are in memory only, or are not saved.
    """
    workspace = session.workspace
    if workspace is None:
        if session.table:
            raise WbcError("These cells are in memory only; classes are added in a project.")
        return None
    if not session.flush():
        raise WbcError(session.saved.sentence)
    workspace.put("taxonomy", taxonomy.to_dict())
    return OtherClasses(taxonomy, workspace.path, session.slide.name, session.reading)
