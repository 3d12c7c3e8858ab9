"""Painting in optical density."""

from __future__ import annotations

import numpy as np
import pytest

from napari_wbc.imaging.painter import LOOKS, Body, Canvas, draw_leukocyte, draw_red_cell


def canvas(shape: tuple[int, int] = (160, 180)) -> Canvas:
    return Canvas(np.random.default_rng(0), shape, 1.0)


def test_a_body_without_waves_is_a_circle() -> None:
    outline = Body((40.0, 50.0), 10.0, ()).outline()
    radii = np.hypot(*(outline.array() - (40, 50)).T)
    np.testing.assert_allclose(radii, 10)


def test_noise_has_mean_0_and_spread_1() -> None:
    noise = canvas().noise(np.zeros((400, 400), np.float32), 3)
    assert noise.mean() == pytest.approx(0, abs=0.1)
    assert noise.std() == pytest.approx(1, abs=0.1)


def test_dots_are_from_0_to_1() -> None:
    dots = canvas().dots(np.zeros((100, 100), np.float32), 0.01, 2)
    assert dots.min() >= 0
    assert 0.5 < dots.max() <= 1


def test_a_body_at_the_border_is_drawn_inside_the_field() -> None:
    field = canvas()
    draw_red_cell(field, Body((0.0, 180.0), 30.0, ()))
    assert field.density[:20, -20:].min() > 0
    assert not field.density[60:].any()


@pytest.mark.parametrize("name", LOOKS)
def test_a_nucleus_lies_inside_its_cell_and_is_darker(name: str) -> None:
    field = canvas()
    window, nucleus = draw_leukocyte(field, LOOKS[name], Body((80.0, 90.0), 50.0, ()))
    assert nucleus.any()
    assert (window.depth[nucleus] > 0).all()
    density = field.density[window.where].sum(axis=2)
    assert density[nucleus].mean() > density[(window.depth > 3) & ~nucleus].mean()
