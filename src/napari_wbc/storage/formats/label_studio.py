"""Reading Label Studio's JSON and JSON-MIN, one file a project, with boxes, polygons and ellipses.

Places and sizes are in percent of the image's width and height.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.files.json_fields import Record, check_object, numbers, part, texts
from napari_wbc.files.visible import visible, with_suffix
from napari_wbc.model.cell import Detection
from napari_wbc.model.geometry import BBox
from napari_wbc.model.progress import Progress, Steps
from napari_wbc.model.slide import IMAGE_SUFFIXES
from napari_wbc.model.training_set import LabelledField
from napari_wbc.model.words import counted
from napari_wbc.storage.formats.drawn import Drawing, Shape, drawn_fields_steps
from napari_wbc.storage.formats.images import Images
from napari_wbc.storage.formats.json_kinds import LABEL_STUDIO, of_kind
from napari_wbc.storage.formats.left_out import LeftOut
from napari_wbc.storage.formats.reading import (
    check_told_size,
    ellipse_ring,
    outline_of,
    told_id,
    turned,
)

CORNERS = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])


def read_label_studio_steps(
    root: Path, named: Path | None = None
) -> Steps[tuple[LabelledField, ...]]:
    """Read exports of Label Studio.

    The JSON files lie in the folder, or in the folders in it, the images anywhere. Of several
    annotations of an image the ground truth is read, or else the newest; predictions are not read.
    An image that nobody annotated is left out. The split is that of the folder, or else ``train``.

    Parameters
    ----------
    root : Path
        Folder of the set.
    named : Path, optional
        The one file that is read; all of the set where None.
    """
    root = Path(root)
    left_out = LeftOut()
    images = Images(root)
    drawings: list[Drawing] = []
    several = 0
    paths = with_suffix(visible(root, "*", "*/*"), ".json")
    for path, data in of_kind(paths, LABEL_STUDIO, named, left_out).items():
        tasks = data if isinstance(data, list) else [data]
        for i, task in enumerate(tasks, start=1):
            place = f"{path}, task {i}"
            with left_out.item(place):
                check_object(task)
                annotations = _annotations(task)
                several += len(annotations) > 1
                image = _image(images, path, task)
                regions = _cells(_regions(annotations[-1]))
                # The size stands in each region, and is looked at there.
                drawings.append(Drawing(path, image, place, regions, (None, None)))
            yield Progress("reading the set", 0, len(drawings))
    if not drawings and not left_out.count:
        raise ReadError(f"{root}: no JSON file of Label Studio; choose the folder that holds it.")
    if several:
        left_out.notes.append(
            f"{counted(several, 'image')} with several annotations; of each one is read, the "
            "ground truth or the newest."
        )
    return (yield from drawn_fields_steps(root, drawings, _shape, left_out, what="region"))


def _annotations(task: Record) -> list[Record]:
    """What people drew on an image, that which counts last."""
    # Older versions' word
    key = "completions" if "completions" in task else "annotations"
    # In JSON-MIN the task is the annotation.
    if key not in task:
        return [task]
    annotations = part(task, key, list)
    drawn = [one for one in annotations if isinstance(one, dict) and not one.get("was_cancelled")]
    if not drawn:
        raise WbcError("nobody annotated it; do so in Label Studio, or take it out of the export.")
    return sorted(drawn, key=_rank)


def _rank(annotation: Record) -> tuple[bool, str]:
    when = annotation.get("updated_at") or annotation.get("created_at") or ""
    return bool(annotation.get("ground_truth")), str(when)


def _regions(annotation: Record) -> list[Any]:
    """What was drawn, each with ``value`` and the size of the image."""
    if "result" in annotation:
        return part(annotation, "result", list)
    regions: list[Any] = []
    for values in annotation.values():
        if isinstance(values, list):
            regions += [one | {"value": one} for one in values if isinstance(one, dict)]
    return regions


def _cells(regions: list[Any]) -> list[Any]:
    """The regions less those whose class stands in another one of the same id.

    Where shapes and classes are two lists, each region is there twice, and once more with a choice.
    """
    classed = {told_id(region) for region in regions if _class_key(region)} - {""}
    return [one for one in regions if _class_key(one) or told_id(one) not in classed]


def _class_key(region: object) -> str:
    """Which field of a region's value has its class; empty where none has."""
    value = region.get("value") if isinstance(region, dict) else None
    # "rectanglelabels", "polygonlabels" and so on, and "labels" where there is one list of all.
    keys = [key for key in value if key.endswith("labels")] if isinstance(value, dict) else []
    return keys[0] if keys else ""


def _image(images: Images, path: Path, task: Record) -> Path:
    data = part(task, "data", dict, task)
    folders = (path.parent.relative_to(images.root).as_posix(), ".", "images")
    for value in (data.get("image"), *data.values()):
        name = _name(value) if isinstance(value, str) else ""
        if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES:
            # Uploads get a prefix: "3f2a1b9c-a.jpg".
            plain = re.sub(r"(^|[/\\])[0-9a-f]{8}-(?=[^/\\]+$)", r"\1", name)
            return images.find_first(folders, (name, plain))
    raise WbcError("it names no image; export the project again.")


def _name(address: str) -> str:
    """The path of an image in an address of Label Studio's or of a cloud."""
    # A file on the server's disk: "/data/local-files/?d=slides/a.jpg".
    _, local, place = address.partition("?d=")
    plain = place if local else re.sub(r"^[a-z][a-z\d+.-]+://[^/]*|\?.*", "", address)
    return unquote(plain)


def _shape(region: Record, size: tuple[int, int]) -> Shape | None:
    # A relation of two regions has none.
    value = part(region, "value", dict, {})
    key = _class_key(region)
    # Of several classes the names together, as QuPath's are.
    label = ": ".join(texts(value, key)) if key else ""
    # A choice or a comment for the whole image
    if not label and not value.keys() & {"points", "radiusX", "height"}:
        return None
    if not label:
        raise WbcError("it has no class; give it one in Label Studio, or take it out.")
    if region.get("image_rotation"):
        raise WbcError("its image was turned in Label Studio; turn it back there, and export it.")
    check_told_size((region.get("original_height"), region.get("original_width")), size)
    return label, _detection(value, size), told_id(region)


def _detection(value: Record, size: tuple[int, int]) -> Detection:
    height, width = size
    scale = np.array([width, height]) / 100
    if "points" in value:
        points = [numbers(point, "a point") for point in part(value, "points", list)]
        if not set(map(len, points)) <= {2}:
            raise WbcError("a point is not x and y; correct it.")
        return _outlined(np.reshape(points, (-1, 2)) * scale)
    turn = _numbers(value, "rotation")[0] if value.get("rotation") else 0.0
    if "radiusX" in value:
        x, y, *radii = _numbers(value, "x", "y", "radiusX", "radiusY") * np.tile(scale, 2)
        return _outlined(ellipse_ring((x, y), (radii[0], radii[1]), turn))
    # A brush has neither, a key point has no height.
    if "height" not in value:
        raise WbcError("it is no box, polygon or ellipse; draw one in Label Studio.")
    x, y, *sides = _numbers(value, "x", "y", "width", "height") * np.tile(scale, 2)
    # A box is turned around its upper left corner; the box around that is read.
    corners = turned(CORNERS * sides, turn) + np.array([x, y])
    return Detection(BBox.around(corners[:, ::-1]))


def _outlined(ring: npt.NDArray[np.float64]) -> Detection:
    outline = outline_of([ring])
    return Detection(outline.bbox, outline)


def _numbers(value: Record, *keys: str) -> npt.NDArray[np.float64]:
    return np.array([numbers([value.get(key)], key)[0] for key in keys])
