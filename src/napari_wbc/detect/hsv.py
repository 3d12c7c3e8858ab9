"""First working version: the public names are stable, the numbers are still being tuned."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy import ndimage as ndi

from napari_wbc.detect.base import Detector, RgbImage
from napari_wbc.imaging.stain import absorbance, checked_rgb, nucleus_map
from napari_wbc.model.cell import Detection
from napari_wbc.model.geometry import BBox, Outline

ANGLES = 48
RADII = 48


@dataclass(frozen=True)
class NucleusParameters:
    sensitivity: float = 0.5
    reach: float = 1.0
    split: float = 0.5
    smallest: float = 0.35
    red_cell: float = 0.0


P = dict(a=0.22, b=0.12, m0=2.2, m1=2.0, amb=0.3, edge=0.5, bias=0.0, smooth=0.1, lowt=0.45, pow=1.0, reach=1.9, tfrac=0.4, tmin=0.08, tred=1.35)


@dataclass(frozen=True)
class _Field:
    total: npt.NDArray
    nuclei: npt.NDArray
    cellness: npt.NDArray
    threshold: float
    level: float
    red_nuclei: float
    diameter: float
    scale: float


def _red_model(density, total, nuclei, cut):
    ok = total > 0.06
    level = float(np.median(total[ok])) if ok.sum() > 50 else 0.3
    near = cv2.dilate((nuclei > cut).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    fg = (total > 0.5 * level) & ~near
    if fg.sum() < 50:
        return level, np.array([0.25, 0.45]), np.diag([0.02, 0.02]), fg
    level = float(np.median(total[fg]))
    t = np.maximum(total[fg], 0.3 * level)
    c = density[fg][:, :2] / t[:, None]
    mean = np.median(c, axis=0)
    cov = np.cov((c - mean).T) + 1e-4 * np.eye(2)
    for _ in range(2):
        m = np.einsum("ni,ij,nj->n", c - mean, np.linalg.inv(cov), c - mean)
        keep = m < 6
        mean = c[keep].mean(axis=0)
        cov = np.cov((c[keep] - mean).T) * 1.3 + 4e-4 * np.eye(2)
    return level, mean, cov, fg


def _diameter(total, level, near):
    fg = total > 0.45 * level
    filled = ndi.binary_fill_holes(fg)
    d = cv2.distanceTransform(filled.astype(np.uint8), cv2.DIST_L2, 3)
    peak = (d == cv2.dilate(d, np.ones((7, 7), np.uint8))) & (d > 2) & ~near
    peak[:2] = peak[-2:] = False
    v = np.sort(d[peak])
    v = v[np.isfinite(v)]
    if len(v) < 4:
        return 0.0
    w = np.cumsum(v**2)
    return float(2 * v[np.searchsorted(w, 0.5 * w[-1])])


def _field(image, longest=480):
    h, w = image.shape[:2]
    scale = max(min(1.0, longest / max(h, w)), 0.25)
    work = image if scale == 1 else cv2.resize(image, (max(1, round(w * scale)), max(1, round(h * scale))), interpolation=cv2.INTER_AREA)
    dark = cv2.erode(work.max(axis=2), np.ones((3, 3), np.uint8)) < 60
    density = absorbance(cv2.GaussianBlur(work, (0, 0), 0.9))
    density = np.clip(density, -0.02, 2)
    density[dark] = 0
    total = density.sum(axis=2)
    nuclei = cv2.GaussianBlur(nucleus_map(density), (0, 0), 1.0)
    hi = min(float(np.percentile(nuclei, 99.5)), 0.7)
    level, mean, cov, fg = _red_model(density, total, nuclei, 0.4 * hi)
    r = float(np.median(nuclei[fg])) if fg.any() else 0.0
    spread = float(np.percentile(nuclei[fg], 90)) if fg.any() else 0.0
    threshold = max(P["tmin"], r + P["tfrac"] * (hi - r), min(P["tred"] * spread, 0.8 * hi))
    near = cv2.dilate((nuclei > threshold).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    diameter = _diameter(total, level, near)
    fgness = np.clip((total - P["a"] * level) / (P["b"] * level), -1, 1)
    smooth = cv2.GaussianBlur(density, (0, 0), 1.5)
    st = smooth.sum(axis=2)
    c = smooth[..., :2] / np.maximum(st, 0.3 * level)[..., None] - mean
    m = np.sqrt(np.maximum(np.einsum("hwi,ij,hwj->hw", c, np.linalg.inv(cov), c), 0))
    tint = np.clip((m - P["m0"]) / P["m1"], -1, 1)
    pale = np.clip((P["lowt"] + 0.2 - st / level) / 0.2, 0, 1)
    dark_ = np.clip((nuclei - r) / (threshold - r), 0, 1)
    tint = np.maximum(tint, P["amb"] * pale)
    tint = np.maximum(tint, 2 * dark_ - 1)
    cellness = np.minimum(fgness, tint).astype(np.float32)
    return _Field(total.astype(np.float32), nuclei, cellness, threshold, level, r, diameter, scale)


def _radial(field, cellness, own, center, reach):
    cy, cx = center
    theta = np.arange(ANGLES) * 2 * np.pi / ANGLES
    step = reach / RADII
    r = (np.arange(RADII) + 0.5) * step
    my = (cy + np.sin(theta)[:, None] * r).astype(np.float32)
    mx = (cx + np.cos(theta)[:, None] * r).astype(np.float32)
    c = cv2.remap(cellness, mx, my, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=-0.1)
    o = cv2.remap(own, mx, my, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    tot = cv2.remap(field.total, mx, my, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) / field.level
    c = np.where(o > 0.5, 1.0, c)
    inner = np.where(o > 0.5, np.arange(1, RADII + 1), 0).max(axis=1) - 1
    gain = np.cumsum((c - P["bias"]) * (r / reach) ** P["pow"], axis=1)
    nxt = np.pad(tot, ((0, 0), (0, 2)), mode="edge")[:, 2:]
    prv = np.pad(tot, ((0, 0), (1, 0)), mode="edge")[:, :-1]
    gain += P["edge"] * np.clip(np.abs(nxt - prv), 0, 1)
    gain[np.arange(RADII)[None] < inner[:, None]] -= 1e3
    pad = 3
    best = np.zeros(RADII)
    back = []
    wraps = 3 * ANGLES
    for k in range(wraps):
        padded = np.pad(best, pad, constant_values=-1e9)
        shifted = np.stack([padded[pad + d: pad + d + RADII] - P["smooth"] * d**2 for d in range(-pad, pad + 1)])
        arg = shifted.argmax(axis=0)
        back.append(arg - pad)
        best = shifted.max(axis=0) + gain[k % ANGLES]
    k = int(best.argmax())
    path = np.empty(wraps, int)
    for t in range(wraps - 1, -1, -1):
        path[t] = k
        k = min(max(k + back[t][k], 0), RADII - 1)
    rad = (path[ANGLES:2 * ANGLES] + 1) * step
    rad = (np.roll(rad, 1) + 2 * rad + np.roll(rad, -1)) / 4
    return np.stack([cy + np.sin(theta) * rad, cx + np.cos(theta) * rad], axis=1)


def _detection(vertices, scale, shape, score=1.0):
    v = (vertices + 0.5) / scale
    v[:, 0] = np.clip(v[:, 0], 0, shape[0]); v[:, 1] = np.clip(v[:, 1], 0, shape[1])
    outline = Outline.from_array(v)
    return Detection(outline.bbox, outline, score)


def _outline(field, labels, members):
    own = np.isin(labels, members)
    ys, xs = np.nonzero(own)
    hull = cv2.convexHull(np.stack([xs, ys], 1).astype(np.int32))
    m = cv2.moments(hull)
    cy, cx = (m["m01"] / m["m00"], m["m10"] / m["m00"]) if m["m00"] > 0 else (ys.mean(), xs.mean())
    cellness = field.cellness.copy()
    cellness[(labels > 0) & ~own] = -1
    rad = np.hypot(ys - cy, xs - cx).max()
    return _radial(field, cellness, own.astype(np.float32), (cy, cx), rad * P["reach"] + 3)


def locate_one(image: RgbImage, detector: Detector | None = None) -> Detection | None:
    image = checked_rgb(image)
    h, w = image.shape[:2]
    if min(h, w) < 8:
        return None
    f = _field(image, 300)
    H, W = f.nuclei.shape
    yy, xx = np.mgrid[:H, :W]
    central = np.hypot((yy - H / 2) / H, (xx - W / 2) / W)
    top = float(np.percentile(f.nuclei[central < 0.12], 95))
    if top < max(0.08, 1.3 * f.red_nuclei):
        return None
    mask = (f.nuclei > max(0.06, f.red_nuclei + 0.4 * (min(top, 0.6) - f.red_nuclei))).astype(np.uint8)
    n, lab, st, cen = cv2.connectedComponentsWithStats(mask)
    ids = [i for i in range(1, n) if st[i, 4] >= 6]
    if not ids:
        return None

    def cost(i):
        d = central[lab == i].min()
        return d + 0.5 * np.hypot((cen[i][1] - H / 2) / H, (cen[i][0] - W / 2) / W) - 0.05 * np.log(st[i, 4])

    first = min(ids, key=cost)
    members = [first]
    own = lab == first
    grown = True
    left = [i for i in ids if i != first and st[i, 4] >= 12]
    while grown:
        grown = False
        dist = cv2.distanceTransform((~own).astype(np.uint8), cv2.DIST_L2, 3)
        size = np.sqrt(own.sum())
        for i in list(left):
            d = float(dist[lab == i].min())
            if d <= max(2.5, 0.22 * size) and st[i, 4] > 0.04 * own.sum():
                own |= lab == i; members.append(i); left.remove(i); grown = True
    return _detection(_outline(f, lab, members), f.scale, (h, w))
