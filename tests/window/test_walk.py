"""The first hour, walked by a real mouse and keyboard in a real napari; see ``walk.py``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("Xvfb", "openbox", "xdotool")
MISSING = [name for name in NEEDED if shutil.which(name) is None]
pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or bool(MISSING),
    reason=f"its own display needs Linux with {', '.join(NEEDED)}; missing: {', '.join(MISSING)}",
)


@contextmanager
def display() -> Iterator[dict[str, str]]:
    """A screen with a window manager, for this alone; gives the environment that leads there."""
    reader, writer = os.pipe()
    command = [
        "Xvfb",
        "-displayfd",
        str(writer),
        "-screen",
        "0",
        "1600x1100x24",
        "-nolisten",
        "tcp",
    ]
    with subprocess.Popen(
        command, pass_fds=[writer], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        os.close(writer)
        with os.fdopen(reader, encoding="ascii") as answer:
            number = answer.readline().strip()
        environment = os.environ | {
            "DISPLAY": f":{number}",
            "QT_QPA_PLATFORM": "xcb",
            "LIBGL_ALWAYS_SOFTWARE": "1",
        }
        with subprocess.Popen(
            ["openbox"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as manager:
            yield environment
            manager.terminate()
        server.terminate()


def test_a_first_hour_by_mouse_and_keyboard(tmp_path):
    home = tmp_path / "home"
    own = {
        "HOME": str(home),
        "XDG_DATA_HOME": str(home / "data"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "NAPARI_WBC_MODELS": str(home / "models"),
        "NAPARI_CONFIG": str(home / "napari.yaml"),
    }
    home.mkdir()
    command = [
        sys.executable,
        "-X",
        "faulthandler",
        "-m",
        "tests.window.walk",
        str(tmp_path / "desk"),
    ]
    with display() as environment:
        done = subprocess.run(
            command,
            env=environment | own,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            text=True,
            timeout=600,
        )
    lines = done.stdout.splitlines()
    assert done.returncode == 0, "\n".join(lines[-60:])
    assert "walked" in lines, "\n".join(lines[-60:])
