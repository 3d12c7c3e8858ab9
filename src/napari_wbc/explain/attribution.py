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

import numpy as np
import numpy.typing as npt

from napari_wbc.classify.looks import orientations, turned_back
from napari_wbc.classify.modes import scores
from napari_wbc.errors import WbcError
from napari_wbc.explain.sight import Sight, sights_of, spread

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.autograd.graph import Node

    from napari_wbc.classify.networks.base import FeatureNetwork

__all__ = ["METHODS", "Attributor", "Question", "map_layers"]

METHODS = ("grad-cam", "guided-grad-cam", "integrated-gradients", "occlusion", "lime")
GLASS = 1.6
"""What bare glass is in a prepared crop: the absence that a cell is compared with."""
STEPS = 24
"""Of integrated gradients, from glass to the crop."""
WINDOW, STRIDE = 1 / 6, 1 / 12
"""Side and step of what occlusion covers, as parts of the crop's side."""
SEGMENTS = 40
"""Superpixels of LIME, about."""
AT_ONCE = 64
"""Crops that a network takes at once."""
RECTIFIERS = ("ReluBackward", "HardtanhBackward")
"""Steps of a gradient that guided backpropagation rectifies once more: ReLU and ReLU6."""
HOTTEST = {"guided-grad-cam": 0.99, "integrated-gradients": 0.99}
"""Share of the pixels that are at most as hot as 1, where heat is of single pixels: a few outshine all."""
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
        Of Grad-CAM; the last of each side up to a quarter of the crop's where empty.
    sure : float
        Crops whose highest probability is below this, 0 to 1, are asked about in all orientations,
        as
        :func:`~napari_wbc.classify.looks.looked_at` classifies them: their heat is the mean, turned back.

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
        known = map_layers(network, size)
        for layer in layers:
            if layer not in known:
                raise WbcError(
                    f"The network has no layer {layer!r}; choose of: {', '.join(known)}."
                )
        self.network, self.size, self.mode, self.sure = network, size, mode, sure
        self.layers = layers or _deep(known, DEEP * size)

    def check(self, question: Question) -> None:
        """Refuse a question that the network cannot answer.

        Raises
        ------
        WbcError
            If the method looks at square maps and the network has none.
        """
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
        said = self.scores(x)
        other = said.gather(1, against.clamp(min=0)[:, None])[:, 0]
        wanted: torch.Tensor = said.gather(1, target[:, None])[:, 0] - other * (against >= 0)
        return wanted

    def scores(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of the classes, shape (N, classes); see :func:`napari_wbc.classify.modes.scores`."""
        return scores(self.network(x), self.mode)

    def heat(
        self, x: torch.Tensor, target: torch.Tensor, against: torch.Tensor, question: Question
    ) -> torch.Tensor:
        """Heat of a batch, shape (N, size, size), float32, 0 to 1; the hottest pixel of each crop is 1.

        Of methods whose heat is of single pixels (:data:`HOTTEST`) the hottest hundredth is.

        A crop that nothing speaks for is 0 throughout.

        Parameters
        ----------
        x, target, against : Tensor
            As in :meth:`evidence`.
        question : Question
            Its method, samples and seed; classes are given beside it.
        """
        import torch

        if not len(x):
            return x.new_zeros((0, self.size, self.size))
        found = self._one_look(x, target, against, question)
        if not self.sure:
            return found
        with torch.inference_mode():
            unsure = (
                (torch.softmax(self.scores(x), dim=1).amax(dim=1) < self.sure)
                .nonzero()[:, 0]
                .clone()
            )
        if not len(unsure):
            return found
        # As many samples in all as of a cell that is looked at once.
        each = replace(question, samples=max(2, question.samples // 8))
        some, wanted, other = x[unsure], target[unsure], against[unsure]
        looks = [self._one_look(turned, wanted, other, each) for turned in orientations(some)]
        mean = torch.stack(turned_back(looks)).mean(dim=0)
        return found.index_copy(0, unsure, _scaled(mean, question.method))

    def _one_look(
        self, x: torch.Tensor, target: torch.Tensor, against: torch.Tensor, question: Question
    ) -> torch.Tensor:
        """Heat of crops as they are turned."""
        import torch

        ways: dict[str, Callable[..., torch.Tensor]] = {
            "grad-cam": self._grad_cam,
            "guided-grad-cam": self._guided_grad_cam,
            "integrated-gradients": self._integrated_gradients,
            "occlusion": self._occlusion,
            "lime": self._lime,
        }
        with torch.enable_grad():
            # Copies, since what was made in inference mode takes no part in gradients.
            found = ways[question.method](
                x.detach().clone(), target.clone(), against.clone(), question
            )
        return _scaled(found.detach().float().clamp(min=0), question.method)

    def _grad_cam(self, x: Any, target: Any, against: Any, question: Question) -> torch.Tensor:
        """Grad-CAM of the layers, from one forward pass; backwards only to the first of them."""
        import torch

        self.check(question)
        maps: dict[str, torch.Tensor] = {}

        def keep(name: str, output: torch.Tensor) -> torch.Tensor:
            # What comes before the first layer needs no gradient.
            maps[name] = output if output.requires_grad else output.detach().requires_grad_(True)
            return maps[name].clone()  # what follows may change it in its place

        handles = [
            self.network.get_submodule(name).register_forward_hook(
                lambda _module, _inputs, output, name=name: keep(name, output)
            )
            for name in self.layers
        ]
        frozen = [p for p in self.network.parameters() if p.requires_grad]
        try:
            for parameter in frozen:
                parameter.requires_grad_(False)
            said = self.evidence(x, target, against)
            gradients = torch.autograd.grad(said.sum(), list(maps.values()))
        finally:
            for handle in handles:
                handle.remove()
            for parameter in frozen:
                parameter.requires_grad_(True)
        heat = torch.ones((), device=x.device)
        for (name, values), gradient in zip(maps.items(), gradients, strict=True):
            weighed = (gradient.mean(dim=(2, 3), keepdim=True) * values.detach()).sum(
                dim=1, keepdim=True
            )
            heat = heat * spread(weighed.clamp(min=0).float(), self.sights[name], self.size)[:, 0]
        return heat

    @cached_property
    def sights(self) -> dict[str, Sight]:
        """Where the elements of the layers' maps look."""
        return sights_of(self.network, self.layers, self.size)

    def _guided_grad_cam(
        self, x: Any, target: Any, against: Any, question: Question
    ) -> torch.Tensor:
        """Grad-CAM at the pixels that guided backpropagation (Springenberg et al. 2015) leads to.

        Captum's knows of ReLU modules alone, and some networks call the function.
        """
        import torch

        x = x.requires_grad_(True)
        said = self.evidence(x, target, against).sum()
        for node in _nodes(said):
            if node.name().startswith(RECTIFIERS):
                node.register_prehook(lambda gradients: tuple(g.clamp(min=0) for g in gradients))
        (guided,) = torch.autograd.grad(said, x)
        found: torch.Tensor = guided.clamp(min=0).sum(dim=1)
        return found * self._grad_cam(x.detach(), target, against, question)

    def _integrated_gradients(
        self, x: Any, target: Any, against: Any, _question: Question
    ) -> torch.Tensor:
        from captum.attr import IntegratedGradients

        method = IntegratedGradients(self.evidence)
        found: torch.Tensor = method.attribute(
            x,
            GLASS,
            additional_forward_args=(target, against),
            n_steps=STEPS,
            internal_batch_size=AT_ONCE,
        )
        return found.sum(dim=1)

    def _occlusion(self, x: Any, target: Any, against: Any, _question: Question) -> torch.Tensor:
        import torch
        from captum.attr import Occlusion

        side, step = max(1, round(WINDOW * self.size)), max(1, round(STRIDE * self.size))
        with torch.no_grad():
            found: torch.Tensor = Occlusion(self.evidence).attribute(
                x,
                (3, side, side),
                (3, step, step),
                GLASS,
                additional_forward_args=(target, against),
                perturbations_per_eval=max(1, AT_ONCE // len(x)),
            )
        return found.sum(dim=1)

    def _lime(self, x: Any, target: Any, against: Any, question: Question) -> torch.Tensor:
        import torch
        from captum.attr import Lime

        found = torch.zeros((len(x), self.size, self.size), device=x.device)
        drawn = torch.Generator()  # its own: others may draw in other threads meanwhile

        def covered(_crop: torch.Tensor, *, num_interp_features: int, **_more: Any) -> torch.Tensor:
            return torch.randint(0, 2, (1, num_interp_features), generator=drawn).to(x.device)

        method = Lime(self.evidence, _ridge(), perturb_func=covered)
        with torch.no_grad():
            for i, crop in enumerate(x):
                drawn.manual_seed(question.seed)
                segments = torch.from_numpy(superpixels(crop.permute(1, 2, 0).cpu().numpy())).to(
                    x.device
                )
                found[i] = method.attribute(
                    crop[None],
                    GLASS,
                    additional_forward_args=(target[i : i + 1], against[i : i + 1]),
                    feature_mask=segments[None, None].expand(1, 3, -1, -1),
                    n_samples=question.samples,
                    perturbations_per_eval=AT_ONCE,
                )[0, 0]
        return found


def _scaled(found: torch.Tensor, method: str) -> torch.Tensor:
    """Heat of 0 and more, shape (N, size, size), of which the hottest is 1; see :meth:`Attributor.heat`."""
    highest = found.amax(dim=(1, 2), keepdim=True)
    if part := HOTTEST.get(method):
        usual = found.flatten(1).quantile(part, dim=1)[:, None, None]
        highest = usual.where(usual > 0, highest)
    return (found / highest.where(highest > 0, highest.new_ones(()))).clamp(max=1)


def _ridge() -> Any:
    """Ridge regression for LIME; captum's own draws random numbers of those that all threads share."""
    import torch
    from captum._utils.models.model import Model
    from sklearn.linear_model import Ridge

    class Weighted(Model):  # type: ignore[misc]
        def fit(self, train_data: Any, **_options: Any) -> None:
            covered, said, weight = (values.cpu().numpy() for values in train_data.dataset.tensors)
            self.found = (
                Ridge(alpha=1.0).fit(covered, said.ravel(), sample_weight=weight.ravel()).coef_
            )

        def representation(self) -> torch.Tensor:
            return torch.as_tensor(self.found, dtype=torch.float32)[None]

        def __call__(self, x: torch.Tensor) -> torch.Tensor:
            return x.float() @ self.representation().T

    return Weighted()


def superpixels(crop: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Superpixels of a prepared crop, shape (size, size), numbered from 0 (SLIC, Achanta et al. 2012)."""
    from skimage.segmentation import slic

    scaled = (crop - crop.min()) / max(float(np.ptp(crop)), 1e-6)
    found: npt.NDArray[np.int64] = slic(scaled, SEGMENTS, compactness=10, start_label=0).astype(
        np.int64
    )
    return found


def map_layers(network: nn.Module, size: int) -> dict[str, int]:
    """Names of the layers whose output is a square map, in the order they are called, and its side.

    Of layers inside each other that give the same map, the outer one is named.
    """
    import torch

    called: list[tuple[str, torch.Tensor]] = []
    handles = [
        module.register_forward_hook(
            lambda _m, _i, output, name=name: called.append((name, output))
        )
        for name, module in network.named_modules()
        if name
    ]
    try:
        with torch.inference_mode():
            network(torch.zeros((2, 3, size, size)).to(next(network.parameters())))
    finally:
        for handle in handles:
            handle.remove()
    sides: dict[str, int] = {}
    for name, output in called:
        square = (
            isinstance(output, torch.Tensor)
            and output.ndim == 4
            and output.shape[2] == output.shape[3]
        )
        if square and output.shape[2] > 1:
            sides[name] = int(output.shape[2])
    return {
        name: side
        for name, side in sides.items()
        if all(sides.get(up) != side for up in _above(name))
    }


def _deep(layers: dict[str, int], largest: float) -> tuple[str, ...]:
    """The last of the outermost layers of each side up to a largest one; the very last where none is."""
    chosen: dict[int, str] = {}
    for name, side in layers.items():
        if name.count(".") <= chosen.get(side, name).count("."):
            chosen[side] = name
    deep = [name for name in layers if chosen[layers[name]] == name and layers[name] <= largest]
    return tuple(deep or list(layers)[-1:])


def _above(name: str) -> list[str]:
    """Names of the modules that a module lies in."""
    parts = name.split(".")
    return [".".join(parts[:i]) for i in range(1, len(parts))]


def _nodes(output: torch.Tensor) -> list[Node]:
    """What a tensor was computed by, every step once."""
    found: dict[Node, None] = {}
    left = [output.grad_fn]
    while left:
        if (node := left.pop()) is not None and node not in found:
            found[node] = None
            left += [before for before, _ in node.next_functions]
    return list(found)
