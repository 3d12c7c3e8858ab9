"""Networks by name, one architecture a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_wbc.errors import WbcError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["NETWORKS", "build_network"]

NETWORKS = ("cdnn",)
"""Names of the architectures."""


def build_network(architecture: str, n_classes: int) -> nn.Module:
    """Build a network with fresh weights.

    Parameters
    ----------
    architecture : str
        One of :data:`NETWORKS`.
    n_classes : int
        Number of outputs.

    Raises
    ------
    WbcError
        If there is no such architecture.
    """
    if architecture not in NETWORKS:
        raise WbcError(f"No network {architecture!r}; choose one of: {', '.join(NETWORKS)}.")
    from napari_wbc.classify.networks.cdnn import Cdnn

    return Cdnn(n_classes)
