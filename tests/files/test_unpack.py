"""Unpacking: what a good zip holds comes out whole, and of a bad one nothing does."""

from __future__ import annotations

import io
import stat
import struct
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_wbc.errors import WbcError
from napari_wbc.files import unpack
from napari_wbc.files.unpack import unpacked


def packed(path, *members, method=zipfile.ZIP_DEFLATED):
    """A zip of (name or ZipInfo, content)."""
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", method) as file:
        warnings.simplefilter("ignore")  # of names that stand twice
        for name, content in members:
            file.writestr(name, content)
    return path


def info(name, mode=0, method=zipfile.ZIP_STORED, system=3):
    one = zipfile.ZipInfo(name)
    one.external_attr, one.compress_type, one.create_system = mode << 16, method, system
    return one


def tree(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def test_an_empty_zip_is_an_empty_folder_that_is_deleted_afterwards(tmp_path):
    with unpacked(packed(tmp_path / "a.zip")) as folder:
        assert list(folder.iterdir()) == []
    assert not folder.exists()


def test_a_plain_zip_comes_out_whole(tmp_path):
    members = {"a.txt": b"a", "Ö/b c.png": b"\0" * 3_000_000, "x/y/z": b"", "x/z": b"1"}
    path = packed(tmp_path / "a.zip", ("x/", b""), *members.items(), ("leer/", b""))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unpack, "MAX_RATIO", 10_000)
        with unpacked(path) as folder:
            assert tree(folder) == members
            assert (folder / "leer").is_dir()
    assert not folder.exists()
    with unpacked(packed(path, *members.items(), method=zipfile.ZIP_STORED)) as folder:
        assert tree(folder) == members


def test_the_folder_is_deleted_and_an_error_of_the_caller_is_left_as_it_is(tmp_path):
    def fail(path):
        with unpacked(path) as folder:
            places.append(folder)
            raise ValueError("mine")

    places = []
    with pytest.raises(ValueError, match=r"^mine$"):
        fail(packed(tmp_path / "a.zip", ("a", b"a")))
    assert not places[0].exists()


def test_a_zip_behind_another_program_is_read(tmp_path):
    path = packed(tmp_path / "a.zip", ("a", b"a"), ("b", b"b"))
    path.write_bytes(b"MZ" * 100 + path.read_bytes())
    with unpacked(path) as folder:
        assert tree(folder) == {"a": b"a", "b": b"b"}


def refused(monkeypatch, tmp_path, path, said):
    """It is refused by name, its temporary folder is gone, and nothing else is there."""
    place = tmp_path / "temporary"
    place.mkdir(exist_ok=True)
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(WbcError, match=said) as error, unpacked(path):
        raise AssertionError("it was unpacked")
    assert str(path) in str(error.value)
    assert sorted(tmp_path.rglob("*")) == before


NAMES = {
    "absolute": (["/etc/x"], "'/etc/x' has a name that leads"),
    "upwards": (["../x"], "leads elsewhere"),
    "upwards below": (["a/../../x"], "leads elsewhere"),
    "upwards at the end": (["a/.."], "leads elsewhere"),
    "upwards on Windows": (["..\\x"], "a character"),
    "upwards as Windows cuts": (["a/.. /x"], "leads elsewhere"),
    "point": (["./x"], "leads elsewhere"),
    "empty part": (["a//x"], "leads elsewhere"),
    "only a slash": (["/"], "leads elsewhere"),
    "point at the end": (["a./x"], "leads elsewhere"),
    "drive": (["C:x"], "a character"),
    "drive and path": (["C:/x"], "a character"),
    "stream": (["a/x.png:y"], "a character"),
    "line break": (["a\nb"], "a character"),
    "escape": (["a\x1b[2Jb"], "a character"),
    "right to left": (["a\u202egnp.exe"], "a character"),
    "twice": (["a", "a"], "has the name of another"),
    "twice by case": (["a/x.png", "a/X.PNG"], "has the name of another"),
    "folders by case": (["a/x", "A/y"], "in the case or the accents"),
    "folder twice by case": (["a/", "A/"], "in the case or the accents"),
    "sharp s": (["straße", "STRASSE"], "has the name of another"),
    "twice by accents": (["\u00e9", "e\u0301"], "has the name of another"),
    "file that is a folder": (["a", "a/x"], "lies in what is a file"),
    "folder that is a file": (["a/x", "a"], "has the name of another"),
    "folder that is a file by case": (["a/", "A"], "has the name of another"),
    "deep": (["a/" * 16 + "x"], "more than 255 bytes or 16 levels"),
    "long": (["ä" * 128], "more than 255 bytes or 16 levels"),
}


@pytest.mark.parametrize(("names", "said"), NAMES.values(), ids=NAMES)
def test_a_name_that_is_not_safe_is_refused(monkeypatch, tmp_path, names, said):
    path = packed(
        tmp_path / "a.zip",
        ("good", b"good"),
        *((name, b"" if name[-1] == "/" else b"x") for name in names),
    )
    refused(monkeypatch, tmp_path, path, said)


def test_a_name_with_nul_is_refused(monkeypatch, tmp_path):
    path = packed(tmp_path / "a.zip", ("a.png_.exe", b"x"))
    path.write_bytes(path.read_bytes().replace(b"a.png_", b"a.png\0"))
    refused(monkeypatch, tmp_path, path, "a character")


KINDS = {
    "link": (info("a", stat.S_IFLNK | 0o777), "is a link or another special file"),
    "link of DOS": (info("a", stat.S_IFLNK | 0o777, system=0), "is a link or another special file"),
    "link as a folder": (info("a/", stat.S_IFLNK | 0o777), "is a link or another special file"),
    "pipe": (info("a", stat.S_IFIFO | 0o644), "is a link or another special file"),
    "device": (info("a", stat.S_IFCHR | 0o644), "is a link or another special file"),
    "socket": (info("a", stat.S_IFSOCK | 0o644), "is a link or another special file"),
    "folder as a file": (info("a", stat.S_IFDIR | 0o755), "is a link or another special file"),
    "bzip2": (info("a", method=zipfile.ZIP_BZIP2), "a method other than"),
    "lzma": (info("a", method=zipfile.ZIP_LZMA), "a method other than"),
    "folder with bytes": (info("a/"), "is a folder with bytes"),
}


@pytest.mark.parametrize(("member", "said"), KINDS.values(), ids=KINDS)
def test_what_is_no_plain_file_is_refused(monkeypatch, tmp_path, member, said):
    refused(
        monkeypatch,
        tmp_path,
        packed(tmp_path / "a.zip", ("good", b"good"), (member, b"/etc")),
        said,
    )


def patched(path, **values):
    """The last member's header in the list of members, and in itself, with other values."""
    places = {
        "flags": (8, 6, "<H"),
        "crc": (16, 14, "<L"),
        "packed": (20, 18, "<L"),
        "size": (24, 22, "<L"),
    }
    data = bytearray(path.read_bytes())
    for key, value in values.items():
        listed, local, form = places[key]
        struct.pack_into(form, data, data.rfind(b"PK\1\2") + listed, value)
        struct.pack_into(form, data, data.rfind(b"PK\3\4") + local, value)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"flags": 1}, "is encrypted"),
        ({"flags": 0x41}, "is encrypted"),
        ({"crc": 1}, "'a' cannot be unpacked .*CRC"),
        ({"size": 4}, "'a' cannot be unpacked .*CRC"),
        ({"size": 400}, "'a' (is shorter|cannot be unpacked)"),
        ({"size": 2**32 - 2}, "GB unpacked"),
        ({"packed": 4}, "'a' (is shorter|cannot be unpacked)"),
        ({"packed": 4_000}, "'a' overlaps the list"),
    ],
)
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_header_that_lies_is_refused(monkeypatch, tmp_path, values, said, method):
    path = packed(tmp_path / "a.zip", ("good", b"good"), ("a", bytes(range(100))), method=method)
    refused(monkeypatch, tmp_path, patched(path, **values), said)


def test_a_bomb_is_refused(monkeypatch, tmp_path):
    zeros = b"\0" * 2_000_000
    refused(
        monkeypatch,
        tmp_path,
        packed(tmp_path / "a.zip", ("a", zeros)),
        "'a' grows more than 200-fold",
    )
    monkeypatch.setattr(unpack, "RATIO_FROM", 300_000)
    small = [(f"{i}", zeros[:300_000]) for i in range(20)]
    refused(
        monkeypatch, tmp_path, packed(tmp_path / "a.zip", *small), "a.zip: grows more than 200-fold"
    )


def test_too_much_is_refused(monkeypatch, tmp_path):
    path = packed(tmp_path / "a.zip", ("a", b"aaa"), ("b", b"bbb"))
    monkeypatch.setattr(unpack, "MAX_BYTES", 5)
    refused(monkeypatch, tmp_path, path, "GB unpacked")
    monkeypatch.setattr(unpack, "_check_sizes", lambda *_: None)  # as if the headers said less
    refused(monkeypatch, tmp_path, path, "'b' is larger than the zip says")
    monkeypatch.setattr(unpack, "MAX_MEMBERS", 1)
    refused(monkeypatch, tmp_path, path, "2 members")
    monkeypatch.setattr(unpack, "MAX_DIRECTORY", 60)
    refused(monkeypatch, tmp_path, path, "list of members takes")


def test_members_that_share_bytes_are_refused(monkeypatch, tmp_path):
    """Two entries in the list of members lead to one and the same bytes."""
    path = packed(tmp_path / "a.zip", ("a", b"aaaa"))
    data = path.read_bytes()
    start, end = data.index(b"PK\1\2"), data.index(b"PK\5\6")
    entry = data[start:end]
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 2, 2, 2 * len(entry), start, 0)
    path.write_bytes(data[:start] + entry + entry.replace(b"a", b"b") + tail)
    refused(monkeypatch, tmp_path, path, "overlaps")


def test_a_quoted_bomb_is_refused(monkeypatch, tmp_path):
    """Each member's bytes begin with the next member's header."""
    inner, outer = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(inner, "w") as file:
        file.writestr("b", b"b" * 100)
    header = inner.getvalue()[:131]
    with zipfile.ZipFile(outer, "w") as file:
        file.writestr("a", header)
        end = file.fp.tell()
        file.filelist.append(zipfile.ZipFile(inner).infolist()[0])
        file.filelist[-1].header_offset = end - len(header)
    (tmp_path / "a.zip").write_bytes(outer.getvalue())
    refused(monkeypatch, tmp_path, tmp_path / "a.zip", "'b' overlaps 'a'")


@pytest.mark.parametrize("content", [b"", b"x", b"PK\3\4" + b"\0" * 50, b"PK\5\6" + b"\xff" * 18])
def test_what_is_no_zip_is_refused(monkeypatch, tmp_path, content):
    (tmp_path / "a.zip").write_bytes(content)
    refused(monkeypatch, tmp_path, tmp_path / "a.zip", "cannot be unpacked")
    refused(monkeypatch, tmp_path, tmp_path / "no.zip", "cannot be unpacked")
    refused(monkeypatch, tmp_path, tmp_path, "cannot be unpacked")


GOOD = (("a/x.txt", b"abc" * 99), ("a/y.txt", bytes(range(256))), ("b/", b""))


def test_a_zip_that_was_cut_off_is_refused(monkeypatch, tmp_path):
    path = packed(tmp_path / "a.zip", *GOOD)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        refused(monkeypatch, tmp_path, path, "cannot be unpacked")


@given(st.data())
def test_a_damaged_zip_is_unpacked_into_its_folder_or_refused(data):
    with tempfile.TemporaryDirectory() as place:
        path = packed(Path(place) / "a.zip", *GOOD)
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 3))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(content)
        said = str(path)
        try:
            with unpacked(path) as folder:
                assert all(
                    file.resolve().is_relative_to(folder.resolve()) for file in folder.rglob("*")
                )
        except WbcError as error:
            said = str(error)
        assert str(path) in said
        assert [one.name for one in Path(place).iterdir()] == ["a.zip"]


@pytest.mark.skipif(sys.platform == "win32", reason="a folder there cannot be closed to its owner")
def test_a_full_disk_is_told(monkeypatch, tmp_path):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    path = packed(tmp_path / "a.zip", ("a/b", b"x"))
    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(WbcError, match=r"a\.zip: .*No space left"), unpacked(path):
        pass
