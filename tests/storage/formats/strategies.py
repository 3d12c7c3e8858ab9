"""Any labelled fields, for the round trips of the formats of training sets."""

from __future__ import annotations

import io
import unicodedata
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import strategies as st
from PIL import Image

from napari_wbc.model.cell import Annotation, Cell, Detection, LocatedBy, Prediction
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.progress import run
from napari_wbc.model.split import SPLITS
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.model.training_set import LabelledField

SIDES = st.integers(8, 2000)
STEMS = st.sampled_from(
    ["a", "Zell 1", "Blut-Ö", "細胞", "x.y", "-1", "#2", "O'Neil & 50%"]
) | st.text(
    st.characters(exclude_categories=["C", "Z"], exclude_characters='<>:"/\\|?*.', codec="utf-8"),
    min_size=1,
    max_size=8,
)
TIMES = st.sampled_from(["", "2026-01-02T03:04:05+01:00"])


def folded(name: str) -> str:
    """What a file system that knows neither case nor composition makes of a name."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


@st.composite
def boxes(draw: st.DrawFn, height: int, width: int) -> BBox:
    """A box inside an image, at least 1 px wide."""
    top, left = draw(st.floats(0, height - 1)), draw(st.floats(0, width - 1))
    return BBox(top, left, draw(st.floats(top + 1, height)), draw(st.floats(left + 1, width)))


@st.composite
def outlines(draw: st.DrawFn, height: int, width: int) -> Outline:
    """A simple polygon inside an image, star-shaped around its centre."""
    reach = min(height, width) / 2
    radius = draw(st.floats(3, reach))
    center = draw(st.floats(radius, height - radius)), draw(st.floats(radius, width - radius))
    n, seed = draw(st.integers(3, 40)), draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    angles = (
        2 * np.pi * (np.arange(n) + random.uniform(0, 0.45, n)) / n
    )  # no gap reaches half a turn
    radii = radius * random.uniform(0.6, 1, n)
    points = np.array(center) + (radii * np.array([np.sin(angles), np.cos(angles)])).T
    return Outline.from_array(np.clip(points, 0, (height, width)))


def _good(outline: Outline) -> bool:
    polygon = shapely.Polygon(outline.array())
    return (
        polygon.is_valid and polygon.area >= 4 and min(outline.bbox.height, outline.bbox.width) >= 1
    )


@st.composite
def _predictions(draw: st.DrawFn) -> Prediction:
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    chances = random.dirichlet(np.ones(len(EIGHT_CLASSES.names)))
    return Prediction(
        EIGHT_CLASSES.names,
        tuple(map(float, chances)),
        draw(st.floats(0, 1)),
        draw(st.sampled_from(["", "net 1"])),
        draw(st.none() | st.floats(0, 1e6)),
        draw(st.sampled_from(["", "ab" * 32])),
    )


@st.composite
def _detections(draw: st.DrawFn, height: int, width: int, outlined: bool) -> Detection:
    outline = draw(outlines(height, width).filter(_good)) if outlined else None
    box = outline.bbox if outline else draw(boxes(height, width))
    located_by = LocatedBy("mask-rcnn/mask_rcnn 2 (0b1c)", (("overlap", 0.5), ("score", 0.55)))
    kept = draw(st.sampled_from([None, located_by]))
    return Detection(box, outline, draw(st.floats(0, 1)), draw(st.booleans()), kept)


@st.composite
def labelled_fields(
    draw: st.DrawFn,
    min_fields: int = 0,
    max_fields: int = 4,
    outlines: bool = True,
    splits: Sequence[str] = SPLITS,
) -> tuple[LabelledField, ...]:
    """Fields with up to 4 labelled cells each; with ``outlines``, some of them have one.

    Names, and also their stems, differ even where case does not count.
    """
    seed = draw(st.integers(0, 2**32 - 1))
    stems = draw(st.lists(STEMS, min_size=min_fields, max_size=max_fields, unique_by=folded))
    fields = []
    for i, stem in enumerate(stems):
        name, height, width = f"{stem}.png", draw(SIDES), draw(SIDES)
        cells = []
        for k in range(draw(st.integers(0, 4))):
            detection = draw(_detections(height, width, outlines and draw(st.booleans())))
            annotation = Annotation(
                draw(st.sampled_from(EIGHT_CLASSES.names)),
                draw(st.sampled_from(["", "Ä. B."])),
                draw(TIMES),
            )
            cell_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{seed} {i} {k}"))
            cells.append(
                Cell(cell_id, name, detection, draw(st.none() | _predictions()), annotation)
            )
        split, slide = (
            draw(st.sampled_from(splits)),
            draw(st.sampled_from(["", "slide 1", "Präparat/2"])),
        )
        fields.append(
            LabelledField(name, Path(name), height, width, split, tuple(cells), slide, name)
        )
    return tuple(fields)


def with_images(
    root: Path, fields: Iterable[LabelledField], folder: str | Callable[[LabelledField], str]
) -> tuple[LabelledField, ...]:
    """The fields, each with a PNG at ``root/folder/name`` or where ``image_place`` says."""
    placed = []
    for field in fields:
        path = root / (folder(field) if callable(folder) else f"{folder}/{field.name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_png(field.height, field.width))
        placed.append(replace(field, path=path))
    return tuple(placed)


@lru_cache(maxsize=64)
def _png(height: int, width: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (width, height), 128).save(file, "PNG", compress_level=1)
    return file.getvalue()


def assert_same(read, fields):
    """Whether a set came back: all but the slide, boxes and outlines to a millionth of a pixel."""
    read, fields = (sorted(some, key=lambda field: field.name) for some in (read, fields))
    assert [(f.name, f.path, f.height, f.width, f.split, f.fov_id) for f in read] == [
        (f.name, f.path, f.height, f.width, f.split, f.name) for f in fields
    ]
    for one, field in zip(read, fields, strict=True):
        assert [(c.cell_id, c.label, c.fov_id) for c in one.cells] == [
            (c.cell_id, c.label, field.name) for c in field.cells
        ]
        for a, b in zip(one.cells, field.cells, strict=True):
            assert a.detection.bbox.corners() == pytest.approx(b.detection.bbox.corners(), abs=1e-6)
            assert (a.detection.outline is None) == (b.detection.outline is None)
            if b.detection.outline:
                assert a.detection.outline.array() == pytest.approx(
                    b.detection.outline.array(), abs=1e-6
                )


def at_once(steps):
    """A long function that is run to its end when it is called."""

    def call(*args, **more):
        return run(steps(*args, **more))

    return call
