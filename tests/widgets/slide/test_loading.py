"""Fields are read in a thread, and the next one ahead."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
from qtpy.QtCore import QObject
from tests.widgets.red_fields import FIELDS

from napari_wbc.widgets.slide.loading import FieldLoader


@pytest.fixture
def loader(reader, qtbot):
    parent = QObject()
    loader = FieldLoader(SimpleNamespace(read_shown=reader), parent)
    yield loader
    loader.cancel()
    qtbot.waitUntil(lambda: not loader.running)


def test_a_field_is_read_in_a_thread(loader, reader, qtbot):
    with qtbot.waitSignal(loader.loaded) as loaded:
        loader.load(FIELDS["f2"])
    field, pixels, error = loaded.args[0]
    assert (field, pixels[0, 0, 0], error) == (FIELDS["f2"], 20, "")
    assert threading.get_ident() not in reader.threads


def test_a_field_read_ahead_is_there_at_once(loader, reader, qtbot):
    fields = []
    loader.loaded.connect(lambda read: fields.append(read[0]))
    loader.look_ahead(FIELDS["f1"])
    qtbot.waitUntil(lambda: not loader.running)
    assert fields == []
    loader.load(FIELDS["f1"])
    assert fields == [FIELDS["f1"]]
    assert reader.read == ["f1"]


def test_a_field_that_cannot_be_read_comes_with_its_error(loader, reader, qtbot):
    reader.broken.add("f1")
    with qtbot.waitSignal(loader.loaded) as loaded:
        loader.load(FIELDS["f1"])
    assert loaded.args[0] == (FIELDS["f1"], None, "not readable")
