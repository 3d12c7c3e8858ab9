"""Zones of a film: glass, thin, monolayer and thick, whatever the light."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import shapely
from tests.slides import write_pages

from napari_wbc.errors import WbcError
from napari_wbc.imaging.pyramid.opening import open_pyramid
from napari_wbc.imaging.pyramid.zones import ZONES, zones_steps
from napari_wbc.imaging.synthetic import synthetic_slide
from napari_wbc.model.progress import run

BLOCK = 480
"""Pixels of 16 red cells."""


class Strips:
    """A slide of one column a zone, each of so many fields laid over each other."""

    def __init__(self, light=1.0, columns=(0, 0.1, 1, 3)):
        fields = synthetic_slide(0, 6, shape=(BLOCK, BLOCK), scale=0.45, per_field=(0, 1))
        self.shape = (2 * BLOCK, 2 * BLOCK * len(columns))
        rows = []
        for row in range(2):
            parts = []
            for layers in columns:
                parts += [self.stacked(fields, layers, 2 * row + col) for col in range(2)]
            rows.append(np.concatenate(parts, axis=1))
        image = np.concatenate(rows) * light
        self.image = image.clip(0, 255).astype(np.uint8)

    @staticmethod
    def stacked(fields, layers, first):
        glass = np.percentile(fields[0].image.reshape(-1, 3), 90, axis=0)
        part = np.tile(glass, (BLOCK, BLOCK, 1))
        for layer in range(round(layers)):
            part = part * (fields[(first + layer) % len(fields)].image / glass).clip(0, 1)
        if 0 < layers < 1:
            part[:70] = fields[first].image[:70]
        return part

    def level_shape(self, level):
        return self.shape[0] >> level, self.shape[1] >> level

    def tiles(self, level):
        rows, cols = self.level_shape(level)
        small = cv2.resize(self.image, (cols, rows), interpolation=cv2.INTER_AREA)
        for top in range(0, rows, 256):
            for left in range(0, cols, 256):
                tile = np.zeros((256, 256, 3), np.uint8)
                part = small[top : top + 256, left : left + 256]
                tile[: part.shape[0], : part.shape[1]] = part
                yield tile


@pytest.mark.parametrize("light", [1.0, 0.7])
@pytest.mark.parametrize("levels", [1, 3])
def test_each_zone_is_found(tmp_path, light, levels):
    path = write_pages(tmp_path / "film.tif", Strips(light), levels=levels)
    with open_pyramid(path) as pyramid:
        zones = run(zones_steps(pyramid, 30.0))
    assert zones.side == BLOCK
    expected = np.repeat(np.arange(4), 2)[None].repeat(2, axis=0)
    assert np.array_equal(zones.kinds, expected), zones.kinds
    for place, zone in enumerate(ZONES):
        area = shapely.box(2 * place * BLOCK, 0, 2 * (place + 1) * BLOCK, 2 * BLOCK)
        assert shapely.equals(zones.area(zone), area)
    assert zones.share("monolayer") == pytest.approx(1 / 3)


def test_a_slide_of_glass_has_no_zones(tmp_path):
    path = write_pages(tmp_path / "glass.tif", Strips(columns=(0, 0)), levels=2)
    with open_pyramid(path) as pyramid, pytest.raises(WbcError, match="nothing but glass"):
        run(zones_steps(pyramid, 30.0))
