"""Where each image of a training set goes in a project, before anything is written there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_wbc.classify.preset import Preset
from napari_wbc.errors import ReadError, WbcError
from napari_wbc.files.atomic import copied, sha256_of
from napari_wbc.imaging.read import read_image
from napari_wbc.model.cell import Cell
from napari_wbc.model.failure import Failure
from napari_wbc.model.geometry import BBox
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.taxonomy import Taxonomy
from napari_wbc.model.training_set import LabelledField, split_of, splits_told
from napari_wbc.storage.rounds import CROPS, SetContent
from napari_wbc.storage.workspace import Workspace, open_workspace
from napari_wbc.train.dataset import one_cell_box

__all__ = [
    "PARTLY_KEY",
    "SPLIT_KEY",
    "There",
    "check_images_steps",
    "has_splits",
    "kept_steps",
    "partly_labelled",
    "placed_steps",
    "splits_of",
]

SPLIT_KEY = "splits"
"""Under which a project keeps the splits of slides that came with them."""
PARTLY_KEY = "partly_labelled"
"""Under which it keeps the fields that came with cells missing."""


@dataclass(frozen=True, slots=True)
class There:
    """What a project has already; nothing where there is none.

    Parameters
    ----------
    taxonomy : Taxonomy, optional
    fields : mapping of str to (str, Path, str)
        By field, its slide, its image and the image's sha256, empty where it is not known.
    cells : mapping of str to (str, str)
        By cell, its slide and its field.
    splits : mapping of str to str
        Of the slides that came with one.
    slides : frozenset of str
    """

    taxonomy: Taxonomy | None = None
    fields: Mapping[str, tuple[str, Path, str]] = field(default_factory=dict)
    cells: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    splits: Mapping[str, str] = field(default_factory=dict)
    slides: frozenset[str] = frozenset()

    @classmethod
    def read(cls, project: Path) -> There:
        """What a project file says; it is not changed."""
        if not project.exists():
            return cls()
        workspace = open_workspace(project, read_only=True)
        try:
            fields: dict[str, tuple[str, Path, str]] = {}
            cells: dict[str, tuple[str, str]] = {}
            slides = workspace.slides()
            for slide in slides:
                table = workspace.table(slide.name)
                cells |= {cell.cell_id: (slide.name, cell.fov_id) for cell in table.values()}
                facts = workspace.image_facts(slide.name)
                for one in slide.fields:
                    fields[one.fov_id] = (
                        slide.name,
                        one.path,
                        facts.get(one.fov_id, (None, None, None))[2] or "",
                    )
            names = frozenset(slide.name for slide in slides)
            return cls(workspace.taxonomy, fields, cells, splits_of(workspace), names)
        finally:
            workspace.close()

    def side_of(self, slide: str) -> str:
        """The split that a slide's images have in a training set; empty if the slide is not there."""
        return (self.splits.get(slide) or split_of(slide)) if slide in self.slides else ""


def splits_of(workspace: Workspace) -> dict[str, str]:
    """The splits of the slides of a project that came with them from a training set."""
    return splits_told(workspace.get(SPLIT_KEY))


def partly_labelled(workspace: Workspace) -> frozenset[str]:
    """Fields of a project that came with cells that nobody had reviewed, or that were left out."""
    told = workspace.get(PARTLY_KEY)
    return frozenset(map(str, told)) if told else frozenset()


def has_splits(content: SetContent) -> bool:
    """Whether a set says for what its images are kept: ours do, and any that is not all for training."""
    return bool(content.made) or {one.split for one in content.fields} != {"train"}


def placed_steps(
    content: SetContent, there: There
) -> Steps[tuple[list[LabelledField], tuple[Failure, ...]]]:
    """Fields whose image can be read, with slide, id and sha256.

    A field whose id and slide the project has stays there. A slide is on one side: images that a
    set keeps for something else than those that the slide has, in the set or in the project, are a
    slide of their own.
    """
    fields: list[LabelledField] = []
    failures: list[Failure] = []
    places = _places(content, there)
    for done, (one, (slide, fov_id)) in enumerate(
        zip(content.fields, places, strict=True), start=1
    ):
        note = ""
        try:
            image = read_image(one.path)
            cells = tuple(_boxed(cell, one, image) for cell in one.cells)
            sha256, path = sha256_of(one.path), one.path.resolve()
            fields.append(
                replace(one, slide=slide, fov_id=fov_id, path=path, sha256=sha256, cells=cells)
            )
        except (ReadError, OSError) as error:
            note = str(error)
            failures.append(Failure(one.path, note))
        yield Progress("reading images", done, len(content.fields), note)
    if not fields:
        raise WbcError(f"{content.name}: none of its images can be read; see {failures[0].message}")
    return fields, tuple(failures)


def _places(content: SetContent, there: There) -> list[tuple[str, str]]:
    """Slide and id of each field."""
    ids = Counter(one.fov_id for one in content.fields)
    sides: dict[str, set[str]] = {}
    for one in content.fields:
        sides.setdefault(one.slide or content.name, set()).add(one.split)
    told, places = has_splits(content), []
    for one in content.fields:
        slide = one.slide or content.name
        # A name alone may be another set's too, and several crops have the id of one field.
        own = one.fov_id if one.slide and ids[one.fov_id] == 1 and content.format != CROPS else ""
        known, *_ = there.fields.get(own or f"{slide}/{one.name}", ("",))
        side = there.side_of(slide)
        if known != slide and (len(sides[slide]) > 1 or (told and side and side != one.split)):
            slide = f"{slide} ({one.split})"
        places.append((slide, own or f"{slide}/{one.name}"))
    return places


def _boxed(cell: Cell, one: LabelledField, image: npt.NDArray[np.uint8]) -> Cell:
    """The cell of an image that shows one, and of which no box is known, where it is located."""
    whole = BBox(0, 0, one.height, one.width)
    if len(one.cells) > 1 or cell.detection.bbox != whole or cell.detection.outline is not None:
        return cell
    return replace(cell, detection=replace(cell.detection, bbox=one_cell_box(image, Preset())))


def check_images_steps(path: Path, fields: Sequence[LabelledField], there: There) -> Steps[None]:
    """Refuse the set at ``path`` if it has another image than the project for a field, or two for one."""
    found: dict[str, str] = {}
    for done, one in enumerate(fields, start=1):
        yield Progress("comparing images", done, len(fields))
        if found.setdefault(one.fov_id, one.name) != one.name:
            raise WbcError(
                f"{path}: {found[one.fov_id]} and {one.name} are both {one.fov_id!r}; rename one."
            )
        slide, image, sha256 = there.fields.get(one.fov_id, ("", None, ""))
        if image is None:
            continue
        if slide != one.slide:
            raise WbcError(
                f"{path}, {one.name}: the project has {one.fov_id!r} in the slide {slide!r}; rename it."
            )
        try:
            sha256 = sha256 or sha256_of(image)
        except OSError as error:
            raise WbcError(
                f"{image}: the project's image cannot be read ({error.strerror or error}); put it back."
            ) from error
        if sha256 != one.sha256:
            raise WbcError(
                f"{path}, {one.name}: the project has another image as {one.fov_id!r}; rename one of them."
            )


def kept_steps(
    fields: Sequence[LabelledField], folder: Path, fresh: list[Path]
) -> Steps[list[LabelledField]]:
    """The fields with their images in a folder that stays; ``fresh`` gets what was made there."""
    kept: list[LabelledField] = []
    try:
        if not folder.exists():
            folder.mkdir(parents=True)
            fresh.append(folder)
        for done, one in enumerate(fields, start=1):
            path = folder / one.name
            if path.exists() and sha256_of(path) != one.sha256:
                path = folder / f"{one.sha256[:8]}-{one.name}"
            if not path.exists() or sha256_of(path) != one.sha256:
                copied(one.path, path)
                fresh.append(path)
            kept.append(replace(one, path=path.resolve()))
            yield Progress("copying images", done, len(fields))
    except OSError as error:
        raise WbcError(
            f"{folder}: images cannot be copied there ({error.strerror or error})."
        ) from error
    return kept
