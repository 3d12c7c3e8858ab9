"""Augmentation: drawn from a seed, within range, and nothing where nothing is asked."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from napari_wbc.train.augment import Augmentation

NOTHING = Augmentation(
    zoom=0,
    shift=0,
    shear=0,
    mix=0,
    gamma=0,
    saturation=0,
    blur=0,
    noise=0,
    anchors=0,
    red_level=0,
    red_hue=0,
    nucleus_level=0,
    nucleus_hue=0,
)


def changed_by(augmentation, crops, size, rng):
    """Crops as training changes them, but for their anchors."""
    return augmentation.recolor(augmentation.move(crops, size, rng), rng).clamp(0, 1)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def crops():
    return torch.rand(6, 3, 28, 28, generator=seeded(9))


def target(side):
    """Rings that look the same however they are turned, shape (1, 3, side, side)."""
    line = torch.arange(side) - (side - 1) / 2
    radius = (line[:, None] ** 2 + line**2).sqrt()
    return torch.stack([0.5 + 0.4 * torch.cos(radius / scale) for scale in (3, 4, 5)])[None]


def test_no_crops_stay_no_crops(crops):
    assert changed_by(Augmentation(), crops[:0], 20, seeded()).shape == (0, 3, 20, 20)


@pytest.mark.parametrize("size", [16, 20, 28])
def test_crops_keep_their_range_and_get_their_size(crops, size):
    strong = Augmentation(
        zoom=1, shift=0.5, shear=1, mix=1, gamma=3, saturation=2, blur=3, noise=0.5
    )
    for augmentation in (Augmentation(), strong, NOTHING):
        changed = changed_by(augmentation, crops, size, seeded())
        assert changed.shape == (6, 3, size, size)
        assert changed.isfinite().all()
        assert changed.min() >= 0
        assert changed.max() <= 1
        assert augmentation.move(crops, size, seeded()).shape == (6, 3, size, size)


def test_a_seed_gives_the_same_crops_again(crops):
    first, second = (changed_by(Augmentation(), crops, 20, seeded(3)) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, changed_by(Augmentation(), crops, 20, seeded(4)))


def test_the_global_random_state_is_not_touched(crops):
    before = torch.random.get_rng_state()
    changed_by(Augmentation(), crops, 20, seeded())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_each_crop_is_changed_in_its_own_way():
    changed = changed_by(Augmentation(), target(28).repeat(4, 1, 1, 1), 20, seeded())
    assert all(not torch.equal(changed[0], other) for other in changed[1:])


def test_where_all_ranges_are_zero_colours_stay():
    flat = torch.rand(8, 3, 1, 1, generator=seeded(1)).clamp(min=0.01).expand(8, 3, 28, 28)
    torch.testing.assert_close(changed_by(NOTHING, flat, 20, seeded()), flat[..., :20, :20])


def test_where_all_ranges_are_zero_a_crop_is_only_turned():
    rings = target(28).repeat(8, 1, 1, 1)
    changed = changed_by(NOTHING, rings, 20, seeded())
    torch.testing.assert_close(changed, rings[..., 4:24, 4:24], rtol=0, atol=0.02)


def test_black_crops_stay_dark():
    changed = changed_by(Augmentation(noise=0), torch.zeros(4, 3, 28, 28), 20, seeded())
    assert changed.isfinite().all()
    assert changed.max() < 0.2


def test_another_stain_leaves_white_glass_white_and_colours_cells():
    crops = torch.ones(8, 3, 16, 16)
    crops[:, :, 4:12, 4:12] = torch.tensor([0.8, 0.5, 0.6])[:, None, None]
    plain = Augmentation(mix=0, gamma=0, saturation=0, blur=0, noise=0)
    stained = replace(plain, stain=0.3, depth=0.6)
    same = plain.recolor(crops, torch.Generator().manual_seed(0))
    other = stained.recolor(crops, torch.Generator().manual_seed(0))
    assert torch.allclose(same, crops, atol=0.02)
    assert torch.allclose(other[:, :, :2], crops[:, :, :2], atol=1e-3)
    middle = other[:, :, 8, 8]
    assert middle.std(dim=0).min() > 0.02
    assert ((middle >= 0) & (middle <= 1)).all()


RED = torch.tensor([[0.09, 0.13, 0.08]]).repeat(400, 1)
NUCLEI = torch.tensor([[0.5, 0.8, 0.2]]).repeat(400, 1)


def test_no_anchors_stay_none():
    none = torch.empty(0, 3)
    assert [len(anchor) for anchor in Augmentation().misjudged(none, none, seeded())] == [0, 0]


def test_where_all_ranges_are_zero_anchors_stay():
    red, nuclei = NOTHING.misjudged(RED, NUCLEI, seeded())
    torch.testing.assert_close(red, RED)
    torch.testing.assert_close(nuclei, NUCLEI)


@pytest.mark.parametrize(("hue", "level"), [(0.0, 0.3), (0.1, 0.0)])
def test_an_anchor_is_misjudged_in_depth_or_in_hue(hue, level):
    augmentation = replace(NOTHING, nucleus_hue=hue, nucleus_level=level)
    red, nuclei = augmentation.misjudged(RED, NUCLEI, seeded())
    torch.testing.assert_close(red, RED)
    depth = nuclei.norm(dim=1) / NUCLEI.norm(dim=1)
    hues = torch.cosine_similarity(nuclei, NUCLEI)
    if hue:
        torch.testing.assert_close(depth, torch.ones(400))
        assert 0.9 < hues.min() < 0.995
    else:
        torch.testing.assert_close(hues, torch.ones(400))
        # A strength drawn evenly from 0 to 1 makes the deviation 1 / sqrt(3) of what is asked for.
        assert depth.log().std() == pytest.approx(level / 3**0.5, rel=0.2)


def test_a_misjudged_anchor_that_was_not_seen_stays_unseen():
    red, nuclei = Augmentation().misjudged(torch.full((5, 3), torch.nan), NUCLEI[:5], seeded())
    assert red.isnan().all()
    assert nuclei.isfinite().all()


def test_an_anchor_of_nothing_gives_numbers():
    assert all(
        one.isfinite().all() for one in Augmentation().misjudged(RED * 0, NUCLEI * 0, seeded())
    )


def test_shares_lie_around_the_preset_and_reach_both_ends():
    shares = Augmentation().share(0.5, 4000, seeded())
    assert (shares.min(), shares.max()) == (0, 1)
    assert shares.mean().item() == pytest.approx(0.5, abs=0.02)
    assert (shares == 0).float().mean().item() == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize("middle", [0.0, 0.5, 1.0])
def test_without_range_every_share_is_the_preset_s(middle):
    assert torch.equal(NOTHING.share(middle, 5, seeded()), torch.full((5,), middle))


def test_channels_change_places_and_none_is_lost(crops):
    changed = replace(NOTHING, permute=1.0).recolor(crops, seeded())
    for before, after in zip(crops, changed, strict=True):
        sums = sorted(before.sum((1, 2)).tolist())
        assert sorted(after.sum((1, 2)).tolist()) == pytest.approx(sums, rel=1e-3)
    assert not torch.allclose(changed, crops, atol=0.05)


def test_a_lamp_changes_channels_and_not_their_pattern(crops):
    changed = replace(NOTHING, lamp=0.3).recolor(crops * 0.5, seeded()).clamp(0, 1)
    ratio = changed / (crops * 0.5).clamp(min=1e-3)
    spread = ratio[:, :, 4:8, 4:8].flatten(2).std(2)
    assert spread.max() < 0.05
    assert ratio.mean((2, 3)).std() > 0.02


def test_a_coarser_batch_keeps_its_size_and_its_mean():
    fine = torch.zeros(2, 3, 32, 32)
    fine[..., ::2] = 1
    changed = replace(NOTHING, coarse=1.0).recolor(fine, seeded())
    assert changed.shape == fine.shape
    assert changed.mean() == pytest.approx(0.5, abs=0.02)
    assert changed.std() < 0.3
