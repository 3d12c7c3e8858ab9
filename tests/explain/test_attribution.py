"""Heat: against captum, against evidence that is known, and that asking changes nothing."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from captum.attr import GuidedBackprop, LayerGradCam
from torch import nn

from napari_wbc.classify.looks import orientations, turned_back
from napari_wbc.classify.networks import build_network
from napari_wbc.classify.networks.base import FeatureNetwork
from napari_wbc.errors import WbcError
from napari_wbc.explain.attribution import HOTTEST, METHODS, Attributor, Question
from napari_wbc.explain.sight import map_layers, spread

SIZE = 32
X = torch.rand((3, 3, SIZE, SIZE), generator=torch.Generator().manual_seed(1))
TARGET, NONE = torch.tensor([0, 1, 2]), torch.tensor([-1, -1, -1])
QUICK = {"lime": 60}


class Eye(FeatureNetwork):
    """Its first class is the brightness of the red channel, its second that of the green one."""

    def __init__(self) -> None:
        super().__init__(2, 2)
        self.fine = nn.Conv2d(3, 2, 1, bias=False)
        self.coarse = nn.Conv2d(2, 2, 3, 2, 1, bias=False, groups=2)
        with torch.no_grad():
            self.fine.weight.copy_(torch.eye(2, 3)[:, :, None, None])
            self.coarse.weight.fill_(1 / 9)
            self.head.weight.copy_(torch.eye(2))
            self.head.bias.zero_()

    def features(self, x: torch.Tensor) -> torch.Tensor:
        pooled: torch.Tensor = self.coarse(self.fine(x)).mean(dim=(2, 3))
        return pooled


def quarters() -> torch.Tensor:
    """One crop of four colours."""
    x = torch.zeros(1, 3, SIZE, SIZE)
    x[0, 0, :16], x[0, 1, :, :16], x[0, 2, 16:, 16:] = 1, 1, 1
    return x


def question(method: str, **options) -> Question:
    return Question(method, samples=QUICK.get(method, 200), **options)


@pytest.fixture(scope="module")
def cdnn():
    torch.manual_seed(0)
    network = build_network("cdnn", 4).eval()
    for module in network.modules():
        if isinstance(module, nn.GroupNorm):
            nn.init.ones_(module.weight)  # a residual branch of scale 0 would leave it flat
    return network


@pytest.mark.parametrize("method", METHODS)
def test_no_crops_have_no_heat(cdnn, method):
    none = torch.empty(0, dtype=torch.long)
    assert Attributor(cdnn, SIZE).heat(X[:0], none, none, question(method)).shape == (0, SIZE, SIZE)


@pytest.mark.parametrize("method", METHODS)
def test_heat_is_from_0_to_1_and_asking_changes_nothing(cdnn, method):
    attributor = Attributor(cdnn, SIZE)
    before = {name: tensor.clone() for name, tensor in cdnn.state_dict().items()}
    seed = torch.random.get_rng_state()
    with torch.inference_mode():  # as crops come from inference
        x = X.clone()
    heat = attributor.heat(x, TARGET, NONE, question(method))
    assert (heat.dtype, heat.shape) == (torch.float32, (3, SIZE, SIZE))
    assert heat.amin() >= 0
    assert set(heat.amax(dim=(1, 2)).tolist()) <= {0.0, 1.0}, "0 where nothing speaks for the class"
    assert heat.any()
    assert torch.equal(heat, attributor.heat(x, TARGET, NONE, question(method))), (
        "it is the same again"
    )
    assert torch.equal(torch.random.get_rng_state(), seed)
    assert all(torch.equal(tensor, before[name]) for name, tensor in cdnn.state_dict().items())
    assert all(parameter.requires_grad for parameter in cdnn.parameters())
    assert all(
        not module._forward_hooks and not module._backward_hooks for module in cdnn.modules()
    )


@pytest.mark.parametrize("layer", ["stem", "stages.1", "stages"])
@pytest.mark.parametrize("against", [-1, 3])
def test_grad_cam_of_one_layer_is_captums(cdnn, layer, against):
    attributor = Attributor(cdnn, SIZE, layers=(layer,))
    other = torch.full_like(TARGET, against)
    maps = LayerGradCam(attributor.evidence, cdnn.get_submodule(layer)).attribute(
        X, additional_forward_args=(TARGET, other), relu_attributions=True
    )
    expected = spread(maps, attributor.sights[layer], SIZE)[:, 0].detach()
    expected = expected / expected.amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)
    found = attributor.heat(X, TARGET, other, Question())
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:Setting backward hooks")
def test_guided_backpropagation_is_captums_where_captum_can(cdnn):
    guided = (
        GuidedBackprop(cdnn)
        .attribute(X.clone().requires_grad_(True), TARGET)
        .clamp(min=0)
        .sum(dim=1)
    )
    attributor = Attributor(cdnn, SIZE)
    expected = guided * attributor.heat(X, TARGET, NONE, Question())
    found = attributor.heat(X, TARGET, NONE, question("guided-grad-cam"))
    top = expected.flatten(1).quantile(0.99, dim=1)[:, None, None].clamp(min=1e-12)
    torch.testing.assert_close(found, (expected / top).clamp(max=1), atol=1e-4, rtol=1e-3)


class Twin(FeatureNetwork):
    """Two convolutions, each rectified as it is told."""

    def __init__(self, first, second) -> None:
        torch.manual_seed(0)
        super().__init__(4, 2)
        self.one, self.two = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.first, self.second = first, second

    def features(self, x: torch.Tensor) -> torch.Tensor:
        pooled: torch.Tensor = self.second(self.two(self.first(self.one(x)))).mean(dim=(2, 3))
        return pooled


@pytest.mark.filterwarnings("ignore:Setting backward hooks")
@pytest.mark.parametrize("first", [nn.functional.relu, nn.functional.relu6, nn.ReLU6()])
def test_functions_and_relu6_are_guided_too(first, monkeypatch):
    """Values are small, so that ReLU6 does what ReLU does."""
    target, ask = TARGET % 2, question("guided-grad-cam")
    guided = GuidedBackprop(Twin(nn.ReLU(), nn.ReLU()).eval())
    expected = guided.attribute(X.clone().requires_grad_(True), target).clamp(min=0).sum(dim=1)
    attributor = Attributor(Twin(first, nn.functional.relu).eval(), SIZE, layers=("two",))
    expected = expected * attributor.heat(X, target, NONE, Question())
    top = expected.flatten(1).quantile(0.99, dim=1)[:, None, None].clamp(min=1e-12)
    found = attributor.heat(X, target, NONE, ask)
    assert found.any()
    torch.testing.assert_close(found, (expected / top).clamp(max=1), atol=1e-4, rtol=1e-3)
    monkeypatch.setattr("napari_wbc.explain.attribution.RECTIFIERS", ("Nothing",))
    assert not torch.allclose(found, attributor.heat(X, target, NONE, ask), atol=1e-3)


class InPlace(Eye):
    """What follows its first map changes it."""

    def features(self, x: torch.Tensor) -> torch.Tensor:
        pooled: torch.Tensor = self.coarse(self.fine(x).relu_()).mean(dim=(2, 3))
        return pooled


@pytest.mark.parametrize(
    "network", [InPlace(), build_network("cdnn", 2), build_network("separable", 2)]
)
def test_every_layer_that_is_offered_can_be_asked(network):
    network.eval()
    for layer in map_layers(network, SIZE):
        heat = Attributor(network, SIZE, layers=(layer,)).heat(
            X[:1], TARGET[:1], NONE[:1], Question()
        )
        assert heat.shape == (1, SIZE, SIZE)


@pytest.mark.parametrize("method", ["grad-cam", "occlusion"])
def test_doubtful_cells_are_asked_about_in_all_orientations(cdnn, method):
    ask = question(method)
    once, sure = Attributor(cdnn, SIZE), Attributor(cdnn, SIZE, sure=1.0)
    turned = [once.heat(x, TARGET, NONE, ask) for x in orientations(X)]
    mean = torch.stack(turned_back(turned)).mean(dim=0)
    expected = mean / mean.amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)
    torch.testing.assert_close(sure.heat(X, TARGET, NONE, ask), expected, atol=1e-4, rtol=1e-3)
    flipped = sure.heat(X.flip(3), TARGET, NONE, ask)
    torch.testing.assert_close(flipped.flip(2), expected, atol=1e-4, rtol=1e-3)


def test_sure_cells_are_asked_about_once(cdnn):
    some = Attributor(
        cdnn, SIZE, sure=0.26
    )  # of four classes, untrained: all are above or all below
    confident = torch.softmax(some.scores(X), dim=1).amax(dim=1) >= 0.26
    once = Attributor(cdnn, SIZE).heat(X, TARGET, NONE, Question())
    torch.testing.assert_close(some.heat(X, TARGET, NONE, Question())[confident], once[confident])


def test_lime_draws_of_its_own_while_others_draw(cdnn):
    attributor, ask = Attributor(cdnn, SIZE), question("lime")
    alone = attributor.heat(X[:1], TARGET[:1], NONE[:1], ask)
    stop = threading.Event()

    def others():
        while not stop.is_set():
            torch.rand(10)

    thread = threading.Thread(target=others)
    thread.start()
    try:
        assert torch.equal(attributor.heat(X[:1], TARGET[:1], NONE[:1], ask), alone)
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("sure", [0.0, 1.1])
def test_a_few_pixels_do_not_outshine_the_rest(sure, cdnn):
    for method in HOTTEST:
        heat = Attributor(cdnn, SIZE, sure=sure).heat(X, TARGET, NONE, question(method))
        shares = (heat == 1).float().mean(dim=(1, 2))[heat.any(dim=2).any(dim=1)]
        assert shares.tolist() == pytest.approx([0.01] * len(shares), abs=0.002)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("row", "col"), [(4, 6), (17, 25), (28, 3)])
def test_heat_lies_on_the_pixels_that_speak(method, row, col):
    """A bright red block on black is all the evidence for the first class."""
    x = torch.zeros(1, 3, SIZE, SIZE)
    x[0, 0, row - 2 : row + 3, col - 2 : col + 3] = 3.0
    attributor = Attributor(Eye().eval(), SIZE, layers=("fine", "coarse"))
    heat = attributor.heat(x, torch.tensor([0]), torch.tensor([-1]), question(method))[0].numpy()
    rows, columns = np.nonzero(heat > 0.5 * heat.max())
    if method == "lime":  # patches are as coarse as they are
        assert heat[row, col] == heat.max()
    elif method == "occlusion":  # so is what covers
        assert abs(rows.mean() - row) < 2.5
        assert abs(columns.mean() - col) < 2.5
    else:
        assert (rows.mean(), columns.mean()) == pytest.approx((row, col), abs=1)


@pytest.mark.parametrize("method", ["grad-cam", "integrated-gradients", "occlusion"])
def test_one_class_against_another_is_what_they_differ_in(method):
    x = torch.full((1, 3, SIZE, SIZE), 1.6 if method != "grad-cam" else 0.0)
    x[0, :2, 5:9, 5:9] += 2  # red and green: speaks for both
    x[0, 0, 20:24, 20:24] += 2  # red only
    attributor = Attributor(Eye().eval(), SIZE, layers=("fine",))
    both = attributor.heat(x, torch.tensor([0]), torch.tensor([-1]), question(method))[0]
    only = attributor.heat(x, torch.tensor([0]), torch.tensor([1]), question(method))[0]
    first, second = (slice(5, 9),) * 2, (slice(20, 24),) * 2
    assert float(both[first].mean()) == pytest.approx(float(both[second].mean()), rel=0.25)
    assert only[second].amax() == pytest.approx(1)
    assert only[first].mean() < 0.05


def test_lime_depends_on_its_seed(cdnn):
    attributor, x = Attributor(cdnn, SIZE), quarters()
    one, other = (
        attributor.heat(x, TARGET[:1], NONE[:1], question("lime", seed=s)) for s in (0, 1)
    )
    assert not torch.equal(one, other)


def test_layers_are_the_outermost_of_each_map(cdnn):
    assert map_layers(cdnn, 72) == {
        "stem": 36,
        "stages.0": 36,
        "stages.1": 18,
        "stages.2": 9,
        "stages": 5,
    }
    assert Attributor(cdnn, 72).layers == ("stages.1", "stages.2", "stages")


def test_a_network_without_square_maps_can_be_asked_otherwise():
    torch.manual_seed(0)
    attributor = Attributor(build_network("dclnn_max", 4).eval(), SIZE)
    for method in ("grad-cam", "guided-grad-cam"):
        with pytest.raises(WbcError, match="no square maps"):
            attributor.heat(X, TARGET, NONE, Question(method))
    assert attributor.heat(X, TARGET, NONE, question("occlusion")).shape == (3, SIZE, SIZE)


@pytest.mark.parametrize(
    "options",
    [
        {"method": "tea leaves"},
        {"samples": 1},
        {"seed": -1},
        {"seed": 2**63},
        {"target": "monocyte", "against": "monocyte"},
    ],
)
def test_an_impossible_question_is_refused(options):
    with pytest.raises(WbcError):
        Question(**options)


def test_an_unknown_layer_is_refused_with_those_there_are(cdnn):
    with pytest.raises(WbcError, match=r"'stages\.9'.*stem"):
        Attributor(cdnn, SIZE, layers=("stages.9",))
