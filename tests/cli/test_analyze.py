"""Analyze, classify, adapt and demo in the shell: what they write and say; exit codes."""

from __future__ import annotations

import csv
import json
from functools import partial

import numpy as np
import pytest
from PIL import Image

from napari_wbc.detect.base import Located
from napari_wbc.errors import WbcError
from napari_wbc.model.cell import Detection
from napari_wbc.model.geometry import BBox
from napari_wbc.train.adapt import Adaptation
from napari_wbc.weights.store import read_card


def test_results_may_go_beside_the_fields_again_and_again(call, folder, weights):
    for _ in range(2):
        code, _, err = call(
            "analyze", ".", "--out", ".", "--weights", weights, "--device", "cpu", "--quiet"
        )
        assert (code, err) == (0, "")
        (one,) = json.loads((folder / "differential.json").read_text())
        assert (one["slide"], one["fields"]) == (folder.name, 1)


def test_some_files_failed_is_exit_code_3(call, folder, weights):
    (folder / "b.png").touch()
    code, _, err = call(
        "analyze", folder, "--out", "out", "--weights", weights, "--device", "cpu", "--quiet"
    )
    assert code == 3
    assert "b.png: the file is empty" in err
    assert "1 of 2 files failed" in err
    assert (folder / "out" / "cells.csv").is_file()


def test_files_left_out_are_named_once(call, folder, weights):
    (folder / "b.heic").write_bytes(b"something")
    (folder / "c.png").symlink_to(folder / "moved.png")
    code, _, err = call(
        "analyze", ".", "--out", "out", "--weights", weights, "--device", "cpu", "--quiet"
    )
    line = f"{folder.name}: left out, as they cannot be read: b.heic, c.png. "
    assert (code, err) == (0, line + "Save them as PNG or TIFF.\n")
    code, _, err = call(
        "classify", ".", "--out", "c.csv", "--weights", weights, "--device", "cpu", "--quiet"
    )
    assert (code, err.count(line)) == (0, 1)


def test_a_suffix_is_no_reason_to_refuse_an_image(call, folder, weights):
    (folder / "a.png").rename("a.dat")
    arguments = "--out", "out", "--weights", weights, "--device", "cpu", "--quiet"
    for path, name in (("a.dat", "a"), (".", folder.name)):
        code, _, err = call("analyze", path, *arguments)
        assert (code, err) == (0, "")
        (one,) = json.loads((folder / "out" / "differential.json").read_text())
        assert (one["slide"], one["fields"]) == (name, 1)


def test_a_field_on_which_the_cell_finders_disagree_is_one_line(call, folder, weights, monkeypatch):
    def doubtful_steps(_detector, _image, progress):
        yield progress
        return Located((), disagreement="cell finders disagree: 1 against 12")

    monkeypatch.setattr("napari_wbc.pipeline.analyze.locate_steps", doubtful_steps)
    code, _, err = call(
        "analyze", ".", "--out", "out", "--weights", weights, "--device", "cpu", "--quiet"
    )
    assert code == 0
    assert err == f"{folder.name}/a.png: cell finders disagree: 1 against 12\n"
    with (folder / "out" / "fields.csv").open() as file:
        assert next(csv.DictReader(file))["note"] == "cell finders disagree: 1 against 12"


def test_single_cells_are_classified(call, folder, weights):
    code, out, _ = call(
        "classify", "a.png", "--out", "crops.csv", "--weights", weights, "--device", "cpu"
    )
    assert code == 0
    assert "1 prediction written" in out
    assert (
        (folder / "crops.csv")
        .read_text()
        .startswith("path,prediction,confidence,unlikeness,p_neutrophil")
    )


def test_results_beside_the_slides_are_not_a_slide_the_second_time(call, folder, weights):
    (folder / "slides" / "one").mkdir(parents=True)
    (folder / "a.png").rename(folder / "slides" / "one" / "a.png")
    for _ in range(2):
        paths = sorted((folder / "slides").iterdir())
        out = folder / "slides" / "results"
        code, _, said = call(
            "analyze", *paths, "--out", out, "--weights", weights, "-q", "--device", "cpu"
        )
        assert (code, said) == (0, "")
    assert len(json.loads((out / "differential.json").read_text())) == 1


def test_a_folder_is_no_csv_file(call, folder, weights):
    (folder / "crops").mkdir()
    code, _, said = call("classify", "a.png", "--out", "crops", "--weights", weights)
    assert code == 2
    assert said.count("\n") == 1
    assert "crops: this is no CSV file" in said


@pytest.fixture
def adapt(call):
    """Run `napari-wbc adapt`; return exit code, stdout and stderr."""
    return lambda *arguments: call("adapt", *arguments, "--device", "cpu")


class TwentyCells:
    """A detector that finds twenty cells in any field."""

    name = "twenty cells"

    def detect(self, _image):
        return tuple(
            Detection(BBox(r, c, r + 10, c + 10))
            for r in range(1, 48, 12)
            for c in range(1, 60, 12)
        )


@pytest.fixture
def field_of_noise(tmp_path, monkeypatch):
    """A working folder that is a slide, whose cells cost no time."""
    monkeypatch.setattr(
        "napari_wbc.train.adapt.Adaptation", partial(Adaptation, epochs=1, draws=64)
    )
    monkeypatch.setattr(
        "napari_wbc.pipeline.locate.make_detector", lambda *_args, **_kw: TwentyCells()
    )
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)).save(
        "a.png"
    )
    return tmp_path


@pytest.mark.parametrize(
    "arguments", [(), ("a.png",), ("--out", "new"), ("none.png", "--out", "new")]
)
def test_wrong_arguments_of_adapt_are_exit_code_2(arguments, adapt, field_of_noise):
    assert adapt(*arguments)[0] == 2
    assert not (field_of_noise / "new").exists()


def test_too_few_cells_are_one_line(adapt, field_of_noise, weights, monkeypatch):
    monkeypatch.setattr(TwentyCells, "detect", lambda *_: ())
    code, out, err = adapt(".", "--out", "new", "--weights", weights, "-q")
    assert (code, out) == (2, "")
    assert err == "napari-wbc: Adaptation needs at least 20 cells, and there are 0; add fields.\n"
    assert not (field_of_noise / "new").exists()


def test_it_says_where_the_weights_lie_and_how_to_use_them(adapt, field_of_noise, weights):
    code, out, err = adapt(".", "--out", "my lab", "--weights", weights, "--name", "mine", "-q")
    assert (code, err) == (0, "")
    assert "adapted to 20 cells" in out
    assert "napari-wbc analyze ... --weights 'my lab/mine.safetensors'" in out
    assert read_card(field_of_noise / "my lab" / "mine.safetensors").name == "mine"


def test_an_adaptation_without_some_files_is_exit_code_3(adapt, field_of_noise, weights):
    (field_of_noise / "b.png").touch()
    code, out, err = adapt(".", "--out", "new", "--weights", weights, "-q")
    assert code == 3
    assert "b.png: the file is empty" in err
    assert "1 file failed" in err
    assert (field_of_noise / "new" / "adapted.safetensors").is_file()
    assert "--weights new/adapted.safetensors" in out


def test_a_project_that_cannot_be_kept_costs_no_results(call, folder, weights, monkeypatch):
    def failing(_analysis, path):
        raise WbcError(f"{path}: this project is there already; name another file.")

    monkeypatch.setattr("napari_wbc.pipeline.project.save_project", failing)
    arguments = "--weights", weights, "--device", "cpu", "--quiet"
    code, _, err = call("analyze", ".", "--out", "out", "--project", "p.wbc", *arguments)
    assert (code, "already" in err) == (2, True)
    assert (folder / "out" / "cells.csv").is_file()
