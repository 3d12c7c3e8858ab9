"""What to label next and what to look at twice, of slides and of training sets."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from napari_wbc.classify.predict import load_classifier
from napari_wbc.errors import WbcError
from napari_wbc.imaging.read import open_slide, read_image
from napari_wbc.imaging.synthetic import synthetic_smear
from napari_wbc.model.cell import Annotation, Cell, Detection
from napari_wbc.model.progress import run
from napari_wbc.model.slide import Slide
from napari_wbc.model.table import CellTable
from napari_wbc.model.taxonomy import NOT_CLASSED, UNIDENTIFIED
from napari_wbc.pipeline import choose
from napari_wbc.pipeline.choose import choose_steps, doubt_set_steps, doubt_steps
from napari_wbc.train.choose import most_gain_steps
from napari_wbc.train.doubts import Doubts


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    """Five fields, the last of which is broken."""
    folder = tmp_path_factory.mktemp("slides") / "slide"
    folder.mkdir()
    for i in range(5):
        Image.fromarray(synthetic_smear(i, shape=(260, 340), n_leukocytes=3).image).save(
            folder / f"{i}.png"
        )
    found = open_slide(folder)
    (folder / "4.png").write_bytes(b"no image")
    return found


@pytest.fixture(scope="module")
def table(slide):
    """Three cells a field, none with a label."""
    cells = []
    for i, field in enumerate(slide.fields):
        smear = synthetic_smear(i, shape=(260, 340), n_leukocytes=3)
        cells += [
            Cell(f"{i}{letter}", field.fov_id, Detection(c.bbox))
            for letter, c in zip("abc", smear.cells[:3], strict=True)
        ]
    return CellTable(cells)


def labelled(table, labels):
    return table.with_cells(table[key].annotated(Annotation(said)) for key, said in labels.items())


@pytest.fixture
def doubted(monkeypatch):
    """What was asked of the pure function, which doubts the second cell and says lymphocyte."""
    asked = {}

    def fake(features, labels, groups, classes):
        yield from ()
        asked.update(features=features, labels=labels, groups=groups)
        doubt = np.zeros(len(labels))
        doubt[1] = 0.75
        return Doubts(np.array([1]), np.full(len(labels), classes.index("lymphocyte")), doubt)

    monkeypatch.setattr("napari_wbc.train.doubts.doubts_steps", fake)
    return asked


@pytest.mark.parametrize("located", [[], [(Slide("s", ()), CellTable())]])
def test_no_cells(located, weights):
    with pytest.raises(WbcError, match="no cell without a label"):
        run(choose_steps(located, weights, device="cpu"))
    with pytest.raises(WbcError, match="there are 0; label more"):
        run(doubt_steps(located, weights, device="cpu"))


def test_cells_are_chosen_by_what_the_weights_make_of_them(slide, table, weights):
    known = labelled(table, {"0a": "basophil", "1b": NOT_CLASSED})
    found = run(choose_steps([(slide, known)], weights, 4, device="cpu"))
    classifier, features = load_classifier(weights, device="cpu"), []
    for field in slide.fields[:4]:
        boxes = [cell.detection.bbox for cell in known.of_field(field.fov_id)]
        features += list(classifier.iter_features(read_image(field.path), boxes))
    features = np.concatenate(features)
    ids = np.array(list(known)[:12])
    chances = choose._probabilities(classifier, features)
    np.testing.assert_allclose(chances.sum(axis=1), 1)
    done = np.isin(ids, ["0a", "1b"])
    steps = most_gain_steps(chances[~done], features[~done], 4, labelled=features[done])
    expected = run(steps)
    assert found.cell_ids == tuple(ids[~done][expected])
    assert [one.confidence for one in found.cells] == pytest.approx(
        chances[~done].max(axis=1)[expected]
    )
    assert {(one.slide, one.cell.annotation) for one in found.cells} == {("slide", None)}
    assert [failure.path.name for failure in found.failures] == ["4.png"]


def test_the_choice_itself_goes_on_step_by_step(slide, table, weights):
    steps = [progress.step for progress in choose_steps([(slide, table)], weights, 4, device="cpu")]
    assert steps[-1] == "choosing cells"


def test_fields_are_those_with_cells_to_label_the_most_gainful_first(slide, table, weights):
    known = labelled(table, dict.fromkeys(("0a", "0b", "0c", "1a", "1b"), "basophil"))
    found = run(choose_steps([(slide, known)], weights, 2, device="cpu"))
    assert {fov for _, fov, _ in found.fields} == {field.fov_id for field in slide.fields[1:4]}
    gains = [gain for *_, gain in found.fields]
    assert gains == sorted(gains, reverse=True)


def test_an_impossible_number_is_refused_before_anything_is_read(slide, table, weights):
    with pytest.raises(WbcError, match="-1 cells"):
        next(choose_steps([(slide, table)], weights, -1))


def test_cells_are_read_as_they_are_given(slide, table, weights):
    read = []

    def reader(field):
        read.append(field.fov_id)
        return np.full((260, 340, 3), 200, np.uint8)

    found = run(choose_steps([(slide, table)], weights, 99, read=reader, device="cpu"))
    assert read == [field.fov_id for field in slide.fields]
    assert set(found.cell_ids) == set(table)


def test_doubts_are_of_labels_that_are_classes_of_the_weights(slide, table, weights, doubted):
    names = ["basophil", "band neutrophil", "monocyte"] * 4
    said = dict(zip(list(table)[:12], names, strict=True)) | {"3c": UNIDENTIFIED, "3b": NOT_CLASSED}
    found = run(doubt_steps([(slide, labelled(table, said))], weights, device="cpu"))
    (one,) = found.doubts
    assert (one.slide, one.fov, one.cell_id) == ("slide", slide.fields[0].fov_id, "0b")
    assert (one.label, one.suggested, one.doubt) == ("band neutrophil", "lymphocyte", 0.75)
    assert (found.judged, found.failures, found.cell_ids) == (10, (), ("0b",))
    assert doubted["labels"][:3].tolist() == [2, 0, 4]
    assert doubted["features"].shape == (10, 120)
    assert len(set(doubted["groups"])) == 4


def test_a_field_that_cannot_be_read_is_left_out_of_the_doubts(slide, table, weights, doubted):
    found = run(doubt_steps([(slide, labelled(table, dict.fromkeys(table, "basophil")))], weights))
    assert (found.judged, [one.path.name for one in found.failures]) == (12, ["4.png"])


@pytest.mark.parametrize("n", [0, 9])
def test_too_few_labels_are_refused_before_anything_is_read(slide, table, weights, n):
    def reader(_field):
        raise AssertionError

    known = labelled(table, dict.fromkeys(list(table)[:n], "basophil"))
    with pytest.raises(WbcError, match=f"there are {n}; label more"):
        run(doubt_steps([(slide, known)], weights, read=reader))


@pytest.fixture
def training_set(tmp_path):
    """Twelve images of one cell each, in two classes, and one of a class unknown to the weights."""
    for i in range(13):
        label = "zebra" if i == 12 else ("basophil", "monocyte")[i % 2]
        path = tmp_path / "set" / "train" / label / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(synthetic_smear(i, shape=(200, 200), n_leukocytes=1).image).save(path)
    return tmp_path / "set"


def test_labels_of_a_training_set_are_doubted(training_set, weights, doubted):
    found = run(doubt_set_steps([training_set], weights, device="cpu"))
    (one,) = found.doubts
    assert (one.slide, one.label, one.suggested) == ("set", "basophil", "lymphocyte")
    assert (found.judged, doubted["features"].shape) == (12, (12, 120))
    assert len(set(doubted["groups"])) == 12


def test_a_set_of_too_few_cells_is_refused(training_set, weights):
    for path in list(training_set.glob("train/*/*.png"))[:5]:
        path.unlink()
    with pytest.raises(WbcError, match="at least 10 labelled cells"):
        run(doubt_set_steps([training_set], weights))


def test_a_path_that_is_no_set_is_an_error(tmp_path, weights):
    with pytest.raises(WbcError, match="nowhere"):
        run(doubt_set_steps([tmp_path / "nowhere"], weights))
