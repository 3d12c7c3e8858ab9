"""Full collections wait while long functions run; torch is opened without Python's lock."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from napari_wbc.widgets.qt import responsive
from napari_wbc.widgets.qt.responsive import NEVER, open_torch, undisturbed


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    """No module counts as new, and what was set is set again."""
    monkeypatch.setattr(responsive._collector, "modules", 10**9)
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
    monkeypatch.setattr(responsive._collector, "modules", 0)
    monkeypatch.setattr("atexit.register", lambda _function: None)
    for _ in range(2):
        with undisturbed():
            pass
    assert frozen == [1]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux opens it so")
def test_torch_can_be_imported_while_and_after_it_is_opened():
    """In a Python of its own, as torch is loaded here."""
    script = (
        "import sys, threading\n"
        "from napari_wbc.widgets.qt.responsive import open_torch\n"
        "assert 'torch' not in sys.modules\n"
        "open_torch()\n"
        "assert threading.active_count() == 2\n"
        "import torch\n"
        "assert float(torch.ones(3).sum()) == 3\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


def test_torch_that_is_there_is_not_opened_again(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", sys)
    monkeypatch.setattr("ctypes.CDLL", None)
    open_torch()
