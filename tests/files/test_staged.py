"""Files that take their places together."""

from __future__ import annotations

import pytest

from napari_wbc.errors import WbcError
from napari_wbc.files.staged import part_of, staged


def is_ours(name):
    return name.endswith(".out")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_of_no_folder_nothing_is_placed():
    with staged([], is_ours) as place:
        place()


def test_new_files_replace_ours_and_no_others(tmp_path):
    folders = [tmp_path / "a", tmp_path / "b" / "c"]
    folders[0].mkdir()
    for name in ("gone.out", "kept.txt"):
        (folders[0] / name).write_text("old")
    with staged(folders, is_ours) as place:
        for folder in folders:
            (part_of(folder) / "new.out").write_text("new")
        assert "gone.out" in names(folders[0])
        place()
    assert names(folders[0]) == ["kept.txt", "new.out"]
    assert names(folders[1]) == ["new.out"]


def test_what_is_not_placed_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), staged([tmp_path / "a" / "b"], is_ours):
        raise ZeroDivisionError
    assert names(tmp_path) == []


def test_one_folder_that_fails_leaves_all_as_they_were(tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
        (folder / "old.out").write_text("old")
    (folders[1] / "new.out").mkdir()
    with staged(folders, is_ours) as place:
        for folder in folders:
            (part_of(folder) / "new.out").write_text("new")
        with pytest.raises(WbcError, match=r"new.out: cannot be put in place"):
            place()
    assert names(folders[0]) == ["old.out"]
    assert names(folders[1]) == ["new.out", "old.out"]


def test_two_programs_do_not_write_to_one_folder(tmp_path):
    with (
        staged([tmp_path], is_ours),
        pytest.raises(WbcError, match="another program writes"),
        staged([tmp_path], is_ours),
    ):
        pass
    assert names(tmp_path) == []
