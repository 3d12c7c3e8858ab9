"""The loop by its buttons: a set, an import, a run with curves, a comparison, adopting."""

from __future__ import annotations

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from napari_wbc.imaging.read import open_slide
from napari_wbc.model.cell import Annotation, Cell, Detection
from napari_wbc.model.geometry import BBox
from napari_wbc.model.progress import Progress, run
from napari_wbc.model.taxonomy import EIGHT_CLASSES
from napari_wbc.model.taxonomy_dict import grown
from napari_wbc.pipeline import finetune, finetune_detector
from napari_wbc.session.session import Session
from napari_wbc.storage.sets import newest_round, read_set
from napari_wbc.storage.workspace import create_workspace
from napari_wbc.weights.library import Library
from napari_wbc.weights.store import read_card
from napari_wbc.widgets.loop import sets as module
from napari_wbc.widgets.loop.curves import Curves
from napari_wbc.widgets.loop.jobs import tuned_steps
from napari_wbc.widgets.loop.mapping import MappingDialog
from napari_wbc.widgets.loop.train import TrainPanel


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path):
    """Small runs, and nothing in the person's own folders."""
    monkeypatch.setattr(finetune, "CLASSIFIER", {"epochs": 2, "draws": 16, "batch_size": 8})
    monkeypatch.setattr(module, "projects_folder", lambda: tmp_path / "home" / "projects")
    kept = {}
    monkeypatch.setattr(module, "settings", lambda: _Settings(kept))


class _Settings:
    def __init__(self, kept):
        self.kept = kept

    def value(self, name, default):
        return self.kept.get(name, default)

    def setValue(self, name, value):
        self.kept[name] = value


@pytest.fixture
def project(tmp_path):
    """Two slides' worth of discs in one project, sixteen labelled cells in eight fields."""
    place = tmp_path / "slide"
    place.mkdir()
    rows, cols = np.mgrid[:60, :60] - 29.5
    for i in range(8):
        disc = (np.hypot(rows, cols) < (8 if i % 2 else 18))[..., None]
        image = np.where(disc, (110, 60, 140), (240, 235, 230)) + np.random.default_rng(i).normal(
            0, 4, (60, 60, 3)
        )
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(place / f"{i}.png")
    slide, session = open_slide(place), Session()
    workspace = create_workspace(tmp_path / "slide.wbc", EIGHT_CLASSES)
    session.open(slide, workspace)
    cells = [
        Cell(
            f"{i}-{k}",
            f"slide/{i}.png",
            Detection(BBox(10 + k, 10, 50, 50)),
            annotation=Annotation("monocyte" if i % 2 else "neutrophil"),
        )
        for i in range(8)
        for k in range(2)
    ]
    session.commit(session.table.with_cells(cells), "draw")
    yield session, tmp_path / "slide.wbc"
    session.close()
    workspace.close()


@pytest.fixture
def panel(qtbot, project, weights, tmp_path):
    session, path = project
    panel = TrainPanel(
        session,
        lambda: path,
        lambda: str(weights),
        lambda: "mask_rcnn",
        Library(tmp_path / "models"),
    )
    qtbot.addWidget(panel)
    panel.sets.folder.setText(str(tmp_path / "set"))
    panel.sets.split.value = "train"
    panel.heard = []
    for signal in (panel.said, panel.warned, panel.noted):
        signal.connect(panel.heard.append)
    yield panel
    panel.release()


def done(qtbot, panel, button):
    button.click()
    qtbot.waitUntil(lambda: not panel.busy, timeout=120000)


def test_without_a_project_nothing_is_exported(qtbot, weights, tmp_path):
    panel = TrainPanel(
        Session(),
        lambda: None,
        lambda: str(weights),
        lambda: "mask_rcnn",
        Library(tmp_path / "models"),
    )
    qtbot.addWidget(panel)
    assert not panel.sets.export.isEnabled()
    assert "No project is open" in panel.sets.export.toolTip()
    panel.release()


def test_the_reviewed_cells_become_a_round_in_the_chosen_format(qtbot, panel, tmp_path):
    panel.sets.format.value = "coco"
    done(qtbot, panel, panel.sets.export)
    content = read_set(tmp_path / "set")
    assert (content.format, sum(len(f.cells) for f in content.fields)) == ("coco", 16)
    assert any("16 new" in text for text in panel.heard)
    done(qtbot, panel, panel.sets.export)
    assert newest_round(tmp_path / "set").name == "round-2"


def test_another_set_shows_its_own_slides(qtbot, panel, tmp_path, monkeypatch):
    done(qtbot, panel, panel.sets.export)
    assert panel.sets.slides.chosen == "slide"
    monkeypatch.setattr(
        "napari_wbc.widgets.qt.files.QFileDialog.getExistingDirectory",
        lambda *_a: str(tmp_path / "empty"),
    )
    done(qtbot, panel, panel.sets.choose_folder)
    assert panel.sets.slides.chosen == ""
    assert panel.sets.slides.rowCount() == 0
    assert not panel.sets.move_slide.isEnabled()
    assert panel.sets.summary.text() == "No cells in this set yet"


def test_the_table_tells_what_each_slide_is_for_and_who_used_it(qtbot, panel, tmp_path):
    done(qtbot, panel, panel.sets.export)
    table = panel.sets.slides

    def row(i):
        return [table.item(i, j).text() for j in range(table.columnCount())]

    assert row(0) == ["slide", "learn", "16", "MON 8, NEU 8", ""]
    done(qtbot, panel, panel.tuning.tune)
    assert row(0)[-1] == "tiny-tuned"
    panel.sets.side.value = "test"
    done(qtbot, panel, panel.sets.move_slide)
    assert "tiny-tuned was trained on it" in panel.heard[-1]
    shutil.copytree(tmp_path / "set", tmp_path / "before")
    (tmp_path / "theirs").mkdir()
    panel.sets.old.addItems([str(tmp_path / "before"), str(tmp_path / "theirs")])
    panel.sets.show_summary()
    qtbot.waitUntil(lambda: not panel.busy)
    assert [row(1)[0], row(2)] == ["before: slide", ["theirs", "", "", "", ""]]
    table.setCurrentCell(1, 0)
    assert table.chosen == "", "only a slide of the set itself can be moved"


def test_a_model_is_tuned_with_its_curves_and_not_in_use_before_it_is_adopted(
    qtbot, panel, tmp_path, weights
):
    done(qtbot, panel, panel.sets.export)
    wanted = []
    panel.model_wanted.connect(wanted.append)
    done(qtbot, panel, panel.tuning.tune)
    assert len(panel.tuning.curves.history) == 2, panel.heard
    names = [m.name for m in panel.tuning.models.models() if not m.shipped]
    assert names == ["tiny-tuned"]
    assert not wanted
    assert panel.tuning.models.adopted("classifier").shipped
    assert panel.tuning._pair == (str(weights), str(panel.tuning.models.find("tiny-tuned").path))


def test_a_class_of_the_workbench_that_the_model_lacks_is_learnt(qtbot, panel, project):
    session, _ = project
    session.taxonomy = grown(EIGHT_CLASSES, ["hairy cell", "blast"])
    session.workspace.put("taxonomy", session.taxonomy.to_dict())
    fields = [cell for cell in session.table.values() if cell.label == "monocyte"]
    session.commit(
        session.table.with_cells([cell.annotated(Annotation("hairy cell")) for cell in fields[:4]]),
        "label",
    )
    done(qtbot, panel, panel.sets.export)
    done(qtbot, panel, panel.tuning.tune)
    assert panel.tuning.models.find("tiny-tuned").card.classes == (
        *EIGHT_CLASSES.names,
        "hairy cell",
    ), panel.heard


def test_a_new_class_that_is_held_out_waits(qtbot, panel, project, tmp_path):
    session, _ = project
    session.taxonomy = grown(EIGHT_CLASSES, ["hairy cell"])
    done(qtbot, panel, panel.sets.export)
    place = tmp_path / "old" / "test" / "hairy_cell"
    place.mkdir(parents=True)
    Image.new("RGB", (30, 30)).save(place / "a.png")
    sets = [tmp_path / "set", tmp_path / "old"]
    asked = {}

    def steps(_sets, _out, **options):
        asked.update(options)
        yield from ()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetune, "finetune_steps", steps)
        run(tuned_steps(sets, tmp_path, "cdnn", [], session.taxonomy.names, freeze=False))
    assert asked["new_classes"] == ["hairy cell"]
    assert asked["only_seen"]


def test_only_a_classifier_has_a_last_layer_to_tune(panel):
    panel.tuning.kind.value = "detector"
    assert not panel.tuning.freeze.enabled


def test_a_detector_is_tuned_from_the_chosen_one(
    qtbot, panel, monkeypatch, detector_weights, tmp_path
):
    asked = []

    def steps(sets, out, *, start, old):
        asked.append((sets, start, old))
        yield Progress("learning", 1, 2, values={"epoch": 1, "loss": 0.5})
        out.mkdir(parents=True)
        shutil.copy(detector_weights, out / "mine.safetensors")
        card = replace(read_card(out / "mine.safetensors"), metrics={"val_ap": 0.75})
        return SimpleNamespace(weights=out / "mine.safetensors", card=card)

    monkeypatch.setattr(finetune_detector, "finetune_detector_steps", steps)
    monkeypatch.setattr(panel.tuning, "_detector", lambda: str(detector_weights))
    panel.tuning.kind.value = "detector"
    with qtbot.waitSignal(panel.detectors_changed, timeout=20000):
        panel.tuning.tune.click()
    qtbot.waitUntil(lambda: not panel.busy)
    assert asked == [([tmp_path / "set"], str(detector_weights), [])]
    assert panel.tuning.models.find("mine").kind == "detector"
    assert "average precision 75.0 %" in panel.heard[-1]
    assert len(panel.tuning.curves.history) == 1


def test_a_cancelled_run_goes_on_where_it_was(qtbot, panel, monkeypatch):
    done(qtbot, panel, panel.sets.export)
    monkeypatch.setattr(finetune, "CLASSIFIER", {"epochs": 40, "draws": 16, "batch_size": 8})
    panel.tuning.tune.click()
    qtbot.waitUntil(lambda: len(panel.tuning.curves.history) >= 2, timeout=60000)
    panel.jobs.cancel_button.click()
    qtbot.waitUntil(lambda: not panel.busy, timeout=20000)
    assert not [m for m in panel.tuning.models.models() if not m.shipped]
    before = len(panel.tuning.curves.history)
    panel.tuning.tune.click()
    qtbot.waitUntil(lambda: len(panel.tuning.curves.history) >= before, timeout=60000)
    assert [row["epoch"] for row in panel.tuning.curves.history][:before] == list(
        range(1, before + 1)
    )
    panel.jobs.cancel_button.click()
    qtbot.waitUntil(lambda: not panel.busy, timeout=20000)


def test_nothing_is_compared_before_anything_is_tuned(qtbot, panel):
    assert not panel.tuning.compare.isEnabled()
    assert "Fine-tune first" in panel.tuning.compare.toolTip()


def test_a_set_that_teaches_nothing_says_why(qtbot, panel, tmp_path):
    panel.show()
    qtbot.waitUntil(lambda: not panel.tuning.tune.isEnabled())
    assert "no such file or folder" in panel.tuning.tune.toolTip()
    assert "no slide yet" in panel.sets.move_slide.toolTip()
    done(qtbot, panel, panel.sets.export)
    qtbot.waitUntil(lambda: panel.tuning.tune.isEnabled() and panel.sets.move_slide.isEnabled())


def test_compared_models_are_adopted_or_kept(qtbot, panel, tmp_path):
    done(qtbot, panel, panel.sets.export)
    done(qtbot, panel, panel.tuning.tune)
    test = tmp_path / "held"
    for label in ("neutrophil", "monocyte"):
        (test / "test" / label).mkdir(parents=True)
        for i in range(3):
            image = np.full((40, 40, 3), 30 * i + 60, np.uint8)
            Image.fromarray(image).save(test / "test" / label / f"{label}{i}.png")
    panel.sets.old.addItem(str(test))
    done(qtbot, panel, panel.tuning.compare)
    assert panel.tuning.comparison.value() is not None
    wanted = []
    panel.model_wanted.connect(wanted.append)
    panel.tuning.comparison.keep.click()
    assert not wanted
    done(qtbot, panel, panel.tuning.compare)
    done(qtbot, panel, panel.tuning.comparison.adopt)
    assert wanted == [str(panel.tuning.models.find("tiny-tuned").path)]
    assert panel.tuning.models.adopted("classifier").name == "tiny-tuned"


def test_an_import_shows_what_each_label_becomes_first(qtbot, panel, tmp_path, monkeypatch):
    done(qtbot, panel, panel.sets.export)
    asked = []

    class Asked(MappingDialog):
        def exec(self):
            asked.append({label: combo.currentText() for label, combo in self.choices.items()})
            self.choices["monocyte"].setCurrentText("leave out")
            return True

    monkeypatch.setattr("napari_wbc.widgets.loop.mapping.MappingDialog", Asked)
    with qtbot.waitSignal(panel.project_wanted, timeout=20000) as wanted:
        panel.sets.import_set(tmp_path / "set")
    assert asked == [{"neutrophil": "neutrophil", "monocyte": "monocyte"}]
    assert wanted.args[0] == tmp_path / "home" / "projects" / "set.wbc"
    assert any("8 cells" in text for text in panel.heard)
    qtbot.waitUntil(lambda: not panel.busy)


def test_the_dialog_waits_until_every_label_has_a_class(qtbot, panel, tmp_path):
    from napari_wbc.model.progress import run
    from napari_wbc.pipeline.import_set import Incoming, look_steps

    done(qtbot, panel, panel.sets.export)
    incoming = run(look_steps(tmp_path / "set"))
    unclear = Incoming(incoming.content, incoming.counts, {**incoming.suggested, "monocyte": None})
    dialog = MappingDialog(unclear, EIGHT_CLASSES)
    qtbot.addWidget(dialog)
    ok = dialog.buttons.buttons()[0]
    assert not ok.isEnabled()
    assert dialog.value() == {"neutrophil": "neutrophil"}
    dialog.choices["monocyte"].setCurrentText("leave out")
    assert ok.isEnabled()
    assert dialog.value() == {"neutrophil": "neutrophil", "monocyte": ""}


def test_curves_are_drawn_from_nothing_on(qtbot):
    curves = Curves()
    qtbot.addWidget(curves)
    curves.resize(400, 150)
    empty = curves.grab().toImage()
    for epoch in (1, 2, 3):
        curves.add(
            {"epoch": epoch, "loss": 1 / epoch, "val_lab": 0.5 + epoch / 10, "val_accuracy": 0.9}
        )
    assert curves.grab().toImage() != empty
    curves.clear()
    assert curves.grab().toImage() == empty


def test_the_bar_tells_how_long_a_step_will_take(qtbot, panel, monkeypatch):
    from napari_wbc.widgets.qt import progress

    bar, clock = panel.jobs, [0.0]
    monkeypatch.setattr(progress, "monotonic", lambda: clock[0])
    assert bar._left(Progress("a", 0, 100)) == ""
    clock[0] = 10
    assert (
        bar._left(Progress("a", 10, 100)) == ", 90 s left"
        or bar._left(Progress("a", 10, 100)) == ", 2 min left"
    )
    assert bar._left(Progress("b", 10, 100)) == ""
