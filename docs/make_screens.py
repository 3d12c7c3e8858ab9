"""Make a picture of every screen, in light and dark, at two sizes and two scales.

    python docs/make_screens.py [--out FOLDER]

Needs a display of 3840 x 2160 pixels and takes some minutes. The pictures are to be looked at after
any change of the window; git ignores them. Sizes are in Qt's pixels, of which each has four of the
screen's at a scale of 200 %.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

SIZES = ((1366, 768), (1920, 1080))
THEMES = ("dark", "light")
SCALES = (1, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images" / "screens")
    parser.add_argument("--scale", type=int, help="take the pictures of one scale in this process")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.scale:
        take(arguments.out, arguments.scale)
        return
    for scale in SCALES:
        # Qt reads the scale when it starts.
        subprocess.run(
            [sys.executable, __file__, "--out", str(arguments.out), "--scale", str(scale)],
            env=os.environ | {"QT_SCALE_FACTOR": str(scale)},
            check=True,
        )


def take(out: Path, scale: int) -> None:
    """Go through all screens, and take each in both themes and sizes."""
    import napari
    from make_screenshots import draw_slide, own_homes, wait_for
    from qtpy.QtTest import QTest

    from napari_wbc.imaging.read import open_slide
    from napari_wbc.widgets.workbench import Workbench

    homes = Path(tempfile.mkdtemp())
    own_homes(homes / "projects")
    viewer = napari.Viewer(show=False)
    window = viewer.window._qt_window
    window.resize(*SIZES[0])
    window.show()
    bench = Workbench(viewer)
    viewer.window.add_dock_widget(bench, name="WBC workbench")

    def shoot(name: str, grab: Callable[[], object] | None = None) -> None:
        for theme in THEMES:
            viewer.theme = theme
            for width, height in SIZES:
                window.resize(width, height)
                QTest.qWait(300)
                path = str(out / f"{name}-{theme}-{width}-{100 * scale}.png")
                if grab is None:
                    viewer.window.screenshot(path, canvas_only=False, flash=False)
                else:
                    grab().save(path)
                    break

    shoot("start")
    bench.open_slide(open_slide(draw_slide(homes)))
    wait_for(bench)
    shoot("slide")
    pages(bench, shoot, wait_for)
    os._exit(0)  # windows that are closed may ask


def pages(bench: Any, shoot: Callable[..., None], wait_for: Callable[[Any], None]) -> None:
    """All that comes after a slide is open."""
    from napari_wbc.pipeline.import_set import Incoming
    from napari_wbc.storage.sets import SetContent
    from napari_wbc.widgets.loop.mapping import MappingDialog
    from napari_wbc.widgets.review.key_choice import KeysDialog

    bench.tabs.bring(bench.analysis)
    bench.analysis.run.click()
    wait_for(bench)
    shoot("find")
    bench.tabs.bring(bench.queue_panel)
    bench.queue_panel.start()
    wait_for(bench)
    shoot("review")
    bench.tabs.bring(bench.report)
    shoot("report")
    bench.tabs.bring(bench.explain)
    bench.explain.ask_selected()
    wait_for(bench)
    shoot("explain")
    bench.tabs.bring(bench.train)
    wait_for(bench)
    shoot("train")
    bench.docks.open_map()
    wait_for(bench)
    shoot("map")
    bench.train.tuning.show_library()
    shoot("models", bench.train.tuning._dialogs["library"].grab)
    bench.train.tuning._dialogs["library"].close()
    bench.status.show_history()
    shoot("messages", bench.status._dialog.grab)
    bench.status._dialog.close()
    bench.model.show_card()
    shoot("card", bench.model.dialog.grab)
    bench.model.dialog.close()
    keys = KeysDialog(bench.session.taxonomy, bench)
    keys.show()
    shoot("classes", keys.grab)
    keys.close()
    labels = {"NEU": "neutrophil", "dirt": None}
    content = SetContent("their set", "coco", (), tuple(labels), {})
    mapping = MappingDialog(
        Incoming(content, Counter(NEU=12, dirt=3), labels), bench.session.taxonomy, bench
    )
    mapping.show()
    shoot("labels", mapping.grab)
    mapping.close()


if __name__ == "__main__":
    main()
