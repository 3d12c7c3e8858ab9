"""What a model may learn from and what is held out for testing: slides on one side, images seen before, labels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.files.atomic import sha256_of
from napari_wbc.model.progress import Progress, Steps, run
from napari_wbc.model.taxonomy import Taxonomy
from napari_wbc.model.training_set import LabelledCell, farthest
from napari_wbc.storage.labelled_cells import read_training_set_steps
from napari_wbc.weights.card import ModelCard, training_images

__all__ = [
    "hashed_steps",
    "held_out",
    "held_out_steps",
    "leaks",
    "read_training_sets",
    "read_training_sets_steps",
    "relabelled",
    "sided_steps",
]

MINTED = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""Ids that no two cells have by chance."""


def read_training_sets(paths: Sequence[str | Path]) -> tuple[LabelledCell, ...]:
    """:func:`read_training_sets_steps`, at once."""
    return run(read_training_sets_steps(paths))


def read_training_sets_steps(paths: Sequence[str | Path]) -> Steps[tuple[LabelledCell, ...]]:
    """The labelled cells of several training sets, one after the other."""
    cells: list[LabelledCell] = []
    for path in paths:
        yield Progress("reading labels", 0, 0)
        cells += yield from read_training_set_steps(path)
    return tuple(cells)


def held_out(paths: Sequence[str | Path], split: str) -> tuple[LabelledCell, ...]:
    """:func:`held_out_steps`, at once."""
    return run(held_out_steps(paths, split))


def held_out_steps(paths: Sequence[str | Path], split: str) -> Steps[tuple[LabelledCell, ...]]:
    """The cells of one split of training sets.

    Raises
    ------
    WbcError
        If there are none.
    """
    every = yield from read_training_sets_steps(paths)
    cells = tuple(cell for cell in every if cell.split == split)
    if not cells:
        raise WbcError(f"The training sets hold no cell in the split {split!r}; choose another.")
    return cells


def hashed_steps(
    cells: Iterable[LabelledCell], step: str, *, strict: bool = True
) -> Steps[dict[Path, str]]:
    """sha256 of each image of some cells; of one that cannot be read its path, unless ``strict``.

    Raises
    ------
    ReadError
        If one cannot be read.
    """
    hashes: dict[Path, str] = {}
    paths = dict.fromkeys(cell.path for cell in cells)
    for path in paths:
        try:
            hashes[path] = sha256_of(path)
        except OSError as error:
            if strict:
                text = f"{path}: cannot be read ({error.strerror or error}); check the path."
                raise ReadError(text) from error
            hashes[path] = str(path)
        yield Progress(step, len(hashes), len(paths))
    return hashes


def sided_steps(
    sets: Sequence[Sequence[LabelledCell]], step: str
) -> Steps[tuple[list[list[LabelledCell]], dict[Path, str]]]:
    """Training sets with all copies of an image on one side: the farthest from train of all.

    A crop is on the side of the image that it is from, where both know the id of the cell. An image
    that is there once may have cells on several sides, as its set says.

    Parameters
    ----------
    sets : sequence of sequence of LabelledCell
    step : str
        What progress is called.

    Returns
    -------
    list of list of LabelledCell
    mapping of Path to str
        sha256 of each image; of one that cannot be read its path, for it may never be looked at.
    """
    hashes = yield from hashed_steps((cell for one in sets for cell in one), step, strict=False)
    ids: dict[str, list[tuple[str, str]]] = {}
    places: dict[str, set[tuple[int, Path]]] = {}
    sides: dict[str, str] = {}
    for i, one in enumerate(sets):
        for cell in one:
            image = hashes[cell.path]
            places.setdefault(image, set()).add((i, cell.path))
            sides[image] = farthest(cell.split, sides.get(image, ""))
            if MINTED.fullmatch(cell.cell_id):
                ids.setdefault(cell.cell_id, []).append((image, cell.split))
    shared = {image for image, there in places.items() if len(there) > 1}
    for known in ids.values():
        images = {image for image, _ in known}
        if len(images) > 1:
            shared |= images
            side = farthest(*(split for _, split in known))
            sides |= {image: farthest(side, sides[image]) for image in images}
    return [
        [replace(c, split=sides[hashes[c.path]]) if hashes[c.path] in shared else c for c in one]
        for one in sets
    ], hashes


def leaks(
    cells: Sequence[LabelledCell], hashes: Mapping[Path, str], card: ModelCard
) -> npt.NDArray[np.bool_]:
    """Which cells are of images that a model was trained or chosen on, as its card lists them.

    Parameters
    ----------
    cells : sequence of N LabelledCell
    hashes : mapping of Path to str
        sha256 of every image file.
    card : ModelCard
        Lists images, if any, as ``provenance["training_images"]``.

    Returns
    -------
    ndarray, shape (N,), bool
    """
    known = training_images(card)
    return np.array([hashes[cell.path] in known for cell in cells], dtype=bool)


def relabelled(
    cells: Iterable[LabelledCell], taxonomy: Taxonomy
) -> tuple[list[LabelledCell], dict[str, int]]:
    """The cells that have a class there, labelled by it, and how many there are of the other labels."""
    kept: list[LabelledCell] = []
    left_out: Counter[str] = Counter()
    names: dict[str, str | None] = {}
    for cell in cells:
        if cell.label not in names:
            names[cell.label] = taxonomy.class_of(cell.label)
        if (name := names[cell.label]) is None:
            left_out[cell.label] += 1
        else:
            kept.append(replace(cell, label=name))
    if not kept:
        raise WbcError(
            f"No label of the training sets ({', '.join(left_out)}) counts as a class of the taxonomy "
            f"{taxonomy.name!r} ({', '.join(taxonomy.names)}); choose another taxonomy."
        )
    return kept, dict(left_out)
