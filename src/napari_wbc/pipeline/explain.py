"""Heatmaps of the cells of a table, or of slides from their files."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_wbc.classify.crops import squares
from napari_wbc.classify.looks import looked_at
from napari_wbc.classify.predict import Classifier, load_classifier
from napari_wbc.detect.finders import DEFAULT
from napari_wbc.errors import ReadError, WbcError
from napari_wbc.explain.attribution import Attributor, Question
from napari_wbc.explain.canvas import inside, mask_of, overlay, painted
from napari_wbc.files.atomic import make_folder, within, write_bytes
from napari_wbc.imaging.read import read_field
from napari_wbc.model.cell import Cell
from napari_wbc.model.failure import Failure
from napari_wbc.model.heat import Heat
from napari_wbc.model.progress import Progress, Steps, run
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.model.table import CellTable
from napari_wbc.model.words import counted
from napari_wbc.pipeline.analysis import ReadField
from napari_wbc.pipeline.analyze import analyze_steps
from napari_wbc.pipeline.report import write_png
from napari_wbc.storage.tables import heat_frame, write_csv
from napari_wbc.weights.registry import DEFAULT_CLASSIFIER

if TYPE_CHECKING:
    import torch

BATCH_SIZES = {
    "grad-cam": 32,
    "guided-grad-cam": 32,
    "integrated-gradients": 4,
    "occlusion": 2,
    "lime": 1,
}
"""Cells between two steps, at each of which one may cancel."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Heat of the cells of some slides."""

    heats: tuple[Heat, ...]
    failures: tuple[Failure, ...] = ()
    itself: int = 0
    """Cells that were not explained, since the class to set against is their own."""

    @property
    def summary(self) -> str:
        """One sentence or two on how many cells there are and where their heat lies."""
        shares = [heat.inside for heat in self.heats if np.isfinite(heat.inside)]
        suspect = sum(heat.suspect for heat in self.heats)
        # A cell without any heat has no share inside its outline.
        cold = len(self.heats) - len(shares)
        text = f"{counted(len(self.heats))} explained"
        if shares:
            text += f"; {np.mean(shares):.0%} of the heat lies inside the cells"
        if self.itself:
            text += f". {self.itself} are called so themselves and were not set against it"
        if cold:
            text += f". Nothing speaks for the class of {cold}"
        if suspect:
            text += f". In {counted(suspect)} most of it lies outside: "
            text += "the model may look at something else"
        return text


def _class_named(name: str, classes: Sequence[str]) -> str:
    """The class of a name, in capital or small letters; empty for an empty name."""
    # The very name comes first: two classes of a laboratory may differ by a capital letter.
    if not name or name in classes:
        return name
    for cell_class in classes:
        if cell_class.casefold() == name.casefold():
            return cell_class
    raise WbcError(f"The model has no class {name!r}; choose one of: {', '.join(classes)}.")


class _Explainer:
    """A classifier that is asked one question; a wrong question is refused at once."""

    def __init__(self, classifier: Classifier, question: Question) -> None:
        card = classifier.card
        preset = classifier.preset
        self.classifier = classifier
        self.classes = card.classes
        self.question = replace(
            question,
            target=_class_named(question.target, card.classes),
            against=_class_named(question.against, card.classes),
        )
        self.itself = 0
        self.attributor = Attributor(
            classifier.network, preset.size, card.mode, layers=question.layers, sure=preset.sure
        )
        self.attributor.check(self.question)

    def batches(
        self, image: npt.NDArray[np.uint8], cells: Sequence[Cell]
    ) -> Iterator[tuple[Heat, ...]]:
        """Heat of the cells of one field, some at a time."""
        preset = self.classifier.preset
        question = self.question
        boxes = [cell.detection.bbox for cell in cells]
        edges = np.array(list(map(astuple, boxes)))
        sides, corners = squares(edges.reshape(-1, 4), preset.factor, image.shape[:2])
        start = 0
        # -1 is what the attributor takes for "against nothing", and is no target.
        against = self.classes.index(question.against) if question.against else -1
        batch_size = BATCH_SIZES[question.method]
        for x in self.classifier.prepared(image, boxes, batch_size=batch_size):
            batch = cells[start : start + len(x)]
            targets = self._targets(x, batch)
            others = targets.new_full((len(x),), against)
            values = self.attributor.heat(x, targets, others, question).cpu().numpy()
            heats = []
            rows = zip(batch, targets.tolist(), values, strict=True)
            for i, (cell, target, heat) in enumerate(rows, start=start):
                # Set against itself, a class has no evidence at all.
                if target == against:
                    self.itself += 1
                    continue
                square = (int(corners[i, 0]), int(corners[i, 1]), int(sides[i]))
                share = inside(heat, mask_of(cell.detection, square, preset.size))
                names = (question.method, self.classes[target], question.against)
                heats.append(Heat(cell, *square, heat, *names, share))
            start += len(x)
            yield tuple(heats)

    def _targets(self, x: torch.Tensor, cells: Sequence[Cell]) -> torch.Tensor:
        """Index of the class that each cell is explained for: as asked, or as predicted."""
        import torch

        indices = []
        for cell in cells:
            predicted = cell.prediction.cell_class if cell.prediction else ""
            name = self.question.target or predicted
            indices.append(self.classes.index(name) if name in self.classes else -1)
        targets = torch.tensor(indices)
        unknown = targets < 0
        # Cells drawn by hand, or predicted by a model of other classes, are classified here; the
        # others keep the class that the table shows, which one more look could change.
        if unknown.any():
            model = self.classifier
            some = x[unknown.to(x.device)]
            with torch.inference_mode():
                scores, _ = looked_at(model.network, some, model.card.mode, model.preset.sure)
            targets[unknown] = scores.argmax(dim=1).cpu()
        return targets.to(x.device)


def explain_cells_steps(
    slide: Slide,
    cells: Sequence[Cell],
    question: Question,
    *,
    weights: str | Path = DEFAULT_CLASSIFIER,
    device: str = "auto",
    read: ReadField = read_field,
    on_heat: Callable[[Sequence[Heat]], object] | None = None,
) -> Steps[Explanation]:
    """Heat of cells of one slide, whose fields are read once each.

    Parameters
    ----------
    weights, device
        As in :func:`explain`.
    on_heat : callable, optional
        Gets heat as it is found, so that none is lost if the work is cancelled.

    Raises
    ------
    WbcError
        If the model cannot be loaded, or has no such class or layer.
    """
    table = CellTable(cells)
    fields = [field for field in slide.fields if table.of_field(field.fov_id)]
    yield Progress("loading weights", 0, len(cells))
    explainer = _Explainer(load_classifier(weights, device=device), question)
    return (yield from _explain_steps(explainer, fields, table, read, on_heat=on_heat))


def _explain_steps(
    explainer: _Explainer,
    fields: Sequence[FieldOfView],
    table: CellTable,
    read: ReadField,
    *,
    on_heat: Callable[[Sequence[Heat]], object] | None = None,
    on_field: Callable[[FieldOfView, npt.NDArray[np.uint8], list[Heat]], None] | None = None,
) -> Steps[Explanation]:
    """Explain the cells of fields, also of those without any."""
    step = f"explaining by {explainer.question.method}"
    total = len(table)
    heats: list[Heat] = []
    failures: list[Failure] = []
    for field in fields:
        try:
            image = read(field)
        except ReadError as error:
            failures.append(Failure(field.path, str(error)))
            yield Progress(step, len(heats), total, str(error))
            continue
        before = len(heats)
        for batch in explainer.batches(image, table.of_field(field.fov_id)):
            heats += batch
            if on_heat is not None:
                on_heat(batch)
            yield Progress(step, len(heats), total)
        if on_field is not None:
            on_field(field, image, heats[before:])
    return Explanation(tuple(heats), tuple(failures), explainer.itself)


def explain_files_steps(
    paths: Sequence[str | Path],
    out: str | Path,
    question: Question,
    detector: str = DEFAULT,
    preset: str | None = None,
    *,
    weights: str | Path = DEFAULT_CLASSIFIER,
    device: str = "auto",
) -> Steps[Explanation]:
    """The steps of :func:`explain`."""
    # A wrong model, class or layer is refused before the folder is made and cells are located.
    explainer = _Explainer(load_classifier(weights, device=device), question)
    out = make_folder(Path(out))
    overlays = out / "overlays"
    analysis = yield from analyze_steps(
        paths, detector, preset, weights=weights, device=device, skip=overlays
    )
    model = explainer.classifier.card.model_id
    description = json.dumps({**asdict(explainer.question), "model": model})

    def pictures(field: FieldOfView) -> tuple[Path, Path]:
        tiff = within(out / "heat", f"{field.fov_id}.tif")
        return tiff, within(overlays, f"{field.fov_id}.png")

    def write(field: FieldOfView, image: npt.NDArray[np.uint8], heats: list[Heat]) -> None:
        tiff, png = pictures(field)
        canvas = painted(heats, image.shape[:2])
        _write_tiff(tiff, canvas, description)
        write_png(png, overlay(image, canvas))

    # Table and pictures of an earlier run go first, so that none outlives a field that fails now.
    (out / "heat.csv").unlink(missing_ok=True)
    for slide in analysis.slides:
        for field in slide.slide.fields:
            for path in pictures(field):
                path.unlink(missing_ok=True)
    heats: list[Heat] = []
    failures = list(analysis.failures)
    for slide in analysis.slides:
        # Also fields without cells: each gets its pictures, which show that nothing was found.
        fields = slide.read_fields
        result = yield from _explain_steps(
            explainer, fields, slide.table, read_field, on_field=write
        )
        heats += result.heats
        failures += result.failures
    write_csv(out / "heat.csv", heat_frame(heats))
    return Explanation(tuple(heats), tuple(failures), explainer.itself)


def explain(
    paths: str | Path | Sequence[str | Path],
    out: str | Path,
    question: Question | None = None,
    *,
    detector: str = DEFAULT,
    preset: str | None = None,
    weights: str | Path = DEFAULT_CLASSIFIER,
    device: str = "auto",
) -> Explanation:
    """Locate and classify the cells of slides, and write why they were classified so.

    Parameters
    ----------
    paths : path or sequence of paths
        Image files, and folders of image files.
    out : str or Path
        Folder: ``heat/`` gets a TIFF a field (float32, 0 to 1), ``overlays/`` a PNG, and
        ``heat.csv`` a row a cell with the share of its heat inside its outline.
    question : Question, optional
        Grad-CAM of the predicted class if None.
    detector, preset, weights, device
        As in :func:`~napari_wbc.pipeline.analyze.analyze`.

    Raises
    ------
    WbcError
        If an argument is wrong, a path is missing or something cannot be written.
    """
    paths = [paths] if isinstance(paths, (str, Path)) else paths
    question = question or Question()
    steps = explain_files_steps(
        paths, out, question, detector, preset, weights=weights, device=device
    )
    return run(steps)


def _write_tiff(path: Path, canvas: npt.NDArray[np.float32], description: str) -> None:
    """Heat of a field, with the question as its description."""
    import tifffile

    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        canvas,
        description=description,
        # Else tifffile adds a description of its own, and ours is no longer the only one.
        metadata=None,
        compression="zlib",
        predictor=True,
        photometric="minisblack",
    )
    write_bytes(path, buffer.getvalue())
