"""What a classifier's outputs mean, and the loss that teaches it so.

A card names its mode. In each, the softmax of :func:`scores` is the probability of the classes, so
calibration and everything after it know one kind of classifier.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_wbc.errors import WbcError

if TYPE_CHECKING:
    import torch

MODES = ("softmax", "one-vs-rest", "two-stage")
"""``softmax``: one choice among all classes. ``one-vs-rest``: a yes or no for each class.
``two-stage``: the first class against the rest, then a choice among the rest."""


def check_mode(mode: str) -> None:
    """Raise :class:`~napari_wbc.errors.WbcError` if there is no such mode."""
    if mode not in MODES:
        raise WbcError(f"No mode {mode!r}; choose one of: {', '.join(MODES)}.")


def scores(outputs: torch.Tensor, mode: str) -> torch.Tensor:
    """Scores of classes: logarithms of their probabilities, but for one constant a cell.

    They have the shape of the network's outputs, (N, classes).
    """
    import torch
    from torch.nn.functional import log_softmax, logsigmoid

    if mode == "one-vs-rest":
        return logsigmoid(outputs)
    if mode == "two-stage":
        # P(other class) = P(not the first) P(class | not the first).
        first = outputs[:, :1]
        others = logsigmoid(-first) + log_softmax(outputs[:, 1:], dim=1)
        return torch.cat([logsigmoid(first), others], dim=1)
    return outputs


def loss_of(outputs: torch.Tensor, targets: torch.Tensor, mode: str) -> torch.Tensor:
    """Mean loss, shape (), of a batch of outputs of shape (N, classes).

    ``targets`` are as many probabilities of the classes, 0 to 1: one-hot, smoothed or mixed.
    """
    from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

    if mode == "one-vs-rest":
        # The mean over classes is scaled to their sum, which is as large as the others' losses.
        return binary_cross_entropy_with_logits(outputs, targets) * outputs.shape[1]
    return cross_entropy(scores(outputs, mode), targets)
