"""Recipes: what is refused, and how they are read from a file."""

from __future__ import annotations

import pytest

from napari_wbc.classify.preset import Preset
from napari_wbc.detect.mask_rcnn import DetectorPreset
from napari_wbc.errors import WbcError
from napari_wbc.train.detector_recipe import DetectorRecipe
from napari_wbc.train.recipe import Recipe, planned, read_config

NAN, INF = float("nan"), float("inf")
BAD = [
    {"epochs": -5},
    {"epochs": 10**11},
    {"batch_size": 0},
    {"draws": -1},
    {"learning_rate": NAN},
    {"learning_rate": INF},
    {"weight_decay": NAN},
    {"ema": 1.1},
    {"seed": -1},
    {"seed": 2**31},
    {"patience": -1},
    {"name": "a\x1b[2J"},
    {"name": "a\0b"},
    {"name": "CON"},
    {"name": "con.1"},
    {"name": "x" * 1_000_000},
    {"version": "1\n2"},
    {"start": "a\0b"},
    {"augmentation": {"blur": NAN}},
    {"augmentation": {"zoom": -1.0}},
    {"augmentation": {"bulge": 0.5}},
    {"augmentation": {"coarse": 1.5}},
    {"augmentation": 10 * ["x" * 1_000_000]},
    {"no such\x1b" + "x" * 1_000_000: 1},
]


@pytest.mark.parametrize(
    ("kind", "preset", "values"),
    [
        *((Recipe, Preset, bad) for bad in BAD),
        *((DetectorRecipe, DetectorPreset, bad) for bad in BAD),
        (Recipe, Preset, {"preset": {"size": 1_000_000}}),
        (Recipe, Preset, {"preset": {"factor": INF}}),
        (Recipe, Preset, {"mixup": 0.6}),
        (Recipe, Preset, {"label_smoothing": NAN}),
        (Recipe, Preset, {"balance": 2.0}),
        (DetectorRecipe, DetectorPreset, {"preset": {"tile": 1_000_000}}),
        (DetectorRecipe, DetectorPreset, {"preset": {"red_cell": INF}}),
        (DetectorRecipe, DetectorPreset, {"canvas": 1_000_000}),
        (DetectorRecipe, DetectorPreset, {"drawn": 10**9}),
        (DetectorRecipe, DetectorPreset, {"classes": ["leukocyte", "a\x1b"]}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_recipe_out_of_range_is_refused_in_one_line(kind, preset, values):
    with pytest.raises(WbcError) as caught:
        planned(kind, values, preset)
    said = str(caught.value)
    assert said.isprintable()
    assert len(said) < 1000


@pytest.mark.parametrize(
    "options", [{"keep": 0.5}, {"keep": -0.1, "start": "x"}, {"keep": 1.1, "start": "x"}]
)
def test_only_weights_that_there_are_can_be_kept(options):
    with pytest.raises(WbcError, match="keep is a share"):
        Recipe(**options)


@pytest.fixture
def config(tmp_path):
    def write(text):
        path = tmp_path / "sets" / "recipe.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_an_empty_file_says_nothing(config):
    assert read_config(config("")) == ([], {})


def test_data_are_sought_beside_the_file_and_the_rest_is_the_recipe(config, tmp_path):
    path = config(
        f"""
        data = ["a.csv", "../b", '{tmp_path / "c.csv"}']
        epochs = 3
        classes = ["leukocyte", "red cell"]
        [preset]
        longest = 96
        """
    )
    data, recipe = read_config(str(path))
    assert data == [path.parent / "a.csv", path.parent / "../b", tmp_path / "c.csv"]
    assert recipe == {"epochs": 3, "classes": ["leukocyte", "red cell"], "preset": {"longest": 96}}


@pytest.mark.parametrize(
    ("start", "expected"),
    [("", ""), ("base.safetensors", "{here}/base.safetensors"), ("/a/b", "/a/b")],
)
def test_weights_to_start_from_are_sought_beside_the_file(start, expected, config):
    path = config(f"start = '{start}'")
    assert read_config(path)[1]["start"] == expected.format(here=path.parent)


@pytest.mark.parametrize(
    "data", ["'a.csv'", "3", "[1]", "['a.csv', ['b.csv']]", "{a = 'b'}", r'["\u0000"]']
)
def test_data_that_are_no_list_of_paths_are_refused(data, config):
    with pytest.raises(WbcError, match=r"recipe\.toml: data must be a list"):
        read_config(config(f"data = {data}"))


@pytest.mark.parametrize(
    "text",
    [
        *("epochs", "epochs = ", "= 3", "[preset", "epochs = 1\nepochs = 2"),
        *("a = " + "[" * 5000, "a = " + "1" * 5000),
    ],
    ids=lambda text: text[:20],
)
def test_a_file_that_is_no_toml_is_refused(text, config):
    with pytest.raises(WbcError, match=r"recipe\.toml: not a readable TOML file"):
        read_config(config(text))


@pytest.mark.parametrize("kind", ["missing", "folder", "no text"])
def test_a_file_that_cannot_be_read_is_said(kind, tmp_path):
    path = tmp_path / "recipe.toml"
    if kind == "folder":
        path.mkdir()
    elif kind == "no text":
        path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(WbcError, match=r"recipe\.toml: "):
        read_config(path)


@pytest.mark.parametrize("options", [{}, {"architecture": "efficientnet_lite0", "start": "cdnn"}])
def test_imagenet_s_weights_are_of_one_network_and_not_beside_others(options):
    with pytest.raises(WbcError, match="ImageNet"):
        Recipe(pretrained=True, **options)
