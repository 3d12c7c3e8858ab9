"""Stains of training films: of drawn absorbances whose distribution is known."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from napari_wbc.classify.familiarity import PREFIX, Familiarity, parted
from napari_wbc.classify.known_stains import KnownStains

RNG = torch.Generator().manual_seed(0)
N = 600
LABORATORIES = torch.arange(2).repeat(N // 2)
CLASSES = torch.arange(N) // 2 % 3
CENTRES = torch.tensor([[0.09, 0.13, 0.08, 0.49, 0.79, 0.20], [0.03, 0.04, 0.04, 0.14, 0.16, 0.02]])
DARKER = torch.tensor([0.0, 0.0, 0.0, 0.1, 0.1, 0.02])
UNSEEN = torch.tensor([float("nan")] * 3 + [0.0] * 3)


def drawn() -> torch.Tensor:
    """Stains of two laboratories; nuclei of some classes are darker."""
    noise = torch.randn((N, 6), generator=RNG) * 0.02
    return CENTRES[LABORATORIES] + CLASSES[:, None] * DARKER + noise


@pytest.fixture(scope="module")
def stains() -> KnownStains:
    return KnownStains.of(drawn(), CLASSES, LABORATORIES, drawn())


def test_two_validation_cells_in_a_hundred_are_beyond(stains):
    assert len(stains.means) == 6
    assert 0.005 < (stains.excess(drawn()) > 0).float().mean() < 0.045


def test_a_film_of_another_stain_is_beyond(stains):
    between = CENTRES.mean(0, keepdim=True)
    pink = CENTRES[:1] * torch.tensor([1.0, 2.0, 1.0, 1.0, 1.0, 1.0])
    assert (stains.excess(torch.cat([between, pink])) > 0.3).all()


def test_a_film_that_is_a_tenth_darker_is_not_beyond(stains):
    assert (stains.excess(CENTRES * 1.1) == 0).all()


def test_one_film_in_training_leaves_room_for_the_next():
    narrow = CENTRES[:1] + torch.randn((N, 6), generator=RNG) * 1e-4
    known = KnownStains.of(narrow, torch.zeros(N), torch.zeros(N), CENTRES[:1] * 1.1)
    assert known.distance(CENTRES[:1] * 1.05) < 2


def test_red_cells_that_are_not_seen_say_nothing(stains):
    own = CENTRES + UNSEEN
    assert (stains.excess(own) == 0).all()
    narrow = KnownStains.of(drawn() + UNSEEN, CLASSES, LABORATORIES, own)
    magenta = CENTRES + torch.tensor([0.5, 0.9, 0.5, 0.0, 0.0, 0.0])
    assert torch.equal(narrow.distance(magenta), narrow.distance(CENTRES))


def test_what_is_beyond_is_added_to_the_unlikeness_of_features(stains):
    features = torch.randn((N, 3), generator=RNG)
    plain = Familiarity.of(features, CLASSES, features)
    known = dataclasses.replace(plain, stains=stains)
    odd = drawn() + 0.4
    torch.testing.assert_close(
        known.unlikeness(features, odd), plain.unlikeness(features, odd) + stains.excess(odd)
    )
    _network, back = parted(known.tensors())
    assert torch.equal(back.unlikeness(features, odd), known.unlikeness(features, odd))


@pytest.mark.parametrize(
    "damage",
    [
        {"stain_means": torch.zeros(6)},
        {"stain_means": torch.zeros(0, 6)},
        {"stain_means": torch.zeros(6, 5)},
        {"stain_precision": torch.zeros(6, 6)},
        {"stain_limit": torch.tensor(float("inf"))},
    ],
)
def test_damaged_stains_are_refused(stains, damage):
    features = torch.randn((N, 3), generator=RNG)
    known = dataclasses.replace(Familiarity.of(features, CLASSES, features), stains=stains)
    tensors = {**known.tensors(), **{f"{PREFIX}{name}": value for name, value in damage.items()}}
    with pytest.raises(ValueError, match="damaged"):
        parted(tensors)
    del tensors[f"{PREFIX}stain_limit"]
    with pytest.raises(KeyError):
        parted(tensors)


def test_a_few_cells_of_a_new_film_make_its_stain_known(stains):
    green = CENTRES[:1] * torch.tensor([0.5, 1.5, 1.0, 1.0, 0.6, 1.5])
    film = green + torch.randn((25, 6), generator=RNG) * 0.02
    assert (stains.excess(film) > 0.3).all()
    extended = stains.extended(film, torch.arange(25) % 3, torch.zeros(25))
    assert len(extended.means) == len(stains.means) + 3
    more = green + torch.randn((25, 6), generator=RNG) * 0.02
    assert (extended.excess(more) > 0).float().mean() < 0.1
    assert (stains.excess(more) > 0.3).all()
