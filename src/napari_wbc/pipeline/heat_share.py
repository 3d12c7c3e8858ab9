"""Where a classifier looks: the share of Grad-CAM's heat that lies inside labelled cells."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from napari_wbc.classify.crops import squares
from napari_wbc.classify.predict import Classifier
from napari_wbc.detect.hsv import one_cell_box
from napari_wbc.explain.attribution import Attributor, Question
from napari_wbc.explain.canvas import inside, mask_of
from napari_wbc.imaging.read import read_image
from napari_wbc.model.cell import Detection
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.training_set import LabelledCell
from napari_wbc.train.dataset import CropSet

__all__ = ["Look", "has_maps", "shares_steps", "some_of"]

MAX_EXPLAINED = 200
"""Cells at most whose heat is looked at, so that it takes a minute or two."""


class Look(NamedTuple):
    """What one classifier is asked about N cells.

    Parameters
    ----------
    classifier : Classifier
    data : CropSet
        The crops of the cells, as the classifier's preset cuts them.
    target : ndarray, shape (N,)
        Index of the classifier's class that is asked for, of each cell.
    """

    classifier: Classifier
    data: CropSet
    target: npt.NDArray[np.int64]


def has_maps(classifier: Classifier) -> bool:
    """Whether the network has square feature maps, which Grad-CAM needs."""
    return bool(_attributor(classifier).layers)


def _attributor(classifier: Classifier) -> Attributor:
    preset = classifier.preset
    return Attributor(classifier.network, preset.size, classifier.card.mode, sure=preset.sure)


def some_of(wanted: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Indices of 200 wanted cells at most, evenly picked.

    Examples
    --------
    >>> some_of(np.array([True, False, True])).tolist()
    [0, 2]
    """
    rows = np.flatnonzero(wanted)
    if len(rows) > MAX_EXPLAINED:
        rows = rows[np.linspace(0, len(rows) - 1, MAX_EXPLAINED).round().astype(int)]
    return rows


def shares_steps(
    cells: Sequence[LabelledCell], looks: Sequence[Look]
) -> Steps[list[npt.NDArray[np.float64]]]:
    """Share of Grad-CAM's heat that lies inside each of N cells, of one classifier or several.

    Parameters
    ----------
    cells : sequence of N LabelledCell
        One without a box is alone in its image, and is located there.
    looks : sequence of Look
        At the same cells.

    Returns
    -------
    list of ndarray, shape (N,), 0 to 1
        One for each look; NaN where there is no heat.

    Raises
    ------
    ReadError
        If an image cannot be read.
    WbcError
        If a network has no maps for Grad-CAM to look at.
    """
    located: list[Detection] = []
    for cell in cells:
        # All looks judge the heat by the same box, or their shares could not be compared.
        box = cell.box or one_cell_box(read_image(cell.path), looks[-1].classifier.preset.factor)
        located.append(Detection(box, cell.outline))
        yield Progress("locating cells to explain", len(located), len(cells))
    shares: list[npt.NDArray[np.float64]] = []
    for look in looks:
        shares += [(yield from _share_steps(look, located))]
    return shares


def _share_steps(look: Look, located: Sequence[Detection]) -> Steps[npt.NDArray[np.float64]]:
    """Share of the heat inside each cell, shape (N,)."""
    import torch

    from napari_wbc.train.scoring import inputs

    preset = look.classifier.preset
    attributor = _attributor(look.classifier)
    device = torch.device(look.classifier.device)
    shares: list[float] = []
    for x in inputs(look.data, preset, device):
        batch = slice(len(shares), len(shares) + len(x))
        target = torch.from_numpy(look.target[batch]).to(device)
        no_second = torch.full_like(target, -1)
        heat = attributor.heat(x, target, no_second, Question()).cpu().numpy()
        for values, detection in zip(heat, located[batch], strict=True):
            box = detection.bbox
            edges = np.array([[box.top, box.left, box.bottom, box.right]])
            # Of the field's shape no more need be known than that the box lies in it.
            shape = (ceil(box.bottom), ceil(box.right))
            (side,), ((top, left),) = squares(edges, preset.factor, shape)
            mask = mask_of(detection, (int(top), int(left), int(side)), preset.size)
            shares.append(inside(values, mask))
        yield Progress("explaining by grad-cam", len(shares), len(located))
    return np.array(shares)
