"""What captum's LIME (Ribeiro et al. 2016) is given: superpixels, and a regression on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

_SEGMENTS = 40
"""Superpixels of a crop, about."""


def superpixels(crop: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Numbers, from 0, of the superpixels of a crop (SLIC, Achanta et al. 2012).

    The crop has the shape (size, size, 3), as the network takes it; the result (size, size).
    """
    from skimage.segmentation import slic

    scaled = (crop - crop.min()) / max(float(np.ptp(crop)), 1e-6)
    # captum wants numbers from 0; scikit-image counts from 1 unless told.
    return np.asarray(slic(scaled, _SEGMENTS, compactness=10, start_label=0), np.int64)


def ridge() -> Any:
    """Ridge regression as captum takes it."""
    import torch
    from captum._utils.models.model import Model
    from sklearn.linear_model import Ridge

    # captum's own draws from the random numbers that all threads share.
    class Weighted(Model):  # type: ignore[misc]
        def fit(self, train_data: Any, **_options: Any) -> None:
            covered, scores, weight = (v.cpu().numpy() for v in train_data.dataset.tensors)
            model = Ridge(alpha=1.0).fit(covered, scores.ravel(), sample_weight=weight.ravel())
            self.coefficients = model.coef_

        def representation(self) -> torch.Tensor:
            return torch.as_tensor(self.coefficients, dtype=torch.float32)[None]

        def __call__(self, x: torch.Tensor) -> torch.Tensor:
            return x.float() @ self.representation().T

    return Weighted()
