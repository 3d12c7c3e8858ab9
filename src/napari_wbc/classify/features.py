"""Features of cells: what the last layer of a classifier takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from napari_wbc.classify.predict import Classifier
from napari_wbc.model.geometry import BBox

__all__ = ["iter_features"]


def iter_features(
    classifier: Classifier, field: npt.NDArray[np.uint8], boxes: Sequence[BBox]
) -> Iterator[npt.NDArray[np.float32]]:
    """Features of cells of one field, as they lie.

    Parameters
    ----------
    classifier : Classifier
    field : ndarray, shape (height, width, 3), uint8
        RGB.
    boxes : sequence of BBox
        N boxes in pixels of the field; they may reach over its edge.

    Yields
    ------
    ndarray, shape (n, F), float32
        Of one batch of cells, in the order of the boxes.
    """
    import torch

    # As the classifier does it, so that these are the features that its predictions stand on.
    autocast = torch.autocast(classifier.device, torch.bfloat16, enabled=classifier.device != "cpu")
    for x in classifier.prepared(field, boxes):
        with torch.inference_mode(), autocast:
            features = classifier.network.features(x.contiguous(memory_format=torch.channels_last))
        yield features.float().cpu().numpy()
