"""Why: heat on the cells of a table, or of slides from their files."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from napari_wbc.classify.crops import squares
from napari_wbc.classify.looks import looked_at
from napari_wbc.classify.predict import Classifier, load_classifier
from napari_wbc.errors import ReadError, WbcError
from napari_wbc.explain.attribution import Attributor, Question
from napari_wbc.explain.canvas import inside, mask_of, overlay, painted
from napari_wbc.files.atomic import make_folder, within, write_bytes
from napari_wbc.imaging.read import read_image
from napari_wbc.model.cell import Cell
from napari_wbc.model.heat import Heat
from napari_wbc.model.progress import Progress, Steps, run
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.model.words import counted
from napari_wbc.pipeline.analyze import Failure, analyze_steps
from napari_wbc.pipeline.locate import DEFAULT
from napari_wbc.storage.tables import heat_frame, write_csv
from napari_wbc.weights.registry import DEFAULT_CLASSIFIER

if TYPE_CHECKING:
    import torch

__all__ = [
    "Explanation",
    "explain",
    "explain_cells_steps",
    "explain_files_steps",
]

AT_ONCE = {
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
    """Cells that are called what they were to be set against, and so were not asked about."""

    @property
    def told(self) -> str:
        """One sentence or two on how many cells there are and where their heat lies."""
        inside = [heat.inside for heat in self.heats if np.isfinite(heat.inside)]
        text = f"{counted(len(self.heats))} explained"
        if inside:
            text += f"; {np.mean(inside):.0%} of the heat lies inside the cells"
        if self.itself:
            text += f". {self.itself} are called so themselves and were not set against it"
        if none := len(self.heats) - len(inside):
            text += f". Nothing speaks for the class of {none}"
        if suspect := sum(heat.suspect for heat in self.heats):
            text += f". In {counted(suspect)} most of it lies outside: the model may look at something else"
        return text


def _named(name: str, classes: Sequence[str]) -> str:
    """The class of a name, or else of one with letters of another case."""
    if name in classes:
        return name
    found = next((one for one in classes if one.casefold() == name.casefold()), "")
    if name and not found:
        raise WbcError(f"The model has no class {name!r}; choose one of: {', '.join(classes)}.")
    return found


class _Asked:
    """A classifier that is asked one question."""

    def __init__(self, classifier: Classifier, question: Question) -> None:
        classes, preset = classifier.card.classes, classifier.preset
        target, against = (_named(name, classes) for name in (question.target, question.against))
        question = replace(question, target=target, against=against)
        self.classifier, self.question, self.classes = classifier, question, classes
        self.itself = 0
        self.attributor = Attributor(
            classifier.network,
            preset.size,
            classifier.card.mode,
            layers=question.layers,
            sure=preset.sure,
        )
        self.attributor.check(question)

    def steps(
        self, image: npt.NDArray[np.uint8], cells: Sequence[Cell]
    ) -> Iterator[tuple[Heat, ...]]:
        """Heat of the cells of one field, some at a time."""
        preset, question = self.classifier.preset, self.question
        boxes = [cell.detection.bbox for cell in cells]
        edges = np.array([(box.top, box.left, box.bottom, box.right) for box in boxes]).reshape(
            -1, 4
        )
        sides, corners = squares(edges, preset.factor, image.shape[:2])
        start, n = 0, AT_ONCE[question.method]
        for x in self.classifier.prepared(image, boxes, batch_size=n):
            some = cells[start : start + len(x)]
            target = self._targets(x, some)
            against = self.classes.index(question.against) if question.against else -1
            found = self.attributor.heat(x, target, target.new_full((len(x),), against), question)
            found_here = []
            for i, (cell, values) in enumerate(
                zip(some, found.cpu().numpy(), strict=True), start=start
            ):
                if int(target[i - start]) == against:
                    self.itself += 1
                    continue
                square = (int(corners[i, 0]), int(corners[i, 1]), int(sides[i]))
                mask = mask_of(cell.detection, square, preset.size)
                found_here.append(
                    Heat(
                        cell,
                        *square,
                        values,
                        question.method,
                        self.classes[int(target[i - start])],
                        question.against,
                        inside(values, mask),
                    )
                )
            start += len(x)
            yield tuple(found_here)

    def _targets(self, x: torch.Tensor, cells: Sequence[Cell]) -> torch.Tensor:
        """The class that is asked for of each cell: the one said, or the predicted one."""
        import torch

        known = [
            self.question.target or (c.prediction.cell_class if c.prediction else "") for c in cells
        ]
        target = torch.tensor([self.classes.index(n) if n in self.classes else -1 for n in known])
        unknown = target < 0
        if unknown.any():  # drawn by hand, say; the others keep the class that the table shows
            card, sure = self.classifier.card, self.classifier.preset.sure
            with torch.inference_mode():
                found = looked_at(
                    self.classifier.network, x[unknown.to(x.device)], card.mode, sure
                )[0]
            target[unknown] = found.argmax(dim=1).cpu()
        return target.to(x.device)


def explain_cells_steps(
    slide: Slide,
    cells: Sequence[Cell],
    question: Question,
    *,
    weights: str | Path = DEFAULT_CLASSIFIER,
    device: str = "auto",
    read: Callable[[FieldOfView], npt.NDArray[np.uint8]] | None = None,
    found: Callable[[Sequence[Heat]], object] | None = None,
) -> Steps[Explanation]:
    """Heat of cells of one slide, field by field.

    Parameters
    ----------
    slide : Slide
    cells : sequence of Cell
        Of its fields; each field is read once.
    question : Question
    weights : str or Path
        Name or file of the classifier's weights.
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    read : callable, optional
        Gives the pixels of a field; from its file where None.
    found : callable, optional
        Gets heat as it is found, so that none is lost where the work is cancelled.

    Raises
    ------
    WbcError
        If the model cannot be loaded, or has no such class or layer.
    """
    by_field: dict[str, list[Cell]] = {}
    for cell in cells:
        by_field.setdefault(cell.fov_id, []).append(cell)
    yield Progress("loading weights", 0, len(cells))
    asked = _Asked(load_classifier(weights, device=device), question)
    return (yield from _explain(asked, slide.fields, by_field, read or _read, found=found))


def _read(field: FieldOfView) -> npt.NDArray[np.uint8]:
    return read_image(field.path)


def _explain(
    asked: _Asked,
    fields: Sequence[FieldOfView],
    cells: dict[str, list[Cell]],
    read: Callable[[FieldOfView], npt.NDArray[np.uint8]],
    *,
    found: Callable[[Sequence[Heat]], object] | None = None,
    done_with: Callable[[FieldOfView, npt.NDArray[np.uint8] | None, list[Heat]], None]
    | None = None,
) -> Steps[Explanation]:
    total = sum(len(some) for some in cells.values())
    heats: list[Heat] = []
    failures: list[Failure] = []
    for field in fields:
        some = cells.get(field.fov_id, [])
        if not some and done_with is None:
            continue
        try:
            image = read(field)
        except ReadError as error:
            failures.append(Failure(field.path, str(error)))
            if done_with is not None:
                done_with(field, None, [])
            yield Progress(f"explaining by {asked.question.method}", len(heats), total, str(error))
            continue
        here: list[Heat] = []
        for more in asked.steps(image, some):
            here += more
            if found is not None:
                found(more)
            yield Progress(f"explaining by {asked.question.method}", len(heats) + len(here), total)
        heats += here
        if done_with is not None:
            done_with(field, image, here)
    return Explanation(tuple(heats), tuple(failures), asked.itself)


def explain_files_steps(
    paths: Sequence[str | Path],
    out: str | Path,
    question: Question,
    *,
    detector: str = DEFAULT,
    preset: str | None = None,
    weights: str | Path = DEFAULT_CLASSIFIER,
    device: str = "auto",
) -> Steps[Explanation]:
    """The steps of :func:`explain`."""
    asked = _Asked(load_classifier(weights, device=device), question)
    out = make_folder(Path(out))
    analysis = yield from analyze_steps(
        paths,
        detector=detector,
        preset=preset,
        weights=weights,
        device=device,
        skip=out / "overlays",
    )
    (out / "heat.csv").unlink(missing_ok=True)  # it is of the run before, whose pictures go now
    told = json.dumps({**asdict(asked.question), "model": asked.classifier.card.model_id})

    def write(field: FieldOfView, image: npt.NDArray[np.uint8] | None, heats: list[Heat]) -> None:
        tiff = within(out / "heat", f"{field.fov_id}.tif")
        png = within(out / "overlays", f"{field.fov_id}.png")
        if image is None:
            tiff.unlink(missing_ok=True)
            png.unlink(missing_ok=True)
            return
        canvas = painted(heats, image.shape[:2])
        _write_tiff(tiff, canvas, told)
        write_bytes(png, cv2.imencode(".png", overlay(image, canvas)[..., ::-1])[1].tobytes())

    heats: list[Heat] = []
    failures = list(analysis.failures)
    for one in analysis.slides:
        table, read = one.table, {field.fov_id for field in one.read_fields}
        for field in one.slide.fields:
            if field.fov_id not in read:
                write(field, None, [])
        cells = {field.fov_id: list(table.of_field(field.fov_id)) for field in one.read_fields}
        found = yield from _explain(asked, one.read_fields, cells, _read, done_with=write)
        heats += found.heats
        failures += found.failures
    explanation = Explanation(tuple(heats), tuple(failures), asked.itself)
    write_csv(out / "heat.csv", heat_frame(explanation.heats))
    return explanation


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
        Grad-CAM of the predicted class where None.
    detector, preset
        Of :func:`~napari_wbc.pipeline.locate.make_detector`.
    weights : str or Path
        Name or file of the classifier's weights.
    device : str
        ``auto``, ``cpu`` or ``cuda``.

    Raises
    ------
    WbcError
        If an argument is wrong, a path is missing or something cannot be written.
    """
    paths = [paths] if isinstance(paths, (str, Path)) else paths
    steps = explain_files_steps(
        paths,
        out,
        question or Question(),
        detector=detector,
        preset=preset,
        weights=weights,
        device=device,
    )
    return run(steps)


def _write_tiff(path: Path, canvas: npt.NDArray[np.float32], told: str) -> None:
    """Heat of a field, with the question as its description."""
    import tifffile

    buffer = io.BytesIO()
    options: dict[str, Any] = {
        "compression": "zlib",
        "predictor": True,
        "photometric": "minisblack",
    }
    tifffile.imwrite(buffer, canvas, description=told, metadata=None, **options)
    write_bytes(path, buffer.getvalue())
