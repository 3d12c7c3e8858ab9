"""The network beside a window: OpenGL drivers and PyTorch share a process."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import threading
import napari
import numpy as np
from qtpy.QtTest import QTest
from napari_wbc.detect.finders import make_detector

viewer = napari.Viewer(show=True)
viewer.add_image(np.zeros((20, 20, 3), np.uint8))
QTest.qWait(300)
found = []
thread = threading.Thread(target=lambda: found.append(make_detector(device="cpu").detect))
thread.start()
thread.join()
print(found[0](np.full((60, 80, 3), 230, np.uint8)))
viewer.close()
"""


def test_the_network_is_loaded_beside_a_window():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, check=False, text=True, timeout=300
    )
    assert (done.returncode, done.stdout.strip()) == (0, "()"), done.stderr
