"""Numbers, rings and names that a set gives, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.files.json_fields import number
from napari_wbc.storage.formats.reading import area_of, naming, outline_of

SQUARE = np.array([[0.0, 0], [4, 0], [4, 4], [0, 4]])


@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "1e999", "1_000"])
def test_what_is_no_finite_number_is_refused(text):
    with pytest.raises(WbcError, match="no finite number"):
        number(text)
    assert number(" -1.5e2 ") == -150


def test_the_largest_ring_is_the_outline_closed_or_not():
    small = SQUARE[:3] + 100
    for ring in (SQUARE, np.concatenate([SQUARE, SQUARE[:1]])):
        outline = outline_of([small, ring])
        assert outline.vertices == ((0, 0), (0, 4), (4, 4), (4, 0))
    assert area_of(SQUARE + 1e9) == 16
    with pytest.raises(WbcError, match="fewer than 3 points"):
        outline_of([SQUARE[:2]])
    assert outline_of([SQUARE, SQUARE[:2]]).vertices == ((0, 0), (0, 4), (4, 4), (4, 0))


@pytest.mark.parametrize("error", [WbcError("odd"), OSError("odd")])
def test_an_error_names_the_file(error):
    with pytest.raises(ReadError, match=r"a\.json: odd"), naming("a.json"):
        raise error
