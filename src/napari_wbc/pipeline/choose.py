"""Which cells to label next, and which labels of slides and training sets to look at twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, compress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_wbc.classify.modes import scores
from napari_wbc.classify.predict import Classifier, load_classifier
from napari_wbc.errors import ReadError, WbcError
from napari_wbc.imaging.read import read_field
from napari_wbc.model.cell import Cell
from napari_wbc.model.failure import Failure
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.model.table import CellTable
from napari_wbc.pipeline.held_out import read_training_sets_steps, relabelled, short_names
from napari_wbc.weights.card import taxonomy_of
from napari_wbc.weights.registry import DEFAULT_CLASSIFIER, find_weights
from napari_wbc.weights.store import read_card

Located = Sequence[tuple[Slide, CellTable]]
Read = Callable[[FieldOfView], npt.NDArray[np.uint8]]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Chosen:
    """A cell to label."""

    slide: str
    cell: Cell
    confidence: float
    """Of the classifier that chose it, at one look, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which cells to label next."""

    cells: tuple[Chosen, ...]
    """The cells, those that teach the most first."""
    fields: tuple[tuple[str, str, float], ...]
    """Slide, id and gain of the fields with cells to label, those that teach the most first."""
    failures: tuple[Failure, ...] = ()
    """Fields that could not be read, and were left out."""

    @property
    def cell_ids(self) -> tuple[str, ...]:
        """The cells, by their ids."""
        return tuple(chosen.cell.cell_id for chosen in self.cells)


@dataclass(frozen=True, slots=True)
class Doubt:
    """A label to look at twice."""

    slide: str
    fov: str
    cell_id: str
    """In a training set ``fov`` is the image, and ``slide`` may be the laboratory instead."""
    label: str
    suggested: str
    """The class that the cell looks like; ``label`` is its annotation."""
    doubt: float
    """0.5 (both are equally likely) to 1."""


@dataclass(frozen=True, slots=True)
class Doubted:
    """Which labels to look at twice."""

    doubts: tuple[Doubt, ...]
    """The most doubted first."""
    judged: int
    """Labelled cells that were looked at."""
    failures: tuple[Failure, ...] = ()
    """Fields that could not be read, and were left out."""

    @property
    def cell_ids(self) -> tuple[str, ...]:
        """The cells, by their ids."""
        return tuple(doubt.cell_id for doubt in self.doubts)


def choose_steps(
    located: Located,
    weights: str | Path = DEFAULT_CLASSIFIER,
    n: int = 50,
    *,
    read: Read = read_field,
    device: str = "auto",
) -> Steps[Choice]:
    """Choose the cells whose labels would teach a classifier the most; each field is read once.

    Parameters
    ----------
    located : sequence of (Slide, CellTable)
        Cells with an annotation count as labelled and are not chosen.
    weights : str or Path
        Name or file of the classifier's weights.
    n : int
        How many cells are wanted, 0 and more.
    read : callable
        Gives the pixels of a field.
    device : {"auto", "cpu", "cuda"}

    Raises
    ------
    WbcError
        If the weights are not to be had, n is below 0, or no cell is without a label.
    """
    if n < 0:
        raise WbcError(f"{n} cells cannot be chosen; choose 0 or more.")
    if not any(len(table) > sum(table.annotated_counts.values()) for _slide, table in located):
        raise WbcError("There is no cell without a label; locate cells on further slides first.")
    yield Progress("loading weights", 0, 0)
    classifier = load_classifier(weights, device=device)
    seen, features, failures = yield from _features_steps(located, classifier, read)
    from napari_wbc.train.choose import fields_of_gain, most_gain_steps

    labelled = np.array([cell.annotation is not None for _slide, cell in seen], bool)
    cells = list(compress(seen, ~labelled))
    known_features, features = features[labelled], features[~labelled]
    chances = _probabilities(classifier, features)
    # A cell that looks like a labelled one teaches little, so these count as chosen already.
    order = yield from most_gain_steps(chances, features, n, labelled=known_features)
    chosen = []
    for i in order:
        slide, cell = cells[i]
        chosen.append(Chosen(slide, cell, float(chances[i].max())))
    slides = {cell.fov_id: slide for slide, cell in cells}
    gains = fields_of_gain(chances, [cell.fov_id for _slide, cell in cells])
    fields = [(slides[fov], fov, gain) for fov, gain in gains]
    return Choice(tuple(chosen), tuple(fields), failures)


def doubt_steps(
    located: Located,
    weights: str | Path = DEFAULT_CLASSIFIER,
    *,
    read: Read = read_field,
    device: str = "auto",
) -> Steps[Doubted]:
    """Doubt the annotations of cells; fields without annotations are not read.

    Parameters
    ----------
    located, weights, read, device
        Of :func:`choose_steps`. Annotations that count as no class of the weights are left out.

    Raises
    ------
    WbcError
        If the weights are not to be had, or fewer than 10 cells have a label.
    """
    class_of = taxonomy_of(read_card(find_weights(weights))).class_of

    annotated: list[tuple[Slide, CellTable]] = []
    for slide, table in located:
        cells = [cell for cell in table.values() if cell.annotation]
        with_class = [cell for cell in cells if class_of(cell.label)]
        annotated.append((slide, CellTable(with_class)))
    _check_enough(sum(len(table) for _slide, table in annotated))
    yield Progress("loading weights", 0, 0)
    classifier = load_classifier(weights, device=device)
    seen, features, failures = yield from _features_steps(annotated, classifier, read)
    rows = [(slide, cell.fov_id, cell.cell_id, cell.label) for slide, cell in seen]
    doubted = yield from _doubted_steps(classifier, rows, features)
    return Doubted(doubted, len(rows), failures)


def doubt_set_steps(
    paths: Sequence[str | Path], weights: str | Path = DEFAULT_CLASSIFIER, *, device: str = "auto"
) -> Steps[Doubted]:
    """Doubt the labels of training sets.

    Parameters
    ----------
    paths : sequence of path
        Training sets, all splits; labels that count as no class of the weights are left out.
    weights, device
        Of :func:`choose_steps`.

    Raises
    ------
    WbcError
        If a set cannot be read, the weights are not to be had, or fewer than 10 cells have a label.
    """
    sets = yield from read_training_sets_steps(paths)
    cells, _left_out = relabelled(chain(*sets), taxonomy_of(read_card(find_weights(weights))))
    _check_enough(len(cells))
    yield Progress("loading weights", 0, len(cells))
    classifier = load_classifier(weights, device=device)
    import torch

    from napari_wbc.train.dataset import cut_training_crops
    from napari_wbc.train.scoring import seen_steps

    data = yield from cut_training_crops(cells, classifier.card.classes, classifier.preset)
    network = classifier.network
    batches = yield from seen_steps(network, data, classifier.preset, "features", network.features)
    features = torch.cat(batches).float().numpy()
    shown = short_names(cell.path for cell in cells)
    rows = [
        (cell.slide or cell.source, shown[cell.path], cell.cell_id, cell.label) for cell in cells
    ]
    doubted = yield from _doubted_steps(classifier, rows, features)
    return Doubted(doubted, len(rows))


def _check_enough(n: int) -> None:
    """Refuse too few cells, before an image is read."""
    from napari_wbc.train.doubts import MIN_DOUBT_CELLS

    if n < MIN_DOUBT_CELLS:
        raise WbcError(
            f"Doubts need at least {MIN_DOUBT_CELLS} labelled cells, and there are {n}; label more."
        )


def _doubted_steps(
    classifier: Classifier, rows: Sequence[tuple[str, str, str, str]], features: Floats
) -> Steps[tuple[Doubt, ...]]:
    """The most doubted of cells given as slide, field, id and label, with their features."""
    from napari_wbc.train.doubts import doubts_steps

    names = classifier.card.classes
    class_of = taxonomy_of(classifier.card).class_of
    labels: list[int] = []
    groups: list[str] = []
    for slide, fov, _cell_id, label in rows:
        labels.append(names.index(class_of(label) or ""))
        # Cells of one field share stain and focus, so none is judged by a model that saw its field.
        groups.append(f"{slide}\n{fov}")
    doubts = yield from doubts_steps(
        features, np.array(labels, np.int64), np.array(groups, np.str_), names
    )
    result = []
    for i in doubts.order:
        slide, fov, cell_id, label = rows[i]
        suggested = names[doubts.suggested[i]]
        result.append(Doubt(slide, fov, cell_id, label, suggested, float(doubts.doubt[i])))
    return tuple(result)


def _features_steps(
    located: Located, classifier: Classifier, read: Read
) -> Steps[tuple[list[tuple[str, Cell]], Floats, tuple[Failure, ...]]]:
    """Cells with their slides, features of shape (N, F), and what could not be read."""
    fields = []
    total = 0
    for slide, table in located:
        for field in slide.fields:
            # A field without a cell is not read.
            if cells := table.of_field(field.fov_id):
                fields.append((slide.name, field, cells))
                total += len(cells)
    done = 0
    features = [np.zeros((0, classifier.network.head.in_features), np.float32)]
    seen: list[tuple[str, Cell]] = []
    failures: list[Failure] = []
    for name, field, cells in fields:
        try:
            image = read(field)
        except (ReadError, OSError) as error:
            failures.append(Failure(field.path, str(error)))
            done += len(cells)
            yield Progress("features", done, total, f"{field.path.name} is left out: {error}")
            continue
        for batch in classifier.iter_features(image, [cell.detection.bbox for cell in cells]):
            features.append(batch)
            done += len(batch)
            yield Progress("features", done, total)
        seen += [(name, cell) for cell in cells]
    return seen, np.concatenate(features), tuple(failures)


def _probabilities(classifier: Classifier, features: Floats) -> npt.NDArray[np.float64]:
    """Probabilities of the classes at one look, shape (N, K), of features of shape (N, F)."""
    import torch

    card = classifier.card
    # Only the head is asked again: the features are most of the work, and were just computed.
    with torch.inference_mode():
        outputs = classifier.network.head(torch.from_numpy(features).to(classifier.device))
        chances = torch.softmax(scores(outputs, card.mode).double() / card.temperature, dim=1)
    result: npt.NDArray[np.float64] = chances.clamp(0, 1).cpu().numpy()
    return result
