"""Make the development environment `.venv`, and with `--display` what headless tests need.

    python3 scripts/setup_env.py [--display]

Standard library only. It does nothing when the environment is already up to date, and it keeps to
syntax that older Pythons can read, so that they can say what is missing.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)
NAMES = ("python3.13", "python3.12", "python3.11")
EXTRAS = "dev,docs"
UNFINISHED = "unfinished\n"
# A virtual X server, software OpenGL, what Qt's xcb plugin links to, and a window manager with
# hands.
DISPLAY_PACKAGES = (
    *("openbox", "xdotool"),
    *(
        "xvfb",
        "xauth",
        "libegl1",
        "libgl1",
        "libglx-mesa0",
        "libgl1-mesa-dri",
        "libxkbcommon-x11-0",
    ),
    *("libxcb-cursor0", "libxcb-icccm4", "libxcb-keysyms1", "libxcb-image0", "libxcb-render-util0"),
    *(
        "libxcb-shape0",
        "libxcb-randr0",
        "libxcb-xinerama0",
        "libdbus-1-3",
        "libfontconfig1",
        "libglib2.0-0",
    ),
)


def main() -> None:
    """Set up what was asked for, or exit with one line that says what to do."""
    parser = argparse.ArgumentParser(description="Make the development environment .venv.")
    parser.add_argument(
        "--display", action="store_true", help="also see to a virtual display on Linux"
    )
    if parser.parse_args().display and needs_virtual_display(sys.platform, os.environ):
        ensure_display()
    ensure_environment(ROOT)


# -- The environment ---------------------------------------------------------------------------


def ensure_environment(root: Path) -> None:
    """Make, update or leave alone `.venv`; its file `.ready` tells which."""
    venv = root / ".venv"
    needed = action(root)
    if needed == "nothing":
        return
    if needed == "make":
        python = choose_python(
            getattr(sys, "_base_executable", sys.executable), sys.version_info[:2]
        )
        ensure_venv_module(python)
        remove(venv)
    try:
        venv.mkdir(exist_ok=True)
        ready = venv / ".ready"
        ready.write_text(UNFINISHED, encoding="utf-8")
        if needed == "make":
            say("making .venv")
            subprocess.run([python, "-m", "venv", str(venv)], check=True)
        install(root)
        ready.write_text(stamp(root), encoding="utf-8")
    except BaseException as error:
        if needed == "make":
            remove(venv)
        if isinstance(error, subprocess.CalledProcessError):
            raise SystemExit(
                "setup: the environment could not be made; the lines above say why"
            ) from None
        raise


def stamp(root: Path) -> str:
    """Say what a finished environment was made from: where, and a hash of what asked for it."""
    content = (root / "pyproject.toml").read_bytes() + Path(__file__).read_bytes()
    return f"{hashlib.sha256(content).hexdigest()}\n{root}\n"


def action(root: Path) -> str:
    """Say what `.venv` needs: "nothing", "update" in place, or "make" from nothing.

    An environment that was interrupted, moved or lost its Python cannot be trusted and is made
    again; one made by hand is updated, never thrown away.
    """
    ready = root / ".venv" / ".ready"
    if not venv_program(root, "python").exists():
        return "make"
    found = ready.read_text(encoding="utf-8") if ready.exists() else None
    if found == stamp(root):
        return "nothing"
    trusted = found is None or found.splitlines()[1:] == [str(root)]
    return "update" if trusted else "make"


def install(root: Path) -> None:
    """Install the package with its tools, by uv where that works and by pip elsewhere.

    One command installs everything, so torch and torchvision come as one matching pair.
    """
    python, uv = str(venv_program(root, "python")), str(venv_program(root, "uv"))
    what = ["--editable", f"{root}[{EXTRAS}]"]
    # Where Python may not keep compiled code, each process would compile torch and napari anew.
    compiled = ["--compile-bytecode"] if sys.dont_write_bytecode else []
    say(f"installing napari-wbc[{EXTRAS}]; the first time this downloads several gigabytes")
    with_uv = Path(uv).exists() or succeeds([python, "-m", "pip", "install", "--quiet", "uv"])
    if with_uv and succeeds([uv, "pip", "install", "--python", python, *compiled, *what]):
        return
    say("uv could not do it; trying pip")
    subprocess.run([python, "-m", "pip", "install", *what], check=True)


def choose_python(
    running: str,
    version: tuple[int, ...],
    locate: Callable[[str], str | None] = shutil.which,
    runs: Callable[[str], bool] | None = None,
) -> str:
    """Choose the running Python where it is new enough, else the newest one on the path."""
    if version >= OLDEST:
        return running
    runs = runs or (
        lambda path: succeeds([path, "-c", ""], quiet=True)
    )  # a version manager's shim may not
    for name in NAMES:
        path = locate(name)
        if path and runs(path):
            return path
    have, want = (".".join(map(str, v)) for v in (version, OLDEST))
    raise SystemExit(
        f"setup: Python {want} or newer is needed and this is {have}; install python{want}"
    )


def ensure_venv_module(python: str) -> None:
    """Debian and Ubuntu ship Python without the parts that `venv` needs; install them."""
    check = [python, "-c", "import ensurepip, sys, venv; sys.exit(not ensurepip.version())"]
    if succeeds(check, quiet=True):
        return
    asked = "import sys; print('python%d.%d-venv' % sys.version_info[:2])"
    package = subprocess.run(
        [python, "-c", asked], check=True, capture_output=True, text=True
    ).stdout.strip()
    apt_install([package], "Python's venv module is missing")
    if not succeeds(check, quiet=True):
        raise SystemExit(
            f"setup: {python} still has no venv module although {package} is installed"
        )


def venv_program(root: Path, name: str) -> Path:
    """Where a program of the environment lies."""
    windows = os.name == "nt"
    return root / ".venv" / ("Scripts" if windows else "bin") / (f"{name}.exe" if windows else name)


def remove(venv: Path) -> None:
    """Remove an environment; of a link, only the link."""
    if venv.is_symlink():
        venv.unlink()
    elif venv.exists():
        shutil.rmtree(venv)


# -- The display -------------------------------------------------------------------------------


def needs_virtual_display(platform: str, environ: os._Environ[str] | dict[str, str]) -> bool:
    """Only Linux without a display needs one; desktops bring theirs."""
    return platform.startswith("linux") and not (
        environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY")
    )


def ensure_display() -> None:
    """Install the packages of a virtual display where they are missing."""
    if shutil.which("dpkg-query"):
        listing = [
            "dpkg-query",
            "--show",
            "--showformat",
            "${db:Status-Status}|${Package}|${Provides}\n",
        ]
        listed = subprocess.run(listing, check=True, capture_output=True, text=True).stdout
        missing = missing_packages(DISPLAY_PACKAGES, listed)
        if missing:
            apt_install(missing, "the tests need a display")
    elif not shutil.which("Xvfb"):
        raise SystemExit(
            "setup: the tests need a display; install Xvfb, Mesa's OpenGL and Qt's xcb libraries"
        )


def missing_packages(wanted: Iterable[str], listed: str) -> list[str]:
    """Say which packages are not installed, by the lines "status|package|provides" of dpkg-query.

    A renamed package (Ubuntu's `...t64`) provides its old name, so that name counts as present.
    """
    present = set()
    for line in listed.splitlines():
        status, name, provides = line.split("|", 2)
        if status == "installed":
            present.add(name)
            present.update(entry.split()[0] for entry in provides.split(",") if entry.strip())
    return [name for name in wanted if name not in present]


def apt_install(packages: list[str], why: str) -> None:
    """Install system packages as root or by passwordless sudo, else say which command would."""
    advice = f"setup: {why}; install: sudo apt-get install -y {' '.join(packages)}"
    if not shutil.which("apt-get"):
        raise SystemExit(f"setup: {why}; install what your system calls {' '.join(packages)}")
    if os.geteuid() == 0:
        prefix = []
    elif shutil.which("sudo") and succeeds(["sudo", "-n", "true"], quiet=True):
        prefix = ["sudo", "-n"]
    else:
        raise SystemExit(advice)
    say(f"{why}; installing {' '.join(packages)}")
    apt = [
        *prefix,
        "env",
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "-qq",
        "-oDPkg::Lock::Timeout=120",
    ]
    succeeds([*apt, "update"])  # a stale list may still do
    if not succeeds([*apt, "install", "-y", "--no-install-recommends", *packages]):
        raise SystemExit(advice)


# -- Small helpers -----------------------------------------------------------------------------


def succeeds(command: list[str], *, quiet: bool = False) -> bool:
    """Run a command and say whether it succeeded."""
    sink = subprocess.DEVNULL if quiet else None
    try:
        return subprocess.run(command, check=False, stdout=sink, stderr=sink).returncode == 0
    except OSError as error:
        say(f"{shlex.quote(command[0])}: {error.strerror}")
        return False


def say(line: str) -> None:
    """Tell the user what goes on."""
    print(f"setup: {line}", flush=True)


if __name__ == "__main__":
    main()
