"""Which pixels of a crop speak for a class: Grad-CAM and its rivals, on captum.

Invariant: every method answers the same question, of the same evidence: the score of the class,
less that of the class that it is set against. Heat is what speaks for it, 0 to 1; what speaks
against it is 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from napari_wbc.classify.looks import orientations, turned_back
from napari_wbc.classify.modes import scores
from napari_wbc.errors import WbcError
from napari_wbc.explain.sight import Sight, deep_layers, map_layers, sights_of, spread, watched
from napari_wbc.explain.superpixels import ridge, superpixels
from napari_wbc.model.heat import TITLES

if TYPE_CHECKING:
    import torch
    from torch.autograd.graph import Node

    from napari_wbc.classify.networks.base import FeatureNetwork

METHODS = tuple(TITLES)
GLASS = 1.6
"""What bare glass is in a prepared crop: the absence that a cell is compared with."""
STEPS = 24
"""Of integrated gradients, from glass to the crop."""
WINDOW = 1 / 6
"""Side of what occlusion covers, as a part of the crop's side."""
STRIDE = 1 / 12
"""Step from one window of occlusion to the next, as a part of the crop's side."""
AT_ONCE = 64
"""Crops that a network takes at once."""
RECTIFIERS = ("ReluBackward", "HardtanhBackward")
"""Steps of a gradient that guided backpropagation rectifies once more: ReLU and ReLU6."""
HOTTEST = {"guided-grad-cam": 0.99, "integrated-gradients": 0.99}
"""Share of the pixels up to which heat of single pixels is scaled, since a few outshine all."""
DEEP = 1 / 4
"""Side of the largest map that Grad-CAM looks at unasked, as a part of the crop's."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about a cell.

    Parameters
    ----------
    method : str
        One of :data:`METHODS`: Grad-CAM (Selvaraju et al. 2017) and its guided form, integrated
        gradients (Sundararajan et al. 2017), occlusion (Zeiler and Fergus 2014), LIME (Ribeiro et
        al. 2016).
    target : str
        Class that is asked for; the predicted one of each cell where empty.
    against : str
        Class that it is set against: why this and not that. None where empty.
    layers : tuple of str
        Of Grad-CAM, as :func:`map_layers` names them: the maps of several are multiplied, since a
        deep one knows what and a shallow one where. One of each side up to a quarter of the crop's
        where empty.
    samples : int
        Of LIME, a cell: crops with superpixels covered at random.
    seed : int
        Of LIME; 0 to 2**63 - 1.

    Raises
    ------
    WbcError
        If the method is none, a number is out of its range or a class is set against itself.
    """

    method: str = "grad-cam"
    target: str = ""
    against: str = ""
    layers: tuple[str, ...] = ()
    samples: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise WbcError(f"No method {self.method!r}; choose one of: {', '.join(METHODS)}.")
        if self.samples < 2:
            raise WbcError("LIME needs 2 samples and more; 200 are usual.")
        if not 0 <= self.seed < 2**63:
            raise WbcError(f"The seed {self.seed} is out of range; choose one from 0 to 2**63 - 1.")
        if self.layers and not self.method.endswith("grad-cam"):
            raise WbcError(f"Layers are of Grad-CAM; {self.method} looks at none.")
        if self.target and self.target == self.against:
            raise WbcError(f"{self.target!r} cannot be set against itself; choose two classes.")


class Attributor:
    """A network that is asked why.

    Parameters
    ----------
    network : FeatureNetwork
        In evaluation mode.
    size : int
        Side of its crops in pixels.
    mode : str
        One of :data:`~napari_wbc.classify.modes.MODES`.
    layers : tuple of str
        Of Grad-CAM; where empty, those of the network, or the last of each side up to a quarter of
        the crop's.
    sure : float
        Crops whose highest probability is below this, 0 to 1, are asked about in all orientations,
        as :func:`~napari_wbc.classify.looks.looked_at` classifies them: their heat is the mean,
        turned back.

    Raises
    ------
    WbcError
        If the network has no such layer.
    """

    def __init__(
        self,
        network: FeatureNetwork,
        size: int,
        mode: str = "softmax",
        layers: tuple[str, ...] = (),
        *,
        sure: float = 0.0,
    ) -> None:
        existing = map_layers(network, size)
        for layer in layers:
            if layer not in existing:
                raise WbcError(
                    f"The network has no layer {layer!r}; choose of: {', '.join(existing)}."
                )
        self.network = network
        self.size = size
        self.mode = mode
        self.sure = sure
        self.layers = layers or network.heat_layers or deep_layers(existing, DEEP * size)

    def check(self, question: Question) -> None:
        """Raise WbcError if a question is of square maps and the network has none."""
        if question.method.endswith("grad-cam") and not self.layers:
            raise WbcError(
                "This network has no square maps for Grad-CAM to look at; choose another method."
            )

    def evidence(
        self, x: torch.Tensor, target: torch.Tensor, against: torch.Tensor
    ) -> torch.Tensor:
        """Score of a class less that of another, shape (N,).

        Parameters
        ----------
        x : Tensor, shape (N, 3, size, size)
            As :meth:`~napari_wbc.classify.preset.Preset.prepare` gives them.
        target, against : Tensor, shape (N,)
            Indices of classes; ``against`` is -1 where there is none.
        """
        scores = self.scores(x)
        # Where there is no other class, the score of class 0 is taken and counts nothing.
        other = scores.gather(1, against.clamp(min=0)[:, None])[:, 0]
        return scores.gather(1, target[:, None])[:, 0] - other * (against >= 0)

    def scores(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of the classes, shape (N, classes), of crops of shape (N, 3, size, size)."""
        return scores(self.network(x), self.mode)

    def heat(
        self, x: torch.Tensor, target: torch.Tensor, against: torch.Tensor, question: Question
    ) -> torch.Tensor:
        """Heat of a batch.

        Parameters
        ----------
        x, target, against : Tensor
            As in :meth:`evidence`.
        question : Question
            Its method, samples and seed; classes are given beside it.

        Returns
        -------
        Tensor, shape (N, size, size), float32
            0 to 1. The hottest pixel of each crop is 1, or the hottest hundredth of methods whose
            heat is of single pixels (:data:`HOTTEST`). A crop that nothing speaks for is 0.
        """
        import torch

        if not len(x):
            return x.new_zeros((0, self.size, self.size))
        heat = self._heat_once(x, target, against, question)
        if not self.sure:
            return heat
        with torch.inference_mode():
            probability = torch.softmax(self.scores(x), dim=1).amax(dim=1)
            unsure = (probability < self.sure).nonzero()[:, 0].clone()
        if not len(unsure):
            return heat
        # As many samples in all as of a cell that is looked at once.
        each = replace(question, samples=max(2, question.samples // 8))
        classes = (target[unsure], against[unsure])
        looks = [self._heat_once(turned, *classes, each) for turned in orientations(x[unsure])]
        mean = torch.stack(turned_back(looks)).mean(dim=0)
        return heat.index_copy(0, unsure, _scaled(mean, question.method))

    def _heat_once(
        self, x: torch.Tensor, target: torch.Tensor, against: torch.Tensor, question: Question
    ) -> torch.Tensor:
        """Heat of crops as they are turned."""
        import torch

        methods: dict[str, Callable[..., torch.Tensor]] = {
            "grad-cam": self._grad_cam,
            "guided-grad-cam": self._guided_grad_cam,
            "integrated-gradients": self._integrated_gradients,
            "occlusion": self._occlusion,
            "lime": self._lime,
        }
        with torch.enable_grad():
            # Copies, since what was made in inference mode takes no part in gradients.
            method = methods[question.method]
            heat = method(x.detach().clone(), target.clone(), against.clone(), question)
        return _scaled(heat.detach().float().clamp(min=0), question.method)

    def _grad_cam(self, x: Any, target: Any, against: Any, question: Question) -> torch.Tensor:
        """Grad-CAM of the layers, from one forward pass; backwards only to the first of them."""
        import torch

        self.check(question)
        maps: dict[str, torch.Tensor] = {}

        def keep(name: str, output: torch.Tensor) -> torch.Tensor:
            # What comes before the first layer needs no gradient.
            maps[name] = output if output.requires_grad else output.detach().requires_grad_(True)
            # A copy goes on, since what follows may change it in its place.
            return maps[name].clone()

        # With frozen weights autograd goes back to the first layer only.
        trained = [p for p in self.network.parameters() if p.requires_grad]
        try:
            for parameter in trained:
                parameter.requires_grad_(False)
            with watched(self.network, self.layers, keep):
                evidence = self.evidence(x, target, against)
            gradients = torch.autograd.grad(evidence.sum(), list(maps.values()))
        finally:
            for parameter in trained:
                parameter.requires_grad_(True)
        # The product of the layers: a deep map knows what, a shallow one where.
        heat = torch.ones((), device=x.device)
        for (name, values), gradient in zip(maps.items(), gradients, strict=True):
            # Selvaraju et al. 2017, equations 1 and 2.
            weights = gradient.mean(dim=(2, 3), keepdim=True)
            weighed = (weights * values.detach()).sum(dim=1, keepdim=True)
            heat = heat * spread(weighed.clamp(min=0).float(), self.sights[name], self.size)[:, 0]
        return heat

    @cached_property
    def sights(self) -> dict[str, Sight]:
        """Where the elements of the layers' maps look."""
        return sights_of(self.network, self.layers, self.size)

    def _guided_grad_cam(
        self, x: Any, target: Any, against: Any, question: Question
    ) -> torch.Tensor:
        """Grad-CAM at the pixels of guided backpropagation (Springenberg et al. 2015)."""
        import torch

        x = x.requires_grad_(True)
        evidence = self.evidence(x, target, against).sum()
        # captum knows of ReLU modules alone, and some networks call the function: the nodes of the
        # gradient show both.
        for node in _nodes(evidence):
            if node.name().startswith(RECTIFIERS):
                node.register_prehook(lambda gradients: tuple(g.clamp(min=0) for g in gradients))
        (guided,) = torch.autograd.grad(evidence, x)
        pixels: torch.Tensor = guided.clamp(min=0).sum(dim=1)
        return pixels * self._grad_cam(x.detach(), target, against, question)

    def _integrated_gradients(
        self, x: Any, target: Any, against: Any, _question: Question
    ) -> torch.Tensor:
        from captum.attr import IntegratedGradients

        heat: torch.Tensor = IntegratedGradients(self.evidence).attribute(
            x,
            GLASS,
            additional_forward_args=(target, against),
            n_steps=STEPS,
            internal_batch_size=AT_ONCE,
        )
        return heat.sum(dim=1)

    def _occlusion(self, x: Any, target: Any, against: Any, _question: Question) -> torch.Tensor:
        import torch
        from captum.attr import Occlusion

        side = max(1, round(WINDOW * self.size))
        step = max(1, round(STRIDE * self.size))
        with torch.no_grad():
            heat: torch.Tensor = Occlusion(self.evidence).attribute(
                x,
                (3, side, side),
                (3, step, step),
                GLASS,
                additional_forward_args=(target, against),
                perturbations_per_eval=max(1, AT_ONCE // len(x)),
            )
        return heat.sum(dim=1)

    def _lime(self, x: Any, target: Any, against: Any, question: Question) -> torch.Tensor:
        import torch
        from captum.attr import Lime

        heat = torch.zeros((len(x), self.size, self.size), device=x.device)
        # Its own numbers, since others may draw in other threads meanwhile.
        rng = torch.Generator()

        def covered(_crop: torch.Tensor, *, num_interp_features: int, **_more: Any) -> torch.Tensor:
            return torch.randint(0, 2, (1, num_interp_features), generator=rng).to(x.device)

        method = Lime(self.evidence, ridge(), perturb_func=covered)
        with torch.no_grad():
            for i, crop in enumerate(x):
                # Seeded anew, so that a cell's heat does not depend on the others of its batch.
                rng.manual_seed(question.seed)
                segments = torch.from_numpy(superpixels(crop.permute(1, 2, 0).cpu().numpy()))
                heat[i] = method.attribute(
                    crop[None],
                    GLASS,
                    additional_forward_args=(target[i : i + 1], against[i : i + 1]),
                    feature_mask=segments.to(x.device)[None, None].expand(1, 3, -1, -1),
                    n_samples=question.samples,
                    perturbations_per_eval=AT_ONCE,
                )[0, 0]
        return heat


def _scaled(heat: torch.Tensor, method: str) -> torch.Tensor:
    """Heat of 0 and more, scaled so that the hottest is 1; see :meth:`Attributor.heat`."""
    highest = heat.amax(dim=(1, 2), keepdim=True)
    if part := HOTTEST.get(method):
        usual = heat.flatten(1).quantile(part, dim=1)[:, None, None]
        # Where fewer pixels are hot than the quantile leaves out, it is 0.
        highest = usual.where(usual > 0, highest)
    return (heat / highest.where(highest > 0, highest.new_ones(()))).clamp(max=1)


def _nodes(output: torch.Tensor) -> list[Node]:
    """What a tensor was computed by, every step once."""
    # A dict keeps the order, and a residual network reaches most steps by several paths.
    nodes: dict[Node, None] = {}
    stack = [output.grad_fn]
    while stack:
        if (node := stack.pop()) is not None and node not in nodes:
            nodes[node] = None
            stack += [before for before, _ in node.next_functions]
    return list(nodes)
