"""Augmentation of batches of crops: turned, scaled, restained, recoloured, blurred.

Strong in colour, because stain and camera are what differs between laboratories. All of it
runs on whole batches on the device of the network.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from napari_wbc.model.ranges import Ranges, check_ranges

if TYPE_CHECKING:
    import torch


_SHARES: Ranges = dict.fromkeys(("grey", "permute", "coarse", "anchors"), (0, 1))
"""All others are from 0 to 10."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Ranges of random change.

    Each crop draws a strength from 0 to 1 that scales its change of colour, so that crops as
    they are stay in the mix.

    Parameters
    ----------
    zoom : float
        Scale is drawn log-uniformly from 1 / (1 + zoom) to 1 + zoom.
    shift : float
        Largest shift, as a part of the crop's side.
    shear : float
        Largest shear, as a part of the crop's side.
    mix : float
        Deviation of the entries of a random 3x3 colour matrix around the identity.
    gamma : float
        Gamma is drawn log-uniformly from 1 / (1 + gamma) to 1 + gamma.
    saturation : float
        Largest relative change of saturation.
    blur : float
        Largest deviation of a Gaussian blur in pixels.
    noise : float
        Largest deviation of Gaussian noise, of a range of 0 to 1.
    stain : float
        Deviation of the entries of a random 3x3 matrix on absorbances, around the identity: how
        much of one stain another laboratory uses instead of another. White glass stays white.
    depth : float
        Absorbances are multiplied by a factor drawn log-uniformly from 1 / (1 + depth) to 1 +
        depth.
    eosin : float
        Largest change of the logarithm of what red cells absorb, from nearly colourless to magenta,
        while nuclei change by a third of it.
    hue : float
        Largest turn of all hues in radians.
    grey : float
        Share of the crops that lose all colour.
    lamp : float
        Largest change of the logarithm of the light in each channel.
    permute : float
        Share of the crops whose channels change places.
    coarse : float
        Share of the batches that are shown with 25 to 85 % of their resolution.
    sharpen : float
        Largest amount of sharpening, of crops that are not blurred.
    anchors : float
        Range of the share by which a crop is anchored (see :meth:`share`).
    red_level, nucleus_level : float
        Deviation of the logarithm of an anchor's absorbance (see :meth:`misjudged`).
    red_hue, nucleus_hue : float
        Deviation of each part of an anchor's direction.
    """

    zoom: float = 0.3
    shift: float = 0.06
    shear: float = 0.1
    mix: float = 0.1
    gamma: float = 0.4
    saturation: float = 0.5
    blur: float = 1.5
    noise: float = 0.1
    stain: float = 0.0
    depth: float = 0.0
    eosin: float = 0.0
    hue: float = 0.0
    grey: float = 0.0
    sharpen: float = 0.0
    lamp: float = 0.0
    permute: float = 0.0
    coarse: float = 0.0
    anchors: float = 1.0
    red_level: float = 0.45
    red_hue: float = 0.13
    nucleus_level: float = 0.15
    nucleus_hue: float = 0.05

    def __post_init__(self) -> None:
        check_ranges(self, {**dict.fromkeys(asdict(self), (0, 10)), **_SHARES})

    def move(self, crops: torch.Tensor, size: int, rng: torch.Generator) -> torch.Tensor:
        """Turn, mirror, shear, scale and shift RGB crops, shape (N, 3, S, S).

        They are cut with room around the centre. The result is of shape (N, 3, size, size);
        unzoomed, one pixel stays one pixel. ``rng`` is on the CPU, here and below.
        """
        import torch
        from torch.nn import functional

        n = len(crops)
        if not n:
            return crops.new_empty((0, 3, size, size))

        def uniform(limit: float) -> torch.Tensor:
            return (torch.rand(n, generator=rng) * 2 - 1) * limit

        angle = uniform(math.pi)
        scale = size / crops.shape[-1] * torch.exp(uniform(math.log1p(self.zoom)))
        flip = torch.randint(0, 2, (n,), generator=rng) * 2.0 - 1
        shear = uniform(self.shear)
        cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
        # The grid is of -1 to 1, so a shift by a part of the side is twice that part.
        across = torch.stack([cos * flip, cos * shear - sin, uniform(2 * self.shift) * scale], 1)
        down = torch.stack([sin * flip, sin * shear + cos, uniform(2 * self.shift) * scale], 1)
        theta = torch.stack([across, down], 1).to(crops.device)
        grid = functional.affine_grid(theta, [n, 3, size, size], align_corners=False)
        return functional.grid_sample(crops, grid, padding_mode="border", align_corners=False)

    def share(self, middle: float, n: int, rng: torch.Generator) -> torch.Tensor:
        """How far each of n crops goes to the stain of the reference film, shape (n,), 0 to 1.

        Shares are drawn evenly around ``middle``, 0 to 1, which is that of inference
        (:class:`~napari_wbc.classify.preset.Preset`), and cut at 0 and 1, so that the network knows
        stains that were anchored wholly and not at all.
        """
        import torch

        return (middle + (torch.rand(n, generator=rng) * 2 - 1) * self.anchors).clamp(0, 1)

    def misjudged(
        self, red: torch.Tensor, nuclei: torch.Tensor, rng: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Anchors as another laboratory's might be measured, wrong in depth and hue.

        They are absorbances, shape (N, 3), see :mod:`napari_wbc.classify.stain_anchors`.
        """
        import torch

        strength = torch.rand(len(red), 1, generator=rng)

        def wrong(anchor: torch.Tensor, level: float, hue: float) -> torch.Tensor:
            noise = torch.randn(len(anchor), 4, generator=rng) * strength
            size = anchor.norm(dim=1, keepdim=True)
            # Hue is the direction of an absorbance, depth its length.
            hues = anchor / size.clamp(min=1e-3) + hue * noise[:, :3].to(anchor.device)
            hues = hues / hues.norm(dim=1, keepdim=True).clamp(min=1e-3)
            shaken: torch.Tensor = hues * size * torch.exp(level * noise[:, 3:].to(anchor.device))
            return shaken

        wrong_red = wrong(red, self.red_level, self.red_hue)
        wrong_nuclei = wrong(nuclei, self.nucleus_level, self.nucleus_hue)
        return wrong_red, wrong_nuclei

    def recolor(self, x: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """Change colours, sharpness and noise of a batch (N, 3, height, width), about 0 to 1."""
        import torch

        n = len(x)
        if not n:
            return x

        def draw(*shape: int) -> torch.Tensor:
            return torch.rand(*shape, generator=rng).to(x.device)

        if self.coarse and float(draw(1)) < self.coarse:
            x = _coarser(x, 0.25 + 0.6 * float(draw(1)))
        if self.stain or self.depth or self.eosin or self.hue:
            x = self._restained(x, rng)
        if self.permute:
            places = torch.rand(n, 3, generator=rng).argsort(1).to(x.device)
            places = torch.where(draw(n, 1) < self.permute, places, torch.arange(3).to(x.device))
            x = x.gather(1, places[:, :, None, None].expand_as(x))
        if self.lamp:
            x = x * torch.exp((draw(n, 3, 1, 1) * 2 - 1) * draw(n, 1, 1, 1) * self.lamp)
        strength = draw(n, 1, 1, 1)
        gray = x.mean(1, keepdim=True)
        x = gray + (x - gray) * (1 + (draw(n, 1, 1, 1) * 2 - 1) * strength * self.saturation)
        matrix = torch.randn(n, 3, 3, generator=rng).to(x.device) * strength[:, 0] * self.mix
        # Rows sum to 1, so that gray stays gray.
        matrix = torch.eye(3, device=x.device) + matrix - matrix.mean(2, keepdim=True)
        x = torch.einsum("nij,njhw->nihw", matrix, x)
        if self.grey:
            colourless = draw(n, 1, 1, 1) < self.grey
            x = torch.where(colourless, x.mean(1, keepdim=True), x)
        # Mostly one gamma for all channels, and some of it for each.
        gamma = draw(n, 3, 1, 1) * 0.3 + draw(n, 1, 1, 1) - 0.65
        gamma = torch.exp(gamma * 2 * strength * math.log1p(self.gamma))
        x = x.clamp(1e-3, 1) ** gamma
        # Half of the crops stay sharp.
        sigma = (draw(n) * 2 - 1).clamp(min=0) * self.blur
        smooth = _blurred(x, sigma.clamp(min=0.05))
        if self.sharpen:
            # Crops that are not blurred are sharpened: x less what a blur leaves of it.
            amount = draw(n, 1, 1, 1) ** 2 * self.sharpen * (sigma == 0)[:, None, None, None]
            smooth = smooth + amount * (smooth - _blurred(x, torch.ones_like(sigma)))
        x = smooth
        noise = torch.randn(x.shape, generator=rng).to(x.device)
        return x + noise * draw(n, 1, 1, 1) ** 2 * self.noise

    def _restained(self, x: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """Another laboratory's stain: absorbances mixed and scaled (Beer-Lambert)."""
        import torch

        matrix = self._stains(len(x), rng)
        if self.eosin or self.hue:
            # A stain that bleaches nuclei is none: the last of a few draws that leaves them dark.
            for _ in range(_DRAWS):
                again = self._stains(len(x), rng)
                matrix = torch.where(_is_stain(again)[:, None, None], again, matrix)
            matrix = torch.where(_is_stain(matrix)[:, None, None], matrix, torch.eye(3))
        absorbance = -torch.log(x.clamp(1 / 255, 1))
        mixed = torch.einsum("nij,njhw->nihw", matrix.to(x.device), absorbance)
        # No stain gives light.
        return torch.exp(-mixed.clamp(min=0))

    def _stains(self, n: int, rng: torch.Generator) -> torch.Tensor:
        """Matrices on absorbances, shape (n, 3, 3)."""
        import torch

        strength = torch.rand(n, 1, 1, generator=rng)
        matrix = torch.eye(3) + torch.randn(n, 3, 3, generator=rng) * strength * self.stain
        depth = torch.rand(n, 1, 1, generator=rng) * 2 - 1
        matrix = matrix * torch.exp(depth * strength * math.log1p(self.depth))
        if self.eosin or self.hue:
            matrix = matrix @ self._other_dyes(n, rng)
        return matrix

    def _other_dyes(self, n: int, rng: torch.Generator) -> torch.Tensor:
        """Matrices on absorbances, shape (n, 3, 3): more or less of each dye, and other hues."""
        import torch

        dyes = torch.tensor(_DYES).T
        draws = torch.rand(n, 3, generator=rng) * 2 - 1
        gains = torch.ones(n, 3)
        # Red cells are paler than here in most laboratories, and seldom much darker.
        gains[:, 0] = torch.exp(self.eosin * (0.75 * draws[:, 0] - 0.25))
        gains[:, 1] = torch.exp(self.eosin / 3 * draws[:, 1])
        amounts = dyes @ torch.diag_embed(gains) @ torch.linalg.inv(dyes)
        # A turn around grey, by Rodrigues' formula; small turns are the likelier ones.
        angle = (self.hue * draws[:, 2] * draws[:, 2].abs())[:, None, None]
        axis = 3**-0.5
        cross = axis * torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])
        turn = torch.eye(3) + angle.sin() * cross + (1 - angle.cos()) * (cross @ cross)
        dyed: torch.Tensor = turn @ amounts
        return dyed


_DYES = ((0.2, 0.52, 0.28), (0.6, 0.37, 0.03), (-0.5, 0.1, 0.6))
"""Absorbances of eosin, of the dye of nuclei, and of what is neither, in red, green and blue."""
_NUCLEI = ((0.9, 0.75, 0.25), (0.8, 0.9, 0.45), (0.6, 0.6, 0.15))
"""Absorbances of nuclei of several laboratories ..."""
_RED_CELLS = ((0.15, 0.3, 0.2), (0.25, 0.45, 0.25))
"""... and of their red cells."""
_DRAWS = 4
"""Stains that are drawn for a crop at most, after the first."""


def _is_stain(matrix: torch.Tensor) -> torch.Tensor:
    """Which matrices on absorbances leave nuclei darker than red cells, shape (n,)."""
    import torch

    nuclei = torch.tensor(_NUCLEI) @ matrix.transpose(1, 2)
    red = torch.tensor(_RED_CELLS) @ matrix.transpose(1, 2)
    nucleus = nuclei.clamp(min=0).sum(2).amin(1)
    coloured = (nuclei > -0.1).all(2).all(1) & (red > -0.1).all(2).all(1)
    dark = nucleus > 1.3 * red.clamp(min=0).sum(2).amax(1)
    stain: torch.Tensor = coloured & dark & (nucleus > 0.6)
    return stain


def _coarser(x: torch.Tensor, share: float) -> torch.Tensor:
    """A batch with a share of its rows and columns, and then as large as before."""
    from torch.nn import functional

    size = [max(8, round(side * share)) for side in x.shape[2:]]
    small = functional.interpolate(x, size, mode="bilinear", antialias=True)
    return functional.interpolate(small, list(x.shape[2:]), mode="bilinear")


def _blurred(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Blur each crop by a Gaussian of its own deviation, in pixels."""
    import torch
    from torch.nn import functional

    n, c, height, width = x.shape
    radius = 3
    offsets = torch.arange(-radius, radius + 1, device=x.device)
    kernel = torch.exp(-0.5 * (offsets[None] / sigma[:, None]) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(c, 0)
    # Every crop has a kernel of its own, so crops become groups of channels of one image; down,
    # then across, since a Gaussian separates.
    flat = x.reshape(1, n * c, height, width)
    flat = functional.pad(flat, (radius,) * 4, mode="replicate")
    flat = functional.conv2d(flat, kernel[:, None, :, None], groups=n * c)
    flat = functional.conv2d(flat, kernel[:, None, None, :], groups=n * c)
    return flat.reshape(n, c, height, width)
