"""Are the images still those that the cells were found in: by size and time, else by sha256."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from napari_wbc.errors import WbcError
from napari_wbc.files.atomic import sha256_of, size_and_time
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.storage.workspace.workspace import Workspace


@dataclass(frozen=True, slots=True)
class ImageFault:
    """A field whose image is not what it was."""

    fov_id: str
    path: Path
    what: Literal["missing", "changed"]


def check_images_steps(workspace: Workspace, slide: Slide) -> Steps[tuple[ImageFault, ...]]:
    """Look for images that are gone or are not what they were.

    What is known of an image is kept the first time; later its sha256 is computed only where its
    size or time differs.
    """
    facts = workspace.image_facts(slide.name)
    faults: list[ImageFault] = []
    new: list[dict[str, object]] = []
    for i, field in enumerate(slide.fields):
        yield Progress("checking images", i, len(slide.fields), field.path.name)
        try:
            now = size_and_time(field.path)
            size, modified, sha256 = facts.get(field.fov_id, (None, None, None))
            # A hash is had only by reading the whole image, size and time at once.
            if now == (size, modified):
                continue
            present = sha256_of(field.path)
        except OSError:
            faults.append(ImageFault(field.fov_id, field.path, "missing"))
            continue
        if sha256 not in (None, present):
            faults.append(ImageFault(field.fov_id, field.path, "changed"))
            continue
        fact = {"size": now[0], "modified": now[1], "sha256": present}
        new.append({"key": field.fov_id, **fact})
    if new and not workspace.read_only:
        workspace.put_image_facts(new)
    return tuple(faults)


def pointed_to(workspace: Workspace, slide: Slide, folder: str | Path) -> Slide:
    """The slide with its fields looked for by name in another folder, which the workspace keeps.

    Raises
    ------
    WbcError
        If none of them is there, or one that is there is another image; nothing is changed then.
    """
    folder = Path(folder)
    facts = workspace.image_facts(slide.name)
    fields: list[FieldOfView] = []
    moved: list[FieldOfView] = []
    for field in slide.fields:
        path = folder / field.path.name
        present = field
        if path.exists() and path != field.path:
            present = FieldOfView(field.fov_id, path)
            moved.append(present)
        fields.append(present)
    if not moved:
        raise WbcError(
            f"{folder}: none of the slide's images is in this folder; choose where they are now."
        )
    # All are checked before anything is written.
    for field in moved:
        sha256 = facts.get(field.fov_id, (None, None, None))[2]
        if sha256 not in (None, sha256_of(field.path)):
            raise WbcError(
                f"{field.path}: another image of this name than the cells were found in; "
                "choose the folder with the original images."
            )
    result = Slide(slide.name, tuple(fields))
    workspace.put_slide(result)
    return result
