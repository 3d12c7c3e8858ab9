"""Square crops of many boxes at once, cut on the device that the field lies on.

Invariant: they are the crops of :func:`~napari_wbc.imaging.crop.cut_crops`, which training crops
are cut with, but for the rounding of grey levels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

_PIXELS = {"cpu": 2**18, "cuda": 2**23}
"""Pixels of the field cut out at once, some 35 bytes each: what a cache holds."""
_BANDS = 8
"""Bands of rows a crop is made in, where its size can be divided by them."""


def cut(
    field: torch.Tensor,
    boxes: npt.NDArray[np.floating],
    *,
    size: int,
    factor: float,
    fill: Sequence[float],
) -> torch.Tensor:
    """Cut a square crop around each box.

    Parameters
    ----------
    field : Tensor, shape (3, height, width), uint8 or float 0 to 1
        RGB. Quickest where channels lie last in memory.
    boxes : ndarray, shape (N, 4)
        ``(top, left, bottom, right)`` in pixels of the field; they may reach over its edge.
    size : int
        Side of the crops in pixels.
    factor : float
        Side of the square in the field; see :func:`squares`.
    fill : sequence of three float
        Colour of what lies outside the field, in its own unit.

    Returns
    -------
    Tensor, shape (N, 3, size, size), float32, 0 to 1
        On the field's device.
    """
    import torch

    height, width = field.shape[1:]
    rows = field.permute(1, 2, 0).contiguous().view(height, 3 * width)
    unit = 1.0 if field.is_floating_point() else 255.0
    outside = torch.tensor(fill, dtype=torch.float32, device=field.device)[:, None, None]
    sides, corners = squares(boxes, factor, (height, width))
    # Those of one size together: all windows of a batch are as large as the largest square.
    order = np.argsort(-sides)
    crops = torch.empty((len(boxes), 3, size, size), device=field.device)
    start = 0
    while start < len(order):
        side = sides[order[start]]
        # One square may have more pixels than fit.
        n = max(1, _PIXELS[field.device.type] // (min(side, height) * min(side, width)))
        batch = order[start : start + n]
        inside, crop = _resampled(rows, sides[batch], corners[batch], size)
        crops[torch.from_numpy(batch).to(field.device)] = (crop + (1 - inside) * outside) / unit
        start += n
    return crops


def squares(
    boxes: npt.NDArray[np.floating], factor: float, shape: tuple[int, int]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The squares of whole pixels that crops show.

    Parameters
    ----------
    boxes : ndarray, shape (N, 4)
        ``(top, left, bottom, right)`` in pixels of the field.
    factor : float
        Side as a multiple of the box's longer side.
    shape : tuple of int
        Height and width of the field; a square is at most four times as wide as the longer of them.

    Returns
    -------
    sides : ndarray, shape (N,), int64
        In pixels of the field, 2 or more.
    corners : ndarray, shape (N, 2), int64
        Rows and columns of the top left corners.
    """
    low = boxes[:, :2].astype(float)
    high = boxes[:, 2:].astype(float)
    # Rounded to even as cut_crops does, so that training and inference see the same square.
    sides = np.clip(np.rint((high - low).max(axis=1, initial=0) * factor), 2, 4 * max(shape))
    return sides.astype(np.int64), np.rint((low + high) / 2 - sides[:, None] / 2).astype(np.int64)


def _resampled(
    rows: torch.Tensor, sides: npt.NDArray[np.int64], corners: npt.NDArray[np.int64], size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """How much of each pixel lies inside, shape (N, 1, size, size), and its colour."""
    import torch

    # Around each square a window of one size is taken, wholly inside the field of shape
    # (height, 3 * width), in overlapping bands. Resampling is a matrix product down and one across,
    # since the kernel is separable.
    n = len(sides)
    bands = math.gcd(size, _BANDS)
    height = rows.shape[0]
    width = rows.shape[1] // 3
    firsts = np.arange(bands) * (size // bands) * (sides / size)[:, None]
    tall = min(math.ceil(sides.max() / bands) + 3, height)
    wide = min(int(sides.max()), width)
    top = np.clip(corners[:, :1] + np.floor(firsts).astype(np.int64) - 1, 0, height - tall)
    left = np.clip(corners[:, 1:], 0, width - wide)
    down = _kernel(top - corners[:, :1], tall, sides, size, rows.device)
    across = _kernel(left - corners[:, 1:], wide, sides, size, rows.device)[:, 0]
    # unfold makes views: only the windows that are indexed are copied.
    windows = rows.unfold(0, tall, 1).unfold(1, 3 * wide, 3)
    pixels = windows[
        torch.from_numpy(top).to(rows.device), torch.from_numpy(left).to(rows.device)
    ].float()
    narrow = (down @ pixels).view(n, size, wide, 3).permute(0, 3, 1, 2).reshape(n, 3 * size, wide)
    crops = (narrow @ across.mT).view(n, 3, size, size)
    return (down.sum(3).view(n, 1, size, 1) * across.sum(2).view(n, 1, 1, size)), crops


def _kernel(
    starts: npt.NDArray[np.int64],
    span: int,
    sides: npt.NDArray[np.int64],
    size: int,
    device: torch.device,
) -> torch.Tensor:
    """Weights of a window's pixels in those of a crop, shape (N, bands, size / bands, span)."""
    import torch

    # A pixel of the crop is as wide as side / size pixels of the square and weighs them by their
    # overlap, as OpenCV's INTER_AREA does. Where it is narrower it counts as one pixel wide, which
    # makes the weights those of INTER_LINEAR. "starts" are where windows begin in the square.
    n, bands = starts.shape
    scale = (sides / size)[:, None]
    centers = np.clip((np.arange(size) + 0.5) * scale, 0.5, sides[:, None] - 0.5).reshape(
        n, bands, -1
    )
    # Relative to the window, so that 32 bits are exact enough however large the square.
    offsets = torch.from_numpy((centers - starts[:, :, None] - 0.5).astype(np.float32)).to(device)
    wide = torch.from_numpy(np.maximum(scale, 1).astype(np.float32)).to(device)[:, :, None, None]
    distance = (offsets[..., None] - torch.arange(span, device=device)).abs_()
    return distance.neg_().add_((wide + 1) / 2).clamp_(0, 1).div_(wide)
