"""Find the project of a slide and open it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

from platformdirs import user_data_path

from napari_wbc.errors import WbcError, WorkspaceError
from napari_wbc.files.atomic import sha256_of, size_and_time
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


class Renamed(NamedTuple):
    """A project that has the images of a slide, which lay in another folder then."""

    path: Path
    slide: str
    """As the project names it."""
    was: Path
    now: Path
    """Folders of the images."""


def renamed_steps(path: Path, slide: Slide) -> Steps[Renamed | None]:
    """The project of a slide whose folder was renamed or moved, where its own is not there.

    It has an image of the same name, size and sha256, and none of its images is where it was. Or
    its images are those of the slide, because a person went on with it after the renaming.
    """
    from napari_wbc.storage.workspace import backup_of, open_workspace

    if path.exists() or backup_of(path).exists():
        return None
    now = slide.fields[0].path.parent
    files = sorted(projects_folder().glob("*.wbc"))
    # A backup lacks what was done last.
    projects = [file for file in files if not {".backup", ".damaged"} & _suffixes(file)]
    for done, project in enumerate(projects, start=1):
        yield Progress("looking for its project", done, len(projects), project.name)
        # A file that is damaged, or a backup of another, is no reason to stop.
        with suppress(WbcError), closing(open_workspace(project, read_only=True)) as workspace:
            for kept in workspace.slides():
                if _has_images(kept, slide) or _lies_in(
                    kept, workspace.image_facts(kept.name), now
                ):
                    return Renamed(project, kept.name, kept.fields[0].path.parent, now)
    return None


def _suffixes(path: Path) -> set[str]:
    return {suffix.split("-")[0] for suffix in path.suffixes}


def _has_images(kept: Slide, slide: Slide) -> bool:
    # One image of a folder is a slide of its own, and so is the folder.
    paths = {field.path for field in kept.fields}
    return bool(paths) and paths == {field.path for field in slide.fields}


def _lies_in(kept: Slide, facts: Mapping[str, tuple[Any, ...]], now: Path) -> bool:
    """Whether an image of a slide, by size and sha256, is in a folder, and none where it was."""
    if any(field.path.exists() for field in kept.fields):
        return False
    for field in kept.fields:
        there = now / field.path.name
        size, _time, sha256 = facts.get(field.fov_id, (None, None, None))
        with suppress(OSError):
            if size_and_time(there)[0] == size and sha256_of(there) == sha256:
                return True
    return False


def point_to(found: Renamed) -> None:
    """Tell a project where the images of its slide are now."""
    from napari_wbc.storage.workspace import open_workspace, pointed_to

    with closing(open_workspace(found.path)) as workspace:
        for kept in workspace.slides():
            if kept.name == found.slide:
                pointed_to(workspace, kept, found.now)


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
