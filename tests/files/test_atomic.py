"""A file is replaced as a whole or left as it was."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from napari_wbc.errors import WbcError
from napari_wbc.files import atomic
from napari_wbc.files.atomic import (
    new_folder,
    no_empty_folder,
    put_new,
    write_bytes,
    write_text,
)


def test_nothing_can_be_written(tmp_path):
    write_bytes(tmp_path / "empty", b"")
    assert (tmp_path / "empty").read_bytes() == b""


def test_folders_are_made(tmp_path):
    write_text(tmp_path / "a" / "b" / "c.txt", "é\n")
    assert (tmp_path / "a" / "b" / "c.txt").read_bytes() == b"\xc3\xa9\n"


def test_an_old_file_is_replaced_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "table.csv"
    for text in ("old", "new"):
        write_text(path, text)
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file(step, tmp_path, monkeypatch):
    path = tmp_path / "table.csv"
    write_text(path, "old")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync" if step == "fsync" else "pathlib.Path.replace", full)
    with pytest.raises(WbcError, match=r"table\.csv: cannot be written \(No space left"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interruption_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "table.csv"
    write_text(path, "old")

    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_in_the_way_is_said(tmp_path):
    (tmp_path / "table.csv" / "inner").mkdir(parents=True)
    with pytest.raises(WbcError, match="cannot be written"):
        write_text(tmp_path / "table.csv", "new")


def test_a_file_where_a_folder_should_be_is_said(tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(WbcError, match="cannot be written"):
        write_text(tmp_path / "out" / "table.csv", "new")


def test_names_that_are_no_text_are_escaped(tmp_path):
    write_text(tmp_path / "table.csv", os.fsdecode(b"\xff.png"))
    assert (tmp_path / "table.csv").read_text() == "\\udcff.png"


def failed(context, before):
    """Make a file or folder in a context, which then fails."""
    with context as entered:
        before(entered)
        raise WbcError("no")


def test_a_folder_for_results_goes_if_the_work_fails_and_stays_with_what_is_in_it(tmp_path):
    folder = tmp_path / "a" / "b"
    with pytest.raises(WbcError):
        failed(new_folder(folder), lambda _: None)
    assert not (tmp_path / "a").exists()
    with pytest.raises(WbcError):
        failed(new_folder(folder), lambda made: (made / "kept").touch())
    assert (folder / "kept").exists()


def test_a_name_that_is_too_long_is_no_folder(tmp_path):
    with pytest.raises(WbcError, match="cannot be a folder"), new_folder(tmp_path / ("x" * 300)):
        pass


def test_a_refused_command_leaves_no_empty_folder(tmp_path):
    folder = tmp_path / "a" / "b"
    with pytest.raises(WbcError):
        failed(no_empty_folder(folder), lambda _: folder.mkdir(parents=True))
    assert not (tmp_path / "a").exists()
    kept = tmp_path / "kept"
    kept.mkdir()
    with pytest.raises(WbcError):
        failed(no_empty_folder(kept), lambda _: None)
    with pytest.raises(WbcError):
        failed(no_empty_folder(tmp_path / "new.csv"), lambda _: (tmp_path / "new.csv").touch())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "new.csv"]


def test_a_new_file_takes_no_name_that_another_has(tmp_path, monkeypatch):
    for links in (True, False):
        part = tmp_path / "part"
        part.write_bytes(b"new")
        path = tmp_path / f"a-{links}"
        with monkeypatch.context() as patched:
            if not links:
                patched.setattr(os, "link", no_links)
            put_new(part, path)
            assert path.read_bytes() == b"new"
            part.unlink(missing_ok=True)
            part.write_bytes(b"other")
            with pytest.raises(FileExistsError):
                put_new(part, path)
        assert path.read_bytes() == b"new"
        part.unlink()


def no_links(*_):
    raise OSError(errno.EPERM, "no links here")


def test_a_copy_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(atomic, "sync", lambda path: synced.append(path.name))
    (tmp_path / "a").write_bytes(b"a")
    atomic.copied(tmp_path / "a", tmp_path / "b")
    assert [name.endswith(".part") for name in synced] == [True, False]
    assert (tmp_path / "b").read_bytes() == b"a"


def read_all(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def fill(folder, texts):
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


OLD = {"a": "old", "b": "old", "sub/gone": "old", "mine": "mine"}


def test_files_are_put_together_and_what_is_gone_goes(tmp_path):
    fill(tmp_path, OLD)
    with atomic.put_together(tmp_path, ["a", "b"], ["sub/gone"]) as new:
        fill(new, {"a": "new", "b": "new"})
        assert read_all(tmp_path).items() >= OLD.items()
    assert read_all(tmp_path) == {"a": "new", "b": "new", "mine": "mine"}
    assert not (tmp_path / "sub").exists()


@pytest.mark.parametrize("at", range(5))
def test_files_that_cannot_be_put_together_are_as_they_were(tmp_path, monkeypatch, at):
    fill(tmp_path, OLD)
    move = atomic._move
    calls = []

    def failing(*arguments):
        calls.append(arguments)
        if len(calls) - 1 == at:
            raise OSError(errno.EIO, "broken")
        move(*arguments)

    monkeypatch.setattr(atomic, "_move", failing)
    with (
        pytest.raises(OSError, match="broken"),
        atomic.put_together(tmp_path, ["a", "b"], ["sub/gone"]) as new,
    ):
        fill(new, {"a": "new", "b": "new"})
    assert read_all(tmp_path) == OLD


def test_what_cannot_be_put_back_is_kept(tmp_path, monkeypatch):
    fill(tmp_path, OLD)
    real = Path.replace
    calls = []

    def broken(path, target):
        calls.append(path)
        if len(calls) > 1:
            raise OSError(errno.EIO, "broken")
        return real(path, target)

    monkeypatch.setattr(Path, "replace", broken)
    with (
        pytest.raises(OSError, match="broken"),
        atomic.put_together(tmp_path, ["a", "b"]) as new,
    ):
        fill(new, {"a": "new", "b": "new"})
    (kept,) = tmp_path.glob("*.kept/a")
    assert kept.read_text() == "old"


def test_at_no_rename_a_folder_holds_files_of_two_times(tmp_path, monkeypatch):
    fill(tmp_path, OLD)
    move = atomic._move
    seen = []

    def moved(*arguments):
        move(*arguments)
        # What a program that is killed here leaves, as a person sees it.
        visible = {path.name: path.read_text() for path in tmp_path.iterdir() if path.is_file()}
        seen.append({visible[name] for name in ("a", "b") if name in visible})

    monkeypatch.setattr(atomic, "_move", moved)
    with atomic.put_together(tmp_path, ["a", "b"], ["sub/gone"]) as new:
        fill(new, {"a": "new", "b": "new"})
    assert all(len(times) < 2 for times in seen)
    assert len(seen) == 5
