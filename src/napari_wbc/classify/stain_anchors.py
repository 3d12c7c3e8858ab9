"""Stain by two inner standards: red cells and nuclei get the same colours everywhere.

Light that passes a stained film obeys Beer and Lambert's law, so stain, lamp and camera change
absorbances by a 3x3 matrix. Two stains of the film say what that matrix is: haemoglobin with eosin,
seen pure in red cells, and azure, seen in the nucleus. The matrix that takes both, and the
direction across them, to those of a reference film makes crops of one laboratory look like those of
another. It is Macenko's normalisation (2009) with stain vectors that are measured in known cells
instead of guessed from all pixels.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch

RED = (0.088, 0.126, 0.083)
"""Absorbance of red cells of the reference film, in red, green and blue: the median of PBC."""
NUCLEUS = (0.494, 0.795, 0.198)
"""Absorbance of nuclei of the reference film."""

_MIN_NUCLEUS = 0.05
"""Length of a nucleus' absorbances below which there is none; such crops stay as they are."""
_NUCLEUS_SHARE = 0.25
"""Share of a cell's pixels that are taken for its nucleus: less than a neutrophil's lobes cover."""


def density_of(crops: torch.Tensor) -> torch.Tensor:
    """Absorbances (optical density) of crops, 0 to 1, of any shape; at most 2.4."""
    # 1 / 256 keeps black finite: the light of an 8-bit image has no more levels.
    return -torch.log10(crops.clamp(1 / 256, 1))


def transmitted(density: torch.Tensor) -> torch.Tensor:
    """Crops, 0 to 1, of absorbances."""
    return torch.exp(density * -math.log(10)).clamp(0, 1)


def nuclei_of(density: torch.Tensor, factor: float) -> torch.Tensor:
    """Absorbance of the nucleus of each cell.

    Parameters
    ----------
    density : Tensor, shape (N, 3, size, size)
        Absorbances of crops whose side is ``factor`` times that of the cell's box.
    factor : float
        1 or more.

    Returns
    -------
    Tensor, shape (N, 3)
        Median of the quarter of the cell's disc that absorbs most like a nucleus
        (:func:`napari_wbc.imaging.stain.nucleus_map`).
    """
    if not len(density):
        return density.new_empty((0, 3))
    disc = _disc(density.shape[-1], factor, density.device)
    pixels = density.flatten(2)[:, :, disc]
    # Azure dyes absorb red and green, haemoglobin blue and green; see stain.nucleus_map.
    azure = pixels[:, 0] + pixels[:, 1] - 1.5 * pixels[:, 2]
    darkest = azure.topk(max(1, round(_NUCLEUS_SHARE * len(disc))), dim=1, sorted=False).indices
    return pixels.gather(2, darkest[:, None].expand(-1, 3, -1)).median(dim=2).values


def stains_of(crops: torch.Tensor, red: torch.Tensor, factor: float) -> torch.Tensor:
    """What tells the stain and camera of crops: absorbances of red cells and of the nucleus.

    Parameters
    ----------
    crops : Tensor, shape (N, 3, size, size)
        RGB, 0 to 1, of a field whose glass is white.
    red : Tensor, shape (N, 3)
        Absorbance of red cells in the field of each crop; NaN where there are none.
    factor : float
        Side of a crop as a multiple of that of the cell's box, 1 or more.

    Returns
    -------
    Tensor, shape (N, 6)
    """
    return torch.cat([red, nuclei_of(density_of(crops), factor)], dim=1)


@lru_cache(maxsize=16)
def _disc(size: int, factor: float, device: torch.device) -> torch.Tensor:
    """Flat indices of pixels of the disc that the cell's box encloses."""
    across = (torch.arange(size, device=device) - (size - 1) / 2) ** 2
    inside = across[:, None] + across[None] <= (size / factor / 2) ** 2
    # Every other pixel in each direction tells the median as well, in a quarter of the time.
    sampled = torch.arange(size, device=device) % 2 == (size // 2) % 2
    return (inside & sampled[:, None] & sampled[None]).flatten().nonzero().squeeze(1)


def anchored(
    density: torch.Tensor,
    red: torch.Tensor,
    nuclei: torch.Tensor,
    share: torch.Tensor | float = 1.0,
) -> torch.Tensor:
    """Absorbances as the reference film would have them.

    Parameters
    ----------
    density : Tensor, shape (N, 3, height, width)
    red : Tensor, shape (N, 3)
        Absorbance of red cells; NaN where none were seen, which are then taken to be as much darker
        or paler than the reference's as the nucleus is.
    nuclei : Tensor, shape (N, 3)
        Absorbance of nuclei.
    share : float or Tensor, shape (N,)
        How far absorbances go from what they are to those of the reference film, 0 to 1.

    Returns
    -------
    Tensor, shape (N, 3, height, width)
    """
    target_red = density.new_tensor(RED)
    target = density.new_tensor(NUCLEUS)
    # Without red cells the nucleus says how deep the stain is.
    unseen = nuclei.norm(dim=1, keepdim=True) / target.norm() * target_red
    red = torch.where(red.isnan(), unseen, red).clamp(min=0.005)
    # A crop with hardly any stain in it shall stay pale, not be blown up.
    pale = nuclei.norm(dim=1, keepdim=True) < _MIN_NUCLEUS
    red = torch.where(pale, target_red, red)
    nuclei = torch.where(pale, target, nuclei)
    matrix = _frame(target_red[None], target[None]) @ torch.linalg.inv(_frame(red, nuclei))
    share = torch.as_tensor(share, dtype=matrix.dtype, device=matrix.device).view(-1, 1, 1)
    matrix = torch.eye(3, device=matrix.device).lerp(matrix, share)
    return torch.einsum("nij,njhw->nihw", matrix, density)


def _frame(red: torch.Tensor, nuclei: torch.Tensor) -> torch.Tensor:
    """Red cells, nuclei and the direction across both as columns, shape (N, 3, 3)."""
    across = torch.linalg.cross(red, nuclei)
    size = red.norm(dim=1, keepdim=True) * nuclei.norm(dim=1, keepdim=True)
    # Where both have nearly one colour nothing tells the third direction; 0.05 is three degrees.
    across = across / torch.maximum(across.norm(dim=1, keepdim=True), 0.05 * size)
    frame = torch.stack([red, nuclei, across * nuclei.norm(dim=1, keepdim=True)], dim=2)
    # A little of the identity, so that no matrix is singular.
    return frame + 1e-6 * torch.eye(3, device=red.device)
