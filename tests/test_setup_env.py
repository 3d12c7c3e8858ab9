"""The script that makes the environment: what it decides, without making anything."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
spec = importlib.util.spec_from_file_location("setup_env", ROOT / "scripts" / "setup_env.py")
setup_env = importlib.util.module_from_spec(spec)
spec.loader.exec_module(setup_env)


@pytest.fixture
def checkout(tmp_path):
    """A checkout whose environment is finished."""
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    python = setup_env.venv_program(tmp_path, "python")
    python.parent.mkdir(parents=True)
    python.touch()
    (tmp_path / ".venv" / ".ready").write_text(setup_env.stamp(tmp_path))
    return tmp_path


def test_a_finished_environment_is_left_alone(checkout):
    assert setup_env.action(checkout) == "nothing"


def test_a_changed_project_updates_the_environment(checkout):
    (checkout / "pyproject.toml").write_text("[project]\nname = 'other'\n")
    assert setup_env.action(checkout) == "update"


def test_an_environment_made_by_hand_is_updated(checkout):
    (checkout / ".venv" / ".ready").unlink()
    assert setup_env.action(checkout) == "update"


def test_an_interrupted_set_up_is_made_again(checkout):
    (checkout / ".venv" / ".ready").write_text(setup_env.UNFINISHED)
    assert setup_env.action(checkout) == "make"


def test_a_moved_checkout_is_made_again(checkout):
    moved = checkout.rename(checkout.with_name("moved"))
    assert setup_env.action(moved) == "make"


def test_an_environment_without_its_python_is_made_again(checkout):
    setup_env.venv_program(checkout, "python").unlink()
    assert setup_env.action(checkout) == "make"


@pytest.mark.parametrize(("no_bytecode", "compiled"), [(True, True), (False, False)])
def test_packages_are_compiled_once_where_python_keeps_nothing(
    checkout, monkeypatch, no_bytecode, compiled
):
    commands = []
    monkeypatch.setattr(setup_env.sys, "dont_write_bytecode", no_bytecode)
    monkeypatch.setattr(setup_env, "succeeds", lambda command: commands.append(command) or True)
    setup_env.install(checkout)
    assert ("--compile-bytecode" in commands[-1]) is compiled


def test_removing_a_link_keeps_what_it_leads_to(checkout, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(checkout / ".venv", target_is_directory=True)
    setup_env.remove(link)
    assert not link.is_symlink()
    assert (checkout / ".venv" / ".ready").exists()


def test_a_failed_set_up_leaves_no_environment(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    monkeypatch.setattr(setup_env, "choose_python", lambda *_: "no-such-python")
    monkeypatch.setattr(setup_env, "ensure_venv_module", lambda _: None)
    with pytest.raises(FileNotFoundError):
        setup_env.ensure_environment(tmp_path)
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize(
    ("version", "there", "broken", "chosen"),
    [
        ((3, 12), {"python3.13"}, set(), "running"),
        ((3, 9), {"python3.11", "python3.13"}, set(), "python3.13"),
        ((3, 9), {"python3.11", "python3.13"}, {"python3.13"}, "python3.11"),
    ],
)
def test_choice_of_python(version, there, broken, chosen):
    found = setup_env.choose_python(
        "running",
        version,
        lambda name: name if name in there else None,
        lambda path: path not in broken,
    )
    assert found == chosen


def test_no_python_is_new_enough():
    with pytest.raises(
        SystemExit, match=r"^setup: Python 3\.11 or newer .* this is 3\.9; .*python3\.11$"
    ):
        setup_env.choose_python("running", (3, 9), lambda _: None)


def test_missing_packages():
    listed = "\n".join(
        [
            "installed|xvfb|xserver",
            "config-files|xauth|",
            "installed|libdbus-1-3t64|libdbus-1-3 (= 1.14.10-4ubuntu4)",
            "installed|libegl1-other|libegl-x1, libegl1",
        ]
    )
    wanted = ["xvfb", "xauth", "libdbus-1-3", "libegl1", "libgl1"]
    assert setup_env.missing_packages(wanted, listed) == ["xauth", "libgl1"]


@pytest.mark.parametrize(
    ("platform", "environ", "needed"),
    [
        ("linux", {}, True),
        ("linux", {"DISPLAY": ""}, True),
        ("linux", {"DISPLAY": ":0"}, False),
        ("linux", {"WAYLAND_DISPLAY": "wayland-0"}, False),
        ("darwin", {}, False),
        ("win32", {}, False),
    ],
)
def test_who_needs_a_virtual_display(platform, environ, needed):
    assert setup_env.needs_virtual_display(platform, environ) is needed


def test_without_privilege_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(setup_env.shutil, "which", lambda name: name if name == "apt-get" else None)
    monkeypatch.setattr(setup_env.os, "geteuid", lambda: 1000, raising=False)
    with pytest.raises(SystemExit) as stop:
        setup_env.apt_install(["xvfb", "libgl1"], "no display")
    assert str(stop.value) == "setup: no display; install: sudo apt-get install -y xvfb libgl1"
