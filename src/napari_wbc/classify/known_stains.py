"""Stains and cameras of the training films: what red cells and nuclei absorb there.

A network that is shown wildly drawn colours hardly sees a stain in its features. What a red cell
and a nucleus absorb in red, green and blue, however, tells laboratories apart almost without
overlap, so it says whether the model has ever learnt from a film like this.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

BEYOND = 0.02
"""Part of the validation cells that counts as unlike."""
WIDTH = 6
"""Absorbances of red cells and of the nucleus in red, green and blue."""
FIELDS = ("means", "precision", "limit")

_TOLERANCE = 0.1
"""Deviation, relative to the mean, that films of a laboratory have at least: training may have seen
one alone."""


@dataclass(frozen=True)
class KnownStains:
    """Stains of the training cells.

    Parameters
    ----------
    means : Tensor, shape (groups, 6), float32
        Of each class of each laboratory.
    precision : Tensor, shape (groups, 6, 6), float32
        Inverse of the covariance within the groups of that laboratory: films of one vary more than
        those of another.
    limit : Tensor, shape (), float32
        Distance that two in a hundred validation cells exceed.
    """

    means: torch.Tensor
    precision: torch.Tensor
    limit: torch.Tensor

    @classmethod
    def of(
        cls,
        stains: torch.Tensor,
        groups: torch.Tensor,
        laboratories: torch.Tensor,
        held_out: torch.Tensor,
        weight: torch.Tensor | None = None,
    ) -> KnownStains:
        """Measure training cells.

        Parameters
        ----------
        stains : Tensor, shape (N, 6)
            Of training cells, see :func:`~napari_wbc.classify.stain_anchors.stains_of`.
        groups, laboratories : Tensor, shape (N,), int
            Which class of which laboratory they are of, and which laboratory.
        held_out : Tensor, shape (M, 6)
            Of validation cells.
        weight : Tensor, shape (M,), optional
            How much each of these counts.
        """
        import torch

        unscaled = cls(*_measured(stains, groups, laboratories), torch.tensor(1.0))
        return replace(unscaled, limit=limit_of(unscaled.distance(held_out), weight))

    def extended(
        self, stains: torch.Tensor, groups: torch.Tensor, laboratories: torch.Tensor
    ) -> KnownStains:
        """These and the stains of more training cells, given as to :meth:`of`."""
        import torch

        means, precision = _measured(stains, groups, laboratories)
        return replace(
            self,
            means=torch.cat([self.means, means]),
            precision=torch.cat([self.precision, precision]),
        )

    def distance(self, stains: torch.Tensor) -> torch.Tensor:
        """Mahalanobis distance to the nearest group, shape (N,), of stains, shape (N, 6)."""
        # What was not seen, such as red cells in a narrow crop, is no reason to be unlike.
        apart = (stains.float()[:, None] - self.means).nan_to_num()
        squares = ((apart[:, :, None] @ self.precision)[:, :, 0] * apart).sum(2)
        return squares.clamp(min=0).amin(1).sqrt()

    def excess(self, stains: torch.Tensor) -> torch.Tensor:
        """How far stains are beyond the limit, in units of it, shape (N,); 0 within."""
        limit = self.limit.to(stains.device).clamp(min=1e-6)
        return (self.distance(stains) / limit - 1).clamp(min=0)

    def to(self, device: str) -> KnownStains:
        """The same on a device."""
        return KnownStains(self.means.to(device), self.precision.to(device), self.limit)


def _measured(
    stains: torch.Tensor, groups: torch.Tensor, laboratories: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Means and precisions of all groups of all laboratories."""
    import torch

    means: list[torch.Tensor] = []
    precisions: list[torch.Tensor] = []
    for laboratory in torch.unique(laboratories):
        own = stains[laboratories == laboratory].double()
        present, group = torch.unique(groups[laboratories == laboratory], return_inverse=True)
        centres = [own[group == i].nanmean(0).nan_to_num() for i in range(len(present))]
        residuals = (own - torch.stack(centres)[group]).nan_to_num()
        covariance = residuals.mT @ residuals / len(residuals)
        # Of red cells and of nuclei, each as a whole: a channel may hardly absorb at all.
        mean = own.nanmean(0).nan_to_num().view(2, 3)
        least = _TOLERANCE * mean.square().mean(1).sqrt().clamp(min=0.01).repeat_interleave(3)
        precision = torch.linalg.inv(covariance + torch.diag(least.square()))
        # Where a laboratory's crops are too narrow to show red cells, theirs say nothing.
        seen = ~own.isnan().all(0)
        means += centres
        precisions += [precision * seen * seen[:, None]] * len(centres)
    return torch.stack(means).float(), torch.stack(precisions).float()


def limit_of(distances: torch.Tensor, weight: torch.Tensor | None) -> torch.Tensor:
    """The distance, shape (), that :data:`BEYOND` of the weighted cells exceed."""
    import torch

    distances, order = distances.cpu().sort()
    weight = torch.ones(len(order)) if weight is None else weight[order]
    within = int((weight.cumsum(0) <= (1 - BEYOND) * weight.sum()).sum())
    return distances[min(within, len(distances) - 1)]
