"""The library of models: whose child each is, what is in use, and nothing that is ever lost."""

from __future__ import annotations

import json
import shutil
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from filelock import FileLock

from napari_wbc.errors import WeightsError
from napari_wbc.weights import library as module
from napari_wbc.weights.card import ModelCard
from napari_wbc.weights.container import split_card
from napari_wbc.weights.library import KINDS, Library, adopted_classifier, parent_of
from napari_wbc.weights.registry import find_weights, models_folder, shipped_weights
from napari_wbc.weights.store import (
    export_model,
    load_weights,
    read_card,
    read_model,
    save_weights,
    write_model,
)

CARD = ModelCard("x", "1", "cdnn", ("a", "b"), {})


@pytest.fixture
def library(tmp_path, monkeypatch):
    """The person's own, which does not exist yet."""
    monkeypatch.setenv("NAPARI_WBC_MODELS", str(tmp_path / "models"))
    return Library()


@pytest.fixture
def make(library, weights):
    """Models of their own weights, each the child of another where one is named."""

    def made(name, parent=None, **changes):
        tensors, card = load_weights(weights)
        bias = next(key for key in tensors if key.endswith("bias"))
        tensors[bias] = tensors[bias] + zlib.crc32(name.encode()) % 997 + 1
        known = (
            {"parent": {"model_id": parent.card.model_id, "sha256": parent.card.sha256}}
            if parent
            else {}
        )
        path = library.folder / f"{name}.safetensors"
        save_weights(path, tensors, replace(card, name=name, provenance=known, **changes))
        return library.find(name)

    return made


def own(library):
    return [model.name for model in library.models() if not model.shipped]


def test_an_empty_library_holds_the_shipped_models(library):
    models = library.models()
    assert tuple(model.name for model in models) == shipped_weights()
    assert all(model.shipped and model.damaged == "" for model in models)
    for kind, name in KINDS.items():
        assert library.adopted(kind).path == find_weights(name)
        assert library.adopted(kind).kind == kind
        assert library.history(kind) == ()
        assert library.note(kind) == ""
        with pytest.raises(WeightsError, match=f"No {kind} was adopted"):
            library.roll_back(kind)
    assert adopted_classifier() == KINDS["classifier"]


def test_looking_makes_no_folder(library):
    library.models(), library.adopted("detector"), library.lineage(library.find("cdnn"))
    assert not library.folder.exists()


def test_where_a_person_keeps_models(monkeypatch):
    monkeypatch.delenv("NAPARI_WBC_MODELS", raising=False)
    assert models_folder().parts[-2:] == ("napari-wbc", "weights")
    assert models_folder().is_absolute()
    monkeypatch.setenv("NAPARI_WBC_MODELS", "here")
    assert models_folder() == Path("here")


def test_models_of_the_library_go_by_name_after_the_shipped(library, make, tmp_path, monkeypatch):
    make("mine"), make("cdnn-2")
    assert find_weights("mine") == library.folder / "mine.safetensors"
    shutil.copy(find_weights("mine"), library.folder / "cdnn.safetensors")
    assert find_weights("cdnn").parent != library.folder
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError, match=r"one of: .*cdnn, .*cdnn-2, mine"):
        find_weights("none")
    with pytest.raises(WeightsError, match=r"no model 'none'.*mine"):
        library.find("none")


@pytest.mark.parametrize(
    ("provenance", "parent"),
    [
        ({}, ""),
        (None, ""),
        ([1], ""),
        ({"parent": None}, ""),
        ({"parent": {"sha256": 3}}, ""),
        ({"parent": {"sha256": "ab"}}, ""),
        ({"parent": {"sha256": "ab" * 32}}, "ab" * 32),
        ({"adapted": []}, ""),
        ({"adapted": [{"from": "x 1 (11111111)"}, {"from": "y 2 (22222222)"}]}, "22222222"),
        ({"adapted": {"from": "x 1 (11111111)"}}, "11111111"),
        ({"adapted": "x"}, ""),
        ({"recipe": {"start": "mask_rcnn 1 (055d0cc9)"}}, "055d0cc9"),
        ({"recipe": {"start": "configs/base.safetensors"}}, ""),
        ({"parent": {"sha256": "ab" * 32}, "recipe": {"start": "x 1 (055d0cc9)"}}, "ab" * 32),
        ({"parent": {"sha256": "ab" * 32}, "adapted": [{"from": "x 1 (11111111)"}]}, "11111111"),
    ],
)
def test_a_card_says_its_parent(provenance, parent):
    assert parent_of(replace(CARD, provenance=provenance)) == parent


def test_lineage_and_children(library, make):
    first = make("first", library.find("cdnn"))
    second, other = make("second", first), make("other", first)
    assert library.lineage(second) == (library.find("cdnn"), first)
    assert library.children(first) == (other, second)
    assert library.children(second) == library.lineage(make("orphan")) == ()
    assert first in library.children(library.find("cdnn"))


def test_an_adapted_model_is_found_by_the_first_of_a_hash(library, make):
    first = make("first")
    known = {"adapted": [{"from": first.card.model_id}]}
    path = make("second").path
    save_weights(path, load_weights(path)[0], replace(read_card(path), provenance=known))
    assert library.lineage(library.find("second")) == (first,)


def test_a_parent_that_has_gone_and_a_ring_of_parents_end(library, make):
    a = make("a")
    b = make("b", a)
    card = replace(a.card, provenance={"parent": {"sha256": b.card.sha256}})
    save_weights(a.path, load_weights(a.path)[0], card)
    a, b = library.find("a"), library.find("b")
    assert library.lineage(a) == (b,)
    assert library.lineage(b) == (a,)
    a.path.unlink()
    assert library.lineage(b) == ()


def test_damaged_models_are_listed_with_what_is_wrong(library, make):
    for name in ("bare", "cardless", "other", "short"):
        make(name)
    for name in ("cardless", "other"):
        path = library.folder / f"{name}.safetensors"
        path.write_bytes(split_card(path.read_bytes())[0])
    (library.folder / "other.json").write_text("[]")
    short = library.folder / "short.safetensors"
    short.write_bytes(short.read_bytes()[:-3])
    (library.folder / "bare.safetensors").write_bytes(b"")
    (library.folder / "folder.safetensors").mkdir()
    (library.folder / "folder.json").write_text(CARD.to_json())
    found = {model.name: model for model in library.models() if not model.shipped}
    assert list(found) == ["bare", "cardless", "folder", "other", "short"]
    assert all(name in model.damaged for name, model in found.items())
    assert found["cardless"].card is None
    assert found["cardless"].kind == ""
    for model in found.values():
        with pytest.raises(WeightsError, match="is damaged"):
            library.adopt(model)
    assert library.history("classifier") == ()


def test_a_flipped_bit_is_noticed_before_a_model_is_used(library, make):
    model = make("mine")
    data = bytearray(model.path.read_bytes())
    data[-1] ^= 1
    model.path.write_bytes(data)
    assert library.find("mine").damaged == ""  # listing reads headers only
    with pytest.raises(WeightsError, match=r"mine\.safetensors.*damaged"):
        library.adopt(library.find("mine"))


def test_adopt_and_roll_back_all_the_way(library, make):
    a, b, c = make("a"), make("b"), make("c")
    for model in (a, b, c):
        library.adopt(model, f"for {model.name}")
        assert library.adopted("classifier") == model
    assert adopted_classifier() == str(c.path)
    assert library.roll_back("classifier") == library.adopted("classifier") == b
    library.adopt(c)
    assert [library.roll_back("classifier").name for _ in range(3)] == ["b", "a", "cdnn"]
    with pytest.raises(WeightsError, match="No classifier"):
        library.roll_back("classifier")
    history = library.history("classifier")
    assert [one.file.partition(".")[0] for one in history] == [
        "a",
        "b",
        "c",
        "b",
        "c",
        "b",
        "a",
        "cdnn",
    ]
    assert [one.why for one in history[:4]] == ["for a", "for b", "for c", "rolled back"]
    assert history[0].sha256 == a.card.sha256
    assert history[0].model_id == a.card.model_id
    assert all(datetime.fromisoformat(one.when).tzinfo for one in history)
    assert library.history("detector") == ()


def test_what_is_in_use_is_not_adopted_again(library, make):
    library.adopt(library.find("cdnn"))
    assert library.history("classifier") == ()
    library.adopt(make("a"))
    library.adopt(library.find("a"), "again")
    assert len(library.history("classifier")) == 1
    library.adopt(library.find("cdnn"))
    assert library.adopted("classifier").name == "cdnn"
    assert library.roll_back("classifier").name == "a"


def test_detectors_are_in_use_beside_classifiers(library, make):
    library.adopt(library.find("blood_cells"))
    library.adopt(make("a"))
    assert library.adopted("detector").name == "blood_cells"
    assert library.adopted("classifier").name == "a"
    with pytest.raises(WeightsError, match="classifier, detector"):
        library.adopted("painter")


def test_a_model_in_use_that_has_gone_is_told(library, make):
    a, b = make("a"), make("b")
    library.adopt(a)
    library.adopt(b)
    b.path.unlink()
    assert library.adopted("classifier").name == "cdnn"
    assert b.card.model_id in library.note("classifier")
    assert "the shipped cdnn stands in" in library.note("classifier")
    assert library.roll_back("classifier") == a
    assert library.note("classifier") == ""


def test_rolling_back_passes_over_what_has_gone(library, make):
    for name in "abc":
        library.adopt(make(name))
    (library.folder / "b.safetensors").write_bytes(b"?")
    assert library.roll_back("classifier").name == "a"
    assert library.roll_back("classifier").name == "cdnn"


def test_models_of_the_same_weights_are_told_apart_by_their_file(library, make):
    a = make("a")
    path = library.folder / "b.safetensors"
    save_weights(path, load_weights(a.path)[0], replace(a.card, threshold=0.9))
    library.adopt(a)
    library.adopt(library.find("b"))
    assert library.adopted("classifier").name == "b"
    library.find("b").path.unlink()
    assert library.adopted("classifier") == a


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
        '{"history": {"classifier": [{"when": "", "sha256": "", "model_id": "", "file": "", "back": -1}]}}'
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


def test_a_library_in_use_by_another_program_is_told(library, make, monkeypatch):
    model = make("a")
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    with (
        FileLock(library.folder / ".adopted.json.lock"),
        pytest.raises(WeightsError, match="try again"),
    ):
        library.adopt(model)


def test_a_folder_that_cannot_be_made_is_told(tmp_path, weights):
    (tmp_path / "file").touch()
    with pytest.raises(WeightsError, match="cannot be written"):
        Library(tmp_path / "file" / "models").add(weights)


def test_a_model_of_elsewhere_is_added_before_it_is_used(library, weights, tmp_path):
    elsewhere = Library(weights.parent).find("tiny")
    with pytest.raises(WeightsError, match="add it first"):
        library.adopt(elsewhere)
    model = library.add(weights)
    library.adopt(model)
    assert library.adopted("classifier").path == library.folder / "tiny.safetensors"
    assert load_weights(model.path)[1] == read_card(weights)
    assert model.path.read_bytes() == weights.read_bytes()


def test_a_name_that_is_taken_gets_a_number(library, weights, tmp_path):
    names = []
    for i in range(3):
        path = tmp_path / str(i) / "tiny.safetensors"
        tensors, card = load_weights(weights)
        save_weights(path, {key: t + i for key, t in tensors.items()}, card)
        names += [library.add(path).name for _ in range(2)]  # the second time it is there already
    assert names == ["tiny", "tiny", "tiny-2", "tiny-2", "tiny-3", "tiny-3"]
    shipped = shutil.copytree(weights.parent, tmp_path / "shipped") / "tiny.safetensors"
    path = shipped.rename(shipped.with_name("CDNN.safetensors"))
    save_weights(path, {key: t + 9 for key, t in tensors.items()}, card)
    assert library.add(path).name == "CDNN-2"
    assert library.add(find_weights("cdnn")).shipped


def test_damaged_models_are_not_added(library, weights, tmp_path):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(split_card(weights.read_bytes())[0])
    with pytest.raises(WeightsError, match=r"bad\.json"):
        library.add(path)
    path.write_bytes(weights.read_bytes() + b"?")
    with pytest.raises(WeightsError, match=r"bad\.safetensors.*damaged"):
        library.add(path)
    assert not library.folder.exists()


def test_an_exported_model_is_added(library, weights, tmp_path):
    source = tmp_path / "sent.safetensors"
    data, text, _card = read_model(weights)
    write_model(source, data, json.dumps(json.loads(text) | {"later": 1}))
    model = library.add(export_model(source, tmp_path / "sent"))
    assert model.path == library.folder / "sent.safetensors"
    assert json.loads(read_model(model.path)[1])["later"] == 1
    assert library.add(tmp_path / "sent.wbcmodel") == model
    assert own(library) == ["sent"]


def test_a_bad_file_adds_nothing(library, tmp_path):
    (tmp_path / "bad.wbcmodel").write_bytes(b"PK")
    with pytest.raises(WeightsError, match=r"bad\.wbcmodel"):
        library.add(tmp_path / "bad.wbcmodel")
    assert not library.folder.exists()


def test_removed_models_are_kept_aside(library, make, weights):
    data = make("a").path.read_bytes()
    first = library.remove(library.find("a"))
    assert first == library.folder / "removed" / "a.safetensors"
    assert first.read_bytes() == data
    assert own(library) == []
    assert library.remove(make("a")).name == "a-2.safetensors"
    assert library.add(first).name == "a"
    damaged = library.folder / "bare.safetensors"
    damaged.touch()
    assert library.remove(library.find("bare")).is_file()


def test_what_is_needed_is_not_removed(library, make):
    a = make("a")
    b = make("b", a)
    with pytest.raises(WeightsError, match="comes with the package"):
        library.remove(library.find("cdnn"), force=True)
    with pytest.raises(WeightsError, match="b descend from a"):
        library.remove(a)
    library.adopt(b)
    with pytest.raises(WeightsError, match="in use"):
        library.remove(b, force=True)
    library.remove(a, force=True)
    assert own(library) == ["b"]
    with pytest.raises(WeightsError, match="nothing to remove"):
        library.remove(a)


def test_the_card_of_an_old_pair_is_removed_with_it(library, weights, pair_of):
    library.folder.mkdir()
    path = pair_of(weights, library.folder / "pair.safetensors")
    pair = library.find("pair")
    assert pair.damaged == ""
    library.adopt(pair)
    assert library.adopted("classifier") == pair
    library.roll_back("classifier")
    new = library.remove(pair)
    assert load_weights(new)[1] == read_card(new.with_suffix(".json")) == pair.card
    assert not path.with_suffix(".json").exists()


def test_a_model_called_adopted_leaves_the_record_where_it_is(library, make):
    library.adopt(make("a"))
    library.remove(make("adopted"))
    assert library.adopted("classifier").name == "a"
