"""Where each image of a training set goes in a project, before anything is written there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from unicodedata import normalize

import numpy as np
import numpy.typing as npt

from napari_wbc.classify.preset import Preset
from napari_wbc.detect.hsv import one_cell_box
from napari_wbc.errors import ReadError, WbcError
from napari_wbc.files.atomic import copied, sha256_of, short_name
from napari_wbc.imaging.read import read_image
from napari_wbc.model.cell import Cell
from napari_wbc.model.failure import Failure
from napari_wbc.model.geometry import BBox
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.split import split_of
from napari_wbc.model.taxonomy import Taxonomy
from napari_wbc.model.training_set import LabelledField
from napari_wbc.pipeline.split_rule import has_splits, splits_of
from napari_wbc.storage.formats.registry import CROPS
from napari_wbc.storage.sets import SetContent
from napari_wbc.storage.workspace import Workspace, open_workspace

PARTLY_KEY = "partly_labelled"
"""Key of a project's fields that came with cells missing."""


@dataclass(frozen=True, slots=True)
class There:
    """What a project has already; it is empty where there is no project."""

    taxonomy: Taxonomy | None = None
    fields: Mapping[str, tuple[str, Path, str]] = field(default_factory=dict)
    """By field, its slide, its image and the image's sha256, empty where it is not known."""
    cells: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """By cell, its slide and its field."""
    splits: Mapping[str, str] = field(default_factory=dict)
    """Of the slides that came with one."""
    slides: frozenset[str] = frozenset()

    @classmethod
    def read(cls, project: Path) -> There:
        """Read a project file, which is not changed."""
        if not project.exists():
            return cls()
        with closing(open_workspace(project, read_only=True)) as workspace:
            fields: dict[str, tuple[str, Path, str]] = {}
            cells: dict[str, tuple[str, str]] = {}
            slides = workspace.slides()
            for slide in slides:
                for cell in workspace.table(slide.name).values():
                    cells[cell.cell_id] = (slide.name, cell.fov_id)
                facts = workspace.image_facts(slide.name)
                for fov in slide.fields:
                    _size, _time, sha256 = facts.get(fov.fov_id, (None, None, None))
                    fields[fov.fov_id] = (slide.name, fov.path, sha256 or "")
            names = frozenset(slide.name for slide in slides)
            return cls(workspace.taxonomy, fields, cells, splits_of(workspace), names)


def partly_labelled(workspace: Workspace) -> frozenset[str]:
    """Fields of a project that came with cells that nobody had reviewed, or that were left out."""
    value = workspace.get(PARTLY_KEY)
    return frozenset(map(str, value)) if isinstance(value, list) else frozenset()


def placed_steps(
    content: SetContent, there: There
) -> Steps[tuple[list[LabelledField], tuple[Failure, ...]]]:
    """The fields whose image can be read, with slide, id and sha256; and the failures.

    A field whose id and slide the project has stays there. A slide has one split: images whose
    split differs from that of the slide, in the set or in the project, become a slide of their own.
    """
    fields: list[LabelledField] = []
    failures: list[Failure] = []
    places = _places(content, there)
    for labelled, (slide, fov_id) in zip(content.fields, places, strict=True):
        note = ""
        try:
            image = read_image(labelled.path)
            placed = replace(
                labelled,
                slide=slide,
                fov_id=fov_id,
                path=labelled.path.resolve(),
                sha256=sha256_of(labelled.path),
                cells=tuple(_boxed(cell, labelled, image) for cell in labelled.cells),
            )
            fields.append(placed)
        except (ReadError, OSError) as error:
            note = str(error)
            failures.append(Failure(labelled.path, note))
        done = len(fields) + len(failures)
        yield Progress("reading images", done, len(content.fields), note)
    if not fields:
        raise WbcError(f"{content.name}: none of its images can be read; see {failures[0].message}")
    return fields, tuple(failures)


def _places(content: SetContent, there: There) -> list[tuple[str, str]]:
    """Slide and id that each field of a set will have in the project."""
    ids = Counter(labelled.fov_id for labelled in content.fields)
    splits: dict[str, set[str]] = {}
    for labelled in content.fields:
        splits.setdefault(labelled.slide or content.name, set()).add(labelled.split)
    meant = has_splits(content)
    # A Mac takes the letters of names apart, and other systems keep them so.
    slides = {normalize("NFC", name): name for name in there.slides}
    fov_ids = {normalize("NFC", name): name for name in there.fields}
    places: list[tuple[str, str]] = []
    for labelled in content.fields:
        slide = labelled.slide or content.name
        own = slide
        slide = slides.get(normalize("NFC", slide), slide)
        # A name alone may be another set's too, and several crops have the id of one field.
        told = labelled.slide and labelled.fov_id
        unique = told and ids[labelled.fov_id] == 1 and content.format != CROPS
        fov_id = labelled.fov_id if unique else f"{slide}/{labelled.name}"
        fov_id = fov_ids.get(normalize("NFC", fov_id), fov_id)
        existing, *_ = there.fields.get(fov_id, ("",))
        split = ""
        if slide in there.slides:
            split = there.splits.get(slide) or split_of(slide)
        differs = meant and bool(split) and split != labelled.split
        if existing != slide and (len(splits[own]) > 1 or differs):
            slide = f"{slide} ({labelled.split})"
            fov_id = fov_id if unique else f"{slide}/{labelled.name}"
        places.append((slide, fov_id))
    return places


def _boxed(cell: Cell, labelled: LabelledField, image: npt.NDArray[np.uint8]) -> Cell:
    """The cell, located in its image where it is alone there and the box is the whole image."""
    whole = BBox(0, 0, labelled.height, labelled.width)
    detection = cell.detection
    if len(labelled.cells) > 1 or detection.bbox != whole or detection.outline is not None:
        return cell
    box = one_cell_box(image, Preset().factor)
    return replace(cell, detection=replace(detection, bbox=box))


def check_images_steps(path: Path, fields: Sequence[LabelledField], there: There) -> Steps[None]:
    """Refuse the set at ``path`` if a field has two images in it, or another in the project."""
    names: dict[str, str] = {}
    for done, labelled in enumerate(fields, start=1):
        yield Progress("comparing images", done, len(fields))
        fov_id = labelled.fov_id
        name = names.setdefault(fov_id, labelled.name)
        if name != labelled.name:
            raise WbcError(
                f"{path}: {name} and {labelled.name} are both {fov_id!r}; rename one of them."
            )
        slide, image, sha256 = there.fields.get(fov_id, ("", None, ""))
        if image is None:
            continue
        if slide != labelled.slide:
            raise WbcError(
                f"{path}, {labelled.name}: the project has {fov_id!r} in the slide {slide!r}; "
                "rename it."
            )
        try:
            sha256 = sha256 or sha256_of(image)
        except OSError as error:
            raise WbcError(
                f"{image}: the project's image cannot be read ({error.strerror or error}); put it "
                "back."
            ) from error
        # A set has images without their metadata, and so other files of the same pixels.
        if sha256 != labelled.sha256 and not _is_same(image, labelled.path):
            raise WbcError(
                f"{path}, {labelled.name}: the project has another image as {fov_id!r}; rename one "
                "of them."
            )


def _is_same(image: Path, other: Path) -> bool:
    """Whether two image files show the same pixels."""
    return bool(np.array_equal(read_image(image), read_image(other)))


def kept_steps(
    fields: Sequence[LabelledField], folder: Path, fresh: list[Path]
) -> Steps[list[LabelledField]]:
    """The fields with their images copied to a folder; ``fresh`` gets the paths that were made."""
    copies: list[LabelledField] = []
    try:
        if not folder.exists():
            folder.mkdir(parents=True)
            fresh.append(folder)
        for labelled in fields:
            path = folder / short_name(labelled.name)
            # Another import may have put another image of this name there.
            if path.exists() and sha256_of(path) != labelled.sha256:
                path = folder / short_name(f"{labelled.sha256[:8]}-{labelled.name}")
            if not path.exists() or sha256_of(path) != labelled.sha256:
                copied(labelled.path, path)
                fresh.append(path)
            copies.append(replace(labelled, path=path.resolve()))
            yield Progress("copying images", len(copies), len(fields))
    except OSError as error:
        raise WbcError(
            f"{folder}: images cannot be copied there ({error.strerror or error})."
        ) from error
    return copies
