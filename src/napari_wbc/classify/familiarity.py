"""Unlikeness: how far the features of a cell are from those of the nearest class in training.

Mahalanobis distance with one covariance for all classes (Lee et al. 2018). It rises for red cells,
debris, smears, other species' cells and blurred fields, which a softmax calls with confidence
whatever they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

PREFIX = "familiarity."
"""Of its tensors in a weights file."""

_RIDGE = 1e-3
"""Share of the mean variance that is added to each, for features that hardly vary."""
_BEYOND = 0.01
"""Part of the validation cells that counts as unlike."""
_FIELDS = ("means", "precision", "limit")


@dataclass(frozen=True)
class Familiarity:
    """Where the features of the training cells lie.

    Parameters
    ----------
    means : Tensor, shape (classes, features), float32
        Of the classes that occur.
    precision : Tensor, shape (features, features), float32
        Inverse of the covariance within classes.
    limit : Tensor, shape (), float32
        Distance that one in a hundred validation cells exceeds.
    """

    means: torch.Tensor
    precision: torch.Tensor
    limit: torch.Tensor

    @classmethod
    def of(
        cls, features: torch.Tensor, labels: torch.Tensor, held_out: torch.Tensor
    ) -> Familiarity:
        """Measure training cells.

        Parameters
        ----------
        features : Tensor, shape (N, features)
            Of training cells.
        labels : Tensor, shape (N,), int
            Their classes.
        held_out : Tensor, shape (M, features)
            Of validation cells: training cells lie nearer to their own means than any other.
        """
        import torch

        present = torch.unique(labels)
        means = torch.stack([features[labels == label].double().mean(0) for label in present])
        residuals = features.double() - means[torch.searchsorted(present, labels)]
        # One covariance for all classes (Lee et al. 2018): rare ones have too few cells for theirs.
        covariance = residuals.mT @ residuals / max(1, len(residuals))
        spread = covariance.diagonal().mean().clamp(min=1e-12)
        eye = torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
        precision = torch.linalg.inv(covariance + _RIDGE * spread * eye)
        unscaled = cls(means.float(), precision.float(), torch.tensor(1.0))
        limit = unscaled.distance(held_out).quantile(1 - _BEYOND).cpu()
        return cls(unscaled.means, unscaled.precision, limit)

    def distance(self, features: torch.Tensor) -> torch.Tensor:
        """Mahalanobis distance to the nearest class, shape (N,), of features, shape (N, F)."""
        apart = features.float()[:, None] - self.means
        squares = ((apart @ self.precision) * apart).sum(2)
        return squares.clamp(min=0).amin(1).sqrt()

    def unlikeness(self, features: torch.Tensor) -> torch.Tensor:
        """Distance in units of the limit, shape (N,); above 1 a cell is unlike training data."""
        return self.distance(features) / self.limit.to(features.device).clamp(min=1e-6)

    def to(self, device: str) -> Familiarity:
        """The same on a device."""
        return Familiarity(self.means.to(device), self.precision.to(device), self.limit)

    def tensors(self) -> dict[str, torch.Tensor]:
        """As it stands in a weights file."""
        return {f"{PREFIX}{name}": getattr(self, name).contiguous() for name in _FIELDS}


def parted(
    tensors: Mapping[str, torch.Tensor],
) -> tuple[dict[str, torch.Tensor], Familiarity | None]:
    """The network's tensors of a weights file, and its familiarity where it has one.

    Raises
    ------
    KeyError, ValueError
        If parts of it are missing or are no such numbers.
    """
    network = {name: value for name, value in tensors.items() if not name.startswith(PREFIX)}
    if len(network) == len(tensors):
        return network, None
    parts = [tensors[f"{PREFIX}{name}"] for name in _FIELDS]
    means, precision, limit = parts
    width = means.shape[-1]
    shapes = (means.ndim, tuple(precision.shape), limit.ndim)
    # A file may come from anywhere, so its numbers are not taken on trust.
    numbers = all(part.is_floating_point() and part.isfinite().all() for part in parts)
    if shapes != (2, (width, width), 0) or not len(means) or not numbers:
        raise ValueError("the familiarity is damaged")
    return network, Familiarity(means, precision, limit)
