"""The record of what came into use only grows, and a damaged one is told and kept."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from napari_wbc.errors import WeightsError
from napari_wbc.weights.library import Library


def own(library):
    return [model.name for model in library.models() if not model.shipped]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "3",
        "null",
        '{"history": []}',
        '{"history": {"classifier": {}}}',
        "[" * 100_000,
    ]
    + [
        '{"history": {"classifier": [' + one + "]}}"
        for one in ("3", "{}", '{"when": 1}', '"x"', "null")
    ]
    + [
        '{"history": {"classifier": '
        '[{"when": "", "sha256": "", "model_id": "", "file": "", "back": -1}]}}'
    ],
)
def test_a_damaged_record_is_told_and_kept(library, make, text):
    model, record = make("a"), library.folder / "adopted.json"
    record.write_text(text)
    for action in (
        lambda: library.adopted("classifier"),
        lambda: library.adopt(model),
        lambda: library.roll_back("classifier"),
        lambda: library.remove(model),
    ):
        with pytest.raises(WeightsError, match=r"adopted\.json.*damaged"):
            action()
    assert record.read_text() == text
    assert own(library) == ["a"]


def test_what_a_newer_version_wrote_in_the_record_stays(library, make):
    library.adopt(make("a"))
    record = library.folder / "adopted.json"
    data = json.loads(record.read_text())
    data["later"] = {"x": [1]}
    data["history"]["classifier"][0]["by"] = "me"
    data["history"]["painter"] = [{"when": 3}]
    record.write_text(json.dumps(data))
    library.adopt(make("b"))
    now = json.loads(record.read_text())
    assert now["later"] == {"x": [1]}
    assert now["history"]["classifier"][0]["by"] == "me"
    assert now["history"]["painter"] == [{"when": 3}]
    assert library.adopted("classifier").name == "b"


def test_a_failure_leaves_what_was_in_use(library, make, monkeypatch):
    library.adopt(make("a"))
    b = make("b")

    def full(_):
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(WeightsError, match="disk full"):
        library.adopt(b)
    assert library.adopted("classifier").name == "a"
    assert not list(library.folder.glob("*.part"))


def test_no_adoption_of_two_at_once_is_lost(library, make):
    models = [make(f"m{i}") for i in range(8)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda model: Library().adopt(model), models))
    assert sorted(one.file for one in library.history("classifier")) == [
        m.path.name for m in models
    ]
