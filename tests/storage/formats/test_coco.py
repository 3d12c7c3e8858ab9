"""COCO: exact round trips, what pycocotools and supervision open, and what is refused."""

from __future__ import annotations

import contextlib
import io
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
import supervision
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from napari_wbc.errors import ReadError, WbcError
from napari_wbc.model.cell import Annotation, Cell, Detection
from napari_wbc.model.geometry import BBox, Outline
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.model.training_set import LabelledField
from napari_wbc.storage.formats.coco import read_coco_steps, write_coco_steps
from napari_wbc.storage.formats.coco_masks import mask_ring, read_mask
from napari_wbc.storage.formats.reading import image_place

from .strategies import at_once, labelled_fields, with_images

read_coco = at_once(read_coco_steps)
write_coco = at_once(write_coco_steps)

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning:pycocotools"
)
EXAMPLES = int(os.environ.get("NAPARI_WBC_EXAMPLES", "200"))
NAMES = EIGHT_CLASSES.names
MASKS = st.sampled_from(["polygon", "rle"])


@contextlib.contextmanager
def written(fields, masks="polygon"):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "set")
        placed = with_images(root, fields, image_place)
        write_coco(root, placed, NAMES, masks=masks)
        yield root, placed


def opened(path):
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(path)


def edges(box):
    return box.top, box.left, box.bottom, box.right


def iou(first, second):
    a, b = (shapely.Polygon(outline.array()) for outline in (first, second))
    return a.intersection(b).area / a.union(b).area


def field(*cells, name="a.png", height=20, width=30, split="train"):
    return LabelledField(name, Path(name), height, width, split, cells, fov_id=name)


def cell(detection, cell_id="c1", label="neutrophil"):
    return Cell(cell_id, "a.png", detection, annotation=Annotation(label))


BOX = cell(Detection(BBox(2.5, 3, 12, 18.25), score=0.5))
OUTLINED = cell(
    Detection(BBox(1, 2, 9, 11), Outline(((1, 2), (9, 2.5), (8, 11)))), "c2", "monocyte"
)


def test_an_empty_set():
    with written([]) as (root, _):
        assert read_coco(root) == ()
        assert [path.name for path in root.rglob("*.json")] == ["train.json"]


def test_a_field_without_cells():
    with written([field(split="val")]) as (root, placed):
        assert read_coco(root) == placed
        assert [path.name for path in root.rglob("*.json")] == ["val.json"]


def test_what_is_written():
    with written([field(BOX, OUTLINED)]) as (root, _):
        content = json.loads((root / "annotations/train.json").read_text(encoding="utf-8"))
    assert [(c["id"], c["name"]) for c in content["categories"]] == list(enumerate(NAMES, start=1))
    assert content["images"] == [
        {"id": 1, "file_name": "a.png", "height": 20, "width": 30, "slide": ""}
    ]
    box, outlined = content["annotations"]
    assert box["bbox"] == [3, 2.5, 15.25, 9.5]
    assert (box["area"], box["segmentation"], box["iscrowd"]) == (15.25 * 9.5, [], 0)
    assert (box["cell_id"], box["score"]) == ("c1", 0.5)
    assert outlined["segmentation"] == [[2, 1, 2.5, 9, 11, 8]]
    assert outlined["area"] == shapely.Polygon(OUTLINED.detection.outline.array()).area


def test_a_label_that_is_no_class_is_refused_and_nothing_written(tmp_path):
    with pytest.raises(WbcError, match="neutrophil"):
        write_coco(tmp_path, [field(BOX)], ["monocyte"])
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=EXAMPLES)
@given(labelled_fields(), MASKS)
def test_round_trip(fields, masks):
    with written(fields, masks) as (root, placed):
        back = {one.name: one for one in read_coco(root)}
    assert back.keys() == {one.name for one in placed}
    for old in placed:
        new = back[old.name]
        assert replace(new, cells=()) == replace(old, cells=())
        for a, b in zip(old.cells, new.cells, strict=True):
            assert (a.cell_id, a.label, a.detection.score) == (
                b.cell_id,
                b.label,
                b.detection.score,
            )
            assert edges(b.detection.bbox) == pytest.approx(edges(a.detection.bbox), abs=1e-6)
            assert (a.detection.outline is None) == (b.detection.outline is None)
            if a.detection.outline and masks == "polygon":
                assert b.detection.outline == a.detection.outline
                assert iou(a.detection.outline, b.detection.outline) >= 0.999


@settings(max_examples=EXAMPLES)
@given(labelled_fields(min_fields=1), MASKS)
def test_pycocotools_reads_the_same(fields, masks):
    with written(fields, masks) as (root, placed):
        for split in {one.split for one in placed}:
            coco = opened(root / "annotations" / f"{split}.json")
            chosen = [one for one in placed if one.split == split]
            assert [image["file_name"] for image in coco.loadImgs(coco.getImgIds())] == [
                o.name for o in chosen
            ]
            for one, image in zip(chosen, coco.getImgIds(), strict=True):
                found = coco.loadAnns(coco.getAnnIds(image))
                assert len(found) == len(one.cells)
                for told, truth in zip(found, one.cells, strict=True):
                    left, top, width, height = told["bbox"]
                    assert (top, left, top + height, left + width) == pytest.approx(
                        edges(truth.detection.bbox)
                    )
                    assert coco.cats[told["category_id"]]["name"] == truth.label
                    if truth.detection.outline:
                        flat = truth.detection.outline.array()[:, ::-1].ravel().tolist()
                        rle = coco_mask.frPyObjects([flat], one.height, one.width)
                        assert (coco.annToMask(told) == coco_mask.decode(rle)[..., 0]).all()


@settings(max_examples=EXAMPLES)
@given(labelled_fields(min_fields=1, max_fields=2, splits=("train",)), MASKS)
def test_supervision_reads_the_same(fields, masks):
    with written(fields, masks) as (root, placed):
        data = supervision.DetectionDataset.from_coco(
            str(root / "images"), str(root / "annotations/train.json")
        )
        assert data.classes == list(NAMES)
        for one in placed:
            found = data.annotations[str(one.path)]
            assert [data.classes[i] for i in found.class_id] == [c.label for c in one.cells]
            boxes = [
                [b.left, b.top, b.right, b.bottom] for b in (c.detection.bbox for c in one.cells)
            ]
            np.testing.assert_allclose(found.xyxy, np.reshape(boxes, (-1, 4)), rtol=1e-6, atol=1e-4)


RUNS = st.integers(1, 12).flatmap(
    lambda height: st.integers(1, 12).flatmap(
        lambda width: (
            st.lists(st.booleans(), min_size=height * width, max_size=height * width)
            .filter(any)
            .map(lambda bits: np.array(bits, dtype=np.uint8).reshape(height, width))
        )
    )
)


@settings(max_examples=EXAMPLES)
@given(RUNS, st.booleans())
def test_a_mask_becomes_the_edge_of_its_pixels(mask, compressed):
    height, width = mask.shape
    if compressed:
        counts = coco_mask.encode(np.asfortranarray(mask))["counts"].decode()
    else:
        flat = np.concatenate([[0], mask.ravel(order="F"), [2]])
        changes = np.flatnonzero(np.diff(flat.astype(int)))
        counts = np.diff([0, *changes]).tolist()
        if flat[-2] == 0 and sum(counts) < mask.size:
            counts.append(mask.size - sum(counts))
    with foreign(
        {"bbox": [], "segmentation": {"size": [height, width], "counts": counts}}, mask.shape
    ) as root:
        ((found,),) = ([c.detection.outline for c in one.cells] for one in read_coco(root))
    pixels = [shapely.box(col, row, col + 1, row + 1) for row, col in np.argwhere(mask)]
    largest = max(shapely.area(shapely.get_parts(shapely.union_all(pixels))))
    edge = shapely.Polygon(found.array()[:, ::-1])
    assert (found.array() % 1 == 0).all()
    inner = [pixel for pixel in pixels if edge.covers(pixel)]
    assert len(inner) == largest
    assert edge.equals(shapely.Polygon(shapely.union_all(inner).exterior))


@pytest.mark.parametrize("filled", [0.3, 0.5, 0.6, 0.9])
def test_the_largest_part_of_noise_is_outlined(filled):
    mask = np.random.default_rng(0).random((40, 50)) < filled
    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    told = {"size": [40, 50], "counts": rle["counts"].decode()}
    ring = mask_ring(read_mask(told, 40, 50))
    pixels = [shapely.box(col, row, col + 1, row + 1) for row, col in np.argwhere(mask)]
    parts = shapely.get_parts(shapely.union_all(pixels))
    most = max(shapely.area(parts))
    largest = [shapely.Polygon(part.exterior) for part in parts if part.area == most]
    assert any(shapely.Polygon(ring).equals(edge) for edge in largest)
    # From corner to corner, with none between.
    assert len(ring) in [len(edge.simplify(0).exterior.coords) - 1 for edge in largest]


def test_a_mask_may_run_over_many_columns():
    rle = {"size": [2, 60_000], "counts": [1, 119_998, 1]}
    with foreign({"segmentation": rle, "bbox": [0, 0, 60_000, 2]}, (2, 60_000)) as root:
        ((found,),) = (one.cells for one in read_coco(root))
    assert shapely.Polygon(found.detection.outline.array()).area == 119_998


def content(**changes):
    """A small foreign file."""
    return {
        "images": [{"id": 7, "file_name": "a.png", "height": 20, "width": 30}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 3, "bbox": [3, 2, 10, 8]}],
        "categories": [{"id": 3, "name": "monocyte"}],
    } | changes


def put(root, place, data, images=("a.png",), size=(20, 30)):
    for image in images:
        (root / image).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", size[::-1]).save(root / image)
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    (root / place).write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return root


@contextlib.contextmanager
def foreign(annotation, size=(20, 30)):
    data = content(images=[{"id": 7, "file_name": "a.png", "height": size[0], "width": size[1]}])
    data["annotations"] = [{"image_id": 7, "category_id": 3, "bbox": [0, 0, 1, 1], **annotation}]
    with tempfile.TemporaryDirectory() as folder:
        yield put(Path(folder, "set"), "x.json", data, size=size)


@pytest.mark.parametrize(
    ("place", "image", "split"),
    [
        ("x.json", "a.png", "train"),
        ("x.json", "images/a.png", "train"),
        ("annotations/instances_train2017.json", "train2017/a.png", "train"),
        ("annotations/instances_val2017.json", "images/val2017/a.png", "val"),
        ("annotations/test.json", "images/test/a.png", "test"),
        ("valid/_annotations.coco.json", "valid/a.png", "val"),
        ("test/_annotations.coco.json", "test/a.png", "test"),
    ],
)
def test_layouts_found_in_the_wild(tmp_path, place, image, split):
    put(tmp_path, place, content(), [image])
    (one,) = read_coco(tmp_path)
    assert (one.name, one.path, one.split) == ("a.png", tmp_path / image, split)
    (found,) = one.cells
    assert edges(found.detection.bbox) == (2, 3, 10, 13)
    assert found.label == "monocyte"
    assert len(found.cell_id) == 36


def test_of_coco_itself_only_instances_are_read(tmp_path):
    put(tmp_path, "annotations/instances_train2017.json", content(), ["train2017/a.png"])
    put(tmp_path, "annotations/captions_train2017.json", {"images": []})
    assert len(read_coco(tmp_path)) == 1


def test_images_of_one_name_in_two_folders_keep_both(tmp_path):
    put(tmp_path, "train/_annotations.coco.json", content(), ["train/a.png"])
    put(tmp_path, "valid/_annotations.coco.json", content(), ["valid/a.png"])
    assert [(one.name, one.split) for one in read_coco(tmp_path)] == [
        ("train__a.png", "train"),
        ("valid__a.png", "val"),
    ]


def test_a_file_name_with_folders_becomes_plain(tmp_path):
    images = [{"id": 7, "file_name": "images/a.png", "height": 20, "width": 30}]
    put(tmp_path, "x.json", content(images=images), ["images/a.png"])
    assert [one.name for one in read_coco(tmp_path)] == ["a.png"]


def test_a_box_that_reaches_out_stays_and_a_crowd_is_left_out():
    with foreign({"bbox": [-2, -1, 10, 10]}) as root:
        assert edges(read_coco(root)[0].cells[0].detection.bbox) == (-1, -2, 9, 8)
    crowd = {"iscrowd": 1, "segmentation": {"size": [20, 30], "counts": [600]}}
    with foreign(crowd) as root:
        assert read_coco(root)[0].cells == ()


def test_of_several_polygons_the_largest_is_the_outline():
    small, large = [1, 1, 2, 1, 2, 2], [3, 3, 9, 3, 9, 9, 3, 9, 3, 3]
    with foreign({"bbox": [], "segmentation": [small, large]}) as root:
        assert read_coco(root)[0].cells[0].detection.outline == Outline(
            ((3, 3), (3, 9), (9, 9), (9, 3))
        )


def image(**changes):
    return {"images": [{"id": 7, "file_name": "a.png", "height": 20, "width": 30} | changes]}


def annotation(**changes):
    return {"annotations": [{"image_id": 7, "category_id": 3, "bbox": [3, 2, 10, 8]} | changes]}


def rle(counts, size=(20, 30)):
    return annotation(segmentation={"size": list(size), "counts": counts})


def one(kind):
    return content()[kind][0]


HOSTILE = {
    "no object": "[]",
    "no JSON": "{",
    "deep nesting": "[" * 100_000,
    "NaN": json.dumps(content(**annotation(bbox=[float("nan"), 2, 3, 4]))),
    "Infinity": json.dumps(content(**annotation(bbox=[1, 2, float("inf"), 4]))),
    "a field twice": '{"images": [], "images": []}',
    "images are no list": content(images={}),
    "an image is no object": content(images=[1]),
    "annotations are missing": {"images": [], "categories": []},
    "annotations of numbers": content(annotations=[1]),
    "image id is a list": content(**image(id=[])),
    "image id is a truth": content(**image(id=True)),
    "file name is a number": content(**image(file_name=3)),
    "height is a word": content(**image(height="tall")),
    "another size": content(**image(height=21)),
    "no such image": content(**image(file_name="b.png")),
    "an image twice": content(images=[one("images"), one("images") | {"id": 8}]),
    "an image id twice": content(images=[one("images"), one("images") | {"file_name": "A.png"}]),
    "a name in two cases": content(
        images=[one("images"), one("images") | {"id": 8, "file_name": "A.PNG"}]
    ),
    "a path leads out": content(**image(file_name="../out.png")),
    "an absolute path": content(**image(file_name="/etc/passwd")),
    "a drive": content(**image(file_name="C:\\a.png")),
    "a link leads out": content(**image(file_name="link.png")),
    "no image at all": content(**image(file_name="x.json")),
    "a long name": content(**image(file_name="a" * 5000)),
    "slide is a number": content(**image(slide=3)),
    "unknown category": content(**annotation(category_id=4)),
    "unknown image": content(**annotation(image_id=8)),
    "category is an object": content(**annotation(category_id={})),
    "category id twice": content(categories=[one("categories"), {"id": 3, "name": "blast"}]),
    "category without a name": content(categories=[{"id": 3, "name": ""}]),
    "box of three": content(**annotation(bbox=[1, 2, 3])),
    "box of words": content(**annotation(bbox=["x", 2, 3, 4])),
    "box of truths": content(**annotation(bbox=[True, 2, 3, 4])),
    "box is an object": content(**annotation(bbox={})),
    "box of no width": content(**annotation(bbox=[1, 2, 0, 4])),
    "box of negative height": content(**annotation(bbox=[1, 2, 3, -4])),
    "box outside": content(**annotation(bbox=[30, 2, 3, 4])),
    "box of a huge number": content(**annotation(bbox=[1, 2, 10**400, 4])),
    "iscrowd is a text": content(**annotation(iscrowd="no")),
    "score above one": content(**annotation(score=7)),
    "polygon is a number": content(**annotation(segmentation=[1, 2, 3, 4, 5, 6])),
    "polygon is a text": content(**annotation(segmentation="1 2 3")),
    "polygon of odd length": content(**annotation(segmentation=[[1, 2, 3, 4, 5, 6, 7]])),
    "polygon of two points": content(**annotation(segmentation=[[1, 2, 3, 4]])),
    "polygon on a line": content(**annotation(segmentation=[[1, 2, 3, 2, 5, 2]])),
    "polygon outside": content(**annotation(segmentation=[[40, 2, 43, 2, 45, 9]])),
    "mask of another size": content(**rle([600], (30, 20))),
    "mask without a size": content(**annotation(segmentation={"counts": [1]})),
    "mask that is too short": content(**rle([5, 5])),
    "mask that is too long": content(**rle([5, 596])),
    "mask with a negative run": content(**rle([700, -100])),
    "mask of texts": content(**rle(["5", "595"])),
    "mask without a pixel": content(**rle([600])),
    "mask that is no text of COCO": content(**rle("\x00é")),
    "mask that ends early": content(**rle("h")),
    "mask of an endless number": content(**rle("h" * 1000)),
    "mask that is empty": content(**rle("")),
    "mask is a number": content(**rle(5)),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_refused_and_named(tmp_path, data):
    root = put(tmp_path / "set", "x.json", data, ["a.png", "A.png", "A.PNG"])
    Image.new("L", (30, 20)).save(tmp_path / "out.png")
    (root / "link.png").symlink_to(tmp_path / "out.png")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(WbcError) as caught:
        read_coco(root)
    assert str(root) in str(caught.value)
    assert isinstance(caught.value, ReadError)
    assert sorted(tmp_path.rglob("*")) == before


def test_too_many_annotations_are_refused(tmp_path):
    put(tmp_path, "x.json", content(annotations=[{}] * 200_001))
    with pytest.raises(ReadError, match="200,001"):
        read_coco(tmp_path)


def test_a_folder_without_coco_is_refused(tmp_path):
    with pytest.raises(ReadError, match="no JSON file"):
        read_coco(tmp_path)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from(["size", "counts", "id"]), inner, max_size=3)
        ),
    ),
    st.sampled_from(
        ["bbox", "segmentation", "cell_id", "score", "image_id", "category_id", "iscrowd"]
    ),
)
def test_anything_in_an_annotation_is_read_or_refused(value, key):
    with foreign({key: value}) as root, contextlib.suppress(ReadError):
        read_coco(root)


@pytest.mark.parametrize(("other", "told"), [([30, 30, 10, 10], True), ([1, 1, 10, 10], False)])
def test_an_annotation_id_with_two_boxes_is_told(tmp_path, other, told):
    Image.new("RGB", (60, 60)).save(tmp_path / "a.png")
    boxes = [1, 1, 10, 10], other
    annotations = [
        {"id": 7, "image_id": 1, "category_id": 1, "bbox": box, "segmentation": []} for box in boxes
    ]
    content = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "categories": [{"id": 1, "name": "monocyte"}],
        "annotations": annotations,
    }
    (tmp_path / "train.json").write_text(json.dumps(content))
    notes = [progress.note for progress in read_coco_steps(tmp_path)]
    assert any("1 annotation id with several boxes, 7 the first" in note for note in notes) == told
