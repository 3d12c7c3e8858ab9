"""Are the images still those that the cells were found in: by size and time, else by sha256."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from napari_wbc.errors import WbcError
from napari_wbc.files.atomic import sha256_of
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.storage.workspace.workspace import Workspace

__all__ = ["ImageFault", "check_images_steps", "pointed_to"]


@dataclass(frozen=True, slots=True)
class ImageFault:
    """A field whose image is not what it was.

    Parameters
    ----------
    fov_id : str
    path : Path
    what : str
        ``missing`` or ``changed``.
    """

    fov_id: str
    path: Path
    what: Literal["missing", "changed"]


def check_images_steps(workspace: Workspace, slide: Slide) -> Steps[tuple[ImageFault, ...]]:
    """Look for images that are gone or are not what they were.

    What is known of an image is kept the first time; later its sha256 is computed only where its
    size or time differs.

    Returns
    -------
    tuple of ImageFault
    """
    known = workspace.image_facts(slide.name)
    faults: list[ImageFault] = []
    new: list[dict[str, object]] = []
    for i, field in enumerate(slide.fields):
        yield Progress("checking images", i, len(slide.fields), field.path.name)
        try:
            stat = field.path.stat()
            now = (stat.st_size, stat.st_mtime_ns)
            size, modified, sha256 = known.get(field.fov_id, (None, None, None))
            if now == (size, modified):
                continue
            found = sha256_of(field.path)
        except OSError:
            faults.append(ImageFault(field.fov_id, field.path, "missing"))
            continue
        if sha256 not in (None, found):
            faults.append(ImageFault(field.fov_id, field.path, "changed"))
        else:
            new.append({"key": field.fov_id, "size": now[0], "modified": now[1], "sha256": found})
    if new and not workspace.read_only:
        workspace.put_image_facts(new)
    return tuple(faults)


def pointed_to(workspace: Workspace, slide: Slide, folder: str | Path) -> Slide:
    """The slide with its fields looked for by name in another folder, where they are there.

    Parameters
    ----------
    workspace : Workspace
        Keeps where they are now.
    slide : Slide
    folder : str or Path

    Raises
    ------
    WbcError
        If none of them is there, or one that is there is another image; nothing is changed then.
    """
    folder, known = Path(folder), workspace.image_facts(slide.name)
    fields = tuple(
        FieldOfView(f.fov_id, there if (there := folder / f.path.name).is_file() else f.path)
        for f in slide.fields
    )
    moved = [new for old, new in zip(slide.fields, fields, strict=True) if old != new]
    if not moved:
        raise WbcError(
            f"{folder}: none of the slide's images is in this folder; choose where they are now."
        )
    for field in moved:
        sha256 = known.get(field.fov_id, (None, None, None))[2]
        if sha256 not in (None, sha256_of(field.path)):
            raise WbcError(
                f"{field.path}: another image of this name than the cells were found in; choose the folder "
                "with the original images."
            )
    found = Slide(slide.name, fields)
    workspace.put_slide(found)
    return found
