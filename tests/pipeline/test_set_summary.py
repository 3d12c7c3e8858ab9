"""What a set holds, and why a model cannot learn from it yet."""

from __future__ import annotations

import pytest
from PIL import Image
from tests.pipeline.projects import (
    export,
    make_project,
)

from napari_wbc.errors import WbcError
from napari_wbc.model.progress import run
from napari_wbc.pipeline.set_summary import SetSummary, ready_steps, set_summary


def test_there_is_nothing_to_tell_of_a_set_that_is_not_there_or_is_another_programs(tmp_path):
    (tmp_path / "theirs" / "train" / "monocyte").mkdir(parents=True)
    (tmp_path / "theirs" / "manifest.json").write_text("{}")
    (tmp_path / "copied" / "round-1").mkdir(parents=True)
    for folder in (tmp_path / "nowhere", tmp_path, tmp_path / "theirs", tmp_path / "copied"):
        assert set_summary(folder) == SetSummary()
    assert SetSummary().line == "0 cells of 0 slides: 0 to learn, 0 to check, 0 to test"


def test_a_summary_tells_each_slide_and_looks_at_no_image(project, tmp_path, monkeypatch):
    other = make_project(tmp_path, "other", {"5.png": ["monocyte"]}, seed=7)
    export(other, tmp_path / "set", split="test")
    done = export(project, tmp_path / "set", split="train")
    for image in done.folder.rglob("*.png"):
        image.unlink()
    summary = set_summary(str(tmp_path / "set"))
    assert summary.folder == done.folder
    assert [(one.name, one.split, one.cells) for one in summary.slides] == [
        ("other", "test", 1),
        ("slide", "train", 4),
    ]
    assert summary.cells == {"train": 4, "val": 0, "test": 1}
    assert summary.line == "5 cells of 2 slides: 4 to learn, 0 to check, 1 to test"
    (done.folder / "manifest.json").write_text("{")
    with pytest.raises(WbcError, match="not readable JSON"):
        set_summary(tmp_path / "set")


def ready_to_learn(sets, **options):
    return run(ready_steps(sets, **options))


def test_a_set_is_ready_where_there_is_enough_to_learn_from(tmp_path, monkeypatch):
    labels = {"1.png": ["monocyte"] * 3, "2.png": ["basophil"] * 3, "3.png": ["lymphocyte"] * 3}
    nine = make_project(tmp_path, "nine", labels)
    more = make_project(tmp_path, "more", {"4.png": ["monocyte", "basophil", None]}, seed=4)
    empty = make_project(tmp_path, "empty", {"5.png": ["monocyte"]}, seed=5)
    for project, folder, side in (
        (nine, "nine", "train"),
        (more, "more", "val"),
        (empty, "one", "test"),
    ):
        export(project, tmp_path / folder, split=side)

    def read(*_anything):
        raise AssertionError("an image was read")

    monkeypatch.setattr("napari_wbc.storage.formats.manifest.sha256_of", read)
    monkeypatch.setattr("napari_wbc.storage.formats.manifest.image_size", read)
    assert ready_to_learn([tmp_path / "nine", tmp_path / "more"]) == ""
    assert ready_to_learn([tmp_path / "nine", tmp_path / "more"], detector=True) == ""
    assert ready_to_learn([tmp_path / "nine"]) == (
        "Fine-tuning needs 10 labelled cells or more, and there are 9; label more."
    )
    assert ready_to_learn([tmp_path / "nine", tmp_path / "one"]) == (
        "Fine-tuning needs 10 labelled cells or more, and there are 9 beside 1 that are kept for "
        "testing; label more."
    )
    assert ready_to_learn([tmp_path / "one"]) == (
        "No slide of this set is in train: its only cell is kept for testing. "
        "Move a slide to train."
    )
    assert "2 cells are kept for validation and 1 for testing" in ready_to_learn(
        [tmp_path / "more", tmp_path / "one"]
    )
    assert "no such file or folder" in ready_to_learn([tmp_path / "nowhere"])


def test_a_detector_is_ready_where_fields_are_reviewed_as_a_whole(tmp_path):
    partly = make_project(tmp_path, "partly", {"1.png": [*["monocyte"] * 12, None]})
    whole = make_project(
        tmp_path, "whole", {f"{i}.png": ["monocyte"] * 3 for i in range(2, 5)}, seed=4
    )
    export(partly, tmp_path / "set", split="train")
    assert ready_to_learn([tmp_path / "set"]) == ""
    assert "of which every cell was reviewed; review two" in ready_to_learn(
        [tmp_path / "set"], detector=True
    )
    export(whole, tmp_path / "set", split="val")
    told = ready_to_learn([tmp_path / "set"], detector=True)
    assert told.startswith("No field in train is completely reviewed in this set")
    assert ready_to_learn([tmp_path / "set"]) == ""


def test_other_programs_sets_are_ready_too(tmp_path):
    for i in range(12):
        place = tmp_path / "theirs" / "train" / "monocyte"
        place.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30, 30), (i, 0, 0)).save(place / f"{i}.png")
    assert ready_to_learn([tmp_path / "theirs"]) == ""
    (tmp_path / "theirs" / "train").rename(tmp_path / "theirs" / "test")
    assert "all 12 cells are kept for testing" in ready_to_learn([tmp_path / "theirs"])
