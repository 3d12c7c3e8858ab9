"""Open napari with a drawn field and the workbench.

    python examples/open_in_napari.py [--close]

Press *Analyze slide*, click a cell, and press a key from 1 to 8. `--close` closes napari as soon as
the workbench is there, for a quick test of an installation.
"""

from __future__ import annotations

import argparse

import napari
from qtpy.QtCore import QTimer


def main() -> None:
    """Open the viewer, the field and the workbench."""
    parser = argparse.ArgumentParser(description="Open napari with a drawn field.")
    parser.add_argument("--close", action="store_true", help="close when the workbench is there")
    close = parser.parse_args().close
    viewer = napari.Viewer()
    viewer.open_sample("napari-wbc", "synthetic_smear")
    _dock, widget = viewer.window.add_plugin_dock_widget("napari-wbc", "Workbench")

    def on_opened(_workbench: object) -> None:
        print("The workbench is open.")
        if close:
            # The workbench is not drawn yet: let the window paint it once.
            QTimer.singleShot(500, viewer.close)

    widget.opened.connect(on_opened)
    napari.run()


if __name__ == "__main__":
    main()
