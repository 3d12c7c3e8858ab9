"""A report is signed, broken, amended and signed by a second person, with real mouse and keys.

    xvfb-run -a -s "-screen 0 1600x1100x24" python -m tests.window.signing FOLDER

Pictures of each state are written to FOLDER.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from qtpy.QtCore import QTimer
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QApplication, QFileDialog, QInputDialog, QLineEdit
from tests.window import desk
from tests.window.walk import CELLS, Walk

REVIEW, REPORT = 2, 3


class Signing(Walk):
    """One person, and a second one, at one napari."""

    def works(self) -> None:
        """Sign, break, mend, amend."""
        out = self.folder / "report"
        out.mkdir()
        QDesktopServices.openUrl = lambda _url: True
        self.choose_folder(self.first)
        self.press_button("Analyze slide")
        self.idle()
        self.tab(REPORT)
        self.press_button("Sign…")
        self.idle()
        self.says("cannot be signed yet", f"{3 * CELLS} cells not reviewed")
        self.picture("1-not-yet")
        self.tab(REVIEW)
        desk.click(self.bench.queue_panel.start_button)
        for _ in range(3 * CELLS):
            unsure = self.table[self.bench.queue.current].label == "unidentified"
            desk.press("1" if unsure else "Return")
            self.idle()
        self.tab(REPORT)
        self.type_target(3 * CELLS)
        assert self.sign("A. Reader", out) == (1, ["A. Reader"])
        assert self.bench.header.signature.isHidden()
        self.picture("2-signed")
        self.relabel("5")
        desk.until(lambda: not self.bench.header.signature.isHidden(), 10, why="the broken seal")
        self.says("Changed since A. Reader signed")
        self.picture("3-broken")
        desk.press("ctrl+z")
        desk.until(self.bench.header.signature.isHidden, 10, why="the seal to hold again")
        desk.press("ctrl+shift+z")
        desk.until(lambda: not self.bench.header.signature.isHidden(), 10, why="the broken seal")
        self.tab(REPORT)
        assert self.sign("A. Reader", out) == (2, ["A. Reader"])
        assert (out / "signed-1.json").is_file()
        assert self.sign("B. Second", out) == (2, ["A. Reader", "B. Second"])
        assert self.bench.header.signature.isHidden()
        self.picture("4-amended")

    def says(self, *texts: str) -> None:
        """The status line says all of this."""
        said = self.bench.status.text()
        assert all(text in said for text in texts), said

    def tab(self, i: int) -> None:
        """Click a step."""
        bar = self.bench.tabs.tabBar()
        desk.click_at(*desk.place_of(bar, bar.tabRect(i).center()))

    def relabel(self, key: str) -> None:
        """Click a cell in the image and press a key."""
        self.bench.fields.setCurrentRow(0)
        self.idle()
        self.viewer.reset_view()
        desk.wait(0.3)
        desk.click_at(*self.at(self.cell()))
        desk.press(key)
        self.idle()

    def type_target(self, cells: int) -> None:
        """Type how many cells to count."""
        box = self.bench.report.target.native
        desk.click(box)
        desk.press("ctrl+a")
        desk.xdotool("type", cells)
        desk.press("Tab")
        assert self.bench.report.target.value == cells

    def sign(self, name: str, out: Path) -> tuple[int, list[str]]:
        """Press Sign…, answer both dialogs, and say which version has whose signatures."""
        answers: list[tuple[type, str]] = [(QInputDialog, name), (QFileDialog, str(out))]

        def answer() -> None:
            dialog = QApplication.activeModalWidget()
            if answers and isinstance(dialog, answers[0][0]):
                _kind, text = answers.pop(0)
                self.type_into(dialog, text)

        timer = QTimer()
        timer.timeout.connect(answer)
        timer.start(400)
        self.press_button("Sign…")
        desk.until(lambda: not answers, 30, why="the dialogs")
        timer.stop()
        self.idle()
        signed: dict[str, Any] = json.loads((out / "report.json").read_text("utf-8"))["signed"]
        return signed["version"], [each["name"] for each in signed["signatures"]]

    def type_into(self, dialog: Any, text: str) -> None:
        """Type into the one line of a dialog, and press Return."""
        dialog.findChild(QLineEdit).setFocus()
        desk.press("ctrl+a")
        desk.xdotool("type", "--delay", 2, text)
        desk.wait(0.2)
        desk.press("Return")

    def picture(self, name: str) -> None:
        """Keep what is on the screen."""
        desk.wait(0.5)
        QApplication.primaryScreen().grabWindow(0).save(str(self.folder / f"{name}.png"))


if __name__ == "__main__":
    signing = Signing(Path(sys.argv[1]))
    signing.open_workbench()
    try:
        signing.works()
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
        signing.picture("failed")
        sys.stdout.flush()
        os._exit(1)  # a window that is closed in the middle of a step may ask
    print("signed", flush=True)
    os._exit(0)
