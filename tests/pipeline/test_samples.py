from __future__ import annotations

import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from napari_wbc.errors import WbcError
from napari_wbc.pipeline import samples
from napari_wbc.pipeline.samples import bccd_test_fields, fetch_bccd_fields

FILES = {"a.jpg": b"first field", "b.jpg": b"second field"}


class Handler(SimpleHTTPRequestHandler):
    asked: list[str]

    def log_message(self, *_args):
        self.asked.append(self.path)


@pytest.fixture(autouse=True)
def two_files(monkeypatch):
    """Two small files in the place of the real ones, and no data folder."""
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
    monkeypatch.setattr(samples, "BCCD_SHA256", sums)
    monkeypatch.delenv("NAPARI_WBC_DATA", raising=False)


@pytest.fixture
def served(tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def server(served):
    handler = type("Recording", (Handler,), {"asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(served))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        server.asked = handler.asked
        server.url = f"http://127.0.0.1:{server.server_port}/"
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def test_downloaded_once_and_checked(server, cache):
    for _ in range(2):
        paths = fetch_bccd_fields(base_url=server.url, cache=cache)
        assert {path.name: path.read_bytes() for path in paths} == FILES
    assert len(server.asked) == 2


def test_corrupted_file_is_not_kept(server, served, cache):
    (served / "b.jpg").write_bytes(b"something else")
    with pytest.raises(WbcError, match="cannot be downloaded"):
        fetch_bccd_fields(base_url=server.url, cache=cache)
    assert [path.name for path in cache.iterdir()] == ["a.jpg"]
    (served / "b.jpg").write_bytes(FILES["b.jpg"])
    assert len(fetch_bccd_fields(base_url=server.url, cache=cache)) == 2


def test_damaged_cache_is_mended(server, cache):
    first, _ = fetch_bccd_fields(base_url=server.url, cache=cache)
    first.write_bytes(b"damaged")
    assert fetch_bccd_fields(base_url=server.url, cache=cache)[0].read_bytes() == FILES["a.jpg"]


def test_missing_file(server, served, cache):
    (served / "a.jpg").unlink()
    with pytest.raises(WbcError, match="NAPARI_WBC_DATA"):
        fetch_bccd_fields(base_url=server.url, cache=cache)
    assert list(cache.iterdir()) == []


def test_nobody_answers(cache):
    with pytest.raises(WbcError, match="check the network"):
        fetch_bccd_fields(base_url="http://127.0.0.1:9/", cache=cache)


def test_data_folder_comes_first(monkeypatch, tmp_path):
    images = tmp_path / "bccd" / "JPEGImages"
    images.mkdir(parents=True)
    (images / "b.jpg").write_bytes(b"")
    (tmp_path / "bccd" / "splits.csv").write_text(
        "image,split\na.jpg,train\nb.jpg,test\ngone.jpg,test\n"
    )
    monkeypatch.setenv("NAPARI_WBC_DATA", str(tmp_path))
    assert fetch_bccd_fields(base_url="http://127.0.0.1:9/") == (images / "b.jpg",)


@pytest.mark.parametrize("value", [None, "", "nowhere"])
def test_no_data_folder(monkeypatch, tmp_path, value):
    if value is not None:
        monkeypatch.setenv("NAPARI_WBC_DATA", value and str(tmp_path / value))
    assert bccd_test_fields() == ()
