"""What a project keeps of an analysis: it comes back, field by field, and garbage does no harm."""

from __future__ import annotations

import json
from pathlib import Path

import shapely
from hypothesis import given
from hypothesis import strategies as st

from napari_wbc.model.failure import Failure
from napari_wbc.model.slide import FieldOfView, Slide
from napari_wbc.pipeline.kept_analysis import from_note, merged_note, note_key, to_note

SLIDE = Slide("s", tuple(FieldOfView(f"s/{i}.png", Path(f"/data/{i}.png")) for i in range(4)))
COUNTS = st.dictionaries(
    st.sampled_from(["red cell", "platelet"]), st.integers(0, 99), min_size=1, max_size=2
)
EMPTY = {"failed": {}, "blood_cells": {}, "disagreements": {}, "looked_at": {}, "regions": {}}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["failed", "blood_cells", "disagreements", "regions", "s/0.png", "red cell"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=9,
)


@st.composite
def analyses(draw):
    """Failed files, and blood cells and disagreements of other fields."""
    failures, counts, disagreements, looked_at, regions = [], {}, {}, {}, {}
    for field in SLIDE.fields:
        kind = draw(st.sampled_from(["failed", "counted", "neither"]))
        if kind == "failed":
            failures.append(Failure(field.path, draw(st.text(max_size=5))))
        elif kind == "counted":
            counts[field.fov_id] = draw(COUNTS)
        if kind != "failed" and draw(st.booleans()):
            disagreements[field.fov_id] = draw(st.text(min_size=1, max_size=5))
        if draw(st.booleans()):
            looked_at[field.fov_id] = draw(st.text(min_size=1, max_size=5))
        if draw(st.booleans()):
            side = draw(st.integers(1, 100_000))
            name = draw(st.text(min_size=1, max_size=5))
            regions[field.fov_id] = {
                name: shapely.box(0, 0, side, 7),
                "edge": shapely.box(0, 0, 1, 1),
            }
    return tuple(failures), counts, disagreements, looked_at, regions


def test_nothing_is_kept_of_a_slide_without_fields():
    assert to_note(Slide("s", ()), (), {}, {}) == EMPTY
    assert from_note(None, SLIDE) == ((), {}, {}, {}, {})
    assert note_key("s") != note_key("t")


@given(analyses())
def test_an_analysis_comes_back(analysis):
    note = json.loads(json.dumps(to_note(SLIDE, *analysis[:4], regions=analysis[4])))
    assert from_note(note, SLIDE) == analysis
    assert merged_note(None, [field.fov_id for field in SLIDE.fields], note) == note


@given(analyses(), analyses(), st.sets(st.sampled_from([field.fov_id for field in SLIDE.fields])))
def test_of_fields_that_were_analyzed_again_the_new_is_kept_and_of_others_the_old(old, new, again):
    part = Slide("s", tuple(field for field in SLIDE.fields if field.fov_id in again))
    failures, *by_field = new
    searched = [{key: value for key, value in one.items() if key in again} for one in by_field]
    fresh = to_note(part, failures, *searched[:3], regions=searched[3])
    kept = from_note(merged_note(to_note(SLIDE, *old[:4], regions=old[4]), again, fresh), SLIDE)
    failures, counts, disagreements, looked_at, regions = kept
    for field in SLIDE.fields:
        before = new if field.fov_id in again else old
        was_failures, was_counts, was_disagreements, was_looked_at, was_regions = before
        assert looked_at.get(field.fov_id) == was_looked_at.get(field.fov_id)
        assert regions.get(field.fov_id) == was_regions.get(field.fov_id)
        assert disagreements.get(field.fov_id) == was_disagreements.get(field.fov_id)
        assert [f for f in failures if f.path == field.path] == [
            f for f in was_failures if f.path == field.path
        ]
        assert counts.get(field.fov_id) == was_counts.get(field.fov_id)


def test_a_failed_file_is_found_where_its_slide_is_now():
    note = to_note(SLIDE, [Failure(SLIDE.fields[1].path, "broken")], {}, {})
    moved = Slide("s", (FieldOfView("s/1.png", Path("/elsewhere/1.png")),))
    assert from_note(note, moved) == (
        (Failure(Path("/elsewhere/1.png"), "broken"),),
        {},
        {},
        {},
        {},
    )


@given(json_values)
def test_garbage_is_nothing(value):
    failures, counts, disagreements, looked_at, regions = from_note(value, SLIDE)
    assert all(isinstance(text, str) and text for text in looked_at.values())
    assert not regions
    assert all(isinstance(failure.message, str) for failure in failures)
    numbers = [n for one in counts.values() for n in one.values()]
    assert all(isinstance(n, int) and n >= 0 for n in numbers)
    assert all(isinstance(text, str) and text for text in disagreements.values())
    assert set(merged_note(value, ["s/0.png"], to_note(SLIDE, (), {}, {}))) == set(EMPTY)
