"""The picture of two methods: of few slides, of none of a class, and what it says."""

from __future__ import annotations

import pytest

from napari_wbc.measure.methods import Pair, methods
from napari_wbc.measure.methods_plots import draw_methods
from napari_wbc.measure.plots import png_of


def drawn(*pairs):
    return draw_methods(pairs, methods(pairs))


@pytest.mark.parametrize(
    "pairs",
    [
        (),
        (Pair("s", "basophil", 0, 1, 0.0),),
        (Pair("s", "basophil", 1, 1, 100.0), Pair("t", "basophil", 0, 3, 1e-9)),
    ],
    ids=["none", "no cell", "far"],
)
def test_few_slides_make_a_picture(pairs):
    figure = drawn(*pairs)
    assert png_of(figure, dpi=40).startswith(b"\x89PNG")


def test_a_tenth_is_asked_of_the_common_class_only():
    pairs = []
    for i in range(9):
        pairs.append(Pair(f"s{i}", "neutrophil", 120 + i, 200, 60.0))
        pairs.append(Pair(f"s{i}", "basophil", 1, 200, 0.5))
    texts = [axis.get_title() for axis in drawn(*pairs).axes]
    assert "all slides: +3.3 %, within 10 %" in texts[1]
    assert texts[2] == "basophil: 9 of 9 within R\u00fcmke\u2019s limits"
