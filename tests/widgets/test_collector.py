"""Full collections wait while long functions run."""

from __future__ import annotations

import gc

import pytest

from napari_wbc.widgets import collector
from napari_wbc.widgets.collector import NEVER, undisturbed


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    """No module counts as new, and what was set is set again."""
    monkeypatch.setattr(collector._collector, "modules", 10**9)
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def test_none_while_any_function_runs_and_as_before_afterwards():
    before = gc.get_threshold()
    with undisturbed():
        with undisturbed():
            assert gc.get_threshold()[2] == NEVER
        assert gc.get_threshold() == (*before[:2], NEVER)
    assert gc.get_threshold() == before


def test_a_function_that_fails_leaves_them_as_they_were():
    before = gc.get_threshold()
    with pytest.raises(ValueError, match="nothing"), undisturbed():
        raise ValueError("nothing")
    assert gc.get_threshold() == before


def test_what_a_library_brought_is_left_out_of_later_ones(monkeypatch):
    frozen = []
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(1))
    with undisturbed():
        pass
    assert not frozen
    monkeypatch.setattr(collector._collector, "modules", 0)
    monkeypatch.setattr("atexit.register", lambda _function: None)
    for _ in range(2):
        with undisturbed():
            pass
    assert frozen == [1]
