"""`napari-wbc train` in the shell: a recipe, options, and the model that is written."""

from __future__ import annotations

import json

import pytest

from napari_wbc.weights.store import read_model


def check_refused(call, folder, kind, text, said):
    """Training by a recipe of this text ends with code 2 and one line that says this."""
    (folder / "recipe.toml").write_text(text)
    recipe = ("--config", folder / "recipe.toml")
    code, out, err = call("train", kind, *recipe, "--out", folder / "out", "-q")
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_a_detector_needs_something_to_train_on(call, tmp_path):
    code, out, err = call("train", "detector", "--out", tmp_path / "out")
    assert (code, out) == (2, "")
    assert err == (
        "napari-wbc: Say what to train on: --data TRAINING_SET, "
        "or --config FILE.toml that names it.\n"
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
    check_refused(call, tmp_path, "detector", text, said)


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
    assert "No backbone 'alexnet'; choose one of: efficientnet_lite0, mobilenet_v3_large" in err
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
        assert err.count("\n") == err.count("epoch 1 of 1: error ") == epochs
        assert f"Model written to {out / 'small.safetensors'}" in said
    card = json.loads(read_model(out / "small.safetensors")[1])
    assert card["architecture"] == "mask-rcnn/mobilenet_v3_large"
    assert card["classes"] == ["leukocyte", "red cell", "platelet"]
    assert card["preset"]["longest"] == 96
    assert (card["provenance"]["recipe"]["draws"], card["provenance"]["epochs_run"]) == (2, 1)
    assert (out / "curves.png").is_file()


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
    check_refused(call, tmp_path, "classifier", text, said)


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
    assert "platelet (1)" in err
