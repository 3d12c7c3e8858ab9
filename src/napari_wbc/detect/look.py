"""What is seen in one window of a field, before what several windows saw is put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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
