"""Baselines without a network: naive Bayes and a support vector machine on pixels."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax
from sklearn.decomposition import PCA
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from napari_wbc.errors import WbcError

__all__ = ["PixelBaseline"]

_COMPONENTS = 64
"""Principal components the SVM sees; on all pixels it would take many times as long."""


class PixelBaseline:
    """A classifier of scikit-learn on the pixels of small crops.

    Fitting draws no random numbers: the same crops give the same classifier.

    Parameters
    ----------
    kind : str
        ``naive_bayes``: a Gaussian for each pixel, channel and class.
        ``svm``: a support vector machine with radial basis functions (C = 10) on the 64 largest
        principal components. Its "probabilities" are the softmax of its decision function; they
        rank classes as it does, and :func:`~napari_wbc.classify.calibrate.temperature` makes them
        honest.
    side : int
        Crops are reduced by area to this many pixels a side.

    Raises
    ------
    WbcError
        If there is no such kind, or the side is below 1.

    Examples
    --------
    >>> crops = np.stack([np.full((48, 48, 3), grey, np.uint8) for grey in (20, 30, 220, 230)])
    >>> baseline = PixelBaseline("svm", side=8).fit(crops, np.array([0, 0, 1, 1]))
    >>> baseline.log_probabilities(crops).argmax(axis=1)
    array([0, 0, 1, 1])
    """

    def __init__(self, kind: Literal["naive_bayes", "svm"], side: int = 24) -> None:
        if kind not in ("naive_bayes", "svm"):
            raise WbcError(f"No baseline {kind!r}; choose one of: naive_bayes, svm.")
        if side < 1:
            raise WbcError(f"Crops cannot be reduced to a side of {side} pixels; choose 1 or more.")
        self.kind = kind
        self.side = side
        self.n_classes = 0

    def fit(
        self,
        crops: npt.NDArray[np.uint8],
        labels: npt.NDArray[np.integer],
        *,
        n_classes: int | None = None,
    ) -> PixelBaseline:
        """Learn from labelled crops.

        Parameters
        ----------
        crops : ndarray, shape (N, S, S, 3), uint8
            RGB.
        labels : ndarray, shape (N,), int
            Class indices from 0.
        n_classes : int, optional
            Number of classes, should the last of them have no crop; else the largest label tells.

        Returns
        -------
        PixelBaseline
            Itself.

        Raises
        ------
        WbcError
            If crops and labels differ in number, or fewer than two classes have crops, or a label
            is outside the classes.
        """
        if len(crops) != len(labels):
            raise WbcError(f"{len(crops)} crops have {len(labels)} labels; give each its own.")
        present = np.unique(labels)
        if len(present) < 2:
            raise WbcError(f"A baseline needs crops of two classes or more, not of {len(present)}.")
        n = int(present[-1]) + 1 if n_classes is None else n_classes
        if present[0] < 0 or present[-1] >= n:
            raise WbcError(
                f"Labels from {present[0]} to {present[-1]} do not fit {n} classes, 0 to {n - 1}."
            )
        pixels = self._pixels(crops)
        if self.kind == "naive_bayes":
            # Bare glass hardly varies: the default of 1e-9 would let its noise decide.
            self._model = GaussianNB(var_smoothing=1e-3)
        else:
            components = PCA(min(_COMPONENTS, *pixels.shape), svd_solver="covariance_eigh")
            self._model = make_pipeline(components, SVC(C=10.0, gamma="scale"))
        self._model.fit(pixels, labels)
        self.n_classes = n
        return self

    def log_probabilities(self, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
        """Logarithms of the classes' probabilities.

        Parameters
        ----------
        crops : ndarray, shape (N, S, S, 3), uint8
            RGB.

        Returns
        -------
        ndarray, shape (N, n_classes), float64
            At most 0; minus infinity for classes without a crop in training.

        Raises
        ------
        WbcError
            If nothing has been learnt yet.
        """
        if not self.n_classes:
            raise WbcError("The baseline has learnt nothing yet; fit it first.")
        result = np.full((len(crops), self.n_classes), -np.inf)
        if len(crops):
            result[:, self._model.classes_] = self._scores(self._pixels(crops))
        return result

    def _scores(self, pixels: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        if self.kind == "naive_bayes":
            return np.asarray(self._model.predict_log_proba(pixels))
        margins = self._model.decision_function(pixels)
        if margins.ndim == 1:  # two classes have one margin, that of the second
            margins = np.stack([np.zeros_like(margins), margins], axis=1)
        return np.asarray(log_softmax(margins, axis=1))

    def _pixels(self, crops: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Pixels of the reduced crops, shape (N, side * side * 3), 0 to 1."""
        size = self.side, self.side
        small = [cv2.resize(crop, size, interpolation=cv2.INTER_AREA) for crop in crops]
        pixels: npt.NDArray[np.float32] = np.stack(small).reshape(len(crops), -1).astype(np.float32)
        return pixels / np.float32(255)
