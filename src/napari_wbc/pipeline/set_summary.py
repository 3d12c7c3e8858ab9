"""What a training set holds, and whether a model can learn from it; no image is looked at."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from napari_wbc.errors import WbcError
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.split import PURPOSES, SPLITS, farthest, splits_told
from napari_wbc.model.training_set import LabelledCell
from napari_wbc.model.words import counted
from napari_wbc.storage.formats.manifest import MANIFEST, ListedField, listed_fields
from napari_wbc.storage.labelled_cells import read_training_set_steps
from napari_wbc.storage.sets import newest_round
from napari_wbc.weights.card import training_images
from napari_wbc.weights.model import Model

MIN_CELLS = 10
"""Labelled cells that training needs."""


@dataclass(frozen=True, slots=True)
class SetSlide:
    """A slide of a training set."""

    name: str
    """Empty for fields of which the slide is not known."""
    split: str
    labels: Mapping[str, int]
    """Labelled cells by their label."""
    used_by: tuple[str, ...] = ()
    """Models that were trained or chosen on it, as far as their cards tell."""

    @property
    def cells(self) -> int:
        """Labelled cells."""
        return sum(self.labels.values())


@dataclass(frozen=True, slots=True)
class SetSummary:
    """What the newest round of a training set holds."""

    folder: Path | None = None
    """Of the round; None where there is no set yet, or it is another program's."""
    slides: tuple[SetSlide, ...] = ()
    """That have labelled cells, in order."""
    cells: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    """Labelled cells by split; an image may keep another split than its slide has."""

    @property
    def line(self) -> str:
        """The summary in one line.

        Examples
        --------
        >>> slides = SetSlide("a", "train", {"blast": 20}), SetSlide("b", "test", {"blast": 1})
        >>> SetSummary(Path(), slides, {"train": 20, "val": 0, "test": 1}).line
        '21 cells of 2 slides: 20 to learn, 0 to check, 1 to test'
        """
        n = sum(self.cells.values())
        splits = ", ".join(f"{self.cells[split]} to {PURPOSES[split]}" for split in SPLITS)
        return f"{counted(n, 'cell')} of {counted(len(self.slides), 'slide')}: {splits}"


def set_summary(folder: str | Path, models: Iterable[Model] = ()) -> SetSummary:
    """Summarize a training set by the manifest of its newest round alone.

    Parameters
    ----------
    models : iterable of Model
        Of which those are named that used a slide.

    Raises
    ------
    WbcError
        If the manifest is damaged.
    """
    newest = newest_round(Path(folder))
    if newest is None or not (newest / MANIFEST).is_file():
        return SetSummary()
    fields, made = listed_fields(newest)
    labels: dict[str, Counter[str]] = defaultdict(Counter)
    images: dict[str, set[str]] = defaultdict(set)
    splits: dict[str, str] = {}
    for listed in fields:
        labels[listed.slide].update(listed.labels)
        images[listed.slide].add(listed.sha256)
        splits[listed.slide] = farthest(listed.split, splits.get(listed.slide, ""))
    # A slide keeps its own split even where each of its images keeps another.
    splits |= splits_told(made.get("slides"))
    used = {model.name: training_images(model.card) for model in models if model.card}
    slides: list[SetSlide] = []
    for name in sorted(labels):
        own = frozenset(images[name] - {""})
        by = tuple(model for model, known in used.items() if own & known)
        # A slide without a labelled cell is not listed.
        if labels[name]:
            slides.append(SetSlide(name, splits[name], labels[name], by))
    return SetSummary(newest, tuple(slides), _cells_by_split(fields))


def _cells_by_split(fields: Sequence[ListedField]) -> dict[str, int]:
    cells = dict.fromkeys(SPLITS, 0)
    for listed in fields:
        cells[listed.split] += listed.cells
    return cells


def check_ready_steps(sets: Sequence[str | Path], *, detector: bool = False) -> Steps[None]:
    """Refuse training sets for which :func:`ready_steps` says why; before anything slow."""
    yield Progress("reading labels", 0, 0)
    if why := (yield from ready_steps(sets, detector=detector)):
        raise WbcError(why)


def ready_steps(sets: Sequence[str | Path], *, detector: bool = False) -> Steps[str]:
    """Say in a sentence why a model cannot learn from training sets; empty where it can.

    Parameters
    ----------
    detector : bool
        Whether the model is a cell finder, which learns from fields whose cells were all reviewed.

    Raises
    ------
    WbcError
        If one cannot be read.
    """
    fields: list[ListedField] = []
    for path in map(Path, sets):
        if not path.exists():
            return f"{path}: no such file or folder; check the path, or add reviewed cells first."
        yield Progress("reading labels", 0, 0)
        root = newest_round(path) or path
        # Our manifest lists what is needed; of another tool's set every label has to be read.
        if (root / MANIFEST).is_file():
            fields += listed_fields(root)[0]
        else:
            fields += _as_listed((yield from read_training_set_steps(path)))
    return _lacking(fields, "this set" if len(sets) == 1 else "these sets", detector=detector)


def _lacking(fields: Sequence[ListedField], these: str, *, detector: bool) -> str:
    """Why a model cannot learn from the fields of sets; empty where it can."""
    cells = _cells_by_split(fields)
    if not any(cells.values()):
        return f"No cell of {these} is labelled; label cells, and add them first."
    if not cells["train"]:
        purposes = _purposes_of(cells["val"], cells["test"])
        return f"No slide of {these} is in train: {purposes}. Move a slide to train."
    complete = [listed.split for listed in fields if listed.complete and listed.cells]
    reviewed = [split for split in complete if split != "test"]
    if detector and len(reviewed) < 2:
        return (
            "A cell finder learns from fields of which every cell was reviewed; review two or more."
        )
    if detector and "train" not in reviewed:
        return f"No field in train is completely reviewed in {these}; review all cells of one."
    n = cells["train"] + cells["val"]
    if n >= MIN_CELLS:
        return ""
    test = f" beside {cells['test']} that are kept for testing" if cells["test"] else ""
    needs = f"Fine-tuning needs {MIN_CELLS} labelled cells or more"
    return f"{needs}, and there are {n}{test}; label more."


def _purposes_of(val: int, test: int) -> str:
    """What all cells are kept for, where none is there to learn from."""
    if val and test:
        verb = "is" if val == 1 else "are"
        return f"{counted(val)} {verb} kept for validation and {test} for testing"
    n = val or test
    cells = f"all {n} cells are" if n > 1 else "its only cell is"
    return f"{cells} kept for {'validation' if val else 'testing'}"


def _as_listed(cells: Iterable[LabelledCell]) -> list[ListedField]:
    """Fields of labelled cells as a manifest would list them."""
    labels: dict[tuple[Path, str, str, bool], list[str]] = defaultdict(list)
    for cell in cells:
        known = labels[cell.path, cell.split, cell.slide, cell.complete]
        # An image in which there is no cell comes as a cell with an empty label.
        if cell.label:
            known.append(cell.label)
    return [
        ListedField(slide, split, "", complete, tuple(known))
        for (_path, split, slide, complete), known in labels.items()
    ]
