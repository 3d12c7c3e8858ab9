"""Taxonomies from plain values: what is left out gets something of its own."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_wbc.errors import WbcError
from napari_wbc.model.taxonomy import (
    CANDIDATE,
    EIGHT_CLASSES,
    NOT_CLASSED,
    TAXONOMIES,
    UNIDENTIFIED,
    Place,
    Taxonomy,
)
from napari_wbc.model.taxonomy_dict import (
    MAX_CLASSES,
    PALETTE,
    taxonomy_from_dict,
    taxonomy_of_names,
)


def entry(**fields):
    return {"name": "mine", "classes": [{"name": "hairy cell"} | fields, "monocyte"]}


@pytest.mark.parametrize(
    "nothing",
    [None, [], {}, "two", 3, {"name": "x"}, {"name": "x", "classes": []}, {"classes": ["a"]}],
)
def test_nothing_is_no_taxonomy(nothing):
    with pytest.raises(WbcError):
        taxonomy_from_dict(nothing)


@pytest.mark.parametrize("taxonomy", TAXONOMIES.values(), ids=TAXONOMIES)
def test_a_built_in_taxonomy_comes_back(taxonomy):
    assert taxonomy_from_dict(taxonomy.to_dict()) == taxonomy
    names_only = taxonomy_of_names(taxonomy.name, taxonomy.names)
    assert [c.name for c in names_only.classes] == [c.name for c in taxonomy.classes]
    assert names_only == taxonomy


def test_known_classes_keep_theirs_in_any_order():
    mine = taxonomy_of_names("mine", ["hairy cell", "platelet", "neutrophil"])
    assert mine.classes[1:] == (EIGHT_CLASSES.classes[7], EIGHT_CLASSES.classes[0])
    assert (mine.classes[0].short, mine.classes[0].key) == ("HC", "2")
    assert mine.classes[0].place is Place.LEUKOCYTE
    assert mine.classes[0].color == PALETTE[1]


def test_what_is_given_comes_before_what_is_known():
    data = {
        "name": "bands",
        "classes": [
            {"name": "neutrophil", "key": "n", "place": "beside"},
            "band neutrophil",
            {
                "name": "blast",
                "key": 1,
                "short": "NEU",
                "color": "#009e73",
                "covers": ["myelocyte"],
            },
            "immature granulocyte",
        ],
    }
    mine = taxonomy_from_dict(data)
    assert mine.classes[0].covers == ("segmented neutrophil",)
    assert mine.classes[3].covers == ("metamyelocyte", "promyelocyte")
    assert [c.key for c in mine.classes] == ["n", "2", "1", "6"]
    assert mine.classes[0].short != "NEU" == mine.classes[2].short
    assert mine.names_at(Place.BESIDE) == ("neutrophil",)


def test_usual_classes_beside_the_leukocytes_are_not_counted_among_them():
    mine = taxonomy_of_names("m", ["smudge cell", "artefact", "red cell", "platelet", "blast"])
    assert mine.names_at(Place.LEUKOCYTE) == ("blast",)
    assert mine.names_at(Place.PER_100_WBC) == ("smudge cell",)


NAME = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=60).filter(
    lambda name: name not in (UNIDENTIFIED, NOT_CLASSED, CANDIDATE)
)


@given(st.lists(NAME, min_size=1, max_size=20, unique=True))
def test_defaults_are_of_their_own_whatever_the_names(names):
    mine = taxonomy_of_names("mine", names)
    for what in (mine.colors, mine.shorts):
        assert len(set(what.values())) == len({*mine.labels, CANDIDATE})
    assert len(mine.keys) == 2 + min(8, len(names))
    assert taxonomy_from_dict(mine.to_dict()) == mine


def test_many_classes_are_still_told_apart():
    mine = taxonomy_of_names(
        "many", ["aaa" + "b" * (i % 50) + chr(97 + i // 50) for i in range(MAX_CLASSES)]
    )
    assert len(set(mine.colors.values())) == MAX_CLASSES + 3
    assert all(re.fullmatch("#[0-9a-f]{6}", color) for color in mine.colors.values())
    with pytest.raises(WbcError, match=f"1 to {MAX_CLASSES}"):
        taxonomy_of_names("more", [str(i) for i in range(MAX_CLASSES + 1)])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"name": "x", "classes": ["a", "a"]}, "names a class twice"),
        ({"name": "x", "classes": ["unidentified"]}, "reserved"),
        ({"name": "x", "classes": ["a"], "author": "me"}, "unknown field 'author'"),
        ({"name": "x", "classes": ["a", ["b"]]}, "Class 2 is not written as fields"),
        ({"name": "x", "classes": ["a", False]}, "Class 2 is not written as fields"),
        ({"name": 3, "classes": ["a"]}, "name is missing or not a text"),
        ({"name": "x", "classes": "neutrophil"}, "a list of 1 to"),
        (entry(colour="#000000"), "Class 1 has the unknown field 'colour'"),
        (entry(name=None), "Class 1: name is missing"),
        (entry(name=" a"), "no name of a class"),
        (entry(name="a\nb"), "no name of a class"),
        (entry(name="a" * 61), "no name of a class"),
        (entry(short="HAIR"), "'HAIR'; use 1 to 3 letters"),
        (entry(short=""), "1 to 3 letters"),
        (entry(short="?"), "short form '\\?' twice, or it is taken"),
        (entry(key="ab"), "'ab'; use one letter or digit"),
        (entry(key=10**5000), "key is missing or not a text"),
        (entry(key=True), "key is missing or not a text"),
        (entry(key="0"), "key '0' twice, or it is taken"),
        (entry(color="red"), "'red'; write it like"),
        (entry(color=None), "an unquoted # begins a comment"),
        (entry(place="outside"), "'outside'; use leukocyte, per 100 WBC, beside"),
        (entry(covers="blast"), "covers must be a list"),
        (entry(covers=[1]), "covers must be a list"),
        (entry(covers=["monocyte"]), "covered class 'monocyte' twice"),
        (entry(covers=["hairy cell"]), "'hairy cell' twice"),
        (entry(covers=["blast", "blast"]), "'blast' twice"),
        (entry(covers=["not classed"]), "reserved"),
    ],
)
def test_what_is_wrong_is_named(data, message):
    with pytest.raises(WbcError, match=message):
        taxonomy_from_dict(data)


VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
FIELDS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("name", "short", "key", "color", "place", "covers"), VALUE)
)


@given(
    VALUE | st.fixed_dictionaries({"name": VALUE, "classes": st.lists(FIELDS | VALUE, max_size=3)})
)
def test_anything_is_a_taxonomy_or_one_clear_error(data):
    try:
        result = taxonomy_from_dict(data)
    except WbcError as error:
        result = str(error)
    assert isinstance(result, Taxonomy) or "\n" not in result


def test_built_in_classes_of_earlier_versions_have_the_colours_of_today():
    earlier = EIGHT_CLASSES.to_dict()
    for entry in earlier["classes"]:
        if entry["name"] == "eosinophil":
            entry["color"] = "#e69f00"
    assert taxonomy_from_dict(earlier) == EIGHT_CLASSES
    # A colour that a laboratory chose stays.
    earlier["classes"][0]["color"] = "#123456"
    assert taxonomy_from_dict(earlier).classes[0].color == "#123456"
