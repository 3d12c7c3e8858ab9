"""The largest field of any kind takes a bounded memory, or is refused before it is decoded."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_wbc.errors import ReadError
from napari_wbc.imaging.read import read_image
from napari_wbc.imaging.rgb import Stored, rgb8

SIDE = 3000
CODE = """
import json, resource, sys
from napari_wbc.imaging.read import read_image
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
read_image(sys.argv[1])
print(json.dumps((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024))
"""


def test_pixels_of_64_bits_are_refused_where_they_would_fill_the_memory(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((20, 30, 3)), photometric="rgb")
    assert read_image(path).shape == (20, 30, 3)
    with pytest.raises(ReadError, match="pixels of the type float64"):
        read_image(path, max_pixels=20 * 30)


@pytest.mark.skipif(sys.platform != "linux", reason="kilobytes are Linux's unit")
def test_a_palette_takes_no_more_than_its_rgb_a_few_times(tmp_path):
    image = Image.new("P", (SIDE, SIDE))
    image.putpalette([1, 2, 3] * 256)
    image.save(tmp_path / "a.png")
    done = subprocess.run(
        [sys.executable, "-c", CODE, tmp_path / "a.png"], capture_output=True, check=True
    )
    # Sums in floating point over the whole field took thirteen times as much.
    assert json.loads(done.stdout) < 6 * 3 * SIDE**2


@pytest.mark.parametrize("kind", ["alpha", "float"])
def test_sums_take_no_memory_beside_the_field(kind):
    rng = np.random.default_rng(0)
    if kind == "alpha":
        pixels = Stored(
            rng.integers(0, 255, (1500, 1500, 3), np.uint8),
            rng.integers(0, 255, (1500, 1500), np.uint8),
        )
    else:
        pixels = Stored(rng.random((1500, 1500, 3), np.float32))
    tracemalloc.start()
    result = rgb8(pixels)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < result.nbytes + 25e6
    # The same as over the whole field at once.
    if kind == "float":
        assert (result == np.round(pixels.colors * 255)).all()
