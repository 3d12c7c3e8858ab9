"""Keys of classes: chosen, shown, kept, and none that splits, joins or selects."""

from __future__ import annotations

from qtpy.QtCore import Qt
from tests.widgets.review.labels import labels

from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.widgets.review.key_choice import KeysDialog, with_free_keys, with_kept_keys


def test_keys_are_chosen_shown_and_kept(analyzed, press):
    bench = analyzed
    dialog = KeysDialog(bench.session.taxonomy)
    dialog.lines["basophil"].setText("1")
    dialog.accept()
    assert "twice" in dialog.wrong.text()
    dialog.lines["basophil"].setText("b")
    dialog.accept()
    bench.use_keys(dialog.taxonomy)
    assert bench.review.labels["basophil"].text() == "B  BAS"
    bench.session.select(list(bench.session.table)[:1])
    press(Qt.Key.Key_B)
    assert labels(bench)[0] == "basophil"
    assert with_kept_keys(EIGHT_CLASSES).keys["B"] == "basophil"


def test_a_key_that_splits_joins_or_selects_gives_no_label(analyzed, press):
    bench = analyzed
    taxonomy, text = with_free_keys(EIGHT_CLASSES.with_keys({"basophil": "k", "monocyte": "J"}))
    assert "K (basophil)" in text
    assert "J (monocyte)" in text
    assert set(taxonomy.keys.values()).isdisjoint({"basophil", "monocyte"})
    bench.use_keys(EIGHT_CLASSES.with_keys({"basophil": "k"}))
    table = bench.session.table
    bench.session.select([next(iter(table))])
    bench.follower.keys["K"]()
    assert all(cell.annotation is None for cell in bench.session.table.values())
