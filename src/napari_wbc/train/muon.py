"""Muon for hidden matrices and convolutions, AdamW for the rest.

Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon) makes the momentum of each
matrix orthogonal before it steps: the CDNN learns from 13,000 crops what AdamW alone needs several
times as many for. PyTorch's own ``torch.optim.Muon`` takes two-dimensional parameters only, which
leaves convolutions out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

MOMENTUM = 0.95
"""Of Muon, as Jordan et al. have it."""


class MuonAdamW(torch.optim.AdamW):
    """Both optimizers, as one.

    Parameters
    ----------
    network : Module
        Its parameters of two and more dimensions, save those of ``head``, are stepped by Muon, a
        convolution as the matrix (outputs, inputs x rows x columns).
    lr : float
        Of AdamW.
    matrix_lr : float
        Of Muon; 0 leaves all parameters to AdamW. :func:`~napari_wbc.train.run.set_rate`
        keeps its ratio to ``lr``.
    weight_decay : float
        Of both.
    """

    def __init__(
        self, network: nn.Module, *, lr: float, matrix_lr: float, weight_decay: float
    ) -> None:
        head = {id(p) for p in getattr(network, "head", nn.Identity()).parameters()}
        matrices: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for p in network.parameters():
            if p.requires_grad:
                hidden = matrix_lr and p.ndim > 1 and id(p) not in head
                (matrices if hidden else others).append(p)
        groups: list[dict[str, Any]] = [{"params": others, "matrix": False, "scale": 1.0}]
        if matrices:
            scale = matrix_lr / lr
            groups.append({"params": matrices, "matrix": True, "scale": scale, "lr": matrix_lr})
        super().__init__(groups, lr=lr, weight_decay=weight_decay)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Step once; the gradients of what Muon stepped are spent."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if group["matrix"]:
                for p in group["params"]:
                    if p.grad is not None:
                        self._step_matrix(p, group["lr"], group["weight_decay"])
                        # AdamW passes over parameters without a gradient.
                        p.grad = None
        super().step()
        return loss

    def _step_matrix(self, p: torch.Tensor, rate: float, decay: float) -> None:
        assert p.grad is not None
        state = self.state[p]
        if not state:
            state["momentum"] = torch.zeros_like(p)
            # AdamW looks for it when it loads a state.
            state["step"] = torch.tensor(0.0)
        state["momentum"].lerp_(p.grad, 1 - MOMENTUM)
        # Nesterov's momentum, as Jordan et al. use it.
        direction = _orthogonal(p.grad.lerp(state["momentum"], MOMENTUM).flatten(1))
        # A tall matrix with singular values of 1 has smaller entries: the factor makes up for it.
        matrix_rate = rate * max(1.0, direction.shape[0] / direction.shape[1]) ** 0.5
        p.mul_(1 - rate * decay).add_(direction.view(p.shape), alpha=-matrix_rate)


def _orthogonal(matrix: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """The matrix with singular values near 1, by the iteration of Newton and Schulz."""
    # On the shorter side, where the product with itself is smaller.
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.mT if tall else matrix).float()
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        # Jordan's coefficients: quick to come near 1, and never quite there.
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    orthogonal: torch.Tensor = (x.mT if tall else x).to(matrix.dtype)
    return orthogonal
