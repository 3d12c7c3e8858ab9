"""The command line: exit codes, one line for an error, and results beside the fields."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from PIL import Image

from napari_wbc import __version__
from napari_wbc.cli import main
from napari_wbc.weights.store import read_model


@pytest.fixture
def call(monkeypatch, capsys):
    """Run the command line; return exit code, stdout and stderr."""

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["napari-wbc", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code or 0, *capsys.readouterr()

    return command


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder that is a slide."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.full((60, 80, 3), 230, np.uint8)).save("a.png")
    return tmp_path


def test_the_version_is_told(call):
    assert call("--version") == (0, f"napari-wbc {__version__}\n", "")


@pytest.mark.parametrize(
    "arguments", [("analyze",), ("fly",), ("analyze", "x", "--out", "y", "--device", "tpu")]
)
def test_wrong_arguments_are_exit_code_2(call, arguments):
    assert call(*arguments)[0] == 2


def test_an_error_is_one_line(call, tmp_path):
    code, out, err = call("analyze", tmp_path / "none.png", "--out", tmp_path, "--quiet")
    assert (code, out) == (2, "")
    assert err.startswith("napari-wbc: ")
    assert err.count("\n") == 1


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


def test_a_detector_needs_something_to_train_on(call, tmp_path):
    code, out, err = call("train", "detector", "--out", tmp_path / "out")
    assert (code, out) == (2, "")
    assert err == (
        "napari-wbc: Say what to train on: --data TRAINING_SET, or --config FILE.toml that names it.\n"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Say what to train on"),
        ("data = 3", "data must be a list"),
        ("data = ['none.csv']", "none.csv"),
        ("data = ['none.csv']\nepoch = 3", "has no epoch"),
        ("data = ['none.csv']\ndevice = 'cpu'", "has no device"),
        ("data = ['none.csv']\nout = 'here'", "has no out"),
        ("data = ['none.csv']\npaths = ['here']", "has no paths"),
    ],
)
def test_a_wrong_recipe_of_a_detector_is_one_line(text, said, call, tmp_path):
    (tmp_path / "recipe.toml").write_text(text)
    code, out, err = call(
        "train", "detector", "--config", tmp_path / "recipe.toml", "--out", tmp_path / "out", "-q"
    )
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_an_unknown_backbone_is_said_with_the_known_ones(call, field_manifest, tmp_path):
    code, out, err = call(
        "train",
        "detector",
        "--data",
        field_manifest,
        "--out",
        tmp_path,
        "--backbone",
        "alexnet",
        "-q",
    )
    assert (code, out) == (2, "")
    assert "No backbone 'alexnet'; choose one of: mobilenet_v3_large, resnet50" in err
    assert err.count("\n") == 1


def test_a_detector_is_trained_and_options_override_the_recipe(call, field_manifest, tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f"""
        data = ['{field_manifest}']
        name = "of_the_file"
        epochs = 9
        batch_size = 2
        draws = 2
        canvas = 64
        preset = {{ longest = 96 }}
        """
    )
    out = tmp_path / "out"
    options = ("--name", "small", "--epochs", 1, "--blood-cells", "--device", "cpu", "-q")
    for epochs in (1, 0):  # the second time it is finished already
        code, said, err = call("train", "detector", "--config", recipe, "--out", out, *options)
        assert code == 0
        assert err.count("\n") == err.count("epoch 1, loss ") == epochs
        assert f"Model written to {out / 'small.safetensors'}" in said
    card = json.loads(read_model(out / "small.safetensors")[1])
    assert card["architecture"] == "mask-rcnn/mobilenet_v3_large"
    assert card["classes"] == ["leukocyte", "red cell", "platelet"]
    assert card["preset"]["longest"] == 96
    assert (card["provenance"]["recipe"]["draws"], card["provenance"]["epochs_run"]) == (2, 1)
    assert (out / "curves.png").is_file()


@pytest.fixture
def cells(tmp_path):
    """A field of two cells of each split."""
    pixels = np.random.default_rng(0).integers(0, 256, (60, 200, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "f.png")
    lines = ["path,label,split,source,top,left,bottom,right"]
    for i, split in enumerate(("train", "train", "val", "val", "test", "test")):
        label = ("neutrophil", "monocyte")[i % 2]
        lines.append(f"f.png,{label},{split},lab,5,{30 * i + 2},45,{30 * i + 28}")
    lines.append("f.png,platelet,test,lab,5,2,45,28")
    path = tmp_path / "cells.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_classifier_needs_something_to_train_on(call, tmp_path):
    code, out, err = call("train", "classifier", "--out", tmp_path / "out")
    assert (code, out) == (2, "")
    assert err.startswith("napari-wbc: Say what to train on")
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Say what to train on"),
        ("data = 3", "data must be a list"),
        ("data = ['none.csv']", "none.csv"),
        ("data = ['none.csv']\nepoch = 3", "has no epoch"),
        ("data = ['none.csv']\ndevice = 'cpu'", "has no device"),
        ("data = ['none.csv']\nmode = 'three-stage'", "No mode 'three-stage'"),
        ("data = ['none.csv']\nepochs = '3'", "epochs like 30"),
        ("data = ['none.csv']\npreset = {white_quantile = 0.9}", "has no preset.white_quantile"),
        ("data = ['none.csv']\ntaxonomy = 'two'", "taxonomy"),
    ],
)
def test_a_wrong_recipe_of_a_classifier_is_one_line(text, said, call, tmp_path):
    (tmp_path / "recipe.toml").write_text(text)
    code, out, err = call(
        "train", "classifier", "--config", tmp_path / "recipe.toml", "--out", tmp_path / "out", "-q"
    )
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--mode", "three-stage"), "choose one of: softmax, one-vs-rest, two-stage"),
        (("--architecture", "none"), "choose one of: cdnn"),
        (("--taxonomy", "ninety"), "ninety"),
    ],
    ids=str,
)
def test_an_unknown_name_is_said_with_the_known_ones(options, said, call, cells, tmp_path):
    code, out, err = call(
        "train", "classifier", "--data", cells, "--out", tmp_path / "out", "-q", *options
    )
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_a_classifier_is_trained_and_measured(call, cells, tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("data = ['cells.csv']\nepochs = 9\nbatch_size = 2\npreset = { size = 32 }\n")
    out = tmp_path / "out"
    options = ("--name", "small", "--epochs", 1, "--taxonomy", "two", "--mode", "two-stage")
    code, said, _ = call(
        "train", "classifier", "--config", recipe, "--out", out, *options, "--device", "cpu", "-q"
    )
    assert code == 0
    assert f"Model written to {out / 'small.safetensors'}" in said
    card = json.loads(read_model(out / "small.safetensors")[1])
    assert (card["mode"], card["preset"]["size"], card["provenance"]["epochs_run"]) == (
        "two-stage",
        32,
        1,
    )
    assert card["classes"] == ["mononuclear", "polynuclear"]
    assert (out / "curves.png").is_file()
    code, said, err = call(
        "evaluate", "--data", cells, "--weights", out / "small.safetensors", "--device", "cpu", "-q"
    )
    assert code == 0
    assert "lab" in said
    assert "1 platelet" in err


def test_eight_classes_are_measured_as_two(call, cells, weights, tmp_path):
    out = tmp_path / "tables"
    code, said, err = call(
        "evaluate",
        "--data",
        cells,
        "--weights",
        weights,
        "--taxonomy",
        "two",
        "--out",
        out,
        "-q",
        "--no-heat",
    )
    assert code == 0
    assert "balanced" in said
    assert f"written to {out}" in said
    assert err == "Left out, no class of the taxonomy: 1 platelet\n"
    written = json.loads((out / "scores.json").read_text())
    assert sorted(written["classes"]) == ["mononuclear", "polynuclear"]
    assert written["sources"]["lab"]["n"] == 2
    assert (out / "confusion.png").is_file()


def test_an_unknown_taxonomy_is_one_line(call, cells, weights):
    code, out, err = call(
        "evaluate", "--data", cells, "--weights", weights, "--taxonomy", "ninety", "-q"
    )
    assert (code, out) == (2, "")
    assert "ninety" in err
    assert err.count("\n") == 1


def test_the_card_of_weights_is_printed(call, weights):
    code, said, err = call("models", "card", weights)
    assert (code, err) == (0, "")
    assert "tiny" in said
