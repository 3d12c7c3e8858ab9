"""The cells of a slide on a plane."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from napari_wbc.classify.predict import load_classifier
from napari_wbc.errors import WbcError
from napari_wbc.explain.projection import project
from napari_wbc.imaging.read import open_slide, read_image
from napari_wbc.imaging.synthetic import synthetic_smear
from napari_wbc.model.cell import Cell, Detection
from napari_wbc.model.progress import run
from napari_wbc.model.table import CellTable
from napari_wbc.pipeline.feature_map import feature_map_steps


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    """A slide of three fields, the last of which is broken, and its cells."""
    folder = tmp_path_factory.mktemp("slide")
    cells = []
    for i in range(3):
        smear = synthetic_smear(i, shape=(260, 340), n_leukocytes=2)
        Image.fromarray(smear.image).save(folder / f"{i}.png")
        cells += [(i, Detection(c.bbox, c.outline)) for c in smear.cells]
    slide = open_slide(folder)
    (folder / "2.png").write_bytes(b"no image")
    return slide, CellTable(Cell.new(slide.fields[i].fov_id, d) for i, d in cells)


def test_no_cells(mapped):
    slide, _ = mapped
    found = run(feature_map_steps(slide, CellTable(), "pca"))
    assert (found.cell_ids, found.places.shape) == ((), (0, 2))


def test_places_are_those_of_the_features_before_the_head(mapped, weights):
    slide, table = mapped
    found = run(feature_map_steps(slide, table, "pca", weights=weights, device="cpu"))
    classifier, features = load_classifier(weights, device="cpu"), []
    for field in slide.fields[:2]:
        boxes = [cell.detection.bbox for cell in table.of_field(field.fov_id)]
        (one,) = classifier.iter_features(read_image(field.path), boxes)
        assert one.shape == (2, classifier.network.head.in_features)
        (x,) = classifier.prepared(read_image(field.path), boxes)
        with torch.inference_mode():
            torch.testing.assert_close(
                classifier.network.head(torch.from_numpy(one)),
                classifier.network(x),
                atol=1e-4,
                rtol=1e-4,
            )
        features.append(one)
    assert found.cell_ids == tuple(
        c.cell_id for f in slide.fields[:2] for c in table.of_field(f.fov_id)
    )
    np.testing.assert_allclose(found.places, project(np.concatenate(features), "pca"), atol=1e-5)
    assert [failure.path.name for failure in found.failures] == ["2.png"]
    assert found.model_id == classifier.card.model_id


def test_an_unknown_method_is_refused_before_anything_is_read(mapped):
    with pytest.raises(WbcError, match="tarot"):
        next(feature_map_steps(*mapped, "tarot"))
