"""What a network makes of cells before it names them: the features that its last layer takes."""

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
    """Features of cells of one field, batch by batch, shape (n, F).

    They are of the cells as they lie, of which the network judges first.

    Parameters
    ----------
    classifier : Classifier
    field : ndarray, shape (height, width, 3), uint8
        RGB.
    boxes : sequence of BBox
        N boxes in pixels of the field; they may reach over its edge.
    """
    import torch

    autocast = torch.autocast(classifier.device, torch.bfloat16, enabled=classifier.device != "cpu")
    for x in classifier.prepared(field, boxes):
        with torch.inference_mode(), autocast:
            features = classifier.network.features(x.contiguous(memory_format=torch.channels_last))
        yield features.float().cpu().numpy()
