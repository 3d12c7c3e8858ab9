"""Tiles: they cover the image, and no small thing is cut by all of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_wbc.detect.tiled import OVERLAP, Tile, tiles_of

SIDES = st.integers(OVERLAP + 80, 1500)
LENGTHS = st.integers(1, 2500)


@pytest.mark.parametrize("shape", [(1, 1), (3, 1280), (1280, 1280)])
def test_an_image_no_longer_than_a_tile_is_one_tile(shape):
    assert list(tiles_of(shape, 1280)) == [Tile(0, 0, *shape)]


def test_a_pixel_more_makes_two_tiles():
    assert list(tiles_of((1281, 100), 1280)) == [Tile(0, 0, 1280, 100), Tile(1, 0, 1281, 100)]


def test_a_tile_is_a_part_of_the_image():
    tile = Tile(1, 20, 3, 50)
    assert (tile.rows, tile.cols) == (slice(1, 3), slice(20, 50))


def test_a_tile_is_mirrored_at_the_edges_of_the_image_alone():
    image = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    tile = Tile(0, 2, 4, 8)
    part, corner = tile.mirrored(image[tile.rows, tile.cols], image.shape, 3)
    assert part.shape == (4 + 3, 6 + 3, 3)
    assert corner.tolist() == [3, 0]
    assert (part[3:, :6] == image[:4, 2:]).all()
    assert (part[:3] == part[5:2:-1]).all()
    assert (part[:, 6:] == part[:, 5:2:-1]).all()


@given(LENGTHS, LENGTHS, SIDES)
def test_tiles_lie_inside_the_image_and_are_as_large_as_they_may_be(height, width, side):
    for tile in tiles_of((height, width), side):
        assert 0 <= tile.top < tile.bottom <= height
        assert 0 <= tile.left < tile.right <= width
        assert tile.bottom - tile.top == min(side, height)
        assert tile.right - tile.left == min(side, width)


@given(st.data(), LENGTHS, LENGTHS, SIDES)
def test_every_rectangle_up_to_the_overlap_lies_wholly_in_one_tile(data, height, width, side):
    rows, cols = (data.draw(st.integers(1, min(n, OVERLAP))) for n in (height, width))
    top, left = data.draw(st.integers(0, height - rows)), data.draw(st.integers(0, width - cols))
    assert any(
        tile.top <= top
        and top + rows <= tile.bottom
        and tile.left <= left
        and left + cols <= tile.right
        for tile in tiles_of((height, width), side)
    )


@given(st.integers(1, 4000), st.integers(OVERLAP + 1, 1500))
def test_there_are_no_more_tiles_than_needed(length, side):
    count = len(list(tiles_of((1, length), side)))
    reach = side + (count - 2) * (side - OVERLAP)  # of one tile less
    assert count == 1 or reach < length
