"""Modes: whatever the outputs mean, the softmax of their scores is a probability of each class."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from napari_wbc.classify.modes import MODES, check_mode, loss_of, scores
from napari_wbc.errors import WbcError


def outputs(n=9, classes=4, scale=3.0):
    return torch.randn(n, classes, generator=torch.Generator().manual_seed(0)) * scale


def one_hot(labels, classes=4):
    return functional.one_hot(torch.tensor(labels), classes).float()


@pytest.mark.parametrize("mode", MODES)
def test_no_cells_have_no_scores(mode):
    assert scores(outputs(0), mode).shape == (0, 4)


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_is_known(mode):
    check_mode(mode)


@pytest.mark.parametrize("mode", ["", "Softmax", "one vs rest", "three-stage"])
def test_another_mode_is_refused(mode):
    with pytest.raises(WbcError, match="choose one of: softmax, one-vs-rest, two-stage"):
        check_mode(mode)


@pytest.mark.parametrize("scale", [1.0, 300.0])
@pytest.mark.parametrize("mode", MODES)
def test_the_softmax_of_the_scores_sums_to_one(mode, scale):
    chances = torch.softmax(scores(outputs(scale=scale), mode).double(), dim=1)
    assert chances.isfinite().all()
    torch.testing.assert_close(chances.sum(1), torch.ones(9, dtype=torch.float64))


def test_softmax_scores_are_the_outputs():
    assert torch.equal(scores(outputs(), "softmax"), outputs())


def test_one_against_the_rest_is_a_yes_or_no_for_each_class():
    yes = torch.sigmoid(outputs())
    torch.testing.assert_close(
        torch.softmax(scores(outputs(), "one-vs-rest"), dim=1), yes / yes.sum(1, keepdim=True)
    )


@pytest.mark.parametrize("classes", [2, 4])
def test_two_stages_are_the_product_of_both(classes):
    given = outputs(classes=classes)
    first = torch.sigmoid(given[:, :1])
    expected = torch.cat([first, (1 - first) * torch.softmax(given[:, 1:], dim=1)], dim=1)
    torch.testing.assert_close(torch.exp(scores(given, "two-stage")), expected)


def test_the_loss_of_a_choice_is_the_surprise_of_the_true_class():
    labels = [0, 1, 2, 3, 0, 1, 2, 3, 0]
    for mode in ("softmax", "two-stage"):
        chances = torch.softmax(scores(outputs(), mode), dim=1)
        expected = -chances[range(9), labels].log().mean()
        torch.testing.assert_close(loss_of(outputs(), one_hot(labels), mode), expected)


def test_the_loss_of_one_against_the_rest_is_the_surprise_of_all_answers():
    targets = one_hot([0, 1, 2, 3, 0, 1, 2, 3, 0])
    yes = torch.sigmoid(outputs())
    answers = torch.where(targets > 0, yes, 1 - yes)
    torch.testing.assert_close(
        loss_of(outputs(), targets, "one-vs-rest"),
        -answers.log().sum(1).mean(),
        rtol=1e-4,
        atol=1e-4,
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("mode", MODES)
def test_the_gradient_is_that_of_finite_differences(mode, smoothing):
    targets = (one_hot([0, 1, 2, 3]) * (1 - smoothing) + smoothing / 4).double()
    given = outputs(4, scale=1.0).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss_of(x, targets, mode), given)


@pytest.mark.parametrize("label", range(4))
@pytest.mark.parametrize("mode", MODES)
def test_the_loss_teaches_the_true_class(mode, label):
    given = torch.zeros(1, 4, requires_grad=True)
    for _ in range(200):
        (gradient,) = torch.autograd.grad(loss_of(given, one_hot([label]), mode), given)
        given = (given - gradient).detach().requires_grad_()
    chances = torch.softmax(scores(given, mode), dim=1)
    assert chances.argmax() == label
    assert chances.max() > 0.9


def test_the_rest_is_not_taught_by_cells_of_the_first_class():
    given = outputs(1).requires_grad_()
    (gradient,) = torch.autograd.grad(loss_of(given, one_hot([0]), "two-stage"), given)
    torch.testing.assert_close(gradient[:, 1:], torch.zeros(1, 3), rtol=0, atol=1e-6)
    assert gradient[0, 0] < 0
