"""The classes: names that stand in files, keys and colours that can be told apart."""

from __future__ import annotations

import re

import pytest

from napari_wbc.errors import WbcError
from napari_wbc.model.taxonomy import EIGHT_CLASSES, NOT_CLASSED, UNIDENTIFIED, CellClass, Place, Taxonomy


def test_an_empty_taxonomy_still_has_the_labels_beside_the_classes():
    empty = Taxonomy("empty", ())
    assert empty.names == ()
    assert empty.labels == (UNIDENTIFIED, NOT_CLASSED)
    assert set(empty.keys.values()) == set(empty.colors) == set(empty.shorts) == set(empty.labels)


@pytest.mark.parametrize("names", [("a", "a"), (UNIDENTIFIED,), ("a", NOT_CLASSED)])
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


@pytest.mark.parametrize("what", ["keys", "colors", "shorts"])
def test_every_label_has_a_key_a_colour_and_a_short_form_of_its_own(what):
    n = len(EIGHT_CLASSES.labels)
    values = getattr(EIGHT_CLASSES, what)
    assert len(set(values)) == len(set(values.values())) == n


def test_colours_are_hexadecimal_and_short_forms_are_short():
    assert all(re.fullmatch("#[0-9a-f]{6}", color) for color in EIGHT_CLASSES.colors.values())
    assert all(1 <= len(short) <= 3 for short in EIGHT_CLASSES.shorts.values())
