"""`napari-wbc set` in the shell: what a set holds, and labels that are mapped."""

from __future__ import annotations

import pytest
from PIL import Image


@pytest.fixture
def theirs(tmp_path):
    """A set of three cells, of a class and of a label that is none."""
    for i, label in enumerate(("monocyte", "monocyte", "wombat")):
        folder = tmp_path / "theirs" / "train" / label
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30, 30), (9 * i, 0, 0)).save(folder / f"{i}.png")
    return tmp_path / "theirs"


def test_a_set_is_shown_with_what_each_label_would_become(call, theirs):
    code, out, err = call("set", "show", theirs)
    assert (code, err) == (0, "")
    assert "say which: --map" in out
    assert "3 cells of 3 fields" in out


def test_a_label_that_is_mapped_to_nothing_is_one_line(call, theirs, tmp_path):
    code, out, err = call(
        "set", "import", theirs, "--project", tmp_path / "p.wbc", "--map", "wombat"
    )
    assert (code, out) == (2, "")
    assert err.startswith("napari-wbc: --map wombat: write LABEL=CLASS")
    assert not (tmp_path / "p.wbc").exists()
