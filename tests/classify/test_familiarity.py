"""Unlikeness: of features whose distribution is known."""

from __future__ import annotations

import pytest
import torch

from napari_wbc.classify.familiarity import PREFIX, Familiarity, parted

RNG = torch.Generator().manual_seed(0)
NO_STAINS = torch.empty(0, 6)
LABELS = torch.arange(3).repeat(400)
CENTRES = torch.tensor([[0.0, 0, 0, 0], [8.0, 0, 0, 0], [0, 8.0, 0, 0]])


def drawn() -> torch.Tensor:
    return CENTRES[LABELS] + torch.randn((1200, 4), generator=RNG)


@pytest.fixture(scope="module")
def familiarity() -> Familiarity:
    return Familiarity.of(drawn(), LABELS, drawn())


def test_distance_is_mahalanobis_to_the_nearest_group(familiarity: Familiarity) -> None:
    away = CENTRES + torch.tensor([0, 0, 3.0, 4.0])
    torch.testing.assert_close(familiarity.distance(away), torch.full((3,), 5.0), rtol=0.1, atol=0)


def test_two_validation_cells_in_a_hundred_are_unlike(familiarity: Familiarity) -> None:
    assert 0.01 < (familiarity.unlikeness(drawn(), NO_STAINS) > 1).float().mean() < 0.035
    assert (familiarity.unlikeness(CENTRES + 20, NO_STAINS) > 1).all()


def test_a_group_that_does_not_occur_has_no_mean() -> None:
    features = drawn()
    assert len(Familiarity.of(features, LABELS * 2, features).means) == 3


def test_it_comes_back_from_a_file_beside_the_network(familiarity: Familiarity) -> None:
    weights = {"head.weight": torch.ones(2)}
    network, back = parted({**weights, **familiarity.tensors()})
    assert list(network) == ["head.weight"]
    assert back is not None
    assert torch.equal(back.precision, familiarity.precision)
    assert parted(weights) == (weights, None)


@pytest.mark.parametrize(
    "damage",
    [
        {"means": torch.zeros(3)},
        {"means": torch.zeros(0, 4)},
        {"precision": torch.zeros(4, 3)},
        {"limit": torch.tensor(float("nan"))},
        {"limit": torch.tensor(1)},
        {"basis": torch.zeros(4)},
        {"basis": torch.zeros(9, 3)},
    ],
)
def test_a_damaged_one_is_refused(
    familiarity: Familiarity, damage: dict[str, torch.Tensor]
) -> None:
    tensors = {**familiarity.tensors(), **{f"{PREFIX}{name}": v for name, v in damage.items()}}
    with pytest.raises(ValueError, match="damaged"):
        parted(tensors)


def test_a_part_that_is_missing_is_refused(familiarity: Familiarity) -> None:
    tensors = familiarity.tensors()
    del tensors[f"{PREFIX}limit"]
    with pytest.raises(KeyError):
        parted(tensors)


def test_of_many_features_the_directions_that_vary_are_kept() -> None:
    wide = torch.zeros(1200, 400)
    wide[:, :4] = drawn()
    wide[:, 4:] = 1e-3 * torch.randn((1200, 396), generator=RNG)
    familiarity = Familiarity.of(wide, LABELS, wide)
    assert familiarity.width == 400
    assert familiarity.precision.shape == (60, 60)
    away = torch.zeros(1, 400)
    away[0, 2] = 30
    assert familiarity.unlikeness(away, NO_STAINS) > 1
    back = parted(familiarity.tensors())[1]
    assert back is not None
    assert torch.equal(back.unlikeness(wide, NO_STAINS), familiarity.unlikeness(wide, NO_STAINS))


def test_laboratories_of_few_cells_count_as_others() -> None:
    held_out = torch.cat([torch.zeros(990, 4), torch.full((10, 4), 9.0)])
    weight = torch.cat([torch.full((990,), 1 / 990), torch.full((10,), 1 / 10)])
    pooled = Familiarity.of(drawn(), LABELS, held_out)
    alike = Familiarity.of(drawn(), LABELS, held_out, weight)
    assert (pooled.unlikeness(held_out[-10:], NO_STAINS) > 1).all()
    assert (alike.unlikeness(held_out[-10:], NO_STAINS) <= 1).all()
