"""The classes: names that stand in files, keys and colours that can be told apart."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_wbc.errors import WbcError
from napari_wbc.model.taxonomy import (
    CANDIDATE,
    EIGHT_CLASSES,
    FIVE_CLASSES,
    FOUR_CLASSES,
    NOT_CLASSED,
    TAXONOMIES,
    TWO_CLASSES,
    UNIDENTIFIED,
    CellClass,
    Place,
    Taxonomy,
)


def test_an_empty_taxonomy_still_has_the_labels_beside_the_classes():
    empty = Taxonomy("empty", ())
    assert empty.names == ()
    assert empty.labels == (UNIDENTIFIED, NOT_CLASSED)
    assert set(empty.keys.values()) == set(empty.labels)
    assert set(empty.colors) == set(empty.shorts) == {*empty.labels, CANDIDATE}


@pytest.mark.parametrize("names", [("a", "a"), (UNIDENTIFIED,), ("a", NOT_CLASSED), (CANDIDATE,)])
def test_double_and_reserved_names_are_refused(names):
    with pytest.raises(WbcError):
        Taxonomy("wrong", tuple(CellClass(name, "X", "1", "#000000") for name in names))


def test_the_eight_classes_are_those_of_the_files():
    assert EIGHT_CLASSES.names == (
        "neutrophil",
        "eosinophil",
        "basophil",
        "lymphocyte",
        "monocyte",
        "immature granulocyte",
        "erythroblast",
        "platelet",
    )


def test_erythroblasts_and_platelets_stand_beside_the_differential():
    assert EIGHT_CLASSES.names_at(Place.PER_100_WBC) == ("erythroblast",)
    assert EIGHT_CLASSES.names_at(Place.BESIDE) == ("platelet",)
    assert len(EIGHT_CLASSES.names_at(Place.LEUKOCYTE)) == 6


@pytest.mark.parametrize(("what", "more"), [("keys", 0), ("colors", 1), ("shorts", 1)])
def test_every_label_has_a_key_a_colour_and_a_short_form_of_its_own(what, more):
    # Nobody gives a cell the label candidate, so it has no key.
    n = len(EIGHT_CLASSES.labels) + more
    values = getattr(EIGHT_CLASSES, what)
    assert len(set(values)) == len(set(values.values())) == n


def test_colours_are_hexadecimal_and_short_forms_are_short():
    assert all(re.fullmatch("#[0-9a-f]{6}", color) for color in EIGHT_CLASSES.colors.values())
    assert all(1 <= len(short) <= 3 for short in EIGHT_CLASSES.shorts.values())


@pytest.mark.parametrize("taxonomy", TAXONOMIES.values(), ids=TAXONOMIES)
def test_every_built_in_taxonomy_tells_its_labels_apart(taxonomy):
    for values in (taxonomy.keys, taxonomy.colors, taxonomy.shorts):
        assert len(set(values)) == len(set(values.values())) >= len(taxonomy.labels)


def test_a_class_looks_the_same_in_four_five_and_eight():
    assert set(FOUR_CLASSES.classes) < set(FIVE_CLASSES.classes) < set(EIGHT_CLASSES.classes)
    assert [len(TAXONOMIES[name].names) for name in TAXONOMIES] == [2, 4, 5, 8]


@pytest.mark.parametrize(
    ("name", "two", "four", "eight"),
    [
        ("neutrophil", "polynuclear", "neutrophil", "neutrophil"),
        ("band neutrophil", "polynuclear", "neutrophil", "neutrophil"),
        ("segmented neutrophil", "polynuclear", "neutrophil", "neutrophil"),
        ("basophil", "polynuclear", None, "basophil"),
        ("lymphocyte", "mononuclear", "lymphocyte", "lymphocyte"),
        ("myelocyte", None, None, "immature granulocyte"),
        ("platelet", None, None, "platelet"),
        ("polynuclear", "polynuclear", None, None),
        ("unidentified", None, None, None),
        ("", None, None, None),
    ],
)
def test_a_name_counts_as_the_class_that_covers_it(name, two, four, eight):
    assert tuple(t.class_of(name) for t in (TWO_CLASSES, FOUR_CLASSES, EIGHT_CLASSES)) == (
        two,
        four,
        eight,
    )


@given(st.sampled_from(list(TAXONOMIES.values())), st.data())
def test_every_class_counts_as_itself(taxonomy, data):
    one = data.draw(st.sampled_from(taxonomy.classes))
    assert {taxonomy.class_of(name) for name in (one.name, *one.covers)} == {one.name}


GOOD = {"name": "a", "short": "A", "key": "1", "color": "#000000"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"covers": ("",)},
        {"short": "LONG"},
        {"key": "ab"},
        {"key": "é"},
        {"color": "red"},
        {"color": "#00000"},
        {"color": "#000000\n"},
    ],
)
def test_a_class_of_wrong_form_is_refused(wrong):
    CellClass(**GOOD)
    with pytest.raises(WbcError):
        CellClass(**GOOD | wrong)


@pytest.mark.parametrize(
    "other",
    [
        {"key": "1"},
        {"short": "A"},
        {"key": "9"},
        {"short": "?"},
        {"covers": ("a",)},
        {"covers": ("c", "c")},
        {"covers": (UNIDENTIFIED,)},
    ],
)
def test_nothing_stands_for_two_classes(other):
    second = {"name": "b", "short": "B", "key": "2", "color": "#000000"}
    Taxonomy("right", (CellClass(**GOOD), CellClass(**second)))
    with pytest.raises(WbcError):
        Taxonomy("wrong", (CellClass(**GOOD), CellClass(**second | other)))


def test_classes_may_have_no_key():
    keyless = (CellClass(name, name, "", "#000000") for name in "ab")
    assert Taxonomy("keyless", tuple(keyless)).keys == {"0": UNIDENTIFIED, "9": NOT_CLASSED}


SIGHTS = {
    "normal": np.eye(3),
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
"""What is seen without one kind of cone, in linear RGB (Machado et al. 2009, severity 1)."""


def linear(colors):
    """Linear RGB of colours such as #rrggbb, shape (N, 3)."""
    rgb = np.array([[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in colors]) / 255
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize("sight", SIGHTS)
def test_any_two_colours_are_told_apart_by_every_eye(sight):
    from skimage.color import deltaE_ciede2000, rgb2lab

    colors = EIGHT_CLASSES.colors
    seen = (linear(colors.values()) @ np.transpose(SIGHTS[sight])).clip(0, 1)
    lab = rgb2lab(np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055))
    far = deltaE_ciede2000(lab[:, None], lab[None])
    names = list(colors)
    close = [(names[i], names[j], far[i, j]) for i, j in np.argwhere(np.triu(far < 15, 1))]
    assert not close


def test_colours_of_classes_stand_out_from_a_black_casing():
    light = linear([c.color for c in EIGHT_CLASSES.classes]) @ [0.2126, 0.7152, 0.0722]
    assert ((light + 0.05) / 0.05 >= 3).all()
