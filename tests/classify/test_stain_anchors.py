"""Anchors: any stain of a film is brought back to that of the reference film."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from napari_wbc.classify.stain_anchors import (
    NUCLEUS,
    RED,
    anchored,
    density_of,
    nuclei_of,
    transmitted,
)

FACTOR, SIDE = 1.35, 48
NAN = torch.full((1, 3), torch.nan)


def film(seed=0, noise=0.0):
    """Absorbance of a crop of the reference film: a nucleus, red cells around it, and glass."""
    rows, cols = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    radius = np.hypot(rows, cols)
    density = np.zeros((3, SIDE, SIDE))
    density[:, radius > 21] = np.array(RED)[:, None]
    density[:, radius < 17] = 0.3 * np.array(NUCLEUS)[:, None] + 0.2 * np.array(RED)[:, None]
    density[:, radius < 12] = np.array(NUCLEUS)[:, None]
    density += np.random.default_rng(seed).normal(0, noise, density.shape)
    return torch.tensor(density[None], dtype=torch.float32)


def stained(density, matrix):
    return torch.einsum("ij,njhw->nihw", torch.tensor(matrix, dtype=torch.float32), density)


def red_by(matrix):
    return torch.tensor(matrix, dtype=torch.float32) @ torch.tensor([RED]).mT


def test_no_crops_stay_no_crops():
    none = torch.empty(0, 3, 32, 32)
    assert nuclei_of(none, FACTOR).shape == (0, 3)
    assert anchored(none, torch.empty(0, 3), torch.empty(0, 3)).shape == none.shape


def test_absorbance_and_light_are_each_others_inverse():
    crops = torch.linspace(0.01, 1, 50).expand(1, 3, 2, 50)
    torch.testing.assert_close(transmitted(density_of(crops)), crops)
    assert density_of(torch.zeros(1)).item() == pytest.approx(2.408, abs=0.001)
    assert transmitted(torch.tensor([-1.0])).item() == 1


@pytest.mark.parametrize("factor", [1.0, 1.35, 2.0])
def test_the_nucleus_is_found_in_the_disc_of_the_cell(factor):
    torch.testing.assert_close(nuclei_of(film(), factor), torch.tensor([NUCLEUS]))


def test_a_nucleus_beside_the_cell_is_not_taken_for_its_own():
    density = film()
    density[..., :5, :5] = 2 * torch.tensor(NUCLEUS)[:, None, None]
    torch.testing.assert_close(nuclei_of(density, FACTOR), torch.tensor([NUCLEUS]))


def test_the_reference_film_stays():
    density = film(noise=0.01)
    torch.testing.assert_close(
        anchored(density, torch.tensor([RED]), torch.tensor([NUCLEUS])), density, rtol=0, atol=1e-4
    )


entries = st.floats(-0.25, 0.25)


@settings(max_examples=60, deadline=None)
@given(st.lists(entries, min_size=9, max_size=9), st.floats(0.4, 2.0))
def test_any_stain_is_brought_back_to_that_of_the_reference_film(mix, depth):
    matrix = depth * (np.eye(3) + np.array(mix).reshape(3, 3) * np.array([0.5, 0.5, 0.8])[:, None])
    density = stained(film(), matrix)
    red, nucleus = (
        red_by(matrix).mT,
        torch.tensor([NUCLEUS]) @ torch.tensor(matrix.T, dtype=torch.float32),
    )
    lie_apart = torch.linalg.cross(red, nucleus).norm() > 0.06 * red.norm() * nucleus.norm()
    assume(
        red.min() >= 0.01 and lie_apart
    )  # else the film has one colour: nothing tells its dyes apart
    torch.testing.assert_close(anchored(density, red, nucleus), film(), rtol=0, atol=2e-3)


@pytest.mark.parametrize("seed", range(5))
def test_an_ordinary_stain_is_brought_back_by_what_is_measured(seed):
    rng = np.random.default_rng(seed)
    matrix = rng.uniform(0.6, 1.5) * (np.eye(3) + rng.normal(0, 0.06, (3, 3)))
    density = stained(film(noise=0.005), matrix)
    found = anchored(density, red_by(matrix).mT, nuclei_of(density, FACTOR))
    assert (transmitted(found) - transmitted(film(noise=0.005))).abs().mean() < 0.03


def test_where_no_red_cells_were_seen_the_nucleus_is_brought_back():
    density = stained(film(), np.diag([1.3, 0.8, 1.1]))
    found = anchored(density, NAN, nuclei_of(density, FACTOR))
    assert found.isfinite().all()
    torch.testing.assert_close(nuclei_of(found, FACTOR), torch.tensor([NUCLEUS]), rtol=0, atol=1e-4)


@pytest.mark.parametrize("depth", [0.5, 2.0])
def test_unseen_red_cells_are_as_much_paler_as_the_nucleus(depth):
    density = depth * film()
    torch.testing.assert_close(
        anchored(density, NAN, depth * torch.tensor([NUCLEUS])), film(), rtol=0, atol=1e-4
    )


@pytest.mark.parametrize("red", [NAN, torch.tensor([RED])], ids=["unseen", "seen"])
def test_bare_glass_stays_bare(red):
    glass = torch.zeros(1, 3, SIDE, SIDE)
    torch.testing.assert_close(anchored(glass, red, nuclei_of(glass, FACTOR)), glass)


@pytest.mark.parametrize("red", [NAN, torch.tensor([RED])], ids=["unseen", "seen"])
def test_the_noise_of_the_camera_on_bare_glass_stays_pale(red):
    crops = (
        1
        - torch.randint(0, 3, (1, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(0)) / 255
    )
    density = density_of(crops)
    found = transmitted(anchored(density, red, nuclei_of(density, FACTOR)))
    assert found.mean() > 0.9


@pytest.mark.parametrize("level", [0.0, 1 / 255, 0.5, 0.99, 1.0])
@pytest.mark.parametrize(
    "red", [NAN, torch.zeros(1, 3), torch.full((1, 3), 0.1)], ids=["nan", "0", "grey"]
)
def test_flat_grey_and_black_crops_give_numbers(level, red):
    density = density_of(torch.full((1, 3, SIDE, SIDE), level))
    assert anchored(density, red, nuclei_of(density, FACTOR)).isfinite().all()


def test_a_film_of_one_colour_gives_numbers():
    one_color = torch.tensor([[0.3, 0.5, 0.2]])
    for red in (one_color, 0.2 * one_color, torch.full((1, 3), 0.2)):
        assert transmitted(anchored(film(), red, one_color)).isfinite().all()


def test_each_crop_is_anchored_for_itself():
    crops = torch.cat([stained(film(i, 0.02), np.diag([1, 0.7 + 0.2 * i, 1.2])) for i in range(4)])
    red = torch.cat([torch.tensor([RED]) * (1 + 0.1 * i) for i in range(3)] + [NAN])
    together = anchored(crops, red, nuclei_of(crops, FACTOR))
    for i in range(4):
        alone = anchored(crops[i : i + 1], red[i : i + 1], nuclei_of(crops[i : i + 1], FACTOR))
        torch.testing.assert_close(alone, together[i : i + 1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_absorbances_go_a_share_of_the_way(share):
    density = stained(film(), np.diag([0.7, 1.2, 0.9]))
    red, nuclei = red_by(np.diag([0.7, 1.2, 0.9])).mT[0], nuclei_of(density, FACTOR)
    whole = anchored(density, red, nuclei)
    found = anchored(density, red, nuclei, share)
    torch.testing.assert_close(found, density.lerp(whole, share), rtol=0, atol=1e-5)


def test_each_crop_has_a_share_of_its_own():
    crops = film().repeat(2, 1, 1, 1) * 1.3
    red, nuclei = torch.tensor([RED]).repeat(2, 1), nuclei_of(crops, FACTOR)
    found = anchored(crops, red, nuclei, torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(found[0], crops[0])
    assert not torch.allclose(found[1], crops[1], atol=0.01)
