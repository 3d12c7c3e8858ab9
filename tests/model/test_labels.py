"""Names of what is no leukocyte, however they are spelled, and all others for leukocytes."""

from __future__ import annotations

import pytest

from napari_wbc.model.labels import OTHERS, SPELLINGS, is_no_leukocyte, plain_label, usual_name
from napari_wbc.model.taxonomy import EIGHT_CLASSES, Place


@pytest.mark.parametrize(
    "label",
    [
        *(
            "artefact",
            "Artifacts",
            "STAINING_ARTEFACT",
            "smudge cell",
            "Smudge-Cells",
            "basket cell",
            "debris",
        ),
        *(
            "stain precipitate",
            "Platelet clumps",
            "giant platelet",
            "not a cell",
            "parasite",
            "Plasmodium",
        ),
        *("RBC", "Red blood cells", "PLT", "Thrombocytes"),
    ],
)
def test_what_is_no_leukocyte_is_known_in_any_spelling(label):
    assert is_no_leukocyte(label)


@pytest.mark.parametrize(
    "label",
    [
        *(
            "",
            "WBC",
            "leukocyte",
            "hairy cell",
            "blast",
            "band neutrophil",
            "atypical lymphocyte",
            "cell",
        ),
        *(
            "NRBC",
            "orthochromatic normoblast",
            "plasma cell",
            "lymphocyte with a platelet",
            "unknown",
        ),
    ],
)
def test_any_other_name_may_be_that_of_a_leukocyte(label):
    assert not is_no_leukocyte(label)


def test_no_name_is_listed_twice_or_is_one_of_a_leukocyte():
    plain = [
        plain_label(name)
        for name in (*OTHERS, *SPELLINGS, *(n for more in SPELLINGS.values() for n in more))
    ]
    assert len(set(plain)) == len(plain)
    leukocytes = EIGHT_CLASSES.names_at(Place.LEUKOCYTE)
    assert not {plain_label(name) for name in leukocytes} & set(plain)


def test_the_classes_that_we_have_keep_their_names():
    assert [usual_name(name) for name in EIGHT_CLASSES.names] == list(EIGHT_CLASSES.names)
    assert usual_name("Nucleated_Red-Blood cells") == "erythroblast"
