"""Where a classifier looks: the share of Grad-CAM's heat that lies inside labelled cells."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np
import numpy.typing as npt

from napari_wbc.classify.crops import squares
from napari_wbc.classify.predict import Classifier
from napari_wbc.explain.attribution import Attributor, Question
from napari_wbc.explain.canvas import inside, mask_of
from napari_wbc.imaging.read import read_image
from napari_wbc.model.cell import Detection
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.training_set import LabelledCell
from napari_wbc.train.dataset import CropSet, one_cell_box

__all__ = ["has_maps", "located_steps", "share_steps", "some_of"]

EXPLAINED = 200
"""Cells at most whose heat is looked at."""


def has_maps(classifier: Classifier) -> bool:
    """Whether the network has square maps for Grad-CAM to look at."""
    return bool(_attributor(classifier).layers)


def _attributor(classifier: Classifier) -> Attributor:
    preset = classifier.preset
    return Attributor(classifier.network, preset.size, classifier.card.mode, sure=preset.sure)


def some_of(wanted: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Indices of the cells to look at: evenly picked among those wanted, 200 at most.

    Examples
    --------
    >>> some_of(np.array([True, False, True])).tolist()
    [0, 2]
    """
    found = np.flatnonzero(wanted)
    if len(found):
        found = found[
            np.linspace(0, len(found) - 1, min(len(found), EXPLAINED)).round().astype(int)
        ]
    return found


def located_steps(cells: Sequence[LabelledCell], classifier: Classifier) -> Steps[list[Detection]]:
    """Box and outline of labelled cells, as the classifier's crops are cut.

    Raises
    ------
    ReadError
        If an image cannot be read.
    """
    located: list[Detection] = []
    for cell in cells:
        box = cell.box or one_cell_box(read_image(cell.path), classifier.preset)
        located.append(Detection(box, cell.outline))
        yield Progress("locating cells to explain", len(located), len(cells))
    return located


def share_steps(
    classifier: Classifier,
    data: CropSet,
    target: npt.NDArray[np.int64],
    located: Sequence[Detection],
) -> Steps[npt.NDArray[np.float64]]:
    """Share of the heat that lies inside each cell, shape (N,), 0 to 1; NaN where there is no heat.

    Parameters
    ----------
    classifier : Classifier
    data : CropSet
        Cut as its preset says.
    target : ndarray, shape (N,)
        Index of the class that is asked for of each cell.
    located : sequence of N Detection

    Raises
    ------
    WbcError
        If the network has no maps for Grad-CAM to look at.
    """
    import torch

    from napari_wbc.train.scoring import inputs

    preset, found = classifier.preset, list[float]()
    attributor = _attributor(classifier)
    device = torch.device(classifier.device)
    for x in inputs(data, preset, device):
        start = len(found)
        wanted = torch.from_numpy(target[start : start + len(x)]).to(device)
        heat = attributor.heat(x, wanted, torch.full_like(wanted, -1), Question()).cpu().numpy()
        for values, detection in zip(heat, located[start : start + len(x)], strict=True):
            box = detection.bbox
            edges = np.array([[box.top, box.left, box.bottom, box.right]])
            # Of the field's shape no more need be known than that the box lies in it.
            (side,), ((top, left),) = squares(
                edges, preset.factor, (ceil(box.bottom), ceil(box.right))
            )
            mask = mask_of(detection, (int(top), int(left), int(side)), preset.size)
            found.append(inside(values, mask))
        yield Progress("explaining by grad-cam", len(found), len(located))
    return np.array(found)
