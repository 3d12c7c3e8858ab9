"""Unlikeness: how far the features of a cell are from those of the nearest class in training.

Mahalanobis distance with one covariance for all classes (Lee et al. 2018), to the nearest class of
the nearest laboratory: measured to classes alone, a laboratory of many cells makes the others look
as unlike as those that training never saw. It rises for red cells,
debris, smears, other species' cells and blurred fields, which a softmax calls with confidence
whatever they are. Of a film whose stain is beyond those of training
(:mod:`napari_wbc.classify.known_stains`), all cells are unlike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_wbc.classify.known_stains import FIELDS as STAIN_FIELDS
from napari_wbc.classify.known_stains import WIDTH, KnownStains, limit_of

if TYPE_CHECKING:
    import torch

PREFIX = "familiarity."
"""Of its tensors in a weights file."""

_RIDGE = 1e-3
"""Share of the mean variance that is added to each, for features that hardly vary."""
_COMPONENTS = 60
"""Directions that are kept of features with more."""
_FIELDS = ("means", "precision", "limit")
_BASIS = "basis"
_STAIN = "stain_"


@dataclass(frozen=True)
class Familiarity:
    """Where the features of the training cells lie.

    Parameters
    ----------
    means : Tensor, shape (groups, K), float32
        Of the groups that occur, in the space of the basis.
    precision : Tensor, shape (K, K), float32
        Inverse of the covariance within groups.
    limit : Tensor, shape (), float32
        Distance that two in a hundred validation cells exceed.
    basis : Tensor, shape (features, K), float32, optional
        Directions in which features vary most; None where all K features are kept.
    stains : KnownStains, optional
        None where colours are not balanced before they are seen, and in files of older versions.
    """

    means: torch.Tensor
    precision: torch.Tensor
    limit: torch.Tensor
    basis: torch.Tensor | None = None
    stains: KnownStains | None = None

    @classmethod
    def of(
        cls,
        features: torch.Tensor,
        groups: torch.Tensor,
        held_out: torch.Tensor,
        weight: torch.Tensor | None = None,
    ) -> Familiarity:
        """Measure training cells.

        Parameters
        ----------
        features : Tensor, shape (N, features)
            Of training cells.
        groups : Tensor, shape (N,), int
            Which class of which laboratory they are of.
        held_out : Tensor, shape (M, features)
            Of validation cells: training cells lie nearer to their own means than any other.
        weight : Tensor, shape (M,), optional
            How much each of these counts, for instance so that laboratories count alike.
        """
        import torch

        basis = _directions(features)
        if basis is not None:
            features = features @ basis
        present, group = torch.unique(groups, return_inverse=True)
        rows = [features[group == i].double().mean(0) for i in range(len(present))]
        means = torch.stack(rows)
        residuals = features.double() - means[group]
        # One covariance for all: rare classes have too few cells for their own.
        covariance = residuals.mT @ residuals / max(1, len(residuals))
        spread = covariance.diagonal().mean().clamp(min=1e-12)
        eye = torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
        precision = torch.linalg.inv(covariance + _RIDGE * spread * eye)
        unscaled = cls(means.float(), precision.float(), torch.tensor(1.0), basis)
        return replace(unscaled, limit=limit_of(unscaled.distance(held_out), weight))

    def extended(self, features: torch.Tensor, groups: torch.Tensor) -> Familiarity:
        """With the means of more groups of training cells, given as to :meth:`of`."""
        import torch

        if self.basis is not None:
            features = features @ self.basis
        present, group = torch.unique(groups, return_inverse=True)
        rows = [features[group == i].mean(0) for i in range(len(present))]
        return replace(self, means=torch.cat([self.means, torch.stack(rows)]))

    def distance(self, features: torch.Tensor) -> torch.Tensor:
        """Mahalanobis distance to the nearest group, shape (N,), of features, shape (N, F)."""
        features = features.float()
        if self.basis is not None:
            features = features @ self.basis
        apart = features[:, None] - self.means
        squares = ((apart @ self.precision) * apart).sum(2)
        return squares.clamp(min=0).amin(1).sqrt()

    def unlikeness(self, features: torch.Tensor, stains: torch.Tensor) -> torch.Tensor:
        """How unlike the training data cells are, shape (N,); above 1 they are unlike it.

        It is the distance of features, shape (N, F), in units of the limit. What stains, shape
        (N, 6), are beyond their own limit is added.
        """
        apart = self.distance(features) / self.limit.to(features.device).clamp(min=1e-6)
        return apart if self.stains is None else apart + self.stains.excess(stains)

    def to(self, device: str) -> Familiarity:
        """The same on a device."""
        basis = None if self.basis is None else self.basis.to(device)
        stains = None if self.stains is None else self.stains.to(device)
        means, precision = self.means.to(device), self.precision.to(device)
        return Familiarity(means, precision, self.limit, basis, stains)

    @property
    def width(self) -> int:
        """How many features it takes."""
        return self.means.shape[1] if self.basis is None else self.basis.shape[0]

    def tensors(self) -> dict[str, torch.Tensor]:
        """As it stands in a weights file."""
        names = _FIELDS if self.basis is None else (*_FIELDS, _BASIS)
        tensors = {f"{PREFIX}{name}": getattr(self, name).contiguous() for name in names}
        if self.stains is not None:
            for name in STAIN_FIELDS:
                tensors[f"{PREFIX}{_STAIN}{name}"] = getattr(self.stains, name).contiguous()
        return tensors


def _directions(features: torch.Tensor) -> torch.Tensor | None:
    """The directions in which many features vary most, shape (features, K); None for few."""
    import torch

    if features.shape[1] <= _COMPONENTS:
        return None
    centred = features.double() - features.double().mean(0)
    # Eigenvalues come in rising order.
    vectors: torch.Tensor = torch.linalg.eigh(centred.mT @ centred)[1]
    return vectors[:, -_COMPONENTS:].float().contiguous()


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
    basis = tensors.get(f"{PREFIX}{_BASIS}")
    width = means.shape[-1]
    shapes = (means.ndim, tuple(precision.shape), limit.ndim)
    whole = shapes == (2, (width, width), 0) and len(means) > 0
    if basis is not None:
        whole = whole and basis.ndim == 2 and basis.shape[1] == width
        parts.append(basis)
    stains = None
    if f"{PREFIX}{_STAIN}{_FIELDS[0]}" in tensors:
        told = [tensors[f"{PREFIX}{_STAIN}{name}"] for name in STAIN_FIELDS]
        stains = KnownStains(*told)
        n = len(stains.means) if stains.means.ndim else 0
        fit = [tuple(part.shape) for part in told] == [(n, WIDTH), (n, WIDTH, WIDTH), ()]
        whole = whole and n > 0 and fit
        parts += told
    # A file may come from anywhere, so its numbers are not taken on trust.
    numbers = all(part.is_floating_point() and part.isfinite().all() for part in parts)
    if not whole or not numbers:
        raise ValueError("the familiarity is damaged")
    return network, Familiarity(means, precision, limit, basis, stains)
