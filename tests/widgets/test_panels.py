"""The panels of the workbench before they are connected."""

from __future__ import annotations

from napari_wbc.widgets.panels import user_name


def test_a_user_whom_the_system_does_not_know_can_open_the_workbench(monkeypatch):
    def unknown():
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr("getpass.getuser", unknown)
    assert user_name() == ""
