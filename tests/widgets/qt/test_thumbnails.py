from __future__ import annotations

import threading

import pytest
from tests.widgets.red_fields import FIELDS, cell, settle, shade

from napari_wbc.errors import ReadError
from napari_wbc.model.cell import Annotation, Detection
from napari_wbc.model.geometry import BBox
from napari_wbc.widgets.qt.thumbnails import MAX_BATCH, MAX_FIELDS, SIDE, Latest, Thumbnails


def test_asked_for_nothing_it_does_nothing(thumbnails, reader, qtbot):
    thumbnails.want([])
    qtbot.wait(20)
    assert not thumbnails.running
    assert reader.read == []


def test_comes_later_from_another_thread(thumbnails, reader, qtbot):
    one, other = cell("f3"), cell("f5")
    with qtbot.waitSignal(thumbnails.ready) as told:
        assert thumbnails.get(one) is None
        assert thumbnails.get(other) is None
    assert told.args == [{one.cell_id, other.cell_id}]
    assert (thumbnails.get(one).width(), thumbnails.get(one).height()) == (SIDE, SIDE)
    assert (shade(thumbnails.get(one)), shade(thumbnails.get(other))) == (30, 50)
    assert threading.get_ident() not in reader.threads


def test_each_field_is_read_once_a_batch_and_newest_first(thumbnails, reader, qtbot):
    cells = [cell(f"f{i % 4}") for i in range(40)]
    with qtbot.waitSignal(thumbnails.ready):
        for asked in cells:
            thumbnails.get(asked)
    assert reader.read == ["f3", "f2", "f1", "f0"]


def test_wanted_is_made_in_order_and_what_is_no_longer_wanted_is_not(thumbnails, reader, qtbot):
    thumbnails.want([cell("f9")])
    cells = [cell("f2"), cell("f1")]
    thumbnails.want(cells)
    settle(thumbnails, qtbot, cells)
    assert reader.read == ["f2", "f1"]


def test_a_delivery_is_small(thumbnails, qtbot):
    came = []
    thumbnails.ready.connect(came.append)
    cells = [cell("f0") for _ in range(MAX_BATCH * 2 + 1)]
    thumbnails.want(cells)
    qtbot.waitUntil(lambda: sum(map(len, came)) == len(cells))
    assert max(map(len, came)) <= MAX_BATCH


def test_a_relabelled_cell_keeps_its_thumbnail_and_a_moved_one_gets_a_new_one(thumbnails, qtbot):
    one = cell()
    thumbnails.get(one)
    settle(thumbnails, qtbot, [one])
    assert thumbnails.get(one.annotated(Annotation("monocyte"))) is thumbnails.get(one)
    moved = one.moved(Detection(BBox(30, 30, 50, 50)))
    assert thumbnails.get(moved) is None
    settle(thumbnails, qtbot, [moved])
    assert thumbnails.get(one) is None  # one thumbnail a cell


def test_the_cache_is_bounded(reader, qtbot):
    thumbnails = Thumbnails(reader, FIELDS.get, capacity=2)
    cells = [cell() for _ in range(3)]
    with qtbot.waitSignal(thumbnails.ready):
        thumbnails.want(cells)
    assert [thumbnails.get(c) is None for c in cells] == [True, False, False]
    thumbnails.cancel()
    qtbot.waitUntil(lambda: not thumbnails.running)


def test_decoded_fields_are_kept_for_a_while(thumbnails, reader, qtbot):
    for i in [*range(MAX_FIELDS), 0, MAX_FIELDS, 1]:
        asked = cell(f"f{i}")
        thumbnails.get(asked)
        settle(thumbnails, qtbot, [asked])
    assert reader.read == [f"f{i}" for i in [*range(MAX_FIELDS), MAX_FIELDS, 1]]


@pytest.mark.parametrize("error", [ReadError("no"), OSError("no")])
def test_a_field_that_cannot_be_read_is_grey_and_tried_once(thumbnails, reader, qtbot, error):
    reader.broken, reader.error = {"f7"}, error
    cells = [cell("f7"), cell("f3"), cell("f7"), cell("no such field")]
    thumbnails.want(cells)
    settle(thumbnails, qtbot, cells)
    late = cell("f7")
    thumbnails.get(late)
    settle(thumbnails, qtbot, [late])
    assert [shade(thumbnails.get(c)) for c in cells] == [128, 30, 128, 128]
    assert sorted(reader.read) == ["f3", "f7"]


def test_any_other_failure_is_grey_too(thumbnails, reader, qtbot, caplog):
    reader.broken, reader.error = {"f7"}, RuntimeError("a fault")
    asked = cell("f7")
    thumbnails.want([asked])
    settle(thumbnails, qtbot, [asked])
    assert shade(thumbnails.get(asked)) == 128
    assert reader.read == ["f7"]
    assert "a fault" in caplog.text


def test_cleared_for_another_slide(thumbnails, reader, qtbot):
    one = cell()
    thumbnails.get(one)
    settle(thumbnails, qtbot, [one])
    thumbnails.clear()
    assert thumbnails.get(one) is None
    settle(thumbnails, qtbot, [one])
    assert reader.read == ["f0", "f0"]


def test_cancelled_it_says_nothing_more(reader, qtbot):
    go = threading.Event()

    def read(field):
        go.wait(5)
        return reader(field)

    thumbnails = Thumbnails(read, FIELDS.get)
    came = []
    thumbnails.ready.connect(came.append)
    thumbnails.want([cell("f0"), cell("f1")])
    qtbot.waitUntil(lambda: thumbnails.running)
    thumbnails.cancel()
    go.set()
    qtbot.waitUntil(lambda: not thumbnails.running)
    qtbot.wait(10)
    assert came == []


def test_latest_keeps_what_was_used_last():
    cache = Latest(2)
    assert len(cache) == 0
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)
    assert [key in cache for key in "abc"] == [True, False, True]
