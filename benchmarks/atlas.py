"""Finding the field of which an image is a turned, mirrored or shifted copy.

SIFT (Lowe 2004) proposes a field, RANSAC the affine map to it; the correlation of the mapped field
with the image, where both show something, decides.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]

PROPOSED = 12
"""Fields, by votes, that are tried."""
OVERLAP = 0.2
"""Part of an image that a copy must cover to be judged."""
DETAIL = 16
"""Structures wider than this part of an image's width are light, not cells."""
FILL = 12
"""Gray value up to which a pixel may be an augmentation's black fill."""


@dataclass(slots=True)
class Atlas:
    """Fields to which turned, mirrored and shifted copies are matched; all of one size."""

    names: list[str] = field(default_factory=list)
    _grays: list[Image] = field(default_factory=list)
    _points: list[npt.NDArray[np.float32]] = field(default_factory=list)
    _descriptors: list[npt.NDArray[np.float32]] = field(default_factory=list)
    _stacked: npt.NDArray[np.float32] | None = None
    _owners: npt.NDArray[np.intp] | None = None

    def add(self, name: str, image: Image) -> None:
        """Take in a field and its mirror image."""
        for way in (image, image[:, ::-1]):
            gray = cv2.cvtColor(np.ascontiguousarray(way), cv2.COLOR_RGB2GRAY)
            points, descriptors = _features(gray)
            self.names.append(name)
            self._grays.append(gray)
            self._points.append(points)
            self._descriptors.append(descriptors)
        self._stacked = None

    def match(self, image: Image, *, besides: str = "") -> tuple[str, float]:
        """The field of which an image shows most surely a part, and their correlation; ("", 0) if none."""
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        points, descriptors = _features(gray)
        if not self.names or len(points) < 4:
            return "", 0.0
        if self._stacked is None or self._owners is None:
            self._stacked = np.vstack(self._descriptors)
            self._owners = np.repeat(np.arange(len(self.names)), [len(p) for p in self._points])
        near = descriptors @ self._stacked.T
        near[
            :, np.isin(self._owners, [i for i, name in enumerate(self.names) if name == besides])
        ] = -1
        nearest = near.argmax(axis=1)
        best = ("", 0.0)
        for owner, votes in Counter(self._owners[nearest].tolist()).most_common(PROPOSED):
            if votes >= 4:
                mine = self._owners[nearest] == owner
                first = np.searchsorted(self._owners, owner)
                r = self._correlation(
                    owner, self._points[owner][nearest[mine] - first], points[mine], gray
                )
                best = max(best, (self.names[owner], r), key=lambda pair: pair[1])
        return best

    def _correlation(
        self,
        owner: int,
        source: npt.NDArray[np.float32],
        target: npt.NDArray[np.float32],
        gray: Image,
    ) -> float:
        """Correlation of an image with a field mapped onto it; 0 where no likely map is found."""
        matrix, _ = cv2.estimateAffine2D(source, target, ransacReprojThreshold=2.0)
        if matrix is None:
            return 0.0
        stretch = np.linalg.svd(matrix[:, :2], compute_uv=False)
        if stretch.max() > 1.5 or stretch.min() < 0.67:
            return 0.0
        size = gray.shape[::-1]
        mapped = cv2.warpAffine(self._grays[owner], matrix, size)
        both = cv2.warpAffine(_shown(self._grays[owner]), matrix, size) & _shown(gray)
        valid = both > 0
        if valid.mean() < OVERLAP or min(mapped[valid].std(), gray[valid].std()) < 1:
            return 0.0
        return float(np.corrcoef(_detail(mapped, both)[valid], _detail(gray, both)[valid])[0, 1])


def _shown(gray: Image) -> Image:
    """1 where an image shows a field, 0 in and beside the black fill of an augmentation."""
    return np.asarray(
        cv2.erode((gray > FILL).astype(np.uint8), np.ones((5, 5)), borderValue=1), np.uint8
    )


def _detail(gray: Image, shown: Image) -> npt.NDArray[np.float32]:
    """An image less its surroundings, so that a vignette that all fields share correlates nothing."""
    sigma = gray.shape[1] / DETAIL
    weight = cv2.GaussianBlur(shown.astype(np.float32), (0, 0), sigma)
    mean = cv2.GaussianBlur((gray * shown).astype(np.float32), (0, 0), sigma) / np.maximum(
        weight, 1e-3
    )
    return np.asarray(gray - mean, np.float32)


def _features(gray: Image) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Points (x, y), shape (N, 2), and unit descriptors, shape (N, 128), of SIFT."""
    sift = cv2.SIFT_create(nfeatures=250, contrastThreshold=0.02)
    keypoints, descriptors = sift.detectAndCompute(gray, _shown(gray))
    if not keypoints:
        return np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32)
    unit = descriptors / np.maximum(np.linalg.norm(descriptors, axis=1, keepdims=True), 1e-6)
    return np.array([k.pt for k in keypoints], np.float32), unit.astype(np.float32)
