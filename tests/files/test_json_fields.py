"""Fields of a stranger's JSON are of the type that they must have, or refused by name."""

from __future__ import annotations

import pytest

from napari_wbc.errors import WbcError
from napari_wbc.files.json_fields import MAX_NUMBER, items, numbers, part, texts


def test_fields_of_the_right_type_come_back():
    record = {"n": 3, "yes": True, "names": ["a"], "rows": [{}], "none": []}
    assert part(record, "n", int) == 3
    assert part(record, "yes", bool) is True
    assert part(record, "missing", str, "default") == "default"
    assert texts(record, "names") == ("a",)
    assert items(record, "rows") == [{}]
    assert items(record, "none") == []
    assert texts(record, "none") == ()


@pytest.mark.parametrize("record", [None, [], 3, "n", {}, {"n": "3"}, {"n": None}, {"n": True}])
def test_other_types_are_refused_by_name(record):
    with pytest.raises(WbcError, match="n is missing or no whole number"):
        part(record, "n", int)


@pytest.mark.parametrize(("read", "kind"), [(items, "object"), (texts, "text")])
def test_lists_of_other_things_are_refused(read, kind):
    with pytest.raises(WbcError, match=f"x holds something that is no {kind}"):
        read({"x": [1]}, "x")


def test_numbers_come_back_as_floats():
    assert numbers([], "box") == []
    assert numbers([1, 2.5, -MAX_NUMBER], "box") == [1.0, 2.5, -1e9]
    assert numbers([1, "2.5"], "box") == [1.0, 2.5]


@pytest.mark.parametrize("text", ["", "x", "nan", "1_0", "1e999"])
def test_a_text_that_is_no_number_is_refused(text):
    with pytest.raises(WbcError, match="is no finite number"):
        numbers([1, text], "box")


@pytest.mark.parametrize("values", [None, "12", [True], [None], [[1]]])
def test_what_is_no_list_of_numbers_is_refused(values):
    with pytest.raises(WbcError, match="box is missing or not of numbers"):
        numbers(values, "box")


@pytest.mark.parametrize("value", [1.1e9, -1.1e9, 10**400])
def test_numbers_beyond_any_image_are_refused(value):
    with pytest.raises(WbcError, match="box has a number that is too large"):
        numbers([0, value], "box")
