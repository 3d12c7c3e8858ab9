"""Which cells to label next, and which labels of slides and training sets to look at twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
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
from napari_wbc.pipeline.held_out import read_training_sets_steps, relabelled
from napari_wbc.weights.card import taxonomy_of
from napari_wbc.weights.registry import DEFAULT_CLASSIFIER, find_weights
from napari_wbc.weights.store import read_card

__all__ = ["Choice", "Chosen", "Doubt", "Doubted", "choose_steps", "doubt_set_steps", "doubt_steps"]

Located = Sequence[tuple[Slide, CellTable]]
Read = Callable[[FieldOfView], npt.NDArray[np.uint8]]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Chosen:
    """A cell to label.

    Parameters
    ----------
    slide : str
    cell : Cell
    confidence : float
        Of the classifier that chose it, at one look, 0 to 1.
    """

    slide: str
    cell: Cell
    confidence: float


@dataclass(frozen=True, slots=True)
class Choice:
    """Which cells to label next.

    Parameters
    ----------
    cells : tuple of Chosen
        The cells, those that teach the most first.
    fields : tuple of (slide, field id, gain)
        Fields with cells to label, those that teach the most first.
    failures : tuple of Failure
        Fields that could not be read, and were left out.
    """

    cells: tuple[Chosen, ...]
    fields: tuple[tuple[str, str, float], ...]
    failures: tuple[Failure, ...] = ()

    @property
    def cell_ids(self) -> tuple[str, ...]:
        """The cells, by their ids."""
        return tuple(chosen.cell.cell_id for chosen in self.cells)


@dataclass(frozen=True, slots=True)
class Doubt:
    """A label to look at twice.

    Parameters
    ----------
    slide, fov, cell_id : str
        The cell. In a training set ``fov`` is the image, and ``slide`` is the laboratory where the
        slide is not known.
    label, suggested : str
        The annotation, and the class that the cell looks like.
    doubt : float
        0.5 (both are equally likely) to 1.
    """

    slide: str
    fov: str
    cell_id: str
    label: str
    suggested: str
    doubt: float


@dataclass(frozen=True, slots=True)
class Doubted:
    """Which labels to look at twice.

    Parameters
    ----------
    doubts : tuple of Doubt
        The most doubted first.
    judged : int
        Labelled cells that were looked at.
    failures : tuple of Failure
        Fields that could not be read, and were left out.
    """

    doubts: tuple[Doubt, ...]
    judged: int
    failures: tuple[Failure, ...] = ()

    @property
    def cell_ids(self) -> tuple[str, ...]:
        """The cells, by their ids."""
        return tuple(doubt.cell_id for doubt in self.doubts)


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """Cells with their slides, their features of shape (N, F), and what could not be read."""

    cells: list[tuple[str, Cell]]
    features: Floats
    failures: tuple[Failure, ...]


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
    device : str
        ``auto``, ``cpu`` or ``cuda``.

    Raises
    ------
    WbcError
        If the weights are not to be had, n is below 0, or no cell is without a label.
    """
    if n < 0:
        raise WbcError(f"{n} cells cannot be chosen; choose 0 or more.")
    every = chain(*(table.values() for _slide, table in located))
    if all(cell.annotation is not None for cell in every):
        raise WbcError("There is no cell without a label; locate cells on further slides first.")
    yield Progress("loading weights", 0, 0)
    classifier = load_classifier(weights, device=device)
    seen = yield from _seen_steps(_fields(located, lambda _cell: True), classifier, read)
    from napari_wbc.train.choose import fields_of_gain, most_gain_steps

    labelled = np.array([cell.annotation is not None for _slide, cell in seen.cells], bool)
    cells = list(compress(seen.cells, ~labelled))
    features = seen.features[~labelled]
    chances = _probabilities(classifier, features)
    # A cell that looks like a labelled one teaches little, so these count as chosen already.
    order = yield from most_gain_steps(chances, features, n, labelled=seen.features[labelled])
    chosen = []
    for i in order:
        slide, cell = cells[i]
        chosen.append(Chosen(slide, cell, float(chances[i].max())))
    slides = {cell.fov_id: slide for slide, cell in cells}
    gains = fields_of_gain(chances, [cell.fov_id for _slide, cell in cells])
    fields = [(slides[fov], fov, gain) for fov, gain in gains]
    return Choice(tuple(chosen), tuple(fields), seen.failures)


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

    def has_class(cell: Cell) -> bool:
        return cell.annotation is not None and bool(class_of(cell.annotation.label))

    fields = list(_fields(located, has_class))
    _check_enough(sum(len(cells) for *_, cells in fields))
    yield Progress("loading weights", 0, 0)
    classifier = load_classifier(weights, device=device)
    seen = yield from _seen_steps(fields, classifier, read)
    rows = [(slide, cell.fov_id, cell.cell_id, cell.label) for slide, cell in seen.cells]
    doubted = yield from _doubted_steps(classifier, rows, seen.features)
    return Doubted(doubted, len(rows), seen.failures)


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
    rows = [(cell.slide or cell.source, str(cell.path), cell.cell_id, cell.label) for cell in cells]
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
    index = {name: i for i, name in enumerate(names)}
    labels = np.array([index[class_of(label) or ""] for *_, label in rows], np.int64)
    # Cells of one field share stain and focus, so none is judged by a model that saw its field.
    groups = np.array([f"{slide}\n{fov}" for slide, fov, *_ in rows], np.str_)
    doubts = yield from doubts_steps(features, labels, groups, names)
    result = []
    for i in doubts.order:
        slide, fov, cell_id, label = rows[i]
        suggested = names[doubts.suggested[i]]
        result.append(Doubt(slide, fov, cell_id, label, suggested, float(doubts.doubt[i])))
    return tuple(result)


def _fields(
    located: Located, wanted: Callable[[Cell], bool]
) -> Iterator[tuple[str, FieldOfView, list[Cell]]]:
    """Slide, field and wanted cells of the fields that have any."""
    for slide, table in located:
        for field in slide.fields:
            if cells := [cell for cell in table.of_field(field.fov_id) if wanted(cell)]:
                yield slide.name, field, cells


def _seen_steps(
    fields: Iterable[tuple[str, FieldOfView, list[Cell]]], classifier: Classifier, read: Read
) -> Steps[_Seen]:
    """The features of the cells of fields, each of which is read once."""
    fields = list(fields)
    total = sum(len(cells) for *_, cells in fields)
    end = 0
    features = [np.zeros((0, classifier.network.head.in_features), np.float32)]
    seen: list[tuple[str, Cell]] = []
    failures: list[Failure] = []
    for slide, field, cells in fields:
        done = end
        end += len(cells)
        try:
            image = read(field)
        except (ReadError, OSError) as error:
            failures.append(Failure(field.path, str(error)))
            yield Progress("features", end, total, f"{field.path.name} is left out: {error}")
            continue
        for batch in classifier.iter_features(image, [cell.detection.bbox for cell in cells]):
            features.append(batch)
            done += len(batch)
            yield Progress("features", done, total)
        seen += [(slide, cell) for cell in cells]
    return _Seen(seen, np.concatenate(features), tuple(failures))


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
