"""Heat of real crops, on the pixels of their field; what is written; what is refused."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image
from tests.explain.test_attribution import Eye

from napari_wbc.classify.predict import Classifier, load_classifier
from napari_wbc.classify.preset import Preset
from napari_wbc.errors import WbcError
from napari_wbc.explain.attribution import Question
from napari_wbc.explain.canvas import painted
from napari_wbc.imaging.read import open_slide
from napari_wbc.imaging.synthetic import synthetic_smear
from napari_wbc.model.cell import Cell, Detection, Prediction
from napari_wbc.model.geometry import BBox
from napari_wbc.model.progress import run
from napari_wbc.pipeline.explain import (
    _class_named,
    _Explainer,
    explain,
    explain_cells_steps,
    explain_files_steps,
)
from napari_wbc.weights.card import ModelCard

CARD = ModelCard(
    "eye", "1", "cdnn", ("red", "green"), asdict(Preset(size=32, anchors=0)), threshold=0
)
BOXES = [
    BBox(30, 40, 70, 80),  # square
    BBox(30, 30, 60, 90),  # wide
    BBox(20, 60, 85, 80),  # high
    BBox(0, 5, 30, 33),  # at the edge
    BBox(95, 120, 120, 140),  # in the corner
    BBox(10, 10, 100, 120),  # larger than the crop
]


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slide")
    for i in range(2):
        Image.fromarray(synthetic_smear(i, shape=(260, 340), n_leukocytes=2).image).save(
            folder / f"{i}.png"
        )
    return open_slide(folder)


@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("place", [(0.3, 0.4), (0.5, 0.5), (0.8, 0.7)])
def test_heat_lands_on_the_pixels_that_were_the_evidence(box, place):
    """Within one pixel of the network's input, wherever the cell lies and whatever its shape."""
    shape = (120, 140)
    row, col = box.top + place[0] * box.height, box.left + place[1] * box.width
    half = max(box.height, box.width) / 8
    image = np.zeros((*shape, 3), np.uint8)
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    image[(abs(rows - row) < half) & (abs(columns - col) < half), 0] = 255
    explainer = _Explainer(
        Classifier(Eye().eval(), CARD, "cpu", 0.0, None), Question(layers=("fine", "coarse"))
    )
    (heats,) = explainer.batches(image, [Cell.new("f", Detection(box))])
    shown = painted(heats, shape)
    evidence = np.argwhere(image[..., 0]).mean(axis=0)
    found = np.argwhere(shown > 0.5 * shown.max()).mean(axis=0)
    pixel = heats[0].side / 32
    assert np.abs(found - evidence).max() <= max(pixel, 1)


def test_no_cells_have_no_heat(slide):
    found = run(explain_cells_steps(slide, (), Question()))
    assert (found.heats, found.failures) == ((), ())


def test_cells_are_explained_for_the_class_that_was_said_or_asked(slide):
    smear = synthetic_smear(0, shape=(260, 340), n_leukocytes=2)
    cells = [Cell.new(slide.fields[0].fov_id, Detection(c.bbox, c.outline)) for c in smear.cells]
    found = run(
        explain_cells_steps(slide, cells, Question(target="monocyte", against="lymphocyte"))
    )
    assert [heat.cell_id for heat in found.heats] == [cell.cell_id for cell in cells]
    assert {(heat.target, heat.against) for heat in found.heats} == {("monocyte", "lymphocyte")}
    own = run(explain_cells_steps(slide, cells, Question()))
    assert all(len(heat.values) == 96 and not heat.against for heat in own.heats)


@pytest.mark.parametrize(
    "options", [{"target": "blast"}, {"against": "blast"}, {"layers": ("head",)}]
)
def test_what_the_model_has_not_is_refused(slide, options):
    with pytest.raises(WbcError, match=r"no (class|layer)"):
        run(explain_cells_steps(slide, (), Question(**options)))


def test_results_are_written_and_a_broken_field_is_told(slide, tmp_path):
    folder = tmp_path / "slide"
    folder.mkdir()
    for field in slide.fields:
        (folder / field.path.name).write_bytes(field.path.read_bytes())
    (folder / "2.png").write_bytes(b"no image")
    out = tmp_path / "out"
    found = explain(folder, out, detector="hsv", device="cpu")
    assert [failure.path.name for failure in found.failures] == ["2.png"]
    table = pd.read_csv(out / "heat.csv")
    assert len(table) == len(found.heats) > 0
    boxes = [heat.cell.detection.bbox for heat in found.heats]
    np.testing.assert_allclose(
        table[["top", "right"]], [(box.top, box.right) for box in boxes], atol=0.01
    )
    assert table["prediction"].tolist() == table["target"].tolist()
    for field in slide.fields:
        name = next(iter((out / "heat").rglob(f"{field.path.name}.tif")))
        heat = tifffile.imread(name)
        assert (heat.dtype, heat.shape) == (np.float32, (260, 340))
        here = [h for h in found.heats if h.fov_id.endswith(field.path.name)]
        np.testing.assert_array_equal(heat, painted(here, (260, 340)))
        picture = np.asarray(
            Image.open(next(iter((out / "overlays").rglob(f"{field.path.name}.png"))))
        )
        image = np.asarray(Image.open(field.path))
        np.testing.assert_array_equal(picture[heat == 0], image[heat == 0])


def test_cells_of_the_class_that_is_set_against_are_left_out_and_told(slide, weights):
    smear = synthetic_smear(0, shape=(260, 340), n_leukocytes=2)
    plain = [Cell.new(slide.fields[0].fov_id, Detection(c.bbox, c.outline)) for c in smear.cells]
    names = load_classifier(weights, device="cpu").card.classes
    called = [
        Prediction(names, tuple(float(n == said) for n in names))
        for said in ("basophil", "monocyte")
    ]
    cells = [cell.predicted(said) for cell, said in zip(plain, called, strict=True)]
    found = run(explain_cells_steps(slide, cells, Question(against="Basophil"), weights=weights))
    assert [(heat.target, heat.against) for heat in found.heats] == [("monocyte", "basophil")]
    assert found.itself == 1
    assert "1 are called so themselves" in found.summary


def test_heat_is_handed_over_as_it_is_found(slide, weights):
    smear = synthetic_smear(0, shape=(260, 340), n_leukocytes=2)
    cells = [Cell.new(field.fov_id, Detection(smear.cells[0].bbox)) for field in slide.fields]
    handed = []
    steps = explain_cells_steps(slide, cells, Question(), weights=weights, on_heat=handed.extend)
    while not handed:
        next(steps)
    steps.close()
    assert [heat.cell_id for heat in handed] == [cells[0].cell_id]


def test_a_field_that_fails_takes_its_old_pictures_along(slide, tmp_path):
    folder, out = tmp_path / "slide", tmp_path / "out"
    folder.mkdir()
    for field in slide.fields:
        (folder / field.path.name).write_bytes(field.path.read_bytes())
    explain(folder, out, detector="hsv", device="cpu")
    assert {path.name for path in out.rglob("*.tif")} == {"0.png.tif", "1.png.tif"}
    with tifffile.TiffFile(next(out.rglob("0.png.tif"))) as file:
        assert json.loads(file.pages[0].description)["method"] == "grad-cam"
    (folder / "1.png").write_bytes(b"no image")
    explain(folder, out, detector="hsv", device="cpu")
    assert {path.name for path in out.rglob("*.tif")} == {"0.png.tif"}
    assert {path.name for path in out.rglob("*.png")} == {"0.png.png"}


def test_an_output_that_cannot_be_a_folder_is_refused_before_the_work(slide, tmp_path):
    (tmp_path / "out").touch()
    steps = explain_files_steps(
        [slide.fields[0].path], tmp_path / "out", Question(), detector="hsv"
    )
    with pytest.raises(WbcError, match="cannot be a folder"):
        next(steps)


def test_a_class_is_found_by_its_very_name_first():
    assert [
        _class_named(n, ("neutrophil", "Neutrophil")) for n in ("Neutrophil", "NEUTROPHIL")
    ] == [
        "Neutrophil",
        "neutrophil",
    ]


def test_a_cell_without_a_prediction_leaves_the_class_of_the_others(weights):
    """Drawn by hand beside cells that the table calls otherwise than one look would."""
    image = synthetic_smear(0, shape=(260, 340), n_leukocytes=2).image
    explainer = _Explainer(load_classifier(weights, device="cpu"), Question())
    plain = [
        Cell.new("f", Detection(BBox(20 * i, 20 * i, 60 + 20 * i, 60 + 20 * i))) for i in range(2)
    ]
    (looked,) = explainer.batches(image, plain)
    other = next(name for name in explainer.classes if name != looked[0].target)
    said = Prediction(explainer.classes, tuple(float(name == other) for name in explainer.classes))
    (heats,) = explainer.batches(image, [plain[0].predicted(said), plain[1]])
    assert [heat.target for heat in heats] == [other, looked[1].target]
