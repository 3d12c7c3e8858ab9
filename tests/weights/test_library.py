"""The library of models: whose child each is, what is in use, and nothing that is ever lost."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from filelock import FileLock

from napari_wbc.errors import WeightsError
from napari_wbc.weights import library as module
from napari_wbc.weights.container import split_card
from napari_wbc.weights.library import Library, adopted_classifier
from napari_wbc.weights.model import KINDS
from napari_wbc.weights.registry import find_weights, models_folder, shipped_weights
from napari_wbc.weights.store import (
    export_model,
    load_weights,
    read_card,
    read_model,
    save_weights,
    write_model,
)


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
    library.models(), library.adopted("detector"), library.children(library.find("cdnn"))
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
    assert [library.roll_back("classifier").name for _ in range(3)] == ["b", "a", "large"]
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
        "large",
    ]
    assert [one.why for one in history[:4]] == ["for a", "for b", "for c", "rolled back"]
    assert history[0].sha256 == a.card.sha256
    assert history[0].model_id == a.card.model_id
    assert all(datetime.fromisoformat(one.when).tzinfo for one in history)
    assert library.history("detector") == ()


def test_what_is_in_use_is_not_adopted_again(library, make):
    library.adopt(library.find("large"))
    assert library.history("classifier") == ()
    library.adopt(make("a"))
    library.adopt(library.find("a"), "again")
    assert len(library.history("classifier")) == 1
    library.adopt(library.find("large"))
    assert library.adopted("classifier").name == "large"
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
    assert library.adopted("classifier").name == "large"
    assert b.card.model_id in library.note("classifier")
    assert "the shipped large stands in" in library.note("classifier")
    assert library.roll_back("classifier") == a
    assert library.note("classifier") == ""


def test_rolling_back_passes_over_what_has_gone(library, make):
    for name in "abc":
        library.adopt(make(name))
    (library.folder / "b.safetensors").write_bytes(b"?")
    assert library.roll_back("classifier").name == "a"
    assert library.roll_back("classifier").name == "large"


def test_models_of_the_same_weights_are_told_apart_by_their_file(library, make):
    a = make("a")
    path = library.folder / "b.safetensors"
    save_weights(path, load_weights(a.path)[0], replace(a.card, threshold=0.9))
    library.adopt(a)
    library.adopt(library.find("b"))
    assert library.adopted("classifier").name == "b"
    library.find("b").path.unlink()
    assert library.adopted("classifier") == a


def test_a_library_in_use_by_another_program_is_told(library, make, monkeypatch):
    model = make("a")
    monkeypatch.setattr(module, "MAX_WAIT", 0.05)
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
