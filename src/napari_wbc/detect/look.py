"""What is seen in one window of a field, before what several windows saw is put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely

from napari_wbc.model.cell import Detection


@dataclass(frozen=True, slots=True)
class Look:
    """What a network sees in one window at one scale.

    Parameters
    ----------
    boxes : ndarray, shape (N, 4), float64
        (top, left, bottom, right) in pixels of the field.
    labels : ndarray, shape (N,), int
        From 1.
    scores : ndarray, shape (N,), float32
        0 to 1.
    masks : ndarray, shape (N, 28, 28), float32
        Probability of each place of a box.
    """

    boxes: npt.NDArray[np.float64]
    labels: npt.NDArray[np.int_]
    scores: npt.NDArray[np.float32]
    masks: npt.NDArray[np.float32]

    @classmethod
    def nothing(cls) -> Look:
        """Of a window without a cell, or of a finder without a network."""
        masks = np.zeros((0, 28, 28), np.float32)
        return cls(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0, np.float32), masks)

    @classmethod
    def joined(cls, looks: Sequence[Look]) -> Look:
        """Several looks as one, in their order."""
        looks = looks or [cls.nothing()]
        return cls(
            np.concatenate([look.boxes for look in looks]),
            np.concatenate([look.labels for look in looks]),
            np.concatenate([look.scores for look in looks]),
            np.concatenate([look.masks for look in looks]),
        )

    def part(self, kept: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> Look:
        """Some of what is seen, by a mask or by places."""
        return Look(self.boxes[kept], self.labels[kept], self.scores[kept], self.masks[kept])


def nested(
    boxes: npt.NDArray[np.float64], kinds: npt.NDArray[np.int_], share: float
) -> npt.NDArray[np.bool_]:
    """Which boxes lie within a surer one of their kind, shape (N,).

    Parameters
    ----------
    boxes : ndarray, shape (N, 4)
        (top, left, bottom, right), the surest first.
    kinds : ndarray, shape (N,)
        Class of each.
    share : float
        Of a box that lies within the other at least, 0 to 1.

    Examples
    --------
    >>> boxes = np.array([[0, 0, 9, 9], [0, 5, 4, 9], [0, 20, 4, 24.0]])
    >>> nested(boxes, np.array([1, 1, 1]), 0.8).tolist()
    [False, True, False]
    """
    shapes = shapely.box(boxes[:, 0], boxes[:, 1], boxes[:, 2], boxes[:, 3])
    # Only those that meet: a mosaic has thousands of red cells, and millions of pairs.
    inner, outer = shapely.STRtree(shapes).query(shapes)
    surer = (outer < inner) & (kinds[outer] == kinds[inner])
    inner, outer = inner[surer], outer[surer]
    low = np.maximum(boxes[inner, :2], boxes[outer, :2])
    high = np.minimum(boxes[inner, 2:], boxes[outer, 2:])
    common = np.clip(high - low, 0, None).prod(axis=1)
    areas = (boxes[inner, 2:] - boxes[inner, :2]).prod(axis=1)
    within = np.zeros(len(boxes), bool)
    within[inner[common >= share * areas]] = True
    return within


@dataclass(frozen=True, slots=True)
class Seen:
    """What a cell finder sees in one window.

    Parameters
    ----------
    look : Look
        What its network sees.
    coloured : tuple of Detection
        What colour finds, in pixels of the field.
    """

    look: Look
    coloured: tuple[Detection, ...] = ()

    @classmethod
    def joined(cls, seen: Sequence[Seen]) -> Seen:
        """What is seen in several windows, in their order."""
        coloured: list[Detection] = []
        for one in seen:
            coloured += one.coloured
        return cls(Look.joined([one.look for one in seen]), tuple(coloured))
