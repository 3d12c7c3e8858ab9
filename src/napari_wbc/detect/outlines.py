"""Masks to outlines.

Invariant: an outline drawn from a mask's probabilities is star-shaped around its middle, so it
never crosses itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from napari_wbc.imaging.stain import Float64
from napari_wbc.model.geometry import BBox, Outline

VERTICES = 48
"""Of an outline drawn from probabilities."""
_STEPS = 64
"""Places on each ray where probability is read."""
_TURN = np.arange(VERTICES) * (2 * np.pi / VERTICES)
_RAYS = np.stack([np.sin(_TURN), np.cos(_TURN)], axis=-1)


def traced(mask: npt.NDArray[np.uint8]) -> Float64:
    """Outline of a mask in pixel edges, shape (16 to 64, 2), (row, col).

    The mask is uint8: one component above 0, with a margin of 0.
    """
    # OpenCV's contours run through the middles of pixels; of a mask of twice the size they run a
    # quarter of a pixel inside the edges.
    double = mask.repeat(2, axis=0).repeat(2, axis=1)
    (contour, *_), _ = cv2.findContours(double, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    points = contour.reshape(-1, 2)[:, ::-1] / 2 + 0.25
    lengths = np.hypot(*np.diff(points, axis=0, append=points[:1]).T)
    at = np.concatenate([[0], np.cumsum(lengths)])
    vertices = np.linspace(0, at[-1], int(np.clip(len(points) // 4, 16, 64)), endpoint=False)
    closed = np.vstack([points, points[:1]])
    rows = np.interp(vertices, at, closed[:, 0])
    cols = np.interp(vertices, at, closed[:, 1])
    return np.stack([rows, cols], axis=-1)


def mask_outline(mask: npt.NDArray[np.float32], box: BBox) -> Outline:
    """Smooth outline of the part of a box where a mask is likelier than not.

    Parameters
    ----------
    mask : ndarray, shape (rows, cols), float32
        Probability of each place of the box, 0 to 1.
    box : BBox
        Where the mask lies, in pixels of the field.

    Returns
    -------
    Outline
        48 vertices, on rays from the middle of the mask, inside the box; an ellipse where the
        mask is nowhere likely.

    Examples
    --------
    >>> outline = mask_outline(np.ones((28, 28), np.float32), BBox(10, 10, 30, 50))
    >>> len(outline.vertices), outline.bbox.iou(BBox(10, 10, 30, 50)) > 0.95
    (48, True)
    """
    shape = np.array(mask.shape)
    if mask.max() <= 0.5:
        rows, cols = ((2 * np.arange(n) + 1) / n - 1 for n in shape)
        mask = (1.5 - np.hypot(rows[:, None], cols)).astype(np.float32)
    _, labels, stats, _ = cv2.connectedComponentsWithStats((mask > 0.5).astype(np.uint8))
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    places = np.argwhere(labels == largest)
    center = places.mean(axis=0)
    # Other parts of the mask are another cell's, or noise; what surrounds the largest stays, since
    # its values say where between two pixels the edge lies.
    alone = np.where((labels == largest) | (mask <= 0.5), mask, 0).astype(np.float32)
    reach = _reach(center, shape - 0.5)
    steps = (np.arange(_STEPS) + 0.5) / _STEPS
    at = (center + _RAYS[:, None] * (reach[:, None] * steps)[..., None]).astype(np.float32)
    x = np.ascontiguousarray(at[..., 1])
    y = np.ascontiguousarray(at[..., 0])
    values = cv2.remap(alone, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    radii = reach * _crossing(values)
    # Neighbouring rays smooth each other: 28 x 28 pixels make steps.
    radii = (np.roll(radii, 1) + 2 * radii + np.roll(radii, -1)) / 4
    ring = (center + _RAYS * np.minimum(radii, reach)[:, None] + 0.5) / shape
    return Outline.from_array(ring * [box.height, box.width] + [box.top, box.left])


def shown_part(
    mask: npt.NDArray[np.float32], box: Float64, shape: Sequence[int]
) -> tuple[npt.NDArray[np.float32], Float64]:
    """The part of a mask and of its box that a field shows.

    Parameters
    ----------
    mask : ndarray, shape (rows, cols), float32
        Probability of each place of the box, 0 to 1.
    box : ndarray, shape (4,), float64
        (top, left, bottom, right) in pixels of the field; it may reach over the field's edges.
    shape : sequence of int
        Height and width of the field.

    Returns
    -------
    mask : ndarray, shape (rows, cols), float32
        Of the part that is shown, as large as before.
    box : ndarray, shape (4,), float64
        The part that is shown; one of no height or width where nothing is.
    """
    shown = np.clip(box, 0, [*shape[:2], *shape[:2]])
    if (shown == box).all() or (shown[2:] <= shown[:2]).any():
        return mask, shown
    sides = np.array(mask.shape)
    start = (shown[:2] - box[:2]) / (box[2:] - box[:2]) * sides
    step = (shown[2:] - shown[:2]) / (box[2:] - box[:2])
    rows, cols = (start[i] + (np.arange(sides[i]) + 0.5) * step[i] - 0.5 for i in range(2))
    x, y = np.meshgrid(cols.astype(np.float32), rows.astype(np.float32))
    part = cv2.remap(mask, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(part, np.float32), shown


def _reach(center: Float64, high: Float64) -> Float64:
    """How far each ray goes from a centre to the rectangle from -0.5 to ``high``."""
    with np.errstate(divide="ignore", invalid="ignore"):
        distances = np.where(_RAYS > 0, (high - center) / _RAYS, (-0.5 - center) / _RAYS)
    # A ray along an axis never leaves by the sides that it runs beside.
    distances = np.where(np.abs(_RAYS) < 1e-9, np.inf, distances)
    return np.asarray(distances.min(axis=1))


def _crossing(values: npt.NDArray[np.float32]) -> Float64:
    """Where each ray leaves the mask for the last time, as a share of its reach."""
    inside = values > 0.5
    last = np.where(inside, np.arange(_STEPS), 0).max(axis=1)
    rays = np.arange(len(values))
    inner = values[rays, last]
    outer = values[rays, np.minimum(last + 1, _STEPS - 1)]
    between = np.clip((inner - 0.5) / np.maximum(inner - outer, 1e-6), 0, 1)
    return np.where(last == _STEPS - 1, 1.0, (last + 0.5 + between) / _STEPS)
