"""What is to be done with one tile of a slide, and what it takes to do it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from napari_wbc.classify.predict import Classifier, load_classifier
from napari_wbc.detect.base import Detector
from napari_wbc.detect.film import WindowFinder, see_block_steps, source_of
from napari_wbc.detect.film_plan import Block, FilmPlan
from napari_wbc.detect.finders import make_detector
from napari_wbc.detect.look import Seen
from napari_wbc.detect.tiled import Tile
from napari_wbc.errors import WbcError
from napari_wbc.imaging.pyramid.base import Pyramid
from napari_wbc.imaging.pyramid.opening import open_pyramid
from napari_wbc.model.cell import Prediction
from napari_wbc.model.geometry import BBox
from napari_wbc.model.progress import Progress, Steps


@dataclass(frozen=True)
class Models:
    """Which models a worker loads; as in :func:`~napari_wbc.pipeline.analyze.analyze`."""

    detector: str
    preset: str | None
    parameters: Mapping[str, Any] | None
    weights: str | Path | None
    """None where cells are located only."""
    device: str = "auto"
    threshold: float | None = None


class Bench:
    """What a worker has at hand: its models, and the slide that it reads."""

    def __init__(self, finder: Detector, classifier: Classifier | None) -> None:
        self.finder = finder
        self.classifier = classifier
        self._path: Path | None = None
        self._pyramid: Pyramid | None = None
        self._open = ExitStack()

    @classmethod
    def of(cls, models: Models) -> Bench:
        """Load the models."""
        finder = make_detector(
            models.detector, models.preset, models.parameters, device=models.device
        )
        classifier = None
        if models.weights is not None:
            classifier = load_classifier(
                models.weights, device=models.device, threshold=models.threshold
            )
        return cls(finder, classifier)

    def pyramid(self, path: Path) -> Pyramid:
        """A slide, which stays open until another is asked for."""
        if self._pyramid is None or self._path != path:
            self.close()
            self._pyramid = self._open.enter_context(open_pyramid(path))
            self._path = path
        return self._pyramid

    def close(self) -> None:
        """Let go of the slide."""
        self._pyramid = None
        self._open.close()


def checked_finder(finder: Detector) -> WindowFinder:
    """The cell finder itself, if it can work on a whole slide.

    Raises
    ------
    WbcError
        If it cannot.
    """
    if not isinstance(finder, WindowFinder) or finder.name == "hsv/youssef-2024":
        raise WbcError(
            f"{finder.name} finds one cell an image, so it is not for whole slides; choose another "
            "cell finder or preset."
        )
    return finder


@dataclass(frozen=True)
class Locate:
    """See what a tile shows."""

    path: Path
    plan: FilmPlan
    block: Block

    def steps(self, bench: Bench, progress: Progress) -> Steps[Seen]:
        """Do it, with a step after each window."""
        pyramid = bench.pyramid(self.path)
        finder = checked_finder(bench.finder)
        return see_block_steps(finder, pyramid, self.plan, self.block, progress)


@dataclass(frozen=True)
class Classify:
    """Classify cells of a tile.

    ``boxes`` are in pixels of the slide, by the window whose middle is nearest: it gives the light
    and stain around a cell, the same for tiles of any size.
    """

    path: Path
    plan: FilmPlan
    block: Block
    boxes: tuple[tuple[Tile, tuple[BBox, ...]], ...]

    def steps(self, bench: Bench, progress: Progress) -> Steps[tuple[Prediction, ...]]:
        """Do it, with a step after each window; predictions are in the order of the boxes."""
        assert bench.classifier is not None
        image = bench.pyramid(self.path).read(0, self.block.region)
        predictions: list[Prediction] = []
        for window, boxes in self.boxes:
            part = self.plan.source(window)
            here = [
                BBox(
                    box.top - part.top,
                    box.left - part.left,
                    box.bottom - part.top,
                    box.right - part.left,
                )
                for box in boxes
            ]
            field = source_of(image, self.block, self.plan, window)
            predictions += bench.classifier.classify(field, here)
            yield progress
        return tuple(predictions)


Task: TypeAlias = Locate | Classify
