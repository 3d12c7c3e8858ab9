"""Make the pictures of the documentation from a synthetic smear.

    python docs/make_screenshots.py [--slide FOLDER] [--out FOLDER] [--readme]

Needs a display and takes some minutes. `make docs` runs it when the pictures are missing; git
ignores them. ``--readme`` also renews ``docs/workbench.png``, the one picture that git keeps.
``--slide`` takes a folder of fields instead, to look at real ones; such pictures are not for the
repository.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from pathlib import Path

import napari
import numpy as np
from PIL import Image
from qtpy.QtCore import QPoint, QSettings, Qt
from qtpy.QtTest import QTest

from napari_wbc.imaging.read import open_slide
from napari_wbc.imaging.synthetic import synthetic_slide
from napari_wbc.model.cell import Annotation
from napari_wbc.session import opening
from napari_wbc.widgets.loop import sets
from napari_wbc.widgets.workbench import Workbench


def draw_slide(folder: Path) -> Path:
    """A synthetic slide of six fields."""
    slide = folder / "synthetic-smear"
    slide.mkdir(parents=True)
    for i, field in enumerate(synthetic_slide(4, 6, per_field=(3, 5)), start=1):
        Image.fromarray(field.image).save(slide / f"field-{i}.png")
    return slide


def wait_for(bench: Workbench) -> None:
    """Let the work that is under way end, and the window follow."""
    QTest.qWait(300)
    while bench.busy:
        QTest.qWait(50)
    QTest.qWait(300)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slide", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images")
    parser.add_argument("--readme", action="store_true", help="also renew docs/workbench.png")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        take(open_slide(arguments.slide or draw_slide(Path(folder))), arguments.out)
    if arguments.readme:
        write_small(arguments.out / "review.png", Path(__file__).parent / "workbench.png")


def write_small(picture: Path, path: Path, *, width: int = 1200, colors: int = 128) -> None:
    """Write a picture small enough for git: about 100 kB."""
    image = Image.open(picture).convert("RGB")
    image = image.resize((width, image.height * width // image.width), Image.Resampling.LANCZOS)
    # Median cut would lose the outlines, whose colours are few pixels each.
    image.quantize(
        colors, method=Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE
    ).save(path, optimize=True)


def lasso(scatter) -> None:
    """Begin a lasso around the middle of the map."""
    middle = np.nanmedian(scatter.on_screen(), axis=0)
    turn = np.linspace(-0.5 * np.pi, 1.2 * np.pi, 30)
    path = [QPoint(int(middle[0] + 70 * np.cos(t)), int(middle[1] + 70 * np.sin(t))) for t in turn]
    QTest.mousePress(scatter, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, path[0])
    for point in path[1:]:
        QTest.mouseMove(scatter, point)


def explain(bench, slide, shoot) -> None:
    """Heat over a field and in the gallery, and the map of features."""
    bench.tabs.bring(bench.explain)
    bench.explain.ask_slide()
    wait_for(bench)
    gallery = bench.docks.gallery
    gallery.parts.setCurrentText("cell, heat, both")
    bench.session.show_field(slide.fields[0].fov_id)
    bench.viewer.reset_view()
    wait_for(bench)
    shoot("explain")
    gallery.parts.setCurrentText("cells")
    bench.docks.open_map()
    bench.docks.map.start()
    wait_for(bench)
    lasso(bench.docks.map.scatter)
    shoot("feature-map")
    bench.docks.map.parent().close()


def write_manifest(folder: Path) -> Path:
    """Drawn fields of another seed with what is in them, to test on."""
    folder.mkdir(parents=True)
    lines = ["path,label,split,source,top,left,bottom,right"]
    for i, field in enumerate(synthetic_slide(11, 12, per_field=(3, 5))):
        Image.fromarray(field.image).save(folder / f"{i}.png")
        for number, cell in enumerate(field.cells, start=1):
            rows, cols = np.nonzero(field.cell_mask == number)
            edges = rows.min(), cols.min(), rows.max() + 1, cols.max() + 1
            lines.append(
                f"{i}.png,{cell.cell_class},test,another-smear,{','.join(map(str, edges))}"
            )
    path = folder / "cells.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def train_and_compare(bench, homes: Path, shoot, out: Path) -> None:
    """Export what was reviewed, go on training, and compare on other drawn fields."""
    panel, session = bench.train, bench.session
    said = [cell.annotated(Annotation(cell.label, "me")) for cell in session.table.values()]
    session.commit(session.table.with_cells(said), "accept all")
    bench.docks.gallery.parent().close()
    bench.tabs.bring(panel)
    panel.sets.folder.setText(str(homes / "set"))
    panel.sets.split.value = "train"
    for button in (panel.sets.export, panel.tuning.tune):
        button.click()
        wait_for(bench)
    panel.sets.folder.setText("my-set")
    shoot("train")
    panel.sets.folder.setText(str(homes / "set"))
    panel.sets.old.addItem(str(write_manifest(homes / "test")))
    panel.tuning.compare.click()
    wait_for(bench)
    panel.tuning._dialogs["comparison"].grab().save(str(out / "comparison.png"))
    panel.tuning._dialogs["comparison"].close()


def own_homes(homes: Path) -> Path:
    """Keep projects, models and settings here, not among those of the person who runs it."""
    shutil.rmtree(homes, ignore_errors=True)
    opening.projects_folder = lambda: homes
    sets.projects_folder = opening.projects_folder
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(homes))
    os.environ["NAPARI_WBC_MODELS"] = str(homes / "models")
    return homes


def take(slide, out: Path) -> None:
    """Go through the main job and take a picture of each step."""
    homes = own_homes(out.parent / ".projects")
    viewer = napari.Viewer(show=False)
    window = viewer.window._qt_window
    window.resize(1500, 1150)
    window.show()
    bench = Workbench(viewer)
    viewer.window.add_dock_widget(bench, name="WBC workbench")

    def shoot(name: str) -> None:
        QTest.qWait(200)
        viewer.window.screenshot(str(out / f"{name}.png"), canvas_only=False, flash=False)

    shoot("start")
    bench.open_slide(slide)
    wait_for(bench)
    bench.tabs.bring(bench.analysis)
    bench.detector.preview.setChecked(True)
    wait_for(bench)
    shoot("preview")
    bench.detector.preview.setChecked(False)
    bench.analysis.run.click()
    wait_for(bench)
    shoot("workbench")
    cells = bench.session.table.of_field(slide.fields[0].fov_id)
    bench.session.select([cells[0].cell_id])
    canvas = viewer.window._qt_viewer.canvas.native
    canvas.setFocus()
    QTest.keyClick(canvas, Qt.Key.Key_3)
    wait_for(bench)
    shoot("relabelled")
    bench.tabs.bring(bench.queue_panel)
    bench.queue_panel.order.setCurrentText("class by class")
    bench.queue_panel.start()
    for _ in range(5):
        QTest.keyClick(canvas, Qt.Key.Key_Return)
        wait_for(bench)
    shoot("review")
    explain(bench, slide, shoot)
    gallery = bench.docks.gallery
    gallery.parent().setMinimumHeight(480)
    gallery.gallery.verticalScrollBar().setValue(0)
    QTest.qWait(800)
    gallery.grab().save(str(out / "gallery.png"))
    bench.model.card.click()
    QTest.qWait(300)
    bench.model.dialog.grab().save(str(out / "model-card.png"))
    bench.model.dialog.close()
    train_and_compare(bench, homes, shoot, out)
    bench.release()
    viewer.close()
    shutil.rmtree(homes)


if __name__ == "__main__":
    main()
