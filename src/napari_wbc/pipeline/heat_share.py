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
from napari_wbc.model.cell import Detection
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.train.dataset import CropSet

MAX_EXPLAINED = 200
"""Cells at most whose heat is looked at, so that it takes a minute or two."""


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


def share_steps(
    classifier: Classifier,
    data: CropSet,
    target: npt.NDArray[np.int64],
    detections: Sequence[Detection],
) -> Steps[npt.NDArray[np.float64]]:
    """Share of Grad-CAM's heat that lies inside each of N cells.

    Parameters
    ----------
    data : CropSet
        The crops of the cells, as the classifier's preset cuts them.
    target : ndarray, shape (N,)
        Index of the classifier's class that is asked for, of each cell.
    detections : sequence of N Detection
        Where the cells lie in their fields.

    Returns
    -------
    ndarray, shape (N,), 0 to 1
        NaN where there is no heat.

    Raises
    ------
    WbcError
        If the network has no maps for Grad-CAM to look at.
    """
    import torch

    from napari_wbc.train.scoring import inputs

    preset = classifier.preset
    attributor = _attributor(classifier)
    device = torch.device(classifier.device)
    shares: list[float] = []
    for x in inputs(data, preset, device):
        batch = slice(len(shares), len(shares) + len(x))
        classes = torch.from_numpy(target[batch]).to(device)
        no_second = torch.full_like(classes, -1)
        heat = attributor.heat(x, classes, no_second, Question()).cpu().numpy()
        for values, detection in zip(heat, detections[batch], strict=True):
            box = detection.bbox
            edges = np.array([[box.top, box.left, box.bottom, box.right]])
            # Of the field's shape no more need be known than that the box lies in it.
            shape = (ceil(box.bottom), ceil(box.right))
            (side,), ((top, left),) = squares(edges, preset.factor, shape)
            mask = mask_of(detection, (int(top), int(left), int(side)), preset.size)
            shares.append(inside(values, mask))
        yield Progress("explaining by grad-cam", len(shares), len(detections))
    return np.array(shares)
