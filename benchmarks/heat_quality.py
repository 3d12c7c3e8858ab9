"""Is an explanation any good: what its pixels do, and whether the weights matter to it."""

from __future__ import annotations

import copy

import numpy as np
import numpy.typing as npt
import torch
from captum.metrics import infidelity, sensitivity_max
from scipy.stats import rankdata
from torch import nn

from napari_wbc.explain.attribution import GLASS, Attributor, Question

PARTS = 20
"""Steps of the deletion and insertion curves."""
BLUR = 0.02
"""Deviation of the noise of infidelity and sensitivity, in units of a prepared crop."""


def curves(
    attributor: Attributor, x: torch.Tensor, target: torch.Tensor, heat: torch.Tensor
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Probability of the class as the hottest pixels go or come (Petsiuk et al. 2018).

    Parameters
    ----------
    attributor : Attributor
    x : Tensor, shape (N, 3, size, size)
    target : Tensor, shape (N,)
        Indices of classes.
    heat : Tensor, shape (N, size, size)

    Returns
    -------
    deletion, insertion : ndarray, shape (N, PARTS + 1)
        From the whole crop to bare glass, the hottest pixels first; and the other way.
    """
    order = heat.flatten(1).argsort(dim=1, descending=True)
    rank = torch.empty_like(order)
    rank.scatter_(
        1, order, torch.arange(order.shape[1], device=x.device).expand_as(order).contiguous()
    )
    rank = rank.view(len(x), 1, *heat.shape[1:])
    glass = torch.full_like(x, GLASS)
    deleted: list[npt.NDArray[np.float64]] = []
    inserted: list[npt.NDArray[np.float64]] = []
    with torch.inference_mode():
        for part in range(PARTS + 1):
            hottest = rank < order.shape[1] * part / PARTS
            for kept, crops in (
                (deleted, torch.where(hottest, glass, x)),
                (inserted, torch.where(hottest, x, glass)),
            ):
                said = torch.softmax(attributor.scores(crops), dim=1)
                kept.append(said.gather(1, target[:, None])[:, 0].double().cpu().numpy())
    return np.stack(deleted, axis=1), np.stack(inserted, axis=1)


def robustness(
    attributor: Attributor, x: torch.Tensor, target: torch.Tensor, question: Question
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Infidelity and largest sensitivity of an explanation (Yeh et al. 2019), shape (N,) each.

    Infidelity is measured of heat scaled to the evidence that it explains, so that methods compare;
    both use Gaussian noise of the deviation :data:`BLUR`.

    Parameters
    ----------
    attributor : Attributor
    x : Tensor, shape (N, 3, size, size)
    target : Tensor, shape (N,)
    question : Question
        Whose method is asked.
    """
    against = target.new_full((len(x),), -1)

    def explained(crops: torch.Tensor, wanted: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return attributor.heat(crops, wanted, other, question)[:, None]

    def shaken(crops: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        noise = torch.randn_like(crops) * BLUR
        return noise, crops - noise

    with torch.random.fork_rng():
        torch.manual_seed(question.seed)
        heat = explained(x, target, against).expand(-1, 3, -1, -1)
        with torch.no_grad():
            unfaithful = infidelity(
                attributor.evidence,
                shaken,
                x,
                heat,
                additional_forward_args=(target, against),
                n_perturb_samples=10,
                normalize=True,
            )
        sensitive = sensitivity_max(
            lambda crops: (explained(crops[0], target, against),),
            x,
            perturb_radius=BLUR,
            n_perturb_samples=3,
            max_examples_per_batch=len(x),
        )
    return unfaithful.double().cpu().numpy(), sensitive.double().cpu().numpy()


def randomized(attributor: Attributor, seed: int = 0) -> Attributor:
    """The same question to the same network with random weights (Adebayo et al. 2018).

    Heat that stays the same is of the picture, not of what was learnt.
    """
    network = copy.deepcopy(attributor.network)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for module in network.modules():
            _reset(module)
    return Attributor(
        network.eval(),
        attributor.size,
        attributor.mode,
        layers=attributor.layers,
        sure=attributor.sure,
    )


def _reset(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.GroupNorm | nn.BatchNorm2d | nn.BatchNorm1d) and module.affine:
        with torch.no_grad():
            # As wide as learnt scales are: a residual branch of scale 0 would leave the network
            # flat.
            module.weight.copy_(torch.rand_like(module.weight) + 0.5)
            module.bias.zero_()


def rank_correlation(one: torch.Tensor, other: torch.Tensor) -> npt.NDArray[np.float64]:
    """Spearman's correlation of two heats of each crop, shape (N,); 0 where one is constant.

    Parameters
    ----------
    one, other : Tensor, shape (N, size, size)
    """
    found = []
    for a, b in zip(one.cpu().numpy(), other.cpu().numpy(), strict=True):
        x, y = (rankdata(v) - (v.size + 1) / 2 for v in (a.ravel(), b.ravel()))
        size = float(np.sqrt((x**2).sum() * (y**2).sum()))
        found.append(float((x * y).sum()) / size if size else 0.0)
    return np.array(found)
