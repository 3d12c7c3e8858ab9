"""What a model may learn from and what is held out: splits, images seen before, labels."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import chain, compress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.files.atomic import sha256_of
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.split import farthest
from napari_wbc.model.taxonomy import Taxonomy
from napari_wbc.model.training_set import LabelledCell
from napari_wbc.model.words import counted
from napari_wbc.storage.labelled_cells import read_training_set_steps
from napari_wbc.weights.card import ModelCard, training_images

UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""Cell ids that no two cells have by chance."""
VAL_IMAGES = 6
"""One image in so many chooses the epoch, where a training set has no val split."""


class Learnable(NamedTuple):
    """The labelled cells that training may look at."""

    new: list[LabelledCell]
    old: list[LabelledCell]
    """Without the images of the new training sets."""
    hashes: dict[Path, str]
    """sha256 of each image; the path in place of it where the image cannot be read."""


def read_training_sets_steps(paths: Sequence[str | Path]) -> Steps[list[tuple[LabelledCell, ...]]]:
    """Read the labelled cells of each of several training sets, without their pixels."""
    sets: list[tuple[LabelledCell, ...]] = []
    for path in paths:
        yield Progress("reading labels", 0, 0)
        sets.append((yield from read_training_set_steps(path)))
    return sets


def learnable_steps(
    paths: Sequence[str | Path], old: Sequence[str | Path] = ()
) -> Steps[Learnable]:
    """Read the cells that training may look at: no image that any of the sets holds for testing.

    Parameters
    ----------
    paths : sequence of path
        New training sets.
    old : sequence of path
        Training sets that the model was trained on before. Images that a new set has too, whatever
        it holds them for, are left out of these.

    Raises
    ------
    WbcError
        If a set cannot be read, or the other sets keep every image in train for something else.
    """
    sets = yield from read_training_sets_steps((*paths, *old))
    sided, hashes = yield from sided_steps(sets)
    before = list(chain(*sets[: len(paths)]))
    new = list(chain(*sided[: len(paths)]))
    moved = set[Path]()
    for was, now in zip(before, new, strict=True):
        if now.split == "test" != was.split:
            moved.add(now.path)
    if moved:
        note = (
            f"Left out, kept for testing in another of these sets: {counted(len(moved), 'image')}."
        )
        yield Progress("reading labels", 0, 0, note)
    # A set that never had a cell in train is refused by the trainer, in words of its own.
    if has_split(before, "train") and not has_split(new, "train"):
        raise WbcError(
            "Nothing is left to learn from: all images in train are kept for validation or testing "
            "in another set. Move a slide to train."
        )
    learnable = Learnable([], [], hashes)
    images: set[str] = set()
    for cell in new:
        images.add(hashes[cell.path])
        if cell.split != "test":
            learnable.new.append(cell)
    for cell in chain(*sided[len(paths) :]):
        if cell.split != "test" and hashes[cell.path] not in images:
            learnable.old.append(cell)
    return learnable


def has_split(cells: Iterable[LabelledCell], split: str) -> bool:
    """Whether any of the cells is in a split."""
    return any(cell.split == split for cell in cells)


def counts_text(counts: Mapping[str, int]) -> str:
    """Numbers of cells by label, for a note.

    Examples
    --------
    >>> counts_text({"blast": 2, "monocyte": 1})
    'blast (2), monocyte (1)'
    """
    return ", ".join(f"{label} ({n})" for label, n in counts.items())


def short_names(paths: Iterable[Path]) -> dict[Path, str]:
    """A name for each image: its file name, or where two share one, its path below all of them.

    Folders above may be named after a patient, and results are handed on.
    """
    unique = set(paths)
    if len({path.name for path in unique}) == len(unique):
        return {path: path.name for path in unique}
    # Two folders may both hold an image 1.png; below the common folder their paths differ.
    root = os.path.commonpath([path.absolute().parent for path in unique])
    return {path: path.absolute().relative_to(root).as_posix() for path in unique}


def with_val(cells: Sequence[LabelledCell], *, by_image: bool = False) -> list[LabelledCell]:
    """The cells with a val split: the one they have, or else one image in six.

    The choice follows from the names of the images, so that it is the same at every run. Of fewer
    than six images single cells are taken, unless ``by_image``.
    """
    if has_split(cells, "val"):
        return list(cells)
    names = short_names(cell.path for cell in cells)
    by_image = by_image or len(names) >= VAL_IMAGES
    keys: list[str] = []
    labels: dict[str, set[str]] = {}
    for cell in cells:
        name = names[cell.path]
        keys.append(name if by_image else f"{name} {cell.box}")
        labels.setdefault(keys[-1], set()).add(cell.label)
    to_learn = Counter(chain(*labels.values()))
    # A digest ranks the names as good as at random, whatever order they are numbered in; a name
    # that is not valid text, as Linux allows, has surrogates.
    ranked = sorted(
        labels, key=lambda name: hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    )
    chosen: set[str] = set()
    wanted = max(1, round(len(labels) / VAL_IMAGES))
    for key in ranked:
        # What alone shows a class is left to learn, as long as anything else can choose the epoch.
        if len(chosen) < wanted and all(to_learn[label] > 1 for label in labels[key]):
            chosen.add(key)
            to_learn.subtract(labels[key])
    chosen = chosen or set(ranked[:1])
    result = []
    for cell, key in zip(cells, keys, strict=True):
        result.append(replace(cell, split="val" if key in chosen else "train"))
    return result


def held_out_steps(paths: Sequence[str | Path], split: str) -> Steps[list[LabelledCell]]:
    """Read the cells of one split of training sets.

    Raises
    ------
    WbcError
        If there are none.
    """
    sets = yield from read_training_sets_steps(paths)
    cells = [cell for cell in chain(*sets) if cell.split == split]
    if not cells:
        raise WbcError(f"The training sets hold no cell in the split {split!r}; choose another.")
    return cells


def unseen_steps(
    paths: Sequence[str | Path], split: str, taxonomy: Taxonomy, cards: Mapping[str, ModelCard]
) -> Steps[tuple[list[LabelledCell], list[str]]]:
    """Read the cells of one split that no model was trained or chosen on, as far as cards tell.

    They are labelled by the classes of the taxonomy. With them come notes on which models may know
    the cells, and on how many are left out; these call each model by its key in ``cards``.

    Raises
    ------
    WbcError
        If no cell remains, or an image cannot be read.
    """
    held_out = yield from held_out_steps(paths, split)
    seen = yield from trained_on_steps(held_out, list(cards.values()))
    unseen = list(compress(held_out, ~np.logical_or.reduce(seen)))
    if not unseen:
        raise WbcError(
            "Every held-out image is one that a model was trained on; label other slides, or "
            "choose another split."
        )
    notes: list[str] = []
    for side, card in cards.items():
        if not training_images(card):
            notes.append(
                f"The card of the {side} model does not list the images it was trained on, so it "
                "may know some of these cells."
            )
    for side, n in zip(cards, seen.sum(axis=1), strict=True):
        if n:
            notes.append(f"Left out, of images the {side} model was trained on: {counted(int(n))}.")
    cells, left_out = relabelled(unseen, taxonomy)
    if left_out:
        notes.append(f"Cells left out, no class of the taxonomy: {counts_text(left_out)}.")
    return cells, notes


def trained_on_steps(
    cells: Sequence[LabelledCell], cards: Sequence[ModelCard]
) -> Steps[npt.NDArray[np.bool_]]:
    """Which cells each of M models has seen: of images that it was trained or chosen on.

    A model whose card lists no image has seen none, as far as anybody can tell.

    Returns
    -------
    ndarray, shape (M, N), bool

    Raises
    ------
    ReadError
        If an image cannot be read.
    """
    seen = np.zeros((len(cards), len(cells)), dtype=bool)
    images_of_models = list(map(training_images, cards))
    # Hashing reads every image, so it waits until a card lists something to compare with.
    if not any(images_of_models):
        return seen
    step = "looking for images that were trained on"
    hashes = yield from _hashed_steps(cells, step, strict=True)
    for i, images in enumerate(images_of_models):
        seen[i] = [hashes[cell.path] in images for cell in cells]
    return seen


def _hashed_steps(
    cells: Iterable[LabelledCell], step: str, *, strict: bool
) -> Steps[dict[Path, str]]:
    """sha256 of each image; unless ``strict``, one that cannot be read gets its path instead."""
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
    sets: Sequence[Sequence[LabelledCell]],
) -> Steps[tuple[list[list[LabelledCell]], dict[Path, str]]]:
    """Put all copies of an image into one split: the farthest from train that any copy has.

    A crop goes with the image that it is from, where both know the id of the cell. An image without
    a copy may keep cells in several splits, as its set says.

    With the sets, in their order, comes the sha256 of each image; the path in place of it where the
    image cannot be read, since nothing may ever look at it.
    """
    hashes = yield from _hashed_steps(chain(*sets), "reading images", strict=False)
    occurrences: dict[str, list[tuple[str, str]]] = {}
    places: dict[str, set[tuple[int, Path]]] = {}
    splits: dict[str, str] = {}
    for i, cells in enumerate(sets):
        for cell in cells:
            image = hashes[cell.path]
            places.setdefault(image, set()).add((i, cell.path))
            splits[image] = farthest(cell.split, splits.get(image, ""))
            # An id that a person wrote, such as "1", may be another cell's in another set.
            if UUID.fullmatch(cell.cell_id):
                occurrences.setdefault(cell.cell_id, []).append((image, cell.split))
    shared = {image for image, copies in places.items() if len(copies) > 1}
    for images_and_splits in occurrences.values():
        images, own_splits = zip(*images_and_splits, strict=True)
        if len(set(images)) > 1:
            shared.update(images)
            for image in images:
                splits[image] = farthest(*own_splits, splits[image])

    def sided(cell: LabelledCell) -> LabelledCell:
        image = hashes[cell.path]
        return replace(cell, split=splits[image]) if image in shared else cell

    return [list(map(sided, cells)) for cells in sets], hashes


def relabelled(
    cells: Iterable[LabelledCell], taxonomy: Taxonomy
) -> tuple[list[LabelledCell], dict[str, int]]:
    """The cells whose label counts as a class, labelled by it; and the counts of other labels.

    Raises
    ------
    WbcError
        If no label counts as a class of the taxonomy.
    """
    with_class: list[LabelledCell] = []
    left_out: Counter[str] = Counter()
    # A set has many cells of few labels, and a look-up goes through all classes.
    class_of = cache(taxonomy.class_of)
    for cell in cells:
        if (name := class_of(cell.label)) is None:
            left_out[cell.label] += 1
        else:
            with_class.append(replace(cell, label=name))
    if not with_class:
        raise WbcError(
            f"No label of the training sets ({', '.join(left_out)}) counts as a class of the "
            f"taxonomy {taxonomy.name!r} ({', '.join(taxonomy.names)}); choose another taxonomy."
        )
    return with_class, dict(left_out)
